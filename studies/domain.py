"""Do wrong answers carry a warning? Domains on unseen PLAsTiCC objects and on telescopes' own data.

``python studies/domain.py --real FOLDER`` (two minutes of one core, and a training of the preset unless
``--bundle`` names one).

The preset learns from 80 % of PLAsTiCC by the hash of the names. False alarms: objects of the other 20 %,
at several phases, that are not ``inside``; nothing has seen them. Warnings: the 972 real objects of
``FOLDER/curves.parquet`` and ``FOLDER/objects.parquet``, spectroscopic redshift given as photometric with
an error of 0.02; wrong is an answer that is not the type. Spreads are standard deviations over bootstrap
samples of objects.
"""

import argparse
import json
import os
import platform
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import firstlight
from firstlight import LightCurves, Pipeline, Predictions, RejectLog, load_plasticc, load_preset, read
from firstlight.predictions import domain_warning
from firstlight.splits import hash_split

OUT = Path(__file__).parent / "results" / "domain.json"
PHASES = (2.0, 8.0, 32.0, np.inf)
REDSHIFT_ERROR = 0.02
N_BOOT = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--bundle", type=Path, help="trained on the same 80 %, instead of a training")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    curves, truth = load_plasticc()
    labels = truth.labels_of(curves.object_id)
    pipeline, unseen = trained(curves, labels, args.preset, args.bundle)
    result: dict[str, Any] = {
        "protocol": " ".join(__doc__.split("\n\n")[2].split()),
        "version": firstlight.__version__,
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "preset": args.preset,
        "false_alarms": {},
        "real": {},
    }
    for phase in PHASES:
        part = curves.take(unseen)
        answers = pipeline.predict(part if np.isinf(phase) else part.upto_phase(phase))
        name = "whole" if np.isinf(phase) else f"{phase:g} d"
        result["false_alarms"][name] = shares(answers)
    real, kind, source = read_real(args.real)
    answers = pipeline.predict(real)
    result["line"] = domain_warning(answers)
    result["real"]["all"] = warned(answers, kind)
    for name in np.unique(source).tolist():
        result["real"][name] = warned(answers.take(source == name), kind[source == name])
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def trained(
    curves: LightCurves, labels: NDArray[np.str_], preset: str, bundle: Path | None
) -> tuple[Pipeline, NDArray[np.int64]]:
    """A pipeline that has not seen the objects at the returned positions."""
    fold = hash_split(curves.object_id)
    learn = np.sort(np.concatenate([fold.train, fold.validation]))
    if bundle is not None:
        pipeline = Pipeline.load(bundle)
        if pipeline.trained_on(curves.object_id[fold.test]).any():
            raise SystemExit(f"{bundle} was trained on test objects")
        return pipeline, fold.test
    held_out = np.isin(learn, fold.validation)
    pipeline = Pipeline(load_preset(preset)).fit(curves.take(learn), labels[learn], held_out=held_out)
    return pipeline, fold.test


def read_real(folder: Path) -> tuple[LightCurves, NDArray[np.str_], NDArray[np.str_]]:
    """Real light curves, their types and sources."""
    objects = pd.read_parquet(folder / "objects.parquet")
    objects["redshift_err"] = np.where(objects["redshift"] > 0.0, REDSHIFT_ERROR, 0.0)
    columns = ["object_id", "redshift", "redshift_err", "ra", "dec", "ebv"]
    with TemporaryDirectory() as place:
        metadata = Path(place) / "metadata.parquet"
        objects[columns].to_parquet(metadata)
        curves = read(folder / "curves.parquet", metadata, RejectLog(), 31.4, False)
    known = objects.set_index("object_id").loc[curves.object_id]
    return curves, known["type"].to_numpy().astype(str), known["source"].to_numpy().astype(str)


def shares(answers: Predictions) -> dict[str, Any]:
    """Shares of classified objects at the edge and outside, with the spread of their sum."""
    level = answers.domain[answers.is_classified]
    beyond = level != "inside"
    return {
        "n": len(level),
        "edge": float(np.mean(level == "edge")),
        "outside": float(np.mean(level == "outside")),
        "edge_or_outside": float(beyond.mean()),
        "std": spread(beyond),
    }


def warned(answers: Predictions, kind: NDArray[np.str_]) -> dict[str, Any]:
    """Accuracy, and shares of the wrong and of the right answers that carry a warning."""
    sure = answers.is_classified
    right = (answers.label == kind)[sure]
    level = answers.domain[sure]
    out: dict[str, Any] = {
        "n": int(sure.sum()),
        "accuracy": float(right.mean()),
        "accuracy_std": spread(right),
    }
    for name, chosen in (("wrong", ~right), ("right", right)):
        for words, beyond in (("outside", level == "outside"), ("edge_or_outside", level != "inside")):
            part = beyond[chosen]
            out[f"{name}_{words}"] = float(part.mean()) if len(part) else None
            out[f"{name}_{words}_std"] = spread(part)
    return out


def spread(values: NDArray[np.bool_]) -> float | None:
    """Standard deviation of a mean over bootstrap samples."""
    if not len(values):
        return None
    rng = np.random.default_rng(0)
    return float(np.std([rng.choice(values, len(values)).mean() for _ in range(N_BOOT)]))


if __name__ == "__main__":
    main()
