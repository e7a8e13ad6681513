"""Foreign tables to light curves: the checks, and their order."""

from dataclasses import replace

import numpy as np
import pytest

from firstlight.errors import DataError
from firstlight.lightcurves import Intake, MetadataTable, RawTable, RejectLog
from firstlight.lightcurves.foreign.intake import join_rows


def make(owner, names="abc", **columns):
    n = len(owner)
    values = {
        "object_id": [names[k] if k >= 0 else None for k in owner],
        "mjd": 60000.0 + np.arange(n),
        "band": np.zeros(n, np.int8),
        "flux": np.ones(n) * 100.0,
        "flux_err": np.ones(n) * 100.0,
    }
    return RawTable(values | columns, place=np.arange(n) + 2)


def objects(names="abc", rejects=None, **columns):
    n = len(names)
    columns = columns or {"ra": np.arange(n) * 1.0}
    return MetadataTable(np.array(list(names)), columns, np.arange(n) + 2, Intake("meta.csv", rejects))


def clean(raw, known=None, rejects=None):
    return Intake("x.csv", rejects).read(raw, known)


def test_a_row_has_one_reason_the_first():
    log = RejectLog()
    raw = make([0, 0], flux=[1.0, np.nan], flux_err=[100.0, -1.0], mjd=[1.0, np.nan])
    clean(raw, rejects=log)
    assert [(r.reason, r.value) for r in log] == [("the time is not a finite number", "missing")]


def test_objects_without_rows_are_refused_or_kept():
    log = RejectLog()
    raw = replace(make([0, 2]), objects={"object_id": ["a", "b", "c"]})
    assert clean(raw, rejects=log).object_id.tolist() == ["a", "c"]
    assert [(r.object_id, r.reason) for r in log] == [("b", "the object has no observations")]
    with pytest.raises(DataError, match="object 'b': the object has no observations"):
        clean(raw)
    assert Intake("x.csv").read(raw, keep_empty=True).n_obs.tolist() == [1, 0, 1]


def test_of_one_visit_the_best_row_stays_whatever_the_order_of_rows():
    mjd = np.array([60000.0, 60000.0, 60000.000001, 60000.0])
    flux, band = np.array([100.0, 100.0, 200.0, 100.0]), np.array([1, 1, 1, 0])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        log = RejectLog()
        curves = clean(make([0] * 4, "a", mjd=mjd[order], flux=flux[order], band=band[order]), rejects=log)
        assert curves.band.tolist() == [0, 1]
        assert curves.flux.tolist() == [100.0, 200.0]
        assert sorted(np.array(order)[[r.row - 2 for r in log]].tolist()) == [0, 1]


def test_a_repeated_row_is_named_as_such():
    log = RejectLog()
    clean(make([0, 0], "a", mjd=[60000.0] * 2), rejects=log)
    assert log.summary() == {"the row repeats another one exactly": 1}


def test_the_same_time_in_other_bands_or_objects_is_no_repeat():
    rows = make([0, 0, 1], "ab", mjd=np.full(3, 60000.0), band=[0, 1, 0])
    assert clean(rows).n_obs.tolist() == [2, 1]


def test_metadata_follow_their_objects():
    curves = clean(make([2, 0, 1]), objects("abcd"))
    assert curves.object_id.tolist() == ["c", "a", "b"]
    assert curves.ra.tolist() == [2.0, 0.0, 1.0]


def test_met_objects_are_remembered_even_if_their_rows_are_bad():
    log = RejectLog()
    known = objects("abcd", log)
    clean(make([0, 1, 2], flux=[1.0, np.nan, 1.0]), known, log)
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
    parts = [Intake("x.csv").rows(make([0, 1], names)) for names in ("ab", "bc")]
    joined = join_rows(parts)
    assert joined.names.tolist() == ["a", "b", "c"]
    assert joined.owner.tolist() == [0, 1, 1, 2]


def test_flags_are_joined():
    parts = [Intake("x.csv").rows(make([0], name, detected=[name == "a"])) for name in "ab"]
    assert join_rows(parts).detected.tolist() == [True, False]


def test_the_error_names_the_first_and_counts_the_rest():
    names, rows = np.array(["a", "b"]), np.array([7, 9])
    with pytest.raises(DataError, match=r"x.csv, row 7, object 'a': is bad \(2 in total\); mend it, or set"):
        Intake("x.csv").refuse("is bad", names, rows, hint="mend it")
    Intake("x.csv").refuse("is bad", names[:0], rows[:0])


def test_filters_outside_ugrizy_are_left_out_and_counted_and_are_no_fault(caplog):
    log = RejectLog()
    assert clean(make([0, 0, 1], band=["g", "W1", "UVW2"]), rejects=log).n_obs.tolist() == [1]
    assert log.summary()["the filter is outside the wavelengths of ugrizy"] == 2
    assert clean(make([0, 0], band=["g", "W1"])).n_obs.tolist() == [1]
    assert "1 row(s) left out: the filter is outside" in caplog.text
