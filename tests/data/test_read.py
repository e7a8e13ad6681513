"""The layout of a file is recognised by its content."""

import gzip
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests._make import assert_same_curves

import firstlight.data
from firstlight.data import RejectLog, read, write_curves
from firstlight.errors import DataError, MissingColumnError, UnknownBandError


def test_plasticc_files_are_read_whatever_they_are_called(sample, sample_paths, tmp_path):
    assert_same_curves(read(*sample_paths), sample)
    plain = tmp_path / "no_ending"
    plain.write_bytes(gzip.decompress(sample_paths.light_curves.read_bytes()))
    assert_same_curves(read(str(plain), str(sample_paths.metadata)), sample)


def test_our_parquet_is_read_whatever_it_is_called(sample, tmp_path):
    write_curves(sample, tmp_path / "curves.csv")
    assert_same_curves(read(tmp_path / "curves.csv"), sample)


def test_a_folder_is_read_by_its_curves(sample, tmp_path):
    with pytest.raises(DataError, match=r"no light curves in this folder"):
        read(tmp_path)
    write_curves(sample, tmp_path / "curves.parquet")
    assert_same_curves(read(tmp_path), sample)


def test_a_folder_of_our_parts_is_read_whole_and_in_order(sample, tmp_path):
    for k, few in enumerate((sample[:90], sample[90:])):
        write_curves(few, tmp_path / f"part-{k}.parquet")
    (tmp_path / "_SUCCESS").write_text("")
    told = []
    assert_same_curves(read(tmp_path, report=told.append), sample)
    assert "Parquet" in told[0]
    write_curves(sample[:1], tmp_path / "part-3.parquet")
    with pytest.raises(DataError, match=str(sample.object_id[0])):  # in two parts
        read(tmp_path)


def test_the_zero_point_follows_the_format(csv):
    assert read(csv()).flux[0] == pytest.approx(-544.8 * 36.3078, rel=1e-5)
    assert read(csv("1,1.0,0,-544.8,100.0,1"), zero_point=31.4).flux[0] == pytest.approx(-544.8)


def test_rejects_go_to_the_log(csv):
    log = RejectLog()
    read(csv("1,1.0,0,nan,1.0,1", "1,2.0,0,1.0,1.0,1"), None, log)
    assert len(log) == 1


def test_metadata_may_describe_a_parquet(sample, sample_paths, tmp_path):
    bare = sample.with_redshift("none")
    write_curves(bare, tmp_path / "x.parquet")
    assert_same_curves(read(tmp_path / "x.parquet", sample_paths.metadata), sample)


def test_objects_of_a_parquet_without_metadata_are_set_aside(sample, sample_paths, tmp_path):
    write_curves(sample, tmp_path / "x.parquet")
    rows = pd.read_csv(sample_paths.metadata).iloc[5:]
    rows.to_csv(tmp_path / "m.csv", index=False)
    log = RejectLog()
    assert len(read(tmp_path / "x.parquet", tmp_path / "m.csv", log)) == 197
    assert log.summary() == {"the object is not in the metadata file": 5}
    with pytest.raises(DataError, match=r"m.csv, object '\d+': the object is not in the metadata"):
        read(tmp_path / "x.parquet", tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"SIMPLE  =                    T", "cannot be read as FITS"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"BZh91AY", "compressed data end early"),
        (b"\x00\x01\x02", "binary file of unknown kind"),
        (b"hello world\n", "not a light-curve file"),
        (b"object_id,ra,decl,mwebv,hostgal_photoz\n1,2,3,4,5\n", "not a light-curve file"),
        (b"\x1f\x8b\x08\x00broken", "end early|damaged"),
    ],
)
def test_other_files_are_refused_with_their_format(tmp_path, data, message):
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        read(path)


def test_an_archive_is_refused_with_a_remedy(tmp_path, sample_paths):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(sample_paths.metadata)
    with pytest.raises(DataError, match="zip archive; unpack it first"):
        read(tmp_path / "x.zip")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*No such file"):
        read(tmp_path / "none.csv")


