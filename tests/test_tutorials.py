"""Each tutorial runs, and becomes a page with pictures and a notebook."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from firstlight.adapt import AdaptConfig

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "tutorials"
SOURCES = sorted(FOLDER.glob("*.py"))


@pytest.fixture(scope="module")
def tutorials():
    spec = importlib.util.spec_from_file_location("write_tutorials", ROOT / "docs" / "write_tutorials.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tutorials")


@pytest.fixture
def few_trees(monkeypatch) -> None:
    """Adapting takes seconds."""
    small = AdaptConfig(folds=3, worth=(10.0,), mixes=(1.0,), rounds=5, leaves=7, further_rounds=4)
    monkeypatch.setattr("firstlight.adapt.run.AdaptConfig", lambda: small)


@pytest.mark.usefixtures("few_trees")
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_tutorial_runs_and_shows_a_picture(tutorials, pages, source):
    pytest.importorskip("torch")
    tutorials.write(source, pages)
    page = (pages / f"{source.stem}.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[([^]]+)\]\(([^)]+)\)", page)
    assert pictures
    for alt, picture in pictures:
        assert alt
        assert (pages / picture).read_bytes().startswith(b"\x89PNG")
    notebook = json.loads((pages / f"{source.stem}.ipynb").read_text(encoding="utf-8"))
    pytest.importorskip("nbformat").validate(notebook)
    assert sum(
        "image/png" in o.get("data", {}) for c in notebook["cells"] for o in c.get("outputs", ())
    ) == len(pictures)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_tutorial_begins_with_its_result_and_its_time(tutorials, source):
    first = tutorials.cells_of(source)[0]
    assert first.is_text
    assert first.source.startswith("# ")
    assert "**At the end**" in first.source
    assert "**Time**" in first.source


def test_the_index_and_the_navigation_list_every_tutorial(tutorials):
    index, navigation = ((FOLDER / name).read_text(encoding="utf-8") for name in ("index.md", "SUMMARY.md"))
    for source in SOURCES:
        title = tutorials.cells_of(source)[0].source.splitlines()[0].removeprefix("# ")
        assert f"[{title}]({source.stem}.md)" in index
        assert f"* [{title}]({source.stem}.md)" in navigation


def test_a_failing_cell_names_its_file_and_line(tutorials, tmp_path):
    source = ROOT / "docs" / "tutorials" / "never.py"
    for text, fault in (("x = 1\n1 / 0", "ZeroDivisionError"), ("# !firstlight classify", "command failed")):
        cell = tutorials.Cell(7, False, text)
        with pytest.raises(RuntimeError, match=rf"docs/tutorials/never.py:7.*{fault}"):
            list(tutorials.outputs_of(source, [cell], tmp_path))


def test_the_sample_is_an_archive_of_the_tutorials_files(tutorials, tmp_path):
    import zipfile

    tutorials.write_sample(tmp_path)
    names = set(zipfile.ZipFile(tmp_path / "sample.zip").namelist())
    assert {"sample/curves.csv.gz", "sample/metadata.csv.gz", "sample/unseen/manifest.json"} <= names
