"""Superluminous supernovae and tidal disruptions as surveys find them, for training.

`firstlight.simulate.populations` has all events per volume; a survey of known depth is simulated from
them. A training set for other surveys needs the objects that get a spectrum: above all superluminous
supernovae that are fainter and nearer than those of PLAsTiCC (decision 0225).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from firstlight._types import FloatArray
from firstlight.simulate.populations import POPULATIONS, Evolution, Parameters, Population, draw_models
from firstlight.simulate.spectrum import BLACKBODY, Thermal, flux_density, magnitude_of, planck

G_WAVELENGTH, R_WAVELENGTH = 4_770.0, 6_200.0  # Angstrom
MOST_DRAWN = 4  # models drawn for each that is wanted, as those beyond the limits of the class are dropped
TRIGGER = (0.08, 0.4)  # range of the share of the peak in rest-frame r at which an object is detected first
N_BINS = 16  # of magnitudes, in which models are weighed
MOST_WEIGHT = 8.0  # of a model, over the median one


@dataclass(frozen=True, slots=True)
class SkyPopulation:
    """A population, the dust of its hosts, and how models are weighed.

    Attributes
    ----------
    population : Population
        Parameters that are drawn, their evolution, and their redshifts.
    dust, most_dust : float
        Scale of the exponential distribution of the host's A_V, and its limit [mag].
    is_observed : bool
        Whether the distributions are those of observed events. Then the volume in which a model can be seen
        does not weigh it again; a luminosity function per volume is weighed by that volume.
    peaks : tuple of float, optional
        Median of the peak magnitudes in rest-frame g, and the distances of the 16 % and 84 % quantiles from
        it [mag], which the models are weighed to have.
    """

    population: Population
    dust: float
    most_dust: float
    is_observed: bool
    peaks: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SkyModels:
    """Models of a population, and the quantities that decide how surveys find them."""

    kind: SkyPopulation
    evolution: Evolution
    a_v: FloatArray  # (n_models,); of the host [mag]
    weight: FloatArray  # (n_models,); sums to 1
    trigger: FloatArray  # (n_models,); first detection [rest-frame day since explosion]

    def __len__(self) -> int:
        """Number of models."""
        return len(self.a_v)


def draw_sky_models(kind: SkyPopulation, n: int, rng: np.random.Generator) -> SkyModels:
    """At most `n` models of a population."""
    found, drawn = draw_models(kind.population, MOST_DRAWN * n, rng)
    kept = np.arange(min(n, len(found["peak_day"])))
    evolution = Evolution(drawn.t, drawn.luminosity[kept], drawn.state[kept])
    spectrum = kind.population.spectrum
    red = flux_density(evolution.luminosity, evolution.state, R_WAVELENGTH, spectrum=spectrum)
    risen = red > rng.uniform(*TRIGGER, len(kept))[:, None] * red.max(axis=1, keepdims=True)
    weight = np.ones(len(kept))
    if kind.peaks is not None:
        blue = flux_density(evolution.luminosity, evolution.state, G_WAVELENGTH, spectrum=spectrum)
        weight = _weights(magnitude_of(blue.max(axis=1)), *kind.peaks)
    a_v = np.minimum(rng.exponential(kind.dust, len(kept)), kind.most_dust)
    return SkyModels(kind, evolution, a_v, weight / weight.sum(), evolution.t[np.argmax(risen, axis=1)])


def _weights(magnitude: FloatArray, median: float, bright: float, faint: float) -> FloatArray:
    """Weights that turn the distribution of magnitudes into a two-sided normal one."""
    edges = np.linspace(magnitude.min() - 1e-6, magnitude.max() + 1e-6, N_BINS)
    place = np.clip(np.searchsorted(edges, magnitude) - 1, 0, N_BINS - 2)
    share = np.bincount(place, minlength=N_BINS - 1) / len(magnitude)
    centre = 0.5 * (edges[1:] + edges[:-1])
    sigma = np.where(centre < median, bright, faint)
    wanted = np.exp(-0.5 * ((centre - median) / sigma) ** 2) / sigma  # each side has half of the weight
    ratio = wanted[place] / share[place]
    return np.asarray(np.minimum(ratio, MOST_WEIGHT * np.median(ratio)))


# --- superluminous supernovae -----------------------------------------------------


def _draw_superluminous(rng: np.random.Generator, n: int) -> Parameters:
    """Magnetars of 38 fitted SLSNe-I: medians and 1 sigma ranges of Nicholl et al. 2017, arXiv:1706.00825.

    They are weighed to have the luminosities of 78 SLSNe-I of ZTF: Chen et al. 2023, arXiv:2202.02059.
    Colours scatter more than one floor of the temperature gives (same paper), so floors are drawn wider
    than in `populations`.
    """
    return {
        "period": _skewed(rng, 2.4, 1.2, 1.6, (0.7, 15.0), n),
        "field": _skewed(rng, 0.8, 0.6, 1.0, (0.05, 10.0), n),
        "star_mass": rng.uniform(1.4, 2.2, n),
        "ejecta_mass": _skewed(rng, 4.8, 2.6, 8.1, (1.0, 40.0), n),
        "velocity": np.clip(rng.normal(10_500.0, 3_000.0, n), 5_000.0, 20_000.0),
        "opacity": rng.uniform(0.05, 0.2, n),
        "gamma_opacity": np.exp(rng.uniform(np.log(0.01), np.log(1.0), n)),
        "floor": np.clip(rng.normal(6_300.0, 1_300.0, n), 4_000.0, 10_000.0),
    }


def _skewed(
    rng: np.random.Generator, median: float, below: float, above: float, limits: tuple[float, float], n: int
) -> FloatArray:
    """Log-normal on each side of the median, whose 16 % and 84 % quantiles lie `below` and `above` it."""
    size = rng.standard_normal(n)
    width = np.where(size < 0.0, np.log(median / (median - below)), np.log((median + above) / median))
    return np.asarray(np.clip(median * np.exp(width * size), *limits))


# --- tidal disruptions ------------------------------------------------------------


def _draw_disruption(rng: np.random.Generator, n: int) -> Parameters:
    """Hot blackbodies of slowly changing temperature that rise and decline smoothly.

    Luminosity in rest-frame g: the broken power law of Yao et al. 2023, arXiv:2303.06523, from 10^42.3 to
    10^44.6 erg/s. Temperature (log 4.1 to 4.6), Gaussian rise, decline, change of temperature: ranges about
    those of van Velzen et al. 2021, arXiv:2001.01409, and Hammerstein et al. 2023, arXiv:2203.01461. The
    decline is a power law of index -5/3, or steeper or shallower, down to a plateau of at most 6 % (Mummery
    et al. 2024, doi:10.1093/mnras/stad3001).
    """
    log_l = np.linspace(42.3, 44.6, 401)
    ratio = 10.0 ** (log_l - 43.1)
    total = np.cumsum(1.0 / (ratio**0.3 + ratio**2.6))
    return {
        "log_l": np.interp(rng.random(n) * total[-1], total, log_l),
        "temperature": np.clip(10.0 ** rng.normal(4.3, 0.15, n), 10_000.0, 45_000.0),
        "warming": np.clip(rng.normal(0.05, 0.12, n), -0.25, 0.4),
        "rise": np.clip(np.exp(rng.normal(np.log(13.0), 0.5, n)), 4.0, 45.0),
        "fade": np.clip(np.exp(rng.normal(np.log(60.0), 0.6, n)), 12.0, 300.0),
        "slope": np.clip(rng.normal(-5.0 / 3.0, 0.4, n), -3.0, -0.9),
        "plateau": np.exp(rng.uniform(np.log(0.003), np.log(0.06), n)),
    }


def _evolve_disruption(t: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
    """A Gaussian rise from 3.5 sigma before the peak, and a power law to the plateau after it."""
    column = {name: values[:, None] for name, values in parameters.items()}
    since = t - 3.5 * column["rise"]
    after = np.maximum(since, 0.0)
    shape = np.where(
        since < 0.0,
        np.exp(-0.5 * (since / column["rise"]) ** 2),
        np.maximum((1.0 + after / column["fade"]) ** column["slope"], column["plateau"]),
    )
    state = column["temperature"] * (1.0 + after / 100.0) ** column["warming"]
    share = G_WAVELENGTH * planck(np.full_like(column["temperature"], G_WAVELENGTH), column["temperature"])
    return 10.0 ** column["log_l"] / share * shape, np.clip(state, 8_000.0, 50_000.0)


#: Classes that can be made as surveys find them.
SKY_POPULATIONS: Mapping[str, SkyPopulation] = MappingProxyType(
    {
        "SLSN-I": SkyPopulation(
            Population(
                _draw_superluminous,
                POPULATIONS["SLSN-I"].evolve,
                "star_formation",
                (0.02, 2.0),
                (-19.6, -23.0),
                700.0,
                Thermal(3_000.0),
            ),
            dust=0.15,
            most_dust=1.0,
            is_observed=True,
            peaks=(-21.48, 0.61, 1.13),
        ),
        "TDE": SkyPopulation(
            Population(
                _draw_disruption,
                _evolve_disruption,
                "thermonuclear",
                (0.005, 1.2),
                (-16.0, -23.0),
                900.0,
                BLACKBODY,
            ),
            dust=0.1,
            most_dust=0.6,
            is_observed=False,
        ),
    }
)
