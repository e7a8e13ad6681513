"""Objects that grow alert by alert: their states, their histories, and the update of both."""

from firstlight.online.arrivals import Arrivals
from firstlight.online.history import Histories, read_histories
from firstlight.online.states import ObjectStates, state_dtype
from firstlight.online.update import HistoryReader, Parts, Update, update

__all__ = [
    "Arrivals",
    "Histories",
    "HistoryReader",
    "ObjectStates",
    "Parts",
    "Update",
    "read_histories",
    "state_dtype",
    "update",
]
