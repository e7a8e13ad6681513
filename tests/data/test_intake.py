"""ObservationRows to light curves: what is judged, and in which order."""

import numpy as np
import pytest

from firstlight.bands import match_bands
from firstlight.data import RejectLog
from firstlight.data.intake import Intake, MetadataTable, join_rows
from firstlight.errors import DataError
from firstlight.lightcurves.rows import ObservationRows


def make(owner, names="abc", **columns):
    n = len(owner)
    values = {
        "names": np.array(list(names)),
        "owner": np.array(owner),
        "mjd": 60000.0 + np.arange(n),
        "band": np.zeros(n, np.int8),
        "flux": np.ones(n),
        "flux_err": np.ones(n),
        "detected": None,
        "place": np.arange(n) + 2,
    }
    return ObservationRows(**(values | columns))


def objects(names="abc", rejects=None, **columns):
    n = len(names)
    columns = columns or {"ra": np.arange(n) * 1.0}
    return MetadataTable(np.array(list(names)), columns, np.arange(n) + 2, Intake("meta.csv", rejects))


def clean(rows, known=None, rejects=None):
    return Intake("x.csv", rejects).light_curves(rows, known, dereddened=False)


def test_a_row_has_one_reason_the_first():
    log = RejectLog()
    rows = make(
        [0, 0], flux=np.array([1.0, np.nan]), flux_err=np.array([1.0, -1.0]), mjd=np.array([1.0, np.nan])
    )
    clean(rows, rejects=log)
    assert [r.reason for r in log if r.row] == ["the time is not a finite number"]


def test_names_without_rows_are_objects_without_observations():
    log = RejectLog()
    assert clean(make([0, 2]), rejects=log).object_id.tolist() == ["a", "c"]
    assert [(r.object_id, r.reason) for r in log] == [("b", "the object has no observations")]
    with pytest.raises(DataError, match="object 'b': the object has no observations"):
        clean(make([0, 2]))


def test_several_repeats_leave_the_first_in_the_order_of_the_file():
    log = RejectLog()
    same = np.full(4, 60000.0)
    rows = make([0, 0, 0, 0], "a", mjd=same, flux=np.array([1.0, 1.0, 2.0, 1.0]), band=np.array([1, 1, 1, 0]))
    curves = clean(rows, rejects=log)
    assert curves.band.tolist() == [1, 0]
    assert {r.row: "exactly" in r.reason for r in log} == {3: True, 4: False}


def test_the_same_time_in_other_bands_or_objects_is_no_repeat():
    rows = make([0, 0, 1], "ab", mjd=np.full(3, 60000.0), band=np.array([0, 1, 0], np.int8))
    assert clean(rows).n_obs.tolist() == [2, 1]


def test_metadata_follow_their_objects():
    curves = clean(make([2, 0, 1]), objects("abcd"))
    assert curves.object_id.tolist() == ["a", "b", "c"]
    assert curves.ra.tolist() == [0.0, 1.0, 2.0]


def test_met_objects_are_remembered_even_if_their_rows_are_bad():
    log = RejectLog()
    known = objects("abcd", log)
    clean(make([0, 1, 2], flux=np.array([1.0, np.nan, 1.0])), known, log)
    assert known.met.tolist() == [True, True, True, False]
    known.refuse_unmet()
    assert [r.object_id for r in log] == ["b", "b", "d"]


def test_objects_are_found_by_binary_search():
    known = objects("bdf")
    assert known.find(np.array(list("abcdefg"))).tolist() == [-1, 0, -1, 1, -1, 2, -1]
    empty = MetadataTable(np.empty(0, "U1"), {}, np.empty(0, np.int64), Intake("x"))
    assert empty.find(np.array(["a"])).tolist() == [-1]


@pytest.mark.parametrize("name", ["target", "true_z", "label"])
def test_metadata_have_no_room_for_the_truth(name):
    with pytest.raises(DataError, match=rf"\['{name}'\] may not be read"):
        objects("a", **{name: np.zeros(1)})


def test_joined_rows_share_the_objects_of_the_same_name():
    joined = join_rows([make([0, 1], "ab"), make([0, -1, 1], "bc")])
    assert joined.names.tolist() == ["a", "b", "c"]
    assert joined.owner.tolist() == [0, 1, 1, -1, 2]


def test_a_name_twice_in_one_part_is_one_object():
    joined = join_rows([make([0, 1, 2], "aba")])
    assert joined.names.tolist() == ["a", "b"]
    assert joined.owner.tolist() == [0, 1, 0]


def test_flags_are_joined():
    one = make([0], "a", detected=np.array([True]))
    assert join_rows([one, make([0], "b", detected=np.array([False]))]).detected.tolist() == [True, False]


def test_the_error_names_the_first_and_counts_the_rest():
    names, rows = np.array(["a", "b"]), np.array([7, 9])
    with pytest.raises(
        DataError, match=r"x.csv, row 7, object 'a': is bad \(2 such in all\); mend it, or set"
    ):
        Intake("x.csv").refuse("is bad", names, rows, hint="mend it")
    Intake("x.csv").refuse("is bad", names[:0], rows[:0])


def test_filters_outside_ugrizy_are_left_out_and_counted_and_are_no_fault(caplog):
    rows = make([0, 0, 1], band=match_bands(["g", "W1", "UVW2"]))
    log = RejectLog()
    assert clean(rows, rejects=log).n_obs.tolist() == [1]
    assert log.summary()["the filter is outside the wavelengths of ugrizy"] == 2
    assert clean(rows.select(slice(0, 2)).pruned()).n_obs.tolist() == [1]
    assert "1 row(s) left out: the filter is outside" in caplog.text
