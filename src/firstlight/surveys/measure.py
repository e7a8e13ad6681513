"""A survey measured from its light curves: filters, depth, cadence, errors, rule of detection."""

import numpy as np

from firstlight._types import BoolArray, FloatArray, IntArray
from firstlight.bands import BANDS, N_BANDS
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves
from firstlight.surveys.survey import Photometry, SurveyConfig

_NJY_ZERO_POINT = 31.4  # AB magnitude of 1 nJy
_SOURCE_NOISE = 0.04  # of the sky's error, by which the flux itself adds to the variance of `reobserve`
_BRIGHT_SNR = 30.0  # above it the error of a flux is its floor
_GAP_OF_SEASONS = 60.0  # days without an observation between two seasons
_NIGHT = 0.5  # days; closer observations are of one night
_FAINT_SNR = 3.0
_FEW_FAINT = 0.05  # share of faint fluxes below which only detections are published
_RARE_BAND = 0.05  # share of objects below which a band is none of the survey's
_MARGIN = 0.3  # mag about the brightest and faintest peaks


def measure_survey(curves: LightCurves, name: str = "measured") -> SurveyConfig:
    """How a survey observes, from its light curves alone; no label is read.

    Parameters
    ----------
    curves : LightCurves
        Objects of one survey, as observed.
    name : str
        Name of the survey.

    Returns
    -------
    SurveyConfig
        Its bands are ugrizy, each the nearest of a filter. The scatter beyond the stated errors cannot be
        measured here and is taken to be small.

    Raises
    ------
    DataError
        If no object has a detection.
    """
    triggered = np.isfinite(curves.trigger_mjd)
    if not triggered.any():
        raise DataError(f"survey {name}: no object has a detection, so that nothing can be measured")
    curves = curves.take(triggered)
    snr = curves.flux.astype(np.float64) / curves.flux_err
    bands = _bands(curves)
    seasons = [_season(curves, i) for i in range(len(curves))]
    nights = np.concatenate([np.diff(one.nights) for one in seasons if len(one.nights) > 1] or [[3.0]])
    detected_only = float((snr < _FAINT_SNR).mean()) < _FEW_FAINT
    photometry: Photometry = "detections" if detected_only else "forced"
    return SurveyConfig(
        name=name,
        sources=(f"measured from {len(curves)} light curves",),
        filters=tuple(BANDS[b] for b in bands),
        depth=tuple(_rounded(_depth(curves, b)) for b in bands),
        chance=tuple(_chance(seasons, b) for b in bands),
        gap=_rounded(max(float(np.median(nights)), 0.2)),
        season=_rounded(max(float(np.quantile([one.length for one in seasons], 0.9)), 10.0)),
        peak=_peaks(curves, snr),
        error_floor=_floor(curves, snr),
        underestimate=1.1,
        photometry=photometry,
        min_snr=_rounded(float(np.clip(np.quantile(snr, 0.01), 2.0, 5.0))) if detected_only else 5.0,
        history=_rounded(float(np.median([one.before for one in seasons]))),
        future=_rounded(float(np.median([one.after for one in seasons]))),
        missing=_missing(curves, bands),
    )


class _Season:
    """The season in which an object was first detected."""

    def __init__(self, mjd: FloatArray, band: IntArray, trigger: float) -> None:
        breaks = np.flatnonzero(np.diff(mjd) > _GAP_OF_SEASONS) + 1
        part = int(np.searchsorted(mjd[breaks], trigger, side="right"))
        edges = [0, *breaks.tolist(), len(mjd)]
        inside = slice(edges[part], edges[part + 1])
        days, band = mjd[inside], band[inside]
        new = np.concatenate([[True], np.diff(days) > _NIGHT])
        night = np.cumsum(new) - 1
        self.nights = days[new]
        self.length = float(days[-1] - days[0])
        self.before, self.after = float(days[0] - mjd[0]), float(mjd[-1] - days[-1])
        seen = np.zeros((len(self.nights), N_BANDS), dtype=bool)
        seen[night, band] = True
        self.seen = seen


def _season(curves: LightCurves, i: int) -> _Season:
    rows = slice(int(curves.offsets[i]), int(curves.offsets[i + 1]))
    return _Season(curves.mjd[rows], curves.band[rows].astype(np.int64), float(curves.trigger_mjd[i]))


def _has(curves: LightCurves) -> BoolArray:
    """Whether each object has an observation in each band, shape (n_objects, 6)."""
    has = np.zeros((len(curves), N_BANDS), dtype=bool)
    has[curves.object_index, curves.band] = True
    return has


def _bands(curves: LightCurves) -> list[int]:
    share = _has(curves).mean(axis=0)
    return [b for b in range(N_BANDS) if share[b] >= _RARE_BAND] or [int(share.argmax())]


def _missing(curves: LightCurves, bands: list[int]) -> float:
    return _rounded(float(np.clip(1.0 - _has(curves)[:, bands].mean(), 0.0, 0.8)))


def _chance(seasons: list[_Season], band: int) -> float:
    """Share of the nights with this band, among the objects that have it at all."""
    shares = [one.seen[:, band].mean() for one in seasons if one.seen[:, band].any()]
    return _rounded(float(np.clip(np.mean(shares), 0.02, 1.0))) if shares else 0.02


def _depth(curves: LightCurves, band: int) -> float:
    """5-sigma magnitude of an empty place: the errors without the noise of the object itself."""
    rows = curves.band == band
    err, flux = curves.flux_err[rows].astype(np.float64), np.abs(curves.flux[rows].astype(np.float64))
    sky = 0.5 * (np.sqrt((_SOURCE_NOISE * flux) ** 2 + 4.0 * err**2) - _SOURCE_NOISE * flux)
    faint = flux < 20.0 * err
    sky = sky[faint] if faint.sum() >= 20 else sky
    return float(_NJY_ZERO_POINT - 2.5 * np.log10(5.0 * np.median(sky)))


def _peaks(curves: LightCurves, snr: FloatArray) -> tuple[float, float]:
    """Brightest and faintest peak [mag], without the rarest hundredth on either side."""
    flux = np.zeros(len(curves))
    good = (snr > _FAINT_SNR) & (curves.flux > 0.0)
    np.maximum.at(flux, curves.object_index[good], curves.flux[good].astype(np.float64))
    mag = _NJY_ZERO_POINT - 2.5 * np.log10(flux[flux > 0.0])
    if not len(mag):
        return 14.0, 24.0
    low, high = np.quantile(mag, [0.01, 0.99])
    return _rounded(low - _MARGIN), _rounded(high + _MARGIN)


def _floor(curves: LightCurves, snr: FloatArray) -> float:
    bright = snr > _BRIGHT_SNR
    if bright.sum() < 20:
        return 0.01
    return _rounded(float(np.clip(np.quantile(1.0 / snr[bright], 0.1), 0.0, 0.1)))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
