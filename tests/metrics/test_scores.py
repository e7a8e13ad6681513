import math
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as reference

from firstlight.errors import DataError, UnknownClassError
from firstlight.metrics import METRICS, score
from firstlight.metrics import scores as metrics
from firstlight.metrics.scores import CLASS_METRICS
from firstlight.taxonomy import CLASSES, PLASTICC_WEIGHT

Forecasts = tuple[NDArray[np.str_], NDArray[np.float64]]

# Worked by hand: four objects, three classes, of which TDE weighs double and KN is absent.
HAND_CLASSES = ("SNIa", "TDE", "KN")
HAND_LABELS = np.array(["SNIa", "SNIa", "SNIa", "TDE"])
HAND_PROBA = np.array([[0.8, 0.1, 0.1], [0.5, 0.5, 0.0], [0.2, 0.2, 0.6], [0.5, 0.25, 0.25]])


@st.composite
def small_forecasts(draw: st.DrawFn) -> Forecasts:
    n = draw(st.integers(1, 25))
    labels = draw(st.lists(st.sampled_from(("SNIa", "TDE", "KN", "EB")), min_size=n, max_size=n))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return np.array(labels), rng.dirichlet(np.full(len(CLASSES), 0.3), n)


# --- by hand ----------------------------------------------------------------------


def test_hand_worked_accuracy_and_confusion() -> None:
    # Ties go to the first column: the second object is called SNIa.
    result = score(HAND_LABELS, HAND_PROBA, HAND_CLASSES)
    assert result["accuracy"] == 0.5
    assert result["confusion"] == {"classes": list(HAND_CLASSES), "matrix": [[2, 0, 1], [1, 0, 0], [0, 0, 0]]}


def test_hand_worked_precision_recall_f1() -> None:
    result = score(HAND_LABELS, HAND_PROBA, HAND_CLASSES)
    sn, tde = result["per_class"]["SNIa"], result["per_class"]["TDE"]
    assert (sn["precision"], sn["recall"], sn["f1"], sn["n"]) == pytest.approx((2 / 3, 2 / 3, 2 / 3, 3))
    assert (tde["precision"], tde["recall"], tde["f1"], tde["n"]) == (0.0, 0.0, 0.0, 1)
    assert result["macro_f1"] == pytest.approx(1 / 3)
    assert result["balanced_accuracy"] == result["macro_recall"] == pytest.approx(1 / 3)
    assert set(result["per_class"]) == {"SNIa", "TDE"}


def test_hand_worked_log_losses() -> None:
    loss_sn = -(math.log(0.8) + math.log(0.5) + math.log(0.2)) / 3
    loss_tde = -math.log(0.25)
    result = score(HAND_LABELS, HAND_PROBA, HAND_CLASSES)
    assert result["log_loss"] == pytest.approx((3 * loss_sn + loss_tde) / 4)
    assert result["flat_log_loss"] == pytest.approx((loss_sn + loss_tde) / 2)
    assert result["weighted_log_loss"] == pytest.approx((1 * loss_sn + 2 * loss_tde) / 3)
    assert result["per_class"]["TDE"]["log_loss"] == pytest.approx(loss_tde)


def test_hand_worked_auc() -> None:
    result = score(HAND_LABELS, HAND_PROBA, HAND_CLASSES)
    # SNIa: 0.8, 0.5, 0.2 against 0.5; TDE: 0.25 against 0.1, 0.5, 0.2.
    assert result["per_class"]["SNIa"]["auc"] == pytest.approx(1.5 / 3)
    assert result["per_class"]["TDE"]["auc"] == pytest.approx(2 / 3)
    assert result["macro_auc"] == pytest.approx((0.5 + 2 / 3) / 2)


def test_hand_worked_brier_and_ece() -> None:
    result = score(HAND_LABELS, HAND_PROBA, HAND_CLASSES)
    rows = [0.04 + 0.02, 0.25 + 0.25, 0.64 + 0.04 + 0.36, 0.25 + 0.5625 + 0.0625]
    assert result["brier"] == pytest.approx(sum(rows) / 4)
    # Confidences 0.8 (right), 0.5 (right), 0.5 (wrong), 0.6 (wrong).
    assert result["ece"] == pytest.approx((0.2 + 0.0 + 0.6) / 4)


