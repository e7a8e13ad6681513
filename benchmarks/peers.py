"""Milliseconds to classify one object after a new observation: firstlight and the peers that install.

Run ``python benchmarks/peers.py [--environments FOLDER] [--bundle NAME=FOLDER ...]``; it
writes ``benchmarks/results/peers.json``. About ten minutes for all. Every peer runs in its own
environment, on the same light curves of PLAsTiCC (transients with a host redshift), on one
thread, one after the other. Each library gets its own kind of input, ready in memory. A peer
without an environment is listed as not installed. To make the environments (torch first and
alone, so that pip takes no other build)::

    for name in parsnip supernnova rapid; do python3.11 -m venv FOLDER/$name; done
    FOLDER/parsnip/bin/pip install torch==2.13.0
    FOLDER/parsnip/bin/pip install -r benchmarks/peers/parsnip.txt
    FOLDER/supernnova/bin/pip install torch==2.13.0
    FOLDER/supernnova/bin/pip install -r benchmarks/peers/supernnova.txt
    FOLDER/rapid/bin/pip install -r benchmarks/peers/rapid.txt
    FOLDER/rapid/bin/pip install --no-deps astrorapid==0.2.17  # it pins an extinction that no longer builds

See `benchmarks/peers/run_*.py` for the calls that are timed.
"""

from _harness import machine, parser, write

# isort: split
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import firstlight
from firstlight import load_plasticc, write_curves

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import contest

FOLDER = Path(__file__).parent / "peers"
ENVIRONMENTS = Path("runs/peers")
PEERS = ("parsnip", "supernnova", "rapid")
TIMEOUT_S = 1500
#: Peers that are not measured, and why.
ABSENT = {
    "ORACLE": "licensed for non-military use alone and not on PyPI",
    "ATCAT": "licensed for non-military use alone and not on PyPI",
}


def main() -> None:
    words = parser(__doc__, "peers", data=True, turns=None)
    words.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="folder of the peers'")
    words.add_argument(
        "--bundle",
        action="append",
        metavar="NAME=FOLDER",
        help="bundle to time; default: the shipped ones",
    )
    words.add_argument("--only", action="append", choices=(*PEERS, "firstlight"), help="run these alone")
    args = words.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory() as folder:
        files = export(args.source, Path(folder))
        results: dict[str, dict[str, Any]] = {}
        for name in args.only or ("firstlight", *PEERS):
            results[name] = run(name, args, files, Path(folder))
            print(json.dumps({name: results[name]}, indent=1), flush=True)
    contestants: dict[str, Any] = {}
    for result in results.values():
        contestants |= result.pop("contestants", {})
    result = {
        "what": f"milliseconds to classify an object of PLAsTiCC: medians and 99th percentiles of "
        f"{contest.N_SINGLE} single calls, medians of {contest.REPEATS} batches of {contest.N_BATCH}; "
        "one thread",
        "version": firstlight.__version__,
        "machine": before,
        "libraries": results,
        "contestants": contestants,
        "not_installed": ABSENT | {name: r["reason"] for name, r in results.items() if "reason" in r},
    }
    write(args.out, result)
    print(table(contestants))


def export(source: Path | None, folder: Path) -> dict[str, Path]:
    """The light curves as every contestant reads them: transients with a redshift, in random order."""
    curves, truth = load_plasticc(source)
    labels = truth.labels_of(curves.object_id)
    chosen = np.flatnonzero((curves.redshift > 0) & (labels != "AGN"))
    chosen = np.random.default_rng(0).permutation(chosen)
    files = {"peers": folder / "curves.npz", "firstlight": folder / "curves.parquet"}
    contest.write_curves(files["peers"], curves.take(chosen), labels[chosen])
    write_curves(curves.take(chosen[: contest.N_BATCH]), files["firstlight"])
    return files


def run(name: str, args: argparse.Namespace, files: dict[str, Path], folder: Path) -> dict[str, Any]:
    """One library, in its own environment and process."""
    out = folder / f"{name}.json"
    script = str(FOLDER / f"run_{name}.py")
    if name == "firstlight":
        words = [sys.executable, script, str(files["firstlight"]), str(out), *(args.bundle or ["default="])]
    else:
        python = args.environments.absolute() / name / "bin" / "python"
        if not python.exists():
            return {"reason": f"no environment {name!r} was made for this run"}
        words = [str(python), script, str(files["peers"]), str(out)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return {"reason": f"it had not ended after {TIMEOUT_S} s"}
    if done.returncode:
        return {"reason": "it failed: " + (done.stderr.strip().splitlines() or ["no message"])[-1]}
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def table(contestants: dict[str, Any]) -> str:
    rows = [f"{'single, median':>15} {'p99':>10} {'in a batch':>11}   ms per object"]
    for name, times in contestants.items():
        single, batch = times["single_ms"], times["batch_ms_an_object"]
        rows.append(f"{single['median']:>15} {single['p99']:>10} {batch['median']:>11}   {name}")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
