"""The examples of the documentation run, and their pages show the output."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_pages", ROOT / "docs" / "run_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run_pages = _module()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that every page starts with."""
    folder = tmp_path_factory.mktemp("examples")
    run_pages.prepare(folder)
    return folder


@pytest.mark.parametrize("page", run_pages.pages(), ids=lambda page: page.stem)
def test_the_examples_of_a_page_print_the_output_on_the_page(page: Path, prepared: Path, tmp_path: Path):
    """Numbers apart: they change with the bundles, and ``docs/run_pages.py`` rewrites them."""
    if "import lsdb" in page.read_text(encoding="utf-8"):
        pytest.importorskip("lsdb", reason='needs pip install "firstlight[batch]"')
    folder = shutil.copytree(prepared, tmp_path / "page")
    examples = list(run_pages.run_page(page, folder))
    assert examples
    for example in examples:
        shown, printed = (run_pages.without_numbers(text) for text in (example.old, example.new))
        assert shown == printed, "run python docs/run_pages.py"


def test_an_example_that_fails_is_an_error(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(f"{run_pages.RUN}```python\n1 / 0\n```\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"page.md:2: ZeroDivisionError"):
        list(run_pages.run_page(page, tmp_path))
    page.write_text(f"{run_pages.RUN}```console\n$ exit 3\n```\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"page.md:2: exit code 3"):
        list(run_pages.run_page(page, tmp_path))
