"""What a spectrum of an object tonight is worth: one number between 0 and 1, and its parts.

Follow-up time is scarce, and a transient has to be caught near its peak to justify it.
So the utility is a product of three things that must all hold: the object is of a wanted
or an unknown kind, it will be bright enough on the next night, and its peak is not past.
Where a telescope can point is another matter (`observability`, `schedule`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from firstlight.errors import SettingsError
from firstlight.followup.brightness import Brightness
from firstlight.taxonomy import CLASSES, class_index

__all__ = ["N_IN_SURVEY", "FollowupConfig", "Utility", "class_rarity", "followup_score", "followup_utility"]

#: Detected objects of each class in the simulated three years of PLAsTiCC (its test set; Kessler
#: et al. 2019, doi:10.1088/1538-3873/ab26f1, Table 2): how rare a class is among alerts.
N_IN_SURVEY: Mapping[str, int] = MappingProxyType(
    {
        "AGN": 101_424,
        "CaRT": 9_680,
        "EB": 96_572,
        "ILOT": 1_702,
        "M-dwarf": 93_494,
        "Mira": 1_453,
        "PISN": 1_172,
        "RRL": 197_155,
        "SLSN-I": 35_782,
        "SNIa": 1_659_831,
        "SNII": 1_000_150,
        "SNIa-91bg": 40_193,
        "SNIax": 63_664,
        "SNIbc": 175_094,
        "TDE": 13_555,
        "muLens-Single": 1_303,
        "KN": 131,
    }
)
RARE = ("KN", "TDE", "SLSN-I", "SNIa-91bg", "SNIax", "CaRT", "ILOT", "PISN")
LEAST_ERR = 1e-6  # mag/day; a record may have rounded a slope's error to 0
SOFTNESS = 0.1  # mag; a limit is never sharper than the weather

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FollowupConfig:
    """What is wanted, and with which telescope.

    Attributes
    ----------
    wanted : tuple of str
        Classes worth a spectrum.
    weights : tuple of float
        Worth of each wanted class, 0 to 1; empty is 1 for all.
    rarity : float
        How far a class's worth falls with its number on the sky, 0 (not at all) to 1 (the
        commonest class is worth nothing).
    novelty : float
        Worth of an object that is like no known class, 0 to 1.
    novelty_from : float
        Anomaly score above which an object counts as new at all; the score is on a scale of
        false alarms, so 0.95 is reached by one known object in twenty.
    limit_mag : float
        Faintest magnitude that the telescope can do [mag].
    peak_days : float
        Days after the peak at which the worth has fallen to 0.6.
    late : float
        Share of its worth that an object keeps when it fades, or long after its peak.
    lead_days : float
        Days from the last observation to the next night.

    Raises
    ------
    SettingsError
        If a value is out of its range, or there is not one weight a wanted class.
    UnknownClassError
        If a wanted class is none of the taxonomy's.
    """

    wanted: tuple[str, ...] = RARE
    weights: tuple[float, ...] = ()
    rarity: float = 0.3
    novelty: float = 0.3
    novelty_from: float = 0.95
    limit_mag: float = 22.0
    peak_days: float = 5.0
    late: float = 0.1
    lead_days: float = 1.0

    def __post_init__(self) -> None:
        class_index(self.wanted)
        if len(set(self.wanted)) < len(self.wanted):
            raise SettingsError(f"wanted classes {', '.join(self.wanted)}: one is named twice")
        if self.weights and len(self.weights) != len(self.wanted):
            raise SettingsError(
                f"{len(self.weights)} weight(s) for {len(self.wanted)} wanted class(es); give one a class"
            )
        shares = {"rarity": self.rarity, "novelty": self.novelty, "late": self.late}
        shares |= {f"weight of {k}": w for k, w in zip(self.wanted, self.weights, strict=False)}
        wrong = [f"{name} {value:g}" for name, value in shares.items() if not 0.0 <= value <= 1.0]
        if wrong:
            raise SettingsError(f"{', '.join(wrong)}: must be from 0 to 1")
        if not 0.0 <= self.novelty_from < 1.0:
            raise SettingsError(f"novelty_from {self.novelty_from:g} must be from 0 up to, not with, 1")
        if not (self.peak_days > 0.0 and self.lead_days >= 0.0 and math.isfinite(self.limit_mag)):
            raise SettingsError(
                f"peak_days {self.peak_days:g} must be above 0, lead_days {self.lead_days:g} at least 0, "
                f"limit_mag {self.limit_mag:g} finite"
            )

    @property
    def class_worth(self) -> Array:
        """Worth of certainty about each class of the taxonomy, 0 to 1, shape (17,)."""
        worth = np.zeros(len(CLASSES))
        index = class_index(self.wanted)
        worth[index] = self.weights or 1.0
        return worth * (1.0 - self.rarity * (1.0 - class_rarity()))


@dataclass(frozen=True, slots=True, eq=False)
class Utility:
    """The worth of a spectrum of each object, and what it is made of; all in [0, 1].

    Attributes
    ----------
    total : float64 array, shape (n_objects,)
        ``science * bright * peak``; NaN where the object was not classified.
    wanted : float64 array, shape (n_objects,)
        Probability of the wanted classes, each times its worth.
    novelty : float64 array, shape (n_objects,)
        How far the anomaly score is above its threshold.
    science : float64 array, shape (n_objects,)
        Either of the two.
    bright : float64 array, shape (n_objects,)
        Chance of being brighter than the limit on the next night.
    peak : float64 array, shape (n_objects,)
        Near the peak and rising: 1; fading, or long past it: ``late``.
    rising : float64 array, shape (n_objects,)
        Chance that it is still brightening.
    """

    total: Array
    wanted: Array
    novelty: Array
    science: Array
    bright: Array
    peak: Array
    rising: Array


def class_rarity() -> Array:
    """Rarity of each class on a logarithmic scale, shape (17,).

    0 for the commonest class, 1 for the rarest: ``ln(n_max / n) / ln(n_max / n_min)`` with the
    numbers of `N_IN_SURVEY`.

    Examples
    --------
    >>> dict(zip(CLASSES, class_rarity().round(2).tolist(), strict=True))["TDE"]
    0.51
    """
    number = np.log([N_IN_SURVEY[name] for name in CLASSES])
    return np.asarray((number.max() - number) / (number.max() - number.min()))


def followup_utility(
    proba: Array,
    anomaly: Array,
    classified: NDArray[np.bool_],
    brightness: Brightness,
    next_mjd: ArrayLike,
    config: FollowupConfig | None = None,
) -> Utility:
    r"""Say what a spectrum on the next night is worth.

    With class probabilities :math:`p_k`, worths :math:`w_k` (0 for classes not wanted),
    rarities :math:`r_k`, anomaly score :math:`a`, expected magnitude :math:`m \pm \sigma`,
    slope :math:`s \pm \sigma_s`:

    .. math::

        U &= S \cdot B \cdot P \\
        S &= 1 - (1 - W)(1 - \nu N), \quad W = \sum_k w_k (1 - \rho (1 - r_k)) p_k, \quad
            N = \max\left(0, \frac{a - a_0}{1 - a_0}\right) \\
        B &= \Phi\left((m_{lim} - m) / \sqrt{\sigma^2 + 0.1^2}\right) \\
        P &= l + (1 - l) \, e^{-(d / \tau)^2 / 2} \, q, \quad q = \Phi(-s / \sigma_s), \quad
            d = t_{now} - t_{peak} + (1 - q)(t_{next} - t_{now})

    where :math:`\rho, \nu, a_0, m_{lim}, \tau, l` are ``rarity``, ``novelty``,
    ``novelty_from``, ``limit_mag``, ``peak_days`` and ``late``; :math:`t_{now}` is the time of
    the latest magnitude and :math:`t_{peak}` that of the brightest.

    Parameters
    ----------
    proba : float64 array, shape (n_objects, 17)
        Class probabilities, columns `firstlight.taxonomy.CLASSES`.
    anomaly : float64 array, shape (n_objects,)
        Higher is stranger; NaN counts as not strange.
    classified : bool array, shape (n_objects,)
        Where False the total is NaN: a prior is no reason to point a telescope.
    brightness : Brightness
        Of the same objects. Where no light was seen, the total is 0.
    next_mjd : float or float64 array, shape (n_objects,)
        Time of the next night [MJD].
    config : FollowupConfig, optional
        What is wanted.

    Returns
    -------
    Utility
        One row an object. A row depends on that object alone, to the last bit.
    """
    config = FollowupConfig() if config is None else config
    when = np.ascontiguousarray(np.broadcast_to(np.asarray(next_mjd, np.float64), (len(brightness),)))
    mag, mag_err = brightness.expected(when)
    numbers = (config.novelty, config.novelty_from, config.limit_mag, config.peak_days, config.late)
    out = np.empty((7, len(brightness)))
    _rate(
        np.ascontiguousarray(proba, dtype=np.float64),
        np.asarray(anomaly, dtype=np.float64),
        np.asarray(classified, dtype=np.bool_),
        mag,
        mag_err,
        *(brightness.slope, brightness.slope_err, brightness.mag_mjd, brightness.peak_mjd),
        when,
        config.class_worth,
        np.array(numbers),
        out,
    )
    return Utility(*out)


def followup_score(
    proba: Array,
    anomaly: Array,
    classified: NDArray[np.bool_],
    brightness: Brightness,
    mjd: ArrayLike,
    config: FollowupConfig | None = None,
) -> Array:
    """The total of `followup_utility` on the night after an alert, for its record.

    Parameters
    ----------
    proba, anomaly, classified, brightness, config
        As for `followup_utility`.
    mjd : float or float64 array, shape (n_objects,)
        Time of the alert [MJD]; the next night is ``lead_days`` later.

    Returns
    -------
    float64 array, shape (n_objects,)
        From 0 to 1; NaN where not classified.
    """
    config = FollowupConfig() if config is None else config
    next_mjd = np.asarray(mjd, dtype=np.float64) + config.lead_days
    return followup_utility(proba, anomaly, classified, brightness, next_mjd, config).total


@njit(cache=True, nogil=True)
def _normal(x: float) -> float:
    """Chance that a standard normal number is below x."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


