"""Sources and sinks from their addresses, as the command line names them."""

import os
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path

from firstlight.errors import SettingsError
from firstlight.stream.io.files import DirectorySource, FileSource, PipeSource
from firstlight.stream.io.kafka_config import KafkaAddress, read_kafka_config
from firstlight.stream.io.sinks import FileSink, ResultSink, StdoutSink
from firstlight.stream.io.sources import EARLIEST, AlertSource
from firstlight.stream.io.tables import refuse_tables
from firstlight.stream.limits import DEFAULT_LIMITS, Limits

_KAFKA = "kafka://"


def check_places(source: tuple[str, str], sinks: Mapping[str, str]) -> None:
    """SettingsError if two places are one, however they are spelt: results among alerts damage both.

    `source` is the name of its option and its address, `sinks` are addresses by the names of their options.
    """
    name, url = source
    for other, sink in sinks.items():
        if url != "-" and _is_same(url, sink):
            raise SettingsError(f"{other} {sink} is the same place as {name} {url}; choose another place")
    for (first, one), (second, two) in combinations(sinks.items(), 2):
        if one == two == "-" or _is_same(one, two):
            raise SettingsError(f"{second} {two} is the same place as {first} {one}; choose another place")


def _is_same(url: str, sink: str) -> bool:
    """Whether a sink is a topic of an address, or a regular file of another name."""
    if url.startswith(_KAFKA) and sink.startswith(_KAFKA):
        address, topic = KafkaAddress.parse(url, several=True), KafkaAddress.parse(sink)
        shared = set(address.servers.split(",")) & set(topic.servers.split(","))
        return bool(shared) and address.has(topic.topic)
    if any("://" in place or place == "-" for place in (url, sink)):
        return False
    one, two = (Path(place).expanduser() for place in (url, sink))
    if one.exists() and two.exists():
        return two.is_file() and one.samefile(two)
    return os.path.realpath(one) == os.path.realpath(two)


def open_source(
    url: str,
    *,
    group: str = "firstlight",
    kafka_config: Path | None = None,
    follow: bool = False,
    until_end: bool = False,
    start: str = EARLIEST,
    limits: Limits = DEFAULT_LIMITS,
    ignored: Iterable[Path] = (),
) -> AlertSource:
    """Open a source.

    Parameters
    ----------
    url : str
        ``kafka://host:port[,host:port]/topic``, a file, a tar archive, a folder, or ``-`` for standard input;
        in place of a topic also a list of topics and patterns (``^ztf_.*_programid1$``), separated by commas.
    group : str
        Consumer group, for Kafka.
    kafka_config : Path, optional
        File with settings of the Kafka client.
    follow : bool
        Wait for more alerts at the end of a file or folder.
    until_end : bool
        Stop at the end of a topic instead of waiting for more.
    start : str
        Where to begin partitions of a topic that have no position yet: ``earliest``, ``latest``, or a date.
    limits : Limits
        The largest messages, blocks and schemas that are read from files and standard input.
    ignored : iterable of Path
        Files and folders in a folder of alerts that are not read, such as the results.

    Raises
    ------
    SettingsError
        If the kind of address is unknown, or `start` is wrong or is of files.
    DataError
        If there is no such file, or it holds light curves and no alerts.
    """
    check_start(start, url)
    if url == "-":
        return PipeSource(limits=limits)
    scheme, separator, _ = url.partition("://")
    if separator and scheme == "kafka":
        from firstlight.stream.io.kafka import KafkaSource

        config = read_kafka_config(kafka_config) if kafka_config is not None else None
        return KafkaSource(url, group=group, config=config, until_end=until_end, start=start)
    if separator:
        raise SettingsError(
            f"source {url}: {scheme}:// is unknown; give kafka://host:port/topic, a file or a folder"
        )
    path = Path(url).expanduser()
    kind = DirectorySource if path.is_dir() else FileSource
    source = kind(path, follow=follow, limits=limits, ignored=ignored)
    refuse_tables(path, source.files, limits)
    return source


def open_sink(
    url: str, *, kafka_config: Path | None = None, newline: bool = True, wait_s: float = 0.0
) -> ResultSink:
    """Open a sink.

    Parameters
    ----------
    url : str
        ``kafka://host:port[,host:port]/topic``, a file, or ``-`` for standard output.
    kafka_config : Path, optional
        File with settings of the Kafka client.
    newline : bool
        Whether to end each value in a file with a newline.
    wait_s : float
        How long to wait for another worker to release a file [s].

    Raises
    ------
    SettingsError
        If the kind of address is unknown.
    BrokerError
        If the file cannot be opened, or another worker writes to it.
    """
    if url == "-":
        return StdoutSink(newline=newline)
    scheme, separator, _ = url.partition("://")
    if separator and scheme == "kafka":
        from firstlight.stream.io.kafka import KafkaSink

        return KafkaSink(url, config=read_kafka_config(kafka_config) if kafka_config is not None else None)
    if separator:
        raise SettingsError(
            f"sink {url}: {scheme}:// is unknown; give kafka://host:port/topic, a file, "
            "or - for standard output"
        )
    return FileSink(Path(url).expanduser(), newline=newline, wait_s=wait_s)


def check_start(start: str, source: str) -> None:
    """Raise SettingsError for a start of files."""
    if start != EARLIEST and not source.startswith("kafka://"):
        raise SettingsError(f"--start {start}: only topics have a start; files are read from their beginning")
