"""Routes in the worker: files, webhooks and topics get passing records once, also over a crash."""

import json
from contextlib import ExitStack, closing

import pytest

from firstlight.errors import SettingsError
from firstlight.stream import JsonLinesCodec
from firstlight.stream.io.message import Message
from firstlight.stream.io.sinks import FileSink, MemorySink
from firstlight.stream.io.sources import MemorySource
from firstlight.stream.results.record import JsonResults
from firstlight.stream.routes.filters import FilterError, fields_of
from firstlight.stream.routes.routes import RouteConfig, check_routes, open_routes, secrets_of
from firstlight.stream.state.folder import StateFolder
from firstlight.stream.worker.worker import Worker, WorkerConfig
from firstlight.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def messages(alert_stream):
    codec = JsonLinesCodec()
    return [Message(codec.encode(alert), None, "file", 0, k) for k, alert in enumerate(alert_stream)]


def run(pipeline, messages, folder, settings, *, crash_after=None, letters=None):
    """A worker with a state folder and files; the records of its results."""
    with ExitStack() as stack:
        sink = stack.enter_context(closing(FileSink(folder / "all.jsonl")))
        form = JsonResults()
        opened = open_routes(settings, fields_of(Taxonomy()), form, newline=True)
        routes = [stack.enter_context(closing(route)) for route in opened]
        size = pipeline.states([]).data.dtype.itemsize
        stores = StateFolder(folder / "state", bundle=pipeline.bundle_version, state_size=size)
        config = WorkerConfig(linger_ms=0.0, batch=25, max_alerts=crash_after, patience_s=10.0)
        source = MemorySource(messages)
        worker = Worker(
            pipeline, source, sink, stores, form=form, config=config, routes=routes, dead_letters=letters
        )
        worker.run()
    lines = (folder / "all.jsonl").read_text().splitlines()
    return worker, [json.loads(line) for line in lines]


