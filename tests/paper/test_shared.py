"""What parts build on: nothing of a fold's test objects is in what it learnt."""

import numpy as np
import pytest

from firstlight.errors import DataError
from firstlight.metrics import PHASES
from firstlight_paper.shared import latents_of, pipeline_of, said_of


def test_every_fold_has_six_latents_of_every_object(tiny_bench):
    for k in range(2):
        latent = latents_of(tiny_bench, k)
        assert latent.shape == (len(tiny_bench.objects), 6)
        assert np.isfinite(latent).all()


def test_our_pipeline_of_a_fold_has_not_seen_its_test_objects(tiny_bench):
    objects = tiny_bench.objects
    for k, fold in enumerate(objects.folds):
        pipeline = pipeline_of(tiny_bench, k)
        assert not pipeline.trained_on(objects.curves.object_id[fold.test]).any()
        assert pipeline.trained_on(objects.curves.object_id[objects.learn(k)]).any()


@pytest.mark.parametrize("days", [0.0, 8.0, np.inf])
def test_predictions_come_in_the_order_of_the_objects(tiny_bench, days):
    assert days in PHASES
    said = said_of(tiny_bench, days)
    assert said.object_id.tolist() == tiny_bench.objects.curves.object_id.tolist()


def test_a_part_that_comes_too_early_says_which_stage_is_missing(tiny_bench, tmp_path):
    from dataclasses import replace

    with pytest.raises(DataError, match="'encode'"):
        latents_of(replace(tiny_bench, folder=tmp_path), 0)
