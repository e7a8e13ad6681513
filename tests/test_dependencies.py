"""Required dependencies are those that users' commands import, without training libraries."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = {"scikit-learn": "sklearn"}
TRAINING = ("torch", "lightgbm", "optuna", "onnx", "onnxruntime", "scikit-learn", "scipy")

RUN = """
import json, sys
for name in {absent}:
    sys.modules[name] = None  # as if it were not installed
from firstlight.cli.app import run
import firstlight.cli
code = run(sys.argv[1:])
files = [str(getattr(m, "__file__", "")) for name, m in sys.modules.items() if name.startswith("firstlight")]
modules = sorted(name for name, module in sys.modules.items() if module)
print(json.dumps({"code": code, "modules": modules, "files": files}))
"""


def run(*words: object) -> dict[str, list[str]]:
    """Modules that a command of the command line imported, without the training libraries."""
    absent = [MODULES.get(name, name) for name in TRAINING]
    command = [sys.executable, "-c", RUN.replace("{absent}", repr(absent)), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 0, done.stderr
    return dict(found)


def names(requirements: list[str]) -> list[str]:
    return [re.match(r"[\w-]+", requirement).group() for requirement in requirements]  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def commands(sample_paths, tmp_path_factory) -> dict[str, dict[str, list[str]]]:
    """Imports of each of a user's commands, on some objects of the sample."""
    folder = tmp_path_factory.mktemp("imports")
    objects = pd.read_csv(sample_paths.metadata)["object_id"][::10]
    (folder / "objects.txt").write_text("\n".join(map(str, objects)))
    data = ("--metadata", sample_paths.metadata, "--bundle", "default")
    curves, classes, truth = sample_paths.light_curves, folder / "classes.csv", folder / "truth.csv"
    pd.read_csv(sample_paths.metadata).iloc[::10].to_csv(truth, index=False)
    records = ROOT / "tests" / "golden" / "stream_fast.jsonl"
    return {
        "classify": run("classify", curves, *data, "--objects", folder / "objects.txt", "--out", classes),
        "evaluate": run(
            *("evaluate", classes, "--truth", truth, "--data", curves, *data, "--out", folder / "report")
        ),
        "plot": run("plot", objects.iloc[0], "--data", curves, *data, "--out", folder / "object.png"),
        "rank": run("rank", records, "--max-age", 10_000, "--plot", folder / "night.png"),
    }


def test_users_commands_work_without_the_training_libraries(commands):
    for done in commands.values():  # each ended with exit code 0
        assert {MODULES.get(name, name) for name in TRAINING}.isdisjoint(done["modules"])


def test_every_required_dependency_is_imported_by_a_users_command(commands):
    files = {file for done in commands.values() for file in done["files"] if file.endswith(".py")}
    imported = set().union(*(_imports(Path(file)) for file in files))
    loaded = set().union(*(done["modules"] for done in commands.values()))
    required = {MODULES.get(name, name) for name in names(PROJECT["dependencies"])}
    assert required - (imported & loaded) == set()


def test_training_libraries_are_in_the_extra_train():
    assert set(names(PROJECT["optional-dependencies"]["train"])) == {*TRAINING, "pillow"}


def _imports(path: Path) -> set[str]:
    """Names of the packages that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found
