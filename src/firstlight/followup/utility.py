"""Utility of a spectrum of an object on the next night: a number from 0 to 1, and its factors.

It is the product of three: the object is of a wanted or an unknown class, it will be bright
enough, and its peak is not past. Visibility and telescope time are in `night` and `schedule`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from firstlight._types import BoolArray, FloatArray, IntArray
from firstlight.errors import SettingsError, UnknownClassError
from firstlight.followup.brightness import Brightness
from firstlight.kernels import kernel
from firstlight.taxonomy import CLASSES

#: Detected objects per class in the three simulated years of PLAsTiCC (its test set; Kessler et
#: al. 2019, doi:10.1088/1538-3873/ab26f1, Table 2): the frequency of a class among alerts.
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
LEAST_ERR = 1e-6  # mag/day; records round small errors of a slope to 0
SOFTNESS = 0.1  # mag; scatter of the limiting magnitude
NOVELTY_FROM = 0.95  # anomaly score that one known object in twenty exceeds
PEAK_DAYS = 5.0  # days after the peak at which the factor has fallen to 0.6
LATE = 0.1  # factor of an object that fades, or long after its peak
LIKELY = 0.5  # probability of the wanted classes together from which a target is likely one
LEAST_WANTED = 0.05  # and below which it is of no wanted class
LEAD_DAYS = 1.0  # from an alert to the next night


@dataclass(frozen=True, kw_only=True)
class FollowupConfig:
    """Wanted classes and limits of the telescope; options of ``firstlight rank``, and `rarity`.

    Attributes
    ----------
    wanted : tuple of str
        Classes worth a spectrum.
    weights : tuple of float
        Worth of each wanted class, 0 to 1; empty is 1 for all.
    rarity : float
        Reduction of the worth of frequent classes, 0 (none) to 1 (the most frequent class
        is worth nothing).
    novelty : float
        Worth of an object unlike any known class, 0 to 1.
    limit_mag : float
        Faintest magnitude that the telescope can observe [mag].
    named : bool
        Whether the user named the classes: targets that are likely of one then come before all others,
        and those without a wanted class last; see `priority`.
    learn : float
        Worth of an object about whose class nothing is known, 0 to 1: its spectrum
        would teach the classifier most.

    Raises
    ------
    SettingsError
        If a value is out of its range, or there is not one weight per wanted class.
    """

    wanted: tuple[str, ...] = RARE
    weights: tuple[float, ...] = ()
    rarity: float = 0.3
    novelty: float = 0.3
    limit_mag: float = 22.0
    named: bool = False
    learn: float = 0.0

    def __post_init__(self) -> None:
        if len(set(self.wanted)) < len(self.wanted):
            raise SettingsError(f"wanted classes {', '.join(self.wanted)}: a class is named twice")
        if self.weights and len(self.weights) != len(self.wanted):
            raise SettingsError(
                f"{len(self.weights)} weight(s) for {len(self.wanted)} wanted class(es); give one per class"
            )
        shares = {"rarity": self.rarity, "novelty": self.novelty, "learn": self.learn}
        shares |= {f"weight of {k}": w for k, w in zip(self.wanted, self.weights, strict=False)}
        wrong = [f"{name} {value:g}" for name, value in shares.items() if not 0.0 <= value <= 1.0]
        if wrong:
            raise SettingsError(f"{', '.join(wrong)}: must be from 0 to 1")
        if not math.isfinite(self.limit_mag):
            raise SettingsError(f"limit_mag {self.limit_mag:g} must be finite")

    def class_worth(self, classes: tuple[str, ...] = CLASSES) -> FloatArray:
        """Worth of an object that certainly is of each class, 0 to 1, shape (n_classes,).

        Raises UnknownClassError if a wanted class is none of the given ones, nor one of firstlight.
        """
        unknown = sorted(set(self.wanted) - {*classes, *CLASSES})
        if unknown:
            raise UnknownClassError(f"unknown class(es) {unknown}; known: {', '.join(classes)}")
        worth = np.zeros(len(classes))
        for name, weight in zip(self.wanted, self.weights or [1.0] * len(self.wanted), strict=True):
            if name in classes:
                worth[classes.index(name)] = weight
        return worth * (1.0 - self.rarity * (1.0 - class_rarity(classes)))

    def priority(self, proba: FloatArray, classes: tuple[str, ...] = CLASSES) -> IntArray:
        """Group of each object, shape (n_objects,): the lower is served first, whatever the worth.

        Where the user named classes: 0 if they have half of the probability or more, 1 from `LEAST_WANTED`
        on, 2 below. Otherwise 0 for all.
        """
        if not self.named:
            return np.zeros(len(proba), np.int64)
        wanted = proba[:, np.isin(classes, self.wanted)].sum(axis=1)
        return (wanted < LIKELY).astype(np.int64) + (wanted < LEAST_WANTED)


@dataclass(frozen=True, slots=True, eq=False)
class Utility:
    """Utility of a spectrum of each object, and its factors, all from 0 to 1."""

    total: FloatArray  # (n_objects,); ``science * bright * peak``; NaN where the object was not classified
    wanted: FloatArray  # (n_objects,); sum over wanted classes of probability times worth
    novelty: FloatArray  # (n_objects,); anomaly score above 0.95, scaled to 0 to 1
    science: FloatArray  # (n_objects,); chance that the object is wanted or novel
    bright: FloatArray  # (n_objects,); probability of being brighter than the limit on the next night
    peak: FloatArray  # (n_objects,); 1 near the peak and rising; 0.1 when fading, or long past the peak
    rising: FloatArray  # (n_objects,); probability that it is still brightening


def class_rarity(classes: tuple[str, ...] = CLASSES) -> FloatArray:
    """Rarity of each class on a logarithmic scale, shape (n_classes,).

    0 for the commonest class, 1 for the rarest: ``ln(n_max / n) / ln(n_max / n_min)`` with the
    numbers of `N_IN_SURVEY`; 1 for a class that is not in them.

    Examples
    --------
    >>> dict(zip(CLASSES, class_rarity().round(2).tolist(), strict=True))["TDE"]
    0.51
    """
    known = np.log(list(N_IN_SURVEY.values()))
    number = np.log([N_IN_SURVEY.get(name, min(N_IN_SURVEY.values())) for name in classes])
    return np.asarray((known.max() - number) / (known.max() - known.min()))


def followup_utility(
    proba: FloatArray,
    anomaly: FloatArray,
    classified: BoolArray,
    brightness: Brightness,
    next_mjd: ArrayLike,
    config: FollowupConfig | None = None,
    classes: tuple[str, ...] = CLASSES,
) -> Utility:
    r"""Compute the utility of a spectrum on the next night.

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

    where :math:`\rho, \nu, m_{lim}` are ``rarity``, ``novelty`` and ``limit_mag``;
    :math:`a_0 = 0.95`, :math:`\tau = 5` days, :math:`l = 0.1`; :math:`t_{now}` is the time of the
    latest magnitude and :math:`t_{peak}` that of the brightest. With ``learn`` :math:`\lambda`,
    :math:`1 - S` is multiplied by :math:`1 - \lambda E`, where E is the `uncertainty` of the class.

    Parameters
    ----------
    proba : float64 array, shape (n_objects, n_classes)
        Class probabilities, columns `classes`.
    anomaly : float64 array, shape (n_objects,)
        Anomaly scores; NaN counts as 0.
    classified : bool array, shape (n_objects,)
        Where False the total is NaN: a prior does not justify a spectrum.
    brightness : Brightness
        Of the same objects; the total of an undetected object is 0.
    next_mjd : float or float64 array, shape (n_objects,)
        Time of the next night [MJD].
    config : FollowupConfig, optional
        Wanted classes and limits.
    classes : tuple of str
        Classes of the columns.

    Returns
    -------
    Utility
        One row per object; a row depends on that object alone, to the last bit.
    """
    config = FollowupConfig() if config is None else config
    when = np.ascontiguousarray(np.broadcast_to(np.asarray(next_mjd, np.float64), (len(brightness),)))
    mag, mag_err = brightness.expected(when)
    numbers = (config.novelty, NOVELTY_FROM, config.limit_mag, PEAK_DAYS, LATE)
    out = np.empty((7, len(brightness)))
    _rate(
        np.ascontiguousarray(proba, dtype=np.float64),
        np.asarray(anomaly, dtype=np.float64),
        np.asarray(classified, dtype=np.bool_),
        mag,
        mag_err,
        *(brightness.slope, brightness.slope_err, brightness.mag_mjd, brightness.peak_mjd),
        when,
        config.class_worth(classes),
        np.array(numbers),
        out,
    )
    if config.learn > 0.0:
        out[3] = 1.0 - (1.0 - out[3]) * (1.0 - config.learn * uncertainty(proba))
        out[0] = np.where(classified, out[3] * out[4] * out[5], np.nan)
    return Utility(*out)


def uncertainty(proba: FloatArray) -> FloatArray:
    """Entropy of class probabilities over that of equal ones, 0 to 1, shape (n_objects,).

    Examples
    --------
    >>> uncertainty(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [0.0, 1.0]
    """
    terms = np.where(proba > 0.0, proba * np.log(np.where(proba > 0.0, proba, 1.0)), 0.0)
    return np.asarray(np.abs(terms.sum(axis=1)) / np.log(proba.shape[1]))


def followup_score(
    proba: FloatArray,
    anomaly: FloatArray,
    classified: BoolArray,
    brightness: Brightness,
    mjd: ArrayLike,
    config: FollowupConfig | None = None,
    classes: tuple[str, ...] = CLASSES,
) -> FloatArray:
    """Total of `followup_utility` one day after an alert, for its record.

    Parameters
    ----------
    proba, anomaly, classified, brightness, config, classes
        As for `followup_utility`.
    mjd : float or float64 array, shape (n_objects,)
        Time of the alert [MJD].

    Returns
    -------
    float64 array, shape (n_objects,)
        From 0 to 1; NaN where not classified.
    """
    next_mjd = np.asarray(mjd, dtype=np.float64) + LEAD_DAYS
    return followup_utility(proba, anomaly, classified, brightness, next_mjd, config, classes).total


@kernel(inner=True)
def _normal(x: float) -> float:
    """Standard normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


@kernel
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
