"""Write ``src/firstlight/kernels/signatures.json``: ``python docs/write_kernels.py``, after a kernel changed.

Classifies the tests' light curves and alerts in new processes without cached code, and notes every kernel
that is compiled, with its argument types, and the processor time.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "src" / "firstlight" / "kernels" / "signatures.json"
SAMPLE = ROOT / "tests" / "data"
CURVES = [
    SAMPLE / "plasticc_sample_lightcurves.csv.gz",
    "--metadata",
    SAMPLE / "plasticc_sample_metadata.csv.gz",
]
Kernels = dict[str, list[str]]  # name: argument types
CLASSIFY = {  # bundle: commands; few objects take another way through the trees than many
    bundle: [
        ["classify", *CURVES, "--bundle", bundle, "--out", f"{bundle}.csv", *objects]
        for objects in ([], ["--objects", "one.txt"])
    ]
    for bundle in ("fast", "default")
}
STREAM = [
    [
        *("stream", "--source", alerts, "--bundle", bundle),
        *("--sink", f"{bundle}-{alerts}l", "--state", f"{bundle}-{alerts}.state"),
    ]
    for alerts in ("alerts.avro", "alerts.jsonl")
    for bundle in ("fast", "default")
]
ALERTS = ["replay", "--data", *CURVES, "--max-alerts", 200, "--late", 0.1, "--repeat", 0.1, "--sink"]
RUN = """
import json, sys, time
import firstlight.kernels
from firstlight.cli.app import run
from firstlight.kernels.compile import loaded
firstlight.kernels.compile_kernels = lambda *groups, **options: None  # before another module imports it
for words in json.loads(sys.argv[1]):
    assert run(words) == 0, words
print(json.dumps([loaded(), time.process_time()]))
"""


def main() -> None:
    """Record the groups: what both bundles need, what each needs beside that, and what the stream needs."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_inputs(folder)
        fast, fast_s = run(folder, CLASSIFY["fast"], fresh=True)
        default, default_s = run(folder, CLASSIFY["default"], fresh=True)
        stream, stream_s = run(folder, STREAM, fresh=True)
    nights, features = less(fast, default), less(default, fast)
    base = less(fast, nights)
    base_s = fast_s * n_kinds(base) / n_kinds(fast)
    groups = {
        "base": (base, base_s),
        "nights": (nights, fast_s - base_s),
        "features": (features, default_s - base_s),
        "stream": (less(less(stream, fast), default), stream_s - fast_s - default_s + base_s),
    }
    table = {
        name: {"seconds": max(1, round(seconds)), "kernels": kernels}
        for name, (kernels, seconds) in groups.items()
    }
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


def less(kernels: Kernels, others: Kernels) -> Kernels:
    """Kernels with the argument types that others do not have."""
    rest = {
        name: [kind for kind in kinds if kind not in others.get(name, [])] for name, kinds in kernels.items()
    }
    return {name: kinds for name, kinds in rest.items() if kinds}


def n_kinds(kernels: Kernels) -> int:
    """Number of functions to compile."""
    return sum(len(kinds) for kinds in kernels.values())


def run_all(folder: Path, *, fresh: bool) -> Kernels:
    """Kernels that all commands need."""
    make_inputs(folder)
    return run(folder, [*CLASSIFY["fast"], *CLASSIFY["default"], *STREAM], fresh=fresh)[0]


def make_inputs(folder: Path) -> None:
    """Write alerts, and a list of one object."""
    (folder / "one.txt").write_text("7566\n")
    run(folder, [[*ALERTS, f"alerts.{kind}"] for kind in ("avro", "jsonl")], fresh=False)


def run(folder: Path, commands: list[list[object]], *, fresh: bool) -> tuple[Kernels, float]:
    """Kernels that some commands compile or load, and the processor time [s]."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | ({"NUMBA_CACHE_DIR": cache} if fresh else {})
        environment["PYTHONPATH"] = str(ROOT / "src")
        words = [sys.executable, "-c", RUN, json.dumps([[str(word) for word in line] for line in commands])]
        done = subprocess.run(
            words, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True, text=True
        )
    found, seconds = json.loads(done.stdout.splitlines()[-1])
    return found, seconds


if __name__ == "__main__":
    main()
