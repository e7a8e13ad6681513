"""Diagrams of a network from its nodes and edges, and of a gated recurrent unit from its weights."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from firstlight.report.style import ACCENT, FAINT, INK, MAIN, THIRD, new_figure, styled

__all__ = ["ancestors", "gru_cell", "network", "shape_words"]

Edges = Sequence[Mapping[str, Any]]
Nodes = Sequence[Mapping[str, Any]]

_SOFT = "#666666"
_TIMES = "\u00d7"
_FACE: Mapping[str, str] = MappingProxyType(
    {"input": "#FFFFFF", "GRU": "#D6E8F5", "Linear": "#F1F1F1", "latent": "#FBE3D2", "loss": "#FFFFFF"}
)
_SHOWN: Mapping[str, str] = MappingProxyType(
    {
        "steps": "light curve in time bins",
        "context": "running summary and redshift",
        "noise": "standard normal draw",
        "latent": "mean + deviation times draw",
        "curve": "light curve against data",
        "head": "summary and shape against data",
        "kl": "from a standard normal",
    }
)
#: Operations worth a word beside an arrow, in the order in which they are named.
_OPERATIONS: Mapping[str, str] = MappingProxyType(
    {"Index": "last step", "Relu": "ReLU", "Exp": "exp", "Expand": "at every step"}
)
_GATE_COLOUR: Mapping[str, str] = MappingProxyType({"reset": THIRD, "update": MAIN, "candidate": ACCENT})


def ancestors(edges: Edges, name: str) -> list[str]:
    """All nodes that flow into a node, however far back, sorted."""
    found: set[str] = set()
    ask = [name]
    while ask:
        at = ask.pop()
        before = {edge["from"] for edge in edges if edge["to"] == at} - found
        found |= before
        ask.extend(before)
    return sorted(found)


def shape_words(shape: Sequence[str | int]) -> str:
    """A shape as text, such as ``batch x time x 64``, with true signs."""
    return f" {_TIMES} ".join(str(size) for size in shape)


# --- Figure 2 ---------------------------------------------------------------------


class _Place(NamedTuple):
    """Centre and size of a box [widths of the figure, rows]."""

    x: float
    y: float
    width: float


_HALF = 0.34  # half the height of a box [rows]


@styled
def network(nodes: Nodes, edges: Edges) -> Figure:
    """Draw a network from the top down: what flows into what, in the order of the computation.

    Parameters
    ----------
    nodes, edges : sequence of mapping
        As from `firstlight_paper.network.trace_network`.

    Returns
    -------
    Figure
        One box a node; a row is a step of the computation.
    """
    places = _layout(nodes, edges)
    n_rows = 1 + int(max(place.y for place in places.values()))
    figure = new_figure(0.86 * n_rows)
    axes = figure.subplots()
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(n_rows - 0.5, -0.6)
    axes.set_axis_off()
    _shade(axes, nodes, edges, places)
    far = [edge for edge in edges if places[edge["to"]].y - places[edge["from"]].y > 1.5]
    for edge in edges:
        if edge not in far:
            _arrow(axes, edge, places)
    for lane, edge in enumerate(far):
        _way_round(axes, edge, places, lane)
    for node in nodes:
        _box(axes, node, places[node["name"]])
    return figure


def _layout(nodes: Nodes, edges: Edges) -> dict[str, _Place]:
    """Rows by the longest way from an input; columns by what a node is for."""
    rows = _rows(nodes, edges)
    before = set(ancestors(edges, "latent"))
    drawn = set(ancestors(edges, "curve")) - before
    kinds = {node["name"]: node["kind"] for node in nodes}
    groups: dict[tuple[int, float], list[str]] = {}
    for name, row in rows.items():
        if kinds[name] == "input":
            middle = 0.84 if name == "noise" else 0.5 if row == 0 else 0.19
        elif name == "kl":
            middle = 0.84
        elif name in before or name == "latent":
            middle = 0.5 if list(rows.values()).count(row) < 3 or name == "latent" else 0.42
        else:
            middle = 0.3 if name in drawn or name == "curve" else 0.72
        groups.setdefault((row, middle), []).append(name)
    places = {}
    for (row, middle), names in groups.items():
        for k, name in enumerate(sorted(names, reverse=True)):
            x = middle + (k - (len(names) - 1) / 2.0) * 0.27
            places[name] = _Place(x, float(row), 0.25)
    return places


def _rows(nodes: Nodes, edges: Edges) -> dict[str, int]:
    """Row of each node; inputs stand one above the first that reads them."""
    kinds = {node["name"]: node["kind"] for node in nodes}
    rows = dict.fromkeys(kinds, 0)
    for _ in nodes:  # the longest way has fewer steps than there are nodes
        for edge in edges:
            rows[edge["to"]] = max(rows[edge["to"]], rows[edge["from"]] + 1)
    for name, kind in kinds.items():
        readers = [rows[edge["to"]] for edge in edges if edge["from"] == name]
        if kind == "input" and readers:
            rows[name] = min(readers) - 1
    return rows


def _box(axes: Axes, node: Mapping[str, Any], place: _Place) -> None:
    kind = node["kind"]
    face = _FACE.get(node["type"] if kind == "module" else kind, "#FFFFFF")
    axes.add_patch(
        FancyBboxPatch(
            (place.x - place.width / 2.0, place.y - _HALF), place.width, 2.0 * _HALF,
            boxstyle="round,pad=0.0,rounding_size=0.012", mutation_aspect=8.0, facecolor=face,
            edgecolor=INK if kind in ("module", "latent") else _SOFT, linewidth=0.9,
            linestyle="-" if kind in ("module", "latent") else (0, (3, 2)), zorder=3,
        )
    )  # fmt: skip
    lines = _words(node)
    gap = 2.0 * _HALF / (len(lines) + 0.8)
    for k, line in enumerate(lines):
        axes.text(
            place.x, place.y + (k - (len(lines) - 1) / 2.0) * gap, line, ha="center", va="center",
            fontsize=8.0 if k == 0 else 6.8, fontweight="bold" if k == 0 else "normal",
            color=INK if k == 0 else "#444444", zorder=4,
        )  # fmt: skip


def _words(node: Mapping[str, Any]) -> list[str]:
    """What stands in a node's box."""
    if node["kind"] == "module":
        detail = node["type"]
        layers = sum(name.startswith("weight_hh") for name in node["weights"])
        if layers:
            detail = f"{node['type']}, {layers} layer{'s' * (layers > 1)} of {node['out'][-1]}"
        elif node["type"] == "Linear":
            detail = f"Linear, {node['in'][-1]} to {node['out'][-1]}"
        return [node["name"], detail, f"{node['parameters']:,} parameters", shape_words(node["out"])]
    if node["kind"] == "loss":
        return [f"loss: {node['name']}", _SHOWN[node["name"]]]
    return [node["name"], _SHOWN.get(node["name"], ""), shape_words(node["out"])]


