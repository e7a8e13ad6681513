"""ParSNIP and firstlight on the same objects and folds: 5,153 objects of eight classes of PLAsTiCC.

From the top of the project, in this order: ``python -m studies.parsnip_ground FOLDER --input``, then
``ENVIRONMENT/bin/python studies/parsnip_peer.py FOLDER`` in ParSNIP's environment, then ``python -m
studies.parsnip_ground FOLDER`` (a quarter of an hour of one core), which writes
``docs/results/parsnip-ground.json``.

Protocol: the objects of the classes 90, 42, 62, 52, 67, 15, 64 and 95, whole light curves, photometric
redshifts, stratified ten-fold cross-validation over objects (seed 0). ParSNIP: the encoder that its
authors ship for photometric redshifts, which was trained on these very light curves without their labels
(and on others); its classifier, trained on the nine other folds with four copies of each object, by its
own settings, but with two values of the least weight of a leaf (1000 as by default, 40 as befits four
copies instead of a hundred); the one with the smaller log-loss on the test objects counts, which favours
ParSNIP. firstlight: the features and the trees of `default` without the autoencoder, so that nothing of a
test fold is seen, not even without a label: templates from the nine other folds, one LightGBM booster
that learns from each whole curve (weight 4) and three thinned and noisier copies of it, calibrated on a
held-out tenth of its training objects. No setting was chosen on these folds.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from benchmarks._harness import machine, result

from firstlight import LightCurves, load_plasticc, load_preset
from firstlight._types import FloatArray, StrArray
from firstlight.classify import LightGBMBooster, PhaseCalibrator, TrainingRows
from firstlight.features import Templates, extract
from firstlight.metrics import score, summarise_folds
from firstlight.metrics.compare import compare, object_losses
from firstlight.metrics.summary import write_summary
from firstlight.pipeline.training import TrainingCopies, training_copies
from firstlight.preprocess import preprocess
from firstlight.splits import Fold, check_disjoint, fold_numbers, stratified_folds
from firstlight.taxonomy import CLASSES, from_plasticc

OUT = Path(__file__).parent.parent / "docs" / "results" / "parsnip-ground.json"
CODES = (90, 42, 62, 52, 67, 15, 64, 95)
N_FOLDS = 10
COPIES = {"truncations": 0, "augmented": 3, "reobserved": 0}
EXACT = {"wrong_redshift": 0.0, "artefacts": 0.0, "hidden_redshift": 0.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--input", action="store_true", help="write the input of ParSNIP and stop")
    parser.add_argument("--folds", type=int, default=N_FOLDS, help="folds to test, from the first on")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    curves, labels, folds = objects()
    if args.input:
        write_input(args.folder / "input.npz", curves, labels, folds)
        return
    folds = folds[: args.folds]
    tested = np.concatenate([fold.test for fold in folds])
    ours = np.zeros((len(curves), len(CLASSES)))
    for k, fold in enumerate(folds):
        path = args.folder / f"firstlight-{k}.npy"
        if not path.exists():
            start = time.process_time()
            np.save(path, answers(curves, labels, fold))
            print(f"fold {k}: {time.process_time() - start:.0f} s of one core", flush=True)
        ours[fold.test] = np.load(path)
    with np.load(args.folder / "parsnip.npz") as file:
        if file["object_id"].tolist() != curves.object_id.tolist():
            raise SystemExit("parsnip.npz holds other objects; write the input again")
        names = tuple(file["classes"].tolist())
        peers = {name: spread(file[name], names) for name in file.files if name.startswith("proba")}
    chosen = min(peers, key=lambda name: float(object_losses(labels[tested], peers[name][tested]).mean()))
    peer = peers[chosen]
    protocol = " ".join((__doc__ or "").split("Protocol: ")[1].split())
    table = {
        name: summarise_folds([score(labels[f.test], p[f.test], CLASSES) for f in folds], protocol=protocol)
        for name, p in (("firstlight", ours), ("parsnip", peer))
    }
    least = {
        name.removeprefix("proba_"): score(labels[tested], own[tested], CLASSES)
        for name, own in peers.items()
    }
    other = {
        name: {key: own[key] for key in ("accuracy", "macro_f1", "macro_auc", "log_loss")}
        for name, own in least.items()
    }
    head = result("ParSNIP's ground (studies/parsnip_ground.py)", "numpy", "lightgbm")
    difference = compare(labels[tested], peer[tested], ours[tested])
    write_summary(
        head | {"protocol": protocol, "difference": difference, "parsnip_by_least_weight": other, **table},
        args.out,
    )
    for name, own in table.items():
        print(name, {key: own[key]["mean"] for key in ("accuracy", "macro_f1", "macro_auc", "log_loss")})
    print(machine())


def objects() -> tuple[LightCurves, StrArray, list[Fold]]:
    """The objects, their classes and the folds."""
    curves, truth = load_plasticc()
    labels = truth.labels_of(curves.object_id)
    chosen = np.flatnonzero(np.isin(labels, from_plasticc(CODES)))
    curves, labels = curves.take(chosen), labels[chosen]
    folds = stratified_folds(curves.object_id, labels, N_FOLDS, rng=np.random.default_rng(0), validation=0.1)
    return curves, labels, folds


def write_input(path: Path, curves: LightCurves, labels: StrArray, folds: list[Fold]) -> None:
    """Light curves as the peers of the benchmarks read them, and the fold of each object."""
    names = ("object_id", "offsets", "mjd", "band", "flux", "flux_err", "detected")
    about = ("ra", "dec", "ebv", "redshift", "redshift_err")
    arrays = {name: getattr(curves, name) for name in (*names, *about)}
    np.savez(path, label=labels, **arrays)
    np.save(path.with_name("fold.npy"), fold_numbers(folds))
    print(f"{len(curves)} objects")


def spread(proba: FloatArray, classes: tuple[str, ...]) -> FloatArray:
    """Probabilities of all classes of the taxonomy."""
    out = np.zeros((len(proba), len(CLASSES)))
    out[:, [CLASSES.index(name) for name in classes]] = proba / proba.sum(axis=1, keepdims=True)
    return out


def answers(curves: LightCurves, labels: StrArray, fold: Fold) -> FloatArray:
    """Probabilities of the test objects of a fold."""
    config = load_preset("default")
    config = replace(config, copies=replace(config.copies, **COPIES, **EXACT))
    check_disjoint(
        curves.object_id[np.concatenate([fold.train, fold.validation])], curves.object_id[fold.test]
    )
    clean = preprocess(curves.take(fold.train), config.preprocess)
    templates = Templates.fit(clean, labels[fold.train], config.features)

    def rows(copies: TrainingCopies) -> TrainingRows:
        X = extract(copies.curves, config.features, templates).values
        return TrainingRows(X, copies.labels, copies.curves.redshift, copies.weight, copies.curves.object_id)

    rng = np.random.default_rng(0)
    learn = rows(training_copies(curves.take(fold.train), labels[fold.train], config, rng))
    held = training_copies(curves.take(fold.validation), labels[fold.validation], config, rng)
    model = LightGBMBooster(config.classifier.lightgbm).fit(learn, seed=0)
    own = rows(held)
    calibrator = PhaseCalibrator(config.calibration).fit(
        model.predict_proba(own.X),
        own.labels,
        model.classes,
        held.curves.last_phase,
        groups=own.object_id,
        seed=0,
    )
    test = preprocess(curves.take(fold.test), config.preprocess)
    proba = model.predict_proba(extract(test, config.features, templates).values)
    return spread(calibrator.transform(proba, test.last_phase), model.classes)


if __name__ == "__main__":
    main()
