"""Re-observed copies: the surface of a training object at another redshift, through another survey.

A copy keeps the name of its object, so that all copies stay on one side of every split. Nothing here reads a
label. Objects without a good surface (variables, faint ones) keep their own observations, thinned to the
filters of the survey; only those that vary for years are moved nearer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firstlight._types import FloatArray, IntArray
from firstlight.bands import N_BANDS, find_filter
from firstlight.cosmology import distance_modulus
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.curves import DETECTION_SNR
from firstlight.reobserve.surface import WAVELENGTHS, Surfaces
from firstlight.surveys import SurveyConfig, load_survey

_REDSHIFTS = np.geomspace(0.008, 2.5, 48)  # trial redshifts of a copy
_TRIES = 4  # surveys tried for an object before its own observations are used
SPEC_ERRORS = (1e-3, 0.03)  # range of the error that comes with a spectroscopic redshift
_MIN_OBS = 3
_YEAR = 365.25  # days
_FORCED = 0.7  # probability that the forced photometry of other years is at hand


@dataclass(frozen=True, kw_only=True)
class ReobserveConfig:
    """Which surveys re-observe training objects, and how.

    Attributes
    ----------
    surveys : mapping of str to float
        Weight of each survey, by name or path; see `firstlight.surveys`.
    nearest, farthest : float
        Limits of a copy's 1 + z over that of its object.
    spectroscopic : float
        Fraction of copies with an exact redshift instead of a photometric one.
    luminosity : float
        Scatter of a copy's luminosity about that of its object [mag].
    """

    surveys: Mapping[str, float] = field(default_factory=dict)
    nearest: float = 0.4
    farthest: float = 1.25
    spectroscopic: float = 0.6
    luminosity: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """A survey's filters as arrays, and the survey."""

    survey: SurveyConfig
    wavelength: FloatArray
    band: IntArray
    sky: FloatArray  # one sigma of a visit [nJy]
    chance: FloatArray

    @classmethod
    def of(cls, survey: SurveyConfig) -> "Channels":
        """The filters of a survey."""
        found = [find_filter(name) for name in survey.filters]
        return cls(
            survey,
            np.array([one.wavelength for one in found]),
            np.array([one.band for one in found]),
            10.0 ** (-0.4 * (np.array(survey.depth) - 31.4)) / 5.0,
            np.array(survey.chance),
        )


def reobserve(
    curves: LightCurves, rng: np.random.Generator, config: ReobserveConfig, surfaces: Surfaces | None = None
) -> LightCurves:
    """Every object as one of some surveys would have seen it; the same objects, in order."""
    surfaces = Surfaces.of(curves) if surfaces is None else surfaces
    channels = [Channels.of(load_survey(name)) for name in config.surveys]
    weight = np.array(list(config.surveys.values()))
    weight = weight / weight.sum()
    redshift = np.where(np.isfinite(curves.redshift_spec), curves.redshift_spec, curves.redshift)
    rows: list[dict[str, Any]] = []
    z_new = redshift.astype(np.float64)
    for i in range(len(curves)):
        made = None
        if surfaces.peak[i] > 0.0 and redshift[i] > 0.0:
            for k in rng.choice(len(channels), _TRIES, p=weight):
                found = _another(surfaces, i, float(redshift[i]), channels[k], config, rng)
                if found is not None:
                    made, z_new[i] = found
                    break
        if made is None:
            other = channels[rng.choice(len(channels), p=weight)]
            made, z_new[i] = _thinned(
                curves, i, float(redshift[i]), other, rng, fixed=bool(surfaces.quiet[i])
            )
        rows.append(made)
    return _join(curves, rows, *_redshifts(curves, redshift, z_new, config, rng))


