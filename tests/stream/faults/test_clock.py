"""Clocks that jump: the alerts' times and the machine's clock."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest


def bogus(make_alert, mjd: float, name: str = "bogus"):
    """An alert of its own object, all of whose times are mad."""
    alert = make_alert(6, object_id=name, alert_id=name, dereddened=True)
    shifted = replace(alert.observations, mjd=alert.observations.mjd - alert.observations.mjd[-1] + mjd)
    return replace(alert, mjd=mjd, observations=shifted)


@pytest.mark.parametrize("mjd", [99_999.0, 1e9, 1e300, 30_000.0, 0.0])
def test_one_alert_of_another_age_neither_evicts_nor_resets_anything(run, make_alert, alert_stream, mjd):
    alerts = list(alert_stream)
    expected = run(alerts, clock_alerts=25, batch=10, forget_days=2000.0)
    for place in (len(alerts) - 1, 150, 30):
        alerts.insert(place, bogus(make_alert, mjd, f"bogus-{place}"))
    done = run(alerts, clock_alerts=25, batch=10, forget_days=2000.0)
    assert [value for value in done.records if b"bogus" not in value] == expected.records
    assert len(done.records) + len(done.letters) == len(alerts)
    kept = {name: row for name, (_, row, _) in done.store.rows.items() if "bogus" not in name}
    assert kept == {name: row for name, (_, row, _) in expected.store.rows.items()}
    assert done.worker.metrics.total("forgotten") == 0
    for record in map(json.loads, done.records):
        assert np.isfinite(list(record["proba"].values())).all()


def test_a_bogus_alert_of_a_known_object_touches_no_other(run, alert_stream):
    """Its values for its own object stay: nobody can know which of its alerts is wrong."""
    victim = alert_stream[40]
    mad = replace(victim, alert_id="mad", mjd=99_999.0)
    alerts = [*alert_stream[:60], mad, *alert_stream[60:]]
    done, expected = run(alerts), run(alert_stream)
    assert done.without(victim.object_id) == expected.without(victim.object_id)
    assert len(done.records) == len(alerts)


def test_alert_times_that_jump_back_by_years_are_late_alerts(run, alert_stream, fast_pipeline):
    """The second half of the night's stream comes first."""
    half = len(alert_stream) // 2
    swapped = [*alert_stream[half:], *alert_stream[:half]]
    whole = {batch: run(swapped, batch=batch, clock_alerts=25, forget_days=1e5) for batch in (1, 50)}
    assert whole[1].records == whole[50].records
    assert len(whole[1].records) == len(alert_stream)
    assert whole[1].worker.metrics.total("evicted") == 0
    expected = run(alert_stream, forget_days=1e5)
    last, wanted = ({(r := json.loads(v))["object"]: r for v in d.records} for d in (whole[1], expected))
    for name, record in last.items():
        if record["n_obs"] == wanted[name]["n_obs"]:
            assert record["proba"] == wanted[name]["proba"]
    assert sum(last[n]["n_obs"] == wanted[n]["n_obs"] for n in last) > 8


def test_a_wall_clock_that_runs_backwards_changes_no_record(run, alert_stream, monkeypatch):
    expected = run(alert_stream, batch=10)
    now = iter(np.arange(2e9, 0.0, -3600.0).tolist())
    monkeypatch.setattr(time, "time", lambda: next(now))
    monkeypatch.setattr(time, "time_ns", lambda: int(next(now) * 1e9))
    done = run(alert_stream, batch=10)
    assert done.records == expected.records
    assert done.store.rows == expected.store.rows
    assert done.store.entries == expected.store.entries


def test_even_a_monotonic_clock_that_is_not_harms_nothing(run, alert_stream, monkeypatch):
    expected = run(alert_stream, batch=10)
    rng = np.random.default_rng(3)
    monkeypatch.setattr(time, "monotonic", lambda: float(rng.uniform(-1e6, 1e6)))
    done = run(alert_stream, batch=10)
    assert done.records == expected.records
