"""Build wheel and sdist into ``dist/``, and try each where a user would: ``make dist``.

Each is checked by twine and installed into a new environment outside of the repository, where it
classifies the sample of the tests; both must give the same classes. ``dist/recipe.yaml`` is the
recipe for conda-forge, filled in for this version.
"""

import argparse
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
SAMPLE = ROOT / "tests" / "data"
#: Packages whose name on conda-forge differs; its matplotlib brings a window toolkit.
CONDA_NAMES = {"matplotlib": "matplotlib-base"}
_LINES = 30  # of the output of a step that failed


def conda_requirement(requirement: str) -> str:
    """A requirement of pyproject.toml as conda writes it."""
    name, version = re.fullmatch(r"([\w.-]+)(.*)", requirement).groups()  # type: ignore[union-attr]
    return f"{CONDA_NAMES.get(name, name)} {version}".strip()


def recipe(version: str, checksum: str) -> str:
    """The recipe for conda-forge of a version with this SHA-256 of its sdist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = "\n".join(f"    - {conda_requirement(line)}" for line in project["dependencies"])
    text = (Path(__file__).parent / "recipe.yaml").read_text(encoding="utf-8")
    text = text.replace("    - DEPENDENCIES", lines).replace("SHA256", checksum)
    text = text.replace("PYTHON_MIN", project["requires-python"].removeprefix(">="))
    return text.replace('"VERSION"', f'"{version}"').partition("\n")[2]


def run(*words: object, cwd: Path = ROOT) -> str:
    """Run a command without this environment's Python path; return its output, or stop with the reason.

    The reason is the command, its return code or signal, and the last lines that it printed.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = shlex.join(map(str, words))
    try:
        done = subprocess.run(
            [*map(str, words)], cwd=cwd, env=clean, capture_output=True, text=True, check=False
        )
    except OSError as error:
        sys.exit(f"{command}\ncannot be run: {error}")
    if done.returncode:
        ended = f"exit code {done.returncode}"
        if done.returncode < 0:
            ended = f"ended by {signal.Signals(-done.returncode).name}"
        printed = f"{done.stdout}\n{done.stderr}".splitlines()
        last = [line for line in printed if line.strip()][-_LINES:]
        ended += "; its last lines:" if last else ", without a word"
        sys.exit("\n".join([command, ended, *last]))
    return done.stdout


def install(what: object, python: str, folder: Path, *options: object) -> Path:
    """Make a new environment in a folder and install a wheel or sdist; its Python."""
    run(python, "-m", "venv", folder / "env")
    own = folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = (own, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", "--constraint", ROOT / "constraints.txt", *options, what, cwd=folder)
    run(*pip, "check", cwd=folder)
    place = run(own, "-c", "import firstlight; print(firstlight.__file__)", cwd=folder)
    if not place.startswith(str(folder)):
        sys.exit(f"{what}: imported from {place}")
    return own


def sample_classes(python: Path, folder: Path) -> str:
    """Classify the sample of the tests in an environment; the table that comes out."""
    command = [python.parent / "firstlight", "classify", SAMPLE / "plasticc_sample_lightcurves.csv.gz"]
    command += ["--metadata", SAMPLE / "plasticc_sample_metadata.csv.gz", "--out", folder / "classes.csv"]
    run(*command, cwd=folder)
    return (folder / "classes.csv").read_text(encoding="utf-8")


def classes_of(artefact: Path, python: str) -> str:
    """Install a wheel or sdist in a new environment and classify the sample with it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return sample_classes(install(artefact, python, folder), folder)


def main() -> None:
    """Build, check, install and classify."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--python", default=sys.executable, help="Python of the new environments.")
    python = arguments.parse_args().python
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST)
    artefacts = sorted(DIST.iterdir())
    run(sys.executable, "-m", "twine", "check", "--strict", *artefacts)
    answers = {artefact.name: classes_of(artefact, python) for artefact in artefacts}
    if len(set(answers.values())) != 1 or min(map(len, answers.values())) < 1000:
        sys.exit(f"the classes differ between {' and '.join(answers)}")
    source = next(artefact for artefact in artefacts if artefact.name.endswith(".tar.gz"))
    version = source.name.removeprefix("firstlight-").removesuffix(".tar.gz")
    checksum = hashlib.sha256(source.read_bytes()).hexdigest()
    (DIST / "recipe.yaml").write_text(recipe(version, checksum), encoding="utf-8")
    for artefact in artefacts:
        n = answers[artefact.name].count("\n") - 1
        sys.stdout.write(f"{artefact}: {artefact.stat().st_size / 1e6:.1f} MB, classified {n} objects\n")
    sys.stdout.write(f"{DIST / 'recipe.yaml'}\n")


if __name__ == "__main__":
    main()
