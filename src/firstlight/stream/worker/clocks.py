"""The time of each partition, by its recent alerts.

Partitions are read at different paces, and one may lag behind another by years. An object is therefore
removed only by the clock of the partition that its alerts come from.
"""

import math
from collections import deque
from statistics import median

#: Number of recent alerts of a partition that make its clock.
CLOCK_ALERTS = 1001


class Clock:
    """Times of the latest `n_alerts` alerts of a partition [MJD TAI day]."""

    def __init__(self, n_alerts: int = CLOCK_ALERTS) -> None:
        self._times: deque[float] = deque(maxlen=n_alerts)

    def add(self, mjd: float) -> None:
        """Take the time of an alert."""
        self._times.append(mjd)

    @property
    def is_set(self) -> bool:
        """Whether there were enough alerts."""
        return len(self._times) == self._times.maxlen

    @property
    def median(self) -> float:
        """Median time of the alerts."""
        return median(self._times)

    @property
    def oldest(self) -> float:
        """Time of the oldest of them: neither one wrong time nor a mixture with older alerts moves it on.

        -inf until there were enough.
        """
        return min(self._times) if self.is_set else -math.inf
