"""The trained encoder at inference, without torch: whole curves, or observations as they arrive.

An object's latents do not depend on the batch that it comes in. `EncoderState` has a fixed size, and
each observation costs O(1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from firstlight._types import AnyArray, Float32Array, FloatArray, IntArray
from firstlight.encoder import running
from firstlight.encoder.config import EncoderConfig, VaeConfig
from firstlight.encoder.kernels import BLOCK, gru_block, gru_workspace, read_latents, run_steps
from firstlight.encoder.shape import N_SHAPE
from firstlight.encoder.steps import N_CONTEXT, WINDOWS, WINDOWS_KNOWN, Steps, make_context, make_steps
from firstlight.errors import DataError
from firstlight.kernels import kernel
from firstlight.lightcurves import LightCurves
from firstlight.settings import to_table
from firstlight.storage import ArraySpec, check_arrays, read_arrays, read_state, write_arrays, write_state

FORMAT = 1
CONFIG_FILE, WEIGHTS_FILE, GRAPH_FILE = "encoder.json", "weights.safetensors", "encoder.onnx"
_LEAST_STD = 1e-6  # of a context entry in a file; training sets 1 for a smaller one
_LARGEST = 5.0  # standard deviations, as in vae.RnnVae.scale


class Latents(NamedTuple):
    """Encoder output for n objects."""

    # (n_objects, latent); mean and log variance of the latent's posterior
    mean: Float32Array
    log_var: Float32Array
    # (n_objects,); mean squared error of the window fluxes that the head reconstructs from the mean,
    # weighted by how well each is known, in squared training standard deviations; higher is more unusual
    recon_error: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class EncoderState:
    """Memory of the encoder for n objects between observations."""

    running: FloatArray  # (n_objects, running.STATE_SIZE); running summary and open time bin
    hidden: Float32Array  # (n_objects, layers, hidden); GRU state after the last closed bin

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
        Settings that it was trained with.
    weights : mapping of str to float32 array
        State of `vae.RnnVae`.
    history : tuple of dict
        Training history, one row per epoch.
    graph : bytes, optional
        ONNX export of the recurrent part, for use outside firstlight; `save` writes it.
    """

    def __init__(
        self,
        config: EncoderConfig,
        weights: Mapping[str, AnyArray],
        history: tuple[dict[str, float], ...] = (),
        graph: bytes | None = None,
    ) -> None:
        self.config = config
        self.history = history
        self.weights = {name: np.asarray(value, dtype=np.float32) for name, value in weights.items()}
        self.graph = graph
        self._bins = config.steps.bins()

    @property
    def n_latent(self) -> int:
        """Dimension of the latent."""
        return self.config.vae.latent

    @cached_property
    def _layers(self) -> tuple[tuple[Float32Array, ...], ...]:
        """GRU weights in the layout of the kernels."""
        return tuple(
            tuple(np.ascontiguousarray(part.T) for part in gru_weights(self.weights, layer))
            for layer in range(self.config.vae.layers)
        )

    @cached_property
    def _network(self) -> tuple[tuple[Float32Array, ...], ...]:
        """Weights of the fully connected layers in the layout of the kernels."""
        network = []
        for name in ("fc1", "fc2", "mean", "log_var", "head1", "head2", "head3"):
            kept = WINDOWS if name == "head3" else slice(None)
            weight, bias = self.weights[f"{name}.weight"][kept], self.weights[f"{name}.bias"][kept]
            network.append((np.ascontiguousarray(weight.T), np.ascontiguousarray(bias)))
        return tuple(network)

    def encode(self, curves: LightCurves) -> Latents:
        """Encode preprocessed light curves, complete or not, in their order."""
        return self.encode_steps(make_steps(curves, self.config.steps))

    def encode_steps(self, steps: Steps) -> Latents:
        """Encode objects that `make_steps` has already binned; see `encode`."""
        hidden = self._no_hidden(len(steps))
        order = np.argsort(steps.n_steps, kind="stable")
        run_steps(steps.values, steps.offsets, order, self._layers, hidden)
        return self._read(hidden[:, -1], steps.context())

    def _no_hidden(self, n_objects: int) -> Float32Array:
        vae = self.config.vae
        return np.zeros((n_objects, vae.layers, vae.hidden), dtype=np.float32)

    def _read(self, last: Float32Array, context: Float32Array) -> Latents:
        """Latents from the last layer's GRU states, shape (n, hidden), and contexts."""
        shape = (len(last), self.n_latent)
        out = Latents(*(np.empty(size, np.float32) for size in (shape, shape, len(last))))
        scale = (self.weights["context_mean"], self.weights["context_std"], _LARGEST)
        windows = (WINDOWS.start, WINDOWS.stop, WINDOWS_KNOWN.start)
        read_latents(np.ascontiguousarray(last), context, scale, self._network, windows, tuple(out))
        return out

    def initial_state(self, n_objects: int = 1) -> EncoderState:
        """State of objects without any observation."""
        state = np.empty((n_objects, running.STATE_SIZE))
        for row in state:
            running.clear(row)
        return EncoderState(state, self._no_hidden(n_objects))

    def advance(self, state: EncoderState, curves: LightCurves) -> EncoderState:
        """Advance each object by the observations of its light curve, in O(1) per observation.

        Parameters
        ----------
        state : EncoderState
            States of n objects; left unchanged.
        curves : LightCurves
            Preprocessed new observations of the same n objects, none earlier than the last
            observation in the object's state.

        Returns
        -------
        EncoderState
            The new states.

        Raises
        ------
        DataError
            If the numbers of objects differ, or an observation is earlier than the last one;
            encode the whole sorted history instead.
        """
        if len(state) != len(curves):
            raise DataError(f"advance: {len(state)} states but {len(curves)} light curves")
        some = np.flatnonzero(curves.n_obs > 0)
        seen = state.running[some, running.N_OBS] > 0
        late = seen & (curves.mjd[curves.offsets[some]] < state.running[some, running.T_LAST])
        if late.any():
            raise DataError(
                f"state {int(some[np.flatnonzero(late)[0]])} already holds a later observation; "
                "sort the history and encode all of it"
            )
        columns = (
            curves.mjd,
            curves.band,
            curves.flux.astype(np.float64),
            curves.flux_err.astype(np.float64),
            curves.detected,
        )
        rows, hidden = state.running.copy(), state.hidden.copy()
        scale = self.config.steps.flux_scale
        _advance_rows(rows, hidden, curves.offsets, columns, scale, self._bins, self._layers)
        return EncoderState(rows, hidden)

    def latents_and_context(
        self, state: EncoderState, redshift: ArrayLike, redshift_err: ArrayLike
    ) -> tuple[Latents, Float32Array]:
        """Latents of some states, with the open bin as it stands, and their contexts.

        Parameters
        ----------
        state : EncoderState
            States of n objects; left unchanged.
        redshift, redshift_err : array_like, shape (n_objects,)
            Host redshift and error; 0 for a Milky Way object, NaN for unknown.

        Returns
        -------
        latents : Latents
        context : float32 array, shape (n_objects, N_CONTEXT)
        """
        scale = self.config.steps.flux_scale
        summary = np.empty((len(state), running.N_SUMMARY), dtype=np.float32)
        hidden = state.hidden.copy()
        _close_rows(state.running, hidden, scale, self._layers, summary)
        z = np.atleast_1d(np.asarray(redshift, dtype=np.float32))
        z_err = np.atleast_1d(np.asarray(redshift_err, dtype=np.float32))
        context = make_context(summary, z, z_err, scale)
        return self._read(hidden[:, -1], context), context

    def save(self, folder: Path) -> None:
        """Write config and weights, and the ONNX graph if there is one; the folder is made if missing."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        table = {"format": FORMAT, "config": to_table(self.config), "history": list(self.history)}
        write_state(folder / CONFIG_FILE, table)
        write_arrays(folder / WEIGHTS_FILE, {name: _smallest(array) for name, array in self.weights.items()})
        if self.graph is not None:
            (folder / GRAPH_FILE).write_bytes(self.graph)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read an encoder that `save` wrote.

        Raises BundleError if a file but the ONNX graph is missing or damaged, or a weight does not fit the
        settings, and BundleVersionError if a newer firstlight wrote it.
        """
        folder = Path(folder)
        state = read_state(folder / CONFIG_FILE, _Saved, newest_format=FORMAT)
        path = folder / WEIGHTS_FILE
        weights = read_arrays(path)
        halves = [name for name, array in weights.items() if array.dtype == np.float16]
        weights |= {name: weights[name].astype(np.float32) for name in halves}
        check_arrays(
            weights, {name: ArraySpec("float32", array.shape) for name, array in weights.items()}, path
        )
        check_arrays(weights, _weight_specs(state.config.vae), path)
        graph = (folder / GRAPH_FILE).read_bytes() if (folder / GRAPH_FILE).exists() else None
        return cls(state.config, weights, tuple(map(dict, state.history)), graph)


