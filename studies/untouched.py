"""Did choosing settings flatter the cross-validation? Its scores on objects that chose nothing.

Run ``python studies/untouched.py --run runs/crossval-default`` after ``make crossval-default``;
it writes ``docs/results/untouched.json``.

Features and classifier were developed on objects whose sha256 falls below 0.8 (decision
0020), so the last fifth has chosen nothing. If choosing had fitted the data, the fold
predictions of that fifth would be worse than those of the rest by more than chance.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

import firstlight
from firstlight import Predictions, load_plasticc, read_predictions, score

OUT = Path(__file__).parent.parent / "docs" / "results" / "untouched.json"
DEVELOPED_BELOW = 0.8
SHOWN = ("accuracy", "macro_f1", "macro_auc", "log_loss")
N_RESAMPLES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/crossval-default"))
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    found = Predictions.concatenate(
        [read_predictions(path) for path in sorted(args.run.glob("fold-*/phase-all.parquet"))]
    )
    labels = load_plasticc()[1].labels_of(found.object_id)
    place = np.array([_place(name) for name in found.object_id.tolist()])
    rng = np.random.default_rng(0)
    result = {
        "what": "fold predictions of the preset default, whole curves, by the part in settings' choice",
        "version": firstlight.__version__,
    }
    for name, mask in (("untouched", place >= DEVELOPED_BELOW), ("developed on", place < DEVELOPED_BELOW)):
        rows = np.flatnonzero(mask)
        draws = [rng.choice(rows, len(rows)) for _ in range(N_RESAMPLES)]
        spread = [score(labels[draw], found.proba[draw], found.classes) for draw in draws]
        scores = score(labels[rows], found.proba[rows], found.classes)
        result[name] = {"n_objects": len(rows)} | {
            metric: {
                "value": round(scores[metric], 4),
                "std": round(float(np.std([s[metric] for s in spread])), 4),
            }
            for metric in SHOWN
        }
        print(name, result[name])
    args.out.write_text(json.dumps(result, indent=1) + "\n")


def _place(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2.0**64


if __name__ == "__main__":
    main()
