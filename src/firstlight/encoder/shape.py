"""Rest-frame shape of a whole light curve: a target of the autoencoder's head in training.

It is not causal (it uses the final peak), so it is never an input of a model; `steps` makes the inputs.
"""

import numpy as np

from firstlight._types import AnyArray, Float32Array
from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.encoder.running import PEAK_MARGIN
from firstlight.kernels import kernel
from firstlight.lightcurves import LightCurves

#: Edges of the time windows, rest-frame days since the peak.
TIME_EDGES = np.array(
    [-100.0, -50.0, -25.0, -14.0, -7.0, -2.5, 2.5, 7.0, 14.0, 25.0, 40.0, 60.0, 100.0, 200.0]
)
#: Edges of the wavelength windows, rest frame [Angstrom].
WAVELENGTH_EDGES = np.array([1200.0, 2000.0, 2700.0, 3300.0, 4000.0, 4800.0, 5800.0, 7000.0, 8300.0, 10000.0])
TIME_EDGES.setflags(write=False)
WAVELENGTH_EDGES.setflags(write=False)
#: Entries of the shape: windows in time by windows in wavelength, flattened.
N_SHAPE = (len(TIME_EDGES) - 1) * (len(WAVELENGTH_EDGES) - 1)

_PRIOR = 0.3  # relative to the peak: expected size of a window's flux, and the unit of shape
_CALIBRATION = 0.02  # relative to the peak; no flux is known better than this
_LARGEST = 2.0  # relative to the peak


def rest_frame_shape(curves: LightCurves) -> tuple[Float32Array, Float32Array]:
    """Mean flux in windows of rest-frame time and wavelength around the peak, and its weight.

    Both have shape (n_objects, N_SHAPE). Fluxes are relative to the peak, shrunk towards zero by their
    error, in units of 0.3; the weight is 0 without information and 1 for certainty. An unknown
    redshift counts as 0.
    """
    redshift = np.maximum(np.nan_to_num(curves.redshift.astype(np.float64), nan=0.0), 0.0)
    shape = np.zeros((len(curves), N_SHAPE), dtype=np.float32)
    known = np.zeros_like(shape)
    for i in np.flatnonzero(curves.n_obs):
        window = slice(curves.offsets[i], curves.offsets[i + 1])
        _average(
            curves.mjd[window],
            EFFECTIVE_WAVELENGTH[curves.band[window]],
            curves.flux[window].astype(np.float64),
            curves.flux_err[window].astype(np.float64),
            1.0 + redshift[i],
            shape[i],
            known[i],
        )
    return shape, known


@kernel
def _average(
    mjd: AnyArray,
    wavelength: AnyArray,
    flux: AnyArray,
    err: AnyArray,
    stretch: float,
    shape: AnyArray,
    known: AnyArray,
) -> None:
    """Fill one object's windows; `stretch` is 1 + z."""
    best = -1
    for j in range(len(mjd)):
        low = flux[j] - PEAK_MARGIN * err[j]
        if low > 0.0 and (best < 0 or low > flux[best] - PEAK_MARGIN * err[best]):
            best = j
    if best < 0:
        return
    peak = flux[best]
    n_wavelengths = len(WAVELENGTH_EDGES) - 1
    weight = np.zeros(len(shape))
    weighted = np.zeros(len(shape))
    for j in range(len(mjd)):
        row = np.searchsorted(TIME_EDGES, (mjd[j] - mjd[best]) / stretch, side="right") - 1
        column = np.searchsorted(WAVELENGTH_EDGES, wavelength[j] / stretch, side="right") - 1
        if 0 <= row < len(TIME_EDGES) - 1 and 0 <= column < n_wavelengths:
            precision = 1.0 / (err[j] ** 2 + (_CALIBRATION * peak) ** 2)
            weight[row * n_wavelengths + column] += precision
            weighted[row * n_wavelengths + column] += precision * flux[j]
    prior = 1.0 / (_PRIOR * peak) ** 2
    for k in range(len(shape)):
        relative = weighted[k] / (weight[k] + prior) / peak
        shape[k] = min(max(relative, -_LARGEST), _LARGEST) / _PRIOR
        known[k] = weight[k] / (weight[k] + prior)