def _another(
    surfaces: Surfaces,
    i: int,
    z: float,
    channels: Channels,
    config: ReobserveConfig,
    rng: np.random.Generator,
) -> tuple[dict[str, Any], float] | None:
    """The object at a redshift at which the survey would follow it; None without such a redshift."""
    survey = channels.survey
    gain = _gain(z, _REDSHIFTS)
    mag = 31.4 - 2.5 * np.log10(surfaces.peak[i] * gain)
    shift = (1.0 + _REDSHIFTS) / (1.0 + z)
    good = (mag > survey.peak[0]) & (mag < survey.peak[1])
    good &= (shift > config.nearest) & (shift < config.farthest)
    read = channels.wavelength[:, None] / shift
    n_read = ((read > WAVELENGTHS[0]) & (read < WAVELENGTHS[1])).sum(axis=0)
    good &= n_read >= min(2, len(channels.sky))
    if not good.any():
        return None
    z_new = float(rng.choice(_REDSHIFTS[good])) * float(np.exp(rng.uniform(-0.05, 0.05)))
    stretch = (1.0 + z_new) / (1.0 + z)
    days, channel = visits(channels, stretch, rng)
    true = surfaces.flux(i, days / stretch, channels.wavelength[channel] / stretch)
    known = np.isfinite(true)
    days, channel = days[known], channel[known]
    true = true[known] * _gain(z, np.array([z_new]))[0] * 10.0 ** (0.4 * config.luminosity * rng.normal())
    made = measure(days, channel, true, channels, rng)
    if made is None:
        return None
    made["mjd"] = made["mjd"] + surfaces.reference[i]
    return made, z_new


def _gain(z: float, z_new: FloatArray) -> FloatArray:
    """Flux density per frequency at another redshift over that at `z`, at the shifted wavelength."""
    nearer = distance_modulus(np.array([z]))[0] - distance_modulus(z_new)
    return np.asarray(10.0 ** (0.4 * nearer) * (1.0 + z_new) / (1.0 + z))


