import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import SettingsError
from firstlight.simulate.rates import draw_redshifts, relative_rate


@pytest.mark.parametrize("rate", ["star_formation", "core_collapse", "thermonuclear"])
def test_rates_are_one_today_and_were_higher(rate: str) -> None:
    assert relative_rate(rate, 0.0) == pytest.approx(1.0)  # type: ignore[arg-type]
    assert relative_rate(rate, 1.0) > 1.0  # type: ignore[arg-type]


def test_star_formation_peaks_near_redshift_two() -> None:
    z = np.linspace(0.0, 4.0, 401)
    assert 1.7 < z[np.argmax(relative_rate("star_formation", z))] < 2.1


def test_an_unknown_rate_is_refused() -> None:
    with pytest.raises(SettingsError, match="choose star_formation"):
        relative_rate("steady", 0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("limits", [(0.5, 0.5), (-0.1, 1.0), (0.1, 9.0)])
def test_impossible_limits_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(SettingsError, match="redshift limits"):
        draw_redshifts(3, "star_formation", limits, np.random.default_rng(0))


@given(st.integers(0, 2**32), st.floats(0.0, 1.0), st.floats(0.05, 3.0))
def test_redshifts_stay_within_their_limits(seed: int, low: float, width: float) -> None:
    z = draw_redshifts(50, "core_collapse", (low, low + width), np.random.default_rng(seed))
    assert ((z >= low) & (z <= low + width)).all()


def test_nearby_redshifts_fill_the_volume() -> None:
    z = draw_redshifts(20_000, "thermonuclear", (0.0, 0.02), np.random.default_rng(1))
    # Euclidean space: the number within r grows as r^3.
    assert np.mean(z < 0.01) == pytest.approx(0.125, abs=0.015)
