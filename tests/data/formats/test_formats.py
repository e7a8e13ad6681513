"""The same light curves are read from the published format of each survey, broker and package."""

import bz2
import gzip
import json
import lzma

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data.formats._samples import (
    IDS,
    SAMPLES,
    TAI_MINUS_UTC,
    alerce_csv,
    atlas_forced,
    own_columns,
    snana_fits,
    snana_text,
    sncosmo_ecsv,
    truth,
    write_csv,
    write_parquet,
    ztf_forced,
)

from firstlight.data import RejectLog, read
from firstlight.data.formats import FORMATS, ColumnNames
from firstlight.errors import DataError, MissingColumnError, SettingsError, UnknownBandError
from firstlight.lightcurves import LightCurves


def expected(name):
    _, writer, bands, n_objects, only_positive = SAMPLES[name]
    curves = truth(bands, ids=IDS[:n_objects])
    if only_positive:
        curves = curves.with_columns(flux=np.abs(curves.flux), detected=np.ones(len(curves.flux), bool))
    return writer, curves


@pytest.mark.parametrize("name", SAMPLES)
def test_a_format_is_recognised_and_gives_the_same_light_curves(name, tmp_path):
    writer, curves = expected(name)
    said = []
    found = read(writer(curves, tmp_path), report=said.append)
    assert found.object_id.tolist() == curves.object_id.tolist()
    np.testing.assert_array_equal(found.offsets, curves.offsets)
    np.testing.assert_array_equal(found.band, curves.band)
    np.testing.assert_allclose(found.mjd, curves.mjd, rtol=0, atol=2e-6)
    np.testing.assert_allclose(found.flux, curves.flux, rtol=3e-6)
    np.testing.assert_allclose(found.flux_err, curves.flux_err, rtol=3e-6)
    assert len(said) == 1
    assert "mjd = " in said[0] or "column names of firstlight" in said[0]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_report_names_the_columns_in_use_and_no_others(name, tmp_path):
    writer, curves = expected(name)
    said = []
    read(writer(curves, tmp_path), report=said.append)
    assert ("flux = " in said[0]) + ("mag = " in said[0]) == (name != "own columns as CSV")
    assert ("flux_err = " in said[0]) == ("flux = " in said[0])
    assert ("mag_err = " in said[0]) == ("mag = " in said[0])


@pytest.mark.parametrize("name", SAMPLES)
def test_the_name_of_a_format_forces_it_and_another_one_is_refused(name, tmp_path):
    writer, curves = expected(name)
    path = writer(curves, tmp_path)
    assert len(read(path, format=SAMPLES[name][0])) == len(curves)
    other = "irsa"
    with pytest.raises(MissingColumnError, match="not IRSA ZTF light curves, which has the columns"):
        read(path, format=other)


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(SettingsError, match="unknown format 'x'; known: rubin"):
        read(own_columns(truth(), tmp_path), format="x")
    assert {format for format, *_ in SAMPLES.values()} <= set(FORMATS)


@pytest.mark.parametrize(
    "name", ["ATLAS forced photometry", "ZTF forced photometry", "sncosmo ECSV", "Open Supernova Catalog"]
)
def test_a_folder_with_a_file_per_object_is_read_whole(name, tmp_path):
    _, writer, bands, _, only_positive = SAMPLES[name]
    both = truth(bands)
    both = both.with_columns(flux=np.abs(both.flux)) if only_positive else both
    for k in range(2):
        (tmp_path / f"{k}").mkdir()
        path = writer(both.take([k]), tmp_path / f"{k}")
        if not path.stem.isdecimal():
            path.rename(path.with_name(f"{both.object_id[k]}{path.suffix}"))
    said = []
    curves = read(tmp_path, report=said.append)
    assert curves.object_id.tolist() == both.object_id.tolist()
    np.testing.assert_allclose(curves.flux, both.flux, rtol=3e-6)
    assert "2 " in said[0]
    alone = [read(path) for path in sorted(tmp_path.glob("*/*"))]
    assert LightCurves.concatenate(alone).fingerprint == curves.fingerprint


def test_a_folder_of_several_formats_or_with_metadata_is_refused(tmp_path):
    atlas_forced(truth("gr", ids=IDS[:1]), tmp_path)
    own_columns(truth(), tmp_path)
    with pytest.raises(DataError, match="files of different formats"):
        read(tmp_path)
    (tmp_path / f"{IDS[0]}.txt").unlink()
    write_csv(tmp_path / "meta.csv", {"object_id": list(IDS), "ra": [1.0, 2.0]})
    with pytest.raises(DataError, match=r"meta.csv: no time and filter per observation.* --metadata"):
        read(tmp_path)


# --- limits, signs and flags ------------------------------------------------------


def test_an_upper_limit_is_no_measurement_and_is_counted(tmp_path):
    path = write_csv(
        tmp_path / "x.csv",
        {
            "oid": ["a", "a", "a", "b"],
            "mjd": [60000.0, 60001.0, 60002.0, 60003.0],
            "fid": [1, 2, 1, 1],
            "isdiffpos": ["", 1, -1, ""],
            "magpsf": ["", 18.9, 18.9, ""],
            "sigmapsf": ["", 0.1, 0.1, ""],
            "diffmaglim": [21.4, 21.4, 21.4, 21.4],
        },
    )
    said, log = [], RejectLog()
    curves = read(path, report=said.append, rejects=log)
    np.testing.assert_allclose(curves.flux, [1e5, -1e5], rtol=1e-6)
    assert curves.detected.tolist() == [True, True]
    assert "2 upper limit(s) left out" in said[0]
    assert [(one.object_id, one.reason) for one in log] == [("b", "the object has upper limits only")]


