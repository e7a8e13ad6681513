"""Classifiers of other packages, offered as entry points."""

from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from firstlight.classify import ClassifierConfig, load_classifier, make_classifier, registry
from firstlight.errors import BundleError, SettingsError
from firstlight.storage import read_json, write_state

KIND = f"{__name__}:Frequencies"


class Frequencies:
    """Give each class a power of its frequency in training."""

    def __init__(self, settings):
        self.power, self.classes, self.n_features, self.shares = settings["power"], (), 0, []

    def fit(self, rows, held=None, *, seed=0, jobs=1, progress=None):
        names, counts = np.unique(rows.labels, return_counts=True)
        self.classes, self.n_features = tuple(names.tolist()), rows.X.shape[1]
        self.shares = (counts**self.power / np.sum(counts**self.power)).tolist()
        return self

    def predict_proba(self, X, redshift=None):
        return np.tile(self.shares, (len(X), 1))

    def save(self, folder: Path) -> None:
        write_state(folder / "own.json", {"shares": self.shares, "classes": list(self.classes)})

    @classmethod
    def load(cls, folder: Path):
        state = read_json(folder / "own.json")
        made = cls({"power": 1.0})
        made.shares, made.classes = state["shares"], tuple(state["classes"])
        return made


@pytest.fixture
def offered(monkeypatch):
    point = EntryPoint("frequencies", KIND, registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == point.group else [])


def test_a_classifier_of_another_package_is_made_trained_saved_and_loaded(offered, toy, tmp_path):
    model = make_classifier(ClassifierConfig(kind=KIND, own={"power": 1.0})).fit(toy.rows)
    model.save(tmp_path)
    loaded = load_classifier(KIND, tmp_path)
    assert loaded.classes == model.classes
    np.testing.assert_allclose(loaded.predict_proba(toy.X), model.predict_proba(toy.X))


def test_what_no_installed_package_offers_is_never_imported(tmp_path):
    with pytest.raises(SettingsError, match="entry point"):
        ClassifierConfig(kind="os:system")
    with pytest.raises(BundleError, match="unknown classifier"):
        load_classifier("os:system", tmp_path)
