"""Whole files or none."""

import pytest

from firstlight.errors import DataError, FetchError
from firstlight.files import keep, kept, replacing, source_digest


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with replacing(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_after_a_failure_the_old_file_stands_and_nothing_is_left_behind(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_and_fail():
        with replacing(path) as partial:
            partial.write_text("half")
            raise KeyError("interrupted")

    with pytest.raises(KeyError):
        write_and_fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_a_data_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"), replacing(tmp_path / "file" / "x") as partial:
        partial.write_text("")


def test_our_own_errors_pass_unchanged(tmp_path):
    with pytest.raises(FetchError, match="no answer"), replacing(tmp_path / "x"):
        raise FetchError("no answer")


def test_a_result_is_kept_for_the_identity_that_made_it(tmp_path):
    path = tmp_path / "run" / "done.json"
    assert kept(path, "a") is None
    keep(path, "a", {"seconds": 1.5})
    assert kept(path, "a") == {"seconds": 1.5}
    assert kept(path, "b") is None
    keep(path, "b", {"seconds": 2.0})
    assert kept(path, "a") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"identity": "a"}', '{"identity": "a", "result": 3}'])
def test_a_damaged_result_is_not_there(tmp_path, text):
    path = tmp_path / "done.json"
    path.write_text(text)
    assert kept(path, "a") is None


def test_the_source_digest_depends_on_the_rooms_alone():
    assert source_digest(["bands", "splits"]) == source_digest(("splits", "bands"))
    assert source_digest(["bands"]) != source_digest(["splits"])
    with pytest.raises(DataError, match="attic"):
        source_digest(["attic"])
