"""Checksums of stored rows.

A checksum covers the place of a row beside its content, so that a page of the database in another
page's place is damage. Rows of layout 1 have checksums over less.
"""

import math
import struct
from typing import Any
from zlib import crc32

_CRC = 4  # bytes of the checksum in front
_STATE_PLACE = struct.Struct("<qd")
_ENTRY_PLACE = struct.Struct("<qq")


def state_salt(name: str, number: int, last_mjd: float | None) -> int:
    """Salt of an object's state: its name, its row number and the time of its last observation."""
    if not (type(last_mjd) is float and last_mjd > 0.0):
        # as SQLite returns it: no NaN, no negative zero; another type in a damaged row
        is_number = isinstance(last_mjd, (int, float)) and not math.isnan(last_mjd)
        last_mjd = float(last_mjd or 0.0) + 0.0 if is_number else math.nan
    return crc32(_STATE_PLACE.pack(number, last_mjd), crc32(name.encode()))


def old_state_salt(name: str) -> int:
    """Salt of a state of layout 1."""
    return crc32(name.encode())


def entry_salt(number: int, sequence: int) -> int:
    """Salt of an entry of a history: the row number of its object, and its own sequence number."""
    return crc32(_ENTRY_PLACE.pack(number, sequence))


def old_entry_salt(number: int) -> int:
    """Salt of an entry of layout 1."""
    return number


def unseal_entry(data: object, number: int, sequence: object, old_sequence: int) -> bytes | None:
    """An entry of the history of an object; None if it is damaged.

    Those up to `old_sequence` are of layout 1.
    """
    if not isinstance(sequence, int):  # SQLite keeps other types too, in a damaged row
        return None
    salt = old_entry_salt(number) if sequence <= old_sequence else entry_salt(number, sequence)
    return unseal(data, salt)


def seal(body: bytes, salt: int) -> bytes:
    """The body with its checksum in front."""
    return crc32(body, salt).to_bytes(_CRC, "little") + body


def unseal(blob: object, salt: int) -> bytes | None:
    """The body of a sealed blob; None if its checksum is wrong, or a damaged row has no blob."""
    if not isinstance(blob, bytes):
        return None
    is_sound = int.from_bytes(blob[:_CRC], "little") == crc32(memoryview(blob)[_CRC:], salt)
    return blob[_CRC:] if is_sound else None


def checksum(meta: dict[str, Any]) -> int:
    """Checksum of positions and counts."""
    return crc32(repr(sorted(meta.items())).encode())


def bookmark_checksum(bookmark: tuple[str, str]) -> int:
    """Checksum of a bookmark's name and place."""
    return crc32(repr(bookmark).encode())
