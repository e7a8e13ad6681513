"""Detection of a class that is missing from training: the anomaly score and alternatives.

First ``python studies/anomaly_rows.py``, which trains an encoder without each class; then
``python studies/anomaly.py``, which writes ``studies/results/anomaly.json`` and
``docs/images/anomaly.png``. About two minutes of one core per class and preset; the classifier's
probabilities are kept under ``runs/anomaly``.

The class is missing from everything that trains. Strangers are its objects, the rest are known
objects that nothing was trained on: ``dev``, on which weights were chosen, and ``test``, on which
nothing was. The AUC does not depend on how many strangers there are; purity does, so purity in
the top 1 % is given at a prevalence of 1 % (a perfect score has 1, a random one 0.01), strangers
weighted to it, and as counted in the sample.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.metrics import roc_auc_score

import firstlight
from anomaly_rows import LEFT_OUT, ROWS, VIEWS
from firstlight import load_preset
from firstlight.anomaly import AnomalyConfig, AnomalyInputs, AnomalyScorer
from firstlight.anomaly.isolation import ClassIsolation
from firstlight.anomaly.scorer import COMPONENTS
from firstlight.classify import PhaseCalibrator, TrainingRows, make_classifier
from firstlight.encoder.contrast import CONTRAST_NAMES, contrasts
from firstlight.encoder.steps import CONTEXT_NAMES
from firstlight.report.style import (
    ACCENT,
    INK,
    MAIN,
    label_panels,
    legend_above,
    panel_grid,
    save_figure,
    styled,
)

OUT = Path(__file__).parent / "results" / "anomaly.json"
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "anomaly.png"
#: Inputs of each preset's classifier, among the columns of `anomaly_rows`.
PRESETS = {"default": ("latent", "scatter", "features"), "fast": ("latent", "scatter", "summary", "contrast")}
#: Columns of the summary that the distance does better without: moments and windows of each band.
SKIPS = {
    "default": (),
    "fast": (
        *(
            "share_*",
            "excess_*",
            "mean_*",
            "deviation_*",
            "skew_*",
            "kurtosis_*",
            "snr_*",
            "low_*",
            "light_*",
        ),
        *("detected_[ugrizy]", "positive_*", "negative_*", "high_time_*", "change_*"),
        *("trigger[0-9]*", "peak[0-9]*"),
    ),
}
#: Scores in the picture: label, colour, dashes.
DRAWN = {
    "reconstruction error": ("reconstruction error", "#999933", ":"),
    "isolation, a forest a class, latents and their scatter": ("isolation in latent space", "#009E73", "--"),
    "classifier's doubt": ("classifier's doubt", "#AA4499", "-."),
    "distance on the preset's rows (before)": ("distance to nearest class", MAIN, (0, (5, 1))),
    "chosen": ("all four, weighted", ACCENT, "-"),
}
PREVALENCE, TOP = 0.01, 0.01
N_BOOT = 30
#: The components by themselves.
FOUR = (
    "reconstruction error",
    "isolation, a forest a class, latents and their scatter",
    "classifier's doubt",
    "distance on what is not skipped",
)
ROUNDS = 60  # of the classifier whose uncertainty is a component
N_LATENTS = load_preset("default").encoder.vae.latent
MIN_OBS = 2  # as for a verdict

Rows = dict[str, NDArray[Any]]
Score = Callable[[Rows], NDArray[np.float64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classes", nargs="*", default=LEFT_OUT)
    parser.add_argument("--presets", nargs="*", default=list(PRESETS))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    args = parser.parse_args()
    result: dict[str, Any] = {
        "protocol": " ".join(__doc__.split("\n\n")[2].split()),
        "version": firstlight.__version__,
        "machine": f"{platform.machine()}, one thread, load {os.getloadavg()[0]:.1f}",
        "weights": {name: getattr(AnomalyConfig(), f"{name}_weight", 1.0) for name in COMPONENTS},
        "scores": {},
    }
    curves: dict[str, dict[str, Any]] = {}
    for preset in args.presets:
        for name in args.classes:
            table, curves[f"{preset}: {name}"] = measured(name, preset)
            result["scores"].setdefault(preset, {})[name] = table
        result.setdefault("mean", {})[preset] = means(result["scores"][preset])
        parts = load(args.classes[-1])
        add_proba(parts, args.classes[-1], preset)
        result.setdefault("cost_us", {})[preset] = cost(parts, preset)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    save_figure(recall(curves), args.picture)


def measured(name: str, preset: str) -> tuple[dict[str, Any], Any]:
    """All figures of a class and preset, and its curves; kept, so that a run can go on where it stopped."""
    path = ROWS / f"scores-{name}-{preset}.json"
    if not path.exists():
        parts = load(name)
        add_proba(parts, name, preset)
        table, drawn = measure(parts, name, variants(parts, preset))
        path.write_text(json.dumps([table, drawn]))
        for split in ("dev", "test"):
            scored = table[split]["whole"]["variants"]
            print(preset, name, split, {key: value["auc"] for key, value in scored.items()}, flush=True)
    table, drawn = json.loads(path.read_text())
    return table, drawn


# --- rows ---------------------------------------------------------------------------


def load(name: str) -> dict[str, Rows]:
    """Rows of each part: train, scale, and the views of dev and test."""
    parts: dict[str, Rows] = {}
    for key, value in load_file(ROWS / f"{name}.safetensors").items():
        part, column = key.rsplit("|", 1)
        parts.setdefault(part, {})[column] = value
    for rows in parts.values():
        rows["contrast"] = contrasts(rows["summary"])
        rows["label"] = np.array([bytes(row).decode().strip() for row in rows["label"]])
    return parts


def matrix(rows: Rows, preset: str) -> NDArray[np.float32]:
    """Inputs of a preset's classifier."""
    return np.hstack([rows[column] for column in PRESETS[preset]]).astype(np.float32)


