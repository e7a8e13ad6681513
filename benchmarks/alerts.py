"""Microseconds per alert packet of the compiled selective decoder and of fastavro, in one run.

Run ``python benchmarks/alerts.py``; it writes ``benchmarks/results/alerts.json``. Under a
minute of processor time, one thread. The packets have the width of LSST's schema 10 (98
fields per source, 14 per forced source, 82 per object) and cutouts as bytes: 30 kB with 21
previous sources, 80 kB with 181. They are filled at random, with nulls as counted in alerts
of Rubin: 9 % of a source's fields always, 17 % in a third of the rows, the others never.
Every packet differs. Figures are medians over turns, by wall time and by processor time.
"""

from _harness import parser, result, take_turns, write

# isort: split
import statistics
import zlib
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any

import fastavro
import numpy as np

from firstlight.stream import Alert, AntaresCodec, ConfluentCodec, JsonLinesCodec, LasairCodec, MemorySchemas
from firstlight.stream.alerts.layouts import read_record, resolve_layout
from firstlight.stream.avro.decode import SelectiveDecoder
from firstlight.stream.avro.schema import field_paths

SCHEMA_ID = 1000
#: Name: previous sources, forced sources, bytes of the whole packet.
SIZES = {"30_kB": (21, 30, 30_000), "80_kB": (181, 60, 80_000)}
PACKETS = 60
LSST_ALERTS_PER_S = 280  # mean over a night; the aim is ten times that

NEEDED = ("visit", "midpointMjdTai", "psfFlux", "psfFluxErr", "band", "timeWithdrawnMjdTai")


#: A function and the packets that it is called with.
Contestant = tuple[Callable[[Any], Any], list[Any]]


def main() -> None:
    args = parser(__doc__, "alerts").parse_args()
    schema = wide_schema()
    table = result(
        "microseconds per packet, medians over turns of all packets; cpu_us by processor time",
        *("numpy", "numba", "fastavro"),
        n_packets=PACKETS,
        turns=args.turns,
        sizes={name: contest(schema, *size, args.turns) for name, size in SIZES.items()},
        lsst_alerts_per_s=LSST_ALERTS_PER_S,
    )
    write(args.out, table)


def contest(schema: Any, n_previous: int, n_forced: int, n_bytes: int, turns: int) -> dict[str, Any]:
    """All contestants on packets of one size."""
    rng = np.random.default_rng(n_previous)
    packets = [packet(schema, rng, n_previous, n_forced, n_bytes) for _ in range(PACKETS)]
    codec = ConfluentCodec(MemorySchemas({SCHEMA_ID: schema}))
    selection = resolve_layout(field_paths(schema)).selection
    decoder = SelectiveDecoder(schema, selection)
    parsed, reduced = fastavro.parse_schema(schema), fastavro.parse_schema(narrow_schema(schema))
    framed = [b"\0" + SCHEMA_ID.to_bytes(4, "big") + value for value in packets]
    alerts = [codec.decode(value) for value in framed]
    check(alerts, packets, parsed)
    contestants: dict[str, Contestant] = {
        "selective_decoder": (decoder.decode, packets),
        "fastavro": (lambda value: fastavro.schemaless_reader(BytesIO(value), parsed), packets),
        "fastavro_reader_schema": (
            lambda value: fastavro.schemaless_reader(BytesIO(value), parsed, reduced),
            packets,
        ),
        "packet_to_alert": (codec.decode, framed),
        "packet_to_alert_by_fastavro": (
            lambda value: read_record(fastavro.schemaless_reader(BytesIO(value[5:]), parsed)),
            framed,
        ),
    }
    for name, other in (
        ("json_lines", JsonLinesCodec()),
        ("lasair", LasairCodec()),
        ("antares", AntaresCodec()),
    ):
        contestants[f"{name}_to_alert"] = (other.decode, [other.encode(alert) for alert in alerts])
    figures = figures_of(contestants, turns)
    return {
        "packet_bytes": statistics.median(map(len, packets)),
        "previous_sources": n_previous,
        "forced_sources": n_forced,
        "observations": statistics.median(len(alert.observations) for alert in alerts),
        "contestants": figures,
        "times_faster_by_cpu": {
            "decode_than_fastavro": ratio(figures, "fastavro", "selective_decoder"),
            "decode_than_fastavro_reader_schema": ratio(
                figures, "fastavro_reader_schema", "selective_decoder"
            ),
            "packet_to_alert": ratio(figures, "packet_to_alert_by_fastavro", "packet_to_alert"),
        },
        "alerts_per_cpu_s": round(1e6 / figures["packet_to_alert"]["cpu_us"]),
    }


