"""Signals to a worker that starts or runs."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firstlight.stream.worker.worker import Worker


class Hangups:
    """SIGHUP from the start of the process on: changes the bundles of a worker, as soon as there is one.

    Without it a SIGHUP while bundles load and kernels compile ends the process, which systemd takes for a
    normal end. One that comes because the terminal was closed stops the worker, or the start.
    """

    def __init__(self) -> None:
        self._has_terminal = _has_terminal()
        self._worker: Worker | None = None
        self._is_held = False
        self._before = signal.signal(signal.SIGHUP, self._answer)

    def use(self, worker: "Worker") -> None:
        """Answer with this worker from now on."""
        self._worker = worker
        if self._is_held:
            worker.change_bundles()

    def close(self) -> None:
        """Leave SIGHUP to whoever had it before."""
        signal.signal(signal.SIGHUP, self._before)

    def _answer(self, number: int, frame: FrameType | None) -> None:
        is_closed = self._has_terminal and not _has_terminal()
        if self._worker is None and is_closed:
            raise SystemExit(128 + number)
        if self._worker is None:
            self._is_held = True
        elif is_closed:
            self._worker.stop()
        else:
            self._worker.change_bundles()


@contextmanager
def stopping_softly(worker: "Worker") -> Iterator[None]:
    """SIGTERM or Ctrl-C stops the worker after its micro-batch, a second one at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        worker.stop()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _has_terminal() -> bool:
    """Whether standard input is an open terminal."""
    return os.isatty(0)
