"""Work in parallel processes of one thread each, which end with the process that started them."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from queue import Empty
from threading import Thread
from typing import Any, TypeVar

from firstlight._types import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Every pool of threads has one; more threads than cores would fight for them.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def side_by_side(
    work: Callable[[Item, Progress], Result],
    items: Mapping[str, Item],
    jobs: int,
    *,
    progress: Callable[[str, str, float], None] | None = None,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
) -> Iterator[tuple[str, Result]]:
    """Yield the results of ``work(item, progress)`` as they complete, computed in worker processes.

    Workers end when this process ends, however it ends, so that none goes on writing
    for a run that was killed.

    Parameters
    ----------
    work : callable
        A module-level function; items and results are pickled between the processes.
    items : mapping of str to anything
        Inputs by name.
    jobs : int
        Maximum number of processes.
    progress : callable, optional
        Called with the item's name, a stage and the fraction of it that is done.
    initializer : callable, optional
        Called once in every process before its first item, with the arguments `initargs`.
    initargs : tuple
        Arguments of `initializer`.

    Yields
    ------
    tuple of str and result
        Name and result, in order of completion.

    Raises
    ------
    Exception
        The first error of an item; items not yet started are cancelled.
    """
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with (
        _one_thread_each(),
        ProcessPoolExecutor(
            max(1, min(jobs, len(items))),
            mp_context=context,
            initializer=_begin,
            initargs=(queue, initializer, initargs),
        ) as pool,
    ):
        names = {pool.submit(_call, work, name, item): name for name, item in items.items()}
        pending: set[Future[Result]] = set(names)
        try:
            while pending:
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                _drain(queue, progress)
                for future in done:
                    yield names[future], future.result()
        except (KeyboardInterrupt, GeneratorExit):  # do not wait for running tasks
            for child in multiprocessing.active_children():
                child.terminate()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def one_core(jobs: int | None) -> Iterator[None]:
    """Keep math libraries to one thread where `jobs` is 1; any other number leaves them as they are.

    Libraries that are loaded meanwhile read the environment; threadpoolctl limits the others.
    """
    if jobs != 1:
        yield
        return
    with _one_thread_each(), ExitStack() as stack:
        if find_spec("threadpoolctl") is not None:
            from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

            stack.enter_context(threadpool_limits(1))
        yield


# --- private --------------------------------------------------------------------

_messages: list[Any] = []  # the queue of this process, set by `_begin`


def _begin(queue: Any, initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the parent reports the interruption; workers just end
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent,), daemon=True).start()
    _messages[:] = [queue]
    if initializer is not None:
        initializer(*initargs)


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _call(work: Callable[[Item, Progress], Result], name: str, item: Item) -> Result:
    return work(item, lambda stage, fraction: _messages[0].put((name, stage, fraction)))


def _drain(queue: Any, progress: Callable[[str, str, float], None] | None) -> None:
    while True:
        try:
            message = queue.get_nowait()
        except Empty:
            return
        if progress is not None:
            progress(*message)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start now use one thread each."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
