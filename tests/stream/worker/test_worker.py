"""The worker answers every alert once, whatever the batches, the order and the crashes."""

import base64
import copy
import json
import logging
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from firstlight.errors import BrokerError, DataError, FirstlightError, SchemaError, SettingsError, StateError
from firstlight.stream import ContainerCodec, JsonLinesCodec
from firstlight.stream.alerts.decoder import AlertDecoder
from firstlight.stream.io.message import Message
from firstlight.stream.results.record import ElasticcResults, JsonResults
from firstlight.stream.state.store import MemoryStore
from firstlight.stream.worker.metrics import Metrics
from firstlight.stream.worker.worker import Worker, WorkerConfig

T = "alerts"


class Source:
    """Messages in memory, partition by partition, as from a broker."""

    def __init__(self, *partitions, chunk=None) -> None:
        self.partitions = {(T, i): list(records) for i, records in enumerate(partitions)}
        self.at = dict.fromkeys(self.partitions, 0)
        self.chunk = chunk or (lambda most: most)
        self.committed: dict = {}
        self.on_assign = self.on_revoke = None
        self.polls = 0

    def poll(self, max_records, timeout_s):
        if not self.polls and self.on_assign:
            self.on_assign(list(self.partitions))
        self.polls += 1
        found, most = [], max(1, self.chunk(max_records))
        for partition, records in self.partitions.items():
            start = self.at[partition]
            part = records[start : start + most - len(found)]
            self.at[partition] = start + len(part)
            found += part
        return found

    def seek(self, topic, partition, offset):
        self.at[topic, partition] = offset

    def commit(self, positions):
        self.committed |= positions

    @property
    def exhausted(self):
        return all(self.at[key] >= len(records) for key, records in self.partitions.items())

    def lag(self):
        return sum(len(records) - self.at[key] for key, records in self.partitions.items())

    def close(self):
        pass


class Sink:
    """Records in memory; `truncates` as a file would."""

    def __init__(self, name="out", truncates=True) -> None:
        self.name, self.truncates = name, truncates
        self.entries: list[tuple[bytes, bytes]] = []
        self.fails: list[Exception] = []
        self.flushes = 0

    def write(self, records):
        self.entries += records

    def flush(self):
        self.flushes += 1
        if self.fails:
            raise self.fails.pop(0)
        return len(self.entries)

    def truncate(self, position):
        del self.entries[position:]

    @property
    def values(self):
        return [value for _, value in self.entries]

    def close(self):
        pass


class Stores:
    """One `MemoryStore` per partition; they outlive workers."""

    def __init__(self) -> None:
        self.all: dict[tuple[str, int], MemoryStore] = {}

    def open(self, topic, partition, wait_s):
        return self.all.setdefault((topic, partition), MemoryStore())

    def sink_position(self, name):
        found = [store.sink_position.get(name) for store in self.all.values()]
        return max((n for n in found if n is not None), default=None)

    def is_shared(self, topic):
        return False

    def choose(self, topic, *, shared):
        return False

    def contents(self):
        return {key: (store.rows, store.entries, store.position) for key, store in self.all.items()}


def messages(alerts, partition=0):
    codec = JsonLinesCodec()
    return [Message(codec.encode(alert), None, T, partition, i, 1000 + i) for i, alert in enumerate(alerts)]


def garbage(value: bytes, offset: int = 0) -> Message:
    return Message(value, b"key", T, 0, offset)


def renumbered(records):
    return [replace(record, offset=i) for i, record in enumerate(records)]


@pytest.fixture
def run(fast_pipeline):
    """Run a worker over partitions of messages and return it."""

    def start(*partitions, stores=None, sink=None, letters=None, chunk=None, **settings):
        source = partitions[0] if isinstance(partitions[0], Source) else Source(*partitions, chunk=chunk)
        options = {
            name: settings.pop(name)
            for name in ("pipeline", "decoder", "form", "metrics", "on_batch", "clock", "clock_alerts")
            if name in settings
        }
        pipeline = options.pop("pipeline", fast_pipeline)
        worker = Worker(
            pipeline,
            source,
            sink if sink is not None else Sink(),
            stores if stores is not None else Stores(),
            dead_letters=letters,
            config=WorkerConfig(**{"linger_ms": 0.0} | settings),
            **options,
        )
        worker.run()
        return worker

    return start


