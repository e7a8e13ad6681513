"""Shared types: progress callbacks and numpy arrays by dtype."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

#: Called with the name of a stage and the fraction of it that is done, 0 to 1.
Progress: TypeAlias = Callable[[str, float], None]

AnyArray: TypeAlias = NDArray[Any]
BoolArray: TypeAlias = NDArray[np.bool_]
Float32Array: TypeAlias = NDArray[np.float32]
FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
StrArray: TypeAlias = NDArray[np.str_]


def no_progress(stage: str, fraction: float) -> None:
    """Report nothing; the default where a caller gives no callback."""
