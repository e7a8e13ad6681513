"""Codecs of Avro alerts: Rubin's Confluent framing, Fink's schema in the key, containers.

The schema shows the survey, so one container codec reads Babamul's, ZTF's and ELAsTiCC's alerts.
"""

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, Literal, Protocol

import numpy as np

from firstlight.bands import AB_ZERO_POINT_NJY
from firstlight.errors import DataError, SchemaError
from firstlight.stream.alerts.alert import Alert, Skip
from firstlight.stream.alerts.layouts import PacketReader
from firstlight.stream.alerts.schemas import MemorySchemas, SchemaSource, parse_schema_json
from firstlight.stream.alerts.write import LSST_SCHEMA, LSST_SCHEMA_ID, ZTF_SCHEMA, lsst_record, ztf_record
from firstlight.stream.avro.container import ContainerReader, write_container
from firstlight.stream.avro.decode import fastavro_module
from firstlight.stream.io.message import Message
from firstlight.stream.limits import DEFAULT_LIMITS, Limits
from firstlight.stream.quality import QualityConfig

Survey = Literal["lsst", "ztf"]

MAX_SCHEMAS = 64  # compiled schemas per codec; a stream uses one or two at a time
FRAME_BYTES = 5  # byte 0, then the schema number


class AlertCodec(Protocol):
    """One format of alerts.

    Laws: decoding is pure. Encoding then decoding gives the alert back as far as the format can hold
    it; each codec documents its losses.
    """

    def decode(self, message: bytes | Message) -> Alert | Skip:
        """Read one message, whose key only Fink's format needs.

        Raises
        ------
        DataError
            If the message is damaged, or not of this format.
        SchemaError
            If its schema cannot be had, or is not one of alerts.
        MissingExtraError
            If a library is not installed.
        """
        ...

    def encode(self, alert: Alert) -> bytes:
        """Write one alert; DataError if the format cannot hold it, MissingExtraError without a library."""
        ...


def value_of(message: bytes | Message) -> bytes:
    """The payload of a message."""
    return message.value if isinstance(message, Message) else bytes(message)


class _Readers:
    """Compiled readers per schema, at most `MAX_SCHEMAS`; the oldest is dropped first."""

    def __init__(self, zero_point: float, quality: QualityConfig | None, limits: Limits) -> None:
        self._settings = (zero_point, quality, limits)
        self._known: dict[bytes | int, PacketReader] = {}

    def get(self, key: bytes | int, schema: Callable[[], Any]) -> PacketReader:
        reader = self._known.get(key)
        if reader is None:
            reader = PacketReader(schema(), *self._settings)
            while len(self._known) >= MAX_SCHEMAS:
                self._known.pop(next(iter(self._known)))
            self._known[key] = reader
        return reader


class _Writer:
    """Writes alerts as schemaless Avro of one of our own schemas."""

    def __init__(self, survey: Survey, cutout_bytes: int) -> None:
        if survey not in ("lsst", "ztf"):
            raise DataError(f"survey {survey!r}: firstlight writes the formats lsst and ztf")
        self.schema = LSST_SCHEMA if survey == "lsst" else ZTF_SCHEMA
        self._survey = survey
        self._cutout = np.random.default_rng(0).bytes(cutout_bytes)
        self._parsed: Any = None

    def write(self, alert: Alert) -> bytes:
        fastavro = fastavro_module()
        if self._parsed is None:
            self._parsed = fastavro.parse_schema(self.schema)
        record = lsst_record(alert, self._cutout) if self._survey == "lsst" else ztf_record(alert)
        out = BytesIO()
        fastavro.schemaless_writer(out, self._parsed, record)
        return out.getvalue()


