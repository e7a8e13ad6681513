"""A network read off by running it: its modules, their tensors, and what flows into what.

Nothing here knows the autoencoder's layers. Forward hooks note every module's tensors, and
torch's record of the computation says which outputs went into which inputs, and through
which operations.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from firstlight.errors import MissingExtraError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from firstlight.encoder import VaeConfig
    from firstlight.encoder.vae import Batch, RnnVae

__all__ = ["build_network", "trace_network"]

N_BATCH, N_TIMES = 3, 5  # of the tiny batch
INPUTS = ("steps", "context", "noise")
LATENT = "latent"
LOSSES = ("curve", "head", "kl")


def build_network(config: "VaeConfig", seed: int = 0) -> "RnnVae":
    """The autoencoder of a configuration, with its first weights.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("the network needs torch: pip install 'firstlight[train]'") from error
    from firstlight.encoder.vae import RnnVae

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RnnVae(config)


def trace_network(model: "RnnVae") -> dict[str, Any]:
    """Nodes and edges of an autoencoder, from one tiny batch sent through its losses.

    Parameters
    ----------
    model : RnnVae
        The network.

    Returns
    -------
    dict
        ``nodes``: one row each with ``name``, ``kind`` (input, module, latent or loss), ``type``
        (of a module), ``settings``, ``in`` and ``out`` (shapes; the first axes by name),
        ``parameters`` (a number) and ``weights`` (shapes by name). ``edges``: ``from``, ``to`` and
        ``through``, the operations in between, from first to last.
    """
    import torch

    modules = {name: module for name, module in model.named_modules() if name and not any(module.children())}
    seen: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
    latents: list[Tensor] = []
    reconstruct = model.reconstruct

    def note_latent(latent: "Tensor") -> "Tensor":
        latents.append(latent)
        return reconstruct(latent)

    def note(name: str, inputs: Any, output: Any) -> None:
        seen[name] = (list(_tensors(inputs)), list(_tensors(output)))

    hooks = [
        module.register_forward_hook(lambda _, inputs, output, name=name: note(name, inputs, output))
        for name, module in modules.items()
    ]
    model.reconstruct = note_latent  # type: ignore[method-assign]
    try:
        batch = _tiny_batch(model)
        noise = torch.zeros(N_BATCH, model.config.latent, requires_grad=True)
        losses = model.losses(batch, noise=noise)
    finally:
        model.reconstruct = reconstruct  # type: ignore[method-assign]
        for hook in hooks:
            hook.remove()
    inputs = dict(zip(INPUTS, (batch.steps, batch.context, noise), strict=True))
    ends = dict(zip(LOSSES, (losses.curve, losses.head, losses.kl), strict=True))
    nodes = [_plain_node(name, "input", value) for name, value in inputs.items()]
    nodes += [_module_node(name, modules[name], *seen[name]) for name in seen]
    nodes += [_plain_node(LATENT, "latent", latents[0])]
    nodes += [_plain_node(name, "loss", value) for name, value in ends.items()]
    goals = {name: tensors for name, (tensors, _) in seen.items()} | {LATENT: latents[:1]}
    goals |= {name: [value] for name, value in ends.items()}
    outputs = [(name, value) for name, (_, values) in seen.items() for value in values]
    return {"nodes": nodes, "edges": _edges(goals, inputs, [*outputs, (LATENT, latents[0])])}


def _tiny_batch(model: "RnnVae") -> "Batch":
    import torch

    from firstlight.bands import N_BANDS
    from firstlight.encoder.running import N_CHANNELS
    from firstlight.encoder.shape import N_SHAPE
    from firstlight.encoder.steps import N_CONTEXT
    from firstlight.encoder.vae import N_TARGETS, Batch

    flux = torch.ones(N_BATCH, N_TIMES, N_BANDS)
    return Batch(
        steps=torch.zeros(N_BATCH, N_TIMES, N_CHANNELS, requires_grad=True),
        lengths=torch.full((N_BATCH,), N_TIMES),
        context=torch.zeros(N_BATCH, N_CONTEXT, requires_grad=True),
        target=torch.zeros(N_BATCH, N_CONTEXT),
        shape=torch.zeros(N_BATCH, N_SHAPE),
        known=torch.ones(N_BATCH, N_TARGETS),
        flux=flux,
        flux_err=flux,
        observed=flux,
    )


# --- nodes ----------------------------------------------------------------------


def _tensors(value: Any) -> "Iterator[Tensor]":
    """All tensors of what a module takes or gives."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)


def _module_node(
    name: str, module: "nn.Module", inputs: "list[Tensor]", outputs: "list[Tensor]"
) -> dict[str, Any]:
    weights = {key: list(value.shape) for key, value in module.named_parameters()}
    return {
        "name": name,
        "kind": "module",
        "type": type(module).__name__,
        "settings": module.extra_repr(),
        "in": _shape(inputs[0]),
        "out": _shape(outputs[0]),
        "parameters": sum(value.numel() for value in module.parameters()),
        "weights": weights,
    }


def _plain_node(name: str, kind: str, value: "Tensor") -> dict[str, Any]:
    shape = [] if kind == "loss" else _shape(value)
    return {
        "name": name, "kind": kind, "type": "", "settings": "",
        "in": shape, "out": shape, "parameters": 0, "weights": {},
    }  # fmt: skip


def _shape(value: "Tensor") -> list[str | int]:
    """Sizes, the batch's and the time's by name."""
    names: list[str | int] = ["batch", "time"] if value.dim() == 3 else ["batch"]
    return names + [int(size) for size in value.shape[len(names) :]]


# --- edges ----------------------------------------------------------------------


def _edges(
    goals: "Mapping[str, list[Tensor]]",
    inputs: "Mapping[str, Tensor]",
    outputs: "list[tuple[str, Tensor]]",
) -> list[dict[str, Any]]:
    """What each goal was computed from, and how, by torch's record of the computation."""
    made = {value.grad_fn: name for name, value in outputs}
    edges: dict[tuple[str, str], list[str]] = {}
    for goal, tensors in goals.items():
        for tensor in tensors:
            source = next((name for name, value in inputs.items() if value is tensor), None)
            found = [(source, [])] if source else _sources(tensor.grad_fn, made, inputs, goal)
            for name, through in found:
                edges.setdefault((name, goal), through)
    return [{"from": a, "to": b, "through": through} for (a, b), through in edges.items()]


def _sources(
    end: Any, made: Mapping[Any, str], inputs: "Mapping[str, Tensor]", goal: str
) -> list[tuple[str, list[str]]]:
    """Named tensors behind an operation, the nearest ones, each with the operations passed."""
    found: list[tuple[str, list[str]]] = []
    stack: list[tuple[Any, list[str]]] = [(end, [])]
    visited = set()
    while stack:
        operation, passed = stack.pop()
        if operation is None or operation in visited:
            continue
        visited.add(operation)
        name = made.get(operation)
        if name is None and hasattr(operation, "variable"):
            name = next((key for key, value in inputs.items() if value is operation.variable), None)
        if name is not None and name != goal:
            found.append((name, passed))
            continue
        step = operation.name().split("Backward")[0]
        stack.extend((before, [step, *passed]) for before, _ in operation.next_functions)
    return found