@pytest.mark.parametrize("decimal", [".", ","])
def test_a_magnitude_with_a_less_or_greater_sign_is_a_limit(decimal, tmp_path):
    lines = [
        "name;mjd;filter;mag;mag_err",
        "a;60000.5;g;<18.2;",
        "a;60001.5;g;> 19.0;0.1",
        "a;60002.5;g;18.9;0.1",
    ]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(lines).replace(".", decimal) + "\n")
    said = []
    np.testing.assert_allclose(read(path, report=said.append).flux, [1e5], rtol=1e-6)
    assert "2 upper limit(s) left out" in said[0]


AAVSO_DOWNLOAD = """JD,Magnitude,Uncertainty,Band,Observer Code,Star Name
2459000.5,<14.2,,V,XYZ,SN 2020a
2459001.5,13.1,0.02,V,XYZ,SN 2020a
2459002.5,13.2,,R,XYZ,SN 2020a
2459003.5,13.3,0.03,R,XYZ,SN 2020a
"""
AAVSO_EXTENDED = """#TYPE=EXTENDED
#OBSCODE=XYZ
#DELIM=,
#NAME,DATE,MAG,MERR,FILT,TRANS,MTYPE,CNAME
SN 2020a,2459000.5,<14.2,na,V,NO,STD,1
SN 2020a,2459001.5,13.1,0.02,V,NO,STD,1
SN 2020a,2459003.5,13.3,0.03,R,NO,STD,1
"""


@pytest.mark.parametrize("text", [AAVSO_DOWNLOAD, AAVSO_EXTENDED])
def test_aavso_files_are_read_without_limits_and_without_what_has_no_error(text, tmp_path):
    path = tmp_path / "aavso.csv"
    path.write_text(text)
    said, log = [], RejectLog()
    curves = read(path, report=said.append, rejects=log)
    assert curves.object_id.tolist() == ["SN 2020a"]
    np.testing.assert_allclose(curves.mjd, np.array([59001.0, 59003.0]) + TAI_MINUS_UTC)
    assert curves.survey.tolist() == ["johnson"]
    assert "AAVSO photometry" in said[0]
    assert "1 upper limit(s) left out" in said[0]
    assert set(log.summary()) <= {"the magnitude has no error"}


def test_upper_case_filters_that_are_johnson_s_by_their_case_are_named(tmp_path):
    columns = {
        "name": ["a"] * 2,
        "mjd": [1.0, 2.0],
        "filter": ["R", "i"],
        "mag": [20.0] * 2,
        "mag_err": [0.1] * 2,
    }
    said = []
    read(write_csv(tmp_path / "x.csv", columns), report=said.append)
    assert "filter R is read as johnson_R; a lower-case r is LSST's" in said[0]
    read(write_csv(tmp_path / "x.csv", columns), columns="survey=lsst", report=said.append)
    assert "johnson" not in said[1]
    log = RejectLog()
    LightCurves.from_pandas(
        pd.DataFrame({"object_id": "a", "mjd": [1.0], "band": ["I"], "flux": [900.0], "flux_err": [50.0]}),
        rejects=log,
    )
    assert "filter I is read as johnson_I; a lower-case i is LSST's" in log.notes


def test_the_survey_that_a_file_states_is_kept_and_exported(tmp_path):
    columns = {
        "name": ["a", "b", "b", "c"],
        "mjd": [1.0, 2.0, 3.0, 4.0],
        "filter": ["ztfg", "ps1__r", "zg", "r"],
        "mag": [20.0] * 4,
        "mag_err": [0.1] * 4,
    }
    curves = read(write_csv(tmp_path / "x.csv", columns))
    assert curves.survey.tolist() == ["ztf", "ps1+ztf", ""]
    assert curves["b"].survey == "ps1+ztf"
    assert "surveys ps1+ztf, ztf" in repr(curves)
    assert "survey ps1+ztf" in repr(curves["b"])
    bare = columns | {"filter": ["g", "r", "i", "r"]}
    assert read(write_csv(tmp_path / "y.csv", bare), columns="survey=des").survey.tolist() == ["des"] * 3
    stated = columns | {"survey": ["ztf", "Pan-STARRS1", "ztf", "LSST"], "filter": ["g", "r", "r", "r"]}
    assert read(write_csv(tmp_path / "z.csv", stated)).survey.tolist() == ["ztf", "ps1+ztf", "lsst"]
    from firstlight.data import write_curves

    write_curves(curves, tmp_path / "ours.parquet")
    again = [
        read(tmp_path / "ours.parquet"),
        curves.take([0, 1, 2]),
        LightCurves.concatenate([curves.take([0]), curves.take([1, 2])]),
        LightCurves.from_arrow(curves.to_arrow()),
        LightCurves.from_pandas(*curves.to_pandas()),
        LightCurves.from_nested(curves.to_nested()),
    ]
    assert [one.survey.tolist() for one in again] == [curves.survey.tolist()] * len(again)
    assert LightCurves.from_astropy(curves.to_astropy()).survey.tolist()[:2] == ["ztf", "ps1+ztf"]


