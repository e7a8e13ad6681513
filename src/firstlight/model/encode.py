"""The trained encoder at inference: whole curves in batches, or one observation at a time.

No torch: ONNX Runtime for batches, with a numpy reference that gives the same latents
to 1e-5. The stream's `EncoderState` is fixed in size and each observation costs O(1).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from firstlight.errors import BundleError, BundleVersionError, DataError
from firstlight.lightcurves import LightCurve, LightCurves
from firstlight.model.config import EncoderConfig
from firstlight.preprocess import running
from firstlight.preprocess.steps import WINDOWS, WINDOWS_KNOWN, Steps, make_context, make_steps
from firstlight.settings import from_table, to_table

__all__ = ["Encoder", "EncoderState", "Latents"]

FORMAT = 1
CONFIG_FILE, WEIGHTS_FILE, GRAPH_FILE = "encoder.json", "weights.safetensors", "encoder.onnx"
_LARGEST = 5.0  # standard deviations, as in vae.RnnVae.scale
_BATCH = 64  # objects padded together; larger wastes more padding than it saves calls

Backend = Literal["onnx", "numpy"]
Floats = NDArray[np.float32]
Column = NDArray[Any]


class Latents(NamedTuple):
    """What the encoder says of n objects.

    Attributes
    ----------
    mean, log_var : float32 arrays, shape (n_objects, latent)
        Mean and log variance of the latent's posterior.
    recon_error : float32 array, shape (n_objects,)
        Mean squared error of the window fluxes that the head draws from the mean, weighted
        by how well each is known, in training standard deviations squared; higher = stranger.
    """

    mean: Floats
    log_var: Floats
    recon_error: Floats


@dataclass(frozen=True, slots=True, eq=False)
class EncoderState:
    """All that the stream remembers of n objects.

    Attributes
    ----------
    running : float64 array, shape (n_objects, running.STATE_SIZE)
        Running summary and open bin.
    hidden : float32 array, shape (n_objects, layers, hidden)
        GRU state after the last closed bin.
    """

    running: NDArray[np.float64]
    hidden: Floats

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.running)

    def take(self, index: ArrayLike) -> Self:
        """States of the objects at the given positions."""
        index = np.asarray(index, dtype=np.int64)
        return type(self)(self.running[index], self.hidden[index])


class Encoder:
    """A trained encoder; calls from several threads are safe.

    Parameters
    ----------
    config : EncoderConfig
        What it was trained with.
    weights : mapping of str to float32 array
        State of `vae.RnnVae`.
    history : tuple of dict
        Training history, one row an epoch.
    graph : bytes, optional
        ONNX graph; built from the weights on first use where absent.
    """

    def __init__(
        self,
        config: EncoderConfig,
        weights: Mapping[str, NDArray[Any]],
        history: tuple[dict[str, float], ...] = (),
        graph: bytes | None = None,
    ) -> None:
        self.config = config
        self.history = history
        self.weights = {name: np.asarray(value, dtype=np.float32) for name, value in weights.items()}
        self._graph = graph
        self._bins = config.steps.bins()

    @property
    def n_latent(self) -> int:
        """Dimension of the latent."""
        return self.config.vae.latent

    # --- whole curves ----------------------------------------------------------

    def encode(self, curves: LightCurves, backend: Backend = "onnx") -> Latents:
        """Encode whole curves, or whatever of them has arrived.

        Parameters
        ----------
        curves : LightCurves
            Preprocessed light curves.
        backend : {"onnx", "numpy"}
            ONNX Runtime, or the numpy reference.

        Returns
        -------
        Latents
            In the order of `curves`.
        """
        return self.encode_steps(make_steps(curves, self.config.steps), backend)

    def encode_steps(self, steps: Steps, backend: Backend = "onnx") -> Latents:
        """Encode objects that are steps already; see `encode`."""
        if backend not in ("onnx", "numpy"):
            raise DataError(f"backend {backend!r}: choose onnx or numpy")
        run = self._last_state_onnx if backend == "onnx" else self._last_state_numpy
        hidden = np.empty((len(steps), self.config.vae.hidden), dtype=np.float32)
        order = np.argsort(steps.n_steps, kind="stable")
        for i in range(0, len(order), _BATCH):
            chosen = order[i : i + _BATCH]
            part = steps.take(chosen)
            hidden[chosen] = run(part.padded(), part.n_steps)
        return self._latents(hidden, steps.context())

    def _latents(self, last: Floats, context: Floats) -> Latents:
        """Fully connected layers, latent, and the head's error; rows are objects."""
        w = self.weights
        scaled = np.clip((context - w["context_mean"]) / w["context_std"], -_LARGEST, _LARGEST)
        x = self._linear("fc1", np.concatenate([last, scaled], axis=1), relu=True)
        x = self._linear("fc2", x, relu=True)
        mean = self._linear("mean", x)
        log_var = np.clip(self._linear("log_var", x), -12.0, 4.0)
        drawn = self._linear("head1", mean, relu=True)
        drawn = self._linear("head2", drawn, relu=True)
        drawn = drawn @ w["head3.weight"][WINDOWS].T + w["head3.bias"][WINDOWS]
        weight = context[:, WINDOWS_KNOWN]
        error = (weight * (drawn - scaled[:, WINDOWS]) ** 2).sum(axis=1)
        error /= np.maximum(weight.sum(axis=1), 1e-6)
        return Latents(mean, log_var, error.astype(np.float32))

    def _linear(self, name: str, x: Floats, *, relu: bool = False) -> Floats:
        y = x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return np.maximum(y, 0.0) if relu else y

    def _last_state_numpy(self, padded: Floats, n_steps: NDArray[np.int64]) -> Floats:
        """Last GRU state of padded objects, (batch, hidden); an object without steps gets one of zeros."""
        hidden = np.zeros((len(padded), self.config.vae.layers, self.config.vae.hidden), dtype=np.float32)
        for t in range(padded.shape[1]):
            moved = self._gru(padded[:, t], hidden)
            alive = t < np.maximum(n_steps, 1)
            hidden = np.where(alive[:, None, None], moved, hidden)
        return hidden[:, -1]

    def _gru(self, x: Floats, hidden: Floats) -> Floats:
        """One step of all layers: x (batch, inputs), hidden (batch, layers, hidden)."""
        out = np.empty_like(hidden)
        for layer in range(hidden.shape[1]):
            x = gru_cell(x, hidden[:, layer], *self._gru_weights(layer))
            out[:, layer] = x
        return out

    def _gru_weights(self, layer: int) -> tuple[Floats, Floats, Floats, Floats]:
        names = (f"encoder.{kind}_{side}_l{layer}" for kind in ("weight", "bias") for side in ("ih", "hh"))
        w_input, w_hidden, b_input, b_hidden = (self.weights[name] for name in names)
        return w_input, w_hidden, b_input, b_hidden

    # --- ONNX -------------------------------------------------------------------

    @cached_property
    def graph(self) -> bytes:
        """Serialised ONNX graph of the recurrent part; building it needs ``firstlight[train]``."""
        if self._graph is None:
            from firstlight.model.graph import build_graph

            layers = [self._gru_weights(layer) for layer in range(self.config.vae.layers)]
            self._graph = build_graph(layers)
        return self._graph

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(self.graph, options, providers=["CPUExecutionProvider"])

    def _last_state_onnx(self, padded: Floats, n_steps: NDArray[np.int64]) -> Floats:
        feed = {
            "steps": np.ascontiguousarray(padded.transpose(1, 0, 2)),
            "lengths": np.maximum(n_steps, 1).astype(np.int32),
        }
        return self._session.run(["last"], feed)[0]

    # --- one observation at a time ------------------------------------------------

    def initial_state(self, n_objects: int = 1) -> EncoderState:
        """State of objects of which nothing was seen yet."""
        state = np.empty((n_objects, running.STATE_SIZE))
        for row in state:
            running.clear(row)
        vae = self.config.vae
        return EncoderState(state, np.zeros((n_objects, vae.layers, vae.hidden), dtype=np.float32))

    def step(
        self,
        state: EncoderState,
        mjd: ArrayLike,
        band: ArrayLike,
        flux: ArrayLike,
        flux_err: ArrayLike,
        detected: ArrayLike,
    ) -> EncoderState:
        """Advance each object by one observation, in O(1).

        Parameters
        ----------
        state : EncoderState
            States of n objects; left unchanged.
        mjd, band, flux, flux_err, detected : array_like, shape (n_objects,)
            One observation of each object [MJD, index into BANDS, nJy, nJy, bool], not
            earlier than the last one it was advanced by.

        Returns
        -------
        EncoderState
            The new states.

        Raises
        ------
        DataError
            If the shapes disagree or an observation is earlier than the one before; encode
            the sorted history instead.
        """
        columns = (
            np.atleast_1d(np.asarray(mjd, dtype=np.float64)),
            np.atleast_1d(np.asarray(band, dtype=np.int8)),
            np.atleast_1d(np.asarray(flux, dtype=np.float32)).astype(np.float64),
            np.atleast_1d(np.asarray(flux_err, dtype=np.float32)).astype(np.float64),
            np.atleast_1d(np.asarray(detected, dtype=np.bool_)),
        )
        if any(column.shape != (len(state),) for column in columns):
            raise DataError(f"step: one observation for each of the {len(state)} states is needed")
        seen = state.running[:, running.N_OBS] > 0
        late = seen & (columns[0] < state.running[:, running.T_LAST])
        if late.any():
            raise DataError(
                f"step: state {int(np.flatnonzero(late)[0])} was already advanced beyond its observation; "
                "sort the history and encode it anew"
            )
        rows = state.running.copy()
        closed = np.zeros((len(rows), running.N_CHANNELS), dtype=np.float32)
        was_closed = _advance_rows(rows, *columns, self.config.steps.flux_scale, self._bins, closed)
        hidden = state.hidden
        if was_closed.any():
            hidden = hidden.copy()
            hidden[was_closed] = self._gru(closed[was_closed], hidden[was_closed])
        return EncoderState(rows, hidden)

    def latents(self, state: EncoderState, redshift: ArrayLike, redshift_err: ArrayLike) -> Latents:
        """What is known now: the open bin counts as it stands.

        Parameters
        ----------
        state : EncoderState
            States of n objects.
        redshift, redshift_err : array_like, shape (n_objects,)
            Host redshift and error; 0 states a Milky Way object, NaN unknown.
        """
        scale = self.config.steps.flux_scale
        channels, summary = _read_rows(state.running, scale)
        last = self._gru(channels, state.hidden)[:, -1]
        z = np.atleast_1d(np.asarray(redshift, dtype=np.float32))
        z_err = np.atleast_1d(np.asarray(redshift_err, dtype=np.float32))
        return self._latents(last, make_context(summary, z, z_err, scale))

    def state_of(self, curve: LightCurve) -> EncoderState:
        """State after the whole history of one object."""
        state = self.initial_state(1)
        for k in range(len(curve)):
            state = self.step(
                state, curve.mjd[k], curve.band[k], curve.flux[k], curve.flux_err[k], curve.detected[k]
            )
        return state

    # --- disk -----------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write config, weights and graph into a folder, which is made where absent."""
        from safetensors.numpy import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        table = {"format": FORMAT, "config": to_table(self.config), "history": list(self.history)}
        (folder / CONFIG_FILE).write_text(json.dumps(table, indent=1) + "\n")
        save_file(self.weights, folder / WEIGHTS_FILE)
        (folder / GRAPH_FILE).write_bytes(self.graph)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read an encoder that `save` wrote.

        Raises
        ------
        BundleError
            If a file is missing or damaged.
        BundleVersionError
            If it was written by a newer firstlight.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        try:
            table = json.loads((folder / CONFIG_FILE).read_text())
            version = table["format"]
            if version > FORMAT:
                raise BundleVersionError(
                    f"{folder}: encoder format {version}, this firstlight reads up to {FORMAT}; upgrade it"
                )
            config = from_table(EncoderConfig, table["config"], "encoder")
            weights = load_file(folder / WEIGHTS_FILE)
            graph = (folder / GRAPH_FILE).read_bytes()
        except (OSError, KeyError, TypeError, json.JSONDecodeError, SafetensorError) as error:
            raise BundleError(f"{folder}: not a saved encoder ({error!r}); train or copy it again") from error
        return cls(config, weights, tuple(table.get("history", ())), graph)


