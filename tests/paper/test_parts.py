"""Every part computes all its variants at a tiny size, and its section is drawn from the results alone."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from tests.paper.conftest import TINY_PARTS

from firstlight_paper.page.render import Pictures, section, view_of
from firstlight_paper.results import Results

SHOWN = [part for part in TINY_PARTS if part.shown]
names = pytest.mark.parametrize("part", SHOWN, ids=lambda part: part.name)


@names
def test_every_variant_of_a_part_has_rows_for_its_folds(part, tiny_run, tiny_context):
    for variant in part.variants(tiny_context, part.quick):
        found = tiny_run.scores.folds(part.name, variant.name, "", 0, "seconds")
        assert set(found) == ({str(k + 1) for k in variant.folds} or {""})


@names
def test_a_section_is_drawn_from_the_files_alone(part, tiny_run, tmp_path):
    read = Results(tiny_run.folder)
    text = section(read, part, Pictures(tmp_path / "pictures", tmp_path / "page.md"))
    plt.close("all")
    assert text.startswith("## ")
    assert not re.search(r"\b(nan|None|inf)\b", text), text
    for picture in re.findall(r"!\[[^\]]*\]\((.*?)\)", text):
        assert (tmp_path / picture).exists()


def test_scores_are_shares_and_every_column_is_named(tiny_run):
    for row in tiny_run.scores:
        assert row.column in ("", "printed", "protocol", "design", "ours")
        assert row.subset in (0, 13, 16)
        if row.metric in ("accuracy", "macro_f1", "macro_auc") and row.subset:
            assert -1.0 <= row.value <= 1.0
        assert np.isfinite(row.value)


def test_facts_of_every_part_are_numbers_of_its_view(tiny_run):
    for part in SHOWN:
        assert view_of(tiny_run, part).part == part.name
