"""Work side by side: processes of one thread each, which end with the run that started them."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from queue import Empty
from threading import Thread
from typing import Any, TypeVar

__all__ = ["side_by_side", "silent"]

Item = TypeVar("Item")
Result = TypeVar("Result")
Report = Callable[[str, float], None]

#: Every pool of threads has one; more threads than cores would fight for them.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def side_by_side(
    work: Callable[[Item, Report], Result],
    items: Mapping[str, Item],
    jobs: int,
    *,
    report: Callable[[str, str, float], None] | None = None,
    prepare: Callable[..., None] | None = None,
    given: tuple[Any, ...] = (),
) -> Iterator[tuple[str, Result]]:
    """Results of ``work(item, report)`` as they come, each computed in another process.

    A process that is killed takes its workers with it, so that nothing goes on computing,
    or writing, for a run that is no more.

    Parameters
    ----------
    work : callable
        A function of a module: it travels by name, as its items and results do by pickle
        between these processes.
    items : mapping of str to anything
        What to work on, by name.
    jobs : int
        Processes at most.
    report : callable, optional
        Told an item's name, a stage and the fraction of it that is done.
    prepare : callable, optional
        Called once in every process before its first item, with the arguments `given`.
    given : tuple
        Arguments of `prepare`.

    Yields
    ------
    tuple of str and result
        In the order in which they are done.

    Raises
    ------
    Exception
        The first that an item raises; what has not begun is not begun.
    """
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with (
        _one_thread_each(),
        ProcessPoolExecutor(
            max(1, min(jobs, len(items))),
            mp_context=context,
            initializer=_begin,
            initargs=(queue, prepare, given),
        ) as pool,
    ):
        names = {pool.submit(_call, work, name, item): name for name, item in items.items()}
        pending: set[Future[Result]] = set(names)
        try:
            while pending:
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                _drain(queue, report)
                for future in done:
                    yield names[future], future.result()
        except (KeyboardInterrupt, GeneratorExit):  # do not wait for what is running
            for child in multiprocessing.active_children():
                child.terminate()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def silent(stage: str, fraction: float) -> None:
    """Report nothing: stands where nobody asked to be told."""


# --- private --------------------------------------------------------------------

_told: list[Any] = []  # the queue of this process, put there by `_begin`


def _begin(queue: Any, prepare: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the run says that it was interrupted; its workers just end
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent,), daemon=True).start()
    _told[:] = [queue]
    if prepare is not None:
        prepare(*given)


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _call(work: Callable[[Item, Report], Result], name: str, item: Item) -> Result:
    return work(item, lambda stage, fraction: _told[0].put((name, stage, fraction)))


def _drain(queue: Any, report: Callable[[str, str, float], None] | None) -> None:
    while True:
        try:
            said = queue.get_nowait()
        except Empty:
            return
        if report is not None:
            report(*said)


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
