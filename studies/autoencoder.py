"""The worth of autoencoders: alone, beside the presets, early, in `fast`, on a real sky.

First ``python -m studies.autoencoder_networks`` (networks); then ``python -m studies.autoencoder --cache
FOLDER --crossval FOLDER [--data FOLDER]`` from the top of the project, which writes
``docs/results/autoencoder.json`` (six minutes of one core). ``--cache`` holds the networks' outputs;
``--crossval`` holds ``default`` and ``fast``, folders of ``firstlight crossval``; ``--data`` is the folder
of real objects of `real_sky`.

Protocol: PLAsTiCC training set, photometric redshifts, the five folds of the cross-validation of every
preset (seed 0), or the first ones where a number of folds is stated; days since trigger 0, 2, 8, 32 and
whole light curves. An object's forecast comes from a network that saw neither the object nor its fold, not
even without a label. Scores are means over folds with their standard deviation; differences are paired by
fold, with their standard error over folds. Networks learn with classes weighted by n^-1/2, which is undone
by the class frequencies of the other folds. `trees` are boosted trees on the latent means of networks
without labels, from the other folds' objects at the five phases. A mixture is a weighted sum of
log-probabilities, normalised; the weights of a fold are fitted to the log-loss of the other folds, for each
phase, and its difference is to the preset rescaled in the same way. Objects that a preset does not classify
keep its prior. On the real sky the forecast is the mean of the networks, and a mixture has the mean weights;
the objects and scores are those of the testing half of `studies/real_sky.py`.
"""

from benchmarks._harness import result, write

# isort: split
import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightgbm
import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp
from studies.autoencoder_networks import N_FOLDS, PHASES, VARIANTS, file_of, frequencies, objects, say
from studies.real_sky import SALT, read_set, scores_of

from firstlight import Pipeline, read_predictions
from firstlight._types import BoolArray, FloatArray, IntArray, StrArray
from firstlight.classify import to_all_classes
from firstlight.metrics import phase_name
from firstlight.metrics.scores import class_weights, headline
from firstlight.preprocess import preprocess
from firstlight.splits import hash_fraction
from firstlight.taxonomy import GALACTIC, class_index

