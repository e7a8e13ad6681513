"""A topic whose keys are not the objects: one state for all partitions, and the records of a keyed topic."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.stream.conftest import alerts_of

from firstlight.stream import JsonLinesCodec, light_curves
from firstlight.stream.io.message import Message
from firstlight.stream.io.sinks import MemorySink
from firstlight.stream.io.sources import MemorySource
from firstlight.stream.state.store import Changes, MemoryStore
from firstlight.stream.worker.answer import in_order
from firstlight.stream.worker.keys import KeyWatch, is_key_of, may_be_keyed
from firstlight.stream.worker.metrics import Metrics
from firstlight.stream.worker.unfinished import Unfinished
from firstlight.stream.worker.worker import Worker, WorkerConfig

T = "alerts"
N_PARTITIONS = 3


class Stores:
    """As a state folder, in memory; `kind` is the choice."""

    def __init__(self, kind: bool | None = None) -> None:
        self.kind = kind
        self.shared = MemoryStore(is_shared=True)
        self.all: dict[tuple[str, int], MemoryStore] = {}

    def open(self, topic, partition, wait_s):
        return self.shared if self.kind else self.all.setdefault((topic, partition), MemoryStore())

    def sink_position(self, name):
        return self.shared.sink_position.get(name)

    def is_shared(self, topic):
        return self.kind

    def choose(self, topic, *, shared):
        self.kind = shared
        return shared


class Uncut(MemorySink):
    """A topic: written records stay."""

    truncates = False

    def truncate(self, position):
        pass


class Chunks(MemorySource):
    """Polls return messages of random partitions, some at a time."""

    def __init__(self, messages, seed) -> None:
        super().__init__(messages)
        self.rng = np.random.default_rng(seed)

    def poll(self, max_records, timeout_s):
        if not self._assigned:
            return super().poll(0, timeout_s)
        found = []
        for partition in self.rng.permutation(N_PARTITIONS):
            at, waiting = self._next.get((T, partition), 0), self._messages.get((T, partition), [])
            part = waiting[at : at + int(self.rng.integers(0, 6))]
            self._next[T, int(partition)] = at + len(part)
            found += part
        return found


def spread(alerts, key=None):
    """Messages of alerts in random partitions."""
    rng, offsets, codec, found = np.random.default_rng(7), [0] * N_PARTITIONS, JsonLinesCodec(), []
    for alert in alerts:
        partition = int(rng.integers(0, N_PARTITIONS))
        found.append(
            Message(codec.encode(alert), key and key(alert), T, partition, offsets[partition], len(found))
        )
        offsets[partition] += 1
    return found


def read(pipeline, source, stores=None, sink=None, **settings):
    """The worker, and the records of its sink."""
    sink = sink if sink is not None else MemorySink()
    stores = stores if stores is not None else Stores()
    config = WorkerConfig(**{"linger_ms": 0.0} | settings)
    worker = Worker(pipeline, source, sink, stores, config=config)
    worker.run()
    return worker, [json.loads(value) for _, value in sink.records]


# --- twelve alerts of an object over three partitions ---------------------------------


@pytest.fixture(scope="module", params=[True, False], ids=["with history", "without history"])
def twelve(request, sample):
    """Twelve alerts of each of four objects, in order of time."""
    alerts = []
    for i in range(4):
        alerts += alerts_of(sample[11 * i], 8, whole=request.param)[:12]
    return sorted(alerts, key=lambda alert: (alert.mjd, alert.object_id))


@pytest.mark.parametrize("batch", [1, 5, 512])
def test_alerts_without_a_key_are_answered_as_from_a_keyed_topic(fast_pipeline, twelve, batch):
    """Polls bring the partitions side by side, so that the alerts of an object come in order."""
    codec = JsonLinesCodec()
    keyed = [Message(codec.encode(alert), None, T, 0, i, i) for i, alert in enumerate(twelve)]
    expected = read(fast_pipeline, MemorySource(keyed), Stores(False))[1]
    source = InOrder(spread(twelve))
    worker, records = read(fast_pipeline, source, batch=batch)
    assert worker.metrics.gauge("split_objects") is None
    by_alert = {record["alert"]: record for record in records}
    assert [by_alert[record["alert"]] for record in expected] == expected
    assert len(records) == len(expected) == 48


class InOrder(MemorySource):
    """Polls return messages in the order in which they were sent, from all partitions."""

    def poll(self, max_records, timeout_s):
        if not self._assigned:
            return super().poll(0, timeout_s)
        waiting = [m for p, messages in self._messages.items() for m in messages[self._next[p] :]]
        found = sorted(waiting, key=lambda message: message.timestamp_ms)[:max_records]
        for message in found:
            self._next[message.origin] += 1
        return found


@pytest.mark.parametrize("seed", range(3))
def test_in_any_order_of_partitions_the_last_record_is_that_of_batch(fast_pipeline, twelve, seed):
    worker, records = read(fast_pipeline, Chunks(spread(twelve), seed))
    assert worker.metrics.total("alerts") == worker.metrics.total("results") == 48
    last = {record["object"]: record for record in records}
    before: dict[str, dict] = {}
    for record in records:  # `change` is the distance to the record before
        known = before.get(record["object"])
        assert (record["change"] is None) == (known is None)
        before[record["object"]] = record
    batch = fast_pipeline.predict(light_curves(twelve), jobs=1)
    for name, n_obs, proba in zip(batch.object_id.tolist(), batch.n_obs, batch.proba, strict=True):
        assert last[name]["n_obs"] == n_obs == 96
        np.testing.assert_allclose(list(last[name]["proba"].values()), proba, atol=1e-6)


# --- crashes ----------------------------------------------------------------------------------


class Crash(BaseException):
    """The end of the process, as seen from inside."""


def crash_at(store: MemoryStore, n: int) -> None:
    """End the process before the n-th commit of offsets."""
    left = [n]

    def commit(changes):
        if changes.states:
            left[0] -= 1
        if left[0] < 0:
            del store.commit
            raise Crash
        MemoryStore.commit(store, changes)

    store.commit = commit


@pytest.mark.parametrize("n", [0, 2, 5])
@pytest.mark.parametrize("kind", [Uncut, MemorySink])
def test_results_published_before_a_crash_are_repeated_byte_for_byte(fast_pipeline, alert_stream, n, kind):
    stores, sink, messages = Stores(True), kind(), spread(alert_stream)
    crash_at(stores.shared, n)
    with pytest.raises(Crash):
        read(fast_pipeline, Chunks(messages, 1), stores, sink)
    published = list(sink.records)
    read(fast_pipeline, Chunks(messages, 2), stores, sink)  # other micro-batches
    names = {json.loads(value)["alert"] for _, value in sink.records}
    assert len(set(sink.records)) == len(names) == len(alert_stream)
    if kind is Uncut:  # the last micro-batch comes again, with the same bytes
        assert len(sink.records) > len(alert_stream)
        assert sink.records[: len(published)] == published
    else:
        assert len(sink.records) == len(alert_stream)
    assert stores.shared.offsets == {
        k: sum(message.partition == k for message in messages) for k in range(N_PARTITIONS)
    }


def test_a_micro_batch_whose_messages_are_gone_holds_nothing_up(fast_pipeline, alert_stream):
    stores, messages = Stores(True), spread(alert_stream)
    stores.shared.commit(Changes(planned={0: 10**6, 1: 4}))
    worker, records = read(fast_pipeline, Chunks(messages, 3), stores)
    assert worker.metrics.total("alerts") == len(records) == len(alert_stream)


def test_an_unfinished_micro_batch_is_complete_when_all_its_messages_came():
    messages = [Message(b"", None, T, k, i) for k in range(2) for i in range(5)]
    unfinished = Unfinished()
    assert not unfinished.is_waiting
    unfinished.expect((T, 0), None, 2)
    unfinished.expect((T, 1), 1, 3)
    unfinished.expect((T, 2), 7, 7)
    assert unfinished.add(messages[:3]) == 1
    assert not unfinished.is_complete
    unfinished.add(messages[5:7])
    assert not unfinished.is_complete
    assert unfinished.add([Message(b"", None, T, 1, 4)]) == 1  # there is no message 2 any more
    assert unfinished.is_complete
    assert [(m.partition, m.offset) for m in unfinished.take()] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert not unfinished.is_waiting
    unfinished.expect((T, 0), None, 2)
    unfinished.forget((T, 0))
    assert not unfinished.is_waiting


def test_alerts_of_several_partitions_follow_in_time_and_those_of_one_as_they_came():
    alerts = [((T, 0), 5.0), ((T, 0), 2.0), ((T, 1), 1.0), ((T, 1), 6.0), ((T, 0), 7.0)]
    assert in_order(alerts) == [2, 0, 1, 3, 4]
    swapped = [alerts[i] for i in (2, 3, 0, 1, 4)]
    assert [swapped[i] for i in in_order(swapped)] == [alerts[i] for i in in_order(alerts)]


# --- topics that lose messages, or are made again ---------------------------------------------


class Topic(MemorySource):
    """As a topic of Kafka: with an identity, and without the messages before some offsets."""

    def __init__(self, messages, name="cluster/1", low=(0,) * N_PARTITIONS) -> None:
        super().__init__(message for message in messages if message.offset >= low[message.partition])
        self.name, self.low, self.wanted = name, low, {}
        self.high = [0] * N_PARTITIONS
        for message in messages:
            self.high[message.partition] = message.offset + 1
            self._messages.setdefault(message.origin, [])
            self._next.setdefault(message.origin, 0)
        self.on_gap = None

    @property
    def exhausted(self):
        return not self.wanted and super().exhausted

    has_starts = False

    def starts(self):
        return {}

    def identity(self, topic):
        return self.name

    def new_identities(self):
        return {}

    def topics(self):
        return None

    def lags(self):
        return None

    def serve(self):
        pass

    def seek(self, topic, partition, offset):
        super().seek(topic, partition, offset)
        self.wanted[topic, partition] = offset

    def poll(self, max_records, timeout_s):
        if not self._assigned:
            return super().poll(0, timeout_s)
        for place, wanted in sorted(self.wanted.items()):
            low = self.low[place[1]]
            if wanted and not low <= wanted <= self.high[place[1]]:
                self._next[place] = 0
                self.on_gap(place, wanted, low)
        self.wanted.clear()
        return super().poll(max_records, timeout_s)


def counts(worker) -> tuple[int, ...]:
    names = ("alerts", "results", "redelivered", "lost", "recreated")
    return tuple(int(worker.metrics.total(name)) for name in names)


@pytest.mark.parametrize("shared", [True, False])
def test_removed_messages_are_counted_once_and_a_topic_made_again_is_read(
    fast_pipeline, alert_stream, shared
):
    """Each run is followed by one that finds nothing new, as after a restart."""
    stores, sink, messages = Stores(shared), MemorySink(), spread(alert_stream)
    ends = [sum(m.partition == k for m in messages) for k in range(N_PARTITIONS)]
    parts = [[m for m in messages if m.offset < ends[m.partition] // 3], messages]
    low = (ends[0] // 3 + 2, ends[1], 0)  # a gap, all removed, nothing removed
    lost = 2 + ends[1] - ends[1] // 3
    n_first, n = len(parts[0]), len(messages)

    def run(*source):
        return counts(read(fast_pipeline, Topic(*source), stores, sink, batch=20, forget_days=1e5)[0])

    assert run(parts[0]) == (n_first, n_first, 0, 0, 0)
    assert run(messages, "cluster/1", low) == (n - n_first - lost, n - n_first - lost, 0, lost, 0)
    assert run(messages, "cluster/1", low) == (0, 0, 0, 0, 0)
    again = run(messages, "cluster/2")
    assert again == (n, lost, n - lost, 0, N_PARTITIONS)
    assert run(messages, "cluster/2") == (0, 0, 0, 0, 0)
    shorter = run(parts[0], "/")  # a broker without identities: the range of offsets shows it
    assert shorter == (n_first, 0, n_first, 0, N_PARTITIONS)
    assert len({json.loads(value)["alert"] for _, value in sink.records}) == len(sink.records) == n


class Remade(Topic):
    """Once it is read, it is another topic of its name, with more messages than there were."""

    def __init__(self, before, after) -> None:
        super().__init__(before)
        self.after = after

    @property
    def exhausted(self):
        return not self.after and super().exhausted

    def new_identities(self):
        if not self.after or not self._assigned or self.lag():
            return {}
        self._messages.clear()
        self.append(self.after)
        self.after, self.name = [], "cluster/2"
        return {T: "/2"}


@pytest.mark.parametrize("shared", [True, False])
def test_a_topic_made_again_with_more_messages_is_read_from_its_beginning(
    fast_pipeline, alert_stream, shared
):
    sink, messages = MemorySink(), spread(alert_stream)
    first = [message for message in messages if message.offset < 20]
    ticks = iter(range(10**9)).__next__  # housekeeping after each batch
    config = WorkerConfig(linger_ms=0.0, batch=20, forget_days=1e5)
    source, stores = Remade(first, messages), Stores(shared)
    worker = Worker(fast_pipeline, source, sink, stores, config=config, clock=ticks)
    worker.run()
    n_first, n = len(first), len(messages)
    assert counts(worker) == (n_first + n, n, n_first, 0, N_PARTITIONS)
    assert len({json.loads(value)["alert"] for _, value in sink.records}) == len(sink.records) == n
    assert worker.metrics.health()["status"] == "messages lost"
    _, records = read(fast_pipeline, Topic(messages, "cluster/2"), stores)
    assert records == []


def test_a_gap_in_an_unfinished_micro_batch_is_counted_once(fast_pipeline, alert_stream):
    stores, messages = Stores(True), spread(alert_stream)
    stores.shared.commit(Changes(offsets={0: 2, 1: 0, 2: 0}, planned={0: 10, 1: 3}))
    worker, records = read(fast_pipeline, Topic(messages, low=(5, 0, 0)), stores)
    assert counts(worker) == (len(messages) - 5, len(messages) - 5, 0, 3, 0)
    assert len(records) == len(messages) - 5


def test_a_topic_made_again_has_no_clock_yet(fast_pipeline, alert_stream):
    stores, messages = Stores(True), spread(alert_stream)
    stores.shared.commit(Changes(clocks={k: 99999.0 for k in range(N_PARTITIONS)}))
    read(fast_pipeline, Topic(messages), stores)
    read(fast_pipeline, Topic(messages, "cluster/2"), stores)
    assert set(stores.shared.clocks.values()) == {-np.inf}


# --- which kind of topic it is ------------------------------------------------------------------


def by_object(alert):
    return alert.object_id.encode()


def by_alert(alert):
    return alert.alert_id.encode()


def test_partitions_of_an_empty_topic_are_counted_before_their_first_message(fast_pipeline):
    source = MemorySource([])
    worker = Worker(fast_pipeline, source, MemorySink(), Stores())
    source.on_assign([(T, 0), (T, 1)])
    assert worker.metrics.gauge("partitions") == 2
    source.on_revoke([(T, 1)])
    assert worker.metrics.gauge("partitions") == 1


@pytest.mark.parametrize(("key", "shared"), [(None, True), (by_object, False), (by_alert, True)])
def test_the_first_messages_show_whether_a_topic_is_keyed(fast_pipeline, alert_stream, key, shared):
    stores = Stores()
    worker, records = read(
        fast_pipeline, MemorySource(spread(alert_stream, key)), stores, batch=20, max_alerts=150
    )
    assert stores.kind is shared
    assert worker.metrics.total("alerts") == 150  # those that were looked at are read again
    assert len(records) + worker.metrics.total("redelivered") == 150


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"170028485706776685", True),
        (b'"170028485706776685"', True),
        ((170028485706776685).to_bytes(8, "big"), True),
        (b"17002848570677668", False),
        (b"", False),
        (None, False),
    ],
)
def test_a_key_is_the_object_in_text_or_as_a_number(key, expected):
    assert is_key_of(key, "170028485706776685") is expected


def test_messages_without_keys_or_with_schemas_are_not_keyed():
    assert may_be_keyed([Message(b"", b"1", T)])
    for key in (None, b"", b'{"type": "record"}', b"x" * 300):
        assert not may_be_keyed([Message(b"", b"1", T), Message(b"", key, T)])


@pytest.mark.parametrize("key", [None, b"other"])
def test_a_state_per_partition_warns_once_if_its_topic_splits_objects(
    fast_pipeline, alert_stream, caplog, key
):
    """As for a folder of an earlier version."""
    messages = [replace(message, key=key) for message in spread(alert_stream)]
    worker, records = read(fast_pipeline, MemorySource(messages), Stores(False))
    assert len(records) == len(alert_stream)
    assert caplog.text.count("alerts of one object come in several partitions") == 1
    assert worker.metrics.health()["split_objects"] == 1


def test_a_keyed_topic_raises_no_warning(caplog):
    metrics = Metrics()
    watch = KeyWatch(metrics)
    for i in range(100):
        watch.see(Message(b"", b"%d" % (i % 7), T, i % 7, i), str(i % 7))
    assert metrics.gauge("split_objects") is None
    assert caplog.text == ""
