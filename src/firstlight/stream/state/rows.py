"""Rows with the states of one object by several bundles, which answer side by side.

In memory such a row is the states in the order of the bundles, zeros where one is missing. In a store each
state carries its bundle, so that a bundle finds its own states whichever bundles ran beside it.
"""

import struct
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

#: Begins a stored row of several states; the generation of a single state cannot have this value.
MARK = b"\xff\xff\xff\xff"

_COUNT = struct.Struct("<B")
_PART = struct.Struct("<8sI")  # digest of the bundle, size of the state [byte]

#: Bundles that may answer side by side.
MOST_BUNDLES = 8


class Owner(NamedTuple):
    """A bundle, by its fingerprint, and the size of its state [byte]."""

    bundle: str
    size: int


class Rows:
    """Layout of the rows of some bundles, the first of which is in charge.

    >>> rows = Rows([Owner("a", 3), Owner("b", 2)])
    >>> rows.split(rows.join([b"abc", None]))
    [b'abc', None]
    >>> other = Rows([Owner("b", 2), Owner("c", 4)])
    >>> other.split(other.load(rows.store(b"abcde")))
    [b'de', None]
    """

    def __init__(self, owners: Sequence[Owner]) -> None:
        self.owners = tuple(owners)
        self.size = sum(owner.size for owner in owners)
        self._digests = [_digest(owner) for owner in owners]
        ends = [sum(owner.size for owner in owners[: k + 1]) for k in range(len(owners))]
        self._slices = [slice(end - owner.size, end) for owner, end in zip(owners, ends, strict=True)]
        self._blank = [bytes(owner.size) for owner in owners]  # no state is: it counts its entries

    @property
    def is_single(self) -> bool:
        """Whether there is one bundle only; then a row is its state."""
        return len(self.owners) == 1

    def join(self, states: Iterable[bytes | None]) -> bytes:
        """The row of the states of all bundles."""
        pairs = zip(self._blank, states, strict=True)
        return b"".join(blank if state is None else state for blank, state in pairs)

    def split(self, row: bytes) -> list[bytes | None]:
        """The state of each bundle; None if it is missing."""
        return [self.state(row, k) for k in range(len(self.owners))]

    def state(self, row: bytes, k: int) -> bytes | None:
        """The state of the k-th bundle; None if it is missing."""
        part = self._slices[k]
        return None if row.startswith(self._blank[k], part.start) else row[part]

    def start(self, row: bytes) -> int:
        """Where the first state of a row begins; each has at least one."""
        return next(
            part.start
            for part, blank in zip(self._slices, self._blank, strict=True)
            if not row.startswith(blank, part.start)
        )

    def store(self, row: bytes) -> bytes:
        """The stored form of a row of several states."""
        states = [
            (digest, state)
            for digest, state in zip(self._digests, self.split(row), strict=True)
            if state is not None
        ]
        head = b"".join(_PART.pack(digest, len(state)) for digest, state in states)
        return b"".join((MARK, _COUNT.pack(len(states)), head, *(state for _, state in states)))

    def load(self, stored: bytes) -> bytes | None:
        """The row of a stored form, whichever bundles wrote it; None if it has no state of these ones."""
        (count,) = _COUNT.unpack_from(stored, len(MARK))
        at = len(MARK) + _COUNT.size
        parts = [_PART.unpack_from(stored, at + k * _PART.size) for k in range(count)]
        at += count * _PART.size
        found: dict[bytes, bytes] = {}
        for digest, size in parts:
            found[digest] = stored[at : at + size]
            at += size
        states = [found.get(digest) for digest in self._digests]
        return self.join(states) if any(state is not None for state in states) else None

    def place(self, owner: Owner, state: bytes) -> bytes:
        """The row with the state of one bundle alone."""
        return self.join([state if other == owner else None for other in self.owners])


def _digest(owner: Owner) -> bytes:
    """Digest by which a stored row names a bundle."""
    return blake2b(f"{owner.bundle}\0{owner.size}".encode(), digest_size=8).digest()
