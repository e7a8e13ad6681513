"""The page holds the numbers of the table; a contradicted claim is marked and reported."""

import re
import shutil
from pathlib import Path

import jinja2
import pytest
from jinja2 import meta

import firstlight_paper
from firstlight_paper.experiment import Part
from firstlight_paper.page.claims import Claims
from firstlight_paper.page.render import (
    _COMPARISONS,
    _TOOLS,
    Pictures,
    contradictions,
    in_short,
    section,
    view_of,
    write_pages,
)
from firstlight_paper.parts import PARTS
from firstlight_paper.results import Results

RESULTS = Path(__file__).parents[3] / "docs" / "results"
TEXTS = Path(firstlight_paper.__file__).parent / "text"
SHOWN = [part for part in PARTS if part.shown]
named = {part.name: part for part in PARTS}


@pytest.fixture(scope="module")
def committed():
    return Results(RESULTS / "reproduction", must_exist=True)


@pytest.fixture
def altered(tmp_path):
    """A copy of the committed results that a test may change."""
    for name in ("scores.csv", "about.json"):
        shutil.copy(RESULTS / "reproduction" / name, tmp_path / name)
    shutil.copytree(RESULTS / "reproduction" / "data", tmp_path / "data")
    return Results(tmp_path)


def test_every_claim_holds_for_the_committed_results(committed):
    assert contradictions(committed, PARTS) == []


@pytest.mark.parametrize("part", SHOWN, ids=lambda part: part.name)
def test_every_part_with_sentences_rests_on_claims_with_names_of_their_own(part: Part, committed):
    claims = Claims(view_of(committed, part))
    section(committed, part, Pictures(), claims=claims)
    text = (TEXTS / f"{part.name}.md").read_text(encoding="utf-8")
    text = text.replace('{% include "in-short.md" %}', (TEXTS / "in-short.md").read_text(encoding="utf-8"))
    assert len(re.findall(r"holds\(", text)) == len(claims.verdicts) >= (part.name != "architecture")


def test_a_rerun_that_contradicts_a_claim_marks_its_sentence(altered):
    altered.scores.add(
        row._replace(value=row.value - 0.2)
        for row in list(altered.scores)
        if (row.part, row.variant, row.metric) == ("gaps", "bands gri", "accuracy")
    )
    claim = "gri loses less than half of what gr loses"
    assert contradictions(altered, PARTS) == [f"gaps: {claim}"]
    text = section(altered, named["gaps"], Pictures())
    assert text.count("(This run contradicts this sentence.)") == 1


def test_missing_numbers_show_as_a_dash_and_contradict_nothing(altered):
    altered.drop("gaps")
    assert contradictions(altered, PARTS) == []
    text = section(altered, named["gaps"], Pictures())
    assert "it changes by - (fold by fold)" in " ".join(text.split())


def test_texts_use_no_name_that_the_page_does_not_give():
    known = {"f", "about", "amount", "by_class", "minutes", *_TOOLS, *_COMPARISONS}
    environment = jinja2.Environment(autoescape=False)
    environment.filters |= dict.fromkeys(
        ("digits", "signed", "percent", "count", "least", "largest", "fmt"), str
    )
    for path in TEXTS.glob("*.md"):
        tree = environment.parse(path.read_text(encoding="utf-8"))
        assert meta.find_undeclared_variables(tree) <= known, path.name


@pytest.mark.parametrize("part", SHOWN, ids=lambda part: part.name)
def test_the_committed_page_holds_every_table_and_number_of_the_table(part: Part, committed):
    """Figures aside, the page follows from the committed results, and no number is missing in a sentence."""
    page = (RESULTS / "reproduction.md").read_text(encoding="utf-8")
    text = section(committed, part, Pictures())
    for block in text.split("\n\n"):
        assert block.strip() in page, block
    assert not re.search(r"(?m)^[^|\n].*\n\|", text), "a table without a blank line before it"
    assert not re.search(r"(?m)^\|.*\n[^|\n]", text), "a table without a blank line after it"
    sentences = [line for line in text.splitlines() if not line.startswith("|")]
    assert not re.search(r"\b(nan|None|inf)\b| - [.,%]|Not computed", "\n".join(sentences))


def test_every_figure_of_every_part_is_in_its_text_and_committed():
    for part in SHOWN:
        text = (TEXTS / f"{part.name}.md").read_text(encoding="utf-8")
        assert set(re.findall(r'figure\("([^"]+)"\)', text)) == set(part.figures)
        for name in part.figures:
            assert (RESULTS / "reproduction" / f"{name}.png").exists()


def test_every_table_of_every_part_is_shown():
    for part in SHOWN:
        text = (TEXTS / f"{part.name}.md").read_text(encoding="utf-8")
        shown = set(re.findall(r'table\("([^"]+)"\)', text))
        assert shown == set(part.tables) - {"short"}, part.name


def test_the_page_names_the_paper_and_its_author(committed):
    page = (RESULTS / "reproduction.md").read_text(encoding="utf-8")
    assert "Danielle S. Yang" in page.split("##")[0]
    assert "cite it by author and title" in " ".join(page.split())
    assert "89 % of the test rows" in in_short(committed, PARTS)


def test_the_html_page_is_one_file_with_its_pictures(tiny_run, tmp_path):
    done = tuple(
        part for part in PARTS if part.name in ("latents", "ours", "protocol", "architecture", "gaps")
    )
    write_pages(tiny_run, done, tmp_path)
    html = (tmp_path / "reproduction.html").read_text(encoding="utf-8")
    assert html.count('src="data:image/png;base64,') == 1
    assert html.count('src="data:image/svg+xml;base64,') == 2
    assert 'src="reproduction/' not in html
    assert "A quick version" in html
    assert '<h2 id="limitation-gaps-and-missing-bands">' in html
