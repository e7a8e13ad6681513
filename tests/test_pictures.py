"""The pictures of the documentation are drawn by a script, and shown."""

import importlib.util
from pathlib import Path

import pytest
from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def pictures() -> dict[str, object]:
    spec = importlib.util.spec_from_file_location("write_pictures", ROOT / "docs" / "write_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PICTURES


def test_every_picture_of_the_script_is_committed_and_shown_with_a_description(pictures):
    text = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))
    for name in pictures:
        assert (ROOT / "docs" / "images" / f"{name}.png").exists()
        assert f"images/{name}.png)" in text
        assert f"![](images/{name}.png)" not in text


@pytest.mark.parametrize("name", ["autoencoder", "bundle", "leakage", "phase"])
def test_a_picture_can_be_drawn(pictures, name):
    if name == "autoencoder":
        pytest.importorskip("torch")
    figure = pictures[name]()
    assert isinstance(figure, Figure)
    assert all(axes.has_data() for axes in figure.axes)
