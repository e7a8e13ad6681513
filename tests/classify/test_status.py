"""When an object is "not classified yet"."""

import numpy as np
import pytest

from firstlight.classify import StatusConfig, status_of
from firstlight.lightcurves import LightCurves


def curves_of(*objects: list[tuple[float, bool]]) -> LightCurves:
    """Objects given as (flux over error, detected) of each observation."""
    counts = [len(obs) for obs in objects]
    flat = [point for obs in objects for point in obs]
    return LightCurves(
        object_id=np.array([f"object-{i}" for i in range(len(objects))]),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        mjd=np.concatenate([np.arange(n, dtype=float) for n in counts] or [np.zeros(0)]),
        band=np.zeros(len(flat), dtype=np.int8),
        flux=np.array([10.0 * snr for snr, _ in flat]),
        flux_err=np.full(len(flat), 10.0),
        detected=np.array([found for _, found in flat], dtype=bool),
    )


def test_a_second_observation_beside_a_detection_is_enough():
    status, reason = status_of(curves_of([(6.0, True), (1.0, False)]))
    assert status.tolist() == ["classified"]
    assert reason.tolist() == [""]


@pytest.mark.parametrize(
    ("observations", "reason"),
    [
        ([], "no_observations"),
        ([(9.0, True)], "too_few_observations"),
        ([(1.0, False), (2.0, False), (0.5, False)], "no_detection"),
        ([(4.0, False)], "no_detection"),
        ([(0.5, True), (1.0, True), (-2.0, False)], "no_signal"),
    ],
)
def test_too_little_data_is_not_classified(observations, reason):
    status, why = status_of(curves_of(observations))
    assert status.tolist() == ["not_classified"]
    assert why.tolist() == [reason]


def test_a_dip_is_a_signal():
    # Variable stars fall below their template as often as they rise above it.
    assert status_of(curves_of([(-20.0, True), (0.0, False)]))[0].tolist() == ["classified"]


def test_each_object_is_judged_alone():
    curves = curves_of([], [(9.0, True), (8.0, True)], [(0.1, False), (0.2, False)], [(9.0, True)])
    status, reason = status_of(curves)
    assert status.tolist() == ["not_classified", "classified", "not_classified", "not_classified"]
    assert reason.tolist() == ["no_observations", "", "no_detection", "too_few_observations"]
    for i in range(len(curves)):
        alone = status_of(curves.take(np.array([i])))
        assert (alone[0][0], alone[1][0]) == (status[i], reason[i])


def test_thresholds_can_be_raised():
    curves = curves_of([(9.0, True), (4.0, False), (6.0, True)])
    assert status_of(curves, StatusConfig(min_detections=2))[0].tolist() == ["classified"]
    assert status_of(curves, StatusConfig(min_detections=3))[1].tolist() == ["too_few_detections"]
    assert status_of(curves, StatusConfig(min_obs=4))[1].tolist() == ["too_few_observations"]
    assert status_of(curves, StatusConfig(min_snr=20.0))[1].tolist() == ["no_signal"]


def test_thresholds_can_be_turned_off():
    anything = StatusConfig(min_obs=0, min_detections=0, min_snr=0.0)
    assert status_of(curves_of([], [(0.1, False)]), anything)[0].tolist() == ["classified", "classified"]


def test_no_objects_give_no_status():
    status, reason = status_of(curves_of())
    assert len(status) == len(reason) == 0


def test_a_classified_object_stays_classified_as_data_arrive(sample):
    was_classified = np.zeros(len(sample), dtype=bool)
    for days in (0.0, 1.0, 4.0, 16.0, 64.0, 1000.0):
        status, _ = status_of(sample.upto_phase(days))
        now = status == "classified"
        assert (now | ~was_classified).all()
        was_classified = now
    assert was_classified.all()
