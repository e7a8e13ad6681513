"""SuperNNova, trained on the folds of the cross-validation: skill by days since trigger, steadiness.

From the top of the project, in this order: ``python -m studies.supernnova_ground FOLDER --input``, then
``ENVIRONMENT/bin/python studies/supernnova_peer.py FOLDER`` in SuperNNova's environment (five minutes
of one core for each fold), then ``python -m studies.supernnova_ground FOLDER``, which writes
``docs/results/supernnova.json``. The scores of firstlight on the same objects are those of
``docs/results/crossval-*.json`` and ``stability.json``.

Protocol: the five folds of `firstlight crossval` (stratified over objects, seed 0) and photometric
redshifts. SuperNNova's recurrent network as it is by default (LSTM, two layers of 32, both directions;
global normalisation; prefixes of random length; batches of 128; the epoch with the least loss on a tenth of
the training objects) and redshifts `zpho`, 14 classes, trained on the objects of the four other folds;
nothing of it has seen the test objects. Classes keep their sizes (equal ones, as by default, would leave 24
objects of each). Light curves start 30 days before the trigger, where SuperNNova's own window starts before
the peak, and have no end. Two things were adjusted, by the loss on held-out training objects of the first
fold (which other folds test: this favours SuperNNova). Fluxes below a floor are set to it: SuperNNova takes
the logarithm of the flux above the lowest of all, which variable stars make so low that supernovae vanish
beside it. And it trains by its one-cycle policy, which finds the learning rate itself, with phases of 10
epochs instead of 5: its constant rate had not converged after the 90 epochs of the default. The rate is at
most that of the first fold: in the fourth it found one 17 times higher, with which the loss rose from 1.0
to 2.0 between the fifth epoch and the ninth. The folds that were trained are listed in the result. Test
objects are answered as in `studies.stability`, after the same nights and where firstlight answers too; at
days since trigger SuperNNova answers every object. It learns from three visits or more, and answers from
one on.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks._harness import result
from studies.parsnip_ground import spread, write_input
from studies.stability import COLUMNS, steadiness, summary

from firstlight import LightCurves, load_plasticc
from firstlight._types import FloatArray, StrArray
from firstlight.classify import status_of
from firstlight.metrics import Snapshot, score, skill_by_phase, summarise_folds
from firstlight.metrics.summary import write_summary
from firstlight.predictions import CLASSIFIED
from firstlight.splits import Fold, stratified_folds
from firstlight.taxonomy import CLASSES, GALACTIC
from firstlight.timeline import night_ends, prefixes

OUT = Path(__file__).parent.parent / "docs" / "results" / "supernnova.json"
PHASES = ("0", "2", "8", "32", "all")
SCORES = ("accuracy", "macro_f1", "macro_auc", "log_loss")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--input", action="store_true", help="write the input of SuperNNova and stop")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    curves, truth = load_plasticc()
    labels = truth.labels_of(curves.object_id)
    folds = stratified_folds(curves.object_id, labels, 5, rng=np.random.default_rng(0))
    if args.input:
        args.folder.mkdir(parents=True, exist_ok=True)
        write_input(args.folder / "input.npz", curves, labels, folds)
        write_nights(args.folder / "asked.npz", curves)
        return
    done = [k for k in range(len(folds)) if (args.folder / f"supernnova-{k}" / "answers.npz").exists()]
    found = {k: fold_result(args.folder / f"supernnova-{k}", curves, labels, folds[k]) for k in done}
    protocol = " ".join((__doc__ or "").split("Protocol: ")[1].split())
    scores = summarise_folds([scored for scored, _ in found.values()], protocol=protocol)
    rows = np.concatenate([rows for _, rows in found.values()])
    names = np.concatenate([labels[folds[k].test] for k in done])
    chosen = {"all": names == names, "extragalactic": ~np.isin(names, list(GALACTIC))}
    head = result("SuperNNova on the folds of the cross-validation (studies/supernnova_ground.py)", "numpy")
    by_phase = {phase: parts_of(scores["by_phase"][phase]) for phase in PHASES}
    figures = {
        "protocol": protocol,
        "folds": done,
        "n_objects": len(names),
        "training": {str(k): about(args.folder / f"supernnova-{k}") for k in done},
        "trials": trials(args.folder),
        "by_phase": by_phase,
        "f1_per_class": {name: own["f1"] | {"n": own["n"]} for name, own in scores["per_class"].items()},
        "cases": {name: summary(rows[mask]) for name, mask in chosen.items()},
    }
    write_summary(head | figures, args.out)
    for phase, parts in by_phase.items():
        print(phase, {part: round(own["accuracy"]["mean"], 3) for part, own in parts.items()})


def write_nights(path: Path, curves: LightCurves) -> None:
    """The trigger of each object and the ends of its nights from then on."""
    ends = [night_ends(curves[k]) for k in range(len(curves))]
    offsets = np.concatenate([[0], np.cumsum([len(own) for own in ends])])
    np.savez(path, trigger=curves.trigger_mjd, night_offsets=offsets, night_mjd=np.concatenate(ends))


def fold_result(
    folder: Path, curves: LightCurves, labels: StrArray, fold: Fold
) -> tuple[dict[str, Any], FloatArray]:
    """Scores of a fold's test objects, and `COLUMNS` of each."""
    with np.load(folder / "answers.npz") as file:
        if file["test"].tolist() != fold.test.tolist():
            raise SystemExit(f"{folder} holds other objects; write the input again")
        classes = tuple(file["classes"].tolist())
        by_phase = {name: spread(file[f"phase_{name}"].astype(np.float64), classes) for name in PHASES}
        nights = spread(file["nights"].astype(np.float64), classes)
    own = labels[fold.test]
    snapshots = {name: Snapshot(p, np.ones(len(p), dtype=bool)) for name, p in by_phase.items()}
    scored = score(own, by_phase["all"], CLASSES)
    scored["by_phase"] = skill_by_phase(own, snapshots, CLASSES)
    rows = np.full((len(own), len(COLUMNS)), np.nan)
    start = 0
    for k, place in enumerate(fold.test.tolist()):
        one = curves.take([place])
        ends = night_ends(one[0])
        known = status_of(prefixes(one, ends))[0] == CLASSIFIED
        proba, start = nights[start : start + len(ends)], start + len(ends)
        if known.any():
            phase = ends - one.trigger_mjd[0]
            rows[k] = steadiness(proba[known], phase[known], CLASSES.index(str(own[k])))
    if start != len(nights):
        raise SystemExit(f"{folder} holds {len(nights)} answers for {start} nights; write the input again")
    return scored, rows


def parts_of(parts: dict[str, Any]) -> dict[str, Any]:
    """The scores that the page shows, of each selection of objects."""
    return {part: {name: own[name] for name in SCORES} | {"n": own["n"]} for part, own in parts.items()}


def about(folder: Path) -> dict[str, Any]:
    """What a training says of itself, with the loss on its held-out objects after every tenth epoch."""
    found = dict(json.loads((folder / "about.json").read_text()))
    loss = found.pop("losses")["validation"]
    return found | {"least_loss": min(loss), "loss_every_tenth_epoch": loss[9::10]}


def trials(folder: Path) -> list[dict[str, Any]]:
    """Least loss on held-out training objects of the first fold, for each plan that was tried."""
    tried = sorted((about(path) for path in folder.glob("trial-*")), key=lambda own: -own["least_loss"])
    return [{key: own[key] for key in ("policy", "epochs", "floor", "least_loss")} for own in tried]


if __name__ == "__main__":
    main()