@dataclass(frozen=True)
class _Saved:
    """The content of ``encoder.json``."""

    format: int
    config: EncoderConfig
    history: tuple[Mapping[str, float], ...] = ()


def _weight_specs(vae: VaeConfig) -> dict[str, ArraySpec]:
    """Form of each weight that inference reads; compiled code trusts the shapes."""
    wide = 3 * vae.hidden
    shapes: dict[str, tuple[int | str, ...]] = {}
    for layer in range(vae.layers):
        n_inputs = vae.hidden if layer else running.N_CHANNELS
        shapes |= {
            f"encoder.weight_ih_l{layer}": (wide, n_inputs),
            f"encoder.weight_hh_l{layer}": (wide, vae.hidden),
            f"encoder.bias_ih_l{layer}": (wide,),
            f"encoder.bias_hh_l{layer}": (wide,),
        }
    sizes = {
        "fc1": (vae.width, vae.hidden + N_CONTEXT),
        "fc2": (vae.width, vae.width),
        "mean": (vae.latent, vae.width),
        "log_var": (vae.latent, vae.width),
        "head1": (vae.head_width, vae.latent),
        "head2": (vae.head_width, vae.head_width),
        "head3": (N_CONTEXT + N_SHAPE, vae.head_width),
    }
    for name, size in sizes.items():
        shapes |= {f"{name}.weight": size, f"{name}.bias": size[:1]}
    specs = {name: ArraySpec("float32", shape) for name, shape in shapes.items()}
    specs["context_mean"] = ArraySpec("float32", (N_CONTEXT,))
    specs["context_std"] = ArraySpec("float32", (N_CONTEXT,), least=_LEAST_STD)
    return specs


