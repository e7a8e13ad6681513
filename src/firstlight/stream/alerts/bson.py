"""BSON documents to dicts and back: as much as ANTARES' messages use, every length checked.

References: BSON 1.1 specification, https://bsonspec.org/spec.html
"""

import struct
from collections.abc import Mapping
from typing import Any

from firstlight.errors import DataError

__all__ = ["dump_bson", "load_bson"]

MAX_DEPTH = 64

_DOUBLE, _INT32, _INT64, _SIZE = (
    struct.Struct("<d"),
    struct.Struct("<i"),
    struct.Struct("<q"),
    struct.Struct("<i"),
)
#: Types whose values have a fixed size and no use here; they read as None.
_IGNORED = {0x06: 0, 0x07: 12, 0x11: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}


def load_bson(data: bytes) -> dict[str, Any]:
    """Read a BSON document.

    Parameters
    ----------
    data : bytes
        One whole document.

    Returns
    -------
    dict
        Doubles, integers, strings, booleans, dates (milliseconds of Unix time as int),
        binary, nested documents and lists. Other types (object ids, decimals, patterns)
        read as None.

    Raises
    ------
    DataError
        If the document is damaged.

    Examples
    --------
    >>> load_bson(dump_bson({"mag": 18.5, "bands": ["g", "R"]}))
    {'mag': 18.5, 'bands': ['g', 'R']}
    """
    document, end = _Reader(data).document(0, 0)
    if end != len(data):
        raise DataError(f"damaged BSON: {len(data) - end} bytes are left over")
    return document


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def document(self, position: int, depth: int) -> tuple[dict[str, Any], int]:
        if depth > MAX_DEPTH:
            raise DataError("damaged BSON: documents nested too deeply")
        size = self.unpack(_SIZE, position, len(self.data))
        end = position + size
        if size < 5 or end > len(self.data) or self.data[end - 1] != 0:
            raise DataError(
                f"damaged BSON: a document of {size} bytes at byte {position} does not end where it says"
            )
        position += 4
        values: dict[str, Any] = {}
        while position < end - 1:
            kind = self.data[position]
            name, position = self.name(position + 1, end - 1)
            values[name], position = self.value(kind, position, end - 1, depth)
        if position != end - 1:
            raise DataError(f"damaged BSON: a value runs over the end of its document at byte {end}")
        return values, end

    def unpack(self, form: struct.Struct, position: int, end: int) -> Any:
        if position + form.size > end:
            raise DataError(f"damaged BSON: it ends inside a number at byte {position}")
        return form.unpack_from(self.data, position)[0]

    def name(self, position: int, end: int) -> tuple[str, int]:
        stop = self.data.find(b"\0", position, end)
        if stop < 0:
            raise DataError(f"damaged BSON: a name at byte {position} has no end")
        return self.text(position, stop), stop + 1

    def text(self, position: int, stop: int) -> str:
        try:
            return self.data[position:stop].decode()
        except UnicodeDecodeError as error:
            raise DataError(f"damaged BSON: text at byte {position} is not UTF-8") from error

    def value(self, kind: int, position: int, end: int, depth: int) -> tuple[Any, int]:
        if kind == 0x01:
            return self.unpack(_DOUBLE, position, end), position + 8
        if kind == 0x10:
            return self.unpack(_INT32, position, end), position + 4
        if kind in (0x12, 0x09):
            return self.unpack(_INT64, position, end), position + 8
        if kind in (0x02, 0x0D, 0x0E):
            return self.string(position, end)
        if kind in (0x03, 0x04):
            document, stop = self.document(position, depth + 1)
            if stop > end:
                raise DataError(f"damaged BSON: a document runs over the one around it at byte {position}")
            return (list(document.values()) if kind == 0x04 else document), stop
        if kind == 0x08:
            if position >= end or self.data[position] > 1:
                raise DataError(f"damaged BSON: no boolean at byte {position}")
            return self.data[position] == 1, position + 1
        if kind == 0x0A:
            return None, position
        if kind == 0x05:
            size = self.unpack(_SIZE, position, end)
            return self.piece(position + 5, size, end), position + 5 + size
        if kind == 0x0B:
            return None, self.name(self.name(position, end)[1], end)[1]
        if kind in _IGNORED:
            self.piece(position, _IGNORED[kind], end)
            return None, position + _IGNORED[kind]
        raise DataError(f"damaged BSON: unknown type {kind:#04x} at byte {position}")

    def string(self, position: int, end: int) -> tuple[str, int]:
        size = self.unpack(_SIZE, position, end)
        stop = position + 4 + size
        if size < 1 or stop > end or self.data[stop - 1] != 0:
            raise DataError(
                f"damaged BSON: a string of {size} bytes at byte {position} does not end where it says"
            )
        return self.text(position + 4, stop - 1), stop

    def piece(self, position: int, size: int, end: int) -> bytes:
        if size < 0 or position + size > end:
            raise DataError(f"damaged BSON: {size} bytes announced at byte {position}, too many")
        return self.data[position : position + size]


def dump_bson(document: Mapping[str, Any]) -> bytes:
    """Write a BSON document.

    Parameters
    ----------
    document : mapping
        Floats, integers of 64 bits, strings, booleans, None, bytes, lists and mappings.

    Returns
    -------
    bytes
        The document.

    Raises
    ------
    DataError
        If a value has no place in BSON.
    """
    body = b"".join(_element(str(name), value) for name, value in document.items())
    return _SIZE.pack(len(body) + 5) + body + b"\0"


def _element(name: str, value: Any) -> bytes:
    key = name.encode() + b"\0"
    if isinstance(value, bool):
        return b"\x08" + key + bytes([value])
    if isinstance(value, float):
        return b"\x01" + key + _DOUBLE.pack(value)
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return b"\x12" + key + _INT64.pack(value)
    if isinstance(value, str):
        text = value.encode() + b"\0"
        return b"\x02" + key + _SIZE.pack(len(text)) + text
    if isinstance(value, Mapping):
        return b"\x03" + key + dump_bson(value)
    if isinstance(value, list | tuple):
        return b"\x04" + key + dump_bson({str(i): item for i, item in enumerate(value)})
    if isinstance(value, bytes):
        return b"\x05" + key + _SIZE.pack(len(value)) + b"\0" + value
    if value is None:
        return b"\x0a" + key
    raise DataError(f"{name!r}: a value of type {type(value).__name__} has no place in BSON")
