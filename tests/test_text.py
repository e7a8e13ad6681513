"""Foreign text is harmless where it is shown."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.text import is_formula, number_in, printable, spreadsheet_cell


@given(st.text())
def test_printed_text_has_no_control_character_and_no_line_break(text):
    shown = printable(text)
    assert all(c.isprintable() for c in shown)
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.bidirectional(c) in {"RLO", "LRO", "RLE", "LRE", "PDF"} for c in shown)


@given(st.text())
def test_text_that_can_be_shown_is_left_alone(text):
    assert (printable(text) == text) == text.isprintable()


@given(st.text(), st.integers(min_value=0, max_value=50))
def test_long_text_is_cut_before_it_is_escaped(text, longest):
    assert printable(text, longest) == printable(text if len(text) <= longest else text[:longest] + "...")


@given(st.sampled_from("=+-@\t\r"), st.text())
def test_no_cell_begins_like_a_formula_unless_it_is_a_number(first, rest):
    cell = spreadsheet_cell(first + rest)
    assert cell[0] == "'" or float(cell) == float(cell)


def test_a_formula_begins_with_a_sign_that_a_spreadsheet_runs():
    assert all(is_formula(text) for text in ("=1+1", "+1+1", "-2+3", "@A1", "\t=1", "\r=1", "-", "-1\n"))
    assert not any(is_formula(text) for text in ("", "1", "-1", "+1.5e-3", "-.5", "'=1", "a=b"))


@given(st.floats(allow_nan=False))
def test_a_number_that_was_written_is_read_again(value):
    assert number_in(f" {value!r} ") == value


@pytest.mark.parametrize("text", ["1_0", "\u0661", "\uff11", "", "1,5", "0x10", "ten"])
def test_a_text_that_only_python_reads_as_a_number_is_none(text):
    with pytest.raises(ValueError, match=r"could not|not a number"):
        number_in(text)
