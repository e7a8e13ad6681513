"""From the alerts of a micro-batch to their records.

Alerts of many objects go through the pipeline together; several alerts of one object go one
after another, in rounds. What is said of an alert does not depend on the others of its
batch, so any split of a stream into batches gives the same records.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from firstlight.errors import DataError, FirstlightError
from firstlight.online import Arrivals, ObjectStates, Update
from firstlight.stream.alerts.alert import Alert, arrivals
from firstlight.stream.io.message import Partition
from firstlight.stream.results.record import build_records
from firstlight.stream.state.batch import PartitionMemory
from firstlight.stream.worker.metrics import Metrics

__all__ = ["ALERT_ERRORS", "Arrived", "LivePipeline", "answer"]

#: What the data of an alert can raise inside the pipeline; anything else is our fault and stops the worker.
ALERT_ERRORS = (DataError, ValueError, ArithmeticError, LookupError)

#: If so many alerts of one batch fail, and none succeeds, the alerts are not to blame.
_NOT_THE_ALERTS = 16


class LivePipeline(Protocol):
    """What the worker asks of a pipeline; `firstlight.Pipeline` is one."""

    bundle_version: str

    def states(self, rows: Sequence[bytes | None]) -> ObjectStates:
        """States of rows of bytes; None where nothing was seen yet."""
        ...

    def update(self, states: ObjectStates, arrivals: Arrivals, logs: Any) -> Update:
        """Advance states by one alert each."""
        ...


@dataclass(frozen=True, slots=True)
class Arrived:
    """An alert of the micro-batch.

    Attributes
    ----------
    partition : tuple of str and int
        Topic and number.
    place : int
        Its place in the batch, in order of arrival.
    alert : Alert
        The alert.
    """

    partition: Partition
    place: int
    alert: Alert


def answer(
    pipeline: LivePipeline,
    arrived: Sequence[Arrived],
    memories: Mapping[Partition, PartitionMemory],
    metrics: Metrics,
) -> tuple[dict[int, dict[str, Any]], dict[int, Exception]]:
    """Records of the alerts of a batch; the memories take up what changed.

    Parameters
    ----------
    pipeline : LivePipeline
        The trained pipeline.
    arrived : sequence of Arrived
        Alerts in order of arrival.
    memories : mapping
        What is known of the objects of each partition.
    metrics : Metrics
        Where repeated and late alerts are counted.

    Returns
    -------
    records : dict of int to dict
        By place in the batch; none for an alert that had been answered before.
    failed : dict of int to Exception
        What the data of an alert raised, by place.

    Raises
    ------
    FirstlightError
        If every alert of a large batch fails: then it is not the alerts.
    """
    with metrics.timed("read"):
        for partition, memory in memories.items():
            memory.load(item.alert.object_id for item in arrived if item.partition == partition)
    records: dict[int, dict[str, Any]] = {}
    failed: dict[int, Exception] = {}
    for group in _rounds(arrived):
        try:
            records |= _together(pipeline, group, memories, metrics)
        except ALERT_ERRORS as error:
            if len(group) == 1:
                failed[group[0].place] = error
                continue
            alone, wrong = _one_by_one(pipeline, group, memories, metrics)
            records |= alone
            failed |= wrong
    if len(failed) >= _NOT_THE_ALERTS and len(failed) == len(arrived):
        first = failed[min(failed)]
        raise FirstlightError(
            f"all {len(failed)} alerts of a batch fail in the pipeline, the first with {first!r}; "
            "that is not the alerts' fault: check the bundle"
        ) from first
    return records, failed


def _rounds(arrived: Sequence[Arrived]) -> list[list[Arrived]]:
    """First alerts of all objects together, then the second ones, and so on."""
    seen: dict[str, int] = {}
    rounds: dict[tuple[int, bool], list[Arrived]] = {}
    for item in arrived:
        name = item.alert.object_id
        seen[name] = seen.get(name, -1) + 1
        rounds.setdefault((seen[name], item.alert.dereddened), []).append(item)
    return [rounds[key] for key in sorted(rounds)]


def _one_by_one(
    pipeline: LivePipeline,
    group: Sequence[Arrived],
    memories: Mapping[Partition, PartitionMemory],
    metrics: Metrics,
) -> tuple[dict[int, dict[str, Any]], dict[int, Exception]]:
    records: dict[int, dict[str, Any]] = {}
    failed: dict[int, Exception] = {}
    for item in group:
        try:
            records |= _together(pipeline, [item], memories, metrics)
        except ALERT_ERRORS as error:
            failed[item.place] = error
    return records, failed


def _together(
    pipeline: LivePipeline,
    group: Sequence[Arrived],
    memories: Mapping[Partition, PartitionMemory],
    metrics: Metrics,
) -> dict[int, dict[str, Any]]:
    """Update different objects by one alert each."""

    def memory_of(item: Arrived) -> PartitionMemory:
        return memories[item.partition]

    def logs(index: NDArray[Any]) -> list[list[bytes]]:
        wanted = [group[i] for i in index]
        return [memory_of(item).log(item.alert.object_id, item.alert.mjd) for item in wanted]

    alerts = [item.alert for item in group]
    with metrics.timed("update"):
        rows = [memory_of(item).row(item.alert.object_id, item.alert.mjd) for item in group]
        arrival = arrivals(alerts)
        done = pipeline.update(pipeline.states(rows), arrival, logs)
        states = done.states.to_bytes()
    with metrics.timed("encode"):
        said = build_records(
            alerts, arrival.curves, done.predictions, done.previous, done.late, pipeline.bundle_version
        )
    records = {}
    for i, (item, answered) in enumerate(zip(group, done.answered.tolist(), strict=True)):
        if not answered:
            metrics.count("redelivered")
            continue
        memory_of(item).learn(
            item.alert.object_id, item.alert.mjd, states[i], done.entries[i], bool(done.rewritten[i])
        )
        records[item.place] = said[i]
        metrics.count("late", n=int(done.late[i]))
        metrics.count("results", said[i]["label"])
    return records
