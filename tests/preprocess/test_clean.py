import numpy as np
import pytest
from astropy.stats import SigmaClip
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.errors import SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.preprocess import (
    CleanConfig,
    ClipConfig,
    PreprocessConfig,
    clean,
    keep_mask,
    preprocess,
)
from firstlight.settings import from_table

SEED = CleanConfig(method="seed")
PHYSICAL = CleanConfig()


def one(mjd, band, flux, flux_err=10.0, name="o") -> LightCurves:
    """One object, detected at its first observation."""
    order = np.argsort(mjd, kind="stable")
    flux_err = np.broadcast_to(np.asarray(flux_err, dtype=float), (len(mjd),))
    return LightCurves(
        object_id=np.array([name]),
        offsets=np.array([0, len(mjd)]),
        mjd=np.asarray(mjd, dtype=float)[order],
        band=np.asarray(band)[order],
        flux=np.asarray(flux, dtype=float)[order],
        flux_err=flux_err[order],
        detected=np.arange(len(mjd)) == 0,
        redshift=np.array([np.nan]),
    )


def quiet(rng, nights=30, bands=(1, 2, 3, 4, 5), night=11.0):
    """Noise in several bands, ten minutes apart, every few nights: times, bands, fluxes."""
    mjd = (np.arange(nights)[:, None] * night + np.arange(len(bands)) * 0.007).ravel()
    return mjd, np.tile(bands, nights), rng.normal(0.0, 10.0, mjd.size)


def random_curves(rng, n_objects=20, scale=1.0) -> LightCurves:
    parts = []
    for i in range(n_objects):
        n = int(rng.integers(1, 200))
        flux = rng.standard_t(2.0, n) * 10 ** rng.uniform(0, 4) * scale
        parts.append(one(np.sort(rng.uniform(0, 500, n)), rng.integers(0, 6, n), flux, 1.0, f"o{i}"))
    return LightCurves.concatenate(parts)


# --- the seed's clip --------------------------------------------------------------


def by_hand(flux, cut=7.0, sigma=3.0, iterations=5):
    """The seed paper's recipe with astropy, for one band of one object."""
    flux = flux.astype(np.float64)
    keep = np.abs(flux - flux.mean()) <= cut * flux.std()
    if iterations:
        clipper = SigmaClip(sigma=sigma, maxiters=iterations, cenfunc="mean", stdfunc="std")
        keep[keep] = ~clipper(flux[keep], masked=True).mask
    return keep


@pytest.mark.parametrize("scope", ["band", "object"])
@pytest.mark.parametrize(("sigma", "iterations"), [(3.0, 5), (2.0, 1), (1.5, 20), (3.0, 0)])
def test_the_seed_clip_equals_astropy(scope, sigma, iterations):
    curves = random_curves(np.random.default_rng(1))
    clip = ClipConfig(clip_sigma=sigma, iterations=iterations, scope=scope)
    keep = keep_mask(curves, CleanConfig(method="seed", clip=clip))
    for i in range(len(curves)):
        rows = np.arange(curves.offsets[i], curves.offsets[i + 1])
        groups = [rows[curves.band[rows] == b] for b in range(6)] if scope == "band" else [rows]
        for group in groups:
            if len(group):
                expected = by_hand(curves.flux[group], sigma=sigma, iterations=iterations)
                np.testing.assert_array_equal(keep[group], expected)


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3) | st.integers(-(10**6), 10**6), min_size=1, max_size=80))
def test_the_seed_clip_equals_astropy_on_any_numbers(flux):
    curves = one(np.arange(len(flux)), np.zeros(len(flux), int), flux)
    np.testing.assert_array_equal(keep_mask(curves, SEED), by_hand(curves.flux))


def test_seven_sigma_needs_fifty_one_observations():
    only_cut = CleanConfig(method="seed", clip=ClipConfig(iterations=0))
    for n, survives in ((50, True), (53, False)):
        flux = np.zeros(n)
        flux[7] = 1e6  # an outlier of any size is (n - 1) / sqrt(n) deviations off
        keep = keep_mask(one(np.arange(n), np.zeros(n, int), flux), only_cut)
        assert keep[7] == survives
        assert keep.sum() == n - (not survives)


