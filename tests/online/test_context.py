"""With redshifts from outside, stream and batch agree to the last bit, also over several candidates."""

from copy import copy

import numpy as np
import pandas as pd
import pytest
from tests.online.conftest import Stream, rows_of
from tests.online.test_update import feed_in_order, position

from firstlight.hosts import Hosts
from firstlight.online import Arrivals


@pytest.fixture(scope="module")
def hosts(sample, tmp_path_factory):
    """Every third object has one spectroscopic redshift, every third two photometric ones by position."""
    rows = []
    for i, name in enumerate(sample.object_id.tolist()):
        if i % 3 == 0:
            rows.append({"object_id": name, "redshift_spec": 0.02 + i / 1000, "weight": 1.0})
        elif i % 3 == 1:
            place = {"ra": sample.ra[i], "dec": sample.dec[i], "redshift_err": 0.1}
            rows += [place | {"redshift": z, "weight": w} for z, w in ((0.1, 0.3), (0.6, 0.7), (np.nan, 0.2))]
    path = tmp_path_factory.mktemp("context") / "hosts.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return Hosts.open(path)


def with_hosts(pipeline, hosts):
    pipeline = copy(pipeline)
    pipeline._use(hosts)
    return pipeline


@pytest.mark.parametrize("preset", ["fast", "default"])
def test_stream_and_batch_agree_at_every_observation(preset, request, sample, hosts):
    pipeline = with_hosts(request.getfixturevalue(f"tiny_{preset}"), hosts)
    part = sample.take(np.arange(0, len(sample), 7))
    part = part._derive(redshift=np.where(np.arange(len(part)) % 2, part.redshift, np.float32(np.nan)))
    stream, place = Stream(pipeline), position(part)
    for k in range(8):
        new = rows_of(part, place == k)
        done = stream.feed(Arrivals.from_curves(new, np.full(len(new), k)))
        stream.assert_equals(pipeline.predict(rows_of(part, place <= k), jobs=1))
    assert done.redshifts.counts.max() == 3
    assert 0 < done.redshifts.from_context.sum() < len(new)


def test_a_context_changes_answers_and_without_one_nothing_does(tiny_fast, sample, hosts):
    part = sample.take(np.arange(0, len(sample), 5))
    bare = part.with_redshift("none")
    pipeline = with_hosts(tiny_fast, hosts)
    assert (pipeline.predict(bare, jobs=1).proba != tiny_fast.predict(bare, jobs=1).proba).any()
    stream = Stream(tiny_fast)
    feed_in_order(stream, part, 2)
    done = stream.feed(Arrivals.from_curves(rows_of(part, position(part) == 2), np.full(len(part), 2)))
    assert done.redshifts is None


def test_one_candidate_answers_as_a_light_curve_with_that_redshift(tiny_fast, sample, hosts):
    part = sample.take(np.arange(0, len(sample), 3)).with_redshift("none")
    z = (0.02 + np.arange(0, len(sample), 3) / 1000).astype(np.float32)
    stated = part._derive(redshift=z, redshift_err=np.full(len(z), 1e-3, np.float32))
    expected = tiny_fast.predict(stated, jobs=1).proba
    assert with_hosts(tiny_fast, hosts).predict(part, jobs=1).proba.tobytes() == expected.tobytes()


def test_several_candidates_answer_with_the_weighted_mean(tiny_fast, sample, hosts):
    part = sample.take([1]).with_redshift("none")
    parts = []
    for z, error in ((0.1, 0.1), (0.6, 0.1), (np.nan, np.nan)):
        one = part._derive(redshift=np.array([z], np.float32), redshift_err=np.array([error], np.float32))
        parts.append(tiny_fast.predict(one, jobs=1).proba[0])
    mean = np.average(parts, axis=0, weights=[0.3, 0.7, 0.2])
    np.testing.assert_allclose(with_hosts(tiny_fast, hosts).predict(part, jobs=1).proba[0], mean, rtol=1e-12)
