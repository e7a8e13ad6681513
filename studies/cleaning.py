"""Observations and artefacts removed by each cleaning method, on the PLAsTiCC training set.

Run ``python studies/cleaning.py [--source FOLDER]``; it writes ``docs/results/cleaning.json``,
from which ``docs/decisions/0002`` takes its numbers. About a minute of one core.

Measured for the seed paper's clip and for the physical rules: observations, brightest
points, signal and triggers removed from clean data; artefacts caught when one in a hundred
observations is moved by 50 of its errors up or down; skill of a small LightGBM.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split

import firstlight
from firstlight.bands import N_BANDS
from firstlight.data import load_plasticc
from firstlight.lightcurves import LightCurves
from firstlight.metrics import score
from firstlight.preprocess import CleanConfig, PreprocessConfig, asinh_magnitude, keep_mask, preprocess
from firstlight_paper.cleaning import removed, share

OUT = Path(__file__).parent.parent / "docs" / "results" / "cleaning.json"
SEED = 0
SHARE, SIZE = 0.01, 50.0  # of observations moved, and by how many of their errors
N_SUBSET, N_FOLDS, N_REPEATS, ROUNDS = 3000, 3, 3, 150
DEEP_N_OBS = 250  # PLAsTiCC objects with more observations are in the deep drilling fields
PHASES = (2, 8, 32, 128)  # days since trigger
METHODS = ("none", "seed", "physical")
SKILL = ("accuracy", "macro_f1", "macro_auc", "log_loss")
QUANTILES = (0.1, 0.5, 0.9)

Mask = NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--source", type=Path, help="folder with the PLAsTiCC training set; default: the cache"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    curves, truth = load_plasticc(args.source)
    labels = truth.labels_of(curves.object_id)
    dirty, moved = with_artefacts(curves, np.random.default_rng(SEED))
    result: dict[str, Any] = {
        "data": f"PLAsTiCC training set, {len(curves)} objects, {int(curves.offsets[-1])} observations",
        "version": firstlight.__version__,
        "removed": {},
        "artefacts": {"share": SHARE, "size_in_errors": SIZE},
    }
    for method in METHODS[1:]:
        config = CleanConfig(method=method)
        result["removed"][method] = removed(curves, labels, keep_mask(curves, config))
        result["removed"][method]["by_phase"] = {day: removed_early(curves, day, config) for day in PHASES}
        result["artefacts"][method] = caught(dirty, moved, labels, keep_mask(dirty, config))
    result["skill"] = skill(curves, dirty, labels)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(tidy(result), indent=1, allow_nan=False) + "\n")
    print(args.out)


def tidy(value: Any) -> Any:
    """The table with numbers to six digits."""
    if isinstance(value, dict):
        return {str(key): tidy(item) for key, item in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value


# --- losses of clean data -------------------------------------------------------


def removed_early(curves: LightCurves, day: float, config: CleanConfig) -> dict[str, float]:
    """Observations removed from curves as they stand some days after the trigger."""
    early = curves.upto_phase(day)
    keep = keep_mask(early, config)
    before, after = early.trigger_mjd, early.keep(keep).trigger_mjd
    return {
        "observations": float((~keep).mean()),
        "trigger_moved": share(~(before == after), np.isfinite(before)),
    }


# --- caught artefacts --------------------------------------------------


def with_artefacts(curves: LightCurves, rng: np.random.Generator) -> tuple[LightCurves, NDArray[np.int64]]:
    """Curves with some observations moved, and by which sign each (0: left alone)."""
    n_total = len(curves.mjd)
    sign = np.where(rng.random(n_total) < SHARE, rng.choice([-1, 1], n_total), 0)
    flux = (curves.flux + SIZE * sign * curves.flux_err).astype(np.float32)
    return curves.with_columns(flux=flux), sign


def caught(
    dirty: LightCurves, moved: NDArray[np.int64], labels: NDArray[np.str_], keep: Mask
) -> dict[str, Any]:
    deep = np.repeat(dirty.n_obs >= DEEP_N_OBS, dirty.n_obs)
    everywhere = np.ones(len(deep), dtype=bool)
    table: dict[str, Any] = {"good_lost": share(~keep, moved == 0)}
    for field, rows in {"all": everywhere, "deep": deep, "wide": ~deep}.items():
        table[field] = {
            "recall": share(~keep, rows & (moved != 0)),
            "recall_brightening": share(~keep, rows & (moved > 0)),
            "recall_fading": share(~keep, rows & (moved < 0)),
        }
    owner = np.repeat(labels, dirty.n_obs)
    table["recall_by_class"] = {
        str(name): share(~keep, (owner == name) & (moved != 0)) for name in np.unique(labels)
    }
    return table


# --- skill ----------------------------------------------------------------------


def skill(curves: LightCurves, dirty: LightCurves, labels: NDArray[np.str_]) -> dict[str, Any]:
    everyone = np.arange(len(labels))
    subset, _ = train_test_split(everyone, train_size=N_SUBSET, stratify=labels, random_state=SEED)
    curves, dirty, labels = curves.take(subset), dirty.take(subset), labels[subset]
    configs = {name: PreprocessConfig(clean=CleanConfig(method=name)) for name in METHODS}
    configs["none, dereddened again"] = PreprocessConfig(clean=CleanConfig(method="none"), deredden="always")
    table: dict[str, Any] = {
        "protocol": f"{len(subset)} objects, stratified; {N_REPEATS} times {N_FOLDS} folds over objects; "
        f"LightGBM, {ROUNDS} rounds, plain features, photo-z; trained on clean data; mean and standard "
        "deviation over folds"
    }
    for name, config in configs.items():
        clean_x = make_features(preprocess(curves, config))
        dirty_x = make_features(preprocess(dirty, config))
        scores: dict[str, list[dict[str, Any]]] = {"clean": [], "with_artefacts": []}
        folds = RepeatedStratifiedKFold(n_splits=N_FOLDS, n_repeats=N_REPEATS, random_state=SEED)
        for train, test in folds.split(clean_x, labels):
            model = fit(clean_x[train], labels[train])
            for kind, x in (("clean", clean_x), ("with_artefacts", dirty_x)):
                proba = np.asarray(model.predict_proba(x[test]))
                scores[kind].append(score(labels[test], proba, tuple(model.classes_)))
        table[name] = {kind: spread(parts) for kind, parts in scores.items()}
    return table


def fit(x: NDArray[np.float64], labels: NDArray[np.str_]) -> lgb.LGBMClassifier:
    model = lgb.LGBMClassifier(
        n_estimators=ROUNDS,
        learning_rate=0.06,
        num_leaves=12,
        min_child_samples=8,
        colsample_bytree=0.4,
        subsample=0.7,
        subsample_freq=1,
        max_bin=63,
        class_weight="balanced",
        n_jobs=1,
        random_state=SEED,
        deterministic=True,
        verbose=-1,
    )
    return model.fit(x, labels)


def spread(parts: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "mean": float(np.mean([p[name] for p in parts])),
            "std": float(np.std([p[name] for p in parts])),
        }
        for name in SKILL
    }


def make_features(curves: LightCurves) -> NDArray[np.float64]:
    """Moments and quantiles by band, colours, detections, redshift; shape (n_objects, n_features)."""
    n_groups = len(curves) * N_BANDS
    group = curves.object_index * N_BANDS + curves.band
    flux = curves.flux.astype(np.float64)
    snr = flux / curves.flux_err
    n = np.bincount(group, minlength=n_groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(group, flux, n_groups) / n
        deviation = flux - mean[group]
        std = np.sqrt(np.bincount(group, deviation**2, n_groups) / n)
        skew = np.bincount(group, deviation**3, n_groups) / n / std**3
    columns = [
        mean,
        std,
        skew,
        *ranked(flux, group, n, (0.0, 1.0)),
        *ranked(snr, group, n, (*QUANTILES, 1.0)),
    ]
    peak = columns[4].reshape(-1, N_BANDS)
    colours = np.diff(asinh_magnitude(peak, np.broadcast_to(np.arange(N_BANDS), peak.shape)), axis=1)
    detections = np.bincount(curves.object_index[curves.detected], minlength=len(curves))
    late = np.where(curves.detected, curves.phase, 0.0)
    span = np.zeros(len(curves))
    np.maximum.at(span, curves.object_index, late)
    by_band = np.hstack([column.reshape(-1, N_BANDS) for column in columns])
    whole = np.column_stack([detections, span, curves.n_obs, curves.redshift, curves.redshift_err])
    return np.hstack([by_band, colours, whole])


def ranked(
    values: NDArray[np.float64], group: NDArray[np.int64], n: NDArray[np.int64], quantiles: tuple[float, ...]
) -> list[NDArray[np.float64]]:
    """Quantiles of each group (lower neighbour); NaN where a group is empty."""
    order = np.lexsort((values, group))
    start = np.cumsum(n) - n
    out = []
    for quantile in quantiles:
        at = np.minimum(start + (quantile * np.maximum(n - 1, 0)).astype(np.int64), len(values) - 1)
        out.append(np.where(n > 0, values[order[at]], np.nan))
    return out


if __name__ == "__main__":
    main()