def test_a_file_without_any_row_is_refused_with_that_reason(tmp_path):
    empty = {"object_id": pa.array([], pa.string())} | {
        name: pa.array([], pa.float64()) for name in ("mjd", "band", "flux", "flux_err")
    }
    nested = {name: column.cast(pa.string()) if name == "object_id" else pa.array([], pa.list_(pa.float64()))
              for name, column in empty.items()}  # fmt: skip
    foreign = {"obsmjd" if name == "mjd" else name: column for name, column in empty.items()}
    for columns in (empty, nested, foreign):
        with pytest.raises(DataError, match=r"x.parquet: the file has no observations; check that it was"):
            read(write_parquet(tmp_path / "x.parquet", columns))


def test_a_sign_that_is_neither_is_refused_with_its_row(tmp_path):
    path = alerce_csv(truth(), tmp_path)
    path.write_text(path.read_text().replace(",20.5,1,", ",20.5,maybe,", 1))
    with pytest.raises(DataError, match=r"row \d+: the sign of the difference flux is 'maybe'"):
        read(path)


def test_vega_magnitudes_use_the_zero_point_of_their_own_filter(tmp_path):
    columns = {
        "name": ["a"] * 3,
        "mjd": [1.0, 2.0, 3.0],
        "filter": ["V", "swift_B", "g"],
        "mag": [20.0] * 3,
        "mag_err": [0.1] * 3,
    }
    said = []
    found = read(write_csv(tmp_path / "x.csv", columns), report=said.append)
    ab = np.array([20.02, 19.87, 20.0])
    np.testing.assert_allclose(found.flux, 10 ** (0.4 * (31.4 - ab)), rtol=1e-6)
    assert found.band.tolist() == [2, 1, 1]
    assert "AB, Vega (johnson_V +0.02 to AB), Vega (uvot_B -0.13 to AB)" in said[0]
    stated = read(write_csv(tmp_path / "y.csv", columns | {"magsys": ["AB", "ab", "AB"]}))
    np.testing.assert_allclose(stated.flux, 10 ** (0.4 * (31.4 - 20.0)), rtol=1e-6)
    with pytest.raises(DataError, match="no Vega zero point"):
        read(write_csv(tmp_path / "z.csv", columns | {"magsys": ["Vega", "Vega", "Vega"]}))
    with pytest.raises(DataError, match="system 'bd17'; firstlight knows AB and Vega"):
        read(write_csv(tmp_path / "w.csv", columns | {"magsys": ["BD17", "AB", "AB"]}))


@pytest.mark.parametrize("nothing", [99.0, -99, 999, -999.0, "", "nan"])
def test_a_magnitude_that_stands_for_none_is_left_out_and_counted(nothing, tmp_path):
    log = RejectLog()
    columns = {
        "name": ["a", "a"],
        "mjd": [1.0, 2.0],
        "filter": ["g", "r"],
        "mag": [20.0, nothing],
        "mag_err": [0.1, 0.1],
    }
    assert read(write_csv(tmp_path / "x.csv", columns), rejects=log).n_obs.tolist() == [1]
    assert log.summary() == {"the row has neither a flux nor a magnitude nor a limit": 1}


def test_failed_photometry_is_left_out_with_the_survey_s_own_reason(tmp_path):
    path = ztf_forced(truth("gri", ids=IDS[:1]), tmp_path)
    lines = path.read_text().splitlines()
    lines[-1] = lines[-1][:-1] + "56,57"
    lines[-2] = lines[-2][:-1] + "57"
    lines[-3] = lines[-3][:-1] + "61"
    lines[-4] = lines[-4][:-1] + "null"
    path.write_text("\n".join(lines))
    log = RejectLog()
    assert read(path, rejects=log).n_obs.tolist() == [22]
    assert log.summary() == {"ZTF's procstatus marks the photometry as failed": 2}
    path = atlas_forced(truth("gr", ids=IDS[:1]), tmp_path)
    path.write_text(path.read_text().replace(" c 0 1.2", " c 1 1.2", 1))
    assert read(path, rejects=log).n_obs.tolist() == [23]


def test_irsa_light_curves_of_one_star_are_one_object_around_their_median(tmp_path):
    n = 5
    columns = {
        "oid": [1] * n + [2] * n + [3] * n,
        "mjd": [60000.0 + i for i in range(3 * n)],
        "mag": [18.0, 18.1, 18.2, 18.3, 18.4] * 3,
        "magerr": [0.02] * 3 * n,
        "catflags": [0] * (3 * n - 1) + [32768],
        "filtercode": ["zg"] * n + ["zr"] * n + ["zg"] * n,
        "ra": [150.0] * n + [150.0001] * n + [151.0] * n,
        "dec": [2.0] * 3 * n,
    }
    said = []
    log = RejectLog()
    curves = read(write_csv(tmp_path / "x.csv", columns), rejects=log, report=said.append)
    assert curves.object_id.tolist() == ["1", "3"]
    assert curves.n_obs.tolist() == [10, 4]
    assert np.median(curves.flux[:5]) == 0
    assert "the median flux of each object and filter is subtracted" in said[0]
    np.testing.assert_allclose(curves.mjd[0], 60000.0 + TAI_MINUS_UTC, rtol=0, atol=1e-9)


