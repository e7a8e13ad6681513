import io
import json
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight_paper.objects import PAPER_CLASSES, Objects
from firstlight_paper.parts import per_class, per_class_show
from firstlight_paper.parts.per_class import ARMS, PART, Trial, leakage_sentences, make_rows, stopping_rows
from firstlight_paper.parts.per_class_plots import _spread_down
from firstlight_paper.section import Picture, Section, Table
from firstlight_paper.workshop import Bench, Workshop, plain


def trial(arm: str, fold: int = 0, most: int | None = None) -> Trial:
    return Trial(arm=arm, fold=fold, seed=1, stages=5, most=most)


@pytest.fixture(scope="module")
def result(own_bench: Bench) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(per_class, "AMOUNT_QUICK", per_class.Amount(leaky=2, stages=8))
        made = through_json(PART.measure(Workshop(own_bench)))
        patch.setattr(per_class, "_tried", None)  # a second run takes every training from the disk
        assert through_json(PART.measure(Workshop(own_bench))) == made
    return made


def through_json(value: Any) -> dict[str, Any]:
    return dict(json.loads(json.dumps(plain(value), allow_nan=False)))


@pytest.fixture(scope="module")
def section(result: dict[str, Any]) -> Section:
    return PART.show(result)


# --- rows ---------------------------------------------------------------------------------


@given(st.sampled_from(["objects", "training"]), st.integers(0, 1), st.integers(0, 2**32 - 1))
def test_rows_split_by_object_share_none(tiny_objects: Objects, arm: str, fold: int, seed: int) -> None:
    rows = make_rows(tiny_objects, trial(arm, fold), np.random.default_rng(seed))
    held = set(tiny_objects.folds[fold].test.tolist())
    assert not held & set(rows.train.tolist())
    for test in rows.tests.values():
        assert set(test.tolist()) == held


@given(st.integers(0, 2**32 - 1))
def test_without_copies_every_object_is_one_row(tiny_objects: Objects, seed: int) -> None:
    rows = make_rows(tiny_objects, trial("rows"), np.random.default_rng(seed))
    both = np.concatenate([rows.train, rows.tests["rows"]])
    assert sorted(both.tolist()) == list(range(len(tiny_objects)))


def test_copies_on_each_side_balance_both(tiny_objects: Objects) -> None:
    rows = make_rows(tiny_objects, trial("training"), np.random.default_rng(0))
    for positions in (rows.train, rows.tests["either"]):
        assert len(set(Counter(tiny_objects.labels[positions].tolist()).values())) == 1
    assert len(set(rows.tests["training"].tolist())) == len(rows.tests["training"])


def test_copies_before_the_split_put_objects_on_both_sides(tiny_objects: Objects) -> None:
    rows = make_rows(tiny_objects, trial("leak"), np.random.default_rng(0))
    assert np.isin(rows.tests["leak"], rows.train).mean() > 0.3
    fewer = make_rows(tiny_objects, trial("leak", most=100), np.random.default_rng(0))
    assert len(fewer.train) + len(fewer.tests["leak"]) == 100


def test_an_unknown_way_to_deal_rows_is_an_error(tiny_objects: Objects) -> None:
    with pytest.raises(ValueError, match="give one of objects"):
        make_rows(tiny_objects, trial("by luck"), np.random.default_rng(0))


@pytest.mark.parametrize("arm", ["objects", "training", "rows"])
def test_what_stops_the_boosting_is_of_objects_that_are_neither_trained_nor_tested_on(tiny_objects, arm):
    rng = np.random.default_rng(1)
    rows = make_rows(tiny_objects, trial(arm), rng)
    stop = stopping_rows(tiny_objects, trial(arm), rows, rng)
    assert 0.0 < stop.mean() < 0.5
    for others in (rows.train[~stop], *rows.tests.values()):
        assert not np.isin(rows.train[stop], others).any()


# --- the result ---------------------------------------------------------------------------


def test_every_column_scores_every_class_with_its_spread(result: dict[str, Any]) -> None:
    for table in (result["leak"], *result["honest"].values()):
        for which, most in (("sixteen", 16), ("real", 13)):
            assert len(table[which]["per_class"]) <= most
            assert table[which]["accuracy"]["std"] is not None
        assert not set(result["simulated"]) & set(table["real"]["per_class"])
    assert set(result["printed"]["per_class"]) == set(PAPER_CLASSES)
    assert sum(result["n"].values()) == result["honest"]["ours"]["sixteen"]["n_objects"]


def test_honest_columns_test_every_object_once(result: dict[str, Any], tiny_objects: Objects) -> None:
    for table in result["honest"].values():
        assert np.sum(table["sixteen"]["confusion"]) == len(tiny_objects)
        assert table["real"]["n_objects"] == np.sum(~tiny_objects.simulated)


def test_the_gap_is_leak_minus_the_same_design_without_it(result: dict[str, Any]) -> None:
    leak, design = result["leak"]["sixteen"], result["honest"]["design"]["sixteen"]
    for metric, gap in result["gap"].items():
        assert gap == pytest.approx(leak[metric]["mean"] - design[metric]["mean"], abs=1e-5)


