"""Tables, sparklines and bars for terminals and notebooks: foreign text is escaped."""

from xml.etree import ElementTree

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firstlight.notebook import (
    Html,
    html_bar,
    html_panel,
    html_sparkline,
    html_table,
    text_sparkline,
    text_table,
    time_bins,
)
from firstlight.text import printable

foreign = st.text(max_size=30)


@given(title=foreign, cell=foreign)
def test_any_text_in_html_is_shown_as_text(title, cell):
    page = ElementTree.fromstring(html_panel(title, html_table(["object_id"], [[cell]], 3)))
    assert (page.findtext("strong") or "") == printable(title)
    assert (page.findtext(".//td") or "") == printable(cell)
    assert {node.tag for node in page.iter()} <= {
        "div",
        "strong",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }


@given(cell=foreign)
def test_a_cell_stays_on_its_line_of_a_terminal(cell):
    assert text_table(["object_id"], [[cell]]).isprintable() is False  # the line break of the table alone
    assert len(text_table(["object_id"], [[cell]]).split("\n")) == 2


@given(values=st.lists(st.floats(-1e30, 1e30) | st.just(np.nan), min_size=1, max_size=40))
def test_a_sparkline_has_a_block_or_a_dot_per_known_value(values):
    known = np.isfinite(values)
    text = text_sparkline(np.array(values))
    assert [block != " " for block in text] == known.tolist()
    dots = ElementTree.fromstring(html_sparkline(np.array(values))).findall("circle")
    assert len(dots) == known.sum()
    assert all(0 <= float(dot.get("cy", "nan")) <= 26 for dot in dots)


def test_a_sparkline_rises_from_the_lowest_to_the_highest_value():
    assert text_sparkline(np.arange(8.0)) == "▁▂▃▄▅▆▇█"


def test_time_bins_are_means_over_the_span_of_the_object():
    bins = time_bins(np.array([0.0, 0.5, 10.0]), np.array([1.0, 3.0, 5.0]), (0.0, 10.0))
    assert (bins[0], bins[2], bins[-1]) == (1.0, 3.0, 5.0)
    assert np.isfinite(bins).sum() == 3
    assert np.isfinite(time_bins(np.array([7.0]), np.array([2.0]), (7.0, 7.0))).sum() == 1


def test_a_bar_is_as_wide_as_its_probability():
    assert "width:25%" in html_bar("SNIa", 0.25)
    assert isinstance(html_bar("SNIa", 0.25), Html)
    ElementTree.fromstring(html_bar("<b>", 1.0))


def test_html_loads_nothing_and_takes_its_colour_from_the_page():
    shown = html_panel("a", html_table(["x"], [["1"]]), html_bar("b", 0.5), html_sparkline(np.arange(3.0)))
    assert not any(
        word in shown for word in ("src=", "href=", "url(", "<script", "<style", "#", "background:w")
    )
