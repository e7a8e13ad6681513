"""The update as a stateful function of Spark: records equal to those of the worker."""

import json

import pandas as pd
import pytest
from tests.spark import local_session
from tests.stream.conftest import alerts_of

from firstlight.stream import JsonLinesCodec
from firstlight.stream.engines.keyed import DictState, ObjectClassifier
from firstlight.stream.engines.spark import ObjectUpdate, classify_stream
from firstlight.stream.results.record import JsonResults

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def classifier(fast_bundle):
    return ObjectClassifier(str(fast_bundle))


@pytest.fixture(scope="module")
def batches(sample):
    """Two micro-batches of messages of three objects, one of which cannot be read."""
    alerts = [alert for i in (0, 40, 80) for alert in alerts_of(sample[i], 12, whole=False)[:6]]
    first, second = alerts[::2], alerts[1::2]
    values = [[JsonLinesCodec().encode(alert) for alert in part] for part in (first, second)]
    values[0].append(b"junk")
    return [
        pd.DataFrame(
            {"key": None, "value": part, "partition": 0, "offset": range(1000 * k, 1000 * k + len(part))}
        )
        for k, part in enumerate(values)
    ]


@pytest.fixture(scope="module")
def expected(classifier, batches):
    """Records of the update, message by message."""
    states: dict[str, DictState] = {}
    records = []
    for value in pd.concat(batches)["value"]:
        (alert,) = classifier.decode(value)
        if hasattr(alert, "object_id"):
            state = states.setdefault(alert.object_id, DictState())
            records += classifier.update([alert], state)
    return sorted(JsonResults().encode(record, None).decode() for record in records)


class Group:
    """The state of a group, as Spark gives it to the function."""

    def __init__(self):
        self.get = None

    @property
    def exists(self):
        return self.get is not None

    def update(self, value):
        self.get = value


def test_rows_are_ordered_by_their_place_and_the_state_goes_on(classifier, batches, expected):
    update, groups, records, reasons = ObjectUpdate(classifier), {}, [], []
    for batch in batches:
        rows = batch.sample(frac=1.0, random_state=1).assign(number=0)
        names = [getattr(classifier.decode(value)[0], "object_id", "") for value in rows["value"]]
        for name, part in rows.groupby(names):
            group = groups.setdefault(name, Group())
            for found in update((name,), [part.iloc[:1], part.iloc[1:]], group):
                records += found["record"].dropna().tolist()
                reasons += found["reason"].dropna().tolist()
    assert sorted(records) == expected
    assert len(reasons) == 1
    assert "unknown format" in reasons[0]
    assert not groups[""].exists


@pytest.fixture(scope="module")
def session():
    with local_session() as made:
        yield made


def test_a_stopped_query_goes_on_with_the_state_of_its_objects(
    session, classifier, batches, expected, tmp_path
):
    schema = "key binary, value binary, partition int, offset long"
    (tmp_path / "in").mkdir()
    for number, batch in enumerate(batches):
        session.createDataFrame(batch, schema).coalesce(1).write.parquet(str(tmp_path / f"batch-{number}"))
        (part,) = (tmp_path / f"batch-{number}").glob("*.parquet")
        part.rename(tmp_path / "in" / f"{number}.parquet")
        frame = session.readStream.schema(schema).parquet(str(tmp_path / "in"))
        query = (
            classify_stream(frame, classifier)
            .writeStream.format("json")
            .option("checkpointLocation", str(tmp_path / "checkpoint"))
            .trigger(availableNow=True)
            .start(str(tmp_path / "out"))
        )
        assert query.awaitTermination(240)
    lines = [json.loads(line) for path in (tmp_path / "out").glob("*.json") for line in path.open()]
    assert sorted(line["record"] for line in lines if "record" in line) == expected
    assert [line["reason"].split(":")[0] for line in lines if "record" not in line]
