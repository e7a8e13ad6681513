import io
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from firstlight.report.style import CLASS_COLOUR, CLASS_MARKER, new_figure, panel_grid, save_figure, styled
from firstlight.taxonomy import CLASSES


def test_every_class_has_a_colour_and_a_marker() -> None:
    assert set(CLASS_COLOUR) == set(CLASS_MARKER) == set(CLASSES)


def test_no_two_classes_look_alike() -> None:
    looks = {name: (np.array(to_rgb(CLASS_COLOUR[name])), CLASS_MARKER[name]) for name in CLASSES}
    for a, b in combinations(CLASSES, 2):
        distance = np.abs(looks[a][0] - looks[b][0]).max()
        assert distance > 0.12 or looks[a][1] != looks[b][1], (a, b)


@styled
def draw_something() -> Figure:
    figure = new_figure(2.0)
    figure.subplots().plot([1, 2], [3, 4], label="line")
    return figure


def test_styled_functions_leave_the_settings_as_they_were() -> None:
    before = dict(mpl.rcParams)
    draw_something()
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes(kind: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_figure(draw_something(), tmp_path / f"{name}.{kind}")
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    stream = io.BytesIO()
    save_figure(draw_something(), stream, kind)
    assert stream.getvalue() == (tmp_path / f"a.{kind}").read_bytes()


def test_surplus_places_of_a_grid_are_empty() -> None:
    _, panels = panel_grid(5, 3, 1.0)
    assert len(panels) == 5
    assert [axes.axison for axes in panels[0].figure.axes] == [True] * 5 + [False]


def test_figures_need_no_pyplot() -> None:
    code = (
        "import sys, firstlight.report.plots, firstlight.report.training\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