def gru_cell(
    x: Floats, hidden: Floats, w_input: Floats, w_hidden: Floats, b_input: Floats, b_hidden: Floats
) -> Floats:
    """One gated recurrent unit.

    ``h' = (1 - z) n + z h`` with ``n = tanh(W x + r (U h + b))``. The seed paper writes
    ``z`` for our ``1 - z`` (Cho et al. 2014 and cuDNN differ in this too), and applies
    the reset gate before the matrix instead of after it.

    Parameters
    ----------
    x : float32 array, shape (batch, n_inputs)
    hidden : float32 array, shape (batch, n_hidden)
    w_input, w_hidden : float32 arrays, shapes (3 n_hidden, n_inputs) and (3 n_hidden, n_hidden)
        Rows in the order reset, update, candidate.
    b_input, b_hidden : float32 arrays, shape (3 n_hidden,)

    Returns
    -------
    float32 array, shape (batch, n_hidden)
    """
    n = hidden.shape[1]
    from_input = x @ w_input.T + b_input
    from_hidden = hidden @ w_hidden.T + b_hidden
    gates = _sigmoid(from_input[:, : 2 * n] + from_hidden[:, : 2 * n])
    reset, update = gates[:, :n], gates[:, n:]
    candidate = np.tanh(from_input[:, 2 * n :] + reset * from_hidden[:, 2 * n :])
    return (1.0 - update) * candidate + update * hidden


