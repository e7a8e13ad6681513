"""The dashboard is drawn from its own queries, with the answers of Prometheus."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
START, END = datetime(2026, 11, 28, 9, tzinfo=UTC), datetime(2026, 11, 28, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboard", ROOT / "docs" / "dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["dashboard"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def prometheus() -> Iterator[tuple[str, list[str]]]:
    """A server that answers each query with three series, one with a gap; its address, and the queries."""
    queries: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            words = parse_qs(urlparse(self.path).query)
            queries.append(words["query"][0])
            code, answer = 200, self._answer(words)
            if "nonsense" in queries[-1]:
                code, answer = 400, {"status": "error", "error": "parse error"}
            body = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _answer(self, words: dict[str, list[str]]) -> dict[str, Any]:
            start, end, step = (float(words[name][0]) for name in ("start", "end", "step"))
            times = np.arange(start, end, step)
            values = [[time, "NaN" if k < 3 else str(k)] for k, time in enumerate(times)]
            parts = {"whole": values, "gap": values[:50] + values[90:], "nothing": values[:3]}
            rows = [
                {"metric": {"stage": name, "alertname": name, "label": name}, "values": part}
                for name, part in parts.items()
            ]
            return {"status": "success", "data": {"resultType": "matrix", "result": rows}}

        def log_message(self, format: str, *args: Any) -> None:
            """Keep requests out of the log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", queries
    server.shutdown()
    server.server_close()


def test_every_panel_is_drawn_from_its_queries(script, prometheus, tmp_path):
    address, queries = prometheus
    server = script.Server(address, START, END)
    panels = [(panel, script.lines_of(panel, server)) for panel in script.read_panels(script.DASHBOARD)]
    targets = [target["expr"] for panel, _ in panels for target in panel["targets"]]
    assert queries == targets
    figure = script.draw(panels)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [panel["title"] for panel, _ in panels]
    assert all(axes.has_data() for axes in figure.axes)
    stages = next(lines for panel, lines in panels if "stage" in panel["title"])
    assert [line.name for line in stages] == ["gap", "whole"]  # that without a number is left out
    gap, whole = stages
    assert np.flatnonzero(np.isnan(gap.value)).tolist() == [47]
    assert not np.isnan(whole.value).any()
    assert len(list(script._spans(gap))) == 2


def test_a_query_that_prometheus_refuses_ends_with_its_words(script, prometheus):
    address, _ = prometheus
    with pytest.raises(SystemExit, match="parse error"):
        script.Server(address, START, END).lines("nonsense(", "")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.25, "percentunit", "25 %"),
        (2.5e6, "short", "2.5M"),
        (0.05, "s", "50 ms"),
        (90.0, "s", "1.5 min"),
        (3 * 2.0**20, "bytes", "3 MiB"),
        (0.0, "bytes", "0"),
        (0.4, "short", "0.4"),
    ],
)
def test_numbers_have_the_units_of_the_dashboard(script, value, unit, text):
    assert script.quantity(value, unit) == text


def test_a_legend_is_filled_with_labels(script):
    labels = {"topic": "alerts", "partition": "3"}
    assert script.name_of("{{topic}} {{ partition }}{{other}}", labels) == "alerts 3"
