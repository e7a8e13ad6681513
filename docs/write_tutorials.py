"""Run the tutorials, and write each as page and notebook: ``python docs/write_tutorials.py [NAME ...]``.

A tutorial is a Python file in ``docs/tutorials`` whose cells begin with ``# %%`` (``# %% [markdown]`` for
text); lines ``# !command`` of a cell are commands of a shell. Its cells run in this process, in a folder with
the files of `prepare`, as they would in a notebook that lies beside the unpacked ``sample.zip``. Pages,
notebooks and pictures are not committed: the build of the site writes them.
"""

import ast
import base64
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("COLUMNS", "84")  # of tables in the terminal; read when the command line is imported

from matplotlib.figure import Figure

from firstlight.cli import run
from firstlight.report.style import save_figure

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "tutorials"
DATA = ROOT / "tests" / "data"
#: Files of the sample that other parts of the repository own.
BORROWED = {
    "curves.csv.gz": DATA / "plasticc_sample_lightcurves.csv.gz",
    "metadata.csv.gz": DATA / "plasticc_sample_metadata.csv.gz",
    "crossval-default.json": ROOT / "docs" / "results" / "crossval-default.json",
}
#: Progress, and notes of a first compilation.
_UNSTEADY = re.compile(r"━ *(\d+:\d\d:\d\d|-:--:--)|^[^,]{1,60}: \d+ s$|compil(ing|e) kernels")
#: Looks that pandas gives its tables; those of the page are better.
_LOOK = re.compile(
    r'<style scoped>.*?</style>| border="1" class="dataframe"| style="text-align: right;"', re.DOTALL
)
_COMMAND = "# !"
_WIDTH = 84  # of printed lines: as many as a page shows without scrolling


class Cell(NamedTuple):
    """A cell: its first line in the file, whether it is text, and its content."""

    line: int
    is_text: bool
    source: str

    @property
    def commands(self) -> list[str]:
        """The commands of a cell of commands; empty for others."""
        lines = self.source.replace("\\\n# ", "").splitlines()
        return [line.removeprefix(_COMMAND) for line in lines] if self.source.startswith(_COMMAND) else []


class Output(NamedTuple):
    """Output of a cell, and the value of its last expression as HTML, a picture or text."""

    printed: str = ""
    html: str = ""
    png: bytes = b""
    text: str = ""
    alt: str = ""


def tutorials() -> list[Path]:
    """All tutorials."""
    return sorted(FOLDER.glob("*.py"))


