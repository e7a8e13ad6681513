"""Copies of training objects: their content, and that no object's copies weigh more than another's."""

from dataclasses import replace

import numpy as np
import pytest

from firstlight.bands import EXTINCTION_PER_EBV
from firstlight.classify import ClassifierConfig, LightGBMConfig, TrainingRows, make_classifier
from firstlight.errors import DataError, LeakageError, SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.pipeline import PipelineConfig
from firstlight.pipeline.config import CopiesConfig
from firstlight.pipeline.training import (
    _answered,
    out_of_fold,
    training_copies,
    training_objects,
    usable_objects,
    with_simulated,
)
from firstlight.preprocess import deredden
from firstlight.reobserve import ReobserveConfig, SimulatedConfig, is_simulated


def config(reobserve: ReobserveConfig | None = None, **copies: float) -> PipelineConfig:
    return replace(PipelineConfig(), copies=CopiesConfig(**copies), reobserve=reobserve or ReobserveConfig())


def test_every_object_has_each_copy_and_all_share_one_weight(sample, sample_labels):
    part, labels = sample.take(np.arange(20)), sample_labels[:20]
    settings = config(truncations=2, augmented=1, hidden_redshift=0.5, whole_weight=3.0)
    copies = training_copies(part, labels, settings, np.random.default_rng(0))
    assert len(copies.curves) == 20 * (1 + 2 + 1 + 1)
    assert copies.labels.tolist() == labels.tolist() * 5
    sums = [copies.weight[copies.curves.object_id == name].sum() for name in part.object_id]
    np.testing.assert_allclose(sums, sums[0])


