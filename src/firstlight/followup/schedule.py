"""Choose tonight's targets under a limit of hours.

One telescope, one night: each target costs its exposure and an overhead, may be observed
only while it is up, and no two at once. Targets are taken greedily by worth per hour. For
a handful of targets out of many that is near the best there is, and it can be explained.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstlight.errors import SettingsError

__all__ = ["Schedule", "ScheduleConfig", "choose_targets", "exposure_hours"]

#: What became of a target.
CHOSEN = "chosen"
NO_WORTH = "worth too little tonight"
NOT_UP = "not up long enough"
NO_TIME = "no hours left"
NO_GAP = "its time is taken by better targets"

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """A telescope's time.

    Attributes
    ----------
    hours : float
        Hours to give away in one night.
    limit_mag : float
        Faintest magnitude that the telescope can do [mag].
    hours_at_limit : float
        Exposure at that magnitude [hour].
    shortest : float
        Shortest exposure [hour].
    overhead : float
        Pointing, acquisition and readout of each target [hour].
    least_worth : float
        What a target must be worth to be pointed at; hours may be left over.

    Raises
    ------
    SettingsError
        If a time is not positive (the overhead: negative) or not finite.
    """

    hours: float = 4.0
    limit_mag: float = 22.0
    hours_at_limit: float = 1.0
    shortest: float = 0.1
    overhead: float = 0.1
    least_worth: float = 0.01

    def __post_init__(self) -> None:
        times = (self.hours, self.hours_at_limit, self.shortest)
        others = (self.overhead, self.limit_mag, self.least_worth)
        if not (np.isfinite(times + others).all() and min(times) > 0.0 and self.overhead >= 0.0):
            raise SettingsError(
                f"hours {self.hours:g}, hours_at_limit {self.hours_at_limit:g}, shortest {self.shortest:g} "
                f"must be above 0, overhead {self.overhead:g} at least 0, limit_mag {self.limit_mag:g} "
                f"and least_worth {self.least_worth:g} finite"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """What to observe, and when.

    Attributes
    ----------
    order : int64 array, shape (n_chosen,)
        Positions of the chosen targets, best worth per hour first.
    start, end : float64 arrays, shape (n_targets,)
        When each chosen target is observed, overhead included, in the unit and on the
        clock of the grid [hour]; NaN for the others.
    fate : str array, shape (n_targets,)
        ``chosen``, or why not.
    hours : float64 array, shape (n_targets,)
        What each target costs, overhead included [hour].
    """

    order: NDArray[np.int64]
    start: Array
    end: Array
    fate: NDArray[np.str_]
    hours: Array

    @property
    def used(self) -> float:
        """Hours that are given away."""
        return float(self.hours[self.order].sum())


def exposure_hours(mag: ArrayLike, config: ScheduleConfig | None = None) -> Array:
    """Exposure that a magnitude needs, without overhead.

    Against a sky brighter than the target, the same signal to noise needs
    ``hours_at_limit * 10 ** (0.8 (mag - limit_mag))``: a magnitude fainter takes 6.3 times
    as long. Never less than ``shortest``; infinite where the magnitude is unknown.

    Parameters
    ----------
    mag : float array
        Magnitudes [mag].
    config : ScheduleConfig, optional
        The telescope.

    Returns
    -------
    float64 array
        Exposures [hour].

    Examples
    --------
    >>> exposure_hours([20.0, 22.0, 23.0]).round(2).tolist()
    [0.1, 1.0, 6.31]
    """
    config = ScheduleConfig() if config is None else config
    mag = np.asarray(mag, dtype=np.float64)
    known = np.isfinite(mag)
    scaled = config.hours_at_limit * 10.0 ** (0.8 * (np.where(known, mag, 0.0) - config.limit_mag))
    return np.where(known, np.maximum(scaled, config.shortest), np.inf)


def choose_targets(
    worth: Array,
    mag: Array,
    grid: Array,
    airmass: Array,
    config: ScheduleConfig | None = None,
) -> Schedule:
    """Choose targets greedily by worth per hour and place each where its airmass is lowest.

    Parameters
    ----------
    worth : float64 array, shape (n_targets,)
        What each is worth tonight; targets worth less than ``least_worth``, 0 or NaN are
        never chosen.
    mag : float64 array, shape (n_targets,)
        Magnitude expected tonight [mag].
    grid : float64 array, shape (n_steps,)
        Equal steps of the dark hours, each the beginning of a slot [hour].
    airmass : float array, shape (n_targets, n_steps)
        Airmass at each step; NaN where the target may not be observed.
    config : ScheduleConfig, optional
        The telescope's time.

    Returns
    -------
    Schedule
        Targets take whole steps of the grid, so that none overlap, and together at most
        ``config.hours``.
    """
    config = ScheduleConfig() if config is None else config
    n_targets, n_steps = airmass.shape
    step = float(grid[1] - grid[0]) if n_steps > 1 else config.shortest
    hours = exposure_hours(mag, config) + config.overhead
    n_slots = np.ceil(np.minimum(hours, 1e6) / step - 1e-9).astype(np.int64)
    start, end = np.full(n_targets, np.nan), np.full(n_targets, np.nan)
    fate = np.full(n_targets, NO_WORTH, dtype="U40")
    free = np.ones(n_steps, dtype=bool)
    left, chosen = config.hours, []
    enough = (worth > 0.0) & (worth >= config.least_worth)  # false for NaN
    rate = np.where(enough, worth, 0.0) / np.maximum(hours, 1e-9)
    for i in np.argsort(-rate, kind="stable"):
        if rate[i] <= 0.0:
            break
        up = np.isfinite(airmass[i])
        if _best_start(airmass[i], up, int(n_slots[i])) < 0:
            fate[i] = NOT_UP
        elif hours[i] > left + 1e-9:
            fate[i] = NO_TIME
        elif (at := _best_start(airmass[i], up & free, int(n_slots[i]))) < 0:
            fate[i] = NO_GAP
        else:
            fate[i] = CHOSEN
            free[at : at + n_slots[i]] = False
            start[i], end[i] = grid[at], grid[at] + hours[i]
            left -= hours[i]
            chosen.append(int(i))
    return Schedule(np.array(chosen, dtype=np.int64), start, end, fate, hours)


def _best_start(airmass: Array, usable: NDArray[np.bool_], n_slots: int) -> int:
    """First slot of the usable run of so many slots with the lowest mean airmass, or -1."""
    if n_slots > len(usable):
        return -1
    sums = np.concatenate([[0.0], np.cumsum(np.where(usable, airmass, 0.0))])
    count = np.concatenate([[0], np.cumsum(usable)])
    fits = count[n_slots:] - count[:-n_slots] == n_slots
    if not fits.any():
        return -1
    return int(np.argmin(np.where(fits, sums[n_slots:] - sums[:-n_slots], np.inf)))
