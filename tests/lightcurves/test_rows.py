import numpy as np
import pyarrow as pa
import pytest

from firstlight.errors import DataError, MissingColumnError
from firstlight.lightcurves.rows import ObservationRows, bands_from_arrow, names_of, require_columns


def rows(owner, mjd):
    n = len(owner)
    return ObservationRows(
        names=np.array(["a", "b", "c"]), owner=np.array(owner), mjd=np.array(mjd, float),
        band=np.zeros(n, np.int8), flux=np.ones(n), flux_err=np.ones(n), detected=None, place=np.arange(n),
    )  # fmt: skip


def test_rows_in_order_are_not_moved():
    one = rows([0, 0, 2], [1, 2, 1])
    assert one.ordered() is one


def test_ordering_keeps_the_sources_order_of_ties():
    assert rows([1, 0, 1, 0], [5, 2, 5, 1]).ordered().place.tolist() == [3, 1, 0, 2]


def test_pruning_drops_names_without_rows():
    pruned = rows([2, -1, 0], [1, 1, 1]).pruned()
    assert pruned.names.tolist() == ["a", "c"]
    assert pruned.owner.tolist() == [1, -1, 0]


def test_names_of_whole_numbers_have_no_decimal_point():
    assert names_of(np.array([1.0, 2.0])).tolist() == ["1", "2"]
    assert names_of(pa.array(["x", None])).tolist() == ["x", ""]


def test_names_with_a_fraction_are_refused():
    with pytest.raises(DataError, match="no whole numbers"):
        names_of([615.5, 713.0])


def test_rows_that_own_nothing_are_found_by_name():
    assert rows([2, -1, 0], [1, 1, 1]).has_rows().tolist() == [True, False, True]


def test_bands_are_read_from_names_digits_and_numbers():
    assert bands_from_arrow(pa.array(["g", "ztfr", None, "?", "J"])).tolist() == [1, 2, -1, -1, -2]
    assert bands_from_arrow(pa.array([5, 0, 6])).tolist() == [5, 0, -1]


def test_missing_columns_are_named_with_those_present():
    require_columns(["a", "b"], ["b"], "the table")
    with pytest.raises(MissingColumnError, match=r"the table has no column.*c.*it has .*a.*b"):
        require_columns(["a", "b"], ["a", "c"], "the table")
