"""Values of objects come from any container, any subset of them, under usual names or the user's own."""

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from tests.data.formats._samples import IDS, own_columns, truth, write_csv, write_parquet

from firstlight.data import RejectLog, read
from firstlight.errors import DataError, MissingColumnError
from firstlight.lightcurves.foreign.angles import degrees

COLUMNS = {"diaObjectId": list(IDS), "ra": [10.5, 20.5], "dec": [-3.25, 4.0], "mwebv": [0.02, -9.0]}


@pytest.mark.parametrize("container", ["csv", "parquet", "fits", "ecsv", "json"])
def test_metadata_are_read_from_each_container(container, tmp_path):
    path = tmp_path / f"meta.{container}"
    if container == "csv":
        write_csv(path, COLUMNS)
    elif container == "parquet":
        write_parquet(path, COLUMNS)
    elif container == "json":
        path.write_text(Table(COLUMNS).to_pandas().to_json(orient="records"))
    else:
        Table(COLUMNS).write(path, format="fits" if container == "fits" else "ascii.ecsv")
    curves = read(own_columns(truth(), tmp_path), path)
    np.testing.assert_allclose(curves.ra, COLUMNS["ra"])
    np.testing.assert_allclose(curves.dec, COLUMNS["dec"])
    np.testing.assert_allclose(curves.ebv, [0.02, np.nan], rtol=1e-6)
    assert np.isnan(curves.redshift).all()


@pytest.mark.parametrize("container", ["csv", "parquet"])
def test_a_value_that_is_no_number_is_unknown_and_reported(container, tmp_path):
    columns = {"object_id": list(IDS), "redshift": ["0.1 +- 0.02", "0.3"], "ebv": ["n/a", "0.02"]}
    write = write_csv if container == "csv" else write_parquet
    log = RejectLog()
    curves = read(own_columns(truth(), tmp_path), write(tmp_path / f"meta.{container}", columns), log)
    np.testing.assert_allclose(curves.redshift, [np.nan, 0.3], rtol=1e-6)
    np.testing.assert_allclose(curves.ebv, [np.nan, 0.02], rtol=1e-6)
    assert "redshift '0.1 +- 0.02' is no number and taken for unknown (1 such text(s))" in log.notes
    assert not any("ebv" in note for note in log.notes)


def test_any_subset_under_the_user_s_own_names_will_do(tmp_path):
    meta = write_csv(tmp_path / "meta.csv", {"star": list(IDS), "photoz": [0.3, 0.4]})
    light = own_columns(truth(), tmp_path)
    light.write_text(light.read_text().replace("object_id", "star", 1))
    curves = read(light, meta, columns="object_id=star,redshift=photoz")
    np.testing.assert_allclose(curves.redshift, [0.3, 0.4])


def test_positions_may_be_sexagesimal(tmp_path):
    columns = {"name": list(IDS), "ra": ["10:30:00", "0:00:00.6"], "dec": ["-00:30:00", "+89:59:59"]}
    curves = read(own_columns(truth(), tmp_path), write_csv(tmp_path / "meta.csv", columns))
    np.testing.assert_allclose(curves.ra, [157.5, 0.0025])
    np.testing.assert_allclose(curves.dec, [-0.5, 90 - 1 / 3600])


@pytest.mark.parametrize("separator", [":", " ", "fromunit"])
@given(ra=st.floats(0, 359.9), dec=st.floats(-89.9, 89.9))
def test_sexagesimal_angles_are_those_of_astropy(separator, ra, dec):
    from astropy import units as u
    from astropy.coordinates import Angle

    hours = Angle(ra, u.deg).to_string(unit=u.hourangle, sep=separator, precision=6)
    degree = Angle(dec, u.deg).to_string(unit=u.deg, sep=separator, precision=5)
    np.testing.assert_allclose(degrees([hours], hours=True), ra, atol=1e-7)
    np.testing.assert_allclose(degrees([degree], hours=False), dec, atol=1e-7)


def test_angles_that_are_none_are_unknown():
    given = ["10:61:00", "x", "", "10:00:99", "1:2:3:4", "12.5"]
    np.testing.assert_array_equal(degrees(given, hours=False), [np.nan] * 5 + [12.5])


def test_a_file_without_values_of_objects_is_refused(tmp_path):
    light = own_columns(truth(), tmp_path)
    with pytest.raises(MissingColumnError, match=r"no metadata of objects: column\(s\) ra, dec"):
        read(light, write_csv(tmp_path / "a.csv", {"object_id": list(IDS), "type": ["Ia", "II"]}))
    with pytest.raises(MissingColumnError, match=r"column\(s\) object_id missing"):
        read(light, write_csv(tmp_path / "b.csv", {"who": list(IDS), "ra": [1, 2]}))


def test_objects_that_the_metadata_lack_are_set_aside(tmp_path):
    meta = write_csv(tmp_path / "meta.csv", {name: values[:1] for name, values in COLUMNS.items()})
    log = RejectLog()
    assert len(read(own_columns(truth(), tmp_path), meta, rejects=log)) == 1
    assert log.summary() == {"the object is not in the metadata file": 1}
    with pytest.raises(DataError, match="not in the metadata file"):
        read(own_columns(truth(), tmp_path), meta)