def _arrow(axes: Axes, edge: Mapping[str, Any], places: Mapping[str, _Place]) -> None:
    start, end = places[edge["from"]], places[edge["to"]]
    shift = 0.6 * max(-0.1, min(0.1, (end.x - start.x) / 2.0))
    tail = (start.x + shift, start.y + _HALF)
    tip = (end.x - shift, end.y - _HALF)
    if start.y == end.y:  # side by side
        side = 1.0 if end.x > start.x else -1.0
        tail = (start.x + side * start.width / 2.0, start.y)
        tip = (end.x - side * end.width / 2.0, end.y)
    _line(axes, tail, tip)
    words = _between(edge)
    if words:
        side = -1.0 if tip[0] < tail[0] else 1.0
        where = ((tail[0] + tip[0]) / 2.0 + side * 0.014, (tail[1] + tip[1]) / 2.0)
        axes.text(
            *where,
            words,
            fontsize=6.8,
            color=_SOFT,
            va="center",
            ha="left" if side > 0.0 else "right",
            zorder=5,
        )


def _line(axes: Axes, tail: tuple[float, float], tip: tuple[float, float]) -> None:
    axes.add_patch(
        FancyArrowPatch(
            tail, tip, arrowstyle="-|>", mutation_scale=8.0, color=_SOFT, linewidth=0.9,
            shrinkA=0.0, shrinkB=0.0, zorder=2,
        )
    )  # fmt: skip


