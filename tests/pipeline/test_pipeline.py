"""The whole pipeline, trained small on the real sample: laws and habits, not skill."""

import json
from pathlib import Path

import numpy as np
import pytest

from firstlight.errors import BundleError, DataError, NotFittedError
from firstlight.lightcurves import LightCurves
from firstlight.pipeline import Pipeline, load_preset
from firstlight.predictions import Predictions
from firstlight.splits import validation_part
from firstlight.taxonomy import CLASSES

TINY = str(Path(__file__).parents[1] / "tiny.toml")


TINY_EPOCHS = load_preset(TINY).encoder.train.epochs


@pytest.fixture(scope="module")
def trained(sample, sample_labels) -> Pipeline:
    pytest.importorskip("torch")
    return Pipeline(load_preset(TINY)).fit(sample, sample_labels, seed=1, jobs=1)


@pytest.fixture(scope="module")
def predictions(trained, sample) -> Predictions:
    return trained.predict(sample, jobs=1)


# --- predictions -----------------------------------------------------------------


def test_predictions_cover_every_object_and_every_class(predictions, sample):
    assert predictions.object_id.tolist() == sample.object_id.tolist()
    assert predictions.proba.shape == (len(sample), len(CLASSES))
    np.testing.assert_allclose(predictions.proba.sum(axis=1), 1.0, atol=1e-9)


def test_probabilities_alone_are_those_of_the_predictions(trained, predictions, sample):
    np.testing.assert_array_equal(trained.predict_proba(sample, jobs=1), predictions.proba)


def test_the_inputs_are_the_rows_that_the_classifier_reads(trained, predictions, sample):
    X = trained.inputs(sample)
    assert X.shape == (len(sample), len(trained.input_names))
    np.testing.assert_array_equal(X[:, : trained.latents(sample).shape[1]], trained.latents(sample))
    raw = trained._classifier.predict_proba(X, redshift=sample.redshift)
    leader = np.array(trained.classes)[raw.argmax(axis=1)]
    classified = predictions.status == "classified"
    assert (leader == predictions.label)[classified].mean() > 0.9  # calibration moves few of them


def test_a_pipeline_that_learnt_nothing_has_no_inputs(sample):
    with pytest.raises(NotFittedError):
        Pipeline(load_preset(TINY)).inputs(sample)


def test_even_the_tiny_pipeline_beats_guessing_on_its_own_training_objects(predictions, sample_labels):
    assert (predictions.label == sample_labels).mean() > 0.5


def test_classes_without_training_objects_get_no_probability(trained, predictions):
    untrained = [k for k, name in enumerate(CLASSES) if name not in trained.classes]
    assert untrained
    assert predictions.proba[:, untrained].max() == 0.0


def test_an_object_alone_gets_the_answer_it_gets_in_a_batch(trained, predictions, sample):
    for i in (0, 57, 140):
        alone = trained.predict(sample.take([i]), jobs=1)
        np.testing.assert_allclose(alone.proba[0], predictions.proba[i], atol=1e-6)


def test_one_light_curve_many_and_tables_get_the_answer_of_light_curves(trained, predictions, sample):
    one = sample.object_id[5]
    np.testing.assert_array_equal(trained.predict(sample[one], jobs=1).proba, predictions[one].proba)
    some = sample.take([3, 1])
    for given in (list(some), some.to_pandas(), some.to_astropy(), some.to_arrow()):
        np.testing.assert_array_equal(trained.predict(given, jobs=1).proba, predictions.take([3, 1]).proba)


def test_threads_do_not_change_the_answer(trained, predictions, sample, monkeypatch):
    monkeypatch.setattr("firstlight.pipeline.inputs.CHUNK", 32)
    np.testing.assert_allclose(trained.predict(sample, jobs=2).proba, predictions.proba, atol=1e-6)


def test_the_answer_at_a_phase_does_not_depend_on_later_observations(trained, sample):
    cut = sample.upto_phase(10.0)
    later = np.repeat(sample.trigger_mjd + 10.0, sample.n_obs)
    flux = np.where(sample.mjd > later, np.float32(1e6), sample.flux)
    spoilt = sample.with_columns(flux=flux.astype(np.float32))
    np.testing.assert_array_equal(
        trained.predict(cut, jobs=1).proba, trained.predict(spoilt.upto_phase(10.0), jobs=1).proba
    )


