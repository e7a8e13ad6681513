"""The page: texts by hand, filled with numbers, tables and figures, as Markdown and as one HTML file."""

import base64
import io
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from firstlight.files import replacing
from firstlight.report.style import save_figure
from firstlight_paper.experiment import Part
from firstlight_paper.page.claims import Claims, Unknown
from firstlight_paper.page.tables import number
from firstlight_paper.results import Results
from firstlight_paper.view import MissingError, View

MARKDOWN, HTML = "reproduction.md", "reproduction.html"
_SMALLER, _COLOURS = 0.75, 256  # of a picture: its scale, and its palette
_NOTHING = "*Not computed in this run.*"
_WARNING = (
    "**A quick version: few objects, few epochs, few folds. Its numbers show that everything runs, and "
    "nothing more; the text describes the full run.**"
)


@dataclass
class Pictures:
    """Where a page's pictures are written; None draws none."""

    folder: Path | None = None
    page: Path = field(default_factory=Path)

    def add(self, name: str, figure: Callable[[], Figure], alt: str) -> str:
        """Draw and save a figure; the Markdown that shows it."""
        if self.folder is None:
            return ""
        try:
            drawn = figure()
        except MissingError:
            return _NOTHING
        _save_small(drawn, self.folder / f"{name}.png")
        plt.close(drawn)
        return self.link(f"{name}.png", alt)

    def link(self, name: str, alt: str) -> str:
        """The Markdown that shows a picture of the folder."""
        if self.folder is None:
            return ""
        return f"![{alt}]({Path(os.path.relpath(self.folder / name, self.page.parent)).as_posix()})"


def view_of(results: Results, part: Part) -> View:
    """A part's numbers, with its facts; facts are unknown where numbers are missing."""
    view = View(results, part.name, part.column)
    try:
        view.facts = part.facts(view) if part.facts else {}
    except (MissingError, ValueError, KeyError, StopIteration):  # a part of the part is missing
        view.facts = Unknown()
    return view


def section(
    results: Results, part: Part, pictures: Pictures, text: str | None = None, claims: Claims | None = None
) -> str:
    """A part's text with its numbers, tables and figures filled in; verdicts go into `claims`."""
    view = view_of(results, part)
    claims = claims or Claims(view)
    tools = _Tools(view, part, pictures)
    given = {name: getattr(tools, name) for name in _TOOLS}
    given |= {name: getattr(claims, name) for name in _COMPARISONS}
    template = _environment().get_template(f"{text or part.name}.md")
    return template.render(f=view.facts, about=view.about, amount=view.amount, **given)


def contradictions(results: Results, parts: tuple[Part, ...]) -> list[str]:
    """Claims of the page that the results contradict."""
    found = []
    for part in parts:
        if part.shown and part.name in results.about["parts"]:
            claims = Claims(view_of(results, part))
            section(results, part, Pictures(), claims=claims)
            found += [f"{part.name}: {claim}" for claim, holds in claims.verdicts.items() if holds is False]
    return found


def in_short(results: Results, parts: tuple[Part, ...]) -> str:
    """The gain by the leak: a paragraph and the main scores in all columns."""
    part = next(part for part in parts if part.name == "per-class")
    text = section(results, part, Pictures(), "in-short").strip()
    return f"{text}\n\n{part.tables['short'](view_of(results, part))}"


def write_pages(results: Results, parts: tuple[Part, ...], folder: Path, *, html: bool = True) -> None:
    """Write ``reproduction.md``, its pictures and the self-contained ``reproduction.html`` into a folder."""
    pictures = Pictures(folder / "reproduction", folder / MARKDOWN)
    pictures.folder.mkdir(parents=True, exist_ok=True)  # type: ignore[union-attr]
    about = results.about
    shown = [part for part in parts if part.shown]
    done = [part for part in shown if part.name in about["parts"]]
    blocks = [_front(results)]
    if about["scale"] != "full":
        blocks.append(_WARNING)
    missing = [part.name for part in shown if part not in done]
    if missing:
        blocks.append(f"**Not computed here: {', '.join(missing)}.**")
    by_name = {part.name: part for part in done}
    if "per-class" in by_name:
        blocks += ["## In short", in_short(results, parts)]
    blocks += [section(results, part, pictures).strip() for part in done]
    text = "\n\n".join(block.strip() for block in blocks) + "\n"
    with replacing(folder / MARKDOWN) as partial:
        partial.write_text(text, encoding="utf-8")
    if html:
        with replacing(folder / HTML) as partial:
            partial.write_text(_html(text, folder, about), encoding="utf-8")


_TOOLS = ("pm", "num", "std", "first", "total", "errors", "change", "table", "figure", "picture")
_COMPARISONS = ("holds", "beyond", "within", "every", "falls", "lost", "near")


