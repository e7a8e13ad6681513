"""The recipe for conda-forge and the notes of a version agree with the package."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from firstlight import __version__

ROOT = Path(__file__).parent.parent
yaml = pytest.importorskip("yaml")


def test_the_recipe_lists_every_dependency_and_fills_every_blank():
    spec = importlib.util.spec_from_file_location("dist", ROOT / "release" / "dist.py")
    assert spec is not None
    assert spec.loader is not None
    dist = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dist)
    recipe = yaml.safe_load(dist.recipe(__version__, "a" * 64))
    assert recipe["context"]["version"] == __version__
    assert recipe["source"]["sha256"] == "a" * 64
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    expected = {re.match(r"[\w-]+", line).group() for line in project["dependencies"]} - {"matplotlib"}
    run = {line.split()[0] for line in recipe["requirements"]["run"]}
    assert run == expected | {"python", "matplotlib-base"}


def test_the_changelog_has_a_section_of_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[(.+?)\]", text, flags=re.MULTILINE)
    assert sections[:2] == ["Unreleased", __version__.partition(".dev")[0]]


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == __version__.partition(".dev")[0]
