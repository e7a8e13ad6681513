"""Draw the rooms of the package and their imports for docs/contributing/architecture.md.

`make figures` runs it; a test checks that the pictures are those of today.
"""

from pathlib import Path

import grimp

IMAGES = Path(__file__).resolve().parent / "images"
#: Imported nearly everywhere, so not drawn.
GROUND = ("_types", "_version", "errors", "files", "kernels", "parallel", "settings", "text")
PACKAGES = {"rooms": "firstlight", "rooms-of-stream": "firstlight.stream"}

Edges = set[tuple[str, str]]


def edges_of(graph: grimp.ImportGraph, package: str) -> Edges:
    """Pairs of children of a package, the first of which imports the second."""
    edges = set()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            one, other = (_room(module, package) for module in (importer, imported))
            if one and other and one != other:
                edges.add((one, other))
    return edges


def _room(module: str, package: str) -> str:
    """Child of the package that holds a module; empty outside of it and for the ground floor."""
    if module.startswith("firstlight_paper") and package == "firstlight":
        return "firstlight_paper"
    if not module.startswith(f"{package}."):
        return ""
    room = module.removeprefix(f"{package}.").partition(".")[0]
    return "" if room in (*GROUND, "__main__") else room


def reduced(edges: Edges) -> Edges:
    """The edges without those that a longer path implies."""
    following: dict[str, set[str]] = {}
    for one, other in edges:
        following.setdefault(one, set()).add(other)

    def reachable(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            for room in following.get(waiting.pop(), set()) - found:
                found.add(room)
                waiting.append(room)
        return found

    return {
        (one, other)
        for one, other in edges
        if not any(
            other in reachable(room) and one not in reachable(room) for room in following[one] - {other}
        )
    }


def ranks(edges: Edges) -> dict[str, int]:
    """Row of each room: one below the lowest of those that import it."""
    importers: dict[str, set[str]] = {}
    for one, other in edges:
        importers.setdefault(one, set())
        importers.setdefault(other, set()).add(one)
    found: dict[str, int] = {}
    while len(found) < len(importers):
        for room, above in importers.items():
            if room not in found and above <= found.keys():
                found[room] = 1 + max((found[one] for one in above), default=-1)
    return found


def places(edges: Edges) -> dict[str, tuple[float, float]]:
    """Centre of each room, in boxes: rows by rank, and in a row next to its neighbours of other rows."""
    row = ranks(edges)
    rows = [sorted(room for room in row if row[room] == k) for k in range(1 + max(row.values()))]
    near = {room: [two for edge in edges for two in edge if room in edge and two != room] for room in row}
    column = {room: k - (len(line) - 1) / 2 for line in rows for k, room in enumerate(line)}
    for _ in range(20):
        for line in rows:
            line.sort(key=lambda room: (sum(column[one] for one in near[room]) / len(near[room]), room))
            column |= {room: k - (len(line) - 1) / 2 for k, room in enumerate(line)}
    return {room: (column[room], float(row[room])) for room in row}


def svg(edges: Edges) -> str:
    """The rooms as boxes and the imports as lines, from the importer down to the imported."""
    wide, high, box, tall = 152, 76, 132, 30
    at = places(edges)
    left, right = min(x for x, _ in at.values()), max(x for x, _ in at.values())
    spot = {room: ((x - left + 0.5) * wide, (y + 0.5) * high) for room, (x, y) in at.items()}
    width, height = (right - left + 1) * wide, (1 + max(y for _, y in at.values())) * high
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" font-size="15" '
        'font-family="Helvetica, Arial, sans-serif" text-anchor="middle">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0,0L8,4L0,8z" fill="#5b7083"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
    ]
    for one, other in sorted(edges):
        (x, y), (u, v) = spot[one], spot[other]
        start, end, bend = y + tall / 2, v - tall / 2, (v - y) / 2
        lines.append(
            f'<path d="M{x:.0f},{start:.0f}C{x:.0f},{start + bend:.0f} {u:.0f},{end - bend:.0f} '
            f'{u:.0f},{end:.0f}" fill="none" stroke="#5b7083" marker-end="url(#tip)"/>'
        )
    for room, (x, y) in sorted(spot.items()):
        lines.append(
            f'<rect x="{x - box / 2:.0f}" y="{y - tall / 2:.0f}" width="{box}" height="{tall}" rx="6" '
            f'fill="#e8eef4" stroke="#5b7083"/><text x="{x:.0f}" y="{y + 5:.0f}">{room}</text>'
        )
    return "\n".join([*lines, "</svg>\n"])


def pictures() -> dict[Path, str]:
    """Text of each picture."""
    graph = grimp.build_graph(
        "firstlight", "firstlight_paper", exclude_type_checking_imports=True, cache_dir=None
    )
    return {
        IMAGES / f"{name}.svg": svg(reduced(edges_of(graph, package))) for name, package in PACKAGES.items()
    }


def main() -> None:
    """Write the pictures."""
    for path, text in pictures().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