def test_the_seed_clip_eats_a_supernova():
    phase = np.linspace(-100, 200, 100)
    flux = 500.0 * np.exp(-0.5 * (phase / 7.0) ** 2)
    curves = one(phase + 60000, np.full(100, 2), flux + np.random.default_rng(0).normal(0, 10, 100))
    bright = curves.flux > 70
    assert bright.sum() >= 8
    assert not keep_mask(curves, SEED)[bright].any()
    assert keep_mask(curves, PHYSICAL).all()


def test_scope_object_lets_a_bright_band_be_an_outlier():
    flux = np.r_[np.zeros(60), np.full(3, 1000.0)] + np.tile([1.0, -1.0, 0.0], 21)
    curves = one(np.arange(63), np.r_[np.zeros(60, int), np.full(3, 5)], flux)
    assert keep_mask(curves, SEED).all()
    assert not keep_mask(curves, CleanConfig(method="seed", clip=ClipConfig(scope="object")))[60:].any()


# --- the physical rules: kept observations ------------------------------------------


def test_noise_is_kept():
    rng = np.random.default_rng(2)
    for _ in range(20):
        assert keep_mask(one(*quiet(rng)), PHYSICAL).all()


@pytest.mark.parametrize("bands", [(1,), (2, 3), (1, 2, 3, 4, 5)])
def test_a_flare_of_one_night_survives(bands):
    mjd, band, flux = quiet(np.random.default_rng(3))
    night = np.flatnonzero((mjd >= 165) & (mjd < 166) & np.isin(band, bands))
    flux[night] += 2000.0 / np.arange(1, len(night) + 1)
    # In one band alone, four others within the hour say no: that is no flare but an artefact.
    assert keep_mask(one(mjd, band, flux), PHYSICAL).all() == (len(bands) > 1)


def test_a_flare_that_nobody_else_saw_survives():
    mjd, band, flux = quiet(np.random.default_rng(3), nights=120, bands=(2,), night=3.0)
    flux[60] = 1e5  # a wide survey: one band a night
    assert keep_mask(one(mjd, band, flux), PHYSICAL).all()


def test_a_flare_too_faint_for_the_other_bands_to_doubt_survives():
    mjd, band, flux = quiet(np.random.default_rng(4))
    flux[75] += 300.0
    flux_err = np.where(band == 1, 10.0, 40.0)  # a tenth of the flare is within the others' errors
    assert keep_mask(one(mjd, band, flux, flux_err), PHYSICAL).all()


@pytest.mark.parametrize("peak", [200.0, 3000.0, 1e6])
@pytest.mark.parametrize("width", [1.0, 10.0, 60.0])
def test_microlensing_and_supernova_peaks_survive(peak, width):
    mjd, band, flux = quiet(np.random.default_rng(5))
    flux += peak / (1.0 + ((mjd - 160.0) / width) ** 2)
    flux_err = np.hypot(10.0, 0.01 * flux)
    assert keep_mask(one(mjd, band, flux, flux_err), PHYSICAL).all()


def test_eclipses_that_come_back_survive():
    mjd, band, flux = quiet(np.random.default_rng(6), nights=120, bands=(2,), night=3.0)
    flux[[20, 61, 77, 103]] -= 1000.0  # 4 of 120 nights
    assert keep_mask(one(mjd, band, flux), PHYSICAL).all()


def test_an_eclipse_seen_in_two_bands_survives():
    mjd, band, flux = quiet(np.random.default_rng(7))
    flux[[75, 76]] -= 1000.0
    assert keep_mask(one(mjd, band, flux), PHYSICAL).all()


def test_variable_stars_survive():
    rng = np.random.default_rng(8)
    mjd = np.sort(rng.uniform(0, 900, 300))
    band = rng.integers(0, 6, 300)
    flux = 1e5 * np.sin(2 * np.pi * mjd / 0.57) ** 9 + rng.normal(0, 10, 300)
    assert keep_mask(one(mjd, band, flux, np.hypot(10.0, 0.005 * flux)), PHYSICAL).all()
    assert keep_mask(one(mjd, band, flux, 1e-4), PHYSICAL).all()  # errors in a wrong unit are no artefact


