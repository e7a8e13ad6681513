"""Processor milliseconds per object of each stage of a classification, now and at another commit.

Run ``python benchmarks/stages.py [--against COMMIT]``; it writes ``benchmarks/results/stages.json``. The
other commit, by default the last tag or else the one in the result file, is unpacked into a temporary folder
and timed alternately in the same run, each version with its own bundles. Whole real light curves, one thread,
medians of turns. With ``--check`` nothing is written, and the exit code is 1 where the whole of a bundle is
more than a tenth slower than at the other commit (``make bench-check``).
"""

from _harness import RESULTS, ROOT, commit, parser, result, write

# isort: split
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

BUNDLES = ("default", "fast")
N_OBJECTS = 2000
SLIP = 1.1  # times the other commit's; above, the check fails
REPEATS = 3  # of each stage in a turn; the quickest counts


def main() -> None:
    words = parser(__doc__, "stages", data=True, turns=3)
    words.add_argument("--against", help="commit or tag to compare with")
    words.add_argument("--check", action="store_true", help="fail where a bundle has become slower")
    words.add_argument("--child", action="store_true", help="measure one version, print JSON")
    args = words.parse_args()
    if args.child:
        print(json.dumps({name: stages(name, args.source) for name in BUNDLES}))
        return
    against = args.against or last()
    with tempfile.TemporaryDirectory() as folder:
        unpack(against, Path(folder))
        sources = {"now": ROOT / "src", against: Path(folder) / "src"}
        turns: dict[str, list[Any]] = {name: [] for name in sources}
        for _ in range(args.turns):
            for name, source in sources.items():
                turns[name].append(measure(source, args.source))
    times = {name: medians(found) for name, found in turns.items()}
    if args.check:
        sys.exit(check(times["now"], times[against], against))
    what = "processor milliseconds per object, whole light curves, one thread, medians of turns"
    write(
        args.out,
        result(what, "numpy", "numba", n_objects=N_OBJECTS, turns=args.turns, against=against, times=times),
    )


def last() -> str:
    """The last tag; without one the commit that the result file was compared with."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--tags", "--abbrev=0"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout.strip()
    return str(json.loads((RESULTS / "stages.json").read_text())["against"])


def unpack(name: str, folder: Path) -> None:
    """Write the sources of a commit into a folder."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", name, "src"], capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as file:
        file.extractall(folder, filter="data")


def measure(source: Path, data: Path | None) -> Any:
    """Times of one version, from a process of its own."""
    words = [sys.executable, __file__, "--child", *(["--source", str(data)] if data else [])]
    environment = os.environ | {"PYTHONPATH": str(source)}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def stages(bundle: str, data: Path | None) -> dict[str, float]:
    """Milliseconds per object of each stage, and of the whole with the work between stages."""
    import numpy as np

    from firstlight import Pipeline, load_plasticc
    from firstlight.encoder.steps import make_steps
    from firstlight.features import extract

    curves, _ = load_plasticc(data)
    some = curves.take(np.linspace(0, len(curves) - 1, N_OBJECTS).astype(np.int64))
    pipeline = Pipeline.load(bundle)
    older: Any = pipeline  # at an earlier commit, a private method makes the builder
    builder = pipeline.builder if hasattr(pipeline, "builder") else older._builder()
    config = pipeline.config
    ready = pipeline._ready(some)
    steps = make_steps(ready, config.encoder.steps)
    rows = builder.rows(ready)
    calls: dict[str, Callable[[], object]] = {
        "whole": lambda: pipeline.predict(some, jobs=1),
        "preprocessing": lambda: pipeline._ready(some),
        "time bins": lambda: make_steps(ready, config.encoder.steps),
        "encoder": lambda: builder.encoder.encode_steps(steps),
        "trees": lambda: pipeline._fitted().predict_proba(rows.X),
    }
    if "features" in config.inputs:
        calls["statistics and Gaussian process"] = lambda: extract(ready, config.features)
        if builder.templates is not None:
            templates = builder.templates
            calls["templates"] = lambda: templates.match(ready, config.features)
    if "gaussian_process" in config.inputs:
        calls["nightly points and Gaussian process"] = lambda: of_nights(ready)
    return {name: quickest(call) for name, call in calls.items()}


def of_nights(ready: Any) -> None:
    """The input `gaussian_process` of preprocessed light curves."""
    from firstlight.features.extract import read_nights
    from firstlight.features.nights import advance_rows, initial_rows

    nights = initial_rows(len(ready))
    advance_rows(nights, ready)
    read_nights(nights, ready.redshift)


def quickest(call: Callable[[], object]) -> float:
    """Processor time of the quickest of a few calls [ms per object]."""
    spent = []
    for _ in range(1 + REPEATS):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return 1e3 * min(spent[1:]) / N_OBJECTS


def medians(turns: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Median over turns of each stage of each bundle."""
    return {
        bundle: {
            stage: round(statistics.median(turn[bundle][stage] for turn in turns), 4)
            for stage in turns[0][bundle]
        }
        for bundle in turns[0]
    }


def check(now: dict[str, dict[str, float]], before: dict[str, dict[str, float]], against: str) -> int:
    """Print the whole of each bundle beside the other commit's; 1 if one is slower by more than `SLIP`."""
    slower = 0
    for bundle, found in now.items():
        ratio = found["whole"] / before[bundle]["whole"]
        slower += ratio > SLIP
        verdict = "slower" if ratio > SLIP else "as fast or faster" if ratio <= 1.0 else "within a tenth"
        print(f"{bundle}: {found['whole']:.3f} ms per object, {ratio:.2f} times {against}: {verdict}")
    print(f"commit {commit()}")
    return int(slower > 0)


if __name__ == "__main__":
    main()
