"""Records of the stream, byte for byte, and a state folder of the past that goes on."""

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

STATE = Path(__file__).parent / "state"
N_PINNED = 200
#: `state/` holds what the bundle fast knew after the first 110 of 219 alerts of these objects.
NAMES = ("7566", "185785", "2554534", "15723500", "46329774", "51872509")
N_FEW, N_IN_STATE = 219, 110


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("stream")


@pytest.fixture(scope="module")
def every_observation(firstlight, sample_files, folder) -> Path:
    """An alert for every observation, in an Avro container."""
    data, metadata = sample_files
    path = folder / "every.avro"
    firstlight("replay", "--data", data, "--metadata", metadata, "--max-alerts", 2000, "--sink", path)
    return path


@pytest.fixture(scope="module")
def disordered(firstlight, sample_files, folder) -> Path:
    """Detections alone as JSON lines, some late and some sent twice."""
    data, metadata = sample_files
    path = folder / "disordered.jsonl"
    firstlight(
        *("replay", "--data", data, "--metadata", metadata, "--max-alerts", 1500, "--sink", path),
        *("--detections-only", "--shuffle-night", "--late", 0.05, "--repeat", 0.02, "--seed", 3),
    )
    return path


@pytest.fixture(scope="module")
def answers(firstlight, folder):
    """Records of a run of `firstlight stream`, as lines."""

    def run(source: Path, bundle: str, *options: object, state: Path | None = None) -> list[bytes]:
        place = folder / f"{source.stem}-{bundle}"
        firstlight(
            *("stream", "--source", source, "--bundle", bundle, "--sink", place.with_suffix(".out.jsonl")),
            *("--state", state or place.with_suffix(".state"), *options),
        )
        return place.with_suffix(".out.jsonl").read_bytes().splitlines(keepends=True)

    return run


@pytest.fixture(scope="module")
def records(answers, every_observation) -> list[bytes]:
    return answers(every_observation, "fast")


def _summary(*files: Path, lines: list[bytes] | None = None) -> dict[str, object]:
    found: dict[str, object] = {path.name: _sha256(path.read_bytes()) for path in files}
    if lines is not None:
        found |= {"records": len(lines), "sha256": _sha256(b"".join(lines))}
    return found


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_alerts_are_made_as_recorded(golden, every_observation, disordered):
    golden.check("alerts.json", _summary(every_observation, disordered))


def test_records_of_every_observation_are_as_recorded(golden, records):
    golden.check_lines("stream_fast.jsonl", records[:N_PINNED])
    golden.check("stream_fast.json", _summary(lines=records))


def test_records_of_late_and_repeated_alerts_are_as_recorded(golden, answers, disordered):
    lines = answers(disordered, "fast", "--batch", 64)
    golden.check_lines("stream_late.jsonl", [line for line in lines if b'"late":true' in line][:20])
    golden.check("stream_late.json", _summary(lines=lines))


def test_records_of_the_bundle_default_are_as_recorded(golden, answers, disordered):
    lines = answers(disordered, "default", "--max-alerts", 300)
    golden.check_lines("stream_default.jsonl", lines[-10:])
    golden.check("stream_default.json", _summary(lines=lines))


def test_records_in_elasticcs_form_are_as_recorded(golden, firstlight, every_observation, folder):
    fastavro = pytest.importorskip("fastavro")
    out = folder / "elasticc.avro"
    firstlight(
        *("stream", "--source", every_observation, "--bundle", "fast", "--sink", out),
        *("--state", folder / "elasticc", "--output-format", "elasticc", "--max-alerts", 300),
    )
    with out.open("rb") as file:
        reader = fastavro.reader(file)
        found = list(reader)
        schema = reader.writer_schema
    for record in found:
        del record["brokerVersion"]  # firstlight's own version
    text = json.dumps(found, default=str)
    golden.check(
        "stream_elasticc.json",
        {"schema": schema, "records": len(found), "sha256": _sha256(text.encode()), "last": text[-2000:]},
    )


def test_a_record_keeps_its_keys(golden, records):
    keys: dict[str, set[str]] = {}
    for line in records:
        for key, value in json.loads(line).items():
            keys.setdefault(key, set()).add(type(value).__name__)
            for inner, number in value.items() if isinstance(value, dict) else ():
                keys.setdefault(f"{key}/{inner}", set()).add(type(number).__name__)
    golden.check("record_keys.json", {key: sorted(types) for key, types in keys.items()})


def test_a_ranking_keeps_its_columns(golden, firstlight, answers, disordered, folder):
    source = folder / "disordered-fast.out.jsonl"
    if not source.exists():
        answers(disordered, "fast")
    firstlight("rank", source, "--night", "2022-08-29", "--out", folder / "targets.csv")
    firstlight("rank", source, "--night", "2022-08-29", "--out", folder / "targets.json")
    table = pd.read_csv(folder / "targets.csv")
    (first, *_) = json.loads((folder / "targets.json").read_text())
    golden.check(
        "rank_columns.json",
        {"csv": table.columns.tolist(), "json": list(first), "objects": table["object"].tolist()},
    )


def test_a_state_keeps_its_format(golden, digest, records, folder):
    path = folder / "every-fast.state" / "file-0.sqlite"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as base:
        schema = base.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
        found: dict[str, object] = {name: " ".join(sql.split()) for name, sql in schema}
        objects = base.execute("SELECT number, name, last_mjd, state FROM object ORDER BY number").fetchall()
        log = base.execute("SELECT object, seq, data FROM log ORDER BY object, seq").fetchall()
    base.close()
    found["state_bytes"] = len(objects[0][3])
    # a state begins with its checksum and the number of its commit, a log entry with its checksum
    found["states"] = digest(b"".join(row[3][8:] for row in objects))
    found["objects"] = _sha256(repr([row[:3] for row in objects]).encode())
    found["log"] = _sha256(b"".join(row[2] for row in log))
    found["n_objects"], found["n_log"] = len(objects), len(log)
    golden.check("state_tables.json", found)


@pytest.fixture(scope="module")
def few(firstlight, sample_files, folder) -> Path:
    """All detections of six objects."""
    data, metadata = sample_files
    names, path = folder / "few.txt", folder / "few.avro"
    names.write_text("\n".join(NAMES))
    firstlight(
        *("replay", "--data", data, "--metadata", metadata, "--objects", names),
        *("--detections-only", "--sink", path),
    )
    return path


def test_a_state_folder_of_the_past_goes_on(golden, answers, few, folder):
    copy = shutil.copytree(STATE, folder / "copied")
    lines = answers(few, "fast", state=copy)
    assert len(lines) == N_FEW - N_IN_STATE
    golden.check_lines("stream_continued.jsonl", lines[:10])
    golden.check("stream_continued.json", _summary(lines=lines))
