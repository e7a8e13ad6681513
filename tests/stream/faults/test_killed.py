"""`kill -9` at any time: no alert is lost or counted twice, and the final bytes are the same."""

import json
import logging
import os
import signal
import time
from collections import Counter

from firstlight.stream.results.read import by_bundle

KILLS = int(os.environ.get("FIRSTLIGHT_TEST_KILLS", "10"))
STAGES = {"poll", "batch", "decode", "read", "update", "encode", "publish", "commit"}


def test_kills_at_random_times_change_nothing(launch, place, hard_file, hard_run, contents, rng):
    died: Counter[str] = Counter()
    rounds = 0
    while died.total() < KILLS:
        rounds += 1
        place.folder = place.folder / str(rounds)
        place.folder.mkdir()
        while True:  # one worker after another on one state, until one reaches the end
            child = launch(place.argv(hard_file, "--batch", str(rng.integers(1, 12))))
            if died.total() < KILLS:
                (kill_sometime if died.total() % 3 else kill_while_it_writes)(child, rng)
            code = child.wait()
            if code == -signal.SIGKILL:
                died[child.stage() or "start"] += 1
            else:
                assert code == 0, child.log()
                break
        assert place.out.read_bytes() == hard_run.out.read_bytes()
        assert place.rejects() == hard_run.rejects()
        assert contents(place.store) == contents(hard_run.store)
    logging.getLogger(__name__).info(f"{died.total()} kills in {rounds} runs, while at {dict(died)}")
    assert len(died.keys() & STAGES) >= (4 if KILLS >= 50 else 2)  # kills hit several stages
    assert died["publish"] + died["commit"] > 0


def test_kills_between_workers_of_one_bundle_more_or_less_lose_no_alert(
    launch, place, hard_file, hard_run, rng
):
    """The second bundle answers as the first one does, apart from its name."""
    chosen = [(), ("other",), ("one", "other"), ("other", "one")]
    while True:
        words = [word for name in chosen[rng.integers(len(chosen))] for word in ("--bundle", name)]
        child = launch(place.argv(hard_file, "--batch", "9", *words))
        if place.out.exists() and len(place.records()) > 500:
            break
        kill_sometime(child, rng)
        assert child.wait() in (0, -signal.SIGKILL), child.log()
    assert child.wait() == 0, child.log()
    wanted = [json.loads(line) for line in hard_run.records()]
    found = [json.loads(line) for line in place.records()]
    assert len(found) == len(wanted)
    for record, right in zip(found, wanted, strict=True):
        for answer in by_bundle(record):
            assert answer["change"] in (None, right["change"])
            assert answer | {"bundle": "", "change": None} == right | {"bundle": "", "change": None}
    assert place.rejects() == hard_run.rejects()


def kill_sometime(child, rng) -> None:
    """Kill it during its start or some micro-batches later."""
    deadline = time.monotonic() + 20.0
    if rng.random() < 0.85:
        while not child.stage() and time.monotonic() < deadline and child.running():
            time.sleep(0.001)
    time.sleep(rng.uniform(0.0, 0.04))
    child.send(signal.SIGKILL)


def kill_while_it_writes(child, rng) -> None:
    """Kill it during a publish or commit some micro-batches later."""
    kill_at = time.monotonic() + rng.uniform(0.02, 0.06)
    stage = rng.choice(["publish", "commit"])
    while child.stage() != stage or time.monotonic() < kill_at:
        if time.monotonic() > kill_at + 10.0:
            break
    child.send(signal.SIGKILL)


def test_the_hard_stream_has_late_repeated_and_bad_alerts(hard_run, hard_lines, long_stream):
    records = [json.loads(value) for value in hard_run.records()]
    assert sorted(r["alert"] for r in records) == sorted(a.alert_id for a in long_stream)
    assert sum(r["late"] for r in records) > 20
    assert len(hard_run.rejects().splitlines()) == 25
    assert len(hard_lines) == len(long_stream) + 75
