"""What autoencoders are worth: alone, beside the presets, part by part, as anomaly detectors, on a real sky.

First ``autoencoder_input.py`` (input), then ``autoencoder_gpu.py`` on a GPU (networks), then
``python studies/autoencoder.py INPUT.npz NETWORKS --crossval FOLDER [--real FOLDER]``, which writes
``docs/results/autoencoder.json`` (about ten minutes of one core). NETWORKS holds what the GPU made;
``FOLDER/crossval-default`` and ``FOLDER/crossval-fast`` hold fold predictions (``firstlight crossval``).
``--real`` needs torch, and the top of the project on PYTHONPATH.

Protocol: PLAsTiCC training set, photometric redshifts, the five folds of the cross-validation of every preset
(seed 0); days since trigger 0, 2, 8, 32 and whole curves. An object's forecast comes from networks that saw
neither the object nor its fold, not even without a label. Scores are means over folds; differences are
paired by fold, with their standard error over folds. Networks were trained with classes weighted by n^-1/2,
which is undone by the class frequencies. Mixes are weighted sums of log-probabilities, normalised; the
weights of a fold are fitted to the log-loss of the other four, for each phase. An object that a preset
does not classify keeps the preset's prior in every mix.
"""

import argparse
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

import anomaly
import firstlight
from anomaly_rows import LEFT_OUT
from firstlight import read_predictions
from firstlight.anomaly import AnomalyConfig, AnomalyScorer
from firstlight.metrics.scores import class_weights, headline
from firstlight.provenance import provenance
from firstlight.taxonomy import GALACTIC

OUT = Path(__file__).parent.parent / "docs" / "results" / "autoencoder.json"
PHASES = ("0", "2", "8", "32", "all")
METRICS = ("accuracy", "macro_f1", "macro_auc", "log_loss")
N_FOLDS = 5
LEAST = np.log(1e-7)  # of a log-probability that is mixed
MOST_WEIGHT = 3.0
#: Variants of equal time that differ from `base` in one part.
ABLATION = ("base", "recurrent", "class32", "without GP", "without copies", "without cuts")
UNSUPERVISED = ("vae6", "vae16", "vae64")

Forecast = NDArray[np.float64]  # (n_objects, phases, classes); log-probabilities
Table = dict[str, Any]


@dataclass(frozen=True)
class Objects:
    """Names, classes and folds, in the order of the networks' rows."""

    object_id: NDArray[np.str_]
    classes: tuple[str, ...]
    label: NDArray[np.int64]
    fold: NDArray[np.int64]

    @classmethod
    def read(cls, path: Path) -> "Objects":
        """Read the input of the GPU study."""
        with np.load(path) as file:
            label, fold = file["label"].astype(np.int64), file["fold"].astype(np.int64)
            return cls(file["object_id"], tuple(file["classes"].tolist()), label, fold)

    @property
    def log_frequency(self) -> NDArray[np.float64]:
        """Logarithm of the frequency of each class."""
        counts = np.bincount(self.label, minlength=len(self.classes))
        return np.log(counts / counts.sum())


# --- forecasts ---------------------------------------------------------------------------


def of_networks(arrays: Mapping[str, NDArray[Any]], objects: Objects) -> dict[str, Forecast]:
    """Forecast of each variant with a classifier; that of `joint32` is the mean of five networks."""

    def proba(logits: NDArray[Any]) -> Forecast:
        return np.exp(log_softmax(logits.astype(np.float64) + 0.5 * objects.log_frequency, axis=-1))

    found = {}
    for key, logits in arrays.items():
        name, _, kind = key.partition("|")
        if kind != "logits":
            continue
        own = proba(logits)
        if f"{name}|pairs" in arrays:
            pairs = proba(arrays[f"{name}|pairs"])
            own = (own + pairs.sum(axis=0)) / (1 + len(pairs))
        found[name] = np.log(own)
    return found


