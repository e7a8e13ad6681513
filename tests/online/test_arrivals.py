import numpy as np
import pytest

from firstlight.errors import DataError
from firstlight.online import Arrivals


def test_an_update_takes_the_time_of_its_last_observation(sample):
    part = sample.take([0, 5])
    arrivals = Arrivals.from_curves(part, [1, 2])
    np.testing.assert_array_equal(arrivals.alert_mjd, part.mjd[part.offsets[1:] - 1])
    assert len(arrivals) == 2
    assert arrivals.alert.dtype == np.uint64


def test_without_observations_a_time_must_be_given(sample):
    empty = sample.take([0]).upto_mjd(0.0)
    with pytest.raises(DataError, match="give alert_mjd"):
        Arrivals.from_curves(empty, [1])
    assert len(Arrivals.from_curves(empty, [1], [60000.0])) == 1


def test_lengths_must_agree(sample):
    part = sample.take([0, 5])
    with pytest.raises(DataError, match="source_id"):
        Arrivals(part, np.zeros(3), np.zeros(2), np.zeros(2))
    with pytest.raises(DataError, match="alert_mjd"):
        Arrivals(part, np.zeros(len(part.mjd)), np.zeros(3), np.zeros(2))


def test_an_alert_without_a_time_is_refused(sample):
    part = sample.take([0, 5])
    with pytest.raises(DataError, match=str(part.object_id[1])):
        Arrivals.from_curves(part, [1, 2], [60000.0, np.nan])
