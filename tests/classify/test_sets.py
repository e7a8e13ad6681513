"""Prediction sets: each class is covered, the gate is respected, a row does not depend on its batch."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.classify import PredictionSets, SetsConfig
from firstlight.classify.sets import DOUBT
from firstlight.errors import BundleError, DataError, NotFittedError, SettingsError

CLASSES = ("EB", "RRL", "SNIa", "SNII", "KN")
SHARE = np.array([0.2, 0.1, 0.4, 0.25, 0.05])
GALACTIC = frozenset({"EB", "RRL"})


def rows(seed: int, n: int = 3000, copies: int = 1) -> dict[str, np.ndarray]:
    """Objects whose probabilities are right on the average, at random phases; a third without redshift."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(n), copies)
    truth = rng.choice(len(CLASSES), n, p=SHARE)[owner]
    raw = rng.normal(0.0, 1.0, (len(owner), len(CLASSES)))
    raw[np.arange(len(owner)), truth] += 1.5
    galactic = np.array([name in GALACTIC for name in CLASSES])
    raw += np.where(galactic[truth][:, None] == galactic, 0.0, -6.0)
    proba = SHARE * np.exp(raw)
    phase = rng.choice([np.nan, 0.0, 2.0, 8.0, 32.0, 200.0], len(owner))
    redshift = np.where(rng.random(len(owner)) < 1 / 3, np.nan, 0.3)
    return {
        "proba": proba / proba.sum(axis=1, keepdims=True),
        "labels": np.array(CLASSES)[truth],
        "phase": phase,
        "redshift": redshift,
        "groups": owner,
    }


def fitted(**table: np.ndarray) -> PredictionSets:
    return PredictionSets().fit(**table, classes=CLASSES, galactic=GALACTIC)


def members(sets: PredictionSets, table: dict[str, np.ndarray]) -> np.ndarray:
    return sets.members(table["proba"], table["phase"], table["redshift"])


@pytest.fixture(scope="module")
def sets() -> PredictionSets:
    return fitted(**rows(0, 6000, copies=2))


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_at_every_phase_each_class_is_covered_as_often_as_chosen(coverage):
    found = np.zeros((12, len(CLASSES), 2))
    sizes = []
    for seed in range(12):  # the promise is for the mean over calibrations
        table = rows(100 + seed, 1500)
        inside = members(fitted(**rows(seed, 1500)).choose(coverage), table)
        sizes.append(inside.sum(axis=1).mean())
        for k, name in enumerate(CLASSES):
            own = table["labels"] == name
            for early in (0, 1):
                chosen = own & ((table["phase"] < 3.0) == early)
                found[seed, k, early] = inside[chosen, k].mean()
    assert (found.mean(axis=0) > coverage - 0.025).all()
    assert np.mean(sizes) < 3.5


def test_of_a_class_with_few_objects_every_set_has_it_unless_the_gate_excludes_it(sets):
    table = rows(1, 2000)
    rare = (table["labels"] == "KN") & (table["groups"] > 60)
    few = fitted(**{name: column[~rare] for name, column in table.items()})
    inside = members(few, rows(2))
    behind = rows(2)["proba"][:, 2:].sum(axis=1) < DOUBT
    assert inside[~behind, CLASSES.index("KN")].all()
    assert not inside[behind, CLASSES.index("KN")].any()


def test_a_set_has_the_most_probable_class_and_no_class_of_a_side_that_the_gate_excludes(sets):
    table = rows(3)
    inside = members(sets.choose(0.99), table)
    assert inside[np.arange(len(inside)), table["proba"].argmax(axis=1)].all()
    stars = table["proba"][:, :2].sum(axis=1)
    assert not inside[stars < DOUBT, :2].any()
    assert inside[stars > 0.3, :2].any(axis=1).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2999), min_size=1, max_size=7))
def test_a_row_has_the_same_set_alone_and_in_any_batch(sets, index):
    table = rows(4)
    whole = members(sets, table)[index]
    part = members(sets, {name: column[index] for name, column in table.items()})
    np.testing.assert_array_equal(part, whole)


def test_more_coverage_means_larger_sets(sets):
    table = rows(5)
    inside = [members(sets.choose(level), table) for level in (0.5, 0.8, 0.9, 0.99)]
    for smaller, larger in pairwise(inside):
        assert (larger >= smaller).all()
        assert larger.sum() > smaller.sum()
    sets.choose(0.9)


def test_copies_of_an_object_count_as_one_object():
    table = rows(6, 400)
    thrice = {name: np.tile(column, (3, 1) if column.ndim == 2 else 3) for name, column in table.items()}
    for level in (0.5, 0.8, 0.9):
        once = members(fitted(**table).choose(level), rows(7))
        np.testing.assert_array_equal(members(fitted(**thrice).choose(level), rows(7)), once)


def test_without_hidden_redshifts_the_thresholds_of_known_ones_count():
    table = rows(8, 2000) | {"redshift": np.full(2000, 0.3)}
    sets = fitted(**table)
    hidden = table | {"redshift": np.full(2000, np.nan)}
    np.testing.assert_array_equal(members(sets, hidden), members(sets, table))


def test_saved_sets_are_the_same_and_damaged_ones_are_refused(sets, tmp_path):
    sets.choose(0.9).save(tmp_path)
    table = rows(9)
    np.testing.assert_array_equal(members(PredictionSets.load(tmp_path), table), members(sets, table))
    state = (tmp_path / "sets.json").read_text()
    (tmp_path / "sets.json").write_text(state.replace('"KN"\n', '"TDE",\n"KN"\n'))
    with pytest.raises(BundleError, match="sets"):
        PredictionSets.load(tmp_path)
    (tmp_path / "sets.json").write_text(state.replace('"RRL"\n ],\n "galactic', '"PISN"\n ],\n "galactic'))
    (tmp_path / "sets.safetensors").unlink()
    with pytest.raises(BundleError, match=r"sets\.safetensors"):
        PredictionSets.load(tmp_path)


def test_impossible_options_are_refused(sets):
    with pytest.raises(SettingsError, match=r"0\.123"):
        sets.choose(0.123)
    with pytest.raises(SettingsError, match="folds"):
        SetsConfig(folds=1)
    with pytest.raises(NotFittedError):
        PredictionSets().members(np.ones((1, 2)), np.zeros(1), np.zeros(1))
    with pytest.raises(DataError, match="fit together"):
        fitted(**rows(0, 10) | {"phase": np.zeros(3)})
