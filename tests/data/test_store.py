"""Our own Parquet, and that of others."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests._make import assert_same_curves

from firstlight.data import RejectLog, iter_curves, parquet, read_curves, store, write_curves
from firstlight.data.parquet import read_parquet
from firstlight.errors import DataError, MissingColumnError, UnknownBandError
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "curves.parquet"


# --- ours -----------------------------------------------------------------------------


@pytest.mark.parametrize("dereddened", [True, False])
def test_what_is_written_can_be_read(sample, path, dereddened):
    curves = LightCurves(**{**sample._columns(), "dereddened": dereddened})
    assert write_curves(curves, path) == 202
    assert_same_curves(read_curves(path), curves)


@settings(max_examples=25)
@given(
    n_obs=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    group=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_any_light_curves_survive_in_groups_of_any_size(n_obs, group, seed, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "x.parquet"
    rng = np.random.default_rng(seed)
    total = sum(n_obs)
    curves = LightCurves(
        object_id=[f"ö{i}" for i in range(len(n_obs))],
        offsets=np.concatenate([[0], np.cumsum(n_obs)]),
        mjd=np.sort(rng.random(total)),
        band=rng.integers(0, 6, total),
        flux=rng.normal(size=total),
        flux_err=rng.random(total) + 0.1,
        redshift=np.where(rng.random(len(n_obs)) < 0.5, np.nan, 0.3),
    )
    write_curves(curves, path, row_group_objects=group)
    assert_same_curves(read_curves(path), curves)
    assert_same_curves(LightCurves.concatenate(list(iter_curves(path))), curves)


def test_a_file_is_zstd_with_row_groups_and_carries_its_schema_version(sample, path):
    write_curves(sample, path, row_group_objects=50)
    meta = pq.read_metadata(path)
    assert meta.num_row_groups == 5
    assert {meta.row_group(0).column(i).compression for i in range(meta.num_columns)} == {"ZSTD"}
    assert pq.read_schema(path).metadata[b"firstlight_schema"] == b"1"


def test_a_file_holds_no_label(sample, path):
    write_curves(sample, path)
    assert set(pq.read_schema(path).names) == {"object_id", "survey", *OBSERVATION_COLUMNS, *OBJECT_COLUMNS}


def test_one_row_group_is_not_copied(sample, path, monkeypatch):
    write_curves(sample, path)
    tables = []
    wrap = store.wrap_arrow
    monkeypatch.setattr(store, "wrap_arrow", lambda table: (tables.append(table), wrap(table))[1])
    curves = read_curves(path)
    for name in ("mjd", "flux", "flux_err", "band"):
        assert np.shares_memory(getattr(curves, name), np.asarray(tables[0].column(name).chunk(0).values))


def test_parts_are_written_as_they_come(sample, path):
    parts = (sample.take([i]) for i in range(5))
    assert write_curves(parts, path) == 5
    assert_same_curves(read_curves(path), sample.take(np.arange(5)))
    assert [len(part) for part in iter_curves(path)] == [1] * 5


def test_a_failed_write_leaves_the_old_file(sample, path):
    write_curves(sample.take([0]), path)

    def parts():
        yield sample.take([1])
        raise DataError("the source broke")

    with pytest.raises(DataError, match="the source broke"):
        write_curves(parts(), path)
    assert read_curves(path).object_id.tolist() == [sample.object_id[0]]
    assert list(path.parent.iterdir()) == [path]


def test_nothing_or_a_mixture_is_not_written(sample, path):
    with pytest.raises(DataError, match="no light curves to write"):
        write_curves([], path)
    raw = LightCurves(**{**sample.take([1])._columns(), "dereddened": False})
    with pytest.raises(DataError, match="dereddened and raw"):
        write_curves([sample.take([0]), raw], path)
    assert not path.exists()


def test_a_folder_of_parts_is_read_in_order(sample, tmp_path):
    for number in (2, 1):
        write_curves(sample.take([number]), tmp_path / f"curves-{number:02d}.parquet")
    names = [part.object_id[0] for part in iter_curves(tmp_path)]
    assert names == sample.object_id[[1, 2]].tolist()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no curves\*.parquet"):
        next(iter_curves(tmp_path / "empty"))


def test_a_file_of_a_newer_firstlight_is_refused(sample, path, monkeypatch):
    monkeypatch.setattr(store, "SCHEMA_VERSION", 2)
    write_curves(sample, path)
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"schema 2 .*newer than this firstlight.*update"):
        read_curves(path)


def test_a_file_of_other_bands_is_refused(sample, path):
    table = sample.to_arrow()
    pq.write_table(table.replace_schema_metadata({"firstlight_schema": "1", "bands": "gri"}), path)
    with pytest.raises(DataError, match=r"its bands are b'gri', not ugrizy"):
        read_curves(path)


def test_a_contradiction_to_the_file_is_refused(sample, path):
    write_curves(sample, path)
    with pytest.raises(DataError, match=r"zero point 27.5 given, but .*nJy \(31.4\)"):
        read_curves(path, zero_point=27.5)
    with pytest.raises(DataError, match="states dereddened = True"):
        read_curves(path, dereddened=False)
    assert_same_curves(read_curves(path, zero_point=31.4, dereddened=True), sample)


@pytest.mark.parametrize("size", [0, 3, 100, 5000])
def test_a_truncated_file_is_refused(sample, path, size):
    write_curves(sample, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"curves.parquet: cannot be read as Parquet"):
        read_curves(path)


def test_a_missing_file_is_refused(path):
    with pytest.raises(DataError, match="cannot be read"):
        read_curves(path)


# --- of others --------------------------------------------------------------------------


def frame():
    return pd.DataFrame(
        {
            "object_id": [7, 5],
            "ra": [1.0, 2.0],
            "redshift": [0.1, None],
            "target": [90, 42],
            "mjd": [[2.0, 1.0], [1.0]],
            "band": [["g", "u"], ["r"]],
            "flux": [[1.0, 3.0], [2.0]],
            "flux_err": [[20.0, 60.0], [40.0]],
        }
    )


def long():
    return frame().explode(["mjd", "band", "flux", "flux_err"]).astype(
        {"mjd": float, "flux": float, "flux_err": float}
    )  # fmt: skip


def check(curves):
    assert curves.object_id.tolist() == ["7", "5"]
    assert curves.mjd.tolist() == [1.0, 2.0, 1.0]
    assert curves.band.tolist() == [0, 1, 2]
    assert curves.flux.tolist() == [3.0, 1.0, 2.0]
    assert curves.ra.tolist() == [1.0, 2.0]
    np.testing.assert_array_equal(curves.redshift, np.float32([0.1, np.nan]))
    assert not curves.dereddened


@pytest.mark.parametrize("table", [frame, long], ids=["lists", "long"])
def test_parquet_from_pandas_is_read_and_sorted(path, table):
    table().to_parquet(path)
    check(read_curves(path))


def test_parquet_from_nested_pandas_is_read(sample, path):
    from nested_pandas import NestedFrame

    nested = NestedFrame.from_flat(
        long(), base_columns=["ra", "redshift"], nested_columns=["mjd", "band", "flux", "flux_err"],
        on="object_id", name="lightcurve",
    ).reset_index()  # fmt: skip
    nested.to_parquet(path)
    check(read_curves(path))
    sample.to_nested().to_parquet(path)
    assert_same_curves(read_curves(path, dereddened=True), sample)


def test_a_zero_point_converts_the_fluxes_of_others(path):
    frame().to_parquet(path)
    curves = read_curves(path, zero_point=28.9)
    np.testing.assert_allclose(curves.flux, [30.0, 10.0, 20.0])
    np.testing.assert_allclose(curves.flux_err, [600.0, 200.0, 400.0])
    with pytest.raises(DataError, match="not an AB zero point"):
        read_curves(path, zero_point=-1.0)


def test_bad_values_of_others_are_set_aside_or_refused(path):
    table = frame()
    table.at[0, "flux"] = [np.nan, 3.0]
    table.at[1, "band"] = ["nosuch"]
    table.to_parquet(path)
    log = RejectLog()
    curves = read_curves(path, rejects=log)
    assert curves.object_id.tolist() == ["7"]
    assert [(r.object_id, r.row) for r in log] == [("5", 1), ("7", 0), ("5", None)]
    with pytest.raises(UnknownBandError, match=r"row 1, object '5': the band is none of"):
        read_curves(path)


def test_an_object_of_others_without_observations_is_set_aside(path):
    table = frame()
    for name in ("mjd", "band", "flux", "flux_err"):
        table.at[1, name] = []
    table.to_parquet(path)
    log = RejectLog()
    assert read_curves(path, rejects=log).object_id.tolist() == ["7"]
    assert log.summary() == {"the object has no observations": 1}


def test_missing_columns_of_others_are_named_with_the_file(path):
    frame().drop(columns="band").to_parquet(path)
    with pytest.raises(
        MissingColumnError, match=r"curves.parquet: .*band or passband missing; it has object_id"
    ):
        read_curves(path)


def test_an_object_in_several_rows_is_one_whose_repeated_observations_are_set_aside(path):
    pd.concat([frame(), frame()]).to_parquet(path)
    log = RejectLog()
    check(read_curves(path, rejects=log))
    assert log.summary() == {"the row repeats another one exactly": 3}


def test_columns_of_the_wrong_type_are_refused(path):
    frame().assign(flux=[["a", "b"], ["c"]]).to_parquet(path)
    with pytest.raises(DataError, match="row 0, object '7': the flux is not a finite number \\('a'"):
        read_curves(path)


def test_files_of_others_are_not_read_in_groups(path):
    frame().to_parquet(path)
    with pytest.raises(DataError, match="not written by firstlight"):
        next(iter_curves(path))


def test_an_unmarked_file_says_whether_it_is_dereddened(sample, path):
    pq.write_table(sample.to_arrow(), path)
    assert read_curves(path).dereddened
    table = pa.Table.from_pandas(frame())
    pq.write_table(table, path)
    assert read_curves(path, dereddened=True).dereddened


def test_columns_that_grow_without_end_are_refused_before_they_are_read(sample, path, monkeypatch):
    monkeypatch.setattr(parquet, "GROWTH_FROM", 1 << 16)
    n = 300_000
    table = {"object_id": ["a"] * n, "mjd": [60000.0] * n, "band": ["g"] * n, "flux": [1.0] * n}
    pq.write_table(pa.table(table | {"flux_err": [1.0] * n}), path)
    with pytest.raises(DataError, match=r"grow more than 100-fold, to 0\.0 GB, as no table does"):
        read_curves(path)
    with pytest.raises(DataError, match="grow more than 100-fold"):
        read_parquet(path, ["mjd"])
    write_curves(sample, path)
    assert len(read_curves(path)) == len(sample)
