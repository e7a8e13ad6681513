"""Two workers on one state: the second is refused and does no harm."""

import time


def test_a_second_worker_on_a_state_is_refused_and_the_first_goes_on(
    launch, place, easy_file, easy_run, contents
):
    lines = easy_file.read_bytes().splitlines(keepends=True)
    growing = place.folder / "growing.jsonl"
    growing.write_bytes(b"".join(lines[:100]))
    argv = place.argv(growing, "--follow", "--max-alerts", str(len(lines)))
    first = launch(argv)
    deadline = time.monotonic() + 30.0
    while len(place.records() if place.out.exists() else []) < 100 and time.monotonic() < deadline:
        time.sleep(0.005)
    same_file = launch([*argv, "--wait-for-state", "0.1"])
    assert same_file.wait() == 1
    assert f"results {place.out}: another worker writes to it" in same_file.log()
    argv[argv.index(str(place.out))] = str(place.folder / "other.jsonl")
    second = launch([*argv, "--wait-for-state", "0.1"])
    assert second.wait() == 1
    assert "file-0.sqlite is in use by another worker; stop that one" in second.log()
    assert "Traceback" not in same_file.log() + second.log()
    assert first.running()
    with growing.open("ab") as file:
        file.write(b"".join(lines[100:]))
    assert first.wait() == 0
    assert place.out.read_bytes() == easy_run.out.read_bytes()
    assert contents(place.store) == contents(easy_run.store)


def test_a_worker_that_comes_while_another_ends_waits_for_its_state(launch, place, easy_file, easy_run):
    first = launch(place.argv(easy_file, "--batch", "20", "--max-alerts", "120"))
    while not first.stage() and first.running():
        time.sleep(0.001)
    second = launch(place.argv(easy_file, "--wait-for-state", "30"))
    assert (first.wait(), second.wait()) == (0, 0)
    assert place.out.read_bytes() == easy_run.out.read_bytes()
