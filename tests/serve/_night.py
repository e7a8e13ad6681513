"""Records of a night, and desks that show them."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firstlight.followup.night import ObservingConfig, find_site
from firstlight.followup.schedule import ScheduleConfig
from firstlight.followup.utility import FollowupConfig
from firstlight.serve.desk import Desk, DeskConfig
from firstlight.serve.tonight import Plan
from firstlight.taxonomy import CLASSES

START = 61371.04  # MJD of the end of twilight at Rubin on 2026-11-26


def make_record(
    name: str, number: int = 1, label: str = "KN", chance: float = 0.8, **values: Any
) -> dict[str, Any]:
    """A record of the stream: a rising object in a field that is high at Rubin."""
    rest = (1.0 - chance) / (len(CLASSES) - 1)
    return {
        "object": name,
        "alert": f"{name}-{number}",
        "mjd": START - 1.0 + 0.01 * number,
        "ra": 53.1,
        "dec": -28.1,
        "bundle": "fast-1",
        "status": "classified" if label else "not_classified",
        "reason": "" if label else "too_few_observations",
        "label": label,
        "proba": {c: chance if c == label else rest for c in CLASSES},
        "coarse": {},
        "anomaly": 0.4,
        "change": 0.1,
        "followup": 0.5,
        "n_obs": 4 + number,
        "phase": 2.0 + number,
        "mag": 20.5,
        "mag_err": 0.05,
        "band": "r",
        "mag_mjd": START - 1.0 + 0.01 * number,
        "slope": -0.1,
        "slope_err": 0.03,
        "peak_mag": 20.5,
        "peak_mjd": START - 1.0,
        "source": f"{number}",
        "late": False,
        "late_reason": None,
        "n_dropped": {},
    } | values


def lines(*records: dict[str, Any]) -> bytes:
    """Records as the stream writes them."""
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def night_of_records(n: int = 40) -> list[dict[str, Any]]:
    """Three records each of n objects of all classes over the sky."""
    return [
        make_record(
            f"obj{k:03d}",
            number,
            CLASSES[k % len(CLASSES)],
            0.5 + 0.1 * number,
            ra=(9.0 * k) % 360.0,
            dec=-75.0 + 2.5 * (k % 40),
            anomaly=(k % 20) / 20.0,
            mag=18.0 + 0.1 * (k % 40),
        )
        for k in range(n)
        for number in (1, 2, 3)
    ]


def plan_for(site: str = "rubin") -> Plan:
    return Plan(
        site=find_site(site),
        followup=FollowupConfig(),
        observing=ObservingConfig(),
        telescope=ScheduleConfig(),
    )


def make_desk(results: Path | str, clock: Callable[[], float] = time.time, **values: Any) -> Desk:
    """A desk of a file of results."""
    return Desk(DeskConfig(results=str(results), plan=plan_for(), **values), clock=clock)


def wait_until(condition: Any, seconds: float = 60.0) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
