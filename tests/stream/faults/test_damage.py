"""Damaged state is found, reported and rebuilt; the records are those of an undisturbed run."""

import json
import sqlite3

import numpy as np
import pytest

HALF = 110


@pytest.fixture
def halfway(launch, place, easy_file):
    """A worker that stopped halfway."""
    assert launch(place.argv(easy_file, "--batch", "16", "--max-alerts", str(HALF))).wait() == 0
    return place


def overwrite_head(path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * 100)


def flip_bytes(path) -> None:
    """Flip the first bytes of every page except the header."""
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data), 4096):
        for i in range(at, at + 60):
            data[i] ^= 0xFF
    path.write_bytes(data)


def cut(path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 123)


def empty(path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [overwrite_head, flip_bytes, cut, empty])
def test_a_damaged_file_is_moved_aside_and_its_partition_read_again(
    launch, halfway, easy_file, easy_run, contents, harm
):
    harm(halfway.store)
    child = launch(halfway.argv(easy_file, "--batch", "16"))
    assert child.wait() == 0
    assert "damaged" in child.log()
    assert "file-0.sqlite.damaged-1" in {path.name for path in halfway.state.iterdir()}
    assert halfway.records() == easy_run.records()  # those written before are not written again
    assert contents(halfway.store).objects() == contents(easy_run.store).objects()


def spoil(path, what: str, n: int) -> list[str]:
    """Flip a byte in the state, or in a log entry, of the first objects; their names."""
    db = sqlite3.connect(path)
    names = []
    for number, name in db.execute(
        "SELECT number, name FROM object ORDER BY number LIMIT ?", (n,)
    ).fetchall():
        names.append(name)
        if what == "state":
            (blob,) = db.execute("SELECT state FROM object WHERE number = ?", (number,)).fetchone()
        else:
            sequence, blob = db.execute(
                "SELECT seq, data FROM log WHERE object = ? ORDER BY seq LIMIT 1", (number,)
            ).fetchone()
        blob = bytearray(blob)
        blob[len(blob) // 2] ^= 0x10
        if what == "state":
            db.execute("UPDATE object SET state = ? WHERE number = ?", (bytes(blob), number))
        else:
            db.execute(
                "UPDATE log SET data = ? WHERE object = ? AND seq = ?", (bytes(blob), number, sequence)
            )
    db.commit()
    db.close()
    return names


def test_damaged_states_are_rebuilt_from_their_logs(launch, halfway, easy_file, easy_run, contents):
    names = spoil(halfway.store, "state", 5)
    child = launch(halfway.argv(easy_file, "--batch", "16"))
    assert child.wait() == 0
    for name in names:
        assert f"state of object {name} has a wrong checksum" in child.log()
    records, expected = (list(map(json.loads, place.records())) for place in (halfway, easy_run))
    first_again = set()
    for record, wanted in zip(records[HALF:], expected[HALF:], strict=True):
        if record["object"] in names and record["object"] not in first_again:
            first_again.add(record["object"])
            wanted["change"] = None  # the record before is not in the log
        assert record == wanted
    assert records[:HALF] == expected[:HALF]
    assert first_again == set(names)
    assert contents(halfway.store).objects() == contents(easy_run.store).objects()


def test_a_damaged_log_entry_costs_no_more_than_what_no_later_packet_repeats(
    launch, halfway, easy_file, easy_run
):
    names = spoil(halfway.store, "log", 16)
    spoil(halfway.store, "state", 16)  # so that all logs are read
    child = launch(halfway.argv(easy_file, "--batch", "16"))
    assert child.wait() == 0
    assert "has a wrong checksum" in child.log()
    records, expected = (list(map(json.loads, place.records())) for place in (halfway, easy_run))
    assert [r["alert"] for r in records] == [r["alert"] for r in expected]
    assert records[:HALF] == expected[:HALF]
    missing: dict[str, set[int]] = {name: set() for name in names}
    for record, wanted in zip(records[HALF:], expected[HALF:], strict=True):
        if record["object"] in names:
            missing[record["object"]].add(wanted["n_obs"] - record["n_obs"])
        else:
            assert record == wanted
    # packets with their history restore it; otherwise one alert's observations are lost
    assert set(map(frozenset, missing.values())) <= {frozenset({0}), frozenset({8}), frozenset()}
    assert frozenset({0}) in set(map(frozenset, missing.values()))


def test_no_flipped_byte_anywhere_makes_the_worker_lose_an_alert(launch, halfway, easy_file, easy_run, rng):
    whole, out, rejects = halfway.store.read_bytes(), halfway.out.read_bytes(), halfway.rejects()
    expected = [(r["object"], r["alert"]) for r in map(json.loads, easy_run.records())]
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))  # zeros are mostly free space
    used = used[(used < 60) | (used > 63)]  # not the layout number: another one is refused
    for place in rng.choice(used, 12):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(0, 8))
        halfway.store.write_bytes(damaged)
        halfway.out.write_bytes(out)
        child = launch(halfway.argv(easy_file))
        assert child.wait() == 0, f"byte {place}:\n{child.log()}"
        records = [(r["object"], r["alert"]) for r in map(json.loads, halfway.records())]
        assert set(records) == set(expected), f"byte {place}:\n{child.log()}"
        # at most one object may have been restarted
        differ = {json.loads(value)["object"] for value in set(halfway.records()) - set(easy_run.records())}
        assert len(differ) <= 1, f"byte {place}:\n{child.log()}"
    assert rejects == halfway.rejects() == b""
