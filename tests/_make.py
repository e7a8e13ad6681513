"""Comparisons and light curves that the tests of several rooms share."""

import numpy as np

from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS


def assert_same_curves(one: LightCurves, other: LightCurves) -> None:
    """Equal columns, NaN equal to NaN, and the same correction for dust."""
    for name in ("object_id", "offsets", *OBSERVATION_COLUMNS, *OBJECT_COLUMNS):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.dereddened == other.dereddened


def drawable_curves() -> LightCurves:
    """A supernova, an AGN, an SLSN and a lone non-detection."""
    rng = np.random.default_rng(0)
    n = 60
    mjd = np.tile(60000 + np.linspace(-100, 150, n), 3)
    width = np.repeat([20.0, 1e9, 60.0], n)
    flux = 5000 * np.exp(-0.5 * ((mjd - 60025) / width) ** 2) + rng.normal(0, 50, 3 * n)
    return LightCurves(
        object_id=np.array(["a", "b", "c", "d"]),
        offsets=np.array([0, n, 2 * n, 3 * n, 3 * n + 1]),
        mjd=np.append(mjd, 60000.0),
        band=np.append(np.tile(np.arange(n) % 6, 3), 2),
        flux=np.append(flux, -10.0),
        flux_err=np.full(3 * n + 1, 50.0),
        redshift=np.array([0.2, 0.5, 1.0, np.nan]),
    )
