"""Draw the rooms of the package and their imports into docs/contributing/architecture.md.

`make figures` runs it; a test checks that the page holds what it draws.
"""

from pathlib import Path

import grimp

PAGE = Path(__file__).resolve().parent / "contributing" / "architecture.md"
#: Imported nearly everywhere, so not drawn.
GROUND = ("_types", "_version", "errors", "files", "kernels", "parallel", "settings", "text")
PACKAGES = {"rooms": "firstlight", "stream": "firstlight.stream"}

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


def mermaid(edges: Edges) -> str:
    """A Mermaid flow chart."""
    arrows = [f"  {one} --> {other}" for one, other in sorted(edges)]
    return "\n".join(["```mermaid", "flowchart TD", *arrows, "```"])


def fill(text: str) -> str:
    """The page with its pictures drawn."""
    graph = grimp.build_graph(
        "firstlight", "firstlight_paper", exclude_type_checking_imports=True, cache_dir=None
    )
    for name, package in PACKAGES.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        head, rest = text.split(start, 1)
        picture = mermaid(reduced(edges_of(graph, package)))
        text = f"{head}{start}\n{picture}\n{end}{rest.split(end, 1)[1]}"
    return text


def main() -> None:
    """Update the page."""
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
