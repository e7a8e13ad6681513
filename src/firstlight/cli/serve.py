"""The command ``serve``: the live page for a night."""

import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from firstlight.cli.app import KafkaConfig, app, console, need_libraries
from firstlight.cli.rank import Planning, plans_a_night
from firstlight.cli.reading import Reading, reads_curves

if TYPE_CHECKING:
    from socket import socket

    from firstlight.serve.desk import Desk, DeskConfig

_KAFKA = "kafka://"


@app.command(
    epilog="Examples: firstlight serve --results classes.jsonl  |  firstlight serve --results "
    "kafka://broker:9092/classes --data kafka://broker:9092/alerts --site paranal --feedback verdicts.jsonl"
)
@reads_curves
@plans_a_night
def serve(
    results: Annotated[
        str, typer.Option(help="Results of stream: kafka://HOST:PORT/TOPIC, a file, or a folder of files.")
    ],
    data: Annotated[
        str | None,
        typer.Option(
            help="Observations for the light curves: alerts (kafka://HOST:PORT/TOPIC, a file or a folder), "
            "which are followed; a file of light curves, which is read once; or 'plasticc'. Default: the "
            "magnitudes that the results state."
        ),
    ] = None,
    feedback: Annotated[
        Path | None, typer.Option(help="File for your verdicts on objects. Default: the page is read-only.")
    ] = None,
    night: Annotated[
        str | None,
        typer.Option(
            help="Local date of the evening, YYYY-MM-DD. Default: the night that holds or follows the newest "
            "record."
        ),
    ] = None,
    dead_letters: Annotated[
        str,
        typer.Option(
            help="Dead letters of the worker: a topic or a file. Default: those beside a file of results."
        ),
    ] = "",
    worker: Annotated[
        str, typer.Option(help="Address of the worker's metrics, such as http://127.0.0.1:9108.")
    ] = "",
    bundle: Annotated[
        list[Path] | None,
        typer.Option(
            help="Bundle that made records, to explain its answers; may be repeated. Shipped ones are known."
        ),
    ] = None,
    kafka_config: KafkaConfig = None,
    most_objects: Annotated[
        int, typer.Option(min=2, help="Objects to keep in memory; those with the oldest records go first.")
    ] = 200_000,
    host: Annotated[
        str,
        typer.Option(
            help="Address on which to listen. Another than 127.0.0.1 needs the token that is printed."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8321,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    *,
    plan: Planning,
    reading: Reading,
) -> None:
    """Show tonight's objects in a browser, live: table, light curves, sky, stream, and an API.

    The token for other addresses than 127.0.0.1 may be set by FIRSTLIGHT_SERVE_TOKEN.
    """
    import os

    need_libraries("the page", "serve", ("fastapi", "uvicorn"))
    if results.startswith(_KAFKA) or (data or "").startswith(_KAFKA):
        need_libraries("Kafka", "stream", ("confluent_kafka",))
    from firstlight.serve.desk import DeskConfig
    from firstlight.serve.run import TOKEN_VARIABLE, listen, make_token
    from firstlight.serve.tonight import file_or_topic

    config = DeskConfig(
        results=results,
        plan=plan.page(night),
        kafka_config=kafka_config,
        feedback=feedback,
        dead_letters=dead_letters,
        worker=worker,
        most_objects=most_objects,
        bundles=tuple(bundle or ()),
    )
    token = make_token(host, os.environ.get(TOKEN_VARIABLE, ""))
    desk = _desk(config, data, reading)
    _run(desk, listen(host, port), token, file_or_topic(results), open_page)


def _run(desk: "Desk", sock: "socket", token: str, title: str, open_page: bool) -> None:
    """Serve the page until Ctrl-C; its address is the first line on stdout."""
    from firstlight.serve.run import address_of
    from firstlight.serve.run import serve as run_server

    with desk:
        address = address_of(sock, token)
        typer.echo(address)
        sys.stdout.flush()
        console.print(f"the live page of {escape(title)}; Ctrl-C stops it", highlight=False)
        if open_page:
            webbrowser.open(address)
        run_server(desk, sock, token, title)


def _desk(config: "DeskConfig", data: str | None, reading: Reading) -> "Desk":
    """The desk, with its source of light curves."""
    from firstlight.cli.app import PLASTICC
    from firstlight.data.formats import is_alert_file
    from firstlight.serve.desk import Desk
    from firstlight.serve.follow import Reader
    from firstlight.serve.observations import AlertObservations, FileObservations
    from firstlight.serve.tonight import file_or_topic

    if data is None:
        reading.refuse_options("they describe --data, which is not given")
        return Desk(config)
    path = Path(data)
    follows = data.startswith(_KAFKA) or path.is_dir() or (data != PLASTICC and is_alert_file(path))
    if follows:
        reading.refuse_options("packets of alerts state them")
        alerts = AlertObservations(file_or_topic(data))
        desk = Desk(config, alerts)
        desk.more_readers.append(Reader(data, alerts.take, config.kafka_config))
        return desk
    return Desk(config, FileObservations(reading.curves(data, None, path), file_or_topic(data)))