def test_forced_sources_of_objects_are_read_by_their_difference_or_refused(tmp_path):
    columns = {
        "objectId": ["1", "1"],
        "expMidptMJD": [60000.0, 60001.0],
        "band": ["g", "r"],
        "psfFlux": [5e4, 5e4],
        "psfFluxErr": [90.0, 90.0],
        "psfDiffFlux": [1e3, -1e3],
        "psfDiffFluxErr": [100.0, 100.0],
    }
    assert read(write_csv(tmp_path / "x.csv", columns)).flux.tolist() == [1e3, -1e3]
    total = {name: values for name, values in columns.items() if "Diff" not in name}
    with pytest.raises(MissingColumnError, match="nothing like flux and flux_err"):
        read(write_csv(tmp_path / "y.csv", total))


def test_fink_s_prefixes_do_not_hide_the_names_of_rubin(tmp_path):
    columns = {
        "r:diaObjectId": [IDS[0]] * 2,
        "r:diaSourceId": [5, 6],
        "r:midpointMjdTai": [60000.0, 60001.0],
        "r:band": ["g", "y"],
        "r:psfFlux": [1e3, 2e3],
        "r:psfFluxErr": [1e2, 1e2],
    }
    curves = read(write_csv(tmp_path / "fink.csv", columns))
    assert curves.object_id.tolist() == [str(IDS[0])]
    assert curves.detected.tolist() == [True, True]
    assert curves.mjd.tolist() == [60000.0, 60001.0]


@given(st.sampled_from(["own columns as CSV", "ALeRCE CSV", "Fink JSON"]), st.randoms(use_true_random=False))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
def test_the_order_of_rows_changes_nothing(tmp_path, name, random):
    writer, curves = expected(name)
    path = writer(curves, tmp_path)
    found = read(path)
    if path.suffix == ".json":
        rows = json.loads(path.read_text())
        random.shuffle(rows)
        path.write_text(json.dumps(rows))
    else:
        head, *rows = path.read_text().splitlines()
        random.shuffle(rows)
        path.write_text("\n".join([head, *rows]) + "\n")
    shuffled = read(path)
    order = [shuffled.object_id.tolist().index(one) for one in found.object_id.tolist()]
    assert shuffled.take(order).fingerprint == found.fingerprint


# --- names of objects -------------------------------------------------------------


def test_snana_pairs_bring_what_is_observed_of_objects_and_no_simulated_value(tmp_path):
    curves = read(snana_fits(truth("ugrizy"), tmp_path))
    np.testing.assert_allclose(curves.ra, [10.0, 20.0])
    np.testing.assert_allclose(curves.redshift, [0.3, np.nan])
    np.testing.assert_allclose(curves.redshift_spec, [np.nan, 0.5])
    np.testing.assert_allclose(curves.ebv, [0.02, np.nan], rtol=1e-6)
    assert not curves.dereddened
    np.testing.assert_array_equal(curves.detected, truth("ugrizy").detected)
    assert read(tmp_path / "X_PHOT.FITS.gz").object_id.tolist() == curves.object_id.tolist()
    assert len(read(tmp_path)) == 2
    (tmp_path / "X_PHOT.FITS.gz").unlink()
    with pytest.raises(DataError, match=r"its partner X_PHOT.FITS.gz is not beside it"):
        read(tmp_path / "X_HEAD.FITS.gz")


@pytest.mark.parametrize("ending", ["fits", "ecsv"])
def test_a_table_of_one_object_has_its_values_in_the_header_in_any_case(ending, tmp_path):
    table = Table.read(sncosmo_ecsv(truth("ugriz", ids=IDS[:1]), tmp_path))
    table.meta = {"SNID": "SN2011fe", "RA": "14:03:05.8", "DEC": 54.27, "Z": 0.0008, "MWEBV": 0.008}
    table.write(tmp_path / f"x.{ending}", format="fits" if ending == "fits" else "ascii.ecsv")
    curves = read(tmp_path / f"x.{ending}")
    assert curves.object_id.tolist() == ["SN2011fe"]
    np.testing.assert_allclose([curves.ra[0], curves.dec[0]], [210.774166, 54.27], rtol=1e-6)
    np.testing.assert_allclose([curves.redshift[0], curves.ebv[0]], [0.0008, 0.008], rtol=1e-6)


def test_a_cut_snana_text_is_refused(tmp_path):
    snana_text(truth("griz"), tmp_path)
    one = tmp_path / "DES_0.DAT"
    assert len(read(one)) == 1
    one.write_text("\n".join(one.read_text().splitlines()[:20]))
    with pytest.raises(DataError, match="it has 11 observations, but states NOBS: 24"):
        read(one)


def test_of_positions_that_scatter_by_measurement_the_newest_counts_as_in_the_stream(tmp_path):
    path = alerce_csv(truth(), tmp_path)
    rows = pd.read_csv(path, dtype={"oid": str})
    newest = rows.sort_values("mjd").groupby("oid", sort=False)["meanra" if "meanra" in rows else "ra"].last()
    curves = read(path)
    np.testing.assert_array_equal(curves.ra, newest[curves.object_id.tolist()])
    np.testing.assert_array_equal(curves.dec, 2.0)


