"""Several bundles side by side, and their change while the worker runs."""

import json
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import orjson
import pytest

from firstlight.errors import BundleError, SettingsError
from firstlight.pipeline import Pipeline
from firstlight.stream import JsonLinesCodec
from firstlight.stream.embed import classify_packets
from firstlight.stream.io.message import Message
from firstlight.stream.io.sinks import FileSink
from firstlight.stream.io.sources import MemorySource
from firstlight.stream.results.read import by_bundle, iter_results
from firstlight.stream.results.record import JsonResults
from firstlight.stream.routes.filters import FilterError, fields_of
from firstlight.stream.routes.routes import RouteConfig, open_routes, with_fields
from firstlight.stream.state.folder import StateFolder
from firstlight.stream.worker.bundles import Answering
from firstlight.stream.worker.worker import Worker, WorkerConfig
from firstlight.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def messages(alert_stream):
    """The stream with some alerts late and some repeated."""
    rng = np.random.default_rng(4)
    alerts = list(alert_stream)
    for i in sorted(rng.choice(len(alerts) - 60, 12, replace=False).tolist(), reverse=True):
        alerts.insert(i + int(rng.integers(2, 50)), alerts.pop(i))
    for i in rng.choice(len(alerts) - 60, 12, replace=False).tolist():
        alerts.insert(i + int(rng.integers(1, 50)), alerts[i])
    codec = JsonLinesCodec()
    return [Message(codec.encode(alert), None, "file", 0, k) for k, alert in enumerate(alerts)]


@pytest.fixture(scope="module")
def slow_pipeline(tiny_default, tmp_path_factory) -> Pipeline:
    """A bundle whose updates read the history, as it is loaded."""
    folder = tmp_path_factory.mktemp("bundles") / "slow"
    tiny_default.save(folder)
    return Pipeline.load(folder)


@pytest.fixture(scope="module")
def pipelines(fast_pipeline, slow_pipeline) -> dict[str, Pipeline]:
    return {"fast": fast_pipeline, "slow": slow_pipeline}


def run(pipelines, messages, folder, *, upto=None, settings=(), reload=None, on_batch=None, **options):
    """A worker with a state folder, a file and routes."""
    with ExitStack() as stack:
        sink = stack.enter_context(closing(FileSink(folder / "out.jsonl")))
        form = JsonResults()
        opened = open_routes(settings, fields_of(Taxonomy()), form, newline=True)
        routes = [stack.enter_context(closing(route)) for route in opened]
        answering = Answering(tuple(pipelines), form, tuple(routes))
        (bundle, size), *others = answering.owners
        worker = Worker(
            pipelines[0],
            MemorySource(messages[:upto]),
            sink,
            StateFolder(folder / "state", bundle=bundle, state_size=size, others=others),
            form=form,
            routes=routes,
            others=pipelines[1:],
            reload=None if reload is None else lambda: reload(routes, form),
            on_batch=None if on_batch is None else lambda batch: on_batch(worker, batch),
            config=WorkerConfig(linger_ms=0.0, batch=25, **options),
        )
        worker.run()
    return worker


def lines(folder: Path) -> list[bytes]:
    return (folder / "out.jsonl").read_bytes().splitlines()


def histories(folder: Path) -> list[tuple]:
    with closing(sqlite3.connect(folder / "state" / "file-0.sqlite")) as db:
        return db.execute("SELECT object, seq, data FROM log ORDER BY object, seq").fetchall()


@pytest.fixture(scope="module")
def alone(pipelines, messages, tmp_path_factory):
    """The folder of each bundle that answered the stream alone."""
    found = {}
    for name, pipeline in pipelines.items():
        found[name] = tmp_path_factory.mktemp(name)
        run([pipeline], messages, found[name], features=True)
    return found


@pytest.fixture(scope="module")
def expected(alone):
    """Records of each bundle alone, by fingerprint, object and alert."""
    records = [record for folder in alone.values() for record in map(json.loads, lines(folder))]
    return {(record["bundle"], record["object"], record["alert"]): record for record in records}


