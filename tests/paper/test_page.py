"""The page is one file, escapes what it is told, and is drawn from the document alone."""

import re

import matplotlib.pyplot as plt
import pytest

from firstlight_paper import page
from firstlight_paper.section import Part, Picture, Section, Table


def _show(result):
    figure, axes = plt.subplots()
    axes.plot(result["curve"])
    return Section(
        title="Numbers & <signs>",
        blocks=(
            "A paragraph with `code`, **weight** and <script>alert(1)</script>.",
            Table(caption="What it is", columns=("name", "honest"), rows=(("a | b", "0.9 ± 0.1"),)),
            Picture(name="the-curve", figure=figure, caption="A curve"),
        ),
    )


def _unused(workshop):
    raise AssertionError("drawing must not compute")


@pytest.fixture
def document(monkeypatch):
    part = Part(name="curve", key="parts.curve", title="Curve", needs=(), measure=_unused, show=_show)
    absent = Part(name="absent", key="absent", title="Absent", needs=(), measure=_unused, show=_show)
    monkeypatch.setattr(page, "PARTS", (part, absent))
    about = {
        "version": "1",
        "scale": "quick",
        "seed": 0,
        "machine": "m",
        "n_real": 10,
        "n_simulated": 3,
        "simulated_classes": ["PISN"],
        "n_folds": 2,
        "objects_per_class": {"AGN": 10, "PISN": 3},
        "parts": {"curve": {"seconds": 3.0, "code": "abc"}},
    }
    return {"about": about, "parts": {"curve": {"curve": [1, 2, 3]}}}


def test_the_page_holds_its_pictures_and_loads_nothing(document, tmp_path):
    page.write_page(document, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert 'src="data:image/svg+xml;base64,' in html
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)
    assert "<script>" not in html
    assert "<code>code</code>, <b>weight</b>" in html
    assert "Numbers &amp; &lt;signs&gt;" in html


def test_the_page_says_what_is_missing_and_that_a_quick_version_proves_little(document, tmp_path):
    page.write_page(document, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "Not computed here: absent." in html
    assert "A quick version" in html
    document["about"]["scale"] = "full"
    page.write_page(document, tmp_path / "page.html")
    assert "A quick version" not in (tmp_path / "page.html").read_text()


def test_a_figure_of_many_points_is_embedded_as_pixels(document, tmp_path):
    document["parts"]["curve"]["curve"] = list(range(1000))
    page.write_page(document, tmp_path / "page.html")
    assert 'src="data:image/png;base64,' in (tmp_path / "page.html").read_text()


def test_markdown_links_its_pictures_and_keeps_its_cells_apart(document, tmp_path):
    page.write_markdown(document, tmp_path / "docs" / "page.md", tmp_path / "docs" / "page")
    text = (tmp_path / "docs" / "page.md").read_text()
    assert "![A curve](page/the-curve.png)" in text
    assert (tmp_path / "docs" / "page" / "the-curve.png").stat().st_size > 1000
    assert "| a \\| b | 0.9 ± 0.1 |" in text
