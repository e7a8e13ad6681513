"""HATS catalogs with LSDB and Dask: as a user of these expects."""

import shutil
import warnings
from pathlib import Path

import pandas as pd
import pytest
from tests.batch.conftest import answers, assert_same

from firstlight import LightCurves, Pipeline
from firstlight.batch import Cone, FrameClassifier, Selection, classify_archive, cluster
from firstlight.errors import DataError, SettingsError

lsdb = pytest.importorskip("lsdb", reason='needs pip install "firstlight[batch]"')
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def path(curves, tmp_path_factory) -> Path:
    """The sixty objects as a catalog with partitions of about twenty."""
    out = tmp_path_factory.mktemp("hats") / "objects"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = lsdb.from_dataframe(
            curves.to_nested("lc"), ra_column="ra", dec_column="dec", partition_rows=20, margin_threshold=None
        )
        made.write_catalog(out, catalog_name="objects", progress_bar=False)
    return out


@pytest.fixture
def catalog(path):
    return lsdb.open_catalog(path)


def one_worker(n_threads: int):
    """A Dask cluster of one worker in this process."""
    distributed = pytest.importorskip("distributed", reason='needs pip install "firstlight[batch]"')
    return distributed.LocalCluster(
        n_workers=1, threads_per_worker=n_threads, processes=False, dashboard_address=":0"
    )


@pytest.fixture(scope="module")
def address():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with one_worker(1) as made:
            yield made.scheduler_address


def test_partitions_are_mapped_to_answers(catalog, classify, wanted):
    lazy = catalog.map_partitions(classify)  # the columns are found from an empty partition
    found = lazy.compute(progress_bar=False)
    assert_same(pd.DataFrame(found), wanted)
    assert found.index.name == "_healpix_29"
    stated = catalog.map_partitions(classify, meta=classify(catalog.meta)).compute(progress_bar=False)
    assert_same(pd.DataFrame(stated), wanted)
    pd.testing.assert_series_equal(found.dtypes, classify(catalog.meta).dtypes)


def test_a_catalog_and_its_frame_are_light_curves(catalog, curves, wanted):
    assert_same(Pipeline.load("fast").predict(catalog).to_pandas(), wanted)
    read = LightCurves.from_nested(catalog.compute(progress_bar=False))
    assert sorted(read.object_id) == sorted(curves.object_id)
    assert read.dereddened


def test_the_answers_are_a_catalog_row_by_row_beside_the_objects(path, catalog, classify, wanted, tmp_path):
    out = tmp_path / "classes"
    done = classify_archive(path, out, FrameClassifier("fast", carry=("redshift",)))
    made = lsdb.open_catalog(out)
    assert made.get_healpix_pixels() == catalog.get_healpix_pixels()
    assert len(made) == done.total("answered") == 60
    found = made.compute(progress_bar=False)
    assert_same(pd.DataFrame(found).astype(wanted.dtypes.to_dict()), wanted)
    frame = catalog.compute(progress_bar=False)
    assert found.index.tolist() == frame.index.tolist()
    beside = ["object_id", "ra", "dec", "redshift"]
    assert found[beside].equals(frame[beside])  # so that LSDB joins them by object
    properties = (out / "hats.properties").read_text()
    assert f"firstlight_bundle={classify.pipeline.bundle_version}" in properties
    assert classify_archive(path, out, FrameClassifier("fast", carry=("redshift",))).n_before == len(
        catalog.get_healpix_pixels()
    )


def test_a_cone_opens_only_the_partitions_that_it_touches(path, classify, curves, wanted, tmp_path):
    cone = Cone(float(curves.ra[5]), float(curves.dec[5]), 3.0)
    done = classify_archive(path, tmp_path / "out", classify, selection=Selection(cone=cone))
    assert len(done.outcomes) < len(lsdb.open_catalog(path).get_healpix_pixels())
    inside = curves.object_id[cone.contains(curves.ra, curves.dec)]
    assert_same(answers(tmp_path / "out" / "dataset"), wanted[wanted["object_id"].isin(inside)])


