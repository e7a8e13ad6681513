"""Which redshift counts, and that several of them are marginalised over."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.hosts import KINDS, Candidates, redshifts_in_use
from firstlight.lightcurves import LightCurves
from firstlight.predictions import Scores

NAN = math.nan


def objects(redshift, error=0.05, spec=NAN, mode="photo"):
    curves = LightCurves(
        np.array(["a"]),
        np.array([0, 1]),
        np.array([60000.0]),
        np.array([1]),
        np.array([100.0]),
        np.array([5.0]),
        redshift=np.array([redshift]),
        redshift_err=np.array([error]),
        redshift_spec=np.array([spec]),
    )
    return curves.with_redshift(mode)


def candidates(*rows, owner=None):
    """Rows of photo-z, spec-z and weight."""
    photo, spec, weight = zip(*rows, strict=True) if rows else ((), (), ())
    error = [0.1] * len(rows)
    owner = np.zeros(len(rows), np.int64) if owner is None else owner
    return Candidates(owner, photo, error, spec, weight, [1.0] * len(rows))


@pytest.mark.parametrize(
    ("own", "rows", "used", "source"),
    [
        ((0.5,), [(0.1, NAN, 1)], [(0.5, "photo")], "given"),  # a packet's photo-z before the context's
        ((0.5,), [(0.1, 0.2, 1)], [(0.2, "spec")], "context"),  # a spectroscopic one of the context before it
        ((NAN,), [(0.1, NAN, 1)], [(0.1, "photo")], "context"),
        ((0.5, 0.05, 0.4, "spec"), [(0.1, 0.2, 1)], [(0.4, "spec")], "given"),  # in use by the mode
        ((0.5, 0.05, 0.4), [(0.1, 0.2, 1)], [(0.2, "spec")], "context"),  # not in use
        ((0.5,), [(0.1, 0.2, 1), (0.3, NAN, 2)], [(0.5, "photo")], "given"),  # the likely one has none
        ((0.5,), [(0.1, 0.2, 2), (0.3, NAN, 1)], [(0.2, "spec"), (0.3, "photo")], "context"),
        ((NAN,), [(NAN, NAN, 1)], [(NAN, "none")], ""),
        ((NAN,), [(NAN, NAN, 1), (0.1, NAN, 1)], [(NAN, "none"), (0.1, "photo")], "context"),
        ((0.5,), [], [(0.5, "photo")], "given"),
        ((0.0, 0.0), [(0.1, NAN, 1)], [(0.0, "photo")], "given"),  # stated in the Milky Way
    ],
)
def test_the_rule_of_which_redshift_counts(own, rows, used, source):
    found = redshifts_in_use(objects(*own), candidates(*rows))
    expected = np.array([z for z, _ in used], np.float32)
    np.testing.assert_array_equal(found.redshift, expected)
    assert [KINDS[k] for k in found.kind] == [kind for _, kind in used]
    assert found.weight.sum() == pytest.approx(1.0)
    assert found.columns()["redshift_source"].tolist() == [source]


def test_a_spectroscopic_redshift_has_the_error_that_the_mode_spec_gives_it():
    mine = objects(0.5, spec=0.2, mode="spec")
    found = redshifts_in_use(objects(0.5), candidates((NAN, 0.2, 1)))
    assert found.redshift_err[0] == mine.redshift_err[0]
    assert found.redshift[0] == mine.redshift[0]


@given(
    st.lists(st.lists(st.floats(0.1, 9.0), min_size=1, max_size=4), min_size=1, max_size=6),
    st.integers(0, 99),
)
def test_the_answer_is_the_weighted_mean_and_does_not_depend_on_the_batch(weights, seed):
    rng = np.random.default_rng(seed)
    n, owner = len(weights), np.repeat(np.arange(len(weights)), [len(own) for own in weights])
    rows = [(z, NAN, w) for z, w in zip(rng.random(len(owner)), np.concatenate(weights), strict=True)]
    curves = objects(NAN).take(np.zeros(n, np.int64))
    proba = rng.dirichlet(np.ones(3), len(owner))
    in_set = rng.random((len(owner), 3)) < 0.5
    scores = Scores(proba, rng.random(len(owner)), np.arange(len(owner)), np.arange(len(owner)), in_set)
    mean = redshifts_in_use(curves, candidates(*rows, owner=owner)).marginal(scores)
    for i in range(n):
        mine = owner == i
        share = np.array(weights[i]) / np.sum(weights[i])
        np.testing.assert_allclose(mean.proba[i], share @ proba[mine], rtol=1e-12)
        np.testing.assert_allclose(mean.anomaly[i], share @ scores.anomaly[mine], rtol=1e-12)
        assert mean.in_set[i].tolist() == in_set[mine].any(axis=0).tolist()
        heaviest = np.flatnonzero(mine)[np.argmax(weights[i])]
        assert mean.domain[i] == mean.bin[i] == heaviest
        alone = redshifts_in_use(
            curves.take([i]), candidates(*(rows[k] for k in np.flatnonzero(mine)))
        ).marginal(Scores(*(part[mine] for part in scores)))
        assert alone.proba[0].tobytes() == mean.proba[i].tobytes()
        assert alone.anomaly[0] == mean.anomaly[i]


def test_an_object_with_one_redshift_keeps_its_scores_to_the_last_bit():
    curves = objects(NAN).take([0, 0])
    proba = np.random.default_rng(0).dirichlet(np.ones(5), 3)
    scores = Scores(proba, proba[:, 0], np.zeros(3, np.int64), np.zeros(3, np.int64), proba > 0.3)
    rows = candidates((0.1, NAN, 0.3), (0.2, NAN, 1), (0.3, NAN, 1), owner=np.array([0, 1, 1]))
    assert redshifts_in_use(curves, rows).marginal(scores).proba[0].tobytes() == proba[0].tobytes()
