"""`firstlight stream`: classify alerts as they arrive."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from firstlight.cli.app import (
    Context,
    ContextRadius,
    Coverage,
    KafkaConfig,
    MinDomain,
    Prior,
    VerifyWith,
    app,
    console,
    need_libraries,
)
from firstlight.cli.stream_setup import KAFKA, Places, Setup, StreamBundles, options_of, worker_config
from firstlight.errors import INTERRUPTED, SettingsError
from firstlight.text import printable

if TYPE_CHECKING:
    from firstlight.stream.config import StreamConfig
    from firstlight.stream.worker.metrics import Metrics

_EPILOG = (
    "Examples: firstlight stream --source alerts.avro --sink classes.jsonl --state state  |  "
    "firstlight stream --source kafka://broker:9092/alerts --sink kafka://broker:9092/classes "
    "--state /var/lib/firstlight --metrics-port 9108"
)
# --retry: a broker may be restarted; with files, or up to the end of a topic, somebody waits for the result
_RETRY_S, _RETRY_UNTIL_END_S, _RETRY_FILES_S = 600.0, 60.0, 10.0

Source = Annotated[
    str,
    typer.Option(
        help="Alerts: kafka://HOST:PORT/TOPIC, a file, a folder, or - for JSON lines on stdin. TOPIC may be "
        "a list of topics and patterns such as ^ztf_.*_programid1$, separated by commas."
    ),
]
Bundles = Annotated[
    list[Path] | None,
    typer.Option(
        "--bundle",
        help="Trained bundle: a folder, or one that ships with firstlight: default (most accurate) or "
        "fast (bounded time per alert). Default: default. Given again: further ones answer beside the "
        "first, in the field others of the results. SIGHUP loads them again.",
    ),
]
Redrive = Annotated[
    str,
    typer.Option(
        help="Dead letters to use as --source, after their faults are mended: a file or kafka://HOST:PORT/TOPIC."
    ),
]
Sink = Annotated[str, typer.Option(help="Results: kafka://HOST:PORT/TOPIC, a file, or - for stdout.")]
State = Annotated[Path, typer.Option(help="Folder for the state; the same folder continues a stopped run.")]
Format = Annotated[
    Literal["auto", "confluent", "container", "fink", "plain", "json", "lasair", "antares"],
    typer.Option(help="Format of the alerts; auto detects it from each message."),
]
Schemas = Annotated[str, typer.Option(help="Avro schemas: a folder, a file, or the URL of a registry.")]
OutputFormat = Annotated[
    Literal["json", "elasticc"],
    typer.Option(help="json: all fields; elasticc: Avro in ELAsTiCC's brokerClassification schema."),
]
DeadLetters = Annotated[
    str | None,
    typer.Option(
        help="Where to write messages that cannot be used, as for --sink. Default: FILE.rejects.jsonl or "
        "TOPIC.rejects beside the results, with --redrive LETTERS.left.jsonl or TOPIC.left; 'none' only "
        "counts them."
    ),
]
Features = Annotated[
    bool, typer.Option("--features", help="Add rates, colour, peak and the source's reliability to records.")
]
Skipped = Annotated[bool, typer.Option("--skipped", help="Write alerts with nothing to classify there too.")]


def _use_file(call: typer.Context, path: Path | None) -> Path | None:
    """Take the options of the configuration as defaults of those that the command line lacks."""
    if path is not None:
        call.default_map = {**(call.default_map or {}), **options_of(call, path)}
    return path


Config = Annotated[
    Path | None,
    typer.Option(
        is_eager=True,
        callback=_use_file,
        help="TOML file: any option of this command by its name, and tables \\[quality], the measurements to "
        "set aside, \\[limits], \\[kafka], settings of the Kafka client, and \\[\\[route]], filters of "
        "results.",
    ),
]
Check = Annotated[bool, typer.Option("--check", help="Check the settings, show the planned run, and stop.")]
Group = Annotated[str, typer.Option(help="Consumer group; workers of one group share the topic.")]
Start = Annotated[
    str,
    typer.Option(
        metavar="earliest|latest|DATE",
        help="First message of topics that have no position in the state folder; a DATE is in UTC.",
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Maximum number of alerts per batch.")]
Linger = Annotated[float, typer.Option(min=0.0, help="Maximum time to wait for a batch to fill (ms).")]
Forget = Annotated[float, typer.Option(help="Forget an object after this many days without observations.")]
KeyedOption = Annotated[
    Literal["auto", "yes", "no"],
    typer.Option(
        "--keyed",
        help="Whether the topic is keyed by object. If not, all partitions share one state on this machine; "
        "auto looks at the first messages.",
    ),
]
Wait = Annotated[
    float,
    typer.Option(min=0.0, help="Maximum time to wait for another worker to release a partition or file (s)."),
]
Retry = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Time to wait for a broker or schema that is away (s); then stop with exit code 3 or "
        f"2. Default: {_RETRY_S:.0f}, with --until-end {_RETRY_UNTIL_END_S:.0f}, with files "
        f"{_RETRY_FILES_S:.0f}.",
    ),
]
UntilEnd = Annotated[bool, typer.Option("--until-end", help="Stop at the end of the topic.")]
Follow = Annotated[bool, typer.Option("--follow", help="Wait for new alerts at the end of a file or folder.")]
MaxAlerts = Annotated[int | None, typer.Option(min=1, help="Stop after this many alerts.")]
MetricsPort = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port for /metrics (Prometheus) and /health; 0 takes a free port."),
]
MetricsHost = Annotated[str, typer.Option(help="Address on which /metrics and /health are served.")]
LogFormat = Annotated[Literal["text", "json"], typer.Option(help="Format of the log on stderr.")]
Live = Annotated[bool, typer.Option("--live", help="Show a table of the latest results.")]


@app.command(epilog=_EPILOG)
def stream(
    sink: Sink,
    state: State,
    source: Source = "",
    redrive: Redrive = "",
    bundle: Bundles = None,
    verify_with: VerifyWith = None,
    prior: Prior = None,
    min_domain: MinDomain = None,
    coverage: Coverage = None,
    context: Context = None,
    context_radius: ContextRadius = 1.0,
    format: Format = "auto",
    schemas: Schemas = "",
    output_format: OutputFormat = "json",
    dead_letters: DeadLetters = None,
    skipped: Skipped = False,
    features: Features = False,
    config: Config = None,
    group: Group = "firstlight",
    start: Start = "earliest",
    kafka_config: KafkaConfig = None,
    batch: Batch = 512,
    linger_ms: Linger = 50.0,
    forget_days: Forget = 400.0,
    keyed: KeyedOption = "auto",
    wait_for_state: Wait = 30.0,
    retry: Retry = None,
    until_end: UntilEnd = False,
    follow: Follow = False,
    max_alerts: MaxAlerts = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
    log_format: LogFormat = "text",
    live: Live = False,
    check: Check = False,
    *,
    call: typer.Context,
) -> None:
    """Classify a stream of alerts: one result per alert; a kill loses none.

    Run it again to continue, several times with one --group to share a topic. SIGTERM stops it
    after the current batch.
    """
    if bool(source) == bool(redrive):
        raise typer.BadParameter("give one of --source and --redrive")
    if redrive:
        source, until_end, dead_letters = redrive, True, dead_letters or _left_of(redrive)
    _one_math_thread()
    _need_stream_libraries(source, sink, output_format)
    from firstlight.stream.worker.signals import Hangups  # first: the other imports and the bundles take long

    call.call_on_close((hangups := Hangups()).close)
    from firstlight.hosts import Hosts
    from firstlight.stream.alerts.decoder import alert_decoder
    from firstlight.stream.config import read_config
    from firstlight.stream.io.kafka_config import start_time
    from firstlight.stream.routes.routes import secrets_of

    hosts = None if context is None else Hosts.open(context, context_radius)
    settings, kafka_config = read_config(config), _kafka_settings(config, kafka_config)
    bundles = StreamBundles(call, bundle, config, hosts)
    decoder = alert_decoder(format, schemas, settings.quality, settings.limits)
    running = worker_config(call, _patience(source, sink, until_end) if retry is None else retry)
    start_time(start)  # refused before the bundle is loaded
    places = Places(source, sink, dead_letters, redrive, until_end, state)
    places.check(settings.route)
    if check:
        _print_plan(call, bundles, [source, sink], kafka_config, settings)
        return
    with ExitStack() as stack:
        stack.callback(_configure_logs(log_format, kafka_config, schemas, secrets_of(settings.route)))
        setup = Setup(call, settings, kafka_config, places, decoder, running, output_format, hangups)
        metrics, stopped = setup.run(stack, bundles, metrics_port, metrics_host, live)
    _report(metrics, sink)
    if stopped and until_end:
        raise typer.Exit(INTERRUPTED)


def _kafka_settings(config: Path | None, kafka_config: Path | None) -> Path | None:
    """The file with the settings of the Kafka client."""
    from firstlight.stream.config import has_kafka_settings

    if not has_kafka_settings(config):
        return kafka_config
    if kafka_config is not None:
        raise SettingsError(f"settings of the Kafka client stand in {config} and in {kafka_config}; keep one")
    return config


def _print_plan(
    call: typer.Context,
    bundles: StreamBundles,
    places: list[str],
    kafka_config: Path | None,
    settings: "StreamConfig",
) -> None:
    """Show each option with its origin; SettingsError for an address or a file that cannot be used."""
    from firstlight.stream.io.kafka_config import KafkaAddress, read_kafka_config
    from firstlight.stream.io.open import check_start, open_source
    from firstlight.stream.routes.routes import check_routes

    pipelines = bundles.load()
    hide = str if kafka_config is None else read_kafka_config(kafka_config).hide
    for number, place in enumerate(places):
        if place.startswith(KAFKA):
            KafkaAddress.parse(place, several=number == 0)
    check_start(call.params["start"], places[0])
    if not places[0].startswith(KAFKA) and places[0] != "-":
        if not Path(places[0]).expanduser().exists():
            raise SettingsError(f"--source {places[0]}: there is no such file or folder")
        open_source(places[0], limits=settings.limits).close()
    origins = {"COMMANDLINE": "command line", "DEFAULT_MAP": "file", "ENVIRONMENT": "environment"}
    for name, value in call.params.items():
        if name == "check":
            continue
        origin = call.get_parameter_source(name)
        where = origins.get(origin.name if origin is not None else "", "")
        if isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        if where or value not in (None, "", False):
            line = f"{name.replace('_', '-'):16} {hide(value)}{f'  ({where})' if where else ''}"
            console.print(printable(line, 300), highlight=False, markup=False)
    for number, pipeline in enumerate(pipelines):
        name = "beside it" if number else "bundle is"
        console.print(f"{name:16} {pipeline.config.name} {pipeline.bundle_version}", highlight=False)
    for line in check_routes(settings.route, bundles.fields(pipelines)):
        text = printable(f"{'route':16} {line}", 300)
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def _left_of(redrive: str) -> str:
    """The place of the redriven letters that fail again."""
    return f"{redrive}.left{'' if redrive.startswith(KAFKA) else '.jsonl'}"


def _one_math_thread() -> None:
    """Use one thread per process: several thread pools on the same cores are many times slower."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # for libraries not loaded yet


