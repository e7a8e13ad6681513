"""A file of results, and a running desk that shows it."""

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page needs the extra `serve`")
pytest.importorskip("uvicorn", reason="the page needs the extra `serve`")

from tests.serve._night import lines, make_desk, night_of_records, wait_until


@pytest.fixture(scope="session")
def night_file(tmp_path_factory) -> Path:
    """A file of results."""
    path = tmp_path_factory.mktemp("serve") / "classes.jsonl"
    path.write_bytes(lines(*night_of_records()))
    return path


@pytest.fixture(scope="session")
def desk(night_file, tmp_path_factory):
    """A running desk that takes verdicts; its records are ranked."""
    own = make_desk(night_file, feedback=tmp_path_factory.mktemp("verdicts") / "verdicts.jsonl")
    with own:
        wait_until(lambda: own.board.n_records == 120 and own.snapshot().ranking is not None)
        wait_until(lambda: not own.tonight.is_behind)
        yield own
