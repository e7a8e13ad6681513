"""Packets of our LSST-like schema in bulk, written by numba without the GIL.

The bytes are those of fastavro for `lsst_record`, at twenty times the speed and with constant
memory, so that a replay outruns the worker under test (decision 0051).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from firstlight.bands import BANDS
from firstlight.kernels import kernel
from firstlight.lightcurves import LightCurves

#: Greatest size of an observation, and of the rest of a packet without the cutout [byte].
_ROW_BYTES, _OTHER_BYTES = 80, 256
#: Bytes around a cutout: branch, length (three bytes from 8 kB up), the branch after it.
_CUTOUT_EXTRA = 5

_NULL, _VALUE = 0, 2  # branches of a union with null first, as Avro writes them
_BAND_NAMES = np.frombuffer("".join(BANDS).encode(), np.uint8)


class PacketRows(NamedTuple):
    """Rows of the columns that go into each of n packets (int64 arrays, shape (n,))."""

    trigger: NDArray[np.int64]  # the observation that triggers the alert
    first: NDArray[np.int64]  # first observation of its history
    owner: NDArray[np.int64]  # its object
    place: NDArray[np.int64]  # index of the alert in the stream; later observations are left out


@dataclass(frozen=True, eq=False)
class PacketColumns:
    """Light curves as the compiled writer reads them: floats as little-endian bytes on a last axis."""

    mjd: NDArray[np.uint8]  # (n_total, 8)
    flux: NDArray[np.uint8]  # (n_total, 4)
    flux_err: NDArray[np.uint8]  # (n_total, 4)
    band: NDArray[np.int8]
    detected: NDArray[np.bool_]
    source_id: NDArray[np.int64]  # positive
    known_from: NDArray[np.int64]  # (n_total,), index in the stream from which on packets contain it
    number: NDArray[np.int64]  # (n_objects,), positive
    position: NDArray[np.uint8]  # (n_objects, 2, 8), right ascension and declination
    host: NDArray[np.uint8]  # (n_objects, 4, 4), E(B-V), photometric redshift, its error, spectroscopic one
    unknown: NDArray[np.bool_]  # (n_objects, 6), missing values of position and host
    dereddened: bool

    @classmethod
    def of(
        cls,
        curves: LightCurves,
        number: NDArray[np.int64],
        source_id: NDArray[np.int64],
        known_from: NDArray[np.int64],
    ) -> Self:
        """Columns of some light curves; see the attributes for the numbers."""
        position = np.stack([curves.ra, curves.dec], axis=1)
        host = np.stack([curves.ebv, curves.redshift, curves.redshift_err, curves.redshift_spec], axis=1)
        return cls(
            mjd=_as_bytes(curves.mjd, "<f8"),
            flux=_as_bytes(curves.flux, "<f4"),
            flux_err=_as_bytes(curves.flux_err, "<f4"),
            band=curves.band,
            detected=curves.detected,
            source_id=source_id,
            known_from=known_from,
            number=number,
            position=_as_bytes(position, "<f8"),
            host=_as_bytes(host, "<f4"),
            unknown=np.isnan(np.concatenate([position, host], axis=1)),
            dereddened=curves.dereddened,
        )


def _as_bytes(values: NDArray[Any], kind: str) -> NDArray[np.uint8]:
    """Bytes of each value, on a new last axis."""
    whole = np.ascontiguousarray(values, dtype=kind)
    return whole.view(np.uint8).reshape(*whole.shape, whole.itemsize)


def write_packets(
    columns: PacketColumns, rows: PacketRows, cutout: NDArray[np.uint8], size: int, frame: bytes = b""
) -> list[bytes]:
    """Packets of `LSST_SCHEMA`, each after `frame`, filled up to `size` bytes with `cutout`.

    `cutout` has at least `size` bytes; longer packets get none.
    """
    n_rows = int((rows.trigger - rows.first + 1).sum())
    room = n_rows * _ROW_BYTES + len(rows.trigger) * (_OTHER_BYTES + len(frame) + max(size, 0))
    out, ends = np.empty(room, np.uint8), np.empty(len(rows.trigger), np.int64)
    _write_all(
        out, ends, *rows, columns.mjd, columns.flux, columns.flux_err, columns.band, columns.detected,
        columns.source_id, columns.known_from, columns.number, columns.position, columns.host,
        columns.unknown, columns.dereddened, cutout, size, np.frombuffer(frame, np.uint8),
    )  # fmt: skip
    return [out[start:stop].tobytes() for start, stop in pairwise([0, *ends.tolist()])]


@kernel
def window_starts(mjd: Any, offsets: Any, days: float) -> Any:
    """Row of the first observation of its object at most `days` older, for every observation.

    `mjd` ascends within an object, whose rows begin at `offsets`; `days` may be infinite.
    """
    first = np.empty(len(mjd), np.int64)
    for i in range(len(offsets) - 1):
        start = offsets[i]
        for row in range(offsets[i], offsets[i + 1]):
            while mjd[row] - mjd[start] > days:
                start += 1
            first[row] = start
    return first


@kernel
def _copy(out: Any, at: int, data: Any, count: int) -> int:
    """Copy bytes; returns the offset after them."""
    for i in range(count):
        out[at + i] = data[i]
    return at + count


@kernel(inner=True)
def _long(out: Any, at: int, value: int) -> int:
    """Write a non-negative number as a zigzag integer."""
    bits = np.uint64(value) << np.uint64(1)
    while bits > np.uint64(0x7F):
        out[at] = np.uint8(bits & np.uint64(0x7F)) | np.uint8(0x80)
        bits >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(bits)
    return at + 1


@kernel(inner=True)
def _byte(out: Any, at: int, value: int) -> int:
    out[at] = value
    return at + 1


@kernel(inner=True)
def _flux(out: Any, at: int, flux: Any, flux_err: Any) -> int:
    at = _copy(out, _byte(out, at, _VALUE), flux, 4)
    return _copy(out, _byte(out, at, _VALUE), flux_err, 4)


@kernel
def _band(out: Any, at: int, band: int) -> int:
    """Write a string of one letter."""
    at = _byte(out, _byte(out, at, _VALUE), 2)
    return _byte(out, at, _BAND_NAMES[band])


@kernel
def _source(
    out: Any, at: int, row: int, number: int, source_id: Any, mjd: Any, flux: Any, flux_err: Any, band: Any,
    position: Any, measured: bool,
) -> int:  # fmt: skip
    """Write a record diaSource, without band and flux unless `measured`."""
    at = _long(out, at, source_id[row])
    at = _byte(out, _byte(out, at, 0), 0)  # visit and detector
    at = _long(out, _byte(out, at, _VALUE), number)
    at = _byte(out, at, _NULL)  # ssObjectId
    at = _copy(out, at, mjd[row], 8)
    at = _copy(out, _copy(out, at, position[0], 8), position[1], 8)
    if not measured:
        for _ in range(5):  # psfFlux, psfFluxErr, snr, band, timeWithdrawnMjdTai
            at = _byte(out, at, _NULL)
        return at
    at = _flux(out, at, flux[row], flux_err[row])
    at = _byte(out, at, _NULL)  # snr
    return _byte(out, _band(out, at, band[row]), _NULL)


@kernel(inner=True)
def _forced(
    out: Any, at: int, row: int, number: int, source_id: Any, mjd: Any, flux: Any, flux_err: Any, band: Any
) -> int:
    """Write a record diaForcedSource."""
    at = _long(out, _long(out, at, source_id[row]), number)
    at = _byte(out, _byte(out, at, 0), 0)  # visit and detector
    at = _flux(out, _copy(out, at, mjd[row], 8), flux[row], flux_err[row])
    return _byte(out, _band(out, at, band[row]), _NULL)


@kernel(inner=True)
def _object(out: Any, at: int, number: int, position: Any, host: Any, unknown: Any) -> int:
    """Write a record diaObject; unknown values are null."""
    at = _long(out, at, number)
    for i in range(2):
        at = _byte(out, at, _NULL if unknown[i] else _VALUE)
        if not unknown[i]:
            at = _copy(out, at, position[i], 8)
    for i in range(4):
        at = _byte(out, at, _NULL if unknown[2 + i] else _VALUE)
        if not unknown[2 + i]:
            at = _copy(out, at, host[i], 4)
    return at


@kernel
def _cutout(out: Any, at: int, cutout: Any, room: int) -> int:
    """Write the three cutouts; only the science cutout has bytes, at most `room`."""
    at = _byte(out, at, _NULL)
    if room <= 0:
        return _byte(out, _byte(out, at, _NULL), _NULL)
    at = _long(out, _byte(out, at, _VALUE), room)
    out[at : at + room] = cutout[:room]
    return _byte(out, at + room, _NULL)


@kernel
def _write_all(
    out: Any, ends: Any, trigger: Any, first: Any, owner: Any, place: Any, mjd: Any, flux: Any, flux_err: Any,
    band: Any, detected: Any, source_id: Any, known_from: Any, numbers: Any, positions: Any, hosts: Any,
    unknown: Any, dereddened: bool, cutout: Any, size: int, frame: Any,
) -> None:  # fmt: skip
    """Write packets one after the other; `ends` gets the end of each."""
    at = 0
    for i in range(len(trigger)):
        begin, row, own = at, trigger[i], owner[i]
        number, position = numbers[own], positions[own]
        at = _copy(out, at, frame, len(frame))
        at = _long(out, at, source_id[row])
        at = _source(out, at, row, number, source_id, mjd, flux, flux_err, band, position, detected[row])
        n_previous, n_forced = 0, 0
        for k in range(first[i], row + 1):
            if k == row or known_from[k] <= place[i]:
                n_previous += detected[k] and k != row
                n_forced += not detected[k]
        at = _byte(out, at, _VALUE)
        if n_previous > 0:
            at = _long(out, at, n_previous)
            for k in range(first[i], row):
                if detected[k] and known_from[k] <= place[i]:
                    at = _source(out, at, k, number, source_id, mjd, flux, flux_err, band, position, True)
        at = _byte(out, _byte(out, at, 0), _VALUE)  # end of one array, beginning of the next
        if n_forced > 0:
            at = _long(out, at, n_forced)
            for k in range(first[i], row + 1):
                if not detected[k] and (k == row or known_from[k] <= place[i]):
                    at = _forced(out, at, k, number, source_id, mjd, flux, flux_err, band)
        at = _byte(out, _byte(out, at, 0), _VALUE)
        at = _object(out, at, number, position, hosts[own], unknown[own])
        at = _byte(out, _byte(out, at, _VALUE), 1 if dereddened else 0)
        at = _cutout(out, at, cutout, size - (at - begin) - _CUTOUT_EXTRA)
        ends[i] = at