@pytest.fixture(scope="module")
def undisturbed(fast_pipeline, alert_stream):
    """Records of the stream, one alert per batch, and the final state."""
    sink, stores = Sink(), Stores()
    source = Source(messages(alert_stream))
    Worker(fast_pipeline, source, sink, stores, config=WorkerConfig(batch=1, linger_ms=0.0)).run()
    return sink.values, stores.contents()


# --- one record per alert ----------------------------------------------------------


def test_every_alert_gets_one_record_in_the_order_of_the_input(undisturbed, alert_stream):
    records = [json.loads(value) for value in undisturbed[0]]
    assert [(r["object"], r["alert"]) for r in records] == [(a.object_id, a.alert_id) for a in alert_stream]
    assert {r["status"] for r in records} == {"classified", "not_classified"}
    first = {r["object"] for r in records if r["change"] is None}
    assert first == {a.object_id for a in alert_stream}


@pytest.mark.parametrize("batch", [2, 7, 64, 1000])
def test_any_batch_size_gives_the_same_bytes_and_the_same_state(run, undisturbed, alert_stream, batch):
    sink, stores = Sink(), Stores()
    run(messages(alert_stream), sink=sink, stores=stores, batch=batch)
    assert sink.values == undisturbed[0]
    assert stores.contents() == undisturbed[1]


def test_random_batches_give_the_same_bytes(run, undisturbed, alert_stream):
    rng = np.random.default_rng(5)
    for _ in range(3):
        sink = Sink()
        run(messages(alert_stream), sink=sink, chunk=lambda most: int(rng.integers(1, 60)))
        assert sink.values == undisturbed[0]


def test_a_preset_that_looks_back_gives_the_same_bytes_in_any_batch(run, tiny_default, alert_stream):
    sinks = []
    for batch in (1, 40):
        sinks.append(Sink())
        run(messages(alert_stream[:100]), pipeline=tiny_default, sink=sinks[-1], batch=batch)
    assert sinks[0].values == sinks[1].values


def test_partitions_keep_their_own_objects_and_the_set_of_records_stays(run, undisturbed, alert_stream):
    halves = [[a for a in alert_stream if int(a.object_id) % 3 == k] for k in range(3)]
    sink, stores, source = Sink(), Stores(), None
    source = Source(*(messages(half, k) for k, half in enumerate(halves)))
    run(source, sink=sink, stores=stores, batch=50)
    assert Counter(sink.values) == Counter(undisturbed[0])
    assert source.committed == {(T, k): len(half) for k, half in enumerate(halves)}
    assert sum(store.n_objects for store in stores.all.values()) == 16


def test_the_last_records_equal_the_batch_predictions(undisturbed, fast_pipeline, alert_stream):
    from firstlight.stream import light_curves

    batch = fast_pipeline.predict(light_curves(alert_stream), jobs=1)
    last = {r["object"]: r for r in map(json.loads, undisturbed[0])}
    for name, proba in zip(batch.object_id.tolist(), batch.proba, strict=True):
        np.testing.assert_allclose(list(last[name]["proba"].values()), proba, atol=1e-6)  # parity


def test_alerts_through_filters_that_the_bundle_does_not_know_are_counted_and_logged_once(
    run, fast_pipeline, alert_stream, caplog
):
    codec = ContainerCodec(survey="lsst")
    alerts = [replace(alert, alert_id=str(i + 1)) for i, alert in enumerate(alert_stream[:12])]
    sent = [Message(codec.encode(alert), None, T, 0, i) for i, alert in enumerate(alerts)]
    assert run(sent).metrics.by_label("other_filters") == {}
    foreign = copy.copy(fast_pipeline)
    foreign.info = fast_pipeline.info | {"filters": {"ztf_g": "g"}}
    with caplog.at_level(logging.WARNING, logger="firstlight.stream"):
        worker = run(sent, pipeline=foreign, batch=4)
    assert worker.metrics.by_label("other_filters") == {"lsst": 12}
    assert [r.getMessage() for r in caplog.records if "filters" in r.getMessage()] == [
        "alerts through filters that the bundle was not trained on"
    ]


# --- redelivery, order, time ---------------------------------------------------------