def _sigmoid(x: Floats) -> Floats:
    return 0.5 * (np.tanh(0.5 * x) + 1.0)  # no overflow for large |x|


@njit(cache=True, nogil=True)
def _advance_rows(
    rows: Column,
    mjd: Column,
    band: Column,
    flux: Column,
    err: Column,
    detected: Column,
    scale: float,
    bins: Column,
    closed: Column,
) -> NDArray[np.bool_]:
    """Advance each state row by its observation; return which closed a bin."""
    was_closed = np.zeros(len(rows), dtype=np.bool_)
    for i in range(len(rows)):
        was_closed[i] = running.advance(
            rows[i], mjd[i], band[i], flux[i], err[i], detected[i], scale, bins, closed[i]
        )
    return was_closed


@njit(cache=True, nogil=True)
def _read_rows(rows: Column, scale: float) -> tuple[Floats, Floats]:
    """Channels of each open bin and each running summary."""
    channels = np.zeros((len(rows), running.N_CHANNELS), dtype=np.float32)
    summary = np.empty((len(rows), running.N_SUMMARY), dtype=np.float32)
    for i in range(len(rows)):
        if rows[i, running.N_OBS] > 0:
            running.bin_channels(rows[i], scale, channels[i])
        running.summarise(rows[i], scale, summary[i])
    return channels, summary
