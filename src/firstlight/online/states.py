"""`ObjectStates`: all that must be remembered of an object to update it, as rows of one size.

A row is a numpy structured scalar, so that states of many objects are read from bytes and
written to bytes in one copy. What may grow, the observations themselves, is in the log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from firstlight.encoder import Encoder, EncoderState
from firstlight.errors import DataError
from firstlight.lightcurves import OBJECT_COLUMNS
from firstlight.taxonomy import CLASSES

__all__ = ["META", "RECENT", "ObjectStates", "state_dtype"]

#: What an alert may say of an object beside its observations, in order.
META = tuple(OBJECT_COLUMNS)
#: Observations of which a state keeps short hashes: more than LSST's main survey takes of a
#: place in the twelve months that a packet tells of.
RECENT = 128


def state_dtype(encoder: Encoder) -> np.dtype[Any]:
    """Layout of one object's state.

    Fields
    ------
    n_obs, last_mjd, digest, recent
        Number of raw observations, time of the last, digest of them in order, and a ring of
        short hashes of the last ones.
    n_kept, kept_digest
        The same of what preprocessing left and the encoder was advanced by.
    alert_mjd, alert
        Latest alert: time and digest of its name.
    n_entries
        Entries of the object's log.
    dereddened
        Whether its fluxes come corrected for dust.
    meta, meta_mjd
        What is known of position, dust and redshift, and the time of the alert that said it.
    proba
        Probabilities of the last answer; NaN before the first.
    running, hidden
        State of the encoder.
    """
    empty = encoder.initial_state(1)
    return np.dtype(
        [
            ("n_obs", "<i8"),
            ("last_mjd", "<f8"),
            ("digest", "<u8"),
            ("recent", "<u4", (RECENT,)),
            ("n_kept", "<i8"),
            ("kept_digest", "<u8"),
            ("alert_mjd", "<f8"),
            ("alert", "<u8"),
            ("n_entries", "<i4"),
            ("dereddened", "<i4"),
            ("meta", "<f8", (len(META),)),
            ("meta_mjd", "<f8", (len(META),)),
            ("proba", "<f8", (len(CLASSES),)),
            ("running", "<f8", empty.running.shape[1:]),
            ("hidden", "<f4", empty.hidden.shape[1:]),
        ]
    )


@dataclass(frozen=True, slots=True, eq=False)
class ObjectStates:
    """States of n objects.

    Attributes
    ----------
    data : structured array, shape (n_objects,)
        Fields as in `state_dtype`.
    """

    data: NDArray[np.void]

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.data)

    @classmethod
    def initial(cls, encoder: Encoder, n_objects: int) -> Self:
        """States of objects of which nothing was seen yet."""
        data = np.zeros(n_objects, state_dtype(encoder))
        for name in ("last_mjd", "alert_mjd", "meta_mjd"):
            data[name] = -np.inf
        data["meta"] = np.nan
        data["proba"] = np.nan
        data["running"] = encoder.initial_state(1).running
        return cls(data)

    @classmethod
    def from_bytes(cls, encoder: Encoder, rows: Sequence[bytes | None]) -> Self:
        """States as `to_bytes` wrote them; None for an object of which nothing was seen.

        Raises
        ------
        DataError
            If a row has another size: it was written by another kind of bundle.
        """
        states = cls.initial(encoder, len(rows))
        known = [i for i, row in enumerate(rows) if row is not None]
        size = states.data.dtype.itemsize
        wrong = [i for i in known if len(rows[i] or b"") != size]
        if wrong:
            raise DataError(
                f"state {wrong[0]} has {len(rows[wrong[0]] or b'')} bytes, this bundle's have {size}; "
                "drop it, and it is made anew from the log"
            )
        if known:
            joined = b"".join(rows[i] or b"" for i in known)
            states.data[known] = np.frombuffer(joined, states.data.dtype)
        return states

    def to_bytes(self) -> list[bytes]:
        """One row of bytes an object."""
        size, raw = self.data.dtype.itemsize, self.data.tobytes()
        return [raw[i * size : (i + 1) * size] for i in range(len(self.data))]

    def encoder_state(self) -> EncoderState:
        """The encoder's part, copied into arrays of their own."""
        return EncoderState(
            np.ascontiguousarray(self.data["running"]), np.ascontiguousarray(self.data["hidden"])
        )
