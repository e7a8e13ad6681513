"""Which observations to keep: the seed paper's clipping, and the default that spares the science.

Every rule is a pure function of an object's history. A verdict may use observations
taken later, so it can change as they arrive; batch and stream agree because both judge
the whole history again each time. No rule looks at another object.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from firstlight.bands import N_BANDS
from firstlight.errors import SettingsError
from firstlight.lightcurves import LightCurves

__all__ = [
    "CleanConfig",
    "ClipConfig",
    "PhysicalConfig",
    "clean",
    "keep_inside_clip",
    "keep_mask",
    "keep_physical",
]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """The seed paper's cut about the mean.

    Attributes
    ----------
    cut_sigma : float
        First, once: observations further than this from the mean go [standard deviation].
    clip_sigma : float
        Then sigma clipping about the mean of what is left [standard deviation].
    iterations : int
        At most this many rounds of clipping.
    scope : {"band", "object"}
        Over what mean and deviation are taken: one band of an object, or all its bands.
    """

    cut_sigma: float = 7.0
    clip_sigma: float = 3.0
    iterations: int = 5
    scope: Literal["band", "object"] = "band"

    def __post_init__(self) -> None:
        """Reject cuts that cannot be."""
        if not (self.cut_sigma > 0.0 and self.clip_sigma > 0.0 and self.iterations >= 0):
            raise SettingsError("clip: cut_sigma and clip_sigma must be positive, iterations 0 or more")
        if self.scope not in ("band", "object"):
            raise SettingsError(f"clip: scope {self.scope!r}; choose band or object")


@dataclass(frozen=True, kw_only=True)
class PhysicalConfig:
    """What no object in the sky can do.

    The trigger stays whatever it looks like, so that the time from which phases count never
    changes. Any other observation is *judged* if its band was observed before and after it.
    Its excess is its flux less the line between those two neighbours. It is *alone* if that is
    beyond `spike_sigma` errors, beyond `agreement` times the difference of the two
    neighbours, beyond `uniqueness` times the size of the object's usual large excesses,
    and no other band saw a significant excess of the same sign that night.

    Attributes
    ----------
    spike_sigma : float
        Smallest excess worth a verdict, in its own error (neighbours' included).
    agreement : float
        The neighbours must agree with each other this many times better than with it.
    uniqueness : float
        Excess over the object's 90th percentile of excesses, both in their errors. It
        protects variable stars, for which large excesses are usual.
    night : float
        Largest time between observations that saw the same sky state [day].
    support_sigma : float
        An excess of the same sign in another band that night counts from here on.
    doubters : int
        A brightening alone goes only if this many observations in other bands that night
        contradict it. Single-epoch flares of M dwarfs live where that is not the case.
    doubt_fraction : float
        An observation contradicts if it excludes, at two sigma, this fraction of the excess.
        Adjacent bands of a flare of 10,000 K differ by less than a factor of two.
    dip_sigma : float
        A fading alone goes only if it lies this far below the template [its error] ...
    dip_share : float
        ... and if at most this share of the object's observations (but always one) lies
        more than 5 sigma below. Eclipses come back; an artefact does not.
    min_judged : int
        Objects with fewer judged observations are left alone by all of the above.
    max_err_ratio : float
        An error this many times the object's median error in that band says nothing, unless
        it is that of a 3-sigma detection; one this many times smaller is wrong ...
    max_snr : float
        ... if it would make |flux| / error larger than photometry can be.
    """

    spike_sigma: float = 20.0
    agreement: float = 5.0
    uniqueness: float = 5.0
    night: float = 0.05
    support_sigma: float = 3.0
    doubters: int = 3
    doubt_fraction: float = 0.1
    dip_sigma: float = 10.0
    dip_share: float = 0.02
    min_judged: int = 20
    max_err_ratio: float = 50.0
    max_snr: float = 1e4

    def __post_init__(self) -> None:
        """Reject numbers that would turn a rule around."""
        for name, value in vars(self).items():
            if not value > 0:
                raise SettingsError(f"physical: {name} = {value}; it must be positive")


@dataclass(frozen=True, kw_only=True)
class CleanConfig:
    """Which cleaning to do, and its numbers.

    Attributes
    ----------
    method : {"physical", "seed", "none"}
        ``physical`` removes what cannot be real; ``seed`` clips as the seed paper prints it.
    clip : ClipConfig
        Numbers of ``seed``.
    physical : PhysicalConfig
        Numbers of ``physical``.
    """

    method: Literal["physical", "seed", "none"] = "physical"
    clip: ClipConfig = field(default_factory=ClipConfig)
    physical: PhysicalConfig = field(default_factory=PhysicalConfig)

    def __post_init__(self) -> None:
        """Reject a method that does not exist."""
        if self.method not in ("physical", "seed", "none"):
            raise SettingsError(f"clean: method {self.method!r}; choose physical, seed or none")


def clean(curves: LightCurves, config: CleanConfig) -> LightCurves:
    """Drop the observations that a cleaning method rejects.

    Parameters
    ----------
    curves : LightCurves
        Whole histories; a verdict may use later observations of the same object.
    config : CleanConfig
        The method and its numbers.

    Returns
    -------
    LightCurves
        The same objects, with fewer observations or as many.
    """
    keep = keep_mask(curves, config)
    return curves if keep.all() else curves.keep(keep)


def keep_mask(curves: LightCurves, config: CleanConfig) -> NDArray[np.bool_]:
    """Observations that a cleaning method keeps.

    Parameters
    ----------
    curves : LightCurves
        Whole histories.
    config : CleanConfig
        The method and its numbers.

    Returns
    -------
    bool array, shape (n_total,)
        True for observations to keep. The mask of ``curves.upto_mjd(t)`` is what a stream
        says at ``t``; it is not a part of the mask of the whole curve.
    """
    if config.method == "none":
        return np.ones(len(curves.mjd), dtype=np.bool_)
    if config.method == "seed":
        clip = config.clip
        return keep_inside_clip(
            curves,
            cut_sigma=clip.cut_sigma,
            clip_sigma=clip.clip_sigma,
            iterations=clip.iterations,
            by_band=clip.scope == "band",
        )
    return keep_physical(curves, config.physical)


def keep_inside_clip(
    curves: LightCurves, *, cut_sigma: float, clip_sigma: float, iterations: int, by_band: bool
) -> NDArray[np.bool_]:
    """Cut once at `cut_sigma`, then sigma-clip, both about the mean.

    With N observations none can lie further than (N - 1) / sqrt(N) standard deviations
    from the mean, so the cut at 7 needs 51 observations to remove one, and the clip at 3
    needs 11; what they then remove first is a single bright epoch.

    Parameters
    ----------
    curves : LightCurves
        Whole histories.
    cut_sigma, clip_sigma : float
        Half widths of the cut and of the clip [standard deviation].
    iterations : int
        At most this many rounds of clipping; 0 for the cut alone.
    by_band : bool
        Whether each band of an object has its own mean and deviation.

    Returns
    -------
    bool array, shape (n_total,)
        True for observations to keep: equal to those of ``astropy.stats.SigmaClip`` with
        ``cenfunc="mean"`` on what the cut leaves.
    """
    keep = np.empty(len(curves.mjd), dtype=np.bool_)
    groups = N_BANDS if by_band else 1
    _clip_objects(curves.flux, curves.band, curves.offsets, groups, cut_sigma, clip_sigma, iterations, keep)
    return keep


def keep_physical(curves: LightCurves, config: PhysicalConfig) -> NDArray[np.bool_]:
    """Remove only what no object in the sky can do; see `PhysicalConfig` for the rules.

    Parameters
    ----------
    curves : LightCurves
        Whole histories.
    config : PhysicalConfig
        The numbers of the rules.

    Returns
    -------
    bool array, shape (n_total,)
        True for observations to keep. Where the evidence does not suffice, that is all.
    """
    keep = np.empty(len(curves.mjd), dtype=np.bool_)
    _judge_objects(
        curves.mjd,
        curves.band,
        curves.flux,
        curves.flux_err,
        curves.detected,
        curves.offsets,
        (config.spike_sigma, config.agreement, config.uniqueness, config.min_judged),
        (config.night, config.support_sigma, config.doubters, config.doubt_fraction),
        (config.dip_sigma, config.dip_share),
        (config.max_err_ratio, config.max_snr),
        keep,
    )
    return keep


# --- kernels: one pass over the objects, no allocation per observation ----------


@njit(cache=True, nogil=True)
def _clip_objects(
    flux: Floats,
    band: Ints,
    offsets: Ints,
    groups: int,
    cut_sigma: float,
    clip_sigma: float,
    iterations: int,
    keep: Flags,
) -> None:
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    values = np.empty(longest)
    rows = np.empty(longest, np.int64)
    for i in range(len(offsets) - 1):
        for group in range(groups):
            n = 0
            for k in range(offsets[i], offsets[i + 1]):
                if groups == 1 or band[k] == group:
                    values[n] = flux[k]
                    rows[n] = k
                    n += 1
            low, high = _bounds(values, n, cut_sigma, 1)
            kept = 0
            for j in range(n):
                keep[rows[j]] = low <= flux[rows[j]] <= high
                if keep[rows[j]]:
                    values[kept] = flux[rows[j]]
                    kept += 1
            low, high = _bounds(values, kept, clip_sigma, iterations)
            for j in range(n):
                keep[rows[j]] = keep[rows[j]] and low <= flux[rows[j]] <= high


@njit(cache=True, nogil=True)
def _bounds(values: Floats, n: int, n_sigma: float, iterations: int) -> tuple[float, float]:
    """Bounds of a sigma clip about the mean; `values` is overwritten."""
    low, high = -np.inf, np.inf
    for _ in range(iterations):
        mean = 0.0
        for j in range(n):
            mean += values[j]
        mean /= max(n, 1)
        variance = 0.0
        for j in range(n):
            variance += (values[j] - mean) ** 2
        spread = np.sqrt(variance / max(n, 1))
        low, high = mean - n_sigma * spread, mean + n_sigma * spread
        kept = 0
        for j in range(n):
            if low <= values[j] <= high:
                values[kept] = values[j]
                kept += 1
        if kept in (n, 0):
            break
        n = kept
    return low, high


@njit(cache=True, nogil=True)
def _judge_objects(
    mjd: Floats,
    band: Ints,
    flux: Floats,
    flux_err: Floats,
    detected: Flags,
    offsets: Ints,
    spike: tuple[float, float, float, int],
    night: tuple[float, float, int, float],
    dip: tuple[float, float],
    error: tuple[float, float],
    keep: Flags,
) -> None:
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    excess = np.empty(longest)
    excess_err = np.empty(longest)
    disagreement = np.empty(longest)
    buffer = np.empty(longest)
    for i in range(len(offsets) - 1):
        a, b = offsets[i], offsets[i + 1]
        here, f, e, kept = band[a:b], flux[a:b], flux_err[a:b], keep[a:b]
        _judge_errors(here, f, e, error[0], error[1], buffer, kept)
        trigger = _first(detected[a:b])
        if trigger >= 0:
            kept[trigger] = True
        n_judged = _excesses(mjd[a:b], here, f, e, kept, excess, excess_err, disagreement)
        if n_judged < spike[3]:
            continue
        usual = _upper_decile(excess, excess_err, b - a, buffer)
        dips = 0
        for k in range(b - a):
            dips += kept[k] and f[k] < -5.0 * e[k]
        may_dip = dips <= max(1.0, dip[1] * (b - a))
        for k in range(b - a):
            size = abs(excess[k])
            large = size > excess_err[k] * max(spike[0], spike[2] * usual)
            if k == trigger or not large or size <= spike[1] * disagreement[k]:
                continue
            if excess[k] < 0.0 and not (may_dip and f[k] < -dip[0] * e[k]):
                continue
            supported, doubters = _witnesses(
                k, mjd[a:b], here, excess, excess_err, night[0], night[1], night[3]
            )
            if not supported and (excess[k] < 0.0 or doubters >= night[2]):
                kept[k] = False


@njit(cache=True, nogil=True)
def _first(flags: Flags) -> int:
    for k in range(len(flags)):
        if flags[k]:
            return k
    return -1


@njit(cache=True, nogil=True)
def _judge_errors(
    band: Ints, flux: Floats, flux_err: Floats, max_ratio: float, max_snr: float, buffer: Floats, keep: Flags
) -> None:
    """Reject impossible errors and uninformative ones."""
    for group in range(N_BANDS):
        n = 0
        for k in range(len(band)):
            if band[k] == group:
                buffer[n] = flux_err[k]
                n += 1
        if n == 0:
            continue
        typical = _select(buffer, n, (n - 1) // 2)
        for k in range(len(band)):
            if band[k] == group:
                snr = abs(flux[k]) / flux_err[k]
                silent = snr < 3.0 and flux_err[k] > max_ratio * typical
                impossible = snr > max_snr and flux_err[k] * max_ratio < typical
                keep[k] = not (silent or impossible)


@njit(cache=True, nogil=True)
def _excesses(
    mjd: Floats,
    band: Ints,
    flux: Floats,
    flux_err: Floats,
    keep: Flags,
    excess: Floats,
    excess_err: Floats,
    disagreement: Floats,
) -> int:
    """Flux above the line between the neighbours in the same band; error inf where unjudged."""
    n_judged = 0
    for group in range(N_BANDS):
        before = -1
        middle = -1
        for after in range(len(band) + 1):
            if after < len(band) and (band[after] != group or not keep[after]):
                if band[after] == group:  # an impossible error: no judge, no neighbour
                    excess[after], excess_err[after], disagreement[after] = 0.0, np.inf, 0.0
                continue
            if middle >= 0:
                excess[middle], excess_err[middle], disagreement[middle] = 0.0, np.inf, 0.0
                if before >= 0 and after < len(band):
                    span = mjd[after] - mjd[before]
                    w = (mjd[middle] - mjd[before]) / span if span > 0.0 else 0.5
                    line = (1.0 - w) * flux[before] + w * flux[after]
                    excess[middle] = flux[middle] - line
                    excess_err[middle] = np.sqrt(
                        np.float64(flux_err[middle]) ** 2
                        + ((1.0 - w) * flux_err[before]) ** 2
                        + (w * flux_err[after]) ** 2
                    )
                    disagreement[middle] = abs(np.float64(flux[after]) - np.float64(flux[before]))
                    n_judged += 1
            before = middle
            middle = after
    return n_judged


@njit(cache=True, nogil=True)
def _upper_decile(excess: Floats, excess_err: Floats, n: int, buffer: Floats) -> float:
    """90th percentile of |excess| / error over the judged observations."""
    m = 0
    for k in range(n):
        if excess_err[k] < np.inf:
            buffer[m] = abs(excess[k]) / excess_err[k]
            m += 1
    return _select(buffer, m, int(0.9 * (m - 1)))


@njit(cache=True, nogil=True)
def _select(values: Floats, n: int, rank: int) -> float:
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


@njit(cache=True, nogil=True)
def _witnesses(
    k: int,
    mjd: Floats,
    band: Ints,
    excess: Floats,
    excess_err: Floats,
    night: float,
    support_sigma: float,
    doubt_fraction: float,
) -> tuple[bool, int]:
    """Whether another band saw it too that night, and how many saw that it was not there."""
    sign = 1.0 if excess[k] > 0.0 else -1.0
    supported = False
    doubters = 0
    for step in (-1, 1):
        j = k + step
        while 0 <= j < len(mjd) and abs(mjd[j] - mjd[k]) <= night:
            if band[j] != band[k] and excess_err[j] < np.inf:
                same = sign * excess[j]
                supported = supported or same > support_sigma * excess_err[j]
                doubters += max(same, 0.0) + 2.0 * excess_err[j] < doubt_fraction * abs(excess[k])
            j += step
    return supported, doubters
