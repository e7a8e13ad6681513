"""Which files were read before, and how far.

A file is known by its content, not by its name: by a digest of its first bytes, and by one of the bytes
before the place at which reading stopped. So a file that was moved or has grown is continued, a copy is
passed over, and a new file under an old name is read.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO

from firstlight.errors import DataError
from firstlight.stream.avro.container import ContainerReader

_HEAD_BYTES = 64 << 10  # of the first digest, after the schema of a container
_CHECK_BYTES = 4 << 10  # of the second
_DIGEST_BYTES = 16
_DONE = "done"


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file was read.

    `records` is the number of the next record, `read` the length read so far, `check` the digest of the
    bytes before it; `done` says that nothing was left of a file of that length.
    """

    records: int = 0
    read: int = 0
    check: str = ""
    done: bool = False


class Places:
    """The places of all files; `bookmarks` are those of the state store, by name.

    A name is the number of bytes in the first digest and the digest. The text of a bookmark holds the
    place, a digest of the path, and the inode.
    """

    def __init__(self, bookmarks: Mapping[str, str]) -> None:
        self._texts: dict[str, str] = {}
        self._hints: dict[str, list[str]] = {}  # names by path or inode, where a file that grew is sought
        self._open: dict[str, None] = {}  # names of files that were not done
        for name, text in bookmarks.items():
            self._keep(name, text)

    def find(self, file: IO[bytes], path: Path) -> tuple[str, Place]:
        """Name and place of a file; an empty name if it is new, or a copy, which may grow on its own."""
        best, best_place = "", Place()
        names = dict.fromkeys(self._series(_name(file, _head_size(file))))
        hints = _hints_of(file, path)
        for hint in hints:
            names |= dict.fromkeys(self._hints.get(hint, ()))
        for name in names | self._open:
            place = _parse(self._texts[name])
            if place.read >= best_place.read and _holds(file, name, place):
                best, best_place = name, place
        is_copy = best and not any(best in self._hints[hint] for hint in hints if hint in self._hints)
        return "" if is_copy else best, best_place

    def keep(self, file: IO[bytes], path: Path, name: str, place: Place) -> tuple[str, str]:
        """Note the place of a file by its name, empty if it is new; returns the bookmark.

        A file that was short when it got its name has a longer one once it is done.
        """
        size = _head_size(file)
        if not name or (place.done and size > _size_in(name)):
            first = _name(file, size)
            n_others = len(self._series(first))
            name = f"{first}#{n_others}" if n_others else first
        place = Place(place.records, place.read, _check(file, place.read), place.done)
        text = " ".join(
            [str(place.records), str(place.read), place.check, *_hints_of(file, path), _DONE * place.done]
        )
        self._keep(name, text)
        return name, text

    def _series(self, name: str) -> list[str]:
        """The names of all files with the same first bytes."""
        found: list[str] = []
        while (numbered := f"{name}#{len(found)}" if found else name) in self._texts:
            found.append(numbered)
        return found

    def _keep(self, name: str, text: str) -> None:
        self._texts[name] = text
        for hint in text.split(" ")[3:5]:
            names = self._hints.setdefault(hint, [])
            if name not in names:
                names.append(name)
        if text.endswith(_DONE):
            self._open.pop(name, None)
        else:
            self._open[name] = None


def _parse(text: str) -> Place:
    records, read, check, *_, done = text.split(" ")
    return Place(int(records), int(read), check, done == _DONE)


def _holds(file: IO[bytes], name: str, place: Place) -> bool:
    """Whether a file is the one of a bookmark, perhaps longer by now."""
    size = _size_in(name)
    long_enough = max(size, place.read) <= os.fstat(file.fileno()).st_size
    return (
        long_enough
        and name.partition("#")[0] == _name(file, size)
        and place.check == _check(file, place.read)
    )


def _size_in(name: str) -> int:
    return int(name.partition(".")[0])


def _name(file: IO[bytes], size: int) -> str:
    return f"{size}.{_digest(os.pread(file.fileno(), size, 0))}"


def _check(file: IO[bytes], end: int) -> str:
    start = max(end - _CHECK_BYTES, 0)
    return _digest(os.pread(file.fileno(), end - start, start))


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def _head_size(file: IO[bytes]) -> int:
    """Number of bytes in the first digest: beyond the schema, which all nights share."""
    at = file.tell()
    try:
        start = ContainerReader(file).header.end
    except DataError:  # no container
        start = 0
    finally:
        file.seek(at)
    return min(start + _HEAD_BYTES, os.fstat(file.fileno()).st_size)


def _hints_of(file: IO[bytes], path: Path) -> tuple[str, str]:
    return f"/{_digest(os.fsencode(os.path.realpath(path)))[:16]}", f"i{os.fstat(file.fileno()).st_ino}"