OUT = Path(__file__).parent.parent / "docs" / "results" / "autoencoder.json"
VIEWS = tuple(phase_name(days) for days in PHASES)
METRICS = ("accuracy", "macro_f1", "macro_auc", "log_loss")
SEEDS = ("joint 6", "joint 6, seed 1", "joint 6, seed 2")
SIZES = ("joint 6", "joint 16", "joint 64", "joint 256")
STREAMED = "recurrent 6, without GP"  # reads the inputs of `fast`
N_TODAY = 2  # folds in which today's latents are compared
LEAST = np.log(1e-7)  # of a log-probability that is mixed
MOST_WEIGHT = 3.0
TREES = {
    "objective": "multiclass",
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
ROUNDS = 80

Forecast = FloatArray  # (n_objects, phases, classes); log-probabilities, NaN for folds that were not run
Table = dict[str, Any]


@dataclass(frozen=True)
class Sky:
    """Names, classes and folds of the training set."""

    object_id: StrArray
    classes: tuple[str, ...]
    label: IntArray
    fold: IntArray

    def folds_of(self, forecast: Forecast) -> list[int]:
        """Folds that a forecast covers."""
        return [k for k in range(N_FOLDS) if np.isfinite(forecast[self.fold == k]).all()]


# --- forecasts ---------------------------------------------------------------------------


def of_networks(cache: Path, sky: Sky) -> tuple[dict[str, Forecast], dict[str, Table]]:
    """Forecast of each variant with classes, and the cost of its networks."""
    found, costs = {}, {}
    for name, variant in VARIANTS.items():
        paths = [file_of(cache, name, k) for k in range(variant.folds)]
        paths = [path for path in paths if path.exists()]
        if not paths:
            continue
        out = np.full((len(sky.label), len(PHASES), len(sky.classes)), np.nan)
        spent, commits = [], set()
        for k, path in enumerate(paths):
            with np.load(path) as file:
                out[sky.fold == k] = undone(file["logits"], sky, k)
                spent.append(float(file["cpu_seconds"]))
                commits.add(str(file["commit"]))
        costs[name] = {
            "latents": variant.latent,
            "folds": len(paths),
            "cpu_seconds_per_network": round(float(np.mean(spent)), 1),
            "commits": sorted(commits),
        }
        if variant.classes:
            found[name] = out
    return found, costs


def undone(logits: FloatArray, sky: Sky, k: int) -> FloatArray:
    """Log-probabilities, the weights of the classes undone by their frequencies outside of a fold."""
    return log_softmax(logits.astype(np.float64) + 0.5 * frequencies(sky.label[sky.fold != k]), axis=-1)


def of_preset(folder: Path, sky: Sky) -> tuple[Forecast, BoolArray]:
    """Out-of-fold forecast of a preset, and which objects it classified at each phase."""
    place = {name: i for i, name in enumerate(sky.object_id.tolist())}
    proba = np.full((len(place), len(VIEWS), len(sky.classes)), np.nan)
    classified = np.zeros((len(place), len(VIEWS)), bool)
    for k, own in enumerate(sorted(folder.glob("fold-*"))):
        for p, view in enumerate(VIEWS):
            found = read_predictions(own / f"phase-{view}.parquet")
            rows = np.array([place[name] for name in found.object_id.tolist()])
            if not (sky.fold[rows] == k).all():
                raise SystemExit(f"{own}: the objects are not those of fold {k} of the networks")
            part = found.proba[:, [found.classes.index(name) for name in sky.classes]]
            proba[rows, p] = part / part.sum(axis=1, keepdims=True)
            classified[rows, p] = found.is_classified
    if np.isnan(proba).any():
        raise SystemExit(f"{folder}: its predictions do not cover all objects")
    return np.log(np.maximum(proba, 1e-15)), classified


def mean_of(forecasts: Sequence[Forecast]) -> Forecast:
    """Mean of the probabilities."""
    return np.asarray(logsumexp(np.stack(forecasts), axis=0) - np.log(len(forecasts)))


def trees_on(cache: Path, name: str, sky: Sky) -> Forecast:
    """Boosted trees on the latents of a network without labels, from the objects of the other folds."""
    out = np.full((len(sky.label), len(PHASES), len(sky.classes)), np.nan)
    for k in range(N_FOLDS):
        path = file_of(cache, name, k)
        if path.exists():
            with np.load(path) as file:
                latents = file["latents"].astype(np.float32)
            learn, test = sky.fold != k, sky.fold == k
            X, label = latents[learn].reshape(-1, latents.shape[2]), np.repeat(sky.label[learn], len(PHASES))
            out[test] = boosted(X, label, len(sky.classes))(latents[test])
    return out


def boosted(X: FloatArray, label: IntArray, n_classes: int) -> Callable[[FloatArray], FloatArray]:
    """Trees that learnt from some rows, as a function from (n, phases, columns) to log-probabilities."""
    model = lightgbm.train(TREES | {"num_class": n_classes}, lightgbm.Dataset(X, label), ROUNDS)

    def forecast(test: FloatArray) -> FloatArray:
        proba = np.asarray(model.predict(test.reshape(-1, test.shape[2]))).reshape(*test.shape[:2], -1)
        return np.log(np.maximum(proba, 1e-15))

    return forecast


# --- mixtures ------------------------------------------------------------------------------


def fit_weights(parts: FloatArray, label: IntArray) -> FloatArray:
    """Weights of log-probabilities, (n_forecasts, n, classes), with the least log-loss."""
    own = parts[:, np.arange(len(label)), label]

    def loss(w: FloatArray) -> tuple[float, FloatArray]:
        total = log_softmax(np.tensordot(w, parts, axes=1), axis=1)
        expected = (np.exp(total)[None] * parts).sum(axis=2)
        return float(-total[np.arange(len(label)), label].mean()), (expected - own).mean(axis=1)

    start, bounds = np.full(len(parts), 1.0 / len(parts)), [(0.0, MOST_WEIGHT)] * len(parts)
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x)


def mix(
    forecasts: Sequence[Forecast], classified: BoolArray, sky: Sky, folds: Sequence[int]
) -> tuple[Forecast, list[list[float]]]:
    """Mix forecasts, weights fitted on the other folds; and the mean weights by phase."""
    out = np.full_like(forecasts[0], np.nan)
    known = np.isin(sky.fold, folds)
    out[known] = forecasts[0][known]
    weights = []
    for p in range(len(PHASES)):
        parts = np.maximum(np.stack([one[:, p] for one in forecasts]), LEAST)
        fitted = []
        for k in folds:
            learn = (sky.fold != k) & classified[:, p] & known
            test = (sky.fold == k) & classified[:, p]
            w = fit_weights(parts[:, learn], sky.label[learn])
            out[test, p] = log_softmax(np.tensordot(w, parts[:, test], axes=1), axis=1)
            fitted.append(w)
        weights.append([round(float(x), 3) for x in np.mean(fitted, axis=0)])
    return out, weights


