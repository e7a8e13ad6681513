"""`AnomalyScorer`: unusual rows score high, and the scale is one of false alarms."""

import numpy as np
import pytest

from firstlight.anomaly import AnomalyConfig, AnomalyInputs, AnomalyScorer
from firstlight.anomaly.scorer import COMPONENTS, _false_alarms
from firstlight.errors import BundleError, BundleVersionError, DataError, NotFittedError
from firstlight.storage import read_arrays, read_json, write_arrays, write_state

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
def test_an_unknown_kind_of_object_scores_high(scorer, shift):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(200, 12)).astype(np.float32)
    X[:, 5] = np.exp(X[:, 5])
    for column, value in shift.items():
        X[:, column] += value
    assert np.median(scorer.score(X)) > 0.95


def test_the_score_rises_without_end(scorer):
    X = np.zeros((8, 12), dtype=np.float32)
    X[:, 5] = 1.0
    X[:, 7] = 10.0 ** np.arange(8)
    assert (np.diff(scorer.score(X)) > 0.0).all()


def test_missing_and_infinite_features_have_a_finite_score(scorer):
    X = np.full((3, 12), np.nan, dtype=np.float32)
    X[1, 0], X[2, 1] = np.inf, -np.inf
    assert np.isfinite(scorer.score(X)).all()


def test_a_rare_class_does_not_score_high(scorer):
    X, labels = known_rows(4000, 5)
    assert np.median(scorer.score(X)[labels == "SNIa"]) < 0.9


def test_a_class_of_few_objects_uses_the_mean_scatter():
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
    assert scorer._nearest is not None
    assert 12 not in scorer._nearest.columns
    changed = X.copy()
    changed[:, -1] = 1e9
    np.testing.assert_array_equal(scorer.score(X), scorer.score(changed))


def test_columns_skipped_by_name_are_not_used():
    X, labels = known_rows(600, 30)
    names = [f"window{k}_r" for k in range(6)] + [f"peak_{k}" for k in range(6)]
    config = AnomalyConfig(distance_skips=("window[3-5]_[gr]", "peak_5"))
    scorer = AnomalyScorer(config).fit(X, labels, X, names=names)
    assert scorer._nearest is not None
    assert scorer._nearest.columns.tolist() == [0, 1, 2, 6, 7, 8, 9, 10]
    with pytest.raises(DataError, match="names of all 12"):
        AnomalyScorer(config).fit(X, labels, X)
    with pytest.raises(DataError, match="no column"):
        AnomalyScorer(AnomalyConfig(distance_skips=("*",))).fit(X, labels, X, names=names)


def test_constant_features_do_no_harm():
    X, labels = known_rows(600, 10)
    X = np.column_stack([X, np.full(600, 3.0, np.float32)])
    assert np.isfinite(AnomalyScorer().fit(X, labels, X[:300]).score(X)).all()


def test_each_range_of_phases_has_its_own_scale():
    X, labels = known_rows(1500, 11)
    held, _ = known_rows(2000, 12)
    phase = np.where(np.arange(2000) % 2, 1.0, 100.0)
    noisy = phase < 2.0  # early rows lie further from their classes
    held[noisy] += 2.0 * np.random.default_rng(0).normal(size=(1000, 12)).astype(np.float32)
    scorer = AnomalyScorer().fit(X, labels, held, phase=phase)
    for range_ in (noisy, ~noisy):
        alarms = (scorer.score(held, phase=phase)[range_] > 0.9).mean()
        assert alarms == pytest.approx(0.1, abs=0.01)
    assert (scorer.score(held)[noisy] > 0.9).mean() > 0.15  # one scale for all would raise false alarms
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


