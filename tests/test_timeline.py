from copy import copy

import numpy as np
import pytest

from firstlight.errors import DataError
from firstlight.hosts import Hosts
from firstlight.lightcurves import LightCurves
from firstlight.timeline import NIGHT_GAP, Timeline, night_ends


@pytest.fixture(scope="module")
def timelines(tiny_default, sample) -> list[Timeline]:
    return [tiny_default.timeline(curve, jobs=1) for curve in list(sample)[::40]]


def test_each_answer_is_that_of_the_observations_up_to_its_time(tiny_default, sample, timelines):
    for timeline in timelines:
        whole = sample.take(sample.object_id == timeline.curve.object_id)
        for k in (0, len(timeline) // 2, len(timeline) - 1):
            alone = tiny_default.predict(whole.upto_mjd(timeline.mjd[k]), jobs=1)
            assert timeline.predictions.n_obs[k] == alone.n_obs[0]
            assert timeline.predictions.status[k] == alone.status[0]
            np.testing.assert_array_equal(timeline.predictions.proba[k], alone.proba[0])


def test_a_context_finds_the_object_by_its_own_name(tiny_fast, sample, tmp_path):
    curve = sample.take([100]).with_redshift("none")
    (tmp_path / "hosts.csv").write_text(f"object_id,redshift,redshift_err\n{curve.object_id[0]},0.3,0.05\n")
    found = copy(tiny_fast)
    found._use(Hosts.open(tmp_path / "hosts.csv"))
    timeline, without = found.timeline(curve, jobs=1), tiny_fast.timeline(curve, jobs=1)
    stated = curve._derive(redshift=np.float32([0.3]), redshift_err=np.float32([0.05]))
    expected = tiny_fast.timeline(stated, jobs=1)
    np.testing.assert_array_equal(timeline.predictions.proba, expected.predictions.proba)
    assert not np.array_equal(timeline.predictions.proba, without.predictions.proba)


def test_there_is_one_answer_per_night_from_the_trigger_on(sample):
    for curve in list(sample)[::9]:
        ends = night_ends(curve)
        assert ends[0] >= curve.trigger_mjd
        assert ends[-1] == curve.mjd[-1]
        assert (np.diff(ends) > NIGHT_GAP).all()
        later = curve.mjd[curve.mjd > curve.trigger_mjd]
        gaps = np.diff(np.append(curve.trigger_mjd, later)) > NIGHT_GAP
        assert len(ends) == gaps.sum() + 1


def test_a_curve_without_a_detection_has_an_answer_after_every_night(tiny_default, sample):
    curve = next(iter(sample))
    dark = LightCurves(
        np.array(["dark"]), np.array([0, 3]), curve.mjd[:3] * 0 + [1.0, 1.1, 5.0], np.array([1, 2, 1]),
        np.zeros(3), np.ones(3),
    )  # fmt: skip
    timeline = tiny_default.timeline(dark, jobs=1)
    assert timeline.mjd.tolist() == [1.1, 5.0]
    assert not timeline.predictions.is_classified.any()
    assert "not classified" in repr(timeline)


def test_the_table_has_times_and_probabilities(timelines):
    table = timelines[0].to_pandas()
    assert list(table.columns[:6]) == ["mjd", "phase", "n_obs", "status", "reason", "class"]
    assert len(table) == len(timelines[0])
    assert table["phase"].is_monotonic_increasing
    assert "object_id" not in table


def test_a_notebook_shows_where_the_class_changes(timelines):
    for timeline in timelines:
        label = np.where(timeline.predictions.is_classified, timeline.predictions.label, "not classified")
        n_changes = 1 + int((label[1:] != label[:-1]).sum())
        assert len(repr(timeline).splitlines()) == 1 + n_changes
        assert timeline._repr_html_().count("<tr>") == 1 + n_changes


def test_times_of_ones_own_and_several_objects(tiny_default, sample):
    curve = sample[0]
    own = tiny_default.timeline(curve, curve.trigger_mjd + np.array([2.0, 30.0]), jobs=1)
    assert own.predictions.phase.max() <= 30.0
    with pytest.raises(DataError, match="one object; 2 given"):
        tiny_default.timeline(sample.take([0, 1]))
    with pytest.raises(DataError, match="2 times for 1 predictions"):
        Timeline(curve, own.mjd, own.predictions[:1])
