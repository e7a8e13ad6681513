"""The order of the rooms, its picture, and the tables that describe it."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "contributing" / "architecture.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
grimp = pytest.importorskip("grimp")


@pytest.fixture(scope="module")
def architecture() -> ModuleType:
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rooms(folder: Path) -> set[str]:
    names = {path.stem for path in folder.glob("*.py")} | {
        p.parent.name for p in folder.glob("*/__init__.py")
    }
    return names - {"__init__", "__main__"}


def _listed(text: str, prefix: str = "") -> set[str]:
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name.removeprefix(prefix) for row in rows for name in re.findall(r"`([\w.]+)`", row)}


def test_the_pictures_show_the_imports_of_today(architecture):
    for path, text in architecture.pictures().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make figures`"


def test_every_room_has_a_line():
    rooms, stream = PAGE.split("## The stream")
    expected = _rooms(ROOT / "src" / "firstlight") | {"firstlight_paper", "presets", "mixes", "models"}
    assert _listed(rooms) == expected
    assert _listed(stream, "stream.") == _rooms(ROOT / "src" / "firstlight" / "stream")


@pytest.mark.parametrize("package", ["firstlight", "firstlight.stream"])
def test_rooms_do_not_import_each_other_in_circles(architecture, package):
    graph = grimp.build_graph("firstlight", exclude_type_checking_imports=True, cache_dir=None)
    edges = architecture.edges_of(graph, package)
    while edges:
        leaves = {room for edge in edges for room in edge} - {one for one, _ in edges}
        assert leaves, sorted(edges)
        edges = {(one, other) for one, other in edges if other not in leaves}


def test_contributing_lists_the_layers_of_the_contract():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    order = " < ".join(", ".join(sorted(re.split(r"\W+", layer))) for layer in reversed(layers))
    listed = re.search(r"```\n(.*?)```", CONTRIBUTING.split("## Where things are")[1], flags=re.DOTALL)
    assert listed is not None
    found = [", ".join(sorted(re.split(r"\W+", layer.strip()))) for layer in listed.group(1).split("<")]
    assert " < ".join(found) == order


def test_each_law_names_tests_that_exist():
    text = (ROOT / "docs" / "contributing" / "laws.md").read_text(encoding="utf-8")
    laws = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(laws) >= 12
    for law, _, tests in laws:
        paths = re.findall(r"`([\w/.]+)`", tests)
        assert paths, law
        assert [path for path in paths if not (ROOT / "tests" / path).is_file()] == [], law
