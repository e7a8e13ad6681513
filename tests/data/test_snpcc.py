"""The supernovae of another survey: both of its layouts, and faults in them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.data import RejectLog, read, read_snpcc
from firstlight.data.snpcc import PHOTO_Z_ERR, read_snpcc_curves
from firstlight.errors import DataError, MissingColumnError, UnknownClassError

UNIT = 10 ** (0.4 * (31.4 - 27.5))  # nJy
TYPES = ("Ia", "II", "IIn", "IIP", "IIL", "Ib", "Ic", "Ibc")
CLASSES = ("SNIa", "SNII", "SNII", "SNII", "SNII", "SNIbc", "SNIbc", "SNIbc")
CODES = (1, 22, 21, 22, 23, 32, 33, 3)


def tables(n_objects=8, n_obs=6, seed=0):
    """Light curves and metadata as in the public Parquet files."""
    rng = np.random.default_rng(seed)
    snid = rng.choice(np.arange(10, 900_000), n_objects, replace=False)
    rows = pd.DataFrame(
        {
            "snid": np.repeat(snid, n_obs).astype(np.int32),
            "mjd": np.tile(56_200.0 + np.arange(n_obs), n_objects),
            "band": np.tile(list("griz") * n_obs, n_objects)[: n_objects * n_obs],
            "fluxcal": rng.normal(20.0, 10.0, n_objects * n_obs).astype(np.float32),
            "fluxcalerr": rng.uniform(1.0, 5.0, n_objects * n_obs).astype(np.float32),
        }
    )
    k = np.arange(n_objects)
    typed = k % 2 == 0
    objects = pd.DataFrame(
        {
            "snid": snid,
            "sntype": np.where(typed, np.array(CODES)[k % 8], -9),
            "sim_type": np.array(TYPES)[k % 8],
            "sim_z": rng.uniform(0.1, 1.0, n_objects),
            "host_photoz": rng.uniform(0.1, 1.0, n_objects),
            "z_spec": np.where(typed, 0.5, -9.0),
            "mwebv": 0.01 + 0.01 * k,
            "sim_peakmjd": np.full(n_objects, 56_203.0),
        }
    )
    return rows, objects


def write(folder, rows, objects):
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(folder / "snpcc_lightcurves.parquet", index=False)
    objects.to_parquet(folder / "snpcc_metadata.parquet", index=False)
    return folder


def write_texts(folder, rows, objects):
    """The same as the original's text files."""
    folder.mkdir()
    for one in objects.itertuples():
        lines = [
            "SURVEY: DES",
            f"SNID:   {one.snid}",
            f"SNTYPE:  {one.sntype}",
            f"MWEBV:   {one.mwebv:.6f}    MW E(B-V)",
            f"REDSHIFT_SPEC:    {one.z_spec:.5f} +- 9.00000",
            "",
            f"HOST_GALAXY_PHOTO-Z:   {one.host_photoz:.12f}  +- 0.0468",
            f"SIM_COMMENT:  SN Type = {one.sim_type} , MODEL = SDSS-017862",
            f"SIM_REDSHIFT:  {one.sim_z:.4f}",
            "NVAR: 9",
            "VARLIST:  MJD  FLT FIELD   FLUXCAL   FLUXCALERR   SNR    MAG     MAGERR  SIM_MAG",
        ]
        for row in rows[rows.snid == one.snid].itertuples():
            lines.append(
                f"OBS:  {row.mjd:.3f}  {row.band} NULL  {row.fluxcal:.9e}   {row.fluxcalerr:.9e}   "
                "1.0  99.000    5.000   99.055"
            )
            if row.mjd == 56_202.0:
                lines.append("DETECTION:  6 MJDs satisfy g+r+i+z")
        lines.append("END:")
        (folder / f"DES_SN{one.snid:06d}.DAT").write_text("\n".join(lines) + "\n")
    return folder


