"""Guards against leaks: no column of the truth and no copy of a test object where models learn."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from firstlight._types import BoolArray, IntArray
from firstlight.errors import LeakageError
from firstlight.lightcurves import LightCurves

#: Columns that hold the truth or follow from it (PLAsTiCC, SNANA and ours), in lower case,
#: with ``*`` as wildcard. In PLAsTiCC ``distmod`` follows from the true redshift of the host;
#: ``libid_cadence`` and ``tflux_*`` belong to its simulation.
TRUTH_COLUMNS = (
    "class",
    "distmod",
    "label",
    "labels",
    "libid_cadence",
    "sim_*",
    "target",
    "tflux_*",
    "true_*",
    "truth*",
)
SHARED_PART = 0.5  # of either curve's observations; unrelated curves share almost none
MJD_STEP = 1e-5  # day; coarser than rounding in text, finer than any exposure
TWIN_ARCSEC = 2.0  # catalogues place one transient within this
SHARED_SKY = 0.2  # of the objects; where more have a neighbour, positions are those of fields
MOST_NAMED = 5  # objects or columns listed in a message


def check_disjoint(train_ids: Iterable[str], test_ids: Iterable[str]) -> None:
    """Refuse a split with an object on both sides.

    Parameters
    ----------
    train_ids, test_ids : iterables of str
        Names of objects; repeats within one side are fine.

    Raises
    ------
    LeakageError
        With the names of the objects on both sides.
    """
    both = sorted({str(name) for name in train_ids} & {str(name) for name in test_ids})
    if both:
        raise LeakageError(
            f"{len(both)} object(s) are in training and test: {_listed(both)}. "
            "Split by object before making copies"
        )


def check_columns(names: Iterable[str]) -> None:
    """Refuse features or metadata that hold a column of the truth.

    Parameters
    ----------
    names : iterable of str
        Names of features or metadata columns; case does not matter.

    Raises
    ------
    LeakageError
        With the names of the columns.
    """
    found = sorted(
        str(name)
        for name in names
        if any(fnmatchcase(str(name).strip().lower(), pattern) for pattern in TRUTH_COLUMNS)
    )
    if found:
        raise LeakageError(
            f"column(s) {_listed(found)} hold the truth and must not reach a model; drop them from its input"
        )


def check_near_duplicates(train: LightCurves, test: LightCurves) -> None:
    """Refuse a split with one light curve under two names, whole or in part.

    Observations are compared by time, band and flux. A pair is found if at least half of
    either curve is on the other side: also copies that were truncated, extended or thinned,
    but not copies with new noise, or with fluxes rounded or rescaled. (Approximate matches
    would give false alarms in deep fields, where a thousand objects share every epoch.)

    Parameters
    ----------
    train, test : LightCurves
        The two sides, before any preprocessing.

    Raises
    ------
    LeakageError
        With the names of the pairs.
    """
    key_train, key_test = _observation_keys(train), _observation_keys(test)
    few = np.sort(key_test)
    shared = few[_is_among(few, np.sort(key_train))]  # sorted keys in sorted ones: much faster than others
    if not len(shared):
        return
    pairs = {
        *_copies(key_train, train, key_test, test, shared),
        *((a, b) for b, a in _copies(key_test, test, key_train, train, shared)),
    }
    _refuse([f"{a} (train) and {b} (test)" for a, b in sorted(pairs)])


def check_distinct(curves: LightCurves) -> None:
    """Refuse one light curve under two names, before objects are split by their names.

    Pairs are found as by `check_near_duplicates`.

    Parameters
    ----------
    curves : LightCurves
        Objects, before any preprocessing.

    Raises
    ------
    LeakageError
        With the names of the pairs.
    """
    key, owner = _observation_keys(curves), curves.object_index
    ranked = np.sort(key)
    rows = np.flatnonzero(_is_among(key, ranked[1:][ranked[1:] == ranked[:-1]]))
    order = rows[np.lexsort((owner[rows], key[rows]))]
    ranked, own = key[order], owner[order]
    first = own[np.searchsorted(ranked, ranked)]
    last = own[np.searchsorted(ranked, ranked, side="right") - 1]
    other = owner.copy()
    other[order] = np.where(first != own, first, last)
    pairs = {(min(pair), max(pair)) for pair in _most_shared(curves, other != owner, other)}
    names = [(str(curves.object_id[a]), str(curves.object_id[b])) for a, b in pairs]
    _refuse([f"{a} and {b}" for a, b in sorted(names)])


def twins(curves: LightCurves) -> list[tuple[str, str]]:
    """Pairs of objects that may be one object under two names: near on the sky, seen at the same time.

    Two surveys give one object two names, and light curves that share no observation.

    Parameters
    ----------
    curves : LightCurves
        Objects; those without a position are in no pair.

    Returns
    -------
    list of (str, str)
        Names, in the order of `curves`; empty where positions are those of fields, not of objects: if more
        than `SHARED_SKY` of the objects have a neighbour, as in simulations.
    """
    from scipy.spatial import cKDTree

    seen = np.flatnonzero((curves.n_obs > 0) & ~np.isnan(curves.ra) & ~np.isnan(curves.dec))
    if len(seen) < 2:
        return []
    ra, dec = np.radians(curves.ra[seen]), np.radians(curves.dec[seen])
    sky = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    near = cKDTree(sky).query_pairs(np.radians(TWIN_ARCSEC / 3600.0), output_type="ndarray")
    if len(np.unique(near)) > SHARED_SKY * len(curves):
        return []
    pairs = np.sort(seen[near], axis=1)
    first, last = curves.mjd[curves.offsets[:-1][seen]], curves.mjd[curves.offsets[1:][seen] - 1]
    when = {int(k): (start, stop) for k, start, stop in zip(seen, first, last, strict=True)}
    return [
        (str(curves.object_id[a]), str(curves.object_id[b]))
        for a, b in sorted(map(tuple, pairs.tolist()))
        if when[a][0] <= when[b][1] and when[b][0] <= when[a][1]
    ]


def twins_note(curves: LightCurves) -> str:
    """A sentence on `twins`; empty without any."""
    found = twins(curves)
    if not found:
        return ""
    return (
        f"{len(found):,} pair(s) of objects lie within {TWIN_ARCSEC:g} arcsec of each other and were "
        f"observed at the same time: {_listed([f'{a} and {b}' for a, b in found])}. If a pair is one object, "
        "drop one of them: scores of the other are too good."
    )


def _observation_keys(curves: LightCurves) -> NDArray[np.uint64]:
    """64-bit hash of the time, band and flux of every observation."""
    time = np.round(curves.mjd / MJD_STEP).astype(np.int64).view(np.uint64)
    # Adding zero turns -0.0 into 0.0, which is the same flux.
    flux = (curves.flux + np.float32(0.0)).view(np.uint32).astype(np.uint64)
    key = _mixed(time) ^ flux
    return _mixed(_mixed(key) ^ curves.band.astype(np.uint64))


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The splitmix64 finaliser (Steele et al. 2014, doi:10.1145/2660193.2660195), modulo 2^64."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _is_among(keys: NDArray[np.uint64], known: NDArray[np.uint64]) -> BoolArray:
    """Which keys are among known, sorted ones; fast where these are few, as they are without copies."""
    if not len(known):
        return np.zeros(len(keys), dtype=np.bool_)
    return np.asarray(known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys)


def _copies(
    key_a: NDArray[np.uint64],
    a: LightCurves,
    key_b: NDArray[np.uint64],
    b: LightCurves,
    shared: NDArray[np.uint64],
) -> list[tuple[str, str]]:
    """Objects of `a` whose observations are found in `b`, each with its most frequent owner there."""
    rows = np.flatnonzero(_is_among(key_b, shared))
    rows = rows[np.argsort(key_b[rows], kind="stable")]
    owners = b.object_index[rows[np.searchsorted(key_b[rows], shared)]]  # the first of each shared key
    found = _is_among(key_a, shared)
    owner = np.zeros(len(key_a), dtype=owners.dtype)
    owner[found] = owners[np.searchsorted(shared, key_a[found])]
    return [(str(a.object_id[k]), str(b.object_id[other])) for k, other in _most_shared(a, found, owner)]


def _most_shared(curves: LightCurves, found: BoolArray, owner: IntArray) -> list[tuple[int, int]]:
    """Objects that share `SHARED_PART` of their observations, each with its most frequent other owner.

    `found` says which observations have another owner, `owner` which object that is.
    """
    n_found = np.bincount(curves.object_index[found], minlength=len(curves))
    pairs = []
    for k in np.flatnonzero((n_found > 0) & (n_found >= SHARED_PART * curves.n_obs)).tolist():
        window = slice(curves.offsets[k], curves.offsets[k + 1])
        pairs.append((k, int(np.bincount(owner[window][found[window]]).argmax())))
    return pairs


def _refuse(pairs: list[str]) -> None:
    """Raise LeakageError if there are pairs that share their observations."""
    if pairs:
        raise LeakageError(
            f"{len(pairs)} pair(s) of objects share their observations: {_listed(pairs)}. "
            "Drop one of each pair"
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(repr(name) if " " not in name else name for name in names[:MOST_NAMED]) + more
