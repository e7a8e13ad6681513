"""Decoding of a micro-batch, and the treatment of messages whose schema cannot be had.

A schema that is missing would affect the whole stream, so the worker waits for it. Damaged bytes can also
name a schema that does not exist; such strays must not block a night (decision 0137).
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from firstlight.errors import DataError, SchemaError
from firstlight.stream.alerts.alert import Alert, Skip
from firstlight.stream.alerts.decoder import AlertDecoder, detect_format
from firstlight.stream.io.message import Message
from firstlight.stream.worker.answer import ALERT_ERRORS

#: Messages with one unknown schema number that may be strays; more of them show a missing schema.
STRAYS_PER_SCHEMA = 10
#: Largest share of strays among decoded messages, if there are more than `STRAYS_PER_SCHEMA`.
STRAY_SHARE = 0.01
#: Schemas that are counted one by one.
MOST_SCHEMAS = 32

Found = Sequence[Alert | Skip | Exception]


class Decoding:
    """Decodes micro-batches; `patience_s` [s] is the time after which an absent schema makes a stray."""

    def __init__(
        self, decoder: AlertDecoder, *, patience_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._decoder = decoder
        self._patience_s = patience_s
        self._clock = clock
        self._n_decoded = 0  # messages that were decoded, so that the source of schemas works
        self._schemas: set[str] = set()
        self._strays: Counter[int | None] = Counter()

    def batch(self, messages: Sequence[Message]) -> Callable[[], list[Found]]:
        """An attempt to decode messages: the items of each, or SchemaError; call it again later then."""
        found: list[Found | None] = [None] * len(messages)
        since = self._clock()

        def attempt() -> list[Found]:
            """Decode those that are not decoded yet; a stray without a schema gets its error as item."""
            missing: dict[int, SchemaError] = {}
            for place, message in enumerate(messages):
                if found[place] is None:
                    try:
                        found[place] = self._decode(message)
                    except SchemaError as error:
                        missing[place] = error
            if missing:
                self._accept_strays(list(missing.values()), self._clock() - since >= self._patience_s)
                for place, reason in missing.items():
                    found[place] = [DataError(str(reason))]
            return [items for items in found if items is not None]

        return attempt

    def schema_of(self, message: Message) -> str:
        """Format and number of schema of a message that was not decoded: a label of few values."""
        try:
            name: str = detect_format(message.value, message.key)
        except DataError:
            name = "unknown"
        if name == "confluent":
            name = f"confluent {int.from_bytes(message.value[1:5], 'big')}"
        if len(self._schemas) < MOST_SCHEMAS:  # damaged bytes can name any number
            self._schemas.add(name)
        return name if name in self._schemas else "other"

    def _decode(self, message: Message) -> Found:
        if message.error:
            return [DataError(message.error)]
        try:
            items = self._decoder.decode_all(message.value, message.key)
        except ALERT_ERRORS as error:  # codecs turn these into DataError; a gap there must not stop us
            return [error]
        for item in items:
            if not isinstance(item, Exception):
                self._n_decoded += 1
                break
        return items

    def _accept_strays(self, errors: Sequence[SchemaError], waited: bool) -> None:
        """Count messages without a schema as strays; SchemaError unless all of them are."""
        strays = self._strays + Counter(error.schema_id for error in errors)
        limit = max(STRAYS_PER_SCHEMA, STRAY_SHARE * self._n_decoded)
        for error in errors:
            is_stray = (
                error.is_absent
                and self._n_decoded > 0
                and strays[error.schema_id] <= STRAYS_PER_SCHEMA
                and strays.total() <= limit
                and (waited or error.is_final or self._strays.total() > 0)
            )
            if not is_stray:
                raise error
        self._strays = strays
