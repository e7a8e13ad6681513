"""A stream in memory: states and histories of objects, fed one alert at a time."""

from collections.abc import Sequence

import numpy as np
import pytest

from firstlight.lightcurves import LightCurves
from firstlight.online import Arrivals, ObjectStates, Update
from firstlight.pipeline import Pipeline
from firstlight.predictions import Predictions


class Stream:
    """A worker's memory without files: a state and a history per object."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.rows: dict[str, bytes] = {}
        self.histories: dict[str, list[bytes]] = {}
        self.answers: dict[str, tuple[str, np.ndarray, float, str, str, tuple[str, ...]]] = {}
        self.reads = 0

    def states(self, names: Sequence[str]) -> ObjectStates:
        return self.pipeline.states([self.rows.get(name) for name in names])

    def feed(self, arrivals: Arrivals) -> Update:
        names = arrivals.curves.object_id.tolist()

        def read_history(index: np.ndarray) -> list[list[bytes]]:
            self.reads += len(index)
            return [self.histories.get(names[i], []) for i in index]

        done = self.pipeline.update(self.states(names), arrivals, read_history)
        rows = done.states.to_bytes()
        for i, name in enumerate(names):
            if not done.answered[i]:
                assert rows[i] == (self.rows.get(name) or rows[i])
                continue
            self.rows[name] = rows[i]
            before = [] if done.rewritten[i] else self.histories.get(name, [])
            self.histories[name] = [*before, done.entries[i]]
            now = done.predictions
            self.answers[name] = (
                *(str(now.status[i]), now.proba[i], float(now.anomaly[i])),
                *(str(now.domain[i]), str(now.domain_reason[i]), now.sets[i]),
            )
        return done

    def assert_equals(self, expected: Predictions) -> None:
        """Check that each object's last answer is that of batch, to the last bit."""
        for i, name in enumerate(expected.object_id.tolist()):
            status, proba, anomaly, *domain, members = self.answers[name]
            assert members == expected.sets[i]
            assert status == expected.status[i]
            assert domain == [expected.domain[i], expected.domain_reason[i]]
            np.testing.assert_array_equal(proba, expected.proba[i], err_msg=name)
            np.testing.assert_array_equal(anomaly, expected.anomaly[i], err_msg=name)


def rows_of(curves: LightCurves, keep: np.ndarray) -> LightCurves:
    """Objects with some of their observations, without those that keep none."""
    part = curves.keep(keep)
    return part.take(part.n_obs > 0)


@pytest.fixture
def fast_stream(tiny_fast) -> Stream:
    return Stream(tiny_fast)


@pytest.fixture(params=["fast", "nights"])
def constant_stream(request) -> Stream:
    return Stream(request.getfixturevalue(f"tiny_{request.param}"))


@pytest.fixture
def default_stream(tiny_default) -> Stream:
    return Stream(tiny_default)


@pytest.fixture(params=["fast", "nights", "default"])
def any_stream(request) -> Stream:
    return Stream(request.getfixturevalue(f"tiny_{request.param}"))