@settings(max_examples=25)
@given(
    cells=st.lists(
        st.tuples(
            st.integers(1, 4),  # object
            st.sampled_from("griz"),
            st.floats(-1e4, 1e5, width=32),
            st.floats(0.125, 100.0, width=32),
        ),
        min_size=1,
        max_size=25,
    )
)
def test_fluxes_are_converted_once_and_rows_keep_their_order(cells, tmp_path_factory):
    rows = pd.DataFrame(cells, columns=["snid", "band", "fluxcal", "fluxcalerr"])
    rows["mjd"] = 56_200.0 + np.arange(len(rows))
    _, objects = tables(4)
    objects["snid"] = [1, 2, 3, 4]
    objects = objects[objects.snid.isin(rows.snid)]
    survey = read_snpcc(write(tmp_path_factory.mktemp("snpcc"), rows, objects))
    curves = survey.curves
    assert curves.object_id.tolist() == [str(name) for name in pd.unique(rows.snid)]
    for curve in curves:
        mine = rows[rows.snid == int(curve.object_id)]
        np.testing.assert_array_equal(curve.mjd, mine.mjd)
        # As float32 holds it: the tiniest fluxes have fewer digits than the tolerance asks for.
        np.testing.assert_allclose(curve.flux, (mine.fluxcal * UNIT).astype(np.float32), rtol=1e-6)
        np.testing.assert_allclose(curve.flux_err, mine.fluxcalerr * UNIT, rtol=1e-6)
        assert ["ugrizy"[k] for k in curve.band] == mine.band.tolist()
        np.testing.assert_array_equal(curve.detected, np.abs(mine.fluxcal) > 5 * mine.fluxcalerr)


def test_types_become_classes_and_spectra_are_known_by_their_code(tmp_path):
    survey = read_snpcc(write(tmp_path, *tables()))
    assert survey.labels.tolist() == list(CLASSES)
    assert survey.spectroscopic.tolist() == [True, False] * 4
    assert len(survey) == 8


def test_fluxes_are_raw_and_unknown_redshifts_unknown(tmp_path):
    rows, objects = tables()
    objects.loc[1, "host_photoz"] = -9.0
    curves = read_snpcc(write(tmp_path, rows, objects)).curves
    assert not curves.dereddened
    np.testing.assert_allclose(curves.ebv, objects.mwebv, rtol=1e-6)
    assert np.isnan(curves.redshift[1])
    assert np.isnan(curves.redshift_err[1])
    assert curves.redshift_err[0] == pytest.approx(PHOTO_Z_ERR)
    np.testing.assert_array_equal(np.isnan(curves.redshift_spec), [False, True] * 4)


def test_the_answer_key_reaches_no_light_curve(tmp_path):
    rows, objects = tables()
    one = read_snpcc(write(tmp_path / "a", rows, objects)).curves
    objects["sim_z"], objects["sim_peakmjd"], objects["sim_type"] = 9.0, 0.0, "Ia"
    assert read_snpcc(write(tmp_path / "b", rows, objects)).curves.fingerprint == one.fingerprint


def test_rows_without_a_valid_error_are_named_and_set_aside(tmp_path):
    rows, objects = tables()
    rows.loc[7, ["fluxcal", "fluxcalerr"]] = -9.0
    folder = write(tmp_path, rows, objects)
    name = str(rows.snid[7])
    with pytest.raises(DataError, match=rf"lightcurves.parquet, row 7, object '{name}': the flux error"):
        read_snpcc(folder)
    log = RejectLog()
    survey = read_snpcc(folder, log)
    assert [(reject.object_id, reject.row) for reject in log] == [(name, 7)]
    assert survey.curves.n_obs.tolist() == [6, 5, 6, 6, 6, 6, 6, 6]


