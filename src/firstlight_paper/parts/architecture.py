"""Figures 2 and 3 of the paper: sizes of the network, and its GRU beside the paper's equations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from firstlight._types import Progress
from firstlight.encoder import VaeConfig
from firstlight_paper.context import Context
from firstlight_paper.experiment import Outcome, Part, Variant, more
from firstlight_paper.models import paper_config
from firstlight_paper.page.tables import pivot
from firstlight_paper.view import View

_LAYERS = [f"{name} layer {k}" for name in ("encoder", "decoder") for k in (1, 2)]
N_STEPS = 256  # random inputs on which the gate equations are compared

#: Numbers of its encoder that the paper prints.
PRINTED = {"gru_layers": 2, "hidden_units": 64, "fully_connected_layers": 2, "latent_features": 6}

#: How literally the paper's equations are read.
READINGS = {
    "same_convention": "the paper's equations, with z for torch's 1 - z and reset after the matrix",
    "reset_before": "the same, with reset before the matrix, as printed",
    "z_not_swapped": "the paper's equations with torch's z taken for the paper's",
}


def network(config: VaeConfig, seed: int = 0) -> Any:
    """The autoencoder of a configuration with its first weights; needs torch."""
    import torch

    from firstlight.encoder.vae import RnnVae

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RnnVae(config)


def layer_sizes(model: Any) -> dict[str, int]:
    """Parameters of each layer, in the order of the figure."""
    return {
        name: sum(value.numel() for value in layer.parameters()) for name, layer in model.named_children()
    }


def gru_differences(module: Any, rng: np.random.Generator) -> dict[str, list[float]]:
    """Largest difference of one step's state from torch's, by reading and layer.

    The paper writes ``z = s(W_z [h, x])``, ``r = s(W_r [h, x])``, ``n = tanh(W [r h, x])`` and
    ``h' = (1 - z) h + z n`` (Cho et al. 2014, arXiv:1406.1078); torch has ``1 - z`` for z.
    """
    from copy import deepcopy

    import torch

    weights = {name: value.detach().double().numpy() for name, value in module.named_parameters()}
    n_layers, n_hidden = module.num_layers, module.hidden_size
    x = rng.normal(size=(N_STEPS, weights["weight_ih_l0"].shape[1]))
    hidden = np.tanh(rng.normal(size=(n_layers, N_STEPS, n_hidden)))
    with torch.no_grad():
        _, after = deepcopy(module).double()(torch.from_numpy(x)[:, None, :], torch.from_numpy(hidden))
    found: dict[str, list[float]] = {reading: [] for reading in READINGS}
    for layer in range(n_layers):
        w_x, w_h, b_x, b_h = (
            np.split(weights[f"{kind}_l{layer}"], 3)
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h, below = hidden[layer], x if layer == 0 else after[layer - 1].numpy()
        r, z = (_sigmoid(below @ w_x[k].T + b_x[k] + h @ w_h[k].T + b_h[k]) for k in (0, 1))
        inner = below @ w_x[2].T + b_x[2]
        late = np.tanh(inner + r * (h @ w_h[2].T + b_h[2]))
        early = np.tanh(inner + (r * h) @ w_h[2].T + b_h[2])
        states = {
            "same_convention": z * h + (1.0 - z) * late,
            "reset_before": z * h + (1.0 - z) * early,
            "z_not_swapped": (1.0 - z) * h + z * late,
        }
        for reading, state in states.items():
            found[reading].append(float(np.abs(state - after[layer].numpy()).max()))
    return found


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (np.tanh(0.5 * a) + 1.0))  # no overflow for large |a|


def _counted(context: Context, fold: int, progress: Progress) -> Outcome:
    """Sizes of the paper's encoder in our network, and the steps of its two GRUs; nothing is trained."""
    config = paper_config(context).encoder.vae
    model = network(config, context.seed)
    counted = {
        "gru_layers": model.encoder.num_layers,
        "hidden_units": model.encoder.hidden_size,
        "fully_connected_layers": sum(name in ("fc1", "fc2") for name in layer_sizes(model)),
        "latent_features": model.mean.out_features,
        "parameters": sum(layer_sizes(model).values()),
    }
    outcome = Outcome(more(counted, "design"))
    for name in ("encoder", "decoder"):
        differences = gru_differences(getattr(model, name), np.random.default_rng(context.seed))
        for reading, values in differences.items():
            outcome.put(reading, more({f"{name} layer {k + 1}": value for k, value in enumerate(values)}))
    return outcome


def variants(context: Context, amount: None) -> Sequence[Variant]:
    """One look at the network."""
    return [Variant(name="encoder", work=_counted)]


def sizes(view: View) -> str:
    """Numbers that the paper prints of its encoder, and those counted in ours."""
    cell = {"variant": "encoder", "subset": 0, "digits": 0}
    rows = {name.replace("_", " "): {**cell, "metric": name} for name in PRINTED}
    return pivot(view, rows, {"as published": {"column": "printed"}, "ours": {"column": "design"}}, "encoder")


def facts(view: View) -> Mapping[str, Any]:
    """The largest difference over both GRUs and their layers, by reading."""
    worst = {key: max(view.number(key, layer) for layer in _LAYERS) for key in READINGS}
    same = sum(view.number("encoder", name, "design") == value for name, value in PRINTED.items())
    return {"worst": worst, "same": same}


ARCHITECTURE = Part(
    name="architecture",
    column="design",
    variants=variants,
    printed={"encoder": {(0, name): float(value) for name, value in PRINTED.items()}},
    tables={"sizes": sizes},
    facts=facts,
)