def test_whole_curves_come_first_and_keep_their_redshift(sample, sample_labels):
    part = sample.take(np.arange(20))
    copies = training_copies(part, sample_labels[:20], config(hidden_redshift=1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(copies.curves.redshift[:20], part.redshift)
    assert np.isnan(copies.curves.redshift[20:]).all()


def test_copies_that_would_not_be_classified_are_left_out(sample, sample_labels):
    n = len(sample)
    copies = training_copies(sample, sample_labels, config(truncations=5), np.random.default_rng(0))
    verdict = replace(PipelineConfig().verdict, min_obs=int(np.median(copies.curves.n_obs)))
    kept = _answered(copies, n, verdict)
    assert kept.curves.object_id[:n].tolist() == sample.object_id.tolist()
    assert (kept.curves.n_obs[n:] >= verdict.min_obs).all()
    assert n < len(kept.curves) == len(kept.labels) == len(kept.weight) < len(copies.curves)


def test_some_copies_lack_their_position_and_keep_the_rest(sample, sample_labels):
    settings = config(truncations=3, augmented=0, hidden_redshift=0.0)
    copies = training_copies(sample, sample_labels, settings, np.random.default_rng(0)).curves
    lacking = np.isnan(copies.ra)
    assert not lacking[: len(sample)].any()
    assert 0.0 < lacking[len(sample) :].mean() < 0.3
    np.testing.assert_array_equal(lacking, np.isnan(copies.dec))
    np.testing.assert_array_equal(copies.ebv, np.tile(sample.ebv, 4))


def test_without_hiding_no_copy_loses_its_redshift(sample, sample_labels):
    settings = config(truncations=1, augmented=0, hidden_redshift=0.0)
    copies = training_copies(sample, sample_labels, settings, np.random.default_rng(0))
    assert len(copies.curves) == 2 * len(sample)
    assert np.isfinite(copies.curves.redshift).all()


def test_the_same_seed_makes_the_same_copies(sample, sample_labels):
    part, labels = sample.take(np.arange(20)), sample_labels[:20]
    once, again = (training_copies(part, labels, config(), np.random.default_rng(4)) for _ in range(2))
    assert once.curves.fingerprint == again.curves.fingerprint


def test_classes_too_rare_to_learn_are_left_out(sample):
    labels = np.full(len(sample), "SNIa", dtype="U16")
    labels[:5], labels[5:7], labels[7] = "SNII", "KN", "Nova"
    usable, left_out = usable_objects(sample, labels)
    assert left_out == {"KN": 2, "Nova": 1}
    assert usable.sum() == len(sample) - 3


def test_one_class_is_nothing_to_learn(sample):
    with pytest.raises(DataError, match="two classes"):
        usable_objects(sample, np.full(len(sample), "SNIa"))


def test_reobserved_and_mistaken_copies_share_the_weight_of_their_object(sample, sample_labels):
    part, labels = sample.take(np.arange(20)), sample_labels[:20]
    settings = config(
        ReobserveConfig(surveys={"ztf": 1.0}),
        truncations=1, augmented=0, reobserved=2, wrong_redshift=0.3, artefacts=0.3,
    )  # fmt: skip
    copies = training_copies(part, labels, settings, np.random.default_rng(0))
    assert len(copies.curves) == 20 * (1 + 1 + 2 + 1)
    assert copies.labels.tolist() == labels.tolist() * 5
    sums = [copies.weight[copies.curves.object_id == name].sum() for name in part.object_id]
    np.testing.assert_allclose(sums, sums[0])
    np.testing.assert_array_equal(copies.curves.redshift[:20], part.redshift)


def test_copies_of_light_behind_dust_are_those_of_the_light_without_it(sample, sample_labels):
    config = PipelineConfig(
        copies=CopiesConfig(truncations=0, augmented=0, reobserved=2, artefacts=0.0),
        reobserve=ReobserveConfig(surveys={"ztf": 1.0}),
    )
    dusty = sample.with_columns(ebv=np.full(len(sample), 0.5))
    factor = 10.0 ** (-0.4 * 0.5 * np.array(EXTINCTION_PER_EBV))[dusty.band]
    dusty = replace(dusty, flux=dusty.flux * factor, flux_err=dusty.flux_err * factor, dereddened=False)
    clear, behind = (
        training_copies(curves, sample_labels, config, np.random.default_rng(2)).curves
        for curves in (deredden(dusty), dusty)
    )
    np.testing.assert_array_equal(clear.flux, behind.flux)
    assert behind.dereddened


def test_reobserved_copies_without_a_survey_are_refused():
    with pytest.raises(SettingsError, match="survey"):
        config(reobserved=1)


def test_a_row_out_of_fold_is_classified_by_trees_that_have_not_seen_its_object():
    rng = np.random.default_rng(0)
    n, copies = 300, 4
    labels = np.array(["SNIa", "SNII", "KN"])[rng.choice(3, n, p=[0.5, 0.4, 0.1])]
    mark = rng.normal(0.0, 1.0, (n, 6))  # tells objects apart, and nothing about classes
    X = np.tile(mark, (copies, 1)) + rng.normal(0.0, 1e-3, (copies * n, 6))
    rows = TrainingRows(X, np.tile(labels, copies), object_id=np.tile(np.arange(n), copies))
    held = TrainingRows(X[:3], ["SNIa", "SNII", "KN"], object_id=np.arange(3) + n)
    settings = ClassifierConfig(kind="lightgbm", lightgbm=LightGBMConfig(rounds=60))
    classes = ("SNIa", "SNII", "KN")
    proba = out_of_fold(rows, held, settings, classes, 3)
    code = np.array([classes.index(name) for name in rows.labels])
    right = (proba.argmax(axis=1) == code).mean()
    seen = make_classifier(settings).fit(rows, held).predict_proba(rows.X).argmax(axis=1) == code
    assert seen.mean() > 0.95
    assert right < 0.6
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)


def test_each_class_is_spread_over_the_folds_and_a_class_that_a_fold_lacks_gets_nothing():
    X = np.arange(20.0)[:, None]
    labels = np.array(["SNIa"] * 12 + ["SNII"] * 7 + ["KN"])
    rows = TrainingRows(X, labels, object_id=np.arange(20))
    settings = ClassifierConfig(kind="lightgbm", lightgbm=LightGBMConfig(rounds=2, min_data_in_leaf=1))
    proba = out_of_fold(rows, TrainingRows(X[:1], ["SNIa"]), settings, ("SNIa", "SNII", "KN"), 2)
    assert proba[19, 2] == 0.0
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)


