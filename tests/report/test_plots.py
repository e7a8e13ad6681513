import io
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from firstlight.metrics import score
from firstlight.metrics.scores import present_classes
from firstlight.report import plots
from firstlight.taxonomy import CLASSES

Forecasts = tuple[NDArray[np.str_], NDArray[np.float64]]


@pytest.fixture(scope="module")
def scores(forecasts: Forecasts) -> dict[str, Any]:
    return score(*forecasts, CLASSES)


def visible(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.axison]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def is_drawn(figure: Figure) -> bool:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=40)  # coarse: it only has to run
    return len(stream.getvalue()) > 1000


# --- class histogram ----------------------------------------------------------------------


def test_histogram_sorts_classes_by_frequency(scores: dict[str, Any]) -> None:
    figure = plots.class_histogram(scores["per_class"])
    counts, skill = visible(figure)
    heights = [bar.get_height() for bar in counts.patches]
    assert heights == sorted(heights, reverse=True)
    assert sum(heights) == scores["n_objects"]
    names = [label.get_text() for label in skill.get_xticklabels()]
    assert [scores["per_class"][name]["n"] for name in names] == heights
    assert is_drawn(figure)


def test_histogram_takes_means_with_their_spread(scores: dict[str, Any]) -> None:
    spread = {
        name: {"n": table["n"]}
        | {key: {"mean": table[key], "std": 0.05} for key in ("precision", "recall")}
        | {"f1": {"mean": table["f1"], "std": None}}
        for name, table in scores["per_class"].items()
    }
    figure = plots.class_histogram(spread)
    assert len(visible(figure)[1].containers) == 3
    assert is_drawn(figure)


def test_histogram_of_one_class() -> None:
    assert is_drawn(plots.class_histogram({"KN": {"n": 1, "precision": 1.0, "recall": 1.0, "f1": 1.0}}))


# --- confusion ----------------------------------------------------------------------------


def test_confusion_shows_shares_of_rows_and_counts() -> None:
    figure = plots.confusion_matrix(np.array([[8, 2, 0], [1, 999, 0], [0, 0, 0]]), ("SNIa", "SNII", "KN"))
    panel = visible(figure)[0]
    assert texts(panel) == ["80%\n8", "20%\n2", "<1%\n1", "100%\n999"]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["SNIa (10)", "SNII (1,000)"]
    np.testing.assert_allclose(panel.images[0].get_array(), [[0.8, 0.2], [0.001, 0.999]])


def test_confusion_keeps_a_class_that_was_only_predicted() -> None:
    figure = plots.confusion_matrix(np.array([[3, 1], [0, 0]]), ("SNIa", "KN"))
    panel = visible(figure)[0]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["SNIa", "KN"]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["SNIa (4)"]
    assert is_drawn(figure)


def test_confusion_of_seventeen_classes_can_be_drawn() -> None:
    matrix = np.diag(np.arange(17) * 100 + 3) + np.eye(17, k=1, dtype=int)
    figure = plots.confusion_matrix(matrix, CLASSES)
    assert len(visible(figure)[0].get_yticklabels()) == 17
    assert is_drawn(figure)


# --- curves -------------------------------------------------------------------------------


def test_roc_average_states_the_auc_of_score(forecasts: Forecasts, scores: dict[str, Any]) -> None:
    figure = plots.roc_average(*forecasts, CLASSES)
    legend = visible(figure)[0].get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[0] == f"macro average, AUC {scores['macro_auc']:.4f}"
    assert labels[1] == f"micro average, AUC {scores['micro_auc']:.4f}"
    assert [axes.get_xscale() for axes in visible(figure)] == ["linear", "log"]
    assert is_drawn(figure)


def test_roc_per_class_has_a_panel_for_each_class(forecasts: Forecasts, scores: dict[str, Any]) -> None:
    figure = plots.roc_per_class(*forecasts, CLASSES)
    panels = visible(figure)
    assert [axes.get_title(loc="left") for axes in panels] == list(present_classes(forecasts[0], CLASSES))
    for axes in panels:
        table = scores["per_class"][axes.get_title(loc="left")]
        assert texts(axes) == [f"AUC {table['auc']:.4f}\nn {table['n']:,}"]
    assert is_drawn(figure)


