"""From the alerts of a micro-batch to their records.

Several alerts of one object go one after another, in rounds; a record does not depend on its batch.

The first bundle is in charge. Others may answer beside it: they see the same alerts and histories and have
states of their own, so that each answers as it would alone. No fault of theirs touches the answer in charge.
"""

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from firstlight._types import IntArray
from firstlight.errors import DataError, FirstlightError, StateError
from firstlight.online import Arrivals, ObjectStates, Update
from firstlight.stream.alerts.alert import Alert, arrivals
from firstlight.stream.io.message import Partition
from firstlight.stream.results.record import build_answers, build_records
from firstlight.stream.state.batch import PartitionMemory
from firstlight.stream.worker.context import count_failures
from firstlight.stream.worker.logging import log
from firstlight.stream.worker.metrics import Metrics

#: Errors in the pipeline that an alert's data can cause; any other error stops the worker.
ALERT_ERRORS = (DataError, ValueError, ArithmeticError, LookupError)

#: If at least so many alerts fail, and none of the batch succeeds, the bundle is to blame.
_ALL_FAILED = 16
_LONGEST_REASON = 200  # of an answer that is missing

Record = dict[str, Any]
Item = tuple[PartitionMemory, Alert]


class LivePipeline(Protocol):
    """The methods of a pipeline that the worker calls; `firstlight.Pipeline` has them."""

    bundle_version: str

    @property
    def surveys(self) -> frozenset[str]:
        """Surveys whose filters it was trained on."""
        ...

    def states(self, rows: Sequence[bytes | None]) -> ObjectStates:
        """States of stored rows; None for an object without one."""
        ...

    def update(self, states: ObjectStates, arrivals: Arrivals, logs: Any) -> Update:
        """Advance states by one alert each."""
        ...


