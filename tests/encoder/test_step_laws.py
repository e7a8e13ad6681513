"""Laws of the encoder's inputs: causality, order, units, independence of other objects."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.encoder.shape import TIME_EDGES, WAVELENGTH_EDGES, rest_frame_shape
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
from firstlight.preprocess import (
    PreprocessConfig,
    preprocess,
)

CONFIG = StepsConfig()
EMPTY = np.empty(0)


def assert_same_steps(a, b):
    for name in ("values", "offsets", "summary", "redshift", "redshift_err"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def one_night(n_objects=1, **columns):
    """A single observation of each object."""
    values = {"mjd": 60_000.0, "band": 2, "flux": 500.0, "flux_err": 20.0} | columns
    return LightCurves(
        object_id=np.array([f"o{i}" for i in range(n_objects)]),
        offsets=np.arange(n_objects + 1),
        **{name: np.broadcast_to(value, n_objects) for name, value in values.items()},
    )


# --- time's arrow -------------------------------------------------------------------


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32), days=st.floats(-20.0, 120.0))
def test_later_observations_do_not_change_earlier_states(sample, seed, days):
    """Whatever the future holds (another flux, error or flag), the past stays."""
    part = sample.take(np.arange(3, len(sample), 20))
    rng = np.random.default_rng(seed)
    limit = part.trigger_mjd + days
    later = part.mjd > limit[part.object_index]
    other = part.with_columns(
        flux=np.where(later, rng.normal(0.0, 1e5, len(later)), part.flux),
        flux_err=np.where(later, rng.uniform(1.0, 1e4, len(later)), part.flux_err),
        band=np.where(later, rng.integers(0, 6, len(later)), part.band),
        detected=part.detected | (later & (part.phase > 0.0)),
    )
    for make in (lambda c: c, lambda c: preprocess(c, PreprocessConfig())):
        seen, expected = (make(c.upto_mjd(limit)) for c in (other, part))
        assert_same_steps(make_steps(seen, CONFIG), make_steps(expected, CONFIG))


def test_closed_steps_grow_by_appending(sample):
    """Night after night, the steps that a stream has closed are never rewritten."""
    one = sample.take([11])
    before = np.empty((0, make_steps(one, CONFIG).values.shape[1]), dtype=np.float32)
    for mjd in np.unique(one.mjd):
        now = make_steps(one.upto_mjd(mjd), CONFIG).values[:-1]
        np.testing.assert_array_equal(now[: len(before)], before)
        assert len(now) - len(before) in (0, 1)
        before = now


def test_a_first_detection_late_in_the_curve_leaves_the_steps_before_it(sample):
    one = sample.take([30])
    quiet = one.with_columns(detected=np.zeros(len(one.mjd), dtype=bool))
    late = one.with_columns(detected=np.arange(len(one.mjd)) == len(one.mjd) - 1)
    a, b = make_steps(quiet, CONFIG), make_steps(late, CONFIG)
    shared = int(b.n_steps[0]) - 2
    assert shared > 3
    np.testing.assert_array_equal(a.values[:shared], b.values[:shared])


# --- order and company ----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_nights_that_arrive_shuffled_give_the_steps_of_those_in_order(sample, seed):
    part = sample.take([5, 90, 170])
    rows, objects = part.to_pandas()
    shuffled = rows.sample(frac=1.0, random_state=seed)
    once = rows.groupby("object_id")["mjd"].transform(lambda mjd: ~mjd.duplicated(keep=False))
    distinct = LightCurves.from_pandas(rows[once], objects, dereddened=True)
    again = LightCurves.from_pandas(shuffled[once[shuffled.index]], objects, dereddened=True)
    assert again.n_obs.min() > 10
    assert_same_steps(make_steps(again, CONFIG), make_steps(distinct, CONFIG))


@settings(max_examples=10)
@given(st.data())
def test_steps_of_an_object_do_not_depend_on_its_neighbours(sample, data):
    index = data.draw(st.lists(st.integers(0, len(sample) - 1), min_size=1, max_size=6, unique=True))
    together = make_steps(sample.take(index), CONFIG)
    for position, i in enumerate(index):
        assert_same_steps(together.take([position]), make_steps(sample.take([i]), CONFIG))


def test_copies_of_one_object_have_the_same_steps(sample):
    copies = sample.take([7, 7, 7])
    steps = make_steps(copies, CONFIG)
    assert_same_steps(steps.take([0]), steps.take([2]))


def test_taking_steps_follows_numpy(sample):
    steps = make_steps(sample.take(np.arange(8)), CONFIG)
    for index in ([3], [7, 0, 7], [], np.array([-1])):
        part = steps.take(index)
        assert len(part) == len(index)
        expected = [steps.values[steps.offsets[:-1][i] : steps.offsets[1:][i]] for i in index]
        np.testing.assert_array_equal(part.values, np.concatenate([steps.values[:0], *expected]))
        np.testing.assert_array_equal(part.summary, steps.summary[np.asarray(index, dtype=int)])


def test_padding_has_at_least_one_step_even_for_nothing_seen():
    nothing = LightCurves(np.array(["a", "b"]), np.zeros(3, int), EMPTY, EMPTY, EMPTY, EMPTY)
    padded = make_steps(nothing, CONFIG).padded()
    assert padded.shape[:2] == (2, 1)
    assert not padded.any()


# --- units ----------------------------------------------------------------------------


@pytest.mark.parametrize("days", [-59_000.0, 10_000.0, 0.5])
def test_the_date_does_not_matter(sample, days):
    part = sample.take(np.arange(0, len(sample), 25))
    rounded = part.with_columns(mjd=np.round(part.mjd * 1024.0) / 1024.0)  # so that shifts are exact
    shifted = rounded.with_columns(mjd=rounded.mjd + days)
    assert_same_steps(make_steps(shifted, CONFIG), make_steps(rounded, CONFIG))


def test_fluxes_count_in_units_of_the_flux_scale(sample):
    part = sample.take(np.arange(0, len(sample), 25))
    doubled = part.with_columns(flux=2.0 * part.flux, flux_err=2.0 * part.flux_err)
    expected = make_steps(part, CONFIG)
    steps = make_steps(doubled, replace(CONFIG, flux_scale=2.0 * CONFIG.flux_scale))
    np.testing.assert_allclose(steps.values, expected.values, atol=1e-6)
    np.testing.assert_allclose(steps.summary, expected.summary, atol=1e-5)


def test_a_band_is_treated_like_every_other(sample):
    """Swapping two bands swaps their columns and nothing else."""
    part = sample.take(np.arange(0, len(sample), 25))
    swap = np.array([0, 3, 2, 1, 4, 5])
    a = make_steps(part, CONFIG)
    b = make_steps(part.with_columns(band=swap[part.band]), CONFIG)
    channels = np.concatenate([np.arange(30).reshape(6, 5)[swap].ravel(), np.arange(30, 36)])
    np.testing.assert_array_equal(b.values, a.values[:, channels])
    for name in ("mean", "share", "snr_max", "trigger2", "peak0"):
        g, i = (CONTEXT_NAMES.index(f"{name}_{band}") for band in "gi")
        np.testing.assert_array_equal(b.summary[:, [g, i]], a.summary[:, [i, g]])


# --- context ----------------------------------------------------------------------------


def test_absolute_magnitudes_follow_astropy():
    from astropy.cosmology import FlatLambdaCDM

    z = np.array([0.01, 0.1, 0.7, 2.0])
    curves = one_night(4, flux=1e5, flux_err=1e-3).with_columns(redshift=z, redshift_err=np.zeros(4))
    context = make_steps(curves, CONFIG).context()
    modulus = FlatLambdaCDM(H0=70.0, Om0=0.3).distmod(z).value
    expected = np.clip(-(31.4 - 12.5 - modulus + 19.0), -12.0, 8.0)
    for name in ("absolute_peak", "absolute_r"):
        np.testing.assert_allclose(context[:, CONTEXT_NAMES.index(name)], expected, atol=1e-3)


def test_context_columns_of_the_redshift_are_where_their_names_say():
    z, err = [np.nan, 0.0, 0.5], [np.nan, 0.0, 0.1]
    curves = one_night(3).with_columns(redshift=np.array(z), redshift_err=np.array(err))
    context = make_steps(curves, CONFIG).context()
    column = {name: context[:, k] for k, name in enumerate(CONTEXT_NAMES)}
    np.testing.assert_array_equal(column["redshift_known"], [0.0, 1.0, 1.0])
    np.testing.assert_array_equal(column["galactic"], [0.0, 1.0, 0.0])
    np.testing.assert_allclose(column["log_redshift"], [0.0, 0.0, np.log(0.52 / 0.02)], rtol=1e-5)
    np.testing.assert_allclose(column["log_redshift_err"], [0.0, 0.0, np.log(11.0)], rtol=1e-5)


def test_farther_hosts_make_brighter_transients():
    z = np.linspace(0.01, 3.0, 40)
    curves = one_night(40, flux=2_000.0).with_columns(redshift=z, redshift_err=0.1 * z)
    brightness = make_steps(curves, CONFIG).context()[:, CONTEXT_NAMES.index("absolute_r")]
    assert np.all(np.diff(brightness) > 0.0)


def test_a_redshift_error_without_bounds_stays_bounded():
    steps = make_steps(one_night(), CONFIG)
    for err in (-1.0, np.inf, 1e30, np.nan):
        context = make_context(steps.summary, [0.3], [err], CONFIG.flux_scale)
        assert np.isfinite(context).all()


def test_weights_of_targets_lie_between_nothing_and_all(sample):
    context = make_steps(sample, CONFIG).context()
    weights = target_weights(context)
    assert weights.shape == (len(sample), N_CONTEXT)
    assert weights.min() >= 0.0
    assert weights.max() <= 1.0
    known = [k for k, name in enumerate(CONTEXT_NAMES) if name.endswith("_known")]
    assert not weights[:, known].any()


def test_without_redshift_no_target_asks_for_one(sample):
    context = make_steps(sample.with_redshift("none"), CONFIG).context()
    columns = [k for k, name in enumerate(CONTEXT_NAMES) if "absolute" in name or "redshift" in name]
    assert not target_weights(context)[:, columns].any()


def test_bins_flatten_in_the_order_of_the_settings():
    config = StepsConfig(width_before=9.0, width_after=1.0, phases=(5.0, 6.0), widths=(2.0, 3.0))
    assert config.bins().tolist() == [9.0, 1.0, 5.0, 2.0, 6.0, 3.0]
    assert StepsConfig(phases=(), widths=()).bins().tolist() == [25.0, 3.0]


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"phases": (1.0, 2.0)}, "2 phases but 3 widths"),
        ({"widths": (7.0, 15.0, 0.0)}, "positive"),
        ({"width_before": -1.0}, "positive"),
        ({"width_after": np.nan}, "positive"),
        ({"phases": (100.0, 30.0, 200.0)}, "ascending"),
    ],
)
def test_wrong_settings_of_the_bins_are_named(settings_, words):
    with pytest.raises(SettingsError, match=words):
        StepsConfig(**settings_)


def test_narrower_bins_make_more_steps_and_lose_nothing(sample):
    part = sample.take(np.arange(0, len(sample), 25))
    fine = make_steps(part, StepsConfig(width_before=1e-6, width_after=1e-6, phases=(), widths=()))
    assert np.all(fine.n_steps >= make_steps(part, CONFIG).n_steps)
    np.testing.assert_array_equal(fine.summary, make_steps(part, CONFIG).summary)
    instants = [len(np.unique(one.mjd)) for one in part]
    assert np.all(np.abs(fine.n_steps - instants) <= 1)


# --- the shape that the head must draw ---------------------------------------------------


def slow_shape(one):
    """The rest-frame shape from whole arrays and numpy's two-dimensional histogram."""
    flux, err = one.flux.astype(float), one.flux_err.astype(float)
    low = flux - 2.0 * err
    n = (len(TIME_EDGES) - 1) * (len(WAVELENGTH_EDGES) - 1)
    if low.max() <= 0.0:
        return np.zeros(n), np.zeros(n)
    peak = int(np.argmax(low))
    stretch = 1.0 + max(0.0 if np.isnan(one.redshift) else one.redshift, 0.0)
    days = (one.mjd - one.mjd[peak]) / stretch
    rest = EFFECTIVE_WAVELENGTH[one.band] / stretch
    weight = 1.0 / (err**2 + (0.02 * flux[peak]) ** 2)
    edges = (TIME_EDGES, WAVELENGTH_EDGES)
    inside = (days < TIME_EDGES[-1]) & (rest < WAVELENGTH_EDGES[-1])  # numpy closes the last bin
    summed = [
        np.histogram2d(days[inside], rest[inside], edges, weights=(weight * value)[inside])[0].ravel()
        for value in (np.ones(len(flux)), flux)
    ]
    total = summed[0] + 1.0 / (0.3 * flux[peak]) ** 2
    return np.clip(summed[1] / total / flux[peak], -2.0, 2.0) / 0.3, summed[0] / total