@pytest.mark.parametrize("order", [("fast", "slow"), ("slow", "fast")])
def test_each_bundle_answers_as_it_would_alone(pipelines, messages, alone, tmp_path, order):
    worker = run([pipelines[name] for name in order], messages, tmp_path, features=True)
    together = [by_bundle(record) for record in map(orjson.loads, lines(tmp_path))]
    for place, name in enumerate(order):
        assert [orjson.dumps(found[place]) for found in together] == lines(alone[name])
        assert histories(tmp_path) == histories(alone[name])
    assert all("others" not in json.loads(line) for line in lines(alone[order[0]]))
    labels = [(first["label"], second["label"]) for first, second in together]
    other = pipelines[order[1]].bundle_version
    assert worker.metrics.by_label("other_results") == {other: len(together)}
    assert worker.metrics.total("other_labels") == sum(a != b for a, b in labels) > 0
    assert worker.metrics.health()["others"] == [other]
    assert list(iter_results(tmp_path / "out.jsonl")) == list(map(orjson.loads, lines(tmp_path)))


def assert_as_alone(records, expected, *, fresh):
    """Each answer is that of its bundle alone; its change is unknown if the bundle lacked the last alert."""
    unknown = 0
    for record in records:
        for answer in by_bundle(record):
            wanted = expected[answer["bundle"], answer["object"], answer["alert"]]
            if answer != wanted:
                unknown += 1
                assert answer == wanted | {"change": None}
    assert (unknown > 0) == fresh


def test_bundles_join_leave_and_take_over_between_runs(pipelines, messages, expected, tmp_path):
    fast, slow = pipelines["fast"], pipelines["slow"]
    for upto, chosen in ((60, [fast]), (120, [fast, slow]), (180, [slow]), (None, [slow, fast])):
        worker = run(chosen, messages, tmp_path, upto=upto, features=True)
        assert worker.metrics.total("damaged") == 0
    records = list(map(json.loads, lines(tmp_path)))
    assert [(r["object"], r["alert"]) for r in records] == [
        (o, a) for b, o, a in expected if b == fast.bundle_version
    ]
    assert_as_alone(records, expected, fresh=True)


def test_a_bundle_that_takes_over_from_beside_goes_on_without_a_gap(pipelines, messages, expected, tmp_path):
    fast, slow = pipelines["fast"], pipelines["slow"]
    run([fast, slow], messages, tmp_path, upto=120, features=True)
    run([slow], messages, tmp_path, features=True)
    assert_as_alone(map(json.loads, lines(tmp_path)), expected, fresh=False)


class Broken:
    """A pipeline that fails on some objects."""

    def __init__(self, pipeline, name) -> None:
        self.pipeline, self.name = pipeline, name
        self.bundle_version, self.states, self.taxonomy = "broken", pipeline.states, pipeline.taxonomy
        self.n_calls = 0

    def update(self, states, arrivals, logs):
        update = self.pipeline.update(states, arrivals, logs)
        if self.name in arrivals.curves.object_id:
            self.n_calls += 1
            if self.n_calls % 3:
                raise ValueError("a fault of the new bundle")
        return update


def test_a_fault_of_another_bundle_leaves_the_answer_in_charge(pipelines, messages, alone, tmp_path, caplog):
    name = json.loads(lines(alone["fast"])[0])["object"]
    broken = Broken(pipelines["slow"], name)
    worker = run([pipelines["fast"], broken], messages, tmp_path, features=True)
    records = list(map(orjson.loads, lines(tmp_path)))
    assert [orjson.dumps(by_bundle(record)[0]) for record in records] == lines(alone["fast"])
    wanted = {(r["object"], r["alert"]): r for r in map(json.loads, lines(alone["slow"]))}
    n_failed = 0
    for record in records:
        (answer,) = record["others"]
        if "error" in answer:
            n_failed += 1
            assert record["object"] == name
            assert answer == {"bundle": "broken", "error": "ValueError: a fault of the new bundle"}
        else:
            right = wanted[record["object"], record["alert"]] | {"bundle": "broken"}
            found = json.loads(orjson.dumps(by_bundle(record)[1]))
            assert found in (right, right | {"change": None})
    assert worker.metrics.by_label("other_failures") == {"broken": n_failed}
    assert worker.metrics.by_label("rejected") == {}
    assert n_failed > 0
    assert "another bundle cannot answer" in caplog.text


