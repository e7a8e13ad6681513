"""README and docs: their numbers come from files, and their code runs."""

import importlib
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from firstlight.lightcurves import LightCurves

ROOT = Path(__file__).parent.parent


def _script(name: str) -> ModuleType:
    """A script of the documentation as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_numbers_of_the_pages_are_those_of_the_result_files():
    update = _script("update")
    for page in update.PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert "<!-- /" in text, page
        assert update.fill(text) == text, f"{page}: run `make figures`"


def test_the_tables_of_the_cards_are_those_of_the_bundles_and_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    cards = importlib.import_module("write_cards")
    assert {page.stem for page in cards.cards()} >= {"default", "fast", "plasticc"}
    for page in cards.cards():
        text = page.read_text(encoding="utf-8")
        assert "<!-- /" in text, page
        assert cards.fill(text, page.stem) == text, f"{page}: run `make figures`"


def test_the_card_of_a_bundle_shows_its_scores_on_real_objects(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "docs")
    cards = importlib.import_module("write_cards")
    monkeypatch.setattr(cards, "RESULTS", tmp_path)
    assert cards.real("fast") == ""
    score = {"value": 0.75, "std": 0.01}
    whole = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "ece"), score)
    part = {"ZTF": {"accuracy": 0.5, "std": 0.1, "n_objects": 25}}
    half = {"n_objects": 25, "by_phase": {"8": whole}, "by_type": part, "by_source": part, "by_bands": part}
    result = {"protocol": "As given.", "bundles": {"fast": {"testing": half}}}
    (tmp_path / "real-sky.json").write_text(json.dumps(result))
    assert "| 8 | 0.750 ± 0.010 |" in cards.real("fast")
    assert "| ZTF | 25 | 0.500 ± 0.100 |" in cards.real("fast")
    assert cards.real("default") == ""


def _python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_python_of_a_first_page_runs(page, sample: LightCurves, tmp_path, monkeypatch, capsys):
    """The reader's table is that of three objects of the sample."""
    monkeypatch.chdir(tmp_path)
    rows, _ = sample.take([0, 1, 2]).to_pandas()
    rows[["object_id", "mjd", "band", "flux", "flux_err"]].to_csv("curves.csv", index=False)
    blocks = _python_blocks((ROOT / page).read_text(encoding="utf-8"))
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {})  # noqa: S102  (our own page)
    assert "classified" in capsys.readouterr().out


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=str)
def test_the_links_of_a_page_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    files = [page.parent / link for link in links if not link.startswith(("http", "data:"))]
    assert [path for path in files if not (path.exists() or _is_written_by_the_build(path))] == []


def _is_written_by_the_build(path: Path) -> bool:
    """Whether it is the page of a tutorial, which the build of the site writes."""
    return path.resolve().parent == ROOT / "docs" / "tutorials" and path.with_suffix(".py").exists()


def test_the_page_of_a_missing_page_needs_no_other_file():
    build = _script("build")
    assert build.LINKS.findall(build.MISSING) == ["index.html"]
    assert not build.LOADS.search(build.MISSING)
    assert "<style>" in build.MISSING


def test_the_index_of_decisions_lists_every_page_with_its_title():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    for page in folder.glob("0*.md"):
        number, _, title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").partition(": ")
        assert f"| [{number}]({page.name}) | {title} |" in index
