"""The gated recurrent unit as the paper writes it, and what torch's weights are in its letters."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["PaperGates", "paper_gru_step"]

Floats = NDArray[np.floating]


class PaperGates(NamedTuple):
    """Weights in the paper's letters; it prints no biases, torch has two sets.

    Attributes
    ----------
    w_z, w_r : float array, shape (n_hidden, n_hidden + n_inputs)
        Update and reset gate, on ``[h, x]``.
    w_h, w_x : float array, shapes (n_hidden, n_hidden) and (n_hidden, n_inputs)
        The two halves of the candidate's ``W``.
    b_z, b_r, b_h, b_x : float array, shape (n_hidden,)
        Biases; `b_h` is inside the reset gate where that acts after the matrix.
    """

    w_z: Floats
    w_r: Floats
    w_h: Floats
    w_x: Floats
    b_z: Floats
    b_r: Floats
    b_h: Floats
    b_x: Floats

    @classmethod
    def from_torch(
        cls, w_input: Floats, w_hidden: Floats, b_input: Floats, b_hidden: Floats, *, swap: bool = True
    ) -> "PaperGates":
        """Read the weights of a `torch.nn.GRU`.

        Parameters
        ----------
        w_input, w_hidden : float array, shapes (3 n_hidden, n_inputs) and (3 n_hidden, n_hidden)
            Rows in torch's order: reset, update, candidate.
        b_input, b_hidden : float array, shape (3 n_hidden,)
            Biases.
        swap : bool
            Whether to turn the update gate around: the paper's ``z`` is torch's ``1 - z``, and
            since ``sigmoid(-a) = 1 - sigmoid(a)``, that is a change of sign.
        """
        n = w_hidden.shape[1]
        sign = -1.0 if swap else 1.0
        gates = np.hstack([w_hidden, w_input])[: 2 * n]
        bias = (b_input + b_hidden)[: 2 * n]
        return cls(
            w_z=sign * gates[n:],
            w_r=gates[:n],
            w_h=w_hidden[2 * n :],
            w_x=w_input[2 * n :],
            b_z=sign * bias[n:],
            b_r=bias[:n],
            b_h=b_hidden[2 * n :],
            b_x=b_input[2 * n :],
        )


def paper_gru_step(
    x: Floats, hidden: Floats, gates: PaperGates, reset: Literal["before", "after"] = "before"
) -> Floats:
    """One step by the paper's four equations.

    ``z = sigmoid(W_z [h, x])``, ``r = sigmoid(W_r [h, x])``, ``n = tanh(W [r h, x])`` and
    ``h' = (1 - z) h + z n``, each with its bias.

    Parameters
    ----------
    x : float array, shape (batch, n_inputs)
        Input of the step.
    hidden : float array, shape (batch, n_hidden)
        State before it.
    gates : PaperGates
        Weights.
    reset : {"before", "after"}
        Whether the reset gate acts on the state before the candidate's matrix, as printed, or
        on the matrix's product, as in torch and cuDNN.

    Returns
    -------
    float array, shape (batch, n_hidden)
        State after the step.

    References
    ----------
    Cho et al. (2014), arXiv:1406.1078
    """
    both = np.concatenate([hidden, x], axis=1)
    z = _sigmoid(both @ gates.w_z.T + gates.b_z)
    r = _sigmoid(both @ gates.w_r.T + gates.b_r)
    if reset == "before":
        recalled = (r * hidden) @ gates.w_h.T + gates.b_h
    else:
        recalled = r * (hidden @ gates.w_h.T + gates.b_h)
    candidate = np.tanh(recalled + x @ gates.w_x.T + gates.b_x)
    return np.asarray((1.0 - z) * hidden + z * candidate)


def _sigmoid(a: Floats) -> Floats:
    return np.asarray(0.5 * (np.tanh(0.5 * a) + 1.0))  # no overflow for large |a|
