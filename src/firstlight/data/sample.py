"""Draw a set whose classes have given frequencies."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from firstlight._types import FloatArray, IntArray, StrArray
from firstlight.errors import SettingsError

#: A class that would get fewer objects is dropped, as in the paper.
MIN_OBJECTS = 3


class Sample(NamedTuple):
    """Drawn objects: their positions, ascending and each once, and the classes of which none was drawn.

    Classes in `dropped` are those of the labels or the frequencies, sorted.
    """

    position: IntArray
    dropped: tuple[str, ...]


def sample_by_frequency(
    labels: StrArray,
    frequencies: Mapping[str, float],
    rng: np.random.Generator,
    n: int | None = None,
) -> Sample:
    """Draw objects without replacement so that classes have the given frequencies.

    Frequencies are relative to each other, over the classes with at least `MIN_OBJECTS`
    objects. Shares are rounded by largest remainder; a class whose share is then below
    `MIN_OBJECTS` is dropped, and the sample is smaller than `n` by that much.

    Parameters
    ----------
    labels : str array, shape (n_objects,)
        Class of each object.
    frequencies : mapping of str to float
        Frequency per class; classes not named are not drawn.
    rng : numpy.random.Generator
        Source of randomness.
    n : int, optional
        Number of objects; by default the largest that the scarcest class allows.

    Returns
    -------
    Sample
        Positions, and the classes that were dropped.

    Raises
    ------
    SettingsError
        If a frequency is negative or not finite, no class is left, or there are too few objects
        of a class for `n`.

    Examples
    --------
    >>> labels = np.repeat(["SNIa", "SNII", "KN"], [60, 40, 9])
    >>> drawn = sample_by_frequency(labels, {"SNIa": 0.5, "SNII": 0.25}, np.random.default_rng(0))
    >>> np.unique(labels[drawn.position], return_counts=True)[1].tolist(), drawn.dropped
    ([30, 60], ('KN',))
    """
    for name, frequency in frequencies.items():
        if not 0.0 <= frequency < np.inf:
            raise SettingsError(f"frequency {frequency} of {name}: it must be finite and not negative")
    known, count = np.unique(labels, return_counts=True)
    members = dict(zip(known.tolist(), count.tolist(), strict=True))
    names = [
        name for name, value in frequencies.items() if value > 0.0 and members.get(name, 0) >= MIN_OBJECTS
    ]
    if not names:
        raise SettingsError(
            f"no class has both a frequency and at least {MIN_OBJECTS} objects: nothing to draw from"
        )
    share = np.array([frequencies[name] for name in names])
    share /= share.sum()
    there = np.array([members[name] for name in names])
    wanted = _counts(share, there, n)
    drawn = {name: int(k) for name, k in zip(names, wanted, strict=True) if k >= MIN_OBJECTS}
    parts = [rng.permutation(np.flatnonzero(labels == name))[:k] for name, k in drawn.items()]
    position = np.sort(np.concatenate([np.empty(0, np.int64), *parts]))
    return Sample(position, tuple(sorted((set(frequencies) | set(members)) - set(drawn))))


def _counts(share: FloatArray, there: IntArray, n: int | None) -> IntArray:
    """Objects of each class, `n` in all, never more than there are."""
    most = int(np.floor((there / share).min() * (1.0 + 1e-12)))
    if n is None:
        n = most
    if not 0 <= n <= most:
        raise SettingsError(f"n = {n}: at these frequencies the objects allow 0 to {most}")
    exact = share * n
    counts = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")  # the largest remainder first
    counts[order[: n - counts.sum()]] += 1
    return np.minimum(counts, there)
