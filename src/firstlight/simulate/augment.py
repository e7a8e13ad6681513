"""Copies of light curves for training: cut short, thinned, noisier.

A copy keeps the name of its object, so that all copies stay on one side of every split
and can share one weight. Nothing here reads a label.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from firstlight._types import BoolArray, Float32Array, FloatArray, IntArray
from firstlight.errors import SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.curves import DETECTION_SNR

_SNR_EDGES = np.array([-np.inf, *np.arange(-9.5, 10.0, 1.0), np.inf])  # bins of S/N, centred on integers
_MIN_PER_BIN = 30  # observations below which a bin falls back to the survey's threshold
_MIN_REDSHIFT = 0.003
LONGEST_PHASE = 400.0  # days since trigger of the latest truncation


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Strengths of the changes that `augment` makes.

    No preset differs from the defaults; who trains for a survey of another cadence or depth
    than PLAsTiCC's sets them.
    """

    RETIRED: ClassVar = {"longest_phase": LONGEST_PHASE}
    drop: float = 0.3  # each copy loses a fraction of its observations between 0 and this
    stretch_chance: float = 0.3  # fraction of copies that lose a whole stretch of time
    stretch: float = 40.0  # longest such stretch [day]
    noise: float = 0.4  # scale of the growth of the flux errors: 1 + |normal(0, noise)|, one factor per copy
    redshift_scatter: float = 0.5  # scatter of the host redshift over its error

    def __post_init__(self) -> None:
        if not (0.0 <= self.drop < 1.0 and 0.0 <= self.stretch_chance <= 1.0):
            raise SettingsError(f"{self}: drop must lie in [0, 1) and stretch_chance in [0, 1]")
        if min(self.stretch, self.noise, self.redshift_scatter) < 0.0:
            raise SettingsError(f"{self}: stretches, noise and scatter cannot be negative")


def truncate(
    curves: LightCurves,
    rng: np.random.Generator,
    phases: ArrayLike | None = None,
    *,
    whole: float = 0.0,
) -> LightCurves:
    """Cut every light curve at a random time since its trigger.

    Phases are log-uniform in 1 + phase, from 0 to the object's own last observation (at
    most `LONGEST_PHASE`), so that the difficult first days are frequent. Objects that never
    triggered stay whole.

    Parameters
    ----------
    curves : LightCurves
        Whole histories.
    rng : numpy.random.Generator
        Source of randomness.
    phases : float or float array, shape (n_objects,), optional
        Days since trigger to cut at, instead of random ones.
    whole : float
        Fraction of the objects that stay whole.

    Returns
    -------
    LightCurves
        The same objects, in order, each up to its cut.
    """
    if phases is None:
        some = curves.n_obs > 0
        last = np.zeros(len(curves))
        last[some] = curves.mjd[curves.offsets[1:][some] - 1] - curves.trigger_mjd[some]
        last = np.clip(np.nan_to_num(last), 0.0, LONGEST_PHASE)
        phases = np.expm1(rng.random(len(curves)) * np.log1p(last))
    if whole > 0.0:
        phases = np.where(rng.random(len(curves)) < whole, np.inf, np.asarray(phases))
    return curves.upto_phase(phases)


def augment(
    curves: LightCurves, rng: np.random.Generator, config: AugmentConfig | None = None
) -> LightCurves:
    """Observe every object a little less often and a little worse.

    Points and a stretch of time are dropped; errors grow, and noise is added to match.
    Detections are drawn from the measured probability at the new S/N, and host redshifts are
    scattered within their errors. An object that would keep no detection keeps its original
    curve.

    Parameters
    ----------
    curves : LightCurves
        Observed light curves.
    rng : numpy.random.Generator
        Source of randomness.
    config : AugmentConfig, optional
        Strengths of the changes.

    Returns
    -------
    LightCurves
        The same objects, in order.
    """
    config = config or AugmentConfig()
    noisy = _add_noise(curves, rng, config)
    keep = _points_to_keep(curves, rng, config)
    seen = np.bincount(curves.object_index[noisy.detected & keep], minlength=len(curves)) > 0
    untouched = ~seen[curves.object_index]
    noisy = noisy.with_columns(
        flux=np.where(untouched, curves.flux, noisy.flux),
        flux_err=np.where(untouched, curves.flux_err, noisy.flux_err),
        detected=np.where(untouched, curves.detected, noisy.detected),
    )
    return noisy.keep(keep | untouched)


