"""One object's alerts to records, with its state in the store of another engine.

The update is the worker's; only where state and history lie differs. An engine brings all alerts of an object
to one place, in order, and gives the values of that object.
"""

import hashlib
import logging
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from firstlight.errors import DataError
from firstlight.pipeline import Pipeline
from firstlight.stream.alerts.alert import Alert, Skip
from firstlight.stream.alerts.decoder import AlertDecoder, AlertFormat, alert_decoder
from firstlight.stream.state.batch import PartitionMemory
from firstlight.stream.state.store import Changes
from firstlight.stream.worker.answer import answer
from firstlight.stream.worker.metrics import Metrics

Record = dict[str, Any]

_log = logging.getLogger(__name__)

_STATE = "state"
#: Before a state row: layout, number of the history's entries, digest of the bundle.
_HEAD = struct.Struct("<BI8s")
_LAYOUT = 1
_PAIR = struct.Struct("<II")  # bytes of a name and of its value


class KeyedState(Protocol):
    """Values of one object in an engine's store; a value that is set is read back until it is deleted."""

    def get(self, name: str) -> bytes | None:
        """A value; None if it was never set."""
        ...

    def set(self, name: str, value: bytes) -> None:
        """Set a value."""
        ...

    def delete(self, name: str) -> None:
        """Remove a value, if there is one."""
        ...


class DictState(dict[str, bytes]):
    """A `KeyedState` in memory.

    >>> state = DictState()
    >>> state.set("a", b"1")
    >>> state.get("a"), state.get("b")
    (b'1', None)
    """

    def set(self, name: str, value: bytes) -> None:
        """See `KeyedState`."""
        self[name] = value

    def delete(self, name: str) -> None:
        """See `KeyedState`."""
        self.pop(name, None)

    def pack(self) -> bytes:
        """All values as bytes, for an engine that keeps one value per object."""
        pairs = ((name.encode(), value) for name, value in self.items())
        return b"".join(_PAIR.pack(len(name), len(value)) + name + value for name, value in pairs)

    @classmethod
    def unpack(cls, data: bytes) -> "DictState":
        """From the bytes of `pack`."""
        state, at = cls(), 0
        while at < len(data):
            n_name, n_value = _PAIR.unpack_from(data, at)
            start = at + _PAIR.size + n_name
            at = start + n_value
            state[data[start - n_name : start].decode()] = data[start:at]
        return state


@dataclass(frozen=True)
class ObjectClassifier:
    """Classify the alerts of an object from its state, as ``firstlight stream`` does.

    It has no state but its settings, so that it can be sent to other processes; the bundle is loaded once in
    each.

    Parameters
    ----------
    bundle : str
        A bundle folder, or the name of one that ships with firstlight.
    format, schemas : str
        As ``firstlight stream --format`` and ``--schemas``.
    forget_days : float
        An object starts again after so many days without observations.
    features : bool
        Whether records have rates, colour and peak.
    context : str
        Redshifts from outside, as ``--context``; empty for none. A file is read once per process.
    """

    bundle: str = "default"
    format: AlertFormat = "auto"
    schemas: str = ""
    forget_days: float = 400.0
    features: bool = False
    context: str = ""

    def decode(self, value: bytes, key: bytes | None = None) -> list[Alert | Skip | DataError]:
        """Alerts of a message; an error stands for one that cannot be read.

        Raises
        ------
        SchemaError
            If a schema cannot be had.
        """
        return list(_loaded(self).decoder.decode_all(value, key))

    def update(self, alerts: Sequence[Alert], state: KeyedState) -> list[Record | Exception | None]:
        """Advance the state of one object by its alerts, in order.

        Parameters
        ----------
        alerts : sequence of Alert
            Alerts of one object.
        state : KeyedState
            Its values; changed unless an error is raised.

        Returns
        -------
        list of dict, Exception or None
            The record of each alert, as ``firstlight stream`` writes it; None for an alert that was answered
            before, or the error that its data caused.

        Raises
        ------
        DataError
            If there are several objects.
        BundleError
            If the bundle cannot be loaded.
        """
        names = {alert.object_id for alert in alerts}
        if not names:
            return []
        if len(names) > 1:
            raise DataError(f"alerts of {len(names)} objects, such as {sorted(names)[:2]}, for one state")
        loaded, values = _loaded(self), _Values(state, _loaded(self).digest)
        memory = PartitionMemory(
            values, loaded.state_dtype, forget_days=self.forget_days, count=loaded.metrics.count
        )
        answers = answer(
            [loaded.pipeline],
            [(memory, alert) for alert in alerts],
            loaded.metrics,
            with_features=self.features,
        )
        values.commit(memory.changes(None, {}))
        return answers


