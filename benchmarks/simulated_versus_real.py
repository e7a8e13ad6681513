"""Whether a classifier can tell simulated transients from real ones of the same class.

Run ``python benchmarks/simulated_versus_real.py [--source FOLDER]``; it writes
``docs/results/simulated.json`` and ``simulated.png``. Under a minute on one core.

SLSN-I and SNIa are in PLAsTiCC's training set, so the simulator can be put to the test
that CaRT, ILOT and PISN cannot: a LightGBM on plain features of real and simulated light
curves, as many of each, scored over stratified folds. An AUC of 0.5 means that they cannot
be told apart. PLAsTiCC's training set is what a spectroscopic campaign would have
followed, so the simulated set is judged both as triggered and after a magnitude limit,
the one number fitted to the real class (to its brightest magnitudes).
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import lightgbm as lgb
import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

import firstlight
from firstlight.bands import AB_ZERO_POINT_NJY, BANDS
from firstlight.data import load_plasticc
from firstlight.lightcurves import LightCurve, LightCurves
from firstlight.simulate import POPULATIONS, SimulateConfig, SimulatedSet, simulate
from firstlight.simulate.survey import measure_survey

OUT = Path(__file__).parent.parent / "docs" / "results"
SEED, N_FOLDS, N_REPEATS, MOST = 0, 5, 5, 300
LIMITS = (21.5, 22.0, 22.5, 23.0, 23.5)  # candidates for the campaign's magnitude limit
N_SPEED = 1000
COLORS = ("#7b4fa3", "#2c7fb8", "#41ab5d", "#d9a400", "#e6550d", "#a50f15")
Array = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--source", type=Path, help="folder with the PLAsTiCC training set; default: the cache"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    curves, truth = load_plasticc(args.source)
    labels = truth.labels_of(curves.object_id)
    result: dict[str, Any] = {
        "data": f"PLAsTiCC training set, {len(curves)} objects",
        "protocol": (
            f"real against as many simulated objects (at most {MOST} of each); LightGBM, 60 trees of 7 "
            f"leaves; AUC over {N_FOLDS} stratified folds of out-of-fold scores, mean and standard "
            f"deviation of {N_REPEATS} shuffles and simulations; 'shuffled' has its labels permuted; "
            "follow_up_mag is fitted to the real class's brightest magnitudes, on the same objects"
        ),
        "version": firstlight.__version__,
        "classes": {name: compare(name, curves, labels) for name in ("SLSN-I", "SNIa")},
        "populations": {name: describe(name, curves) for name in POPULATIONS},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "simulated.json").write_text(
        json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    draw(curves, labels, args.out / "simulated.png", result)
    print(args.out / "simulated.json")


# --- features -----------------------------------------------------------------


def features(curves: LightCurves) -> tuple[Array, list[str]]:
    """Plain features of every object: magnitudes, colours, times, counts, photo-z."""
    rows = [_features(curve) for curve in curves]
    names = list(rows[0])
    return np.array([[row[name] for name in names] for row in rows]), names


def _features(curve: LightCurve) -> dict[str, float]:
    snr = curve.flux / curve.flux_err
    found: dict[str, float] = {"photo_z": curve.redshift, "n_obs": float(len(curve))}
    for index, band in enumerate(BANDS):
        seen = (curve.band == index) & (snr > 3.0)
        found[f"snr_{band}"] = float(snr[curve.band == index].max(initial=0.0))
        peak = curve.flux[seen].max(initial=0.0)
        found[f"mag_{band}"] = AB_ZERO_POINT_NJY - 2.5 * np.log10(peak) if peak > 0 else np.nan
    for blue, red in pairwise(BANDS):
        found[f"{blue}-{red}"] = found[f"mag_{blue}"] - found[f"mag_{red}"]
    detected = curve.mjd[curve.detected]
    best = int(np.argmax(np.where(curve.detected, snr, -np.inf)))
    found["n_detected"] = float(len(detected))
    found["rise"] = float(curve.mjd[best] - detected[0])
    found["fall"] = float(detected[-1] - curve.mjd[best])
    # Days above half of the peak, over all bands scaled to their own peaks.
    bright = np.zeros(len(curve), dtype=bool)
    for index in range(len(BANDS)):
        inside = (curve.band == index) & (snr > 3.0)
        if inside.any():
            bright |= inside & (curve.flux > 0.5 * curve.flux[inside].max())
    found["half_width"] = float(np.ptp(curve.mjd[bright])) if bright.any() else 0.0
    return found


def brightest(curves: LightCurves) -> Array:
    """Brightest measured magnitude of r, i and z."""
    values, names = features(curves)
    red = [names.index(f"mag_{band}") for band in "riz"]
    return np.nanmin(np.where(np.isnan(values[:, red]), 99.0, values[:, red]), axis=1)


# --- the test -----------------------------------------------------------------


def compare(name: str, curves: LightCurves, labels: NDArray[np.str_]) -> dict[str, Any]:
    """AUC of real against simulated, as triggered and after a campaign's limit."""
    rng = np.random.default_rng(SEED)
    real = curves.take(np.flatnonzero(labels == name))
    if len(real) > MOST:
        real = real.take(np.sort(rng.permutation(len(real))[:MOST]))
    limit = _fit_limit(name, real, curves)
    out: dict[str, Any] = {"n_real": len(real), "n_simulated": len(real), "follow_up_mag": limit}
    for tag, config in (
        ("as_triggered", SimulateConfig()),
        ("followed_up", SimulateConfig(follow_up_mag=limit)),
    ):
        scores, mixed, ks = [], [], {}
        for repeat in range(N_REPEATS):
            made = simulate(name, len(real), curves, np.random.default_rng(100 + repeat), config)
            x_real, names = features(real)
            x_made, _ = features(made.curves)
            x, y = np.vstack([x_real, x_made]), np.repeat([0, 1], [len(x_real), len(x_made)])
            scores.append(_auc(x, y, repeat))
            mixed.append(_auc(x, rng.permutation(y), repeat))
            if repeat == 0:
                ks = _differences(x_real, x_made, names)
        out[tag] = {"auc": _spread(scores), "auc_shuffled": _spread(mixed), "most_different": ks}
    return out


