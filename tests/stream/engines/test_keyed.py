"""The update on the values of one object, as another engine keeps them, is the worker's."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stream.conftest import alerts_of

from firstlight.errors import DataError
from firstlight.stream import JsonLinesCodec, Skip
from firstlight.stream.engines import keyed
from firstlight.stream.engines.keyed import DictState, Envelope, ObjectClassifier
from firstlight.stream.io.message import Message
from firstlight.stream.io.sinks import MemorySink
from firstlight.stream.io.sources import MemorySource
from firstlight.stream.results.record import JsonResults
from firstlight.stream.state.folder import StateFolder
from firstlight.stream.worker.worker import Worker, WorkerConfig


@pytest.fixture(scope="module")
def alerts(sample):
    """A hundred alerts of one object, so that its history is rewritten; late and repeated ones among them."""
    alerts = alerts_of(sample[0], 3, whole=False)[:100]
    alerts[20], alerts[30] = alerts[30], alerts[20]
    return [*alerts[:70], alerts[5], *alerts[70:]]


@pytest.fixture(scope="module")
def expected(fast_pipeline, alerts, tmp_path_factory):
    """Records of the worker."""
    size = fast_pipeline.states([]).data.dtype.itemsize
    stores = StateFolder(
        tmp_path_factory.mktemp("worker"), bundle=fast_pipeline.bundle_version, state_size=size
    )
    messages = [Message(JsonLinesCodec().encode(alert), None, "file", 0, k) for k, alert in enumerate(alerts)]
    sink = MemorySink()
    Worker(
        fast_pipeline, MemorySource(messages), sink, stores, config=WorkerConfig(features=True, batch=7)
    ).run()
    return [value for _, value in sink.records]


@pytest.fixture(scope="module")
def classifier(fast_bundle):
    return ObjectClassifier(str(fast_bundle), features=True)


def answered(classifier, parts, state):
    found = [record for part in parts for record in classifier.update(part, state)]
    return [JsonResults().encode(record, None) for record in found if record is not None]


@settings(max_examples=12)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_records_are_those_of_the_worker_however_alerts_are_grouped(classifier, alerts, expected, sizes):
    parts, at = [], 0
    for size in [*sizes, len(alerts)]:
        parts.append(alerts[at : at + size])
        at += size
    assert answered(classifier, parts, DictState()) == expected


def test_the_state_is_all_that_another_process_needs(classifier, alerts, expected):
    state = DictState()
    first = answered(classifier, [[alert] for alert in alerts[:50]], state)
    keyed._loaded.cache_clear()
    moved = DictState.unpack(state.pack())
    assert moved == state
    assert first + answered(classifier, [alerts[50:]], moved) == expected
    assert len(moved) < 70  # entries of a history that was rewritten are gone


def test_the_state_of_another_bundle_is_made_again_from_the_history(classifier, alerts, expected):
    state = DictState()
    first = answered(classifier, [alerts[:50]], state)
    value = bytearray(state["state"])
    value[5] ^= 255  # the digest of the bundle
    state["state"] = bytes(value)
    rest = answered(classifier, [alerts[50:]], state)
    assert len(first) + len(rest) == len(expected)
    for found, known in zip(rest[1:], expected[len(first) + 1 :], strict=True):
        assert json.loads(found) == json.loads(known)


def test_an_alert_that_cannot_be_answered_is_an_error_in_its_place(classifier, alerts):
    with pytest.raises(DataError, match="for one state"):
        classifier.update([alerts[0], replace(alerts[0], object_id="another")], DictState())
    assert classifier.update([], DictState()) == []
    (found,) = classifier.decode(b"junk")
    assert isinstance(found, DataError)
    (skipped,) = classifier.decode(b'{"alert_id": "1", "object_id": "", "mjd": 60000.0, "observations": []}')
    assert isinstance(skipped, Skip | DataError)


@given(st.text(max_size=50), st.none() | st.binary(max_size=50), st.binary(max_size=50), st.integers(0, 9))
def test_an_envelope_holds_the_message_as_it_came(name, key, value, number):
    envelope = Envelope(name, key, value, number)
    assert Envelope.unpack(envelope.pack()) == envelope


def test_a_context_counts_here_too(fast_bundle, alerts, tmp_path):
    path = tmp_path / "hosts.csv"
    path.write_text(f"object_id,redshift_spec\n{alerts[0].object_id},0.25\n")
    (record,) = ObjectClassifier(str(fast_bundle), context=str(path)).update(alerts[:1], DictState())
    assert record["context"]["redshifts"][0]["redshift"] == 0.25
    (bare,) = ObjectClassifier(str(fast_bundle)).update(alerts[:1], DictState())
    assert "context" not in bare