@pytest.mark.parametrize(
    ("held_out", "kind", "message"),
    [
        (lambda n: np.zeros(n, bool), DataError, "0 of 202 objects are held out"),
        (lambda n: np.ones(n, bool), DataError, "202 of 202 objects are held out"),
        (lambda n: np.zeros(n - 1, bool), DataError, "a bool for each of the 202"),
        (lambda n: np.arange(n), DataError, "held_out is int64"),
    ],
)
def test_a_held_out_part_that_is_none_is_refused(sample, sample_labels, held_out, kind, message):
    with pytest.raises(kind, match=message):
        training_objects(sample, sample_labels, config(), held_out=held_out(len(sample)))


def test_copies_on_both_sides_of_the_held_out_part_are_refused(sample, sample_labels):
    names = np.array([f"copy of {name}" for name in sample.object_id[:5].tolist()])
    copies = LightCurves(**(sample[:5]._columns() | {"object_id": names}), dereddened=sample.dereddened)
    both = LightCurves.concatenate([sample, copies])
    held_out = np.arange(len(both)) >= len(sample)
    with pytest.raises(LeakageError, match="5 pair"):
        training_objects(both, np.append(sample_labels, sample_labels[:5]), config(), held_out=held_out)


# --- simulated objects ------------------------------------------------------------


@pytest.fixture(scope="module")
def with_tdes(sample, sample_labels):
    settings = replace(
        config(ReobserveConfig(surveys={"ztf": 1.0}), truncations=1, augmented=0, reobserved=1),
        simulated=SimulatedConfig(classes={"TDE": 1.0, "SLSN-I": 0.5}, views=2),
    )
    plain = training_copies(sample, sample_labels, settings, np.random.default_rng(0))
    joined = with_simulated(plain, sample, sample_labels, settings, np.random.default_rng(1))
    return plain, joined


def test_simulated_objects_change_the_weight_of_no_class(with_tdes):
    plain, joined = with_tdes
    for name in np.unique(plain.labels):
        before, after = (copies.weight[copies.labels == name].sum() for copies in with_tdes)
        assert after == pytest.approx(before), name
    assert (joined.weight >= 0.0).all()


def test_simulated_objects_stand_behind_the_copies_and_leave_them_as_they_are(with_tdes):
    plain, joined = with_tdes
    n = len(plain.labels)
    assert joined.curves.take(np.arange(n)).fingerprint == plain.curves.fingerprint
    assert is_simulated(joined.curves.object_id).tolist() == [False] * n + [True] * (len(joined.labels) - n)
    other = ~np.isin(plain.labels, ["TDE", "SLSN-I"])
    np.testing.assert_array_equal(joined.weight[:n][other], plain.weight[other])


def test_there_are_as_many_simulated_objects_as_the_preset_says(with_tdes, sample_labels):
    joined = with_tdes[1]
    chosen = is_simulated(joined.curves.object_id)
    for name, ratio in (("TDE", 1.0), ("SLSN-I", 0.5)):
        own = joined.curves.object_id[chosen & (joined.labels == name)]
        assert len(np.unique(own)) == round(ratio * (sample_labels == name).sum())
        assert len(own) == 2 * len(np.unique(own))


def test_without_both_redshifts_a_training_has_no_simulated_objects_and_says_so(
    sample, sample_labels, caplog
):
    settings = replace(
        config(ReobserveConfig(surveys={"ztf": 1.0}), truncations=1, augmented=0, reobserved=0),
        simulated=SimulatedConfig(classes={"TDE": 1.0}),
    )
    blind = sample.with_redshift("none")
    plain = training_copies(blind, sample_labels, settings, np.random.default_rng(0))
    joined = with_simulated(plain, blind, sample_labels, settings, np.random.default_rng(1))
    assert not is_simulated(joined.curves.object_id).any()
    assert "without simulated objects of TDE" in caplog.text


def test_simulated_classes_need_a_survey():
    with pytest.raises(SettingsError, match="survey"):
        replace(PipelineConfig(), simulated=SimulatedConfig(classes={"TDE": 1.0}, cadence=0.0))