def detection_probability(curves: LightCurves) -> FloatArray:
    """Measured fraction of detections at S/N of -10 and below, -9, ..., 9, 10 and above, shape (21,).

    Bins with few observations use the survey's threshold.
    """
    bins = _snr_bin(curves.flux, curves.flux_err)
    counts = np.bincount(bins, minlength=len(_SNR_EDGES) - 1)
    detected = np.bincount(bins, weights=curves.detected, minlength=len(counts))
    threshold = (np.arange(len(counts)) - len(counts) // 2 >= DETECTION_SNR).astype(np.float64)
    return np.where(counts >= _MIN_PER_BIN, detected / np.maximum(counts, 1), threshold)


def _snr_bin(flux: Float32Array, flux_err: Float32Array) -> IntArray:
    return np.searchsorted(_SNR_EDGES, flux.astype(np.float64) / flux_err, side="right") - 1


def _add_noise(curves: LightCurves, rng: np.random.Generator, config: AugmentConfig) -> LightCurves:
    factor = 1.0 + np.abs(rng.normal(0.0, config.noise, len(curves)))
    growth = factor[curves.object_index]
    flux_err = (curves.flux_err * growth).astype(np.float32)
    extra = curves.flux_err * np.sqrt(growth**2 - 1.0)
    flux = (curves.flux + extra * rng.normal(size=len(curves.mjd))).astype(np.float32)
    before, after = _snr_bin(curves.flux, curves.flux_err), _snr_bin(flux, flux_err)
    drawn = rng.random(len(flux)) < detection_probability(curves)[after]
    # a survey's flag knows more than S/N, so it stands where the S/N hardly changed
    detected = np.where(before == after, curves.detected, drawn)
    redshift = curves.redshift.astype(np.float64)
    moved = redshift + config.redshift_scatter * np.nan_to_num(curves.redshift_err) * rng.normal(
        size=len(curves)
    )
    redshift = np.where(redshift > 0.0, np.maximum(moved, _MIN_REDSHIFT), redshift)
    return curves.with_columns(
        flux=flux, flux_err=flux_err, detected=detected, redshift=redshift.astype(np.float32)
    )


def _points_to_keep(curves: LightCurves, rng: np.random.Generator, config: AugmentConfig) -> BoolArray:
    owner = curves.object_index
    chance = rng.uniform(0.0, config.drop, len(curves)) if config.drop > 0.0 else np.zeros(len(curves))
    keep = rng.random(len(curves.mjd)) >= chance[owner]
    length = rng.uniform(0.0, config.stretch, len(curves)) * (rng.random(len(curves)) < config.stretch_chance)
    begin = rng.uniform(-config.stretch, 3.0 * config.stretch, len(curves))  # days since trigger
    phase = curves.phase
    in_stretch = (phase >= begin[owner]) & (phase < (begin + length)[owner])
    return keep & ~in_stretch


def misstate(curves: LightCurves, rng: np.random.Generator, share: float) -> LightCurves:
    """Give a share of the objects a wrong host redshift, as catalogues do.

    Milky Way objects get the redshift of another object's host; half of the others are stated to be in
    the Milky Way, and half get the redshift of another host. Objects without a redshift stay as they are.
    """
    redshift, err = curves.redshift.copy(), curves.redshift_err.copy()
    hosts = np.flatnonzero(redshift > 0.0)
    wrong = (rng.random(len(curves)) < share) & (redshift >= 0.0)
    other = rng.random(len(curves)) < 0.5
    if not len(hosts):
        return curves
    donor = rng.choice(hosts, len(curves))
    zero = wrong & (redshift > 0.0) & ~other
    moved = wrong & ~zero
    redshift[moved], err[moved] = curves.redshift[donor][moved], curves.redshift_err[donor][moved]
    redshift[zero], err[zero] = 0.0, 0.0
    return curves.with_columns(redshift=redshift, redshift_err=err)


def spoil(curves: LightCurves, rng: np.random.Generator, share: float) -> LightCurves:
    """Give a share of the objects a lone artefact: one bright point among observations of nothing.

    Of such an object the observations before its trigger stay, and one of them becomes a detection of 8 to
    100 sigma. Objects with fewer than two observations before the trigger stay as they are.
    """
    before = (curves.phase < 0.0) & ~curves.detected
    n_before = np.bincount(curves.object_index[before], minlength=len(curves))
    spoilt = (rng.random(len(curves)) < share) & (n_before >= 2)
    if not spoilt.any():
        return curves
    keep = ~spoilt[curves.object_index] | before
    kept = curves.keep(keep)
    objects = np.flatnonzero(spoilt)
    point = kept.offsets[objects] + (rng.random(len(objects)) * kept.n_obs[objects]).astype(np.int64)
    flux, detected = kept.flux.copy(), kept.detected.copy()
    flux[point] = kept.flux_err[point] * np.exp(rng.uniform(np.log(8.0), np.log(100.0), len(point)))
    detected[point] = True
    return kept.with_columns(flux=flux, detected=detected)