def test_a_damaged_partition_is_left_out_of_the_catalog(path, classify, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(path, damaged)
    first = sorted(damaged.rglob("Npix=*.parquet"))[0]
    n_lost = len(pd.read_parquet(first, columns=["object_id"]))
    first.write_bytes(first.read_bytes()[:2_000])
    done = classify_archive(damaged, tmp_path / "out", classify)
    assert len(done.failed) == 1
    assert len(lsdb.open_catalog(tmp_path / "out")) == 60 - n_lost


def test_a_cluster_gives_the_same_catalog(path, classify, address, tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    classify_archive(path, mine, classify)
    done = classify_archive(path, theirs, classify, cluster=address)
    assert done.total("answered") == 60
    frames = [lsdb.open_catalog(one).compute(progress_bar=False) for one in (mine, theirs)]
    pd.testing.assert_frame_equal(*frames)
    assert classify_archive(path, theirs, classify, cluster=address).n_before == len(done.outcomes)


def test_a_cluster_sets_a_damaged_partition_aside(path, classify, address, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(path, damaged)
    first = sorted(damaged.rglob("Npix=*.parquet"))[0]
    first.write_bytes(first.read_bytes()[:2_000])
    done = classify_archive(damaged, tmp_path / "out", classify, cluster=address)
    assert [Path(one.name).name for one in done.failed] == [first.name]
    assert done.failed[0].error


def test_a_cluster_classifies_files_too(folder, classify, address, wanted, tmp_path):
    done = classify_archive(folder, tmp_path, classify, cluster=address)
    assert not done.failed
    assert_same(answers(tmp_path), wanted)


def test_workers_with_several_threads_and_no_scheduler_are_refused(folder, classify, tmp_path, monkeypatch):
    with one_worker(2) as two, pytest.raises(SettingsError, match="--nthreads 1"):
        classify_archive(folder, tmp_path, classify, cluster=two.scheduler_address)
    monkeypatch.setattr(cluster, "_WAIT_S", 0.3)
    with pytest.raises(SettingsError, match="no Dask scheduler"):
        classify_archive(folder, tmp_path, classify, cluster="tcp://127.0.0.1:9")


def test_a_catalog_that_is_none_of_objects_is_refused(path, classify, tmp_path):
    other = tmp_path / "sources"
    shutil.copytree(path, other)
    stated = next(other.rglob("hats.properties"))
    for name in ("properties", "hats.properties"):
        stated.with_name(name).write_text(stated.read_text().replace("=object", "=source"))
    with pytest.raises(DataError, match="of objects"):
        classify_archive(other, tmp_path / "out", classify)
    for one in other.rglob("*properties"):
        one.write_text("nonsense")
    with pytest.raises(DataError, match="not a HATS catalog"):
        classify_archive(other, tmp_path / "out", classify)


def test_a_cone_uses_the_position_of_the_catalog_under_any_name(curves, classify, wanted, tmp_path):
    frame = curves.to_nested("lc").rename(columns={"ra": "lon_of_object", "dec": "lat_of_object"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = lsdb.from_dataframe(
            frame,
            ra_column="lon_of_object",
            dec_column="lat_of_object",
            partition_rows=20,
            margin_threshold=None,
        )
        made.write_catalog(tmp_path / "objects", catalog_name="objects", progress_bar=False)
    cone = Cone(float(curves.ra[5]), float(curves.dec[5]), 3.0)
    classify_archive(tmp_path / "objects", tmp_path / "out", classify, selection=Selection(cone=cone))
    inside = curves.object_id[cone.contains(curves.ra, curves.dec)]
    assert 0 < len(inside) < len(curves)
    assert set(answers(tmp_path / "out" / "dataset")["object_id"]) == set(inside)


def test_a_partition_that_is_missing_is_one_that_failed(path, classify, tmp_path):
    shutil.copytree(path, tmp_path / "objects")
    first = sorted((tmp_path / "objects").rglob("Npix=*.parquet"))[0]
    first.unlink()
    done = classify_archive(tmp_path / "objects", tmp_path / "out", classify)
    assert [Path(one.name).name for one in done.failed] == [first.name]
    assert done.total("answered") > 0
