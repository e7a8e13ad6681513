"""Draw the dashboard with the data of a Prometheus: ``python docs/dashboard.py --start 2026-11-28T09:00Z``.

Each query of ``deploy/grafana/dashboard.json`` is evaluated over the range of time, and its answer is drawn
at the place of its panel with the dashboard's units and legends. Panels without data and the times at which
alerts fired are printed.
"""

import argparse
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator
from PIL import Image

from firstlight._types import FloatArray
from firstlight.report.style import CLASS_COLOUR, new_figure, save_figure, styled

ROOT = Path(__file__).resolve().parent.parent
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
PICTURE = ROOT / "docs" / "images" / "dashboard.png"
WIDTH, ROW_HEIGHT, COLUMNS = 13.5, 0.27, 24  # inch; inch per unit of a panel's height; Grafana's columns
POINTS = 400  # per line
MOST_NAMES = 9  # in a legend
LEGEND_WIDTH = 66  # characters
LOG_TICKS = (1e-3, 1e-2, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36_000.0)  # seconds
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#332288", "#999933", "#777777")
_STEPS = {  # units of a step of 1000, 1024 or of time, the largest first
    "short": ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")),
    "bytes": ((2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"), (1.0, " B")),
    "s": ((86_400.0, " d"), (3600.0, " h"), (60.0, " min"), (1.0, " s"), (1e-3, " ms"), (1e-6, " µs")),
}


class Line(NamedTuple):
    """One line of a panel."""

    name: str
    when: FloatArray  # seconds since 1970
    value: FloatArray


class Server:
    """The HTTP interface of a Prometheus, over a range of time."""

    def __init__(self, address: str, start: datetime, end: datetime) -> None:
        self._address, self._start, self._end = address.rstrip("/"), start, end
        self._step = max((end - start).total_seconds() / POINTS, 1.0)

    def lines(self, expression: str, legend: str) -> list[Line]:
        """The lines of a query; those without a number are left out."""
        words = {
            "query": expression,
            "start": f"{self._start.timestamp():.3f}",
            "end": f"{self._end.timestamp():.3f}",
            "step": f"{self._step:.3f}",
        }
        address = f"{self._address}/api/v1/query_range?{urllib.parse.urlencode(words)}"
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                found = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{expression}\n{error.read().decode(errors='replace')}") from None
        return [line for row in found if len((line := self._line(row, legend)).when)]

    def _line(self, row: Mapping[str, Any], legend: str) -> Line:
        """A line with a gap where Prometheus has no sample."""
        pairs = np.array(row["values"], np.float64)
        pairs = pairs[np.isfinite(pairs[:, 1])]
        gaps = np.flatnonzero(np.diff(pairs[:, 0]) > 1.5 * self._step) + 1
        when = np.insert(pairs[:, 0], gaps, pairs[gaps, 0])
        return Line(name_of(legend, row["metric"]), when, np.insert(pairs[:, 1], gaps, np.nan))


def name_of(legend: str, labels: Mapping[str, str]) -> str:
    """The name of a line, as Grafana fills its legend.

    >>> name_of("{{topic}} {{partition}}", {"topic": "alerts", "partition": "3"})
    'alerts 3'
    """
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda place: labels.get(place[1], ""), legend)


def quantity(value: float, unit: str) -> str:
    """A number in a unit of Grafana.

    >>> quantity(0.25, "percentunit"), quantity(2.5e6, "short"), quantity(0.05, "s")
    ('25 %', '2.5M', '50 ms')
    """
    if unit == "percentunit":
        return f"{100.0 * value:.3g} %"
    if value == 0.0:
        return "0"
    size, name = next((step for step in _STEPS[unit] if abs(value) >= step[0]), _STEPS[unit][-1])
    return f"{value / size:.3g}{name}"


def read_panels(dashboard: Path) -> list[dict[str, Any]]:
    """The panels of a dashboard, from top to bottom."""
    panels: list[dict[str, Any]] = json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
    return sorted(panels, key=lambda panel: (panel["gridPos"]["y"], panel["gridPos"]["x"]))


def lines_of(panel: Mapping[str, Any], server: Server) -> list[Line]:
    """All lines of a panel, those of a query by their name."""
    return [
        line
        for target in panel["targets"]
        for line in sorted(server.lines(target["expr"], target["legendFormat"]), key=lambda line: line.name)
    ]


@styled
def draw(panels: Sequence[tuple[Mapping[str, Any], Sequence[Line]]]) -> Figure:
    """All panels with their lines in one figure."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel, _ in panels)
    figure = new_figure(ROW_HEIGHT * rows, WIDTH)
    grid = figure.add_gridspec(rows, COLUMNS)
    every = np.concatenate([line.when for _, lines in panels for line in lines])
    for panel, lines in panels:
        x, y, w, h = (panel["gridPos"][name] for name in "xywh")
        axes = figure.add_subplot(grid[y : y + h, x : x + w])
        axes.set_title(panel["title"], loc="left")
        axes.set_xlim(*(_date(seconds) for seconds in (every.min(), every.max())))
        locator = AutoDateLocator(maxticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
        (_draw_states if panel["type"] == "state-timeline" else _draw_lines)(axes, panel, lines)
    return figure


def _draw_lines(axes: Axes, panel: Mapping[str, Any], lines: Sequence[Line]) -> None:
    """Lines over time, the largest ones with their names."""
    defaults = panel["fieldConfig"]["defaults"]
    highest = [float(np.nanmax(line.value)) for line in lines]
    named = set(np.argsort(highest)[::-1][:MOST_NAMES].tolist())
    for number, line in enumerate(lines):
        axes.plot(
            [_date(seconds) for seconds in line.when],
            line.value,
            color=CLASS_COLOUR.get(line.name, COLOURS[number % len(COLOURS)]),
            linewidth=1.1,
            label=line.name if number in named else None,
        )
    columns = max(1, min(3, LEGEND_WIDTH // (6 + max((len(line.name) for line in lines), default=0))))
    _scale(axes, defaults, highest, rows=-(-min(len(lines), MOST_NAMES) // columns))
    if any(line.name for line in lines):
        more = len(lines) - len(named)
        title = f"and {more} more" if more else None
        axes.legend(loc="upper left", ncols=columns, fontsize=6.5, title=title, title_fontsize=6.5)


def _scale(axes: Axes, defaults: Mapping[str, Any], highest: Sequence[float], rows: int) -> None:
    """Scale of the values, with room for so many rows of names above them."""
    unit, top = defaults["unit"], max(highest, default=0.0) or 1.0
    if defaults.get("custom", {}).get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.set_yticks([tick for tick in LOG_TICKS if low < tick < high])
        axes.set_ylim(low, high * 10.0**rows)
        axes.minorticks_off()
    else:
        axes.set_ylim(0.0, (1.1 + 0.12 * rows) * top)
        if unit == "bytes":
            axes.yaxis.set_major_locator(MultipleLocator(2.0 ** np.ceil(np.log2(top / 3.0))))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: quantity(value, unit)))
    axes.grid(axis="y")


def _draw_states(axes: Axes, panel: Mapping[str, Any], lines: Sequence[Line]) -> None:
    """A bar for each line, where it has a value."""
    for place, line in enumerate(lines):
        for start, end in _spans(line):
            axes.barh(place, _date(end) - _date(start), left=_date(start), height=0.6, color="#D55E00")  # type: ignore[arg-type]
    axes.set_yticks(range(len(lines)), [line.name for line in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)


def _spans(line: Line) -> Iterator[tuple[float, float]]:
    """Start and end of the parts of a line without gaps [s]."""
    for part in np.split(np.arange(len(line.when)), np.flatnonzero(np.isnan(line.value))):
        known = part[~np.isnan(line.value[part])]
        if len(known):
            yield float(line.when[known[0]]), float(line.when[known[-1]])


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def main() -> None:
    """Query Prometheus, draw, and print panels without data and alerts that fired."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--prometheus", default="http://127.0.0.1:9090", help="address")
    words.add_argument("--start", type=datetime.fromisoformat, help="UTC; default: an hour before the end")
    words.add_argument("--end", type=datetime.fromisoformat, help="UTC; default: now")
    words.add_argument("--dashboard", type=Path, default=DASHBOARD)
    words.add_argument("--out", type=Path, default=PICTURE)
    args = words.parse_args()
    end = (args.end or datetime.now(UTC)).replace(tzinfo=UTC)
    start = (args.start or end - timedelta(hours=1)).replace(tzinfo=UTC)
    server = Server(args.prometheus, start, end)
    panels = [(panel, lines_of(panel, server)) for panel in read_panels(args.dashboard)]
    save_figure(draw(panels), args.out)
    Image.open(args.out).convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(args.out, optimize=True)
    report = [
        f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB, {start:%Y-%m-%d %H:%M} to {end:%H:%M} UTC"
    ]
    report += [f"no data: {panel['title']}" for panel, lines in panels if not lines]
    for state in ("pending", "firing"):
        for line in server.lines(f'ALERTS{{alertstate="{state}"}}', "{{alertname}}"):
            spans = ", ".join(f"{_date(a):%H:%M:%S} to {_date(b):%H:%M:%S}" for a, b in _spans(line))
            report.append(f"{line.name} {state}: {spans}")
    sys.stdout.write("\n".join((*report, "")))


if __name__ == "__main__":
    main()
