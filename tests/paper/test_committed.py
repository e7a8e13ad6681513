"""The committed reproduction: complete, three columns, at least as good as asked, and drawn as it says."""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from firstlight_paper.objects import PAPER_CLASSES, SIMULATED_CLASSES
from firstlight_paper.page import sections_of, write_markdown
from firstlight_paper.parts import PARTS
from firstlight_paper.printed import PRINTED, PRINTED_F1, PRINTED_TABLE_1
from firstlight_paper.section import Picture, Table

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture(scope="module")
def document():
    return json.loads((RESULTS / "reproduction.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def blocks(document):
    """Every block of every section, with its part; figures are closed at the end."""
    yield [(part.name, block) for part, section in sections_of(document) for block in section.blocks]
    plt.close("all")


def _at(document, key):
    for name in key.split("."):
        document = document[name]
    return document


def test_it_is_a_full_run_and_no_part_is_missing(document):
    assert document["about"]["scale"] == "full"
    assert set(document["about"]["parts"]) == {part.name for part in PARTS}
    for name in ("tuning", "baselines", "imbalance", "limitations", "per_class", "simulated"):
        assert isinstance(document[name], dict)
    assert isinstance(document["table_1"], list)


@pytest.mark.parametrize("part", [p for p in PARTS if p.key != "table_1"], ids=lambda part: part.name)
def test_every_part_has_its_three_columns_and_says_its_protocol(document, part):
    result = _at(document, part.key)
    assert {"printed", "leak", "honest", "protocol"} <= set(result)
    assert result["honest"]
    assert len(result["protocol"]) > 40


def test_table_1_has_every_number_of_latents_in_three_columns(document):
    rows = {row["n_latents"]: row for row in document["table_1"]}
    assert set(rows) >= {*range(1, 11), 12, 15, 20, 25}
    for n, row in rows.items():
        assert row["printed"] == PRINTED_TABLE_1.get(n)
        assert 0.0 < row["honest"]["mean"] < 1.0
        assert row["leak"] is not None


def test_the_honest_design_is_below_its_own_protocol_everywhere(document):
    gap = document["per_class"]["gap"]
    assert gap["accuracy"] > 0
    assert gap["macro_f1"] > 0


def test_sixteen_classes_are_told_apart_by_default_as_well_as_promised(document):
    ours = document["per_class"]["honest"]["ours"]
    assert ours["sixteen"]["macro_auc"]["mean"] >= 0.95
    assert set(ours["sixteen"]["per_class"]) == set(PAPER_CLASSES)
    assert set(ours["real"]["per_class"]) == set(PAPER_CLASSES) - set(SIMULATED_CLASSES)


def test_at_least_105_cycles_of_tuning_were_run(document):
    assert document["tuning"]["n_trials"] >= 105
    assert len(document["tuning"]["trials"]) == document["tuning"]["n_trials"]


def test_printed_figures_are_those_of_the_paper(document):
    printed = document["per_class"]["printed"]
    assert printed["accuracy"] == PRINTED["accuracy"]
    for name, value in PRINTED_F1.items():
        assert printed["per_class"][name]["f1"] == value


def test_no_sentence_or_cell_holds_a_number_that_is_none(blocks):
    for name, block in blocks:
        texts = [block] if isinstance(block, str) else [block.caption]
        if isinstance(block, Table):
            texts += [cell for row in block.rows for cell in row]
        for text in texts:
            assert not re.search(r"\b(nan|None|inf|NaN)\b", text), (name, text)


def test_every_row_of_every_table_is_as_wide_as_its_head(blocks):
    tables = [(name, block) for name, block in blocks if isinstance(block, Table)]
    assert len(tables) > 20
    for name, table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows), (name, table.caption)


def test_pictures_have_names_of_their_own_and_captions(blocks):
    pictures = [block for _, block in blocks if isinstance(block, Picture)]
    assert len({picture.name for picture in pictures}) == len(pictures) > 20
    assert all(len(picture.caption) > 20 for picture in pictures)


def test_the_committed_page_is_what_the_json_gives(document, tmp_path):
    write_markdown(document, tmp_path / "reproduction.md", tmp_path / "reproduction")
    drawn = (tmp_path / "reproduction.md").read_text(encoding="utf-8")
    assert drawn == (RESULTS / "reproduction.md").read_text(encoding="utf-8")
    for picture in (tmp_path / "reproduction").iterdir():
        assert (RESULTS / "reproduction" / picture.name).exists()


def test_no_path_of_the_machine_that_ran_it_is_in_the_json():
    text = (RESULTS / "reproduction.json").read_text(encoding="utf-8")
    assert not re.findall(r"\"(?:/|[A-Z]:)[\w./-]+", text)