def test_one_bundle_answers_with_and_without_a_redshift(trained, predictions, sample):
    blind = trained.predict(sample.with_redshift("none"), jobs=1)
    np.testing.assert_allclose(blind.proba.sum(axis=1), 1.0, atol=1e-9)
    assert np.abs(blind.proba - predictions.proba).max() > 0.01


def test_the_spectroscopic_redshift_is_not_read_in_photo_mode(trained, predictions, sample):
    other = sample.with_columns(redshift_spec=np.full(len(sample), 0.7, np.float32))
    np.testing.assert_array_equal(trained.predict(other, jobs=1).proba, predictions.proba)


def test_position_on_the_sky_enters_through_galactic_latitude_alone(trained, predictions, sample):
    """Names carry no information: a renamed object gets the same answer."""
    renamed = sample.with_columns(object_id=np.array([f"x{i}" for i in range(len(sample))]))
    np.testing.assert_array_equal(trained.predict(renamed, jobs=1).proba, predictions.proba)


def test_too_little_data_is_not_classified_and_shows_the_prior(trained, sample):
    first = sample.keep(np.isin(np.arange(sample.offsets[-1]), sample.offsets[:-1]))
    predictions = trained.predict(first, jobs=1)
    assert (predictions.status == "not_classified").all()
    assert (predictions.label == "").all()
    assert (predictions.reason != "").all()
    assert np.ptp(predictions.proba, axis=0).max() == 0.0
    assert predictions.proba[0].max() < 0.5


def test_an_object_without_observations_is_not_classified(trained, sample):
    empty = sample.take([0, 1]).keep(np.zeros(sample.n_obs[:2].sum(), bool))
    predictions = trained.predict(empty, jobs=1)
    assert predictions.reason.tolist() == ["no_observations"] * 2


def test_no_objects_at_all_give_an_empty_table(trained, sample):
    assert len(trained.predict(sample.take([]), jobs=1)) == 0


def test_flat_noise_is_not_called_a_transient(trained):
    rng = np.random.default_rng(0)
    n = 40
    noise = LightCurves(
        object_id=np.array(["flat"]),
        offsets=np.array([0, n]),
        mjd=np.sort(rng.uniform(60000.0, 60100.0, n)),
        band=rng.integers(0, 6, n),
        flux=rng.normal(0.0, 10.0, n).astype(np.float32),
        flux_err=np.full(n, 10.0, np.float32),
        dereddened=True,
    )
    predictions = trained.predict(noise, jobs=1)
    assert predictions.status[0] == "not_classified"


def test_anomaly_scores_lie_between_0_and_1(predictions):
    finite = predictions.anomaly[predictions.is_classified]
    assert np.all((finite >= 0.0) & (finite <= 1.0))


# --- training --------------------------------------------------------------------


def test_labels_of_unknown_and_of_rare_classes_are_left_out_and_counted(sample, sample_labels):
    pytest.importorskip("torch")
    labels = sample_labels.astype("U16")
    labels[:5] = "muLens-Binary"
    few = np.flatnonzero(labels == "KN")
    labels[few[2:]] = "SNIa"
    pipeline = Pipeline(load_preset(TINY)).fit(sample, labels, seed=0, jobs=1)
    assert pipeline.info["left_out"] == {"KN": 2, "muLens-Binary": 5}
    assert "KN" not in pipeline.classes


def test_one_class_is_not_enough_to_learn_from(sample):
    with pytest.raises(DataError, match="two classes or more"):
        Pipeline(load_preset(TINY)).fit(sample, np.full(len(sample), "SNIa"))


def test_labels_must_match_the_light_curves(sample):
    with pytest.raises(DataError, match="light curves but 3 labels"):
        Pipeline(load_preset(TINY)).fit(sample, np.array(["SNIa"] * 3))


def test_a_pipeline_without_training_is_an_error_that_names_fit(sample):
    with pytest.raises(NotFittedError, match="call fit, or"):
        Pipeline(load_preset(TINY)).predict(sample)
    with pytest.raises(NotFittedError):
        Pipeline(load_preset(TINY)).save(Path("nowhere"))


def test_a_pipeline_without_training_has_a_repr():
    assert repr(Pipeline(load_preset("seed"))).splitlines()[1:] == [
        "  bundle: not saved",
        "  preset: seed",
        "  trained on: nothing yet",
    ]


def test_a_pipeline_trained_blind_stays_blind(sample, sample_labels):
    pytest.importorskip("torch")
    blind = Pipeline(load_preset(TINY)).fit(sample, sample_labels, redshift="none", seed=0, jobs=1)
    shown, hidden = blind.predict(sample, jobs=1), blind.predict(sample.with_redshift("none"), jobs=1)
    np.testing.assert_array_equal(shown.proba, hidden.proba)


