"""Bounds on the input of the stream, so that no input can exhaust the memory."""

from dataclasses import dataclass, fields

from firstlight.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest inputs that the stream accepts; anything larger is one dead letter.

    The defaults are some ten times the sizes that surveys send. Memory grows with `message_bytes` and
    `block_bytes`; the other limits bound the expansion of a few bytes.

    Attributes
    ----------
    name_bytes : int
        Length of the id of an object or alert, and of a name in an Avro schema [byte].
    message_bytes : int
        Length of one message: an alert, a JSON line, an element of a JSON array, a whole file that is
        one message; after inflation [byte].
    block_bytes : int
        Length of one block of an Avro container, after inflation [byte].
    block_records : int
        Records in one block of an Avro container.
    table_rows : int
        Rows of all tables (sources, forced photometry) of one alert.
    schema_bytes : int
        Length of an Avro schema, and of all its field paths together, such as ``diaSource.psfFlux`` [byte].
    schema_nodes : int
        Parts of an Avro schema: types, fields and attributes, and fields after expansion.
    schema_depth : int
        Levels of JSON in an Avro schema.
    letter_bytes : int
        Length of the bytes that a dead letter keeps [byte].
    letter_start_bytes : int
        Length of the beginning that remains of a message above `letter_bytes` [byte].

    Raises
    ------
    SettingsError
        If a limit is not a positive whole number.
    """

    name_bytes: int = 1 << 10
    message_bytes: int = 16 << 20
    block_bytes: int = 32 << 20
    block_records: int = 1 << 16
    table_rows: int = 100_000
    schema_bytes: int = 4 << 20
    schema_nodes: int = 100_000
    schema_depth: int = 64
    letter_bytes: int = 4 << 20
    letter_start_bytes: int = 1 << 10

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise SettingsError(f"limits: {field.name} is {value!r}, expected a whole number from 1")


#: The limits without a configuration.
DEFAULT_LIMITS = Limits()


def size_text(size: int) -> str:
    """A number of bytes for a message.

    >>> size_text(16 << 20), size_text(1 << 10), size_text(1500)
    ('16 MiB', '1 KiB', '1,500 bytes')
    """
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= scale and size % scale == 0:
            return f"{size // scale} {unit}"
    return f"{size:,} bytes"
