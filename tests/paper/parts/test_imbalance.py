"""Class imbalance: help acts on training rows alone, rates are those of the matrix, JSON suffices."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from firstlight.classify import LightGBMConfig, SklearnBooster
from firstlight_paper.parts import imbalance
from firstlight_paper.parts.imbalance import HELPS, PART, Amounts, Trial, rates
from firstlight_paper.section import Picture, Table
from firstlight_paper.workshop import Workshop, plain, read_json, write_json

TINY = Amounts(
    boosting=replace(Amounts().boosting, n_estimators=3),
    lightgbm=LightGBMConfig(rounds=3, leaves=4),
    leaky_rows=400,
)


@pytest.fixture(scope="module")
def bench(tiny_bench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imbalance")
    shutil.copytree(tiny_bench.folder, folder, dirs_exist_ok=True)
    return replace(tiny_bench, folder=folder)


@pytest.fixture(scope="module")
def result(bench):
    patch = pytest.MonkeyPatch()
    patch.setattr(imbalance, "QUICK", TINY)
    measured = PART.measure(Workshop(bench))
    patch.undo()
    path = bench.folder / "imbalance.json"
    write_json(path, measured)
    return read_json(path)


# --- measures --------------------------------------------------------------------


def test_rates_of_a_matrix_worked_by_hand():
    found = rates(np.array([[6, 2], [1, 1]]))
    np.testing.assert_allclose(found["recall"], [0.75, 0.5])
    np.testing.assert_allclose(found["precision"], [6 / 7, 1 / 3])
    np.testing.assert_allclose(found["false_per_1000"], [100.0, 200.0])
    assert found["accuracy"] == pytest.approx(0.7)


def test_other_frequencies_move_precision_and_leave_recall():
    matrix = np.array([[6, 2], [1, 1]])
    moved = rates(matrix, np.array([0.99, 0.01]))
    np.testing.assert_allclose(moved["recall"], rates(matrix)["recall"])
    np.testing.assert_allclose(moved["precision"][1], 0.005 / (0.005 + 0.99 * 0.25))
    assert moved["accuracy"] == pytest.approx(0.99 * 0.75 + 0.01 * 0.5)


@given(arrays(np.int64, (4, 4), elements=st.integers(0, 50)), st.integers(2, 9))
def test_rates_are_bounded_and_know_no_size(matrix, times):
    matrix[0, 0] += 1  # at least one object
    once, often = rates(matrix), rates(matrix * times)
    for name in ("recall", "precision", "f1", "false_per_1000"):
        np.testing.assert_allclose(once[name], often[name])
        values = once[name][np.isfinite(once[name])]
        assert ((values >= 0.0) & (values <= (1000.0 if name == "false_per_1000" else 1.0))).all()


@pytest.mark.parametrize("learner", ["boosting", "lightgbm"])
@pytest.mark.parametrize("name", list(HELPS))
def test_labels_of_test_objects_do_not_reach_a_learner(
    bench, result, tiny_objects, learner, name, monkeypatch
):
    """Spoiling them changes no probability, whatever the help."""
    said = []
    monkeypatch.setattr(
        imbalance, "scored", lambda labels, proba, simulated: said.append(proba) or _NO_SCORES
    )
    spoilt = tiny_objects.labels.copy()
    spoilt[tiny_objects.folds[0].test] = "SNIa"
    for objects in (tiny_objects, replace(tiny_objects, labels=spoilt)):
        monkeypatch.setattr("firstlight_paper.workshop._objects", lambda *_, objects=objects: objects)
        imbalance.trial(bench, Trial(learner, name, 0, TINY), lambda stage, fraction: None)
    np.testing.assert_array_equal(said[0], said[1])


def test_copies_and_weights_reach_the_booster_as_asked(bench, result, monkeypatch):
    seen = []
    fit = SklearnBooster.fit

    def watched(self, X, labels, **options):
        seen.append((self.config.class_weight_exponent, self.config.oversample_exponent, options["groups"]))
        return fit(self, X, labels, **options)

    monkeypatch.setattr(SklearnBooster, "fit", watched)
    for name in HELPS:
        imbalance.trial(bench, Trial("boosting", name, 0, TINY), lambda stage, fraction: None)
    assert [one[:2] for one in seen] == list(HELPS.values())
    objects = bench.objects
    held_out = objects.curves.object_id[objects.folds[0].test]
    assert not any(np.isin(one[2], held_out).any() for one in seen)


# --- the part --------------------------------------------------------------------


def test_the_result_names_its_columns_and_stays_small(result):
    assert {"printed", "leak", "honest", "protocol"} <= set(result)
    assert set(result["learners"]) == {"boosting", "lightgbm"}
    for helps in result["learners"].values():
        assert list(helps) == list(HELPS)
        assert helps["none"]["against_none"]["recall"]["mean"] == 0.0
    assert len(json.dumps(result, allow_nan=False)) < 100_000


def test_copies_bring_every_class_to_the_largest(result):
    sizes = {name: one["n"] * one["copies"] for name, one in result["classes"].items()}
    largest = max(one["n"] for one in result["classes"].values())
    np.testing.assert_allclose(list(sizes.values()), largest, rtol=1e-4)


def test_every_class_has_printed_leaky_and_honest_f1(result):
    for one in result["classes"].values():
        assert set(one["f1"]) == {"printed", "leak", "honest"}
    assert result["classes"]["SNIa"]["f1"]["printed"] == 0.64


def test_the_section_is_drawn_from_the_json_alone(result):
    section = PART.show(result)
    tables = [block for block in section.blocks if isinstance(block, Table)]
    pictures = {block.name for block in section.blocks if isinstance(block, Picture)}
    assert pictures == {"imbalance", "imbalance-confusion", "imbalance-leak"}
    assert len(tables) == 5
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_a_second_run_computes_nothing(result, bench, monkeypatch):
    def must_not_run(*_):
        raise AssertionError("this result is at hand")

    monkeypatch.setattr(imbalance, "QUICK", TINY)
    monkeypatch.setattr(imbalance, "trial", must_not_run)
    monkeypatch.setattr(imbalance, "leaky_trial", must_not_run)
    assert plain(PART.measure(Workshop(bench)))["learners"] == result["learners"]


# --- private ---------------------------------------------------------------------

_SCORES = dict.fromkeys(imbalance.METRICS, 0.0) | {"confusion": []}
_NO_SCORES = {"sixteen": _SCORES, "real": _SCORES}
