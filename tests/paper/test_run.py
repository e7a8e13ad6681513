"""Parts stand alone, a failed one leaves the others alone, and only results of one making are joined."""

import json
from dataclasses import replace

import numpy as np
import pytest

from firstlight.errors import DataError, PartsFailedError, SettingsError
from firstlight_paper import run
from firstlight_paper.section import Part, Section
from firstlight_paper.workshop import read_json


def _part(name, key, measure, needs=()):
    return Part(
        name=name,
        key=key,
        title=name,
        needs=needs,
        measure=measure,
        show=lambda result: Section(title=name, blocks=(str(result),)),
    )


def _fails(workshop):
    raise DataError("nothing to read")


@pytest.fixture
def bench(tiny_bench, tmp_path):
    return replace(tiny_bench, folder=tmp_path)


@pytest.fixture
def parts(monkeypatch):
    """Three parts: one sound, two under a common key, of which one fails."""
    made = (
        _part("first", "first", lambda workshop: {"seed": workshop.bench.seed, "third": np.float64(1 / 3)}),
        _part("broken", "limitations.broken", _fails),
        _part("noise", "limitations.noise", lambda workshop: [1, 2]),
    )
    monkeypatch.setattr(run, "PARTS", made)
    return made


def test_a_part_that_fails_is_named_and_the_others_are_kept(bench, parts):
    with pytest.raises(PartsFailedError, match=r"1 of 3 parts.*broken: nothing to read"):
        run.reproduce(bench)
    document = read_json(bench.folder / run.DOCUMENT)
    assert document["first"] == {"seed": 0, "third": 0.333333}
    assert document["limitations"] == {"noise": [1, 2]}
    assert set(document["about"]["parts"]) == {"first", "noise"}


def test_only_the_parts_asked_for_are_computed_and_a_later_run_adds_to_them(bench, parts):
    assert "limitations" not in run.reproduce(bench, only=["first"])
    document = run.reproduce(bench, only=["noise"])
    assert document["first"] == {"seed": 0, "third": 0.333333}
    assert document["limitations"]["noise"] == [1, 2]


def test_a_part_of_another_seed_is_not_joined(bench, parts):
    run.reproduce(bench, only=["first"])
    document = run.reproduce(replace(bench, seed=4), only=["noise"])
    assert "first" not in document
    assert document["about"]["seed"] == 4


def test_a_name_stands_for_all_parts_under_its_key(parts):
    assert [part.name for part in run.choose_parts(["limitations"])] == ["broken", "noise"]
    assert [part.name for part in run.choose_parts(["noise", "first"])] == ["first", "noise"]
    assert run.choose_parts([]) == parts


def test_an_unknown_part_is_refused_with_the_names_of_all(parts):
    with pytest.raises(SettingsError, match=r"'table-9'.*first, broken, noise"):
        run.choose_parts(["table-9"])


def test_needed_stages_run_before_the_part(bench, monkeypatch):
    ran = []
    monkeypatch.setattr(run, "_STAGES", {"encode": lambda workshop: ran.append("encode")})
    monkeypatch.setattr(
        run, "PARTS", (_part("late", "late", lambda workshop: ran.append("late"), ("encode",)),)
    )
    run.reproduce(bench)
    assert ran == ["encode", "late"]


def test_what_a_first_run_took_stands_when_a_second_takes_it_up(bench, parts):
    run.reproduce(bench, only=["first"])
    path = bench.folder / "parts" / "first.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"seconds": 1234.0}))
    assert run.reproduce(bench, only=["first"])["about"]["parts"]["first"]["seconds"] == 1234.0


def test_the_document_says_what_it_was_made_of(bench, parts):
    about = run.reproduce(bench, only=["first"])["about"]
    assert about["n_simulated"] == 30
    assert about["objects_per_class"]["CaRT"] == 10
    assert about["scale"] == "tiny"