def test_one_confident_error_costs_a_finite_loss() -> None:
    loss = score(np.array(["KN"]), np.array([[1.0, 0.0]]), ("SNIa", "KN"))["log_loss"]
    assert loss == pytest.approx(-math.log(1e-15))


def test_the_plasticc_weights_are_those_of_the_challenge() -> None:
    weights = metrics.class_weights(CLASSES)
    assert [name for name, w in zip(CLASSES, weights, strict=True) if w == 2.0] == ["TDE", "KN"]
    assert weights.sum() == sum(PLASTICC_WEIGHT.values()) == 19.0


# --- against scikit-learn -----------------------------------------------------------


def test_scores_agree_with_scikit_learn(forecasts: Forecasts) -> None:
    labels, proba = forecasts
    present = metrics.present_classes(labels, CLASSES)
    columns = [CLASSES.index(name) for name in present]
    predicted = np.array(CLASSES)[proba.argmax(axis=1)]
    result = score(labels, proba, CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, f1, n = reference.precision_recall_fscore_support(
            labels, predicted, labels=list(present), zero_division=0
        )
    assert result["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    assert result["macro_precision"] == pytest.approx(precision.mean())
    assert result["macro_recall"] == pytest.approx(recall.mean())
    assert result["macro_f1"] == pytest.approx(f1.mean())
    assert [result["per_class"][name]["n"] for name in present] == n.tolist()
    is_member = labels[:, None] == np.array(present)
    aucs = reference.roc_auc_score(is_member, proba[:, columns], average=None)
    assert [result["per_class"][name]["auc"] for name in present] == pytest.approx(aucs.tolist())
    assert result["macro_auc"] == pytest.approx(aucs.mean())
    assert result["micro_auc"] == pytest.approx(
        reference.roc_auc_score(is_member, proba[:, columns], average="micro")
    )
    ordered = np.argsort(CLASSES)  # scikit-learn wants its columns in alphabetical order
    loss = reference.log_loss(labels, proba[:, ordered], labels=np.array(CLASSES)[ordered])
    assert result["log_loss"] == pytest.approx(loss)
    matrix = reference.confusion_matrix(labels, predicted, labels=list(CLASSES))
    np.testing.assert_array_equal(result["confusion"]["matrix"], matrix)


def test_brier_agrees_with_its_definition(forecasts: Forecasts) -> None:
    labels, proba = forecasts
    truth = (labels[:, None] == np.array(CLASSES)).astype(float)
    assert score(labels, proba, CLASSES)["brier"] == pytest.approx(((proba - truth) ** 2).sum(axis=1).mean())


# --- laws ---------------------------------------------------------------------------


@settings(max_examples=40)
@given(small_forecasts(), st.integers(0, 100))
def test_order_of_objects_does_not_matter(forecast: Forecasts, seed: int) -> None:
    labels, proba = forecast
    order = np.random.default_rng(seed).permutation(len(labels))
    before, after = score(labels, proba, CLASSES), score(labels[order], proba[order], CLASSES)
    for name in METRICS:
        assert before[name] == pytest.approx(after[name], nan_ok=True), name


@settings(max_examples=40)
@given(small_forecasts())
def test_order_of_columns_does_not_matter(forecast: Forecasts) -> None:
    labels, proba = forecast
    before, after = score(labels, proba, CLASSES), score(labels, proba[:, ::-1], CLASSES[::-1])
    for name in METRICS:
        assert before[name] == pytest.approx(after[name], nan_ok=True), name


@settings(max_examples=60)
@given(small_forecasts())
def test_scores_stay_within_their_bounds(forecast: Forecasts) -> None:
    result = score(*forecast, CLASSES)
    for name in METRICS:
        upper = 2.0 if name == "brier" else -math.log(1e-15) if "loss" in name else 1.0
        value = result[name]
        assert math.isnan(value) or 0.0 <= value <= upper + 1e-12, name
    for table in result["per_class"].values():
        assert set(table) == {*CLASS_METRICS, "n"}
    assert sum(table["n"] for table in result["per_class"].values()) == result["n_objects"]


@settings(max_examples=30)
@given(small_forecasts())
def test_a_perfect_forecast_scores_perfectly(forecast: Forecasts) -> None:
    labels, _ = forecast
    perfect = (labels[:, None] == np.array(CLASSES)).astype(float)
    result = score(labels, perfect, CLASSES)
    for name in METRICS:
        wanted = 0.0 if "loss" in name or "ece" in name or name == "brier" else 1.0
        lone = len(np.unique(labels)) == 1 and name in ("macro_auc", "micro_auc")
        assert math.isnan(result[name]) if lone else result[name] == pytest.approx(wanted, abs=1e-12), name


def test_the_prior_is_the_best_constant_forecast(forecasts: Forecasts) -> None:
    labels, _ = forecasts
    prior = (labels[:, None] == np.array(CLASSES)).mean(axis=0)
    other = 0.9 * prior + 0.1 / len(CLASSES)
    n = len(labels)
    best = score(labels, np.tile(prior, (n, 1)), CLASSES)["log_loss"]
    assert best < score(labels, np.tile(other, (n, 1)), CLASSES)["log_loss"]


# --- conventions ----------------------------------------------------------------------


def test_classes_absent_from_the_truth_do_not_count_in_averages() -> None:
    labels = np.array(["SNIa", "TDE"])
    proba = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1]])
    assert score(labels, proba, HAND_CLASSES)["macro_f1"] == 1.0


