"""Merge rows about the same visit and band into one, within a packet and between packets.

The result of `merge` does not depend on the order of the rows.
"""

from typing import Any

import numpy as np

from firstlight.kernels import kernel

#: Two rows of one band closer than this are one visit [day]. LSST's visits are 34 s apart
#: and more; the same visit differs between tables by rounding alone (JD to MJD: 40 us).
SAME_VISIT_DAYS = 1e-5


@kernel(inner=True)
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


@kernel(inner=True)
def _before(i: int, k: int, mjd: Any, band: Any) -> bool:
    """Whether row i comes before row k: by time, then band."""
    return mjd[i] < mjd[k] or (mjd[i] == mjd[k] and band[i] < band[k])


@kernel
def merge(
    mjd: Any, band: Any, flux: Any, flux_err: Any, detected: Any, source: Any, order: Any
) -> tuple[Any, Any, Any, Any, Any, Any, Any, int]:
    """One row of each visit and band, sorted by time.

    Rows are of one visit if their band is the same and their times agree to
    `SAME_VISIT_DAYS`; a survey cannot take two in that time, whatever their numbers. The
    visit is detected if any of its rows is. Its measurement is the detection's, else
    forced photometry's; of several of one kind, that of the highest `order`, then
    signal-to-noise, then the lowest identifier, then the highest flux.

    Parameters
    ----------
    mjd, flux, flux_err : float64 arrays, shape (n_rows,)
        Times [MJD], fluxes and errors [nJy]; NaN flux for a detection without one.
    band, detected, source : arrays, shape (n_rows,)
        Band index, flag, identifier (0 where unknown).
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
            if band[i] == band[kept[k]]:
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
        while place > 0 and _before(row, kept[place - 1], mjd, band):
            kept[place] = kept[place - 1]
            place -= 1
        kept[place] = row
        whole += 1
    kept = kept[:whole]
    small, small_err = flux[kept].astype(np.float32), flux_err[kept].astype(np.float32)
    return mjd[kept], band[kept], small, small_err, flagged[kept], source[kept], order[kept], dropped


@kernel
def combine(
    known: tuple[Any, ...],
    arrived: tuple[Any, ...],
    alert_mjd: float,
    listed: Any,
    known_listed_mjd: float,
    known_listed: Any,
) -> tuple[Any, Any, Any, Any, Any, Any, Any, int]:
    """The known rows of one object with those of an alert, as `merge` returns them.

    `known` are mjd, band, flux, flux_err, detected, source and the times of the alerts that stated them;
    `arrived` the same without the last, which is the alert's time `alert_mjd`. `listed`, shape (2,), is the
    time from which the alert lists all detections, and all forced photometry (`Arrivals.listed_from`);
    `known_listed` that of the newest earlier statement, which an alert at `known_listed_mjd` made. Rows
    that the later statement leaves out are left out.
    """
    n, n_known, n_arrived = 0, len(known[0]), len(arrived[0])
    most = n_known + n_arrived
    mjd, flux, flux_err, order = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    band, detected, source = np.empty(most, np.int8), np.empty(most, np.bool_), np.empty(most, np.int64)
    for k in range(n_known):  # a row that is listed again comes with the arrived ones
        older = known[6][k] < alert_mjd and known[5][k] != 0
        if older and _covered(known[0][k], known[4][k], listed, alert_mjd):
            continue
        mjd[n], band[n], flux[n], flux_err[n] = known[0][k], known[1][k], known[2][k], known[3][k]
        detected[n], source[n], order[n] = known[4][k], known[5][k], known[6][k]
        n += 1
    for k in range(n_arrived):  # observations that a later alert no longer lists do not come back
        older = alert_mjd < known_listed_mjd and arrived[5][k] != 0
        older = older and abs(arrived[0][k] - alert_mjd) > SAME_VISIT_DAYS  # the alert's source is news
        older = older and _covered(arrived[0][k], arrived[4][k], known_listed, known_listed_mjd)
        if older and not _is_known(arrived[0][k], arrived[1][k], arrived[4][k], known):
            continue
        mjd[n], band[n], flux[n], flux_err[n] = arrived[0][k], arrived[1][k], arrived[2][k], arrived[3][k]
        detected[n], source[n], order[n] = arrived[4][k], arrived[5][k], alert_mjd
        n += 1
    return merge(mjd[:n], band[:n], flux[:n], flux_err[:n], detected[:n], source[:n], order[:n])


@kernel(inner=True)
def _covered(mjd: float, detected: bool, since: Any, until: float) -> bool:
    """Whether an alert's packet lists all measurements of a kind at a time."""
    start = since[0] if detected else since[1]
    return start - SAME_VISIT_DAYS <= mjd <= until + SAME_VISIT_DAYS


@kernel(inner=True)
def _is_known(mjd: float, band: int, detected: bool, known: tuple[Any, ...]) -> bool:
    """Whether the known rows, sorted by time, have a measurement of a time, band and kind."""
    k = np.searchsorted(known[0], mjd - SAME_VISIT_DAYS)
    while k < len(known[0]) and known[0][k] <= mjd + SAME_VISIT_DAYS:
        if known[1][k] == band and known[4][k] == detected:
            return True
        k += 1
    return False