@njit(cache=True, nogil=True)
def _rate(  # type: ignore[no-untyped-def]
    proba,
    anomaly,
    classified,
    mag,
    mag_err,
    slope,
    slope_err,
    mag_mjd,
    peak_mjd,
    when,
    worth,
    numbers,
    out,
):
    """Fill the rows of `Utility`, one object at a time in a fixed order of sums."""
    novelty_worth, novelty_from, limit, peak_days, late = numbers
    for i in range(len(mag)):
        wanted = 0.0
        for k in range(len(worth)):
            wanted += worth[k] * proba[i, k]
        wanted = min(wanted, 1.0)
        novelty = 0.0
        if anomaly[i] > novelty_from:  # false for NaN
            novelty = min((anomaly[i] - novelty_from) / (1.0 - novelty_from), 1.0)
        science = 1.0 - (1.0 - wanted) * (1.0 - novelty_worth * novelty)
        bright, peak, rising = 0.0, 0.0, 0.0
        if mag[i] == mag[i]:
            bright = _normal((limit - mag[i]) / math.sqrt(mag_err[i] * mag_err[i] + SOFTNESS * SOFTNESS))
            rising = _normal(-slope[i] / max(slope_err[i], LEAST_ERR))
            past = mag_mjd[i] - peak_mjd[i] if mag_mjd[i] > peak_mjd[i] else 0.0
            past += (1.0 - rising) * max(when[i] - mag_mjd[i], 0.0)
            near = math.exp(-0.5 * (past / peak_days) ** 2)
            peak = late + (1.0 - late) * near * rising
        out[0, i] = science * bright * peak if classified[i] else np.nan
        out[1, i], out[2, i], out[3, i] = wanted, novelty, science
        out[4, i], out[5, i], out[6, i] = bright, peak, rising
