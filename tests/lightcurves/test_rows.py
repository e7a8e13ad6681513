import numpy as np

from firstlight.lightcurves.rows import ObservationRows


def rows(owner, mjd, band=None):
    n = len(owner)
    return ObservationRows(
        names=np.array(["a", "b", "c"]), owner=np.array(owner), mjd=np.array(mjd, float),
        band=np.zeros(n, np.int8) if band is None else np.array(band, np.int8), flux=np.ones(n),
        flux_err=np.ones(n), detected=None, place=np.arange(n),
    )  # fmt: skip


def test_rows_in_order_are_not_moved():
    one = rows([0, 0, 2], [1, 2, 1])
    assert one.ordered() is one


def test_rows_at_one_time_are_ordered_by_band():
    assert rows([1, 0, 1, 0, 1], [5, 2, 5, 1, 5], [3, 0, 1, 0, 2]).ordered().place.tolist() == [3, 1, 2, 4, 0]


def test_pruning_drops_names_without_rows():
    pruned = rows([2, 0], [1, 1]).pruned()
    assert pruned.names.tolist() == ["a", "c"]
    assert pruned.owner.tolist() == [1, 0]


def test_rows_that_own_nothing_are_found_by_name():
    assert rows([2, 0], [1, 1]).has_rows().tolist() == [True, False, True]
