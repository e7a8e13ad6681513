"""Alerts from files, folders and standard input, record by record and without decoding them."""

import logging
import os
import select
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from firstlight.errors import BrokerError, DataError
from firstlight.stream.io.message import FILE_TOPIC, PIPE_TOPIC, Message, Partition
from firstlight.stream.io.places import Place, Places
from firstlight.stream.io.records import ChangedError, Tail, is_hidden, read_records
from firstlight.stream.io.sources import POLL_PAUSE_S, PartitionCall
from firstlight.stream.limits import DEFAULT_LIMITS, Limits, size_text

_log = logging.getLogger(__name__)

_PIPE_READ_BYTES = 1 << 20
_SCAN_SHARE = 0.1  # of the time, at most, in which a followed folder is searched for new files

_Signature = tuple[int, int, int]  # inode, size and time of modification


@dataclass(slots=True)
class _Open:
    """The file that is being read."""

    path: Path
    raw: IO[bytes]
    name: str  # of its bookmark; empty until it has one
    records: Iterator[Message | None]
    tail: Tail
    base: int  # offset of its record 0
    skip: int  # records before this one are passed over
    taken: int  # records up to this one are read
    size: int  # when it was opened

    @property
    def signature(self) -> _Signature:
        return _signature(os.fstat(self.raw.fileno()))

    @property
    def next_offset(self) -> int:
        """Offset after its records so far."""
        return self.base + max(self.tail.n_records, self.taken)

    def place(self, *, done: bool = False) -> Place:
        taken = max(self.taken, min(self.skip, self.tail.n_records))
        read = self.raw.tell()
        return Place(taken, max(read, self.size) if done else read, "", done)


