"""`firstlight stream`: classify alerts as they arrive."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from firstlight.cli.app import (
    Bundle,
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
from firstlight.errors import INTERRUPTED, SettingsError
from firstlight.text import printable

if TYPE_CHECKING:
    from firstlight.hosts import Hosts
    from firstlight.pipeline import Pipeline
    from firstlight.stream.alerts.decoder import AlertDecoder
    from firstlight.stream.io.sinks import ResultSink
    from firstlight.stream.io.sources import AlertSource
    from firstlight.stream.limits import Limits
    from firstlight.stream.results.record import ResultFormat
    from firstlight.stream.routes.routes import Route
    from firstlight.stream.state.folder import Keyed
    from firstlight.stream.worker.metrics import Metrics
    from firstlight.stream.worker.worker import Worker, WorkerConfig
    from firstlight.taxonomy import Taxonomy

_EPILOG = (
    "Examples: firstlight stream --source alerts.avro --sink classes.jsonl --state state  |  "
    "firstlight stream --source kafka://broker:9092/alerts --sink kafka://broker:9092/classes "
    "--state /var/lib/firstlight --metrics-port 9108"
)
_KAFKA = "kafka://"
# --retry: a broker may be restarted; with files, or up to the end of a topic, somebody waits for the result
_RETRY_S, _RETRY_UNTIL_END_S, _RETRY_FILES_S = 600.0, 60.0, 10.0

Source = Annotated[
    str,
    typer.Option(
        help="Alerts: kafka://HOST:PORT/TOPIC, a file, a folder, or - for JSON lines on stdin. TOPIC may be "
        "a list of topics and patterns such as ^ztf_.*_programid1$, separated by commas."
    ),
]
Redrive = Annotated[
    str,
    typer.Option(
        help="Dead letters to use as --source, once what they name is mended: a file or kafka://HOST:PORT/TOPIC."
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


def _use_file(context: typer.Context, path: Path | None) -> Path | None:
    """Take the options of the configuration as defaults of those that the command line lacks."""
    if path is not None:
        from firstlight.stream.config import read_options

        known = {str(option.name) for option in context.command.params} - {"config", "help", "check"}
        context.default_map = {**(context.default_map or {}), **read_options(path, known)}
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
Check = Annotated[bool, typer.Option("--check", help="Check the settings, show what would run, and stop.")]
Group = Annotated[str, typer.Option(help="Consumer group; workers of one group share the topic.")]
Start = Annotated[
    str,
    typer.Option(
        metavar="earliest|latest|DATE",
        help="Where to begin topics that the state folder has no position of; a DATE is in UTC.",
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
        help="How long to wait for a broker or schema that cannot be had (s); then stop with exit code 3 or "
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
    bundle: Bundle = None,
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
    """Classify a stream of alerts: one result per alert, and none is lost if it is killed.

    Run it again to continue, several times with one --group to share a topic. SIGTERM stops it softly.
    """
    if bool(source) == bool(redrive):
        raise typer.BadParameter("give one of --source and --redrive")
    if redrive:
        source, until_end, dead_letters = redrive, True, dead_letters or _left_of(redrive)
    _one_math_thread()
    _need_stream_libraries(source, sink, output_format)
    from firstlight.hosts import Hosts
    from firstlight.pipeline import Pipeline
    from firstlight.stream.alerts.decoder import alert_decoder
    from firstlight.stream.config import read_config
    from firstlight.stream.io.kafka_config import KafkaAddress, start_time
    from firstlight.stream.io.open import open_source
    from firstlight.stream.routes.routes import check_routes, open_routes, secrets_of
    from firstlight.stream.worker.worker import WorkerConfig

    hosts = None if context is None else Hosts.open(context, context_radius)
    settings, kafka_config = read_config(config), _kafka_settings(config, kafka_config)
    load = partial(
        Pipeline.load,
        bundle,
        public_key=verify_with,
        prior=prior,
        min_domain=min_domain,
        coverage=coverage,
        context=hosts,
    )
    decoder = alert_decoder(format, schemas, settings.quality, settings.limits)
    worker_config = WorkerConfig(
        batch=batch,
        linger_ms=linger_ms,
        forget_days=forget_days,
        keep_skips=skipped,
        wait_for_state_s=wait_for_state,
        max_alerts=max_alerts,
        features=features,
        patience_s=_patience(source, sink, until_end) if retry is None else retry,
    )
    start_time(start)  # refused before the bundle is loaded
    if check:
        pipeline = load()
        _print_plan(call, pipeline, [source, sink], kafka_config)
        for line in check_routes(settings.route, pipeline.taxonomy, with_features=features):
            text = printable(f"{'route':16} {line}", 300)
            console.print(text, highlight=False, markup=False, soft_wrap=True)
        return
    with ExitStack() as stack:
        stack.callback(_configure_logs(log_format, kafka_config, schemas, secrets_of(settings.route)))
        opened = open_source(
            source,
            group=group,
            kafka_config=kafka_config,
            follow=follow,
            until_end=until_end,
            start=start,
            limits=settings.limits,
            ignored=[state, *_output_files(sink, dead_letters, *(route.sink for route in settings.route))],
        )
        setup = _Setup(
            stack.enter_context(closing(opened)),
            *_sinks(stack, sink, dead_letters, redrive, kafka_config, output_format, wait_for_state),
            decoder,
            worker_config,
            output_format,
            in_file=not sink.startswith(_KAFKA),
            redrive=bool(redrive),
            several_topics=source.startswith(_KAFKA) and KafkaAddress.parse(source, several=True).is_several,
            keyed=keyed,
            limits=settings.limits,
            hosts=hosts,
            routes=partial(
                open_routes,
                settings.route,
                newline=output_format == "json",
                kafka_config=kafka_config,
                wait_s=wait_for_state,
                patience_s=worker_config.patience_s,
                with_features=features,
            ),
        )
        metrics, stopped = setup.run(load, state, metrics_port, metrics_host, live)
    _report(metrics, sink)
    if stopped and until_end:
        raise typer.Exit(INTERRUPTED)


@dataclass(frozen=True)
class _Setup:
    """What a worker is made of, apart from the bundle and the state."""

    source: "AlertSource"
    sink: "ResultSink"
    dead_letters: "ResultSink | None"
    decoder: "AlertDecoder"
    config: "WorkerConfig"
    output_format: Literal["json", "elasticc"]
    in_file: bool
    redrive: bool
    several_topics: bool
    keyed: "Keyed"
    limits: "Limits"
    hosts: "Hosts | None"
    routes: "Callable[[Taxonomy, ResultFormat], list[Route]]"  # opened once the bundle's classes are known

    def run(
        self,
        load: "Callable[[], Pipeline]",
        state: Path,
        port: int | None,
        host: str,
        live: bool,
    ) -> "tuple[Metrics, bool]":
        """Load the bundle and process alerts until the end or a signal; the counts, and whether stopped."""
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        from firstlight.kernels import compile_kernels
        from firstlight.stream.results.record import result_format
        from firstlight.stream.state.folder import StateFolder
        from firstlight.stream.worker.context import refresher
        from firstlight.stream.worker.letters import redriven
        from firstlight.stream.worker.metrics import Metrics, MetricsServer
        from firstlight.stream.worker.terminal import LiveTable
        from firstlight.stream.worker.worker import Worker

        pipeline = load()
        compile_kernels("stream")
        version, size = pipeline.bundle_version, pipeline.states([]).data.dtype.itemsize
        metrics = Metrics(version)
        with ExitStack() as stack:
            stack.enter_context(threadpool_limits(1))
            if port is not None:
                server = stack.enter_context(closing(MetricsServer(metrics, port, host)))
                console.print(f"metrics and health: http://{host}:{server.port}", highlight=False)
            table = LiveTable(console=console, metrics=metrics, line_only=not live)
            form = result_format(
                self.output_format,
                in_file=self.in_file,
                preset=pipeline.config.name,
                taxonomy=pipeline.taxonomy,
            )
            routes = [stack.enter_context(closing(route)) for route in self.routes(pipeline.taxonomy, form)]
            worker = Worker(
                pipeline,
                self.source,
                self.sink,
                StateFolder(
                    state, bundle=version, state_size=size, keyed=self.keyed, several=self.several_topics
                ),
                dead_letters=self.dead_letters,
                decoder=self.decoder,
                form=form,
                routes=routes,
                config=self.config,
                metrics=metrics,
                limits=self.limits,
                unwrap=redriven if self.redrive else None,
                before_batch=None if self.hosts is None else refresher(self.hosts),
                on_batch=stack.enter_context(table).show_batch,
            )
            stack.enter_context(_stopped_by_signals(worker))
            worker.run()
        return metrics, worker.stopped


def _kafka_settings(config: Path | None, kafka_config: Path | None) -> Path | None:
    """The file with the settings of the Kafka client."""
    from firstlight.stream.config import has_kafka_settings

    if not has_kafka_settings(config):
        return kafka_config
    if kafka_config is not None:
        raise SettingsError(f"settings of the Kafka client stand in {config} and in {kafka_config}; keep one")
    return config


def _print_plan(
    context: typer.Context, pipeline: "Pipeline", places: list[str], kafka_config: Path | None
) -> None:
    """Show each option with its origin; SettingsError for an address or a file that cannot be used."""
    from firstlight.stream.io.kafka_config import KafkaAddress, read_kafka_config

    hide = str if kafka_config is None else read_kafka_config(kafka_config).hide
    for number, place in enumerate(places):
        if place.startswith(_KAFKA):
            KafkaAddress.parse(place, several=number == 0)
    if not places[0].startswith(_KAFKA) and places[0] != "-" and not Path(places[0]).expanduser().exists():
        raise SettingsError(f"--source {places[0]}: there is no such file or folder")
    origins = {"COMMANDLINE": "command line", "DEFAULT_MAP": "file", "ENVIRONMENT": "environment"}
    for name, value in context.params.items():
        if name == "check":
            continue
        origin = context.get_parameter_source(name)
        where = origins.get(origin.name if origin is not None else "", "")
        if where or value not in (None, "", False):
            line = f"{name.replace('_', '-'):16} {hide(value)}{f'  ({where})' if where else ''}"
            console.print(printable(line, 300), highlight=False, markup=False)
    console.print(f"{'bundle is':16} {pipeline.config.name} {pipeline.bundle_version}", highlight=False)


def _left_of(redrive: str) -> str:
    """The place of what is left of redriven letters."""
    return f"{redrive}.left{'' if redrive.startswith(_KAFKA) else '.jsonl'}"


def _one_math_thread() -> None:
    """Use one thread per process: several thread pools on the same cores are many times slower."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # for libraries not loaded yet


