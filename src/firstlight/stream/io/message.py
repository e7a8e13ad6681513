"""The one message type of the stream: a source reads it, and a codec decodes it."""

from dataclasses import dataclass, field

#: Topic of messages that come from files and folders.
FILE_TOPIC = "file"
#: Topic of messages that come through a pipe.
PIPE_TOPIC = "pipe"
#: Topics of one partition, whose messages come in one order.
LOCAL_TOPICS = (FILE_TOPIC, PIPE_TOPIC)

#: Topic and number of a partition.
Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Message:
    """A message with its place in a stream.

    Attributes
    ----------
    value : bytes
        The payload; empty if the message could not be read.
    key : bytes, optional
        The key. For Fink, and for a record from an Avro container, it holds the JSON of the schema.
    topic : str
        Topic; `FILE_TOPIC` for files and folders.
    partition, offset : int
        Place in the topic. Offsets ascend within a partition and may have gaps.
    timestamp_ms : int, optional
        Time at which the message was appended to the topic [ms since 1970].
    error : str
        Why the message could not be read; usually empty.
    file : str
        The file it comes from, with ``!`` before the member of an archive; empty for other sources.
    record : int, optional
        Number of the record in its file, from 0.
    first_place : tuple of (str, int, int), optional
        Topic, partition and offset of the message that became a dead letter, if this one is from a letter.
    bookmarks : tuple of (str, str)
        Places in files of the input up to this message, for the state store; set on some messages only.
    """

    value: bytes
    key: bytes | None = None
    topic: str = ""
    partition: int = 0
    offset: int = 0
    timestamp_ms: int | None = None
    error: str = ""
    file: str = ""
    record: int | None = None
    first_place: tuple[str, int, int] | None = None
    bookmarks: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def origin(self) -> Partition:
        """The partition that the message belongs to."""
        return self.topic, self.partition