def figures_of(contestants: dict[str, Contestant], turns: int) -> dict[str, dict[str, float]]:
    """Microseconds per packet of each contestant."""

    def run(step: Callable[[Any], Any], values: list[Any]) -> None:
        for value in values:
            step(value)

    times = take_turns({name: partial(run, *one) for name, one in contestants.items()}, turns)
    per_packet = {name: 1e6 / len(values) for name, (_, values) in contestants.items()}
    return {
        name: {
            "median_us": round(one.median * per_packet[name], 2),
            "fastest_us": round(min(one.wall) * per_packet[name], 2),
            "slowest_us": round(max(one.wall) * per_packet[name], 2),
            "cpu_us": round(one.median_cpu * per_packet[name], 2),
        }
        for name, one in times.items()
    }


def ratio(figures: dict[str, dict[str, float]], slow: str, fast: str) -> float:
    return round(figures[slow]["cpu_us"] / figures[fast]["cpu_us"], 1)


def check(alerts: list[Any], packets: list[bytes], parsed: Any) -> None:
    """Both decoders must give the same alerts."""
    for alert, value in zip(alerts, packets, strict=True):
        other = read_record(fastavro.schemaless_reader(BytesIO(value), parsed))
        if not isinstance(alert, Alert) or not isinstance(other, Alert):
            raise SystemExit("a packet of the benchmark is no alert")
        for name in ("mjd", "band", "flux", "flux_err", "detected"):
            if not np.array_equal(getattr(alert.observations, name), getattr(other.observations, name)):
                raise SystemExit(f"the decoders disagree in {name}")


# --- packets of realistic width -----------------------------------------------------


def wide_schema() -> dict[str, Any]:
    """LSST's names for the fields that we read, and fillers of its types in its numbers elsewhere."""

    def record(name: str, own: dict[str, Any], floats: int, flags: int, integers: int) -> dict[str, Any]:
        fields = [{"name": key, "type": kind} for key, kind in own.items()]
        for kind, count in (("float", floats), ("boolean", flags), ("int", integers)):
            fields += [{"name": f"{name}_{kind}{i}", "type": ["null", kind]} for i in range(count)]
        order = np.random.default_rng(len(name)).permutation(len(fields))
        return {"type": "record", "name": name, "fields": [fields[i] for i in order]}

    def optional(kind: Any) -> list[Any]:
        return ["null", kind]

    common = {
        "visit": "long",
        "detector": "int",
        "midpointMjdTai": "double",
        "ra": "double",
        "dec": "double",
        "psfFlux": optional("float"),
        "psfFluxErr": optional("float"),
        "band": optional("string"),
        "timeProcessedMjdTai": optional("double"),
        "timeWithdrawnMjdTai": optional("double"),
    }
    own = {"diaSourceId": "long", "diaObjectId": optional("long"), "ssObjectId": optional("long")}
    source = record("diaSource", own | common, 49, 31, 5)
    forced = record("diaForcedSource", {"diaForcedSourceId": "long", "diaObjectId": "long"} | common, 2, 0, 0)
    about = record("diaObject", {"diaObjectId": "long", "ra": "double", "dec": "double"}, 72, 0, 7)
    fields = {
        "diaSourceId": "long",
        "observation_reason": optional("string"),
        "target_name": optional("string"),
        "diaSource": source,
        "prvDiaSources": optional({"type": "array", "items": "diaSource"}),
        "prvDiaForcedSources": optional({"type": "array", "items": forced}),
        "diaObject": optional(about),
        "ssSource": optional(record("ssSource", {"ssObjectId": optional("long")}, 38, 0, 0)),
        "mpc_orbits": optional(record("mpc_orbits", {"id": "int"}, 50, 0, 2)),
        "cutoutDifference": optional("bytes"),
        "cutoutScience": optional("bytes"),
        "cutoutTemplate": optional("bytes"),
    }
    return {
        "type": "record",
        "name": "alert",
        "namespace": "benchmark",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
    }


