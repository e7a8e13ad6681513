"""The command ``replay``: light curves as an alert stream."""

import contextlib
import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstlight.cli.app import PLASTICC, Data, KafkaConfig, Objects, Seed, app, console
from firstlight.cli.reading import Reading, reads_curves
from firstlight.constants import MJD_OF_1970
from firstlight.errors import INTERRUPTED, SettingsError

if TYPE_CHECKING:
    from firstlight.stream.replay.replay import Replay, ReplayPacket
    from firstlight.stream.replay.sinks import PacketSink

_REFRESH_S = 0.2
_SECONDS_PER_DAY = 86_400.0

_EPILOG = (
    "Examples: firstlight replay --data curves.csv --metadata meta.csv --sink alerts.avro  |  "
    "firstlight replay --detections-only --packet-kb 80 --rate 300 --sink kafka://127.0.0.1:9092/alerts"
)


SinkUrl = Annotated[
    str | None,
    typer.Option(
        help="Where to send the alerts: kafka://HOST:PORT/TOPIC, FILE.avro, FILE.jsonl, or a folder "
        "(one Avro file per night)."
    ),
]
DetectionsOnly = Annotated[
    bool,
    typer.Option(
        "--detections-only",
        help="Send alerts for detections only, as LSST does; other observations arrive as forced "
        "photometry in later alerts.",
    ),
]
HistoryDays = Annotated[
    float, typer.Option(min=0.0, help="Length of the history in an alert (days). LSST: twelve months.")
]
FromMjd = Annotated[
    float, typer.Option(help="Send alerts from this MJD on; their history includes earlier observations.")
]
ToMjd = Annotated[float, typer.Option(help="Send alerts up to this MJD.")]
MaxAlerts = Annotated[int | None, typer.Option(min=1, help="Maximum number of alerts. Default: all.")]
Rate = Annotated[
    float | None,
    typer.Option(help="Alerts per second. Default: as fast as possible."),
]
Speedup = Annotated[
    float | None,
    typer.Option(help="Send this many times faster than observed; 1 is real time. Excludes --rate."),
]
PacketKb = Annotated[
    float,
    typer.Option(min=0.0, help="Fill packets up to this size (kB) with a random cutout. LSST: 30 to 80 kB."),
]
ShuffleNight = Annotated[
    bool, typer.Option("--shuffle-night", help="Send the alerts of each night in random order.")
]
Late = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Fraction of alerts to send up to ten days late.")
]
Repeat = Annotated[float, typer.Option(min=0.0, max=1.0, help="Fraction of alerts to send twice.")]
Names = Annotated[
    Path | None,
    typer.Option(
        help="Give objects with non-integer names a number, and write names and numbers to this CSV file."
    ),
]
SchemaOut = Annotated[
    Path | None,
    typer.Option(help="Folder for the Avro schema of the alerts, which other consumers may need."),
]


@app.command(epilog=_EPILOG)
@reads_curves
def replay(
    sink: SinkUrl = None,
    data: Data = PLASTICC,
    objects: Objects = None,
    detections_only: DetectionsOnly = False,
    history_days: HistoryDays = 365.0,
    from_mjd: FromMjd = -float("inf"),
    to_mjd: ToMjd = float("inf"),
    max_alerts: MaxAlerts = None,
    rate: Rate = None,
    speedup: Speedup = None,
    packet_kb: PacketKb = 0.0,
    shuffle_night: ShuffleNight = False,
    late: Late = 0.0,
    repeat: Repeat = 0.0,
    seed: Seed = 0,
    names: Names = None,
    kafka_config: KafkaConfig = None,
    schema_out: SchemaOut = None,
    *,
    reading: Reading,
) -> None:
    """Send light curves as a time-ordered stream of alerts in LSST's format, one per observation."""
    from firstlight.stream.replay.replay import Replay, ReplayConfig, paced
    from firstlight.stream.replay.sinks import open_packet_sink, write_schema

    if sink is None and schema_out is None:
        raise SettingsError("give a --sink: kafka://HOST:PORT/TOPIC, FILE.avro, FILE.jsonl, or a folder")
    if schema_out is not None:
        console.print(f"Schema of the alerts: {write_schema(schema_out)}")
    if sink is None:
        return
    config = ReplayConfig(
        detections_only=detections_only,
        history_days=history_days,
        from_mjd=from_mjd,
        to_mjd=to_mjd,
        max_alerts=max_alerts,
        packet_bytes=round(packet_kb * 1000),
        shuffle_night=shuffle_night,
        late=late,
        repeat=repeat,
        renumber=names is not None,
        seed=seed,
    )
    paced((), rate=rate, speedup=speedup)  # checks the pace before the data are read
    target = open_packet_sink(sink, kafka_config)
    stream = Replay(reading.curves(data, objects, Path("replay")), config)
    packets = paced(target.packets(stream), rate=rate, speedup=speedup)
    if names is not None:
        _write_names(stream, names)
    _send(target, packets, stream, sink)


def _send(target: "PacketSink", packets: "Iterator[ReplayPacket]", stream: "Replay", sink: str) -> None:
    """Write all packets, and print their number and rate."""
    begun = time.monotonic()
    n_sent, n_bytes = 0, 0
    try:
        with target:
            for packet in _follow(packets, len(stream)):
                target.write(packet)
                n_sent, n_bytes = n_sent + 1, n_bytes + len(packet.value)
    except KeyboardInterrupt:
        console.print(f"interrupted after {n_sent:,} alerts; incomplete files are not kept")
        raise typer.Exit(INTERRUPTED) from None
    took = max(time.monotonic() - begun, 1e-9)
    console.print(
        f"{n_sent:,} alerts of {len(set(stream.object_index.tolist())):,} objects, {n_bytes / 1e6:,.1f} MB, "
        f"{n_sent / took:,.0f} alerts/s: {sink}",
        highlight=False,
        soft_wrap=True,
    )


def _follow(packets: "Iterator[ReplayPacket]", total: int) -> "Iterator[ReplayPacket]":
    """The same packets, with a progress bar that shows number, rate and the date in the stream."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("replay", total=total, speed="")
        begun = shown = time.monotonic()
        n_bytes = 0
        for n, packet in enumerate(packets, 1):
            yield packet
            n_bytes += len(packet.value)
            now = time.monotonic()
            if now - shown >= _REFRESH_S or n == total:
                shown, took = now, max(now - begun, 1e-9)
                speed = f"{n / took:,.0f}/s  {n_bytes / took / 1e6:,.1f} MB/s"
                bars.update(task, completed=n, description=_date(packet.mjd), speed=speed)


def _date(mjd: float) -> str:
    """Time in the stream as MJD and date."""
    with contextlib.suppress(OverflowError, ValueError, OSError):  # times of light curves are not bounded
        when = time.gmtime((mjd - MJD_OF_1970) * _SECONDS_PER_DAY)
        return f"MJD {mjd:.3f} ({time.strftime('%Y-%m-%d', when)})"
    return f"MJD {mjd:.3f}"


def _write_names(stream: "Replay", path: Path) -> None:
    """Write the names of objects and their numbers."""
    from firstlight.files import replacing

    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["object_id", "number"])
        writer.writerows(zip(stream.curves.object_id.tolist(), stream.numbers.tolist(), strict=True))
