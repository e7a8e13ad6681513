"""A missing schema stops the stream, a stray schema number does not."""

import pytest

from firstlight.errors import DataError, SchemaError
from firstlight.stream import Alert, ConfluentCodec, MemorySchemas
from firstlight.stream.alerts.decoder import AlertDecoder
from firstlight.stream.alerts.write import LSST_SCHEMA, LSST_SCHEMA_ID
from firstlight.stream.io.message import Message
from firstlight.stream.worker.decoding import MOST_SCHEMAS, STRAYS_PER_SCHEMA, Decoding

PATIENCE_S = 10.0


class Schemas:
    """Knows our schema, and those that are added; says of the others that they are absent, or nothing."""

    def __init__(self, absent=True) -> None:
        self.known = {LSST_SCHEMA_ID: LSST_SCHEMA}
        self.absent = absent

    def schema(self, schema_id):
        if schema_id not in self.known:
            raise SchemaError(f"no schema {schema_id}", schema_id, is_absent=self.absent)
        return self.known[schema_id]


class Stream:
    """Messages with schema numbers, decoded at a time that passes on demand."""

    def __init__(self, make_alert, schemas) -> None:
        self.now = 0.0
        self._value = ConfluentCodec().encode(make_alert(3))[5:]
        self._decoding = Decoding(
            AlertDecoder(schemas=schemas), patience_s=PATIENCE_S, clock=lambda: self.now
        )

    def batch(self, *numbers):
        values = [b"\0" + number.to_bytes(4, "big") + self._value for number in numbers]
        return self._decoding.batch([Message(value) for value in values])


@pytest.fixture
def stream(make_alert):
    return lambda schemas=None: Stream(make_alert, schemas or Schemas())


def kinds(found):
    return [type(items[0]) for items in found]


def test_a_stream_whose_schema_is_missing_waits_and_then_is_answered(stream):
    schemas = Schemas()
    run = stream(schemas)
    attempt = run.batch(1101, 1101, 1101)
    for run.now in (0.0, PATIENCE_S, 10 * PATIENCE_S):
        with pytest.raises(SchemaError, match="no schema 1101"):
            attempt()
    schemas.known[1101] = LSST_SCHEMA
    assert kinds(attempt()) == [Alert] * 3


def test_a_stray_number_among_known_ones_is_rejected_after_the_wait(stream):
    run = stream()
    attempt = run.batch(LSST_SCHEMA_ID, 77, LSST_SCHEMA_ID)
    with pytest.raises(SchemaError):
        attempt()
    run.now = PATIENCE_S
    assert kinds(attempt()) == [Alert, DataError, Alert]
    assert kinds(run.batch(78)()) == [DataError]  # the next one does not delay the stream


def test_a_source_that_only_fails_makes_no_strays(stream):
    run = stream(Schemas(absent=False))
    attempt = run.batch(LSST_SCHEMA_ID, 77)
    run.now = 100 * PATIENCE_S
    with pytest.raises(SchemaError):
        attempt()


def test_without_a_source_of_schemas_a_stray_needs_no_wait(stream):
    run = stream(MemorySchemas({LSST_SCHEMA_ID: LSST_SCHEMA}))
    assert kinds(run.batch(LSST_SCHEMA_ID, 77)()) == [Alert, DataError]
    with pytest.raises(SchemaError) as caught:
        stream(MemorySchemas({})).batch(77)()
    assert caught.value.is_final


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_a_new_schema_in_mid_stream_is_no_stray(stream, in_one_batch):
    """Of any number of messages with it, at most ten are rejected."""
    run, rejected = stream(), []
    run.batch(*[LSST_SCHEMA_ID] * 50)()

    def night():
        for size in [100] if in_one_batch else [1] * 100:
            attempt = run.batch(*[1101] * size)
            run.now += PATIENCE_S
            rejected.extend(attempt())

    with pytest.raises(SchemaError):
        night()
    assert len(rejected) == (0 if in_one_batch else STRAYS_PER_SCHEMA)


def test_undecoded_messages_are_counted_by_few_schemas(stream):
    decoding = stream()._decoding
    frames = [b"\0" + number.to_bytes(4, "big") + b"x" for number in range(1, 100)]
    labels = {decoding.schema_of(Message(value)) for value in (b"?", b"Obj\x01", *frames)}
    assert {"unknown", "container", "confluent 1", "other"} <= labels
    assert len(labels) == MOST_SCHEMAS + 1
