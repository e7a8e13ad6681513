"""The configuration of `firstlight stream`: a TOML file with one table per subject."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from firstlight.errors import SettingsError
from firstlight.settings import from_table
from firstlight.stream.limits import Limits
from firstlight.stream.quality import QualityConfig


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """Tables of the configuration; a table or key that the file omits keeps its defaults.

    Attributes
    ----------
    quality : QualityConfig
        Table ``[quality]``: which measurements are set aside.
    limits : Limits
        Table ``[limits]``: the largest names, messages, blocks and schemas that are read.
    """

    quality: QualityConfig = field(default_factory=QualityConfig)
    limits: Limits = field(default_factory=Limits)


def read_config(path: Path | None) -> StreamConfig:
    """Read a configuration; None gives the defaults.

    Raises
    ------
    SettingsError
        If the file cannot be read, is not TOML, or has an unknown key or a value out of range.
    """
    if path is None:
        return StreamConfig()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the configuration {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    return from_table(StreamConfig, table, str(path))
