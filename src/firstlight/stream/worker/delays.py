"""Histograms of delays, filled a micro-batch at a time.

prometheus_client's own histogram takes one value per call; for thousands of alerts per second that would
cost as much as their decoding.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from firstlight.constants import MJD_OF_1970, TAI_MINUS_UTC_S

if TYPE_CHECKING:
    from prometheus_client import Metric

#: Upper ends of the bins [s]; the last bin has none.
BINS = np.array(
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 14_400, 86_400]
)
#: Histograms: metric and meaning.
DELAYS = {
    "append": "Seconds from the append of a message to its topic to the delivery of its result.",
    "alert": "Seconds from the time of an alert to the delivery of its result.",
}


class Delays:
    """Counts of delays in `BINS`, by kind (`DELAYS`); one thread adds, any may collect."""

    def __init__(self) -> None:
        self._counts = {kind: np.zeros(len(BINS) + 1, np.int64) for kind in DELAYS}
        self._sums = dict.fromkeys(DELAYS, 0.0)

    def add(self, kind: str, seconds: ArrayLike) -> None:
        """Add delays [s], shape (n,); clocks differ, so a negative one counts as 0."""
        values = np.maximum(np.asarray(seconds, np.float64), 0.0)
        if len(values):
            places = np.searchsorted(BINS, values)
            self._counts[kind] = self._counts[kind] + np.bincount(places, minlength=len(BINS) + 1)
            self._sums[kind] += float(values.sum())

    def collect(self) -> "Iterator[Metric]":
        """Prometheus' histograms ``firstlight_delay_KIND_seconds``."""
        from prometheus_client.core import HistogramMetricFamily

        for kind, text in DELAYS.items():
            below = np.cumsum(self._counts[kind]).tolist()
            edges = [*(f"{edge:g}" for edge in BINS.tolist()), "+Inf"]
            pairs: Any = list(zip(edges, below, strict=True))
            yield HistogramMetricFamily(
                f"firstlight_delay_{kind}_seconds", text, buckets=pairs, sum_value=self._sums[kind]
            )


def unix_seconds(mjd: ArrayLike) -> Any:
    """Seconds since 1970 UTC of times [MJD TAI day]."""
    return (np.asarray(mjd, np.float64) - MJD_OF_1970) * 86_400.0 - TAI_MINUS_UTC_S
