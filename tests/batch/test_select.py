"""Objects inside of a cone."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st

from firstlight.batch import Cone
from firstlight.errors import SettingsError

degrees = st.floats(0, 360), st.floats(-90, 90)


@given(*degrees, st.floats(0.001, 180), *degrees)
def test_a_cone_agrees_with_astropy(ra, dec, radius, at_ra, at_dec):
    away = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(at_ra, at_dec, unit="deg")).deg
    inside = Cone(ra, dec, radius).contains(np.array([at_ra]), np.array([at_dec]))
    assert inside[0] == (away <= radius) or abs(away - radius) < 1e-6


def test_an_unknown_position_is_in_no_cone():
    assert not Cone(0, 0, 180).contains(np.array([np.nan]), np.array([0.0]))[0]


@pytest.mark.parametrize("text", ["1,2", "a,b,c", "1,2,0", "1,91,1", "nan,0,1", "1,2,3,4"])
def test_a_cone_that_is_none_is_refused(text):
    with pytest.raises(SettingsError, match="cone"):
        Cone.parse(text)