# --- scores ---------------------------------------------------------------------------


def by_fold(forecast: Forecast, sky: Sky, phase: int, extragalactic: bool) -> FloatArray:
    """`METRICS` of each fold that the forecast covers, (folds, metrics)."""
    weights = class_weights(sky.classes)
    use = ~np.isin(np.array(sky.classes)[sky.label], list(GALACTIC)) | (not extragalactic)
    rows = []
    for k in sky.folds_of(forecast):
        chosen = (sky.fold == k) & use
        proba = np.exp(forecast[chosen, phase])
        found = headline(sky.label[chosen], proba / proba.sum(axis=1, keepdims=True), weights)
        rows.append([found[name] for name in METRICS])
    return np.array(rows)


def scores(forecast: Forecast, sky: Sky) -> Table:
    """Mean and scatter over folds of every metric, by phase and selection."""
    table: Table = {}
    for p, view in enumerate(VIEWS):
        table[view] = {}
        for name, extragalactic in (("all", False), ("extragalactic", True)):
            rows = by_fold(forecast, sky, p, extragalactic)
            table[view][name] = {
                metric: {"mean": round(float(x.mean()), 4), "std": _std(x)}
                for metric, x in zip(METRICS, rows.T, strict=True)
            }
    return table


def _std(x: FloatArray) -> float | None:
    return round(float(x.std(ddof=1)), 4) if len(x) > 1 else None


def differences(after: Forecast, before: Forecast, sky: Sky) -> Table:
    """Paired difference of every metric over all objects and its standard error over folds, by phase."""
    both = np.isfinite(after + before)
    after, before = np.where(both, after, np.nan), np.where(both, before, np.nan)
    table: Table = {}
    for p, view in enumerate(VIEWS):
        rows = by_fold(after, sky, p, False) - by_fold(before, sky, p, False)
        table[view] = {
            metric: {
                "mean": round(float(x.mean()), 4),
                "error": round(float(x.std(ddof=1) / np.sqrt(len(x))), 4) if len(x) > 1 else None,
            }
            for metric, x in zip(METRICS, rows.T, strict=True)
        }
    return table


# --- measurements ---------------------------------------------------------------------------


def beside(
    presets: Mapping[str, tuple[Forecast, BoolArray]], partners: Mapping[str, Forecast], sky: Sky
) -> Table:
    """Each preset mixed with autoencoders, against the same preset rescaled in the same way."""
    table: Table = {}
    for preset, (own, classified) in presets.items():
        mixed = {}
        for name, partner in partners.items():
            folds = sky.folds_of(partner)
            rescaled, _ = mix([own], classified, sky, folds)
            both, weights = mix([own, partner], classified, sky, folds)
            mixed[name] = {
                "folds": len(folds),
                "difference": differences(both, rescaled, sky),
                "weights": dict(zip(VIEWS, weights, strict=True)),
            }
        table[preset] = {"as it is": scores(own, sky), "mixed": mixed}
        say(f"{preset}: {', '.join(mixed)}")
    return table


def todays_latents(folder: Path, preset: str, sky: Sky) -> Table:
    """Trees with and without the six latents of the preset's own encoder, bundle by bundle of its folds."""
    curves, _, _ = objects()
    rng = np.random.default_rng(0)
    with_, without, alone = (
        np.full((len(sky.label), len(PHASES), len(sky.classes)), np.nan) for _ in range(3)
    )
    for k, own in enumerate(sorted(folder.glob("fold-*"))[:N_TODAY]):
        pipeline = Pipeline.load(own / "bundle")
        inputs = pipeline.builder
        n_latents = 2 * inputs.encoder.n_latent

        def rows(which: IntArray, days: Any, inputs: Any = inputs, pipeline: Any = pipeline) -> FloatArray:
            return inputs.rows(preprocess(curves.take(which).upto_phase(days), pipeline.config.preprocess)).X

        learn, test = np.flatnonzero(sky.fold != k), np.flatnonzero(sky.fold == k)
        young = rng.choice(PHASES[:-1], len(learn))
        X = np.concatenate([rows(learn, np.inf), rows(learn, young)])
        label = np.tile(sky.label[learn], 2)
        shown = np.stack([rows(test, days) for days in PHASES], axis=1)
        n_classes = len(sky.classes)
        with_[test] = boosted(X, label, n_classes)(shown)
        without[test] = boosted(X[:, n_latents:], label, n_classes)(shown[:, :, n_latents:])
        alone[test] = boosted(X[:, :n_latents], label, n_classes)(shown[:, :, :n_latents])
        say(f"{own}: trees with and without latents")
    return {
        "folds": len(sky.folds_of(with_)),
        "alone": scores(alone, sky),
        "difference": differences(with_, without, sky),
    }


