"""Public alerts of Rubin, ZTF and ELAsTiCC: their values, by both decoders and by every way in.

The packets are in the folder `packets`; its ATTRIBUTION.md names the sources. More folders with
containers can be given by FIRSTLIGHT_REAL_ALERTS; the checks against fastavro then cover them too.
"""

import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstlight.bands import BANDS
from firstlight.stream import Alert, ContainerCodec, Skip, SkipReason
from firstlight.stream.alerts.layouts import PacketReader, read_record, resolve_layout
from firstlight.stream.avro.container import ContainerReader
from firstlight.stream.avro.decode import FastavroDecoder, SelectiveDecoder
from firstlight.stream.avro.schema import field_paths

PACKETS = Path(__file__).parent / "packets"
FOLDER = os.environ.get("FIRSTLIGHT_REAL_ALERTS", "")
FILES = sorted(PACKETS.glob("*.avro")) + (sorted(Path(FOLDER).rglob("*.avro")) if FOLDER else [])


def alerts(name: str) -> list[Any]:
    return list(ContainerCodec().decode_all((PACKETS / name).read_bytes()))


def foreign(name: str) -> list[Any]:
    """The alerts as fastavro reads them."""
    return list(pytest.importorskip("fastavro").reader(BytesIO((PACKETS / name).read_bytes())))


def values(alert: Alert) -> tuple[Any, ...]:
    """Names, time, numbers of observations and detections, bands, and the flux that sent the alert."""
    o = alert.observations
    own = int(np.flatnonzero(o.mjd == alert.mjd)[-1])
    bands = "".join(BANDS[band] for band in np.unique(o.band))
    names = alert.alert_id, alert.object_id, alert.mjd
    return (*names, len(o), int(o.detected.sum()), bands, float(o.flux[own]), float(o.flux_err[own]))


def test_rubins_alerts_via_fink() -> None:
    first, second, asteroid = alerts("rubin_fink.avro")
    assert values(first) == (
        "170094456272322680", "170028485706776685", 61105.093643486834,
        397, 345, "griz", -19549.39453125, 555.803955078125,
    )  # fmt: skip
    assert values(second) == (
        "170094456248729605", "313893023095193658", 61105.093643486834,
        419, 294, "griz", 8130.5458984375, 513.67578125,
    )  # fmt: skip
    assert (second.ra, second.dec) == (62.51758655444568, -47.78628964576106)
    assert second.n_dropped == {"flag": 10}
    source = foreign("rubin_fink.avro")[1]["diaSource"]  # nJy as they are in the packet
    assert (source["psfFlux"], source["psfFluxErr"]) == values(second)[-2:]
    assert asteroid == Skip(
        SkipReason.SOLAR_SYSTEM, alert_id="170094456480989258", object_id="", mjd=61105.095800699935
    )


def test_a_ztf_alert_as_ztf_published_it() -> None:
    (alert,) = alerts("ZTF19acihgng.avro")
    assert values(alert) == (
        "1060135832015015002", "ZTF19acihgng", 58814.13626154093,
        33, 33, "gr", 127957.046875, 15898.76953125,
    )  # fmt: skip
    assert (alert.ra, alert.dec) == (289.8937586, 61.8469285)
    # the same measurement by hand: AB magnitude to nJy
    (record,) = foreign("ZTF19acihgng.avro")
    flux = 10 ** (0.4 * (31.4 - record["candidate"]["magpsf"]))
    assert alert.observations.flux[alert.observations.mjd == alert.mjd] == pytest.approx(flux, rel=1e-6)
    assert alert.mjd == pytest.approx(record["candidate"]["jd"] - 2400000.5 + 37 / 86400, abs=1e-9)


def test_ztf_alerts_via_fink_keep_the_sign_of_the_difference() -> None:
    found = alerts("ztf_fink.avro")
    assert [values(alert) for alert in found] == [
        ("3367463101415010117", "ZTF26aamcbly", 61121.46353014093, 2, 2, "gr", -955621.25, 79669.6640625),
        ("3367507383015010079", "ZTF26aamcffm", 61121.50781254098, 3, 3, "gr", -291486.75, 38240.46875),
        ("3367537290415015010", "ZTF25ackyyzk", 61121.53771994077, 20, 20, "r", 129901.234375,
         14697.9794921875),
    ]  # fmt: skip


