"""When there is too little data to classify at all.

The answer is then "not classified yet" with the reason, and the training frequencies in
place of probabilities: a confident guess from one point would be false certainty. This
is about too little data only; a strange object is classified and scored as strange.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.lightcurves import LightCurves

__all__ = ["CLASSIFIED", "NOT_CLASSIFIED", "VerdictConfig", "verdict", "verdict_of"]

CLASSIFIED = "classified"
NOT_CLASSIFIED = "not_classified"


@dataclass(frozen=True, kw_only=True)
class VerdictConfig:
    """What an object needs to be classified.

    Attributes
    ----------
    min_obs : int
        Observations in all bands, detections or not.
    min_detections : int
        Observations that the survey called detections.
    min_snr : float
        Significance that at least one observation must reach, up or down.
    """

    min_obs: int = 2
    min_detections: int = 1
    min_snr: float = 3.0


def verdict(
    curves: LightCurves, config: VerdictConfig | None = None
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Say which objects have enough data to be classified.

    Parameters
    ----------
    curves : LightCurves
        Objects, with what has been observed so far.
    config : VerdictConfig, optional
        What an object needs.

    Returns
    -------
    status : str array, shape (n_objects,)
        ``classified`` or ``not_classified``.
    reason : str array, shape (n_objects,)
        Why not, the first that holds of ``no_observations``, ``no_detection``,
        ``too_few_detections``, ``too_few_observations`` and ``no_signal`` (no point
        stands out of the noise); empty where classified.
    """
    config = VerdictConfig() if config is None else config
    owner = curves.object_index
    n_objects = len(curves)
    n_detected = np.bincount(owner[curves.detected], minlength=n_objects)
    snr = np.abs(curves.flux.astype(np.float64)) / curves.flux_err
    n_signal = np.bincount(owner[snr >= config.min_snr], minlength=n_objects)
    return verdict_of(curves.n_obs, n_detected, n_signal > 0, config)


def verdict_of(
    n_obs: NDArray[Any], n_detected: NDArray[Any], has_signal: NDArray[np.bool_], config: VerdictConfig
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """`verdict` of objects whose observations were counted already.

    Parameters
    ----------
    n_obs, n_detected : array, shape (n_objects,)
        Observations and detections.
    has_signal : bool array, shape (n_objects,)
        Whether an observation reaches ``config.min_snr``.
    config : VerdictConfig
        What an object needs.
    """
    reason = np.select(
        [
            (n_obs == 0) & (config.min_obs > 0),
            (n_detected == 0) & (config.min_detections > 0),
            n_detected < config.min_detections,
            n_obs < config.min_obs,
            ~has_signal & (config.min_snr > 0.0),
        ],
        ["no_observations", "no_detection", "too_few_detections", "too_few_observations", "no_signal"],
        default="",
    )
    return np.where(reason == "", CLASSIFIED, NOT_CLASSIFIED), reason