def real_sky(cache: Path, data: Path, names: Sequence[str], weights: Mapping[str, Any], sky: Sky) -> Table:
    """Networks on real objects: alone, and mixed with the shipped bundles."""
    curves, types, _, read = read_set(data)
    with np.load(cache / "real.npz") as file:
        assert (file["object_id"] == curves.object_id).all(), "the real objects are others: delete real.npz"
    truth = class_index(types.tolist())
    testing = np.flatnonzero(hash_fraction(curves.object_id, SALT) >= 0.5)

    def measured(log_proba: FloatArray) -> Table:
        proba = to_all_classes(np.exp(log_softmax(log_proba, axis=1)), sky.classes)
        return scores_of(SimpleNamespace(proba=proba), truth, testing)  # type: ignore[arg-type]

    networks = {}
    for name in names:
        logs = []
        for k in range(N_FOLDS):
            path = file_of(cache, name, k)
            if path.exists():
                with np.load(path) as file:
                    logs.append(undone(file["real"], sky, k))
        networks[name] = mean_of(logs)
    table: Table = {"objects": read, "n_testing": len(testing)}
    table["alone"] = {name: measured(own) for name, own in networks.items()}
    for preset, of_mix in weights.items():
        found = Pipeline.load(preset).predict(curves, jobs=1)
        own = np.log(np.maximum(found.proba[:, [found.classes.index(c) for c in sky.classes]], 1e-7))
        table[preset] = {"as it is": measured(own)}
        for name, by_view in of_mix.items():
            if name in networks:
                a, b = by_view["all"]
                table[preset][f"mixed with {name}"] = measured(
                    a * own + b * np.maximum(networks[name], LEAST)
                )
        say(f"real sky: {preset}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("runs/autoencoder"))
    parser.add_argument("--crossval", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder of real objects, as for real_sky")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    curves, labels, fold = objects()
    classes, label = np.unique(labels, return_inverse=True)
    sky = Sky(curves.object_id, tuple(classes.tolist()), label, fold)
    networks, costs = of_networks(args.cache, sky)
    protocol = " ".join((__doc__ or "").split("Protocol: ")[1].split())
    table: Table = result(
        "autoencoders, alone and beside the presets (studies/autoencoder.py)", "torch", "lightgbm"
    )
    table |= {"protocol": protocol, "n_objects": len(label), "networks": costs}

    def keep(key: str, value: Any) -> None:
        table[key] = value
        write(args.out, table, show=False)
        say(key)

    ensembles = {
        "three of joint 6": mean_of([networks[name] for name in SEEDS if name in networks]),
        "all joint": mean_of([own for name, own in networks.items() if name.startswith("joint")]),
    }
    keep("alone", {name: scores(own, sky) for name, own in (networks | ensembles).items()})
    keep(
        "against joint 6",
        {
            n: differences(own, networks["joint 6"], sky)
            for n, own in (networks | ensembles).items()
            if n != "joint 6"
        },
    )
    unlabelled = [name for name in costs if not VARIANTS[name].classes]
    keep("trees", {name: scores(trees_on(args.cache, name, sky), sky) for name in unlabelled})
    presets = {name: of_preset(args.crossval / name, sky) for name in ("default", "fast")}
    partners = {name: networks[name] for name in (*SIZES, STREAMED) if name in networks} | ensembles
    keep("beside", beside(presets, partners, sky))
    keep("todays", {name: todays_latents(args.crossval / name, name, sky) for name in ("default", "fast")})
    if args.data:
        weights = {
            preset: {name: mixed["weights"] for name, mixed in own["mixed"].items()}
            for preset, own in table["beside"].items()
        }
        keep("real_sky", real_sky(args.cache, args.data, list(networks), weights, sky))


if __name__ == "__main__":
    main()
