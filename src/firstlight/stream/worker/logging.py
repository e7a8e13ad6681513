"""Structured logs of the stream on stderr: JSON for machines, text for people."""

import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import IO, Any, Literal

from firstlight.errors import SettingsError
from firstlight.text import printable

LogFormat = Literal["json", "text"]

#: All parts of the stream log here or below.
LOGGER = logging.getLogger("firstlight.stream")

_PACKAGE = logging.getLogger("firstlight")


def log(level: int, event: str, **fields: Any) -> None:
    """Log an event with its fields."""
    LOGGER.log(level, event, extra={"fields": fields})


def configure_logs(
    format: LogFormat = "text",
    *,
    level: int = logging.INFO,
    secrets: Sequence[str] = (),
    stream: IO[str] | None = None,
) -> logging.Handler:
    """Send the package's logs to stderr; repeated messages from outside the stream appear once.

    Parameters
    ----------
    format : {"json", "text"}
        One JSON object, or one line of text, per event; SettingsError for another.
    level : int
        Lowest level that is shown.
    secrets : sequence of str
        Passwords and keys, masked in every line.
    stream : file, optional
        Where to write instead of stderr.
    """
    if format not in ("json", "text"):
        raise SettingsError(f"log format {format!r}: choose json or text")
    handler = _Stderr() if stream is None else logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(format, secrets))
    handler.addFilter(_Once())
    release_logs()
    _PACKAGE.addHandler(handler)
    _PACKAGE.setLevel(level)
    _PACKAGE.propagate = False
    return handler


def release_logs() -> None:
    """Restore the package's logging as it was before `configure_logs`."""
    for handler in list(_PACKAGE.handlers):
        _PACKAGE.removeHandler(handler)
    _PACKAGE.setLevel(logging.NOTSET)
    _PACKAGE.propagate = True


class _Stderr(logging.StreamHandler[Any]):
    """Writes to the current ``sys.stderr``, which a live table replaces while it is drawn."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


class _Once(logging.Filter):
    """Passes each message template from outside the stream once."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[tuple[str, str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith(LOGGER.name):
            return True
        message = (record.name, str(record.msg))
        is_new = message not in self._seen
        self._seen.add(message)
        return is_new


class _Formatter(logging.Formatter):
    """Formats one line per event and masks secrets."""

    def __init__(self, format: LogFormat, secrets: Sequence[str]) -> None:
        super().__init__()
        self._line = _json_line if format == "json" else _text_line
        self._secrets = sorted((text for text in secrets if text), key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        line = self._line(record, getattr(record, "fields", {}), trace)
        for secret in self._secrets:
            line = line.replace(secret, "***").replace(json.dumps(secret)[1:-1], "***")
        return line


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _json_line(record: logging.LogRecord, fields: dict[str, Any], trace: str) -> str:
    level, event = record.levelname.lower(), record.getMessage()
    entry = {"time": _time(record), "level": level, "event": event, **fields}
    return json.dumps(entry | {"error": trace} if trace else entry, default=str)


def _text_line(record: logging.LogRecord, fields: dict[str, Any], trace: str) -> str:
    text = "".join(f"  {name}={value}" for name, value in fields.items())
    line = f"{_time(record)} {record.levelname.lower():7} {printable(record.getMessage() + text)}"
    # indented, so that foreign text in an error does not look like a line of its own
    return "\n".join((line, *(f"    {printable(part)}" for part in trace.splitlines())))
