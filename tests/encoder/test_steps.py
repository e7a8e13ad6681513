import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.encoder import running
from firstlight.encoder.steps import (
    CONTEXT_NAMES,
    N_CONTEXT,
    StepsConfig,
    make_context,
    make_steps,
    target_weights,
)
from firstlight.errors import SettingsError
from firstlight.lightcurves import LightCurves

CONFIG = StepsConfig()
SCALE = CONFIG.flux_scale


def curve(mjd, flux, band=0, flux_err=10.0, detected=None, redshift=np.nan, redshift_err=np.nan):
    """One object from plain lists."""
    n = len(mjd)
    return LightCurves(
        object_id=np.array(["a"]),
        offsets=np.array([0, n]),
        mjd=np.asarray(mjd, float),
        band=np.broadcast_to(band, n),
        flux=np.asarray(flux, float),
        flux_err=np.broadcast_to(flux_err, n),
        **({} if detected is None else {"detected": np.asarray(detected, bool)}),
        redshift=np.array([redshift]),
        redshift_err=np.array([redshift_err]),
    )


def entry(steps, name):
    return float(steps.context()[0, CONTEXT_NAMES.index(name)])


@st.composite
def light_curves(draw):
    """Up to three objects, some empty, with fluxes from noise to absurd."""
    counts = draw(st.lists(st.integers(0, 12), min_size=1, max_size=3))
    n = sum(counts)
    flux = draw(st.lists(st.floats(-1e8, 1e8, width=32), min_size=n, max_size=n))
    err = draw(st.lists(st.floats(1.0, 1e8, width=32), min_size=n, max_size=n))
    epoch = st.tuples(st.floats(59000, 60500), st.integers(0, 5))  # a band has one row per time
    epochs = []
    for count in counts:
        epochs += sorted(draw(st.lists(epoch, min_size=count, max_size=count, unique=True)))
    detected = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    redshift = draw(
        st.lists(
            st.one_of(st.just(np.nan), st.floats(0, 3, width=32)), min_size=len(counts), max_size=len(counts)
        )
    )
    return LightCurves(
        object_id=np.array([f"o{i}" for i in range(len(counts))]),
        offsets=offsets,
        mjd=np.array([mjd for mjd, _ in epochs], dtype=np.float64),
        band=np.array([band for _, band in epochs], dtype=np.int8),
        flux=np.array(flux),
        flux_err=np.array(err),
        detected=np.array(detected, dtype=bool),
        redshift=np.array(redshift),
    )


@given(light_curves())
def test_outputs_are_finite_for_any_input(curves):
    steps = make_steps(curves, CONFIG)
    assert steps.values.shape == (steps.offsets[-1], running.N_CHANNELS)
    assert np.isfinite(steps.values).all()
    assert np.isfinite(steps.context()).all()
    assert np.array_equal(steps.n_steps > 0, curves.n_obs > 0)


@given(light_curves(), st.floats(58990, 60510))
def test_a_cut_curve_gives_the_same_closed_steps(curves, mjd):
    whole = make_steps(curves, CONFIG)
    cut = make_steps(curves.upto_mjd(mjd), CONFIG)
    for i in range(len(curves)):
        closed = max(int(cut.n_steps[i]) - 1, 0)
        a = whole.values[whole.offsets[i] : whole.offsets[i] + closed]
        b = cut.values[cut.offsets[i] : cut.offsets[i] + closed]
        np.testing.assert_array_equal(a, b)


@given(light_curves())
def test_advancing_by_hand_equals_the_batch(curves):
    steps = make_steps(curves, CONFIG)
    state, closed = np.empty(running.STATE_SIZE), np.zeros(running.N_CHANNELS, np.float32)
    for i, one in enumerate(curves):
        running.clear(state)
        n_closed = 0
        for k in range(len(one)):
            if running.advance(
                state,
                one.mjd[k],
                one.band[k],
                float(one.flux[k]),
                float(one.flux_err[k]),
                one.detected[k],
                SCALE,
                CONFIG.bins(),
                closed,
            ):
                np.testing.assert_array_equal(closed, steps.values[steps.offsets[i] + n_closed])
                n_closed += 1
        summary = np.empty(running.N_SUMMARY, np.float32)
        running.summarise(state, SCALE, summary)
        np.testing.assert_array_equal(summary, steps.summary[i])
        assert n_closed == max(steps.n_steps[i] - 1, 0)


def test_real_curves_become_about_thirty_steps(sample):
    steps = make_steps(sample, CONFIG)
    assert 15 < steps.n_steps.mean() < 45
    assert steps.n_steps.max() < 80


def test_every_observation_is_in_one_bin(sample):
    steps = make_steps(sample, CONFIG)
    per_bin = np.expm1(steps.values[:, 34] / 0.3)
    sums = np.add.reduceat(per_bin, steps.offsets[:-1])
    np.testing.assert_allclose(sums, sample.n_obs, rtol=1e-4)


def test_the_trigger_opens_a_bin():
    steps = make_steps(curve([0, 1, 2, 3], [0, 0, 900, 900]), CONFIG)
    assert steps.n_steps.tolist() == [2]
    assert steps.values[:, 31].tolist() == [0.0, 1.0]  # triggered


def test_bins_are_narrow_after_the_trigger_and_wide_later():
    mjd = np.arange(0.0, 300.0)
    steps = make_steps(curve(mjd, np.full(300, 900.0)), CONFIG)
    phase = np.expm1(4.0 * steps.values[:, 32])
    widths = np.diff(phase)
    np.testing.assert_allclose(widths[:9], 3.0, rtol=1e-4)
    np.testing.assert_allclose(widths[-1], 30.0, rtol=1e-3)