def test_the_unit_of_a_magnitude_column_is_used_or_refused(tmp_path):
    table = Table({"object_id": ["a", "a"], "mjd": [60000.0, 60001.0], "filter": ["V", "V"]})

    def flux(unit: str, factor: float = 1.0) -> list[float]:
        table["mag"], table["magerr"] = np.array([18.0, 18.5]) * factor, np.array([0.1, 0.1]) * factor
        table["mag"].unit = table["magerr"].unit = unit or None
        table.write(tmp_path / "m.ecsv", overwrite=True)
        return read(tmp_path / "m.ecsv").flux.tolist()

    vega, ab = flux(""), flux("mag(AB)")
    assert flux("mag") == vega
    assert flux("mmag", 1000.0) == pytest.approx(vega)
    assert ab != vega
    assert ab[0] == pytest.approx(10 ** (0.4 * (31.4 - 18.0)), rel=1e-6)
    with pytest.raises(DataError, match="'mag' of magnitudes has the unit 'Jy'"):
        flux("Jy")


def test_forced_photometry_of_a_visit_with_a_detection_is_not_a_second_observation(tmp_path):
    value = {
        "diaObjectId": IDS[0],
        "diaSourcesList": [
            {"diaSourceId": 1, "midpointMjdTai": 60000.0, "band": "g", "psfFlux": 900.0, "psfFluxErr": 50.0}
        ],
        "diaForcedSourcesList": [
            {"midpointMjdTai": 60000.000001, "band": "g", "psfFlux": 890.0, "psfFluxErr": 50.0},
            {"midpointMjdTai": 60001.0, "band": "g", "psfFlux": 10.0, "psfFluxErr": 50.0},
        ],
    }
    path = tmp_path / "lasair.json"
    path.write_text(json.dumps(value))
    curves = read(path)
    assert curves.flux.tolist() == [900.0, 10.0]
    assert curves.detected.tolist() == [True, False]


def test_fluxes_that_the_table_s_magnitudes_contradict_are_refused(tmp_path):
    columns = {
        "id": ["a"] * 2,
        "mjd": [1.0, 2.0],
        "filter": ["g", "r"],
        "flux": [1e3, 2e3],
        "fluxerr": [9.0] * 2,
    }
    columns["mag"] = 25.0 - 2.5 * np.log10(columns["flux"])
    path = write_csv(tmp_path / "x.csv", columns)
    with pytest.raises(DataError, match=r"its magnitudes|magnitudes give them the zero point 25.00"):
        read(path)
    assert read(path, zero_point=25.0).flux[0] == pytest.approx(1e3 * 10**2.56)


@pytest.mark.parametrize(
    ("ending", "format"), [("tbl", "ascii.ipac"), ("xml", "votable"), ("csv", "ascii.csv")]
)
def test_irsa_tables_are_read_from_each_of_its_containers(ending, format, tmp_path):
    n = 7
    table = Table(
        {
            "oid": np.full(n, 686103400034440),
            "mjd": 58000.0 + np.arange(n),
            "mag": np.linspace(18, 19, n),
            "magerr": np.full(n, 0.02),
            "catflags": np.zeros(n, int),
            "filtercode": np.full(n, "zr"),
            "ra": np.full(n, 298.0025),
            "dec": np.full(n, 29.87147),
        }
    )
    table.write(tmp_path / f"x.{ending}", format=format)
    curves = read(tmp_path / f"x.{ending}")
    assert curves.object_id.tolist() == ["686103400034440"]
    assert curves.band.tolist() == [2] * n
    assert np.sign(curves.flux).tolist() == [1, 1, 1, 0, -1, -1, -1]


def test_magnitudes_without_errors_are_left_out_of_the_open_supernova_catalog(tmp_path):
    point = {"time": "60000", "band": "V", "magnitude": "17.0", "telescope": "Swift"}
    rows = [
        point,
        point | {"time": "60001", "e_magnitude": "0.1"},
        point | {"time": "60002", "upperlimit": True},
        point | {"time": ["60003", "60005"], "e_lower_magnitude": "0.1", "e_upper_magnitude": "0.3"},
    ]
    path = tmp_path / "sn.json"
    path.write_text(json.dumps({"SN2020x": {"photometry": rows, "redshift": [{"value": "0.01"}]}}))
    curves = read(path)
    assert curves.mjd.tolist() == [60001.0, 60004.0]
    size = 10 ** (0.4 * (31.4 - 17.0 + 0.01))
    np.testing.assert_allclose(curves.flux, size, rtol=1e-6)
    error = np.array([0.1 * np.log(10) / 2.5, 0.2 * np.log(10) / 2.5]) * size
    np.testing.assert_allclose(curves.flux_err, error, rtol=1e-6)
    assert curves.detected.all()
    assert curves.survey.tolist() == ["uvot"]
    assert curves.redshift_spec[0] == np.float32(0.01)
    log = RejectLog()
    read(path, rejects=log)
    assert log.summary() == {"the magnitude has no error": 1}


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["ATLAS forced photometry", "Fink JSON", "SNANA text", "FITS table"])
def test_compression_is_recognised_by_content(name, pack, tmp_path):
    writer, curves = expected(name)
    path = writer(curves, tmp_path)
    found = read(path)
    for one in path.glob("*.DAT") if path.is_dir() else [path]:
        one.write_bytes(pack(one.read_bytes()))
    assert read(path).fingerprint == found.fingerprint