def test_files_and_webhooks_get_passing_records(fast_pipeline, messages, receiver, tmp_path):
    settings = [
        RouteConfig(name="bright", filter="mag < 22", sink=str(tmp_path / "bright.jsonl")),
        RouteConfig(name="many", filter="n_obs >= 20 or late", sink=f"{receiver.url}/many"),
        RouteConfig(name="none", filter="n_obs < 0", sink=str(tmp_path / "none.jsonl")),
    ]
    worker, records = run(fast_pipeline, messages, tmp_path, settings)
    assert len(records) == len(messages)
    bright = [record for record in records if record["mag"] is not None and record["mag"] < 22]
    many = [record for record in records if record["n_obs"] >= 20 or record["late"]]
    assert 0 < len(bright) < len(records)
    assert 0 < len(many) < len(records)
    lines = (tmp_path / "bright.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == bright
    assert sorted(receiver.bodies, key=records.index) == many
    assert (tmp_path / "none.jsonl").read_text() == ""
    assert worker.metrics.by_label("routed") == {"bright": len(bright), "many": len(many)}


def test_equal_bodies_of_two_alerts_are_two_requests_and_those_of_one_alert_are_one(
    fast_pipeline, messages, receiver, tmp_path
):
    settings = [RouteConfig(name="web", filter="n_obs >= 1", sink=receiver.url, body={"text": "{object}"})]
    for folder in ("once", "again"):
        (tmp_path / folder).mkdir()
        _, records = run(fast_pipeline, messages[:60], tmp_path / folder, settings)
    keys = [headers["Idempotency-Key"] for _, headers, _ in receiver.requests]
    assert len({record["object"] for record in records}) < len(records) == len(set(keys))
    assert sorted(keys[: len(records)]) == sorted(keys[len(records) :])


def test_the_file_of_a_route_is_cut_to_the_committed_records(fast_pipeline, messages, tmp_path):
    settings = [RouteConfig(name="r", filter="n_obs > 5", sink=str(tmp_path / "r.jsonl"))]
    run(fast_pipeline, messages, tmp_path, settings, crash_after=50)
    with open(tmp_path / "r.jsonl", "a") as file:
        file.write('{"half": "a rec')  # left by a crash
    _, records = run(fast_pipeline, messages, tmp_path, settings)
    wanted = [record for record in records if record["n_obs"] > 5]
    lines = (tmp_path / "r.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == wanted


def test_a_refused_record_is_counted_and_has_a_dead_letter(fast_pipeline, messages, receiver, tmp_path):
    receiver.answers = [200, 410]
    letters = MemorySink("letters")
    settings = [RouteConfig(name="web", filter="n_obs >= 20", sink=receiver.url)]
    worker, records = run(fast_pipeline, messages, tmp_path, settings, letters=letters)
    n = sum(record["n_obs"] >= 20 for record in records)
    assert (worker.metrics.total("routed"), worker.metrics.total("undelivered")) == (n - 1, 1)
    (letter,) = [json.loads(value) for _, value in letters.records]
    assert (letter["kind"], letter["reason"]) == ("route", "route web: 127.0.0.1 answers 410")
    assert len(records) == len(messages)


def test_a_body_is_filled_with_values(receiver):
    body = {
        "text": "{object} may be {label}: KN {KN:.2f}, {mag:.1f} mag",
        "ra": "{ra}",
        "groups": [7, "{band}"],
        "inner": {"n": "{n_obs}", "flag": True},
    }
    route = RouteConfig(name="r", filter="late", sink=receiver.url, body=body)
    record = {"object": "x", "label": "KN", "status": "classified", "proba": {"KN": 0.876}}
    record |= {"mag": None, "ra": 1.5, "band": "g", "n_obs": 4}
    with closing(open_routes([route], fields_of(Taxonomy()), JsonResults(), newline=True)[0]) as opened:
        assert json.loads(opened.encode(record, b"")) == {
            "text": "x may be KN: KN 0.88, unknown mag",
            "ra": 1.5,
            "groups": [7, "g"],
            "inner": {"n": 4, "flag": True},
        }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a b"}, "give it a name"),
        ({"filter": ""}, "filter is missing"),
        ({"sink": " "}, "sink is missing"),
        ({"body": {"text": "x"}}, "for webhooks"),
        ({"timeout_s": 0.0}, "timeout_s"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        RouteConfig(**{"name": "r", "filter": "late", "sink": "r.jsonl"} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"body": {"text": "{objct}"}}, "objct} is no value"),
        ({"body": {"text": "{object:.2f}"}}, "object:.2f"),
        ({"filter": "lat"}, "route r: lat is no value"),
        ({"sink": "${NOT_SET_AT_ALL}"}, "NOT_SET_AT_ALL, which is not set"),
    ],
)
def test_a_fault_in_a_route_opens_nothing(changes, message, tmp_path):
    settings = {"name": "r", "filter": "late", "sink": "https://127.0.0.1/x"} | changes
    first = RouteConfig(name="first", filter="late", sink=str(tmp_path / "first.jsonl"))
    with pytest.raises(SettingsError, match=message):
        open_routes([first, RouteConfig(**settings)], fields_of(Taxonomy()), JsonResults(), newline=True)
    with closing(FileSink(tmp_path / "first.jsonl")):  # free again
        pass


def test_two_routes_to_one_place_are_refused():
    twice = [RouteConfig(name=name, filter="late", sink="x.jsonl") for name in "ab"]
    with pytest.raises(SettingsError, match=r"two routes have the sink x\.jsonl"):
        open_routes(twice, fields_of(Taxonomy()), JsonResults(), newline=True)


def test_the_mark_stands_under_the_fault_of_a_filter_over_several_lines():
    route = RouteConfig(name="r", filter="  late and\n    KM > 1", sink="x")
    with pytest.raises(FilterError) as caught:
        check_routes([route], fields_of(Taxonomy()))
    assert caught.value.excerpt == ("late and KM > 1", "         ^^")


def test_addresses_of_webhooks_are_not_shown(monkeypatch):
    monkeypatch.setenv("HOOK", "https://chat.example.org/services/T0/B0/xyz")
    routes = [
        RouteConfig(name="a", filter="late", sink="${HOOK}", headers={"Authorization": "token ${HOOK}"}),
        RouteConfig(name="b", filter="late", sink="https://chat.example.org/services/xyz"),
        RouteConfig(name="c", filter="late", sink="c.jsonl"),
    ]
    shown = check_routes(routes, fields_of(Taxonomy()))
    assert not any("xyz" in line for line in shown)
    assert shown[2] == "c: late -> c.jsonl"
    assert len(secrets_of(routes)) == 3


def test_a_check_refuses_a_variable_that_is_not_set(monkeypatch):
    monkeypatch.delenv("HOOK", raising=False)
    with pytest.raises(SettingsError, match="HOOK, which is not set"):
        check_routes([RouteConfig(name="a", filter="late", sink="${HOOK}")], fields_of(Taxonomy()))
