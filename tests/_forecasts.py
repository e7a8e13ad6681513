"""Forecasts that look like real ones, for tests of metrics, figures and reports."""

import numpy as np
import pytest
from numpy.typing import NDArray

from firstlight.metrics import PHASES, Evaluation, Snapshot, phase_name
from firstlight.predictions import Predictions
from firstlight.splits import stratified_folds
from firstlight.taxonomy import CLASSES

PRESENT = ("AGN", "EB", "KN", "RRL", "SNIa", "SNII", "TDE", "muLens-Single")


def draw_forecasts(
    n_objects: int, skill: float, rng: np.random.Generator
) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """Labels and probabilities of all classes; more skill moves weight to the truth."""
    share = np.array([0.1, 0.15, 0.05, 0.1, 0.3, 0.2, 0.05, 0.05])
    labels = np.concatenate([PRESENT, rng.choice(PRESENT, n_objects - len(PRESENT), p=share)])
    weight = rng.gamma(0.3, size=(n_objects, len(CLASSES))) * np.isin(CLASSES, PRESENT) + 1e-4
    truth = np.array([CLASSES.index(name) for name in labels])
    weight[np.arange(n_objects), truth] += skill * rng.gamma(1.0, size=n_objects)
    return labels, weight / weight.sum(axis=1, keepdims=True)


@pytest.fixture(scope="session")
def forecasts() -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """500 labels of eight classes and good forecasts of them."""
    return draw_forecasts(500, 3.0, np.random.default_rng(1))


@pytest.fixture(scope="session")
def evaluation() -> Evaluation:
    """500 objects in three folds, forecast at every phase."""
    rng = np.random.default_rng(2)
    labels, whole = draw_forecasts(500, 3.0, rng)
    names = np.array([f"object-{k:03d}" for k in range(500)])
    fold = np.zeros(500, dtype=np.int64)
    for k, part in enumerate(stratified_folds(names, labels, 3, rng=rng)):
        fold[part.test] = k
    snapshots = {}
    for step, days in enumerate(PHASES[:-1]):
        weaker = whole ** (0.1 * (step + 1))
        snapshots[phase_name(days)] = Snapshot(
            weaker / weaker.sum(axis=1, keepdims=True), rng.random(500) < 0.3 + 0.08 * step
        )
    return Evaluation(
        object_id=names,
        labels=labels,
        proba=whole,
        classified=np.arange(500) >= 3,
        fold=fold,
        by_phase=snapshots,
    )


@pytest.fixture
def predictions() -> Predictions:
    """Four objects: three classified, one not."""
    proba = np.zeros((4, len(CLASSES)))
    proba[0, [CLASSES.index("SNIa"), CLASSES.index("SNII")]] = 0.875, 0.125
    proba[1, CLASSES.index("KN")] = 1.0
    proba[2] = 1.0 / len(CLASSES)
    proba[3, [CLASSES.index("AGN"), CLASSES.index("TDE")]] = 1 / 3, 2 / 3
    return Predictions(
        object_id=np.array(["615", "007", "NA", "a,b"]),
        status=np.array(["classified", "classified", "not_classified", "classified"]),
        reason=np.array(["", "", "1 observation, needs 2", ""]),
        label=np.array(["SNIa", "KN", "", "TDE"]),
        proba=proba,
        anomaly=np.array([0.123456789, 0.0, np.nan, 1.0]),
        n_obs=np.array([352, 12, 1, 3]),
        phase=np.array([848.25, 0.0, np.nan, -1.5]),
    )