def test_a_damaged_compressed_fits_file_is_refused(tmp_path):
    path = SAMPLES["SNANA FITS"][1](truth(), tmp_path)
    for one in (path, path.with_name("X_PHOT.FITS.gz")):
        whole = one.read_bytes()
        for damaged in (
            whole[:60] + b"\xff" * 60 + whole[120:],
            gzip.compress(gzip.decompress(whole)[:3000]),
        ):
            one.write_bytes(damaged)
            with pytest.raises(DataError, match=one.name):
                read(path)
        one.write_bytes(whole)


@pytest.mark.parametrize("orient", ["columns", "records", "list"])
def test_json_of_pandas_is_read_in_each_of_its_forms(orient, tmp_path):
    curves = truth()
    table, _ = curves.to_pandas()
    path = tmp_path / "curves.json"
    if orient == "list":
        path.write_text(json.dumps(table.to_dict("list")))
    else:
        table.to_json(path, orient=orient, double_precision=15)
    found = read(path)
    assert found.object_id.tolist() == curves.object_id.tolist()
    np.testing.assert_allclose(found.flux, curves.flux, rtol=1e-6)


@pytest.mark.parametrize("name", ["Fink JSON", "Open Supernova Catalog"])
def test_an_odd_value_in_json_costs_no_more_than_its_row(name, tmp_path):
    writer, curves = expected(name)
    path = writer(curves, tmp_path)
    text = path.read_text()
    for odd in ('"\\ud800"', "true", "[]", "{}", "1e400", "null"):
        for key in ("i:fid", "i:magpsf") if name == "Fink JSON" else ("band", "time", "e_magnitude"):
            start = text.index(f'"{key}": ') + len(key) + 4
            end = min(text.index(stop, start) for stop in (",", "}") if stop in text[start:])
            path.write_text(text[:start] + odd + text[end:])
            found = read(path, rejects=RejectLog())
            assert len(found.mjd) >= len(curves.mjd) - 1


def test_json_without_end_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="not readable as JSON"):
        read(tmp_path / "x.json")


# --- filters ------------------------------------------------------------------------


def test_of_two_filters_of_one_band_at_one_time_the_nearer_counts_in_any_order(tmp_path):
    columns = {
        "name": ["a"] * 3,
        "mjd": [1.0, 1.0, 2.0],
        "filter": ["johnson_V", "ztf_r", "johnson_V"],
        "flux": [1.0, 2.0, 3.0],
        "flux_err": [100.0] * 3,
    }
    for order in (slice(None), slice(None, None, -1)):
        log = RejectLog()
        path = write_csv(tmp_path / "x.csv", {name: values[order] for name, values in columns.items()})
        assert read(path, rejects=log).flux.tolist() == [2.0, 3.0]
        assert log.summary() == {"a filter nearer to the band was used at the same time": 1}


def test_a_number_as_filter_needs_its_survey(tmp_path):
    columns = {
        "id": ["a"] * 2,
        "time": [60000.0, 60001.0],
        "filter": [1, 2],
        "flux": [1e3, 2e3],
        "flux_err": [1e2] * 2,
    }
    path = write_csv(tmp_path / "x.csv", columns)
    with pytest.raises(UnknownBandError, match="is a number; state its survey"):
        read(path)
    assert read(path, columns="survey=ztf").band.tolist() == [1, 2]


def test_a_filter_that_nobody_knows_is_set_aside_with_the_rest_read(tmp_path):
    columns = {
        "id": ["a"] * 2,
        "time": [60000.0, 60001.0],
        "filter": ["g", "F625W"],
        "flux": [1e3] * 2,
        "flux_err": [90.0] * 2,
    }
    said, log = [], RejectLog()
    assert read(write_csv(tmp_path / "x.csv", columns), rejects=log, report=said.append).n_obs.tolist() == [1]
    assert log.summary() == {"the band is none of u, g, r, i, z, y": 1}
    assert "unknown filter 'F625W'" in said[0]


def test_a_column_that_numbers_the_rows_does_not_name_objects(tmp_path):
    columns = {"id": [1, 2], "mjd": [60000.0, 60001.0], "filter": ["g", "r"], "flux": [1e3] * 2}
    path = write_csv(tmp_path / "x.csv", columns | {"flux_err": [90.0] * 2})
    with pytest.raises(DataError, match="column 'id' differs in every row"):
        read(path)
    assert len(read(path, columns="object_id=id")) == 2
    assert len(read(path, columns="object_id=@file")) == 1


# --- the user's own names -------------------------------------------------------------


def test_own_names_are_taken_and_kept_in_toml(tmp_path):
    columns = {
        "star": ["a"] * 2,
        "epoch": [60000.0, 60001.0],
        "flt": ["g", "r"],
        "counts": [1e3, 2e3],
        "noise": [1e2] * 2,
    }
    path = write_csv(tmp_path / "x.csv", columns)
    with pytest.raises(
        MissingColumnError, match="nothing like mjd, flux and flux_err, or mag and mag_err, object_id"
    ):
        read(path)
    text = "object_id=star,mjd=epoch,flux=counts,flux_err=noise,survey=ps1"
    curves = read(path, columns=text)
    assert curves.band.tolist() == [1, 2]
    ColumnNames.parse(text).write(tmp_path / "names.toml")
    assert ColumnNames.parse(str(tmp_path / "names.toml")) == ColumnNames.parse(text)
    assert read(path, columns=str(tmp_path / "names.toml")).fingerprint == curves.fingerprint


