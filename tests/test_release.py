"""The recipe for conda-forge and the notes of a version agree with the package; scripts say why they stop."""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from firstlight import __version__

ROOT = Path(__file__).parent.parent
yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def dist() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dist", ROOT / "release" / "dist.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_step_that_fails_says_which_and_why(dist, tmp_path):
    for code, ending in (
        (
            "import sys; print('so far'); sys.exit('no space')",
            "exit code 1; its last lines:\nso far\nno space",
        ),
        ("raise SystemExit(3)", "exit code 3, without a word"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL, without a word"),
    ):
        with pytest.raises(SystemExit) as stopped:
            dist.run(sys.executable, "-c", code)
        command, _, reason = str(stopped.value).partition("\n")
        assert command.startswith(f"{sys.executable} -c ")
        assert reason == ending
    with pytest.raises(SystemExit, match=r"cannot be run: .*No such file"):
        dist.run(tmp_path / "absent")


def test_the_recipe_lists_every_dependency_and_fills_every_blank(dist):
    recipe = yaml.safe_load(dist.recipe(__version__, "a" * 64))
    assert recipe["context"]["version"] == __version__
    assert recipe["source"]["sha256"] == "a" * 64
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert recipe["context"]["python_min"] == project["requires-python"].removeprefix(">=")
    lines = [re.sub(r"(?=[<>=!~])", " ", line, count=1) for line in project["dependencies"]]
    expected = {re.sub(r"^matplotlib\b", "matplotlib-base", line) for line in lines}
    assert set(recipe["requirements"]["run"]) == expected | {"python >=${{ python_min }}"}


def test_every_extra_of_users_is_measured_and_on_the_page_of_installation(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "release")
    measured = set(importlib.import_module("measure_install").EXTRAS) - {""}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert measured == project["optional-dependencies"].keys() - {"all", "bench", "test", "docs", "dev"}
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert measured == {name for name in measured if f"`pip install 'firstlight[{name}]'` |" in page}


def test_the_changelog_has_a_section_of_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[(.+?)\]", text, flags=re.MULTILINE)
    assert sections[:2] == ["Unreleased", __version__.partition(".dev")[0]]


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == __version__.partition(".dev")[0]
