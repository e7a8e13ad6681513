"""Simulated objects of rare classes, as surveys would have seen them; training objects beside the real ones.

An event is a model at a redshift at which a survey would follow it. Its flux at a filter's central wavelength
gets the cadence, noise and rule of detection of the re-observed copies, without a Gaussian process between.
Names start with ``sim-``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firstlight._types import AnyArray, BoolArray, FloatArray, IntArray, StrArray
from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.cosmology import comoving_distance, expansion, luminosity_distance
from firstlight.errors import SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.reobserve.copies import SPEC_ERRORS, Channels, measure, observations, visits
from firstlight.simulate.rates import relative_rate
from firstlight.simulate.sky import SKY_POPULATIONS, SkyModels, draw_sky_models
from firstlight.simulate.spectrum import flux_density, magnitude_of
from firstlight.simulate.survey import Survey, measure_survey
from firstlight.simulate.transients import SIMULATED_PREFIX
from firstlight.surveys import load_survey

_N_MODELS = 600
_N_REDSHIFTS = 40
_PEAK_TIMES = 60  # at which a peak is looked for
_TRIES = 12  # events tried for a view
_MJD = 58_000.0  # of triggers; the season does not matter
_SHALLOWEST, _N_LIMITS = 17.5, 5  # searches reach from this magnitude to the faintest that a survey follows
_CADENCE_PEAK = (16.0, 22.5)  # peaks of training objects of PLAsTiCC; see decision 0060 [mag]
_MIN_DETECTIONS = 2  # of a view at the epochs of a training object
_BEFORE = 30.0  # days before its first epoch at which such a view may be triggered


@dataclass(frozen=True, kw_only=True)
class SimulatedConfig:
    """Which classes have simulated objects beside the training objects, and how these are seen.

    The weight of a class stays: the weight of its simulated objects is taken from its re-observed copies, or
    from all of its copies where none is re-observed.

    Attributes
    ----------
    classes : mapping of str to float
        Simulated objects for each training object of the class; those of `simulate.SKY_POPULATIONS`.
    views : int
        Views of each simulated object, half of them cut at a random time.
    cadence : float
        Weight of views at the epochs and with the noise of training objects, beside the weights of
        `ReobserveConfig.surveys`.
    """

    classes: Mapping[str, float] = field(default_factory=dict)
    views: int = 6
    cadence: float = 1.5

    def __post_init__(self) -> None:
        """Check classes and numbers."""
        unknown = sorted(set(self.classes) - set(SKY_POPULATIONS))
        if unknown:
            raise SettingsError(
                f"simulated.classes: {', '.join(unknown)} cannot be simulated; choose from "
                f"{', '.join(SKY_POPULATIONS)}"
            )
        if min(self.classes.values(), default=1.0) <= 0.0 or self.views < 1 or self.cadence < 0.0:
            raise SettingsError(
                "simulated: objects per training object and views are positive, cadence is not negative"
            )


def simulate_views(
    class_name: str,
    n: int,
    observed: LightCurves,
    surveys: Mapping[str, float],
    rng: np.random.Generator,
    config: SimulatedConfig,
    spectroscopic: float,
) -> tuple[LightCurves, StrArray]:
    """Views of simulated objects, and the name of the object of each.

    Parameters
    ----------
    class_name : str
        One of `simulate.SKY_POPULATIONS`.
    n : int
        Number of objects.
    observed : LightCurves
        Training objects, whose epochs, noise and host redshifts are used.
    surveys : mapping of str to float
        Weight of each survey, by name or path.
    rng : numpy.random.Generator
        Source of randomness.
    config : SimulatedConfig
        Number of views, and weight of the epochs of training objects.
    spectroscopic : float
        Fraction of views with an exact redshift instead of a photometric one.

    Returns
    -------
    curves : LightCurves
        `config.views` views of each object, one object after the other; each view has a name of its own.
    owner : str array, shape (n * config.views,)
        Names of the objects.

    Raises
    ------
    DataError
        If no training object has both a photometric and a spectroscopic host redshift.
    """
    models = draw_sky_models(SKY_POPULATIONS[class_name], _N_MODELS, rng)
    return views_of(models, class_name, n, measure_survey(observed), surveys, rng, config, spectroscopic)


def views_of(
    models: SkyModels,
    class_name: str,
    n: int,
    hosts: Survey,
    surveys: Mapping[str, float],
    rng: np.random.Generator,
    config: SimulatedConfig,
    spectroscopic: float,
) -> tuple[LightCurves, StrArray]:
    """As `simulate_views`, of models that were drawn and a survey that was measured."""
    weights = dict(surveys) | ({_CADENCE: config.cadence} if config.cadence > 0.0 else {})
    events = [_Events.of(name, models) for name in weights]
    sight = _Sight(models, hosts, events, np.array(list(weights.values())))
    rows: list[dict[str, Any]] = []
    redshift: list[float] = []
    while len(rows) < n * config.views:
        model = sight.find(rng)
        seen = [sight.view(model, rng) for _ in range(config.views)]
        some = [view for view in seen if view is not None]
        # an object that some surveys never see has other views more than once
        some = [some[k % len(some)] for k in range(config.views)] if some else []
        rows += [row for row, _ in some]
        redshift += [z for _, z in some]
    place = [divmod(i, config.views) for i in range(len(rows))]
    owner = np.array([f"{SIMULATED_PREFIX}{class_name}-{i:06d}" for i, _ in place], np.str_)
    names = np.array([f"{SIMULATED_PREFIX}{class_name}-{i:06d}/{k}" for i, k in place], np.str_)
    return _join(names, rows, np.array(redshift), rng, hosts, spectroscopic), owner


def is_simulated(object_id: AnyArray) -> BoolArray:
    """Which names are those of simulated objects, shape (n_objects,)."""
    return np.asarray(np.char.startswith(np.asarray(object_id, dtype=np.str_), SIMULATED_PREFIX))


# --- private --------------------------------------------------------------------

_CADENCE = "cadence of the training objects"


@dataclass(frozen=True, slots=True, eq=False)
class _Events:
    """Which models a survey would follow, and at which redshifts."""

    channels: Channels | None  # None for the epochs of training objects
    redshift: FloatArray  # (n_redshifts,)
    weight: FloatArray  # (n_models, n_redshifts)

    @classmethod
    def of(cls, name: str, models: SkyModels) -> "_Events":
        """Events in the volume in which searches of several depths find the models."""
        channels = None if name == _CADENCE else Channels.of(load_survey(name))
        population = models.kind.population
        z = np.geomspace(*population.redshift_limits, _N_REDSHIFTS)
        volume = relative_rate(population.rate, z) * comoving_distance(z) ** 2 / expansion(z)
        volume = volume / (1.0 + z) * np.gradient(z)
        at = EFFECTIVE_WAVELENGTH[1:4] if channels is None else channels.wavelength
        peak = _peaks(models, np.unique(at[[0, len(at) // 2, -1]]), z)
        brightest, faintest = _CADENCE_PEAK if channels is None else channels.survey.peak
        weight = np.zeros(peak.shape)
        for limit in np.linspace(min(_SHALLOWEST, faintest), faintest, _N_LIMITS):
            part = volume * ((peak > brightest) & (peak < limit))
            if models.kind.is_observed:
                part = part / np.maximum(part.sum(axis=1, keepdims=True), 1e-300)
            weight += part / max(float(part.sum()), 1e-300)
        return cls(channels, z, weight * models.weight[:, None])

    def place(self, model: int, rng: np.random.Generator) -> float | None:
        """A redshift at which the survey follows a model; None without such a redshift."""
        share = self.weight[model]
        if not share.any():
            return None
        z = self.redshift[rng.choice(len(share), p=share / share.sum())]
        return float(z * np.exp(rng.uniform(-0.05, 0.05)))


def _peaks(models: SkyModels, wavelength: FloatArray, redshift: FloatArray) -> FloatArray:
    """Brightest magnitude at any of the observed wavelengths, shape (n_models, n_redshifts)."""
    evolution, z = models.evolution, redshift[None, :, None]
    column = np.unique(np.linspace(1, len(evolution.t) - 1, _PEAK_TIMES).astype(np.int64))
    best = np.zeros((len(models), len(redshift)))
    for one in wavelength:
        flux = flux_density(
            evolution.luminosity[:, None, column],
            evolution.state[:, None, column],
            one,
            z,
            luminosity_distance(z),
            models.a_v[:, None, None],
            spectrum=models.kind.population.spectrum,
        )
        best = np.maximum(best, flux.max(axis=2))
    return magnitude_of(best)


@dataclass(frozen=True, slots=True, eq=False)
class _Sight:
    """Models, and the surveys that see them."""

    models: SkyModels
    hosts: Survey
    events: list[_Events]
    weight: FloatArray  # (n_surveys,)

    def find(self, rng: np.random.Generator) -> int:
        """A model that one of the surveys finds."""
        while True:
            share = self._survey(rng).weight.sum(axis=1)
            if share.any():
                return int(rng.choice(len(share), p=share / share.sum()))

    def view(self, model: int, rng: np.random.Generator) -> tuple[dict[str, Any], float] | None:
        """The model as one of the surveys sees it, and its redshift; None if no survey saw it."""
        for _ in range(_TRIES):
            events = self._survey(rng)
            z = events.place(model, rng)
            if z is None:
                continue
            made = (
                self._carried(model, z, rng)
                if events.channels is None
                else self._seen(model, z, rng, events.channels)
            )
            if made is not None:
                return made, z
        return None

    def _survey(self, rng: np.random.Generator) -> _Events:
        return self.events[rng.choice(len(self.events), p=self.weight / self.weight.sum())]

    def _seen(
        self, model: int, z: float, rng: np.random.Generator, channels: Channels
    ) -> dict[str, Any] | None:
        """Visits, noise and detections of a survey."""
        days, channel = visits(channels, 1.0 + z, rng)
        made = measure(days, channel, self._flux(model, days, channels.wavelength[channel], z), channels, rng)
        return None if made is None else made | {"mjd": made["mjd"] + _MJD}

    def _carried(self, model: int, z: float, rng: np.random.Generator) -> dict[str, Any] | None:
        """Epochs, noise and detections of a training object; None if it is detected too rarely."""
        carriers = self.hosts.carriers
        rows = carriers.rows_of(rng.integers(0, len(carriers), 1))
        mjd, band = carriers.mjd[rows], carriers.band[rows]
        days = mjd - rng.uniform(mjd.min() - _BEFORE, mjd.max())
        true = self._flux(model, days, EFFECTIVE_WAVELENGTH[band], z)
        err = self.hosts.error(true, self.hosts.sky_err[rows], band)
        flux = true + err * rng.standard_normal(len(true))
        detected = self.hosts.detect(true, flux, err, rng)
        return observations(mjd, band, flux, err, detected) if detected.sum() >= _MIN_DETECTIONS else None

    def _flux(self, model: int, days: FloatArray, wavelength: FloatArray, z: float) -> FloatArray:
        """Flux at observed days since the trigger and wavelengths [nJy]; 0 before the explosion."""
        evolution = self.models.evolution
        t = self.models.trigger[model] + days / (1.0 + z)
        lit = (t > 0.0) & (t < evolution.t[-1])
        out = np.zeros(len(days))
        out[lit] = flux_density(
            np.interp(t[lit], evolution.t, evolution.luminosity[model]),
            np.interp(t[lit], evolution.t, evolution.state[model]),
            wavelength[lit],
            z,
            luminosity_distance(z),
            self.models.a_v[model],
            spectrum=self.models.kind.population.spectrum,
        )
        return out


def _join(
    names: StrArray,
    rows: list[dict[str, Any]],
    z: FloatArray,
    rng: np.random.Generator,
    hosts: Survey,
    exact: float,
) -> LightCurves:
    """Light curves at random positions, with redshifts as those of re-observed copies."""
    columns: dict[str, Any] = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
    photo, photo_err = hosts.draw_host_redshifts(z, rng)
    is_exact = rng.random(len(z)) < exact
    stated = np.exp(rng.uniform(np.log(SPEC_ERRORS[0]), np.log(SPEC_ERRORS[1]), len(z)))
    carrier: IntArray = rng.integers(0, len(hosts.carriers), len(z))
    return LightCurves(
        object_id=names,
        offsets=np.concatenate([[0], np.cumsum([len(row["mjd"]) for row in rows])]),
        ra=hosts.carriers.ra[carrier],
        dec=hosts.carriers.dec[carrier],
        ebv=hosts.carriers.ebv[carrier],
        redshift=np.where(is_exact, z, photo).astype(np.float32),
        redshift_err=np.where(is_exact, stated, photo_err).astype(np.float32),
        redshift_spec=z.astype(np.float32),
        dereddened=True,  # models have no dust of the Milky Way
        **columns,
    )
