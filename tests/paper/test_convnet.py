"""The convolutional baseline: padding does not matter, held-out rows stay out."""

import numpy as np
import pytest

from firstlight.encoder.steps import StepsConfig, make_steps
from firstlight.errors import LeakageError, NotFittedError
from firstlight_paper.convnet import Convnet, ConvnetConfig

TINY = ConvnetConfig(channels=8, hidden=16, epochs=4, batch=16)


@pytest.fixture(scope="module")
def steps(sample):
    return make_steps(sample, StepsConfig())


@pytest.fixture(scope="module")
def fitted(steps, sample_labels):
    pytest.importorskip("torch")
    rows = np.arange(len(steps))
    train, held = rows[rows % 4 > 0], rows[rows % 4 == 0]
    return Convnet(TINY).fit(
        steps.take(train), sample_labels[train], (steps.take(held), sample_labels[held]), seed=3
    )


def test_probabilities_sum_to_one_over_the_classes_trained_on(fitted, steps):
    proba = fitted.predict_proba(steps)
    assert proba.shape == (len(steps), len(fitted.classes))
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, atol=1e-9)


def test_an_object_beside_longer_ones_gets_the_answer_it_gets_alone(fitted, steps):
    shortest = int(np.argmin(steps.n_steps))
    longest = int(np.argmax(steps.n_steps))
    assert steps.n_steps[longest] > steps.n_steps[shortest]
    alone = fitted.predict_proba(steps.take([shortest]))
    beside = fitted.predict_proba(steps.take([shortest, longest]))
    np.testing.assert_allclose(beside[0], alone[0], atol=1e-5)


def test_training_lowers_the_validation_loss(fitted):
    losses = [row["validation_loss"] for row in fitted.history]
    assert min(losses[1:]) < losses[0]


def test_the_same_seed_gives_the_same_network(fitted, steps, sample_labels):
    rows = np.arange(len(steps))
    train, held = rows[rows % 4 > 0], rows[rows % 4 == 0]
    again = Convnet(TINY).fit(
        steps.take(train), sample_labels[train], (steps.take(held), sample_labels[held]), seed=3
    )
    np.testing.assert_array_equal(again.predict_proba(steps), fitted.predict_proba(steps))


def test_an_object_on_both_sides_is_an_error(steps, sample, sample_labels):
    pytest.importorskip("torch")
    with pytest.raises(LeakageError):
        Convnet(TINY).fit(
            steps, sample_labels, (steps, sample_labels), groups=(sample.object_id, sample.object_id)
        )


def test_an_untrained_network_says_so(steps):
    with pytest.raises(NotFittedError):
        Convnet(TINY).predict_proba(steps)
