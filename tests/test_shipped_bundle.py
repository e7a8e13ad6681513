"""The bundles that ship: complete, of the preset they claim, and at home on real objects."""

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
def said(shipped, sample) -> Predictions:
    return shipped.predict(sample, jobs=1)


def test_they_are_small_enough_to_ship():
    for folder in shipped_bundles().values():
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 12e6


def test_it_is_its_preset_as_it_stands(shipped):
    assert shipped.config == load_preset(shipped.config.name)


def test_the_default_is_what_is_loaded_without_a_name():
    assert Pipeline.load().config.name == "default"


def test_only_the_fast_one_needs_no_history(shipped):
    assert shipped.needs_history == (shipped.config.name != "fast")


def test_it_knows_the_fourteen_classes_of_the_training_set(shipped):
    assert len(shipped.classes) == 14
    assert set(shipped.classes) < set(PLASTICC.values())
    assert shipped.info["n_objects"] == 7848


def test_it_remembers_that_the_sample_was_trained_on(shipped, sample):
    assert shipped.trained_on(sample.object_id).all()


def test_it_recognises_most_of_the_real_sample(said, sample_labels):
    """A memory test, not a skill test: the sample was trained on. It catches a broken bundle."""
    assert (said.label == sample_labels).mean() > 0.9


def test_it_says_galactic_without_a_redshift_where_it_should(shipped, sample, sample_labels):
    blind = shipped.predict(sample.with_redshift("none"), jobs=1)
    right = np.isin(blind.label, list(GALACTIC)) == np.isin(sample_labels, list(GALACTIC))
    assert right.mean() > 0.95


def test_it_is_less_sure_early_than_late(shipped, said, sample):
    early = shipped.predict(sample.upto_phase(2.0), jobs=1)
    both = early.is_classified
    assert early.proba[both].max(axis=1).mean() < said.proba[both].max(axis=1).mean()


def test_something_it_was_never_shown_is_strange(shipped, sample, said):
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
    assert strange > np.nanquantile(said.anomaly, 0.9)