class ConfluentCodec:
    """Rubin's alerts: byte 0, schema number in four bytes (big-endian), schemaless Avro.

    It writes our LSST-like schema, whose names of alerts and objects are integers.

    Parameters
    ----------
    schemas : SchemaSource, optional
        Source of schemas; by default only the schema that firstlight writes is known.
    schema_id : int
        Number under which `encode` sends our schema.
    cutout_bytes : int
        Size of the cutout that `encode` adds, for packets of a realistic size.
    zero_point : float
        AB magnitude of a flux of 1 in the packets [mag]; 31.4 for nJy.
    quality : QualityConfig, optional
        Which measurements are set aside.
    limits : Limits
        Bounds of schemas and packets.

    Examples
    --------
    >>> ConfluentCodec().decode(b"no alert")
    Traceback (most recent call last):
        ...
    firstlight.errors.DataError: not Confluent framing: byte 0 is 0x6e instead of 0
    """

    def __init__(
        self,
        schemas: SchemaSource | None = None,
        *,
        schema_id: int = LSST_SCHEMA_ID,
        cutout_bytes: int = 0,
        zero_point: float = AB_ZERO_POINT_NJY,
        quality: QualityConfig | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._schemas = schemas or MemorySchemas({schema_id: LSST_SCHEMA})
        self._frame = b"\0" + schema_id.to_bytes(4, "big")
        self._readers = _Readers(zero_point, quality, limits)
        self._writer = _Writer("lsst", cutout_bytes)

    def decode(self, message: bytes | Message) -> Alert | Skip:
        """See `AlertCodec.decode`."""
        value = value_of(message)
        if len(value) < FRAME_BYTES:
            raise DataError(f"not Confluent framing: {len(value)} bytes are less than its head of 5")
        if value[0] != 0:
            raise DataError(f"not Confluent framing: byte 0 is {value[0]:#04x} instead of 0")
        number = int.from_bytes(value[1:FRAME_BYTES], "big")
        if not number:
            raise DataError("not Confluent framing: schema number 0 does not exist")
        try:
            reader = self._readers.get(number, lambda: self._schemas.schema(number))
        except DataError as error:  # it affects every message with this number
            raise SchemaError(f"Avro schema number {number}: {error}", number) from error
        return reader.read(value, FRAME_BYTES)[0]

    def encode(self, alert: Alert) -> bytes:
        """See `AlertCodec.encode`."""
        return self._frame + self._writer.write(alert)


class FinkCodec:
    """Fink's alerts: schemaless Avro, with the JSON of its schema as the message's key.

    Parameters
    ----------
    schema : Any, optional
        Parsed JSON of the schema of messages whose key holds none.
    survey : {"lsst", "ztf"}
        Which of our schemas `encode` writes.
    cutout_bytes, zero_point, quality, limits
        As of `ConfluentCodec`; cutouts are for LSST only.
    """

    def __init__(
        self,
        schema: Any = None,
        *,
        survey: Survey = "lsst",
        cutout_bytes: int = 0,
        zero_point: float = AB_ZERO_POINT_NJY,
        quality: QualityConfig | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._schema = schema
        self._readers = _Readers(zero_point, quality, limits)
        self._writer = _Writer(survey, cutout_bytes)

    @property
    def key(self) -> bytes:
        """The key to send with the result of `encode`: the JSON of the schema."""
        return json.dumps(self._writer.schema, separators=(",", ":")).encode()

    def decode(self, message: bytes | Message) -> Alert | Skip:
        """See `AlertCodec.decode`."""
        key = (message.key if isinstance(message, Message) else None) or b""
        if key.lstrip()[:1] in (b"{", b"["):
            reader = self._readers.get(key, lambda: parse_schema_json(key, "key of the message"))
        elif self._schema is not None:
            reader = self._readers.get(b"", lambda: self._schema)
        else:
            raise DataError(
                f"the message's key {key[:40]!r} is not an Avro schema, where Fink sends it: pass the "
                "message with its key, or the schema to FinkCodec"
            )
        return reader.read(value_of(message))[0]

    def encode(self, alert: Alert) -> bytes:
        """See `AlertCodec.encode`; the message also needs `key`."""
        return self._writer.write(alert)


class ContainerCodec:
    """Alerts in Avro containers: Babamul's messages, files of ZTF, ELAsTiCC and Fink.

    `survey`, `cutout_bytes`, `zero_point`, `quality` and `limits` are those of `FinkCodec`.
    """

    def __init__(
        self,
        *,
        survey: Survey = "lsst",
        cutout_bytes: int = 0,
        zero_point: float = AB_ZERO_POINT_NJY,
        quality: QualityConfig | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._limits = limits
        self._readers = _Readers(zero_point, quality, limits)
        self._writer = _Writer(survey, cutout_bytes)

    def decode(self, message: bytes | Message) -> Alert | Skip:
        """Read a container of exactly one alert; see `AlertCodec.decode`."""
        found = list(self.decode_all(value_of(message)))
        for item in found:
            if isinstance(item, DataError):
                raise item
        if len(found) != 1:
            raise DataError(
                f"the Avro container holds {len(found)} alerts instead of one; read it with decode_all"
            )
        return found[0]  # type: ignore[return-value]

    def decode_all(self, data: bytes) -> Iterator[Alert | Skip | DataError]:
        """Read every alert of a container (bytes); an error stands for a damaged record.

        A damaged record takes the rest of its block with it, since nothing else shows where the next one
        begins. DataError if the head is damaged, or its schema is not that of an alert.
        """
        container = ContainerReader(BytesIO(data), self._limits)
        header, number = container.header, 0
        reader = self._readers.get(header.schema_text, lambda: header.schema)
        while (block := container.read_block()) is not None:
            if block.error:
                yield DataError(block.error)
                number += block.count
                continue
            position = 0
            for i in range(block.count):
                number += 1
                try:
                    item, position = reader.read(block.body, position, whole=i == block.count - 1)
                except DataError as error:
                    lost = block.count - i
                    yield DataError(f"record {number} of the container ({lost} lost with it): {error}")
                    number += lost - 1
                    break
                yield item

    def encode(self, alert: Alert) -> bytes:
        """Write a container of one alert; see `AlertCodec.encode`."""
        return self.encode_all([alert])

    def encode_all(self, alerts: list[Alert]) -> bytes:
        """Write a container of any number of alerts; see `AlertCodec.encode`."""
        return write_container(self._writer.schema, [self._writer.write(alert) for alert in alerts])
