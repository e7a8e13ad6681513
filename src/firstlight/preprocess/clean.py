"""Which observations to keep: the paper's clipping, and a default that keeps real variability.

Every rule is a pure function of one object's history. It may use later observations, so the
answer can change as they arrive; batch and stream agree because both judge the whole history
each time.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from firstlight._types import BoolArray
from firstlight.bands import N_BANDS
from firstlight.errors import SettingsError
from firstlight.kernels import kernel, ranked
from firstlight.lightcurves import LightCurves

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

# Constants of `keep_physical`, chosen on PLAsTiCC's training set so that no peak is lost (decision 0001).
SPIKE_SIGMA = 20.0  # smallest excess to judge, in its own error (neighbours' included)
AGREEMENT = 5.0  # the neighbours must agree with each other this many times better than with it
#: Excess over the object's 90th percentile of excesses, both in their errors: it protects variable
#: stars, for which large excesses are usual.
UNIQUENESS = 5.0
NIGHT = 0.05  # day; largest time between observations that saw the same sky state
SUPPORT_SIGMA = 3.0  # an excess of the same sign in another band that night counts from here on
#: A brightening alone goes only if this many observations in other bands that night contradict it.
#: Single-epoch flares of M dwarfs live where that is not the case.
DOUBTERS = 3
#: An observation contradicts if it excludes, at two sigma, this fraction of the excess. Adjacent
#: bands of a flare of 10,000 K differ by less than a factor of two.
DOUBT_FRACTION = 0.1
DIP_SIGMA = 10.0  # a fading alone goes only if it lies this far below the template [its error] ...
#: ... and if at most this share of the object's observations (but always one) lies more than 5 sigma
#: below. Eclipses come back; an artefact does not.
DIP_SHARE = 0.02
MIN_JUDGED = 20  # objects with fewer judged observations are left alone by all of the above
#: An error this many times the object's median in that band carries no information, unless
#: it is that of a 3-sigma detection; one this many times smaller is wrong ...
MAX_ERR_RATIO = 50.0
MAX_SNR = 1e4  # ... if it would make |flux| / error larger than photometry can be
_MOST_ITERATIONS = 1000


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """The paper's cut about the mean. The reproduction varies its numbers (decision 0001).

    Attributes
    ----------
    cut_sigma : float
        Half width of the first cut, made once [standard deviation].
    clip_sigma : float
        Half width of the sigma clipping of the rest [standard deviation].
    iterations : int
        Largest number of rounds of clipping.
    scope : {"band", "object"}
        Whether mean and deviation are those of one band of an object or of all its bands.
    """

    cut_sigma: float = 7.0
    clip_sigma: float = 3.0
    iterations: int = 5
    scope: Literal["band", "object"] = "band"

    def __post_init__(self) -> None:
        """Reject impossible cuts."""
        if not (self.cut_sigma > 0.0 and self.clip_sigma > 0.0 and 0 <= self.iterations <= _MOST_ITERATIONS):
            raise SettingsError(
                f"clip: cut_sigma and clip_sigma must be positive, iterations 0 to {_MOST_ITERATIONS}"
            )
        if self.scope not in ("band", "object"):
            raise SettingsError(f"clip: scope {self.scope!r}; choose band or object")


@dataclass(frozen=True, kw_only=True)
class CleanConfig:
    """Which cleaning to do; presets differ in the method.

    Attributes
    ----------
    method : {"physical", "seed", "none"}
        ``physical`` removes impossible observations (`keep_physical`); ``seed`` clips as the paper
        does (`keep_inside_clip`).
    clip : ClipConfig
        Numbers of ``seed``.
    """

    RETIRED: ClassVar = {
        "physical": {
            "spike_sigma": SPIKE_SIGMA,
            "agreement": AGREEMENT,
            "uniqueness": UNIQUENESS,
            "night": NIGHT,
            "support_sigma": SUPPORT_SIGMA,
            "doubters": DOUBTERS,
            "doubt_fraction": DOUBT_FRACTION,
            "dip_sigma": DIP_SIGMA,
            "dip_share": DIP_SHARE,
            "min_judged": MIN_JUDGED,
            "max_err_ratio": MAX_ERR_RATIO,
            "max_snr": MAX_SNR,
        }
    }
    method: Literal["physical", "seed", "none"] = "physical"
    clip: ClipConfig = field(default_factory=ClipConfig)

    def __post_init__(self) -> None:
        """Reject an unknown method."""
        if self.method not in ("physical", "seed", "none"):
            raise SettingsError(f"clean: method {self.method!r}; choose physical, seed or none")


def clean(curves: LightCurves, config: CleanConfig) -> LightCurves:
    """Drop the observations that a cleaning method rejects.

    Parameters
    ----------
    curves : LightCurves
        Whole histories; a rule may use later observations of the same object.
    config : CleanConfig
        The method.

    Returns
    -------
    LightCurves
        The same objects; some observations may be gone.
    """
    keep = keep_mask(curves, config)
    return curves if keep.all() else curves.keep(keep)


def keep_mask(curves: LightCurves, config: CleanConfig) -> BoolArray:
    """Observations that a cleaning method keeps.

    Parameters
    ----------
    curves : LightCurves
        Whole histories.
    config : CleanConfig
        The method.

    Returns
    -------
    bool array, shape (n_total,)
        True for observations to keep. A stream at time ``t`` uses the mask of
        ``curves.upto_mjd(t)``, which may differ from that of the whole curve.
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
    return keep_physical(curves)


