"""Milliseconds per object of every stage of the features, and of scikit-learn's Gaussian process.

Run ``python benchmarks/features.py [--source FOLDER | --data FILE]``; it writes
``benchmarks/results/features.json``. Whole real light curves, one thread, medians of turns by
processor time.

The peer is scikit-learn's `GaussianProcessRegressor` with the same kernel, nightly points, noise
and grid of time scales and amplitudes, on a sample of the same objects: it selects the kernel by
likelihood and predicts the flux on the same days and bands, but computes no features.
"""

from _harness import parser, result, take_turns, write

# isort: split
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numba import njit
from numpy.typing import NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.data import load_plasticc
from firstlight.features import FeatureConfig, Templates, extract
from firstlight.features.gaussian import (
    AMPLITUDES,
    BAND_KERNEL,
    BIN_WIDTH,
    GRID_STEP,
    TIME_SCALES,
    WAVELENGTH_SCALE,
    WINDOW,
    bin_object,
    normalise,
    predict_grid,
    select,
)
from firstlight.features.metadata import reference_mjd
from firstlight.features.registry import COLOUR_WINDOWS, COLOURS, LAGS, statistics_features
from firstlight.features.statistics import write_statistics
from firstlight.lightcurves import LightCurves

N_OBJECTS, N_PEER, N_TEMPLATES = 1500, 20, 3000
CONFIG = FeatureConfig()
GRID = np.arange(WINDOW[0], WINDOW[1] + 1.0, GRID_STEP)


def main() -> None:
    words = parser(__doc__, "features", data=True)
    words.add_argument("--data", type=Path, help="nested Parquet of light curves instead; no templates then")
    words.add_argument("--objects", type=int, default=N_OBJECTS)
    args = words.parse_args()
    templates = None
    if args.data:
        curves = LightCurves.from_arrow(pq.read_table(args.data))
    else:
        curves, truth = load_plasticc(args.source)
        some = curves.take(np.linspace(0, len(curves) - 1, N_TEMPLATES).astype(np.int64))
        templates = Templates.fit(some, truth.labels_of(some.object_id))
    # a stride, since the deep fields come first in PLAsTiCC
    strided = np.linspace(0, len(curves) - 1, min(args.objects, len(curves))).astype(np.int64)
    write(args.out, measure_all(curves.take(strided), templates, args.turns))


def measure_all(curves: LightCurves, templates: Templates | None, turns: int) -> dict[str, Any]:
    points = binned(curves)
    padded = np.stack([np.pad(p[:, :n], ((0, 0), (0, CONFIG.max_points - n))) for p, n in points])
    stacked = (padded, np.array([n for _, n in points]))
    stages: dict[str, Callable[[], Any]] = {
        "statistics": lambda: statistics_only(curves),
        "gaussian_process": lambda: fit_all(*stacked, BAND_KERNEL, TIME_SCALES, AMPLITUDES, GRID),
        "all_but_templates": lambda: extract(curves, CONFIG),
    }
    if templates is not None:
        stages["templates"] = lambda: templates.match(curves, CONFIG)
    times = milliseconds(stages, len(curves), turns)
    times["read_off"] = round(times["all_but_templates"] - times["statistics"] - times["gaussian_process"], 4)
    every = np.linspace(0, len(points) - 1, N_PEER).astype(int)
    race = {
        "peer": lambda: [peer(*points[i]) for i in every],
        "ours": lambda: [ours(*points[i]) for i in every],
    }
    pair = milliseconds(race, N_PEER, 1)
    return result(
        "processor milliseconds per object, one thread, whole curves; read_off (with binning) is "
        "all_but_templates less statistics and gaussian_process",
        *("numpy", "numba", "scikit-learn"),
        n_objects=len(curves),
        n_observations=int(curves.offsets[-1]),
        mean_points_in_gaussian_process=round(float(np.mean([n for _, n in points])), 1),
        milliseconds=times,
        peer={
            "what": f"scikit-learn GaussianProcessRegressor, same grid of 12 kernels, {N_PEER} objects",
            "milliseconds": pair["peer"],
            "ours_on_the_same_objects": pair["ours"],
            "times_faster": round(pair["peer"] / pair["ours"], 1),
            "largest_difference_of_the_surface": difference(points, every),
        },
    )


def milliseconds(stages: dict[str, Callable[[], Any]], n_objects: int, turns: int) -> dict[str, float]:
    """Median processor time per object of each stage [ms]."""
    times = take_turns(stages, turns)
    return {name: round(1e3 * one.median_cpu / n_objects, 4) for name, one in times.items()}


# --- ours -----------------------------------------------------------------------