# --- the physical rules: removed ones -------------------------------------------------


def test_a_brightening_that_the_other_bands_deny_goes():
    mjd, band, flux = quiet(np.random.default_rng(9))
    flux[75] += 2000.0
    keep = keep_mask(one(mjd, band, flux), PHYSICAL)
    assert np.flatnonzero(~keep).tolist() == [75]


def test_a_lone_fading_below_nothing_goes():
    mjd, band, flux = quiet(np.random.default_rng(10), nights=120, bands=(2,), night=3.0)
    flux[60] -= 500.0
    keep = keep_mask(one(mjd, band, flux), PHYSICAL)
    assert np.flatnonzero(~keep).tolist() == [60]


def test_a_lone_fading_of_a_supernova_that_stays_above_the_template_is_kept():
    mjd, band, flux = quiet(np.random.default_rng(11), nights=120, bands=(2,), night=3.0)
    flux += 5000.0
    flux[60] -= 3000.0
    assert keep_mask(one(mjd, band, flux), PHYSICAL).all()


def test_impossible_and_silent_errors_go():
    mjd, band, flux = quiet(np.random.default_rng(12))
    flux_err = np.full(flux.size, 10.0)
    flux[10], flux_err[10] = 500.0, 0.01  # signal to noise 50,000
    flux[20], flux_err[20] = 100.0, 1e5
    flux[31], flux_err[31] = 1e6, 1e5  # noisy, but a detection
    keep = keep_mask(one(mjd, band, flux, flux_err), PHYSICAL)
    assert np.flatnonzero(~keep).tolist() == [10, 20]


def test_an_impossible_error_condemns_no_neighbour():
    mjd, band, flux = quiet(np.random.default_rng(13), nights=120, bands=(2,), night=3.0)
    flux_err = np.full(flux.size, 10.0)
    flux[60], flux_err[60] = 1e9, 1e-3
    keep = keep_mask(one(mjd, band, flux, flux_err), PHYSICAL)
    assert np.flatnonzero(~keep).tolist() == [60]


def test_the_trigger_stays_whatever_it_looks_like():
    mjd, band, flux = quiet(np.random.default_rng(10), nights=120, bands=(2,), night=3.0)
    flux[60] -= 500.0
    curves = one(mjd, band, flux)
    assert not keep_mask(curves, PHYSICAL)[60]
    first = curves.with_columns(detected=np.arange(120) >= 60)
    assert keep_mask(first, PHYSICAL).all()
    second = curves.with_columns(detected=np.isin(np.arange(120), [40, 60]))
    assert np.flatnonzero(~keep_mask(second, PHYSICAL)).tolist() == [60]


def test_physical_cleaning_never_moves_the_trigger(sample):
    for days in (2.0, 30.0, np.inf):
        early = sample.upto_phase(days)
        np.testing.assert_array_equal(clean(early, PHYSICAL).trigger_mjd, early.trigger_mjd)


def test_short_histories_are_left_alone():
    mjd, band, flux = quiet(np.random.default_rng(14), nights=10, bands=(2,))
    flux[5] -= 1e4
    assert keep_mask(one(mjd, band, flux), PHYSICAL).all()


# --- laws ---------------------------------------------------------------------------


BOTH = pytest.mark.parametrize("config", [SEED, PHYSICAL], ids=["seed", "physical"])


@BOTH
def test_no_object_depends_on_another(config):
    curves = random_curves(np.random.default_rng(15), 30)
    together = keep_mask(curves, config)
    order = np.random.default_rng(0).permutation(len(curves))
    apart = np.concatenate([keep_mask(curves.take([i]), config) for i in range(len(curves))])
    np.testing.assert_array_equal(together, apart)
    np.testing.assert_array_equal(
        keep_mask(curves.take(order), config),
        np.concatenate([together[curves.offsets[i] : curves.offsets[i + 1]] for i in order]),
    )


