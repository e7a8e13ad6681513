"""Airmass, Moon and twilight, against astroplan and hand-made cases."""

import math
import socket

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.interpolate import CubicSpline

from firstlight.errors import SettingsError
from firstlight.followup.night import SITES, ObservingConfig, find_site, plan_night, visibility

#: From astroplan 0.10.1 on astropy 7 (no refraction, sec z of at most 2, no Moon limit): evening and
#: morning twilight [MJD UTC], then in the middle of the night lit fraction and altitude of the Moon,
#: then for each target: ra, dec, hours up, lowest airmass, altitude and distance of the Moon in the middle.
ASTROPLAN = (
    ("rubin", "2026-11-26", 61371.04187, 61371.33367, 0.9036, 21.04, [
        (53.1, -28.1, 7.003, 1.0008, 81.35, 72.83),
        (83.6, 22.0, 4.077, 1.6339, 33.957, 17.95),
        (150.1, 2.2, 1.218, 1.4482, 1.122, 51.88),
        (10.0, 41.3, 0.0, math.nan, 3.437, 74.21),
        (201.0, -60.0, 0.0, math.nan, 6.592, 117.46),
    ]),
    ("la-palma", "2025-06-11", 60837.90554, 60838.1935, 0.993, 31.414, [
        (53.1, -28.1, 0.0, math.nan, -66.101, 113.07),
        (83.6, 22.0, 0.0, math.nan, -39.118, 171.17),
        (150.1, 2.2, 0.0, math.nan, -16.515, 116.4),
        (10.0, 41.3, 1.074, 1.4956, 5.513, 116.31),
        (201.0, -60.0, 0.0, math.nan, -11.153, 54.31),
    ]),
    ("siding-spring", "2024-03-24", 60393.39607, 60393.78453, 0.9954, 54.852, [
        (53.1, -28.1, 0.634, 1.6293, -14.403, 121.62),
        (83.6, 22.0, 0.0, math.nan, -19.525, 92.18),
        (150.1, 2.2, 5.917, 1.1972, 43.772, 27.25),
        (10.0, 41.3, 0.0, math.nan, -78.685, 133.77),
        (201.0, -60.0, 9.048, 1.1417, 58.94, 66.12),
    ]),
)  # fmt: skip
NO_MOON = ObservingConfig(moon_limit=0.0)


@pytest.fixture(scope="module")
def rubin_night():
    return plan_night(SITES["rubin"], "2026-11-26")


@pytest.mark.parametrize("case", ASTROPLAN, ids=lambda case: case[0])
def test_night_agrees_with_astroplan(case):
    name, date, evening, morning, lit, moon_altitude, targets = case
    night = plan_night(SITES[name], date)
    step = 5.0 / 1440.0
    assert -1e-9 <= night.mjd[0] - evening <= step
    assert -1e-9 <= morning - night.mjd[-1] <= step
    assert night.moon_lit == pytest.approx(lit, abs=1e-3)
    middle = int(np.argmin(np.abs(night.mjd - (evening + morning) / 2.0)))
    assert night.moon_altitude[middle] == pytest.approx(moon_altitude, abs=0.7)  # half a step
    ra, dec, hours, airmass, _, distance = np.array(targets).T
    seen = visibility(night, ra, dec, NO_MOON)
    assert_allclose(seen.hours, hours, atol=0.17)  # two steps
    assert_allclose(seen.best_airmass, airmass, atol=0.03)  # those that rise or set change by this in a step
    assert_allclose(seen.moon_distance, distance, atol=2.5)  # at the lowest airmass, not in the middle


def test_altitudes_are_astroplans_to_a_hundredth_of_a_degree():
    for name, date, evening, morning, _, _, targets in ASTROPLAN:
        night = plan_night(SITES[name], date)
        ra, dec, _, _, altitude, _ = np.array(targets).T
        airmass = visibility(night, ra, dec, ObservingConfig(moon_limit=0.0, airmass_limit=10.0)).airmass
        for row, expected in zip(airmass, altitude, strict=True):
            if expected > 10.0:
                middle = (evening + morning) / 2.0
                up = np.isfinite(row)
                sine = CubicSpline(night.mjd[up], 1.0 / row[up])(middle)
                assert np.degrees(np.arcsin(sine)) == pytest.approx(expected, abs=0.01)


def test_pole_stands_still_at_the_sites_latitude():
    night = plan_night(find_site("0,45"), "2000-01-10")  # where precession vanishes
    airmass = visibility(night, np.array([0.0]), np.array([90.0]), NO_MOON).airmass
    assert_allclose(airmass, math.sqrt(2.0), rtol=2e-4)


def test_a_midnight_sun_leaves_no_night():
    night = plan_night(find_site("25.0,70.0"), "2026-06-20")
    assert (len(night.mjd), night.dark_hours) == (0, 0.0)
    seen = visibility(night, np.array([10.0, 20.0]), np.array([60.0, 70.0]))
    assert seen.hours.tolist() == [0.0, 0.0]
    assert seen.factor.tolist() == [0.0, 0.0]
    assert seen.airmass.shape == (2, 0)


