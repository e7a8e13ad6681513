"""Seconds of the first `firstlight classify` after installing, when nothing is compiled yet.

Run ``python benchmarks/first_use.py [--turns N] [--peer FOLDER]``; it writes
``benchmarks/results/first_use.json``. Each turn classifies the same two objects in a new process with an
empty cache of compiled code, then again with the full one. `--peer` is the ``src`` of another version, timed
alternately. Wall time, and processor time of the command with all its processes, which other work on the
machine lengthens less; medians.
"""

from _harness import Times, parser, result, write

# isort: split
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "tests" / "data"
CURVES = (SAMPLE / "plasticc_sample_lightcurves.csv.gz", SAMPLE / "plasticc_sample_metadata.csv.gz")
NAMES = ("7566", "43151")


def main() -> None:
    words = parser(__doc__, "first_use", turns=3)
    words.add_argument("--peer", type=Path, help="src folder of another version")
    args = words.parse_args()
    sources = {"this version": ROOT / "src"} | ({"peer": args.peer.resolve()} if args.peer else {})
    times: dict[str, Times] = {}
    for _ in range(args.turns):
        for version, source in sources.items():
            for bundle in ("default", "fast"):
                with tempfile.TemporaryDirectory() as folder:
                    for use in ("first", "second"):
                        spent = times.setdefault(f"{version}, {bundle}, {use} use", Times())
                        wall, cpu = classify(source, bundle, Path(folder))
                        spent.wall.append(wall)
                        spent.cpu.append(cpu)
    figures = {
        name: {"wall_s": round(spent.median, 1), "processor_s": round(spent.median_cpu, 1)}
        for name, spent in times.items()
    }
    write(args.out, result("first use of classify", "numba", "llvmlite", turns=args.turns, times=figures))


def classify(source: Path, bundle: str, folder: Path) -> tuple[float, float]:
    """Wall and processor time of one command [s]; its compiled code stays in the folder."""
    (folder / "names.txt").write_text("\n".join(NAMES) + "\n")
    environment = os.environ | {"PYTHONPATH": str(source), "NUMBA_CACHE_DIR": str(folder / "cache")}
    words = ["-m", "firstlight", "classify", CURVES[0], "--metadata", CURVES[1], "--bundle", bundle]
    words += ["--objects", folder / "names.txt", "--out", folder / "out.csv"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *map(str, words)], env=environment, check=True, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


if __name__ == "__main__":
    main()