def test_a_repeated_alert_writes_nothing_and_changes_nothing(run, undisturbed, alert_stream):
    rng = np.random.default_rng(1)
    twice = list(alert_stream)
    for alert in rng.permutation(np.array(alert_stream, dtype=object))[:60]:
        twice.insert(int(rng.integers(twice.index(alert) + 1, len(twice) + 1)), alert)
    sink, stores = Sink(), Stores()
    worker = run(messages(twice), sink=sink, stores=stores, batch=32)
    assert sink.values == undisturbed[0]
    assert worker.metrics.total("redelivered") == 60
    rows = stores.contents()[T, 0][0]
    assert {k: v[1] for k, v in rows.items()} == {k: v[1] for k, v in undisturbed[1][T, 0][0].items()}


def test_late_alerts_are_answered_in_any_batch_alike(run, fast_pipeline, alert_stream):
    shuffled = [alert_stream[i] for i in np.random.default_rng(2).permutation(len(alert_stream))]
    sinks = []
    for batch in (1, 50):
        sinks.append(Sink())
        worker = run(messages(shuffled), sink=sinks[-1], batch=batch, forget_days=1e6)
    assert sinks[0].values == sinks[1].values
    assert len(sinks[0].values) == len(alert_stream)
    assert worker.metrics.total("late") > 0
    assert sum(json.loads(value)["late"] for value in sinks[0].values) == worker.metrics.total("late")


def test_wrong_alert_times_evict_no_object(run, alert_stream):
    """One alert in ten claims a far future or past; in the past none of its observations is known yet."""
    mad = [
        replace(a, mjd=a.mjd + 3e4 * (1 if i % 20 else -1)) if i % 10 == 0 else a
        for i, a in enumerate(alert_stream)
    ]
    n_past = sum(a.observations.mjd.min() > a.mjd for a in mad)
    stores = Stores()
    worker = run(messages(mad), stores=stores, clock_alerts=50, forget_days=2000.0)
    assert worker.metrics.total("evicted") == 0
    assert stores.all[T, 0].n_objects == 16
    assert worker.metrics.total("rejected") == n_past > 0


def test_a_hot_object_among_others_goes_through_in_rounds(run, make_alert, undisturbed, alert_stream):
    hot = make_alert(400, object_id="hot", dereddened=True)
    parts = [
        replace(
            hot,
            alert_id=f"hot-{k}",
            mjd=float(hot.observations.mjd[k]),
            observations=type(hot.observations).wrap(
                [
                    getattr(hot.observations, n)[k : k + 1].copy()
                    for n in ("mjd", "band", "flux", "flux_err", "detected", "source_id")
                ]
            ),
        )
        for k in range(400)
    ]
    sinks = []
    for batch in (1, 512):
        sinks.append(Sink())
        run(messages([*alert_stream[:20], *parts, *alert_stream[20:]]), sink=sinks[-1], batch=batch)
    assert sinks[0].values == sinks[1].values
    assert [v for v in sinks[0].values if b'"object":"hot"' not in v] == undisturbed[0]
    last = json.loads([v for v in sinks[0].values if b'"object":"hot"' in v][-1])
    assert last["n_obs"] == 400


# --- bad packets --------------------------------------------------------------------


POISON = [b"", b"\0\0\0\0\x63bad", b"{}", b"Obj\x01", b"\x78\x9cxx", b"\xff" * 40, b'{"alert_id": 1e999}']


def test_poison_goes_to_the_dead_letters_with_place_reason_and_bytes(run, undisturbed, alert_stream):
    good = messages(alert_stream)
    for i, value in enumerate(POISON):
        good.insert(20 * i, garbage(value))
    records = renumbered(good)
    sink, letters = Sink(), Sink("letters")
    worker = run(records, sink=sink, letters=letters, batch=64)
    kept = [json.loads(v) for v in sink.values]
    assert [(r["object"], r["alert"]) for r in kept] == [(a.object_id, a.alert_id) for a in alert_stream]
    found = [json.loads(value) for value in letters.values]
    assert [base64.b64decode(letter["value"]) for letter in found] == POISON
    assert [letter["offset"] for letter in found] == [20 * i for i in range(len(POISON))]
    assert all(letter["kind"] == "decode" and letter["reason"] for letter in found)
    assert base64.b64decode(found[0]["key"]) == b"key"
    assert worker.metrics.by_label("rejected") == {"decode": len(POISON)}
    assert worker.metrics.total("undecoded") == len(POISON)
    histograms = {metric.name: metric.samples for metric in worker.metrics.delays.collect()}
    for name in ("firstlight_delay_append_seconds", "firstlight_delay_alert_seconds"):
        (count,) = [sample.value for sample in histograms[name] if sample.name.endswith("_count")]
        assert count == len(alert_stream)