def test_elasticcs_alerts_carry_host_redshifts_and_forced_photometry() -> None:
    found = alerts("elasticc.avro")
    assert [values(alert) for alert in found] == [
        ("251629870042", "125814935", 60505.1938, 1, 1, "i", 926.4136962890625, 264.8442077636719),
        ("216834516051", "108417258", 60575.0564, 15, 11, "ugrizy", 843.2003784179688, 138.70278930664062),
        ("266584760070", "133292380", 60386.0758, 71, 59, "ugrizy", 3539.624267578125, 687.2742919921875),
    ]  # fmt: skip
    host = found[1].ebv, found[1].redshift, found[1].redshift_err
    assert host == (0.07911980152130127, 0.269450306892395, 0.24851000308990479)
    assert np.isnan(found[1].redshift_spec)  # the simulated truth stays out


def records_of(path: Path) -> tuple[Any, list[bytes]]:
    container, found = ContainerReader(BytesIO(path.read_bytes())), []
    while (block := container.read_block()) is not None:
        found += [record for record in container.records(block) if isinstance(record, bytes)]
    return container.header.schema, found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_alerts_read_as_fastavro_reads_them(path: Path) -> None:
    fastavro = pytest.importorskip("fastavro")
    expected = [read_record(record) for record in fastavro.reader(BytesIO(path.read_bytes()))]
    found = list(ContainerCodec().decode_all(path.read_bytes()))
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, Skip):
            assert one == other
            continue
        assert isinstance(one, Alert)
        assert isinstance(other, Alert)
        assert (one.alert_id, one.object_id, one.mjd) == (other.alert_id, other.object_id, other.mjd)
        for name in ("mjd", "band", "flux", "flux_err", "detected", "source_id"):
            np.testing.assert_array_equal(getattr(one.observations, name), getattr(other.observations, name))
        assert one.light_curves().n_obs[0] == len(one.observations)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_field_of_real_alerts_reads_the_same_in_both_decoders(path: Path) -> None:
    pytest.importorskip("fastavro")
    schema, packets = records_of(path)
    layout = resolve_layout(field_paths(schema))
    fast, slow = SelectiveDecoder(schema, layout.selection), FastavroDecoder(schema, layout.selection)
    for packet in packets[:5]:
        left, right = fast.decode(packet), slow.decode(packet)
        assert left.scalars() == right.scalars()
        for number in range(len(layout.selection.tables)):
            assert left.table(number) == right.table(number)


WITHDRAWN = 61106.5


@pytest.mark.parametrize("spelling", [None, float("nan"), 0.0, -1.0, float("inf"), WITHDRAWN])
def test_only_a_finite_positive_time_withdraws_a_rubin_source(spelling: float | None) -> None:
    fastavro = pytest.importorskip("fastavro")
    record, (schema, _) = foreign("rubin_fink.avro")[1], records_of(PACKETS / "rubin_fink.avro")
    reader = PacketReader(schema)

    def read(where: str) -> Alert | Skip:
        rows = record[where] if isinstance(record[where], list) else [record[where]]
        before = [row["timeWithdrawnMjdTai"] for row in rows]
        for row in rows:
            row["timeWithdrawnMjdTai"] = spelling
        out = BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
        for row, value in zip(rows, before, strict=True):
            row["timeWithdrawnMjdTai"] = value
        return reader.read(out.getvalue())[0]

    own, previous = read("diaSource"), read("prvDiaSources")
    assert isinstance(previous, Alert)
    if spelling == WITHDRAWN:
        assert isinstance(own, Skip)
        assert own.reason is SkipReason.WITHDRAWN
        assert previous.observations.detected.sum() == 1
    else:
        assert isinstance(own, Alert)
        assert own.observations.detected.sum() == previous.observations.detected.sum() == 294
