"""Places in sorted arrays and ranks in unsorted ones; much faster to compile than numpy's functions."""

from typing import Any

from firstlight.kernels.decorator import kernel


@kernel
def n_below(ascending: Any, value: float) -> int:
    """Number of entries below a value: the place of ``np.searchsorted`` with ``side="left"``."""
    low, high = 0, len(ascending)
    while low < high:
        middle = (low + high) >> 1
        if ascending[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def n_upto(ascending: Any, value: float) -> int:
    """Number of entries up to a value: the place of ``np.searchsorted`` with ``side="right"``."""
    low, high = 0, len(ascending)
    while low < high:
        middle = (low + high) >> 1
        if ascending[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def highest(values: Any, start: int, stop: int) -> int:
    """Place of the first maximum of ``values[start:stop]``, not empty; that of a NaN if there is one."""
    best = start
    top = values[start]
    for i in range(start + 1, stop):
        if not values[i] <= top and top == top:
            best, top = i, values[i]
    return best


@kernel
def lowest(values: Any, start: int, stop: int) -> int:
    """Place of the first minimum of ``values[start:stop]``, not empty; that of a NaN if there is one."""
    best = start
    least = values[start]
    for i in range(start + 1, stop):
        if not values[i] >= least and least == least:
            best, least = i, values[i]
    return best


@kernel
def ranked(values: Any, n: int, rank: int) -> Any:
    """Value of a rank among the first n (Hoare's quickselect); `values` is reordered."""
    low, high = 0, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return values[rank]
