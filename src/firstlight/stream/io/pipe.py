"""Alerts from a pipe: JSON lines on standard input."""

import os
import select
import sys
import time
from typing import IO

from firstlight.errors import BrokerError
from firstlight.stream.io.message import Message, Partition
from firstlight.stream.io.sources import PartitionCall

__all__ = ["PipeSource"]

PIPE_TOPIC = "pipe"
MAX_LINE_BYTES = 64 << 20
_READ_BYTES = 1 << 20


class PipeSource:
    """Alerts as JSON, one a line, as they come through a pipe.

    A pipe cannot be read again. Lines are numbered on from where the store's position is, so
    every run takes what it gets as new; alerts that were answered before change nothing.

    Parameters
    ----------
    stream : file, optional
        What to read instead of standard input; it needs a file descriptor.
    """

    def __init__(self, stream: IO[bytes] | None = None) -> None:
        self.on_assign: PartitionCall | None = None
        self.on_revoke: PartitionCall | None = None
        self._file = (stream if stream is not None else sys.stdin.buffer).fileno()
        self._next = 0
        self._rest = b""  # of a line that has not ended
        self._lines: list[bytes] = []
        self._assigned = self._ended = False

    @property
    def exhausted(self) -> bool:
        """Whether the other end is closed, and all was handed out."""
        return self._ended and not self._lines

    def poll(self, max_records: int, timeout_s: float) -> list[Message]:
        """Next lines, waiting up to `timeout_s` [s] for the first.

        Raises
        ------
        BrokerError
            If the pipe cannot be read.
        """
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
        taken, self._lines = self._lines[:max_records], self._lines[max_records:]
        first, self._next = self._next, self._next + len(taken)
        return [Message(line, None, PIPE_TOPIC, 0, first + i) for i, line in enumerate(taken)]

    def _read(self) -> None:
        try:
            data = os.read(self._file, _READ_BYTES)
        except OSError as error:
            raise BrokerError(f"standard input: {error.strerror}") from error
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data or len(self._rest) > MAX_LINE_BYTES:  # a line without an end goes on as it is
            lines.append(self._rest)
            self._rest = b""
        self._ended = not data
        self._lines += [line for line in lines if line.strip()]

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Number the next line so; what was handed out is gone."""
        self._next = max(self._next, offset)

    def commit(self, positions: dict[Partition, int]) -> None:
        """Nobody to tell."""

    def lag(self) -> int | None:
        """Unknown, but at the end."""
        return 0 if self.exhausted else None

    def close(self) -> None:
        """Standard input stays open."""
        self._ended, self._lines = True, []
