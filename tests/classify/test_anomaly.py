"""`AnomalyScorer`: strange is high, and the scale is one of false alarms."""

import numpy as np
import pytest

from firstlight.classify import AnomalyConfig, AnomalyScorer
from firstlight.classify.anomaly import _false_alarm_scale, _knots, _to_gaussian
from firstlight.classify.storage import read_arrays, read_state, write_arrays, write_state
from firstlight.errors import BundleError, DataError, NotFittedError

NAMES = np.array(["AGN", "EB", "SNIa"])


def known_rows(n_rows, seed, n_features=12):
    """Three classes in different corners, with correlated features and some missing."""
    rng = np.random.default_rng(seed)
    labels = NAMES[rng.choice(3, n_rows, p=[0.6, 0.3, 0.1])]
    X = rng.normal(size=(n_rows, n_features))
    X[:, 3] = X[:, 4] + 0.1 * X[:, 3]
    for k, name in enumerate(NAMES):
        X[labels == name, k] += 6.0
    X[:, 5] = np.exp(X[:, 5])  # features are rarely Gaussian
    X[rng.random(X.shape) < 0.05] = np.nan
    return X.astype(np.float32), labels


@pytest.fixture(scope="module")
def scorer() -> AnomalyScorer:
    X, labels = known_rows(1500, 0)
    return AnomalyScorer().fit(X, labels, known_rows(800, 1)[0], seed=0)


def test_the_score_is_the_fraction_of_known_objects_below(scorer):
    score = scorer.score(known_rows(4000, 2)[0])
    for level in (0.5, 0.9, 0.95, 0.99):
        assert (score > level).mean() == pytest.approx(1.0 - level, abs=0.03)


def test_scores_lie_between_zero_and_one(scorer):
    X = known_rows(500, 3)[0]
    X[:100] *= 1000.0
    score = scorer.score(X)
    assert ((score >= 0.0) & (score <= 1.0)).all()


@pytest.mark.parametrize(
    "shift",
    [
        {0: 6.0, 1: 6.0},  # between two classes, where no object of either is
        {0: 3.0, 3: 2.0, 4: -2.0},  # breaks a correlation
        {7: 8.0},
        {0: -9.0},
    ],
)
def test_an_unknown_kind_of_object_is_strange(scorer, shift):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(200, 12)).astype(np.float32)
    X[:, 5] = np.exp(X[:, 5])
    for column, value in shift.items():
        X[:, column] += value
    assert np.median(scorer.score(X)) > 0.95


def test_stranger_is_higher_without_end(scorer):
    X = np.zeros((8, 12), dtype=np.float32)
    X[:, 5] = 1.0
    X[:, 7] = 10.0 ** np.arange(8)
    assert (np.diff(scorer.score(X)) > 0.0).all()


def test_missing_and_infinite_features_are_survived(scorer):
    X = np.full((3, 12), np.nan, dtype=np.float32)
    X[1, 0], X[2, 1] = np.inf, -np.inf
    assert np.isfinite(scorer.score(X)).all()


def test_a_rare_class_is_not_strange(scorer):
    X, labels = known_rows(4000, 5)
    assert np.median(scorer.score(X)[labels == "SNIa"]) < 0.9


def test_a_class_of_few_objects_leans_on_the_mean_scatter():
    X, labels = known_rows(600, 6)
    few = np.flatnonzero(labels == "SNIa")[4:]
    keep = np.setdiff1d(np.arange(600), few)
    scorer = AnomalyScorer().fit(X[keep], labels[keep], known_rows(400, 7)[0])
    X, labels = known_rows(2000, 8)
    assert np.median(scorer.score(X)[labels == "SNIa"]) < 0.97


def test_a_feature_that_is_hardly_known_is_left_out():
    X, labels = known_rows(600, 9)
    X = np.column_stack([X, np.full(600, np.nan, np.float32)])
    X[:10, -1] = 5.0
    scorer = AnomalyScorer().fit(X, labels, X[:300])
    assert 12 not in scorer._arrays["columns"]
    changed = X.copy()
    changed[:, -1] = 1e9
    np.testing.assert_array_equal(scorer.score(X), scorer.score(changed))


def test_constant_features_do_no_harm():
    X, labels = known_rows(600, 10)
    X = np.column_stack([X, np.full(600, 3.0, np.float32)])
    assert np.isfinite(AnomalyScorer().fit(X, labels, X[:300]).score(X)).all()