def of_preset(folder: Path, objects: Objects) -> tuple[Forecast, NDArray[np.bool_]]:
    """Out-of-fold forecast of a preset, and which objects it classified at each phase."""
    place = {name: i for i, name in enumerate(objects.object_id.tolist())}
    n = len(place)
    proba = np.full((n, len(PHASES), len(objects.classes)), np.nan)
    classified = np.zeros((n, len(PHASES)), bool)
    folders = sorted(folder.glob("fold-*"))
    for k, own in enumerate(folders):
        for p, phase in enumerate(PHASES):
            found = read_predictions(own / f"phase-{phase}.parquet")
            rows = np.array([place[name] for name in found.object_id.tolist()])
            if not (objects.fold[rows] == k).all():
                raise SystemExit(f"{own}: the objects are not those of fold {k} of the networks")
            columns = [found.classes.index(name) for name in objects.classes]
            part = found.proba[:, columns]
            proba[rows, p] = part / part.sum(axis=1, keepdims=True)
            classified[rows, p] = found.is_classified
    if np.isnan(proba).any():
        raise SystemExit(f"{folder}: predictions of {len(folders)} folds do not cover all objects")
    return np.log(np.maximum(proba, 1e-15)), classified


def mean_of(forecasts: Sequence[Forecast]) -> Forecast:
    """Mean of the probabilities."""
    return np.asarray(logsumexp(np.stack(forecasts), axis=0) - np.log(len(forecasts)))


# --- mixes ---------------------------------------------------------------------------