class _Values:
    """State and history of the one object in a `KeyedState`."""

    def __init__(self, state: KeyedState, digest: bytes) -> None:
        self._state, self._digest = state, digest
        self._n_entries = 0
        self._row: bytes | None = None
        value = state.get(_STATE)
        if value is None:
            return
        layout, self._n_entries, digest = _HEAD.unpack_from(value)
        if layout != _LAYOUT:
            raise DataError(f"a state of layout {layout}, of a newer firstlight")
        if digest == self._digest:  # else of another bundle: the history makes the state again
            self._row = bytes(value[_HEAD.size :])

    def states(self, objects: Sequence[str]) -> list[bytes | None]:
        """See `StateStore`."""
        return [self._row for _ in objects]

    def histories(self, objects: Sequence[str]) -> list[list[bytes]]:
        """See `StateStore`."""
        return [self._history() for _ in objects]

    def _history(self) -> list[bytes]:
        entries = [self._state.get(_entry(k)) for k in range(self._n_entries)]
        return [bytes(entry) for entry in entries if entry is not None]

    def commit(self, changes: Changes) -> None:
        """Write the changes of the object, if there are any."""
        for name, (row, _) in changes.states.items():
            first = 0 if name in changes.rewritten else self._n_entries
            entries = changes.history(name)
            for number, entry in enumerate(entries, first):
                self._state.set(_entry(number), entry)
            n_entries = first + len(entries)
            for number in range(n_entries, self._n_entries):
                self._state.delete(_entry(number))
            self._state.set(_STATE, _HEAD.pack(_LAYOUT, n_entries, self._digest) + row)
            self._n_entries, self._row = n_entries, row


def _entry(number: int) -> str:
    return f"entry {number}"


class _Loaded(NamedTuple):
    """Settings of a process's classifier."""

    pipeline: Pipeline
    decoder: AlertDecoder
    metrics: Metrics
    state_dtype: Any
    digest: bytes


@lru_cache(maxsize=4)
def _loaded(classifier: ObjectClassifier) -> _Loaded:
    pipeline = Pipeline.load(classifier.bundle, context=classifier.context or None)
    return _Loaded(
        pipeline,
        alert_decoder(classifier.format, classifier.schemas),
        Metrics(pipeline.bundle_version),
        pipeline.states([]).data.dtype,
        hashlib.blake2b(pipeline.bundle_version.encode(), digest_size=8).digest(),
    )


# --- a message on its way to the place of its object -------------------------------

_ENVELOPE = struct.Struct("<HiI")  # bytes of the object's name, bytes of the key or -1, number of the alert


class Envelope(NamedTuple):
    """An alert of a message: the object, the message as it came, and the alert's number in it."""

    object_id: str
    key: bytes | None
    value: bytes
    number: int = 0

    def pack(self) -> bytes:
        """As bytes, for a topic that is keyed by object.

        >>> Envelope.unpack(Envelope("a", None, b"packet", 3).pack())
        Envelope(object_id='a', key=None, value=b'packet', number=3)
        """
        name, key = self.object_id.encode(), self.key or b""
        head = _ENVELOPE.pack(len(name), -1 if self.key is None else len(key), self.number)
        return head + name + key + self.value

    @classmethod
    def unpack(cls, data: bytes) -> "Envelope":
        """From the bytes of `pack`."""
        n_name, n_key, number = _ENVELOPE.unpack_from(data)
        at = _ENVELOPE.size + n_name
        name = data[_ENVELOPE.size : at].decode()
        end = at + max(n_key, 0)
        return cls(name, None if n_key < 0 else data[at:end], data[end:], number)
