"""Signals before a worker is ready, while it runs, and after its terminal was closed."""

import os
import signal
from contextlib import closing

import pytest

from firstlight.stream.worker import signals
from firstlight.stream.worker.signals import Hangups, stopping_softly


class Recorder:
    """A worker that notes its calls."""

    def __init__(self) -> None:
        self.orders: list[str] = []

    def stop(self) -> None:
        self.orders.append("stop")

    def change_bundles(self) -> None:
        self.orders.append("change")


@pytest.fixture
def terminal(monkeypatch):
    """Whether standard input is a terminal; none at first."""
    is_there = [False]
    monkeypatch.setattr(signals, "_has_terminal", lambda: is_there[0])
    return is_there


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


def test_a_hangup_before_the_worker_is_ready_changes_its_bundles_then_and_ends_nothing(terminal):
    before, worker = signal.getsignal(signal.SIGHUP), Recorder()
    with closing(Hangups()) as hangups:
        hang_up()
        hang_up()
        hangups.use(worker)
        assert worker.orders == ["change"]
        hang_up()
        assert worker.orders == ["change", "change"]
    assert signal.getsignal(signal.SIGHUP) == before


def test_without_a_hangup_nothing_is_loaded_twice(terminal):
    worker = Recorder()
    with closing(Hangups()) as hangups:
        hangups.use(worker)
    assert worker.orders == []


def test_a_closed_terminal_stops_the_worker_or_the_start(terminal):
    terminal[0], worker = True, Recorder()
    with closing(Hangups()) as hangups:
        terminal[0] = False
        with pytest.raises(SystemExit):
            hang_up()
        hangups.use(worker)
        hang_up()
    assert worker.orders == ["stop"]


def test_a_second_signal_goes_to_whoever_had_it_before(terminal, request):
    worker = Recorder()
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores Ctrl-C
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, inherited))
    with stopping_softly(worker):
        os.kill(os.getpid(), signal.SIGINT)
        assert worker.orders == ["stop"]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
