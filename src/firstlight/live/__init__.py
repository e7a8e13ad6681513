"""Objects that grow while they are watched: their states, their logs, one update an alert."""

from firstlight.live.arrivals import Arrivals
from firstlight.live.log import Histories, compact, read_logs
from firstlight.live.states import ObjectStates, state_dtype
from firstlight.live.update import Logs, Parts, Update, update

__all__ = [
    "Arrivals",
    "Histories",
    "Logs",
    "ObjectStates",
    "Parts",
    "Update",
    "compact",
    "read_logs",
    "state_dtype",
    "update",
]
