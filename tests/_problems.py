"""Small classification problems."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from firstlight.classify import (
    ClassifierConfig,
    GateConfig,
    LightGBMConfig,
    SklearnBoosterConfig,
    TrainingRows,
)

NAMES = np.array(["KN", "SNIa", "AGN", "RRL", "EB"])  # not in taxonomy order


class Toy(NamedTuple):
    """Rows of five classes that overlap a little, a tenth of the values missing."""

    X: NDArray[np.float32]
    labels: NDArray[np.str_]
    redshift: NDArray[np.float64]
    object_id: NDArray[np.str_]

    @property
    def rows(self) -> TrainingRows:
        """The same rows, to train on."""
        return TrainingRows(self.X, self.labels, self.redshift, object_id=self.object_id)


def make_toy(n_rows: int, seed: int, n_features: int = 8) -> Toy:
    rng = np.random.default_rng(seed)
    labels = NAMES[rng.choice(5, n_rows, p=[0.1, 0.35, 0.2, 0.15, 0.2])]
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    for k, name in enumerate(NAMES):
        X[labels == name, k] += 2.0
    X[rng.random(X.shape) < 0.1] = np.nan
    redshift = np.where(np.isin(labels, ["RRL", "EB"]), 0.0, rng.uniform(0.05, 1.0, n_rows))
    redshift[rng.random(n_rows) < 0.4] = np.nan
    object_id = np.array([f"{seed}-{i}" for i in range(n_rows)])
    return Toy(X, labels, redshift, object_id)


@pytest.fixture(scope="session")
def toy() -> Toy:
    return make_toy(400, seed=1)


@pytest.fixture(scope="session")
def other_toy() -> Toy:
    """Rows of other objects, drawn alike."""
    return make_toy(300, seed=2)


@pytest.fixture(scope="session")
def quick() -> ClassifierConfig:
    """Settings that train within a second."""
    booster = LightGBMConfig(rounds=15, learning_rate=0.2, leaves=6)
    return ClassifierConfig(
        lightgbm=booster,
        gate=GateConfig(booster=booster),
        seed_booster=SklearnBoosterConfig(n_estimators=12, max_depth=3, learning_rate=0.3),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "saved"
    path.mkdir()
    return path
