"""Constants of nature and of time scales, each defined once."""

import math

SPEED_OF_LIGHT = 299_792.458  # km/s, exact (SI)
PARSEC_CM = 3.0856775814913673e18  # cm (IAU 2015 resolution B2)
JD_MINUS_MJD = 2_400_000.5  # day
TAI_MINUS_UTC_S = 37  # s, since the last leap second
UTC_TO_TAI_DAYS = TAI_MINUS_UTC_S / 86_400.0
LAST_LEAP_SECOND_MJD = 57_754.0  # 2017-01-01
MJD_OF_1970 = 40_587.0  # MJD of 1970-01-01, where Unix time starts
MAG_PER_E_FOLD = 2.5 / math.log(10.0)  # magnitudes per e-fold of flux (Pogson 1856)