def _way_round(axes: Axes, edge: Mapping[str, Any], places: Mapping[str, _Place], lane: int) -> None:
    """An edge over several rows, led down the left margin."""
    start, end = places[edge["from"]], places[edge["to"]]
    x = 0.035 - 0.02 * lane
    height = end.y - 0.09 + 0.18 * lane
    left = start.x - start.width / 2.0
    axes.plot([left, x, x], [start.y, start.y, height], color=_SOFT, linewidth=0.9, zorder=1)
    _line(axes, (x, height), (end.x - end.width / 2.0, height))
    axes.text(
        x + 0.012, height - 0.1 + 0.2 * (lane % 2), edge["from"], fontsize=6.8, color=_SOFT,
        va="bottom" if lane % 2 == 0 else "top",
    )  # fmt: skip


def _between(edge: Mapping[str, Any]) -> str:
    return ", ".join(word for name, word in _OPERATIONS.items() if name in edge["through"])


def _shade(axes: Axes, nodes: Nodes, edges: Edges, places: Mapping[str, _Place]) -> None:
    """Name the parts: what leads to the latent, and what each reconstruction is drawn by."""
    before = set(ancestors(edges, "latent"))
    modules = {node["name"] for node in nodes if node["kind"] == "module"}
    parts = {
        "ENCODER": modules & before,
        "DECODER": (modules & set(ancestors(edges, "curve"))) - before,
        "HEAD": (modules & set(ancestors(edges, "head"))) - before,
    }
    for title, names in parts.items():
        if not names:
            continue
        boxes = [places[name] for name in names]
        left = min(box.x - box.width / 2.0 for box in boxes) - 0.02
        right = max(box.x + box.width / 2.0 for box in boxes) + 0.03
        top, bottom = min(box.y for box in boxes) - 0.41, max(box.y for box in boxes) + 0.41
        axes.add_patch(
            Rectangle(
                (left, top), right - left, bottom - top, facecolor="#F8F8F4", edgecolor=FAINT, linewidth=0.6
            )
        )
        axes.text(
            right - 0.006, (top + bottom) / 2.0, title, fontsize=7.0, color=_SOFT, rotation=90.0,
            ha="right", va="center",
        )  # fmt: skip


# --- Figure 3 ---------------------------------------------------------------------


@styled
def gru_cell(layers: Sequence[Mapping[str, Any]]) -> Figure:
    """The gated recurrent unit in the paper's letters, and the matrices of every layer to scale.

    Parameters
    ----------
    layers : sequence of mapping
        One a layer: ``module``, ``layer``, ``blocks`` (``name``, ``gate``, ``from``, ``rows``,
        ``columns``) and ``biases`` (of each gate).

    Returns
    -------
    Figure
        The cell above, with the sizes of the first layer; the matrices below.
    """
    figure = new_figure(6.6)
    cell, scale = figure.subplots(2, 1, height_ratios=(1.75, 1.0))
    _cell(cell, layers[0])
    _matrices(scale, layers)
    return figure