def test_objects_on_one_side_only_are_named(tmp_path):
    rows, objects = tables()
    with pytest.raises(DataError, match="not in the metadata"):
        read_snpcc(write(tmp_path / "a", rows, objects.iloc[1:]))
    with pytest.raises(DataError, match="no observations"):
        read_snpcc(write(tmp_path / "b", rows[rows.snid != objects.snid[0]], objects))
    log = RejectLog()
    survey = read_snpcc(tmp_path / "a", log)
    assert len(survey) == 7
    assert survey.labels.tolist() == list(CLASSES[1:])
    assert [reject.object_id for reject in log] == [str(objects.snid[0])]


def test_an_object_described_twice_is_named(tmp_path):
    rows, objects = tables()
    with pytest.raises(DataError, match=r"row 8, object .* earlier row in the metadata"):
        read_snpcc(write(tmp_path, rows, pd.concat([objects, objects.iloc[:1]])))


def test_an_unknown_type_or_a_missing_column_is_named(tmp_path):
    rows, objects = tables()
    with pytest.raises(MissingColumnError, match="mwebv"):
        read_snpcc(write(tmp_path, rows, objects.drop(columns="mwebv")))
    objects.loc[0, "sim_type"] = "kilonova"
    with pytest.raises(UnknownClassError, match="kilonova"):
        read_snpcc(write(tmp_path, rows, objects))


def test_a_folder_of_something_else_says_where_the_data_are(tmp_path):
    with pytest.raises(DataError, match=r"SIMGEN_PUBLIC_DES.tar.gz \(doi:10.5281/zenodo.13883296"):
        read_snpcc(tmp_path)
    (tmp_path / "snpcc_lightcurves.parquet").write_bytes(b"PAR1 but no more")
    (tmp_path / "snpcc_metadata.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_snpcc(tmp_path)


def test_the_original_text_files_give_the_same(tmp_path):
    rows, objects = tables(n_objects=9, seed=3)
    objects = objects.sort_values("snid")  # the order of the file names
    rows = rows.sort_values(["snid", "mjd"])
    parquet = read_snpcc(write(tmp_path / "parquet", rows, objects))
    text = read_snpcc(write_texts(tmp_path / "text", rows, objects))
    assert text.labels.tolist() == parquet.labels.tolist()
    assert text.spectroscopic.tolist() == parquet.spectroscopic.tolist()
    np.testing.assert_allclose(text.curves.redshift_err, 0.0468, rtol=1e-6)
    same = text.curves.with_columns(redshift_err=parquet.curves.redshift_err)
    assert same.fingerprint == parquet.curves.fingerprint


@pytest.mark.parametrize("cut", [3, 8, 13, 16])
def test_a_text_file_cut_short_is_refused_with_its_name(tmp_path, cut):
    folder = write_texts(tmp_path / "text", *tables(n_objects=2))
    path = sorted(folder.glob("*.DAT"))[1]
    path.write_text("\n".join(path.read_text().splitlines()[:cut]))
    with pytest.raises(DataError, match=path.name):
        read_snpcc(folder)


def test_a_word_that_is_no_number_in_a_text_file_names_object_and_line(tmp_path):
    folder = write_texts(tmp_path / "text", *tables(n_objects=1))
    path = next(folder.glob("*.DAT"))
    lines = path.read_text().splitlines()
    words = lines[12].split()
    words[4] = "nonsense"
    lines[12] = " ".join(words)
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"row 13, object .*the flux is not a finite number"):
        read_snpcc(folder)


def test_read_knows_the_parquet_layout_by_its_columns(tmp_path):
    folder = write(tmp_path, *tables())
    light_curves, metadata = folder / "snpcc_lightcurves.parquet", folder / "snpcc_metadata.parquet"
    expected = read_snpcc(folder).curves
    assert read(light_curves, metadata).fingerprint == expected.fingerprint
    bare = read(light_curves)
    assert np.isnan(bare.redshift).all()
    np.testing.assert_array_equal(bare.flux, expected.flux)
    np.testing.assert_allclose(read(light_curves, zero_point=31.4).flux * UNIT, bare.flux, rtol=1e-6)
    assert read_snpcc_curves(light_curves, dereddened=True).dereddened
