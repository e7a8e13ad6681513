"""Each partition has its own clock, and eviction changes no record."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.stream.conftest import alerts_of

from firstlight.stream import JsonLinesCodec
from firstlight.stream.io.message import Message
from firstlight.stream.io.sinks import MemorySink
from firstlight.stream.io.sources import MemorySource
from firstlight.stream.state.store import MemoryStore
from firstlight.stream.worker.clocks import Clock
from firstlight.stream.worker.worker import Worker, WorkerConfig

FORGET_DAYS = 400.0


def test_a_clock_shows_the_oldest_of_the_recent_alerts():
    clock = Clock(3)
    for mjd in (60_000.0, 60_002.0):
        clock.add(mjd)
    assert (clock.is_set, clock.oldest) == (False, -math.inf)
    clock.add(99_999.0)
    assert (clock.is_set, clock.oldest, clock.median) == (True, 60_000.0, 60_002.0)
    clock.add(60_003.0)
    assert clock.oldest == 60_002.0


class Stores:
    """One `MemoryStore` per partition."""

    def __init__(self) -> None:
        self.all: dict[tuple[str, int], MemoryStore] = {}

    def open(self, topic, partition, wait_s):
        return self.all.setdefault((topic, partition), MemoryStore())

    def sink_position(self, name):
        return None

    def is_shared(self, topic):
        return False

    def choose(self, topic, *, shared):
        return False


class FirstAhead(MemorySource):
    """The first partition is read to its end before the others, whose objects rest meanwhile."""

    def poll(self, max_records, timeout_s):
        first = ("t", 0)
        waiting = self._messages[first][self._next[first] :]
        if not self._assigned or not waiting:
            return super().poll(max_records, timeout_s)
        self._next[first] += len(waiting[:max_records])
        return waiting[:max_records]


class SideBySide(MemorySource):
    """Each poll returns some messages of each partition."""

    def poll(self, max_records, timeout_s):
        if not self._assigned:
            return super().poll(max_records, timeout_s)
        found = []
        for partition, messages in self._messages.items():
            part = messages[self._next[partition] :][: max_records // 3]
            self._next[partition] += len(part)
            found += part
        return found


@pytest.fixture(scope="module")
def years(sample):
    """Alerts of years in three partitions, some of them again up to `FORGET_DAYS` later.

    An object rests between its visits for longer, or for less, than it is remembered.
    """
    rng = np.random.default_rng(3)
    parts: list[list] = [[], [], []]
    for k in range(36):
        curve, start = sample[5 * k], 60_000.0 + 50.0 * k
        for visit in range(1 + k % 2):
            shift = start - curve.mjd[0]
            parts[k % 3] += [
                replace(
                    alert,
                    alert_id=f"{alert.alert_id}-{visit}",
                    mjd=alert.mjd + shift,
                    observations=replace(alert.observations, mjd=alert.observations.mjd + shift),
                )
                for alert in alerts_of(curve, 12, whole=k % 4 < 2)
            ]
            start = parts[k % 3][-1].mjd + rng.uniform(0.2, 1.5) * FORGET_DAYS
    for part in parts:
        part.sort(key=lambda alert: alert.mjd)
        for alert in [part[i] for i in rng.integers(0, len(part), 25)]:
            after = [i for i, other in enumerate(part) if 0.0 <= other.mjd - alert.mjd < FORGET_DAYS]
            part.insert(int(rng.choice(after)) + 1, alert)
    codec = JsonLinesCodec()
    return [
        Message(codec.encode(alert), None, "t", number, i)
        for number, part in enumerate(parts)
        for i, alert in enumerate(part)
    ]


@pytest.mark.parametrize("kind", [SideBySide, FirstAhead])
def test_eviction_changes_no_record_however_partitions_lag(fast_pipeline, years, kind):
    def read(clock_alerts):
        source, sink = kind(years), MemorySink()
        worker = Worker(
            fast_pipeline,
            source,
            sink,
            Stores(),
            config=WorkerConfig(batch=8, linger_ms=0.0, forget_days=FORGET_DAYS),
            clock=iter(range(10**9)).__next__,  # so that eviction follows each batch
            clock_alerts=clock_alerts,
        )
        worker.run()
        return worker.metrics, sink.records

    (kept, expected), (evicted, records) = read(10**6), read(5)
    assert kept.total("evicted") == 0
    assert evicted.total("evicted") > 5
    assert evicted.total("redelivered") == kept.total("redelivered") > 50
    assert records == expected