def _need_stream_libraries(source: str, sink: str, output_format: str) -> None:
    """Raise MissingExtraError for all missing packages at once, if this run needs one of them."""
    needed = ["prometheus_client", "threadpoolctl"]
    needed += ["confluent_kafka"] if source.startswith(KAFKA) or sink.startswith(KAFKA) else []
    needed += ["orjson"] if output_format == "json" else ["fastavro"]
    every = ("confluent_kafka", "fastavro", "orjson", "prometheus_client", "threadpoolctl")
    need_libraries("the stream", "stream", needed, [name for name in every if name not in needed])


def _patience(source: str, sink: str, until_end: bool) -> float:
    """Default of ``--retry`` [s]."""
    if not (source.startswith(KAFKA) or sink.startswith(KAFKA)):
        return _RETRY_FILES_S
    return _RETRY_UNTIL_END_S if until_end else _RETRY_S


def _configure_logs(
    form: Literal["text", "json"], kafka_config: Path | None, schemas: str, others: tuple[str, ...]
) -> Callable[[], None]:
    """Start logging; the returned function ends it."""
    from firstlight.stream.alerts.schemas import login_secrets
    from firstlight.stream.worker.logging import configure_logs, release_logs

    secrets = (*login_secrets(schemas), *others)
    if kafka_config is not None:
        from firstlight.stream.io.kafka import read_kafka_config

        secrets += read_kafka_config(kafka_config).secrets
    configure_logs(form, secrets=secrets)
    return release_logs


def _report(metrics: "Metrics", sink: str) -> None:
    counts = [f"{metrics.total('alerts'):,} alerts, {metrics.total('results'):,} answered"]
    counts += [
        f"{metrics.total(name):,} {name}"
        for name in ("skipped", "rejected", "redelivered", "lost", "recreated", "oversize")
        if metrics.total(name)
    ]
    console.print(f"{', '.join(counts)}: {sink}", highlight=False, soft_wrap=True)
