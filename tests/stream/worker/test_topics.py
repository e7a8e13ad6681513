"""Several topics share one state, as nights of one survey do; `--start` counts once."""

import json
from contextlib import closing
from dataclasses import replace

import pytest

from firstlight.errors import SettingsError
from firstlight.stream import JsonLinesCodec
from firstlight.stream.io.message import Message
from firstlight.stream.io.sinks import MemorySink
from firstlight.stream.io.sources import MemorySource
from firstlight.stream.state.folder import StateFolder
from firstlight.stream.state.store import Changes
from firstlight.stream.worker.worker import Worker, WorkerConfig


class Topics(MemorySource):
    """As topics of Kafka; `present` are those that the broker has."""

    def __init__(self, messages, begin=None) -> None:
        super().__init__(messages)
        self.begin, self.on_gap, self.asked = begin, None, 0
        self.present = {message.topic for message in messages}

    @property
    def has_starts(self):
        return self.begin is not None

    def starts(self):
        self.asked += 1
        return self.begin

    def topics(self):
        return self.present

    def identity(self, topic):
        return ""

    def new_identities(self):
        return {}

    def lags(self):
        return None

    def serve(self):
        pass


def nights(alerts, n_nights):
    """One topic per night, each with one partition."""
    codec, found = JsonLinesCodec(), []
    for k, alert in enumerate(alerts):
        night = k * n_nights // len(alerts)
        offset = sum(message.topic == f"ztf_{night}" for message in found)
        found.append(Message(codec.encode(alert), None, f"ztf_{night}", 0, offset))
    return found


@pytest.fixture
def folder(fast_pipeline, tmp_path):
    """A function that opens a state folder again."""
    size = fast_pipeline.states([]).data.dtype.itemsize
    return lambda **options: StateFolder(
        tmp_path / "state", bundle=fast_pipeline.bundle_version, state_size=size, **options
    )


def read(pipeline, source, stores, **settings):
    sink = MemorySink()
    options = {"clock_alerts": settings.pop("clock_alerts")} if "clock_alerts" in settings else {}
    config = WorkerConfig(**{"linger_ms": 0.0, "batch": 40} | settings)
    ticks = iter(range(10**9)).__next__  # housekeeping after each batch
    worker = Worker(pipeline, source, sink, stores, config=config, clock=ticks, **options)
    worker.run()
    return worker, [json.loads(value) for _, value in sink.records]


def test_topics_of_three_nights_are_answered_as_one_topic(fast_pipeline, alert_stream, folder, tmp_path):
    one = [replace(message, topic="all", offset=k) for k, message in enumerate(nights(alert_stream, 3))]
    size = fast_pipeline.states([]).data.dtype.itemsize
    alone = StateFolder(tmp_path / "alone", bundle=fast_pipeline.bundle_version, state_size=size, keyed="no")
    expected = read(fast_pipeline, Topics(one), alone)[1]
    three, records = nights(alert_stream, 3), []
    for night in range(3):  # a worker that starts again each night, and finds one topic more
        known = [message for message in three if message.topic <= f"ztf_{night}"]
        worker, found = read(fast_pipeline, Topics(known), folder(several=True))
        assert worker.metrics.total("redelivered") == 0
        records += found
    assert records == expected
    assert read(fast_pipeline, Topics(three), folder())[1] == []  # the folder knows its kind


def test_topics_that_were_deleted_do_not_keep_old_objects(fast_pipeline, alert_stream, folder):
    messages = nights(alert_stream, 2)
    later = nights([replace(alert, mjd=alert.mjd + 5000.0, object_id="new") for alert in alert_stream], 1)
    later = [replace(message, topic="ztf_9") for message in later]

    def evicted(present):
        source = Topics(later)
        source.present = present
        worker, _ = read(fast_pipeline, source, folder(), clock_alerts=5)
        return worker.metrics.total("evicted")

    read(fast_pipeline, Topics(messages), folder(several=True), clock_alerts=5)
    assert evicted({"ztf_0", "ztf_1", "ztf_9"}) == 0  # they may bring more alerts of old objects
    later += [replace(message, offset=message.offset + len(later)) for message in later]
    assert evicted({"ztf_9"}) > 5


@pytest.mark.parametrize("several", [True, False])
def test_a_start_counts_for_partitions_that_were_there_at_the_first_start(
    fast_pipeline, alert_stream, folder, several
):
    messages = nights(alert_stream, 2)
    n = [sum(message.topic == f"ztf_{night}" for message in messages) for night in range(2)]
    first = [message for message in messages if message.topic == "ztf_0"]
    source = Topics(first, begin={("ztf_0", 0): n[0] - 3})
    stores = folder(several=several, keyed="auto" if several else "no")
    assert len(read(fast_pipeline, source, stores, max_alerts=1)[1]) == 1
    again = Topics(messages, begin={("ztf_0", 0): n[0], ("ztf_1", 0): n[1]})  # the ends are elsewhere now
    _, records = read(fast_pipeline, again, folder(several=several, keyed="auto" if several else "no"))
    assert len(records) == 2 + n[1]
    assert again.asked == 0


def test_partitions_of_several_topics_have_numbers_of_their_own(folder):
    stores = folder(several=True)
    with closing(stores.open("a", 0, 0.0)) as store:
        assert stores.open("b", 0, 0.0) is store
        numbers = {store.number((topic, k)) for topic in ("a", "b", "a/1") for k in range(4)}
        assert len(numbers) == 12
        store.commit(Changes(offsets=dict.fromkeys(numbers, 7)))
        assert store.claim(["x"], lambda: False)
        store.release()
        assert set(store.offsets) == numbers
    with closing(folder().open("b", 3, 0.0)) as store:
        assert store.offsets[store.number(("b", 3))] == 7


def test_the_state_of_one_topic_is_not_that_of_several(folder):
    folder().open("alerts", 0, 0.0).close()
    with pytest.raises(SettingsError, match=r"holds the state of one topic .* give another folder"):
        folder(several=True)


def test_several_topics_are_never_keyed(folder):
    with pytest.raises(SettingsError, match="--keyed yes"):
        folder(several=True, keyed="yes")
