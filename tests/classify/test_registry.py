"""Classifiers of other packages, offered as entry points."""

from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from firstlight.classify import (
    CLASSIFIERS,
    ClassifierConfig,
    SearchSpace,
    Tunable,
    load_classifier,
    make_classifier,
    registry,
    search_space,
    tunable_values,
    with_values,
)
from firstlight.errors import BundleError, DataError, SettingsError
from firstlight.storage import read_json, write_state
from firstlight.taxonomy import in_order

KIND = f"{__name__}:Frequencies"


class Frequencies:
    """Give each class a power of its frequency in training."""

    SEARCH_SPACE = SearchSpace(
        settings=(Tunable(name="power", words="power of the frequency", low=0.1, high=3, default=1.0),)
    )

    def __init__(self, settings):
        self.power, self.classes, self.n_features, self.shares = settings["power"], (), 0, []

    def fit(self, rows, held=None, *, seed=0, jobs=1, progress=None):
        self.classes, self.n_features = in_order(rows.labels.tolist()), rows.X.shape[1]
        counts = np.array([np.sum(rows.labels == name) for name in self.classes])
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
    monkeypatch.setattr(
        "firstlight.plugins.entry_points", lambda group: [point] if group == point.group else []
    )


def test_a_classifier_of_another_package_is_made_trained_saved_and_loaded(offered, toy, tmp_path):
    model = make_classifier(ClassifierConfig(kind=KIND, own={"power": 1.0})).fit(toy.rows)
    model.save(tmp_path)
    loaded = load_classifier(KIND, tmp_path)
    assert loaded.classes == model.classes
    np.testing.assert_allclose(loaded.predict_proba(toy.X), model.predict_proba(toy.X))


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (lambda self: self.unknown, "fails: AttributeError"),
        (lambda self: self.full[1:], "gave probabilities of shape"),
        (lambda self: np.full(len(self.full), np.nan), "not finite, or do not sum to 1"),
        (lambda self: 2 * np.array(self.full), "not finite, or do not sum to 1"),
    ],
)
def test_a_classifier_of_another_package_that_breaks_the_rules_is_named(
    offered, monkeypatch, toy, shares, message
):
    model = make_classifier(ClassifierConfig(kind=KIND, own={"power": 1.0})).fit(toy.rows)
    model.inner.full = model.inner.shares
    monkeypatch.setattr(
        Frequencies, "predict_proba", lambda self, X, redshift: np.tile(shares(self), (len(X), 1))
    )
    with pytest.raises(DataError, match=f"Frequencies'.*{message}"):
        model.predict_proba(toy.X)


def test_a_classifier_of_another_package_whose_classes_are_not_those_of_its_rows_is_refused(
    offered, monkeypatch, toy
):
    fit = Frequencies.fit

    def reversed_fit(self, *rest, **more):
        fit(self, *rest, **more).classes = self.classes[::-1]
        return self

    monkeypatch.setattr(Frequencies, "fit", reversed_fit)
    with pytest.raises(DataError, match="those of the rows in this order"):
        make_classifier(ClassifierConfig(kind=KIND, own={"power": 1.0})).fit(toy.rows)


def test_a_module_that_no_installed_package_offers_is_never_imported(tmp_path):
    with pytest.raises(SettingsError, match="entry point"):
        ClassifierConfig(kind="os:system")
    with pytest.raises(BundleError, match="unknown classifier"):
        load_classifier("os:system", tmp_path)


# --- search spaces --------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_every_kind_states_settings_that_can_be_changed(kind):
    config = ClassifierConfig(kind=kind)
    space = search_space(config)
    assert tunable_values(config).keys() == {setting.name for setting in space}
    for end in ("low", "high"):
        values = {setting.name: getattr(setting, end) for setting in space}
        changed = with_values(config, values)
        assert tunable_values(changed) == values
        make_classifier(changed)


def test_a_classifier_of_another_package_states_its_settings(offered, toy):
    config = ClassifierConfig(kind=KIND)
    assert tunable_values(config) == {"power": 1.0}  # the default
    assert tunable_values(ClassifierConfig(kind=KIND, own={"power": 2.0, "other": 5.0})) == {"power": 2.0}
    changed = with_values(ClassifierConfig(kind=KIND, own={"other": 5.0}), {"power": 0.5})
    assert changed.own == {"power": 0.5, "other": 5.0}
    assert make_classifier(changed).fit(toy.rows).inner.power == 0.5


@pytest.mark.parametrize(
    ("space", "words"), [(None, "gated, lightgbm, seed"), ({"power": (0, 1)}, "not a SearchSpace")]
)
def test_a_classifier_without_a_search_space_is_refused_with_those_that_have_one(
    offered, monkeypatch, space, words
):
    monkeypatch.setattr(Frequencies, "SEARCH_SPACE", space)
    with pytest.raises(SettingsError, match=words):
        search_space(ClassifierConfig(kind=KIND))


def test_a_setting_without_value_and_default_is_refused(offered, monkeypatch):
    space = SearchSpace(settings=(Tunable(name="power", words="power", low=0.1, high=3),))
    monkeypatch.setattr(Frequencies, "SEARCH_SPACE", space)
    with pytest.raises(SettingsError, match="power has no default"):
        tunable_values(ClassifierConfig(kind=KIND))