def test_a_date_is_that_of_the_evening_at_the_site():
    for name, first, last in (
        ("mauna-kea", 4.0, 16.0),
        ("siding-spring", -16.0, -3.0),
        ("la-palma", -6.0, 8.0),
    ):
        hours = plan_night(SITES[name], "2026-03-20").hours
        assert first < hours[0] < hours[-1] < last  # UTC, counted from the midnight after the evening


def test_moon_keeps_targets_away_only_while_it_is_up(rubin_night):
    beside = np.degrees(np.arctan2(rubin_night.moon_vector[:, 1], rubin_night.moon_vector[:, 0]))[:1] % 360.0
    height = np.degrees(np.arcsin(rubin_night.moon_vector[0, 2:]))
    near = visibility(rubin_night, beside, height)
    free = visibility(rubin_night, beside, height, NO_MOON)
    assert free.hours[0] > 0.0
    assert near.hours[0] < free.hours[0]
    moonlit = rubin_night.moon_altitude > 0.0
    assert np.isnan(near.airmass[0, moonlit]).all()
    assert near.moon_distance[0] < 10.0


def test_moonlight_and_airmass_reduce_the_factor(rubin_night):
    seen = visibility(rubin_night, np.array([53.1, 53.1, 10.0]), np.array([-28.1, 10.0, 41.3]))
    assert 0.5 < seen.factor[1] < seen.factor[0] < 1.0
    assert seen.factor[2] == 0.0
    dark = plan_night(SITES["rubin"], "2026-12-09")
    assert dark.moon_lit < 0.05
    assert visibility(dark, np.array([53.1]), np.array([-28.1])).factor[0] > 0.98


def test_a_stricter_airmass_leaves_fewer_hours(rubin_night):
    hours = [
        visibility(rubin_night, np.array([83.6]), np.array([0.0]), ObservingConfig(airmass_limit=x)).hours[0]
        for x in (3.0, 2.0, 1.5, 1.2)
    ]
    assert hours == sorted(hours, reverse=True)
    assert hours[0] > hours[-1]


def test_unknown_positions_and_no_targets_are_never_up(rubin_night):
    seen = visibility(rubin_night, np.array([np.nan, 53.1]), np.array([-28.1, np.nan]))
    assert seen.hours.tolist() == [0.0, 0.0]
    assert np.isnan(seen.best_airmass).all()
    assert len(visibility(rubin_night, np.empty(0), np.empty(0)).hours) == 0


def test_a_target_does_not_depend_on_the_others(rubin_night):
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0.0, 360.0, 50), rng.uniform(-90.0, 90.0, 50)
    together = visibility(rubin_night, ra, dec)
    for i in (0, 17, 49):
        alone = visibility(rubin_night, ra[i : i + 1], dec[i : i + 1])
        assert_allclose(alone.airmass[0], together.airmass[i], rtol=1e-12)
        assert alone.hours[0] == together.hours[i]


@pytest.mark.parametrize("date", ["1962-05-05", "2026-11-26", "2060-01-01"])
def test_nothing_is_downloaded_whatever_the_date(date, monkeypatch):
    def no_network(*_, **__):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    night = plan_night(SITES["paranal"], date)
    assert visibility(night, np.array([180.0]), np.array([-30.0])).airmass.shape == (1, len(night.mjd))


@pytest.mark.parametrize("text", ["rubin", "Rubin", " la palma", "LA_SILLA", "mauna-kea"])
def test_sites_are_found_by_name(text):
    assert find_site(text) in SITES.values()


def test_sites_are_where_they_should_be():
    for site in SITES.values():
        assert -180.0 <= site.longitude <= 180.0
        assert -35.0 < site.latitude < 40.0
        assert 500.0 < site.height < 5000.0


def test_a_site_can_be_given_by_numbers():
    site = find_site("289.25,-30.2,2700")
    assert (site.longitude, site.latitude, site.height) == (-70.75, -30.2, 2700.0)
    assert find_site("10,20").height == 0.0


@pytest.mark.parametrize("text", ["nowhere", "1", "1,2,3,4", "10,95", "400,0", "10,20,99999", "", "nan,5"])
def test_other_places_are_refused(text):
    with pytest.raises(SettingsError, match="site"):
        find_site(text)


@pytest.mark.parametrize("evening", ["tonight", "2026-13-01", "26-11-2026", "1700-01-01", "2500-01-01"])
def test_other_dates_are_refused(evening):
    with pytest.raises(SettingsError, match="night"):
        plan_night(SITES["rubin"], evening)


@pytest.mark.parametrize(
    "settings",
    [{"airmass_limit": 1.0}, {"airmass_limit": math.nan}, {"moon_limit": -1.0}],
)
def test_impossible_limits_are_refused(settings):
    with pytest.raises(SettingsError, match=next(iter(settings))):
        ObservingConfig(**settings)
