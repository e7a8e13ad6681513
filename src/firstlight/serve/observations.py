"""Observations of objects for their pages: from a file of light curves, or from alerts as they come.

Of alerts, the newest packet of each object is kept: it lists the object's past. The number of packets and of
observations in each is bounded; those left out are counted.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from firstlight.bands import AB_ZERO_POINT_NJY, BANDS
from firstlight.constants import MAG_PER_E_FOLD
from firstlight.errors import DataError, FirstlightError
from firstlight.lightcurves import LightCurve, LightCurves
from firstlight.stream.alerts.alert import Alert, light_curves
from firstlight.stream.alerts.decoder import AlertDecoder
from firstlight.stream.io.message import Message

MOST_PACKETS = 50_000
MOST_OBSERVATIONS = 3_000  # per packet; the newest ones are kept
LIMIT_SNR = 5.0  # sigma; of the limit that stands for an observation that is no detection
_SEEN_SNR = 3.0  # a fainter detection has no magnitude


class Observations(Protocol):
    """Where light curves come from."""

    @property
    def about(self) -> str:
        """One sentence for the page."""
        ...

    def find(self, object_id: str) -> LightCurve | None:
        """Light curve of an object; None if there is none."""
        ...


class NoObservations:
    """No light curves: the page has the records alone."""

    about = (
        "The observations are not here: the page was started without --data, so it shows the magnitude that "
        "each record states, one per alert in the band of the most significant flux, and no limits."
    )

    def find(self, object_id: str) -> LightCurve | None:
        """See `Observations`."""
        return None


class FileObservations:
    """Light curves of a file, read once."""

    def __init__(self, curves: LightCurves, name: str) -> None:
        self._curves = curves
        self._place = {str(one): k for k, one in enumerate(curves.object_id.tolist())}
        self.about = f"Observations: {name}, read when the page started."

    def find(self, object_id: str) -> LightCurve | None:
        """See `Observations`."""
        k = self._place.get(object_id)
        return None if k is None else self._curves[k]


class AlertObservations:
    """The newest packet of each object, from alerts that `take` gets."""

    def __init__(self, name: str, most: int = MOST_PACKETS) -> None:
        self._decoder = AlertDecoder()
        self._most = most
        self._lock = threading.Lock()
        self._alerts: OrderedDict[str, Alert] = OrderedDict()
        self.left_out: Counter[str] = Counter()
        self._name = name

    @property
    def about(self) -> str:
        """See `Observations`."""
        left = ", ".join(f"{n:,} {what}" for what, n in self.left_out.items())
        return f"Observations: the newest packet of each object, of {self._name}" + (
            f" ({left})." if left else "."
        )

    def take(self, messages: Sequence[Message]) -> None:
        """Keep the newest alert of each object."""
        for message in messages:
            try:
                items = self._decoder.decode_all(message.value, message.key)
            except FirstlightError as error:
                items = [DataError(str(error))]
            for item in items:
                if isinstance(item, Alert):
                    self._keep(item)
                elif isinstance(item, DataError):
                    self.left_out["messages that could not be read"] += 1

    def _keep(self, alert: Alert) -> None:
        with self._lock:
            known = self._alerts.pop(alert.object_id, None)
            self._alerts[alert.object_id] = alert if known is None or alert.mjd >= known.mjd else known
            if len(self._alerts) > self._most:
                self._alerts.popitem(last=False)
                self.left_out["objects forgotten, the longest without an alert"] += 1

    def __len__(self) -> int:
        """Number of objects."""
        return len(self._alerts)

    def find(self, object_id: str) -> LightCurve | None:
        """See `Observations`."""
        with self._lock:
            alert = self._alerts.get(object_id)
        return None if alert is None else light_curves([alert])[0]


@dataclass(frozen=True, slots=True)
class Points:
    """Observations of an object as lists, for JSON; None where a value is missing.

    `limit` is the magnitude that `LIMIT_SNR` sigma have, for observations without a magnitude.
    """

    mjd: list[float]
    band: list[str]
    flux: list[float | None]
    flux_err: list[float | None]
    mag: list[float | None]
    mag_err: list[float | None]
    limit: list[float | None]
    detected: list[bool]
    n_left_out: int = 0

    @classmethod
    def of(cls, curve: LightCurve, most: int = MOST_OBSERVATIONS) -> "Points":
        """The newest observations of a light curve, fluxes as given [nJy], magnitudes AB."""
        rows = slice(max(len(curve) - most, 0), None)
        flux, err = curve.flux[rows].astype(np.float64), curve.flux_err[rows].astype(np.float64)
        detected = curve.detected[rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            bright = detected & (flux >= _SEEN_SNR * err) & (flux > 0.0)
            mag = np.where(bright, AB_ZERO_POINT_NJY - MAG_PER_E_FOLD * np.log(flux), np.nan)
            limit = np.where(bright, np.nan, AB_ZERO_POINT_NJY - MAG_PER_E_FOLD * np.log(LIMIT_SNR * err))
            mag_err = np.where(bright, MAG_PER_E_FOLD * err / flux, np.nan)
        return cls(
            mjd=[round(t, 6) for t in curve.mjd[rows].tolist()],
            band=[BANDS[k] for k in curve.band[rows].tolist()],
            flux=_json_numbers(flux, 3),
            flux_err=_json_numbers(err, 3),
            mag=_json_numbers(mag, 4),
            mag_err=_json_numbers(mag_err, 4),
            limit=_json_numbers(limit, 3),
            detected=detected.tolist(),
            n_left_out=max(len(curve) - most, 0),
        )


def _json_numbers(values: Any, digits: int) -> list[float | None]:
    """Rounded numbers; None for a value that is not finite."""
    return [round(v, digits) if np.isfinite(v) else None for v in values.tolist()]
