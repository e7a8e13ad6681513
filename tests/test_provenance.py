"""Records of a run: commit, machine, libraries, data, seed."""

import json
from pathlib import Path

from firstlight import __version__
from firstlight.provenance import COMMIT_VARIABLE, commit, provenance


def test_a_run_names_version_machine_libraries_data_and_seed():
    run = provenance(["light curves", "labels"], seed=7)
    assert json.loads(json.dumps(run)) == run
    assert run["firstlight"] == __version__
    assert run["libraries"]["numpy"]
    assert run["processor"]
    assert run["cores"] >= 1
    assert run["seed"] == 7


def test_other_data_give_another_digest_and_equal_data_the_same():
    first, other, again = (provenance([text])["data"] for text in ("a", "b", "a"))
    assert first == again != other
    assert len(first) == 64


def test_a_copy_without_a_checkout_names_the_commit_of_the_environment(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda path: False)
    commit.cache_clear()
    monkeypatch.delenv(COMMIT_VARIABLE, raising=False)
    assert commit() == "unknown"
    commit.cache_clear()
    monkeypatch.setenv(COMMIT_VARIABLE, "0123456789ab")
    assert commit() == "0123456789ab"
    commit.cache_clear()