@BOTH
def test_batch_on_a_history_equals_the_earlier_answer_of_the_stream(config):
    mjd, band, flux = quiet(np.random.default_rng(16))
    flux[75] += 2000.0
    flux[80] -= 2000.0
    curves = one(mjd, band, flux)
    for k in range(60, 100):
        arrived = one(mjd[: k + 1], band[: k + 1], flux[: k + 1])  # the stream knows no more
        batch = curves.upto_mjd(mjd[k])
        np.testing.assert_array_equal(keep_mask(batch, config), keep_mask(arrived, config))


def test_a_verdict_waits_for_the_evidence():
    mjd, band, flux = quiet(np.random.default_rng(9))
    flux[75] += 2000.0
    curves = one(mjd, band, flux)
    assert keep_mask(curves.upto_mjd(mjd[75]), PHYSICAL).all()
    assert keep_mask(curves.upto_mjd(mjd[79]), PHYSICAL).all()  # its band has not been seen again
    assert not keep_mask(curves.upto_mjd(mjd[89]), PHYSICAL)[75]


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e30]),
    method=st.sampled_from(["seed", "physical", "none"]),
)
def test_any_history_can_be_cleaned(seed, scale, method):
    curves = random_curves(np.random.default_rng(seed), 3, scale)
    keep = keep_mask(curves, CleanConfig(method=method))
    assert keep.shape == curves.mjd.shape
    assert keep.dtype == np.bool_
    assert np.all(np.bincount(curves.object_index[keep], minlength=len(curves)) > 0)
    ready = clean(curves, CleanConfig(method=method))
    np.testing.assert_array_equal(ready.flux, curves.flux[keep])
    np.testing.assert_array_equal(ready.object_id, curves.object_id)


def test_nothing_to_clean_is_no_error():
    empty = random_curves(np.random.default_rng(0), 2).take([])
    for method in ("seed", "physical", "none"):
        assert len(clean(empty, CleanConfig(method=method))) == 0
    single = one([60000.0], [3], [5.0])
    for method in ("seed", "physical", "none"):
        assert keep_mask(single, CleanConfig(method=method)).tolist() == [True]


def test_observations_at_one_instant_can_be_judged():
    mjd, band, flux = quiet(np.random.default_rng(17), nights=60, bands=(2, 3), night=3.0)
    curves = one(np.floor(mjd), band, flux)
    assert keep_mask(curves, PHYSICAL).all()


def test_curves_without_rejects_are_passed_through_uncopied():
    curves = random_curves(np.random.default_rng(18), 3)
    assert clean(curves, CleanConfig(method="none")) is curves


def test_the_real_sample_loses_almost_nothing_to_the_physical_rules(sample):
    keep = keep_mask(sample, PHYSICAL)
    assert 1 - keep.mean() < 1e-3
    assert 1 - keep_mask(sample, SEED).mean() > 0.02
    assert len(preprocess(sample, PreprocessConfig())) == len(sample)


# --- settings -------------------------------------------------------------------------


def test_settings_come_from_a_table():
    table = {"clean": {"method": "seed", "clip": {"scope": "object", "cut_sigma": 5}}, "deredden": "always"}
    config = from_table(PreprocessConfig, table)
    assert config.clean == CleanConfig(method="seed", clip=ClipConfig(scope="object", cut_sigma=5.0))


def test_the_constants_of_the_physical_rules_may_be_written_but_not_changed():
    written = {"physical": dict(CleanConfig.RETIRED["physical"])}
    assert from_table(CleanConfig, written) == CleanConfig()
    written["physical"]["night"] = 0.1
    with pytest.raises(SettingsError, match=r"CleanConfig\.physical"):
        from_table(CleanConfig, written)


@pytest.mark.parametrize(
    "make",
    [
        lambda: CleanConfig(method="mean"),  # type: ignore[arg-type]
        lambda: ClipConfig(cut_sigma=0.0),
        lambda: ClipConfig(iterations=-1),
        lambda: ClipConfig(scope="survey"),  # type: ignore[arg-type]
        lambda: PreprocessConfig(deredden="sometimes"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_cannot_be_are_refused(make):
    with pytest.raises(SettingsError):
        make()
