"""The file of results holds each result once, whatever it is called and whatever the end of it is."""

import os
import signal
import tarfile
import time

import pytest


@pytest.fixture
def stopped(launch, place, easy_file):
    """A worker that stopped halfway; its file has results that were not committed, and half a one."""
    assert launch(place.argv(easy_file, "--max-alerts", "110")).wait() == 0
    with place.out.open("ab") as file:
        file.write(place.records()[5] + b"\n" + b'{"object":"torn')
    return place


def link(path):
    other = path.with_name("link.jsonl")
    other.symlink_to(path.name)
    return other


@pytest.mark.parametrize(
    "spelling",
    [str, link, os.path.relpath, lambda path: path.parent / "." / ".." / path.parent.name / path.name],
)
def test_a_file_by_another_spelling_of_its_path_is_continued(launch, stopped, easy_file, easy_run, spelling):
    argv = stopped.argv(easy_file)
    argv[argv.index("--sink") + 1] = str(spelling(stopped.out))
    child = launch(argv)
    assert child.wait() == 0, child.log()
    assert stopped.records() == easy_run.records()


def test_half_a_line_at_the_end_of_a_file_of_another_run_spoils_nothing(launch, stopped, easy_file, easy_run):
    before = stopped.records()[:-1]
    stopped.state.rename(stopped.folder / "old")
    child = launch(stopped.argv(easy_file))
    assert child.wait() == 0
    assert "was cut short; these 15 bytes are removed" in child.log()
    assert stopped.records() == [*before, *easy_run.records()]


def test_a_file_a_night_with_one_state_gives_the_results_of_one_file(
    launch, place, hard_lines, hard_run, contents
):
    step = len(hard_lines) // 3 + 1
    for i, first in enumerate(range(0, len(hard_lines), step)):
        path = place.folder / "tonight.jsonl" if i else place.folder / "first.jsonl"
        path.write_bytes(b"".join(hard_lines[first : first + step]))
        for _ in range(2):  # the second run finds nothing new
            child = launch(place.argv(path))
            assert child.wait() == 0, child.log()
    assert place.out.read_bytes() == hard_run.out.read_bytes()
    assert contents(place.store).objects() == contents(hard_run.store).objects()


def test_kills_while_a_folder_of_nights_is_read_change_nothing(
    launch, place, hard_lines, hard_run, contents, rng
):
    folder, step = place.folder / "nights", len(hard_lines) // 6
    for i, first in enumerate(range(0, len(hard_lines), step)):
        path = folder / str(i // 2) / f"{i}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(hard_lines[first : first + step]))
        if i == 3:
            with tarfile.open(f"{path}.tar.gz", "w:gz") as archive:
                archive.add(path, "night.jsonl")
            path.unlink()
    for n_kills in range(13):
        child = launch(place.argv(folder, "--batch", str(rng.integers(1, 12))))
        if n_kills < 12:
            time.sleep(rng.uniform(0.0, 0.15))
            child.send(signal.SIGKILL)
        code = child.wait()
    assert code == 0, child.log()
    assert place.out.read_bytes() == hard_run.out.read_bytes()
    assert contents(place.store).objects() == contents(hard_run.store).objects()
