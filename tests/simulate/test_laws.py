"""Laws of the simulator: conservation, time dilation, independent solvers, noise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, stats

import firstlight.simulate.survey as surveys
import firstlight.simulate.transients as transients
from firstlight.cosmology import luminosity_distance
from firstlight.errors import DataError, SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.simulate import (
    POPULATIONS,
    AugmentConfig,
    SimulateConfig,
    SimulatedSet,
    augment,
    simulate,
    simulate_classes,
    truncate,
)
from firstlight.simulate.augment import detection_probability
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
from firstlight.simulate.populations import Evolution, draw_models, population
from firstlight.simulate.rates import draw_redshifts, relative_rate
from firstlight.simulate.spectrum import SIGMA_SB, TEN_PARSEC, Thermal, band_flux, flux_density, planck
from firstlight.simulate.survey import Survey, measure_survey, milky_way_dimming

Array = NDArray[np.float64]
QUICK = SimulateConfig(batch=256, n_times=128)


def one(value: float) -> Array:
    return np.array([value])


@pytest.fixture(scope="module")
def survey(sample: LightCurves) -> Survey:
    return measure_survey(sample)


# --- engines against other solvers ----------------------------------------------------


@pytest.mark.parametrize("tau", [3.0, 15.0, 80.0])
def test_diffusion_agrees_with_scipys_solver(tau: float) -> None:
    t = time_grid(150.0, 1024)
    light = diffuse(t, nickel_heating(t, one(0.5)), one(tau))[0]
    solved = integrate.solve_ivp(
        lambda day, state: 2.0 * day / tau**2 * (nickel_heating(one(day), one(0.5))[0] - state),
        (0.0, 150.0),
        [0.0],
        t_eval=t,
        rtol=1e-9,
        atol=1e30,
        method="LSODA",
    )
    np.testing.assert_allclose(light, solved.y[0], rtol=1e-3, atol=1e-4 * light.max())


def test_constant_heating_comes_out_as_it_went_in() -> None:
    t = time_grid(200.0)
    light = diffuse(t, np.full((1, len(t)), 3.0e42), one(10.0))[0]
    np.testing.assert_allclose(light, 3.0e42 * -np.expm1(-((t / 10.0) ** 2)), rtol=1e-9)


def test_diffusion_adds_up() -> None:
    """The equation is linear: light of two heat sources is the sum of their lights."""
    t, tau = time_grid(300.0), one(20.0)
    a, b = nickel_heating(t, one(0.3)), magnetar_heating(t, one(3.0), one(1.0), one(1.4))
    np.testing.assert_allclose(diffuse(t, a + 2.0 * b, tau), diffuse(t, a, tau) + 2.0 * diffuse(t, b, tau))


@pytest.mark.parametrize("n", [16, 64, 4096])
def test_coarse_grids_neither_overshoot_nor_go_negative(n: int) -> None:
    t = time_grid(500.0, n)
    light = diffuse(t, nickel_heating(t, one(1.0)), one(0.05))  # steps of thousands of diffusion times
    assert (light >= 0.0).all()
    assert light.max() <= nickel_heating(t, one(1.0)).max() * (1.0 + 1e-9)


@given(st.floats(1.0, 10.0), st.floats(0.1, 5.0), st.floats(1.4, 2.2))
@settings(max_examples=20)
def test_a_magnetar_spins_down_as_its_integral_says(period: float, field: float, mass: float) -> None:
    """The integral to time t of E / t_p / (1 + t / t_p)^2 is E t / (t + t_p)."""
    heavy = (mass / 1.4) ** 1.5
    energy, spin = 2.6e52 * heavy / period**2, 1.3e5 * heavy * period**2 / field**2
    last = 5.0 * spin / DAY
    t = time_grid(last, 4096)
    heat = magnetar_heating(t, one(period), one(field), one(mass))[0]
    assert np.trapezoid(heat, t * DAY) == pytest.approx(energy * 5.0 / 6.0, rel=1e-3)


def test_cobalt_rules_after_nickel_is_gone() -> None:
    early, late = nickel_heating(np.array([150.0, 150.0 + 111.3]), one(1.0))[0]
    assert early / late == pytest.approx(np.e, rel=1e-3)


def test_diffusion_time_by_hand() -> None:
    by_hand = np.sqrt(2 * 0.1 * 1.4 * 1.98847e33 / (13.7 * 2.99792458e10 * 1e9)) / 86_400.0
    assert diffusion_time(one(1.4), one(10_000.0), one(0.1))[0] == pytest.approx(by_hand)


def test_gamma_rays_are_half_lost_when_the_depth_is_log_two() -> None:
    depth = 3.0 * 0.03 * 1.0 * SOLAR_MASS / (4.0 * np.pi * (1e9 * DAY) ** 2)
    day = np.sqrt(depth / np.log(2.0))
    left = escape_gamma_rays(one(day), np.ones((1, 1)), one(1.0), one(10_000.0), one(0.03))
    assert left[0, 0] == pytest.approx(0.5)


@given(st.floats(1e40, 1e46), st.floats(100.0, 3e4), st.floats(2_500.0, 1e4))
@settings(max_examples=20)
def test_a_free_photosphere_obeys_stefan_and_boltzmann(light: float, speed: float, floor: float) -> None:
    t = time_grid(100.0, 32)[1:]
    warm = photosphere_temperature(t, np.full((1, len(t)), light), one(speed), one(floor))[0]
    radius = np.sqrt(light / (4.0 * np.pi * SIGMA_SB * warm**4))
    expanding = speed * 1e5 * t * DAY
    assert (warm >= floor).all()
    assert (radius <= expanding * (1.0 + 1e-9)).all()
    np.testing.assert_allclose(radius[warm > floor], expanding[warm > floor], rtol=1e-9)


@pytest.mark.parametrize("slope", [0, 2])
def test_more_efficient_shocks_are_brighter_in_proportion(slope: int) -> None:
    t = time_grid(300.0)
    arguments = [one(value) for value in (1.0, 1_000.0, 0.3, 5.0, 1e-12, 0.2)]
    dim, _ = interact(t, *arguments, one(0.1), slope)
    bright, _ = interact(t, *arguments, one(0.4), slope)
    np.testing.assert_allclose(bright, 4.0 * dim, rtol=1e-12)


def test_objects_of_a_batch_evolve_apart() -> None:
    t = time_grid(300.0)
    mass = np.array([0.1, 0.5, 2.0])
    together = diffuse(t, nickel_heating(t, mass), np.array([5.0, 10.0, 20.0]))
    alone = diffuse(t, nickel_heating(t, mass[1:2]), one(10.0))
    np.testing.assert_array_equal(together[1:2], alone)


# --- light ------------------------------------------------------------------------------


def test_a_blackbody_is_that_of_astropy() -> None:
    from astropy import units as u
    from astropy.modeling.physical_models import BlackBody

    wavelength = np.array([1_500.0, 4_000.0, 9_000.0, 30_000.0])
    for temperature in (3_000.0, 12_000.0):
        unit = u.erg / (u.s * u.cm**2 * u.AA * u.sr)
        body = BlackBody(temperature * u.K, scale=1.0 * unit)(wavelength * u.AA).value
        ours = planck(wavelength, temperature) * SIGMA_SB * temperature**4 / np.pi
        np.testing.assert_allclose(ours, body, rtol=1e-4)


def test_temperatures_too_low_to_shine_give_nothing_and_no_warning() -> None:
    assert planck(3_000.0, 10.0) < 1e-200
    assert flux_density(1e43, 10.0, 3_000.0) < 1e-100


@given(st.floats(0.0, 3.0), st.floats(3_000.0, 3e4))
@settings(max_examples=25)
def test_redshift_moves_light_and_loses_none(z: float, temperature: float) -> None:
    """Integrated over observed frequency, 4 pi D^2 f is the luminosity at any redshift."""
    wavelength = np.geomspace(30.0, 1e7, 20_000) * (1.0 + z)
    density = flux_density(1e43, temperature, wavelength, z, 1e27) * 1e-32
    frequency = 2.99792458e18 / wavelength
    total = -np.trapezoid(density, frequency) * 4.0 * np.pi * 1e54
    assert total == pytest.approx(1e43, rel=2e-3)


def test_band_fluxes_do_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(1)
    light, warm = rng.uniform(1e42, 1e44, 40), rng.uniform(3e3, 2e4, 40)
    band, z = rng.integers(0, 6, 40).astype(np.int8), rng.uniform(0.01, 1.0, 40)
    order = rng.permutation(40)
    flux = band_flux(light, warm, band, z, luminosity_distance(z), 0.3)
    shuffled = band_flux(light[order], warm[order], band[order], z[order], luminosity_distance(z[order]), 0.3)
    np.testing.assert_allclose(shuffled, flux[order], rtol=1e-12)


def test_twice_the_dust_dims_as_often_again_at_one_wavelength() -> None:
    none, once, twice = (flux_density(1e43, 8_000.0, 4_000.0, 0.0, TEN_PARSEC, a) for a in (0.0, 1.0, 2.0))
    assert none / once == pytest.approx(once / twice)


# --- cosmology -----------------------------------------------------------------------------


@pytest.mark.parametrize("rate", ["star_formation", "core_collapse", "thermonuclear"])
def test_drawn_redshifts_follow_astropys_volumes(rate: str) -> None:
    from astropy.cosmology import FlatLambdaCDM

    z = np.linspace(0.01, 2.0, 400)
    volume = FlatLambdaCDM(H0=70.0, Om0=0.3).differential_comoving_volume(z).value
    density = relative_rate(rate, z) * volume / (1.0 + z)  # type: ignore[arg-type]
    total = integrate.cumulative_trapezoid(density, z, initial=0.0)
    drawn = draw_redshifts(4_000, rate, (0.01, 2.0), np.random.default_rng(7))  # type: ignore[arg-type]
    assert stats.kstest(drawn, lambda x: np.interp(x, z, total / total[-1])).pvalue > 0.01


def test_no_events_are_no_redshifts() -> None:
    assert draw_redshifts(0, "thermonuclear", (0.1, 0.2), np.random.default_rng(0)).shape == (0,)


def test_published_rates_at_redshift_one() -> None:
    """Madau & Dickinson 2014, eq. 15, and Dilday et al. 2008, written out."""
    assert relative_rate("star_formation", 1.0) == pytest.approx(
        2**2.7 / (1 + (2 / 2.9) ** 5.6) * (1 + (1 / 2.9) ** 5.6)
    )
    assert relative_rate("thermonuclear", 1.0) == pytest.approx(2**1.5)


@given(st.lists(st.floats(0.0, 6.0), min_size=2, max_size=6))
@settings(max_examples=25)
def test_luminosity_distance_never_falls_with_redshift(redshifts: list[float]) -> None:
    assert (np.diff(luminosity_distance(np.sort(redshifts))) >= 0.0).all()


# --- populations -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(POPULATIONS))
def test_models_peak_where_their_light_does(name: str) -> None:
    parameters, evolution = draw_models(population(name), 60, np.random.default_rng(3), 128)
    top = evolution.luminosity.max(axis=1)
    for i, day in enumerate(parameters["peak_day"]):
        assert np.interp(day, evolution.t, evolution.luminosity[i]) == pytest.approx(top[i])
    assert all(len(value) == len(top) for value in parameters.values())


def test_no_wanted_model_gives_none() -> None:
    parameters, evolution = draw_models(population("SNIa"), 0, np.random.default_rng(0), 64)
    assert evolution.luminosity.shape == (0, 64)
    assert all(value.shape == (0,) for value in parameters.values())


def test_more_nickel_makes_a_brighter_supernova() -> None:
    kind, t = population("SNIa"), time_grid(300.0, 128)
    drawn = {name: np.repeat(value[:1], 3) for name, value in kind.draw(np.random.default_rng(0), 4).items()}
    light, _ = kind.evolve(t, drawn | {"nickel_mass": np.array([0.2, 0.4, 0.8])})
    np.testing.assert_allclose(light[1:], [2.0 * light[0], 4.0 * light[0]], rtol=1e-9)


# --- the survey ----------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.integers(1, 60))
@settings(max_examples=25)
def test_medians_of_groups_are_those_of_sorted_lists(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    value, group = rng.normal(size=n), rng.integers(0, 5, n)
    chosen = rng.random(n) < 0.8
    chosen[0] = True
    found = surveys._group_median(value, group, chosen)
    for i in range(n):
        own = sorted(value[chosen & (group == group[i])])
        if len(own) >= 3:
            assert found[i] == own[len(own) // 2]
        else:
            assert np.isnan(found[i])


def test_an_error_without_light_is_the_sky(survey: Survey) -> None:
    sky = np.array([5.0, 50.0, 500.0])
    np.testing.assert_array_equal(survey.error(np.zeros(3), sky, np.array([0, 2, 5], np.int8)), sky)


def test_detections_follow_their_probability(survey: Survey) -> None:
    rng = np.random.default_rng(2)
    for snr in (3.0, 5.0, 7.0):
        flux, err = np.full(20_000, 10.0 * snr), np.full(20_000, 10.0)
        share = survey.detect(flux, flux, err, rng).mean()
        expected = np.interp(snr, survey.snr_knots, survey.detection_proba, left=0.0)
        assert share == pytest.approx(expected, abs=0.015)


def test_host_redshifts_come_from_real_neighbours(survey: Survey) -> None:
    photo, err = survey.draw_host_redshifts(np.full(300, 0.5), np.random.default_rng(0), n_neighbours=5)
    ratios = (1.0 + survey.redshift_photo) / (1.0 + survey.redshift_spec)
    place = int(np.searchsorted(survey.redshift_spec, 0.5))  # hosts ascend in redshift
    near = np.arange(place - 2, place + 3)
    assert len(np.unique(np.round(photo, 9))) <= 5
    assert np.isin(err, survey.redshift_photo_err[near]).all()
    assert all(np.isclose((1.0 + z) / 1.5, ratios[near]).any() or z == surveys.MIN_REDSHIFT for z in photo)


def test_more_neighbours_than_hosts_is_all_hosts(survey: Survey) -> None:
    photo, _ = survey.draw_host_redshifts(one(0.1), np.random.default_rng(0), n_neighbours=10**6)
    assert np.isfinite(photo).all()


def test_depth_is_the_best_night_of_each_band(survey: Survey) -> None:
    for i in (0, 5):
        here = survey.carriers.object_index == i
        for band in range(6):
            own = survey.sky_err[here & (survey.carriers.band == band)]
            assert survey.depth[i, band] == (own.min() if len(own) else np.inf)


def test_dust_of_the_milky_way_that_is_unknown_dims_nothing(sample: LightCurves) -> None:
    raw = replace(sample.take(np.arange(3)), ebv=np.full(3, np.nan, np.float32), dereddened=False)
    np.testing.assert_array_equal(milky_way_dimming(raw), 1.0)


def test_a_curve_of_detections_that_never_saturates_is_left_alone() -> None:
    knots, proba = np.array([0.0, 5.0, 10.0]), np.array([0.0, 0.1, 0.5])
    same, also, expected = surveys._sharpen(knots, proba)
    assert same is knots
    assert also is proba
    assert not expected


# --- whole sets ---------------------------------------------------------------------------------------


def scene_of(survey: Survey, redshift: float, peak_mjd: float, carrier: int = 0) -> transients._Scene:
    """A triangle of light, ten rest-frame days up and thirty down, placed by hand."""
    t = np.linspace(0.0, 40.0, 401)
    light = 1e44 * np.interp(t, [0.0, 10.0, 40.0], [0.0, 1.0, 0.0])
    evolution = Evolution(t, light[None], np.full((1, 401), 9_000.0))
    truth = {
        "redshift": one(redshift),
        "a_v": one(0.0),
        "peak_mjd": one(peak_mjd),
        "peak_day": one(10.0),
    }
    zero = np.zeros(1, dtype=np.int64)
    return transients._Scene(population("SNIa"), survey, evolution, zero, zero + carrier, truth)


@pytest.mark.parametrize("redshift", [0.0, 0.5, 2.0])
def test_simulated_time_is_dilated(survey: Survey, redshift: float) -> None:
    mjd = survey.carriers[0].mjd
    peak = float(mjd[len(mjd) // 2])
    row, owner = transients._rows(survey.carriers.offsets, np.zeros(1, dtype=np.int64))
    lit, light, _ = transients._light_at(scene_of(survey, redshift, peak), row, owner)
    day = 10.0 + (mjd - peak) / (1.0 + redshift)
    expected = 1e44 * np.interp(day, [0.0, 10.0, 40.0], [0.0, 1.0, 0.0])
    np.testing.assert_array_equal(lit, np.flatnonzero((day > 0.0) & (day < 40.0)))
    np.testing.assert_allclose(light, expected[lit], rtol=1e-6)


def test_true_flux_is_that_of_the_spectrum_at_the_distance(survey: Survey) -> None:
    curve = survey.carriers[0]
    peak = float(curve.mjd[len(curve) // 2])
    row, owner = transients._rows(survey.carriers.offsets, np.zeros(1, dtype=np.int64))
    flux = transients._true_flux(scene_of(survey, 0.2, peak), row, owner)
    at = int(np.flatnonzero(curve.mjd == peak)[0])
    expected = band_flux(
        one(1e44),
        one(9_000.0),
        curve.band[at : at + 1],
        0.2,
        luminosity_distance(0.2),
        spectrum=Thermal(4_000.0),
    )
    assert flux[at] == pytest.approx(expected[0])


def test_events_outside_the_survey_give_no_light(survey: Survey) -> None:
    for peak_mjd in (0.0, 1e6):
        row, owner = transients._rows(survey.carriers.offsets, np.zeros(1, dtype=np.int64))
        assert not transients._true_flux(scene_of(survey, 0.1, peak_mjd), row, owner).any()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.data())
@settings(max_examples=20)
def test_rows_of_objects_are_their_observations(counts: list[int], data: st.DataObject) -> None:
    offsets = np.concatenate([[0], np.cumsum(counts)])
    chosen = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=5))
    row, owner = transients._rows(offsets, np.array(chosen, dtype=np.int64))
    expected = [(r, k) for k, i in enumerate(chosen) for r in range(offsets[i], offsets[i + 1])]
    assert list(zip(row.tolist(), owner.tolist(), strict=True)) == expected


def test_apparent_peak_reads_red_bands_only() -> None:
    flux, owner = np.array([1e6, 100.0, 1e3, 1e9, 5.0]), np.array([0, 0, 0, 0, 1])
    band = np.array([1, 2, 4, 5, 0], dtype=np.int8)
    peak = transients._apparent_peak(flux, band, owner, 2)
    np.testing.assert_allclose(peak, [31.4 - 7.5, 99.0])


def test_simulated_curves_are_valid_and_hold_no_class(sample: LightCurves) -> None:
    made = simulate_classes(["SNIa"], 6, sample, seed=8, config=QUICK)
    checked = made.curves.with_columns(flux=np.array(made.curves.flux))  # checks every value
    assert np.isfinite(checked.trigger_mjd).all()
    assert (made.curves.redshift > 0.0).all()
    assert made.truth.column("peak_abs_mag").to_numpy().max() <= -18.0
    assert len(set(made.curves.object_id)) == 6


def test_a_fainter_survey_finds_nearer_objects(sample: LightCurves) -> None:
    noisy = sample.with_columns(flux_err=20.0 * sample.flux_err, flux=20.0 * sample.flux)
    deep, shallow = (
        simulate("SNIa", 25, seen, np.random.default_rng(1), QUICK).truth.column("redshift").to_numpy()
        for seen in (sample, noisy)
    )
    assert np.median(shallow) < 0.7 * np.median(deep)


def test_nothing_to_join_is_an_error() -> None:
    with pytest.raises(DataError, match="nothing to concatenate"):
        SimulatedSet.concatenate([])


def test_sets_of_one_class_made_twice_cannot_be_joined(sample: LightCurves) -> None:
    made = simulate("SNIa", 2, sample, np.random.default_rng(0), QUICK)
    with pytest.raises(DataError, match="occurs 2 times"):
        SimulatedSet.concatenate([made, made])


# --- training copies ----------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.floats(0.0, 0.95), st.floats(0.0, 5.0))
@settings(max_examples=15)
def test_copies_are_valid_and_never_better_than_the_original(
    sample: LightCurves, seed: int, drop: float, noise: float
) -> None:
    part = sample.take(np.arange(0, len(sample), 10))
    copy = augment(part, np.random.default_rng(seed), AugmentConfig(drop=drop, noise=noise))
    copy.with_columns(flux=np.array(copy.flux))  # checks every value
    for whole, less in zip(part, copy, strict=True):
        place = np.searchsorted(whole.mjd, less.mjd)
        assert np.isin(less.mjd, whole.mjd).all()
        if len(np.unique(whole.mjd)) == len(whole):
            assert (less.flux_err >= whole.flux_err[place] * (1.0 - 1e-6)).all()


def test_detection_probability_is_the_share_of_flags() -> None:
    snr = np.repeat(np.arange(-12.0, 13.0), 40)
    curves = LightCurves(
        object_id=np.array(["a"]),
        offsets=np.array([0, len(snr)]),
        mjd=np.arange(len(snr), dtype=float),
        band=np.zeros(len(snr), int),
        flux=10.0 * snr,
        flux_err=np.full(len(snr), 10.0),
        detected=np.arange(len(snr)) % 40 < np.clip(4 * snr, 0, 40),
    )
    expected = np.clip(np.arange(-10, 11) / 10.0, 0.0, 1.0)
    np.testing.assert_allclose(detection_probability(curves), expected)


@pytest.mark.parametrize("phase", [0.0, 3.0, 1e4])
def test_truncation_keeps_objects_without_a_trigger_whole(sample: LightCurves, phase: float) -> None:
    quiet = sample.take(np.arange(3)).with_columns(detected=np.zeros(int(sample.offsets[3]), bool))
    np.testing.assert_array_equal(truncate(quiet, np.random.default_rng(0), phases=phase).mjd, quiet.mjd)
    np.testing.assert_array_equal(truncate(quiet, np.random.default_rng(0)).mjd, quiet.mjd)


def test_truncation_of_each_object_at_its_own_phase(sample: LightCurves) -> None:
    part = sample.take(np.arange(4))
    copy = truncate(part, np.random.default_rng(0), phases=np.array([0.0, 5.0, 50.0, 1e4]))
    for whole, cut, phase in zip(part, copy, (0.0, 5.0, 50.0, 1e4), strict=True):
        np.testing.assert_array_equal(cut.mjd, whole.mjd[whole.mjd - whole.trigger_mjd <= phase])


@pytest.mark.parametrize("name", ["stretch", "noise", "redshift_scatter"])
def test_strengths_of_copies_cannot_be_negative(name: str) -> None:
    with pytest.raises(SettingsError, match="cannot be negative"):
        AugmentConfig(**{name: -0.1})


def test_one_stretch_of_time_is_lost_at_once(sample: LightCurves) -> None:
    config = AugmentConfig(drop=0.0, noise=0.0, stretch_chance=1.0, stretch=60.0)
    copy = augment(sample, np.random.default_rng(4), config)
    for whole, less in zip(sample, copy, strict=True):
        lost = np.flatnonzero(~np.isin(whole.mjd, less.mjd))
        if len(lost):
            assert lost[-1] - lost[0] + 1 == len(lost)
            assert whole.mjd[lost[-1]] - whole.mjd[lost[0]] <= 60.0
    assert copy.n_obs.sum() < sample.n_obs.sum()
