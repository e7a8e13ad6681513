"""The decorator of every compiled function."""

import logging
from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any

from numba import njit
from numba.core import event
from numba.core.dispatcher import Dispatcher
from numba.core.registry import CPUDispatcher

LOGGER = logging.getLogger("firstlight.kernels")
_SILENT_S = 1.0  # compilation that takes longer is announced


def kernel(function: Callable[..., Any] | None = None, *, inner: bool = False, **options: Any) -> Any:
    """Compile a function at its first call, without the GIL, and keep the machine code on disk.

    Parameters
    ----------
    function : callable
        The function; absent in ``@kernel(fastmath=True)``.
    inner : bool
        Only other kernels call it. No entry for Python is compiled, a fifth of the work of a small kernel;
        a call from Python raises TypeError.
    **options
        More options of `numba.njit`.

    Returns
    -------
    numba dispatcher
        The function itself where ``NUMBA_DISABLE_JIT`` is set.
    """
    if function is None:
        return lambda later: kernel(later, inner=inner, **options)
    _listen()
    # Nothing calls them from C. A division by zero gives numpy's result: a branch that raises would keep
    # each loop with a division from using vectors, and make it longer to compile.
    options |= {"nogil": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
    if inner:
        options["no_cpython_wrapper"] = True
    try:
        made = njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that it may write
        _warn_of_no_cache()
        made = njit(**options)(function)
    if inner and isinstance(made, Dispatcher):
        made.__class__ = _Inner
    return made


# --- private --------------------------------------------------------------------


@cache
def _warn_of_no_cache() -> None:
    LOGGER.warning(
        "compiled code cannot be kept, so every start compiles again (half a minute): neither the "
        "package's folder nor the user's cache can be written; set NUMBA_CACHE_DIR to a folder that can"
    )


class _Inner(CPUDispatcher):
    """A compiled function without an entry for Python; numba's own would crash there."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Refuse."""
        raise TypeError(f"only compiled code calls {self.__name__}; its source is {self.__name__}.py_func")


class _Announcer(event.Listener):
    """Writes one line when this process has compiled for a while."""

    def __init__(self) -> None:
        self.depth = 0
        self.started = 0.0
        self.spent = 0.0
        self.silent = False

    def on_start(self, event: Any) -> None:
        if self.depth == 0:
            self.started = perf_counter()
        elif not self.silent and self.spent + perf_counter() - self.started > _SILENT_S:
            self.silent = True
            LOGGER.warning("compiling kernels for their first use; this can take half a minute")
        self.depth += 1

    def on_end(self, event: Any) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.spent += perf_counter() - self.started


@cache
def _listen() -> None:
    event.register("numba:compile", ANNOUNCER)


ANNOUNCER = _Announcer()
