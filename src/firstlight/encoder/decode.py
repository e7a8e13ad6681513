"""The autoencoder's reconstruction of a light curve: the observations as its latent keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from firstlight._types import Float32Array, FloatArray
from firstlight.bands import N_BANDS
from firstlight.encoder import running
from firstlight.encoder.config import FLUX_FLOOR, VaeConfig
from firstlight.encoder.encode import Encoder
from firstlight.encoder.steps import N_CONTEXT, REDSHIFT_NAMES, Steps, make_steps
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves
from firstlight.storage import ArraySpec, check_arrays

_TIMES = slice(running.CHANNELS_PER_BAND * N_BANDS, running.CHANNELS_PER_BAND * N_BANDS + 4)
_REDSHIFT = slice(N_CONTEXT - len(REDSHIFT_NAMES), N_CONTEXT - len(REDSHIFT_NAMES) + 4)
_CLIPPED = 5.0  # standard deviations of the context, and relative fluxes, as in training
_WEIGHTS = "the decoder of the encoder's weights"


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """A decoded light curve at the times of the encoder's bins."""

    mjd: FloatArray  # (n_bins,); mean time of the observations in each bin [MJD]
    flux: FloatArray  # (n_bins, 6); decoded flux in ugrizy, corrected for dust like the input [nJy]
    observed: FloatArray  # (n_bins, 6); mean flux of the observations [nJy]; NaN where there is none
    error: float  # root mean square difference over the brightest flux, of the bins with observations


def reconstruct(encoder: Encoder, curves: LightCurves) -> Reconstruction:
    """Decode the latent of one preprocessed object.

    Raises
    ------
    DataError
        If there is not exactly one object with observations.
    BundleError
        If the weights of the decoder do not fit the settings.
    """
    if len(curves) != 1 or not curves.offsets[-1]:
        raise DataError("a reconstruction is that of one object with observations")
    steps = make_steps(curves, encoder.config.steps)
    latent = encoder.encode_steps(steps).mean[0]
    relative = _decode(encoder.config.vae, encoder.weights, latent, steps)
    observed, err, peak = _targets(steps)
    known = np.isfinite(observed)
    if encoder.config.vae.amplitude == "fitted":  # as in training: least squares with a unit prior around 1
        weight = np.where(known, 1.0 / (err**2 + FLUX_FLOOR**2), 0.0)
        cross = (weight * np.nan_to_num(observed) * relative).sum() + 1.0
        relative *= cross / ((weight * relative**2).sum() + 1.0)
    difference = (observed - relative)[known]
    error = float(np.sqrt(np.mean(difference**2)) / max(np.nanmax(np.abs(observed)), 1e-9))
    return Reconstruction(_bin_times(curves, encoder), relative * peak, observed * peak, error)


def _decode(
    vae: VaeConfig, weights: Mapping[str, Float32Array], latent: Float32Array, steps: Steps
) -> FloatArray:
    """Flux over peak at each bin, shape (n_bins, 6)."""
    context = steps.context()[0]
    query = [latent]
    if vae.decoder_redshift:
        scaled = (context - weights["context_mean"]) / weights["context_std"]
        query.append(np.clip(scaled, -_CLIPPED, _CLIPPED)[_REDSHIFT])
    own = check_arrays(weights, _specs(vae), _WEIGHTS)
    known = np.concatenate(query)
    layer = np.hstack([np.tile(known, (len(steps.values), 1)), steps.values[:, _TIMES]]).astype(np.float64)
    for k in range(vae.layers):
        layer = _gru(layer, *(own[f"decoder.{kind}_l{k}"].astype(np.float64) for kind in _GRU))
    hidden = np.maximum(layer @ own["flux1.weight"].T + own["flux1.bias"], 0.0)
    return np.asarray(hidden @ own["flux2.weight"].T + own["flux2.bias"])


_GRU = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _specs(vae: VaeConfig) -> dict[str, ArraySpec]:
    """Form of the decoder's weights."""
    wide, hidden = 3 * vae.hidden, vae.hidden
    n_query = vae.latent + 4 + (4 if vae.decoder_redshift else 0)
    shapes: dict[str, tuple[int, ...]] = {
        "flux1.weight": (hidden, hidden), "flux1.bias": (hidden,),
        "flux2.weight": (N_BANDS, hidden), "flux2.bias": (N_BANDS,),
    }  # fmt: skip
    for k in range(vae.layers):
        sizes = ((wide, hidden if k else n_query), (wide, hidden), (wide,), (wide,))
        shapes |= {f"decoder.{kind}_l{k}": size for kind, size in zip(_GRU, sizes, strict=True)}
    return {name: ArraySpec("float32", shape) for name, shape in shapes.items()}


def _gru(
    x: FloatArray, w_in: FloatArray, w_hidden: FloatArray, b_in: FloatArray, b_hidden: FloatArray
) -> FloatArray:
    """States of one GRU layer after each step, in torch's order of gates: reset, update, new."""
    size = w_hidden.shape[1]
    state = np.zeros(size)
    out = np.empty((len(x), size))
    for t, given in enumerate(x @ w_in.T + b_in):
        own = w_hidden @ state + b_hidden
        reset, update = (
            1.0 / (1.0 + np.exp(-(given[part] + own[part]))) for part in (slice(size), slice(size, 2 * size))
        )
        new = np.tanh(given[2 * size :] + reset * own[2 * size :])
        state = (1.0 - update) * new + update * state
        out[t] = state
    return out


def _targets(steps: Steps) -> tuple[FloatArray, FloatArray, float]:
    """Flux and error of the bins over the peak, NaN where unobserved, (n_bins, 6), and the peak [nJy]."""
    per_band = running.CHANNELS_PER_BAND
    bands = steps.values[:, : per_band * N_BANDS].reshape(-1, N_BANDS, per_band).astype(np.float64)
    scale = steps.flux_scale
    flux = scale * np.sinh(bands[..., 0] / running.ASINH_UNIT)
    err = bands[..., 2] * np.hypot(scale, flux)
    top = scale * np.sinh(float(steps.summary[0, running.SUMMARY_NAMES.index("peak")]))
    peak = max(top, scale)
    known = (bands[..., 3] > 0.0) & (bands[..., 2] < running.LARGEST_ERROR)
    relative = np.clip(flux / peak, -_CLIPPED, _CLIPPED)
    return np.where(known, relative, np.nan), np.where(known, err / peak, 1.0), peak


def _bin_times(curves: LightCurves, encoder: Encoder) -> FloatArray:
    """Mean time of the observations in each bin, by the rule of `running.advance`."""
    bins = encoder.config.steps.bins()
    groups: list[list[float]] = []
    end, trigger = -np.inf, np.nan
    for mjd, detected in zip(curves.mjd.tolist(), curves.detected.tolist(), strict=True):
        is_trigger = detected and np.isnan(trigger)
        if mjd >= end or is_trigger:
            groups.append([])
            if is_trigger:
                trigger = mjd
            triggered = not np.isnan(trigger)
            end = mjd + running.bin_width(mjd - trigger if triggered else 0.0, triggered, bins)
        groups[-1].append(mjd)
    return np.array([np.mean(group) for group in groups])
