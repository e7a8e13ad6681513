"""Messages of any format to alerts: the first bytes show the format, the codecs do the rest."""

from pathlib import Path
from typing import Any, Literal, get_args

from firstlight.bands import AB_ZERO_POINT_NJY
from firstlight.errors import DataError, SettingsError
from firstlight.stream.alerts.alert import Alert, Skip
from firstlight.stream.alerts.antares import AntaresCodec
from firstlight.stream.alerts.avro import FRAME_BYTES, AlertCodec, ConfluentCodec, ContainerCodec, FinkCodec
from firstlight.stream.alerts.json import JsonLinesCodec, LasairCodec
from firstlight.stream.alerts.schemas import (
    FolderSchemas,
    RegistrySchemas,
    SchemaSource,
    is_registry,
    parse_schema_json,
    without_login,
)
from firstlight.stream.alerts.values import LONGEST_NAME, checked_name
from firstlight.stream.avro.container import MAGIC
from firstlight.stream.io.message import Message
from firstlight.stream.limits import DEFAULT_LIMITS, Limits
from firstlight.stream.quality import QualityConfig

AlertFormat = Literal["auto", "confluent", "container", "fink", "plain", "json", "lasair", "antares"]
FORMATS: tuple[str, ...] = get_args(AlertFormat)

_BLANK = b" \t\r\n"
_ZLIB_DEFLATE = 0x78  # CMF byte of zlib with the usual window; CMF and FLG together divide by 31


def detect_format(value: bytes, key: bytes | None = None) -> AlertFormat:
    r"""Format of a message, from the first bytes of its payload and its key; DataError if it has none.

    >>> detect_format(b"Obj\x01...")
    'container'
    >>> detect_format(b'{"object_id": "a", "observations": {}}')
    'json'
    """
    if value[:4] == MAGIC:
        return "container"
    if key is not None and b'"fields"' in key and key.lstrip(_BLANK)[:1] in (b"{", b"["):
        return "fink"
    first = value.lstrip(_BLANK)[:1] if value[:1] in (b" ", b"\t", b"\r", b"\n") else value[:1]
    if first == b"{":
        return "json" if b'"observations"' in value and b'"object_id"' in value else "lasair"
    if len(value) >= FRAME_BYTES and value[0] == 0:
        return "confluent"
    if len(value) > 1 and value[0] == _ZLIB_DEFLATE and int.from_bytes(value[:2], "big") % 31 == 0:
        return "antares"
    if not value:
        raise DataError("an empty message")
    raise DataError(
        f"unknown format of a message of {len(value)} bytes that begins with {value[:8]!r}; "
        f"name one: {', '.join(FORMATS[1:])}"
    )


class AlertDecoder:
    """Decodes messages of any of our formats.

    Parameters
    ----------
    format : str
        One of `FORMATS`; ``auto`` detects it for each message, ``plain`` is Avro without a frame.
    schemas : SchemaSource, optional
        Schemas of Confluent framing; by default only firstlight's own is known.
    schema : Any, optional
        Parsed JSON of the schema of messages that carry none (``plain``, or Fink without its key).
    zero_point : float
        AB magnitude of a flux of 1 in LSST-like packets [mag].
    quality : QualityConfig, optional
        Which measurements are set aside.
    limits : Limits
        Bounds of names, schemas, packets and containers.

    Raises
    ------
    SettingsError
        If the format is unknown, or is ``plain`` without a schema.

    Examples
    --------
    >>> print(AlertDecoder("json").decode_all(b"{}")[0])
    alert ? of object ?: the source has no time
    """

    def __init__(
        self,
        format: AlertFormat = "auto",
        schemas: SchemaSource | None = None,
        *,
        schema: Any = None,
        zero_point: float = AB_ZERO_POINT_NJY,
        quality: QualityConfig | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if format not in FORMATS:
            raise SettingsError(f"alert format {format!r}: choose one of {', '.join(FORMATS)}")
        if format == "plain" and schema is None:
            raise SettingsError("alert format 'plain' needs a file with its Avro schema")
        self.format: AlertFormat = format
        self._longest_name = limits.name_bytes
        self._container = ContainerCodec(zero_point=zero_point, quality=quality, limits=limits)
        fink = FinkCodec(schema, zero_point=zero_point, quality=quality, limits=limits)
        self._codecs: dict[str, AlertCodec] = {
            "confluent": ConfluentCodec(schemas, zero_point=zero_point, quality=quality, limits=limits),
            "fink": fink,
            "plain": fink,
            "json": JsonLinesCodec(limits),
            "lasair": LasairCodec(quality, limits),
            "antares": AntaresCodec(quality, limits),
        }

    def decode_all(self, value: bytes, key: bytes | None = None) -> list[Alert | Skip | DataError]:
        """Alerts of one message: one for most, several for a container; an error stands for a bad alert.

        SchemaError if the schema of a message cannot be had (try again later), MissingExtraError if the
        format needs a library that is not installed.
        """
        try:
            kind = detect_format(value, key) if self.format == "auto" else self.format
            if kind == "container" and value[:4] != MAGIC and key is not None:
                kind = "fink"  # a record that its source took from a container, with the schema as its key
            if kind == "container":
                found = list(self._container.decode_all(value))
                return [self._checked(item) for item in found] or [
                    DataError("the Avro container holds no alert")
                ]
            if kind == "plain":
                key = None  # the schema is given
            return [self._checked(self._codecs[kind].decode(Message(value, key)))]
        except DataError as error:
            return [self._checked(error)]

    def _checked(self, item: Alert | Skip | DataError) -> Alert | Skip | DataError:
        """The item, or an error if a name cannot be stored; a long error, which quotes the alert, is cut."""
        if isinstance(item, DataError):
            text = str(item)
            return item if len(text) <= LONGEST_NAME else DataError(f"{text[:LONGEST_NAME]}...")
        try:
            checked_name(item.object_id, "object id", self._longest_name)
            checked_name(item.alert_id, "alert id", self._longest_name)
        except DataError as error:
            return error
        return item


def alert_decoder(
    format: AlertFormat = "auto",
    schemas: str = "",
    quality: QualityConfig | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> AlertDecoder:
    """The decoder that the options of the command line name.

    Parameters
    ----------
    format : str
        One of `FORMATS`.
    schemas : str
        Address of a registry, a folder of schemas, the file of one schema, or empty.
    quality : QualityConfig, optional
        Which measurements are set aside.
    limits : Limits
        Bounds of names, schemas, packets and containers.

    Raises
    ------
    SettingsError
        If the format is unknown, or `schemas` does not exist.
    DataError
        If the file is not a schema.
    """
    if not schemas:
        return AlertDecoder(format, quality=quality, limits=limits)
    if is_registry(schemas):
        return AlertDecoder(format, RegistrySchemas(schemas), quality=quality, limits=limits)
    path = Path(schemas)
    if path.is_dir():
        return AlertDecoder(format, FolderSchemas(path), quality=quality, limits=limits)
    if path.is_file():
        schema = parse_schema_json(path.read_bytes(), schemas)
        return AlertDecoder(format, schema=schema, quality=quality, limits=limits)
    raise SettingsError(
        f"schemas {without_login(schemas)}: not a folder, a file, or an address of a schema registry"
    )
