"""Addresses of sources and sinks."""

import pytest

from firstlight.errors import SettingsError
from firstlight.stream.io.files import DirectorySource, FileSource, PipeSource
from firstlight.stream.io.open import check_places, open_sink, open_source


def test_a_source_is_a_file_a_folder_or_standard_input(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").touch()
    assert isinstance(open_source(str(tmp_path)), DirectorySource)
    assert type(open_source(str(tmp_path / "a.jsonl"), follow=True)) is FileSource
    with (tmp_path / "a.jsonl").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert isinstance(open_source("-"), PipeSource)


def test_a_sink_is_a_file_or_standard_output(tmp_path):
    path = tmp_path / "deep" / "out.jsonl"
    assert open_sink("-").name == "-"
    sink = open_sink(str(path))
    assert sink.name == str(path)
    sink.close()


def test_unknown_kinds_of_addresses_are_refused():
    with pytest.raises(SettingsError, match="https:// is unknown; give kafka://"):
        open_source("https://example.org/alerts")
    with pytest.raises(SettingsError, match="s3:// is unknown; give kafka://"):
        open_sink("s3://bucket/out")


@pytest.mark.parametrize(
    ("source", "sinks"),
    [
        ("a.jsonl", ["a.jsonl"]),
        ("a.jsonl", ["./sub/../a.jsonl"]),
        ("a.jsonl", ["linked.jsonl"]),
        ("a.jsonl", ["hard.jsonl"]),
        ("a.jsonl", ["new.jsonl", "./new.jsonl"]),
        ("a.jsonl", ["-", "-"]),
        ("kafka://one:1,two:2/alerts", ["kafka://two:2/alerts"]),
        ("kafka://one:1/^alerts", ["kafka://one:1/alerts.classes"]),
        ("a.jsonl", ["kafka://one:1/classes", "kafka://one:1/classes"]),
    ],
)
def test_two_places_that_are_one_are_refused(source, sinks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_places(tmp_path)
    with pytest.raises(SettingsError, match="is the same place as"):
        check_places(("--source", source), {f"sink {k}": sink for k, sink in enumerate(sinks)})


def test_places_that_differ_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_places(tmp_path)
    check_places(("--source", "-"), {"--sink": "-", "--dead-letters": "b"})
    check_places(("--source", "a.jsonl"), {"--sink": "/dev/null", "--dead-letters": "/dev/null"})
    check_places(("--source", "kafka://one:1/^ztf"), {"--sink": "kafka://one:1/classes", "route": "ztf"})
    check_places(("--source", "kafka://one:1/alerts"), {"--sink": "kafka://two:2/alerts"})
    check_places(("--source", "sub"), {"--sink": "sub/b.jsonl", "--dead-letters": "sub/c.jsonl"})


def make_places(folder):
    (folder / "sub").mkdir()
    (folder / "a.jsonl").write_text("alert")
    (folder / "linked.jsonl").symlink_to("a.jsonl")
    (folder / "hard.jsonl").hardlink_to(folder / "a.jsonl")
