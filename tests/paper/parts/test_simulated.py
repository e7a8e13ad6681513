"""The part on simulated classes: who is scored by whom, and a section from its JSON alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from firstlight.simulate import SimulateConfig, simulate
from firstlight_paper import realism
from firstlight_paper.objects import SIMULATED_CLASSES
from firstlight_paper.parts import simulated
from firstlight_paper.parts.simulated import (
    CHECKED,
    PART,
    TEMPLATE_SNIA,
    Amounts,
    Recognise,
    distance,
    fold_of_carriers,
    nearest,
    recognise,
)
from firstlight_paper.parts.simulated_section import what_it_says
from firstlight_paper.scores import HEADLINE
from firstlight_paper.section import Picture, Table
from firstlight_paper.workshop import Workshop, plain


@pytest.fixture(scope="module", autouse=True)
def few():
    """As little as will do, and no template that happens to be installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated, "_QUICK", Amounts(most=12, repeats=2, n_population=15, n_draws=2))
        patch.setattr(simulated, "find_template", lambda: None)
        patch.setattr(realism, "LIMITS", (22.0, 23.0))
        yield


@pytest.fixture(scope="module")
def result(tiny_bench):
    return json.loads(json.dumps(plain(PART.measure(Workshop(tiny_bench))), allow_nan=False))


@pytest.fixture(scope="module")
def section(result):
    return PART.show(result)


def test_a_simulated_object_is_judged_by_a_model_that_never_saw_its_carrier(tiny_objects):
    survey = tiny_objects.curves.take(np.flatnonzero(~tiny_objects.simulated))
    made = simulate("SNIa", 30, survey, np.random.default_rng(0))
    folds = fold_of_carriers(tiny_objects, made)
    for carrier, k in zip(made.truth.column("carrier").to_pylist(), folds, strict=True):
        learnt = tiny_objects.curves.object_id[tiny_objects.learn(int(k))]
        assert carrier not in learnt


def test_every_simulated_object_is_classified_once(tiny_bench):
    found = recognise(
        tiny_bench, Recognise("SNIa", 12, SimulateConfig(follow_up_mag=23.0)), lambda stage, fraction: None
    )
    assert found["simulated"]["n"] == sum(found["simulated"]["said"].values()) == 12
    real = tiny_bench.objects.labels == "SNIa"
    assert found["real"]["n"] == sum(found["real"]["said"].values()) == real.sum()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=8))
def test_the_distance_of_two_sets_lies_between_none_and_all(pairs):
    first, second = np.array(pairs).T + np.array([[1], [1]]) * (np.arange(len(pairs)) == 0)
    assert 0.0 <= distance(first, second) <= 1.0
    assert distance(first, 3 * first) == pytest.approx(0.0)


def test_sets_that_share_no_class_are_as_far_apart_as_can_be():
    assert distance(np.array([5, 0]), np.array([0, 9])) == 1.0


def test_an_object_is_nearest_to_itself_and_none_is_taken_twice(sample):
    wanted = np.array([4, 9, 60])
    np.testing.assert_array_equal(nearest(sample.take(wanted), sample), wanted)
    found = nearest(sample.take([4, 9]), sample.take([30, 4]))
    assert sorted(found.tolist()) == [0, 1]


def test_printed_figures_of_the_simulated_classes_stand_beside_ours(result):
    assert set(result["per_class"]) == set(SIMULATED_CLASSES)
    row = result["per_class"]["PISN"]
    assert (row["precision"]["printed"], row["recall"]["printed"], row["f1"]["printed"]) == (0.98, 0.99, 0.98)
    assert row["n"] == 10
    assert result["leak"]["PISN"]["recall"] == row["recall"]["leak"]
    assert 0.0 <= row["recall"]["leak"]["mean"] <= 1.0
    assert result["honest"]["PISN"]["recall"]["mean"] == row["recall"]["honest"]["mean"]


def test_scores_over_sixteen_classes_have_their_row_over_real_objects(result, tiny_objects):
    scores = result["scores"]
    assert scores["sixteen"]["n_objects"] == len(tiny_objects)
    assert scores["real"]["n_objects"] == int((~tiny_objects.simulated).sum())
    assert scores["sixteen"]["accuracy"]["printed"] == 0.89


def test_a_sample_at_the_papers_frequencies_is_mostly_supernovae(result):
    drawn = result["frequencies"]
    assert sum(drawn["counts"].values()) == drawn["n_objects"]
    assert drawn["counts"]["SNIa"] + drawn["counts"].get("SNII", 0) > 0.6 * drawn["n_objects"]
    assert not set(drawn["dropped"]) & set(drawn["counts"])


def test_only_classes_with_real_objects_are_held_against_them(result):
    assert set(result["checks"]) == set(result["recognised"]) == set(CHECKED)
    assert {name for name, one in result["populations"].items() if "real" in one["curves"]} == set(CHECKED)


def test_a_killed_measurement_takes_up_what_was_done(tiny_bench, result, monkeypatch):
    def fail(*arguments):
        raise AssertionError("computed again")

    monkeypatch.setattr("firstlight_paper.parts.simulated.simulate", fail)
    assert plain(PART.measure(Workshop(tiny_bench)))["checks"] == result["checks"]


def test_a_template_at_hand_makes_a_third_set_to_be_held_against_the_real_one(
    result, tiny_bench, monkeypatch
):
    asked = {}

    def only_names(self, stage, work, items):
        asked[stage] = items
        return {name: result["checks"]["SNIa"] | {"paper": None} for name in items} | {"paper": None}

    monkeypatch.setattr(simulated, "find_template", lambda: Path("spectra.txt"))
    monkeypatch.setattr(Workshop, "map", only_names)
    none = dict.fromkeys(HEADLINE) | {"per_class": {}}
    monkeypatch.setattr(simulated, "leaky_scores", lambda workshop: {"sixteen": none, "real": none})
    PART.measure(Workshop(tiny_bench))
    assert list(asked["simulated-checks"]) == [*CHECKED, TEMPLATE_SNIA]
    item = asked["simulated-recognised"][TEMPLATE_SNIA]
    assert (item.class_name, item.config.template) == ("SNIa", Path("spectra.txt"))
    assert asked["simulated-recognised"]["SNIa"].config.template is None


def test_the_json_is_small(result):
    assert len(json.dumps(result, indent=1)) < 150_000


def test_the_section_comes_from_the_json_alone(section):
    pictures = [block for block in section.blocks if isinstance(block, Picture)]
    assert len({picture.name for picture in pictures}) == len(pictures) == 5
    assert all(isinstance(picture.figure, Figure) for picture in pictures)


def test_every_row_of_a_table_fills_its_columns(section):
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert len(tables) == 5
    for table in tables:
        assert table.rows
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_only_calls_that_differ_by_more_than_chance_are_named(result):
    recognised = {
        name: one | {"distance": far, "distance_by_chance": {"mean": 0.02, "std": 0.01}}
        for (name, one), far in zip(result["recognised"].items(), (0.03, 0.5), strict=True)
    }
    words = what_it_says(result | {"recognised": recognised})[0]
    assert "otherwise than chance explains: SNIa, blackbody (50 %, by chance 2 %)." in words
    for one in recognised.values():
        one["distance"] = 0.01
    assert "Nowhere do the calls differ" in what_it_says(result | {"recognised": recognised})[0]