def test_an_unreadable_message_is_rejected_with_its_reason_and_no_schema(run, alert_stream):
    broken = replace(garbage(b""), key=b"s" * 60_000, error="damaged Avro block at byte 7")
    letters = Sink("letters")
    run(renumbered([broken, *messages(alert_stream[:1])]), letters=letters)
    (letter,) = [json.loads(value) for value in letters.values]
    assert (letter["reason"], letter["key"]) == ("damaged Avro block at byte 7", None)


def test_without_dead_letters_bad_packets_are_counted_all_the_same(run, alert_stream):
    worker = run(renumbered([garbage(b"bad"), *messages(alert_stream[:3])]))
    assert worker.metrics.total("rejected") == 1
    assert worker.metrics.total("alerts") == 4
    assert worker.metrics.total("results") == 3


class Picky:
    """A pipeline on which some alerts' data fails."""

    def __init__(self, pipeline, fails, error) -> None:
        self._pipeline, self._fails, self._error = pipeline, fails, error
        self.bundle_version = pipeline.bundle_version
        self.states, self.surveys = pipeline.states, pipeline.surveys

    def update(self, states, arrivals, logs):
        if set(arrivals.curves.object_id.tolist()) & self._fails:
            raise self._error
        return self._pipeline.update(states, arrivals, logs)


@pytest.mark.parametrize("error", [DataError("no"), ValueError("no"), ZeroDivisionError(), IndexError()])
def test_an_alert_that_fails_in_the_pipeline_affects_no_other(
    run, fast_pipeline, undisturbed, alert_stream, error
):
    bad = alert_stream[0].object_id
    letters, sink = Sink("letters"), Sink()
    run(
        messages(alert_stream),
        pipeline=Picky(fast_pipeline, {bad}, error),
        letters=letters,
        sink=sink,
        batch=40,
    )
    assert sink.values == [v for v in undisturbed[0] if json.loads(v)["object"] != bad]
    found = [json.loads(value) for value in letters.values]
    assert [letter["alert"] for letter in found] == [a.alert_id for a in alert_stream if a.object_id == bad]
    assert {letter["kind"] for letter in found} == {"pipeline"}


def test_when_every_alert_fails_the_worker_stops_instead_of_rejecting_the_night(
    run, fast_pipeline, alert_stream
):
    everything = {alert.object_id for alert in alert_stream}
    stores = Stores()
    with pytest.raises(FirstlightError, match="the alerts cannot be the cause"):
        run(
            messages(alert_stream),
            pipeline=Picky(fast_pipeline, everything, DataError("broken bundle")),
            stores=stores,
        )
    assert stores.all[T, 0].position is None


def test_other_errors_stop_the_worker(run, fast_pipeline, alert_stream):
    with pytest.raises(TypeError):
        run(messages(alert_stream), pipeline=Picky(fast_pipeline, {alert_stream[0].object_id}, TypeError()))


def test_skipped_alerts_are_counted_and_kept_only_by_setting(run, alert_stream):
    line = JsonLinesCodec().encode(replace(alert_stream[0], object_id=""))
    records = renumbered([garbage(line), *messages(alert_stream[:2])])
    for keep, n in ((False, 0), (True, 1)):
        letters = Sink("letters")
        worker = run(records, letters=letters, keep_skips=keep)
        assert worker.metrics.by_label("skipped") == {"no-object": 1}
        assert len(letters.values) == n
    assert json.loads(letters.values[0])["kind"] == "skip"


# --- crashes --------------------------------------------------------------------------


class Crash(BaseException):
    """The end of the process, as seen from inside."""


class CrashingStores(Stores):
    """The process ends before or after commit number `n`."""

    def __init__(self, n: int, after: bool) -> None:
        super().__init__()
        self.left, self.after = n, after

    def open(self, topic, partition, wait_s):
        store = super().open(topic, partition, wait_s)
        commit = MemoryStore.commit.__get__(store)

        def counted(changes):
            if changes.position is not None:
                self.left -= 1
            if self.left < 0 and not self.after:
                raise Crash
            commit(changes)
            if self.left < 0:
                raise Crash

        store.commit = counted
        return store


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_crash_around_the_commit_loses_and_repeats_nothing(run, undisturbed, alert_stream, n, after):
    sink, stores = Sink(), CrashingStores(n, after)
    with pytest.raises(Crash):
        run(messages(alert_stream), sink=sink, stores=stores, batch=30)
    stores.left = 10**9
    run(messages(alert_stream), sink=sink, stores=stores, batch=17)
    assert sink.values == undisturbed[0]
    assert stores.contents() == undisturbed[1]