def _fit_limit(name: str, real: LightCurves, curves: LightCurves) -> float:
    target = brightest(real)

    def distance(limit: float) -> float:
        config = SimulateConfig(follow_up_mag=limit)
        made = simulate(name, len(real), curves, np.random.default_rng(SEED), config)
        return float(ks_2samp(brightest(made.curves), target).statistic)

    return min(LIMITS, key=distance)


def _auc(x: Array, y: NDArray[np.int64], seed: int) -> float:
    score = np.zeros(len(y))
    for train, test in StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed).split(x, y):
        model = lgb.LGBMClassifier(
            n_estimators=60, num_leaves=7, learning_rate=0.07, min_child_samples=10, n_jobs=1, verbose=-1
        )
        score[test] = model.fit(x[train], y[train]).predict_proba(x[test])[:, 1]
    return float(roc_auc_score(y, score))


def _differences(real: Array, made: Array, names: list[str]) -> dict[str, float]:
    """Kolmogorov-Smirnov distance of the five features that differ most."""
    distance = {
        name: float(ks_2samp(a[np.isfinite(a)], b[np.isfinite(b)]).statistic)
        for name, a, b in zip(names, real.T, made.T, strict=True)
    }
    return {name: round(distance[name], 3) for name in sorted(distance, key=lambda k: -distance[k])[:5]}


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": round(float(np.mean(values)), 4), "std": round(float(np.std(values)), 4)}


