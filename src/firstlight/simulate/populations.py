"""Populations of transients: which parameters nature draws, class by class.

The engines follow the models with which PLAsTiCC made these classes (Kessler et al.
2019, doi:10.1088/1538-3873/ab26f1, with MOSFiT, Guillochon et al. 2018,
doi:10.3847/1538-4365/aab761); the ranges bracket the values measured by the papers
named beside each class. PLAsTiCC's own template libraries are not used.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from firstlight._types import FloatArray
from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.errors import UnknownClassError
from firstlight.simulate.engines import (
    KMS,
    SOLAR_MASS,
    diffuse,
    diffusion_time,
    escape_gamma_rays,
    interact,
    magnetar_heating,
    nickel_heating,
    photosphere_temperature,
    time_grid,
)
from firstlight.simulate.rates import Rate
from firstlight.simulate.spectrum import BLACKBODY, Spectrum, Thermal, band_flux, flux_density, magnitude_of

Parameters = dict[str, FloatArray]

REST_BAND = 2  # r; peak absolute magnitudes are those of a source at 10 pc through this band


@dataclass(frozen=True, slots=True)
class Evolution:
    """Luminosity and state of a set of models on one grid of times.

    `t` [rest-frame day since explosion] has shape (n_times,); bolometric luminosity [erg/s] and the
    state that the class's spectrum depends on (temperature [K] or phase of a template [day]) have shape
    (n_models, n_times).
    """

    t: FloatArray
    luminosity: FloatArray
    state: FloatArray


@dataclass(frozen=True, slots=True)
class Population:
    """A class of transients."""

    # ``draw(rng, n)`` gives the parameters of n models by name
    draw: Callable[[np.random.Generator, int], Parameters]
    # ``evolve(t, parameters)`` gives luminosity and state, shape (n, n_times); see `Evolution`
    evolve: Callable[[FloatArray, Parameters], tuple[FloatArray, FloatArray]]
    rate: Rate  # volumetric rate against redshift
    redshift_limits: tuple[float, float]  # where to draw redshifts; beyond, the class is too faint for LSST
    peak_limits: tuple[float, float]  # faintest and brightest peak absolute magnitude of the class [mag]
    last: float  # rest-frame days to follow
    spectrum: Spectrum = BLACKBODY  # how the luminosity is spread over wavelengths
    # shortest and longest time above half of the peak luminosity of the class [day]
    duration_limits: tuple[float, float] = (0.0, float("inf"))
    shortest_fade: float = 0.0  # shortest time from peak to half of it [day]


# --- drawing ------------------------------------------------------------------


def _log_uniform(rng: np.random.Generator, low: float, high: float, n: int) -> FloatArray:
    return np.exp(rng.uniform(np.log(low), np.log(high), n))


def _clipped_normal(
    rng: np.random.Generator, mean: float, sigma: float, limits: tuple[float, float], n: int
) -> FloatArray:
    """Normal values, drawn again while outside the limits."""
    value = rng.normal(mean, sigma, n)
    while (outside := (value < limits[0]) | (value > limits[1])).any():
        value[outside] = rng.normal(mean, sigma, int(outside.sum()))
    return value


def _draw_calcium_rich(rng: np.random.Generator, n: int) -> Parameters:
    """Low-mass, nickel-poor ejecta: 6,000 to 11,000 km/s, rise of 8 to 15 d, M_R -15 to -16.5.

    Kasliwal et al. 2012, doi:10.1088/0004-637X/755/2/161; Lunnan et al. 2017,
    doi:10.3847/1538-4357/836/1/60.
    """
    return {
        "ejecta_mass": rng.uniform(0.2, 0.8, n),
        "nickel_mass": _log_uniform(rng, 0.008, 0.05, n),
        "velocity": rng.uniform(6_000.0, 11_000.0, n),
        "opacity": rng.uniform(0.07, 0.2, n),
        "gamma_opacity": np.full(n, 0.027),  # of 56Co's lines; Cappellaro et al. 1997
        "floor": _clipped_normal(rng, 4_500.0, 500.0, (3_000.0, 6_000.0), n),
    }


def _draw_pair_instability(rng: np.random.Generator, n: int) -> Parameters:
    """Bare helium cores: mass fixes energy and nickel.

    Kasen, Woosley & Heger 2011, doi:10.1088/0004-637X/734/2/102, Table 1 (helium core 96.9,
    110.1, 123.5 solar masses: 27.8, 42.5, 63.2 x 10^51 erg and 1.90, 8.73, 23.1 solar masses
    of nickel), log nickel and energy linear between and slightly beyond; core masses fall
    with the slope of Salpeter's mass function, as stars of these masses do.
    """
    slope = -1.35
    low, high = 92.0, 130.0
    core = (low**slope + rng.random(n) * (high**slope - low**slope)) ** (1.0 / slope)
    known = np.array([96.9, 110.1, 123.5])
    segment = np.clip(np.searchsorted(known, core) - 1, 0, 1)
    share = (core - known[segment]) / np.diff(known)[segment]
    energy, nickel = np.array([27.8, 42.5, 63.2]), np.log([1.90, 8.73, 23.1])
    kinetic = energy[segment] + share * np.diff(energy)[segment]
    # v = sqrt(10 E / 3 M) of a uniform sphere.
    velocity = np.sqrt(10.0 / 3.0 * kinetic * 1e51 / (core * SOLAR_MASS)) / KMS
    return {
        "ejecta_mass": core,
        "nickel_mass": np.exp(nickel[segment] + share * np.diff(nickel)[segment]),
        "velocity": velocity,
        "opacity": rng.uniform(0.05, 0.15, n),
        "gamma_opacity": np.full(n, 0.027),
        "floor": _clipped_normal(rng, 5_000.0, 500.0, (3_500.0, 7_000.0), n),
    }


def _draw_magnetar(rng: np.random.Generator, n: int) -> Parameters:
    """Medians and spread of 38 fitted SLSNe I: Nicholl et al. 2017, doi:10.3847/1538-4357/aa9334."""
    return {
        "period": np.exp(_clipped_normal(rng, np.log(2.4), 0.55, (np.log(0.7), np.log(10.0)), n)),
        "field": np.exp(_clipped_normal(rng, np.log(0.8), 0.95, (np.log(0.05), np.log(8.0)), n)),
        "star_mass": rng.uniform(1.4, 2.2, n),
        "ejecta_mass": np.exp(_clipped_normal(rng, np.log(4.8), 0.85, (np.log(1.0), np.log(50.0)), n)),
        "velocity": _clipped_normal(rng, 11_000.0, 3_500.0, (5_000.0, 25_000.0), n),
        "opacity": rng.uniform(0.05, 0.2, n),
        "gamma_opacity": _log_uniform(rng, 0.01, 1.0, n),
        "floor": _clipped_normal(rng, 6_500.0, 1_000.0, (4_000.0, 10_000.0), n),
    }


def _draw_thermonuclear(rng: np.random.Generator, n: int) -> Parameters:
    """Chandrasekhar-mass ejecta: 0.35 to 0.85 solar masses of nickel, 9,000 to 13,000 km/s.

    Scalzo et al. 2014, doi:10.1093/mnras/stu1808. A thermal spectrum knows none of the
    lines of a SN Ia: this population checks the simulator, it does not replace SALT2.
    """
    return {
        "ejecta_mass": rng.uniform(0.9, 1.4, n),
        "nickel_mass": rng.uniform(0.35, 0.85, n),
        "velocity": rng.uniform(9_000.0, 13_000.0, n),
        "opacity": rng.uniform(0.08, 0.15, n),
        "gamma_opacity": np.full(n, 0.027),
        "floor": _clipped_normal(rng, 5_000.0, 400.0, (4_000.0, 6_500.0), n),
    }


def _draw_interacting(rng: np.random.Generator, n: int) -> Parameters:
    """Slow, light ejecta of an eruption or merger that run into matter lost before.

    The engine is that of Villar et al. 2017, doi:10.3847/1538-4357/aa8fcb; the ranges are ours,
    wide, and cut by the luminosities and durations of the class. Half the objects have a shell of constant
    density, half a wind (slope 0 and 2). The model's shocks end at once, so models that
    would go out within days are left to other classes (`Population.shortest_fade`).
    """
    return {
        "slope": np.where(rng.random(n) < 0.5, 0.0, 2.0),
        "ejecta_mass": _log_uniform(rng, 0.1, 10.0, n),
        "velocity": _log_uniform(rng, 200.0, 2_500.0, n),
        "shell_mass": _log_uniform(rng, 0.03, 3.0, n),
        "inner_radius": _log_uniform(rng, 1.0, 30.0, n),
        "density": _log_uniform(rng, 1e-14, 1e-11, n),
        "opacity": rng.uniform(0.1, 0.34, n),
        "efficiency": rng.uniform(0.1, 0.5, n),
        "floor": _clipped_normal(rng, 4_000.0, 700.0, (2_500.0, 6_000.0), n),
    }


# --- evolution ----------------------------------------------------------------


def _evolve_ejecta(t: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
    """Nickel or magnetar, whichever the parameters describe, inside expanding ejecta."""
    mass, velocity = parameters["ejecta_mass"], parameters["velocity"]
    if "nickel_mass" in parameters:
        heating = nickel_heating(t, parameters["nickel_mass"])
    else:
        heating = magnetar_heating(t, parameters["period"], parameters["field"], parameters["star_mass"])
    light = diffuse(t, heating, diffusion_time(mass, velocity, parameters["opacity"]))
    light = escape_gamma_rays(t, light, mass, velocity, parameters["gamma_opacity"])
    return light, photosphere_temperature(t, light, velocity, parameters["floor"])


def _evolve_interaction(t: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
    light = np.zeros((len(parameters["slope"]), len(t)))
    radius = np.zeros(len(light))
    for slope in (0, 2):
        rows = np.flatnonzero(parameters["slope"] == slope)
        if not len(rows):
            continue
        light[rows], radius[rows] = interact(
            t,
            ejecta_mass=parameters["ejecta_mass"][rows],
            velocity=parameters["velocity"][rows],
            shell_mass=parameters["shell_mass"][rows],
            inner_radius=parameters["inner_radius"][rows],
            density=parameters["density"][rows],
            opacity=parameters["opacity"][rows],
            efficiency=parameters["efficiency"][rows],
            slope=slope,
        )
    still = np.zeros(len(light))
    return light, photosphere_temperature(t, light, still, parameters["floor"], radius)


#: Every class that can be simulated. Redshift limits lie beyond where the brightest
#: member is seen in a deep drilling field.
POPULATIONS: Mapping[str, Population] = MappingProxyType(
    {
        "CaRT": Population(
            _draw_calcium_rich, _evolve_ejecta, "star_formation", (0.011, 0.6), (-14.5, -17.0), 400.0
        ),
        "ILOT": Population(
            _draw_interacting,
            _evolve_interaction,
            "core_collapse",
            (0.011, 0.4),
            (-9.5, -15.0),
            600.0,
            duration_limits=(15.0, 150.0),
            shortest_fade=5.0,
        ),
        "PISN": Population(
            _draw_pair_instability,
            _evolve_ejecta,
            "star_formation",
            (0.02, 2.2),
            (-17.0, -22.5),
            1_200.0,
            Thermal(3_000.0),
        ),
        "SLSN-I": Population(
            _draw_magnetar,
            _evolve_ejecta,
            "star_formation",
            (0.02, 3.5),
            (-19.5, -24.0),
            800.0,
            Thermal(3_000.0),
        ),
        "SNIa": Population(
            _draw_thermonuclear,
            _evolve_ejecta,
            "thermonuclear",
            (0.011, 1.5),
            (-18.0, -20.0),
            300.0,
            Thermal(4_000.0),
        ),
    }
)


def population(class_name: str) -> Population:
    """The population of a class; raises UnknownClassError if the class cannot be simulated."""
    if class_name not in POPULATIONS:
        raise UnknownClassError(
            f"class {class_name!r} cannot be simulated; these can: {', '.join(POPULATIONS)}"
        )
    return POPULATIONS[class_name]


def draw_models(
    kind: Population, n: int, rng: np.random.Generator, n_times: int = 256
) -> tuple[Parameters, Evolution]:
    """Draw n models of a population and let them evolve.

    Models whose peak or duration lies outside the class's limits are dropped. The parameters, each of
    shape (n_kept,), include ``peak_day`` [rest-frame day since explosion, of the bolometric light] and
    ``peak_abs_mag`` [mag, LSST r at redshift 0].
    """
    parameters = kind.draw(rng, n)
    t = time_grid(kind.last, n_times)
    light, state = kind.evolve(t, parameters)
    parameters.setdefault("peak_day", t[np.argmax(light, axis=1)])
    parameters["peak_abs_mag"] = _peak_magnitude(light, state, kind.spectrum)
    faintest, brightest = kind.peak_limits
    magnitude, (duration, fade) = parameters["peak_abs_mag"], _time_bright(t, light)
    kept = (magnitude <= faintest) & (magnitude >= brightest)
    kept &= (duration >= kind.duration_limits[0]) & (duration <= kind.duration_limits[1])
    kept &= fade >= kind.shortest_fade
    return {name: value[kept] for name, value in parameters.items()}, Evolution(t, light[kept], state[kept])


def _time_bright(t: FloatArray, light: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Time above half of the peak luminosity, all of it and that after the peak, (n_models,) [day]."""
    above = light > 0.5 * light.max(axis=1, keepdims=True)
    later = np.arange(len(t)) > np.argmax(light, axis=1)[:, None]
    return above @ np.gradient(t), (above & later) @ np.gradient(t)


def _peak_magnitude(light: FloatArray, state: FloatArray, spectrum: Spectrum) -> FloatArray:
    """Brightest absolute magnitude in LSST r at redshift 0, shape (n_models,)."""
    wavelength = EFFECTIVE_WAVELENGTH[REST_BAND]
    best = np.argmax(flux_density(light, state, wavelength, spectrum=spectrum), axis=1)
    rows = np.arange(len(light))
    band = np.full(len(light), REST_BAND, dtype=np.int8)
    flux = band_flux(light[rows, best], state[rows, best], band, spectrum=spectrum)
    return magnitude_of(flux)
