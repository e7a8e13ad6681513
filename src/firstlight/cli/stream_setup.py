"""From the options of `firstlight stream` to the worker that runs."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from firstlight.cli.app import console

if TYPE_CHECKING:
    from firstlight.hosts import Hosts
    from firstlight.pipeline import Pipeline
    from firstlight.stream.alerts.decoder import AlertDecoder
    from firstlight.stream.config import StreamConfig
    from firstlight.stream.io.sinks import ResultSink
    from firstlight.stream.io.sources import AlertSource
    from firstlight.stream.results.record import ResultFormat
    from firstlight.stream.routes.filters import Field
    from firstlight.stream.routes.routes import Route, RouteConfig
    from firstlight.stream.state.folder import StateFolder
    from firstlight.stream.worker.bundles import Answering
    from firstlight.stream.worker.metrics import Metrics
    from firstlight.stream.worker.signals import Hangups
    from firstlight.stream.worker.worker import WorkerConfig

#: How the address of a topic begins.
KAFKA = "kafka://"


def options_of(call: typer.Context, path: Path) -> dict[str, Any]:
    """The options in a configuration."""
    from firstlight.stream.config import read_options

    options = [option for option in call.command.params if option.name not in ("config", "help", "check")]
    repeated = {str(option.name) for option in options if getattr(option, "multiple", False)}
    return read_options(path, {str(option.name) for option in options}, repeated)


@dataclass(frozen=True)
class StreamBundles:
    """The bundles of the command line or, without one there, of the configuration as it is now."""

    call: typer.Context
    given: list[Path] | None
    config: Path | None
    hosts: "Hosts | None"

    def load(self) -> "list[Pipeline]":
        """Load them, the one in charge first."""
        from firstlight.pipeline import Pipeline
        from firstlight.stream.worker.bundles import check_bundles

        options = self.call.params
        pipelines = [
            Pipeline.load(
                name,
                public_key=options["verify_with"],
                prior=options["prior"],
                min_domain=options["min_domain"],
                coverage=options["coverage"],
                context=self.hosts,
            )
            for name in self._names()
        ]
        check_bundles([pipeline.bundle_version for pipeline in pipelines])
        return pipelines

    def fields(self, pipelines: "Sequence[Pipeline]") -> "dict[str, Field]":
        """The values of the records that these bundles write, for filters and bodies."""
        from firstlight.stream.routes.filters import fields_of

        first, *others = [pipeline.taxonomy for pipeline in pipelines]
        has_context = self.hosts is not None
        features = self.call.params["features"]
        return fields_of(first, with_features=features, with_context=has_context, others=others)

    def _names(self) -> "Sequence[Path | None]":
        origin = self.call.get_parameter_source("bundle")
        names = self.given
        if self.config is not None and (origin is None or origin.name in ("DEFAULT_MAP", "DEFAULT")):
            names = [Path(name) for name in options_of(self.call, self.config).get("bundle", ())]
        return names or [None]


@dataclass(frozen=True)
class Places:
    """Where alerts come from, and where results, dead letters and the state go."""

    source: str
    sink: str
    dead_letters: str | None
    redrive: str
    until_end: bool
    state: Path

    @property
    def letters(self) -> str:
        """Where dead letters go; ``none`` for nowhere."""
        if self.dead_letters is not None:
            return self.dead_letters
        if self.sink == "-":
            return "none"
        return f"{self.sink}.rejects{'' if self.sink.startswith(KAFKA) else '.jsonl'}"

    def check(self, routes: "Sequence[RouteConfig]") -> None:
        """SettingsError if two of the places are one."""
        from firstlight.stream.io.open import check_places

        sinks = {"--sink": self.sink}
        if self.letters != "none":
            sinks["--dead-letters"] = self.letters
        sinks |= {f"route {route.name}:": route.sink for route in routes if not route.is_webhook}
        check_places(("--redrive" if self.redrive else "--source", self.source), sinks)

    @property
    def has_several_topics(self) -> bool:
        """Whether the source is a list or pattern of topics."""
        from firstlight.stream.io.kafka_config import KafkaAddress

        return self.source.startswith(KAFKA) and KafkaAddress.parse(self.source, several=True).is_several


@dataclass(frozen=True)
class Setup:
    """The parts of a worker, apart from the bundles."""

    call: typer.Context
    settings: "StreamConfig"
    kafka_config: Path | None
    places: Places
    decoder: "AlertDecoder"
    config: "WorkerConfig"
    output_format: Literal["json", "elasticc"]
    hangups: "Hangups"

    def run(
        self, stack: ExitStack, bundles: StreamBundles, port: int | None, host: str, live: bool
    ) -> "tuple[Metrics, bool]":
        """Load the bundles and process alerts until the end or a signal; the counts, and whether stopped."""
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        from firstlight.kernels import compile_kernels
        from firstlight.stream.worker.bundles import Answering
        from firstlight.stream.worker.context import refresher
        from firstlight.stream.worker.letters import redriven
        from firstlight.stream.worker.metrics import Metrics, MetricsServer
        from firstlight.stream.worker.signals import stopping_softly
        from firstlight.stream.worker.terminal import LiveTable
        from firstlight.stream.worker.worker import Worker

        source = stack.enter_context(closing(self._open_source()))
        sink, dead_letters = self._sinks(stack)
        pipeline, *others = bundles.load()
        compile_kernels("stream")
        form = self._form(pipeline)
        answering = Answering((pipeline, *others), form)
        metrics = Metrics(*answering.versions)
        stack.enter_context(threadpool_limits(1))
        if port is not None:
            server = stack.enter_context(closing(MetricsServer(metrics, port, host)))
            console.print(f"metrics and health: http://{host}:{server.port}", highlight=False)
        table = LiveTable(console=console, metrics=metrics, line_only=not live)
        routes = [
            stack.enter_context(closing(route))
            for route in self._routes(bundles.fields((pipeline, *others)), form)
        ]
        _expect(metrics, pipeline, routes)
        worker = Worker(
            pipeline,
            source,
            sink,
            self._stores(answering),
            dead_letters=dead_letters,
            decoder=self.decoder,
            form=form,
            routes=routes,
            config=self.config,
            metrics=metrics,
            limits=self.settings.limits,
            others=others,
            reload=lambda: self._again(bundles, routes, metrics),
            unwrap=redriven if self.places.redrive else None,
            before_batch=None if bundles.hosts is None else refresher(bundles.hosts),
            on_batch=stack.enter_context(table).show_batch,
        )
        self.hangups.use(worker)
        stack.enter_context(stopping_softly(worker))
        worker.run()
        return metrics, worker.stopped

    def _open_source(self) -> "AlertSource":
        from firstlight.stream.io.open import open_source

        routes = (route.sink for route in self.settings.route)
        return open_source(
            self.places.source,
            group=self.call.params["group"],
            kafka_config=self.kafka_config,
            follow=self.call.params["follow"],
            until_end=self.places.until_end,
            start=self.call.params["start"],
            limits=self.settings.limits,
            ignored=[
                self.places.state,
                *_output_files(self.places.sink, self.places.letters, *routes),
            ],
        )

    def _sinks(self, stack: ExitStack) -> "tuple[ResultSink, ResultSink | None]":
        """The sinks of results and of dead letters."""
        from firstlight.stream.io.open import open_sink

        opened = partial(open_sink, kafka_config=self.kafka_config, wait_s=self.config.wait_for_state_s)
        results = opened(self.places.sink, newline=self.output_format == "json")
        stack.enter_context(closing(results))
        if self.places.letters == "none":
            return results, None
        return results, stack.enter_context(closing(opened(self.places.letters)))

    def _stores(self, answering: "Answering") -> "StateFolder":
        from firstlight.stream.state.folder import StateFolder

        owner, *others = answering.owners
        return StateFolder(
            self.places.state,
            bundle=owner.bundle,
            state_size=owner.size,
            others=others,
            keyed=self.call.params["keyed"],
            several=self.places.has_several_topics,
        )

    def _form(self, pipeline: "Pipeline") -> "ResultFormat":
        from firstlight.stream.results.record import result_format

        return result_format(
            self.output_format,
            in_file=not self.places.sink.startswith(KAFKA),
            preset=pipeline.config.name,
            taxonomy=pipeline.taxonomy,
        )

    def _routes(self, fields: "dict[str, Field]", form: "ResultFormat") -> "list[Route]":
        from firstlight.stream.routes.routes import open_routes

        return open_routes(
            self.settings.route,
            fields,
            form,
            newline=self.output_format == "json",
            kafka_config=self.kafka_config,
            wait_s=self.config.wait_for_state_s,
            patience_s=self.config.patience_s,
        )

    def _again(self, bundles: StreamBundles, routes: "list[Route]", metrics: "Metrics") -> "Answering":
        """The bundles as they are now, with the open routes; FirstlightError if they cannot be used."""
        from firstlight.stream.routes.routes import with_fields
        from firstlight.stream.worker.bundles import Answering

        pipelines = bundles.load()
        form = self._form(pipelines[0])
        routes = with_fields(routes, self.settings.route, bundles.fields(pipelines), form)
        _expect(metrics, pipelines[0], routes)
        return Answering(tuple(pipelines), form, tuple(routes))


def worker_config(call: typer.Context, patience_s: float) -> "WorkerConfig":
    """Settings of the worker."""
    from firstlight.stream.worker.worker import WorkerConfig

    given = call.params
    return WorkerConfig(
        batch=given["batch"],
        linger_ms=given["linger_ms"],
        forget_days=given["forget_days"],
        keep_skips=given["skipped"],
        wait_for_state_s=given["wait_for_state"],
        max_alerts=given["max_alerts"],
        features=given["features"],
        patience_s=patience_s,
    )


def _output_files(*names: str) -> list[Path]:
    """Files that the worker writes, which a folder of alerts may hold."""
    return [Path(name).expanduser() for name in names if "://" not in name]


def _expect(metrics: "Metrics", pipeline: "Pipeline", routes: "Sequence[Route]") -> None:
    """Show the classes of the bundle in charge and the routes in the metrics before their first counts."""
    metrics.expect("results", ("", *pipeline.taxonomy.classes))
    for name in ("routed", "undelivered"):
        metrics.expect(name, [route.name for route in routes])
