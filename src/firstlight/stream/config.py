"""The configuration of `firstlight stream`: a TOML file with its options, and one table per subject.

``sink = "kafka://broker:9092/classes"`` and ``metrics-port = 9108`` are options as on the command line, which
counts before the file. The table ``[kafka]`` holds settings of the Kafka client (`read_kafka_config`).
"""

import tomllib
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from firstlight.errors import SettingsError
from firstlight.settings import from_table
from firstlight.stream.limits import Limits
from firstlight.stream.quality import QualityConfig
from firstlight.stream.routes.routes import RouteConfig

#: Table of the settings of the Kafka client.
KAFKA = "kafka"


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """Tables of the configuration; a table or key that the file omits keeps its defaults.

    Attributes
    ----------
    quality : QualityConfig
        Table ``[quality]``: which measurements are set aside.
    limits : Limits
        Table ``[limits]``: the largest names, messages, blocks and schemas that are read.
    route : tuple of RouteConfig
        Tables ``[[route]]``: which records also go to other sinks.
    """

    quality: QualityConfig = field(default_factory=QualityConfig)
    limits: Limits = field(default_factory=Limits)
    route: tuple[RouteConfig, ...] = ()


def read_config(path: Path | None) -> StreamConfig:
    """Read the tables of a configuration; None gives the defaults.

    Raises
    ------
    SettingsError
        If the file cannot be read, is not TOML, or has an unknown table, an unknown key in a table, or a
        value out of range.
    """
    if path is None:
        return StreamConfig()
    own = {field.name for field in fields(StreamConfig)}
    table = {
        key: value
        for key, value in _read(path).items()
        if key in own or (isinstance(value, dict) and key != KAFKA)
    }
    return from_table(StreamConfig, table, str(path))


def read_options(path: Path, known: Collection[str], repeated: Collection[str] = ()) -> dict[str, Any]:
    """Read the options of a configuration, by the names of their parameters.

    Those that may be `repeated` on the command line may be a list, and are one.

    Raises
    ------
    SettingsError
        If the file cannot be read, is not TOML, or has an option that is not `known`, or is a date
        or a list.
    """
    own = {field.name for field in fields(StreamConfig)}
    options = {
        key: value for key, value in _read(path).items() if not isinstance(value, dict) and key not in own
    }
    found: dict[str, Any] = {}
    for key, value in options.items():
        name = key.replace("-", "_")
        if name not in known:
            names = ", ".join(sorted(other.replace("_", "-") for other in known))
            raise SettingsError(f"{path}: {key} is no option of the stream; known: {names}; and tables")
        if name in repeated:
            value = value if isinstance(value, list) else [value]
            if not value or not all(isinstance(item, str) for item in value):
                raise SettingsError(f"{path}: {key} is not a text or a list of texts")
        elif not isinstance(value, str | int | float | bool):
            raise SettingsError(
                f"{path}: {key} is a {type(value).__name__}; give text, a number, true or false"
            )
        found[name] = value
    return found


def has_kafka_settings(path: Path | None) -> bool:
    """Whether a configuration has the table of the Kafka client."""
    return path is not None and KAFKA in _read(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the configuration {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