def test_only_the_leaking_arm_shares_objects_and_memory_pays_there(result: dict[str, Any]) -> None:
    arms = {row["arm"]: row for row in result["anatomy"]}
    assert list(arms) == list(ARMS)
    for name, row in arms.items():
        assert (row["shared"]["mean"] > 0.0) == (name == "leak")
    near = {name: row["nearest"]["sixteen"]["accuracy"]["mean"] for name, row in arms.items()}
    assert near["leak"] > near["either"] + 0.2


def test_the_nearest_neighbour_knows_every_object_that_it_has_seen(result: dict[str, Any]) -> None:
    leak = next(row for row in result["anatomy"] if row["arm"] == "leak")
    whole = [name for name, share in result["pattern"]["shared"].items() if share == 1.0]
    assert whole
    assert all(leak["nearest"]["recall"][name] == 1.0 for name in whole)


def test_curves_are_thin_and_rise(result: dict[str, Any]) -> None:
    roc = result["roc"]
    assert len(roc["rate"]) <= 80
    for who in ("leak", "design", "ours"):
        for kind in ("micro", "macro"):
            mean = np.array(roc[who][kind]["mean"])
            assert len(mean) == len(roc["rate"])
            assert np.all(np.diff(mean) >= 0.0)
            assert mean[-1] == 1.0
    assert len(json.dumps(result, indent=1)) < 150_000


# --- the section --------------------------------------------------------------------------


def test_two_sentences_state_both_protocols_and_the_printed_figures(result: dict[str, Any]) -> None:
    text = leakage_sentences(result)
    assert text.count(". ") == 1
    assert text.endswith(".")
    for table in (result["leak"], *result["honest"].values()):
        assert f"{table['sixteen']['accuracy']['mean']:.3f}" in text
    assert "printed: 0.89 and 0.89" in text


def test_every_printed_number_stands_in_a_table(result: dict[str, Any], section: Section) -> None:
    tables = {b.caption.split(",")[0]: b for b in section.blocks if isinstance(b, Table)}
    for metric, title in (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1")):
        rows = {row[0].removesuffix(" (simulated)"): row for row in tables[title].rows}
        for name in result["n"]:
            assert rows[name][2] == f"{result['printed']['per_class'][name][metric]:.2f}"
        assert {"mean of sixteen classes", "mean of thirteen real classes"} < set(rows)


def test_simulated_classes_are_marked_wherever_they_are_named(section: Section) -> None:
    for block in section.blocks:
        if isinstance(block, Table):
            for row in block.rows:
                assert row[0] not in ("CaRT", "ILOT", "PISN")
        if isinstance(block, Picture):
            for panel in block.figure.axes:
                ticks = [*panel.get_xticklabels(), *panel.get_yticklabels(), *panel.texts]
                named = [text.get_text().strip() for text in ticks]
                for name in ("CaRT", "ILOT", "PISN"):
                    assert all("(simulated)" in text for text in named if text.startswith(name))


def test_pictures_have_names_of_their_own_and_can_be_drawn(section: Section) -> None:
    pictures = [block for block in section.blocks if isinstance(block, Picture)]
    assert len({picture.name for picture in pictures}) == len(pictures) == 8
    for picture in pictures:
        stream = io.BytesIO()
        picture.figure.savefig(stream, format="png", dpi=40)  # coarse: what matters is that it can be done
        assert len(stream.getvalue()) > 1000


def test_tables_have_a_cell_for_every_column(section: Section) -> None:
    for block in section.blocks:
        if isinstance(block, Table):
            assert {len(row) for row in block.rows} == {len(block.columns)}


def test_a_column_without_order_has_no_correlation_to_show(result: dict[str, Any]) -> None:
    nothing = {"rho": None, "p": None, "low": None, "high": None, "n": 16}
    pattern = result["pattern"] | {
        "correlation": {
            who: {"all": nothing, "extragalactic": nothing} for who in result["pattern"]["correlation"]
        },
        "leak_minus_design": dict.fromkeys(("difference", "low", "high", "share_not_positive")),
    }
    text = "".join(b for b in PART.show(result | {"pattern": pattern}).blocks if isinstance(b, str))
    assert "cannot tell from chance" in text


@given(st.lists(st.floats(0.6, 1.0), min_size=1, max_size=16))
def test_labels_keep_their_order_and_distance(values: list[float]) -> None:
    places = _spread_down(np.sort(values)[::-1], 0.03, 1.02)
    assert all(a - b >= 0.03 - 1e-9 for a, b in pairwise(places))
    assert max(places) <= 1.02


def test_printed_figures_leave_no_room_for_the_frequencies_of_section_2(result: dict[str, Any]) -> None:
    most = per_class_show._most_predicted(result)
    assert result["pattern"]["implied"]["section_2"]["predicted"] < most < 1.0
