from astropy import constants
from astropy.time import Time

from firstlight.constants import JD_MINUS_MJD, MJD_OF_1970, PARSEC_CM, SPEED_OF_LIGHT


def test_constants_are_those_of_astropy():
    assert constants.c.to_value("km/s") == SPEED_OF_LIGHT
    assert constants.pc.to_value("cm") == PARSEC_CM
    unix = Time("1970-01-01", scale="utc")
    assert unix.mjd == MJD_OF_1970
    assert unix.jd - unix.mjd == JD_MINUS_MJD