def test_a_filter_that_the_table_lacks_may_be_mapped(tmp_path):
    columns = {
        "id": ["a"] * 2,
        "time": [60000.0, 60001.0],
        "filter": ["CfA4_i'", "g"],
        "flux": [1e3] * 2,
        "flux_err": [90.0] * 2,
    }
    path = write_csv(tmp_path / "x.csv", columns)
    names = tmp_path / "names.toml"
    names.write_text('[filters]\n"CfA4_i\'" = "sdss_i"\n')
    assert read(path, columns=str(names)).band.tolist() == [3, 1]
    ColumnNames.parse(str(names)).write(tmp_path / "again.toml")
    assert ColumnNames.parse(str(tmp_path / "again.toml")).filters == {"CfA4_i'": "sdss_i"}
    names.write_text('[filters]\nx = "nosuch"\n')
    with pytest.raises(UnknownBandError, match="unknown filter 'nosuch'"):
        read(path, columns=str(names))
    names.write_text('[colums]\nmjd = "x"\n')
    with pytest.raises(SettingsError, match=r"the tables are \[columns\] and \[filters\], not colums"):
        read(path, columns=str(names))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("mjd", SettingsError, "write them as mjd=obsmjd"),
        ("speed=x", SettingsError, r"unknown name\(s\) \['speed'\]"),
        ("survey=@hubble", SettingsError, "unknown survey 'hubble'"),
        ("nosuch.toml", SettingsError, "cannot read the column names"),
        ("mjd=nosuch", MissingColumnError, r"no column\(s\) \['nosuch'\]"),
    ],
)
def test_own_names_that_cannot_be_used_are_refused(text, error, message, tmp_path):
    with pytest.raises(error, match=message):
        read(own_columns(truth(), tmp_path), columns=text)


def test_a_table_without_names_of_objects_is_one_object_only_where_the_user_says_so(tmp_path):
    path = own_columns(truth(), tmp_path)
    path.write_text(path.read_text().replace("object_id", "note"))
    with pytest.raises(MissingColumnError, match="--columns object_id=@file"):
        read(path)
    log = RejectLog()
    assert read(path, columns="object_id=@file", rejects=log).object_id.tolist() == ["mine"]


# --- refusals ---------------------------------------------------------------------------


def test_foreign_files_are_refused_with_the_way_out(tmp_path):
    cases = {
        "x.h5": (b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5 file, and firstlight does not depend on h5py"),
        "x.bin": (b"ab\0" * 300, "binary file of unknown kind"),
        "x.json": (b'{"a": 1}', "not a light-curve file"),
        "y.json": (b'{"a": ', "not readable as JSON"),
        "z.json": (b"[]", "holds no list of measurements"),
        "a.json": (b'{"alert_id": "1", "observations": {"mjd": [1.0]}}\n' * 2, "firstlight stream --source"),
        "e.json": (b"{}", "holds no list of measurements"),
        "x.fits": (b"SIMPLE  =                    T" + b" " * 600, "cannot be read as FITS"),
    }
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=message):
            read(tmp_path / name)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no light curves in this folder"):
        read(tmp_path / "none")


def test_a_damaged_line_is_set_aside_or_raised_with_its_number(tmp_path):
    path = own_columns(truth(), tmp_path)
    path.write_text(path.read_text() + "1,2\n")
    log = RejectLog()
    assert len(read(path, rejects=log)) == 2
    assert log.summary() == {"the line has 2 fields, not 5": 1}
    with pytest.raises(DataError, match="the line has 2 fields, not 5"):
        read(path)


def test_flux_units_of_a_column_are_used(tmp_path):
    curves = truth("ugriz", ids=IDS[:1])
    table = Table.read(sncosmo_ecsv(curves, tmp_path))
    table.remove_columns(["zp", "zpsys"])
    table["name"] = "a"
    table["flux"], table["fluxerr"] = curves.flux / 1000, curves.flux_err / 1000
    table["flux"].unit = table["fluxerr"].unit = "uJy"
    table.write(tmp_path / "u.ecsv", format="ascii.ecsv")
    np.testing.assert_allclose(read(tmp_path / "u.ecsv").flux, curves.flux, rtol=1e-5)


def test_ids_keep_every_digit_from_every_container(tmp_path):
    columns = {
        "diaObjectId": pa.array(IDS),
        "midpointMjdTai": pa.array([60000.0, 60000.0]),
        "band": pa.array(["g", "g"]),
        "psfFlux": pa.array([1e3, 1e3]),
        "psfFluxErr": pa.array([1e2, 1e2]),
    }
    assert read(write_parquet(tmp_path / "x.parquet", columns)).object_id.tolist() == [
        str(one) for one in IDS
    ]


