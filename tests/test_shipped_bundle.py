"""The bundles that ship: complete, of their preset, and right on real objects."""

import numpy as np
import pytest

from firstlight.lightcurves import LightCurves
from firstlight.pipeline import Pipeline, load_preset
from firstlight.pipeline.bundle import shipped_bundles
from firstlight.predictions import Predictions
from firstlight.taxonomy import GALACTIC, PLASTICC


@pytest.fixture(scope="module", params=["default", "fast"])
def shipped(request) -> Pipeline:
    return Pipeline.load(request.param)


@pytest.fixture(scope="module")
def answers(shipped, sample) -> Predictions:
    return shipped.predict(sample, jobs=1)


def test_bundles_are_small_enough_to_ship():
    for folder in shipped_bundles().values():
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 12e6


def test_its_settings_are_those_of_its_preset(shipped):
    assert shipped.config == load_preset(shipped.config.name)


def test_the_default_is_loaded_without_a_name():
    assert Pipeline.load().config.name == "default"


def test_only_the_fast_one_needs_no_history(shipped):
    assert shipped.needs_history == (shipped.config.name != "fast")


def test_it_knows_the_fourteen_classes_of_the_training_set(shipped):
    assert len(shipped.classes) == 14
    assert set(shipped.classes) < set(PLASTICC.values())
    assert shipped.info["n_objects"] == 7848


def test_its_repr_names_bundle_preset_classes_and_training_set(shipped):
    name = shipped.config.name
    lines = repr(shipped).splitlines()
    assert lines[1:4] == [
        f"  bundle: {name}, version {shipped.bundle_version}",
        f"  preset: {name}",
        f"  classes: 14: {', '.join(shipped.classes)}",
    ]
    assert lines[-1] == "  trained on: 7,848 objects, 1,421,705 observations, redshift photo"
    assert f"{name}, version {shipped.bundle_version}" in shipped._repr_html_()


def test_it_remembers_that_the_sample_was_trained_on(shipped, sample):
    assert shipped.trained_on(sample.object_id).all()


def test_it_recognises_most_of_the_real_sample(answers, sample_labels):
    """A memory test, not a skill test: the sample was trained on. It catches a broken bundle."""
    assert (answers.label == sample_labels).mean() > 0.9


def test_it_separates_galactic_objects_without_a_redshift(shipped, sample, sample_labels):
    blind = shipped.predict(sample.with_redshift("none"), jobs=1)
    right = np.isin(blind.label, list(GALACTIC)) == np.isin(sample_labels, list(GALACTIC))
    assert right.mean() > 0.95


def test_it_is_less_certain_early_than_late(shipped, answers, sample):
    early = shipped.predict(sample.upto_phase(2.0), jobs=1)
    both = early.is_classified
    assert early.proba[both].max(axis=1).mean() < answers.proba[both].max(axis=1).mean()


def test_an_object_unlike_any_class_has_a_high_anomaly_score(shipped, sample, answers):
    """A day-long square pulse in all bands, unlike any class, scores above most real objects."""
    rng = np.random.default_rng(0)
    mjd = np.sort(rng.uniform(60000.0, 60400.0, 120))
    flux = 30_000.0 * (np.abs((mjd - 60200.0) % 40.0 - 20.0) < 10.0) * np.where(np.arange(120) % 2, 1.0, -1.0)
    odd = LightCurves(
        object_id=np.array(["odd"]),
        offsets=np.array([0, 120]),
        mjd=mjd,
        band=rng.integers(0, 6, 120),
        flux=(flux + rng.normal(0.0, 20.0, 120)).astype(np.float32),
        flux_err=np.full(120, 20.0, np.float32),
        redshift=np.array([0.3], np.float32),
        redshift_err=np.array([0.05], np.float32),
        dereddened=True,
    )
    strange = shipped.predict(odd, jobs=1).anomaly[0]
    assert strange > np.nanquantile(answers.anomaly, 0.9)
