"""`ObjectStates`: states of objects between alerts, as rows of fixed size.

A row is a numpy structured scalar, so that many states are read or written in one copy. The observations,
which may grow without limit, are in the history.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from firstlight._types import FloatArray
from firstlight.encoder import Encoder, EncoderState
from firstlight.errors import DataError
from firstlight.features.nights import ROW_SIZE, initial_rows
from firstlight.lightcurves import OBJECT_COLUMNS
from firstlight.taxonomy import CLASSES

#: Values of an object that an alert may carry beside its observations, in order.
META = tuple(OBJECT_COLUMNS)
#: Number of observations with a short hash in the state: more than LSST's main survey takes of a
#: place in the twelve months that a packet covers.
RECENT = 128


def state_dtype(encoder: Encoder, n_classes: int = len(CLASSES), with_nights: bool = False) -> np.dtype[Any]:
    """Layout of one object's state.

    Fields
    ------
    n_obs, last_mjd, digest, recent
        Number of raw observations, time of the last, their digest in order, and a ring of short
        hashes of the last ones.
    n_kept, kept_digest
        Number and digest of the preprocessed observations in the encoder's state.
    alert_mjd, alert
        Time and name digest of the latest alert.
    n_entries
        Number of entries of the object's history.
    dereddened
        Whether its fluxes are corrected for dust.
    meta, meta_mjd
        Position, dust and redshift, and the times of the alerts that state them.
    proba
        Probabilities of the last prediction; NaN before the first.
    running, hidden
        State of the encoder.
    nights
        Nightly points of the Gaussian process, `features.nights`; absent from other states.
    """
    empty = encoder.initial_state(1)
    nights = [("nights", "<f8", (ROW_SIZE,))] if with_nights else []
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
            ("proba", "<f8", (n_classes,)),
            ("running", "<f8", empty.running.shape[1:]),
            ("hidden", "<f4", empty.hidden.shape[1:]),
            *nights,
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
    def initial(
        cls, encoder: Encoder, n_objects: int, n_classes: int = len(CLASSES), with_nights: bool = False
    ) -> Self:
        """States of objects without any observation."""
        data = np.zeros(n_objects, state_dtype(encoder, n_classes, with_nights))
        for name in ("last_mjd", "alert_mjd", "meta_mjd"):
            data[name] = -np.inf
        data["meta"] = np.nan
        data["proba"] = np.nan
        data["running"] = encoder.initial_state(1).running
        if with_nights:
            data["nights"] = initial_rows(1)
        return cls(data)

    @classmethod
    def from_bytes(
        cls,
        encoder: Encoder,
        rows: Sequence[bytes | None],
        n_classes: int = len(CLASSES),
        with_nights: bool = False,
    ) -> Self:
        """States from the rows of `to_bytes`; None for an object without any observation.

        Raises
        ------
        DataError
            If a row has another size: it was written with another kind of bundle.
        """
        states = cls.initial(encoder, len(rows), n_classes, with_nights)
        known = [i for i, row in enumerate(rows) if row is not None]
        size = states.data.dtype.itemsize
        wrong = [i for i in known if len(rows[i] or b"") != size]
        if wrong:
            raise DataError(
                f"state {wrong[0]} has {len(rows[wrong[0]] or b'')} bytes, this bundle's have {size}; "
                "drop it, and it is rebuilt from the history"
            )
        if known:
            joined = b"".join(rows[i] or b"" for i in known)
            states.data[known] = np.frombuffer(joined, states.data.dtype)
        return states

    def to_bytes(self) -> list[bytes]:
        """One row of bytes per object."""
        size, raw = self.data.dtype.itemsize, self.data.tobytes()
        return [raw[i * size : (i + 1) * size] for i in range(len(self.data))]

    def encoder_state(self) -> EncoderState:
        """Copy of the encoder's part."""
        return EncoderState(
            np.ascontiguousarray(self.data["running"]), np.ascontiguousarray(self.data["hidden"])
        )

    def nights(self) -> FloatArray | None:
        """Copy of the nightly points, shape (n_objects, ROW_SIZE); None where the states have none."""
        return (
            np.ascontiguousarray(self.data["nights"]) if "nights" in (self.data.dtype.names or ()) else None
        )
