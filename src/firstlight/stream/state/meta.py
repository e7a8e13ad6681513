"""The table ``meta`` of a state store: positions, counts and bookmarks, under a checksum."""

import sqlite3
from typing import Any, Self

from firstlight.stream.state import seal
from firstlight.stream.state.database import DamagedError
from firstlight.stream.state.rows import Owner
from firstlight.stream.state.store import Changes

_GENERATION = 4  # bytes of the generation in front of a state
_CHECK = "check"  # row with the checksum of all others, except bookmarks
_BOOKMARK = "at "  # before the names of bookmarks; the row "bookmarks" has the sum of their checksums
_OLD_SEQUENCE = "old_sequence"  # row with the last sequence number of layout 1
# Before the names of sinks, and before the numbers of partitions that share the store.
_SINK, _NEXT, _PLAN, _CLOCK = "sink ", "next ", "plan ", "clock "


class Meta:
    """Content of the table, as it was read or last committed; never changed."""

    def __init__(self, values: dict[str, Any] | None = None, bookmarks: dict[str, str] | None = None) -> None:
        self._values = values or {}
        self.bookmarks = bookmarks or {}

    @classmethod
    def read(cls, db: sqlite3.Connection) -> Self:
        """Read the table; DamagedError if a checksum is wrong."""
        values: dict[str, Any] = dict(db.execute("SELECT name, value FROM meta").fetchall())
        check = values.pop(_CHECK, None)
        bookmarks = {
            name.removeprefix(_BOOKMARK): values.pop(name)
            for name in list(values)
            if name.startswith(_BOOKMARK)
        }
        total = sum(map(seal.bookmark_checksum, bookmarks.items())) % (1 << 32)
        if (values and check != seal.checksum(values)) or values.get("bookmarks", 0) != total:
            raise DamagedError("its positions have a wrong checksum")
        return cls(values, bookmarks)

    def write(self, db: sqlite3.Connection, **values: Any) -> Self:
        """Write values in the open transaction; returns the content to keep once it is committed."""
        return self._write(db, values, self.bookmarks)

    def write_changes(self, db: sqlite3.Connection, changes: Changes, **counts: int) -> Self:
        """Write the positions and bookmarks of changes, and new counts, like `write`."""
        position = self.position if changes.position is None else changes.position
        values = {
            "position": position,
            **counts,
            **{f"{_SINK}{name}": length for name, length in changes.sink_position.items()},
            **{f"{_NEXT}{number}": offset for number, offset in changes.offsets.items()},
            **{f"{_PLAN}{number}": offset for number, offset in changes.planned.items()},
            **{f"{_CLOCK}{number}": mjd for number, mjd in changes.clocks.items()},
        }
        if not changes.bookmarks:
            return self._write(db, values, self.bookmarks)
        _replace(db, {f"{_BOOKMARK}{name}": place for name, place in changes.bookmarks.items()})
        values["bookmarks"] = self._checksum_with(changes.bookmarks)
        return self._write(db, values, self.bookmarks | changes.bookmarks)

    def mark_old_layout(self, db: sqlite3.Connection) -> Self:
        """Note that all entries so far are of layout 1, like `write`."""
        return self._write(db, {_OLD_SEQUENCE: self.sequence}, self.bookmarks)

    def _write(self, db: sqlite3.Connection, values: dict[str, Any], bookmarks: dict[str, str]) -> Self:
        content = self._values | values
        _replace(db, {**values, _CHECK: seal.checksum(content)})
        return type(self)(content, bookmarks)

    def _checksum_with(self, changed: dict[str, str]) -> int:
        """Checksum of all bookmarks after a change: a sum, so that thousands of others are not read."""
        total: int = self._values.get("bookmarks", 0)
        for name, place in changed.items():
            total += seal.bookmark_checksum((name, place))
            if name in self.bookmarks:
                total -= seal.bookmark_checksum((name, self.bookmarks[name]))
        return total % (1 << 32)

    @property
    def position(self) -> int | None:
        """See `StateStore`."""
        position: int | None = self._values.get("position")
        return position

    @property
    def sink_position(self) -> dict[str, int]:
        """See `StateStore`."""
        return self._named(_SINK)

    @property
    def offsets(self) -> dict[int, int]:
        """See `StateStore`."""
        return {int(number): offset for number, offset in self._named(_NEXT).items()}

    @property
    def planned(self) -> dict[int, int]:
        """See `StateStore`."""
        return {int(number): offset for number, offset in self._named(_PLAN).items()}

    @property
    def clocks(self) -> dict[int, float]:
        """See `StateStore`."""
        return {int(number): mjd for number, mjd in self._named(_CLOCK).items()}

    def _named(self, kind: str) -> dict[str, Any]:
        """Values of one kind by name."""
        return {n.removeprefix(kind): value for n, value in self._values.items() if n.startswith(kind)}

    @property
    def n_objects(self) -> int:
        """Number of objects."""
        return self._count("objects")

    @property
    def last(self) -> int:
        """Row number of the newest object."""
        return self._count("last")

    @property
    def sequence(self) -> int:
        """Sequence number of the last entry of a history."""
        return self._count("sequence")

    @property
    def old_sequence(self) -> int | None:
        """Sequence number of the last entry of layout 1; None if the file never had that layout."""
        last: int | None = self._values.get(_OLD_SEQUENCE)
        return last

    @property
    def generation(self) -> int:
        """How often the states of another bundle were dropped."""
        return self._count("generation")

    @property
    def mark(self) -> bytes:
        """The generation as it stands in front of each state."""
        return self.generation.to_bytes(_GENERATION, "little")

    @property
    def owner(self) -> Owner:
        """The bundle of the rows with one state."""
        return Owner(self._values.get("bundle", ""), self._count("state_size"))

    def _count(self, name: str) -> int:
        count: int = self._values.get(name, 0)
        return count


def split_mark(body: bytes) -> tuple[bytes, bytes]:
    """The generation in front of a state, and the state."""
    return body[:_GENERATION], body[_GENERATION:]


def _replace(db: sqlite3.Connection, rows: dict[str, Any]) -> None:
    db.executemany("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", list(rows.items()))
