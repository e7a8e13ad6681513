"""A target whose cases fail in every way that the runner must find; for the runner's own test."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np


def make(folder: Path) -> "Broken":
    """The target."""
    return Broken()


class Broken:
    documented = (KeyError,)
    case_s = 1
    case_bytes = 64 << 20

    def past(self) -> list[Callable[[], None]]:
        """One of each kind, the first and the last without a failure."""
        return [lambda: {}["documented"], _raise, _crash, _hang, _fill, lambda: None]

    def case(self, rng: np.random.Generator) -> Callable[[], None]:
        return lambda: None


def _raise() -> None:
    raise ValueError("line\nbreak")


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang() -> None:
    while True:
        pass


def _fill() -> None:
    np.ones(200 << 20, np.uint8)