def binned(curves: LightCurves) -> list[tuple[NDArray[np.float64], int]]:
    """Nightly points of every object, as the Gaussian process sees them."""
    result = []
    for i, reference in enumerate(reference_mjd(curves)):
        start, stop = int(curves.offsets[i]), int(curves.offsets[i + 1])
        points = np.empty((4, max(stop - start, 1)))
        n = bin_object(
            start, stop, curves.mjd, curves.band, curves.flux, curves.flux_err, reference,
            WINDOW[0], WINDOW[1], BIN_WIDTH, CONFIG.max_points, points,
        )  # fmt: skip
        normalise(points, n)
        result.append((points, n))
    return result


@njit
def fit(
    points: NDArray[np.float64],
    n: int,
    kernel: NDArray[np.float64],
    scales: NDArray[np.float64],
    amplitudes: NDArray[np.float64],
    grid: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Choose the kernel and predict the surface, shape (6, n_grid)."""
    U, weights, alpha = np.empty((n, n)), np.empty((n, n)), np.empty(n)
    chosen = select(points, n, kernel, scales, amplitudes, U, alpha, weights)
    sums = np.empty((6, len(grid)))
    predict_grid(points, n, alpha, chosen[0], chosen[1] ** 2, grid, sums)
    return kernel @ sums


@njit
def fit_all(
    points: NDArray[np.float64],
    counts: NDArray[np.int64],
    kernel: NDArray[np.float64],
    scales: NDArray[np.float64],
    amplitudes: NDArray[np.float64],
    grid: NDArray[np.float64],
) -> None:
    for i in range(len(points)):
        fit(points[i], counts[i], kernel, scales, amplitudes, grid)


def ours(points: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    return fit(points, n, BAND_KERNEL, TIME_SCALES, AMPLITUDES, GRID)


@njit
def statistics_all(
    offsets: NDArray[np.int64],
    time: NDArray[np.float64],
    band: NDArray[np.int64],
    flux: NDArray[np.float64],
    flux_err: NDArray[np.float64],
    detected: NDArray[np.bool_],
    lags: NDArray[np.float64],
    windows: NDArray[np.float64],
    pairs: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    for i in range(len(offsets) - 1):
        here = slice(offsets[i], offsets[i + 1])
        write_statistics(
            time[here], band[here], flux[here], flux_err[here], detected[here], lags, windows, pairs, out, 0
        )


def statistics_only(curves: LightCurves) -> None:
    time_ = curves.mjd - np.repeat(reference_mjd(curves), curves.n_obs)
    statistics_all(
        np.array(curves.offsets), time_, curves.band.astype(np.int64), curves.flux.astype(np.float64),
        curves.flux_err.astype(np.float64), np.array(curves.detected), np.array(LAGS),
        np.array(COLOUR_WINDOWS), np.array(COLOURS, dtype=np.int64), np.empty(len(statistics_features())),
    )  # fmt: skip


# --- peer -----------------------------------------------------------------------


def peer(points: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Selection and prediction by scikit-learn, searched in our order."""
    amplitude = float(np.sqrt(AMPLITUDES[0] * AMPLITUDES[-1]))
    models = [_sklearn(points, n, scale, amplitude) for scale in TIME_SCALES]
    scale = TIME_SCALES[int(np.argmax([m.log_marginal_likelihood_value_ for m in models]))]
    models = [_sklearn(points, n, scale, a) for a in AMPLITUDES]
    best = models[int(np.argmax([m.log_marginal_likelihood_value_ for m in models]))]
    at = np.stack([np.tile(GRID / scale, 6), np.repeat(_wavelength(), len(GRID))], axis=1)
    return best.predict(at).reshape(6, len(GRID))


def _wavelength() -> NDArray[np.float64]:
    return EFFECTIVE_WAVELENGTH / WAVELENGTH_SCALE


class _Separable(Matern):
    """Product of one-dimensional Matern kernels (scikit-learn has only the radial one)."""

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        Y = X if Y is None else Y
        parts = [super(_Separable, self).__call__(X[:, [k]], Y[:, [k]]) for k in range(2)]
        product = parts[0] * parts[1]
        return (product, np.empty((*product.shape, 0))) if eval_gradient else product


def _sklearn(points: NDArray[np.float64], n: int, scale: float, amplitude: float) -> GaussianProcessRegressor:
    kernel = ConstantKernel(amplitude**2, "fixed") * _Separable(1.0, "fixed", nu=1.5)
    model = GaussianProcessRegressor(kernel, alpha=points[3, :n], optimizer=None)
    X = np.stack([points[0, :n] / scale, _wavelength()[points[1, :n].astype(int)]], axis=1)
    return model.fit(X, points[2, :n])


def difference(points: list[tuple[NDArray[np.float64], int]], some: NDArray[np.int64]) -> float:
    """Largest difference between our surfaces and the peer's, over the flux scale."""
    return float(f"{max(float(np.abs(ours(*points[i]) - peer(*points[i])).max()) for i in some):.1e}")


if __name__ == "__main__":
    main()