def test_a_row_has_the_same_bits_alone_and_in_any_batch(scorer):
    X = known_rows(60, 16)[0]
    for size in (1, 3, 5, 8, 17):
        parts = [scorer.score(X[i : i + size]) for i in range(0, len(X), size)]
        np.testing.assert_array_equal(np.concatenate(parts), scorer.score(X))


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
    state = read_json(folder / "anomaly.json")
    write_state(folder / "anomaly.json", state | {"n_features": 3})
    with pytest.raises(BundleError, match="do not exist"):
        AnomalyScorer.load(folder)
    write_state(folder / "anomaly.json", state | {"parts": ["omens"]})
    with pytest.raises(BundleError, match="omens"):
        AnomalyScorer.load(folder)
    write_state(folder / "anomaly.json", state | {"format": 99})
    with pytest.raises(BundleVersionError, match="99"):
        AnomalyScorer.load(folder)
    write_state(folder / "anomaly.json", state)
    arrays = read_arrays(folder / "anomaly.safetensors.gz")
    del arrays["axes"]
    write_arrays(folder / "anomaly.safetensors.gz", arrays)
    with pytest.raises(BundleError, match="axes"):
        AnomalyScorer.load(folder)


def test_an_untrained_scorer_is_an_error(folder):
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


def test_beyond_the_last_known_value_the_scale_still_rises():
    reference = np.linspace(1.0, 2.0, 99)
    values = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.1, 50.0, 1e6])
    score = np.empty(len(values))
    _false_alarms(values, np.zeros(len(values), np.int64), reference, np.array([0, 99]), score)
    assert (np.diff(score) > 0.0).all()
    np.testing.assert_allclose(score[[2, 3, 4]], [0.01, 0.5, 0.99])
    assert score[-1] < 1.0


def test_a_pile_of_equal_values_and_a_single_one_have_a_scale():
    score = np.empty(3)
    for reference in (np.zeros(50), np.array([0.0])):
        _false_alarms(
            np.array([-1.0, 0.0, 1.0]), np.zeros(3, np.int64), reference, np.array([0, len(reference)]), score
        )
        assert (np.diff(score) > 0.0).all()
        assert ((score > 0.0) & (score < 1.0)).all()


def known_inputs(labels, seed):
    """Latents in a corner for each class, small errors, a sure classifier."""
    rng = np.random.default_rng([seed, 7])
    n_rows = len(labels)
    latent = rng.normal(size=(n_rows, 4))
    for k, name in enumerate(NAMES):
        latent[labels == name, k] += 5.0
    proba = np.full((n_rows, 3), 0.0)
    proba[:, 0] = rng.uniform(0.7, 1.0, n_rows)
    proba[:, 1] = 1.0 - proba[:, 0]
    return AnomalyInputs(latent.astype(np.float32), rng.gamma(2.0, 0.1, n_rows).astype(np.float32), proba)


def with_inputs(seed, n_rows):
    X, labels = known_rows(n_rows, seed)
    return X, labels, known_inputs(labels, seed)


@pytest.fixture(scope="module")
def full() -> AnomalyScorer:
    X, labels, inputs = with_inputs(20, 900)
    held, _, validation = with_inputs(21, 900)
    phase = np.where(np.arange(900) % 2, 1.0, 100.0)
    return AnomalyScorer().fit(X, labels, held, inputs=inputs, validation_inputs=validation, phase=phase)


def some(inputs, index):
    return AnomalyInputs(inputs.latent[index], inputs.recon_error[index], inputs.proba[index])


def test_all_components_with_inputs_are_used(full):
    assert full.component_names == COMPONENTS


def test_all_components_together_keep_the_false_alarm_rate(full):
    X, _, inputs = with_inputs(22, 4000)
    for phase in (1.0, 100.0, np.nan):
        score = full.score(X, np.full(4000, phase), inputs)
        for level in (0.5, 0.9, 0.95, 0.99):
            assert (score > level).mean() == pytest.approx(1.0 - level, abs=0.035)


@pytest.mark.parametrize("component", ["latent", "recon_error", "proba", "rows"])
def test_each_component_raises_the_score(full, component):
    X, _, inputs = with_inputs(23, 300)
    before = full.score(X, None, inputs)
    latent, error, proba = inputs.latent.copy(), inputs.recon_error.copy(), inputs.proba.copy()
    if component == "latent":
        latent[:] = 20.0
    elif component == "recon_error":
        error += 50.0
    elif component == "proba":
        proba[:] = 1.0 / 3.0
    else:
        X = X + np.float32(30.0)
    after = full.score(X, None, AnomalyInputs(latent, error, proba))
    assert (after > before).mean() > 0.95


