"""Which objects have enough data to be classified.

The others are "not classified yet", with the reason, and have the class frequencies of
training in place of probabilities. A strange object with enough data is classified.
"""

from dataclasses import dataclass

import numpy as np

from firstlight._types import AnyArray, BoolArray, StrArray
from firstlight.lightcurves import LightCurves
from firstlight.predictions import CLASSIFIED, NOT_CLASSIFIED

#: Why an object is not classified, in the order in which it is checked.
REASONS = ("no_observations", "no_detection", "too_few_detections", "too_few_observations", "no_signal")


@dataclass(frozen=True, kw_only=True)
class StatusConfig:
    """Observations that an object needs to be classified."""

    min_obs: int = 2  # observations in all bands, detections or not
    min_detections: int = 1  # observations that the survey called detections
    min_snr: float = 3.0  # significance that at least one observation must reach, up or down


def status_of(curves: LightCurves, config: StatusConfig | None = None) -> tuple[StrArray, StrArray]:
    """Decide which objects have enough data to be classified.

    Parameters
    ----------
    curves : LightCurves
        Objects, with their observations so far.
    config : StatusConfig, optional
        Observations that an object needs.

    Returns
    -------
    status : str array, shape (n_objects,)
        ``classified`` or ``not_classified``.
    reason : str array, shape (n_objects,)
        Why not, the first that holds of ``no_observations``, ``no_detection``,
        ``too_few_detections``, ``too_few_observations`` and ``no_signal`` (no point
        stands out of the noise); empty where classified.
    """
    config = StatusConfig() if config is None else config
    owner = curves.object_index
    n_objects = len(curves)
    n_detected = np.bincount(owner[curves.detected], minlength=n_objects)
    snr = np.abs(curves.flux.astype(np.float64)) / curves.flux_err
    n_signal = np.bincount(owner[snr >= config.min_snr], minlength=n_objects)
    return status_from_counts(curves.n_obs, n_detected, n_signal > 0, config)


def status_from_counts(
    n_obs: AnyArray, n_detected: AnyArray, has_signal: BoolArray, config: StatusConfig
) -> tuple[StrArray, StrArray]:
    """As `status_of`, from counts of observations and detections, and whether one has the S/N needed."""
    reason = np.select(
        [
            (n_obs == 0) & (config.min_obs > 0),
            (n_detected == 0) & (config.min_detections > 0),
            n_detected < config.min_detections,
            n_obs < config.min_obs,
            ~has_signal & (config.min_snr > 0.0),
        ],
        list(REASONS),
        default="",
    )
    return np.where(reason == "", CLASSIFIED, NOT_CLASSIFIED), reason
