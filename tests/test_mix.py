"""Class mixes: frequencies that the user states, and probabilities under them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from firstlight.errors import DataError, SettingsError
from firstlight.mix import Brighter, ClassMix, MixBin, estimate_mix, mix_names, under_mix
from firstlight.predictions import Predictions, estimated_mix
from firstlight.taxonomy import CLASSES

_shares = arrays(np.float64, 4, elements=st.floats(0.01, 1.0)).map(lambda x: x / x.sum())
_rows = st.integers(1, 5).flatmap(lambda n: arrays(np.float64, (n, 4), elements=st.floats(0.01, 1.0)))


@settings(max_examples=50)
@given(rows=_rows, trained=_shares, mix=_shares)
def test_a_mix_and_its_inverse_give_back_the_probabilities(rows, trained, mix):
    proba = rows / rows.sum(axis=1, keepdims=True)
    there = under_mix(proba, trained, mix)
    np.testing.assert_allclose(there.sum(axis=1), 1.0)
    np.testing.assert_allclose(under_mix(there, mix, trained), proba)
    np.testing.assert_array_equal(under_mix(proba[:1], trained, mix), there[:1])


def test_probabilities_of_a_known_problem_follow_bayes():
    rng = np.random.default_rng(0)
    trained, mix = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    truth = rng.random(200_000) < mix[1]
    x = rng.normal(np.where(truth, 1.0, -1.0), 1.0)
    at_training = 1.0 / (1.0 + np.exp(-2.0 * x))
    proba = under_mix(np.stack([1.0 - at_training, at_training], axis=1), trained, mix)[:, 1]
    for low in (0.0, 0.2, 0.6, 0.9):
        chosen = (proba >= low) & (proba < low + 0.1)
        assert abs(truth[chosen].mean() - proba[chosen].mean()) < 0.02


@pytest.mark.parametrize("name", mix_names())
def test_every_mix_that_ships_names_its_source_and_known_classes(name):
    mix = ClassMix.read(name)
    mix.check(CLASSES)
    assert "doi:" in mix.source
    np.testing.assert_allclose(mix.frequencies(CLASSES).sum(axis=1), 1.0)


def test_a_mix_by_redshift_and_magnitude_chooses_the_first_range_that_holds_an_object():
    near = MixBin(mix={"SNIa": 1.0}, redshift=(0.0, 0.1), magnitude=(15.0, 20.0))
    mix = ClassMix(mix={"SNII": 1.0}, bins=(near,))
    brighter = Brighter(-np.array([18.0, 21.0, 18.0, 18.0]), lambda limit: -limit)
    found = mix.bin_of(np.array([0.05, 0.05, 0.2, np.nan]), brighter, 4)
    assert found.tolist() == [0, 1, 1, 1]
    assert mix.frequencies(["SNIa", "SNII"])[0, 0] > 0.99


def test_an_object_of_unknown_brightness_is_in_no_range_of_magnitudes():
    faint, bright = (
        MixBin(mix={"SNIa": 1.0}, magnitude=(20.0, np.inf)),
        MixBin(mix={"KN": 1.0}, magnitude=(-np.inf, 15.0)),
    )
    mix = ClassMix(mix={"SNII": 1.0}, bins=(faint, bright))
    brighter = Brighter(-np.array([np.nan, 21.0, 14.0]), lambda limit: -limit)
    assert mix.bin_of(None, brighter, 3).tolist() == [2, 0, 1]


@given(unit=st.floats(5e-324, 1e308))
def test_the_unit_of_a_mix_does_not_matter(unit):
    frequencies = ClassMix.read({"SNIa": unit, "SNII": unit}).frequencies(["SNIa", "SNII", "KN"])
    np.testing.assert_allclose(frequencies, [[0.4995, 0.4995, 0.001]])


def test_a_mix_of_classes_without_training_objects_alone_is_refused():
    with pytest.raises(SettingsError, match="without training objects"):
        ClassMix.read({"PISN": 1.0}).frequencies(["SNIa", "PISN"], np.array([1.0, 0.0]))


def test_classes_that_were_not_trained_stay_impossible():
    frequencies = ClassMix.read("lsst").frequencies(CLASSES, np.eye(17)[9] + np.eye(17)[10])
    assert np.flatnonzero(frequencies[0]).tolist() == [9, 10]


def test_a_mix_from_a_file_is_read_and_a_wrong_one_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        "others = 0.1\n[mix]\nSNIa = 3\nSNII = 1\n[[bins]]\nredshift = [0.0, 0.2]\nmix = {SNII = 1}\n"
    )
    mix = ClassMix.read(path)
    assert (mix.name, mix.others, len(mix.bins)) == ("mine", 0.1, 1)
    with pytest.raises(SettingsError, match="unknown class"):
        ClassMix.read({"SN Ia": 1.0}).check(CLASSES)
    bins = ("redshift = [0.2, 0.1]\n", "redshift = [nan, 0.1]\n", "magnitude = [20.0]\n", "")
    in_bins = [f"[mix]\nSNIa = 1\n[[bins]]\n{limits}mix = {{SNII = 1}}\n" for limits in bins]
    for wrong in ("", "[mix]\nSNIa = -1\n", "[mix]\n", "mix = 3\n", "[mix\n", *in_bins):
        path.write_text(wrong)
        with pytest.raises(SettingsError):
            ClassMix.read(path)
    with pytest.raises(SettingsError, match="mixes: bts, lsst"):
        ClassMix.read("no-such-mix")


def _overlapping(mix: np.ndarray, apart: float, n: int = 4000) -> np.ndarray:
    """Probabilities of objects of two classes under equal frequencies."""
    rng = np.random.default_rng(0)
    second = rng.random(n) < mix[1]
    x = rng.normal(np.where(second, apart, -apart), 1.0)
    proba = 1.0 / (1.0 + np.exp(-2.0 * apart * x))
    return np.stack([1.0 - proba, proba], axis=1)


def test_the_mix_of_separable_objects_is_found_without_labels():
    mix, trained = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    found = estimate_mix(_overlapping(mix, 2.0), trained)
    np.testing.assert_allclose(found, mix, atol=0.02)
    np.testing.assert_allclose(found.sum(), 1.0)
    twice = np.concatenate([_overlapping(mix, 2.0), np.full((50, 2), 0.5)])
    weight = np.concatenate([np.ones(4000), np.zeros(50)])
    np.testing.assert_allclose(estimate_mix(twice, trained, weight), found, atol=1e-6)


def test_without_objects_the_mix_is_that_of_training():
    trained = np.array([0.3, 0.7, 0.0])
    np.testing.assert_allclose(estimate_mix(np.empty((0, 3)), trained), trained)


def _answers(phase: float, proba: np.ndarray, prior: np.ndarray | None) -> Predictions:
    n = len(proba)
    return Predictions(
        object_id=np.arange(n).astype(np.str_),
        status=np.full(n, "classified"),
        reason=np.full(n, ""),
        label=np.array(["SNIa", "SNII"])[proba.argmax(axis=1)],
        proba=proba,
        anomaly=np.zeros(n),
        n_obs=np.full(n, 9),
        phase=np.full(n, phase),
        classes=("SNIa", "SNII"),
        prior=prior,
    )


def test_an_estimated_mix_moves_the_answers_of_objects_that_were_followed_long_enough():
    proba = _overlapping(np.array([0.9, 0.1]), 1.5)
    answers = _answers(100.0, proba, np.array([0.5, 0.5]))
    mix = estimated_mix(answers)
    assert mix.mix["SNIa"] == pytest.approx(0.9, abs=0.03)
    assert "4,000 objects" in mix.source
    assert answers.with_prior(mix).proba[:, 0].mean() == pytest.approx(mix.mix["SNIa"], abs=2e-3)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (_answers(8.0, np.full((500, 2), 0.5), np.array([0.5, 0.5])), "0 objects were followed"),
        (_answers(99.0, np.full((99, 2), 0.5), np.array([0.5, 0.5])), "99 objects were followed"),
        (_answers(99.0, np.full((500, 2), 0.5), None), "not known"),
        (_answers(99.0, np.full((500, 2), 0.5), np.full((500, 2), 0.5)), "by redshift or magnitude"),
    ],
)
def test_an_estimate_that_would_invent_classes_is_refused(answers, message):
    with pytest.raises(DataError, match=message):
        estimated_mix(answers)


def test_the_mix_on_the_page_about_the_prior_is_one(tmp_path):
    page = (Path(__file__).parent.parent / "docs" / "concepts" / "status.md").read_text("utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(page.split("```toml\n")[1].split("```")[0])
    mix = ClassMix.read(path)
    mix.check(CLASSES)
    brighter = Brighter(-np.array([17.0, 19.0]), lambda limit: -limit)
    assert mix.bin_of([0.02, 0.02], brighter, 2).tolist() == [0, 1]
