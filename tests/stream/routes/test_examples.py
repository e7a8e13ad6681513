"""The webhooks of the page on routes, sent to a service on this machine."""

import re
import tomllib
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from firstlight.settings import from_table
from firstlight.stream.config import StreamConfig
from firstlight.stream.results.record import JsonResults
from firstlight.stream.routes.filters import fields_of
from firstlight.stream.routes.routes import open_routes
from firstlight.taxonomy import CLASSES, COARSE_GROUPS, Taxonomy

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "filters-and-routes.md"
RECORD = {
    "object": "ZTF26aaa",
    "bundle": "b1",
    "status": "classified",
    "label": "KN",
    "proba": dict.fromkeys(CLASSES, 0.9),
    "coarse": dict.fromkeys(COARSE_GROUPS, 0.9),
    "change": 0.4,
    "phase": 1.26,
    "ra": 150.1,
    "dec": -2.5,
    "mag": 20.04,
    "band": "g",
}


@pytest.fixture
def routes(receiver, monkeypatch):
    for name in ("SLACK_HOOK", "SKYPORTAL_TOKEN", "TOM_TOKEN"):
        monkeypatch.setenv(name, f"{receiver.url}/{name}" if name == "SLACK_HOOK" else f"{name}-value")
    (toml,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    settings = from_table(StreamConfig, tomllib.loads(toml)).route
    here = [replace(route, sink=re.sub(r"^https://[^/]*", receiver.url, route.sink)) for route in settings]
    with ExitStack() as stack:
        opened = open_routes(here, fields_of(Taxonomy()), JsonResults(), newline=True)
        yield [stack.enter_context(closing(route)) for route in opened]


def test_each_service_gets_a_request_of_its_interface(routes, receiver):
    for route in routes:
        assert route.accepts(RECORD)
        route.sink.write([(b"key", route.encode(RECORD, b""))])
        route.sink.flush()
    found = {path: (headers.get("Authorization"), body) for path, headers, body in receiver.requests}
    text = "ZTF26aaa: KN 90% at 150.10000 -2.50000, 20.0 mag in g, 1.3 d after the trigger"
    assert found == {
        "/SLACK_HOOK": (None, {"text": text}),
        "/api/sources": (
            "token SKYPORTAL_TOKEN-value",
            {"id": "ZTF26aaa", "ra": 150.1, "dec": -2.5, "origin": "firstlight b1", "group_ids": [1]},
        ),
        "/api/targets/": (
            "Token TOM_TOKEN-value",
            {
                "name": "ZTF26aaa",
                "type": "SIDEREAL",
                "ra": 150.1,
                "dec": -2.5,
                "target_extras": [{"key": "firstlight", "value": "KN 0.90"}],
            },
        ),
    }
