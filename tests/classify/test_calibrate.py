"""`PhaseCalibrator`: it corrects wrong probabilities, by phase, and leaves the rest alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.classify import CalibrationConfig, PhaseCalibrator
from firstlight.classify.calibrate import _hats, _penalised_loss, _Rows
from firstlight.errors import BundleError, DataError
from firstlight.storage import read_json, write_state

CLASSES = ("AGN", "EB", "SNIa", "KN")


def truthful(n_rows, seed, sharpness=2.0):
    """Probabilities that are right by construction, with labels drawn from them."""
    rng = np.random.default_rng(seed)
    raw = sharpness * rng.normal(size=(n_rows, len(CLASSES)))
    proba = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    drawn = (proba.cumsum(axis=1) < rng.random((n_rows, 1))).sum(axis=1)
    phase = rng.uniform(0.0, 200.0, n_rows)
    return proba, np.array(CLASSES)[np.minimum(drawn, 3)], phase


def sharpened(proba, power):
    wrong = proba ** np.broadcast_to(power, len(proba))[:, None]
    return wrong / wrong.sum(axis=1, keepdims=True)


def log_loss(proba, labels):
    column = np.array([CLASSES.index(name) for name in labels])
    return -np.log(np.maximum(proba[np.arange(len(proba)), column], 1e-15)).mean()


def calibration_error(proba, labels, n_bins=10):
    """Mean over bins of confidence of how far accuracy is off."""
    confidence = proba.max(axis=1)
    right = np.array(CLASSES)[proba.argmax(axis=1)] == labels
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    return sum(
        abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    )


@pytest.mark.parametrize("power", [0.4, 2.5], ids=["too humble", "too sure"])
def test_wrong_confidence_is_mended_on_new_objects(power):
    proba, labels, phase = truthful(3000, 0)
    calibrator = PhaseCalibrator().fit(sharpened(proba, power), labels, CLASSES, phase)
    proba, labels, phase = truthful(4000, 1)
    wrong = sharpened(proba, power)
    mended = calibrator.transform(wrong, phase)
    assert calibration_error(mended, labels) < 0.3 * calibration_error(wrong, labels)
    assert log_loss(mended, labels) < log_loss(wrong, labels)
    np.testing.assert_allclose(mended.sum(axis=1), 1.0)


def test_confidence_that_is_wrong_early_only_is_mended_there():
    proba, labels, phase = truthful(4000, 2)
    power = np.where(phase < 8.0, 3.0, 1.0)
    rng = np.random.default_rng(0)
    phase = np.where(rng.random(4000) < 0.5, rng.uniform(0, 4, 4000), rng.uniform(60, 300, 4000))
    power = np.where(phase < 8.0, 3.0, 1.0)
    calibrator = PhaseCalibrator().fit(sharpened(proba, power), labels, CLASSES, phase)
    assert "phase" in calibrator.chosen
    early = calibrator.transform(sharpened(proba, 3.0), np.full(4000, 1.0))
    late = calibrator.transform(proba, np.full(4000, 200.0))
    np.testing.assert_allclose(early, proba, atol=0.12)
    np.testing.assert_allclose(late, proba, atol=0.05)


def test_right_probabilities_stay_right():
    proba, labels, phase = truthful(2000, 3)
    calibrator = PhaseCalibrator().fit(proba, labels, CLASSES, phase)
    np.testing.assert_allclose(calibrator.transform(proba, phase), proba, atol=0.05)


@settings(max_examples=6)
@given(seed=st.integers(0, 10_000), n_rows=st.integers(100, 250), power=st.floats(0.2, 4.0))
def test_the_loss_never_rises_on_the_validation_rows(seed, n_rows, power):
    proba, labels, phase = truthful(n_rows, seed)
    wrong = sharpened(proba, power)
    calibrator = PhaseCalibrator().fit(wrong, labels, CLASSES, phase)
    assert log_loss(calibrator.transform(wrong, phase), labels) <= log_loss(wrong, labels) + 1e-9


def test_the_most_probable_class_stays():
    proba, labels, phase = truthful(500, 4)
    labels = np.where(np.random.default_rng(0).random(500) < 0.4, "KN", labels)
    calibrator = PhaseCalibrator().fit(proba, labels, CLASSES, phase)
    np.testing.assert_array_equal(calibrator.transform(proba, phase).argmax(axis=1), proba.argmax(axis=1))


def test_too_few_objects_change_nothing():
    proba, labels, phase = truthful(99, 5)
    calibrator = PhaseCalibrator().fit(sharpened(proba, 3.0), labels, CLASSES, phase)
    assert calibrator.chosen == "identity"
    np.testing.assert_array_equal(calibrator.transform(proba, phase), proba)


def test_copies_do_not_make_objects():
    proba, labels, phase = truthful(50, 5)
    many = [np.repeat(part, 10, axis=0) for part in (sharpened(proba, 3.0), labels, phase)]
    calibrator = PhaseCalibrator().fit(
        many[0], many[1], CLASSES, many[2], groups=np.repeat(np.arange(50), 10)
    )
    assert calibrator.chosen == "identity"


def test_an_object_with_many_copies_counts_once():
    proba, labels, phase = truthful(600, 6)
    wrong = sharpened(proba, 2.0)
    rows = np.concatenate([np.arange(600), np.zeros(2000, int)])
    once = PhaseCalibrator().fit(wrong, labels, CLASSES, phase)
    many = PhaseCalibrator().fit(wrong[rows], labels[rows], CLASSES, phase[rows], groups=rows)
    assert many.chosen != "identity"
    np.testing.assert_allclose(many.transform(wrong, phase), once.transform(wrong, phase), atol=0.02)


def test_unfitted_changes_nothing():
    proba, _, phase = truthful(10, 0)
    np.testing.assert_array_equal(PhaseCalibrator().transform(proba, phase), proba)


def test_impossible_classes_stay_impossible():
    proba, labels, phase = truthful(300, 7)
    wrong = sharpened(proba, 3.0)
    wrong[:, 1] = 0.0
    wrong /= wrong.sum(axis=1, keepdims=True)
    calibrator = PhaseCalibrator().fit(wrong, labels, CLASSES, phase)
    assert calibrator.chosen != "identity"
    after = calibrator.transform(wrong, phase)
    assert (after[:, 1] == 0.0).all()
    np.testing.assert_allclose(after.sum(axis=1), 1.0)


@pytest.mark.parametrize("phase", [np.nan, -50.0, 0.0])
def test_before_the_trigger_is_the_first_knot(phase):
    proba, labels, days = truthful(2000, 8)
    calibrator = PhaseCalibrator().fit(sharpened(proba, 2.0), labels, CLASSES, days)
    np.testing.assert_array_equal(
        calibrator.transform(proba, np.full(2000, phase)), calibrator.transform(proba, np.zeros(2000))
    )


def test_the_correction_has_no_jumps_in_phase():
    proba, labels, phase = truthful(2000, 9)
    power = np.where(phase < 30.0, 3.0, 0.7)
    calibrator = PhaseCalibrator().fit(sharpened(proba, power), labels, CLASSES, phase)
    days = np.linspace(0.0, 300.0, 3001)
    path = calibrator.transform(np.tile([0.7, 0.1, 0.1, 0.1], (3001, 1)), days)
    assert np.abs(np.diff(path, axis=0)).max() < 0.02


def test_rows_of_unknown_classes_are_left_out():
    proba, labels, phase = truthful(500, 10)
    labels = labels.astype("U9")
    labels[:50] = "PISN"
    all_rows = PhaseCalibrator().fit(sharpened(proba, 3.0), labels, CLASSES, phase)
    known = PhaseCalibrator().fit(sharpened(proba, 3.0)[50:], labels[50:], CLASSES, phase[50:])
    np.testing.assert_allclose(all_rows.transform(proba, phase), known.transform(proba, phase))


def test_saved_and_loaded_gives_the_same_bits(folder):
    proba, labels, phase = truthful(200, 11)
    calibrator = PhaseCalibrator().fit(sharpened(proba, 3.0), labels, CLASSES, phase)
    calibrator.save(folder)
    loaded = PhaseCalibrator.load(folder)
    assert loaded.chosen == calibrator.chosen
    assert loaded.losses == calibrator.losses
    np.testing.assert_array_equal(loaded.transform(proba, phase), calibrator.transform(proba, phase))


def test_an_unfitted_calibrator_can_be_saved(folder):
    PhaseCalibrator().save(folder)
    proba, _, phase = truthful(10, 0)
    np.testing.assert_array_equal(PhaseCalibrator.load(folder).transform(proba, phase), proba)


def test_a_damaged_file_is_a_bundle_error(folder):
    with pytest.raises(BundleError, match="calibrator"):
        PhaseCalibrator.load(folder)
    PhaseCalibrator().save(folder)
    state = read_json(folder / "calibrator.json")
    write_state(folder / "calibrator.json", state | {"log_scale": [0.0]})
    with pytest.raises(BundleError, match="knots"):
        PhaseCalibrator.load(folder)


@pytest.mark.parametrize("value", [50.0, float("nan")], ids=["too large", "not a number"])
def test_an_impossible_shift_of_a_file_is_refused(folder, value):
    PhaseCalibrator().save(folder)
    state = read_json(folder / "calibrator.json")
    write_state(folder / "calibrator.json", state | {"shift": [[value, 0.0]] * 5})
    with pytest.raises(BundleError):
        PhaseCalibrator.load(folder)


def test_shapes_that_do_not_fit_are_an_error():
    proba, labels, phase = truthful(300, 12)
    with pytest.raises(DataError, match="fit together"):
        PhaseCalibrator().fit(proba, labels[:-1], CLASSES, phase)
    with pytest.raises(DataError, match="fit together"):
        PhaseCalibrator().fit(proba, labels, CLASSES[:-1], phase)
    calibrator = PhaseCalibrator().fit(sharpened(proba, 3.0), labels, CLASSES, phase)
    with pytest.raises(DataError, match="4 classes"):
        calibrator.transform(proba[:, :3], phase)
    with pytest.raises(DataError, match="phases"):
        calibrator.transform(proba, phase[:-1])


def test_the_seed_decides_the_folds():
    proba, labels, phase = truthful(400, 13)
    losses = [PhaseCalibrator().fit(proba, labels, CLASSES, phase, seed=seed).losses for seed in (0, 0, 1)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_hats_interpolate_and_sum_to_one():
    knots = (0.0, 2.0, 8.0)
    hats = _hats(np.array([0.0, 2.0, 8.0, 500.0, np.sqrt(3.0) - 1.0]), knots)
    np.testing.assert_allclose(hats[:3], np.eye(3))
    np.testing.assert_allclose(hats[3], [0.0, 0.0, 1.0])
    np.testing.assert_allclose(hats[4], [0.5, 0.5, 0.0])
    np.testing.assert_array_equal(_hats(np.array([1.0, 9.0]), (5.0,)), [[1.0], [1.0]])


@pytest.mark.parametrize(
    ("n_scales", "n_shifts"), [(1, 0), (5, 0), (5, 5)], ids=["one scale", "a scale per knot", "shifts"]
)
def test_the_gradient_is_the_slope_of_the_loss(n_scales, n_shifts):
    proba, labels, phase = truthful(60, 14)
    rows = _Rows(
        log_proba=np.log(proba),
        code=np.array([CLASSES.index(label) for label in labels]),
        hats=_hats(phase, CalibrationConfig().knots),
        weight=np.ones(60),
        log_share=np.array([0.5, -0.2, 0.3, -0.6]),
    )
    at = np.random.default_rng(0).normal(0.0, 0.3, n_scales + n_shifts)
    value, gradient = _penalised_loss(rows, at, n_scales)
    for i in range(len(at)):
        moved = at.copy()
        moved[i] += 1e-6
        slope = (_penalised_loss(rows, moved, n_scales)[0] - value) / 1e-6
        assert slope == pytest.approx(gradient[i], rel=2e-3, abs=2e-3)


@pytest.fixture(scope="module")
def shifted():
    """A calibrator of probabilities in which rare classes are too probable early on, as class weights do."""
    proba, labels, phase = truthful(6000, 15)
    kept = (
        np.random.default_rng(0).random(len(labels))
        < np.array([1.0, 0.1, 0.5, 0.3])[[CLASSES.index(name) for name in labels]]
    )
    proba, labels, phase = proba[kept], labels[kept], phase[kept]
    late = proba * np.array([1.0, 0.1, 0.5, 0.3])
    early = 1.0 - np.minimum(np.log1p(phase) / np.log1p(128.0), 1.0)
    late /= late.sum(axis=1, keepdims=True)
    wrong = np.exp(early[:, None] * np.log(proba) + (1.0 - early[:, None]) * np.log(late))
    wrong /= wrong.sum(axis=1, keepdims=True)
    config = CalibrationConfig(class_shifts=True)
    return PhaseCalibrator(config).fit(wrong, labels, CLASSES, phase), wrong, labels, phase


def test_with_class_shifts_each_class_is_as_probable_as_frequent_at_every_phase(shifted):
    calibrator, wrong, labels, phase = shifted
    assert calibrator.chosen == "class shifts by phase"
    found = calibrator.transform(wrong, phase)
    early = phase < np.median(phase)
    for part in (early, ~early):
        share = np.array([(labels[part] == name).mean() for name in CLASSES])
        np.testing.assert_allclose(found[part].mean(axis=0), share, atol=0.02)
    share = np.array([(labels[early] == name).mean() for name in CLASSES])
    assert abs(wrong[early].mean(axis=0) - share).max() > 0.03


def test_shifts_are_chosen_only_where_the_settings_allow_them(shifted):
    _, wrong, labels, phase = shifted
    plain = PhaseCalibrator().fit(wrong, labels, CLASSES, phase)
    assert "class shifts by phase" not in plain.losses
    np.testing.assert_array_equal(plain.transform(wrong, phase).argmax(axis=1), wrong.argmax(axis=1))


def test_a_row_is_shifted_to_the_same_bits_alone_and_in_any_batch(shifted, folder):
    calibrator, wrong, _, phase = shifted
    calibrator.save(folder)
    loaded = PhaseCalibrator.load(folder)
    whole = loaded.transform(wrong[:50], phase[:50])
    alone = [loaded.transform(wrong[i : i + 1], phase[i : i + 1])[0] for i in range(50)]
    np.testing.assert_array_equal(whole, alone)
    np.testing.assert_array_equal(whole, calibrator.transform(wrong[:50], phase[:50]))


def test_shifts_may_end_before_whole_light_curves(shifted):
    _, wrong, labels, phase = shifted
    config = CalibrationConfig(class_shifts=True, late_shifts=False)
    calibrator = PhaseCalibrator(config).fit(wrong, labels, CLASSES, phase)
    assert calibrator.chosen == "class shifts by phase"
    late = calibrator.transform(wrong, np.full(len(wrong), 500.0))
    np.testing.assert_array_equal(late.argmax(axis=1), wrong.argmax(axis=1))
    early = calibrator.transform(wrong, np.zeros(len(wrong)))
    assert np.any(early.argmax(axis=1) != wrong.argmax(axis=1))