@pytest.mark.parametrize("n", [0, 2])
def test_a_sink_that_cannot_be_cut_gets_the_same_bytes_again(run, undisturbed, alert_stream, n):
    sink, stores = Sink(truncates=False), CrashingStores(n, after=False)
    with pytest.raises(Crash):
        run(messages(alert_stream), sink=sink, stores=stores, batch=30)
    stores.left = 10**9
    run(messages(alert_stream), sink=sink, stores=stores, batch=30)
    assert len(sink.values) == len(undisturbed[0]) + 30
    assert set(sink.values) == set(undisturbed[0])


def test_a_crash_between_partitions_leaves_a_file_that_can_be_cut_exactly(run, undisturbed, alert_stream):
    halves = [[a for a in alert_stream if int(a.object_id) % 2 == k] for k in range(2)]
    parts = [messages(half, k) for k, half in enumerate(halves)]
    for n in range(5):
        sink, stores = Sink(), CrashingStores(n, after=False)
        with pytest.raises(Crash):
            run(*parts, sink=sink, stores=stores, batch=200, chunk=lambda most: 60)
        stores.left = 10**9
        run(*parts, sink=sink, stores=stores, batch=200)
        assert Counter(sink.values) == Counter(undisturbed[0])


def test_the_content_of_a_file_before_the_first_run_is_kept(run, undisturbed, alert_stream):
    sink, stores = Sink(), CrashingStores(0, after=False)
    sink.write([(b"", b"older")])
    with pytest.raises(Crash):
        run(messages(alert_stream), sink=sink, stores=stores)
    stores.left = 10**9
    run(messages(alert_stream), sink=sink, stores=stores)
    assert sink.values == [b"older", *undisturbed[0]]


def test_a_damaged_store_is_read_again_from_the_beginning(run, undisturbed, alert_stream):
    sink, stores = Sink(truncates=False), Stores()

    def spoil(batch):
        store = stores.all[T, 0]
        if store.position and store.position >= 60 and not store.recovered:

            def damaged(changes):
                store.rows.clear(), store.entries.clear()
                store.position, store.recovered = None, "page 7 is damaged"
                del store.commit
                raise StateError("page 7 is damaged")

            store.commit = damaged

    run(messages(alert_stream), sink=sink, stores=stores, batch=30, on_batch=spoil)
    assert set(sink.values) == set(undisturbed[0])
    assert stores.contents()[T, 0][2] == len(alert_stream)


def test_a_full_disk_stops_the_worker(run, alert_stream):
    stores = Stores()
    store = stores.open(T, 0, 0.0)

    def full(changes):
        if changes.position:
            raise StateError("no space left")
        MemoryStore.commit(store, changes)

    store.commit = full
    with pytest.raises(StateError, match="no space"):
        run(messages(alert_stream), stores=stores)


# --- unreachable services ------------------------------------------------------------


def test_a_sink_that_was_unreachable_gets_everything_later(run, undisturbed, alert_stream):
    sink = Sink()
    sink.fails = []
    seen = []

    def trouble(batch):
        seen.append(batch)
        if len(seen) == 2:
            sink.fails = [BrokerError("away")]

    worker = run(messages(alert_stream), sink=sink, batch=30, on_batch=trouble)
    assert sink.values == undisturbed[0]
    assert worker.metrics.by_label("retries") == {"sink": 1}


def test_patience_ends(run, alert_stream):
    sink = Sink(truncates=False)
    sink.fails = [BrokerError("away")] * 5
    with pytest.raises(BrokerError):
        run(messages(alert_stream), sink=sink, patience_s=0.0, clock=iter(range(10**6)).__next__)


def test_an_unreachable_registry_delays_and_loses_nothing(run, undisturbed, alert_stream):
    class Moody(AlertDecoder):
        tries = 0

        def decode_all(self, value, key=None):
            Moody.tries += 1
            if Moody.tries == 5:
                raise SchemaError("registry away")
            return super().decode_all(value, key)

    sink = Sink()
    worker = run(messages(alert_stream), sink=sink, decoder=Moody())
    assert sink.values == undisturbed[0]
    assert worker.metrics.total("retries") == 1


