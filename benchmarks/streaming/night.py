"""The alerts of the benchmark: PLAsTiCC's light curves in mid-survey, in LSST's format."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firstlight import load_plasticc
from firstlight.stream.replay.replay import Replay, ReplayConfig, ReplayPacket

#: From here on most objects have a history [MJD].
MIDDLE_MJD = 60_000.0


@dataclass(frozen=True)
class Night:
    """A time-ordered stream of packets of similar size.

    Parameters
    ----------
    n_alerts : int
        Number of alerts.
    packet_bytes : int
        Size of a packet, filled up with cutouts; 0 adds none.
    source : path, optional
        Folder with the PLAsTiCC training set; by default the cache.
    from_mjd : float
        Start in the survey [MJD].
    history_days : float
        Length of a packet's history [day].
    """

    n_alerts: int
    packet_bytes: int
    source: Path | None = None
    from_mjd: float = MIDDLE_MJD
    history_days: float = 365.0

    def replay(self) -> Replay:
        """The replay that makes the packets."""
        curves, _ = load_plasticc(self.source)
        return Replay(
            curves,
            ReplayConfig(
                packet_bytes=self.packet_bytes,
                from_mjd=self.from_mjd,
                max_alerts=self.n_alerts,
                history_days=self.history_days,
            ),
        )

    def words(self) -> list[str]:
        """Number of alerts, size and source, for `streaming.sender`."""
        return [str(self.n_alerts), str(self.packet_bytes), str(self.source or "")]

    def packets(self) -> Iterator[ReplayPacket]:
        """The packets, made one by one."""
        return self.replay().packets()

    def describe(self) -> dict[str, Any]:
        """Size and content of the packets."""
        replay = self.replay()
        some = Replay(replay.curves, ReplayConfig(**(vars(replay.config) | {"packet_bytes": 0})))
        bare = [len(packet.value) for _, packet in zip(range(2000), some.packets(), strict=False)]
        shown = np.linspace(0, len(replay) - 1, 500).astype(int)
        return {
            "packet_bytes": max(self.packet_bytes, int(np.mean(bare))),
            "bytes_without_cutouts": int(np.mean(bare)),
            "observations": round(float(np.mean([len(replay.alert(i).observations) for i in shown])), 1),
            "alerts": len(replay),
            "objects": len(np.unique(replay.object_index)),
        }