def _need_stream_libraries(source: str, sink: str, output_format: str) -> None:
    """Raise MissingExtraError for all missing packages at once, if this run needs one of them."""
    needed = ["prometheus_client", "threadpoolctl"]
    needed += ["confluent_kafka"] if source.startswith(_KAFKA) or sink.startswith(_KAFKA) else []
    needed += ["orjson"] if output_format == "json" else ["fastavro"]
    every = ("confluent_kafka", "fastavro", "orjson", "prometheus_client", "threadpoolctl")
    need_libraries("the stream", "stream", needed, [name for name in every if name not in needed])


def _patience(source: str, sink: str, until_end: bool) -> float:
    """Default of ``--retry`` [s]."""
    if not (source.startswith(_KAFKA) or sink.startswith(_KAFKA)):
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


def _output_files(sink: str, dead_letters: str | None, *others: str) -> list[Path]:
    """Files that the worker writes, which a folder of alerts may hold."""
    names = (sink, dead_letters or f"{sink}.rejects.jsonl", *others)
    return [Path(name).expanduser() for name in names if "://" not in name]


def _sinks(
    stack: ExitStack,
    sink: str,
    dead_letters: str | None,
    redrive: str,
    kafka_config: Path | None,
    output_format: str,
    wait_s: float,
) -> "tuple[ResultSink, ResultSink | None]":
    """The sinks of results and of dead letters."""
    from firstlight.stream.io.open import open_sink

    if dead_letters is None:
        dead_letters = (
            "none" if sink == "-" else f"{sink}.rejects{'' if sink.startswith(_KAFKA) else '.jsonl'}"
        )
    for name, other in (("--sink", sink), ("--redrive", redrive)):
        if dead_letters == other:
            raise SettingsError(f"--dead-letters {other} is the same as {name}; choose another place")
    opened = partial(open_sink, kafka_config=kafka_config, wait_s=wait_s)
    results = stack.enter_context(closing(opened(sink, newline=output_format == "json")))
    if dead_letters == "none":
        return results, None
    return results, stack.enter_context(closing(opened(dead_letters)))


@contextmanager
def _stopped_by_signals(worker: "Worker") -> Iterator[None]:
    """SIGTERM or Ctrl-C stops the worker after its micro-batch; a second one ends it at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        worker.stop()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(metrics: "Metrics", sink: str) -> None:
    counts = [f"{metrics.total('alerts'):,} alerts, {metrics.total('results'):,} answered"]
    counts += [
        f"{metrics.total(name):,} {name}"
        for name in ("skipped", "rejected", "redelivered", "lost", "recreated", "oversize")
        if metrics.total(name)
    ]
    console.print(f"{', '.join(counts)}: {sink}", highlight=False, soft_wrap=True)