def keep_inside_clip(
    curves: LightCurves, *, cut_sigma: float, clip_sigma: float, iterations: int, by_band: bool
) -> BoolArray:
    """Mask of a cut at `cut_sigma` and then a sigma clip, both about the mean, shape (n_total,).

    With N observations none can lie further than (N - 1) / sqrt(N) standard deviations
    from the mean. So the cut at 7 removes nothing below 51 observations, and the clip at 3
    nothing below 11; both first remove a single bright epoch. The clip of at most `iterations` rounds is
    that of ``astropy.stats.SigmaClip`` with ``cenfunc="mean"``.
    """
    keep = np.empty(len(curves.mjd), dtype=np.bool_)
    groups = N_BANDS if by_band else 1
    _clip_objects(curves.flux, curves.band, curves.offsets, groups, cut_sigma, clip_sigma, iterations, keep)
    return keep


def keep_physical(curves: LightCurves) -> BoolArray:
    """Mask that removes only observations that no object in the sky can cause, shape (n_total,).

    The trigger always stays, so that the time from which phases count never changes. Any other
    observation is *judged* if its band was observed before and after it. Its excess is its flux
    less the line between those two neighbours. The observation is *alone* if this
    excess is larger than `SPIKE_SIGMA` errors, than `AGREEMENT` times the difference of the two
    neighbours and than `UNIQUENESS` times the object's usual large excesses. In addition, no other band
    may have a significant excess of the same sign that night. A lone brightening goes if `DOUBTERS` others
    contradict it, a lone fading if it is deep and does not recur.
    """
    keep = np.empty(len(curves.mjd), dtype=np.bool_)
    _judge_objects(
        curves.mjd, curves.band, curves.flux, curves.flux_err, curves.detected, curves.offsets, keep
    )
    return keep


# --- kernels: one pass over the objects, no allocation per observation ----------


@kernel
def _clip_objects(
    flux: Floats,
    band: Ints,
    offsets: Ints,
    groups: int,
    cut_sigma: float,
    clip_sigma: float,
    iterations: int,
    keep: BoolArray,
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


@kernel(inner=True)
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


@kernel
def _judge_objects(
    mjd: Floats,
    band: Ints,
    flux: Floats,
    flux_err: Floats,
    detected: BoolArray,
    offsets: Ints,
    keep: BoolArray,
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
        _judge_errors(here, f, e, buffer, kept)
        trigger = _first(detected[a:b])
        if trigger >= 0:
            kept[trigger] = True
        n_judged = _excesses(mjd[a:b], here, f, e, kept, excess, excess_err, disagreement)
        if n_judged < MIN_JUDGED:
            continue
        usual = _upper_decile(excess, excess_err, b - a, buffer)
        dips = 0
        for k in range(b - a):
            dips += kept[k] and f[k] < -5.0 * e[k]
        may_dip = dips <= max(1.0, DIP_SHARE * (b - a))
        for k in range(b - a):
            size = abs(excess[k])
            large = size > excess_err[k] * max(SPIKE_SIGMA, UNIQUENESS * usual)
            if k == trigger or not large or size <= AGREEMENT * disagreement[k]:
                continue
            if excess[k] < 0.0 and not (may_dip and f[k] < -DIP_SIGMA * e[k]):
                continue
            supported, doubters = _witnesses(k, mjd[a:b], here, excess, excess_err)
            if not supported and (excess[k] < 0.0 or doubters >= DOUBTERS):
                kept[k] = False


@kernel
def _first(flags: BoolArray) -> int:
    for k in range(len(flags)):
        if flags[k]:
            return k
    return -1


@kernel(inner=True)
def _judge_errors(band: Ints, flux: Floats, flux_err: Floats, buffer: Floats, keep: BoolArray) -> None:
    """Reject impossible errors and uninformative ones."""
    for group in range(N_BANDS):
        n = 0
        for k in range(len(band)):
            if band[k] == group:
                buffer[n] = flux_err[k]
                n += 1
        if n == 0:
            continue
        typical = ranked(buffer, n, (n - 1) // 2)
        for k in range(len(band)):
            if band[k] == group:
                snr = abs(flux[k]) / flux_err[k]
                silent = snr < 3.0 and flux_err[k] > MAX_ERR_RATIO * typical
                impossible = snr > MAX_SNR and flux_err[k] * MAX_ERR_RATIO < typical
                keep[k] = not (silent or impossible)


@kernel(inner=True)
def _excesses(
    mjd: Floats,
    band: Ints,
    flux: Floats,
    flux_err: Floats,
    keep: BoolArray,
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


@kernel(inner=True)
def _upper_decile(excess: Floats, excess_err: Floats, n: int, buffer: Floats) -> float:
    """90th percentile of |excess| / error over the judged observations."""
    m = 0
    for k in range(n):
        if excess_err[k] < np.inf:
            buffer[m] = abs(excess[k]) / excess_err[k]
            m += 1
    return ranked(buffer, m, int(0.9 * (m - 1)))


@kernel(inner=True)
def _witnesses(k: int, mjd: Floats, band: Ints, excess: Floats, excess_err: Floats) -> tuple[bool, int]:
    """Whether another band saw the excess that night, and how many observations contradict it."""
    sign = 1.0 if excess[k] > 0.0 else -1.0
    supported = False
    doubters = 0
    for step in (-1, 1):
        j = k + step
        while 0 <= j < len(mjd) and abs(mjd[j] - mjd[k]) <= NIGHT:
            if band[j] != band[k] and excess_err[j] < np.inf:
                same = sign * excess[j]
                supported = supported or same > SUPPORT_SIGMA * excess_err[j]
                doubters += max(same, 0.0) + 2.0 * excess_err[j] < DOUBT_FRACTION * abs(excess[k])
            j += step
    return supported, doubters
