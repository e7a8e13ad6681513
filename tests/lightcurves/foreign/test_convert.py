"""Light curves from and to pandas, nested-pandas and astropy."""

import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from tests._make import assert_same_curves

from firstlight.errors import DataError, MissingColumnError, MissingExtraError, UnknownBandError
from firstlight.lightcurves import LightCurves, RejectLog
from firstlight.lightcurves.rows import OBJECT_COLUMNS


@st.composite
def light_curves(draw):
    """Valid light curves with readable names; every float32 that is finite may be a flux."""
    names = draw(
        st.lists(st.text("abcXYZ 0123456789-_.", min_size=1, max_size=8).map(str.strip).filter(bool),
                 min_size=1, max_size=4, unique=True)
    )  # fmt: skip
    n_obs = [draw(st.integers(0, 4)) for _ in names]
    total = sum(n_obs)
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
    positive = st.floats(min_value=np.float32(1e-3), max_value=np.float32(1e6), width=32)
    unknown = st.one_of(st.just(np.nan), st.floats(0, 5, width=32))

    def column(values, size, unique=False):
        return np.array(draw(st.lists(values, min_size=size, max_size=size, unique=unique)))

    times = st.floats(4e4, 7e4).map(lambda time: round(time, 4))  # one visit is 1e-5 days
    mjd = [np.sort(column(times, n, unique=True)) for n in n_obs]
    objects = {name: column(unknown, len(names)) for name in OBJECT_COLUMNS}
    objects["redshift_err"] = np.where(np.isnan(objects["redshift"]), np.nan, objects["redshift_err"])
    return LightCurves(
        object_id=names,
        offsets=np.concatenate([[0], np.cumsum(n_obs)]),
        mjd=np.concatenate(mjd) if total else np.empty(0),
        band=column(st.integers(0, 5), total),
        flux=column(finite, total),
        flux_err=column(positive, total),
        detected=column(st.booleans(), total),
        dereddened=draw(st.booleans()),
        **objects,
    )


def long(**columns):
    values = {
        "object_id": [7, 5, 7],
        "mjd": [2.0, 1.0, 1.0],
        "band": ["g", "r", "u"],
        "flux": [1.0, 2.0, 3.0],
        "flux_err": [20.0, 30.0, 40.0],
    }
    return pd.DataFrame(values | columns)


def test_two_values_for_one_band_and_time_are_refused_by_name():
    rows = long(object_id=[7, 5, 7], mjd=[1.0, 1.0, 1.0], band=["g", "g", "g"])
    with pytest.raises(DataError, match="object '7': another row of the same object, time and band"):
        LightCurves.from_pandas(rows)


def test_several_bands_at_one_time_are_kept():
    rows = long(object_id=[7, 7, 7], mjd=[1.0, 1.0, 1.0], band=["g", "r", "i"])
    assert len(LightCurves.from_pandas(rows)[0]) == 3


# --- pandas -----------------------------------------------------------------------


@given(light_curves())
def test_pandas_tables_keep_everything(curves):
    assert_same_curves(LightCurves.from_pandas(*curves.to_pandas()), curves)


def test_rows_in_any_order_give_the_same_light_curves(sample):
    rows, objects = sample.to_pandas()
    shuffled = rows.sample(frac=1.0, random_state=1)
    assert_same_curves(LightCurves.from_pandas(shuffled, objects, dereddened=True), sample)


def test_without_an_object_table_objects_come_as_they_appear():
    curves = LightCurves.from_pandas(long(), dereddened=True)
    assert curves.object_id.tolist() == ["7", "5"]
    assert curves.mjd.tolist() == [1.0, 2.0, 1.0]
    assert curves.band.tolist() == [0, 1, 2]
    assert curves.dereddened


@pytest.mark.parametrize("ids", [[7.0, 5.0, 7.0], ["7", "5", "7"], pd.Categorical(["7", "5", "7"])])
def test_names_may_be_numbers_or_texts(ids):
    assert LightCurves.from_pandas(long(object_id=ids)).object_id.tolist() == ["7", "5"]