def test_a_single_class_has_no_auc_but_an_accuracy() -> None:
    result = score(np.array(["SNIa", "SNIa"]), HAND_PROBA[:2], HAND_CLASSES)
    assert math.isnan(result["macro_auc"])
    assert result["accuracy"] == 1.0


def test_objects_not_classified_are_counted_and_keep_their_row(forecasts: Forecasts) -> None:
    labels, proba = forecasts
    classified = np.arange(len(labels)) % 5 > 0
    result = score(labels, proba, CLASSES, classified)
    assert result["n_not_classified"] == 100
    assert result["accuracy"] == score(labels, proba, CLASSES)["accuracy"]


def test_rows_that_nearly_sum_to_one_are_scaled() -> None:
    rough = HAND_PROBA * 1.0004
    assert score(HAND_LABELS, rough, HAND_CLASSES)["log_loss"] == pytest.approx(
        score(HAND_LABELS, HAND_PROBA, HAND_CLASSES)["log_loss"]
    )


def test_present_classes_keep_the_order_of_the_columns() -> None:
    assert metrics.present_classes(np.array(["TDE", "SNIa", "TDE"]), HAND_CLASSES) == ("SNIa", "TDE")


# --- errors ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proba", "words"),
    [
        (HAND_PROBA[:3], "shape"),
        (HAND_PROBA[:, :2], "shape"),
        (HAND_PROBA * 2, "row 0 is no probability distribution"),
        (HAND_PROBA - np.array([0.0, 0.3, -0.3]), "no probability distribution"),
        (np.full((4, 3), np.nan), "4 such row"),
    ],
)
def test_arrays_that_are_not_probabilities_are_refused(proba: NDArray[np.float64], words: str) -> None:
    with pytest.raises(DataError, match=words):
        score(HAND_LABELS, proba, HAND_CLASSES)


def test_an_empty_set_cannot_be_scored() -> None:
    with pytest.raises(DataError, match="no object"):
        score(np.empty(0, "U4"), np.empty((0, 3)), HAND_CLASSES)


def test_a_label_without_a_column_is_named() -> None:
    with pytest.raises(UnknownClassError, match="muLens-Binary"):
        score(np.array(["SNIa", "muLens-Binary"]), HAND_PROBA[:2], HAND_CLASSES)


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(DataError, match="classified"):
        score(HAND_LABELS, HAND_PROBA, HAND_CLASSES, np.ones(3, bool))


