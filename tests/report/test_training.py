import io
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from firstlight.errors import DataError
from firstlight.metrics import Evaluation, summarise
from firstlight.report.training import (
    feature_importance,
    latent_space,
    phase_by_class,
    skill_against_phase,
    training_loss,
)
from firstlight.taxonomy import CLASSES


def visible(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.axison]


def is_drawn(figure: Figure) -> bool:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=40)  # coarse: it only has to run
    return len(stream.getvalue()) > 1000


def make_history(n_epochs: int, best: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": float(epoch),
            "train_loss": 1.0 / epoch,
            "validation_loss": 1.0 + abs(epoch - best),
            "validation_chi2": 2.0,
            "kl": 3.0,
            "learning_rate": 1e-3,
            "seconds": 4.5,
            "kl_0": 1.0,
            "kl_1": 2.0,
        }
        for epoch in range(1, n_epochs + 1)
    ]


# --- phases -------------------------------------------------------------------------------


def test_skill_draws_both_selections_with_their_means(evaluation: Evaluation) -> None:
    by_phase = summarise(evaluation, protocol="x")["by_phase"]
    figure = skill_against_phase(by_phase)
    panels = visible(figure)
    assert [axes.get_title(loc="left") for axes in panels][:3] == ["accuracy", "macro F1", "macro AUC"]
    everything, outside = (np.asarray(line.get_ydata()) for line in panels[0].lines)
    np.testing.assert_allclose(everything, [t["all"]["accuracy"]["mean"] for t in by_phase.values()])
    np.testing.assert_allclose(outside, [t["extragalactic"]["accuracy"]["mean"] for t in by_phase.values()])
    assert [label.get_text() for label in panels[-1].get_xticklabels()] == list(by_phase)
    assert is_drawn(figure)


def test_skill_draws_unknown_scores_and_phases_as_gaps(evaluation: Evaluation) -> None:
    by_phase = summarise(evaluation, protocol="x")["by_phase"]
    part: dict[str, Any] = {name: by_phase[name] for name in ("0", "all")}
    part["0"] = {"all": part["0"]["all"] | {"macro_auc": {"mean": None, "std": None}}}
    figure = skill_against_phase(part)
    panel = next(one for one in visible(figure) if one.get_title(loc="left") == "macro AUC")
    every, extragalactic = (np.asarray(line.get_ydata(), dtype=float) for line in panel.lines)
    assert np.isnan([every[0], extragalactic[0]]).all()
    assert np.isfinite([every[1], extragalactic[1]]).all()
    assert is_drawn(figure)


def test_table_of_phases_holds_recall_and_f1(evaluation: Evaluation) -> None:
    figure = phase_by_class(evaluation.labels, evaluation.snapshots, CLASSES)
    recall = visible(figure)[0]
    own = evaluation.labels == "AGN"
    found = np.mean(evaluation.proba[own].argmax(axis=1) == CLASSES.index("AGN"))
    shown = np.asarray(recall.images[0].get_array())
    assert shown.shape == (8, 9)
    assert shown[0, -1] == pytest.approx(found)
    assert is_drawn(figure)


# --- latent space -------------------------------------------------------------------------


def test_latent_space_shows_components_and_all_pairs(evaluation: Evaluation) -> None:
    latent = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
    figure = latent_space(latent, evaluation.labels, CLASSES)
    panels = visible(figure)
    assert len(panels) == 1 + 15
    named = {text.get_text() for text in panels[0].texts}
    assert named == set(evaluation.labels.tolist())
    assert is_drawn(figure)


def test_names_of_classes_do_not_cover_one_another(evaluation: Evaluation) -> None:
    latent = np.random.default_rng(0).normal(size=(500, 2))  # all medians at the centre
    panel = visible(latent_space(latent, evaluation.labels, CLASSES))[0]
    size = np.array([np.ptp(panel.get_xlim()), np.ptp(panel.get_ylim())])
    places = {text.get_text(): np.array(text.xyann) / size for text in panel.texts}  # type: ignore[attr-defined]
    for a, b in combinations(places, 2):
        apart = np.abs(places[a] - places[b])
        assert apart[0] > 0.05 or apart[1] > 0.05, (a, b)


def test_latent_space_draws_at_most_six_latents_and_copes_with_constant_ones() -> None:
    latent = np.zeros((20, 8))
    latent[:, 0] = np.arange(20)
    assert len(visible(latent_space(latent, np.full(20, "KN"), CLASSES))) == 16


@pytest.mark.parametrize("shape", [(2, 6), (10, 1), (10,)])
def test_too_few_latents_or_objects_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="cannot be drawn"):
        latent_space(np.zeros(shape), np.full(shape[0], "KN"), CLASSES)


# --- training -----------------------------------------------------------------------------


def test_training_draws_related_columns_in_one_panel() -> None:
    panels = visible(training_loss(make_history(10, best=4)))
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == ["loss", "chi2", "kl", "learning rate", "KL of each latent [nat]"]
    assert [line.get_label() for line in panels[0].lines][:2] == ["train", "validation"]


def test_training_marks_the_epoch_that_was_kept() -> None:
    panel = visible(training_loss(make_history(10, best=4)))[0]
    mark = panel.lines[-1]
    assert list(np.asarray(mark.get_xdata(), dtype=float)) == [4.0, 4.0]


def test_trainings_of_several_folds_share_panels_and_one_legend() -> None:
    figure = training_loss(make_history(5, best=2), make_history(8, best=6))
    panel = visible(figure)[0]
    assert len(panel.lines) == 2 * 3
    legend = panel.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["train", "validation"]
    assert is_drawn(figure)


def test_no_history_has_nothing_to_draw() -> None:
    for histories in ((), ([],), ([{"epoch": 1.0, "seconds": 2.0}],)):
        with pytest.raises(DataError, match="draw"):
            training_loss(*histories)


# --- importance ---------------------------------------------------------------------------


def test_importance_shows_the_top_as_shares() -> None:
    figure = feature_importance(["a", "b", "c", "d"], [1.0, 6.0, 0.0, 3.0], n_shown=2)
    panel = visible(figure)[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["b", "d"]
    assert [bar.get_width() for bar in panel.patches] == pytest.approx([60.0, 30.0])
    assert is_drawn(feature_importance(["a", "b"], [1.0, 2.0], std=[0.1, 0.2]))


@pytest.mark.parametrize("importance", [[1.0], [0.0, 0.0], [np.nan, 1.0]])
def test_importances_without_a_positive_sum_are_refused(importance: list[float]) -> None:
    with pytest.raises(DataError, match="2 names"):
        feature_importance(["a", "b"], importance)