def answer(
    pipelines: Sequence[LivePipeline],
    items: Sequence[Item],
    metrics: Metrics,
    *,
    with_features: bool = False,
) -> list[Record | Exception | None]:
    """The record of each alert; None if it was answered before, or the error that its data caused.

    Alerts come in order of arrival, each with the memory of its partition, which is updated. The first
    pipeline is in charge; the answers of the others are the field ``others`` of the records.
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
            found = _update(pipelines, [items[i] for i in places], metrics, with_features)
        except ALERT_ERRORS as error:
            alone = len(places) > 1
            found = (
                [_update_alone(pipelines, items[i], metrics, with_features) for i in places]
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
    pipelines: Sequence[LivePipeline], item: Item, metrics: Metrics, with_features: bool
) -> Record | Exception | None:
    """Update one object after a group failed; the error if this alert is the cause."""
    try:
        (record,) = _update(pipelines, [item], metrics, with_features)
    except ALERT_ERRORS as error:
        return error
    return record


@dataclass(frozen=True, slots=True)
class _Round:
    """Alerts of different objects, as every bundle gets them."""

    items: Sequence[Item]
    arrival: Arrivals
    with_features: bool

    @classmethod
    def of(cls, items: Sequence[Item], with_features: bool) -> Self:
        """The round of some alerts."""
        return cls(items, arrivals([alert for _, alert in items]), with_features)

    @property
    def alerts(self) -> list[Alert]:
        return [alert for _, alert in self.items]

    def update(self, pipeline: LivePipeline, bundle: int = 0) -> Update:
        """The answers of a bundle, by its number."""
        rows = [memory.row(alert.object_id, alert.mjd, bundle) for memory, alert in self.items]
        return pipeline.update(pipeline.states(rows), self.arrival, self._histories)

    def _histories(self, index: NDArray[Any]) -> list[list[bytes]]:
        wanted = [self.items[i] for i in index]
        return [memory.history(alert.object_id, alert.mjd) for memory, alert in wanted]


def _update(
    pipelines: Sequence[LivePipeline], items: Sequence[Item], metrics: Metrics, with_features: bool
) -> list[Record | None]:
    """Update different objects by one alert each."""
    pipeline, *others = pipelines
    with metrics.timed("update"):
        group = _Round.of(items, with_features)
        update = group.update(pipeline)
        states = update.states.to_bytes()
    with metrics.timed("encode"):
        records = build_records(
            group.alerts, group.arrival.curves, update, pipeline.bundle_version, with_features=with_features
        )
    beside: Sequence[Sequence[bytes | None]] = [()] * len(items)
    if others:
        with metrics.timed("update"):
            beside = _ask_others(others, group, update, records)
    answers: list[Record | None] = []
    dropped: Counter[str] = Counter()
    rewritten = update.rewritten.tolist()
    for i, ((memory, alert), is_new) in enumerate(zip(items, update.answered.tolist(), strict=True)):
        if is_new:
            entry = update.entries[i]
            memory.learn(alert.object_id, alert.mjd, states[i], entry, rewritten[i], beside[i])
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
    if update.redshifts is not None and update.redshifts.failures:
        count_failures(update.redshifts, metrics)
    metrics.count("late", n=int(np.count_nonzero(update.late & update.answered)))
    metrics.count("redelivered", n=len(items) - len(new))
    if others:
        _count_others(new, metrics)
    return answers


# --- bundles beside the one in charge --------------------------------------------


def _ask_others(
    others: Sequence[LivePipeline], group: _Round, first: Update, records: Sequence[Record]
) -> list[tuple[bytes | None, ...]]:
    """Add the answers of the other bundles to the records; their new states, for each alert."""
    n_entries = first.states.data["n_entries"]
    found = [_ask(pipeline, k, group, n_entries) for k, pipeline in enumerate(others, start=1)]
    for record, answers in zip(records, zip(*(answers for answers, _ in found), strict=True), strict=True):
        record["others"] = list(answers)
    return list(zip(*(states for _, states in found), strict=True))


def _ask(
    pipeline: LivePipeline, bundle: int, group: _Round, n_entries: IntArray
) -> tuple[list[Record], list[bytes | None]]:
    """Answers and new states of another bundle; an error takes the place of an answer that it cannot give.

    Its state is None then, so that its next answer for that object is made from the history, which is that of
    the bundle in charge.
    """
    version = pipeline.bundle_version
    try:
        update = group.update(pipeline, bundle)
        answers = build_answers(
            group.alerts, group.arrival.curves, update, version, with_features=group.with_features
        )
    except StateError:
        raise
    except (*ALERT_ERRORS, FirstlightError) as error:
        if len(group.items) == 1:
            return [_failure(version, f"{type(error).__name__}: {error}")], [None]
        parts = [
            _ask(pipeline, bundle, _Round.of([item], group.with_features), n_entries[i : i + 1])
            for i, item in enumerate(group.items)
        ]
        return [answers[0] for answers, _ in parts], [states[0] for _, states in parts]
    update.states.data["n_entries"] = n_entries
    states: list[bytes | None] = list(update.states.to_bytes())
    for i in np.flatnonzero(~update.answered):  # the bundle in charge will say the same
        answers[i], states[i] = _failure(version, "it has answered this alert before"), None
    return answers, states


def _failure(version: str, reason: str) -> Record:
    return {"bundle": version, "error": reason[:_LONGEST_REASON]}


def _count_others(records: Sequence[Record], metrics: Metrics) -> None:
    """Count the answers of the other bundles, those with another class, and those that are missing."""
    counts: Counter[tuple[str, str]] = Counter()
    reasons: dict[str, str] = {}
    for record in records:
        for answer in record["others"]:
            name = answer["bundle"]
            if "error" in answer:
                counts["other_failures", name] += 1
                reasons.setdefault(name, answer["error"])
            else:
                counts["other_results", name] += 1
                counts["other_labels", name] += answer["label"] != record["label"]
    for (counter, name), n in counts.items():
        metrics.count(counter, name, n)
    for name, reason in reasons.items():
        n = counts["other_failures", name]
        log(logging.WARNING, "another bundle cannot answer some alerts", bundle=name, n=n, first=reason)