def test_a_bin_holds_the_inverse_variance_mean():
    steps = make_steps(curve([0.0, 0.1], [1000.0, 2000.0], flux_err=[10.0, 20.0]), CONFIG)
    mean = SCALE * np.sinh(steps.values[0, 0] / running.ASINH_UNIT)
    np.testing.assert_allclose(mean, (1000.0 / 100 + 2000.0 / 400) / (1 / 100 + 1 / 400), rtol=1e-5)


def test_a_huge_error_says_nothing():
    quiet = curve(np.arange(20.0), np.full(20, 1000.0))
    loud = curve(np.arange(20.0), [1000.0] * 19 + [8e7], flux_err=[10.0] * 19 + [8e7])
    for name in ("mean_u", "high_u", "peak"):
        np.testing.assert_allclose(
            entry(make_steps(loud, CONFIG), name), entry(make_steps(quiet, CONFIG), name), rtol=0.02
        )


def test_before_the_first_detection_no_trigger_is_known():
    steps = make_steps(curve([0, 10, 200], [1, 2, 3], detected=[False] * 3), CONFIG)
    assert entry(steps, "triggered") == 0.0
    assert entry(steps, "n_seasons") == 2.0
    assert np.all(steps.values[:, 31:33] == 0.0)


def test_windows_hold_flux_over_the_peak():
    steps = make_steps(curve([0, 8, 16], [1000, 2000, 500], flux_err=1.0), CONFIG)
    np.testing.assert_allclose(entry(steps, "trigger1_u"), 0.5, rtol=1e-2)
    np.testing.assert_allclose(entry(steps, "peak0_u"), 1.0, rtol=1e-2)
    np.testing.assert_allclose(entry(steps, "peak1_u"), 0.25, rtol=1e-2)
    assert entry(steps, "peak1_u_known") > 0.99
    assert entry(steps, "peak1_g_known") == 0.0


def test_the_peak_keeps_the_colour_of_its_night():
    two_bands = curve([0, 0.5], [800, 1000], band=[1, 2], flux_err=1.0)
    np.testing.assert_allclose(entry(make_steps(two_bands, CONFIG), "peak0_g"), 0.8, rtol=1e-2)


def test_an_unknown_redshift_leaves_only_zeros():
    steps = make_steps(curve([0.0], [1000.0]), CONFIG)
    assert np.all(steps.context()[:, running.N_SUMMARY :] == 0.0)


def test_redshift_zero_states_a_galactic_object():
    steps = make_steps(curve([0.0], [1000.0], redshift=0.0, redshift_err=0.0), CONFIG)
    assert entry(steps, "galactic") == 1.0
    assert entry(steps, "redshift_known") == 1.0
    assert entry(steps, "absolute_peak") == 0.0


def test_a_redshift_error_that_is_zero_or_not_stated_is_a_spectroscopic_one():
    summary = np.zeros((3, running.N_SUMMARY), np.float32)
    context = make_context(summary, [0.1, 0.1, 0.1], [0.0, np.nan, 1e-3], 250.0)
    np.testing.assert_array_equal(context, context[[2, 2, 2]])


def test_absolute_peak_follows_the_distance_modulus():
    # 1 nJy is 31.4 mag; z = 0.1 lies at 38.31 mag (H0 = 70, Omega_m = 0.3).
    steps = make_steps(curve([0.0], [1e4], flux_err=1.0, redshift=0.1, redshift_err=0.01), CONFIG)
    expected = 31.4 - 2.5 * 4.0 - 38.31
    np.testing.assert_allclose(-entry(steps, "absolute_peak") - 19.0, expected, atol=0.02)


def test_target_weights_are_zero_for_unseen_points():
    context = make_steps(curve([0, 8], [1000, 2000], redshift=0.0, redshift_err=0.0), CONFIG).context()
    weight = dict(zip(CONTEXT_NAMES, target_weights(context)[0], strict=True))
    assert weight["trigger1_u"] > 0.9
    assert weight["trigger1_g"] == 0.0
    assert weight["mean_u"] == 1.0
    assert weight["mean_g"] == 0.0
    assert weight["galactic"] == 1.0
    assert weight["absolute_u"] == 0.0
    assert weight["trigger1_u_known"] == 0.0


def test_take_and_padded_follow_the_objects(sample):
    steps = make_steps(sample.take(np.arange(6)), CONFIG)
    part = steps.take([4, 1])
    np.testing.assert_array_equal(part.context(), steps.context()[[4, 1]])
    padded = part.padded()
    assert padded.shape[1] == part.n_steps.max()
    np.testing.assert_array_equal(
        padded[1, : part.n_steps[1]], steps.values[steps.offsets[1] : steps.offsets[2]]
    )
    assert not padded[1, part.n_steps[1] :].any()


def test_no_curves_give_no_steps(sample):
    steps = make_steps(sample.take([]), CONFIG)
    assert len(steps) == 0
    assert steps.context().shape == (0, N_CONTEXT)


def test_make_context_takes_redshifts_of_any_kind():
    summary = np.zeros((4, running.N_SUMMARY), np.float32)
    context = make_context(summary, [np.nan, 0.0, 2.0, -0.01], [np.nan, 0.0, 99.0, 0.1], SCALE)
    assert np.isfinite(context).all()
    assert context[:, running.N_SUMMARY].tolist() == [0.0, 1.0, 1.0, 1.0]  # known
    assert context[:, running.N_SUMMARY + 1].tolist() == [0.0, 1.0, 0.0, 0.0]  # galactic


@pytest.mark.parametrize(
    "settings",
    [{"phases": (1.0,)}, {"width_after": 0.0}, {"phases": (30.0, 20.0, 200.0)}, {"flux_scale": -1.0}],
)
def test_impossible_bins_are_refused(settings):
    with pytest.raises(SettingsError, match="steps"):
        StepsConfig(**settings)
