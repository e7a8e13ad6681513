"""Populations of further classes for `made_classes`: stripped supernovae and SNe II of all declines.

Engines are those of `firstlight.simulate`, the other populations those of `firstlight.simulate.sky`; their
parameters are drawn as in the papers that each population names. No preset uses them.
"""

from dataclasses import dataclass

import numpy as np

from firstlight._types import FloatArray
from firstlight.simulate.populations import POPULATIONS, Parameters, Population
from firstlight.simulate.sky import SKY_POPULATIONS, SkyPopulation
from firstlight.simulate.spectrum import planck

EJECTA = POPULATIONS["CaRT"].evolve  # nickel in expanding ejecta
V_WAVELENGTH = 5_470.0  # Angstrom
# 4 pi d^2 f_nu c of a source of V = 0 at 10 pc [erg/s Angstrom]
V_TO_NU_L_NU = 4.0 * np.pi * (3.0857e19) ** 2 * 3.631e-20 * 2.998e18


@dataclass(frozen=True, slots=True)
class Blanketed:
    """A blackbody whose blue light metals absorb once it is cooler than `hottest`; see `Thermal`.

    Its luminosity is that of the blackbody; absorbed light is not given back.
    """

    cutoff: float = 4_500.0  # Angstrom
    hottest: float = 9_000.0  # K; above, nothing is absorbed
    steepest: float = 4.0

    def __call__(self, rest: FloatArray, state: FloatArray) -> FloatArray:
        """See `firstlight.simulate.spectrum.Spectrum`."""
        steepness = np.clip((self.hottest - state) / 1_200.0, 0.0, self.steepest)
        return np.asarray(planck(rest, state) * np.minimum(rest / self.cutoff, 1.0) ** steepness)


def _stripped(rng: np.random.Generator, n: int) -> Parameters:
    """Types IIb, Ib, Ic and Ic-BL: masses, velocities of Lyman et al. 2016, doi:10.1093/mnras/stv2983.

    Nickel: Prentice et al. 2016, arXiv:1602.01736. Nickel and ejecta mass rise together.
    """
    common = rng.standard_normal(n)
    own = rng.standard_normal((2, n))
    mass = 2.4 * np.exp(0.55 * (0.6 * common + 0.8 * own[0]))
    nickel = 0.17 * np.exp(0.6 * (0.6 * common + 0.8 * own[1]))
    return {
        "ejecta_mass": np.clip(mass, 0.6, 10.0),
        "nickel_mass": np.clip(nickel, 0.03, 0.8),
        "velocity": np.clip(rng.normal(10_000.0, 2_500.0, n), 5_500.0, 20_000.0),
        "opacity": rng.uniform(0.05, 0.09, n),
        "gamma_opacity": np.full(n, 0.027),
        "floor": np.clip(rng.normal(5_000.0, 500.0, n), 3_800.0, 6_500.0),
    }


def _plateau(rng: np.random.Generator, n: int) -> Parameters:
    """SNe II, from plateaus to linear declines: V light curves of Anderson et al. 2014.

    Peak magnitude, decline after the peak (s1), on the plateau (s2) and of the tail (s3), and the time to the
    end of the plateau: doi:10.1088/0004-637X/786/1/67; brighter ones decline faster, with shorter plateaus.
    Rise: Gonzalez-Gaitan et al. 2015, doi:10.1093/mnras/stv1097. Temperatures cool with time as
    those of Faran et al. 2018, doi:10.1093/mnras/stx2288, to a floor at which r - z is that of real ones.
    """
    peak = np.clip(rng.normal(-16.9, 1.0, n), -18.8, -14.5)
    slope = np.clip(1.27 - 0.5 * (peak + 16.74) + rng.normal(0.0, 0.6, n), -0.3, 4.5)
    return {
        "peak": peak,
        "slope": slope,
        "early": slope + np.abs(rng.normal(1.2, 0.6, n)),
        "end": np.clip(rng.normal(86.0, 15.0, n) - 7.0 * (slope - 1.27), 45.0, 140.0),
        "drop": np.clip(rng.normal(1.8, 0.4, n), 0.8, 3.0),
        "rise": np.clip(np.exp(rng.normal(np.log(7.5), 0.3, n)), 3.0, 16.0),
        "temperature": np.clip(rng.normal(11_500.0, 1_500.0, n), 8_500.0, 16_000.0),
        "cooling": np.clip(rng.normal(0.5, 0.08, n), 0.3, 0.7),
        "floor": np.clip(rng.normal(6_600.0, 500.0, n), 5_300.0, 8_000.0),
    }


def _evolve_plateau(t: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
    column = {name: values[:, None] for name, values in parameters.items()}
    rise, end = column["rise"], column["end"]
    since = np.maximum(t - rise, 0.0)
    turn = 20.0  # days after the peak at which s1 gives way to s2
    magnitude = column["peak"] + 0.01 * (
        column["early"] * np.minimum(since, turn) + column["slope"] * np.maximum(since - turn, 0.0)
    )
    past = t - end
    magnitude = magnitude + column["drop"] / (1.0 + np.exp(-np.clip(past / 4.0, -40.0, 40.0)))
    # the tail declines by 1.47 mag in 100 days whatever the plateau did
    magnitude = magnitude + 0.01 * (1.47 - column["slope"]) * np.maximum(past - 10.0, 0.0)
    rising = np.sin(0.5 * np.pi * np.clip(t / rise, 0.0, 1.0)) ** 2
    state = column["temperature"] * np.maximum(t, 2.0) ** -column["cooling"] * 8.0 ** column["cooling"]
    state = np.clip(state, column["floor"], 25_000.0)
    nu_l_nu = V_TO_NU_L_NU / V_WAVELENGTH * 10.0 ** (-0.4 * magnitude)
    light = nu_l_nu / (V_WAVELENGTH * planck(np.full_like(state, V_WAVELENGTH), state))
    return light * rising, state


#: Populations by the name of their class, or of their class and their meaning.
KINDS: dict[str, SkyPopulation] = dict(SKY_POPULATIONS) | {
    "SNIbc": SkyPopulation(
        Population(_stripped, EJECTA, "core_collapse", (0.005, 0.7), (-15.5, -19.8), 300.0, Blanketed()),
        dust=0.6,
        most_dust=2.5,
        is_observed=True,
    ),
    "SNII": SkyPopulation(
        Population(
            _plateau,
            _evolve_plateau,
            "core_collapse",
            (0.003, 0.6),
            (-14.3, -19.2),
            300.0,
            Blanketed(5_800.0, 10_500.0),
        ),
        dust=0.25,
        most_dust=1.5,
        is_observed=True,
    ),
    # as PLAsTiCC made them, for comparison
    "SLSN-I, as before": SkyPopulation(POPULATIONS["SLSN-I"], dust=0.3, most_dust=2.0, is_observed=False),
}