def fit_weights(parts: NDArray[np.float64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights of log-probabilities, (n_forecasts, n, classes), with the least log-loss."""
    own = parts[:, np.arange(len(label)), label]

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total = log_softmax(np.tensordot(w, parts, axes=1), axis=1)
        expected = (np.exp(total)[None] * parts).sum(axis=2)
        return float(-total[np.arange(len(label)), label].mean()), (expected - own).mean(axis=1)

    start = np.full(len(parts), 1.0 / len(parts))
    return np.asarray(
        minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, MOST_WEIGHT)] * len(parts)).x
    )


def mix(
    forecasts: Sequence[Forecast], classified: NDArray[np.bool_], objects: Objects
) -> tuple[Forecast, list[list[float]]]:
    """Mix forecasts, weights fitted on the other folds; and the mean weights by phase."""
    out = forecasts[0].copy()
    weights = []
    for p in range(len(PHASES)):
        parts = np.maximum(np.stack([one[:, p] for one in forecasts]), LEAST)
        fitted = []
        for k in range(N_FOLDS):
            learn = (objects.fold != k) & classified[:, p]
            test = (objects.fold == k) & classified[:, p]
            w = fit_weights(parts[:, learn], objects.label[learn])
            out[test, p] = log_softmax(np.tensordot(w, parts[:, test], axes=1), axis=1)
            fitted.append(w)
        weights.append([round(float(x), 3) for x in np.mean(fitted, axis=0)])
    return out, weights


# --- scores ---------------------------------------------------------------------------


def by_fold(forecast: Forecast, objects: Objects, phase: int, extragalactic: bool) -> NDArray[np.float64]:
    """`METRICS` of each fold, (folds, metrics)."""
    weights = class_weights(objects.classes)
    use = ~np.isin(np.array(objects.classes)[objects.label], list(GALACTIC)) | (not extragalactic)
    rows = []
    for k in range(N_FOLDS):
        chosen = (objects.fold == k) & use
        proba = np.exp(forecast[chosen, phase])
        proba /= proba.sum(axis=1, keepdims=True)
        found = headline(objects.label[chosen], proba, weights)
        rows.append([found[name] for name in METRICS])
    return np.array(rows)


def scores(forecast: Forecast, objects: Objects) -> Table:
    """Mean and scatter over folds of every metric, by phase and selection."""
    table: Table = {}
    for p, phase in enumerate(PHASES):
        table[phase] = {}
        for name, extragalactic in (("all", False), ("extragalactic", True)):
            rows = by_fold(forecast, objects, p, extragalactic)
            table[phase][name] = {
                metric: {"mean": round(float(x.mean()), 4), "std": round(float(x.std(ddof=1)), 4)}
                for metric, x in zip(METRICS, rows.T, strict=True)
            }
    return table


def differences(after: Forecast, before: Forecast, objects: Objects) -> Table:
    """Paired difference of every metric over all objects and its standard error over folds, by phase."""
    table: Table = {}
    for p, phase in enumerate(PHASES):
        rows = by_fold(after, objects, p, False) - by_fold(before, objects, p, False)
        table[phase] = {
            metric: {
                "mean": round(float(x.mean()), 4),
                "error": round(float(x.std(ddof=1) / np.sqrt(N_FOLDS)), 4),
            }
            for metric, x in zip(METRICS, rows.T, strict=True)
        }
    return table


# --- measurements ---------------------------------------------------------------------------


def alone(
    rows: Sequence[Table], networks: dict[str, Forecast], trees: dict[str, Forecast], objects: Objects
) -> Table:
    """Every variant by its own classifier, by trees on its latents, and by a linear probe on the GPU."""
    table: Table = {}
    for row in rows:
        own = row["variant"]
        name = own["name"]
        table[name] = {
            "latents": own["latent"],
            "active": row["active"],
            "networks": row["networks"],
            "steps": row["steps"],
            "curves_per_network": row["curves_per_network"],
            "train_seconds": row["train_seconds"],
            "last_losses": row["history"][-1] if row["history"] else [],
            "losses": row["losses"],
            "linear_probe": {
                phase: {metric: one[metric] for metric in METRICS}
                for phase, one in zip(PHASES, row["probe"], strict=True)
            },
        }
        if name in networks:
            table[name]["classifier"] = scores(networks[name], objects)
        if name in trees:
            table[name]["trees"] = scores(trees[name], objects)
    return table


def beside(
    presets: Mapping[str, tuple[Forecast, NDArray[np.bool_]]],
    partners: Mapping[str, Forecast],
    objects: Objects,
) -> Table:
    """Each preset mixed with autoencoders, against the same preset rescaled in the same way."""
    table: Table = {}
    for preset, (own, classified) in presets.items():
        rescaled, scale = mix([own], classified, objects)
        mixes: dict[str, tuple[Forecast, Any, Forecast]] = {}
        for name, partner in partners.items():
            mixes[name] = (*mix([own, partner], classified, objects), rescaled)
        if preset == "default" and "fast" in presets:
            both, weights = mix([own, presets["fast"][0]], classified, objects)
            mixes["fast"] = (both, weights, rescaled)
            for name, partner in partners.items():
                three = mix([own, presets["fast"][0], partner], classified, objects)
                mixes[f"{name}, beside fast"] = (*three, both)
        table[preset] = {
            "not_classified": {phase: int((~classified[:, p]).sum()) for p, phase in enumerate(PHASES)},
            "as it is": scores(own, objects),
            "rescaled": {
                "scores": scores(rescaled, objects),
                "weights": dict(zip(PHASES, scale, strict=True)),
            },
            "mixed": {
                name: {
                    "scores": scores(found, objects),
                    "difference": differences(found, against, objects),
                    "weights": dict(zip(PHASES, weights, strict=True)),
                }
                for name, (found, weights, against) in mixes.items()
            },
        }
        say(f"{preset}: {', '.join(mixes)}")
    return table


def trees_on(latent: NDArray[np.float32], objects: Objects, rounds: int) -> Forecast:
    """Boosted trees on the latents of all phases, learnt from the objects that the network learnt from."""
    import lightgbm

    n, n_classes = len(objects.label), len(objects.classes)
    out = np.empty((n, len(PHASES), n_classes))
    for k in range(N_FOLDS):
        learn, test = objects.fold != k, objects.fold == k
        X = latent[k][:, learn].reshape(-1, latent.shape[-1])
        label = np.tile(objects.label[learn], len(PHASES))
        weight = np.repeat([1.0, 1.0, 1.0, 1.0, 3.0], int(learn.sum()))
        booster = lightgbm.train(TREES, lightgbm.Dataset(X, label, weight=weight), rounds)
        for p in range(len(PHASES)):
            out[test, p] = np.log(np.maximum(np.asarray(booster.predict(latent[k][p, test])), 1e-15))
    return out


TREES = {
    "objective": "multiclass",
    "num_class": 14,
    "learning_rate": 0.1,
    "num_leaves": 15,
    "min_data_in_leaf": 20,
    "lambda_l2": 1.0,  # without it rare classes make the boosting diverge
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "feature_fraction": 0.5,
    "num_threads": 1,
    "verbose": -1,
}
RESIDUAL = TREES | {"learning_rate": 0.05, "num_leaves": 7, "lambda_l2": 10.0}
RESIDUAL_ROUNDS = 60


def residual(
    preset: Forecast, classified: NDArray[np.bool_], latent: NDArray[np.float32], objects: Objects
) -> Table:
    """Gain of trees that start from the preset's log-probabilities, with and without latents."""
    corrected = {}
    for name, extra in (("probabilities alone", False), ("probabilities and latents", True)):
        out = preset.copy()
        for p in range(len(PHASES)):
            for k in range(N_FOLDS):
                learn, test = ((s & classified[:, p]) for s in (objects.fold != k, objects.fold == k))
                X = np.maximum(preset[:, p], LEAST)
                if extra:
                    X = np.hstack([X, latent[k][p]])
                out[test, p] = _boosted(X, preset[:, p], learn, test, objects, hold=(k + 1) % N_FOLDS)
        corrected[name] = out
    control, latents = corrected.values()
    return {
        "probabilities alone": differences(control, preset, objects),
        "probabilities and latents": differences(latents, preset, objects),
        "latents": differences(latents, control, objects),
    }


def _boosted(
    X: NDArray[Any],
    start: NDArray[np.float64],
    learn: NDArray[np.bool_],
    test: NDArray[np.bool_],
    objects: Objects,
    hold: int,
) -> NDArray[np.float64]:
    """Log-probabilities of test objects; a fold of the others stops the boosting."""
    import lightgbm

    held = learn & (objects.fold == hold)
    first = learn & ~held
    data = lightgbm.Dataset(X[first], objects.label[first], init_score=start[first])
    check = lightgbm.Dataset(X[held], objects.label[held], init_score=start[held], reference=data)
    stop = lightgbm.early_stopping(10, verbose=False)
    booster = lightgbm.train(RESIDUAL, data, RESIDUAL_ROUNDS, valid_sets=[check], callbacks=[stop])
    raw = booster.predict(X[test], raw_score=True, num_iteration=booster.best_iteration)
    last = min(dict(booster.best_score["valid_0"]).values())
    begun = -start[held][np.arange(int(held.sum())), objects.label[held]].mean()
    if last >= begun:  # no tree helped the held-out fold
        return start[test]
    return np.asarray(log_softmax(start[test] + np.asarray(raw), axis=1))


def strangers(latent: NDArray[np.float32], objects: Objects) -> Table:
    """Detection of a class that the score never saw; the network saw it without a label."""
    config = AnomalyConfig(isolation_weight=0.0, doubt_weight=0.0, error_weight=0.0)
    names = np.array(objects.classes)[objects.label]
    table: Table = {}
    for p, view in ((4, "whole"), (3, "32 days")):
        table[view] = {}
        for left_out in LEFT_OUT:
            strange = names == left_out
            found = np.empty(len(names))
            for k in range(N_FOLDS):
                test, scale = objects.fold == k, (objects.fold == (k + 1) % N_FOLDS) & ~strange
                learn = ~test & ~scale & ~strange
                X = latent[k][p].astype(np.float32)
                scorer = AnomalyScorer(config).fit(
                    X[learn], names[learn], X[scale], phase=np.full(int(scale.sum()), 1e3)
                )
                found[test] = scorer.score(X[test], np.full(int(test.sum()), 1e3))
            own = anomaly.figures(found, strange, False)
            table[view][left_out] = {key: round(float(own[key]), 3) for key in ("auc", "purity_top_1pct")}
    return table


# --- files ---------------------------------------------------------------------------


def read_networks(folder: Path) -> tuple[list[Table], dict[str, NDArray[Any]], Table]:
    """Rows, arrays and machine of the GPU's run."""
    at = next(folder.rglob("results.jsonl")).parent
    rows = [json.loads(line) for line in (at / "results.jsonl").read_text().splitlines()]
    arrays: dict[str, NDArray[Any]] = {}
    for path in sorted(at.glob("worker*.npz")):
        with np.load(path) as file:
            arrays |= {name: file[name] for name in file.files}
    machine: Table = {}
    for path in folder.rglob("*log*.txt"):
        text = path.read_text(errors="replace")
        if device := re.search(r"GPU \d+: (.+?) \(UUID", text):
            machine["gpu"] = device[1]
        if seconds := re.search(r"\[ *([\d.]+) s\] done", text):
            machine["seconds"] = float(seconds[1])
    return rows, arrays, machine


def latents_of(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.float32]:
    """Latents of all objects by each network, (networks, phases, n_objects, latents)."""
    value = arrays[f"{name}|latents"].astype(np.float32)
    return value * arrays[f"{name}|unit"] if f"{name}|unit" in arrays else value


BEGUN = time.perf_counter()


def say(text: str) -> None:
    print(f"[{time.perf_counter() - BEGUN:5.0f} s] {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("networks", type=Path)
    parser.add_argument("--crossval", type=Path, required=True)
    parser.add_argument("--real", type=Path, help="folder of real objects, as for real_sky.py")
    parser.add_argument("--gpu-commit", required=True, help="commit of autoencoder_gpu.py that ran")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    objects = Objects.read(args.input)
    rows, arrays, machine = read_networks(args.networks)
    networks = of_networks(arrays, objects)
    presets = {
        name: of_preset(args.crossval / f"crossval-{name}", objects)
        for name in ("default", "fast")
        if (args.crossval / f"crossval-{name}").exists()
    }
    partners = {"joint32": networks["joint32"], "all networks": mean_of(list(networks.values()))}
    say(f"{len(rows)} variants, {', '.join(presets)}")
    result: Table = {
        "what": "autoencoders alone, beside the presets, and changed in one part (studies/autoencoder.py)",
        "protocol": " ".join((__doc__ or "").split("Protocol: ")[1].split()),
        "version": firstlight.__version__,
        "run": provenance([*objects.object_id.tolist()], seed=0),
        "networks": machine | {"commit": args.gpu_commit},
        "n_objects": len(objects.label),
    }

    def keep(key: str, value: Any) -> None:
        result[key] = value
        args.out.write_text(json.dumps(result, indent=1) + "\n")
        say(key)

    keep("ensemble", {"members": list(networks), "scores": scores(partners["all networks"], objects)})
    keep("beside", beside(presets, partners, objects))
    trees = {}
    for name in UNSUPERVISED:
        if f"{name}|latents" in arrays:
            trees[name] = trees_on(latents_of(arrays, name), objects, 80)
            say(f"trees on {name}")
    keep("alone", alone(rows, networks, trees, objects))
    keep(
        "ablation",
        {
            name: differences(networks[name], networks["base"], objects)
            for name in ABLATION[1:]
            if name in networks and "base" in networks
        },
    )
    keep("anomaly", {n: strangers(latents_of(arrays, n), objects) for n in trees})
    if "vae64" in trees and "default" in presets:
        keep("residual", residual(*presets["default"], latents_of(arrays, "vae64"), objects))
    if args.real:
        import autoencoder_sky

        weights = result["beside"]["default"]["mixed"]["joint32"]["weights"]["all"]
        keep("real_sky", autoencoder_sky.measure(args.input, args.networks, args.real, weights))


if __name__ == "__main__":
    main()
