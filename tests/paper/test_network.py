from dataclasses import replace
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")

from firstlight.encoder import VaeConfig  # noqa: E402
from firstlight.encoder.running import N_CHANNELS  # noqa: E402
from firstlight.encoder.steps import N_CONTEXT  # noqa: E402
from firstlight_paper.network import build_network, trace_network  # noqa: E402

SMALL = VaeConfig(latent=4, hidden=5, layers=3, width=7, head_width=9)


@pytest.fixture(scope="module")
def graph():
    return trace_network(build_network(SMALL))


def edges_of(graph):
    return {(edge["from"], edge["to"]): edge["through"] for edge in graph["edges"]}


def test_every_module_and_every_parameter_is_counted(graph):
    model = build_network(SMALL)
    modules = {node["name"] for node in graph["nodes"] if node["kind"] == "module"}
    assert modules == {name for name, _ in model.named_children()}
    counted = sum(node["parameters"] for node in graph["nodes"])
    assert counted == sum(value.numel() for value in model.parameters())


def test_edges_are_those_of_the_code(graph):
    edges = edges_of(graph)
    chain = ("steps", "encoder", "fc1", "fc2", "mean", "latent", "decoder", "flux1", "flux2", "curve")
    assert all(pair in edges for pair in pairwise(chain))
    assert {a for a, b in edges if b == "latent"} == {"mean", "log_var", "noise"}
    assert {a for a, b in edges if b == "kl"} == {"mean", "log_var"}
    assert {a for a, b in edges if b == "decoder"} == {"latent", "steps", "context"}
    assert {a for a, b in edges if b == "head1"} == {"latent"}
    assert "Relu" in edges[("fc1", "fc2")]
    assert "Exp" in edges[("log_var", "latent")]
    assert "Exp" not in edges[("mean", "latent")]


def test_shapes_are_measured(graph):
    nodes = {node["name"]: node for node in graph["nodes"]}
    assert nodes["encoder"]["in"] == ["batch", "time", N_CHANNELS]
    assert nodes["encoder"]["out"] == ["batch", "time", 5]
    assert nodes["fc1"]["in"] == ["batch", 5 + N_CONTEXT]
    assert nodes["latent"]["out"] == ["batch", 4]
    assert nodes["encoder"]["weights"]["weight_hh_l2"] == [15, 5]


def test_a_decoder_that_is_not_told_the_redshift_loses_that_edge():
    config = replace(SMALL, decoder_redshift=False)
    edges = edges_of(trace_network(build_network(config)))
    assert ("context", "decoder") not in edges
    assert ("context", "fc1") in edges


def test_a_network_without_a_light_curve_decoder_shows_none():
    names = {node["name"] for node in trace_network(build_network(replace(SMALL, curve_weight=0.0)))["nodes"]}
    assert "decoder" not in names
    assert "head3" in names


def test_a_new_layer_appears_between_those_that_it_joins():
    model = build_network(SMALL)
    model.mean = torch.nn.Sequential(torch.nn.Linear(7, 11), torch.nn.Tanh(), torch.nn.Linear(11, 4))
    edges = edges_of(trace_network(model))
    assert ("fc2", "mean") not in edges
    assert {("fc2", "mean.0"), ("mean.0", "mean.1"), ("mean.1", "mean.2"), ("mean.2", "latent")} <= set(edges)


def test_tracing_leaves_the_network_as_it_was():
    model = build_network(SMALL)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trace_network(model)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.reconstruct(torch.zeros(2, 4)).shape[0] == 2


def test_building_draws_nothing_from_the_common_random_stream():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = build_network(SMALL, seed=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.fc1.weight, build_network(SMALL, seed=1).fc1.weight)
    assert not torch.equal(first.fc1.weight, build_network(SMALL, seed=2).fc1.weight)
