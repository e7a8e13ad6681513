"""Where results go: the protocol of a sink, its twin in memory, files and standard output.

`firstlight.stream.io.kafka` has the sink that feeds a broker.
"""

import errno
import fcntl
import os
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

from firstlight.errors import BrokerError

__all__ = ["FileSink", "MemorySink", "ResultSink", "StdoutSink"]

_LOCK_PAUSE_S = 0.02


class ResultSink(Protocol):
    """Takes results.

    Laws: what was written before a `flush` that returned has left this process and outlives
    it. Results that a crash makes to be written again are the same bytes; a sink that
    `truncates` is cut to its stored length first, so that they are there once.

    Attributes
    ----------
    name : str
        Under which the state store keeps its length.
    truncates : bool
        Whether `flush` returns a length that `truncate` can go back to.
    """

    name: str
    truncates: bool

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Take results, each a key and a value."""
        ...

    def flush(self) -> int:
        """Send everything on its way; the length so far (of what was sent, where not cut back)."""
        ...

    def truncate(self, position: int) -> None:
        """Forget what was written after a length that `flush` returned."""
        ...

    def close(self) -> None:
        """Flush and let go; closing twice is harmless."""
        ...


class MemorySink:
    """Results in a list, `records`."""

    truncates = True

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.records: list[tuple[bytes, bytes]] = []

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep results."""
        self.records += records

    def flush(self) -> int:
        """Number of results."""
        return len(self.records)

    def truncate(self, position: int) -> None:
        """Forget results from a number on."""
        del self.records[position:]

    def close(self) -> None:
        """Nothing to let go of."""


class FileSink:
    """Results at the end of a file, values only.

    `flush` hands the bytes to the operating system, where a crash of this process cannot
    lose them; it does not wait for the disk. After a power failure the file may be shorter
    than the store believes, which `truncate` reports. A regular file is locked as long as
    the sink is open, so that no two workers write over each other.

    Parameters
    ----------
    path : Path
        The file; made where there is none, with its folder.
    newline : bool
        Whether to end each value with a newline (JSON lines); otherwise bytes go as they are.
    wait_s : float
        How long to wait for another worker to let go of the file [s].

    Raises
    ------
    BrokerError
        If it cannot be opened, or another worker writes to it.
    """

    def __init__(self, path: Path, *, newline: bool = True, wait_s: float = 0.0) -> None:
        self.path = Path(path)
        self.name = str(self.path)
        self._end = b"\n" if newline else b""
        self._pending: list[bytes] = []
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # not "ab": the position is ours, so that a write that failed halfway can be done again
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self.truncates = _is_regular(self._file)
            if self.truncates:
                self._lock(wait_s)
            self._length = os.lseek(self._file, 0, os.SEEK_END) if self.truncates else 0
        except BrokerError:
            raise
        except OSError as error:
            raise self._failed("cannot be opened", error) from error

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Take results; they reach the file with the next `flush`."""
        for _, value in records:
            self._pending.append(value)
            self._pending.append(self._end)

    def flush(self) -> int:
        """Hand everything to the operating system.

        Returns
        -------
        int
            Length of the file [byte].

        Raises
        ------
        BrokerError
            If it cannot be written; the file is cut back to its last length, and what was
            written since is forgotten: write it again once there is room.
        """
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
        """Cut the file at a length that `flush` returned; what is pending is forgotten.

        Raises
        ------
        BrokerError
            If the file is shorter: somebody else changed it, or the power failed.
        """
        self._pending.clear()
        if not self.truncates:
            return
        try:
            length = os.fstat(self._file).st_size
            if length < position:
                raise BrokerError(
                    f"results {self.path}: {length} bytes, but {position} were written; it was cut or "
                    "replaced since. Move the state away to write all results again, or put the file back"
                )
            os.ftruncate(self._file, position)
        except BrokerError:
            raise
        except OSError as error:
            raise self._failed("cannot be cut", error) from error
        self._length = position

    def close(self) -> None:
        """Flush and close."""
        if self._file >= 0:
            try:
                self.flush()
            finally:
                os.close(self._file)
                self._file = -1

    def _lock(self, wait_s: float) -> None:
        """Be the only one who writes to the file."""
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
                        "worker a file of its own"
                    ) from None
            except OSError:
                return  # a file system that knows no locks
            time.sleep(_LOCK_PAUSE_S)

    def _failed(self, what: str, error: OSError) -> BrokerError:
        advice = (
            "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "see to it"
        )
        return BrokerError(f"results {self.path}: {what}: {error.strerror}; {advice}, or choose another file")


class StdoutSink:
    """Results on standard output, values only; nothing there can be taken back.

    Parameters
    ----------
    stream : binary file, optional
        Where to write instead.
    newline : bool
        Whether to end each value with a newline.
    """

    name = "-"
    truncates = False

    def __init__(self, stream: IO[bytes] | None = None, *, newline: bool = True) -> None:
        self._stream = stream if stream is not None else sys.stdout.buffer
        self._end = b"\n" if newline else b""
        self._length = 0

    def write(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Write results.

        Raises
        ------
        BrokerError
            If nobody reads any more, or there is no room.
        """
        data = b"".join(value + self._end for _, value in records)
        try:
            self._stream.write(data)
        except OSError as error:
            raise BrokerError(f"standard output: {error.strerror}; see to where it goes") from error
        self._length += len(data)

    def flush(self) -> int:
        """Bytes written so far.

        Raises
        ------
        BrokerError
            If nobody reads any more, or there is no room.
        """
        try:
            self._stream.flush()
        except OSError as error:
            raise BrokerError(f"standard output: {error.strerror}; see to where it goes") from error
        return self._length

    def truncate(self, position: int) -> None:
        """Nothing can be taken back."""

    def close(self) -> None:
        """Flush; standard output stays open."""
        self.flush()


def _is_regular(file: int) -> bool:
    return stat.S_ISREG(os.fstat(file).st_mode)
