"""Engines: conservation, Arnett's rule and known limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.simulate.engines import (
    DAY,
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
from firstlight.simulate.spectrum import SIGMA_SB


def test_the_grid_rises_from_zero_and_is_denser_early() -> None:
    t = time_grid(100.0, 64)
    assert t[0] == 0.0
    assert t[-1] == pytest.approx(100.0)
    assert (np.diff(t, 2) > 0).all()


@given(st.floats(5.0, 60.0), st.floats(0.01, 10.0))
def test_peak_luminosity_equals_the_heating_then(tau: float, nickel: float) -> None:
    """Arnett's rule."""
    t = time_grid(600.0, 1024)
    heating = nickel_heating(t, np.array([nickel]))
    light = diffuse(t, heating, np.array([tau]))
    peak = int(np.argmax(light[0]))
    assert light[0, peak] == pytest.approx(heating[0, peak], rel=0.03)


def test_diffusion_equals_arnetts_integral() -> None:
    t = time_grid(200.0, 2048)
    heating = nickel_heating(t, np.array([0.6]))
    tau = 12.0
    light = diffuse(t, heating, np.array([tau]))[0]
    for day in (5.0, 20.0, 60.0):
        fine = np.linspace(0.0, day, 40_001)
        q = nickel_heating(fine, np.array([0.6]))[0]
        kernel = 2.0 * fine / tau**2 * np.exp((fine**2 - day**2) / tau**2)
        assert np.interp(day, t, light) == pytest.approx(np.trapezoid(q * kernel, fine), rel=2e-3)


def test_late_light_follows_the_heating() -> None:
    t = time_grid(400.0)
    heating = nickel_heating(t, np.array([0.1]))
    light = diffuse(t, heating, np.array([8.0]))
    assert light[0, -1] == pytest.approx(heating[0, -1], rel=0.01)


def test_nickel_gives_its_known_luminosity() -> None:
    assert nickel_heating(np.array([0.0]), np.array([1.0]))[0, 0] == pytest.approx(7.9e43)


def test_a_magnetar_gives_no_more_than_it_spins_with() -> None:
    t = time_grid(20_000.0, 4096)
    heating = magnetar_heating(t, np.array([2.0]), np.array([1.0]), np.array([1.4]))
    assert np.trapezoid(heating[0], t * DAY) == pytest.approx(2.6e52 / 4.0, rel=0.01)


def test_gamma_rays_escape_late_and_from_light_ejecta() -> None:
    t = time_grid(300.0)
    light = np.ones((2, len(t)))
    left = escape_gamma_rays(t, light, np.array([0.3, 5.0]), np.full(2, 9_000.0), np.full(2, 0.027))
    assert (np.diff(left, axis=1) <= 1e-12).all()
    assert left[0, -1] < left[1, -1] < 1.0
    assert left[1, 0] == pytest.approx(1.0)


def test_diffusion_is_slower_for_heavier_and_slower_ejecta() -> None:
    base, heavy, fast = diffusion_time(
        np.array([2.0, 8.0, 2.0]), np.array([8_000.0, 8_000.0, 32_000.0]), np.full(3, 0.1)
    )
    assert heavy == pytest.approx(2.0 * base)
    assert fast == pytest.approx(0.5 * base)


def test_the_photosphere_cools_to_its_floor_and_stays() -> None:
    t = time_grid(100.0)
    light = np.full((1, len(t)), 1e43)
    temperature = photosphere_temperature(t, light, np.array([10_000.0]), np.array([5_000.0]))[0]
    assert (np.diff(temperature) <= 0).all()
    assert temperature[-1] == 5_000.0
    early = 20
    radius = 1e9 * t[early] * DAY
    assert temperature[early] == pytest.approx((1e43 / (4 * np.pi * SIGMA_SB * radius**2)) ** 0.25)


@given(
    st.floats(0.1, 10.0),
    st.floats(200.0, 2_500.0),
    st.floats(0.03, 3.0),
    st.floats(1.0, 30.0),
    st.floats(-14.0, -11.0),
    st.sampled_from([0, 2]),
)
def test_interaction_radiates_less_than_the_ejecta_bring(
    mass: float, velocity: float, shell: float, inner: float, log_density: float, slope: int
) -> None:
    t = time_grid(20_000.0, 1024)
    arguments = [np.array([value]) for value in (mass, velocity, shell, inner, 10.0**log_density, 0.3, 1.0)]
    light, radius = interact(t, *arguments, slope)
    energy = 0.3 * mass * SOLAR_MASS * (velocity * 1e5) ** 2
    assert (light >= 0.0).all()
    assert np.isfinite(light).all()
    assert radius[0] > inner * 1.49e13
    assert np.trapezoid(light[0], t * DAY) < 1.1 * energy  # the last step may overshoot


def test_a_wind_gives_light_early_and_a_shell_late() -> None:
    t = time_grid(400.0, 512)
    arguments = [np.array([value]) for value in (2.0, 800.0, 0.5, 5.0, 1e-13, 0.2, 0.3)]
    shell, _ = interact(t, *arguments, 0)
    wind, _ = interact(t, *arguments, 2)
    assert t[np.argmax(wind[0])] < t[np.argmax(shell[0])]