def half_precision(weights: Mapping[str, Float32Array]) -> dict[str, Float32Array]:
    """Weights with matrices rounded to half precision: half the size in a file, with every bit kept."""
    return {
        name: array.astype(np.float16).astype(np.float32) if array.ndim == 2 else array
        for name, array in weights.items()
    }


def _smallest(array: Float32Array) -> AnyArray:
    """The array in half precision where that loses nothing."""
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if array.ndim == 2 and np.array_equal(half.astype(np.float32), array) else array


def gru_weights(weights: Mapping[str, Float32Array], layer: int) -> tuple[Float32Array, ...]:
    """Input and hidden weights, then biases, of one GRU layer, in torch's gate order."""
    names = (f"encoder.{kind}_{side}_l{layer}" for kind in ("weight", "bias") for side in ("ih", "hh"))
    return tuple(weights[name] for name in names)


@kernel
def _advance_rows(
    rows: FloatArray,
    hidden: Float32Array,
    offsets: IntArray,
    columns: tuple[AnyArray, ...],
    scale: float,
    bins: FloatArray,
    layers: Any,
) -> None:
    """Advance each object's state by its observations; the GRU takes a step when a bin closes."""
    mjd, band, flux, err, detected = columns
    closed = np.zeros((BLOCK, running.N_CHANNELS), dtype=np.float32)
    places, work = np.empty(BLOCK, np.int64), gru_workspace(hidden)
    for start in range(0, len(rows), BLOCK):
        stop = min(start + BLOCK, len(rows))
        step, goes_on = 0, True
        while goes_on:  # the next observation of each object of the block
            goes_on, n = False, 0
            for i in range(start, stop):
                k = offsets[i] + step
                if k >= offsets[i + 1]:
                    continue
                goes_on = True
                if running.advance(
                    rows[i], mjd[k], band[k], flux[k], err[k], detected[k], scale, bins, closed[n]
                ):
                    places[n] = i
                    n += 1
            gru_block(closed[:n], places[:n], hidden, layers, work)
            step += 1


@kernel
def _close_rows(
    rows: FloatArray, hidden: Float32Array, scale: float, layers: Any, summary: Float32Array
) -> None:
    """Take the open bins into the hidden states, and write the running summaries."""
    channels = np.zeros((BLOCK, running.N_CHANNELS), dtype=np.float32)
    places, work = np.empty(BLOCK, np.int64), gru_workspace(hidden)
    for start in range(0, len(rows), BLOCK):
        n = min(BLOCK, len(rows) - start)
        channels[:] = 0.0
        for i in range(n):
            places[i] = start + i
            if rows[start + i, running.N_OBS] > 0:
                running.bin_channels(rows[start + i], scale, channels[i])
            running.summarise(rows[start + i], scale, summary[start + i])
        gru_block(channels[:n], places[:n], hidden, layers, work)
