"""Bad packets: one dead letter each with reason and place; other alerts are not affected."""

import json
from dataclasses import replace

import numpy as np
import pytest

from firstlight.stream import JsonLinesCodec


def line(alert, **changes) -> bytes:
    """An alert as JSON, with some values of it or of its observations replaced."""
    record = json.loads(JsonLinesCodec().encode(alert))
    for name, value in changes.items():
        (record["observations"] if name in record["observations"] else record)[name] = value
    return json.dumps(record).encode()


def columns(n, **changes):
    """Observations of an alert, all alike."""
    observations = {"mjd": list(range(60000, 60000 + n)), "band": "r" * n, "flux": [10.0] * n}
    observations |= {"flux_err": [1.0] * n, "detected": [True] * n, "source_id": list(range(n))}
    return {"observations": observations | changes}


def test_every_bad_packet_is_one_dead_letter_and_the_rest_is_as_without_them(
    run, alert_stream, lsst_latest, packet, make_alert
):
    good = [JsonLinesCodec().encode(alert) for alert in alert_stream]
    framed = b"\0\0\0\0\x01" + packet(lsst_latest.schema, lsst_latest.record(make_alert(20)))
    alert = alert_stream[3]
    n = len(alert.observations)
    nan = float("nan")
    poison = {
        "empty": b"",
        "blank": b" \n ",
        "huge": b"\x42" * (4 << 20),
        "huge JSON": b'{"alert_id": "' + b"x" * (4 << 20),
        "deep JSON": b"[" * 100_000,
        "deep object": b'{"a":' * 100_000,
        "unknown schema": b"\0\0\0\0\x63" + framed[5:],
        "no schema at all": framed,
        "flux of 1e300": line(alert, flux=[1e300] * n),
        "flux that is no number": line(alert, flux=[nan] * n),
        "error of 0": line(alert, flux_err=[0.0] * n),
        "error below 0": line(alert, flux_err=[-1.0] * n),
        "band X": line(alert, band="X" * n),
        "no bands": line(alert, band=""),
        "NaN times": line(alert, mjd=[nan] * n),
        "alert at no time": at(alert, nan),
        "endless time": at(alert, float("inf")),
        "falling times": line(alert, **columns(2, mjd=[60001.0, 60000.0])),
        "ragged": line(alert, **columns(3, flux=[1.0])),
        "flux as text": line(alert, **columns(1, flux=["bright"])),
        "source beyond 64 bits": line(alert, **columns(1, source_id=[1 << 70])),
        "no observations key": b'{"object_id": "a", "alert_id": "b", "observations": 7}',
        "lone surrogate": line(alert, object_id="\ud800"),
        "Julian dates": line(alert, mjd=[2_460_000.0] * n),
        "sent at 1e300": at(alert, 1e300),
        "zlib of nothing": b"\x78\x9c" + bytes(50),
        "container cut short": b"Obj\x01\x04",
        "key of 10 MB": (b"k" * (10 << 20), b"\x00\x01"),
        "schema of 10 MB as key": (b'{"fields": "' + b"x" * (10 << 20), b"\x02\x02"),
    }
    messages, places = list(good), {}
    for i, (name, value) in enumerate(poison.items()):
        messages.insert(5 * i + 2, value)
        places[5 * i + 2] = name
    expected, done = run(good), run(messages)
    assert expected.letters == []
    letters = done.letters
    assert {letter["offset"]: letter["kind"] for letter in letters} == dict.fromkeys(places, "decode")
    for letter in letters:
        assert len(letter["reason"]) > 10, places[letter["offset"]]
        assert len(letter["reason"]) < 2000, places[letter["offset"]]
        assert (letter["topic"], letter["partition"]) == ("t", 0)
    assert done.worker.metrics.total("rejected") == len(poison)
    assert done.records == expected.records


def at(alert, mjd) -> bytes:
    record = json.loads(JsonLinesCodec().encode(alert))
    record["mjd"] = mjd
    return json.dumps(record).encode()


def test_an_alert_without_an_object_is_a_letter_only_with_the_option(run, alert_stream):
    messages = [line(alert_stream[0], object_id=""), JsonLinesCodec().encode(alert_stream[1])]
    done = run(messages)
    assert (len(done.records), done.letters) == (1, [])
    assert done.worker.metrics.by_label("skipped") == {"no-object": 1}
    kept = run(messages, keep_skips=True).letters
    assert [(letter["kind"], letter["reason"]) for letter in kept] == [("skip", "no-object")]


@pytest.mark.parametrize("flux", [1e30, -1e30, 3e38])
def test_a_flux_at_the_edge_of_what_a_number_holds_harms_only_its_own_object(run, alert_stream, flux):
    good = [JsonLinesCodec().encode(alert) for alert in alert_stream]
    mad = alert_stream[0].object_id
    edge = replace(
        alert_stream[0],
        alert_id="edge",
        observations=replace(
            alert_stream[0].observations,
            flux=np.full(len(alert_stream[0].observations), flux, np.float32),
        ),
    )
    done, expected = run([good[0], JsonLinesCodec().encode(edge), *good[1:]]), run(good)
    assert len(done.records) + len(done.letters) == len(good) + 1
    assert done.without(mad) == expected.without(mad)
    for record in map(json.loads, done.records):
        assert np.isfinite(list(record["proba"].values())).all()


@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_cut_and_flipped_packets_are_a_record_or_a_letter_and_nothing_else(
    run, alert_stream, lsst_latest, packet, make_alert, how
):
    fastavro = pytest.importorskip("fastavro")
    rng = np.random.default_rng(4)
    whole = packet(lsst_latest.schema, lsst_latest.record(make_alert(12, object_id="77")))
    key = json.dumps(fastavro.parse_schema(lsst_latest.schema)).encode()
    bad = []
    for _ in range(60):
        data = bytearray(whole)
        if how == "cut":
            data = data[: int(rng.integers(0, len(data)))]
        else:
            for at in rng.integers(0, len(data), 4):
                data[at] ^= 1 << int(rng.integers(0, 8))
        bad.append((key, bytes(data)))
    good = [JsonLinesCodec().encode(alert) for alert in alert_stream[:60]]
    mixed = [message for pair in zip(good, bad, strict=True) for message in pair]
    done, expected = run(mixed), run(good)
    names = {alert.object_id for alert in alert_stream}
    assert [value for value in done.records if json.loads(value)["object"] in names] == expected.records
    counts = done.worker.metrics
    answered = len(done.records) - len(good) + counts.total("redelivered") + counts.total("skipped")
    assert answered + len(done.letters) == len(bad)
    assert all(letter["offset"] % 2 == 1 for letter in done.letters)
    if how == "cut":
        assert len(done.letters) == len(bad)
