"""`firstlight reclassify`: the stored observations, answered by two bundles."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from tests._rights import ordinary_user

from firstlight.pipeline import Pipeline
from firstlight.predictions import read_predictions
from firstlight.stream import JsonLinesCodec, light_curves
from firstlight.stream.state.read import read_folder


@pytest.fixture(scope="module")
def alerts(sample):
    from tests.stream.conftest import alerts_of

    found = []
    for k in range(8):
        found += alerts_of(sample[11 * k], 12, whole=k % 2 == 0)
    return sorted(found, key=lambda alert: alert.mjd)


@pytest.fixture(scope="module")
def place(firstlight, tiny_fast, alerts, tmp_path_factory):
    """A folder with a bundle and the state that a worker left."""
    folder = tmp_path_factory.mktemp("reclassify")
    tiny_fast.save(folder / "bundle")
    (folder / "alerts.jsonl").write_bytes(b"".join(JsonLinesCodec().encode(alert) for alert in alerts))
    firstlight(
        *("stream", "--source", folder / "alerts.jsonl", "--sink", folder / "out.jsonl"),
        *("--state", folder / "state", "--bundle", folder / "bundle"),
    )
    return folder


def test_the_answers_are_those_of_batch_for_all_observations(firstlight, place, alerts, tmp_path):
    out = tmp_path / "new.parquet"
    firstlight("reclassify", place / "state", "--bundle", "fast", "--from", place / "bundle", "--out", out)
    found = read_predictions(out)
    expected = Pipeline.load("fast").predict(light_curves(alerts))
    order = np.argsort(found.object_id)
    wanted = np.argsort(expected.object_id)
    assert found.object_id[order].tolist() == expected.object_id[wanted].tolist()
    np.testing.assert_array_equal(found.proba[order], expected.proba[wanted])


def test_the_same_bundle_changes_nothing_and_another_is_reported_by_class(firstlight, place):
    same = json.loads(
        firstlight(
            *("reclassify", place / "state", "--bundle", place / "bundle"),
            *("--from", place / "bundle", "--json"),
        ).stdout
    )
    assert (same["objects"], same["changed"], same["mean_total_variation"]) == (8, 0, 0.0)
    assert same["from"] == same["to"]
    words = ("reclassify", place / "state", "--bundle", "fast", "--from", place / "bundle")
    other = json.loads(firstlight(*words, "--json").stdout)
    assert other["changed"] > 0
    assert sum(row["before"] for row in other["classes"].values()) == 8
    assert sum(row["after"] for row in other["classes"].values()) == 8
    kept = sum(row["kept"] for row in other["classes"].values())
    assert kept == 8 - other["changed"]
    assert f"8 objects, {other['changed']} with another class" in firstlight(*words).stderr


def test_the_state_stays_as_it_is(firstlight, place):
    before = sorted((path.name, path.read_bytes()) for path in (place / "state").iterdir())
    firstlight("reclassify", place / "state", "--bundle", "fast", "--from", place / "bundle")
    assert sorted((path.name, path.read_bytes()) for path in (place / "state").iterdir()) == before


def test_a_bundle_that_does_not_ship_must_be_given(firstlight, place):
    done = firstlight("reclassify", place / "state", "--bundle", "fast", ok=False)
    assert done.returncode == 2
    assert "give it with --from" in done.stderr


def test_a_folder_without_a_state_and_a_damaged_one_are_errors(firstlight, place, tmp_path):
    done = firstlight("reclassify", tmp_path, "--bundle", "fast", ok=False)
    assert "holds no state" in done.stderr
    shutil.copytree(place / "state", tmp_path / "state")
    (path,) = (tmp_path / "state").glob("*.sqlite")
    path.write_bytes(path.read_bytes()[:5000])
    done = firstlight("reclassify", tmp_path / "state", "--bundle", "fast", ok=False)
    assert done.returncode == 1


def test_a_copy_that_cannot_be_written_is_read(place):
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        copy = Path(name) / "state"
        shutil.copytree(place / "state", copy)
        expected = [part.curves.object_id.tolist() for part in read_folder(copy)]
        for path in copy.iterdir():
            path.chmod(0o444)
        copy.chmod(0o555)
        with ordinary_user():
            found = [part.curves.object_id.tolist() for part in read_folder(copy)]
        copy.chmod(0o755)
    assert found == expected


def test_a_damaged_entry_is_counted_and_left_out(place, tmp_path):
    import sqlite3

    shutil.copytree(place / "state", tmp_path / "state")
    (path,) = (tmp_path / "state").glob("*.sqlite")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE log SET data = zeroblob(length(data)) WHERE seq = (SELECT min(seq) FROM log)")
    db.close()
    assert sum(part.damaged for part in read_folder(tmp_path / "state")) == 1
