"""Who is among the sixteen classes, and who may learn from whom."""

import numpy as np
from tests.paper.conftest import TINY

from firstlight.simulate import SIMULATED_PREFIX
from firstlight_paper.objects import PAPER_CLASSES, SIMULATED_CLASSES, assemble
from firstlight_paper.scale import FULL, QUICK


def test_there_are_sixteen_classes_and_the_kilonova_is_not_among_them(tiny_objects):
    assert len(PAPER_CLASSES) == 16
    assert set(np.unique(tiny_objects.labels)) <= set(PAPER_CLASSES)
    assert set(SIMULATED_CLASSES) <= set(np.unique(tiny_objects.labels))


def test_simulated_objects_are_marked_and_are_all_of_the_three_classes(tiny_objects):
    named = np.char.startswith(tiny_objects.curves.object_id, SIMULATED_PREFIX)
    np.testing.assert_array_equal(named, tiny_objects.simulated)
    np.testing.assert_array_equal(np.isin(tiny_objects.labels, SIMULATED_CLASSES), tiny_objects.simulated)


def test_every_object_is_tested_once_by_a_fold_that_cannot_learn_from_it(tiny_objects):
    tested = np.concatenate([fold.test for fold in tiny_objects.folds])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(tiny_objects)))
    for k, fold in enumerate(tiny_objects.folds):
        assert not np.isin(fold.test, tiny_objects.learn(k)).any()
        assert not np.isin(fold.train, fold.validation).any()


def test_objects_simulated_from_one_model_stay_in_one_fold(sample, sample_labels):
    from dataclasses import replace

    objects = assemble(sample, sample_labels, replace(TINY, n_simulated=60), 3)
    model = objects.truth.column("model").to_numpy()
    label = objects.labels[objects.simulated]
    fold_of = np.empty(len(objects), dtype=int)
    for k, fold in enumerate(objects.folds):
        fold_of[fold.test] = k
    fold_of = fold_of[objects.simulated]
    repeated = 0
    for name in SIMULATED_CLASSES:
        for number in np.unique(model[label == name]):
            members = fold_of[(label == name) & (model == number)]
            repeated += len(members) > 1
            assert len(set(members.tolist())) == 1
    assert repeated > 0


def test_the_same_seed_gives_the_same_objects_and_another_seed_others(sample, sample_labels, tiny_objects):
    assert assemble(sample, sample_labels, TINY, 0).fingerprint == tiny_objects.fingerprint
    assert assemble(sample, sample_labels, TINY, 1).fingerprint != tiny_objects.fingerprint


def test_the_quick_scale_is_smaller_everywhere():
    assert QUICK.n_simulated < FULL.n_simulated
    assert QUICK.n_folds < FULL.n_folds
    assert QUICK.encoder_epochs < FULL.encoder_epochs
    assert FULL.n_real is None
