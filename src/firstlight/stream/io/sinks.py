"""The protocol of a sink of results, and sinks in memory, files and standard output."""

import errno
import fcntl
import json
import logging
import os
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

from firstlight.errors import BrokerError

_log = logging.getLogger(__name__)

_LOCK_PAUSE_S = 0.02
_TAIL_BYTES = 64 << 20  # a last line of more is no result


class ResultSink(Protocol):
    """Writes results.

    Laws: once `flush` has returned, the results written before it outlive this process. After a
    crash the same bytes are written again; a sink that `truncates` is first cut to its stored
    length, so that each result is there once.
    """

    name: str  #: the state store keeps the sink's length under it
    truncates: bool  #: whether `truncate` can go back to a length that `flush` returned

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Write results, each a key and a value; they may stay in a buffer until `flush`."""
        ...

    def flush(self) -> int:
        """Deliver all results; returns the length of the output so far (bytes or records).

        OversizeError if all but some were delivered.
        """
        ...

    def truncate(self, position: int) -> None:
        """Drop everything after a length that `flush` returned."""
        ...

    def close(self) -> None:
        """Flush and release the sink; may be called twice."""
        ...


class OversizeError(Exception):
    """The sink delivered all records but those that are too large for it, which are in `records`."""

    def __init__(self, name: str, records: Sequence[tuple[bytes, bytes]]) -> None:
        super().__init__(f"{name}: {len(records)} record(s) are larger than it takes")
        self.records = records


class RefusedError(Exception):
    """The sink delivered all records but those in `records`, which it gave up for a `reason`."""

    def __init__(self, name: str, records: Sequence[tuple[bytes, bytes]], reason: str) -> None:
        super().__init__(f"{name}: {len(records)} record(s) were not taken: {reason}")
        self.records, self.reason = records, reason


class MemorySink:
    """Results in a list, `records`."""

    truncates = True

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.records: list[tuple[bytes, bytes]] = []

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """See `ResultSink`."""
        self.records += records

    def flush(self) -> int:
        """See `ResultSink`; the number of results."""
        return len(self.records)

    def truncate(self, position: int) -> None:
        """See `ResultSink`."""
        del self.records[position:]

    def close(self) -> None:
        """Nothing to release."""


class FileSink:
    """Values of results, appended to a file, with a newline after each if `newline`.

    After `flush` a crash of this process cannot lose them, a power failure can, which `truncate` reports.
    A regular file is locked while it is open, after waiting at most `wait_s` [s] for the lock; its name for
    the state store is its path without links. The first `flush` ends a last line that has no newline: half
    a result is cut off, as readers ignore it. BrokerError if the file cannot be opened, or another worker
    writes to it.
    """

    def __init__(self, path: Path, *, newline: bool = True, wait_s: float = 0.0) -> None:
        self.path = Path(path)
        self.name = os.path.realpath(self.path)
        self._end = b"\n" if newline else b""
        self._pending: list[bytes] = []
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # not "ab": with our own position, a write that failed halfway can be repeated
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self.truncates = _is_regular(self._file)
            if self.truncates:
                self._lock(wait_s)
            self._length = os.lseek(self._file, 0, os.SEEK_END) if self.truncates else 0
            self._is_mended = not (self.truncates and newline)
        except BrokerError:
            raise
        except OSError as error:
            raise self._failed("cannot be opened", error) from error

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """See `ResultSink`; results reach the file with the next `flush`."""
        for _, value in records:
            self._pending.append(value)
            self._pending.append(self._end)

    def flush(self) -> int:
        """See `ResultSink`; the length of the file [byte].

        BrokerError if it cannot be written: the file is then cut back to its last length, and
        the results since then must be written again.
        """
        if not self._is_mended:
            self._end_last_line()
        data = memoryview(b"".join(self._pending))
        self._pending.clear()
        at = self._length
        try:
            while data:
                written = os.pwrite(self._file, data, at) if self.truncates else os.write(self._file, data)
                data, at = data[written:], at + written
        except OSError as error:
            if self.truncates:
                os.ftruncate(self._file, self._length)
            raise self._failed("cannot be written", error) from error
        self._length = at
        return at

    def truncate(self, position: int) -> None:
        """See `ResultSink`; drops pending results too. BrokerError if the file is shorter already."""
        self._pending.clear()
        if not self.truncates:
            return
        try:
            length = os.fstat(self._file).st_size
            if length < position:
                raise BrokerError(
                    f"results {self.path}: {length} bytes, but {position} were written; it was cut or "
                    "replaced since. Move the state away to write all results again, or restore the file"
                )
            os.ftruncate(self._file, position)
        except BrokerError:
            raise
        except OSError as error:
            raise self._failed("cannot be cut", error) from error
        self._length = position

    def _end_last_line(self) -> None:
        """Cut half a JSON object off the end of the file, or end a last line that is something else."""
        tail, most = b"", min(self._length, _TAIL_BYTES)
        try:
            while b"\n" not in tail and len(tail) < most:
                size = min(max(2 * len(tail), 4096), most)
                tail = os.pread(self._file, size, self._length - size)
            line = tail[tail.rfind(b"\n") + 1 :]
            if line.startswith(b"{") and not _is_json(line):
                self._length -= len(line)
                os.ftruncate(self._file, self._length)
                _log.warning(
                    "results %s: its last line was cut short; these %d bytes are removed",
                    self.path,
                    len(line),
                )
            elif line:
                self._length += os.pwrite(self._file, b"\n", self._length)
        except OSError as error:
            raise self._failed("cannot be mended", error) from error
        self._is_mended = True

    def close(self) -> None:
        """See `ResultSink`."""
        if self._file >= 0:
            try:
                self.flush()
            finally:
                os.close(self._file)
                self._file = -1

    def _lock(self, wait_s: float) -> None:
        """Lock the file against other writers."""
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(self._file)
                    raise BrokerError(
                        f"results {self.path}: another worker writes to it; stop that one, or give each "
                        "worker its own file"
                    ) from None
            except OSError:
                return  # a file system without locks
            time.sleep(_LOCK_PAUSE_S)

    def _failed(self, what: str, error: OSError) -> BrokerError:
        advice = (
            "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "repair it"
        )
        return BrokerError(f"results {self.path}: {what}: {error.strerror}; {advice}, or choose another file")


class StdoutSink:
    """Values of results on standard output (or `stream`), which cannot be cut back."""

    name = "-"
    truncates = False

    def __init__(self, stream: IO[bytes] | None = None, *, newline: bool = True) -> None:
        self._stream = stream if stream is not None else sys.stdout.buffer
        self._end = b"\n" if newline else b""
        self._length = 0

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """See `ResultSink`; BrokerError if the reader has gone or the disk is full."""
        data = b"".join(value + self._end for _, value in records)
        try:
            self._stream.write(data)
        except OSError as error:
            raise BrokerError(f"standard output: {error.strerror}; check its reader") from error
        self._length += len(data)

    def flush(self) -> int:
        """See `ResultSink`; BrokerError if the reader has gone or the disk is full."""
        try:
            self._stream.flush()
        except OSError as error:
            raise BrokerError(f"standard output: {error.strerror}; check its reader") from error
        return self._length

    def truncate(self, position: int) -> None:
        """Standard output cannot be cut."""

    def close(self) -> None:
        """See `ResultSink`; standard output stays open."""
        self.flush()


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_regular(file: int) -> bool:
    return stat.S_ISREG(os.fstat(file).st_mode)
