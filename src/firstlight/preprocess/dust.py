"""Correction of fluxes for Milky Way dust."""

import logging
from dataclasses import replace

import numpy as np

from firstlight.bands import EXTINCTION_PER_EBV, N_BANDS
from firstlight.lightcurves import LightCurves
from firstlight.preprocess.dust_map import map_ebv
from firstlight.timeline import objects_of

_log = logging.getLogger(__name__)

#: E(B-V) used for anything larger [mag]. 5 mag dim the u band by a factor of 2e9, so whatever is
#: seen there lies in front of most of that dust.
MAX_EBV = 5.0

_named: set[str] = set()  # objects of the last warning, which is not repeated for them


def with_map_ebv(curves: LightCurves) -> LightCurves:
    """The light curves with E(B-V) from the map where a position is known and no value is given."""
    rows = np.flatnonzero(np.isnan(curves.ebv) & ~np.isnan(curves.ra) & ~np.isnan(curves.dec))
    if not len(rows):
        return curves
    if not curves.dereddened:
        _log.info(
            "E(B-V) of %d of %d objects is that of the dust map at their position", len(rows), len(curves)
        )
    ebv = curves.ebv.copy()
    ebv[rows] = map_ebv(curves.ra[rows], curves.dec[rows])
    ebv.setflags(write=False)
    return replace(curves, ebv=ebv)


def deredden(curves: LightCurves, *, again: bool = False) -> LightCurves:
    """Correct fluxes and errors for Milky Way dust.

    Parameters
    ----------
    curves : LightCurves
        Light curves; those that the source has corrected already are returned unchanged.
    again : bool
        Correct them even so: the paper's double correction of PLAsTiCC.

    Returns
    -------
    LightCurves
        With ``dereddened`` true. Objects of unknown E(B-V) keep their fluxes; a warning is
        logged with their number, one time for the same objects in a row.

    References
    ----------
    Fitzpatrick (1999), doi:10.1086/316293, with R_V = 3.1.
    """
    if curves.dereddened and not again:
        return curves
    _warn_of_unknown(curves)
    ebv = np.clip(np.nan_to_num(curves.ebv.astype(np.float64), nan=0.0), 0.0, MAX_EBV)
    factor = 10.0 ** (0.4 * ebv[:, None] * EXTINCTION_PER_EBV)  # (n_objects, N_BANDS)
    per_obs = factor.ravel()[np.repeat(N_BANDS * np.arange(len(curves)), curves.n_obs) + curves.band]
    flux = (curves.flux * per_obs).astype(np.float32)
    flux_err = (curves.flux_err * per_obs).astype(np.float32)
    for column in (flux, flux_err):
        column.setflags(write=False)
    # a finite positive factor keeps every rule of LightCurves, so no check is repeated
    return replace(curves, flux=flux, flux_err=flux_err, dereddened=True)


def _warn_of_unknown(curves: LightCurves) -> None:
    """Warn of objects without E(B-V), unless the last warning was of them too."""
    unknown = objects_of(curves.object_id[np.isnan(curves.ebv)])
    if unknown <= _named:
        return
    _named.clear()
    _named.update(unknown)
    _log.warning(
        "no E(B-V) and no position for %d of %d objects: their fluxes are not corrected for dust "
        "(give a column ebv, or ra and dec)",
        len(unknown),
        len(objects_of(curves.object_id)),
    )
