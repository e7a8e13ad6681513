"""Pictures of a tuning."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from firstlight.errors import DataError
from firstlight.experiments.plots import parallel_coordinates, parameter_importance, tuning_history
from firstlight.report.style import ACCENT, FAINT, save_figure

NAMES = {"depth": "maximum depth", "gain": "minimum gain"}


def made(values, pruned=()):
    trials, best = [], None
    for number, value in enumerate(values, 1):
        state = "pruned" if number in pruned else "complete"
        if state == "complete":
            best = value if best is None else min(best, value)
        row = {"number": number, "depth": 1 + number % 5, "gain": 10.0**-number}
        trials.append(row | {"value": value, "state": state, "best": best})
    return trials


def png(figure) -> bytes:
    stream = io.BytesIO()
    save_figure(figure, stream, "png")
    return stream.getvalue()


def labels(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_history_shows_the_lowest_so_far_and_stopped_trials():
    figure = tuning_history(made([1.0, 0.8, 0.9, 0.7], pruned=(3,)), untuned=0.85)
    assert labels(figure) == [
        "all inner folds (3)",
        "stopped early: the inner folds that ran (1)",
        "lowest so far: 0.700",
        "untuned settings: 0.850",
    ]
    (best,) = [line for line in figure.axes[0].lines if line.get_color() == ACCENT]
    assert list(best.get_ydata()) == [1.0, 0.8, 0.8, 0.7]


def test_hopeless_trials_do_not_press_the_others_flat():
    values = [0.8 + 0.01 * (k % 5) for k in range(40)] + [30.0]
    panel = tuning_history(made(values)).axes[0]
    low, high = panel.get_ylim()
    assert high < 1.0
    assert low < 0.8
    assert "triangles" in panel.get_xlabel()
    above = [line for line in panel.lines if line.get_marker() == "^"]
    assert sum(len(line.get_xdata()) for line in above) >= 1


def test_importances_are_sorted_with_the_largest_on_top():
    panel = parameter_importance({"depth": 0.2, "gain": 0.8}, NAMES).axes[0]
    assert [tick.get_text() for tick in panel.get_yticklabels()] == ["maximum depth", "minimum gain"]
    assert [bar.get_width() for bar in panel.patches] == [0.2, 0.8]


def test_parallel_coordinates_draw_every_trial_and_the_best_last():
    trials = made([1.0, 0.8, 0.9, 0.7, 0.75], pruned=(3,))
    panel = parallel_coordinates(trials, NAMES, ["gain"]).axes[0]
    lines = [line for line in panel.lines if len(line.get_xdata()) == 3]
    assert len(lines) == 5
    thick = [line for line in lines if line.get_color() == ACCENT]
    assert len(thick) == 1
    assert thick[0].get_ydata()[-1] == 0.0
    assert "trial 4" in panel.get_title(loc="left")
    grey = [line for line in lines if to_rgba(line.get_color()) == to_rgba(FAINT)]
    assert len(grey) == 1


def test_a_logarithmic_axis_is_even_in_decades():
    panel = parallel_coordinates(made([0.9, 0.8, 0.7]), NAMES, ["gain"]).axes[0]
    heights = sorted(line.get_ydata()[1] for line in panel.lines if len(line.get_xdata()) == 3)
    assert heights == pytest.approx([0.0, 0.5, 1.0])


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5], list(np.linspace(2.0, 1.0, 30))])
def test_few_and_equal_trials_can_be_drawn(values):
    for figure in (tuning_history(made(values)), parallel_coordinates(made(values), NAMES)):
        assert png(figure).startswith(b"\x89PNG")


def test_no_complete_trial_is_an_error():
    with pytest.raises(DataError, match="complete"):
        tuning_history(made([1.0], pruned=(1,)))
