"""The laws of `Classifier`, on every registered classifier."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from firstlight.classify import CLASSIFIERS, Classifier, ClassifierConfig, TrainingRows, load_classifier
from firstlight.errors import BundleError, DataError, LeakageError, NotFittedError
from firstlight.settings import from_table, to_table

pytestmark = pytest.mark.parametrize("kind", list(CLASSIFIERS))


@pytest.fixture(scope="module")
def fitted(toy, quick) -> Callable[[str], Classifier]:
    """Each classifier, trained once for all tests."""
    kept: dict[str, Classifier] = {}

    def get(kind: str) -> Classifier:
        if kind not in kept:
            kept[kind] = CLASSIFIERS[kind](quick).fit(toy.rows, seed=3)
        return kept[kind]

    return get


def test_probabilities_are_probabilities(kind, fitted, other_toy):
    proba = fitted(kind).predict_proba(other_toy.X, redshift=other_toy.redshift)
    assert proba.dtype == np.float64
    assert proba.shape == (300, 5)
    assert (proba >= 0.0).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, atol=1e-12)


def test_columns_follow_the_taxonomy(kind, fitted):
    assert fitted(kind).classes == ("AGN", "EB", "RRL", "SNIa", "KN")


def test_it_learns(kind, fitted, other_toy):
    model = fitted(kind)
    proba = model.predict_proba(other_toy.X, redshift=other_toy.redshift)
    right = np.array(model.classes)[proba.argmax(axis=1)] == other_toy.labels
    assert right.mean() > 0.6  # the commonest class has 0.35


def test_the_same_seed_gives_the_same_numbers(kind, fitted, quick, toy, other_toy):
    again = CLASSIFIERS[kind](quick).fit(toy.rows, seed=3)
    np.testing.assert_array_equal(
        again.predict_proba(other_toy.X, redshift=other_toy.redshift),
        fitted(kind).predict_proba(other_toy.X, redshift=other_toy.redshift),
    )


def test_training_does_not_touch_its_input(kind, quick, toy):
    X, labels = toy.X.copy(), toy.labels.copy()
    CLASSIFIERS[kind](quick).fit(TrainingRows(X, labels, toy.redshift))
    np.testing.assert_array_equal(X, toy.X)
    np.testing.assert_array_equal(labels, toy.labels)


def test_saved_and_loaded_gives_the_same_bits(kind, fitted, other_toy, folder):
    fitted(kind).save(folder)
    loaded = load_classifier(kind, folder)
    assert loaded.classes == fitted(kind).classes
    np.testing.assert_array_equal(
        loaded.predict_proba(other_toy.X, redshift=other_toy.redshift),
        fitted(kind).predict_proba(other_toy.X, redshift=other_toy.redshift),
    )


def test_saving_twice_gives_the_same_bytes(kind, fitted, folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    fitted(kind).save(folder)
    load_classifier(kind, folder).save(other)
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    for name in names:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


def test_nothing_is_pickled(kind, fitted, folder):
    fitted(kind).save(folder)
    for path in folder.iterdir():
        assert path.suffix in {".json", ".safetensors", ".gz"}
        assert not path.read_bytes().startswith(b"\x80")  # pickle's first opcode


def test_a_damaged_file_is_a_bundle_error(kind, fitted, folder):
    fitted(kind).save(folder)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(BundleError, match=path.name):
            load_classifier(kind, folder)
        path.unlink()
        with pytest.raises(BundleError, match=path.name):
            load_classifier(kind, folder)
        path.write_bytes(whole)


def test_missing_values_are_values(kind, fitted, other_toy):
    nothing = np.full_like(other_toy.X[:3], np.nan)
    assert np.isfinite(fitted(kind).predict_proba(nothing)).all()


def test_infinite_and_huge_values_are_survived(kind, fitted, quick, toy):
    wild = toy.X.copy()
    wild[::7, 0], wild[1::7, 1], wild[2::7, 2] = np.inf, -np.inf, 3e38
    assert np.isfinite(fitted(kind).predict_proba(wild)).all()
    model = CLASSIFIERS[kind](quick).fit(TrainingRows(wild, toy.labels, toy.redshift))
    assert np.isfinite(model.predict_proba(wild)).all()


def test_a_feature_that_is_never_known_does_no_harm(kind, quick, toy):
    X = np.column_stack([toy.X, np.full(len(toy.X), np.nan, dtype=np.float32)])
    model = CLASSIFIERS[kind](quick).fit(TrainingRows(X, toy.labels, toy.redshift))
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("n_rows", [1, 2, 4, 5, 8, 13])
def test_a_row_gives_the_same_bits_alone_and_in_any_batch(kind, n_rows, fitted, other_toy):
    model = fitted(kind)
    whole = model.predict_proba(other_toy.X, redshift=other_toy.redshift)
    for first in (0, 3, 101):
        rows = slice(first, first + n_rows)
        part = model.predict_proba(other_toy.X[rows], redshift=other_toy.redshift[rows])
        np.testing.assert_array_equal(part, whole[rows])


def test_no_rows_give_no_probabilities(kind, fitted, other_toy):
    assert fitted(kind).predict_proba(other_toy.X[:0], redshift=other_toy.redshift[:0]).shape == (0, 5)


def test_threads_do_not_disturb_each_other(kind, fitted, other_toy):
    model = fitted(kind)
    expected = model.predict_proba(other_toy.X, redshift=other_toy.redshift)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(model.predict_proba, other_toy.X, redshift=other_toy.redshift) for _ in range(16)]
        for job in jobs:
            np.testing.assert_array_equal(job.result(), expected)


def test_an_untrained_classifier_says_so(kind, toy, folder):
    model = CLASSIFIERS[kind](ClassifierConfig())
    with pytest.raises(NotFittedError, match="fit"):
        model.predict_proba(toy.X)
    with pytest.raises(NotFittedError, match="fit"):
        model.save(folder)


def test_rows_of_another_width_are_an_error(kind, fitted, toy):
    with pytest.raises(DataError, match="features"):
        fitted(kind).predict_proba(toy.X[:, :-1])


def test_an_object_on_both_sides_is_a_leak(kind, quick, toy, other_toy):
    groups = other_toy.object_id.copy()
    groups[5] = toy.object_id[7]
    held = TrainingRows(other_toy.X, other_toy.labels, other_toy.redshift, object_id=groups)
    with pytest.raises(LeakageError, match=toy.object_id[7]):
        CLASSIFIERS[kind](quick).fit(toy.rows, held)


def test_held_out_rows_of_unknown_classes_are_left_out(kind, quick, toy, other_toy):
    labels = np.where(other_toy.labels == "KN", "PISN", other_toy.labels)
    held = TrainingRows(other_toy.X, labels, other_toy.redshift, object_id=other_toy.object_id)
    model = CLASSIFIERS[kind](quick).fit(toy.rows, held)
    assert "PISN" not in model.classes


def test_bad_training_input_is_named(kind, quick, toy):
    model = CLASSIFIERS[kind](quick)
    with pytest.raises(DataError, match="two classes"):
        model.fit(TrainingRows(toy.X, np.full(len(toy.X), "KN")))
    with pytest.raises(DataError, match="held-out rows have 7 features"):
        model.fit(toy.rows, TrainingRows(toy.X[:, 1:], toy.labels))


def test_weight_decides(kind, quick, toy):
    # Rows of weight 0 with wrong labels must not matter.
    rng = np.random.default_rng(0)
    X = np.vstack([toy.X, toy.X])
    labels = np.concatenate([toy.labels, rng.permutation(toy.labels)])
    weight = np.repeat([1.0, 0.0], len(toy.X))
    redshift = np.full(len(X), np.nan)
    model = CLASSIFIERS[kind](quick).fit(TrainingRows(X, labels, redshift, weight))
    proba = model.predict_proba(toy.X)
    assert (np.array(model.classes)[proba.argmax(axis=1)] == toy.labels).mean() > 0.7


def test_two_classes_are_enough(kind, quick, toy, folder):
    two = np.isin(toy.labels, ["AGN", "SNIa"])
    model = CLASSIFIERS[kind](quick).fit(toy.rows.take(two))
    proba = model.predict_proba(toy.X[two])
    assert model.classes == ("AGN", "SNIa")
    assert (np.array(model.classes)[proba.argmax(axis=1)] == toy.labels[two]).mean() > 0.8
    model.save(folder)
    np.testing.assert_array_equal(load_classifier(kind, folder).predict_proba(toy.X[two]), proba)


def test_progress_rises_to_one(kind, quick, toy):
    seen: list[float] = []
    CLASSIFIERS[kind](quick).fit(toy.rows, progress=lambda stage, done: seen.append(done))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)


def test_settings_survive_toml(kind):
    config = ClassifierConfig(kind=kind)
    assert from_table(ClassifierConfig, to_table(config)) == config
    assert {field.name for field in fields(config)} >= {"kind", "lightgbm", "gate", "seed_booster"}


def test_an_unknown_kind_is_a_bundle_error(kind, folder: Path):
    with pytest.raises(BundleError, match=kind):
        load_classifier("magic", folder)
