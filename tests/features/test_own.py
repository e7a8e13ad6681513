"""Features of other packages, offered as entry points."""

from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from firstlight import LightCurves, Pipeline
from firstlight.errors import BundleError, DataError, SettingsError
from firstlight.features import FeatureConfig, own
from firstlight.pipeline.inputs import input_names

SPANS, WRONG, TAKEN, NAMELESS = (f"{__name__}:{n}" for n in ("Spans", "Wrong", "Taken", "Nameless"))


class Spans:
    """Days between the first and the last observation, and its logarithm."""

    names = ("own_span", "own_log_span")

    def __call__(self, curves: LightCurves):
        some = curves.n_obs > 0
        span = np.full(len(curves), np.nan)
        span[some] = curves.mjd[curves.offsets[1:][some] - 1] - curves.mjd[curves.offsets[:-1][some]]
        with np.errstate(divide="ignore"):
            return np.stack([span, np.log(span)], axis=1)


class Wrong(Spans):
    """A row too few."""

    def __call__(self, curves: LightCurves):
        return super().__call__(curves)[1:]


class Nameless(Spans):
    """No names of columns."""

    names = None


class Taken(Spans):
    """A name that the encoder has."""

    names = ("latent_1", "own_log_span")


@pytest.fixture
def offered(monkeypatch):
    points = [EntryPoint(kind, kind, own.ENTRY_POINTS) for kind in (SPANS, WRONG, TAKEN, NAMELESS)]
    monkeypatch.setattr(
        "firstlight.plugins.entry_points", lambda group: points if group == own.ENTRY_POINTS else []
    )


@pytest.fixture
def trained(offered, sample, sample_labels, tiny_fast):
    pytest.importorskip("torch")
    trees = replace(
        tiny_fast.config.classifier, lightgbm=replace(tiny_fast.config.classifier.lightgbm, rounds=2)
    )
    config = replace(tiny_fast.config, features=FeatureConfig(own=(SPANS,)), classifier=trees)
    few = np.isin(sample_labels, ["SNIa", "SNII", "RRL"])
    return Pipeline(config).fit(sample.take(few), sample_labels[few], seed=1, jobs=1)


def test_columns_of_another_package_follow_ours_and_stay_in_the_bundle(trained, sample, tmp_path):
    assert trained.input_names[-2:] == Spans.names
    columns = trained.inputs(sample)
    expected = Spans()(sample)[:, 0].astype(np.float32)
    np.testing.assert_array_equal(columns[:, -2], expected)
    assert not np.isinf(columns[:, -2:]).any()
    trained.save(tmp_path / "bundle")
    loaded = Pipeline.load(tmp_path / "bundle")
    assert loaded.predict_proba(sample, jobs=1).tobytes() == trained.predict_proba(sample, jobs=1).tobytes()
    assert loaded.needs_history


def test_a_bundle_that_names_a_missing_package_is_refused(trained, tmp_path, monkeypatch):
    trained.save(tmp_path / "bundle")
    monkeypatch.setattr("firstlight.plugins.entry_points", lambda group: [])
    with pytest.raises(BundleError, match="entry point") as caught:
        Pipeline.load(tmp_path / "bundle")
    assert "install a package" in str(caught.value)
    assert "fetch or train" not in str(caught.value)  # the bundle is whole


def test_a_package_that_is_installed_offers_its_features(sample, tmp_path, monkeypatch):
    (tmp_path / "observed.py").write_text(
        "class Count:\n"
        "    names = ('own_count',)\n"
        "    def __call__(self, curves):\n"
        "        return curves.n_obs[:, None]\n"
    )
    about = tmp_path / "observed-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: observed\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{own.ENTRY_POINTS}]\ncount = observed:Count\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = FeatureConfig(own=("observed:Count",))
    assert own.own_names(config.own) == ("own_count",)
    np.testing.assert_array_equal(own.own_columns(config.own, sample)[:, 0], sample.n_obs)


def test_a_module_that_no_installed_package_offers_is_never_imported():
    with pytest.raises(SettingsError, match="entry point"):
        FeatureConfig(own=("os:system",))


@pytest.mark.usefixtures("offered")
def test_another_shape_and_a_name_twice_are_errors(sample, tiny_fast):
    with pytest.raises(DataError, match="gave an array of shape"):
        own.own_columns((WRONG,), sample)
    with pytest.raises(SettingsError, match="Nameless': names must be a tuple of column names"):
        own.own_columns((NAMELESS,), sample)
    for kinds in ((TAKEN,), (SPANS, SPANS)):
        with pytest.raises(SettingsError, match="occur twice"):
            input_names(replace(tiny_fast.config, features=FeatureConfig(own=kinds)), None)
