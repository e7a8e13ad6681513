"""Merge rows about the same visit and band into one, within a packet and between packets.

The result does not depend on the order of the rows.
"""

from typing import Any

import numpy as np

from firstlight.kernels import kernel

#: Two rows of one band closer than this are one visit [day]. LSST's visits are 34 s apart
#: and more; the same visit differs between tables by rounding alone (JD to MJD: 40 us).
SAME_VISIT_DAYS = 1e-5


@kernel
def _better(i: int, k: int, flux: Any, flux_err: Any, detected: Any, source: Any, order: Any) -> bool:
    """Whether row i measures a visit better than row k does."""
    if np.isnan(flux[i]) or np.isnan(flux[k]):
        return not np.isnan(flux[i])
    if detected[i] != detected[k]:
        return detected[i]
    if order[i] != order[k]:
        return order[i] > order[k]
    snr_i, snr_k = abs(flux[i]) / flux_err[i], abs(flux[k]) / flux_err[k]
    if snr_i != snr_k:
        return snr_i > snr_k
    if source[i] != source[k]:
        return source[i] < source[k]
    return flux[i] > flux[k]  # of equal rows always the same one


@kernel
def _before(i: int, k: int, mjd: Any, band: Any, visit: Any, source: Any) -> bool:
    """Whether row i comes before row k: by time, then band, visit and source."""
    if mjd[i] != mjd[k]:
        return mjd[i] < mjd[k]
    if band[i] != band[k]:
        return band[i] < band[k]
    if visit[i] != visit[k]:
        return visit[i] < visit[k]
    return source[i] < source[k]


@kernel
def merge(
    mjd: Any, band: Any, flux: Any, flux_err: Any, detected: Any, source: Any, visit: Any, order: Any
) -> tuple[Any, Any, Any, Any, Any, Any, Any, int]:
    """One row of each visit and band, sorted by time.

    Rows are of one visit if their band is the same, their times agree to
    `SAME_VISIT_DAYS`, and their visit numbers, where both are known, are equal. The
    visit is detected if any of its rows is. Its measurement is the detection's, else
    forced photometry's; of several of one kind, that of the highest `order`, then
    signal-to-noise, then the lowest identifier, then the highest flux.

    Parameters
    ----------
    mjd, flux, flux_err : float64 arrays, shape (n_rows,)
        Times [MJD], fluxes and errors [nJy]; NaN flux for a detection without one.
    band, detected, source, visit : arrays, shape (n_rows,)
        Band index, flag, identifier, visit number (0 where unknown).
    order : float64 array, shape (n_rows,)
        When it was stated, such as the alert's time: a later statement overrules an earlier one.

    Returns
    -------
    tuple
        mjd, band, flux (float32), flux_err (float32), detected, source_id, order, and how
        many visits were dropped because none of their rows had a flux.
    """
    by_time = np.argsort(mjd, kind="mergesort")
    kept = np.empty(len(mjd), np.int64)  # the best row of each visit so far
    flagged = detected.copy()
    n = 0
    for i in by_time:
        k = n - 1
        while k >= 0 and mjd[i] - mjd[kept[k]] <= SAME_VISIT_DAYS:
            other = kept[k]
            if band[i] == band[other] and (visit[i] == visit[other] or visit[i] == 0 or visit[other] == 0):
                break
            k -= 1
        if k < 0 or mjd[i] - mjd[kept[k]] > SAME_VISIT_DAYS:
            kept[n] = i
            n += 1
            continue
        best = i if _better(i, kept[k], flux, flux_err, detected, source, order) else kept[k]
        flagged[best] = flagged[i] or flagged[kept[k]]
        kept[k] = best
    whole, dropped = 0, 0
    for k in range(n):
        if np.isnan(flux[kept[k]]):
            dropped += 1
            continue
        place = whole
        row = kept[k]
        while place > 0 and _before(row, kept[place - 1], mjd, band, visit, source):
            kept[place] = kept[place - 1]
            place -= 1
        kept[place] = row
        whole += 1
    kept = kept[:whole]
    small, small_err = flux[kept].astype(np.float32), flux_err[kept].astype(np.float32)
    return mjd[kept], band[kept], small, small_err, flagged[kept], source[kept], order[kept], dropped
