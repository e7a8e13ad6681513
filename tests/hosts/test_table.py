"""A table of candidates finds them by name, else by position, and refuses impossible rows."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import DataError, MissingColumnError, SettingsError
from firstlight.hosts import MOST_CANDIDATES, HostTable
from firstlight.hosts.table import separation

NAN = math.nan


def find(table, names, ra=None, dec=None):
    nowhere = np.full(len(names), NAN)
    return table(
        np.array(names), nowhere if ra is None else np.array(ra), nowhere if dec is None else np.array(dec)
    )


@pytest.fixture
def write(tmp_path):
    def written(name="hosts.parquet", **columns):
        path = tmp_path / name
        table = pd.DataFrame(columns)
        table.to_csv(path, index=False) if name.endswith("csv") else table.to_parquet(path)
        return path

    return written


@pytest.mark.parametrize("name", ["hosts.parquet", "hosts.csv"])
def test_rows_are_found_by_the_name_of_the_object(write, name):
    path = write(
        name, object_id=[12, 7, 12], redshift=[0.1, 0.2, NAN], redshift_spec=[NAN, NAN, 0.3], weight=[3, 1, 1]
    )
    found = find(HostTable.read(path), ["7", "unknown", "12"])
    assert found.owner.tolist() == [0, 2, 2]
    np.testing.assert_array_equal(found.redshift, np.array([0.2, 0.1, NAN], np.float32))
    np.testing.assert_array_equal(found.redshift_spec, np.array([NAN, NAN, 0.3], np.float32))
    assert found.weight.tolist() == [1.0, 3.0, 1.0]


def test_rows_without_the_name_are_found_within_the_radius(write):
    path = write(ra=[10.0, 10.0 + 0.5 / 3600, 359.99999], dec=[0.0, 0.0, 0.0], redshift=[0.1, 0.2, 0.3])
    found = find(HostTable.read(path), ["a", "b", "c"], [10.0, 0.00001, NAN], [0.0, 0.0, NAN])
    assert found.owner.tolist() == [0, 0, 1]
    np.testing.assert_allclose(found.host_offset, [0.0, 0.5, 0.072], atol=1e-6)
    alone = find(HostTable.read(path, 0.4), ["a"], [10.0], [0.0])
    assert alone.redshift.tolist() == [np.float32(0.1)]


def test_a_row_with_the_name_counts_alone_and_its_stated_offset_stays(write):
    path = write(
        object_id=["a", None],
        ra=[10.0, 20.0],
        dec=[0.0, 0.0],
        redshift=[0.1, 0.2],
        host_offset=[1.5, NAN],
    )
    found = find(HostTable.read(path), ["a", "b"], [20.0, 20.0], [0.0, 0.0])
    assert found.owner.tolist() == [0, 1]
    assert found.redshift.tolist() == [np.float32(0.1), np.float32(0.2)]
    assert found.host_offset.tolist() == [1.5, 0.0]


def test_only_the_nearest_of_many_within_the_radius_count(write):
    n = 3 * MOST_CANDIDATES
    path = write(ra=np.zeros(n), dec=np.arange(n)[::-1] * 0.01 / 3600, redshift=np.arange(n) * 0.01)
    found = find(HostTable.read(path), ["a"], [0.0], [0.0])
    assert len(found) == MOST_CANDIDATES
    assert found.host_offset.max() < 0.01 * MOST_CANDIDATES
    assert (np.diff(found.redshift) > 0).all()  # in the order of the file


@given(
    st.lists(st.tuples(st.floats(0, 360), st.floats(-90, 90)), min_size=1, max_size=30), st.floats(0.1, 600)
)
def test_a_search_agrees_with_a_comparison_of_all_pairs(places, radius):
    ra, dec = (np.array(column) for column in zip(*places, strict=True))
    n = len(ra)
    nothing = np.full(n, NAN)
    columns = {"ra": ra, "dec": dec, "redshift": np.arange(n) / 100, "redshift_err": nothing}
    columns |= {"redshift_spec": nothing, "host_offset": nothing, "weight": np.ones(n)}
    order = np.argsort(dec, kind="stable")
    table = HostTable("v", radius, columns, np.empty(0, "S1"), np.empty(0, np.int64), order)
    found = find(table, [str(i) for i in range(n)], ra, dec)
    for i in range(n):
        away = separation(ra, dec, np.full(n, ra[i]), np.full(n, dec[i]))
        inside = np.flatnonzero(away <= radius)
        if len(inside) <= MOST_CANDIDATES:
            np.testing.assert_array_equal(
                found.redshift[found.owner == i], columns["redshift"][inside].astype(np.float32)
            )


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"object_id": ["a"], "redshift": ["near"]}, "no number"),
        ({"object_id": ["a"], "redshift": [-0.5]}, "-0.5 is impossible"),
        ({"object_id": ["a", "b"], "redshift": [0.1, 0.2], "weight": [1.0, 0.0]}, "row 2: weight 0"),
        ({"object_id": ["a"], "redshift": [0.1], "weight": [NAN]}, "row 1: weight nan"),
        ({"object_id": ["a", None], "redshift": [0.1, 0.2]}, "row 2: neither an object nor a position"),
        ({"object_id": ["a"] * 17, "redshift": [0.1] * 17}, "object 'a' has more than 16 candidates"),
        ({"object_id": [0.5], "redshift": [0.1]}, "no whole number"),
        ({"object_id": ["a" * 300], "redshift": [0.1]}, "more than 256 bytes"),
    ],
)
def test_a_table_with_a_value_that_cannot_be_right_is_refused(write, columns, words):
    path = write(**columns)
    with pytest.raises(DataError, match=words) as caught:
        HostTable.read(path)
    assert str(path) in str(caught.value)


def test_a_table_without_the_columns_it_needs_is_refused(write, tmp_path):
    with pytest.raises(MissingColumnError, match="object_id, or ra and dec"):
        HostTable.read(write(ra=[1.0], redshift=[0.1]))
    with pytest.raises(MissingColumnError, match="redshift, redshift_spec or host_offset"):
        HostTable.read(write(object_id=["a"], zet=[0.1]))
    with pytest.raises(DataError, match="cannot read"):
        HostTable.read(tmp_path / "absent.parquet")
    (tmp_path / "cut.parquet").write_bytes(write(object_id=["a"], redshift=[0.1]).read_bytes()[:-9])
    with pytest.raises(DataError, match="Parquet"):
        HostTable.read(tmp_path / "cut.parquet")
    with pytest.raises(SettingsError, match="radius"):
        HostTable.read(write(object_id=["a"], redshift=[0.1]), 0.0)


def test_values_that_surveys_write_for_unknown_are_unknown(write):
    path = write(object_id=["a"], redshift=[-9.0], redshift_spec=[0.2], host_offset=[-99.0])
    found = find(HostTable.read(path), ["a"])
    assert np.isnan(found.redshift[0])
    assert np.isnan(found.host_offset[0])
