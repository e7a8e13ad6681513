"""Where a replay goes: an Avro container, JSON lines, a folder of nightly containers.

A topic of Kafka is in `firstlight.stream.replay.kafka`. Each sink asks the replay for the
stream in its own format, takes the packets one by one and keeps at most a block of them.
"""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from firstlight.errors import DataError, SettingsError
from firstlight.files import replacing
from firstlight.stream.alerts.json import JsonLinesCodec
from firstlight.stream.alerts.write import LSST_SCHEMA, LSST_SCHEMA_ID
from firstlight.stream.avro.container import write_container
from firstlight.stream.replay.replay import Replay, ReplayPacket, night_of

__all__ = [
    "AvroFile",
    "JsonLinesFile",
    "NightlyFolder",
    "PacketSink",
    "open_file_sink",
    "write_schema",
]

BLOCK_BYTES = 1 << 20  # of a container: what a reader inflates or skips at once


class PacketSink(AbstractContextManager["PacketSink"], Protocol):
    """Takes the packets of a replay.

    Laws: used as a context; what was written is complete when the context ends without an
    error. Packets arrive in the order in which they are written.
    """

    def packets(self, replay: Replay) -> Iterator[ReplayPacket]:
        """The stream in the form that this sink wants."""
        ...

    def write(self, packet: ReplayPacket) -> None:
        """Take one packet."""
        ...


class _WholeFile:
    """A file that appears when it is complete; after an error there is none."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._stack = ExitStack()
        self._file: IO[bytes]

    def __enter__(self) -> Self:
        partial = self._stack.enter_context(replacing(self.path))
        self._file = self._stack.enter_context(partial.open("wb"))
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            if error is None:
                self._end()
        except OSError as full:  # the stack turns it into a message, as any while writing
            self._stack.__exit__(type(full), full, full.__traceback__)
            raise
        return self._stack.__exit__(kind, error, trace)

    def _begin(self) -> None: ...

    def _end(self) -> None: ...


class AvroFile(_WholeFile):
    """An Avro container of packets, in blocks of a megabyte.

    Parameters
    ----------
    path : Path
        The file; an older one is replaced when the new one is complete.
    """

    def packets(self, replay: Replay) -> Iterator[ReplayPacket]:
        """Packets without a frame: the container holds the schema."""
        return replay.packets(frame=b"")

    def write(self, packet: ReplayPacket) -> None:
        """Take one packet."""
        self._block.append(packet.value)
        self._size += len(packet.value)
        if self._size >= BLOCK_BYTES:
            self._flush()

    def _begin(self) -> None:
        self._block: list[bytes] = []
        self._size = 0
        self._head = write_container(LSST_SCHEMA, [])
        self._file.write(self._head)

    def _flush(self) -> None:
        if self._block:
            # a container is its head and its blocks
            self._file.write(memoryview(write_container(LSST_SCHEMA, self._block))[len(self._head) :])
        self._block, self._size = [], 0

    def _end(self) -> None:
        self._flush()


class JsonLinesFile(_WholeFile):
    """Our own JSON lines, one alert each, under the objects' own names.

    Parameters
    ----------
    path : Path
        The file; an older one is replaced when the new one is complete.
    """

    def packets(self, replay: Replay) -> Iterator[ReplayPacket]:
        """Alerts as lines.

        Raises
        ------
        SettingsError
            If packets are to have a size, or objects new numbers: lines have neither.
        """
        if replay.config.packet_bytes or replay.config.renumber:
            raise SettingsError(
                f"{self.path}: JSON lines have no cutout to fill them up and take any name; leave "
                "--packet-kb and --names out, or write Avro"
            )
        codec = JsonLinesCodec()
        return (
            ReplayPacket(alert.object_id.encode(), codec.encode(alert), float(mjd))
            for alert, mjd in zip(replay.alerts(), replay.mjd, strict=True)
        )

    def write(self, packet: ReplayPacket) -> None:
        """Take one line."""
        self._file.write(packet.value)


class NightlyFolder:
    """A folder with an Avro container for every night, named by the MJD of its evening.

    A night's file appears when the night is complete.

    Parameters
    ----------
    folder : Path
        The folder, made if need be.

    Raises
    ------
    DataError
        If it holds containers already: two streams in one folder would read as one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise DataError(f"{self.folder} is a file; a replay goes to FILE.avro, FILE.jsonl or a folder")
        if any(self.folder.glob("*.avro")):
            raise DataError(f"{self.folder} holds alerts already; name an empty folder, or empty this one")
        self._night: int | None = None
        self._file: AvroFile | None = None

    def packets(self, replay: Replay) -> Iterator[ReplayPacket]:
        """Packets without a frame: each container holds the schema."""
        return replay.packets(frame=b"")

    def write(self, packet: ReplayPacket) -> None:
        """Take one packet, whose night is not before that of the last one."""
        night = int(night_of(packet.mjd))
        if self._file is None or night != self._night:
            self._close(None)
            self._night, self._file = night, AvroFile(self.folder / f"{night}.avro").__enter__()
        self._file.write(packet)

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot make the folder {self.folder}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)


def open_file_sink(target: str | Path) -> PacketSink:
    """The sink that a path means.

    Parameters
    ----------
    target : path
        FILE.avro, FILE.jsonl, or a folder.

    Returns
    -------
    PacketSink
        To be used as a context.

    Raises
    ------
    SettingsError
        If the path has another suffix and is no folder.
    DataError
        If the folder holds alerts already.

    Examples
    --------
    >>> type(open_file_sink("alerts.avro")).__name__
    'AvroFile'
    """
    path = Path(target)
    suffix = path.suffix.lower()
    if path.is_dir() or not suffix:
        return NightlyFolder(path)
    if suffix == ".avro":
        return AvroFile(path)
    if suffix == ".jsonl":
        return JsonLinesFile(path)
    raise SettingsError(
        f"{path}: a replay goes to kafka://HOST:PORT/TOPIC, FILE.avro, FILE.jsonl, or a folder"
    )


def write_schema(folder: Path) -> Path:
    """Write the schema of the packets as consumers of Confluent's framing look it up.

    Parameters
    ----------
    folder : Path
        Folder for ``<number>.avsc``, as `firstlight.stream.FolderSchemas` reads it.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    path = Path(folder) / f"{LSST_SCHEMA_ID}.avsc"
    with replacing(path) as partial:
        partial.write_text(json.dumps(LSST_SCHEMA, indent=1) + "\n", encoding="utf-8")
    return path