def test_bands_may_be_indices():
    assert LightCurves.from_pandas(long(band=[1, 2, 0])).band.tolist() == [0, 1, 2]


def test_the_object_table_sets_the_order_and_hides_its_truth():
    objects = pd.DataFrame({"object_id": [5, 6, 7], "ra": [1.0, 2.0, None], "target": [90, 42, 15]})
    curves = LightCurves.from_pandas(long(), objects)
    assert curves.object_id.tolist() == ["5", "6", "7"]
    assert curves.n_obs.tolist() == [1, 0, 2]
    np.testing.assert_array_equal(curves.ra, [1.0, 2.0, np.nan])
    relabelled = LightCurves.from_pandas(long(), objects.assign(target=[1, 1, 1]))
    assert_same_curves(relabelled, curves)


def test_an_object_without_a_row_in_the_object_table_is_named():
    with pytest.raises(DataError, match="object '7': the object is not in the table of objects"):
        LightCurves.from_pandas(long(), pd.DataFrame({"object_id": [5]}))


def test_an_object_twice_in_the_object_table_needs_the_same_values():
    objects = pd.DataFrame({"object_id": [5, 5, 7], "redshift": [0.5, None, 0.7]})
    np.testing.assert_allclose(LightCurves.from_pandas(long(), objects).redshift, [0.5, 0.7])
    with pytest.raises(DataError, match="object '5': the object has several values of redshift"):
        LightCurves.from_pandas(long(), objects.assign(redshift=[0.5, 0.6, 0.7]))


def test_missing_pandas_columns_are_named_with_the_others():
    with pytest.raises(MissingColumnError, match=r"flux_err missing; it has object_id, mjd"):
        LightCurves.from_pandas(long().drop(columns="flux_err"))
    with pytest.raises(MissingColumnError, match="table of objects has no column"):
        LightCurves.from_pandas(long(), pd.DataFrame({"name": [5]}))


def test_unknown_pandas_bands_are_named():
    with pytest.raises(UnknownBandError, match=r"none of u, g, r, i, z, y \('nosuch' in column 'band'\)"):
        LightCurves.from_pandas(long(band=["g", "nosuch", "u"]))


def test_a_pandas_row_without_a_name_is_refused():
    with pytest.raises(DataError, match="row 1: the row names no object"):
        LightCurves.from_pandas(long(object_id=["a", None, "a"]))


def test_a_pandas_row_without_a_flux_is_refused_with_its_object():
    with pytest.raises(DataError, match="row 1, object '5': the flux is not a finite number"):
        LightCurves.from_pandas(long(flux=[1.0, None, 3.0]))


@pytest.mark.parametrize("column", ["mjd", "flux", "flux_err"])
def test_a_pandas_column_of_words_is_refused_by_name(column):
    table = long().astype({column: object})
    table.loc[0, column] = "bright"
    with pytest.raises(DataError, match=f"row 0, object '7': .*'bright' in column '{column}'"):
        LightCurves.from_pandas(table)


# --- nested-pandas ------------------------------------------------------------------


@given(light_curves())
def test_nested_frames_keep_everything(curves):
    assert_same_curves(LightCurves.from_nested(curves.to_nested()), curves)


def test_nested_frames_hold_bands_as_letters_and_flags_as_booleans(sample):
    frame = sample.to_nested("observations")
    assert frame["observations.band"].isin(list("ugrizy")).all()
    assert frame["observations.detected"].dtype == pd.ArrowDtype(pa.bool_())


def test_a_nested_frame_made_by_its_own_tools_is_read():
    from nested_pandas import NestedFrame

    flat = long(ra=[1.0, 2.0, 1.0])
    frame = NestedFrame.from_flat(flat, base_columns=["ra"], on="object_id", name="lightcurve")
    curves = LightCurves.from_nested(frame)
    assert sorted(curves.object_id.tolist()) == ["5", "7"]
    assert curves.find("7").flux.tolist() == [3.0, 1.0]
    assert curves.find("5").ra == 2.0


