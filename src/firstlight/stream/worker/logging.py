"""Structured logs of the stream, to stderr: JSON for machines, text for people."""

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import IO, Any, Literal

from firstlight.errors import SettingsError

__all__ = ["LOGGER", "LogFormat", "configure_logs", "log", "release_logs"]

LogFormat = Literal["json", "text"]

#: Every part of the stream logs here or below.
LOGGER = logging.getLogger("firstlight.stream")


_PACKAGE = logging.getLogger("firstlight")


def log(level: int, event: str, **fields: Any) -> None:
    """Log an event with its fields.

    Parameters
    ----------
    level : int
        As in `logging`.
    event : str
        What happened, in a few words.
    **fields
        What belongs to it; values that JSON knows, or their text.
    """
    LOGGER.log(level, event, extra={"fields": fields})


def configure_logs(
    format: LogFormat = "text",
    *,
    level: int = logging.INFO,
    secrets: Sequence[str] = (),
    stream: IO[str] | None = None,
) -> logging.Handler:
    """Send the package's logs to stderr.

    What other parts of the package have to say, batch after batch, is said once.

    Parameters
    ----------
    format : {"json", "text"}
        One JSON object a line, or one line of text.
    level : int
        Least level that is shown.
    secrets : sequence of str
        Passwords and keys; wherever one would appear, three stars do.
    stream : file, optional
        Where to write instead of stderr.

    Returns
    -------
    logging.Handler
        The one in use, which replaces any that an earlier call set.

    Raises
    ------
    SettingsError
        If there is no such format.
    """
    if format not in ("json", "text"):
        raise SettingsError(f"log format {format!r}: choose json or text")
    handler = _Stderr() if stream is None else logging.StreamHandler(stream)
    handler.setFormatter(_JsonLines(secrets) if format == "json" else _Text(secrets))
    handler.addFilter(_Once())
    release_logs()
    _PACKAGE.addHandler(handler)
    _PACKAGE.setLevel(level)
    _PACKAGE.propagate = False
    return handler


def release_logs() -> None:
    """Leave the package's logs to whoever runs it, as before `configure_logs`."""
    for old in list(_PACKAGE.handlers):
        _PACKAGE.removeHandler(old)
    _PACKAGE.setLevel(logging.NOTSET)
    _PACKAGE.propagate = True


class _Stderr(logging.StreamHandler[Any]):
    """Writes to what is standard error at the time, which a live table takes over while it is drawn."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


class _Once(logging.Filter):
    """Lets each message of the parts below the stream through once, whatever its numbers."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[tuple[str, str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = (record.name, str(record.msg))
        if record.name.startswith(LOGGER.name):
            return True
        if message in self._said:
            return False
        self._said.add(message)
        return True


class _Masked(logging.Formatter):
    """A line of a log in which no secret shows."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__()
        self._secrets = sorted((text for text in secrets if text), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        line = self.line(record, getattr(record, "fields", {}))
        for secret in self._secrets:
            line = line.replace(secret, "***").replace(json.dumps(secret)[1:-1], "***")
        return line

    def line(self, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        raise NotImplementedError


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class _JsonLines(_Masked):
    def line(self, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        entry: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **fields,
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class _Text(_Masked):
    def line(self, record: logging.LogRecord, fields: dict[str, Any]) -> str:
        about = "".join(f"  {name}={value}" for name, value in fields.items())
        error = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{_moment(record)} {record.levelname.lower():7} {record.getMessage()}{about}{error}"