class FileSource:
    """Alerts of one file: Avro container, JSON lines, JSON array, or a tar archive of such files; or gzipped.

    Each file has its own place in the state store (see `Places`), so that each record is read once; offsets
    only count records. A record of a container has the JSON of its schema as the key. With `follow` the
    source waits for more at the end. DataError if there is no such file.
    """

    def __init__(
        self,
        path: Path,
        *,
        follow: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        ignored: Iterable[Path] = (),
    ) -> None:
        self.path = Path(path)
        self.follow = follow
        # a folder may hold files that the worker itself writes
        top = os.path.realpath(self.path)
        self._ignored = {name for name in map(os.path.realpath, ignored) if name.startswith(top)}
        self.limits = limits
        self.on_assign: PartitionCall | None = None
        self.on_revoke: PartitionCall | None = None
        self._assigned = False
        self._bookmarks: Mapping[str, str] = {}
        self._restored = False  # whether bookmarks were given since the last seek
        self._first = 0  # offset of the first record after the bookmarks
        self._file: _Open | None = None
        self._restart(0)

    def _restart(self, offset: int, *, old_position: bool = False) -> None:
        """Begin at the bookmarks, and pass over the records before `offset`."""
        if self._file is not None:
            self._file.raw.close()
            self._file = None
        self._places = Places(self._bookmarks)
        self._loose: dict[str, str] = {}  # new bookmarks that no message has yet
        self._next, self._skip_to = self._first, offset
        self._old_position = old_position
        self._ended = False
        self._n_known = 0  # files that were read before, and are not logged yet
        self._signatures: dict[Path, _Signature] = {}  # of files that were read, as they were then
        self._next_scan = 0.0
        self._queue = deque(self._list())

    @property
    def files(self) -> list[Path]:
        """Files that are not open yet."""
        return list(self._queue)

    @property
    def exhausted(self) -> bool:
        """See `AlertSource`."""
        return self._ended

    def use_bookmarks(self, bookmarks: Mapping[str, str]) -> None:
        """See `BookmarkedSource`."""
        self._bookmarks, self._restored = dict(bookmarks), True

    def loose_bookmarks(self) -> dict[str, str]:
        """See `BookmarkedSource`."""
        loose, self._loose = self._loose, {}
        return loose

    def poll(self, max_records: int, timeout_s: float) -> list[Message]:
        """See `AlertSource`; BrokerError if a file cannot be read."""
        if not self._assigned:
            self._assigned = True
            if self.on_assign is not None:
                self.on_assign([(FILE_TOPIC, 0)])
        deadline = time.monotonic() + timeout_s
        found: list[Message] = []
        while len(found) < max_records and not self._ended:
            try:
                message = self._read_next()
            except BrokerError:
                if found:
                    break  # the next poll meets the error again
                raise
            if message is not None:
                found.append(message)
            elif found or self._ended or time.monotonic() >= deadline:
                break
            else:
                time.sleep(min(POLL_PAUSE_S, max(deadline - time.monotonic(), 0.0)))
        if found:
            self._keep_place()
            found[-1] = replace(found[-1], bookmarks=tuple(self.loose_bookmarks().items()))
        return found

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """See `AlertSource`; records before the offset are skipped without decoding.

        A position without bookmarks is one of firstlight 0.1, which numbered the records of all files
        together: so many records are skipped, unless the files hold fewer and so are other files.
        """
        if not self._restored and offset == self._next:
            return
        if self._restored:
            self._first = offset if self._bookmarks else 0
        old = self._restored and not self._bookmarks and offset > 0
        self._restored = False
        self._restart(offset, old_position=old)

    def commit(self, positions: dict[Partition, int]) -> None:
        """Nothing to do: a file keeps no positions."""

    def lag(self) -> int | None:
        """See `AlertSource`; unknown except at the end."""
        return 0 if self._ended else None

    def close(self) -> None:
        """See `AlertSource`."""
        if self._file is not None:
            self._file.raw.close()
            self._file = None
        self._ended = True

    # -- reading -------------------------------------------------------------------------

    def _read_next(self) -> Message | None:
        """The next record; None if there is none, now or for good."""
        while True:
            if self._file is None and not self._open_next():
                if self._doubt_old_position():
                    continue
                self._ended = not self.follow
                return None
            file = self._file
            assert file is not None
            try:
                message = next(file.records)
            except StopIteration:
                self._close_file(done=True)
                continue
            except ChangedError as error:
                _log.warning("%s; it is read as a new file", error)
                self._close_file(done=False)
                del self._signatures[file.path]
                self._next_scan = 0.0
                continue
            except BrokerError:
                file.records = self._records_of(file)  # the next poll tries again, at the same place
                raise
            if message is not None:
                file.taken = message.offset + (not file.tail.torn)
                self._next = file.base + message.offset + 1
                self._trust_old_position()
                return replace(message, offset=file.base + message.offset) if file.base else message
            if not self._make_way() and not self._doubt_old_position():
                return None

    def _open_next(self) -> bool:
        """Open the next file that has something to read."""
        while self._queue or self._find_new_files():
            path = self._queue.popleft()
            try:
                raw = path.open("rb")
            except OSError as error:
                if isinstance(error, FileNotFoundError) and self.follow:
                    continue  # moved away; if it comes back it is found again
                self._queue.appendleft(path)
                raise BrokerError(f"cannot read {path}: {error.strerror}") from error
            if self._start(path, raw):
                return True
            raw.close()
        if self._n_known:
            _log.info("%s: %d file(s) of it were read before", self.path, self._n_known)
            self._n_known = 0
        return False

    def _start(self, path: Path, raw: IO[bytes]) -> bool:
        """Go to the place of a file; False if nothing is left of it."""
        status = os.fstat(raw.fileno())
        name, place = self._places.find(raw, path) if status.st_size else ("", Place())
        if place.done and place.read == status.st_size:
            self._n_known += 1
            self._signatures[path] = _signature(status)
            if not name:
                self._loose.update([self._places.keep(raw, path, name, place)])
            return False
        base = self._next - place.records
        skip = max(place.records, self._skip_to - base)
        tail = Tail(complete=not self.follow or bool(self._queue))
        self._file = file = _Open(path, raw, name, iter(()), tail, base, skip, place.records, status.st_size)
        file.records = self._records_of(file)
        return True

    def _records_of(self, file: _Open) -> Iterator[Message | None]:
        return read_records(file.raw, file.path, max(file.skip, file.taken), file.tail, self.limits)

    def _close_file(self, *, done: bool) -> None:
        file = self._file
        assert file is not None
        if done or file.taken:
            self._keep_place(done=done)
        if done:
            self._next = file.next_offset
        self._signatures[file.path] = file.signature
        file.raw.close()
        self._file = None

    def _keep_place(self, *, done: bool = False) -> None:
        """Make a bookmark for the file that is being read; none if its content is gone."""
        file = self._file
        if file is None or not (file.taken or done):
            return
        place = file.place(done=done)
        if 0 < place.read <= os.fstat(file.raw.fileno()).st_size:
            file.name, text = self._places.keep(file.raw, file.path, file.name, place)
            self._loose[file.name] = text

    def _make_way(self) -> bool:
        """Whether the file that waits for more records can end, or another file is to be read first."""
        file = self._file
        assert file is not None
        if not self._queue and not self._find_new_files():
            return False
        if self._order(self._queue[-1]) > self._order(file.path):
            file.tail.complete = True  # a later file exists, so nobody writes to this one any more
        else:
            self._close_file(done=False)
            self._queue.append(file.path)
        return True

    # -- files ---------------------------------------------------------------------------

    def _find_new_files(self) -> bool:
        """Search for files that are new or have changed; rarely, if that takes long."""
        started = time.monotonic()
        if not self.follow or started < self._next_scan:
            return False
        current = self._file.path if self._file is not None else None
        try:
            files = self._list()
        except DataError as error:  # perhaps it is being replaced
            raise BrokerError(str(error)) from error
        for path in files:
            try:
                signature = _signature(path.stat())
            except FileNotFoundError:
                continue
            if path != current and self._signatures.get(path) != signature:
                self._queue.append(path)
        ended = time.monotonic()
        self._next_scan = ended + (ended - started) / _SCAN_SHARE
        return bool(self._queue)

    def _order(self, path: Path) -> tuple[bool, tuple[str, ...]]:
        """Files are read in this order."""
        return False, (path.name,)

    def _list(self) -> list[Path]:
        if not self.path.is_file():
            raise DataError(f"{self.path}: no such file of alerts")
        return [self.path]

    # -- positions of firstlight 0.1 -----------------------------------------------------

    def _doubt_old_position(self) -> bool:
        """Whether the files have fewer records than an old position counts; then all of them are read."""
        reached = self._file.next_offset if self._file is not None else self._next
        if not self._old_position or reached >= self._skip_to:
            return False
        _log.warning(
            "%s: the state has read %d records, with a firstlight that did not note of which files; here are "
            "only %d, so these are other files and all of them are read",
            self.path, self._skip_to, reached,
        )  # fmt: skip
        self._first = self._skip_to
        self._restart(self._skip_to)
        return True

    def _trust_old_position(self) -> None:
        if self._old_position:
            self._old_position = False
            _log.warning(
                "%s: the state has read %d records, with a firstlight that did not note of which files; the "
                "first %d records count as these",
                self.path, self._skip_to, self._skip_to,
            )  # fmt: skip