def test_a_nested_frame_without_that_column_is_refused(sample):
    with pytest.raises(MissingColumnError, match=r"no nested column 'lc'.*\['lightcurve'\]"):
        LightCurves.from_nested(sample.to_nested(), "lc")
    with pytest.raises(MissingColumnError, match="no nested column 'ra'"):
        LightCurves.from_nested(sample.to_nested(), "ra")


def test_a_nested_frame_without_names_is_refused(sample):
    with pytest.raises(MissingColumnError, match="object_id"):
        LightCurves.from_nested(sample.to_nested()[["ra", "lightcurve"]])


def test_an_unknown_band_in_a_nested_frame_names_its_object():
    from nested_pandas import NestedFrame

    frame = NestedFrame.from_flat(long(band=["g", "nosuch", "u"]), [], on="object_id", name="lightcurve")
    with pytest.raises(UnknownBandError, match="object '5'"):
        LightCurves.from_nested(frame)


def test_without_nested_pandas_the_extra_is_named(sample, monkeypatch):
    monkeypatch.setitem(sys.modules, "nested_pandas", None)
    with pytest.raises(MissingExtraError, match=r"firstlight\[nested\]"):
        sample.to_nested()


# --- astropy --------------------------------------------------------------------------


@given(light_curves())
def test_astropy_tables_keep_everything(curves):
    assert_same_curves(LightCurves.from_astropy(curves.to_astropy()), curves)


def photometry(**columns):
    values = {
        "time": [2.0, 1.0],
        "band": ["lsstg", "lsstr"],
        "flux": [1.0, 1.0],
        "fluxerr": [0.1, 0.1],
        "zp": [27.5, 31.4],
        "zpsys": ["ab", "AB"],
    }
    return Table(values | columns, meta={"object_id": "sn", "z": 0.3, "mwebv": 0.02, "ra": 10.0})


def test_each_row_is_converted_by_its_own_zero_point_and_sorted():
    curves = LightCurves.from_astropy([photometry()])
    np.testing.assert_allclose(curves.flux, [1.0, 36.3078], rtol=1e-5)
    np.testing.assert_allclose(curves.flux_err, [0.1, 3.63078], rtol=1e-5)
    assert curves.band.tolist() == [2, 1]


def test_table_metadata_become_object_columns():
    curve = LightCurves.from_astropy([photometry()])[0]
    assert (curve.object_id, curve.ra) == ("sn", 10.0)
    assert curve.redshift == pytest.approx(0.3)
    assert curve.ebv == pytest.approx(0.02)
    assert np.isnan(curve.dec)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("time", "MJD"),
        ("band", "filter"),
        ("flux", "f"),
        ("fluxerr", "flux_error"),
        ("zp", "ZeroPoint"),
        ("zpsys", "magsys"),
    ],
)
def test_sncosmos_spellings_are_known(old, new):
    table = photometry()
    table.rename_column(old, new)
    assert_same_curves(LightCurves.from_astropy([table]), LightCurves.from_astropy([photometry()]))


def test_julian_dates_become_mjd():
    table = photometry(time=[2460001.5, 2460000.5])
    table.rename_column("time", "jd")
    assert LightCurves.from_astropy([table]).mjd.tolist() == [60000.0, 60001.0]


def test_other_magnitude_systems_are_refused():
    with pytest.raises(DataError, match=r"object 'sn': the magnitude system is not AB \('vega'"):
        LightCurves.from_astropy([photometry(zpsys=["ab", "vega"])])


def test_times_of_a_plain_column_in_other_units_become_days():
    expected = LightCurves.from_astropy([photometry()]).mjd
    table = photometry()
    table["time"] = table["time"] * 24.0
    table["time"].unit = "h"
    np.testing.assert_allclose(LightCurves.from_astropy([table]).mjd, expected)


def test_a_missing_astropy_column_is_named():
    table = photometry()
    table.remove_column("zp")
    with pytest.raises(MissingColumnError, match=r"object 'sn': column\(s\) \['zp'\] missing"):
        LightCurves.from_astropy([table])