# --- a change while the worker runs ---------------------------------------------------


def changing(after, *bundles):
    """For `run`: let the worker read its bundles again after some batches; `bundles` are its new ones."""
    wanted, n_batches = iter(bundles), iter(range(1, 10**6))

    def reload(routes, form):
        found = next(wanted)
        if isinstance(found, Exception):
            raise found
        return Answering(tuple(found), form, tuple(routes))

    def on_batch(worker, batch):
        if next(n_batches) in after:
            worker.change_bundles()

    return {"reload": reload, "on_batch": on_batch}


def test_a_bundle_changes_between_two_batches_and_a_bad_one_is_refused(
    pipelines, messages, expected, tmp_path, caplog
):
    caplog.set_level("INFO")
    fast, slow = pipelines["fast"], pipelines["slow"]
    how = changing({2, 3, 5}, BundleError("the new one is damaged"), [fast], [slow])
    worker = run([fast], messages, tmp_path, features=True, **how)
    assert worker.metrics.by_label("reloads") == {"refused": 1, "unchanged": 1, "changed": 1}
    assert (worker.metrics.bundle, worker.metrics.health()["bundle"]) == (slow.bundle_version,) * 2
    records = list(map(json.loads, lines(tmp_path)))
    wanted = [(o, a) for b, o, a in expected if b == fast.bundle_version]
    assert [(r["object"], r["alert"]) for r in records] == wanted
    n_fast = sum(record["bundle"] == fast.bundle_version for record in records)
    assert 0 < n_fast <= 5 * 25
    assert {record["bundle"] for record in records[n_fast:]} == {slow.bundle_version}
    assert_as_alone(records, expected, fresh=True)
    (refused,) = [record.fields for record in caplog.records if "refused" in record.message]
    assert refused == {"bundle": fast.bundle_version, "error": "the new one is damaged"}


def test_a_bundle_beside_takes_over_without_a_gap(pipelines, messages, expected, tmp_path):
    fast, slow = pipelines["fast"], pipelines["slow"]
    run([fast, slow], messages, tmp_path, features=True, **changing({3}, [slow, fast]))
    records = list(map(json.loads, lines(tmp_path)))
    assert {record["others"][0]["bundle"] for record in records} == {fast.bundle_version, slow.bundle_version}
    assert_as_alone(records, expected, fresh=False)


def test_filters_of_routes_follow_the_classes_in_charge(tmp_path):
    path = tmp_path / "classes.toml"
    path.write_text("[classes.KN]\n[classes.Flaring]\n")
    few, form = Taxonomy.read(path), JsonResults()
    settings = [RouteConfig(name="kn", filter="KN > 0.5", sink=str(tmp_path / "kn.jsonl"))]
    (route,) = open_routes(settings, fields_of(Taxonomy()), form, newline=True)
    with closing(route):
        (changed,) = with_fields([route], settings, fields_of(few), form)
        assert changed.sink is route.sink
        assert changed.accepts({"status": "classified", "proba": {"KN": 0.7, "Flaring": 0.3}})
        with pytest.raises(FilterError, match="TDE"):
            with_fields([route], [RouteConfig(name="kn", filter="TDE > 0.5", sink="-")], fields_of(few), form)


def test_bundles_are_few_and_different(pipelines):
    fast = pipelines["fast"]
    with pytest.raises(SettingsError, match="two of the bundles are the same"):
        Answering((fast, pipelines["slow"], fast), JsonResults())
    many = tuple(Broken(fast, "") for _ in range(9))
    for number, pipeline in enumerate(many):
        pipeline.bundle_version = str(number)
    with pytest.raises(SettingsError, match="9 bundles"):
        Answering(many, JsonResults())


def test_packets_without_a_stream_have_the_answers_of_all_bundles(pipelines, messages):
    fast, slow = pipelines.values()
    packets = [message.value for message in messages[40:60]]
    alone = zip(*(classify_packets(packets, bundle, features=True) for bundle in (fast, slow)), strict=True)
    together = classify_packets(packets, fast, others=[slow], features=True)
    assert list(map(by_bundle, together)) == list(map(list, alone))
