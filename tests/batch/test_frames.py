"""The function of a partition: one row per object in, one row of answers per row out."""

import logging
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.batch.conftest import assert_same

from firstlight import LightCurves, Pipeline
from firstlight.batch import SET_ASIDE, FrameClassifier
from firstlight.errors import BundleError, DataError, SettingsError


@pytest.fixture(scope="module")
def frame(curves) -> pd.DataFrame:
    pytest.importorskip("nested_pandas")
    return curves.to_nested()


def listed(curves: LightCurves) -> pd.DataFrame:
    """The same in columns of lists, as Spark gives them."""
    return curves.to_arrow().to_pandas()


def test_a_frame_gets_the_answers_of_predict(classify, frame, wanted):
    assert_same(classify(frame), wanted)


@settings(max_examples=8)
@given(data=st.data())
def test_any_rows_in_any_order_and_under_any_index_get_the_same_answers(data, classify, curves, wanted):
    rows = data.draw(st.lists(st.integers(0, len(curves) - 1), unique=True, max_size=12))
    index = pd.Index(data.draw(st.permutations(range(len(rows)))), name="_healpix_29", dtype=np.int64)
    found = classify(curves.take(np.array(rows, dtype=np.int64)).to_nested().set_axis(index))
    assert found.index.equals(index)
    assert found["object_id"].tolist() == curves.object_id[rows].tolist()
    assert_same(found.reset_index(drop=True), wanted.iloc[rows])


def test_no_rows_give_the_same_columns_and_dtypes(classify, frame):
    some, none = classify(frame), classify(frame.iloc[:0])
    assert len(none) == 0
    pd.testing.assert_series_equal(some.dtypes, none.dtypes)
    pd.testing.assert_series_equal(Pipeline.load("fast").predict(frame).to_pandas().dtypes, none.dtypes[:-2])


def test_names_keep_their_column_and_dtype(classify, curves, wanted):
    numbers = listed(curves).assign(object_id=np.arange(len(curves)) + 10**12)
    found = FrameClassifier("fast", dereddened=True)(numbers)
    assert found["object_id"].dtype == np.int64
    assert found["object_id"].equals(numbers["object_id"])
    assert found["class"].tolist() == wanted["class"].tolist()


def test_columns_of_surveys_are_recognised(classify, curves, wanted):
    theirs = {"object_id": "diaObjectId", "mjd": "midpointMjdTai", "flux": "psfDiffFlux"}
    theirs |= {"flux_err": "psfDiffFluxErr"}
    raw = curves.with_columns(object_id=np.arange(len(curves)).astype(str))
    raw = LightCurves(**raw._columns(), dereddened=False)
    want = Pipeline.load("fast").predict(raw, jobs=1)
    table = listed(raw).rename(columns=theirs).assign(diaObjectId=np.arange(len(raw)))
    fields = ["midpointMjdTai", "psfDiffFlux", "psfDiffFluxErr", "band", "detected"]
    nested = pd.DataFrame(table.drop(columns=fields))
    nested["forced"] = [
        dict(zip(fields, row, strict=True)) for row in zip(*(table[f] for f in fields), strict=True)
    ]
    nested["forced"] = [row | {"band": ["ugrizy"[k] for k in row["band"]]} for row in nested["forced"]]
    found = classify(nested)
    assert found["diaObjectId"].equals(table["diaObjectId"])
    np.testing.assert_array_equal(found["n_obs"], want.n_obs)
    np.testing.assert_array_equal(found["class"], want.label)


def test_a_row_that_cannot_be_used_keeps_its_place_with_the_reason(classify, curves, wanted, caplog):
    table = listed(curves[:4]).assign(dereddened=True)
    table.at[1, "flux_err"] = -table.at[1, "flux_err"]
    table.at[2, "flux"] = np.where(np.arange(len(table.at[2, "flux"])) == 0, np.nan, table.at[2, "flux"])
    with caplog.at_level(logging.WARNING, "firstlight.batch"):
        found = classify(table)
    assert found["object_id"].tolist() == table["object_id"].tolist()
    assert found["status"].tolist()[:2] == [wanted["status"][0], SET_ASIDE]
    assert "flux error" in found["reason"][1]
    assert np.isnan(found["proba_SNIa"][1])
    assert found["n_obs"].tolist() == [wanted["n_obs"][0], 0, wanted["n_obs"][2] - 1, wanted["n_obs"][3]]
    assert "the flux is not a finite number" in caplog.text


def test_columns_are_carried_along(curves, frame):
    found = FrameClassifier("fast", carry=("redshift", "survey"))(frame)
    assert list(found.columns[-2:]) == ["redshift", "survey"]
    np.testing.assert_array_equal(found["redshift"], curves.redshift)
    assert list(FrameClassifier("fast")(frame).columns[-2:]) == ["ra", "dec"]
    with pytest.raises(DataError, match="to carry along"):
        FrameClassifier("fast", carry=("magnitude",))(frame)
    with pytest.raises(SettingsError, match="names of the answers"):
        FrameClassifier("fast", carry=("anomaly",))(frame.assign(anomaly=1.0))


def test_settings_are_those_of_predict(curves, frame):
    found = FrameClassifier("fast", redshift="none", upto_phase=10.0)(frame)
    assert_same(
        found, Pipeline.load("fast").predict(curves.with_redshift("none").upto_phase(10.0)).to_pandas()
    )


def test_it_travels_to_other_processes_without_its_bundle(classify, frame, wanted):
    packed = pickle.dumps(classify.pinned())
    assert len(packed) < 2_000
    assert_same(pickle.loads(packed)(frame), wanted)


def test_a_worker_with_another_bundle_is_refused(classify, frame):
    other = FrameClassifier("fast", version="0123456789ab")
    with pytest.raises(BundleError, match="give all workers the same bundle"):
        other(frame)


def test_a_pipeline_in_memory_is_used_as_it_is(frame, wanted):
    assert_same(FrameClassifier(Pipeline.load("fast"))(frame), wanted)


def test_a_frame_of_single_observations_is_refused(classify):
    rows = pd.DataFrame({"object_id": ["a"], "mjd": [6e4], "band": ["g"], "flux": [1.0], "flux_err": [1.0]})
    with pytest.raises(DataError, match="one row per object"):
        classify(rows)