def test_an_unknown_astropy_band_is_named():
    with pytest.raises(UnknownBandError, match=r"object 'sn': the band is none of .*\('nosuch'"):
        LightCurves.from_astropy([photometry(band=["lsstg", "nosuch"])])


def test_tables_without_names_are_numbered_and_none_give_none():
    tables = [photometry(), photometry()]
    for table in tables:
        del table.meta["object_id"]
    assert LightCurves.from_astropy(tables).object_id.tolist() == ["0", "1"]
    assert len(LightCurves.from_astropy([])) == 0


# --- Arrow from other writers -----------------------------------------------------------


def nested(**columns):
    values = {
        "object_id": [7, 5],
        "ra": [1.0, None],
        "mjd": [[1.0, 2.0], [1.0]],
        "band": [["u", "g"], ["r"]],
        "flux": [[3.0, 1.0], [2.0]],
        "flux_err": [[30.0, 10.0], [20.0]],
    }
    return pa.table(values | columns)


def as_structs(table):
    names = ["mjd", "band", "flux", "flux_err"]
    structs = [
        [dict(zip(names, values, strict=True)) for values in zip(*(row[n] for n in names), strict=True)]
        for row in table.to_pylist()
    ]
    return table.select(["object_id", "ra"]).append_column("lc", pa.array(structs))


def as_struct_of_lists(table):
    names = ["mjd", "band", "flux", "flux_err"]
    struct = pa.StructArray.from_arrays([table[n].combine_chunks() for n in names], names=names)
    return table.select(["object_id", "ra"]).append_column("lc", struct)


def as_long(table):
    frame = table.to_pandas().explode(["mjd", "band", "flux", "flux_err"])
    return pa.Table.from_pandas(frame.astype({"mjd": float, "flux": float, "flux_err": float}))


@pytest.mark.parametrize("shape", [lambda table: table, as_structs, as_struct_of_lists, as_long])
def test_every_shape_of_table_gives_the_same_light_curves(shape):
    curves = LightCurves.from_arrow(shape(nested()))
    assert curves.object_id.tolist() == ["7", "5"]
    assert curves.n_obs.tolist() == [2, 1]
    assert curves.mjd.tolist() == [1.0, 2.0, 1.0]
    assert curves.band.tolist() == [0, 1, 2]
    assert curves.flux.tolist() == [3.0, 1.0, 2.0]
    np.testing.assert_array_equal(curves.ra, [1.0, np.nan])


def test_missing_numbers_and_bands_are_set_aside_with_their_values():
    log = RejectLog()
    table = nested(flux=[[None, 1.0], [2.0]], band=[["u", "g"], ["?"]])
    assert LightCurves.from_arrow(table, rejects=log).flux.tolist() == [1.0]
    assert [(r.object_id, r.row, r.value) for r in log][:2] == [("5", 1, "?"), ("7", 0, "missing")]


def test_an_object_with_no_list_has_no_observations():
    empty = {name: pa.array([None, [100.0]]) for name in ("mjd", "flux", "flux_err")}
    assert LightCurves.from_arrow(nested(band=[None, [3]], **empty)).n_obs.tolist() == [0, 1]


def test_an_object_of_uneven_lists_is_refused_with_its_row_or_set_aside():
    table = nested(flux=[[1.0, 2.0], [1.0, 2.0]])
    with pytest.raises(DataError, match="row 1, object '5': the lists of the object differ in length"):
        LightCurves.from_arrow(table)
    assert LightCurves.from_arrow(table, rejects=RejectLog()).object_id.tolist() == ["7"]


def test_a_mixture_of_lists_and_numbers_is_refused():
    with pytest.raises(DataError, match=r"\['flux'\] hold no lists"):
        LightCurves.from_arrow(nested(flux=[1.0, 2.0]))


def test_missing_table_columns_are_named_with_the_others():
    with pytest.raises(MissingColumnError, match=r"band or passband missing; it has object_id"):
        LightCurves.from_arrow(nested().drop_columns(["band"]))