@dataclass
class _Tools:
    """Functions that a text may call."""

    view: View
    part: Part
    pictures: Pictures

    def pm(self, variant: str, metric: str, subset: int = 16, column: str | None = None,
           digits: int | None = None, sign: str = "", scale: float = 1.0,
           part: str | None = None) -> str:  # fmt: skip
        """Mean and spread."""
        digits = (2 if column == "printed" else 3) if digits is None else digits
        return self.view.spread(variant, metric, subset, column, part).text(digits, sign, scale)

    def num(
        self, variant: str, metric: str, subset: int = 16, column: str | None = None, part: str | None = None
    ) -> Any:
        """Mean, as a number."""
        try:
            return self.view.mean(variant, metric, subset, column=column, part=part)
        except MissingError:
            return Unknown()

    def std(self, variant: str, metric: str, subset: int = 16, column: str | None = None) -> float:
        """Standard deviation over folds."""
        return self.view.spread(variant, metric, subset, column).std

    def first(self, variant: str, metric: str, subset: int = 16, part: str | None = None) -> Any:
        """Value of the first fold."""
        found = self.view.spread(variant, metric, subset, part=part).folds
        return found[0] if found else Unknown()

    def total(self, variant: str, metric: str, subset: int) -> str:
        """Sum over folds."""
        return f"{sum(self.view.spread(variant, metric, subset).folds):,.0f}"

    def errors(self, phase: str) -> str:
        """Errors of our pipeline per 100 real objects."""
        found = self.view.spread(phase, "accuracy", 13, part="ours")
        return found._replace(mean=1.0 - found.mean).text(1, scale=100.0)

    def change(self, variant: str, against: str, metric: str, subset: int = 16, column: str | None = None,
               digits: int = 3, sign: str = "+") -> str:  # fmt: skip
        """Difference from another variant, fold by fold."""
        return self.view.spread(variant, metric, subset, column, against=against).text(digits, sign)

    def table(self, name: str) -> str:
        """One of the part's tables."""
        try:
            return self.part.tables[name](self.view) if not isinstance(self.view.facts, Unknown) else _NOTHING
        except MissingError:
            return _NOTHING

    def figure(self, name: str) -> str:
        """One of the part's figures."""
        draw = self.part.figures[name]
        words = (getattr(draw, "func", draw).__doc__ or name).splitlines()[0]
        if isinstance(self.view.facts, Unknown):
            return _NOTHING
        return self.pictures.add(name, lambda: draw(self.view), words)

    def picture(self, name: str, alt: str) -> str:
        """A picture that comes with the package."""
        if self.pictures.folder is not None:
            self.pictures.folder.mkdir(parents=True, exist_ok=True)
            with resources.as_file(resources.files("firstlight_paper") / "figures" / name) as source:
                shutil.copyfile(source, self.pictures.folder / name)
        return self.pictures.link(name, alt)


def _environment() -> jinja2.Environment:
    source = resources.files("firstlight_paper") / "text"
    loader = jinja2.FunctionLoader(lambda name: (source / name).read_text(encoding="utf-8"))
    environment = jinja2.Environment(
        loader=loader, undefined=Unknown, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )  # the output is Markdown of our own texts and numbers

    def known(form: Callable[..., str]) -> Callable[..., str]:
        return lambda value, *args: "-" if isinstance(value, Unknown) or value is None else form(value, *args)

    environment.filters |= {
        "digits": known(lambda value, digits=3: number(value, digits)),
        "signed": known(lambda value, digits=3: f"{value:+.{digits}f}"),
        "percent": known(lambda value, digits=0: f"{100.0 * value:.{digits}f} %"),
        "count": known(lambda value: f"{value:,.0f}"),
        "least": lambda values: min(values, default=Unknown()),
        "largest": lambda values: max(values, default=Unknown()),
        "fmt": lambda form, value: "-" if isinstance(value, Unknown) else form % value,
    }
    return environment


def _front(results: Results) -> str:
    about = results.about
    classes = ", ".join(f"{name} {n:,}" for name, n in about["objects_per_class"].items())
    seconds = sum(part["seconds"] for part in about["parts"].values())
    page = _environment().get_template("page.md")
    return page.render(about=about, by_class=classes, minutes=f"{seconds / 60:.0f}")


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


def _html(text: str, folder: Path, about: Mapping[str, Any]) -> str:
    """The Markdown as one HTML file with its pictures inside."""
    from markdown_it import MarkdownIt  # rich requires it

    text = text.replace(" ± ", "\u00a0±\u00a0").replace(" %", "\u00a0%")  # no line ends here
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    headings: list[tuple[str, str]] = []

    def with_id(match: re.Match[str]) -> str:
        slug = re.sub(r"[^a-z0-9]+", "-", match[1].lower()).strip("-")
        headings.append((slug, match[1]))
        return f'<h2 id="{slug}">{match[1]}</h2>'

    def embedded(match: re.Match[str]) -> str:
        file = folder / match[1]
        kind = "svg+xml" if file.suffix == ".svg" else "png"
        return f'src="data:image/{kind};base64,{base64.b64encode(file.read_bytes()).decode("ascii")}"'

    body = re.sub(r"<h2>(.*?)</h2>", with_id, body)
    body = re.sub(r"<p>(<em>(?:(?!</em>).)*</em></p>)", r'<p class="caption">\1', body, flags=re.DOTALL)
    body = re.sub(r'src="(reproduction/[^"]+)"', embedded, body)
    body = body.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    source = resources.files("firstlight_paper.page").joinpath("page.html.j2").read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(source)
    from markupsafe import Markup

    return template.render(body=Markup(body), headings=headings, about=about)