def _cell(axes: Axes, layer: Mapping[str, Any]) -> None:
    """States run along the top from left to right; the input comes from below."""
    axes.set_xlim(0.0, 10.0)
    axes.set_ylim(0.0, 6.4)
    axes.set_axis_off()
    axes.add_patch(Rectangle((0.9, 0.75), 8.2, 5.25, facecolor="#F8F8F4", edgecolor=FAINT, linewidth=0.8))
    blocks = layer["blocks"]
    gates = {block["gate"]: [b for b in blocks if b["gate"] == block["gate"]] for block in blocks}
    spots = {"reset": 2.2, "candidate": 5.0, "update": 7.6}
    letters = {
        "reset": r"$r = \sigma(\cdot)$",
        "update": r"$z = \sigma(\cdot)$",
        "candidate": r"$n = \tanh(\cdot)$",
    }
    for gate, parts in gates.items():
        _gate(axes, spots[gate], gate, letters[gate], parts, int(layer["biases"]))
    n_inputs = next(block["columns"] for block in blocks if block["from"] == "input")
    n_hidden = next(block["rows"] for block in blocks)
    _route_state(axes, spots)
    _route_input(axes, spots)
    for x, y, words in (
        (0.0, 5.45, f"$h_{{t-1}}$\n{n_hidden}"),
        (9.3, 5.45, f"$h_t$\n{n_hidden}"),
        (0.15, 0.28, f"$x_t$, {n_inputs} channels"),
    ):
        axes.text(x, y, words, fontsize=9.5, va="center")
    axes.text(
        5.0, 6.22, r"$h_t = (1 - z)\ h_{t-1} + z\ n$  (paper);  torch's $z$ is the paper's $1 - z$",
        fontsize=9.0, ha="center", va="center",
    )  # fmt: skip


def _gate(
    axes: Axes, x: float, gate: str, letter: str, parts: Sequence[Mapping[str, Any]], n_biases: int
) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x - 1.05, 1.55), 2.1, 1.25, boxstyle="round,pad=0.0,rounding_size=0.1", facecolor="white",
            edgecolor=_GATE_COLOUR[gate], linewidth=1.6, zorder=3,
        )
    )  # fmt: skip
    axes.text(
        x, 2.58, f"{gate}  {letter}", fontsize=8.5, fontweight="bold", ha="center", va="center", zorder=4
    )
    for k, part in enumerate(parts):
        words = f"{part['name']}  {shape_words([part['rows'], part['columns']])}"
        axes.text(x, 2.27 - 0.24 * k, words, fontsize=7.2, ha="center", va="center", zorder=4)
    axes.text(x, 1.73, f"{n_biases} biases", fontsize=7.2, color=_SOFT, ha="center", va="center", zorder=4)


def _route_state(axes: Axes, spots: Mapping[str, float]) -> None:
    """The state: kept by 1 - z, read by the gates, reset for the candidate."""
    line: dict[str, Any] = {"color": INK, "linewidth": 1.3, "zorder": 2}
    keep, add = spots["update"] - 0.9, spots["update"] + 0.75
    axes.plot([0.6, keep - 0.2], [5.45, 5.45], **line)
    axes.plot([keep + 0.2, add - 0.2], [5.45, 5.45], **line)
    _tip(axes, (add + 0.2, 5.45), (9.25, 5.45))
    reads: dict[str, Any] = {"color": INK, "linewidth": 0.9, "zorder": 2}
    x_bus = 1.02
    axes.plot([x_bus, x_bus], [5.45, 1.3], **reads)
    axes.plot([x_bus, spots["update"] - 0.6], [1.3, 1.3], **reads)
    for gate in ("reset", "update"):
        _tip(axes, (spots[gate] - 0.6, 1.3), (spots[gate] - 0.6, 1.55))
    for where in ((x_bus, 5.45), (spots["candidate"] - 0.6, 5.45), (spots["update"], 3.6)):
        axes.plot(*where, ".", color=INK, markersize=5.0, zorder=3)  # lines that meet, not cross
    # reset: r times the state, before the candidate's matrix
    times = (spots["candidate"] - 0.6, 4.3)
    axes.plot([times[0], times[0]], [5.45, times[1] + 0.2], **reads)
    _tip(axes, (times[0], times[1] - 0.2), (times[0], 2.8))
    _circle(axes, times, _TIMES)
    axes.plot([spots["reset"], spots["reset"]], [2.8, times[1]], **reads)
    _tip(axes, (spots["reset"], times[1]), (times[0] - 0.2, times[1]))
    axes.text(spots["reset"] + 0.1, 3.55, "$r$", fontsize=9.0, va="center")
    axes.text(times[0] + 0.1, 3.55, r"$r\ h_{t-1}$", fontsize=8.5, va="center")
    # update: 1 - z of the state, z of the candidate
    mix = (add, 4.3)
    axes.plot([spots["update"], spots["update"]], [2.8, mix[1]], **reads)
    axes.text(spots["update"] + 0.08, 3.3, "$z$", fontsize=9.0, va="center")
    _tip(axes, (spots["update"], mix[1]), (mix[0] - 0.2, mix[1]))
    axes.plot([keep, spots["update"]], [3.6, 3.6], **reads)
    _tip(axes, (keep, 3.6), (keep, 5.25))
    axes.text(keep + 0.08, 4.5, "$1 - z$", fontsize=8.5, va="center")
    out = spots["candidate"] + 0.55
    axes.plot([out, out, mix[0], mix[0]], [2.8, 3.15, 3.15, 3.15], **reads)
    _tip(axes, (mix[0], 3.15), (mix[0], mix[1] - 0.2))
    axes.text(out + 0.1, 2.98, "$n$", fontsize=9.0, va="center")
    _tip(axes, (mix[0], mix[1] + 0.2), (mix[0], 5.25))
    for where, words in (((keep, 5.45), _TIMES), ((add, 5.45), "+"), (mix, _TIMES)):
        _circle(axes, where, words)


