"""The page of a reproduction: one self-contained HTML file, and the same in Markdown for the docs.

Both are drawn from ``reproduction.json`` alone, so that a committed result can be drawn again.
"""

import base64
import io
import os
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from firstlight.files import replacing
from firstlight.report.style import save_figure
from firstlight_paper.parts import PARTS
from firstlight_paper.section import Part, Picture, Section, Table
from firstlight_paper.summary import summary

__all__ = ["sections_of", "write_markdown", "write_page"]

TITLE = "The paper, reproduced: printed, by its own protocol, and honest"
_INTRODUCTION = (
    "Three columns wherever the paper prints a number. **Printed**: what the paper says. **Its protocol**: "
    "classes balanced by copying objects before the rows are split, so that copies of a test object are "
    "trained on; it is computed here to show what that leaks, and is no measure of skill. **Honest**: the "
    "split is by object and comes before everything else; the spread is that between folds."
)
_SMALLER, _COLOURS = 0.75, 256  # of a picture for the docs: its scale, and its palette
_MANY_SHAPES = 400  # a figure with more marks than this is smaller as pixels than as outlines


def sections_of(document: Mapping[str, Any]) -> Iterator[tuple[Part, Section]]:
    """Sections of all parts that the document holds, in the order of the paper."""
    for part in PARTS:
        result = _at(document, part.key)
        if result is not None:
            yield part, part.show(result)


def write_page(document: Mapping[str, Any], path: Path) -> None:
    """Write the self-contained HTML page.

    Parameters
    ----------
    document : mapping
        As from `firstlight_paper.run.join`.
    path : Path
        File to write, as a whole or not at all.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["prose"] = _prose
    source = resources.files("firstlight_paper").joinpath("page.html.j2").read_text(encoding="utf-8")
    first = summary(document)
    sections = [] if first is None else [_for_page("summary", first)]
    sections += [_for_page(part.name, section) for part, section in sections_of(document)]
    html = environment.from_string(source).render(
        title=TITLE,
        introduction=_INTRODUCTION,
        about=document["about"],
        facts=_facts(document["about"]),
        warning=_warning(document["about"]),
        sections=sections,
        missing=_missing(document),
    )
    with replacing(path) as partial:
        partial.write_text(html, encoding="utf-8")


def write_markdown(document: Mapping[str, Any], path: Path, pictures: Path) -> None:
    """Write the page as Markdown, with its pictures as PNG files in a folder.

    Parameters
    ----------
    document : mapping
        As from `firstlight_paper.run.join`.
    path : Path
        Markdown file.
    pictures : Path
        Folder of the pictures; links are relative to `path`.
    """
    lines = [f"# {TITLE}", "", _INTRODUCTION, ""]
    lines += [f"- {name}: {value}" for name, value in _facts(document["about"])]
    if _warning(document["about"]):
        lines += ["", f"**{_warning(document['about'])}**"]
    pictures.mkdir(parents=True, exist_ok=True)
    first = summary(document)
    for section in chain([] if first is None else [first], (section for _, section in sections_of(document))):
        lines += ["", f"## {section.title}"]
        for block in section.blocks:
            lines += ["", *_markdown(block, path, pictures)]
    with replacing(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


# --- private --------------------------------------------------------------------


def _at(document: Mapping[str, Any], key: str) -> Any:
    found: Any = document
    for name in key.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _missing(document: Mapping[str, Any]) -> list[str]:
    return [part.name for part in PARTS if _at(document, part.key) is None]


def _facts(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    classes = ", ".join(f"{name} {n:,}" for name, n in about["objects_per_class"].items())
    seconds = sum(part["seconds"] for part in about["parts"].values())
    return [
        (
            "Objects",
            f"{about['n_real']:,} of PLAsTiCC's training set in 13 classes, {about['n_simulated']:,} "
            f"simulated ({', '.join(about['simulated_classes'])})",
        ),
        ("By class", classes),
        (
            "Protocol",
            f"{about['n_folds']} folds over objects, seed {about['seed']}, photometric host redshifts",
        ),
        ("Computed", f"firstlight {about['version']}, scale {about['scale']!r}, {about['machine']}"),
        ("Time of the parts", f"{seconds / 60:.0f} minutes, shared trainings not counted"),
        (
            "Data",
            "PLAsTiCC team and modelers, CC-BY 4.0, doi:10.5281/zenodo.2539456; "
            "Kessler et al. 2019, doi:10.1088/1538-3873/ab26f1",
        ),
    ]


def _warning(about: Mapping[str, Any]) -> str:
    if about["scale"] == "full":
        return ""
    return (
        "A quick version: few objects, few epochs, few folds. Its numbers show that everything runs, "
        "not what is true."
    )


def _for_page(name: str, section: Section) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    for block in section.blocks:
        if isinstance(block, Picture):
            blocks.append({"kind": "picture", "image": _embedded(block.figure), "caption": block.caption})
        elif isinstance(block, Table):
            blocks.append({"kind": "table", "table": block})
        else:
            blocks.append({"kind": "text", "text": block})
    return {"name": name, "title": section.title, "blocks": blocks}


def _embedded(figure: Figure) -> str:
    """A figure as a data URI, in the form that is smaller; the figure is closed."""
    n_marks = 0
    for axes in figure.axes:
        n_marks += len(axes.patches) + len(axes.texts)
        n_marks += sum(np.size(line.get_xdata()) for line in axes.lines)
        n_marks += sum(len(np.asarray(part.get_offsets())) for part in axes.collections)
    kind, mime = ("png", "image/png") if n_marks > _MANY_SHAPES else ("svg", "image/svg+xml")
    stream = io.BytesIO()
    save_figure(figure, stream, kind)
    plt.close(figure)
    return f"data:{mime};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _save_small(figure: Figure, file: Path) -> None:
    """A PNG of few colours: charts have no more, and the docs are kept in git."""
    from PIL import Image

    stream = io.BytesIO()
    save_figure(figure, stream, "png")
    with Image.open(stream) as picture, replacing(file) as partial:
        size = (round(picture.width * _SMALLER), round(picture.height * _SMALLER))
        smaller = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        few = smaller.quantize(_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(partial, format="png", optimize=True)


def _prose(text: str) -> Any:
    """A paragraph with `names` as code and **words** as strong; everything else escaped."""
    from markupsafe import Markup, escape

    safe = str(escape(text))
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    safe = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", safe)
    return Markup(safe)  # escaped above


def _markdown(block: str | Table | Picture, path: Path, pictures: Path) -> list[str]:
    if isinstance(block, str):
        return [block]
    if isinstance(block, Picture):
        file = pictures / f"{block.name}.png"
        _save_small(block.figure, file)
        plt.close(block.figure)
        link = Path(os.path.relpath(file, path.parent)).as_posix()
        return [f"![{block.caption}]({link})", "", f"*{block.caption}*"]
    head = [
        f"*{block.caption}*",
        "",
        "| " + " | ".join(block.columns) + " |",
        "|---" * len(block.columns) + "|",
    ]
    return head + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in block.rows]
