"""Slow references of the compiled encoder: numpy, the ONNX export, and single steps."""

import numpy as np

from firstlight.encoder import Encoder, EncoderState, Latents
from firstlight.encoder.encode import gru_weights
from firstlight.encoder.graph import build_graph
from firstlight.encoder.steps import WINDOWS, WINDOWS_KNOWN, make_steps
from firstlight.lightcurves import LightCurve, LightCurves


def gru_cell(x, hidden, w_input, w_hidden, b_input, b_hidden):
    """One step of torch's GRU: x (batch, inputs), hidden (batch, hidden); gates reset, update, candidate."""
    n = hidden.shape[1]
    from_input = x @ w_input.T + b_input
    from_hidden = hidden @ w_hidden.T + b_hidden
    gates = 0.5 * (np.tanh(0.5 * (from_input[:, : 2 * n] + from_hidden[:, : 2 * n])) + 1.0)
    reset, update = gates[:, :n], gates[:, n:]
    candidate = np.tanh(from_input[:, 2 * n :] + reset * from_hidden[:, 2 * n :])
    return (1.0 - update) * candidate + update * hidden


def encode_numpy(encoder: Encoder, curves: LightCurves) -> Latents:
    """Latents of whole curves, by matrix products over padded steps."""
    steps = make_steps(curves, encoder.config.steps)
    vae, padded = encoder.config.vae, steps.padded()
    hidden = np.zeros((len(padded), vae.layers, vae.hidden), dtype=np.float32)
    for t in range(padded.shape[1]):
        moved, x = np.empty_like(hidden), padded[:, t]
        for layer in range(vae.layers):
            x = gru_cell(x, hidden[:, layer], *gru_weights(encoder.weights, layer))
            moved[:, layer] = x
        alive = t < np.maximum(steps.n_steps, 1)
        hidden = np.where(alive[:, None, None], moved, hidden)
    return read_numpy(encoder, hidden[:, -1], steps.context())


def encode_onnx(encoder: Encoder, curves: LightCurves) -> Latents:
    """Latents of whole curves, with the recurrent part run by ONNX Runtime."""
    import onnxruntime

    steps = make_steps(curves, encoder.config.steps)
    layers = [gru_weights(encoder.weights, layer) for layer in range(encoder.config.vae.layers)]
    session = onnxruntime.InferenceSession(build_graph(layers), providers=["CPUExecutionProvider"])
    feed = {
        "steps": np.ascontiguousarray(steps.padded().transpose(1, 0, 2)),
        "lengths": np.maximum(steps.n_steps, 1).astype(np.int32),
    }
    return read_numpy(encoder, session.run(["last"], feed)[0], steps.context())


def read_numpy(encoder: Encoder, last, context) -> Latents:
    """Latents from the last GRU states and contexts."""
    w = encoder.weights

    def linear(name, x, relu=False):
        y = x @ w[f"{name}.weight"].T + w[f"{name}.bias"]
        return np.maximum(y, 0.0) if relu else y

    scaled = np.clip((context - w["context_mean"]) / w["context_std"], -5.0, 5.0)
    x = linear("fc2", linear("fc1", np.concatenate([last, scaled], axis=1), relu=True), relu=True)
    mean = linear("mean", x)
    drawn = linear("head3", linear("head2", linear("head1", mean, relu=True), relu=True))[:, WINDOWS]
    weight = context[:, WINDOWS_KNOWN]
    error = (weight * (drawn - scaled[:, WINDOWS]) ** 2).sum(axis=1)
    error /= np.maximum(weight.sum(axis=1), 1e-6)
    return Latents(mean, np.clip(linear("log_var", x), -12.0, 4.0), error.astype(np.float32))


def step(encoder: Encoder, state: EncoderState, mjd, band, flux, flux_err, detected) -> EncoderState:
    """Advance each of n objects by one observation; arguments are scalars or have shape (n,)."""
    n = len(state)
    columns = [np.broadcast_to(np.asarray(value), n) for value in (mjd, band, flux, flux_err, detected)]
    names = np.arange(n).astype(str)
    return encoder.advance(state, LightCurves(names, np.arange(n + 1), *columns))


def stream(encoder: Encoder, one: LightCurve, rows) -> Latents:
    """Latents after these observations of one object, taken one by one."""
    state = encoder.initial_state()
    for k in rows:
        state = step(encoder, state, one.mjd[k], one.band[k], one.flux[k], one.flux_err[k], one.detected[k])
    return latents(encoder, state, one.redshift, one.redshift_err)


def latents(encoder: Encoder, state: EncoderState, redshift, redshift_err) -> Latents:
    """Latents of some states."""
    return encoder.latents_and_context(state, redshift, redshift_err)[0]
