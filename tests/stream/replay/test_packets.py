"""The compiled writer of packets: fastavro's bytes, any light curve, any subset of its rows."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.lightcurves import LightCurves
from firstlight.stream import Alert, ConfluentCodec, Observations
from firstlight.stream.alerts.alert import OBJECT_VALUES
from firstlight.stream.alerts.write import LSST_SCHEMA, lsst_record
from firstlight.stream.replay.packets import PacketColumns, PacketRows, window_starts, write_packets

NOTHING = np.empty(0, np.uint8)


def curves_of(seed: int, n_objects: int, n_obs: int, *, unknown: float = 0.3) -> LightCurves:
    """Random light curves with unknown values, times that coincide, and large numbers."""
    rng = np.random.default_rng(seed)
    total = n_objects * n_obs
    # up to six observations at one time, in different bands
    times = np.repeat(np.linspace(59000.0, 59900.0, 2 * n_obs), rng.integers(1, 7, 2 * n_obs))
    places = [np.sort(rng.choice(len(times), n_obs, replace=False)) for _ in range(n_objects)]
    flux = rng.normal(0.0, 1e3, total).astype(np.float32)
    values = {
        name: np.where(rng.random(n_objects) < unknown, np.nan, rng.uniform(0, 3, n_objects))
        for name in OBJECT_VALUES
    }
    return LightCurves(
        object_id=[str(int(n)) for n in rng.choice(1 << 60, n_objects, replace=False) + 1],
        offsets=np.arange(n_objects + 1) * n_obs,
        mjd=np.concatenate([times[place] for place in places]),
        band=np.concatenate([(place + rng.integers(6)) % 6 for place in places]),
        flux=flux,
        flux_err=rng.uniform(1.0, 9.0, total),
        detected=rng.random(total) < 0.4,
        dereddened=bool(seed % 2),
        **values,
    )


def rows_of(curves: LightCurves, days: float, place: Any = None) -> PacketRows:
    """A packet for every observation."""
    trigger = np.arange(len(curves.mjd))
    first = window_starts(curves.mjd, curves.offsets, days)
    return PacketRows(trigger, first, curves.object_index, trigger if place is None else place)


def alert_of(curves: LightCurves, rows: PacketRows, i: int, source_id: Any, known_from: Any) -> Alert:
    """Expected content of packet i, taken row by row."""
    row, owner = int(rows.trigger[i]), int(rows.owner[i])
    keep = [k for k in range(int(rows.first[i]), row + 1) if k == row or known_from[k] <= rows.place[i]]
    columns = (curves.mjd, curves.band, curves.flux, curves.flux_err, curves.detected, source_id)
    return Alert(
        str(source_id[row]),
        str(curves.object_id[owner]),
        float(curves.mjd[row]),
        Observations(*(column[keep] for column in columns)),
        source_id=int(source_id[row]),
        dereddened=curves.dereddened,
        **{name: float(getattr(curves, name)[owner]) for name in OBJECT_VALUES},
    )


@given(seed=st.integers(0, 10_000), n_obs=st.integers(1, 40), days=st.sampled_from([0.0, 30.0, np.inf]))
def test_packets_are_those_of_fastavro_byte_for_byte(seed: int, n_obs: int, days: float) -> None:
    pytest.importorskip("fastavro")
    curves = curves_of(seed, 3, n_obs)
    rng = np.random.default_rng(seed)
    number = curves.object_id.astype(np.int64)
    source_id = rng.integers(1, (1 << 63) - 1, len(curves.mjd))
    known_from = np.where(rng.random(len(curves.mjd)) < 0.2, rng.integers(0, 120, len(curves.mjd)), 0)
    rows = rows_of(curves, days)
    columns = PacketColumns.of(curves, number, source_id, known_from)
    codec = ConfluentCodec(schema_id=7)
    made = write_packets(columns, rows, NOTHING, 0, b"\0\0\0\0\7")
    for i, value in enumerate(made):
        assert value == codec.encode(alert_of(curves, rows, i, source_id, known_from))


@pytest.mark.parametrize("size", [1_000, 30_000, 80_000])
def test_packets_are_filled_up_to_a_size_with_a_cutout(size: int, packet: Any) -> None:
    curves = curves_of(1, 2, 9)
    ids, nothing = np.arange(1, 19), np.zeros(18, np.int64)
    rows = rows_of(curves, np.inf)
    cutout = np.frombuffer(np.random.default_rng(0).bytes(size), np.uint8)
    columns = PacketColumns.of(curves, curves.object_id.astype(np.int64), ids, nothing)
    for i, value in enumerate(write_packets(columns, rows, cutout, size)):
        assert abs(len(value) - size) <= 3
        alert = alert_of(curves, rows, i, ids, nothing)
        bare = len(packet(LSST_SCHEMA, lsst_record(alert)))
        filling = cutout[: max(size - bare - 2, 0)].tobytes()
        assert value == packet(LSST_SCHEMA, lsst_record(alert, filling))


def test_a_packet_longer_than_the_size_has_no_cutout_and_is_whole() -> None:
    curves = curves_of(2, 1, 40)
    ids, nothing = np.arange(1, 41), np.zeros(40, np.int64)
    columns = PacketColumns.of(curves, curves.object_id.astype(np.int64), ids, nothing)
    rows = rows_of(curves, np.inf)
    cutout = np.zeros(500, np.uint8)
    assert write_packets(columns, rows, cutout, 500)[-1] == write_packets(columns, rows, NOTHING, 0)[-1]


def test_no_packets_of_no_rows() -> None:
    curves = curves_of(3, 1, 4)
    none = np.empty(0, np.int64)
    columns = PacketColumns.of(curves, np.ones(1, np.int64), np.ones(4, np.int64), np.zeros(4, np.int64))
    assert write_packets(columns, PacketRows(none, none, none, none), NOTHING, 0) == []


@pytest.mark.parametrize("days", [0.0, 10.0, 365.0, np.inf])
def test_a_window_begins_at_the_first_observation_that_is_not_too_old(days: float) -> None:
    curves = curves_of(4, 5, 30)
    first = window_starts(curves.mjd, curves.offsets, days)
    for row, owner in enumerate(curves.object_index):
        rows = np.arange(curves.offsets[owner], row + 1)
        assert first[row] == rows[curves.mjd[row] - curves.mjd[rows] <= days][0]
