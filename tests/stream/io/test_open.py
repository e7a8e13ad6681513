"""Addresses of sources and sinks."""

import pytest

from firstlight.errors import SettingsError
from firstlight.stream.io.files import DirectorySource, FileSource, PipeSource
from firstlight.stream.io.open import open_sink, open_source


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