def visits(channels: Channels, stretch: float, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """Days since the trigger, ascending, and channels of the visits of one season about the peak."""
    survey = channels.survey
    gap = survey.gap * float(np.exp(rng.normal(0.0, 0.35)))
    # most seasons begin before the light rises; some objects were found late
    start = -min(survey.season, survey.lead) * rng.uniform(0.0, 1.0) + 10.0 * stretch * rng.uniform(-1.0, 1.0)
    length = survey.season * rng.uniform(0.5, 1.0)
    steps = gap * rng.uniform(0.4, 1.6, int(length / gap) + 2)
    nights = start + np.cumsum(steps)
    nights = nights[nights < start + length]
    sparse = 1.5 * gap
    if survey.history > 0.0 and rng.random() < _FORCED:
        nights = np.append(nights, np.arange(start - min(survey.history, 30.0), start, sparse))
        for year in range(1, int(survey.history // _YEAR) + 1):
            nights = np.append(nights, np.arange(start, start + length, sparse) - _YEAR * year)
    if survey.future > 0.0 and rng.random() < _FORCED:
        for year in range(1, int(survey.future // _YEAR) + 1):
            nights = np.append(nights, np.arange(start, start + length, sparse) + _YEAR * year)
    kept = rng.random(len(channels.sky)) >= survey.missing
    if kept.sum() < 2:
        kept = np.ones(len(channels.sky), dtype=bool)
    taken = (rng.random((len(nights), len(kept))) < channels.chance) & kept
    night, channel = np.nonzero(taken)
    days = nights[night] + 0.02 * rng.random(len(night)) + 1e-3 * channel
    order = np.argsort(days, kind="stable")
    return days[order], channel[order]


def measure(
    days: FloatArray, channel: IntArray, true: FloatArray, channels: Channels, rng: np.random.Generator
) -> dict[str, Any] | None:
    """Fluxes with noise, errors and detections; None if too little is left."""
    survey = channels.survey
    sky = channels.sky[channel] * np.exp(rng.normal(0.0, 0.25, len(days)) + 0.15 * rng.normal())
    floor = survey.error_floor * np.exp(rng.normal(0.0, 0.4))
    err = np.sqrt(sky**2 + (floor * true) ** 2 + 0.04 * sky * np.abs(true))
    worse = rng.uniform(1.0, survey.underestimate)
    flux = true + worse * err * rng.normal(size=len(days))
    detected = np.abs(flux) > DETECTION_SNR * err
    keep = np.ones(len(days), dtype=bool)
    if survey.photometry == "detections":
        keep = flux > survey.min_snr * err
    if keep.sum() < _MIN_OBS or not (detected & keep & (flux > 0.0)).any():
        return None
    return observations(days[keep], channels.band[channel[keep]], flux[keep], err[keep], detected[keep])


def _thinned(
    curves: LightCurves, i: int, z: float, channels: Channels, rng: np.random.Generator, *, fixed: bool
) -> tuple[dict[str, Any], float]:
    """The object's own observations in the survey's filters, with its rule of detection, nearer unless fixed.

    Times and wavelengths stay as observed. A transient must stay at its redshift, as elsewhere its colour and
    its width would be wrong.
    """
    survey = channels.survey
    rows = slice(int(curves.offsets[i]), int(curves.offsets[i + 1]))
    band, mjd = curves.band[rows], curves.mjd[rows]
    flux, err = curves.flux[rows].astype(np.float64), curves.flux_err[rows].astype(np.float64)
    own = observations(mjd, band, flux, err, curves.detected[rows])
    lacking = rng.random(N_BANDS) < survey.missing
    keep = np.isin(band, channels.band[~lacking[channels.band]]) & (
        rng.random(len(band)) < rng.uniform(0.4, 1.0)
    )
    z_new, gain = z, 1.0
    if not z > 0.0:
        gain = 10.0 ** (0.4 * rng.uniform(0.0, 4.0))
    elif not fixed:
        z_new = max((1.0 + z) * rng.uniform(0.8, 1.0) - 1.0, min(z, 0.02))
        gain = float(_gain(z, np.array([z_new]))[0])
    floor = survey.error_floor * np.exp(rng.normal(0.0, 0.4))
    err = gain * np.sqrt(err**2 + (floor * flux) ** 2)
    flux = gain * flux
    flux = flux + np.abs(flux) * floor * rng.normal(size=len(flux))
    detected = np.abs(flux) > DETECTION_SNR * err
    if survey.photometry == "detections":
        keep &= np.abs(flux) > survey.min_snr * err
    if keep.sum() < _MIN_OBS or not (detected & keep).any():
        return own, z
    return observations(mjd[keep], band[keep], flux[keep], err[keep], detected[keep]), z_new


def observations(mjd: Any, band: Any, flux: Any, err: Any, detected: Any) -> dict[str, Any]:
    """Observations of one object by the names of columns."""
    return {"mjd": mjd, "band": band, "flux": flux, "flux_err": err, "detected": detected}


def _redshifts(
    curves: LightCurves, z: FloatArray, z_new: FloatArray, config: ReobserveConfig, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Redshift in use and its error: exact with a stated error, or off as a real host's photo-z is."""
    extragalactic = z_new > 0.0
    exact = rng.random(len(z)) < config.spectroscopic
    stated = np.exp(rng.uniform(np.log(SPEC_ERRORS[0]), np.log(SPEC_ERRORS[1]), len(z)))
    known = (
        extragalactic
        & np.isfinite(curves.redshift)
        & np.isfinite(curves.redshift_spec)
        & (curves.redshift > 0.0)
    )
    moved, moved_err = z_new.copy(), stated.copy()
    if known.any():
        hosts = np.flatnonzero(known)
        order = hosts[np.argsort(curves.redshift_spec[hosts], kind="stable")]
        place = np.searchsorted(curves.redshift_spec[order], z_new) + rng.integers(-20, 21, len(z))
        host = order[np.clip(place, 0, len(order) - 1)]
        ratio = (1.0 + curves.redshift[host]) / (1.0 + curves.redshift_spec[host])
        moved = np.maximum((1.0 + z_new) * ratio - 1.0, 0.003)
        moved_err = curves.redshift_err[host].astype(np.float64)
    value = np.where(extragalactic, np.where(exact, z_new, moved), z_new)
    err = np.where(extragalactic, np.where(exact, stated, moved_err), 0.0)
    unknown = np.isnan(curves.redshift)
    return np.where(unknown, np.nan, value), np.where(unknown, np.nan, err)


def _join(
    curves: LightCurves, rows: Sequence[dict[str, Any]], redshift: FloatArray, err: FloatArray
) -> LightCurves:
    columns = {name: np.concatenate([one[name] for one in rows]) for name in rows[0]}
    offsets = np.concatenate([[0], np.cumsum([len(one["mjd"]) for one in rows])])
    owner = np.repeat(np.arange(len(rows)), np.diff(offsets))
    order = np.lexsort((columns["band"], columns["mjd"], owner))
    types = {
        "mjd": np.float64,
        "band": np.int8,
        "flux": np.float32,
        "flux_err": np.float32,
        "detected": np.bool_,
    }
    values: dict[str, Any] = {name: columns[name][order].astype(kind) for name, kind in types.items()}
    return curves.with_columns(
        offsets=offsets, redshift=redshift.astype(np.float32), redshift_err=err.astype(np.float32), **values
    )