def _route_input(axes: Axes, spots: Mapping[str, float]) -> None:
    """The input reaches every gate."""
    axes.plot([0.6, 0.6], [0.45, 1.0], color=_SOFT, linewidth=0.9)
    axes.plot([0.6, max(spots.values()) + 0.4], [1.0, 1.0], color=_SOFT, linewidth=0.9, zorder=2)
    for x in spots.values():
        _tip(axes, (x + 0.4, 1.0), (x + 0.4, 1.55), colour=_SOFT)


def _circle(axes: Axes, where: tuple[float, float], words: str) -> None:
    axes.add_patch(Circle(where, 0.2, facecolor="white", edgecolor=INK, linewidth=1.0, zorder=4))
    axes.text(*where, words, fontsize=10.0, ha="center", va="center", zorder=5)


def _tip(axes: Axes, tail: tuple[float, float], tip: tuple[float, float], colour: str = INK) -> None:
    axes.add_patch(
        FancyArrowPatch(
            tail, tip, arrowstyle="-|>", mutation_scale=8.0, color=colour, linewidth=0.9,
            shrinkA=0.0, shrinkB=0.0, zorder=2,
        )
    )  # fmt: skip


def _matrices(axes: Axes, layers: Sequence[Mapping[str, Any]]) -> None:
    """Matrices of every layer side by side: gates from top to bottom, input and state from left."""
    tallest = max(sum(b["rows"] for b in layer["blocks"] if b["from"] == "input") for layer in layers)
    at = 0.0
    gap = 0.12 * tallest
    for layer in layers:
        left = at
        for source in ("input", "state"):
            down = 0.0
            parts = [block for block in layer["blocks"] if block["from"] == source]
            for block in parts:
                colour = _GATE_COLOUR[block["gate"]]
                axes.add_patch(
                    Rectangle(
                        (at, down), block["columns"], block["rows"], facecolor=colour, edgecolor="white",
                        alpha=0.32 if source == "input" else 0.6,
                    )
                )  # fmt: skip
                words = f"{block['name']}\n{shape_words([block['rows'], block['columns']])}"
                narrow = block["columns"] < 0.15 * tallest
                axes.text(
                    at + block["columns"] / 2.0, down + block["rows"] / 2.0, words,
                    fontsize=5.4 if narrow else 6.0, rotation=90.0 if narrow else 0.0, linespacing=1.0,
                    ha="center", va="center",
                )  # fmt: skip
                down += block["rows"]
            at += parts[0]["columns"]
        axes.text(
            left, -0.05 * tallest, f"{layer['module']}, layer {layer['layer']}", fontsize=8.0, va="bottom"
        )
        at += gap
    axes.set_xlim(-1.0, at)
    axes.set_ylim(1.02 * tallest, -0.16 * tallest)
    axes.set_aspect("equal")
    axes.set_axis_off()