def test_precision_recall_starts_at_a_precision_that_was_reached(
    forecasts: Forecasts, scores: dict[str, Any]
) -> None:
    figure = plots.precision_recall(*forecasts, CLASSES)
    for axes in visible(figure):
        table = scores["per_class"][axes.get_title(loc="left")]
        assert texts(axes) == [f"AP {table['average_precision']:.3f}\nn {table['n']:,}"]
        x, y = axes.lines[0].get_data()
        assert np.asarray(x)[0] == 0.0
        assert np.asarray(y)[0] == np.asarray(y)[1]
    assert is_drawn(figure)


def test_curves_of_two_classes_can_be_drawn() -> None:
    labels = np.array(["SNIa", "KN", "SNIa"])
    proba = np.array([[0.7, 0.3], [0.4, 0.6], [0.5, 0.5]])
    for draw in (plots.roc_average, plots.roc_per_class, plots.precision_recall):
        assert is_drawn(draw(labels, proba, ("SNIa", "KN")))


# --- reliability --------------------------------------------------------------------------


def test_reliability_states_the_ece_of_score(forecasts: Forecasts, scores: dict[str, Any]) -> None:
    figure = plots.reliability_diagram(*forecasts, CLASSES)
    top, every = visible(figure)[:2]
    assert texts(top)[0].startswith(f"ECE {scores['ece']:.4f}")
    assert texts(every)[0].startswith(f"class-wise ECE {scores['classwise_ece']:.4f}")
    assert is_drawn(figure)


def test_reliability_counts_every_forecast(forecasts: Forecasts) -> None:
    figure = plots.reliability_diagram(*forecasts, CLASSES, n_bins=5)
    n_top, n_every = (
        sum(bar.get_height() for bar in axes.patches if bar.get_height() >= 1) for axes in visible(figure)[2:]
    )
    assert (n_top, n_every) == (500, 500 * 8)


def test_intervals_of_reliability_stay_between_zero_and_one() -> None:
    low, high = plots.wilson_interval(np.array([0.0, 0.5, 1.0]), np.array([1, 10, 1000]))
    assert np.all((low >= -1e-12) & (high <= 1.0 + 1e-12) & (low < high))
    assert high[0] == pytest.approx(0.5)  # one failure says little


# --- hard cases ---------------------------------------------------------------------------


def test_all_seventeen_classes_find_room() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(CLASSES, 6)
    proba = rng.dirichlet(np.ones(len(CLASSES)), len(labels)) + 0.3 * (labels[:, None] == np.array(CLASSES))
    proba /= proba.sum(axis=1, keepdims=True)
    assert len(visible(plots.roc_per_class(labels, proba, CLASSES))) == 17
    assert len(visible(plots.precision_recall(labels, proba, CLASSES))) == 17
    table = score(labels, proba, CLASSES)
    assert is_drawn(plots.class_histogram(table["per_class"]))
    assert is_drawn(plots.confusion_matrix(np.array(table["confusion"]["matrix"]), CLASSES))


def test_a_class_of_one_object_can_be_drawn() -> None:
    labels = np.array(["Mira", "SNIa", "SNIa", "SNIa"])
    proba = np.array([[0.2, 0.8], [0.1, 0.9], [0.3, 0.7], [0.0, 1.0]])
    for draw in (plots.roc_average, plots.roc_per_class, plots.precision_recall, plots.reliability_diagram):
        assert is_drawn(draw(labels, proba, ("Mira", "SNIa")))


def test_certain_forecasts_can_be_drawn() -> None:
    labels = np.array(["KN", "SNIa", "SNIa"])
    proba = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    for draw in (plots.roc_average, plots.roc_per_class, plots.precision_recall, plots.reliability_diagram):
        assert is_drawn(draw(labels, proba, ("KN", "SNIa")))


def test_objects_that_all_have_the_prior_can_be_drawn() -> None:
    labels = np.array(["KN", "SNIa", "SNIa", "TDE"])
    proba = np.tile([0.25, 0.5, 0.25], (4, 1))
    for draw in (plots.roc_average, plots.roc_per_class, plots.precision_recall, plots.reliability_diagram):
        assert is_drawn(draw(labels, proba, ("KN", "SNIa", "TDE")))


def test_many_objects_make_no_longer_curves() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(["SNIa", "KN"], 30_000)
    p = np.clip(rng.normal(0.5, 0.2, 30_000) + 0.1 * (labels == "SNIa"), 0, 1)
    figure = plots.roc_average(labels, np.column_stack([p, 1 - p]), ("SNIa", "KN"))
    assert max(len(np.asarray(line.get_xdata())) for line in visible(figure)[0].lines) < 500