def test_shapes_agree_with_a_histogram(sample):
    part = sample.take(np.arange(0, len(sample), 3))
    shape, known = rest_frame_shape(part)
    for i, one in enumerate(part):
        expected = slow_shape(one)
        np.testing.assert_allclose(shape[i], expected[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(known[i], expected[1], rtol=1e-4, atol=1e-5)


def test_shape_does_not_know_how_bright_the_object_is(sample):
    brighter = sample.with_columns(flux=8.0 * sample.flux, flux_err=8.0 * sample.flux_err)
    for a, b in zip(rest_frame_shape(brighter), rest_frame_shape(sample), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_time_at_redshift_one_runs_at_half_speed(sample):
    """Twice the days at twice one plus the redshift are the same rest-frame days."""
    mjd = 60_000.0 + np.array([0.0, 10.0, 30.0, 70.0])
    near = LightCurves(
        np.array(["a"]), np.array([0, 4]), mjd, np.full(4, 5), 1e3 - mjd + 6e4, np.full(4, 5.0)
    )
    far = near.with_columns(mjd=60_000.0 + 2.0 * (mjd - 60_000.0), redshift=np.ones(1))
    windows = [
        known.reshape(len(TIME_EDGES) - 1, -1).max(axis=1) for _, known in map(rest_frame_shape, (near, far))
    ]
    np.testing.assert_allclose(windows[1], windows[0], rtol=1e-6)
    assert (windows[0] > 0.0).sum() == 4


def test_one_observation_is_its_own_peak():
    shape, known = rest_frame_shape(one_night(flux=1_000.0, flux_err=1.0))
    assert (known > 0.0).sum() == 1
    assert shape.max() == pytest.approx(1.0 / 0.3, rel=0.01)
