"""ParSNIP on the folds of `parsnip_ground`: its shipped encoder, its classifier trained per fold.

``ENVIRONMENT/bin/python studies/parsnip_peer.py FOLDER`` in ParSNIP's own environment (see
`benchmarks/peers.py`); FOLDER holds ``input.npz`` and ``fold.npy``, and gets ``embedding.npz`` (kept) and
``parsnip.npz``, probabilities out of fold. The encoder is the authors' `plasticc_photoz`, the
classifier is theirs, and so are the copies (four of each object).
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks" / "peers"))

import contest
import numpy as np
import run_parsnip
from astropy.table import Table

N_COPIES = 4
CHUNK = 256
LEAST_WEIGHTS = (1000.0, 40.0)  # of a leaf: by default, for a hundred copies, and for four


def embedding(folder: Path) -> dict[str, Any]:
    """Inputs of the classifier, for each object (copy 0) and its copies."""
    import lcdata
    import parsnip
    import torch

    path = folder / "embedding.npz"
    if path.exists():
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    run_parsnip.register_bands()
    np.random.seed(0)  # noqa: NPY002 - ParSNIP draws from it
    model = parsnip.load_model("plasticc_photoz", threads=1)
    curves = contest.read_curves(folder / "input.npz")
    keys = parsnip.Classifier().keys
    rows: list[Any] = []
    names: list[str] = []
    copies: list[int] = []
    start = time.perf_counter()
    for first in range(0, len(curves), CHUNK):
        tables = [run_parsnip.table(curve) for curve in curves[first : first + CHUNK]]
        dataset = model.preprocess(lcdata.from_light_curves(tables))
        with torch.no_grad():
            found = model.predict_dataset_augmented(dataset, augments=N_COPIES)
        rows.append(np.column_stack([np.asarray(found[key], np.float64) for key in keys]))
        own = [str(name) for name in found["original_object_id"]]
        names += own
        seen: dict[str, int] = {}
        for name in own:
            copies.append(seen.get(name, 0))
            seen[name] = copies[-1] + 1
        print(first + len(tables), f"{time.perf_counter() - start:.0f} s", flush=True)
    made = {
        "X": np.concatenate(rows),
        "owner": np.array(names),
        "copy": np.array(copies),
        "keys": np.array(keys),
    }
    np.savez(path, **made)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=10, help="folds to test, from the first on")
    args = parser.parse_args()
    folder = args.folder
    import parsnip

    found = embedding(folder)
    with np.load(folder / "input.npz") as file:
        names, labels = file["object_id"], file["label"]
    fold = np.load(folder / "fold.npy")
    place = {name: k for k, name in enumerate(names.tolist())}
    owner = np.array([place[name] for name in found["owner"].tolist()])
    columns = {key: found["X"][:, k] for k, key in enumerate(found["keys"].tolist())}
    columns |= {
        "object_id": found["owner"],
        "original_object_id": found["owner"],
        "augmented": found["copy"] > 0,
    }
    classes = np.unique(labels)
    answers = {}
    for weight in LEAST_WEIGHTS:
        proba = np.full((len(names), len(classes)), np.nan)
        for k in range(args.folds):
            classifier = parsnip.Classifier()
            learn = fold[owner] != k
            part = Table({key: values[learn] for key, values in columns.items()})
            classifier.train(part, num_folds=1, labels=labels[owner[learn]], min_child_weight=weight)
            shown = np.flatnonzero((fold[owner] == k) & (found["copy"] == 0))
            answer = classifier.classify(Table({key: values[shown] for key, values in columns.items()}))
            proba[owner[shown]] = np.column_stack([np.asarray(answer[str(name)]) for name in classes])
            print("weight", weight, "fold", k, flush=True)
        answers[f"proba_{weight:g}"] = proba
    np.savez(folder / "parsnip.npz", object_id=names, classes=classes, **answers)


if __name__ == "__main__":
    main()
