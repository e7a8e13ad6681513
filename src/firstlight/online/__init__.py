"""Objects that grow while they are watched: their states, their logs, one update an alert."""

from firstlight.online.arrivals import Arrivals
from firstlight.online.history import Histories, compact, read_logs
from firstlight.online.states import ObjectStates, state_dtype
from firstlight.online.update import Logs, Parts, Update, update

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
