"""Populations against published peak magnitudes and time scales."""

import numpy as np
import pytest
from numpy.typing import NDArray

from firstlight.errors import UnknownClassError
from firstlight.simulate import POPULATIONS
from firstlight.simulate.populations import draw_models, population
from firstlight.taxonomy import CLASSES


def spread(values: NDArray[np.float64]) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, [5, 50, 95])
    return float(low), float(middle), float(high)


def draw(name: str, n: int = 400):  # type: ignore[no-untyped-def]
    return draw_models(population(name), n, np.random.default_rng(11))


def test_every_population_is_a_class_that_firstlight_knows() -> None:
    assert set(POPULATIONS) <= set(CLASSES)
    assert {"CaRT", "ILOT", "PISN"} <= set(POPULATIONS)


def test_an_unknown_class_is_refused_with_the_list() -> None:
    with pytest.raises(UnknownClassError, match="CaRT, ILOT, PISN"):
        population("Mira")


@pytest.mark.parametrize("name", sorted(POPULATIONS))
def test_models_shine_and_are_finite(name: str) -> None:
    parameters, evolution = draw(name)
    assert len(parameters["peak_abs_mag"]) > 20
    for values in (evolution.luminosity, evolution.state):
        assert values.shape == (len(parameters["peak_abs_mag"]), len(evolution.t))
        assert np.isfinite(values).all()
    assert (evolution.luminosity >= 0.0).all()
    assert (evolution.state >= 2_500.0).all()
    assert (parameters["peak_abs_mag"] <= population(name).peak_limits[0]).all()
    assert (parameters["peak_abs_mag"] >= population(name).peak_limits[1]).all()


def test_calcium_rich_transients_are_faint_and_fast() -> None:
    """Kasliwal et al. 2012: peak -15 to -16.5, rise about 12 to 15 days."""
    parameters, _ = draw("CaRT")
    low, middle, high = spread(parameters["peak_abs_mag"])
    assert -17.0 < low < -16.0
    assert -16.3 < middle < -15.2
    assert -15.2 < high < -14.5
    assert 10.0 < np.median(parameters["peak_day"]) < 15.0


def test_pair_instability_supernovae_are_slow_and_span_four_magnitudes() -> None:
    """Kasen et al. 2011: rise of 100 to 200 days, up to 1e44 erg/s."""
    parameters, evolution = draw("PISN")
    low, _, high = spread(parameters["peak_abs_mag"])
    assert -22.3 < low < -21.0
    assert -18.8 < high < -17.4
    assert 100.0 < np.median(parameters["peak_day"]) < 200.0
    assert 5e43 < evolution.luminosity.max() < 4e44


def test_heavier_cores_make_brighter_pair_instability_supernovae() -> None:
    parameters, _ = draw("PISN")
    rank = np.corrcoef(parameters["ejecta_mass"], parameters["peak_abs_mag"])[0, 1]
    assert rank < -0.9


def test_nickel_of_pair_instability_follows_the_published_table() -> None:
    """Kasen et al. 2011, Table 1: 8.73 solar masses for a core of 110.1."""
    parameters, _ = draw("PISN", 2_000)
    near = np.argmin(np.abs(parameters["ejecta_mass"] - 110.1))
    assert parameters["nickel_mass"][near] == pytest.approx(8.73, rel=0.05)


def test_intermediate_luminosity_transients_fill_the_gap_between_novae_and_supernovae() -> None:
    parameters, evolution = draw("ILOT", 2_000)
    low, middle, high = spread(parameters["peak_abs_mag"])
    assert -15.0 <= low < -13.0
    assert -14.0 < middle < -11.0
    assert -11.5 < high <= -9.5
    above = evolution.luminosity > 0.5 * evolution.luminosity.max(axis=1, keepdims=True)
    duration = above @ np.gradient(evolution.t)
    assert ((duration >= 15.0) & (duration <= 150.0)).all()


def test_magnetars_make_superluminous_supernovae() -> None:
    """Nicholl et al. 2017: about -22, rise of 20 to 50 days, hotter than 10,000 K at peak."""
    parameters, evolution = draw("SLSN-I")
    assert -22.5 < np.median(parameters["peak_abs_mag"]) < -21.2
    assert 15.0 < np.median(parameters["peak_day"]) < 45.0
    peak = np.argmax(evolution.luminosity, axis=1)
    assert np.median(evolution.state[np.arange(len(peak)), peak]) > 10_000.0


def test_thermonuclear_supernovae_peak_where_they_should() -> None:
    parameters, _ = draw("SNIa")
    assert np.median(parameters["peak_abs_mag"]) == pytest.approx(-19.1, abs=0.3)
    assert 12.0 < np.median(parameters["peak_day"]) < 19.0


def test_the_same_seed_draws_the_same_models() -> None:
    one, first = draw("ILOT")
    two, second = draw("ILOT")
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name])
    np.testing.assert_array_equal(first.luminosity, second.luminosity)
