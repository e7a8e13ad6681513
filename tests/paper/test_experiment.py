"""The runner keeps every row, computes nothing twice, and lets one failed part leave the others alone."""

from dataclasses import dataclass, replace
from functools import partial

import pytest

from firstlight.errors import DataError, PartsFailedError, SettingsError
from firstlight_paper.experiment import Outcome, Part, Variant, choose_parts, compute, more
from firstlight_paper.results import Results
from firstlight_paper.scores import Row


@dataclass(frozen=True)
class Amount:
    factor: float = 1.0


calls = []


def _work(context, fold, progress, *, name, factor=1.0):
    calls.append((name, fold))
    if name == "broken":
        raise DataError("nothing to read")
    outcome = Outcome(more({"accuracy": factor * (fold + 1)}, "ours", 16), extra={"": {"curve": [fold]}})
    outcome.put("beside", more({"n": 2.0}))
    return outcome


def _part(name, group="", needs=(), **fields):
    def variants(context, amount):
        factor = getattr(amount, "factor", 1.0)
        return [Variant(name="one", work=partial(_work, name=name, factor=factor), folds=(0, 1))]

    return Part(name=name, group=group, needs=needs, variants=variants, **fields)


@pytest.fixture
def context(tiny_objects, tiny_context, tmp_path):
    calls.clear()
    return replace(tiny_context, folder=tmp_path)


PARTS = (
    _part("stage", shown=False),
    _part("first", needs=("stage",)),
    _part("broken", "limits"),
    _part("last", "limits"),
)


def test_every_fold_of_a_variant_gives_its_rows_and_its_companion(context):
    results = compute(context, PARTS, only=["first"])
    assert results.scores.folds("first", "one", "ours", 16, "accuracy") == {"1": 1.0, "2": 2.0}
    assert results.scores.folds("first", "beside", "", 0, "n") == {"1": 2.0, "2": 2.0}
    assert results.extra("first") == {"one": {"1": {"curve": [0]}, "2": {"curve": [1]}}}
    assert [name for name, _ in calls] == ["stage", "stage", "first", "first"]


def test_finished_rows_are_not_computed_again(context):
    compute(context, PARTS, only=["first"])
    results = Results(context.results)
    kept = [row for row in results.scores if (row.part, row.fold) != ("first", "2")]
    results.drop("first")
    results.scores.add(kept)
    results.write_scores()  # as if the run had been killed within the second fold
    calls.clear()
    compute(context, PARTS, only=["first"])
    assert calls == [("first", 1)]


def test_a_failed_part_is_named_and_the_others_are_kept(context):
    with pytest.raises(PartsFailedError, match=r"1 of 3 parts.*broken: nothing to read"):
        compute(context, PARTS)
    assert Results(context.results).scores.parts() == {"stage", "first", "last"}


def test_other_amounts_compute_their_part_again_and_no_other(context):
    parts = tuple(replace(part, quick=Amount()) for part in PARTS)
    compute(context, parts, only=["first", "last"])
    calls.clear()
    changed = tuple(replace(p, quick=Amount(factor=3.0)) if p.name == "last" else p for p in parts)
    results = compute(context, changed, only=["first", "last"])
    assert calls == [("last", 0), ("last", 1)]
    assert results.scores.spread("last", "one", "ours", 16, "accuracy").folds == (3.0, 6.0)


def test_another_seed_starts_an_empty_table(context):
    compute(context, PARTS, only=["first"])
    results = compute(replace(context, seed=4), PARTS, only=["last"])
    assert results.scores.parts() == {"last"}
    assert results.about["seed"] == 4


def test_printed_numbers_are_rows_too(context):
    part = replace(PARTS[3], printed={"paper": {(16, "accuracy"): 0.89}})
    results = compute(context, (part,))
    assert Row("last", "paper", "", "printed", 16, "accuracy", 0.89) in list(results.scores)


def test_a_name_stands_for_all_parts_of_its_group():
    assert [part.name for part in choose_parts(PARTS, ["limits"])] == ["broken", "last"]
    assert [part.name for part in choose_parts(PARTS, [])] == ["first", "broken", "last"]


def test_an_unknown_part_is_refused_with_the_names_of_all():
    with pytest.raises(SettingsError, match=r"'table-9'.*first, broken, last, limits"):
        choose_parts(PARTS, ["table-9"])


def test_the_record_holds_the_origin_of_the_numbers(context):
    about = compute(context, PARTS, only=["last"]).about
    assert (about["n_simulated"], about["objects_per_class"]["CaRT"], about["scale"]) == (30, 10, "tiny")
    assert about["parts"]["last"]["seconds"] >= 0.0