def test_the_missing_columns_of_a_nearly_right_header_are_named(csv):
    header = "object_id,mjd,channel,flux,flux_err,detected"
    with pytest.raises(MissingColumnError, match=r"nothing like filter among its columns"):
        read(csv(header=header))


def test_a_csv_with_our_names_is_in_njy_and_not_dereddened(csv):
    rows = ("615,59750.4,g,-544.8,30.6,1", "615,59751.4,r,16.4,50.5,1")
    curves = read(csv(*rows, header="object_id,mjd,band,flux,flux_err,detected"))
    np.testing.assert_allclose(curves.flux, [-544.8, 16.4], rtol=1e-6)
    assert not curves.dereddened


def test_plasticc_is_dereddened_and_the_opposite_is_refused(csv):
    assert read(csv(), dereddened=True).dereddened
    with pytest.raises(DataError, match="leave dereddened out"):
        read(csv(), dereddened=False)


def test_the_package_exports_its_public_names():
    assert sorted(firstlight.data.__all__) == firstlight.data.__all__
    assert all(hasattr(firstlight.data, name) for name in firstlight.data.__all__)


def test_minus_signs_of_unicode_and_exponents_of_fortran_are_numbers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "object_id,mjd,band,flux,flux_err\na,60000,g,\u2212900.5,60\na,60001,r,1.5D+03,6.0d1\n",
        encoding="utf-8",
    )
    curves = read(path)
    assert curves.flux.tolist() == [-900.5, 1500.0]
    assert curves.flux_err.tolist() == [60.0, 60.0]


def test_numbers_of_bands_that_count_from_one_are_refused_whole(tmp_path):
    rows = "\n".join(f"a,{60000 + k},{k},900,60" for k in range(1, 7))
    path = tmp_path / "a.csv"
    path.write_text(f"object_id,mjd,band,flux,flux_err\n{rows}\n")
    with pytest.raises(UnknownBandError, match="numbers from 1 to 6"):
        read(path, rejects=RejectLog())


def test_a_column_that_occurs_twice_in_parquet_is_refused(tmp_path):
    columns = [["a"], [60000.0], ["g"], [900.0], [60.0], [0.0]]
    names = ["object_id", "mjd", "band", "flux", "flux_err", "flux"]
    pq.write_table(pa.table([pa.array(one) for one in columns], names=names), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="flux occur more than once"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_fluxes_that_magnitudes_beside_them_contradict_are_refused_with_our_names_too(ending, tmp_path):
    table = pd.DataFrame(
        {"object_id": "a", "mjd": [60000.0, 60001.0], "band": "g", "flux": [900.0, 950.0], "flux_err": 20.0}
    )
    path = tmp_path / f"a.{ending}"
    for zero_point in (31.4, 23.9):
        made = table.assign(mag=zero_point - 2.5 * np.log10(table["flux"]))
        if ending == "csv":
            made.to_csv(path, index=False)
        else:
            made.to_parquet(path)
        if zero_point == 31.4:
            assert read(path).flux.tolist() == [900.0, 950.0]
    with pytest.raises(DataError, match=r"zero point 23\.90"):
        read(path, rejects=RejectLog())
    assert read(path, zero_point=23.9).flux[0] == pytest.approx(9e5, rel=1e-6)


def test_a_row_of_units_below_the_header_is_not_passed_over(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("object_id,mjd,band,flux,flux_err\n-,d,-,uJy,uJy\na,60000,g,900,60\n")
    with pytest.raises(DataError, match="states the unit 'uJy'"):
        read(path, rejects=RejectLog())
    path.write_text("object_id,mjd,band,flux,flux_err\n-,d,-,nJy,nJy\na,60000,g,900,60\n")
    assert read(path, rejects=RejectLog()).flux.tolist() == [900.0]