class DirectorySource(FileSource):
    """Alerts of all files in a folder and its subfolders, in the order of their names.

    Hidden, ``.tmp`` and ``.part`` files are ignored, and so are the files and folders in `ignored`. With
    `follow` the source waits for new files and for old ones that grow; a JSON array or a single message is
    read once a later file exists. DataError if there is no folder.
    """

    def _order(self, path: Path) -> tuple[bool, tuple[str, ...]]:
        parts = path.relative_to(self.path).parts
        return self._old_position and len(parts) > 1, parts  # an old position does not count subfolders

    def _list(self) -> list[Path]:
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such folder of alerts")
        found, seen = [], set()
        for folder, subfolders, names in os.walk(self.path, followlinks=True):
            seen.add(os.path.realpath(folder))
            subfolders[:] = [
                name
                for name in subfolders
                if not is_hidden(name) and os.path.realpath(Path(folder, name)) not in seen | self._ignored
            ]
            found += [Path(folder, name) for name in names if not is_hidden(name)]
        if self._ignored:
            found = [path for path in found if os.path.realpath(path) not in self._ignored]
        return sorted((path for path in found if path.is_file()), key=self._order)


class PipeSource:
    """Alerts as JSON lines on standard input, or on another file with a descriptor.

    A pipe cannot be read twice: line numbers continue from the stored position.
    """

    def __init__(self, stream: IO[bytes] | None = None, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.on_assign: PartitionCall | None = None
        self.on_revoke: PartitionCall | None = None
        self._file = (stream if stream is not None else sys.stdin.buffer).fileno()
        self._next = 0
        self._rest = b""  # start of a line without its end
        self._lines: list[bytes | None] = []  # None for a line above the limit
        self._too_long = False  # whether the rest of such a line is still to come
        self._assigned = self._ended = False

    @property
    def exhausted(self) -> bool:
        """See `AlertSource`."""
        return self._ended and not self._lines

    def poll(self, max_records: int, timeout_s: float) -> list[Message]:
        """See `AlertSource`; BrokerError if the pipe cannot be read."""
        if not self._assigned:
            self._assigned = True
            if self.on_assign is not None:
                self.on_assign([(PIPE_TOPIC, 0)])
        deadline = time.monotonic() + timeout_s
        while not self._lines and not self._ended:
            wait = max(deadline - time.monotonic(), 0.0)
            if not select.select([self._file], [], [], wait)[0]:
                break
            self._read()
        lines, self._lines = self._lines[:max_records], self._lines[max_records:]
        first, self._next = self._next, self._next + len(lines)
        return [self._message(line, first + i) for i, line in enumerate(lines)]

    def _message(self, line: bytes | None, offset: int) -> Message:
        if line is not None:
            return Message(line, None, PIPE_TOPIC, 0, offset)
        limit = size_text(self.limits.message_bytes)
        error = f"standard input: line of more than {limit}, the limit message_bytes"
        return Message(b"", None, PIPE_TOPIC, 0, offset, error=error)

    def _read(self) -> None:
        try:
            data = os.read(self._file, _PIPE_READ_BYTES)
        except OSError as error:
            raise BrokerError(f"standard input: {error.strerror}") from error
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data:
            lines.append(self._rest)
        for line in lines:
            if self._too_long or len(line) > self.limits.message_bytes:
                self._lines.append(None)
            elif line.strip():
                self._lines.append(line)
            self._too_long = False
        if len(self._rest) > self.limits.message_bytes:
            self._rest, self._too_long = b"", True
        self._ended = not data

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Number the next line `offset`; earlier lines cannot be read again."""
        self._next = max(self._next, offset)

    def commit(self, positions: dict[Partition, int]) -> None:
        """Nothing to do: a pipe keeps no positions."""

    def lag(self) -> int | None:
        """See `AlertSource`; unknown except at the end."""
        return 0 if self.exhausted else None

    def close(self) -> None:
        """See `AlertSource`; standard input stays open."""
        self._ended, self._lines = True, []


def _signature(status: os.stat_result) -> _Signature:
    return status.st_ino, status.st_size, status.st_mtime_ns
