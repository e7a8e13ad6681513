"""The trained encoder at inference: whole curves in batches, or one observation at a time.

No torch: compiled kernels whose result does not depend on the company, with ONNX Runtime
and a numpy reference that give the same latents to 1e-5. The stream's `EncoderState` is
fixed in size and each observation costs O(1).
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

from firstlight.encoder import running
from firstlight.encoder.config import EncoderConfig
from firstlight.encoder.kernels import gru_step, read_latents, run_steps
from firstlight.encoder.steps import WINDOWS, WINDOWS_KNOWN, Steps, make_context, make_steps
from firstlight.errors import BundleError, BundleVersionError, DataError
from firstlight.lightcurves import LightCurves
from firstlight.settings import from_table, to_table

__all__ = ["Encoder", "EncoderState", "Latents"]

FORMAT = 1
CONFIG_FILE, WEIGHTS_FILE, GRAPH_FILE = "encoder.json", "weights.safetensors", "encoder.onnx"
_LARGEST = 5.0  # standard deviations, as in vae.RnnVae.scale
_BATCH = 64  # objects padded together; larger wastes more padding than it saves calls

Backend = Literal["compiled", "onnx", "numpy"]
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

    def encode(self, curves: LightCurves, backend: Backend = "compiled") -> Latents:
        """Encode whole curves, or whatever of them has arrived.

        Parameters
        ----------
        curves : LightCurves
            Preprocessed light curves.
        backend : {"compiled", "onnx", "numpy"}
            What runs the network: our kernels, which give every object the same latents to
            the last bit whoever comes with it; ONNX Runtime; or the numpy reference.

        Returns
        -------
        Latents
            In the order of `curves`.
        """
        return self.encode_steps(make_steps(curves, self.config.steps), backend)

    def encode_steps(self, steps: Steps, backend: Backend = "compiled") -> Latents:
        """Encode objects that are steps already; see `encode`."""
        if backend == "compiled":
            hidden = self._no_hidden(len(steps))
            run_steps(steps.values, steps.offsets, self._layers, hidden)
            return self._read(hidden[:, -1], steps.context())
        if backend not in ("onnx", "numpy"):
            raise DataError(f"backend {backend!r}: choose compiled, onnx or numpy")
        run = self._last_state_onnx if backend == "onnx" else self._last_state_numpy
        last = np.empty((len(steps), self.config.vae.hidden), dtype=np.float32)
        order = np.argsort(steps.n_steps, kind="stable")
        for i in range(0, len(order), _BATCH):
            chosen = order[i : i + _BATCH]
            part = steps.take(chosen)
            last[chosen] = run(part.padded(), part.n_steps)
        return self._latents(last, steps.context())

    def _no_hidden(self, n_objects: int) -> Floats:
        vae = self.config.vae
        return np.zeros((n_objects, vae.layers, vae.hidden), dtype=np.float32)

    @cached_property
    def _layers(self) -> tuple[tuple[Floats, ...], ...]:
        """Weights of the GRU as the kernels read them."""
        return tuple(
            tuple(np.ascontiguousarray(part.T) for part in self._gru_weights(layer))
            for layer in range(self.config.vae.layers)
        )

    @cached_property
    def _network(self) -> tuple[tuple[Floats, ...], ...]:
        """Weights of the fully connected layers as the kernels read them."""
        network = []
        for name in ("fc1", "fc2", "mean", "log_var", "head1", "head2", "head3"):
            kept = WINDOWS if name == "head3" else slice(None)
            weight, bias = self.weights[f"{name}.weight"][kept], self.weights[f"{name}.bias"][kept]
            network.append((np.ascontiguousarray(weight.T), np.ascontiguousarray(bias)))
        return tuple(network)

    def _read(self, last: Floats, context: Floats) -> Latents:
        """Latents of GRU states, by the kernels."""
        shape = (len(last), self.n_latent)
        out = Latents(*(np.empty(size, np.float32) for size in (shape, shape, len(last))))
        scale = (self.weights["context_mean"], self.weights["context_std"], _LARGEST)
        windows = (WINDOWS.start, WINDOWS.stop, WINDOWS_KNOWN.start)
        read_latents(np.ascontiguousarray(last), context, scale, self._network, windows, tuple(out))
        return out

    def _latents(self, last: Floats, context: Floats) -> Latents:
        """The numpy reference of `_read`."""
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
            from firstlight.encoder.graph import build_graph

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
        return EncoderState(state, self._no_hidden(n_objects))

    def advance(self, state: EncoderState, curves: LightCurves) -> EncoderState:
        """Advance each object by all observations of its light curve, in O(1) an observation.

        Parameters
        ----------
        state : EncoderState
            States of n objects; left unchanged.
        curves : LightCurves
            Preprocessed new observations of the same n objects, none earlier than the last
            one that its state was advanced by.

        Returns
        -------
        EncoderState
            The new states.

        Raises
        ------
        DataError
            If the numbers of objects differ, or an observation is earlier than the one
            before; encode the sorted history instead.
        """
        if len(state) != len(curves):
            raise DataError(f"advance: {len(state)} states but {len(curves)} light curves")
        columns = (
            curves.mjd,
            curves.band,
            curves.flux.astype(np.float64),
            curves.flux_err.astype(np.float64),
            curves.detected,
        )
        return self._advanced(state, curves.offsets, columns)

    def _advanced(self, state: EncoderState, offsets: Column, columns: tuple[Column, ...]) -> EncoderState:
        some = np.flatnonzero(np.diff(offsets) > 0)
        seen = state.running[some, running.N_OBS] > 0
        late = seen & (columns[0][offsets[some]] < state.running[some, running.T_LAST])
        if late.any():
            raise DataError(
                f"state {int(some[np.flatnonzero(late)[0]])} was already advanced beyond its observation; "
                "sort the history and encode it anew"
            )
        rows, hidden = state.running.copy(), state.hidden.copy()
        _advance_rows(rows, hidden, offsets, columns, self.config.steps.flux_scale, self._bins, self._layers)
        return EncoderState(rows, hidden)

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
        return self._advanced(state, np.arange(len(state) + 1), columns)

    def latents(self, state: EncoderState, redshift: ArrayLike, redshift_err: ArrayLike) -> Latents:
        """What is known now: the open bin counts as it stands.

        Parameters
        ----------
        state : EncoderState
            States of n objects.
        redshift, redshift_err : array_like, shape (n_objects,)
            Host redshift and error; 0 states a Milky Way object, NaN unknown.
        """
        return self.latents_and_context(state, redshift, redshift_err)[0]

    def latents_and_context(
        self, state: EncoderState, redshift: ArrayLike, redshift_err: ArrayLike
    ) -> tuple[Latents, Floats]:
        """`latents`, and the context that they were read with, shape (n_objects, N_CONTEXT)."""
        scale = self.config.steps.flux_scale
        summary = np.empty((len(state), running.N_SUMMARY), dtype=np.float32)
        hidden = state.hidden.copy()
        _close_rows(state.running, hidden, scale, self._layers, summary)
        z = np.atleast_1d(np.asarray(redshift, dtype=np.float32))
        z_err = np.atleast_1d(np.asarray(redshift_err, dtype=np.float32))
        context = make_context(summary, z, z_err, scale)
        return self._read(hidden[:, -1], context), context

    def state_of(self, curves: LightCurves) -> EncoderState:
        """States after the whole histories of some objects."""
        return self.advance(self.initial_state(len(curves)), curves)

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
    hidden: Floats,
    offsets: Column,
    columns: tuple[Column, ...],
    scale: float,
    bins: Column,
    layers: Any,
) -> None:
    """Advance each object's state by its observations; a bin that closes takes the GRU a step on."""
    mjd, band, flux, err, detected = columns
    closed = np.zeros(running.N_CHANNELS, dtype=np.float32)
    scratch = np.empty((2, 3 * hidden.shape[2]), np.float32)
    for i in range(len(rows)):
        for k in range(offsets[i], offsets[i + 1]):
            if running.advance(rows[i], mjd[k], band[k], flux[k], err[k], detected[k], scale, bins, closed):
                gru_step(closed, hidden[i], layers, scratch)


@njit(cache=True, nogil=True)
def _close_rows(rows: Column, hidden: Floats, scale: float, layers: Any, summary: Floats) -> None:
    """Take the open bins as they stand into the hidden states, and write the running summaries."""
    scratch = np.empty((2, 3 * hidden.shape[2]), np.float32)
    channels = np.zeros(running.N_CHANNELS, dtype=np.float32)
    for i in range(len(rows)):
        channels[:] = 0.0
        if rows[i, running.N_OBS] > 0:
            running.bin_channels(rows[i], scale, channels)
        gru_step(channels, hidden[i], layers, scratch)
        running.summarise(rows[i], scale, summary[i])
