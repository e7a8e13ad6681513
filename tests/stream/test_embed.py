"""Packets to records without Kafka: as the worker's first records, and none hides another's fault."""

import json

import jsonschema
import pytest
from tests.stream.conftest import alerts_of

from firstlight.errors import DataError
from firstlight.stream import JsonLinesCodec, Skip, classify_packet, classify_packets, embed
from firstlight.stream.io.message import Message
from firstlight.stream.io.sinks import MemorySink
from firstlight.stream.io.sources import MemorySource
from firstlight.stream.results.schema import record_schema
from firstlight.stream.state.folder import StateFolder
from firstlight.stream.worker.worker import Worker, WorkerConfig


@pytest.fixture(scope="module")
def packets(sample):
    """One alert with its whole history of each of six objects."""
    return [JsonLinesCodec().encode(alerts_of(sample[11 * k], 8)[-1]) for k in range(6)]


@pytest.fixture(scope="module")
def records(fast_pipeline, packets):
    return classify_packets(packets, fast_pipeline, features=True)


def test_a_record_is_that_of_a_worker_that_sees_the_object_first(fast_pipeline, packets, records, tmp_path):
    sink = MemorySink()
    size = fast_pipeline.states([]).data.dtype.itemsize
    stores = StateFolder(tmp_path, bundle=fast_pipeline.bundle_version, state_size=size)
    source = MemorySource(Message(packet, None, "file", 0, k) for k, packet in enumerate(packets))
    Worker(fast_pipeline, source, sink, stores, config=WorkerConfig(features=True)).run()
    assert [json.loads(value) for _, value in sink.records] == records


def test_records_with_features_follow_the_schema(records):
    check = jsonschema.Draft202012Validator(record_schema())
    for record in records:
        assert [error.message for error in check.iter_errors(record)] == []
        assert list(record)[-1] == "features"
        assert set(record["features"]) == set(record_schema()["properties"]["features"]["properties"])
    assert any(record["features"]["peak_mag_err"] for record in records)


def test_one_by_one_and_twice_gives_the_same(fast_pipeline, packets, records):
    assert classify_packet(packets[2], fast_pipeline, features=True) == records[2]
    again = classify_packets([packets[2], packets[1], packets[2]], fast_pipeline, features=True)
    assert again == [records[2], records[1], records[2]]


def test_a_fault_stands_in_its_own_place(fast_pipeline, packets, records):
    found = classify_packets([b"junk", packets[0]], fast_pipeline, features=True)
    assert isinstance(found[0], DataError)
    assert found[1] == records[0]
    with pytest.raises(DataError, match="unknown format"):
        classify_packet(b"junk", fast_pipeline)
    assert classify_packets([], fast_pipeline) == []


def test_an_alert_with_nothing_to_classify_says_why(fast_pipeline, make_lsst_skip):
    assert isinstance(classify_packet(make_lsst_skip, fast_pipeline), Skip)


@pytest.fixture
def make_lsst_skip():
    """A Lasair object without a light curve."""
    return b'{"objectId": "ZTF1", "candidates": []}'


def test_an_alert_that_no_answer_can_be_made_of_takes_no_other_with_it(fast_pipeline, packets, monkeypatch):
    whole = classify_packets(packets, fast_pipeline)
    answers = [place for place, found in enumerate(whole) if isinstance(found, dict)]
    bad = whole[answers[1]]["alert"]
    real = embed.arrivals

    def poisoned(alerts):
        if any(alert.alert_id == bad for alert in alerts):
            raise ValueError("poison")
        return real(alerts)

    monkeypatch.setattr(embed, "arrivals", poisoned)
    found = classify_packets(packets, fast_pipeline)
    assert isinstance(found[answers[1]], DataError)
    assert [one for k, one in enumerate(found) if k != answers[1]] == [
        one for k, one in enumerate(whole) if k != answers[1]
    ]
