"""Routes: which records go to which sink besides the results, and in which form."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from firstlight.errors import SettingsError
from firstlight.stream.io.kafka_config import KafkaAddress, fill_variables
from firstlight.stream.io.open import open_sink
from firstlight.stream.io.sinks import ResultSink
from firstlight.stream.results.record import ResultFormat
from firstlight.stream.routes.filters import Field, FilterError, Record, parse_filter
from firstlight.stream.routes.webhook import WebhookSink

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLACE = re.compile(r"\{([^{}:]*)(?::([^{}]*))?\}")
_WEB = ("http://", "https://")
_SHORTEST_SECRET = 8  # a shorter text would hide numbers and words in logs
_RETRY_MARGIN_S = 5.0  # a webhook gives up before the worker does


@dataclass(frozen=True, kw_only=True)
class RouteConfig:
    """One table ``[[route]]`` of the configuration.

    Attributes
    ----------
    name : str
        Name in metrics and logs.
    filter : str
        Which records pass (`firstlight.stream.routes.filters`).
    sink : str
        ``kafka://host:port/topic``, a file, or ``http://`` or ``https://`` for a webhook. ``${NAME}`` here
        and in headers stands for a variable of the environment.
    headers : mapping of str to str
        Headers of a webhook's requests.
    body : mapping
        JSON of a webhook's requests; ``{mag}`` or ``{KN:.2f}`` in a text stands for a value of the record. By
        default the record.
    retry_s, timeout_s : float
        How long a webhook that is away is tried again, and longest wait for its answer [s].

    Raises
    ------
    SettingsError
        If a value is out of range, or headers or a body are not for a webhook.
    """

    name: str = ""
    filter: str = ""
    sink: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    retry_s: float = 60.0
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SettingsError(f"route {self.name!r}: give it a name of letters, digits, - and _")
        for key in ("filter", "sink"):
            if not getattr(self, key).strip():
                raise SettingsError(f"route {self.name}: {key} is missing")
        if not 0.0 <= self.retry_s <= 3600.0 or not 0.0 < self.timeout_s <= 60.0:
            raise SettingsError(f"route {self.name}: retry_s is 0 to 3600, timeout_s above 0 and up to 60")
        if (self.headers or self.body) and not self.is_webhook:
            raise SettingsError(f"route {self.name}: headers and body are for webhooks (https://...) only")

    @property
    def is_webhook(self) -> bool:
        """Whether records go to a web service."""
        return self.sink.startswith(_WEB) or self.sink.startswith("${")

    @property
    def shown(self) -> str:
        """The sink without the path of a web address, which may be a secret."""
        match = re.match(r"https?://[^/@]*(?=/|$)", self.sink)
        return f"{match[0]}/..." if match else "a webhook" if self.is_webhook else self.sink


@dataclass(frozen=True)
class Route:
    """An open route: its filter, its sink, and how a record is written there."""

    name: str
    accepts: Callable[[Record], bool]
    sink: ResultSink
    form: ResultFormat | None  # as the results; None for a webhook
    encode: Callable[[Record, bytes], bytes]  # from the record and its bytes among the results

    def entry(self, record: Record, key: bytes, result: bytes) -> tuple[bytes, bytes]:
        """The message of a record to the sink, from its key and its bytes among the results.

        The key of a webhook's request names the alert: bodies of different alerts may be equal.
        """
        if self.form is None:
            key = "\0".join(str(record[name]) for name in ("object", "alert", "bundle")).encode()
        return key, self.encode(record, result)

    def close(self) -> None:
        """Flush and release the sink."""
        self.sink.close()


def open_routes(
    settings: Sequence[RouteConfig],
    fields: Mapping[str, Field],
    form: ResultFormat,
    *,
    newline: bool,
    kafka_config: Path | None = None,
    wait_s: float = 0.0,
    patience_s: float = 600.0,
) -> list[Route]:
    """Parse all filters and bodies, then open the sinks.

    `fields` are the values of the records (`fields_of`), `form` is that of the results, `newline` whether a
    file has one after each of them; a webhook gives up earlier than the worker, which waits `patience_s` [s].
    SettingsError for a filter, a body, a name or a sink that cannot be; BrokerError for a file that cannot
    be opened.
    """
    parsed = []
    for kind in ("name", "sink"):
        values = [getattr(route, kind) for route in settings]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise SettingsError(f"two routes have the {kind} {twice[0]}; join their filters by or")
    for route in settings:
        parsed.append((route, _parsed(route, fields), _encoder(route, fields)))
    routes: list[Route] = []
    try:
        for route, accepts, encode in parsed:
            sink: ResultSink
            if route.is_webhook:
                where = f"route {route.name}"
                sink = WebhookSink(
                    route.name,
                    fill_variables(route.sink, "sink", where),
                    headers={
                        key: fill_variables(value, f"headers.{key}", where)
                        for key, value in route.headers.items()
                    },
                    retry_s=max(min(route.retry_s, patience_s - _RETRY_MARGIN_S), 0.0),
                    timeout_s=route.timeout_s,
                )
            else:
                sink = open_sink(route.sink, kafka_config=kafka_config, newline=newline, wait_s=wait_s)
            routes.append(Route(route.name, accepts, sink, None if route.is_webhook else form, encode))
    except BaseException:
        for opened in routes:
            opened.close()
        raise
    return routes


def with_fields(
    routes: Sequence[Route],
    settings: Sequence[RouteConfig],
    fields: Mapping[str, Field],
    form: ResultFormat,
) -> list[Route]:
    """The same open routes for other bundles; SettingsError if a filter or body does not fit them."""
    return [
        replace(
            route,
            accepts=_parsed(setting, fields),
            encode=_encoder(setting, fields),
            form=None if setting.is_webhook else form,
        )
        for route, setting in zip(routes, settings, strict=True)
    ]


def check_routes(settings: Sequence[RouteConfig], fields: Mapping[str, Field]) -> list[str]:
    """One line about each route; SettingsError as `open_routes`, but nothing is opened."""
    secrets_of(settings)  # refuses a variable that is not set
    lines = []
    for route in settings:
        _parsed(route, fields)
        _encoder(route, fields)
        if route.sink.startswith("kafka://"):
            KafkaAddress.parse(route.sink)
        lines.append(f"{route.name}: {route.filter} -> {route.shown}")
    return lines


def secrets_of(settings: Sequence[RouteConfig]) -> tuple[str, ...]:
    """Addresses and headers of webhooks, with their variables, which no log shows."""
    found = []
    for route in settings:
        if route.is_webhook:
            values = (route.sink, *route.headers.values())
            found += [fill_variables(value, "value", f"route {route.name}") for value in values]
    return tuple(sorted((value for value in found if len(value) >= _SHORTEST_SECRET), key=len, reverse=True))


def _parsed(route: RouteConfig, fields: Mapping[str, Field]) -> Callable[[Record], bool]:
    try:
        return parse_filter(" ".join(route.filter.split()), fields)
    except FilterError as error:
        raise error.of(f"route {route.name}") from None


def _encoder(route: RouteConfig, fields: Mapping[str, Field]) -> Callable[[Record, bytes], bytes]:
    if not route.is_webhook:
        return lambda record, encoded: encoded
    if not route.body:
        return lambda record, encoded: json.dumps(record, separators=(",", ":")).encode()
    fill = _template(route.body, fields, f"route {route.name}: body")
    return lambda record, encoded: json.dumps(fill(record), separators=(",", ":")).encode()


def _template(value: Any, fields: Mapping[str, Field], where: str) -> Callable[[Record], Any]:
    """A function that fills the places of a body; SettingsError for a place without a value."""
    if isinstance(value, Mapping):
        parts = {key: _template(part, fields, f"{where}.{key}") for key, part in value.items()}
        return lambda record: {key: part(record) for key, part in parts.items()}
    if isinstance(value, list):
        items = [_template(part, fields, where) for part in value]
        return lambda record: [item(record) for item in items]
    if not isinstance(value, str):
        return lambda record: value
    for match in _PLACE.finditer(value):
        if match[1] not in fields:
            raise SettingsError(f"{where}: {{{match[1]}}} is no value of a record")
        try:
            format(0.5 if fields[match[1]].kind == "number" else "text", match[2] or "")
        except ValueError as error:
            raise SettingsError(f"{where}: {match[0]}: {error}") from None
    if (alone := _PLACE.fullmatch(value)) and not alone[2]:
        return fields[alone[1]].get  # a number stays a number

    def text(record: Record) -> str:
        return _PLACE.sub(lambda match: _shown(fields[match[1]].get(record), match[2] or ""), value)

    return text


def _shown(value: Any, spec: str) -> str:
    return "unknown" if value is None else format(value, spec)
