"""Disk full: a message and exit code 1; once there is room the same command continues."""

import pytest

OLDER = 8 << 20


def test_no_room_for_results_ends_the_worker_and_room_lets_it_go_on(
    launch, place, easy_file, easy_run, contents
):
    argv = place.argv(easy_file, "--batch", "10")
    with place.out.open("wb") as file:  # so much was there that the state, in files of its own, has room
        file.seek(OLDER - 1)
        file.write(b"\n")
    room = OLDER + len(easy_run.out.read_bytes()) // 3
    child = launch([*argv, "--retry", "0.3"], room=room)
    assert child.wait() == 1
    assert f"results {place.out}: cannot be written" in child.log()
    assert "free some space" in child.log()
    assert "Traceback" not in child.log()
    assert OLDER < place.out.stat().st_size <= room
    assert launch(argv).wait() == 0
    assert place.out.read_bytes()[OLDER:] == easy_run.out.read_bytes()
    assert contents(place.store).objects() == contents(easy_run.store).objects()


@pytest.mark.parametrize("room", [20_000, 150_000, 600_000])
def test_no_room_for_the_state_ends_the_worker_and_room_lets_it_go_on(
    launch, place, easy_file, easy_run, contents, room
):
    argv = place.argv(easy_file, "--batch", "10")
    child = launch([*argv, "--retry", "0.3"], room=room)
    assert child.wait() == 1
    assert "file-0.sqlite" in child.log()
    assert "space" in child.log()
    assert "Traceback" not in child.log()
    assert launch(argv).wait() == 0
    assert place.out.read_bytes() == easy_run.out.read_bytes()
    assert contents(place.store) == contents(easy_run.store)


def test_a_device_without_room_ends_the_worker_and_another_sink_gets_everything(
    launch, place, easy_file, easy_run
):
    argv = place.argv(easy_file, "--dead-letters", "none")
    full = ["/dev/full" if word == str(place.out) else word for word in argv]
    child = launch([*full, "--retry", "0.3"])
    assert child.wait() == 1
    assert "/dev/full" in child.log()
    assert "free some space" in child.log()
    assert launch(argv).wait() == 0
    assert place.out.read_bytes() == easy_run.out.read_bytes()
