"""`ClassIsolation` gives the numbers of scikit-learn's isolation forests, one per class."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from firstlight.anomaly.isolation import ClassIsolation, mean_path_length
from firstlight.errors import BundleError, DataError


def latents(n_rows, seed):
    rng = np.random.default_rng(seed)
    code = rng.choice(3, n_rows, p=[0.7, 0.25, 0.05])
    latent = rng.normal(size=(n_rows, 5))
    latent[np.arange(n_rows), code] += 4.0
    return latent.astype(np.float32), code


@pytest.fixture(scope="module")
def grown() -> list[IsolationForest]:
    latent, code = latents(800, 0)
    return [
        IsolationForest(
            n_estimators=20, max_samples=min(128, int((code == k).sum())), random_state=int(k)
        ).fit(latent[code == k])
        for k in range(3)
    ]


def test_the_score_is_scikit_learns_of_the_class_that_isolates_least(grown):
    latent, _ = latents(300, 1)
    expected = np.min([-forest.score_samples(latent) for forest in grown], axis=0)
    ours = 2.0 ** ClassIsolation.from_sklearn(grown).isolation_score(latent)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_the_path_lengths_of_each_class_are_scikit_learns(grown):
    latent, _ = latents(100, 2)
    isolation = ClassIsolation.from_sklearn(grown)
    lengths = isolation.forest.raw(latent) / isolation.unit
    for k, forest in enumerate(grown):
        np.testing.assert_allclose(-np.log2(-forest.score_samples(latent)), lengths[:, k], rtol=1e-6)


def test_a_row_between_the_classes_scores_high():
    isolation = ClassIsolation.fit(*latents(800, 3), n_trees=50, n_samples=128, seed=0)
    known = isolation.isolation_score(latents(500, 4)[0])
    far = isolation.isolation_score(np.full((1, 5), -6.0, np.float32))
    assert far[0] > np.quantile(known, 0.99)


def test_a_row_has_the_same_bits_alone_and_in_any_batch(grown):
    latent, _ = latents(40, 5)
    isolation = ClassIsolation.from_sklearn(grown)
    whole = isolation.isolation_score(latent)
    for size in (1, 3, 7, 16):
        parts = [isolation.isolation_score(latent[i : i + size]) for i in range(0, 40, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_the_trees_repeat_with_the_seed():
    latent, code = latents(300, 6)
    some = [
        ClassIsolation.fit(latent, code, n_trees=5, n_samples=64, seed=seed).isolation_score(latent)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(some[0], some[1])
    assert not np.array_equal(some[0], some[2])


def test_a_class_of_one_row_still_has_a_forest():
    latent, code = latents(50, 7)
    code[:] = 0
    code[0] = 1
    isolation = ClassIsolation.fit(latent, code, n_trees=5, n_samples=64, seed=0)
    assert np.isfinite(isolation.isolation_score(latent)).all()


def test_arrays_give_the_same_scores(grown):
    latent, _ = latents(60, 8)
    isolation = ClassIsolation.from_sklearn(grown)
    arrays = isolation.to_arrays()
    assert arrays["value"].dtype == np.float32
    np.testing.assert_array_equal(
        ClassIsolation.from_arrays(arrays).isolation_score(latent), isolation.isolation_score(latent)
    )


def test_damaged_arrays_are_a_bundle_error(grown):
    arrays = ClassIsolation.from_sklearn(grown).to_arrays()
    for name in ("unit", "value", "nodes"):
        with pytest.raises(BundleError, match=name):
            ClassIsolation.from_arrays({n: a for n, a in arrays.items() if n != name})
    with pytest.raises(BundleError, match="unit"):
        ClassIsolation.from_arrays(arrays | {"unit": np.zeros(3)})
    with pytest.raises(BundleError, match="cover"):
        ClassIsolation.from_arrays(arrays | {"root": arrays["root"] + 1})


def test_latents_of_another_shape_are_an_error(grown):
    isolation = ClassIsolation.from_sklearn(grown)
    with pytest.raises(DataError, match="latents"):
        isolation.isolation_score(np.zeros(5, np.float32))
    with pytest.raises(DataError, match="5 features"):
        isolation.isolation_score(np.zeros((2, 4), np.float32))


def test_the_mean_path_length_is_that_of_a_random_search_tree():
    assert mean_path_length(np.array([0, 1, 2])).tolist() == [0.0, 0.0, 1.0]
    # Liu, Ting and Zhou 2008, equation 1, with the harmonic number summed instead of approximated
    for n in (8, 64, 256):
        harmonic = np.sum(1.0 / np.arange(1, n))
        assert mean_path_length(np.array([n]))[0] == pytest.approx(2 * harmonic - 2 * (n - 1) / n, rel=0.05)


def test_inference_needs_no_scikit_learn():
    code = "import sys, firstlight.anomaly.isolation; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
