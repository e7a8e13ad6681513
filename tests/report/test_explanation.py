"""The figure of an explanation."""

from dataclasses import replace

import numpy as np

from firstlight.report.explanation import plot_explanation
from firstlight.report.lightcurves import draw_probabilities
from firstlight.report.style import new_figure


def test_no_text_leaves_the_figure(tiny_fast, sample):
    """A prediction set of many classes is long."""
    made = tiny_fast.explain(sample.take([0]).upto_phase(30.0))
    assert made.label
    answer = replace(made.predictions, in_set=np.ones_like(made.predictions.in_set))
    figure = plot_explanation(replace(made, predictions=answer))
    figure.canvas.draw()
    width = figure.bbox.width
    for panel in figure.get_axes():
        for text in (panel.title, panel.xaxis.label, *panel.texts):
            place = text.get_window_extent()
            assert place.x0 >= 0.0
            assert place.x1 <= width, text.get_text()


def test_the_rest_of_a_large_set_is_counted_below_the_bars():
    panel = new_figure(3.0).subplots()
    names = [f"class {k}" for k in range(10)]
    draw_probabilities(panel, dict(zip(names, np.linspace(0.19, 0.01, 10), strict=True)), tuple(names))
    assert "and 4 more" in panel.get_xlabel()