def test_the_same_seed_gives_the_same_bundle_byte_for_byte(trained, sample, sample_labels, tmp_path):
    again = Pipeline(load_preset(TINY)).fit(sample, sample_labels, seed=1, jobs=1)
    for pipeline, name in ((trained, "a"), (again, "b")):
        pipeline.save(tmp_path / name)
    assert Pipeline.load(tmp_path / "a").bundle_version == Pipeline.load(tmp_path / "b").bundle_version
    np.testing.assert_array_equal(again.predict(sample, jobs=1).proba, trained.predict(sample, jobs=1).proba)


# --- bundles ---------------------------------------------------------------------


def test_a_loaded_bundle_gives_the_same_numbers(trained, predictions, sample, tmp_path):
    trained.save(tmp_path / "bundle")
    loaded = Pipeline.load(tmp_path / "bundle")
    np.testing.assert_allclose(loaded.predict(sample, jobs=1).proba, predictions.proba, atol=1e-9)
    assert loaded.info["n_objects"] == len(sample)
    assert loaded.config == trained.config


def test_a_bundle_holds_no_pickle(trained, tmp_path):
    trained.save(tmp_path / "bundle")
    suffixes = {"".join(path.suffixes) for path in (tmp_path / "bundle").rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".safetensors", ".safetensors.gz", ".onnx", ".txt.gz", ".csv"}


def test_a_bundle_shows_how_its_encoder_was_trained(trained, tmp_path):
    trained.save(tmp_path / "bundle")
    lines = (tmp_path / "bundle" / "training.csv").read_text().splitlines()
    assert len(lines) == 1 + TINY_EPOCHS
    assert lines[0].startswith("epoch")


def test_a_bundle_knows_which_objects_it_was_trained_on(trained, sample, tmp_path):
    trained.save(tmp_path / "bundle")
    loaded = Pipeline.load(tmp_path / "bundle")
    assert loaded.trained_on(sample.object_id).all()
    assert not loaded.trained_on(np.array(["new-1", "new-2"])).any()


def test_a_changed_byte_in_a_bundle_is_refused(trained, tmp_path):
    trained.save(tmp_path / "bundle")
    state = tmp_path / "bundle" / "pipeline.json"
    state.write_text(state.read_text().replace("prior", "prlor"))
    with pytest.raises(BundleError, match=r"pipeline\.json"):
        Pipeline.load(tmp_path / "bundle")


def test_a_bundle_of_another_kind_is_refused(tmp_path):
    from firstlight.pipeline.bundle import write_bundle

    write_bundle(
        tmp_path / "b", "something-else", {}, lambda folder: (folder / "x.json").write_text(json.dumps({}))
    )
    with pytest.raises(BundleError, match="something-else"):
        Pipeline.load(tmp_path / "b")


def test_no_column_has_the_name_of_another(tiny_default, tiny_fast, tiny_nights):
    for pipeline in (tiny_default, tiny_fast, tiny_nights):
        assert len(set(pipeline.input_names)) == len(pipeline.input_names)


def test_a_preset_with_simulated_objects_says_so_and_knows_real_objects_alone(
    sample, sample_labels, tmp_path
):
    pytest.importorskip("torch")
    preset = tmp_path / "tdes.toml"
    text = Path(TINY).with_name("tiny_fast.toml").read_text()
    added = "[reobserve.surveys]\nztf = 1.0\n\n[simulated]\nviews = 2\n\n[simulated.classes]\nTDE = 1.0\n"
    preset.write_text(text.replace("[copies]", "[copies]\nreobserved = 1") + "\n" + added)
    made = Pipeline(load_preset(str(preset))).fit(sample, sample_labels, seed=2, jobs=1)
    made.save(tmp_path / "bundle")
    loaded = Pipeline.load(tmp_path / "bundle")
    held_out = validation_part(sample.object_id, sample_labels, made.config.copies.validation_fraction)
    assert loaded.info["simulated"] == {"TDE": int(((sample_labels == "TDE") & ~held_out).sum())}
    assert loaded.info["n_objects"] <= len(sample)
    assert not loaded.trained_on(np.array(["sim-TDE-000000"])).any()
    assert not any(name.startswith("sim-") for name in loaded._kept.curves.object_id.tolist())
    assert np.isfinite(loaded.predict_proba(sample.take(np.arange(20)))).all()
