"""Where the state stores of all partitions are: one database file each in a folder."""

import re
from pathlib import Path

from firstlight.errors import StateError
from firstlight.stream.state.sqlite import SqliteStore

__all__ = ["StateFolder"]


class StateFolder:
    """The state stores of all partitions, ``<topic>-<partition>.sqlite`` in one folder.

    Workers of one consumer group may share it: each partition's file is held by the
    worker that has the partition.

    Parameters
    ----------
    folder : Path
        The folder; it is made if need be.
    bundle : str
        Fingerprint of the bundle whose states these are.
    state_size : int
        Bytes of a state row.

    Raises
    ------
    StateError
        If the folder cannot be made.
    """

    def __init__(self, folder: Path, *, bundle: str, state_size: int) -> None:
        self._folder = Path(folder)
        self._bundle = bundle
        self._state_size = state_size
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"cannot make the state folder {folder}: {error.strerror}") from error

    def path(self, topic: str, partition: int) -> Path:
        """File of a partition's store."""
        return self._folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', topic)}-{partition}.sqlite"

    def open(self, topic: str, partition: int, wait_s: float) -> SqliteStore:
        """Open the store of a partition.

        Parameters
        ----------
        topic : str
            The topic; ``file`` for sources that are files.
        partition : int
            Number of the partition.
        wait_s : float
            How long to wait for an older owner to let go of it [s].

        Raises
        ------
        StateError
            If another worker keeps it, or it cannot be written.
        """
        return self._open(self.path(topic, partition), wait_s)

    def _open(self, path: Path, wait_s: float) -> SqliteStore:
        return SqliteStore(path, bundle=self._bundle, state_size=self._state_size, wait_s=wait_s)

    def sink_position(self, name: str) -> int | None:
        """Largest durable length of a sink that any partition stored; None where none did.

        Partitions that another worker holds are passed over: it writes to a sink of its own.
        """
        found = []
        for path in sorted(self._folder.glob("*.sqlite")):
            try:
                store = self._open(path, 0.0)
            except StateError:
                continue
            found.append(store.sink_position.get(name))
            store.close()
        return max((length for length in found if length is not None), default=None)