def narrow_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema with only the fields that an alert needs, for fastavro to resolve against."""
    wanted = {
        "alert": ("diaSourceId", "diaSource", "prvDiaSources", "prvDiaForcedSources", "diaObject"),
        "diaSource": ("diaSourceId", "diaObjectId", "ssObjectId", *NEEDED),
        "diaForcedSource": ("diaForcedSourceId", *NEEDED),
        "diaObject": ("diaObjectId", "ra", "dec"),
    }

    def cut(kind: Any) -> Any:
        if isinstance(kind, list):
            return [cut(branch) for branch in kind]
        if not isinstance(kind, dict):
            return kind
        if kind["type"] == "array":
            return {**kind, "items": cut(kind["items"])}
        fields = [
            {**entry, "type": cut(entry["type"])}
            for entry in kind["fields"]
            if entry["name"] in wanted[kind["name"]]
        ]
        return {**kind, "fields": fields}

    return cut(schema)


def packet(
    schema: dict[str, Any], rng: np.random.Generator, n_previous: int, n_forced: int, n_bytes: int
) -> bytes:
    """One packet; cutouts fill it up to the wanted size."""
    kinds = {entry["name"]: entry["type"] for entry in schema["fields"]}
    source, forced = kinds["diaSource"], kinds["prvDiaForcedSources"][1]["items"]
    times = np.sort(rng.uniform(60_800.0, 61_100.0, n_previous + n_forced + 1))
    previous = [fill(source, rng, float(t)) for t in rng.choice(times[:-1], n_previous, replace=False)]
    record = {
        "diaSourceId": int(rng.integers(1 << 57, 1 << 58)),
        "observation_reason": "ddf_cosmos",
        "target_name": "ddf_cosmos, lowdust",
        "diaSource": fill(source, rng, float(times[-1])),
        "prvDiaSources": sorted(previous, key=lambda row: row["midpointMjdTai"]),
        "prvDiaForcedSources": [fill(forced, rng, float(t)) for t in times[-n_forced:]],
        "diaObject": fill(kinds["diaObject"][1], rng, 0.0),
        "cutoutScience": b"",
    }
    parsed = fastavro.parse_schema(schema)
    bare = serialise(parsed, record)
    pixels = rng.bytes(max(0, n_bytes - len(bare)) // 3)
    return serialise(
        parsed, record | dict.fromkeys(("cutoutDifference", "cutoutScience", "cutoutTemplate"), pixels)
    )


def fill(record: dict[str, Any], rng: np.random.Generator, mjd: float) -> dict[str, Any]:
    """A row with the fields that an alert needs, and fillers of which a third is null."""
    values: dict[str, Any] = {}
    for entry in record["fields"]:
        name, kind = entry["name"], entry["type"]
        kind = kind[1] if isinstance(kind, list) else kind
        values[name] = {
            "float": float(rng.normal(0.0, 500.0)),
            "double": float(rng.uniform(0.0, 90.0)),
            "boolean": bool(rng.random() < 0.5),
            "int": int(rng.integers(0, 200)),
            "long": int(rng.integers(1 << 57, 1 << 58)),
            "string": "ugrizy"[rng.integers(0, 6)],
        }[kind]
        if "_" in name and rng.random() < null_share(name):
            values[name] = None
    needed = {
        "midpointMjdTai": mjd,
        "psfFluxErr": float(rng.uniform(50.0, 200.0)),
        "timeWithdrawnMjdTai": None,
    }
    return values | {name: value for name, value in {**needed, "ssObjectId": None}.items() if name in values}


def null_share(name: str) -> float:
    """Share of nulls in a filler field; the same for all rows and packets, as in Rubin's alerts."""
    draw = zlib.crc32(name.encode()) / 2**32
    return 1.0 if draw < 0.09 else 1 / 3 if draw < 0.26 else 0.0


def serialise(parsed: Any, record: dict[str, Any]) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, parsed, record)
    return out.getvalue()


if __name__ == "__main__":
    main()
