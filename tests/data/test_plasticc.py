"""PLAsTiCC files, whole or broken."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests._make import assert_same_curves

from firstlight.bands import flux_to_njy
from firstlight.data import RejectLog, delimited, iter_plasticc, read_plasticc
from firstlight.data.text import is_light_curves, read_metadata
from firstlight.errors import DataError, MissingColumnError, UnknownBandError
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS

TRUTH = ("target", "true_", "tflux_", "libid_cadence", "distmod", "ddf")


def columns_of(curves):
    return {
        name: getattr(curves, name)
        for name in ("object_id", "offsets", *OBSERVATION_COLUMNS, *OBJECT_COLUMNS)
    }


@pytest.fixture
def tables(sample_paths):
    return pd.read_csv(sample_paths.light_curves), pd.read_csv(sample_paths.metadata)


@pytest.fixture
def metadata(tmp_path):
    """Write a metadata file for the two objects of `csv`: ``metadata(*rows)``."""

    def write(*rows, header="object_id,ra,decl,mwebv,hostgal_photoz,hostgal_photoz_err,hostgal_specz"):
        path = tmp_path / "metadata.csv"
        rows = rows or ("615,349.0,-61.9,0.017,0.0,0.0,0.0", "713,53.0,-27.7,0.007,1.627,0.255,-9.0")
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return write


# --- right files ------------------------------------------------------------------


def test_the_sample_is_read_as_pandas_reads_it(sample, sample_paths):
    curves = read_plasticc(*sample_paths)
    assert_same_curves(curves, sample)
    assert curves.dereddened


@pytest.mark.parametrize("spelling", ["kaggle", "zenodo"])
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_both_spellings_gzipped_or_not_give_the_same(tables, sample, tmp_path, spelling, ending):
    rows, objects = tables
    if spelling == "zenodo":
        rows = rows.rename(columns={"detected": "detected_bool"})
        objects = objects.rename(columns={"ddf": "ddf_bool"})
    rows.to_csv(tmp_path / f"rows.{ending}", index=False)
    objects.to_csv(tmp_path / f"objects.{ending}", index=False)
    assert_same_curves(read_plasticc(tmp_path / f"rows.{ending}", tmp_path / f"objects.{ending}"), sample)


def test_bands_may_be_letters_and_the_order_of_columns_is_free(tables, sample, sample_paths, tmp_path):
    rows = tables[0].assign(passband=np.array(list("ugrizy"))[tables[0]["passband"]])
    rows[rows.columns[::-1]].to_csv(tmp_path / "rows.csv", index=False)
    assert_same_curves(read_plasticc(tmp_path / "rows.csv", sample_paths.metadata), sample)


def test_shuffled_rows_are_sorted(tables, sample, sample_paths, tmp_path):
    shuffled = tables[0].sample(frac=1.0, random_state=3)
    shuffled.to_csv(tmp_path / "rows.csv", index=False)
    curves = read_plasticc(tmp_path / "rows.csv", sample_paths.metadata)
    order = [curves.object_id.tolist().index(name) for name in sample.object_id.tolist()]
    assert_same_curves(curves.take(order), sample)


def test_without_metadata_positions_and_redshifts_are_unknown(csv):
    curves = read_plasticc(csv())
    assert curves.object_id.tolist() == ["615", "713"]
    assert curves.n_obs.tolist() == [3, 2]
    assert curves.detected.tolist() == [True, True, False, False, False]
    assert all(np.isnan(getattr(curves, name)).all() for name in OBJECT_COLUMNS)
    assert curves.flux[0] == pytest.approx(-544.8 * 36.3078, rel=1e-5)


def test_metadata_find_their_objects_and_minus_nine_means_unknown(csv, metadata):
    curves = read_plasticc(csv(), metadata())
    np.testing.assert_allclose(curves.redshift, [0.0, 1.627], rtol=1e-6)
    np.testing.assert_array_equal(curves.redshift_spec, [0.0, np.nan])
    np.testing.assert_allclose(curves.dec, [-61.9, -27.7])


def test_a_negative_photo_z_hides_its_error(csv, metadata):
    rows = ("615,1,2,0.1,-9.0,-9.0,0.3", "713,1,2,0.1,0.5,0.1,0.3")
    curves = read_plasticc(csv(), metadata(*rows))
    np.testing.assert_array_equal(np.isnan(curves.redshift), [True, False])
    np.testing.assert_array_equal(np.isnan(curves.redshift_err), [True, False])
    np.testing.assert_array_equal(np.isnan(curves.redshift_spec), [False, False])


def test_padded_metadata_are_read_as_the_wheel_has_them(csv, metadata):
    curves = read_plasticc(
        csv(), metadata("      615, 349.0, -61.9, 0.017, 0.0, 0.0, 0.0", "   713,1,2,3,4,5,6")
    )
    assert curves.ra.tolist() == [349.0, 1.0]


def test_without_a_spectroscopic_column_it_is_unknown(csv, metadata):
    header = "object_id,ra,decl,mwebv,hostgal_photoz,hostgal_photoz_err"
    curves = read_plasticc(csv(), metadata("615,1,2,3,4,5", "713,1,2,3,4,5", header=header))
    assert np.isnan(curves.redshift_spec).all()


def test_without_flags_five_sigma_is_a_detection(csv):
    rows = ("1,1.0,0,5.1,1.0", "1,2.0,0,4.9,1.0")
    curves = read_plasticc(csv(*rows, header="object_id,mjd,passband,flux,flux_err"))
    assert curves.detected.tolist() == [True, False]


def test_names_may_be_texts(csv):
    curves = read_plasticc(csv("ZTF18abc,1.0,0,5.1,1.0,1", "ZTF18abd,1.0,0,5.1,1.0,True"))
    assert curves.object_id.tolist() == ["ZTF18abc", "ZTF18abd"]
    assert curves.detected.all()


# --- no leak -------------------------------------------------------------------------


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_truth_can_enter_whatever_it_says(seed, tmp_path_factory, sample_paths):
    rng = np.random.default_rng(seed)
    objects = pd.read_csv(sample_paths.metadata, dtype=str)
    for name in objects.columns:
        if name.startswith(TRUTH):
            objects[name] = rng.permutation(objects[name].to_numpy())
    objects["true_class"] = rng.integers(0, 99, len(objects))
    objects = objects[rng.permutation(objects.columns)]
    path = tmp_path_factory.mktemp("law2") / "metadata.csv"
    objects.to_csv(path, index=False)
    known = read_metadata(sample_paths.metadata)
    moved = read_metadata(path)
    assert known.names.tobytes() == moved.names.tobytes()
    assert known.columns.keys() == moved.columns.keys()
    for name, column in known.columns.items():
        assert column.tobytes() == moved.columns[name].tobytes(), name


def test_light_curves_are_byte_identical_when_the_truth_is_moved_around(sample_paths, tmp_path):
    objects = pd.read_csv(sample_paths.metadata)
    truth = [name for name in objects.columns if name.startswith(TRUTH)]
    assert len(truth) > 15
    objects[truth] = objects[truth].to_numpy()[::-1]
    objects.to_csv(tmp_path / "moved.csv", index=False)
    moved = read_plasticc(sample_paths.light_curves, tmp_path / "moved.csv")
    for name, column in columns_of(read_plasticc(*sample_paths)).items():
        assert column.tobytes() == columns_of(moved)[name].tobytes(), name


def test_truth_in_the_light_curve_file_is_not_read(csv):
    rows = ("1,1.0,0,5.1,1.0,1,90", "2,2.0,0,4.9,1.0,1,42")
    with_truth = read_plasticc(csv(*rows, header="object_id,mjd,passband,flux,flux_err,detected,target"))
    assert_same_curves(with_truth, read_plasticc(csv(*(row[:-3] for row in rows))))


# --- wrong files ------------------------------------------------------------------------

#: A broken row, its reason, and the error without a reject log.
BROKEN = {
    "NaN flux": ("615,59753.4,2,nan,3.6,1", "the flux is not a finite number", DataError),
    "no flux": ("615,59753.4,2,,3.6,1", "the flux is not a finite number", DataError),
    "text flux": ("615,59753.4,2,oops,3.6,1", "the flux is not a finite number", DataError),
    "infinite flux": ("615,59753.4,2,1e39,3.6,1", "the flux is not a finite number", DataError),
    "NaN time": ("615,nan,2,1.0,3.6,1", "the time is not a finite number", DataError),
    "NaN error": ("615,59753.4,2,1.0,nan,1", "the flux error is not a positive finite number", DataError),
    "zero error": ("615,59753.4,2,1.0,0.0,1", "the flux error is not a positive finite number", DataError),
    "negative error": (
        "615,59753.4,2,1.0,-3.6,1",
        "the flux error is not a positive finite number",
        DataError,
    ),
    "unknown band": ("615,59753.4,6,1.0,3.6,1", "the band is none of u, g, r, i, z, y", UnknownBandError),
    "strange band": ("615,59753.4,Q,1.0,3.6,1", "the band is none of u, g, r, i, z, y", UnknownBandError),
    "no flag": ("615,59753.4,2,1.0,3.6,", "the detection flag is neither true nor false", DataError),
    "a repeated row": ("615,59752.4,3,-471.4,3.8,0", "the row repeats another one exactly", DataError),
    "two values": (
        "615,59752.4,3,-470.0,3.8,0",
        "another row of the same object, time and band measures it better",
        DataError,
    ),
    "too few fields": ("615,59753.4,2", "the line has 3 fields, not 6", DataError),
    "too many fields": ("615,59753.4,2,1.0,3.6,1,1", "the line has 7 fields, not 6", DataError),
}


@pytest.mark.parametrize(("row", "reason", "kind"), BROKEN.values(), ids=BROKEN)
def test_a_broken_row_is_set_aside_and_the_rest_goes_through(csv, row, reason, kind):
    good = read_plasticc(csv())
    lines = csv().read_text().splitlines()[1:]
    path = csv(*lines[:3], row, *lines[3:])
    log = RejectLog()
    assert_same_curves(read_plasticc(path, rejects=log), good)
    assert [(r.object_id, r.reason, r.file, r.row) for r in log] == [("615", reason, str(path), 5)]


@pytest.mark.parametrize(("row", "reason", "kind"), BROKEN.values(), ids=BROKEN)
def test_a_broken_row_is_one_clear_error_without_a_log(csv, row, reason, kind):
    lines = csv().read_text().splitlines()[1:]
    path = csv(*lines[:3], row, *lines[3:])
    with pytest.raises(kind, match=rf"curves.csv, row 5, object '615': {reason}.*rejects="):
        read_plasticc(path)


def test_a_row_without_a_name_is_set_aside(csv):
    log = RejectLog()
    curves = read_plasticc(csv("1,1.0,0,5.1,1.0,1", ",2.0,0,5.1,1.0,1"), rejects=log)
    assert curves.n_obs.tolist() == [1]
    assert [(r.reason, r.row) for r in log] == [("the row names no object", 3)]


def test_an_object_of_bad_rows_alone_is_set_aside_too(csv):
    log = RejectLog()
    curves = read_plasticc(csv("1,1.0,0,5.1,1.0,1", "2,2.0,0,nan,1.0,1"), rejects=log)
    assert curves.object_id.tolist() == ["1"]
    assert [(r.object_id, r.row) for r in log] == [("2", 3), ("2", None)]
    assert "none of the object's observations can be used" in log.summary()


def test_an_object_without_metadata_is_set_aside_or_refused(csv, metadata):
    meta = metadata("615,1,2,3,4,5,6")
    log = RejectLog()
    assert read_plasticc(csv(), meta, rejects=log).object_id.tolist() == ["615"]
    assert [(r.object_id, r.row) for r in log] == [("713", None)]
    with pytest.raises(DataError, match=r"curves.csv, object '713': the object is not in the metadata"):
        read_plasticc(csv(), meta)


def test_an_object_without_observations_is_set_aside_or_refused(csv, metadata):
    meta = metadata("615,1,2,3,4,5,6", "713,1,2,3,4,5,6", "900,1,2,3,4,5,6")
    log = RejectLog()
    assert len(read_plasticc(csv(), meta, rejects=log)) == 2
    assert [(r.object_id, r.reason, r.file, r.row) for r in log] == [
        ("900", "the object has no observations", str(meta), 4)
    ]
    with pytest.raises(DataError, match=r"metadata.csv, row 4, object '900': .*give the light-curve file"):
        read_plasticc(csv(), meta)
    assert len(read_plasticc(csv(), meta, partial=True)) == 2


def test_a_second_metadata_row_of_an_object_may_add_values_but_not_differ(metadata):
    assert read_metadata(metadata("615,1,2,3,4,5,6", "615,1,2,,,,")).columns["ebv"].tolist() == [3.0]
    meta = metadata("615,1,2,3,4,5,6", "615,9,9,9,9,9,9", "713,1,2,3,4,5,6")
    log = RejectLog()
    assert read_metadata(meta, log).names.tolist() == ["713"]
    assert [(r.object_id, r.reason) for r in log] == [("615", "the object has several values of ra")]
    with pytest.raises(DataError, match="object '615': the object has several values of ra"):
        read_metadata(meta)


def test_an_object_of_two_redshifts_is_set_aside_once_with_its_rows(csv, metadata):
    meta = metadata("615,1,2,3,4,5,6", "615,1,2,3,9,5,6", "713,1,2,3,4,5,6")
    log = RejectLog()
    assert read_plasticc(csv(), meta, rejects=log).object_id.tolist() == ["713"]
    assert log.summary() == {"the object has several values of redshift": 1}


def test_metadata_without_a_name_are_set_aside(metadata):
    log = RejectLog()
    objects = read_metadata(metadata(",1,2,3,4,5,6", "615,1,2,3,4,5,6", "x,1"), log)
    assert objects.names.tolist() == ["615"]
    assert [r.row for r in log] == [4, 2]


@pytest.mark.parametrize("name", ["object_id", "mjd", "passband", "flux", "flux_err"])
def test_a_missing_column_is_named_with_the_file_and_its_columns(csv, name):
    header = "object_id,mjd,passband,flux,flux_err,detected".replace(name, "other")
    if name == "flux":
        header = "object_id,mjd,passband,other,flux_err,detected"
    spelling = "band or passband" if name == "passband" else name
    with pytest.raises(MissingColumnError, match=rf"curves.csv: column\(s\) {spelling} missing; .*other"):
        read_plasticc(csv(header=header))


def test_metadata_need_names_and_any_of_the_other_columns(metadata, csv):
    meta = metadata("615,1.5", "713,2.5", header="object_id,redshift")
    assert read_plasticc(csv(), meta).redshift.tolist() == [1.5, 2.5]
    with pytest.raises(MissingColumnError, match=r"metadata.csv: column\(s\) object_id missing"):
        read_plasticc(csv(), metadata("1,2", header="id,ra"))
    with pytest.raises(MissingColumnError, match=r"metadata.csv: column\(s\) ra or dec or decl or ebv"):
        read_plasticc(csv(), metadata("1,2", header="object_id,target"))


def test_a_truncated_last_line_is_set_aside(csv):
    path = csv(end="\n713,59827.2,1,-8.")
    log = RejectLog()
    assert_same_curves(read_plasticc(path, rejects=log), read_plasticc(csv(name="whole.csv")))
    assert [(r.object_id, r.row) for r in log] == [("713", 7)]


def test_a_truncated_gzip_gives_its_whole_rows_and_the_place_where_it_ends(sample, sample_paths, tmp_path):
    data = sample_paths.light_curves.read_bytes()
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(data[: len(data) // 2])
    log = RejectLog()
    curves = read_plasticc(path, sample_paths.metadata, rejects=log)
    assert 80 < len(curves) < 120
    n = len(curves) - 1
    assert_same_curves(curves.take(np.arange(n)), sample.take(np.arange(n)))
    ends = [r for r in log if "end early" in r.reason]
    assert [r.object_id for r in ends] == [curves.object_id[-1]]
    assert {r.reason for r in log} - {ends[0].reason, "the object has no observations"} <= {
        f"the line has {k} fields, not 6" for k in range(1, 6)
    }


def test_a_truncated_gzip_is_one_clear_error_without_a_log(sample_paths, tmp_path):
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(sample_paths.light_curves.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"cut.csv.gz.*(fields, not 6|compressed data end early)"):
        read_plasticc(path)


def test_a_header_alone_is_refused(csv):
    path = csv()
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(DataError, match="the file has no observations"):
        read_plasticc(path)
    log = RejectLog()
    assert len(read_plasticc(path, rejects=log)) == 0
    assert list(iter_plasticc(path, rejects=log)) == []
    assert log.summary() == {"the file has no observations": 2}


@pytest.mark.parametrize("zero_point", [31.4, 23.9])
def test_a_wrong_zero_point_is_noticed_by_the_depth_of_the_survey(sample_paths, zero_point):
    with pytest.raises(DataError, match=rf"with zero point {zero_point:g} mag .*27.5"):
        read_plasticc(*sample_paths, zero_point=zero_point)


def test_nanojansky_taken_for_plasticc_units_are_noticed(tables, sample_paths, tmp_path):
    rows = tables[0]
    rows[["flux", "flux_err"]] = flux_to_njy(rows[["flux", "flux_err"]], 27.5)
    rows.to_csv(tmp_path / "njy.csv", index=False)
    with pytest.raises(DataError, match=r"fluxes in nJy have 31.4"):
        read_plasticc(tmp_path / "njy.csv", sample_paths.metadata)
    curves = read_plasticc(tmp_path / "njy.csv", sample_paths.metadata, zero_point=31.4)
    assert len(curves) == 202


@pytest.mark.parametrize("zero_point", [-2.5, np.nan])
def test_an_impossible_zero_point_is_refused(csv, zero_point):
    with pytest.raises(DataError, match="not an AB zero point"):
        read_plasticc(csv(), zero_point=zero_point)


@given(data=st.data())
def test_nothing_is_lost_and_nothing_bad_passes(data, tmp_path_factory):
    """Every row is either in the light curves or in the log."""
    pick = st.sampled_from(["a,{},2,1.0,1.0,0", "b,{},3,1.0,1.0,1", *(row for row, _, _ in BROKEN.values())])
    rows = [row.format(60000 + i) for i, row in enumerate(data.draw(st.lists(pick, min_size=1, max_size=25)))]
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_text("\n".join(["object_id,mjd,passband,flux,flux_err,detected", *rows]) + "\n")
    log = RejectLog()
    curves = read_plasticc(path, rejects=log)
    rejected = [r.row for r in log if r.row is not None]
    assert len(rejected) == len(set(rejected))
    assert len(rejected) + len(curves.mjd) == len(rows)


# --- chunks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_objects", [1, 7, 101, 202, 500])
def test_chunks_of_whole_objects_join_to_the_whole(sample, sample_paths, chunk_objects, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK", 50_000)
    parts = list(iter_plasticc(*sample_paths, chunk_objects=chunk_objects))
    assert [len(part) for part in parts[:-1]] == [chunk_objects] * (len(parts) - 1)
    assert_same_curves(LightCurves.concatenate(parts), sample)


def test_chunks_are_read_on_request(sample_paths, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK", 50_000)
    met = []
    batches = delimited.Delimited.batches

    def counted(self):
        for batch in batches(self):
            met.append(len(batch[1]))
            yield batch

    monkeypatch.setattr(delimited.Delimited, "batches", counted)
    next(iter_plasticc(sample_paths.light_curves, chunk_objects=5))
    assert sum(met) < 28_609 / 2


def test_an_object_that_comes_again_in_a_later_chunk_is_set_aside(csv, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK", 128)
    rows = [f"{name},{60000 + i},2,1.0,1.0,0" for i, name in enumerate("aabbccddeeffa")]
    log = RejectLog()
    parts = list(iter_plasticc(csv(*rows), chunk_objects=2, rejects=log))
    assert [name for part in parts for name in part.object_id.tolist()] == list("abcdef")
    assert [(r.object_id, r.reason) for r in log] == [("a", "the object appears again after others")]
    with pytest.raises(DataError, match=r"object 'a': the object appears again.*sort the file"):
        list(iter_plasticc(csv(*rows), chunk_objects=2))


def test_objects_without_observations_are_reported_after_the_last_chunk(csv, metadata):
    meta = metadata("615,1,2,3,4,5,6", "713,1,2,3,4,5,6", "900,1,2,3,4,5,6")
    log = RejectLog()
    assert len(list(iter_plasticc(csv(), meta, chunk_objects=1, rejects=log))) == 2
    assert [r.object_id for r in log] == ["900"]
    with pytest.raises(DataError, match="object '900'"):
        list(iter_plasticc(csv(), meta, chunk_objects=1))


def test_a_chunk_holds_at_least_one_object(csv):
    with pytest.raises(DataError, match="at least one object"):
        next(iter_plasticc(csv(), chunk_objects=0))


def test_metadata_that_were_read_once_serve_many_files(csv, metadata):
    objects = read_metadata(metadata())
    first = read_plasticc(csv("615,59750.4,2,-544.8,3.6,1", name="1.csv"), objects, partial=True)
    second = read_plasticc(csv("713,59750.4,2,-544.8,3.6,1", name="2.csv"), objects, partial=True)
    assert first.redshift[0] == 0.0
    assert second.redshift[0] == pytest.approx(1.627)
    objects.refuse_unmet()


def test_a_light_curve_header_is_known_from_a_metadata_header():
    assert is_light_curves(["object_id", "mjd", "passband", "flux", "flux_err", "detected_bool"])
    assert is_light_curves(["object_id", "mjd", "passband", "flux"])
    assert not is_light_curves(["object_id", "ra", "decl", "mwebv", "target"])


def test_a_gzip_is_recognised_by_content_not_by_name(csv):
    path = csv(zipped=True)
    assert gzip.decompress(path.read_bytes())
    assert len(read_plasticc(path)) == 2


def test_an_infinite_redshift_is_unknown(tmp_path):
    path = tmp_path / "metadata.csv"
    path.write_text("object_id,ra,decl,mwebv,hostgal_photoz,hostgal_photoz_err\n615,1,2,inf,inf,inf\n")
    objects = read_metadata(path)
    assert all(np.isnan(objects.columns[name]).all() for name in ("ebv", "redshift", "redshift_err"))