def test_importing_metrics_loads_no_scikit_learn() -> None:
    import subprocess
    import sys

    code = (
        "import sys, firstlight.metrics, firstlight.splits\n"
        "print(sorted({'sklearn', 'matplotlib', 'torch', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- worked examples of the challenge and of the trap ------------------------------------


def test_the_weighted_log_loss_of_fourteen_classes_by_hand() -> None:
    """One object per class, probability 1/2 for TDE and KN, 1/4 for all others."""
    present = [name for name in CLASSES if name not in ("CaRT", "ILOT", "PISN")]
    own = np.where(np.isin(present, ("TDE", "KN")), 0.5, 0.25)
    proba = np.zeros((14, len(CLASSES)))
    for row, (name, p) in enumerate(zip(present, own, strict=True)):
        proba[row] = (1.0 - p) / (len(CLASSES) - 1)
        proba[row, CLASSES.index(name)] = p
    labels = np.array(present)
    expected = (12 * math.log(4) + 2 * 2 * math.log(2)) / (12 + 2 * 2)
    assert score(labels, proba, CLASSES)["weighted_log_loss"] == pytest.approx(expected)
    assert score(labels, proba, CLASSES)["flat_log_loss"] == pytest.approx(
        (12 * math.log(4) + 2 * math.log(2)) / 14
    )


def test_flat_log_loss_ignores_how_many_objects_a_class_has() -> None:
    labels = np.array(["SNIa", "KN"])
    proba = np.array([[0.9, 0.1], [0.6, 0.4]])
    many = np.repeat([0, 1], [99, 1])
    assert score(labels[many], proba[many], ("SNIa", "KN"))["flat_log_loss"] == pytest.approx(
        score(labels, proba, ("SNIa", "KN"))["flat_log_loss"]
    )
    assert score(labels[many], proba[many], ("SNIa", "KN"))["log_loss"] < 0.2


def test_macro_f1_is_low_where_accuracy_hides_a_missed_class() -> None:
    """A classifier that calls everything SNIa, on 99 SNIa and one kilonova."""
    labels = np.repeat(["SNIa", "KN"], [99, 1])
    proba = np.tile([0.99, 0.01], (100, 1))
    result = score(labels, proba, ("SNIa", "KN"))
    assert result["accuracy"] == 0.99
    assert result["macro_f1"] == pytest.approx(0.5 * 2 * 99 / 199)
    assert result["macro_auc"] == 0.5
    assert result["ece"] == pytest.approx(0.0, abs=1e-12)  # calibrated, and useless


def test_columns_of_absent_classes_do_not_raise_the_micro_auc(forecasts: Forecasts) -> None:
    labels, proba = forecasts
    present = metrics.present_classes(labels, CLASSES)
    columns = [CLASSES.index(name) for name in present]
    alone = proba[:, columns] / proba[:, columns].sum(axis=1, keepdims=True)
    ours = score(labels, proba, CLASSES)["micro_auc"]
    assert ours == pytest.approx(score(labels, alone, present)["micro_auc"], abs=1e-3)


def test_sharpening_forecasts_worsens_calibration_and_keeps_ranks(forecasts: Forecasts) -> None:
    labels, proba = forecasts
    sharp = proba**4
    sharp /= sharp.sum(axis=1, keepdims=True)
    before, after = score(labels, proba, CLASSES), score(labels, sharp, CLASSES)
    assert before["accuracy"] == after["accuracy"]
    assert after["log_loss"] > before["log_loss"]


@settings(max_examples=30)
@given(small_forecasts(), st.integers(2, 4))
def test_repeating_every_object_changes_no_score(forecast: Forecasts, times: int) -> None:
    labels, proba = forecast
    once = score(labels, proba, CLASSES)
    often = score(np.repeat(labels, times), np.repeat(proba, times, axis=0), CLASSES)
    for name in METRICS:
        assert once[name] == pytest.approx(often[name], nan_ok=True), name


def test_ten_thousand_objects_are_scored_in_a_second() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(CLASSES, 10_000)
    proba = rng.dirichlet(np.ones(len(CLASSES)), 10_000)
    start = time.process_time()
    score(labels, proba, CLASSES)
    assert time.process_time() - start < 1.0
