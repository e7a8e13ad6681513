"""Signals to a running worker."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from firstlight.stream.worker.worker import Worker


@contextmanager
def answering_signals(worker: Worker) -> Iterator[None]:
    """SIGTERM or Ctrl-C stops the worker after its micro-batch, a second one at once; SIGHUP changes bundles.

    A SIGHUP because the terminal was closed stops it, too.
    """
    has_terminal = _has_terminal()

    def stop(number: int, frame: FrameType | None) -> None:
        worker.stop()
        signal.signal(number, before[signal.Signals(number)])

    def hang_up(number: int, frame: FrameType | None) -> None:
        if has_terminal and not _has_terminal():
            worker.stop()
        else:
            worker.change_bundles()

    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: hang_up}
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _has_terminal() -> bool:
    """Whether standard input is an open terminal."""
    return os.isatty(0)
