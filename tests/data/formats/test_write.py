"""Light curves written in another format are read as the same light curves."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests._make import assert_same_curves

from firstlight.data import read
from firstlight.data.formats.write import EXPORTS, format_of, write_format
from firstlight.errors import DataError, SettingsError
from firstlight.lightcurves import OBJECT_COLUMNS, LightCurves


@st.composite
def light_curves(draw, dereddened=None):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    counts = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    n, total = len(counts), sum(counts)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    known = rng.random((len(OBJECT_COLUMNS), n)) < 0.6
    redshift = np.where(known[3], rng.uniform(0, 2, n), np.nan)
    values = {
        "ra": np.where(known[0], rng.uniform(0, 360, n), np.nan),
        "dec": np.where(known[0], rng.uniform(-90, 90, n), np.nan),
        "ebv": np.where(known[2], rng.uniform(0, 1, n), np.nan).astype(np.float32),
        "redshift": redshift.astype(np.float32),
        "redshift_err": np.where(np.isnan(redshift), np.nan, rng.uniform(0, 0.2, n)).astype(np.float32),
        "redshift_spec": np.where(known[5], rng.uniform(0, 2, n), np.nan).astype(np.float32),
    }
    start = draw(st.sampled_from((0, 10**16)))
    return LightCurves(
        object_id=np.array([str(start + i) for i in range(n)]),
        offsets=offsets,
        mjd=np.concatenate([np.cumsum(rng.uniform(0.01, 5, count)) + 60000 for count in counts]),
        band=rng.integers(0, 6, total).astype(np.int8),
        flux=(rng.normal(0, 1, total) * 10 ** rng.uniform(0, 6, total)).astype(np.float32),
        flux_err=rng.uniform(100, 2000, total).astype(np.float32),
        detected=rng.random(total) < 0.5,
        dereddened=draw(st.booleans()) if dereddened is None else dereddened,
        **values,
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(st.sampled_from(sorted(EXPORTS)), st.data())
def test_any_light_curves_come_back_from_any_format(tmp_path, format, data):
    curves = data.draw(light_curves(dereddened=True if format == "plasticc" else None))
    endings = {"firstlight": "parquet", "nested": "parquet", "sncosmo": "ecsv", "plasticc": "csv"}
    path, *beside = write_format(curves, tmp_path / f"x.{endings[format]}", format)
    assert_same_curves(read(path, *beside), curves)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=3)
@given(light_curves(dereddened=True))
def test_conversions_in_a_row_change_nothing(tmp_path, curves):
    found = curves
    for i, format in enumerate(("sncosmo", "plasticc", "nested", "firstlight", "plasticc", "sncosmo")):
        path, *beside = write_format(found, tmp_path / f"{i}.csv", format)
        found = read(path, *beside)
    assert_same_curves(found, curves)


def test_the_ending_means_a_format_and_another_one_is_refused(tmp_path):
    assert [format_of(tmp_path / f"x.{end}") for end in ("parquet", "ecsv", "csv", "csv.gz")] == [
        "firstlight",
        "sncosmo",
        "plasticc",
        "plasticc",
    ]
    with pytest.raises(SettingsError, match="name the format with --to"):
        format_of(tmp_path / "x.dat")


def test_values_that_a_format_cannot_hold_are_refused(tmp_path):
    curves = LightCurves(
        object_id=np.array(["a", "b"]),
        offsets=np.array([0, 1, 1]),
        mjd=[60000.0],
        band=[1],
        flux=[1.0],
        flux_err=[100.0],
    )
    with pytest.raises(DataError, match="object 'b' has no observations, which sncosmo cannot hold"):
        write_format(curves, tmp_path / "x.ecsv", "sncosmo")
    with pytest.raises(DataError, match="these are not; write another format"):
        write_format(curves.take([0]), tmp_path / "x.csv", "plasticc")
    assert not list(tmp_path.iterdir())
