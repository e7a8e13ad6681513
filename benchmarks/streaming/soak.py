"""Memory of a worker over a million alerts."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from firstlight.report import style
from streaming.chain import Workers, broker_with, send
from streaming.night import Night

N_ALERTS = 1_000_000
EVERY_S = 1.0
PICTURE = Path(__file__).parents[2] / "docs" / "images" / "stream-memory.png"
#: Compared: the memory after so many alerts, and at the end.
SETTLED = 200_000


def memory(bundles: dict[str, Path | None], source: Path | None, repeats: int) -> dict[str, Any]:
    """Resident memory, objects and size of the store during a million alerts; one run."""
    night = Night(N_ALERTS, 0, source, from_mjd=59_700.0, history_days=30.0)
    with broker_with("alerts", "results") as broker:
        send(broker, "alerts", night.packets())
        with Workers(broker, bundles["fast"], 1) as workers:
            series = watch(workers)
    t, alerts, rss, objects, state, anonymous = np.array(series).T
    style.save_figure(figure(alerts, rss, objects), PICTURE)
    settled = alerts >= SETTLED
    slope = np.polyfit(alerts[settled] / 1e5, rss[settled], 1)[0]
    shown = np.unique(np.linspace(0, len(t) - 1, 60).astype(int))
    return {
        "preset": "fast",
        "packets": night.describe(),
        "alerts": int(alerts[-1]),
        "settled_after_alerts": SETTLED,
        "alerts_per_s": round(float((alerts[-1] - alerts[settled][0]) / (t[-1] - t[settled][0]))),
        "rss_mb_when_settled": round(float(rss[settled][0]), 1),
        "rss_mb_at_the_end": round(float(rss[-1]), 1),
        "of_it_anonymous_mb": round(float(anonymous[-1]), 1),
        "rss_mb_most": round(float(rss.max()), 1),
        "rss_mb_more_for_100_000_alerts": round(float(slope), 2),
        "objects": int(objects.max()),
        "state_mb": round(float(state[-1]) / 1e6, 1),
        "samples": [
            {"alerts": int(alerts[i]), "rss_mb": round(float(rss[i]), 1), "objects": int(objects[i])}
            for i in shown
        ],
    }


def watch(workers: Workers) -> list[tuple[float, ...]]:
    """Samples of time [s], alerts, memory, objects and size of the store until the end."""
    series: list[tuple[float, ...]] = []
    (process,) = workers.processes
    stalled, start = 0, time.monotonic()
    while not series or series[-1][1] < N_ALERTS:
        health = process.health()
        if health and health["alerts"]:
            now = time.monotonic() - start
            row = (
                now,
                health["alerts"],
                process.memory_mb(),
                health["objects"] or 0,
                health["state_bytes"] or 0,
                process.memory_mb("RssAnon"),
            )
            stalled = stalled + 1 if series and row[1] == series[-1][1] else 0
            series.append(row)
        if stalled > 120:
            raise SystemExit(f"no progress after {series[-1][1]} alerts")
        time.sleep(EVERY_S)
    return series


@style.styled
def figure(alerts: Any, rss: Any, objects: Any) -> Figure:
    """Memory and objects against alerts."""
    figure = style.new_figure(3.2)
    axes = figure.add_subplot()
    axes.plot(alerts / 1e6, rss, color=style.MAIN)
    axes.set_ylim(0, rss.max() * 1.25)
    axes.set_xlabel("Alerts read [million]")
    axes.set_ylabel("Resident memory of the worker [MB]", color=style.MAIN)
    right = axes.twinx()
    right.plot(alerts / 1e6, objects, color=style.ACCENT, linestyle="--")
    right.set_ylim(0, objects.max() * 1.25)
    right.set_ylabel("Objects in its state store", color=style.ACCENT)
    return figure