@pytest.mark.parametrize("container", ["ascii.ecsv", "fits", "votable"])
def test_units_of_columns_are_used_and_masked_integers_are_missing(tmp_path, container):
    table = Table(
        {
            "object_id": [7, 5, 7],
            "mjd": [60002.0, 60001.0, 60001.0],
            "band": ["g", "r", "u"],
            "flux": [0.1, 0.2, 0.3],
            "flux_err": [20e-6, 40e-6, 60e-6],
            "detected": MaskedColumn([1, 0, 1], mask=[False, False, True]),
        },
        units={"flux": "uJy", "flux_err": "mJy"},
    )
    table.write(tmp_path / "x", format=container)
    log = RejectLog()
    curves = read(tmp_path / "x", rejects=log)
    np.testing.assert_allclose(curves.flux, [100.0, 200.0], rtol=1e-6)
    np.testing.assert_allclose(curves.flux_err, [20.0, 40.0], rtol=1e-6)
    assert log.summary() == {"the detection flag is neither true nor false": 1}


@pytest.mark.parametrize("mjd", ["mjd", "obsmjd"])
def test_object_values_that_are_no_numbers_are_counted_in_a_note(mjd, tmp_path):
    columns = {"object_id": ["a", "a"], mjd: [60000.0, 60001.0], "band": ["g", "r"], "flux": [900.0, 800.0]}
    columns |= {
        "flux_err": [50.0, 50.0],
        "redshift": ["0.1?", "0.1?"],
        "ebv": [1e9, 1e9],
        "redshift_spec": [0.1, 0.1],
    }
    log = RejectLog()
    curves = read(write_csv(tmp_path / "x.csv", columns), rejects=log)
    assert "redshift '0.1?' is no number and taken for unknown (2 such text(s))" in log.notes
    assert "ebv 1e+09 is taken for unknown (2 such value(s))" in log.notes
    assert np.isnan([curves.ebv[0], curves.redshift[0]]).all()
    assert curves.redshift_spec[0] == np.float32(0.1)


def test_json_objects_keep_their_values_and_lists_of_values_become_rows(tmp_path):
    rows = {"mjd": [60000.0, 60003.0], "band": ["g", "r"], "flux": [900.0, 2000.0], "flux_err": [60.0, 60.0]}
    records = [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
    stated = {"object_id": "007", "redshift": 0.25, "ra": 10.5, "dec": -3.0, "survey": "ztf"}
    for name, content in {"lists": [stated | rows], "records": [stated | {"lightcurve": records}]}.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        found = read(path)
        assert (found.object_id.tolist(), found.n_obs.tolist()) == (["007"], [2])
        np.testing.assert_allclose([found.redshift[0], found.ra[0], found.dec[0]], [0.25, 10.5, -3.0])
        assert found.survey.tolist() == ["ztf"]


def test_all_tables_of_a_fits_file_that_hold_light_curves_are_read_and_the_others_named(tmp_path):
    path = tmp_path / "a.fits"
    units = Table({"note": ["n"]})
    parts = [_rows_of(name) for name in ("a", "b")]
    hdus = [fits.BinTableHDU(table, name=f"T{k}") for k, table in enumerate([units, *parts])]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    said = []
    found = read(path, report=said.append)
    assert (found.object_id.tolist(), found.n_obs.tolist()) == (["a", "b"], [3, 3])
    assert "not read: table T0" in said[0]
    for table in parts:
        table.remove_column("object_id")
    hdus = [fits.BinTableHDU(table) for table in parts]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    with pytest.raises(DataError, match="no column of object names"):
        read(path)


def test_the_unit_of_the_time_is_used_and_vectors_are_named(tmp_path):
    table = _rows_of("a")
    days = np.array(table["mjd"])
    table["mjd"] = days * 86_400.0
    table["mjd"].unit = "s"
    table.write(tmp_path / "a.fits")
    np.testing.assert_allclose(read(tmp_path / "a.fits").mjd, days)
    wide = Table(
        {
            "object_id": ["a"],
            **{name: np.array([_rows_of("a")[name].tolist()]) for name in table.colnames[1:]},
        }
    )
    wide.write(tmp_path / "wide.fits")
    with pytest.raises(MissingColumnError, match="mjd, band, flux, flux_err have several values per row"):
        read(tmp_path / "wide.fits")


def _rows_of(name):
    return Table(
        {
            "object_id": [name] * 3,
            "mjd": [60000.0, 60001.0, 60002.5],
            "band": ["g", "r", "i"],
            "flux": [900.0, 2000.0, 100.0],
            "flux_err": [60.0, 60.0, 60.0],
        }
    )


def test_a_table_of_ipac_with_our_names_is_read(tmp_path):
    _rows_of("a").write(tmp_path / "a.tbl", format="ascii.ipac")
    assert read(tmp_path / "a.tbl").n_obs.tolist() == [3]


def test_a_column_of_julian_dates_without_any_is_refused_unless_it_is_named(tmp_path):
    table = _rows_of("a").to_pandas().rename(columns={"mjd": "JD"})
    path = tmp_path / "a.csv"
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match="column 'JD' has no Julian dates"):
        read(path)
    np.testing.assert_allclose(read(path, columns="mjd=JD").mjd, table["JD"])
    table.assign(JD=table["JD"] + 2_400_000.5).to_csv(path, index=False)
    np.testing.assert_allclose(read(path).mjd, table["JD"])


def test_tables_beside_the_parquet_files_of_a_folder_are_named(tmp_path):
    _rows_of("a").to_pandas().to_parquet(tmp_path / "a.parquet")
    _rows_of("b").to_pandas().to_csv(tmp_path / "b.csv", index=False)
    said = []
    assert read(tmp_path, report=said.append).object_id.tolist() == ["a"]
    assert "not read: b.csv" in said[0]
