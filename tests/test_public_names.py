"""The public library is short, listed and pinned; importing it costs nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

import firstlight

ROOT = Path(__file__).parent.parent

# Changing this list is a change for users: say so in CHANGELOG.md.
PUBLIC_NAMES = {
    "CLASSES",
    "FirstlightError",
    "LightCurve",
    "LightCurves",
    "Pipeline",
    "PipelineConfig",
    "Predictions",
    "RejectLog",
    "Truth",
    "load_plasticc",
    "load_preset",
    "read",
    "read_predictions",
    "run_crossval",
    "run_holdout",
    "score",
    "write_curves",
    "write_predictions",
}


def test_public_names_are_those_promised():
    assert set(firstlight.__all__) == PUBLIC_NAMES


@pytest.mark.parametrize("name", sorted(PUBLIC_NAMES))
def test_every_public_name_can_be_imported(name):
    assert getattr(firstlight, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'classifier'"):
        _ = firstlight.classifier


def test_importing_the_package_imports_nothing_else():
    code = "import sys, firstlight; print([m for m in ('numpy', 'torch', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_reads_pickles():
    """Law 7: no code from data."""
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for word in ("import pickle", "import joblib", "torch.load(", "allow_pickle=True", "eval("):
            assert word not in text.replace(".eval(", ""), f"{path}: {word}"


@pytest.mark.parametrize("page", ["README.md", "docs/stream.md"])
def test_the_pages_hold_what_the_result_files_say(page):
    """Numbers in README and docs come from files that a command regenerates."""
    namespace: dict[str, object] = {"__file__": str(ROOT / "docs" / "update.py"), "__name__": "update"}
    exec(compile((ROOT / "docs" / "update.py").read_text(), "update.py", "exec"), namespace)
    text = (ROOT / page).read_text(encoding="utf-8")
    assert namespace["fill"](text) == text  # type: ignore[operator]
