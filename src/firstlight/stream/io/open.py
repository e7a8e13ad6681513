"""Sources and sinks from their addresses, as the command line names them."""

from collections.abc import Iterable
from pathlib import Path

from firstlight.errors import SettingsError
from firstlight.stream.io.files import DirectorySource, FileSource, PipeSource
from firstlight.stream.io.kafka_config import read_kafka_config
from firstlight.stream.io.sinks import FileSink, ResultSink, StdoutSink
from firstlight.stream.io.sources import EARLIEST, AlertSource
from firstlight.stream.limits import DEFAULT_LIMITS, Limits


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
        If there is no such file.
    """
    if start != EARLIEST and not url.startswith("kafka://"):
        raise SettingsError(f"--start {start}: only topics have a start; files are read from their beginning")
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
    return kind(path, follow=follow, limits=limits, ignored=ignored)


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
