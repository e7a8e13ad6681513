"""The state stores of all partitions in one folder."""

import json
import logging
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypedDict

from firstlight.errors import SettingsError, StateError
from firstlight.stream.io.message import LOCAL_TOPICS, Partition
from firstlight.stream.state.rows import Owner
from firstlight.stream.state.shared import SharedStore
from firstlight.stream.state.sqlite import SqliteStore

_log = logging.getLogger(__name__)

_SHARED = ".shared.sqlite"
#: The store of several topics, and the offsets at which the partitions of the first start begin; no topic
#: can have these names.
_SEVERAL = f"@topics{_SHARED}"
_STARTS = "@starts.json"

Keyed = Literal["auto", "yes", "no"]


class StateFolder:
    """The state stores of a topic, or of several, in one folder.

    A topic keyed by object has one per partition, ``<topic>-<partition>.sqlite``, locked by the worker that
    has the partition. Any other topic has one for all partitions and all workers of the machine,
    ``<topic>.shared.sqlite`` (decision 0140). ``<topic>.keyed`` remembers which; with `keyed` ``auto`` the
    worker chooses by the first messages. If `several` topics are read they share ``@topics.shared.sqlite``,
    also when one of them is read alone later. `bundle` is the fingerprint of the bundle whose states these
    are, `state_size` the length of one [byte]; `others` are bundles that answer beside it. StateError if the
    folder cannot be created.
    """

    def __init__(
        self,
        folder: Path,
        *,
        bundle: str,
        state_size: int,
        others: Sequence[Owner] = (),
        keyed: Keyed = "auto",
        several: bool = False,
    ) -> None:
        self._folder = Path(folder)
        self._owners = (Owner(bundle, state_size), *others)
        self._keyed = keyed
        self._shared: dict[Path, SharedStore] = {}
        self._recovered: dict[Path, str] = {}  # stores that were found damaged before a worker had them
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            writers = self._folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        except OSError as error:
            raise StateError(f"cannot make the state folder {folder}: {_why_not(folder, error)}") from error
        self._several = several or (self._folder / _SEVERAL).exists()
        if self._several:
            self._check_several()
        if writers:  # left as it is: it may be so on purpose
            _log.warning("%s: other users can change the state; close it with chmod 700", folder)

    def path(self, topic: str, partition: int) -> Path:
        """File of a partition's store."""
        return self._folder / f"{_file_name(topic)}-{partition}.sqlite"

    def shared_path(self, topic: str) -> Path:
        """File of the store that all partitions of a topic share."""
        if self._several:
            return self._folder / _SEVERAL
        return self._folder / f"{_file_name(topic)}{_SHARED}"

    def is_shared(self, topic: str) -> bool | None:
        """Whether all partitions of a topic share a store; None before `choose`.

        SettingsError if the folder holds the other kind than the `keyed` setting.
        """
        if topic in LOCAL_TOPICS:
            return False
        if self._several:
            return True
        found = self._found(topic)
        if self._keyed == "auto":
            return found
        wanted = self._keyed == "no"
        if found is None:
            return self.choose(topic, shared=wanted)
        if found != wanted:
            holds = "one state for all partitions" if found else "a state per partition"
            raise SettingsError(
                f"--keyed {self._keyed}: the state folder {self._folder} holds {holds} of topic {topic}; "
                "give another folder, or --keyed auto"
            )
        return found

    def choose(self, topic: str, *, shared: bool) -> bool:
        """Remember whether all partitions share a store; the first worker's choice counts and is returned."""
        _write_once(self._mark(topic), "no\n" if shared else "yes\n")
        return bool(self._found(topic))

    def starts(self, find: Callable[[], Mapping[Partition, int]]) -> dict[Partition, int]:
        """Offsets at which partitions without a position start; the first worker finds them."""
        path = self._folder / _STARTS
        if not path.exists():
            _write_once(path, json.dumps([[*place, offset] for place, offset in sorted(find().items())]))
        try:
            rows = json.loads(path.read_text())
            return {(str(topic), int(number)): int(offset) for topic, number, offset in rows}
        except (OSError, ValueError, TypeError) as error:
            raise StateError(
                f"{path}: cannot be read ({error}); remove it, and --start counts again for partitions that "
                "have no position yet"
            ) from error

    def open(self, topic: str, partition: int, wait_s: float) -> SqliteStore:
        """Open the store of a partition, waiting up to `wait_s` [s] for its owner to release it."""
        if not self.is_shared(topic):
            own = self._open(self.path(topic, partition), wait_s)
            own.recovered = own.recovered or self._recovered.pop(own.path, "")
            return own
        path = self.shared_path(topic)
        store = self._shared.get(path)
        if store is None or not store.is_open:
            store = SharedStore(path, **self._about, wait_s=wait_s, several=self._several)
            self._shared[path] = store
        try:
            store.own((topic, partition), wait_s)
        except StateError:
            if not store.is_owner:
                store.close()
            raise
        return store

    def use(self, bundles: Sequence[Owner]) -> None:
        """Change the bundles of stores that are opened from now on."""
        self._owners = tuple(bundles)

    def _check_several(self) -> None:
        """SettingsError for a setting, or states of one topic, that several topics cannot have."""
        if self._keyed == "yes":
            raise SettingsError(
                "--keyed yes: an object may have alerts in each of several topics, which share one state; "
                "leave it out"
            )
        stores = (path.name for path in self._folder.glob("*.sqlite"))
        local = re.compile(rf"({'|'.join(LOCAL_TOPICS)})-0\.sqlite")
        if alone := sorted(name for name in stores if name != _SEVERAL and not local.fullmatch(name)):
            raise SettingsError(
                f"the state folder {self._folder} holds the state of one topic ({alone[0]}), which several "
                "topics cannot share; give another folder"
            )

    @property
    def _about(self) -> "_About":
        (bundle, size), *others = self._owners
        return {"bundle": bundle, "state_size": size, "others": others}

    def _open(self, path: Path, wait_s: float) -> SqliteStore:
        kind = SharedStore if path.name.endswith(_SHARED) else SqliteStore
        return kind(path, **self._about, wait_s=wait_s)

    def _mark(self, topic: str) -> Path:
        return self._folder / f"{_file_name(topic)}.keyed"

    def _found(self, topic: str) -> bool | None:
        """Whether the stores that the folder holds of a topic are shared; None if there is none."""
        with suppress(FileNotFoundError):
            return self._mark(topic).read_text().strip() == "no"
        if self.shared_path(topic).exists():
            return True
        name = re.compile(re.escape(_file_name(topic)) + r"-\d+\.sqlite")
        return False if any(name.fullmatch(path.name) for path in self._folder.iterdir()) else None

    def sink_position(self, name: str) -> int | None:
        """Largest stored length of a sink over all partitions; None if there is none.

        Files were once named as they were typed: such a name counts if it leads to the same file.
        Ignores partitions that another worker holds: that worker writes to its own sink.
        """
        found: list[int] = []
        for path in sorted(self._folder.glob("*.sqlite")):
            try:
                store = self._open(path, 0.0)
            except StateError:
                continue
            lengths = store.sink_position
            found += (
                [lengths[name]]
                if name in lengths
                else [length for typed, length in lengths.items() if os.path.realpath(typed) == name]
            )
            if store.recovered:
                self._recovered[store.path] = store.recovered
            store.close()
        return max(found, default=None)


class _About(TypedDict):
    bundle: str
    state_size: int
    others: Sequence[Owner]


def _write_once(path: Path, text: str) -> None:
    """Write a small file unless another worker has written it; whole or not at all."""
    own = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        own.write_text(text)
        with suppress(FileExistsError):
            os.link(own, path)
        own.unlink()
    except OSError as error:
        raise StateError(f"{path}: cannot be written: {error.strerror}") from error


def _file_name(topic: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", topic)


def _why_not(folder: Path, error: OSError) -> str:
    """Why a folder cannot be made, and what to do."""
    if folder.is_symlink() and not folder.exists():
        target = os.readlink(folder)
        return f"it is a link to {target}, which does not exist; make that folder, or remove the link"
    if folder.exists() and not folder.is_dir():
        return "there is a file of that name; give another folder"
    return error.strerror or str(error)
