"""Speed of decoding, updating and classifying as ratios to references of the same run, in 20 seconds.

Run ``make speed`` before and after a change. Each figure is the time of a reference divided
by ours: decoding against fastavro, one update against the encoder's recurrence in numpy, and
classification against scikit-learn's gradient boosting. A ratio that falls by more than a
tenth is worth a look; nothing is asserted, because other work on the machine changes times.
"""

from _harness import take_turns

# isort: split
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import fastavro
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import GradientBoostingClassifier

from alerts import SCHEMA_ID, SIZES, packet, wide_schema
from firstlight import LightCurves, Pipeline, read
from firstlight.online import Arrivals
from firstlight.stream import ConfluentCodec, MemorySchemas

SAMPLE = Path(__file__).parent.parent / "tests" / "data"
N_PACKETS = 60
N_OBJECTS = 200
TURNS = 5

Call = Callable[[], object]


def decode() -> tuple[Call, Call, int]:
    """Packets of 30 kB to alerts, and to fastavro's dicts."""
    schema, rng = wide_schema(), np.random.default_rng(0)
    packets = [packet(schema, rng, *SIZES["30_kB"]) for _ in range(N_PACKETS)]
    framed = [b"\0" + SCHEMA_ID.to_bytes(4, "big") + value for value in packets]
    codec, parsed = ConfluentCodec(MemorySchemas({SCHEMA_ID: schema})), fastavro.parse_schema(schema)

    def reference() -> None:
        for value in packets:
            fastavro.schemaless_reader(BytesIO(value), parsed)

    return lambda: [codec.decode(value) for value in framed], reference, N_PACKETS


def update(curves: LightCurves) -> tuple[Call, Call, int]:
    """One alert for each object with the bundle fast; the encoder's GRU step in numpy, 100 times."""
    pipeline = Pipeline.load("fast")
    last = np.zeros(len(curves.mjd), dtype=bool)
    last[curves.offsets[1:] - 1] = True
    first = Arrivals.from_curves(curves.keep(~last), np.zeros(len(curves)))
    second = Arrivals.from_curves(curves.keep(last), np.ones(len(curves)))
    done = pipeline.update(pipeline.states(len(curves)), first, lambda index: [[] for _ in index])
    history = [[entry] for entry in done.entries]
    assert done.answered.all()
    rng = np.random.default_rng(0)
    inner, outer = (rng.normal(size=(64, 192)).astype(np.float32) for _ in range(2))
    x, h = (rng.normal(size=(len(curves), 64)).astype(np.float32) for _ in range(2))

    def reference() -> None:
        for _ in range(100):
            (reset, z, new), (reset_h, z_h, new_h) = (np.split(a, 3, axis=1) for a in (x @ inner, h @ outer))
            gate = 1.0 / (1.0 + np.exp(-(z + z_h)))
            candidate = np.tanh(new + new_h / (1.0 + np.exp(-(reset + reset_h))))
            _ = gate * h + (1.0 - gate) * candidate

    return (
        lambda: pipeline.update(done.states, second, lambda index: [history[i] for i in index]),
        reference,
        len(curves),
    )


def classify(curves: LightCurves) -> tuple[Call, Call, int]:
    """Whole light curves with the bundle default; scikit-learn's boosting alone on six columns."""
    pipeline, rng = Pipeline.load("default"), np.random.default_rng(0)
    labels = np.arange(600) % len(pipeline.classes)
    model = GradientBoostingClassifier(n_estimators=30, max_depth=3, random_state=0)
    model.fit(rng.normal(size=(len(labels), 6)), labels)
    rows = rng.normal(size=(10 * len(curves), 6))
    return lambda: pipeline.predict(curves, jobs=1), lambda: model.predict_proba(rows), len(curves)


def main() -> None:
    curves = read(
        SAMPLE / "plasticc_sample_lightcurves.csv.gz", SAMPLE / "plasticc_sample_metadata.csv.gz"
    ).take(np.arange(N_OBJECTS))
    parts = {
        "decode, per packet": decode(),
        "update with fast, per object": update(curves),
        "classify with default, per object": classify(curves),
    }
    table = Table("", "ours, us", "reference, us", "reference / ours", title="Median of 5 turns, one thread")
    for name, (ours, reference, number) in parts.items():
        times = take_turns({"ours": ours, "reference": reference}, TURNS)
        mine, theirs = (1e6 * times[key].median_cpu / number for key in ("ours", "reference"))
        table.add_row(name, f"{mine:,.1f}", f"{theirs:,.1f}", f"{theirs / mine:.3g}")
    Console().print(table)


if __name__ == "__main__":
    main()
