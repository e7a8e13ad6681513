"""Light curves of simulated transients, as a real survey would have seen them.

`simulate` joins models of a class (`populations`), their light in LSST bands at a redshift
(`spectrum`), and the survey's epochs, noise and detections (`survey`). Names of simulated objects
start with ``sim-``; their true parameters are in a table of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from firstlight._types import BoolArray, FloatArray, IntArray, StrArray
from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.cosmology import luminosity_distance
from firstlight.data import write_curves
from firstlight.errors import DataError, SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.simulate.populations import Evolution, Population, draw_models, population
from firstlight.simulate.rates import draw_redshifts
from firstlight.simulate.spectrum import band_flux, flux_density, magnitude_of
from firstlight.simulate.survey import Survey, measure_survey, milky_way_dimming
from firstlight.simulate.template import read_template, template_population

SIMULATED_PREFIX = "sim-"
SPEC_REDSHIFT_SCATTER = 0.0018  # rms of hostgal_specz - true_z over PLAsTiCC's training set
MIN_SPEC_REDSHIFT = 0.005
# Peaks fall uniformly from so many days before the survey's first epoch to so many after its last,
# as in PLAsTiCC.
DAYS_BEFORE, DAYS_AFTER = 60.0, 75.0
# The host's A_V [mag] is exponential, or half-normal for a share of hosts (Wood-Vasey et al. 2007,
# doi:10.1086/518642, equation 2).
HOST_AV_SCALE, HOST_AV_NARROW, HOST_AV_NARROW_SCALE, HOST_AV_MAX = 0.4, 1.0 / 3.0, 0.1, 3.0
FOLLOW_UP_WIDTH = 0.4  # mag; of the follow-up limit, a logistic curve
MAX_DRAWS = 20_000  # events to place per wanted object, before giving up
_LOOK_SNR = 2.5  # one epoch in 200 of this S/N before noise is detected; fainter ones decide nothing
_MOST_PLACEMENTS = 64
_PEAK_TIMES = 96  # at which a peak is looked for
_LOOKS = np.array([0.4, 0.8, 1.1, 1.6, 2.5])  # of the time to peak


@dataclass(frozen=True, kw_only=True)
class SimulateConfig:
    """Which simulated transients are kept, from which spectra, and at which cost.

    The command line and the reproduction set `follow_up_mag`, `follow_up_on` and `template`; a user
    with another trigger sets `min_detections`, one who needs speed or precision the last two.
    """

    min_detections: int = 2  # detections that an object needs; PLAsTiCC's trigger needs 2
    # peak magnitude in its best band of r, i and z to which half of the objects are kept, as a
    # spectroscopic campaign would; None keeps all
    follow_up_mag: float | None = None
    # magnitude to which the limit applies: the brightest of the epochs at which the object was observed, or
    # its peak, observed or not, as in PLAsTiCC's own simulation
    follow_up_on: Literal["epochs", "peak"] = "epochs"
    # spectra from which SNIa are made, see `firstlight.simulate.template.read_template`; None makes them
    # from a blackbody
    template: Path | None = None
    n_times: int = 256  # points of the grid on which models evolve
    batch: int = 1024  # models drawn at a time


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedSet:
    """Simulated light curves, with their labels and truth kept apart.

    Attributes
    ----------
    curves : LightCurves
        Light curves as the survey observed them; every name starts with ``sim-``.
    labels : str array, shape (n_objects,)
        Classes, as in `firstlight.taxonomy.CLASSES`.
    truth : pyarrow.Table
        One row per object: ``object_id``, ``class``, ``redshift``, ``peak_mjd``, ``a_v`` [mag],
        ``peak_abs_mag`` [LSST r at redshift 0], ``peak_app_mag`` [brightest of r, i, z at the
        carrier's epochs], ``carrier`` (the real object whose epochs and noise it has), ``model``
        (objects of one model are one explosion placed elsewhere: keep them in one fold), and the
        model's parameters.
    """

    curves: LightCurves
    labels: StrArray
    truth: pa.Table

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.curves)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join simulated sets; parameters that a class lacks become null.

        Raises
        ------
        DataError
            If `parts` is empty or an object's name occurs twice.
        """
        return cls(
            curves=LightCurves.concatenate([part.curves for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
            truth=pa.concat_tables([part.truth for part in parts], promote_options="default"),
        )

    def write(self, folder: Path) -> None:
        """Write ``curves.parquet`` and, apart from it, ``truth.parquet``."""
        folder.mkdir(parents=True, exist_ok=True)
        write_curves(self.curves, folder / "curves.parquet")
        pq.write_table(self.truth, folder / "truth.parquet", compression="zstd")


def simulate(
    class_name: str,
    n: int,
    observed: LightCurves,
    rng: np.random.Generator,
    config: SimulateConfig | None = None,
) -> SimulatedSet:
    """Simulate transients of one class as the survey behind `observed` would see them.

    Parameters
    ----------
    class_name : str
        One of `firstlight.simulate.POPULATIONS`: CaRT, ILOT, PISN, SLSN-I or SNIa.
    n : int
        Number of objects that the survey detects.
    observed : LightCurves
        Real light curves with host redshifts; their labels are not needed.
    rng : numpy.random.Generator
        Source of randomness; the same state gives the same objects.
    config : SimulateConfig, optional
        Selection.

    Returns
    -------
    SimulatedSet
        Exactly `n` objects.

    Raises
    ------
    UnknownClassError, DataError, SettingsError
        If the class cannot be simulated, `observed` has no host redshifts to learn from, the
        survey hardly ever detects the class, or a setting is impossible.
    """
    config = config or SimulateConfig()
    _check(n, config)
    kind = _population(class_name, config)
    survey = measure_survey(observed)
    parts: list[_Batch] = []
    found, drawn, models, placements = 0, 0, 0, 1
    while found < n:
        if drawn > MAX_DRAWS * max(n, config.batch):
            raise DataError(
                f"{class_name}: {drawn} events gave {found} of {n} objects with at least "
                f"{config.min_detections} detections; the survey is too shallow for this class"
            )
        part = _simulate_batch(kind, survey, rng, config, placements)
        part.truth["model"] += models
        models += config.batch
        drawn += config.batch * placements
        found += len(part.carrier)
        parts.append(part)
        # Rarely detected classes place each model often, so that most yield one object or none.
        placements = int(np.clip(0.2 * drawn / max(found, 1), 1, _MOST_PLACEMENTS))
    return _assemble(class_name, _join(parts, n), survey, rng)


def _population(class_name: str, config: SimulateConfig) -> Population:
    if class_name == "SNIa" and config.template is not None:
        return template_population(read_template(config.template))
    return population(class_name)


def _check(n: int, config: SimulateConfig) -> None:
    if n < 0:
        raise SettingsError(f"n = {n}: cannot simulate fewer than 0 objects")
    for name in ("min_detections", "n_times", "batch"):
        if getattr(config, name) < 1:
            raise SettingsError(f"{name} = {getattr(config, name)}: must be at least 1")
    if config.follow_up_on not in ("epochs", "peak"):
        raise SettingsError(f"follow_up_on {config.follow_up_on!r}: choose epochs or peak")


# --- one batch ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scene:
    """Events before they are observed: their model, place, time and carrier."""

    kind: Population
    survey: Survey
    evolution: Evolution
    model: IntArray  # row of `evolution`
    carrier: IntArray
    truth: dict[str, FloatArray]

    def take(self, keep: BoolArray) -> Self:
        """The events where `keep` is true."""
        truth = {name: value[keep] for name, value in self.truth.items()}
        return replace(self, model=self.model[keep], carrier=self.carrier[keep], truth=truth)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Detected objects: per-object columns, and their observations one after the other."""

    carrier: IntArray
    truth: dict[str, FloatArray]
    n_obs: IntArray
    row: IntArray  # observation of the survey's carriers
    flux: FloatArray
    flux_err: FloatArray
    detected: BoolArray


def _simulate_batch(
    kind: Population,
    survey: Survey,
    rng: np.random.Generator,
    config: SimulateConfig,
    placements: int,
) -> _Batch:
    """Draw models, place each several times, and keep those that the survey detects."""
    drawn, evolution = draw_models(kind, config.batch, rng, config.n_times)
    model = np.repeat(np.arange(len(drawn["peak_day"])), placements)
    truth = {name: value[model] for name, value in drawn.items()} | {"model": model.astype(np.float64)}
    # A population that knows its own dust has no other.
    truth = _place(kind, len(model), survey, rng) | truth
    carrier = rng.integers(0, len(survey.carriers), len(model))
    scene = _Scene(kind, survey, evolution, model, carrier, truth)
    scene = scene.take(_best_snr(scene) > _LOOK_SNR)
    scene = scene.take(_promising_epochs(scene) >= config.min_detections)
    return _observe(scene, rng, config)


def _place(kind: Population, n: int, survey: Survey, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Redshift, dust and time of n events."""
    mjd = survey.carriers.mjd
    return {
        "redshift": draw_redshifts(n, kind.rate, kind.redshift_limits, rng),
        "a_v": _draw_host_av(n, rng),
        "peak_mjd": rng.uniform(mjd.min() - DAYS_BEFORE, mjd.max() + DAYS_AFTER, n),
    }


def _draw_host_av(n: int, rng: np.random.Generator) -> FloatArray:
    broad = rng.exponential(HOST_AV_SCALE, n)
    narrow = np.abs(rng.normal(0.0, HOST_AV_NARROW_SCALE, n))
    return np.minimum(np.where(rng.random(n) < HOST_AV_NARROW, narrow, broad), HOST_AV_MAX)


def _rows(offsets: IntArray, objects: IntArray) -> tuple[IntArray, IntArray]:
    """Observations of the given objects, and which of them each belongs to."""
    counts = np.diff(offsets)[objects]
    owner = np.repeat(np.arange(len(objects)), counts)
    start = np.concatenate([[0], np.cumsum(counts)])[:-1]
    return np.arange(counts.sum()) - start[owner] + offsets[:-1][objects][owner], owner


def _best_snr(scene: _Scene) -> FloatArray:
    """Best S/N that each event could reach on its carrier's deepest epochs, about, shape (n_events,)."""
    n, evolution = len(scene.carrier), scene.evolution
    looks = np.clip(scene.truth["peak_day"], 1.0, None)[:, None] * _LOOKS
    column = np.clip(np.searchsorted(evolution.t, looks), 1, len(evolution.t) - 1)
    light = evolution.luminosity[scene.model[:, None], column]
    state = evolution.state[scene.model[:, None], column]  # (n_events, n_looks)
    z, a_v = scene.truth["redshift"][:, None], scene.truth["a_v"][:, None]
    distance, depth = luminosity_distance(z), scene.survey.depth[scene.carrier]
    best = np.zeros(n)
    for band in (1, 2, 3, 4):  # u and y alone never decide: they are shallow
        flux = flux_density(
            light, state, EFFECTIVE_WAVELENGTH[band], z, distance, a_v, spectrum=scene.kind.spectrum
        )
        best = np.maximum(best, flux.max(axis=1) / depth[:, band])
    return best


def _promising_epochs(scene: _Scene) -> IntArray:
    """Observations of each event in which it might be detected, about, shape (n_events,)."""
    row, owner = _rows(scene.survey.carriers.offsets, scene.carrier)
    lit, light, state = _light_at(scene, row, owner)
    owner, row = owner[lit], row[lit]
    z = scene.truth["redshift"]
    flux = flux_density(
        light,
        state,
        EFFECTIVE_WAVELENGTH[scene.survey.carriers.band[row]],
        z[owner],
        luminosity_distance(z)[owner],
        scene.truth["a_v"][owner],
        spectrum=scene.kind.spectrum,
    )
    promising = flux > _LOOK_SNR * scene.survey.sky_err[row]
    return np.bincount(owner[promising], minlength=len(scene.carrier))


def _light_at(scene: _Scene, row: IntArray, owner: IntArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Which observations see the transient lit, and its luminosity and state at these."""
    t, truth = scene.evolution.t, scene.truth
    since_peak = scene.survey.carriers.mjd[row] - truth["peak_mjd"][owner]
    day = since_peak / (1.0 + truth["redshift"][owner]) + truth["peak_day"][owner]
    lit = np.flatnonzero((day > 0.0) & (day < t[-1]))
    left = np.searchsorted(t, day[lit], side="right") - 1
    share = (day[lit] - t[left]) / (t[left + 1] - t[left])
    at = scene.model[owner[lit]]
    light, state = (
        (1.0 - share) * values[at, left] + share * values[at, left + 1]
        for values in (scene.evolution.luminosity, scene.evolution.state)
    )
    return lit, light, state


def _true_flux(scene: _Scene, row: IntArray, owner: IntArray) -> FloatArray:
    """Flux without noise at the observations of each event, shape (n_obs,) [nJy]."""
    lit, light, state = _light_at(scene, row, owner)
    band, z = scene.survey.carriers.band[row], scene.truth["redshift"]
    flux = np.zeros(len(row))
    flux[lit] = band_flux(
        light,
        state,
        band[lit],
        z[owner[lit]],
        luminosity_distance(z)[owner[lit]],
        scene.truth["a_v"][owner[lit]],
        spectrum=scene.kind.spectrum,
    )
    return flux * milky_way_dimming(scene.survey.carriers)[scene.carrier][owner, band]


def _observe(scene: _Scene, rng: np.random.Generator, config: SimulateConfig) -> _Batch:
    """Add noise, draw detections and follow-up, and keep the objects that are found."""
    survey, n = scene.survey, len(scene.carrier)
    row, owner = _rows(survey.carriers.offsets, scene.carrier)
    band = survey.carriers.band[row]
    true_flux = _true_flux(scene, row, owner)
    error = survey.error(true_flux, survey.sky_err[row], band)
    flux = true_flux + error * rng.standard_normal(len(row))
    detected = survey.detect(true_flux, flux, error, rng)
    truth = scene.truth | {"peak_app_mag": _apparent_peak(true_flux, band, owner, n)}
    kept = np.bincount(owner, detected, minlength=n) >= config.min_detections
    if config.follow_up_mag is not None:
        limited = truth["peak_app_mag"] if config.follow_up_on == "epochs" else _true_peak(scene)
        excess = (limited - config.follow_up_mag) / FOLLOW_UP_WIDTH
        kept &= rng.random(n) < 1.0 / (1.0 + np.exp(np.clip(excess, -50.0, 50.0)))
    seen = kept[owner]
    return _Batch(
        carrier=scene.carrier[kept],
        truth={name: value[kept] for name, value in truth.items()},
        n_obs=np.bincount(owner, minlength=n)[kept],
        row=row[seen],
        flux=flux[seen],
        flux_err=error[seen],
        detected=detected[seen],
    )


def _apparent_peak(flux: FloatArray, band: NDArray[np.int8], owner: IntArray, n: int) -> FloatArray:
    """Brightest magnitude in r, i or z at the epochs; 99 where there is no light, shape (n,)."""
    brightest = np.zeros(n)
    red = (band >= 2) & (band <= 4)
    np.maximum.at(brightest, owner[red], flux[red])
    return np.where(brightest > 0.0, magnitude_of(brightest), 99.0)


def _true_peak(scene: _Scene) -> FloatArray:
    """Brightest magnitude in r, i or z at any time, without Milky Way dust, shape (n_events,)."""
    evolution = scene.evolution
    column = np.unique(np.linspace(1, len(evolution.t) - 1, _PEAK_TIMES).astype(np.int64))
    light, state = (values[scene.model][:, column] for values in (evolution.luminosity, evolution.state))
    z, a_v = scene.truth["redshift"][:, None], scene.truth["a_v"][:, None]
    distance, best = luminosity_distance(z), np.zeros(len(scene.model))
    for band in (2, 3, 4):
        flux = flux_density(
            light, state, EFFECTIVE_WAVELENGTH[band], z, distance, a_v, spectrum=scene.kind.spectrum
        )
        best = np.maximum(best, flux.max(axis=1))
    return magnitude_of(best)


# --- the set --------------------------------------------------------------------


def _join(parts: list[_Batch], n: int) -> _Batch:
    """The first n objects of all batches."""
    if not parts:
        empty = np.empty(0)
        index = np.empty(0, np.int64)
        return _Batch(index, {}, index, index, empty, empty, np.empty(0, np.bool_))
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("carrier", "n_obs", "row", "flux", "flux_err", "detected")
    }
    truth = {name: np.concatenate([part.truth[name] for part in parts])[:n] for name in parts[0].truth}
    n_rows = int(joined["n_obs"][:n].sum())
    for name in ("carrier", "n_obs"):
        joined[name] = joined[name][:n]
    for name in ("row", "flux", "flux_err", "detected"):
        joined[name] = joined[name][:n_rows]
    return _Batch(truth=truth, **joined)


def _assemble(class_name: str, batch: _Batch, survey: Survey, rng: np.random.Generator) -> SimulatedSet:
    """Light curves without truth, and truth without light curves."""
    n = len(batch.carrier)
    names = np.array([f"{SIMULATED_PREFIX}{class_name}-{i:06d}" for i in range(n)], dtype=np.str_)
    z = batch.truth.get("redshift", np.empty(0))
    photo, photo_err = survey.draw_host_redshifts(z, rng)
    measured = np.maximum(z + rng.normal(0.0, SPEC_REDSHIFT_SCATTER, n), MIN_SPEC_REDSHIFT)
    spec = np.where(rng.random(n) < survey.spec_fraction, measured, np.nan)
    carriers = survey.carriers
    curves = LightCurves(
        object_id=names,
        offsets=np.concatenate([[0], np.cumsum(batch.n_obs)]),
        mjd=carriers.mjd[batch.row],
        band=carriers.band[batch.row],
        flux=batch.flux.astype(np.float32),
        flux_err=batch.flux_err.astype(np.float32),
        detected=batch.detected,
        ra=carriers.ra[batch.carrier],
        dec=carriers.dec[batch.carrier],
        ebv=carriers.ebv[batch.carrier],
        redshift=photo.astype(np.float32),
        redshift_err=photo_err.astype(np.float32),
        redshift_spec=spec.astype(np.float32),
        dereddened=carriers.dereddened,
    )
    columns: dict[str, Any] = {"object_id": names.tolist(), "class": [class_name] * n}
    columns |= {name: pa.array(value) for name, value in batch.truth.items()}
    columns["model"] = pa.array(batch.truth.get("model", np.empty(0)).astype(np.int64))
    columns["carrier"] = carriers.object_id[batch.carrier].tolist()
    return SimulatedSet(curves, np.full(n, class_name), pa.table(columns))


def simulate_classes(
    class_names: Sequence[str],
    n: int,
    observed: LightCurves,
    seed: int,
    config: SimulateConfig | None = None,
) -> SimulatedSet:
    """Simulate several classes, each from a random stream of its own.

    Adding a class leaves the others as they were.

    Parameters
    ----------
    class_names : sequence of str
        Names in `POPULATIONS`; one given twice counts once.
    n : int
        Objects of each class.
    observed, config
        As for `simulate`.
    seed : int
        Seed of all streams.

    Returns
    -------
    SimulatedSet
        All classes together.

    Raises
    ------
    UnknownClassError, DataError
        As for `simulate`.
    """
    streams = {name: np.random.default_rng([seed, *name.encode()]) for name in class_names}
    parts = [simulate(name, n, observed, rng, config) for name, rng in streams.items()]
    return SimulatedSet.concatenate(parts)