def test_the_scale_is_set_apart_by_phase():
    X, labels = known_rows(1500, 11)
    held, _ = known_rows(2000, 12)
    phase = np.where(np.arange(2000) % 2, 1.0, 100.0)
    noisy = phase < 2.0  # early rows lie further from their classes
    held[noisy] += 2.0 * np.random.default_rng(0).normal(size=(1000, 12)).astype(np.float32)
    scorer = AnomalyScorer().fit(X, labels, held, phase=phase)
    for range_ in (noisy, ~noisy):
        alarms = (scorer.score(held, phase=phase)[range_] > 0.9).mean()
        assert alarms == pytest.approx(0.1, abs=0.01)
    assert (scorer.score(held)[noisy] > 0.9).mean() > 0.15  # one scale for all would cry wolf
    assert np.isfinite(scorer.score(held, phase=np.full(2000, np.nan))).all()


def test_few_rows_of_a_phase_share_the_common_scale():
    X, labels = known_rows(800, 13)
    held, _ = known_rows(500, 14)
    phase = np.where(np.arange(500) < 20, 1.0, 100.0)
    scorer = AnomalyScorer().fit(X, labels, held, phase=phase)
    early = np.full(500, 1.0)
    np.testing.assert_array_equal(scorer.score(held, phase=early), scorer.score(held))


def test_the_draw_of_rows_repeats_with_the_seed():
    X, labels = known_rows(900, 15)
    config = AnomalyConfig(max_rows=300)
    scores = [AnomalyScorer(config).fit(X, labels, X[:200], seed=seed).score(X) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_a_row_scores_alone_as_in_a_batch(scorer):
    X = known_rows(60, 16)[0]
    alone = np.concatenate([scorer.score(row[None]) for row in X])
    np.testing.assert_allclose(alone, scorer.score(X), atol=1e-9)


def test_no_rows_have_no_scores(scorer):
    assert scorer.score(np.zeros((0, 12), np.float32)).shape == (0,)


def test_saved_and_loaded_gives_the_same_bits(scorer, folder):
    scorer.save(folder)
    X = known_rows(200, 17)[0]
    np.testing.assert_array_equal(AnomalyScorer.load(folder).score(X), scorer.score(X))


def test_damaged_files_are_a_bundle_error(scorer, folder):
    with pytest.raises(BundleError, match="anomaly"):
        AnomalyScorer.load(folder)
    scorer.save(folder)
    state = read_state(folder / "anomaly.json")
    write_state(folder / "anomaly.json", state | {"n_features": 3})
    with pytest.raises(BundleError, match="do not exist"):
        AnomalyScorer.load(folder)
    write_state(folder / "anomaly.json", state)
    arrays = read_arrays(folder / "anomaly.safetensors")
    del arrays["axes"]
    write_arrays(folder / "anomaly.safetensors", arrays)
    with pytest.raises(BundleError, match="axes"):
        AnomalyScorer.load(folder)


def test_an_untrained_scorer_says_so(folder):
    with pytest.raises(NotFittedError, match="AnomalyScorer"):
        AnomalyScorer().score(np.zeros((1, 2), np.float32))
    with pytest.raises(NotFittedError, match="AnomalyScorer"):
        AnomalyScorer().save(folder)


def test_shapes_that_do_not_fit_are_an_error(scorer):
    X, labels = known_rows(100, 18)
    with pytest.raises(DataError, match="labels"):
        AnomalyScorer().fit(X, labels[:-1], X)
    with pytest.raises(DataError, match="features"):
        AnomalyScorer().fit(X, labels, X[:, :-1])
    with pytest.raises(DataError, match="hold some"):
        AnomalyScorer().fit(X, labels, X[:0])
    with pytest.raises(DataError, match="features"):
        scorer.score(X[:, :-1])


def test_the_map_to_gaussian_keeps_the_order_and_is_gaussian():
    rng = np.random.default_rng(19)
    X = np.exp(rng.normal(size=(5000, 1))).astype(np.float32)
    knots, normal = _knots(X, 33)
    out = np.empty((5000, 1))
    _to_gaussian(X, np.array([0]), knots, normal, out)
    np.testing.assert_array_equal(np.argsort(X[:, 0], kind="stable"), np.argsort(out[:, 0], kind="stable"))
    assert out.mean() == pytest.approx(0.0, abs=0.03)
    assert out.std() == pytest.approx(1.0, abs=0.05)


def test_a_pile_of_equal_values_maps_to_its_middle():
    X = np.concatenate([np.zeros(600), np.linspace(1.0, 2.0, 400)]).astype(np.float32)[:, None]
    knots, normal = _knots(X, 33)
    out = np.empty((1, 1))
    _to_gaussian(np.zeros((1, 1), np.float32), np.array([0]), knots, normal, out)
    assert normal[0] < out[0, 0] < normal[20]


def test_beyond_the_last_known_distance_the_scale_still_rises():
    reference = np.linspace(1.0, 2.0, 99)
    distance = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.1, 50.0, 1e6])
    score = _false_alarm_scale(distance, reference)
    assert (np.diff(score) > 0.0).all()
    np.testing.assert_allclose(score[[2, 3, 4]], [0.01, 0.5, 0.99])
    assert score[-1] < 1.0