def describe(name: str, curves: LightCurves) -> dict[str, Any]:
    """What a thousand simulated objects are like, and how fast they come."""
    simulate(name, 1, curves, np.random.default_rng(0))  # tables are made once
    survey_seconds = _cpu_seconds(lambda: measure_survey(curves))
    start = time.process_time()
    made = simulate(name, N_SPEED, curves, np.random.default_rng(1))
    seconds = time.process_time() - start
    columns = ("redshift", "peak_abs_mag", "peak_app_mag", "peak_day", "a_v")
    quantiles = {
        column: np.round(np.percentile(made.truth.column(column).to_numpy(), [5, 50, 95]), 3).tolist()
        for column in columns
    }
    n_detected = np.add.reduceat(made.curves.detected.astype(np.int64), made.curves.offsets[:-1])
    quantiles["n_detected"] = np.round(np.percentile(n_detected, [5, 50, 95])).tolist()
    n_models = len(np.unique(made.truth.column("model").to_numpy()))
    return {
        "n": N_SPEED,
        "percentiles_5_50_95": quantiles,
        "distinct_models": n_models,
        "detected_objects_per_cpu_second": round(N_SPEED / seconds),
        "the_same_once_the_survey_is_measured": round(N_SPEED / max(seconds - survey_seconds, 1e-3)),
    }


def _cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


# --- the picture ----------------------------------------------------------------


def draw(curves: LightCurves, labels: NDArray[np.str_], path: Path, result: dict[str, Any]) -> None:
    """Real and simulated SLSN-I above each other; below, the classes that exist only simulated."""
    real = _well_seen(curves.take(np.flatnonzero(labels == "SLSN-I")), 4)
    limit = result["classes"]["SLSN-I"]["follow_up_mag"]
    rng = np.random.default_rng(7)
    sets: list[tuple[str, LightCurves]] = [("real SLSN-I", real)]
    for name in ("SLSN-I", "PISN", "CaRT", "ILOT"):
        config = SimulateConfig(follow_up_mag=limit if name == "SLSN-I" else None)
        made: SimulatedSet = simulate(name, 120, curves, rng, config)
        sets.append((f"simulated {name}", _well_seen(made.curves, 4)))
    figure, axes = plt.subplots(len(sets), 4, figsize=(13, 2.5 * len(sets)), constrained_layout=True)
    for row, (title, some) in zip(axes, sets, strict=True):
        for axis, curve in zip(row, some, strict=True):
            _plot(axis, curve, title)
    handles = [
        plt.Line2D([], [], color=c, marker="o", ls="", label=b) for b, c in zip(BANDS, COLORS, strict=True)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=6)
    figure.supxlabel("days since trigger")
    figure.supylabel("flux [µJy]")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _well_seen(curves: LightCurves, n: int) -> LightCurves:
    """Objects at the 55th to 95th percentile of the number of detections."""
    n_detected = np.add.reduceat(curves.detected.astype(np.int64), curves.offsets[:-1])
    order = np.argsort(n_detected, kind="stable")
    some = (np.linspace(0.55, 0.95, n) * (len(order) - 1)).astype(np.int64)
    return curves.take(order[some])


def _plot(axis: Axes, curve: LightCurve, title: str) -> None:
    phase = curve.mjd - curve.trigger_mjd
    last = phase[curve.detected].max()
    near = (phase > -60.0) & (phase < last + 60.0)
    for index, color in enumerate(COLORS):
        some = near & (curve.band == index) & (curve.flux_err < 0.5 * curve.flux[curve.detected].max())
        axis.errorbar(
            phase[some],
            curve.flux[some] / 1e3,
            curve.flux_err[some] / 1e3,
            fmt="o",
            ms=2.5,
            lw=0.7,
            color=color,
        )
    axis.axhline(0.0, color="0.7", lw=0.6)
    axis.set_title(f"{title}, photo-z {curve.redshift:.2f}", fontsize=9)
    axis.tick_params(labelsize=8)


if __name__ == "__main__":
    main()
