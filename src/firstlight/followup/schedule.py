"""Choose targets for one telescope and one night within a limit of hours.

Each target costs its exposure and an overhead, and is observed while it is up, one at a time.
Targets are chosen greedily by worth per hour: near the optimum for a few targets out of many,
and easy to explain.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from firstlight._types import BoolArray, FloatArray, IntArray, StrArray
from firstlight.errors import SettingsError

#: Fate of a target.
CHOSEN = "chosen"
NO_WORTH = "worth too little tonight"
NOT_UP = "not up long enough"
NO_TIME = "no hours left"
NO_GAP = "its time is taken by better targets"

SHORTEST = 0.1  # hour; shortest exposure
LEAST_WORTH = 0.01  # targets worth less are not observed, even if hours are left


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Telescope time of one night; options of ``firstlight rank``.

    Raises
    ------
    SettingsError
        If a time is not positive (the overhead: negative) or not finite.
    """

    hours: float = 4.0  # hours available
    limit_mag: float = 22.0  # faintest magnitude that the telescope can observe [mag]
    hours_at_limit: float = 1.0  # exposure at that magnitude [hour]
    overhead: float = 0.1  # pointing, acquisition and readout per target [hour]

    def __post_init__(self) -> None:
        values = (self.hours, self.hours_at_limit, self.overhead, self.limit_mag)
        if not (np.isfinite(values).all() and min(values[:2]) > 0.0 and self.overhead >= 0.0):
            raise SettingsError(
                f"hours {self.hours:g} and hours_at_limit {self.hours_at_limit:g} must be above 0, "
                f"overhead {self.overhead:g} at least 0, limit_mag {self.limit_mag:g} finite"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Chosen targets and their times."""

    order: IntArray  # (n_chosen,); positions of the chosen targets, in the order in which they were chosen
    # (n_targets,); observation of each chosen target, overhead included, on the clock of the grid [hour];
    # NaN for the others
    start: FloatArray
    end: FloatArray
    fate: StrArray  # (n_targets,); ``chosen``, or the reason against it
    hours: FloatArray  # (n_targets,); cost of each target, overhead included [hour]

    @property
    def used(self) -> float:
        """Hours of the chosen targets."""
        return float(self.hours[self.order].sum())


def exposure_hours(mag: ArrayLike, config: ScheduleConfig | None = None) -> FloatArray:
    """Exposure times [hour] for magnitudes, without overhead.

    Against a sky brighter than the target, the same signal-to-noise ratio needs
    ``hours_at_limit * 10 ** (0.8 (mag - limit_mag))``: 6.3 times as long per magnitude. At least
    0.1 hour; infinite where the magnitude is unknown.

    Examples
    --------
    >>> exposure_hours([20.0, 22.0, 23.0]).round(2).tolist()
    [0.1, 1.0, 6.31]
    """
    config = ScheduleConfig() if config is None else config
    mag = np.asarray(mag, dtype=np.float64)
    known = np.isfinite(mag)
    scaled = config.hours_at_limit * 10.0 ** (0.8 * (np.where(known, mag, 0.0) - config.limit_mag))
    return np.where(known, np.maximum(scaled, SHORTEST), np.inf)


def choose_targets(
    worth: FloatArray,
    mag: FloatArray,
    grid: FloatArray,
    airmass: FloatArray,
    config: ScheduleConfig | None = None,
    priority: IntArray | None = None,
) -> Schedule:
    """Choose targets greedily by worth per hour; each is observed at its lowest airmass.

    Parameters
    ----------
    worth : float64 array, shape (n_targets,)
        Worth of each target tonight; below 0.01 or NaN it is never chosen.
    mag : float64 array, shape (n_targets,)
        Expected magnitude tonight [mag].
    grid : float64 array, shape (n_steps,)
        Beginning of each slot of the dark hours, equally spaced [hour].
    airmass : float array, shape (n_targets, n_steps)
        Airmass in each slot; NaN where the target is not observable.
    config : ScheduleConfig, optional
        The telescope's time.
    priority : int64 array, shape (n_targets,), optional
        Targets of a lower number are served before all of a higher one, whatever their worth.

    Returns
    -------
    Schedule
        Targets take whole slots, do not overlap, and take at most ``config.hours`` together.
    """
    config = ScheduleConfig() if config is None else config
    n_targets, n_steps = airmass.shape
    step = float(grid[1] - grid[0]) if n_steps > 1 else SHORTEST
    hours = exposure_hours(mag, config) + config.overhead
    n_slots = np.ceil(np.minimum(hours, 1e6) / step - 1e-9).astype(np.int64)
    start, end = np.full(n_targets, np.nan), np.full(n_targets, np.nan)
    fate = np.full(n_targets, NO_WORTH, dtype="U40")
    free = np.ones(n_steps, dtype=bool)
    left, chosen = config.hours, []
    rate = np.where(worth >= LEAST_WORTH, worth, 0.0) / np.maximum(hours, 1e-9)
    groups = np.zeros(n_targets, np.int64) if priority is None else priority
    for i in np.lexsort((-rate, groups)):
        if rate[i] <= 0.0:
            continue
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


def _best_start(airmass: FloatArray, usable: BoolArray, n_slots: int) -> int:
    """First of `n_slots` consecutive usable slots with the lowest mean airmass, or -1."""
    if n_slots > len(usable):
        return -1
    sums = np.concatenate([[0.0], np.cumsum(np.where(usable, airmass, 0.0))])
    count = np.concatenate([[0], np.cumsum(usable)])
    fits = count[n_slots:] - count[:-n_slots] == n_slots
    if not fits.any():
        return -1
    return int(np.argmin(np.where(fits, sums[n_slots:] - sums[:-n_slots], np.inf)))
