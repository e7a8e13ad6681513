"""Dead letters: messages that could not be used, with their place and reason, and back to messages."""

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

from firstlight.stream.alerts.alert import Alert, Skip
from firstlight.stream.io.message import Message
from firstlight.stream.limits import DEFAULT_LIMITS, Limits

MAX_KEY_BYTES = 256 << 10  # the schema of a record from an Avro container is its key
_LONGEST_REASON, _LONGEST_NAME = 2000, 200


def dead_letter(
    message: Message,
    kind: str,
    reason: str,
    alert: Alert | Skip | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """A message that could not be used, as JSON with its place, bytes (base64) and reason.

    `kind` is ``decode``, ``pipeline``, ``encode``, ``skip``, ``result`` or ``route``. Size, digest and
    beginning take the place of the bytes of a message that is larger than the limit `letter_bytes`.
    """
    letter: dict[str, Any] = {
        "kind": kind,
        "reason": reason[:_LONGEST_REASON],
        **dict(zip(("topic", "partition", "offset"), original_place(message), strict=True)),
        "timestamp_ms": message.timestamp_ms,
        "object": alert.object_id[:_LONGEST_NAME] if alert else None,
        "alert": alert.alert_id[:_LONGEST_NAME] if alert else None,
        "key": None,
        "value": None,
    }
    if message.file:
        letter |= {"file": message.file, "record": message.record}
    key, value = message.key or b"", message.value
    if key and len(key) <= (MAX_KEY_BYTES if value else limits.letter_start_bytes):
        letter["key"] = _base64(key)
    if message.error and not value:
        pass  # its bytes were never read
    elif len(value) <= limits.letter_bytes:
        letter["value"] = _base64(value)
    else:
        letter["cut"] = _summary(value, limits)
    return _json(letter)


def original_place(message: Message) -> tuple[str, int, int]:
    """Topic, partition and offset of a message; those of the letter's message for a redriven letter."""
    return message.first_place or (message.topic, message.partition, message.offset)


def redriven(message: Message) -> Message:
    """The message that a dead letter holds, at the position of the letter.

    It has an error if the letter holds no bytes, or is not a letter.
    """
    if message.error:
        return message
    try:
        letter = json.loads(message.value)
        place = (str(letter["topic"]), int(letter["partition"]), int(letter["offset"]))
        value, key, cut = letter["value"], letter["key"], letter.get("cut")
        found = replace(
            message,
            value=b"" if value is None else base64.b64decode(value, validate=True),
            key=None if key is None else base64.b64decode(key, validate=True),
            timestamp_ms=letter["timestamp_ms"],
            first_place=place,
            file=str(letter.get("file", "")),
            record=letter.get("record"),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return replace(message, error="not a dead letter of firstlight")
    if value is None:
        about = f": {cut['size']} bytes, SHA-256 {cut['sha256']}" if isinstance(cut, dict) else ""
        return replace(found, error=f"the dead letter does not hold the bytes of its message{about}")
    return found


def cut_letter(letter: bytes, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """A dead letter without the bytes of its message and without a long key."""
    fields = json.loads(letter)
    if fields["value"] is not None:
        fields["cut"] = _summary(base64.b64decode(fields["value"]), limits)
    if fields["key"] and len(fields["key"]) > limits.letter_start_bytes:
        fields["key"] = None
    return _json(fields | {"value": None})


def _summary(value: bytes, limits: Limits) -> dict[str, Any]:
    """A message without its bytes."""
    digest = hashlib.sha256(value).hexdigest()
    return {"size": len(value), "sha256": digest, "head": _base64(value[: limits.letter_start_bytes])}


def _json(letter: dict[str, Any]) -> bytes:
    return json.dumps(letter, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