def test_stopped_while_waiting_it_commits_nothing(fast_pipeline, alert_stream):
    sink, stores = Sink(truncates=False), Stores()
    sink.fails = [BrokerError("away")] * 100
    worker = Worker(fast_pipeline, Source(messages(alert_stream)), sink, stores)
    timer = threading.Timer(0.3, worker.stop)
    timer.start()
    worker.run()
    timer.join()
    assert stores.all[T, 0].position is None


# --- stop and continue -----------------------------------------------------------------------


def test_stopped_after_any_batch_it_continues_there(fast_pipeline, undisturbed, alert_stream):
    sink, stores, rounds = Sink(), Stores(), 0
    workers = []
    while stores.contents().get((T, 0), (0, 0, 0))[2] != len(alert_stream):
        workers.append(
            Worker(
                fast_pipeline,
                Source(messages(alert_stream)),
                sink,
                stores,
                config=WorkerConfig(batch=40, linger_ms=0.0),
                on_batch=lambda batch: workers[-1].stop(),
            )
        )
        workers[-1].run()
        rounds += 1
    assert rounds > 3
    assert all(worker.stopped for worker in workers[:-1])
    assert sink.values == undisturbed[0]
    assert stores.contents() == undisturbed[1]


def test_messages_before_the_stored_position_are_skipped_with_one_warning(run, alert_stream, caplog):
    class Recreated(Source):
        def seek(self, topic, partition, offset):
            pass  # the position no longer exists: the broker starts at its beginning

    stores, sink = Stores(), Sink()
    run(messages(alert_stream[:40]), stores=stores)
    run(Recreated(messages(alert_stream[:60])), stores=stores, sink=sink, batch=7)
    assert len(sink.values) == 20
    assert caplog.text.count("if the topic was created again, move its state away") == 1


def test_max_alerts_is_exact(run, undisturbed, alert_stream):
    sink = Sink()
    worker = run(messages(alert_stream), sink=sink, batch=32, max_alerts=45)
    assert worker.metrics.total("alerts") == 45
    assert sink.values == undisturbed[0][:45]


def test_partitions_come_and_go_and_their_stores_with_them(fast_pipeline, alert_stream):
    closed = []

    class Closing(Stores):
        def open(self, topic, partition, wait_s):
            store = super().open(topic, partition, wait_s)
            store.close = lambda: closed.append(partition)
            return store

    source = Source(messages(alert_stream[:40], 0), messages(alert_stream[40:80], 1))

    def revoke(batch):
        if not closed:
            source.on_revoke([(T, 1)])
            assert closed == [1]
            assert worker.metrics.gauge("partitions") == 1
            source.on_assign([(T, 1)])

    stores = Closing()
    worker = Worker(fast_pipeline, source, Sink(), stores, config=WorkerConfig(batch=10), on_batch=revoke)
    worker.run()
    assert [store.position for store in stores.all.values()] == [40, 40]
    assert sorted(closed) == [0, 1, 1]


# --- forgetting ------------------------------------------------------------------------------


def quiet_then_back(make_alert, gap: float):
    first = make_alert(20, object_id="q", seed=1, dereddened=True)
    second = make_alert(20, object_id="q", seed=2, dereddened=True, alert_id="2")
    later = replace(second.observations, mjd=second.observations.mjd + gap)
    return first, replace(second, observations=later, mjd=second.mjd + gap)


def test_an_object_without_observations_for_too_long_restarts_evicted_or_not(run, make_alert):
    first, second = quiet_then_back(make_alert, 1000.0)
    outs = {}
    for evicted in (False, True):
        sink, stores = Sink(), Stores()
        run(messages([first]), sink=sink, stores=stores, forget_days=400.0)
        if evicted:
            assert stores.all[T, 0].evict(first.mjd + 500.0, 10) == 1
        run(messages([first, second]), sink=sink, stores=stores, forget_days=400.0)
        outs[evicted] = sink.values
    assert outs[False] == outs[True]
    assert json.loads(outs[False][1])["n_obs"] == 20
    assert json.loads(outs[False][1])["change"] is None
    sink = Sink()
    run(messages([first, second]), sink=sink, forget_days=2000.0)
    assert json.loads(sink.values[1])["n_obs"] == 40


