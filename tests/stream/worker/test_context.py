"""Redshifts from outside in the worker: read again between batches, a bad file is refused, records say so."""

import json
import logging
from copy import copy

import jsonschema
import numpy as np
import pandas as pd
import pytest
from tests.stream.conftest import alerts_of

from firstlight.hosts import Hosts, HostTable
from firstlight.stream import JsonLinesCodec
from firstlight.stream.io.message import Message
from firstlight.stream.io.sinks import MemorySink
from firstlight.stream.io.sources import MemorySource
from firstlight.stream.results.schema import record_schema
from firstlight.stream.state.folder import StateFolder
from firstlight.stream.worker.context import refresher
from firstlight.stream.worker.metrics import Metrics
from firstlight.stream.worker.worker import Worker, WorkerConfig


@pytest.fixture(scope="module")
def messages(sample):
    """Eight alerts of one object with a photometric redshift, then eight of one without."""
    known = sample.take([2])
    known = known._derive(redshift=np.array([0.4], np.float32), redshift_err=np.array([0.1], np.float32))
    found = []
    for curves in (known, sample.take([100]).with_redshift("none")):
        found += alerts_of(curves[0], 8)[:8]
    return [Message(JsonLinesCodec().encode(alert), None, "file", 0, k) for k, alert in enumerate(found)]


@pytest.fixture
def table(sample, tmp_path):
    path = tmp_path / "hosts.parquet"

    def put(**columns):
        names = sample.object_id[[2, 100]]
        pd.DataFrame({"object_id": names} | columns).to_parquet(tmp_path / "new")
        (tmp_path / "new").replace(path)

    put(redshift=[0.1, 0.2])
    return path, put


class Half:
    """A service that lacks one of the two objects and tells two kinds of faults apart."""

    def __init__(self, table, missing):
        self._table, self._missing, self.calls = table, missing, 0

    def __call__(self, object_id, ra, dec):
        self.calls += 1
        if self._missing in object_id.tolist():
            raise (TimeoutError if self.calls > 3 else RuntimeError)("the service\nis away")
        return self._table(object_id, ra, dec)


def run(pipeline, messages, folder, hosts=None, between=None, metrics=None):
    """Records of a worker with batches of four alerts; `between` is called after each."""
    sink, batches = MemorySink(), []

    def after(batch):
        batches.append(batch)
        if between is not None:
            between(len(batches))

    if hosts is not None:
        pipeline = copy(pipeline)
        pipeline._use(hosts)
    size = pipeline.states([]).data.dtype.itemsize
    stores = StateFolder(folder, bundle=pipeline.bundle_version, state_size=size)
    Worker(
        pipeline,
        MemorySource(messages),
        sink,
        stores,
        config=WorkerConfig(batch=4),
        before_batch=None if hosts is None else refresher(hosts),
        on_batch=after,
        metrics=metrics,
    ).run()
    return [json.loads(value) for _, value in sink.records]


def test_a_file_that_changes_counts_from_the_next_batch_on(fast_pipeline, messages, table, tmp_path, caplog):
    path, put = table
    hosts = Hosts.open(path)
    versions = [hosts.version]

    def between(n):
        if n == 1:
            put(redshift=[0.1, 0.2], redshift_spec=[0.3, np.nan])
        if n == 2:
            path.write_bytes(b"PAR1 and no more")

    caplog.set_level(logging.INFO)
    records = run(fast_pipeline, messages, tmp_path / "state", hosts, between)
    versions.append(hosts.version)
    assert [record["context"]["version"] for record in records] == [versions[0]] * 4 + [versions[1]] * 12
    used = [record["context"]["redshifts"][0] for record in records]
    assert {(row["redshift"], row["kind"]) for row in used[:4]} == {(0.4, "photo")}  # that of the alerts
    assert {(row["redshift"], row["kind"]) for row in used[4:8]} == {(0.3, "spec")}
    assert {(row["redshift"], row["kind"]) for row in used[8:]} == {(0.2, "photo")}
    assert [record["context"]["source"] for record in records] == ["given"] * 4 + ["context"] * 12
    logged = [record.getMessage() for record in caplog.records if "context" in record.getMessage()]
    assert logged == ["the context was read again", "the context cannot be used; the former one goes on"]


def test_records_follow_the_schema_and_differ_only_where_the_context_says_so(
    fast_pipeline, messages, table, tmp_path
):
    path, _ = table
    bare = run(fast_pipeline, messages, tmp_path / "bare")
    found = run(fast_pipeline, messages, tmp_path / "state", Hosts.open(path))
    check = jsonschema.Draft202012Validator(record_schema())
    for record in found:
        assert [error.message for error in check.iter_errors(record)] == []
        assert list(record)[-1] == "context"
    assert "context" not in bare[0]
    given = [now.pop("context")["source"] == "given" for now in found]
    assert bare[:8] == found[:8]
    assert given == [True] * 8 + [False] * 8
    assert bare[15]["proba"] != found[15]["proba"]


def test_the_state_of_a_stream_does_not_depend_on_the_context(fast_pipeline, messages, table, tmp_path):
    path, _ = table
    whole = run(fast_pipeline, messages, tmp_path / "whole")
    run(fast_pipeline, messages[:12], tmp_path / "parts", Hosts.open(path))
    rest = run(fast_pipeline, messages, tmp_path / "parts")
    assert [record["proba"] for record in rest] == [record["proba"] for record in whole[12:]]


def test_alerts_whose_redshift_cannot_be_looked_up_are_answered_without_it(
    fast_pipeline, messages, table, sample, tmp_path, caplog
):
    path, _ = table
    whole = run(fast_pipeline, messages, tmp_path / "whole", Hosts.open(path))
    bare = run(fast_pipeline, messages, tmp_path / "bare")
    lookup = Half(HostTable.read(path), sample.object_id[100])
    metrics = Metrics()
    found = run(fast_pipeline, messages, tmp_path / "half", Hosts(lookup, "a.b:Half"), metrics=metrics)
    check = jsonschema.Draft202012Validator(record_schema())
    for record, full, without in zip(found, whole, bare, strict=True):
        assert [error.message for error in check.iter_errors(record)] == []
        about = record.pop("context")
        full.pop("context")
        if record["object"] == sample.object_id[100]:
            assert about["error"].endswith("Error: the service\\nis away")
            assert (about["source"], about["redshifts"]) == (None, [])
            assert record == without
        else:
            assert about["error"] is None
            assert record == full
    assert metrics.by_label("context_failures") == {"RuntimeError": 4, "TimeoutError": 4}
    assert metrics.health()["context_failures"] == 8
    assert lookup.calls == 4  # one per batch, which is of one object
    logged = [record.getMessage() for record in caplog.records if "context" in record.getMessage()]
    assert len(logged) == 2  # once for each kind
