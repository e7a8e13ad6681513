"""Filters, order and pages in an address."""

from urllib.parse import parse_qsl

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import SettingsError
from firstlight.serve.columns import COLUMNS
from firstlight.serve.query import LIMITS, View, find_position
from firstlight.taxonomy import CLASSES

views = st.builds(
    View,
    q=st.text(st.characters(codec="utf-8", exclude_categories=["N"]), max_size=20).map(str.strip),
    classes=st.lists(st.sampled_from([*CLASSES, "none"]), unique=True, max_size=3).map(tuple),
    limits=st.sets(st.sampled_from(sorted(LIMITS)), max_size=3).flatmap(
        lambda names: st.fixed_dictionaries(
            {n: st.integers(0, int(LIMITS[n].high)).map(float) for n in names}
        )
    ),
    up=st.booleans(),
    sort=st.sampled_from(sorted(COLUMNS)),
    descending=st.booleans(),
    columns=st.sets(st.sampled_from(sorted(COLUMNS)), min_size=1).map(
        lambda names: tuple(name for name in COLUMNS if name in names)
    ),
    page=st.integers(1, 50),
    rows=st.integers(10, 500),
    bundle=st.sampled_from(["", "fast-1"]),
)


@given(views)
def test_an_address_gives_the_view_that_wrote_it(view):
    found = View.parse(parse_qsl(view.address(), keep_blank_values=True))
    assert found.address() == view.address()
    assert (found.q, found.sort, found.descending, found.columns) == (
        *(view.q, view.sort, view.descending, view.columns),
    )


@pytest.mark.parametrize(
    "pair",
    [("sort", "nothing"), ("rows", "1e9"), ("page", "0"), ("max_mag", "bright"),
     ("max_mag", "nan"), ("max_mag", "2_0"), ("min_change", "2"),
     ("min_anomly", "0.9"), ("order", "up"), ("q", "x" * 300), ("up", "yes")],
)  # fmt: skip
def test_a_wrong_parameter_is_an_error_and_shows_no_table_of_everything(pair):
    with pytest.raises(SettingsError):
        View.parse([pair])


def table() -> pd.DataFrame:
    rows = {
        "object": ["a", "b", "c", "B2"],
        "class": ["KN", "", "SNIa", "KN"],
        "ra": [0.01, 359.99, 180.0, np.nan],
        "dec": [0.0, 0.0, -89.9, 0.0],
        "rank": [2.0, np.nan, 1.0, 3.0],
        "anomaly": [0.9, np.nan, 0.2, 0.5],
        "hours_up": [0.0, np.nan, 3.0, 1.0],
    }
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("pairs", "names"),
    [
        ([], ["c", "a", "B2", "b"]),
        ([("q", "b")], ["B2", "b"]),
        ([("class", "none")], ["b"]),
        ([("class", "KN"), ("min_anomaly", "0.6")], ["a"]),
        ([("up", "1")], ["c", "B2"]),
        ([("sort", "anomaly")], ["a", "B2", "c", "b"]),
        ([("sort", "anomaly"), ("order", "asc")], ["c", "B2", "a", "b"]),
        ([("q", "0 0 40")], ["a", "b"]),
    ],
)
def test_filters_and_order_choose_the_rows_and_missing_values_come_last(pairs, names):
    assert View.parse(pairs).chosen(table())["object"].tolist() == names


def test_text_that_is_no_position_is_a_name():
    for name in ("12", "-12.5", "2026-11-27", "ZTF18 1", "J1:2", "12h"):
        assert find_position(name) is None
    assert find_position("00:00:00 -00:30:00 5").dec == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("999 999", "within 0 and 360"), ("10 95", "within -90 and 90"), ("10 20 0", "above 0"),
     ("10:61:00 0:0:0", "below 60"), ("24:00:00 1:0:0", "below 24"),
     ("10:61:00", "10:00:24 -02:12:00"), ("1 2 3 4", "150.1 -2.2")],
)  # fmt: skip
def test_a_position_that_cannot_be_is_an_error_and_no_name(text, reason):
    with pytest.raises(SettingsError, match=reason):
        View.parse([("q", text)])


def test_a_class_that_nobody_knows_is_an_error():
    View.parse([("class", "nova")]).check_classes([*CLASSES, "nova"])
    with pytest.raises(SettingsError, match="nova"):
        View.parse([("class", "nova")]).check_classes(CLASSES)