def test_all_components_have_the_same_bits_alone_and_in_any_batch(full):
    X, _, inputs = with_inputs(24, 70)
    phase = np.random.default_rng(0).choice([0.5, 5.0, 200.0, np.nan], 70)
    whole = full.score(X, phase, inputs)
    for size in (1, 3, 8, 13):
        batches = np.split(np.arange(70), range(size, 70, size))
        parts = [full.score(X[rows], phase[rows], some(inputs, rows)) for rows in batches]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_all_components_saved_and_loaded_give_the_same_bits(full, folder):
    full.save(folder)
    X, _, inputs = with_inputs(25, 200)
    loaded = AnomalyScorer.load(folder)
    assert loaded.component_names == full.component_names
    phase = np.linspace(-1.0, 300.0, 200)
    np.testing.assert_array_equal(loaded.score(X, phase, inputs), full.score(X, phase, inputs))


def test_a_score_of_format_one_is_the_distance_alone(scorer, folder):
    scorer.save(folder)
    state = read_json(folder / "anomaly.json")
    write_state(folder / "anomaly.json", {k: state[k] for k in ("n_features", "phase_edges")})
    X, _, inputs = with_inputs(26, 50)
    np.testing.assert_array_equal(AnomalyScorer.load(folder).score(X, None, inputs), scorer.score(X))


def test_a_component_without_weight_needs_no_input():
    X, labels, inputs = with_inputs(27, 400)
    config = AnomalyConfig(isolation_weight=0.0, doubt_weight=0.0)
    scorer = AnomalyScorer(config).fit(X, labels, X, inputs=inputs, validation_inputs=inputs)
    assert scorer.component_names == ("distance", "error")
    assert np.isfinite(scorer.score(X, None, AnomalyInputs(recon_error=inputs.recon_error))).all()


def test_an_input_that_is_missing_or_does_not_fit_is_an_error(full):
    X, labels, inputs = with_inputs(28, 40)
    with pytest.raises(DataError, match="fitted with latent"):
        full.score(X)
    with pytest.raises(DataError, match="recon_error"):
        full.score(X, None, AnomalyInputs(inputs.latent, inputs.recon_error[:-1], inputs.proba))
    with pytest.raises(DataError, match="features"):
        full.score(X, None, AnomalyInputs(inputs.latent[:, :2], inputs.recon_error, inputs.proba))
    with pytest.raises(DataError, match="none may be negative"):
        AnomalyScorer(AnomalyConfig(error_weight=-1.0)).fit(X, labels, X)


def test_infinite_inputs_have_a_finite_score(full):
    X, _, inputs = with_inputs(29, 4)
    latent, error = inputs.latent.copy(), inputs.recon_error.copy()
    latent[0], latent[1], latent[2], error[3] = np.nan, np.inf, -np.inf, np.inf
    assert np.isfinite(full.score(X, None, AnomalyInputs(latent, error, inputs.proba))).all()


def test_damaged_scales_are_a_bundle_error(full, folder):
    full.save(folder)
    arrays = read_arrays(folder / "anomaly.safetensors.gz")
    damages = {
        "scale_first": arrays["scale_first"] + 1,
        "weight": arrays["weight"][:-1],
        "part_knots": arrays["part_knots"][:, :, :-1],
        "whiten": arrays["whiten"][:, :-1],
        "isolation.unit": arrays["isolation.unit"][:-1],
        "isolation.nodes": arrays["isolation.nodes"] | 0xFFFF,
    }
    for name, value in damages.items():
        write_arrays(folder / "anomaly.safetensors.gz", arrays | {name: value})
        with pytest.raises(BundleError, match=r"again|anew|damaged"):
            AnomalyScorer.load(folder)
    del arrays["isolation.unit"]
    write_arrays(folder / "anomaly.safetensors.gz", arrays)
    with pytest.raises(BundleError, match="unit"):
        AnomalyScorer.load(folder)


def test_arrays_that_older_versions_wrote_without_compression_are_read(full, folder):
    full.save(folder)
    arrays = read_arrays(folder / "anomaly.safetensors.gz")
    write_arrays(folder / "anomaly.safetensors", arrays)
    (folder / "anomaly.safetensors.gz").unlink()
    X, _, inputs = with_inputs(22, 50)
    np.testing.assert_array_equal(
        AnomalyScorer.load(folder).score(X, None, inputs), full.score(X, None, inputs)
    )
