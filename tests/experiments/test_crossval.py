"""Cross-validation and hold-out of whole pipelines: separation of objects, and kept files."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import draw_nothing

from firstlight.data import Truth
from firstlight.errors import DataError, LeakageError
from firstlight.experiments.crossval import evaluate_predictions, run_crossval, run_holdout
from firstlight.experiments.fold import predict_phases
from firstlight.lightcurves import LightCurves
from firstlight.metrics import PHASES, phase_name
from firstlight.pipeline import Pipeline, load_preset

TINY = load_preset(str(Path(__file__).parents[1] / "tiny_fast.toml"))

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("undrawn")


class Spy:
    """Stands in for `Pipeline`: remembers who trained and who was tested."""

    def __init__(self) -> None:
        self.trained: list[set[str]] = []
        self.held_out: list[set[str]] = []
        self.tested: list[set[str]] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        spy, fit, predict = self, Pipeline.fit, Pipeline.predict

        def spied_fit(pipeline, curves, labels, **rest):
            spy.trained.append(set(curves.object_id.tolist()))
            spy.held_out.append(set(curves.object_id[rest["held_out"]].tolist()))
            return fit(pipeline, curves, labels, **rest)

        def spied_predict(pipeline, curves, **rest):
            spy.tested.append(set(curves.object_id.tolist()))
            return predict(pipeline, curves, **rest)

        monkeypatch.setattr(Pipeline, "fit", spied_fit)
        monkeypatch.setattr(Pipeline, "predict", spied_predict)


class TrainedAgainError(Exception):
    """Raised where a training starts."""


def _stop(*args, **rest):
    raise TrainedAgainError


@pytest.fixture(scope="module")
def crossval(sample, sample_labels, tmp_path_factory):
    """Two tiny folds, and who was on which side."""
    out = tmp_path_factory.mktemp("crossval")
    spy = Spy()
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        spy.install(patch)
        summary = run_crossval(sample, sample_labels, TINY, out, n_folds=2, seed=5)
    return summary, spy, out


def test_no_fold_tests_an_object_it_trained_on(crossval):
    _, spy, _ = crossval
    per_fold = len(PHASES)
    for k, trained in enumerate(spy.trained):
        for tested in spy.tested[k * per_fold : (k + 1) * per_fold]:
            assert not trained & tested


def test_every_object_is_tested_exactly_once(crossval, sample):
    _, spy, _ = crossval
    n_folds = len(spy.trained)
    tested = [name for part in spy.tested[: n_folds * len(PHASES) : len(PHASES)] for name in part]
    assert sorted(tested) == sorted(sample.object_id.tolist())


def test_calibration_and_early_stopping_use_training_objects_only(crossval):
    _, spy, _ = crossval
    for trained, held_out in zip(spy.trained, spy.held_out, strict=True):
        assert held_out
        assert held_out < trained


def test_the_summary_holds_the_promised_scores(crossval, sample):
    summary, _, out = crossval
    assert summary["n_objects"] == len(sample)
    assert list(summary["by_phase"]) == [phase_name(days) for days in PHASES]
    assert "2-fold" in summary["protocol"]
    assert json.loads((out / "metrics.json").read_text())["accuracy"] == summary["accuracy"]
    assert (out / "report.html").exists()


def test_a_finished_fold_is_not_trained_again(crossval, sample, sample_labels, monkeypatch):
    summary, _, out = crossval
    monkeypatch.setattr(Pipeline, "fit", lambda *a, **k: pytest.fail("trained again"))
    again = run_crossval(sample, sample_labels, TINY, out, n_folds=2, seed=5)
    assert again["accuracy"] == summary["accuracy"]


def test_another_seed_trains_again(crossval, sample, sample_labels, monkeypatch):
    monkeypatch.setattr(Pipeline, "fit", _stop)
    with pytest.raises(TrainedAgainError):
        run_crossval(sample, sample_labels, TINY, crossval[2], n_folds=2, seed=6)


def test_other_labels_train_again(crossval, sample, sample_labels, monkeypatch):
    """A finished fold must not be scored against labels that it was not trained on."""
    shuffled = np.roll(sample_labels, 1)
    monkeypatch.setattr(Pipeline, "fit", _stop)
    with pytest.raises(TrainedAgainError):
        run_crossval(sample, shuffled, TINY, crossval[2], n_folds=2, seed=5)


def test_other_code_trains_again(crossval, sample, sample_labels, monkeypatch):
    monkeypatch.setattr("firstlight.experiments.fold.code_digest", lambda: "changed")
    monkeypatch.setattr(Pipeline, "fit", _stop)
    with pytest.raises(TrainedAgainError):
        run_crossval(sample, sample_labels, TINY, crossval[2], n_folds=2, seed=5)


@pytest.mark.slow
def test_folds_in_processes_give_the_same_numbers(crossval, sample, sample_labels, tmp_path):
    side_by_side = run_crossval(sample, sample_labels, TINY, tmp_path, n_folds=2, seed=5, jobs=2)
    np.testing.assert_allclose(side_by_side["accuracy"]["folds"], crossval[0]["accuracy"]["folds"])
    np.testing.assert_allclose(side_by_side["log_loss"]["folds"], crossval[0]["log_loss"]["folds"], rtol=1e-4)


def test_an_object_under_two_names_on_both_sides_is_caught(sample, sample_labels, tmp_path):
    """A planted fault: every object a second time, renamed, so that folds share light curves."""
    renamed = np.char.add("copy-", sample.object_id)
    doubled = LightCurves.concatenate([sample, sample.with_columns(object_id=renamed)])
    with pytest.raises(LeakageError, match="copy-"):
        run_crossval(doubled, np.tile(sample_labels, 2), TINY, tmp_path, n_folds=2)


def test_holdout_tests_the_fixed_fifth(sample, sample_labels, tmp_path):
    summary = run_holdout(sample, sample_labels, TINY, tmp_path, jobs=1)
    assert 0.1 * len(sample) < summary["n_objects"] < 0.3 * len(sample)
    assert "fixed split" in summary["protocol"]
    assert (tmp_path / "bundle" / "manifest.json").exists()
    assert (tmp_path / "report.html").exists()


def test_evaluating_without_the_light_curve_of_an_object_names_it(crossval, sample, sample_labels, tmp_path):
    bundle = crossval[2] / "fold-1" / "bundle"
    predictions = Pipeline.load(bundle).predict(sample, jobs=1)
    truth = Truth(sample.object_id, sample_labels)
    with pytest.raises(DataError, match=f"1 predicted object.*{sample.object_id[0]}"):
        evaluate_predictions(
            predictions, truth, tmp_path, curves=sample.take(np.arange(1, 202)), bundle=bundle
        )


def test_evaluating_with_the_bundle_counts_its_training_objects(crossval, sample, sample_labels, tmp_path):
    bundle = crossval[2] / "fold-1" / "bundle"
    predictions = Pipeline.load(bundle).predict(sample, jobs=1)
    summary = evaluate_predictions(
        predictions, Truth(sample.object_id, sample_labels), tmp_path, bundle=bundle
    )
    n_trained = Pipeline.load(bundle).info["n_objects"]
    assert f"the bundle was trained on {n_trained} of them" in summary["protocol"]
    assert "how well it remembers" in summary["warnings"][0]


def test_phases_are_reported_in_order_and_progress_reaches_one(crossval, sample):
    seen: list[float] = []
    pipeline = Pipeline.load(crossval[2] / "fold-1" / "bundle")
    predictions = predict_phases(
        pipeline,
        sample.take([0, 1]),
        phases=(0.0, 8.0, np.inf),
        progress=lambda stage, done: seen.append(done),
    )
    assert list(predictions) == ["0", "8", "all"]
    assert seen[-1] == 1.0
    assert (predictions["0"].n_obs <= predictions["8"].n_obs).all()


def test_objects_of_no_class_are_left_out_and_counted_before_anything_is_trained(
    sample, sample_labels, tmp_path, monkeypatch
):
    from firstlight.experiments import crossval

    seen = []
    monkeypatch.setattr(crossval, "run_fold", lambda task, progress: seen.append(task) or _stop())
    labels = sample_labels.copy()
    labels[:3] = ["muLens-Binary", "nova", "nova"]
    for run in (run_crossval, run_holdout):
        with pytest.raises(TrainedAgainError):
            run(sample, labels, TINY, tmp_path)
        assert seen[-1].curves.object_id.tolist() == sample.object_id[3:].tolist()
    _, _, notes = crossval._of_known_classes(sample, labels, None)
    assert notes == (
        "3 object(s) of classes that cannot be predicted were left out (muLens-Binary 1, nova 2).",
    )


def test_a_copy_in_a_later_fold_is_refused_before_the_first_is_trained(
    sample, sample_labels, tmp_path, monkeypatch
):
    monkeypatch.setattr(Pipeline, "fit", _stop)
    names = np.array([f"copy of {name}" for name in sample.object_id[:4]])
    copies = LightCurves(**(sample[:4]._columns() | {"object_id": names}), dereddened=sample.dereddened)
    both = LightCurves.concatenate([sample, copies])
    with pytest.raises(LeakageError, match="copy of"):
        run_crossval(both, np.append(sample_labels, sample_labels[:4]), TINY, tmp_path, n_folds=5)


def test_too_few_objects_for_the_fixed_split_are_refused(sample, sample_labels, tmp_path):
    with pytest.raises(DataError, match="3 objects split by the hash"):
        run_holdout(sample[:3], sample_labels[:3], TINY, tmp_path)


def test_a_class_that_some_fold_could_not_learn_is_named():
    from types import SimpleNamespace

    from firstlight.experiments.crossval import _unlearnt

    folds = [
        SimpleNamespace(info={"left_out": {"TDE": 1, "KN": 2}}),
        SimpleNamespace(info={"left_out": {"TDE": 2}}),
    ]
    kn, tde = _unlearnt(folds)
    assert kn.startswith("KN: too few objects to learn in 1 of 2")
    assert tde.startswith("TDE: too few objects to learn in 2 of 2")


def test_light_curves_that_are_missing_for_the_report_are_counted(sample, sample_labels, tmp_path):
    predictions = Pipeline.load("fast").predict(sample, jobs=1)
    truth = Truth(sample.object_id, sample_labels)
    scores = evaluate_predictions(predictions, truth, tmp_path, curves=sample[:-7])
    assert "7 of these objects have no light curve in the data." in scores["warnings"]