def test_objects_are_evicted_by_the_time_of_the_stream(run, make_alert):
    old, _ = quiet_then_back(make_alert, 0.0)
    recent = []
    for i in range(60):
        alert = make_alert(6, object_id=f"n{i}", seed=10 + i, dereddened=True)
        shift = 2 * 400.0 + 200.0
        recent.append(
            replace(
                alert,
                mjd=alert.mjd + shift,
                observations=replace(alert.observations, mjd=alert.observations.mjd + shift),
            )
        )
    stores = Stores()
    worker = run(messages([old, *recent]), stores=stores, clock_alerts=50, forget_days=400.0)
    assert worker.metrics.total("evicted") == 1
    assert stores.all[T, 0].n_objects == 60
    assert worker.metrics.gauge("stream_mjd") == pytest.approx(61100.0, abs=50.0)


def test_nothing_is_evicted_before_the_streams_time_is_known(run, make_alert):
    first, second = quiet_then_back(make_alert, 3000.0)
    other = replace(first, object_id="other")
    stores = Stores()
    worker = run(messages([other, second]), stores=stores, clock_alerts=50)
    assert worker.metrics.gauge("stream_mjd") is None
    assert stores.all[T, 0].n_objects == 2


# --- damage, other bundles, other presets -----------------------------------------------------


def test_a_lost_row_is_rebuilt_from_the_log(run, undisturbed, alert_stream):
    half = len(alert_stream) // 2
    sink, stores = Sink(), Stores()
    run(messages(alert_stream), sink=sink, stores=stores, max_alerts=half)
    store = stores.all[T, 0]
    for name, (number, _, mjd) in list(store.rows.items()):
        store.rows[name] = (number, None, mjd)
    run(messages(alert_stream), sink=sink, stores=stores)
    for value, expected in zip(sink.values, undisturbed[0], strict=True):
        record, wanted = json.loads(value), json.loads(expected)
        if record["change"] is None:  # the previous record is not in the log
            wanted["change"] = None
        assert record == wanted


def test_an_unreadable_log_is_dropped(run, alert_stream):
    sink, stores = Sink(), Stores()
    store = stores.open(T, 0, 0.0)
    store.entries[alert_stream[0].object_id] = [b"\x07" * 16]
    worker = run(messages(alert_stream), sink=sink, stores=stores)
    assert worker.metrics.total("damaged") == 1
    assert len(sink.values) == len(alert_stream)


def test_the_elasticc_file_has_one_preamble(run, alert_stream, tmp_path):
    from firstlight.stream.results.read import read_results

    sink, stores = Sink(), Stores()
    for most in (30, 10**6):
        run(
            messages(alert_stream),
            sink=sink,
            stores=stores,
            form=ElasticcResults(in_file=True),
            max_alerts=most,
        )
    path = tmp_path / "out.avro"
    path.write_bytes(b"".join(sink.values))
    assert read_results(path).alert_id.tolist() == [alert.alert_id for alert in alert_stream]


def test_the_metrics_count_a_run(run, alert_stream):
    metrics = Metrics("b")
    run(messages(alert_stream), metrics=metrics, batch=50)
    assert metrics.total("alerts") == metrics.total("results") == len(alert_stream)
    assert metrics.gauge("objects") == 16
    assert metrics.gauge("lag") == 0
    assert metrics.gauge("state_bytes") > 0
    assert metrics.health()["status"] == "ok"
    assert all(metrics.seconds(stage) > 0 for stage in ("decode", "read", "update", "encode", "commit"))


@pytest.mark.parametrize(
    ("name", "value"), [("batch", 0), ("forget_days", -1), ("linger_ms", float("nan")), ("max_alerts", 0)]
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(SettingsError, match=name):
        WorkerConfig(**{name: value})


def test_a_record_that_the_output_cannot_hold_is_one_dead_letter(run, alert_stream):
    class Narrow(JsonResults):
        def encode(self, record, timestamp_ms):
            if record["alert"] == alert_stream[3].alert_id:
                raise OverflowError("int too large")
            return super().encode(record, timestamp_ms)

    sink, letters = Sink(), Sink("letters")
    worker = run(messages(alert_stream[:8]), sink=sink, letters=letters, form=Narrow())
    assert len(sink.values) == 7
    assert worker.metrics.by_label("rejected") == {"encode": 1}
    assert b"int too large" in letters.values[0]
