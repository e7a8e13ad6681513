"""An object with 10,000 observations: every alert answered as batch would, at a cost that stays bounded."""

import json
from dataclasses import replace

import numpy as np
import pytest

from firstlight.bands import BANDS
from firstlight.lightcurves import LightCurves
from firstlight.stream import Observations
from firstlight.stream.alerts.decoder import AlertDecoder

N = 10_000
COLUMNS = ("mjd", "band", "flux", "flux_err", "detected", "source_id")


@pytest.fixture(scope="module")
def hot():
    """Ten years of a variable star, seen a few times a night."""
    rng = np.random.default_rng(1)
    mjd = np.sort(rng.uniform(60_000.0, 63_650.0, N))
    flux = 3000.0 * np.sin(mjd / 0.7) + rng.normal(0.0, 100.0, N)
    return Observations(
        mjd=mjd,
        band=rng.integers(0, len(BANDS), N).astype(np.int8),
        flux=flux.astype(np.float32),
        flux_err=rng.uniform(50.0, 150.0, N).astype(np.float32),
        detected=np.abs(flux) > 500.0,
        source_id=np.arange(N) + 1,
    )


def alert_of(template, hot, k: int, first: int):
    part = Observations.wrap([getattr(hot, name)[first : k + 1].copy() for name in COLUMNS])
    return replace(
        template,
        alert_id=f"hot-{k}",
        object_id="hot",
        mjd=float(hot.mjd[k]),
        source_id=k + 1,
        observations=part,
        dereddened=True,
    )


class Ready(AlertDecoder):
    """Hands out alerts that are made already; decoding 50 million observations is not the point."""

    def __init__(self, alerts) -> None:
        super().__init__()
        self._make = alerts

    def decode_all(self, value, key=None):
        return [self._make(int(value))]


@pytest.mark.parametrize(("past", "every"), [("new alone", 4), ("a year", 20), ("all", 20)])
def test_ten_thousand_observations_of_one_object(run, fast_pipeline, make_alert, hot, past, every):
    template = make_alert(1)
    last = range(every - 1, N, every)

    def make(k):
        firsts = {
            "new alone": k + 1 - every,
            "a year": int(np.searchsorted(hot.mjd, hot.mjd[k] - 365.0)),
            "all": 0,
        }
        return alert_of(template, hot, k, firsts[past])

    done = run([str(k).encode() for k in last], decoder=Ready(make), batch=256, forget_days=1e5)
    records = [json.loads(value) for value in done.records]
    assert [record["n_obs"] for record in records] == [k + 1 for k in last]
    about = ("ra", "dec", "ebv", "redshift", "redshift_err", "redshift_spec")
    meta = {name: np.array([getattr(template, name)]) for name in about}
    for i in (9, len(last) // 3, len(last) - 1):
        columns = {name: getattr(hot, name)[: last[i] + 1] for name in COLUMNS[:-1]}
        curve = LightCurves(
            object_id=np.array(["hot"]),
            offsets=np.array([0, last[i] + 1]),
            dereddened=True,
            **columns,
            **meta,
        )
        batch = fast_pipeline.predict(curve, jobs=1)
        np.testing.assert_allclose(list(records[i]["proba"].values()), batch.proba[0], atol=1e-6)  # parity
    (log,) = done.store.histories(["hot"])
    assert len(log) <= 65  # written as one again and again
    assert sum(map(len, log)) < 60 * N
    assert done.store.n_objects == 1


def test_the_cost_of_an_alert_in_order_does_not_grow(run, fast_pipeline, make_alert, hot):
    """No time is measured: reads are counted."""
    template = make_alert(1)
    read = []

    class Counting:
        bundle_version = fast_pipeline.bundle_version
        states = fast_pipeline.states
        surveys = fast_pipeline.surveys

        def update(self, states, arrivals, logs):
            def counted(index):
                found = logs(index)
                read.extend(sum(map(len, log)) for log in found)
                return found

            return fast_pipeline.update(states, arrivals, counted)

    n = 2_000
    done = run(
        [str(k).encode() for k in range(n)],
        decoder=Ready(lambda k: alert_of(template, hot, k, k)),
        pipeline=Counting(),
        forget_days=1e5,
    )
    assert len(done.records) == n
    assert len(read) <= n // 64 + 1  # only to write the log as one
