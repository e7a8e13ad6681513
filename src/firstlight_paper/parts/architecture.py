"""Figures 2 and 3 of the paper, drawn from the network itself.

The network of the preset ``seed`` is built and run once on a tiny batch; what its modules
take, give and hold, and what flows into what, is read off. Another network is another
figure.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from firstlight.encoder import VaeConfig
from firstlight_paper.gru import PaperGates, paper_gru_step
from firstlight_paper.network import build_network, trace_network
from firstlight_paper.parts import architecture_plots as plots
from firstlight_paper.section import Part, Picture, Section, Table
from firstlight_paper.shared import seed_config
from firstlight_paper.workshop import Workshop

if TYPE_CHECKING:
    from torch import nn

__all__ = ["PART", "describe", "measure", "show"]

NAME = "architecture"
TITLE = "Architecture: Figures 2 and 3 from the network itself"
N_STEPS = 256  # random inputs on which the gate equations are compared

#: What the paper prints of its network.
PRINTED: Mapping[str, int] = {
    "gru_layers": 2,
    "hidden_units": 64,
    "fully_connected_layers": 2,
    "latent_features": 6,
}
#: Rows of torch's weights, in order, and the gate's letter in torch's documentation.
_GATES = (("reset", "r"), ("update", "z"), ("candidate", "n"))
_FROM = (("input", "i", "weight_ih", "bias_ih"), ("state", "h", "weight_hh", "bias_hh"))


def measure(workshop: Workshop) -> dict[str, Any]:
    """Read the network of the preset ``seed``; nothing is trained."""
    bench = workshop.bench
    return describe(seed_config(bench).encoder.vae, bench.seed)


def describe(config: VaeConfig, seed: int = 0) -> dict[str, Any]:
    """Modules, tensors and connections of a network, and its GRU against the paper's equations.

    Parameters
    ----------
    config : VaeConfig
        Sizes of the network.
    seed : int
        Seed of its first weights, and of the inputs on which equations are compared.

    Returns
    -------
    dict
        ``nodes`` and ``edges`` as from `firstlight_paper.network.trace_network`; ``gru``, one row
        for each layer with its weight blocks and the largest differences of a step.
    """
    model = build_network(config, seed)
    graph = trace_network(model)
    gru = [
        row
        for name, module in model.named_children()
        if type(module).__name__ == "GRU"
        for row in _gru_layers(name, module, np.random.default_rng(seed))
    ]
    return {
        "protocol": (
            "The autoencoder of the preset seed, built and run once on a batch of three objects; nothing "
            f"is trained. A GRU step is compared with the paper's equations on {N_STEPS} random inputs and "
            "states in double precision, with the network's own first weights."
        ),
        "printed": dict(PRINTED),
        "leak": None,
        "honest": _counts(graph),
        **graph,
        "gru": gru,
        "n_parameters": sum(node["parameters"] for node in graph["nodes"]),
    }


def _counts(graph: Mapping[str, Any]) -> dict[str, int]:
    """What the paper prints, counted in the network."""
    nodes = {node["name"]: node for node in graph["nodes"]}
    before = plots.ancestors(graph["edges"], "latent")
    encoder = [nodes[name] for name in before if nodes[name]["type"] == "GRU"]
    weights = encoder[0]["weights"]
    ends = {"mean", "log_var"}
    return {
        "gru_layers": sum(name.startswith("weight_hh") for name in weights),
        "hidden_units": weights["weight_hh_l0"][1],
        "fully_connected_layers": sum(
            nodes[name]["type"] == "Linear" and name not in ends for name in before
        ),
        "latent_features": nodes["latent"]["out"][-1],
    }


# --- the gated recurrent unit ---------------------------------------------------


def _gru_layers(name: str, module: "nn.Module", rng: np.random.Generator) -> list[dict[str, Any]]:
    """Weight blocks of every layer, and how far one step lies from the paper's equations."""
    weights = {key: value.detach().double().numpy() for key, value in module.named_parameters()}
    n_layers = sum(key.startswith("weight_hh") for key in weights)
    n_hidden = weights["weight_hh_l0"].shape[1]
    x = rng.normal(size=(N_STEPS, weights["weight_ih_l0"].shape[1]))
    hidden = np.tanh(rng.normal(size=(n_layers, N_STEPS, n_hidden)))  # as a state is
    after = _torch_step(module, x, hidden)
    rows = []
    for layer in range(n_layers):
        own = [weights[f"{kind}_l{layer}"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        below = x if layer == 0 else after[layer - 1]
        rows.append(
            {
                "module": name,
                "layer": layer + 1,
                "blocks": _blocks(own[0], own[1]),
                "biases": 2 * n_hidden,  # of each gate
                "difference": _differences(below, hidden[layer], own, after[layer]),
            }
        )
    return rows


def _torch_step(module: "nn.Module", x: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """State of every layer after one step of a copy in double precision, (layers, batch, hidden)."""
    from copy import deepcopy

    import torch

    with torch.no_grad():
        _, after = deepcopy(module).double()(torch.from_numpy(x)[:, None, :], torch.from_numpy(hidden))
    return np.asarray(after.numpy())


def _blocks(w_input: np.ndarray, w_hidden: np.ndarray) -> list[dict[str, Any]]:
    """The six matrices of a layer, cut out of torch's two."""
    rows = []
    for source, short, _, _ in _FROM:
        whole = w_input if source == "input" else w_hidden
        for (gate, letter), part in zip(_GATES, np.split(whole, len(_GATES)), strict=True):
            rows.append(
                {
                    "name": f"W_{short}{letter}",
                    "gate": gate,
                    "from": source,
                    "rows": part.shape[0],
                    "columns": part.shape[1],
                    "rms": float(np.sqrt(np.mean(part**2))),
                }
            )
    return rows


def _differences(
    x: np.ndarray, hidden: np.ndarray, weights: list[np.ndarray], after: np.ndarray
) -> dict[str, float]:
    """Largest differences of a state from torch's, by how literally the paper is read."""
    ours, literal = (PaperGates.from_torch(*weights, swap=swap) for swap in (True, False))
    steps = {
        "same_convention": paper_gru_step(x, hidden, ours, reset="after"),
        "reset_before": paper_gru_step(x, hidden, ours, reset="before"),
        "z_not_swapped": paper_gru_step(x, hidden, literal, reset="after"),
    }
    return {name: float(np.abs(step - after).max()) for name, step in steps.items()}


# --- what the page shows --------------------------------------------------------


def show(result: Mapping[str, Any]) -> Section:
    """Figures 2 and 3, the table of modules, and where torch's GRU differs from the paper's."""
    return Section(
        title=TITLE,
        blocks=(
            result["protocol"],
            Picture(
                name="figure-2",
                figure=plots.network(result["nodes"], result["edges"]),
                caption="Figure 2 of the paper, from the network: encoder, latent (mean, log-variance, "
                "sample), light-curve decoder and reconstruction head. Boxes give the module's name in the "
                "code, its kind, its parameters and the shape of its output; words beside arrows the "
                "operations in between.",
            ),
            _printed_table(result),
            _module_table(result),
            Picture(
                name="figure-3",
                figure=plots.gru_cell(result["gru"]),
                caption="Figure 3 of the paper: the gated recurrent unit by the paper's equations (n is its "
                "candidate state), with the matrices of the encoder's first layer in torch's names; below, "
                "to scale, the matrices of every layer.",
            ),
            _convention_table(result),
            _conclusion(result),
        ),
    )


def _printed_table(result: Mapping[str, Any]) -> Table:
    rows = [
        (name.replace("_", " "), str(value), str(result["honest"][name]))
        for name, value in result["printed"].items()
    ]
    return Table(
        caption="What the paper prints of its network, and what is counted in ours.",
        columns=("encoder", "printed", "ours"),
        rows=tuple(rows),
    )


def _module_table(result: Mapping[str, Any]) -> Table:
    rows = [
        (
            node["name"],
            node["type"],
            plots.shape_words(node["in"]),
            plots.shape_words(node["out"]),
            f"{node['parameters']:,}",
        )
        for node in result["nodes"]
        if node["kind"] == "module"
    ]
    rows.append(("all", "", "", "", f"{result['n_parameters']:,}"))
    return Table(
        caption="Modules of the network in the order in which they run, with the shapes of what they take "
        "and give.",
        columns=("module", "kind", "input", "output", "parameters"),
        rows=tuple(rows),
    )


def _convention_table(result: Mapping[str, Any]) -> Table:
    readings = (
        ("same_convention", "paper's equations, z for torch's 1 - z, reset after the matrix"),
        ("reset_before", "the same, reset before the matrix as printed"),
        ("z_not_swapped", "paper's equations with torch's z taken for the paper's"),
    )
    layers = result["gru"]
    rows = [(words, *(f"{layer['difference'][name]:.1e}" for layer in layers)) for name, words in readings]
    return Table(
        caption=f"Largest difference of a GRU step's state from torch's over {N_STEPS} random inputs.",
        columns=("step", *(f"{layer['module']}, layer {layer['layer']}" for layer in layers)),
        rows=tuple(rows),
    )


def _conclusion(result: Mapping[str, Any]) -> str:
    worst = {
        name: max(layer["difference"][name] for layer in result["gru"])
        for name in ("same_convention", "reset_before", "z_not_swapped")
    }
    agree = [name for name, value in result["printed"].items() if result["honest"][name] == value]
    return (
        f"{len(agree)} of the {len(result['printed'])} sizes that the paper prints are those of our encoder. "
        f"{_beyond(result)}"
        "Torch writes h' = (1 - z) n + z h where the paper writes h' = (1 - z) h + z n: its z is the paper's "
        "1 - z, which is the same network with the update gate's weights negated. Torch also applies the "
        "reset gate to the product of the candidate's matrix instead of to the state before it, and has two "
        "biases a gate where the paper prints none. With both conventions translated, a step of our GRU is "
        f"the paper's to {worst['same_convention']:.0e}; with the reset gate where the paper has it, the "
        f"same weights give states that differ by up to {worst['reset_before']:.2f}, and with z not "
        f"translated by up to {worst['z_not_swapped']:.2f} (of a state between -1 and 1). The first "
        "convention is a renaming; the second makes a slightly different unit, to which training adapts."
    )


def _beyond(result: Mapping[str, Any]) -> str:
    """What our network has and the paper's does not."""
    nodes = {node["name"]: node for node in result["nodes"]}
    if "context" not in nodes or "head1" not in nodes:
        return ""
    return (
        f"Beyond the paper, its first connected layer also takes a context of {nodes['context']['out'][-1]} "
        "numbers (a running summary of the light curve, and the redshift), and a second decoder, the head, "
        "reconstructs that summary and the shape of the light curve. "
    )


PART = Part(name=NAME, key=NAME, title=TITLE, needs=(), measure=measure, show=show)
