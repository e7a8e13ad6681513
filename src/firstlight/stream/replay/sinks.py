"""Sinks of a replay: a Kafka topic, an Avro container, JSON lines, a folder with a container per night."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from firstlight.errors import BrokerError, DataError, SettingsError
from firstlight.files import replacing
from firstlight.stream.alerts.json import JsonLinesCodec
from firstlight.stream.alerts.write import LSST_SCHEMA, LSST_SCHEMA_ID
from firstlight.stream.avro.container import write_container
from firstlight.stream.io.kafka import KafkaSink
from firstlight.stream.io.kafka_client import kafka_module
from firstlight.stream.io.kafka_config import KafkaAddress, KafkaConfig, read_kafka_config
from firstlight.stream.io.sinks import OversizeError
from firstlight.stream.replay.replay import Replay, ReplayPacket, night_of

BLOCK_BYTES = 1 << 20  # of a container, which a reader inflates or skips as a whole
_CONNECT_S = 10.0  # longest wait for a broker's first response

#: Order is kept by one request at a time. The producer's own numbering, which a replay does not
#: need, as nobody else writes to its topic, costs more than the packets do.
_PRODUCER: dict[str, Any] = {
    "client.id": "firstlight-replay",
    "enable.idempotence": False,
    "max.in.flight.requests.per.connection": 1,
    "linger.ms": 5,
    "queue.buffering.max.kbytes": 64 << 10,
}


class PacketSink(AbstractContextManager["PacketSink"], Protocol):
    """Takes the packets of a replay, in order, as a context; complete when it ends without an error."""

    def packets(self, replay: Replay) -> Iterator[ReplayPacket]:
        """The stream in the format of this sink."""
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
        except OSError as full:  # the stack turns it into a message, like any error while writing
            self._stack.__exit__(type(full), full, full.__traceback__)
            raise
        return self._stack.__exit__(kind, error, trace)

    def _begin(self) -> None: ...

    def _end(self) -> None: ...


class AvroFile(_WholeFile):
    """An Avro container in blocks of a megabyte; an older file is replaced at the end."""

    def packets(self, replay: Replay) -> Iterator[ReplayPacket]:
        """Packets without a frame: the container holds the schema."""
        return replay.packets(frame=b"")

    def write(self, packet: ReplayPacket) -> None:
        """See `PacketSink.write`."""
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
    """Our own JSON lines, under the objects' own names; an older file is replaced at the end."""

    def packets(self, replay: Replay) -> Iterator[ReplayPacket]:
        """Alerts as lines; SettingsError for a packet size or new numbers, which lines lack."""
        if replay.config.packet_bytes or replay.config.renumber:
            raise SettingsError(
                f"{self.path}: JSON lines have no cutout to fill them up and hold any name; leave "
                "--packet-kb and --names out, or write Avro"
            )
        codec = JsonLinesCodec()
        return (
            ReplayPacket(alert.object_id.encode(), codec.encode(alert), float(mjd))
            for alert, mjd in zip(replay.alerts(), replay.mjd, strict=True)
        )

    def write(self, packet: ReplayPacket) -> None:
        """See `PacketSink.write`."""
        self._file.write(packet.value)


class NightlyFolder:
    """A folder with an Avro container per night, named by the MJD of its evening.

    A night's file appears when the night is complete. DataError if the folder already holds containers.
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


class KafkaTopic:
    """Sends packets to a topic, keyed by object; `config` overrides the replay's own settings."""

    def __init__(self, address: str | KafkaAddress, config: KafkaConfig | None = None) -> None:
        self.address = KafkaAddress.parse(address)
        self._kafka = kafka_module()
        config = config or KafkaConfig()
        self._config = KafkaConfig({**_PRODUCER, **config.values}, config.source)
        self._sink: KafkaSink

    def packets(self, replay: Replay) -> Iterator[ReplayPacket]:
        """Packets in Confluent framing, as Rubin sends them."""
        return replay.packets()

    def __enter__(self) -> Self:
        self._sink = KafkaSink(self.address, config=self._config)
        settings = {**self._config.values, "bootstrap.servers": self.address.servers, "log_level": 0}
        try:  # so that a missing broker is noticed now and not when the queue is full
            self._kafka.Producer(settings).list_topics(timeout=_CONNECT_S)
        except self._kafka.KafkaException as error:
            raise BrokerError(
                f"{self.address}: no answer within {_CONNECT_S:.0f} s: "
                f"{self._config.hide(error.args[0].str())}; is the broker running?"
            ) from error
        return self

    def write(self, packet: ReplayPacket) -> None:
        """Take one packet; waits while the queue is full.

        DataError if the broker refuses a packet for its size, UnavailableError if it takes none.
        """
        self._sink.write([(packet.key, packet.value)])
        if self._sink.n_suspects:
            self._send_all(self._sink.flush)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, KeyboardInterrupt):  # packets in the queue are sent
            self._send_all(self._sink.close)

    def _send_all(self, send: Callable[[], object]) -> None:
        """Flush or close the sink; DataError if packets are too large for the topic."""
        try:
            send()
        except OversizeError as error:
            largest = max(len(value) for _, value in error.records)
            raise DataError(
                f"{self.address}: a packet of {largest} bytes is larger than the broker takes; make packets "
                "smaller (--packet-kb, --history-days), or raise message.max.bytes in the file of "
                "--kafka-config and max.message.bytes of the topic"
            ) from None


def open_packet_sink(target: str | Path, kafka_config: Path | None = None) -> PacketSink:
    """The sink for an address or a path, to be used as a context.

    Parameters
    ----------
    target : str or Path
        kafka://HOST:PORT/TOPIC, FILE.avro, FILE.jsonl, or a folder.
    kafka_config : Path, optional
        File of Kafka client settings.

    Raises
    ------
    SettingsError
        If it is none of these, or the settings are wrong.
    DataError
        If the folder already holds alerts.

    Examples
    --------
    >>> type(open_packet_sink("alerts.avro")).__name__
    'AvroFile'
    """
    if str(target).startswith("kafka:"):
        return KafkaTopic(str(target), None if kafka_config is None else read_kafka_config(kafka_config))
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
    """Write the packets' schema to ``<number>.avsc`` in `folder`, for `FolderSchemas`; returns the file."""
    path = Path(folder) / f"{LSST_SCHEMA_ID}.avsc"
    with replacing(path) as partial:
        partial.write_text(json.dumps(LSST_SCHEMA, indent=1) + "\n", encoding="utf-8")
    return path
