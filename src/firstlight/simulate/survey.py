"""Effects of a real survey on a transient's light: cadence, depth, noise, detection, host redshift.

All is measured on real light curves without their labels. A simulated object gets epochs, bands,
sky noise, position and dust of a real one, its *carrier*, less the carrier's own photon noise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstlight._types import BoolArray, FloatArray, IntArray
from firstlight.bands import EXTINCTION_PER_EBV, N_BANDS
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves
from firstlight.simulate.spectrum import scipy_part

MIN_REDSHIFT = 0.005  # the smallest photo-z of PLAsTiCC's hosts is 0.006
_BRIGHT = 20.0  # S/N above which photon noise shows beside the sky's
_DETECTED_BINS = np.array([0.0, 1.0, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 10.0, 15.0, 30.0])


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """Measured properties of a survey."""

    carriers: LightCurves  # real objects with a host redshift, whose epochs and noise are used
    sky_err: FloatArray  # (n_total,); noise of the carriers' observations without their own photons [nJy]
    # (n_carriers, 6); least sky noise of each carrier in each band; infinite without epochs [nJy]
    depth: FloatArray
    photon_noise: FloatArray  # (6,); per band, variance per flux over sky variance [1/nJy]
    calibration_err: FloatArray  # (6,); per band, error proportional to flux
    # (n_knots,); probability of a detection against flux over error
    snr_knots: FloatArray
    detection_proba: FloatArray
    # whether that flux is the one before noise: PLAsTiCC's simulation decides so, and no epoch without
    # light is ever detected. Else it is the measured one.
    detects_expected: bool
    # (n_pairs,); hosts with both redshifts, ascending in the spectroscopic one
    redshift_spec: FloatArray
    redshift_photo: FloatArray
    redshift_photo_err: FloatArray
    spec_fraction: float  # share of carriers whose host has a spectroscopic redshift

    def error(self, flux: FloatArray, sky_err: FloatArray, band: NDArray[np.int8]) -> FloatArray:
        """Error of observations of sources of known true flux, shape (n_obs,) [nJy]."""
        photons = self.photon_noise[band] * flux * sky_err**2
        return np.sqrt(sky_err**2 + photons + (self.calibration_err[band] * flux) ** 2)

    def detect(
        self, true_flux: FloatArray, flux: FloatArray, flux_err: FloatArray, rng: np.random.Generator
    ) -> BoolArray:
        """Draw which observations the survey calls detections, from flux before and after noise [nJy]."""
        decisive = true_flux if self.detects_expected else flux
        proba = np.interp(decisive / flux_err, self.snr_knots, self.detection_proba, left=0.0)
        return rng.random(len(flux)) < proba

    def draw_host_redshifts(
        self, redshift: FloatArray, rng: np.random.Generator, n_neighbours: int = 40
    ) -> tuple[FloatArray, FloatArray]:
        """Draw a photometric host redshift and its error for true redshifts, both shape (n,).

        Each is the residual and error of a real host among the nearest in redshift, so biases,
        catastrophic outliers and wrong errors occur as in reality.
        """
        k = min(n_neighbours, len(self.redshift_spec))
        start = np.searchsorted(self.redshift_spec, redshift) - k // 2
        start = np.clip(start, 0, len(self.redshift_spec) - k)
        pick = start + rng.integers(0, k, len(redshift))
        ratio = (1.0 + self.redshift_photo[pick]) / (1.0 + self.redshift_spec[pick])
        return np.maximum((1.0 + redshift) * ratio - 1.0, MIN_REDSHIFT), self.redshift_photo_err[pick]


def measure_survey(observed: LightCurves) -> Survey:
    """Measure noise, detection and host redshifts of a survey on its real light curves.

    Objects without a host redshift above 0 (the Milky Way's) are left out. Raises DataError if no
    object has both host redshifts, or none has an observation.
    """
    extragalactic = (observed.redshift > 0.0) & (observed.n_obs > 0)
    carriers, known = observed.take(extragalactic), _has_both_redshifts(observed)[extragalactic]
    if not known.any():
        raise DataError(
            f"none of {len(observed)} observed objects has observations and both a photometric and a "
            "spectroscopic host redshift; the simulator learns the scatter between the two from them"
        )
    order = np.argsort(carriers.redshift_spec[known], kind="stable")
    photon, calibration = _photon_noise(carriers)
    knots, proba, expected = _sharpen(*_detection_curve(carriers))
    sky_err = _sky_errors(carriers, photon, calibration)
    depth = np.full((len(carriers), N_BANDS), np.inf)
    np.minimum.at(depth, (carriers.object_index, carriers.band), sky_err)
    return Survey(
        carriers=carriers,
        sky_err=sky_err,
        depth=depth,
        photon_noise=photon,
        calibration_err=calibration,
        snr_knots=knots,
        detection_proba=proba,
        detects_expected=expected,
        redshift_spec=carriers.redshift_spec[known][order].astype(np.float64),
        redshift_photo=carriers.redshift[known][order].astype(np.float64),
        redshift_photo_err=carriers.redshift_err[known][order].astype(np.float64),
        spec_fraction=float(known.mean()),
    )


def can_measure(observed: LightCurves) -> bool:
    """Whether `measure_survey` finds an object with observations and both host redshifts."""
    return bool(_has_both_redshifts(observed).any())


def _has_both_redshifts(observed: LightCurves) -> BoolArray:
    seen = (observed.redshift > 0.0) & (observed.n_obs > 0)
    return np.asarray(seen & np.isfinite(observed.redshift_spec) & (observed.redshift_spec > 0.0))


def _photon_noise(curves: LightCurves) -> tuple[FloatArray, FloatArray]:
    """Fit ``err^2 / sky^2 - 1 = photon * flux + (calibration * flux / sky)^2`` band by band.

    Variance per flux is measured in units of the sky's, since both fall alike when
    exposures are added up: one number then serves single visits and deep stacks.
    """
    nnls = scipy_part("optimize").nnls
    flux, err = curves.flux.astype(np.float64), curves.flux_err.astype(np.float64)
    group = curves.object_index * N_BANDS + curves.band
    sky = _group_median(err, group, np.abs(flux) < 3.0 * err)
    photon, calibration = np.zeros(N_BANDS), np.zeros(N_BANDS)
    for band in range(N_BANDS):
        bright = (curves.band == band) & (flux > _BRIGHT * err) & np.isfinite(sky)
        if bright.sum() < 20:
            continue
        f, s2 = flux[bright], sky[bright] ** 2
        excess = err[bright] ** 2 / s2 - 1.0
        weight = 1.0 / (2.0 + excess.clip(0.0))  # scatter of the sky is relative
        terms = np.column_stack([f, f**2 / s2]) * weight[:, None]
        scale = np.sqrt((terms**2).mean(axis=0))
        found, _ = nnls(terms / scale, excess * weight)
        photon[band], calibration[band] = found[0] / scale[0], np.sqrt(found[1] / scale[1])
    return photon, calibration


def _group_median(value: FloatArray, group: IntArray, chosen: BoolArray) -> FloatArray:
    """Median of the chosen values of each row's group; NaN where fewer than three are chosen."""
    order = np.lexsort((value[chosen], group[chosen]))
    names, start, count = np.unique(group[chosen][order], return_index=True, return_counts=True)
    median = np.full(int(group.max()) + 1, np.nan)
    middle = value[chosen][order][start + count // 2]
    median[names[count >= 3]] = middle[count >= 3]
    return median[group]


def _sky_errors(curves: LightCurves, photon: FloatArray, calibration: FloatArray) -> FloatArray:
    """Errors without the carriers' own photons, where these are bright enough to matter."""
    err = curves.flux_err.astype(np.float64)
    flux = np.where(curves.flux > 5.0 * err, curves.flux, 0.0).astype(np.float64)
    variance = err**2 - (calibration[curves.band] * flux) ** 2
    variance = variance / (1.0 + photon[curves.band] * flux)
    return np.sqrt(np.maximum(variance, 0.05 * err**2))  # the fit must not invent perfect nights


def _detection_curve(curves: LightCurves) -> tuple[FloatArray, FloatArray]:
    """Share of observations detected against flux over error, made to rise."""
    snr = curves.flux.astype(np.float64) / curves.flux_err
    edges = np.append(_DETECTED_BINS, np.inf)
    place = np.searchsorted(edges, snr, side="right") - 1
    inside = place >= 0
    place, snr = np.clip(place, 0, len(_DETECTED_BINS) - 1), np.minimum(snr, 60.0)
    total = np.bincount(place[inside], minlength=len(_DETECTED_BINS))
    hits = np.bincount(place[inside], curves.detected[inside], minlength=len(_DETECTED_BINS))
    mean_snr = np.bincount(place[inside], snr[inside], minlength=len(_DETECTED_BINS))
    filled = total > 0
    if not filled.any():
        return np.array([4.9, 5.1]), np.array([0.0, 1.0])
    share = np.maximum.accumulate(hits[filled] / total[filled])
    return mean_snr[filled] / total[filled], share


def _sharpen(knots: FloatArray, proba: FloatArray) -> tuple[FloatArray, FloatArray, bool]:
    """Undo the noise in a detection curve that is wider than noise alone explains.

    A decision on the flux before noise, plotted against the flux after it, is blurred by
    one sigma. If the curve is wider than that, the blur is taken out about its middle;
    a sharper curve must be a cut on the measured flux and is left as it is.
    """
    if proba[-1] < 0.84:
        return knots, proba, False
    low, middle, high = (float(knots[np.searchsorted(proba, level)]) for level in (0.16, 0.5, 0.84))
    rising = np.flatnonzero(np.diff(proba, prepend=-1.0) > 0.0)
    if len(rising) > 2:
        low, middle, high = np.interp([0.16, 0.5, 0.84], proba[rising], knots[rising])
    width = 0.5 * (high - low)
    if width <= 1.1:
        return knots, proba, False
    return middle + (knots - middle) * np.sqrt(width**2 - 1.0) / width, proba, True


def milky_way_dimming(curves: LightCurves) -> FloatArray:
    """Factor by which Milky Way dust dims each object's flux in each band, shape (n_objects, 6).

    It is 1 where the source has corrected for dust already, or the dust is unknown.
    """
    if curves.dereddened:
        return np.ones((len(curves), N_BANDS))
    ebv = np.nan_to_num(curves.ebv.astype(np.float64), nan=0.0)
    return np.asarray(10.0 ** (-0.4 * ebv[:, None] * EXTINCTION_PER_EBV))
