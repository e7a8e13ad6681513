import json

import pytest

pytest.importorskip("torch")

from firstlight.encoder import VaeConfig
from firstlight_paper.parts.architecture import PART, describe
from firstlight_paper.parts.architecture_plots import ancestors
from firstlight_paper.scale import QUICK
from firstlight_paper.section import Picture, Table
from firstlight_paper.workshop import Bench, Workshop, plain

OTHER = VaeConfig(latent=4, hidden=5, layers=3, width=7, head_width=9)


def through_json(result):
    return json.loads(json.dumps(plain(result), allow_nan=False))


def drawn_words(section):
    figures = [block.figure for block in section.blocks if isinstance(block, Picture)]
    return {figure_name: [text.get_text() for text in figure.axes[0].texts] for figure_name, figure in
            zip(("network", "cell"), figures, strict=True)}  # fmt: skip


@pytest.fixture(scope="module")
def seed_result():
    return through_json(describe(VaeConfig()))


def test_the_network_of_the_preset_seed_has_the_sizes_that_the_paper_prints(tmp_path):
    result = through_json(PART.measure(Workshop(Bench(folder=tmp_path, scale=QUICK))))
    assert result["honest"] == result["printed"]
    assert result["leak"] is None


def test_a_step_of_every_gru_layer_equals_the_paper_s_equations(seed_result):
    layers = seed_result["gru"]
    assert [(row["module"], row["layer"]) for row in layers] == [
        ("encoder", 1), ("encoder", 2), ("decoder", 1), ("decoder", 2),
    ]  # fmt: skip
    for row in layers:
        assert row["difference"]["same_convention"] < 1e-14
        assert row["difference"]["reset_before"] > 1e-3
        assert row["difference"]["z_not_swapped"] > 1e-1


def test_weight_blocks_are_those_of_the_network(seed_result):
    first = {block["name"]: (block["rows"], block["columns"]) for block in seed_result["gru"][0]["blocks"]}
    assert set(first) == {"W_ir", "W_iz", "W_in", "W_hr", "W_hz", "W_hn"}
    assert first["W_hz"] == (64, 64)
    gru = seed_result["gru"][0]
    n = sum(rows * columns for rows, columns in first.values()) + 3 * gru["biases"]
    n += sum(b["rows"] * b["columns"] for b in seed_result["gru"][1]["blocks"]) + 3 * gru["biases"]
    encoder = next(node for node in seed_result["nodes"] if node["name"] == "encoder")
    assert n == encoder["parameters"]


def test_another_network_is_another_figure(seed_result):
    other = through_json(describe(OTHER))
    assert other["honest"] == {
        "gru_layers": 3,
        "hidden_units": 5,
        "fully_connected_layers": 2,
        "latent_features": 4,
    }
    assert len(other["gru"]) == 6
    ours, theirs = drawn_words(PART.show(seed_result)), drawn_words(PART.show(other))
    assert "GRU, 2 layers of 64" in ours["network"]
    assert "GRU, 3 layers of 5" in theirs["network"]
    assert "GRU, 2 layers of 64" not in theirs["network"]
    assert any(word.startswith("batch") and word.endswith(" 4") for word in theirs["network"])
    assert any(word.startswith("W_hn") and " 5 " in word for word in theirs["cell"])
    assert not any("64" in word for word in theirs["cell"])


def test_every_node_is_drawn_and_no_two_boxes_overlap(seed_result):
    from firstlight_paper.parts.architecture_plots import _HALF, _layout

    for result in (seed_result, through_json(describe(OTHER))):
        places = list(_layout(result["nodes"], result["edges"]).values())
        assert len(places) == len(result["nodes"])
        for i, a in enumerate(places):
            for b in places[:i]:
                apart = abs(a.x - b.x) >= (a.width + b.width) / 2 or abs(a.y - b.y) >= 2 * _HALF
                assert apart, (a, b)


def test_the_section_comes_from_json_alone(seed_result):
    section = PART.show(seed_result)
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    assert f"{seed_result['n_parameters']:,}" in tables[1].rows[-1]
    assert len(tables[1].rows) == 12
    assert len(json.dumps(seed_result)) < 50_000


def test_ancestors_are_all_that_flows_into_a_node():
    edges = [{"from": "a", "to": "b"}, {"from": "b", "to": "c"}, {"from": "d", "to": "e"}]
    assert ancestors(edges, "c") == ["a", "b"]
    assert ancestors(edges, "a") == []
