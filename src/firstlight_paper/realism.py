"""Whether a booster on plain features can separate simulated transients from real ones of the same class."""

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from firstlight.bands import AB_ZERO_POINT_NJY, BANDS
from firstlight.lightcurves import LightCurve, LightCurves
from firstlight.simulate import SimulateConfig, simulate

#: Candidates for the campaign's magnitude limit.
LIMITS = (21.5, 22.0, 22.5, 23.0, 23.5)

N_FOLDS = 5
_SEEN = 3.0  # S/N from which an observation gives a magnitude

Array = NDArray[np.float64]


class Features(NamedTuple):
    """Plain features of light curves."""

    values: Array
    names: tuple[str, ...]

    def column(self, name: str) -> Array:
        """One feature of every object, shape (n_objects,)."""
        return np.asarray(self.values[:, self.names.index(name)])


def plain_features(curves: LightCurves) -> Features:
    """Properties that the eye would compare: magnitudes, colours, times, counts, photometric redshift."""
    rows = [_features(curve) for curve in curves]
    return Features(np.array([list(row.values()) for row in rows]), tuple(rows[0]))


def brightest(features: Features) -> Array:
    """Brightest magnitude in r, i and z; NaN where none was measured, shape (n_objects,)."""
    red = features.values[:, [features.names.index(f"mag_{band}") for band in "riz"]]
    faintest = np.where(np.isnan(red), np.inf, red).min(axis=1)
    return np.where(np.isfinite(faintest), faintest, np.nan)


def fit_limit(
    class_name: str,
    real: LightCurves,
    survey: LightCurves,
    config: SimulateConfig | None = None,
    seed: int = 0,
) -> float:
    """The limit of `LIMITS` that brings simulated objects nearest to the real brightest magnitudes."""
    target = brightest(plain_features(real))

    def distance(limit: float) -> float:
        limited = replace(config or SimulateConfig(), follow_up_mag=limit)
        made = simulate(class_name, len(real), survey, np.random.default_rng(seed), limited)
        return _distance(brightest(plain_features(made.curves)), target)

    return min(LIMITS, key=distance)


def separation(values: Array, simulated: NDArray[np.bool_], seed: int) -> float:
    """AUC with which a booster tells simulated from real, over stratified folds."""
    from lightgbm import LGBMClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    forecast = np.zeros(len(simulated))
    n_folds = min(N_FOLDS, int(simulated.sum()), int((~simulated).sum()))
    for train, test in StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(values, simulated):
        model = LGBMClassifier(
            n_estimators=60, num_leaves=7, learning_rate=0.07, min_child_samples=10, n_jobs=1, verbose=-1
        )
        forecast[test] = model.fit(values[train], simulated[train]).predict_proba(values[test])[:, 1]
    return float(roc_auc_score(simulated, forecast))


def differences(real: Features, made: Features, most: int = 5) -> dict[str, float]:
    """Kolmogorov-Smirnov distance of the features that differ most, the largest first."""
    distance = {
        name: _distance(a, b) for name, a, b in zip(real.names, real.values.T, made.values.T, strict=True)
    }
    return {name: distance[name] for name in sorted(distance, key=lambda k: -distance[k])[:most]}


def _distance(a: Array, b: Array) -> float:
    """Kolmogorov-Smirnov distance of the known values; 0 where one side has none."""
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    return float(ks_2samp(a, b).statistic) if len(a) and len(b) else 0.0


def _features(curve: LightCurve) -> dict[str, float]:
    snr = curve.flux / curve.flux_err
    found: dict[str, float] = {"photo_z": float(curve.redshift), "n_obs": float(len(curve))}
    for index, band in enumerate(BANDS):
        seen = (curve.band == index) & (snr > _SEEN)
        found[f"snr_{band}"] = float(snr[curve.band == index].max(initial=0.0))
        peak = float(curve.flux[seen].max(initial=0.0))
        found[f"mag_{band}"] = AB_ZERO_POINT_NJY - 2.5 * np.log10(peak) if peak > 0.0 else np.nan
    for blue, red in pairwise(BANDS):
        found[f"{blue}-{red}"] = found[f"mag_{blue}"] - found[f"mag_{red}"]
    detected = curve.mjd[curve.detected]
    best = int(np.argmax(np.where(curve.detected, snr, -np.inf)))
    found["n_detected"] = float(len(detected))
    found["rise"] = float(curve.mjd[best] - detected[0])
    found["fall"] = float(detected[-1] - curve.mjd[best])
    found["half_width"] = _half_width(curve, snr > _SEEN)
    return found


def _half_width(curve: LightCurve, seen: NDArray[np.bool_]) -> float:
    """Days over which some band is above half of its own peak."""
    bright = np.zeros(len(curve), dtype=bool)
    for index in range(len(BANDS)):
        inside = seen & (curve.band == index)
        if inside.any():
            bright |= inside & (curve.flux > 0.5 * curve.flux[inside].max())
    return float(np.ptp(curve.mjd[bright])) if bright.any() else 0.0
