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
COMMANDS = {  # group of kernels: what to run; few objects take another way through the trees than many
    group: [
        ["classify", *CURVES, "--bundle", bundle, "--out", f"{bundle}.csv", *objects]
        for objects in ([], ["--objects", "one.txt"])
    ]
    for group, bundle in (("base", "fast"), ("features", "default"))
} | {
    "stream": [
        [
            *("stream", "--source", alerts, "--bundle", bundle),
            *("--sink", f"{bundle}-{alerts}l", "--state", f"{bundle}-{alerts}.state"),
        ]
        for alerts in ("alerts.avro", "alerts.jsonl")
        for bundle in ("fast", "default")
    ],
}
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
    """Record every group, each kernel in the first that needs it."""
    table: dict[str, object] = {}
    known: dict[str, list[str]] = {}
    spent = 0.0
    with tempfile.TemporaryDirectory() as folder:
        make_inputs(Path(folder))
        for group, commands in COMMANDS.items():
            found, seconds = run(Path(folder), commands, fresh=True)
            new = {
                name: [kind for kind in kinds if kind not in known.get(name, [])]
                for name, kinds in found.items()
            }
            table[group] = {
                "seconds": max(1, round(seconds - spent)),
                "kernels": {name: kinds for name, kinds in new.items() if kinds},
            }
            spent = max(spent, seconds)
            for name, kinds in new.items():
                known.setdefault(name, []).extend(kinds)
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


def run_all(folder: Path, *, fresh: bool) -> dict[str, list[str]]:
    """Kernels that all commands need."""
    make_inputs(folder)
    return run(folder, [words for commands in COMMANDS.values() for words in commands], fresh=fresh)[0]


def make_inputs(folder: Path) -> None:
    """Write alerts, and a list of one object."""
    (folder / "one.txt").write_text("7566\n")
    run(folder, [[*ALERTS, f"alerts.{kind}"] for kind in ("avro", "jsonl")], fresh=False)


def run(folder: Path, commands: list[list[object]], *, fresh: bool) -> tuple[dict[str, list[str]], float]:
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
