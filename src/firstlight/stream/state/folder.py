"""The state stores of all partitions in one folder."""

import logging
import re
import stat
from pathlib import Path

from firstlight.errors import StateError
from firstlight.stream.state.sqlite import SqliteStore

_log = logging.getLogger(__name__)


class StateFolder:
    """The state stores of all partitions, ``<topic>-<partition>.sqlite`` in one folder.

    Workers of one consumer group may share it: each file is locked by the worker that has the partition.
    `bundle` is the fingerprint of the bundle whose states these are, `state_size` the length of a row
    [byte]. StateError if the folder cannot be created.
    """

    def __init__(self, folder: Path, *, bundle: str, state_size: int) -> None:
        self._folder = Path(folder)
        self._bundle = bundle
        self._state_size = state_size
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            writers = self._folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        except OSError as error:
            raise StateError(f"cannot make the state folder {folder}: {error.strerror}") from error
        if writers:  # left as it is: it may be so on purpose
            _log.warning("%s: other users can change the state; close it with chmod 700", folder)

    def path(self, topic: str, partition: int) -> Path:
        """File of a partition's store."""
        return self._folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', topic)}-{partition}.sqlite"

    def open(self, topic: str, partition: int, wait_s: float) -> SqliteStore:
        """Open the store of a partition, waiting up to `wait_s` [s] for its owner to release it."""
        return self._open(self.path(topic, partition), wait_s)

    def _open(self, path: Path, wait_s: float) -> SqliteStore:
        return SqliteStore(path, bundle=self._bundle, state_size=self._state_size, wait_s=wait_s)

    def sink_position(self, name: str) -> int | None:
        """Largest stored length of a sink over all partitions; None if there is none.

        Ignores partitions that another worker holds: that worker writes to its own sink.
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
