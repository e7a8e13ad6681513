"""The live page with 10,000 objects: reading, pages, memory, and a browser's first paint, updates and frames.

``python benchmarks/serve.py`` writes ``benchmarks/results/serve.json``. The browser's figures need chromium
and playwright; without them they are left out. Each object has five records on a random place of the sky.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import firstlight
from firstlight.followup.night import ObservingConfig, find_site
from firstlight.followup.schedule import ScheduleConfig
from firstlight.followup.utility import FollowupConfig
from firstlight.serve.desk import Desk, DeskConfig
from firstlight.serve.run import listen, serving
from firstlight.serve.tonight import Plan
from firstlight.taxonomy import CLASSES

OUT = Path(__file__).parent / "results" / "serve.json"
RECORDS = 5  # per object
NEW = 200  # records of an update


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    plan = Plan(
        site=find_site("rubin"),
        followup=FollowupConfig(),
        observing=ObservingConfig(),
        telescope=ScheduleConfig(),
    )
    result: dict[str, Any] = {
        "version": firstlight.__version__,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 2),
        "objects": args.objects,
        "records": args.objects * RECORDS,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "classes.jsonl"
        warm(plan, path, rng)
        numbers = ((k, number) for number in range(RECORDS) for k in range(args.objects))
        path.write_text("".join(record(rng, k, number) for k, number in numbers))
        before, begun = resident_mb(), time.perf_counter()
        desk = Desk(DeskConfig(results=str(path), plan=plan))
        with desk, serving(desk, listen("127.0.0.1", 0), name="classes.jsonl") as address:
            while desk.board.n_records < args.objects * RECORDS:
                time.sleep(0.01)
            result["reading_s"] = round(time.perf_counter() - begun, 2)
            while desk.tonight.is_behind or desk.snapshot().ranking is None:
                time.sleep(0.05)
            result["memory_mb"] = round(resident_mb() - before, 1)
            result["kb_per_object"] = round(1024.0 * result["memory_mb"] / args.objects, 2)
            result["ranking_s"] = round(desk.tonight.rank(desk.board.bundles[0]), 2)
            result["pages_ms"] = {
                name: fetched_ms(address + where)
                for name, where in {
                    "table": "", "filtered table": "?class=KN&sort=anomaly", "last page": "?page=100",
                    "sky": "sky", "API, 100 objects": "api/objects",
                    "export, all objects": "export?format=csv",
                }.items()
            }  # fmt: skip
            result["browser"] = browsed(address, path, rng, args.objects)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def record(rng: np.random.Generator, k: int, number: int) -> str:
    """One record as the stream writes it."""
    proba = rng.dirichlet(np.full(len(CLASSES), 0.3)).round(6)
    when = 61370.0 + 0.1 * number + rng.uniform(0.0, 0.05)
    mag = float(rng.uniform(17.0, 23.0))
    values = {
        "object": f"object-{k:06d}", "alert": f"{k}-{number}", "mjd": when, "ra": (k * 137.508) % 360.0,
        "dec": float(np.degrees(np.arcsin(2.0 * ((k * 0.618034) % 1.0) - 1.0))), "bundle": "bench",
        "status": "classified", "reason": "", "label": CLASSES[int(proba.argmax())],
        "proba": dict(zip(CLASSES, proba.tolist(), strict=True)), "coarse": {},
        "anomaly": float(rng.random()),
        "change": 0.1, "followup": 0.2, "n_obs": 5 + number, "phase": 2.0 + number, "mag": mag,
        "mag_err": 0.05, "band": "r", "mag_mjd": when, "slope": float(rng.normal(0.0, 0.1)),
        "slope_err": 0.03,
        "peak_mag": mag - 0.1, "peak_mjd": when - 1.0, "source": str(number), "late": False,
        "late_reason": None, "n_dropped": {},
    }  # fmt: skip
    return json.dumps(values) + "\n"


def warm(plan: Plan, path: Path, rng: np.random.Generator) -> None:
    """Compile the kernels of the first use, and load the tables of the sky."""
    path.write_text(record(rng, 0, 0))
    desk = Desk(DeskConfig(results=str(path), plan=plan))
    with desk:
        while desk.snapshot().ranking is None:
            time.sleep(0.05)


def resident_mb() -> float:
    """Memory of this process [MB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def fetched_ms(address: str, times: int = 9) -> float:
    """Median time to fetch an address [ms]."""
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        with urllib.request.urlopen(address) as answer:
            answer.read()
        spent.append(time.perf_counter() - begun)
    return round(1000.0 * statistics.median(spent), 1)


def browsed(address: str, path: Path, rng: np.random.Generator, n_objects: int) -> dict[str, float] | None:
    """First paint, updates and frame times in chromium; None without it."""
    binary = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        binary = None
    if binary is None:
        return None
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=binary, args=flags, timeout=180_000)
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(address)
        page.goto(address)  # the second visit, with the scripts in the cache
        page.wait_for_timeout(1000)
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN")
        updates = []
        for turn in range(3):
            done = page.evaluate("window.firstlightUpdates || 0")
            begun = time.perf_counter()
            with path.open("a") as file:
                file.writelines(record(rng, k, RECORDS + turn) for k in range(NEW))
            while page.evaluate("window.firstlightUpdates || 0") <= done:
                page.wait_for_timeout(20)
            updates.append(time.perf_counter() - begun)
            page.wait_for_timeout(2500)
        frames = page.evaluate(
            """() => new Promise((done) => {
              const times = []; let last = performance.now(); const end = last + 3000;
              const step = (now) => { times.push(now - last); last = now; scrollBy(0, 25);
                if (now < end) requestAnimationFrame(step); else done(times.sort((a, b) => a - b)); };
              requestAnimationFrame(step); })"""
        )
        heap = page.evaluate("performance.memory.usedJSHeapSize / 1048576")
        browser.close()
    return {
        "first_paint_ms": round(paint, 1),
        "update_s": round(statistics.median(updates), 2),
        "frame_ms_median": round(statistics.median(frames), 1),
        "frame_ms_95": round(frames[int(0.95 * len(frames))], 1),
        "heap_mb": round(heap, 1),
    }


if __name__ == "__main__":
    main()
