"""Input of `autoencoder_gpu.py`: the PLAsTiCC training set, its folds, and surfaces to observe again.

``python studies/autoencoder_input.py OUT.npz`` takes two minutes of one core. The file holds raw
observations (days since the trigger), redshifts, classes, the five test folds of the cross-validation of
every preset (seed 0), and for objects with a good Gaussian-process surface its flux on a grid of days and
wavelengths, over its peak.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from firstlight.cosmology import distance_modulus
from firstlight.data import load_plasticc
from firstlight.lightcurves import LightCurves
from firstlight.reobserve.surface import Surfaces
from firstlight.splits import stratified_folds

N_FOLDS = 5
#: Days since the trigger and wavelengths [Angstrom] at which surfaces are stored.
DAYS = np.concatenate(
    [np.arange(-90, -30, 10.0), np.arange(-30, 60, 2.0), np.arange(60, 120, 5.0), np.arange(120, 301, 12.0)]
)
WAVELENGTHS = np.linspace(3210.0, 10_590.0, 12)


def main() -> None:
    out = Path(sys.argv[1])
    curves, truth = load_plasticc()
    labels = truth.labels_of(curves.object_id)
    classes, label = np.unique(labels, return_inverse=True)
    fold = np.empty(len(curves), dtype=np.int8)
    for k, one in enumerate(
        stratified_folds(curves.object_id, labels, N_FOLDS, rng=np.random.default_rng(0))
    ):
        fold[one.test] = k
    redshifts = np.geomspace(0.002, 4.0, 512)
    arrays: dict[str, Any] = {
        "object_id": curves.object_id,
        "classes": classes,
        "label": label.astype(np.int8),
        "fold": fold,
        "days": (curves.mjd - np.repeat(curves.trigger_mjd, curves.n_obs)).astype(np.float32),
        "band": (curves.band + 8 * curves.detected).astype(np.int8),
        "flux": curves.flux,
        "log_err": np.log(curves.flux_err).astype(np.float16),
        "offsets": curves.offsets,
        "z": curves.redshift,
        "z_err": np.nan_to_num(curves.redshift_err),
        "z_spec": curves.redshift_spec,
        "modulus_z": redshifts,
        "modulus": distance_modulus(redshifts),
        "grid_days": DAYS,
        "grid_wavelengths": WAVELENGTHS,
    }
    arrays |= surfaces(curves)
    np.savez_compressed(out, **arrays)
    print(out, out.stat().st_size / 1e6, "MB", len(arrays["surface_of"]), "surfaces")


def surfaces(curves: LightCurves) -> dict[str, Any]:
    """Flux on the grid over the peak, NaN where unknown, of the objects with a good surface."""
    found = Surfaces.of(curves)
    chosen = np.flatnonzero((found.peak > 0.0) & (curves.redshift_spec > 0.0))
    day, wavelength = (x.ravel() for x in np.meshgrid(DAYS, WAVELENGTHS, indexing="ij"))
    grid = np.stack([found.flux(i, day, wavelength) / found.peak[i] for i in chosen])
    known = np.isfinite(grid).mean(axis=1) > 0.2
    return {
        "surface_of": chosen[known].astype(np.int32),
        "surface_peak": found.peak[chosen][known].astype(np.float32),
        "surface": grid[known].reshape(-1, len(DAYS), len(WAVELENGTHS)).astype(np.float16),
    }


if __name__ == "__main__":
    main()
