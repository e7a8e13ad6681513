"""Addresses of Kafka topics and settings of the Kafka client, whose secrets are never shown."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from firstlight.errors import SettingsError
from firstlight.stream.io.sources import EARLIEST, LATEST

_ADDRESS = re.compile(r"kafka://(?P<servers>[^/\s@]+)/(?P<topic>.+)")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_COMMA = re.compile(r",(?![^{]*\})")  # not within the braces of a pattern
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}")
_SECRET = re.compile(r"password|secret|token|credential|jaas|\.pem$|sasl\.oauthbearer\.config", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

#: Settings on which delivery depends, reserved for the stream.
RESERVED = (
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "auto.offset.reset",
    "acks",
    "request.required.acks",
)


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """A topic, and some of its brokers as ``host:port`` separated by commas.

    Where alerts are read, `topic` may also be several: names, and patterns that begin with ``^``, separated
    by commas.
    """

    servers: str
    topic: str

    @classmethod
    def parse(cls, url: "str | KafkaAddress", *, several: bool = False) -> Self:
        """Read ``kafka://host:port[,host:port]/topic``; SettingsError if it is something else.

        With `several` the topic may be a list or a pattern.

        >>> KafkaAddress.parse("kafka://one:9092,two:9092/alerts")
        KafkaAddress(servers='one:9092,two:9092', topic='alerts')
        >>> KafkaAddress.parse("kafka://one:9092/lsst,^ztf_.*_programid1$", several=True).topics
        ('lsst', '^ztf_.*_programid1$')
        """
        if isinstance(url, KafkaAddress):
            return cls(url.servers, url.topic)
        match = _ADDRESS.fullmatch(url)
        if (
            match is None
            or not all(_SERVER.fullmatch(server) for server in match["servers"].split(","))
            or not (several or _TOPIC.fullmatch(match["topic"]))
        ):
            # text before an @ may be a password, so the address is not shown then
            shown = "the address" if "@" in url else repr(url)
            raise SettingsError(
                f"{shown} is no address of a topic: give kafka://host:port[,host:port]/topic; names and "
                "passwords go into the file given by --kafka-config"
            )
        address = cls(match["servers"], match["topic"])
        for topic in address.topics:
            _check_topic(topic)
        return address

    @property
    def topics(self) -> tuple[str, ...]:
        """Its topics and patterns."""
        return tuple(_COMMA.split(self.topic))

    @property
    def is_several(self) -> bool:
        """Whether it is a list or a pattern."""
        return len(self.topics) > 1 or self.topic.startswith("^")

    def has(self, topic: str) -> bool:
        """Whether a topic is one of its topics, or as one of its patterns says."""
        return any(
            re.search(name, topic) is not None if name.startswith("^") else name == topic
            for name in self.topics
        )

    def __str__(self) -> str:
        return f"kafka://{self.servers}/{self.topic}"


def start_time(start: str) -> int | None:
    """Time of ``--start`` [ms since 1970]; None for ``earliest``, -1 for ``latest``.

    SettingsError for anything else that is no date; a date without a zone is in UTC.

    >>> start_time("2026-11-27"), start_time("2026-11-27T01:00+01:00"), start_time("latest")
    (1795737600000, 1795737600000, -1)
    """
    if start in (EARLIEST, LATEST):
        return None if start == EARLIEST else -1
    try:
        date = datetime.fromisoformat(start)
    except ValueError:
        raise SettingsError(
            f"--start {start}: give earliest, latest or a date in UTC such as 2026-11-27 or 2026-11-27T03:00"
        ) from None
    return round((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * 1000)


def _check_topic(topic: str) -> None:
    """SettingsError for a name that no topic can have, or for a broken pattern."""
    if not topic.startswith("^"):
        if not _TOPIC.fullmatch(topic):
            raise SettingsError(
                f"{topic!r} is no name of a topic (letters, digits, . _ -); a pattern begins with ^"
            )
        return
    try:
        re.compile(topic)
    except re.error as error:
        raise SettingsError(f"the pattern of topics {topic!r} is broken: {error}") from None


@dataclass(frozen=True)
class KafkaConfig:
    """Settings of librdkafka that the user adds, such as SASL and TLS.

    `values` by librdkafka's names are never shown; `source` is the file that they come from.

    >>> KafkaConfig({"sasl.password": "swordfish"}, "kafka.toml")
    KafkaConfig(source='kafka.toml', settings=['sasl.password'])
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        if reserved := sorted(self.values.keys() & set(RESERVED)):
            raise SettingsError(
                f"{self.source or 'Kafka settings'}: {', '.join(reserved)} cannot be set: delivery "
                "depends on the stream's own value; remove it"
            )

    def __repr__(self) -> str:
        return f"KafkaConfig(source={self.source!r}, settings={sorted(self.values)})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secret values, longest first."""
        found = {str(value) for name, value in self.values.items() if _SECRET.search(name)}
        return tuple(sorted((value for value in found if value), key=lambda value: (-len(value), value)))

    def hide(self, text: object) -> str:
        """The text with its secrets masked."""
        shown = str(text)
        for secret in self.secrets:
            shown = shown.replace(secret, "***")
        return shown


def read_kafka_config(path: Path) -> KafkaConfig:
    """Read librdkafka's settings: TOML (``.toml``), otherwise one ``name = value`` per line.

    Of a TOML file with a table ``[kafka]``, such as the configuration of the stream, that table counts. A
    ``${NAME}`` in a text stands for a variable of the environment. SettingsError if the file cannot be read,
    a line is malformed or a variable is not set; the message shows no value.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"cannot read the Kafka settings {path}: {reason}") from error
    if path.suffix == ".toml":
        try:
            table = tomllib.loads(text)
            values = _flattened(table["kafka"] if isinstance(table.get("kafka"), dict) else table)
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{path}: not valid TOML: {_without_quotes(error)}") from None
    else:
        values = {}
        for number, line in enumerate(text.splitlines(), 1):
            line = line.strip()
            if not line or line[0] in "#!":
                continue
            name, separator, value = line.partition("=")
            if not separator or not name.strip():
                raise SettingsError(f"{path}: line {number} is not a setting; write name = value")
            values[name.strip()] = value.strip()
    for name, value in values.items():
        if not isinstance(value, str | int | float | bool):
            raise SettingsError(
                f"{path}: {name} is a {type(value).__name__}; give a string, a number, true or false"
            )
    return KafkaConfig({name: fill_variables(value, name, path) for name, value in values.items()}, str(path))


def fill_variables(value: Any, name: str, path: object) -> Any:
    """A value with the variables of the environment that it names; SettingsError if one is not set."""
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        """Value of an environment variable; SettingsError if it is not set."""
        try:
            return os.environ[match[1]]
        except KeyError:
            raise SettingsError(
                f"{path}: {name} needs the environment variable {match[1]}, which is not set"
            ) from None

    return _VARIABLE.sub(variable, value)


def _flattened(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables to dotted names: TOML reads ``sasl.password = ...`` as a table in a table."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= (
            _flattened(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
        )
    return flat


def _without_quotes(error: Exception) -> str:
    """The place of a TOML error, without the text that it may quote."""
    place = re.search(r"\(at .*\)", str(error))
    return place[0] if place else "it cannot be parsed"