def names(preset: str) -> tuple[str, ...]:
    """Names of these columns; features need none, since none of them is skipped."""
    if preset == "default":
        return ()
    own = [f"{kind}_{k}" for kind in ("latent", "latent_log_var") for k in range(N_LATENTS)]
    return (*own, *CONTEXT_NAMES, *CONTRAST_NAMES)


def latents(rows: Rows) -> NDArray[np.float32]:
    return np.hstack([rows["latent"], rows["scatter"]])


def redshift(rows: Rows) -> NDArray[np.float32]:
    """Host redshift, read back from the summary; NaN unknown, 0 in the Milky Way."""
    known, galactic, log = (
        rows["summary"][:, CONTEXT_NAMES.index(name)]
        for name in ("redshift_known", "galactic", "log_redshift")
    )
    z = np.where(galactic > 0.0, 0.0, np.maximum(0.02 * np.expm1(log), 0.002))
    return np.where(known > 0.0, z, np.nan).astype(np.float32)


def add_proba(parts: dict[str, Rows], name: str, preset: str) -> None:
    """Calibrated probabilities of the preset's classifier, trained without the class."""
    path = ROWS / f"proba-{name}-{preset}.safetensors"
    if not path.exists():
        # Smaller than the preset's, one expert instead of two: an eighth of the time.
        config = load_preset("default")
        booster = replace(config.classifier.lightgbm, rounds=ROUNDS, learning_rate=0.15, leaves=15)
        kind = replace(config.classifier, kind="lightgbm", lightgbm=booster)
        train, scale = parts["train"], parts["scale"]
        names = [np.tile(np.arange(len(p["label"]) // n).astype(str), n) for p, n in ((train, 3), (scale, 5))]
        rows, held = (
            TrainingRows(matrix(part, preset), part["label"], redshift(part), object_id=owner)
            for part, owner in ((train, names[0]), (scale, np.char.add("v", names[1])))
        )
        classifier = make_classifier(kind).fit(rows, held, seed=0)
        scored = {
            p: classifier.predict_proba(matrix(r, preset), redshift=redshift(r)) for p, r in parts.items()
        }
        calibrator = PhaseCalibrator(config.calibration).fit(
            scored["scale"], scale["label"], classifier.classes, scale["phase"], groups=names[1], seed=0
        )
        save_file({p: calibrator.transform(scored[p], parts[p]["phase"]) for p in parts}, path)
    for part, proba in load_file(path).items():
        parts[part]["proba"] = proba


# --- scores ---------------------------------------------------------------------------


def variants(parts: dict[str, Rows], preset: str) -> dict[str, Score]:
    """Every score that is compared, by its name; higher is stranger."""
    train, scale = parts["train"], parts["scale"]
    known: dict[Any, AnomalyScorer] = {}

    def inputs(rows: Rows) -> AnomalyInputs:
        return AnomalyInputs(latents(rows), rows["error"], rows.get("proba"))

    def fitted(columns: Callable[[Rows], NDArray[np.float32]], skip: bool = False, **weights: float) -> Score:
        """Score of a scorer with these columns and weights; each is fitted once."""
        config = replace(AnomalyConfig(), distance_skips=SKIPS[preset] if skip else (), **weights)
        if (columns, config) not in known:
            known[columns, config] = AnomalyScorer(config).fit(
                columns(train),
                train["label"],
                columns(scale),
                inputs=inputs(train),
                validation_inputs=inputs(scale),
                phase=scale["phase"],
                names=names(preset),
            )
        scorer = known[columns, config]
        return lambda rows: scorer.score(columns(rows), rows["phase"], inputs(rows))

    def own(rows: Rows) -> NDArray[np.float32]:
        return matrix(rows, preset)

    alone = {"isolation_weight": 0.0, "doubt_weight": 0.0, "error_weight": 0.0}
    return {
        "reconstruction error": calibrated(scale, lambda rows: rows["error"].astype(np.float64)),
        "isolation, a forest a class, latents": calibrated(scale, per_class(train, lambda r: r["latent"])),
        "isolation, a forest a class, latents and their scatter": calibrated(
            scale, per_class(train, latents)
        ),
        "classifier's doubt": calibrated(scale, lambda rows: 1.0 - rows["proba"].max(axis=1)),
        "distance on latents": fitted(lambda r: r["latent"], **alone),
        "distance on latents and their scatter": fitted(latents, **alone),
        "distance on the preset's rows (before)": fitted(own, **alone),
        "distance on what is not skipped": fitted(own, skip=True, **alone),
        "all four, equal weights": fitted(
            own, skip=True, isolation_weight=1.0, doubt_weight=1.0, error_weight=1.0
        ),
        "chosen without skips": fitted(own),
        "chosen without doubt": fitted(own, skip=True, doubt_weight=0.0),
        "chosen without isolation": fitted(own, skip=True, isolation_weight=0.0),
        "chosen without reconstruction error": fitted(own, skip=True, error_weight=0.0),
        "chosen": fitted(own, skip=True),
    }


def per_class(train: Rows, columns: Callable[[Rows], NDArray[np.float32]]) -> Score:
    """arXiv:2408.08888: the score of an object is the least among the classes' isolation forests."""
    _, code = np.unique(train["label"], return_inverse=True)
    forests = ClassIsolation.fit(columns(train), code, n_trees=100, n_samples=256, seed=0)
    return lambda rows: forests.isolation_score(columns(rows))


def calibrated(scale: Rows, score: Score) -> Score:
    """A score's false-alarm scale by phase, as the chosen one has; beyond the last it still rises."""
    edges = np.array(AnomalyConfig().phase_edges)
    place = np.searchsorted(edges, np.nan_to_num(scale["phase"]))
    reference = score(scale)

    def scaled(rows: Rows) -> NDArray[np.float64]:
        """Rank of each score among the reference rows of its phase; above the last it rises on, below one."""
        value, range_ = score(rows), np.searchsorted(edges, np.nan_to_num(rows["phase"]))
        out = np.empty(len(value))
        for k in range(len(edges) + 1):
            own, here = np.sort(reference[place == k]), range_ == k
            rank = np.arange(1, len(own) + 1) / (len(own) + 1)
            excess = np.maximum(value[here] - own[-1], 0.0) / max(float(own[-1] - own[0]), 1e-6)
            out[here] = np.where(
                excess > 0.0, 1.0 - (1.0 - rank[-1]) / (1.0 + excess), np.interp(value[here], own, rank)
            )
        return out

    return scaled


# --- figures ---------------------------------------------------------------------------


def measure(parts: dict[str, Rows], name: str, scores: dict[str, Score]) -> tuple[dict[str, Any], Any]:
    """Every figure of every score, split and view; and the data of the picture."""
    table: dict[str, Any] = {}
    drawn = {}
    for split in ("dev", "test"):
        table[split] = {}
        for view in VIEWS:
            rows = parts[f"{split}|{view}"]
            use = rows["n_obs"] >= MIN_OBS
            rows = {key: value[use] for key, value in rows.items()}
            strange = rows["label"] == name
            scored = {key: score(rows) for key, score in scores.items()}
            four = np.array([scored[key] for key in FOUR])
            scored["all four, largest"] = four.max(axis=0)
            scored["all four, Fisher"] = -np.log1p(-four).sum(axis=0)
            table[split][view] = {
                "n_strangers": int(strange.sum()),
                "n_known": int((~strange).sum()),
                "prevalence_sample": round(float(strange.mean()), 4),
                "variants": {key: figures(value, strange, key in DRAWN) for key, value in scored.items()},
            }
            chosen = scored["chosen"][~strange]
            alarms = {str(level): round(float((chosen > 1 - level).mean()), 4) for level in (0.01, 0.05, 0.1)}
            table[split][view]["false_alarms_of_chosen"] = alarms
            if view == "whole" and split == "test":
                drawn = {key: false_and_found(scored[key], strange) for key in DRAWN}
    return table, drawn


def figures(score: NDArray[np.float64], strange: NDArray[np.bool_], scatter: bool) -> dict[str, float]:
    """Figures of a score; with their scatter under bootstraps if wanted."""
    known = score[~strange]
    out = {
        "auc": roc_auc_score(strange, score),
        "purity_top_1pct": purity(score, strange, PREVALENCE),
        "purity_top_1pct_sample": purity(score, strange, float(strange.mean())),
        "recall_at_1pct_false_alarms": (score[strange] > np.quantile(known, 0.99)).mean(),
        "recall_at_5pct_false_alarms": (score[strange] > np.quantile(known, 0.95)).mean(),
    }
    rng = np.random.default_rng(0)
    again = []
    for _ in range(N_BOOT if scatter else 0):  # strangers and known apart, so that both are always there
        index = np.concatenate([rng.choice(np.flatnonzero(s), s.sum()) for s in (strange, ~strange)])
        s, y = score[index], strange[index]
        again.append((roc_auc_score(y, s), purity(s, y, PREVALENCE)))
    if scatter:
        out["auc_sd"], out["purity_top_1pct_sd"] = np.std(again, axis=0)
    return {key: round(float(value), 4) for key, value in out.items()}


def purity(score: NDArray[np.float64], strange: NDArray[np.bool_], prevalence: float) -> float:
    """Share of strangers in the top 1 % when they are `prevalence` of all."""
    weight = np.where(strange, prevalence / strange.sum(), (1.0 - prevalence) / (~strange).sum())
    order = np.argsort(-score, kind="stable")
    before = np.cumsum(weight[order]) - weight[order]
    share = np.clip(TOP - before, 0.0, weight[order])  # the last counts as far as it fits
    return float((share * strange[order]).sum() / share.sum())


def false_and_found(score: NDArray[np.float64], strange: NDArray[np.bool_]) -> Any:
    """False-alarm rate and recall along the score."""
    order = np.argsort(-score, kind="stable")
    found = np.cumsum(strange[order])
    false = np.arange(1, len(order) + 1) - found
    return (false / (~strange).sum()).tolist(), (found / strange.sum()).tolist()


def means(classes: dict[str, Any]) -> dict[str, Any]:
    """Means over the classes."""
    first = next(iter(classes.values()))
    return {
        split: {
            view: {
                key: {
                    figure: round(
                        float(np.mean([c[split][view]["variants"][key][figure] for c in classes.values()])), 4
                    )
                    for figure in scored
                    if not figure.endswith("_sd")
                }
                for key, scored in first[split][view]["variants"].items()
            }
            for view in first[split]
        }
        for split in first
    }


def cost(parts: dict[str, Rows], preset: str) -> dict[str, float]:
    """CPU microseconds per row, best of many: alone and in micro-batches of 256, all and by part."""
    train, scale = parts["train"], parts["scale"]
    both = [AnomalyInputs(latents(r), r["error"], r["proba"]) for r in (train, scale)]
    scorer = AnomalyScorer(AnomalyConfig(distance_skips=SKIPS[preset])).fit(
        matrix(train, preset),
        train["label"],
        matrix(scale, preset),
        inputs=both[0],
        validation_inputs=both[1],
        phase=scale["phase"],
        names=names(preset),
    )
    X = matrix(scale, preset)
    out = {}
    for n in (1, 256):
        some = AnomalyInputs(*(value[:n] for value in (latents(scale), scale["error"], scale["proba"])))
        calls: dict[str, Callable[[], Any]] = {
            "all": lambda n=n, some=some: scorer.score(X[:n], scale["phase"][:n], some),
            "distance": lambda n=n: scorer._nearest.distance(X[:n]),
            "isolation": lambda some=some: scorer._isolation.isolation_score(some.latent),
        }
        for name, call in calls.items():
            out[f"{name}, batch {n}"] = round(1e6 * best(call) / n, 2)
    return out


def best(call: Callable[[], Any], repeats: int = 30, times: int = 20) -> float:
    call()
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(times):
            call()
        spent.append((time.process_time() - start) / times)
    return min(spent)


@styled
def recall(curves: dict[str, dict[str, Any]]) -> Any:
    """Strangers found against false alarms, a panel a preset and class."""
    figure, panels = panel_grid(len(curves), min(len(curves), len(LEFT_OUT)), 1.75)
    for panel, (title, scored) in zip(panels, curves.items(), strict=True):
        panel.plot(x := np.logspace(-3, 0, 50), x, color="#BBBBBB", lw=0.8)
        for key, (label, colour, dash) in DRAWN.items():
            false, found = scored[key]
            panel.plot(np.maximum(false, 1e-3), found, color=colour, ls=dash, label=label)
        panel.set(xscale="log", xlim=(2e-3, 1.0), ylim=(0.0, 1.0))
        panel.set_title(title, color=INK)
        panel.grid(True)
    x, y = "known objects above the threshold (false alarms)", "objects of the missing class found"
    label_panels(figure, x, y)
    legend_above(figure, panels[0], 3)
    return figure


if __name__ == "__main__":
    main()
