"""The update as a stateful function of Spark Structured Streaming."""

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from firstlight.errors import DataError, missing_extra
from firstlight.stream.alerts.alert import Alert, Skip
from firstlight.stream.engines.keyed import DictState, ObjectClassifier
from firstlight.stream.results.record import JsonResults

#: Columns of the results, and of an object's state, as Spark spells them.
RESULTS = "object string, alert string, record string, reason string"
STATE = "contents binary"

_OPENED = "array<struct<object: string, number: int>>"
_PLACE = ["partition", "offset"]


class ObjectUpdate:
    """The function for ``applyInPandasWithState``: alerts of one object to records.

    The frame has columns ``key`` and ``value`` of messages, ``number`` of the alert in its message, and as
    far as there are any ``partition`` and ``offset``, by which alerts are ordered; else their own times do.
    """

    def __init__(self, classifier: ObjectClassifier) -> None:
        self._classifier = classifier

    def __call__(
        self, key: tuple[str, ...], frames: Iterable[pd.DataFrame], group: Any
    ) -> Iterator[pd.DataFrame]:
        """One row per alert: its record as JSON, or why there is none."""
        found = pd.concat(list(frames), ignore_index=True)
        places = [name for name in _PLACE if name in found.columns]
        if len(places) == len(_PLACE):
            found = found.sort_values(_PLACE, kind="stable")
        items = [
            self._classifier.decode(bytes(row.value), None if row.key is None else bytes(row.key))[row.number]
            for row in found[["key", "value", "number"]].itertuples(index=False)
        ]
        if not key[0]:
            yield pd.DataFrame([_reason(item) for item in items], columns=_columns())
            return
        alerts = [item for item in items if isinstance(item, Alert)]
        if not places:
            alerts.sort(key=lambda alert: alert.mjd)
        state = DictState.unpack(bytes(group.get[0])) if group.exists else DictState()
        answers = self._classifier.update(alerts, state)
        group.update((state.pack(),))
        yield pd.DataFrame(
            [_row(alert, record) for alert, record in zip(alerts, answers, strict=True)], columns=_columns()
        )


def classify_stream(frame: Any, classifier: ObjectClassifier) -> Any:
    """Results of a streaming frame of alerts, with a state per object.

    Parameters
    ----------
    frame : pyspark.sql.DataFrame
        Messages, with columns ``key`` and ``value`` (binary), and ``partition`` and ``offset`` as Spark's
        source ``kafka`` gives them.
    classifier : ObjectClassifier
        The classifier; it is sent to the executors, where firstlight is installed.

    Returns
    -------
    pyspark.sql.DataFrame
        Columns ``object``, ``alert``, ``record`` (JSON), and ``reason`` where there is no record:
        ``repeated``, why an alert has nothing to classify, or the error of a message that cannot be used.

    Raises
    ------
    MissingExtraError
        If PySpark is not installed.
    """
    try:
        from pyspark.sql import functions
        from pyspark.sql.streaming.state import GroupStateTimeout
    except ImportError as error:
        raise missing_extra("a function of Spark", "pyspark", "spark") from error

    def opened(key: pd.Series, value: pd.Series) -> pd.Series:
        return pd.Series([_objects(classifier, *pair) for pair in zip(key, value, strict=True)])

    opened.__annotations__ = {"key": pd.Series, "value": pd.Series, "return": pd.Series}
    places = [name for name in _PLACE if name in frame.columns]
    open_all = functions.pandas_udf(opened, _OPENED)
    alerts = frame.select("key", "value", *places, functions.explode(open_all("key", "value")).alias("one"))
    by_object = alerts.select("key", "value", *places, "one.object", "one.number").groupBy("object")
    return by_object.applyInPandasWithState(
        ObjectUpdate(classifier), RESULTS, STATE, "append", GroupStateTimeout.NoTimeout
    )


def _objects(classifier: ObjectClassifier, key: Any, value: Any) -> list[dict[str, Any]]:
    """Object and number of each alert of a message; an empty object where there is nothing to classify."""
    items = classifier.decode(bytes(value), None if key is None else bytes(key))
    return [
        {"object": item.object_id if isinstance(item, Alert) else "", "number": number}
        for number, item in enumerate(items)
    ]


def _columns() -> list[str]:
    return [column.split()[0] for column in RESULTS.split(", ")]


def _row(alert: Alert, record: Any) -> tuple[str, str, str | None, str | None]:
    """A row of the results."""
    if record is None:
        return alert.object_id, alert.alert_id, None, "repeated"
    if isinstance(record, Exception):
        return alert.object_id, alert.alert_id, None, repr(record)
    return alert.object_id, alert.alert_id, JsonResults().encode(record, None).decode(), None


def _reason(item: Skip | DataError | Any) -> tuple[str, str, str | None, str | None]:
    """A row for a message, or alert, with nothing to classify."""
    if isinstance(item, Skip):
        return item.object_id, item.alert_id, None, item.reason.value
    return "", "", None, str(item)