def cells_of(path: Path) -> list[Cell]:
    """The cells of a tutorial."""
    cells, lines = [], path.read_text(encoding="utf-8").splitlines()
    starts = [k for k, line in enumerate(lines) if line.startswith("# %%")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        body = lines[start + 1 : end]
        is_text = lines[start] == "# %% [markdown]"
        if is_text:
            body = [line.removeprefix("#").removeprefix(" ") for line in body]
        cells.append(Cell(start + 2, is_text, "\n".join(body).strip("\n")))
    return cells


def prepare(folder: Path) -> None:
    """Write the folder ``sample`` that every tutorial finds."""
    shutil.copytree(FOLDER / "sample", folder / "sample")
    for name, source in BORROWED.items():
        shutil.copy(source, folder / "sample" / name)


# --- run ------------------------------------------------------------------------------


def outputs_of(path: Path, cells: list[Cell], folder: Path) -> Iterator[Output]:
    """Run the cells of a tutorial in a prepared folder; a cell that fails is a RuntimeError."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        if cell.is_text:
            yield Output()
            continue
        place = f"{path.relative_to(ROOT)}:{cell.line}"
        out = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            value = None
            if cell.commands:
                _run_commands(cell, place)
            else:
                value = _run_python(cell, names, place)
        yield _shown(value, _steady(out.getvalue()))


def _run_commands(cell: Cell, place: str) -> None:
    for command in cell.commands:
        program, *words = shlex.split(command)
        if program == "firstlight":  # in this process, where the kernels are compiled
            failed = run(words) != 0
        else:
            done = subprocess.run([program, *words], check=False, capture_output=True, text=True)
            sys.stdout.write(done.stdout)
            failed = done.returncode != 0
        if failed:
            raise RuntimeError(f"{place}: the command failed: {command}")


def _run_python(cell: Cell, names: dict[str, Any], place: str) -> Any:
    """Run a cell; the value is that of its last line if that is an expression."""
    tree = ast.parse(cell.source, place)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    try:
        exec(compile(tree, place, "exec"), names)  # noqa: S102  (our own pages)
        if not isinstance(last, ast.Expr):
            return None
        return eval(compile(ast.Expression(last.value), place, "eval"), names)  # noqa: S307
    except Exception as error:
        raise RuntimeError(f"{place}: {type(error).__name__}: {error}") from error


def _shown(value: Any, printed: str) -> Output:
    if value is None:
        return Output(printed)
    if isinstance(value, Figure):
        file = io.BytesIO()
        save_figure(value, file, "png")
        titles = [axes.get_title(loc="left") for axes in value.axes] if value.axes else []
        return Output(
            printed, png=file.getvalue(), text=repr(value), alt=next(filter(None, titles), "figure")
        )
    html = value._repr_html_() if hasattr(value, "_repr_html_") else ""
    return Output(printed, html=_LOOK.sub("", html or ""), text=repr(value))


def _steady(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not _UNSTEADY.search(line)]
    folded = [
        textwrap.wrap(line, _WIDTH, subsequent_indent="    ") if len(line) > _WIDTH else [line]
        for line in lines
    ]
    return "\n".join(line for part in folded for line in part).strip("\n")


# --- write ----------------------------------------------------------------------------


def write(path: Path, out: Path) -> None:
    """Run one tutorial, and write page, pictures and notebook."""
    cells = cells_of(path)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        outputs = list(outputs_of(path, cells, Path(folder)))
    name = path.stem
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(_page(name, cells, outputs, out), encoding="utf-8")
    (out / f"{name}.ipynb").write_text(json.dumps(_notebook(cells, outputs), indent=1), encoding="utf-8")


def _page(name: str, cells: list[Cell], outputs: list[Output], out: Path) -> str:
    download = (
        f"[Download this page as a notebook]({name}.ipynb), and [its files](sample.zip) to unpack beside it."
    )
    title, summary, *rest = cells[0].source.split("\n\n")
    parts = [title, summary, download, *rest]
    for k, (cell, output) in enumerate(zip(cells[1:], outputs[1:], strict=True), start=1):
        if cell.is_text:
            parts.append(cell.source)
            continue
        if cell.commands:
            shown = cell.source.replace("\n# ", "\n    ").replace("\n    !", "\n# !").replace(_COMMAND, "$ ")
            parts.append(f"```console\n{shown}\n```")
        else:
            parts.append(f"```python\n{cell.source}\n```")
        if output.printed:
            parts.append(f"```text\n{output.printed}\n```")
        if output.png:
            picture = f"pictures/{name}-{k}.png"
            (out / picture).write_bytes(output.png)
            parts.append(f"![{output.alt}]({picture})")
        elif output.html:
            rows = "\n".join(line for line in output.html.splitlines() if line.strip())
            parts.append(f'<div class="output">\n{rows}\n</div>')
        elif output.text:
            parts.append(f"```text\n{output.text}\n```")
    return "\n\n".join(parts) + "\n"


def _notebook(cells: list[Cell], outputs: list[Output]) -> dict[str, Any]:
    """The tutorial in Jupyter's format 4.5."""
    made: list[dict[str, Any]] = []
    for k, (cell, output) in enumerate(zip(cells, outputs, strict=True)):
        source = "\n".join(f"!{command}" for command in cell.commands) or cell.source
        if cell.is_text:
            made.append({"cell_type": "markdown", "id": f"cell-{k}", "metadata": {}, "source": source})
            continue
        shown: list[dict[str, Any]] = []
        if output.printed:
            shown.append({"output_type": "stream", "name": "stdout", "text": output.printed + "\n"})
        data = {"text/plain": output.text}
        if output.png:
            data["image/png"] = base64.b64encode(output.png).decode("ascii")
        elif output.html:
            data["text/html"] = output.html
        if output.text:
            shown.append({"output_type": "display_data", "data": data, "metadata": {}})
        made.append(
            {
                "cell_type": "code", "id": f"cell-{k}", "metadata": {}, "source": source,
                "execution_count": None, "outputs": shown,
            }
        )  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def write_sample(out: Path) -> None:
    """Write ``sample.zip``."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        with zipfile.ZipFile(out / "sample.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(Path(folder).rglob("*")):
                archive.write(path, path.relative_to(folder))


def main() -> None:
    """Write the named tutorials, by default all."""
    names = sys.argv[1:] or [path.stem for path in tutorials()]
    write_sample(FOLDER)
    for name in names:
        write(FOLDER / f"{name}.py", FOLDER)
        sys.stdout.write(f"{FOLDER / name}.md\n")


if __name__ == "__main__":
    main()
