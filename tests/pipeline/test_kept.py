"""The training objects that a bundle keeps."""

import json

import numpy as np
import pytest

from firstlight.errors import BundleError
from firstlight.pipeline import Pipeline
from firstlight.pipeline.kept import LARGEST_N_OBSERVATIONS, KeptObjects, choose


@pytest.fixture(scope="module")
def kept(sample, sample_labels):
    place = np.random.default_rng(0).normal(size=(len(sample), 3))
    return choose(sample, sample_labels, place, 2)


def test_every_class_has_as_many(kept, sample_labels):
    names, counts = np.unique(kept.labels, return_counts=True)
    assert names.tolist() == sorted(set(sample_labels.tolist()))
    assert set(counts.tolist()) == {2}
    assert kept.curves.n_obs.max() <= LARGEST_N_OBSERVATIONS


def test_they_come_back_from_disk(kept, tmp_path):
    kept.save(tmp_path)
    read = KeptObjects.load(tmp_path)
    assert read.labels.tolist() == kept.labels.tolist()
    assert read.curves.object_id.tolist() == kept.curves.object_id.tolist()
    assert read.curves.dereddened == kept.curves.dereddened
    for name in ("offsets", "band", "detected", "redshift", "redshift_err", "ebv", "ra", "dec"):
        np.testing.assert_array_equal(getattr(read.curves, name), getattr(kept.curves, name))
    np.testing.assert_allclose(read.curves.mjd, kept.curves.mjd, rtol=0, atol=2e-4)
    top = np.maximum.reduceat(np.abs(kept.curves.flux), kept.curves.offsets[:-1])[kept.curves.object_index]
    assert (np.abs(read.curves.flux - kept.curves.flux) <= 1e-3 * top).all()
    np.testing.assert_allclose(read.curves.flux_err, kept.curves.flux_err, rtol=1e-2)


def test_a_point_near_all_of_its_class_is_chosen_first(sample, sample_labels):
    centre = {name: np.flatnonzero(sample_labels == name)[0] for name in np.unique(sample_labels)}
    place = np.random.default_rng(1).normal(size=(len(sample), 4))
    place /= np.linalg.norm(place, axis=1)[:, None]
    place[list(centre.values())] = 0.0
    chosen = choose(sample, sample_labels, place, 1)
    assert set(chosen.curves.object_id) == set(sample.object_id[list(centre.values())])


def test_none_are_kept_where_none_are_wanted(sample, sample_labels):
    assert choose(sample, sample_labels, np.zeros((len(sample), 1)), 0) is None


def test_a_bundle_keeps_objects_that_it_was_trained_on_and_no_held_out_one(tiny_fast, sample, sample_labels):
    from firstlight.pipeline.training import training_objects

    held_out = training_objects(sample, sample_labels, tiny_fast.config).held_out
    names = tiny_fast._kept.curves.object_id
    assert len(names)
    assert np.isin(names, sample.object_id[~held_out]).all()


def test_a_bundle_keeps_them_when_it_is_saved_and_loaded(tiny_fast, tmp_path):
    tiny_fast.save(tmp_path / "bundle")
    loaded = Pipeline.load(tmp_path / "bundle")
    assert loaded._kept.labels.tolist() == tiny_fast._kept.labels.tolist()
    loaded.save(tmp_path / "again")
    first, second = ((tmp_path / name / "kept" / "kept.safetensors.gz") for name in ("bundle", "again"))
    twice = KeptObjects.load(second.parent).curves
    np.testing.assert_allclose(twice.flux, KeptObjects.load(first.parent).curves.flux, rtol=2e-3)


@pytest.mark.parametrize("key", ["labels", "survey", "object_id"])
def test_lists_that_do_not_fit_are_refused(kept, tmp_path, key):
    kept.save(tmp_path)
    state = json.loads((tmp_path / "kept.json").read_text())
    state[key] = state[key][:-1]
    (tmp_path / "kept.json").write_text(json.dumps(state))
    with pytest.raises(BundleError):
        KeptObjects.load(tmp_path)
