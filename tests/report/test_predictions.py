"""Figures of predictions, and the `plot` methods that draw them."""

import numpy as np
import pytest

from firstlight.errors import DataError


def words(figure):
    panel = figure.axes[-1]
    texts = [text.get_text() for text in [*panel.texts, *panel.get_yticklabels()]]
    return [*texts, panel.get_title(loc="left")]


def test_several_objects_are_counted_per_class(predictions):
    figure = predictions.plot()
    assert [bar.get_width() for bar in figure.axes[0].patches] == [1, 1, 1, 1]
    assert {"KN", "SNIa", "TDE", "not classified", "4 objects"} <= set(words(figure))


def test_one_object_has_bars_of_its_probabilities(predictions):
    figure = predictions["615"].plot()
    assert {"SNIa", "0.88", "SNII", "object 615"} <= set(words(figure))
    assert "not classified" in words(predictions["NA"].plot())[-1]


def test_no_object_cannot_be_drawn(predictions):
    with pytest.raises(DataError, match="no object"):
        predictions.take([]).plot()


def test_a_light_curve_is_drawn_with_its_predictions(predictions, sample):
    curves = sample.take(np.arange(4)).with_columns(object_id=predictions.object_id)
    assert {"SNIa", "SNII"} <= set(words(curves["615"].plot(probabilities=predictions)))
    figure = curves["NA"].plot(probabilities=predictions, y="magnitude")
    assert figure.axes[0].get_title(loc="left").startswith("not classified: 1 observation, needs 2")


def test_a_figure_is_a_picture_in_a_notebook(predictions):
    assert predictions.plot()._repr_png_().startswith(b"\x89PNG")
