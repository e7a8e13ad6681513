"""Any spelling, one answer: the rules for ids, units, flags, times, order and missing values."""

import bz2
import gzip
import lzma
from contextlib import suppress
from dataclasses import replace
from datetime import time, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from tests._make import assert_same_curves

from firstlight.data import read
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves, RejectLog

BIG = 170032882292621401  # an LSST id: no float64 holds it
NAMES = ["object_id", "mjd", "band", "flux", "flux_err", "detected"]


@st.composite
def tables(draw):
    """Long tables in nJy with observations of several bands at one time."""
    n_objects = draw(st.integers(1, 3))
    rows = []
    for k in range(n_objects):
        for night in range(draw(st.integers(1, 3))):
            for band in draw(st.lists(st.sampled_from("ugrizy"), min_size=1, max_size=4, unique=True)):
                flux = draw(st.sampled_from([-2000.0, -31.5, 0.0, 50.25, 1e4]))
                rows.append((BIG + k, 60000.0 + night, band, flux, 100.5, draw(st.booleans()), 0.25 * k))
    return pd.DataFrame(rows, columns=[*NAMES, "redshift"])


def by_pandas(frame, folder):
    return LightCurves.from_pandas(frame, rejects=RejectLog())


def by_nested(frame, folder):
    from nested_pandas import NestedFrame

    nested = NestedFrame.from_flat(frame, base_columns=["redshift"], on="object_id", name="lightcurve")
    return LightCurves.from_nested(nested, rejects=RejectLog())


def by_arrow(frame, folder):
    return LightCurves.from_arrow(pa.Table.from_pandas(frame), rejects=RejectLog())


def by_lists(frame, folder):
    table = frame.groupby("object_id").agg({name: list for name in NAMES[1:]} | {"redshift": "first"})
    return LightCurves.from_arrow(pa.Table.from_pandas(table.reset_index()), rejects=RejectLog())


def by_astropy(frame, folder):
    made = []
    for name, rows in frame.groupby("object_id"):
        columns = {
            "time": "mjd",
            "band": "band",
            "flux": "flux",
            "fluxerr": "flux_err",
            "detected": "detected",
        }
        table = Table({ours: rows[theirs].to_numpy() for ours, theirs in columns.items()})
        table["zp"], table["zpsys"] = 31.4, "ab"
        table.meta = {"OBJECT_ID": name, "REDSHIFT": rows["redshift"].iloc[0]}
        made.append(table)
    return LightCurves.from_astropy(made, rejects=RejectLog())


def by_csv(frame, folder):
    frame.to_csv(folder / "x.csv", index=False)
    return read(folder / "x.csv")


def by_parquet(frame, folder):
    frame.to_parquet(folder / "x.parquet")
    return read(folder / "x.parquet")


CONTAINERS = [by_pandas, by_nested, by_arrow, by_lists, by_astropy, by_csv, by_parquet]


def sorted_by_name(curves):
    return curves.take(np.argsort(curves.object_id))


