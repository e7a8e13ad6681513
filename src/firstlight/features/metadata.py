"""Features of an object's metadata, and the reference time of its phases.

Positions enter only as the distance from the Galactic plane and times only as differences, so that a
classifier cannot memorise a field or a season.
"""

import numpy as np

from firstlight._types import Float32Array, FloatArray
from firstlight.cosmology import NEARBY_REDSHIFT, distance_modulus
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.curves import redshift_error


def reference_mjd(curves: LightCurves) -> FloatArray:
    """Trigger of each object, or the time of its highest S/N if it has none [MJD]."""
    reference = curves.trigger_mjd
    for i in np.flatnonzero(np.isnan(reference) & (curves.n_obs > 0)):
        window = slice(curves.offsets[i], curves.offsets[i + 1])
        reference[i] = curves.mjd[window][np.argmax(curves.flux[window] / curves.flux_err[window])]
    return reference


def distance(curves: LightCurves) -> tuple[FloatArray, FloatArray]:
    """Distance modulus and its error [mag], NaN for Milky Way objects and unknown redshifts."""
    redshift = np.where(curves.redshift > 0.0, curves.redshift, np.nan).astype(np.float64)
    err = redshift_error(curves.redshift, curves.redshift_err)
    near = distance_modulus(np.maximum(redshift - err, NEARBY_REDSHIFT))
    # an object next to the redshift below which all count as at 10 Mpc can have a range below zero
    return distance_modulus(redshift), np.maximum(0.5 * (distance_modulus(redshift + err) - near), 0.0)


def metadata(curves: LightCurves, modulus: FloatArray, modulus_err: FloatArray) -> Float32Array:
    """Features of `firstlight.features.registry.metadata_features`, shape (n_objects, 8)."""
    redshift = curves.redshift
    galactic = np.where(np.isnan(redshift), np.nan, redshift == 0.0)
    err = redshift_error(redshift, curves.redshift_err).astype(np.float32)
    latitude = np.abs(galactic_latitude(curves.ra, curves.dec))
    columns = [redshift, err, err / (1.0 + redshift), galactic, modulus, modulus_err, curves.ebv, latitude]
    return np.stack(columns, axis=1).astype(np.float32)


def galactic_latitude(ra: FloatArray, dec: FloatArray) -> FloatArray:
    """Galactic latitude b of ICRS positions, all in degrees; NaN for unknown positions.

    Examples
    --------
    >>> round(float(galactic_latitude(np.array([192.85948]), np.array([27.12825]))[0]), 3)
    90.0
    """
    pole_ra, pole_dec = np.radians(192.85948), np.radians(27.12825)  # north Galactic pole, J2000
    ra, dec = np.radians(ra), np.radians(dec)
    sine = np.sin(dec) * np.sin(pole_dec) + np.cos(dec) * np.cos(pole_dec) * np.cos(ra - pole_ra)
    return np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0)))
