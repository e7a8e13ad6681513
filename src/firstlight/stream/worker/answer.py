"""From the alerts of a micro-batch to their records.

Several alerts of one object go one after another, in rounds; a record does not depend on its batch.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from firstlight.errors import DataError, FirstlightError
from firstlight.online import Arrivals, ObjectStates, Update
from firstlight.stream.alerts.alert import Alert, arrivals
from firstlight.stream.io.message import Partition
from firstlight.stream.results.record import build_records
from firstlight.stream.state.batch import PartitionMemory
from firstlight.stream.worker.metrics import Metrics

#: Errors in the pipeline that an alert's data can cause; any other error stops the worker.
ALERT_ERRORS = (DataError, ValueError, ArithmeticError, LookupError)

#: If at least so many alerts fail, and none of the batch succeeds, the bundle is to blame.
_ALL_FAILED = 16

Record = dict[str, Any]
Item = tuple[PartitionMemory, Alert]


class LivePipeline(Protocol):
    """What the worker needs of a pipeline; `firstlight.Pipeline` has it."""

    bundle_version: str

    def states(self, rows: Sequence[bytes | None]) -> ObjectStates:
        """States of stored rows; None for an object without one."""
        ...

    def update(self, states: ObjectStates, arrivals: Arrivals, logs: Any) -> Update:
        """Advance states by one alert each."""
        ...


def answer(
    pipeline: LivePipeline, items: Sequence[Item], metrics: Metrics, *, with_features: bool = False
) -> list[Record | Exception | None]:
    """The record of each alert; None if it was answered before, or the error that its data caused.

    Alerts come in order of arrival, each with the memory of its partition, which is updated.
    FirstlightError if every alert of a large batch fails, so that the alerts cannot be the cause.
    """
    with metrics.timed("read"):
        objects: dict[PartitionMemory, list[str]] = {}
        for memory, alert in items:
            objects.setdefault(memory, []).append(alert.object_id)
        for memory, names in objects.items():
            memory.load(names)
    answers: list[Record | Exception | None] = [None] * len(items)
    for places in _rounds(items):
        found: Sequence[Record | Exception | None]
        try:
            found = _update(pipeline, [items[i] for i in places], metrics, with_features)
        except ALERT_ERRORS as error:
            alone = len(places) > 1
            found = (
                [_update_alone(pipeline, items[i], metrics, with_features) for i in places]
                if alone
                else [error]
            )
        for place, record in zip(places, found, strict=True):
            answers[place] = record
    failed = [record for record in answers if isinstance(record, Exception)]
    if len(failed) >= _ALL_FAILED and len(failed) == len(items):
        raise FirstlightError(
            f"all {len(failed)} alerts of a batch fail in the pipeline, the first with {failed[0]!r}; "
            "the alerts cannot be the cause: check the bundle"
        ) from failed[0]
    return answers


def in_order(alerts: Sequence[tuple[Partition, float]]) -> list[int]:
    """Places of the alerts of several partitions in order of time, without a change within a partition.

    Each alert has its partition and time [MJD]; those of a partition are in order of arrival. The order does
    not depend on how the partitions follow each other.
    """
    reached: dict[Partition, float] = {}
    keys = []
    for place, (partition, mjd) in enumerate(alerts):
        reached[partition] = max(mjd, reached.get(partition, -math.inf))
        keys.append((reached[partition], partition, place))
    return [place for _, _, place in sorted(keys)]


def _rounds(items: Sequence[Item]) -> list[list[int]]:
    """Places of the first alerts of all objects, then of the second ones, and so on."""
    seen: dict[str, int] = {}
    rounds: dict[tuple[int, bool], list[int]] = {}
    for place, (_, alert) in enumerate(items):
        before = seen.get(alert.object_id, 0)
        rounds.setdefault((before, alert.dereddened), []).append(place)
        seen[alert.object_id] = before + 1
    return [rounds[key] for key in sorted(rounds)]


def _update_alone(
    pipeline: LivePipeline, item: Item, metrics: Metrics, with_features: bool
) -> Record | Exception | None:
    """Update one object after a group failed; the error if this alert is the cause."""
    try:
        (record,) = _update(pipeline, [item], metrics, with_features)
    except ALERT_ERRORS as error:
        return error
    return record


def _update(
    pipeline: LivePipeline, items: Sequence[Item], metrics: Metrics, with_features: bool
) -> list[Record | None]:
    """Update different objects by one alert each."""

    def histories(index: NDArray[Any]) -> list[list[bytes]]:
        wanted = [items[i] for i in index]
        return [memory.history(alert.object_id, alert.mjd) for memory, alert in wanted]

    alerts = [alert for _, alert in items]
    with metrics.timed("update"):
        rows = [memory.row(alert.object_id, alert.mjd) for memory, alert in items]
        arrival = arrivals(alerts)
        update = pipeline.update(pipeline.states(rows), arrival, histories)
        states = update.states.to_bytes()
    with metrics.timed("encode"):
        records = build_records(
            alerts, arrival.curves, update, pipeline.bundle_version, with_features=with_features
        )
    answers: list[Record | None] = []
    dropped: Counter[str] = Counter()
    rewritten = update.rewritten.tolist()
    for i, ((memory, alert), is_new) in enumerate(zip(items, update.answered.tolist(), strict=True)):
        if is_new:
            memory.learn(alert.object_id, alert.mjd, states[i], update.entries[i], rewritten[i])
            if alert.n_dropped:
                dropped.update(alert.n_dropped)
        answers.append(records[i] if is_new else None)
    new = [record for record in answers if record is not None]
    for label, n in Counter(record["label"] for record in new).items():
        metrics.count("results", label, n)
    for domain, n in Counter(record["domain"] for record in new).items():
        metrics.count("domains", domain, n)
    for reason, n in dropped.items():
        metrics.count("dropped", reason, n)
    metrics.count("late", n=int(np.count_nonzero(update.late & update.answered)))
    metrics.count("redelivered", n=len(items) - len(new))
    return answers