@settings(max_examples=15)
@given(table=tables(), seed=st.integers(0, 2**31))
def test_neither_container_nor_order_of_rows_changes_the_light_curves(table, seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    wanted = sorted_by_name(by_pandas(table, folder))
    assert np.all((np.diff(wanted.mjd) > 0) | (np.diff(wanted.band) > 0) | (np.diff(wanted.object_index) > 0))
    shuffled = table.sample(frac=1.0, random_state=seed)
    for container in CONTAINERS:
        assert_same_curves(sorted_by_name(container(shuffled, folder)), wanted)


# --- ids ------------------------------------------------------------------------------


def long(**columns):
    values = {
        "object_id": [BIG + 1, BIG, BIG + 1],
        "mjd": [60002.0, 60001.0, 60001.0],
        "band": ["g", "r", "u"],
        "flux": [100.0, 200.0, 300.0],
        "flux_err": [20.0, 40.0, 60.0],
        "detected": [True, False, True],
    }
    return pd.DataFrame(values | columns)


RIGHT = LightCurves.from_pandas(long())
IDS = np.array([BIG + 1, BIG, BIG + 1])


@pytest.mark.parametrize(
    "ids",
    [
        IDS.astype(np.uint64),
        IDS.astype(">i8"),
        IDS.astype(str),
        IDS.astype(bytes),
        [BIG + 1, str(BIG), BIG + 1],
        pd.Categorical(IDS.astype(str), categories=[str(BIG), str(BIG + 1)]),
        pd.array(IDS, dtype="Int64"),
        [f" {name} " for name in IDS],
    ],
    ids=["unsigned", "big-endian", "text", "bytes", "mixed", "category", "nullable", "blanks"],
)
def test_ids_of_any_type_are_exact_and_in_order_of_the_file(ids):
    assert_same_curves(LightCurves.from_pandas(long().assign(object_id=ids)), RIGHT)
    objects = pd.DataFrame({"object_id": IDS[:2], "redshift": [0.5, 0.25]})
    assert LightCurves.from_pandas(long().assign(object_id=ids), objects).redshift.tolist() == [0.5, 0.25]


def test_float_ids_are_exact_below_2_53_and_refused_above(tmp_path):
    small = long(object_id=[7.0, 5.0, 7.0])
    assert LightCurves.from_pandas(small).object_id.tolist() == ["7", "5"]
    assert by_csv(small, tmp_path).object_id.tolist() == ["7", "5"]
    inexact = long(object_id=IDS.astype(float))
    for container in (by_pandas, by_arrow, by_csv, by_parquet):
        with pytest.raises(DataError, match=r"object_id.*(digits)"):
            container(inexact, tmp_path)
    objects = pd.DataFrame({"object_id": IDS[:2].astype(float), "redshift": [1.5, 0.5]})
    with pytest.raises(DataError, match="table of objects, column 'object_id'"):
        LightCurves.from_pandas(long(), objects)


# --- flags and missing values ---------------------------------------------------------


@pytest.mark.parametrize(
    "flags",
    [
        [1, 0, 1],
        [1.0, 0.0, 1.0],
        ["True", "false", "1"],
        ["t", "F", "T"],
        ["yes", "No", "y"],
        pd.array([True, False, True], "boolean"),
    ],
)
def test_flags_of_any_type_mean_the_same(flags):
    assert_same_curves(LightCurves.from_pandas(long(detected=flags)), RIGHT)


@pytest.mark.parametrize("flag", [None, np.nan, pd.NA, "maybe", 2, -1, ""])
def test_an_unknown_flag_is_refused_with_its_row_or_set_aside(flag):
    table = long(detected=pd.Series([True, flag, True], dtype=object))
    with pytest.raises(
        DataError, match=f"row 1, object '{BIG}': the detection flag is neither true nor false"
    ):
        LightCurves.from_pandas(table)
    log = RejectLog()
    assert LightCurves.from_pandas(table, rejects=log).object_id.tolist() == [str(BIG + 1)]
    assert next(iter(log)).row == 1


def test_without_flags_five_sigma_either_way_is_a_detection_and_the_rule_is_noted():
    for table in (long().drop(columns="detected"), long(detected=None)):
        log = RejectLog()
        table["flux"] = [-101.0, 200.0, 299.0]
        assert LightCurves.from_pandas(table, rejects=log).detected.tolist() == [False, True, False]
        assert log.notes == ["no detection flags: a detection is |flux| > 5 flux_err"]


@pytest.mark.parametrize("column", ["mjd", "flux", "flux_err", "band"])
def test_masked_required_values_are_set_aside_and_counted(column):
    table = Table.from_pandas(long().drop(columns="detected"))
    table[column] = MaskedColumn(table[column], mask=[False, True, False])
    table["zp"], table["zpsys"] = 31.4, "ab"
    log = RejectLog()
    curves = LightCurves.from_astropy(table, rejects=log)
    assert curves.object_id.tolist() == [str(BIG + 1)]
    assert (next(iter(log)).row, next(iter(log)).value) == (1, "missing")


# --- values per object ----------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["redshift", "z", "Z", "hostgal_photoz"])
def test_values_of_objects_in_their_rows_are_read_and_the_known_one_counts(spelling, tmp_path):
    table = long(**{spelling: [np.nan, 0.25, 0.5]})
    for container in (by_pandas, by_arrow, by_csv, by_parquet):
        curves = container(table, tmp_path)
        np.testing.assert_array_equal(curves.redshift, np.float32([0.5, 0.25]))


@pytest.mark.parametrize("unknown", [-9.0, -99.0, np.nan, -9999.0, np.inf])
@pytest.mark.parametrize("column", ["redshift", "redshift_spec", "ebv", "redshift_err"])
def test_every_survey_s_word_for_unknown_is_nan(column, unknown):
    known = {"redshift": [0.5, 0.5]} if column == "redshift_err" else {}
    objects = pd.DataFrame({"object_id": IDS[:2], **known, column: [unknown, 0.25]})
    curves = LightCurves.from_pandas(long(), objects)
    np.testing.assert_array_equal(getattr(curves, column), np.float32([np.nan, 0.25]))


def test_an_object_whose_values_disagree_is_set_aside():
    table = long(redshift=[0.5, 0.25, 0.75])
    with pytest.raises(DataError, match=f"object '{BIG + 1}': the object has several values of redshift"):
        LightCurves.from_pandas(table)
    log = RejectLog()
    assert LightCurves.from_pandas(table, rejects=log).object_id.tolist() == [str(BIG)]
    assert log.summary() == {"the object has several values of redshift": 1}


# --- units and times ------------------------------------------------------------------


def in_units(factor, **columns):
    table = long(**columns)
    return table.assign(flux=table.flux / factor, flux_err=table.flux_err / factor)


def assert_close(curves):
    np.testing.assert_allclose(curves.flux, RIGHT.flux, rtol=1e-6)
    np.testing.assert_allclose(curves.flux_err, RIGHT.flux_err, rtol=1e-6)


@pytest.mark.parametrize("columns", [{"zp": 23.9}, {"ZeroPoint": 23.9}, {"unit": "uJy"}, {"unit": "µJy"}])
def test_zero_points_and_units_of_a_table_are_used(columns, tmp_path):
    table = in_units(1000, **columns)
    for container in (by_pandas, by_csv, by_parquet):
        assert_close(container(table, tmp_path))
    with pytest.raises(DataError, match="contradict"):
        LightCurves.from_pandas(table, zero_point=27.5)


def test_each_row_may_have_its_own_zero_point():
    table = long(zp=[31.4, 28.9, 31.4])
    table.loc[1, ["flux", "flux_err"]] /= 10.0
    assert_close(LightCurves.from_pandas(table))
    log = RejectLog()
    assert len(LightCurves.from_pandas(table.assign(zp=[31.4, np.nan, 31.4]), rejects=log)) == 1


@pytest.mark.parametrize("factor", [1000.0, 10 ** (0.4 * 3.9), 1e9])
def test_fluxes_that_cannot_be_in_njy_are_refused_in_every_container(factor, tmp_path):
    for container in (by_pandas, by_arrow, by_csv, by_parquet):
        with pytest.raises(DataError, match=r"1-sigma depth is .*--zero-point"):
            container(in_units(factor), tmp_path)
    zero_point = 31.4 - 2.5 * np.log10(factor)
    assert_close(LightCurves.from_pandas(in_units(factor), zero_point=zero_point))


def test_plasticc_names_imply_its_zero_point_and_dust_correction_in_any_container(tmp_path):
    table = in_units(10 ** (0.4 * 3.9)).rename(columns={"band": "passband", "detected": "detected_bool"})
    for container in (by_pandas, by_arrow, by_csv, by_parquet):
        curves = container(table, tmp_path)
        assert_close(curves)
        assert curves.dereddened


def test_quantities_are_converted_and_must_not_contradict_a_zero_point():
    table = QTable.from_pandas(in_units(1000))
    table["flux"] = table["flux"] * u.uJy
    table["flux_err"] = (table["flux_err"] * u.uJy).to(u.mJy)
    assert_close(LightCurves.from_astropy(table))
    table["zp"], table["zpsys"] = 31.4, "ab"
    with pytest.raises(DataError, match="contradict"):
        LightCurves.from_astropy(table)


def test_counts_need_a_zero_point():
    table = QTable.from_pandas(in_units(1000))
    table["flux"].unit = table["flux_err"].unit = u.adu
    with pytest.raises(DataError, match="not one of flux density"):
        LightCurves.from_astropy(table)
    assert_close(LightCurves.from_astropy(table, zero_point=23.9))


DAYS = np.array([60002.0, 60001.0, 60001.0])


@pytest.mark.parametrize(
    ("times", "note"),
    [
        (DAYS + 2_400_000.5, "from JD"),
        (pd.to_datetime(DAYS - 40587, unit="D"), "taken as TAI"),
        ((DAYS - 40587).astype("datetime64[D]"), "taken as TAI"),
        (["2023-02-27", "2023-02-26T00:00:00", "2023-02-26"], "taken as TAI"),
    ],
    ids=["JD", "datetimes", "dates", "texts"],
)
def test_times_are_converted_and_the_conversion_is_noted(times, note):
    log = RejectLog()
    assert_same_curves(LightCurves.from_pandas(long().assign(mjd=times), rejects=log), RIGHT)
    assert note in log.notes[0]


@pytest.mark.parametrize(
    "times",
    [
        (DAYS - 40587) * 86400,
        (DAYS - 40587) * 86400e3,
        pd.to_datetime(DAYS - 40587, unit="D").tz_localize("UTC"),
    ],
)
def test_times_of_stated_utc_get_the_leap_seconds(times):
    curves = LightCurves.from_pandas(long().assign(mjd=times), rejects=RejectLog())
    np.testing.assert_allclose((curves.mjd - RIGHT.mjd) * 86400, 37.0, atol=1e-4)


def test_astropy_times_are_converted_to_tai():
    table = QTable.from_pandas(long())
    table["mjd"] = Time(DAYS, format="mjd", scale="utc")
    curves = LightCurves.from_astropy(table, zero_point=31.4)
    np.testing.assert_allclose((curves.mjd - RIGHT.mjd) * 86400, 37.0, atol=1e-4)


def test_a_time_of_another_kind_than_most_is_set_aside_and_impossible_ones_too():
    log = RejectLog()
    times = np.append(DAYS, [2460002.5, 20230226.0])
    table = pd.concat([long(), long().iloc[:2]]).assign(mjd=times)
    assert_same_curves(LightCurves.from_pandas(table, rejects=log), RIGHT)
    assert list(log.summary().values()) == [1, 1]
    with pytest.raises(DataError, match="decimal years"):
        LightCurves.from_pandas(long(mjd=[2020.3, 2020.1, 2020.2]))


# --- delimited text ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(".", "§").replace(",", ";").replace("§", ","),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(",", " | ").replace(" ", ""),
        lambda text: text.replace(",", "   "),
        lambda text: "# made by hand\n\n# with care\n" + text,
        lambda text: "#" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: "\ufeff" + text,
    ],
    ids=["semicolons", "decimal commas", "tabs", "bars", "blanks", "comments", "comment header", "dos", "mac",
         "blank lines", "byte order mark"],
)  # fmt: skip
@pytest.mark.parametrize(
    "pack",
    [bytes, gzip.compress, bz2.compress, lzma.compress, lambda data: pa.compress(data, "zstd", asbytes=True)],
    ids=["plain", "gzip", "bzip2", "xz", "zstd"],
)  # fmt: skip
def test_every_dialect_and_compression_of_a_csv_is_read(change, pack, tmp_path):
    text = long(mjd=DAYS + 0.25).to_csv(index=False)
    (tmp_path / "x").write_bytes(pack(change(text).encode()))
    wanted = replace(RIGHT, mjd=RIGHT.mjd + 0.25)
    assert_same_curves(read(tmp_path / "x"), wanted)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("object_id,mjd,band,flux,flux_err\n1,60001,5,g,1,5,20,5\n2,60001,5,g,1,5,20,5\n", "decimal commas"),
        ("object_id,mjd\n".encode("utf-16"), "UTF-16"),
        ("# nothing\n# but comments\n", "nothing like mjd"),
    ],
)
def test_text_that_is_no_csv_is_refused_with_its_cause(text, cause, tmp_path):
    (tmp_path / "x.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=cause):
        read(tmp_path / "x.csv")


def test_a_file_that_grows_without_end_is_refused(tmp_path, monkeypatch):
    from firstlight.data import delimited

    monkeypatch.setattr(delimited, "GROWTH_FROM", 1 << 20)
    text = long().to_csv(index=False) + "1,60001,g,1,20,1\n" * 300_000
    (tmp_path / "bomb.csv").write_bytes(gzip.compress(text.encode()))
    with pytest.raises(DataError, match="grow more than 100-fold"):
        read(tmp_path / "bomb.csv")


# --- kept columns -------------------------------------------------------------------------


@pytest.mark.parametrize("dereddened", [True, False])
def test_whether_fluxes_are_dereddened_travels_with_every_export(sample, dereddened, tmp_path):
    curves = replace(sample.take([0, 1]), dereddened=dereddened)
    rows, objects = curves.to_pandas()
    made = [
        LightCurves.from_arrow(curves.to_arrow()),
        LightCurves.from_pandas(rows, objects),
        LightCurves.from_pandas(rows),
        LightCurves.from_nested(curves.to_nested()),
        LightCurves.from_astropy(curves.to_astropy()),
    ]
    rows.attrs, objects.attrs = {}, {}
    made.append(LightCurves.from_pandas(rows, objects))
    pq.write_table(curves.to_arrow(), tmp_path / "x.parquet")
    made.append(read(tmp_path / "x.parquet"))
    assert [one.dereddened for one in made] == [dereddened] * len(made)
    with pytest.raises(DataError, match="leave it out"):
        LightCurves.from_pandas(rows, objects, dereddened=not dereddened)


# --- unreadable tables --------------------------------------------------------------------

STRANGE = {
    "lists": [[1], [2], [3]],
    "dicts": [{"a": 1}] * 3,
    "nothing": [None] * 3,
    "complex": [1j, 2j, 3j],
    "decimals": [Decimal("1.5")] * 3,
    "durations": [timedelta(1)] * 3,
    "clock times": [time(1)] * 3,
    "too large": [10**30] * 3,
    "no UTF-8": [b"\xff\xfe", b"a", b"b"],
    "half a character": pd.Series(["\ud800", "b", "c"], dtype=object),
    "objects": [object()] * 3,
    "mixed": [1.5, b"x", True],
    "infinite": [np.inf, -np.inf, np.nan],
    "unsigned": np.array([2**64 - 1, 2**63, 1], dtype=np.uint64),
    "periods": pd.period_range("2026-01", "2026-03", freq="M"),
    "arrays": [np.zeros((2, 2))] * 3,
    "half floats": np.array([1, 2, 3], np.float16),
    "long doubles": np.array([1, 2, 3], np.longdouble),
}


@pytest.mark.parametrize("column", [*NAMES, "redshift", "zp", "unit", "dereddened"])
@pytest.mark.parametrize("values", STRANGE.values(), ids=STRANGE)
def test_strange_values_are_read_or_refused_by_column_and_never_end_in_another_error(column, values):
    table = long().assign(**{column: values})
    for rejects in (None, RejectLog()):
        with suppress(DataError):
            LightCurves.from_pandas(table, rejects=rejects)


@pytest.mark.parametrize("values", [None, {}, [1], 5, "x", pd.Series([1])])
def test_values_that_are_no_table_are_refused_with_their_type(values):
    readers = [LightCurves.from_pandas, LightCurves.from_arrow, LightCurves.from_nested]
    for reader in readers:
        with pytest.raises(DataError, match=type(values).__name__):
            reader(values)


def test_a_row_of_the_table_of_objects_without_a_name_is_reported():
    rows = {"object_id": ["a"], "mjd": [60_000.0], "band": ["g"], "flux": [1e4], "flux_err": [100.0]}
    log = RejectLog()
    objects = pd.DataFrame({"object_id": ["a", None], "ebv": [0.1, 0.2]})
    curves = LightCurves.from_pandas(pd.DataFrame(rows), objects, rejects=log)
    assert list(curves.object_id) == ["a"]
    assert any("1 row(s) of the table of objects have no name" in note for note in log.notes)


def test_sexagesimal_positions_beside_observations_are_read():
    table = pd.DataFrame(
        {"object_id": "a", "mjd": [60000.0, 60001.0], "band": "g", "flux": 900.0, "flux_err": 60.0}
    ).assign(ra="10:12:30", dec=["-05 30 00", None])
    curves = LightCurves.from_pandas(table)
    assert curves.ra[0] == pytest.approx(153.125)
    assert curves.dec[0] == pytest.approx(-5.5)
