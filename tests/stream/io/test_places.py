"""Places in files: whatever files come one after another, each record is read once and none is skipped."""

import gzip
import io
import os
import random
import shutil
import tarfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.stream.avro.container import read_header, write_container
from firstlight.stream.io import places
from firstlight.stream.io.open import open_source
from firstlight.stream.io.sources import BookmarkedSource

SCHEMA = {"type": "record", "name": "R", "fields": [{"name": "x", "type": "string"}]}


def container(values: list[str], block: int = 2) -> bytes:
    """An Avro container of so many records per block."""
    out = write_container(SCHEMA, [])
    for i in range(0, len(values), block):
        records = [bytes([2 * len(value)]) + value.encode() for value in values[i : i + block]]
        whole = write_container(SCHEMA, records)
        out += whole[read_header(whole).end :]
    return out


def lines(values: list[str]) -> bytes:
    return "".join(f'{{"x": "{value}"}}\n' for value in values).encode()


def array(values: list[str]) -> bytes:
    return b"[" + b",".join(lines(values).splitlines()) + b"]"


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


FORMS = {
    "avro": lambda values: container(values, 1),
    "jsonl": lines,
    "json": array,
    "avro.gz": lambda values: gzip.compress(container(values)),
    "tar": lambda values: tar({"a/1.avro": container(values[:3]), "2.jsonl": lines(values[3:])}),
    "tar.gz": lambda values: gzip.compress(tar({"b.jsonl.gz": gzip.compress(lines(values))})),
}


def value_of(record: bytes) -> str:
    return record.split(b'"')[-2].decode() if record.startswith(b"{") else record[1:].decode()


@dataclass
class State:
    """Values that a state store keeps for a worker that reads files."""

    position: int | None = None
    bookmarks: dict[str, str] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)  # of committed batches
    offsets: list[int] = field(default_factory=list)

    def run(self, path: Path, *, batch: int = 3, crash_after: int = 10**9) -> list[str]:
        """Read a file or folder to its end, or until the process dies before commit number `crash_after`."""
        before = len(self.read)
        with closing(open_source(str(path))) as source:
            assert isinstance(source, BookmarkedSource)
            source.use_bookmarks(dict(self.bookmarks))
            source.seek("file", 0, self.position or 0)
            while not source.exhausted:
                messages = source.poll(batch, 0.0)
                if crash_after <= 0:
                    break
                crash_after -= bool(messages)
                if messages:
                    assert not [message.error for message in messages if message.error]
                    self.position = messages[-1].offset + 1
                    self.read += [value_of(message.value) for message in messages]
                    self.offsets += [message.offset for message in messages]
                    self.bookmarks |= {k: v for message in messages for k, v in message.bookmarks}
                else:
                    self.bookmarks |= source.loose_bookmarks()
        assert self.offsets == sorted(set(self.offsets))
        return self.read[before:]


def numbers(first: int, count: int) -> list[str]:
    return [f"r{i}" for i in range(first, first + count)]


@pytest.mark.parametrize("form", FORMS)
def test_a_file_a_night_with_one_state_is_read_whole(tmp_path, form):
    state = State()
    for first, count in ((0, 30), (100, 20), (200, 35)):
        path = tmp_path / f"night{first}.{form}"
        path.write_bytes(FORMS[form](numbers(first, count)))
        for wanted in (numbers(first, count), [], []):
            assert state.run(path) == wanted


@pytest.mark.parametrize("form", FORMS)
def test_the_same_name_with_other_content_is_a_new_file(tmp_path, form):
    state, path = State(), tmp_path / f"tonight.{form}"
    for first, count in ((0, 7), (100, 7), (200, 3), (300, 20)):
        path.write_bytes(FORMS[form](numbers(first, count)))
        assert state.run(path) == numbers(first, count)


def test_files_that_sort_between_old_ones_and_in_subfolders_are_read(tmp_path):
    state = State()
    (tmp_path / "2.jsonl").write_bytes(lines(numbers(0, 4)))
    (tmp_path / "4.avro").write_bytes(container(numbers(10, 4)))
    assert state.run(tmp_path) == numbers(0, 4) + numbers(10, 4)
    for name, first in (
        ("1.jsonl", 20),
        ("3.jsonl", 30),
        ("a/b/c.jsonl", 40),
        ("9.jsonl", 50),
        (".x/y.jsonl", 60),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lines(numbers(first, 2)))
    assert state.run(tmp_path) == [n for first in (20, 30, 50, 40) for n in numbers(first, 2)]
    assert state.run(tmp_path) == []


def test_files_that_the_worker_writes_into_the_folder_are_not_read(tmp_path):
    (tmp_path / "1.jsonl").write_bytes(lines(numbers(0, 2)))
    (tmp_path / "state").mkdir()
    for name in ("out.jsonl", "state/file-0.sqlite"):
        (tmp_path / name).write_bytes(lines(["not an alert"]))
    (tmp_path / "link.jsonl").symlink_to("out.jsonl")
    outputs = [tmp_path / "state", tmp_path / "." / "link.jsonl"]
    with closing(open_source(str(tmp_path), ignored=outputs)) as source:
        assert [value_of(message.value) for message in source.poll(10, 0.0)] == numbers(0, 2)


def test_copies_and_moved_files_are_passed_over_and_links_may_form_a_circle(tmp_path):
    state, folder = State(), tmp_path / "night"
    folder.mkdir()
    (folder / "1.jsonl").write_bytes(lines(numbers(0, 5)))
    shutil.copy(folder / "1.jsonl", folder / "2.jsonl")
    (folder / "3.jsonl").symlink_to(folder / "1.jsonl")
    (folder / "again").symlink_to(folder, target_is_directory=True)
    assert state.run(folder) == numbers(0, 5)
    (folder / "1.jsonl").rename(tmp_path / "archived.jsonl")
    assert state.run(tmp_path / "archived.jsonl") == []
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "archived.jsonl")
    assert state.run(tmp_path / "link.jsonl") == []


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize(("form", "block"), [("jsonl", 1), ("avro", 1), ("avro", 3)])
def test_a_file_that_has_grown_is_continued_even_under_another_name(tmp_path, form, block, renamed):
    state, path = State(), tmp_path / f"a.{form}"
    made = {"jsonl": lines, "avro": lambda values: container(values, block)}[form]
    for count in (3, 6, 6, 300, 3000, 9000):
        if renamed and path.exists():
            path = path.rename(tmp_path / f"{count}.{form}")
        before = len(state.read)
        with path.open("ab") as file:
            file.write(made(numbers(0, count))[file.tell() :])
        assert state.run(path, batch=500) == numbers(before, count - before)


def test_a_last_line_or_block_that_is_not_complete_yet_is_read_again_when_the_file_has_grown(tmp_path):
    for form, made in (("jsonl", lines), ("avro", container)):
        whole, path = made(numbers(0, 4)), tmp_path / f"a.{form}"
        path.write_bytes(whole[:-5])
        state = State()
        with closing(open_source(str(path))) as source:
            source.use_bookmarks({})
            source.seek("file", 0, 0)
            found = source.poll(10, 0.0)
            state.bookmarks, state.position = dict(found[-1].bookmarks), found[-1].offset + 1
            state.bookmarks |= {} if source.poll(10, 0.0) else source.loose_bookmarks()
        path.write_bytes(whole)
        assert state.run(path) == numbers(2 if form == "avro" else 3, 2 if form == "avro" else 1)


def test_files_with_the_same_beginning_are_distinguished_by_later_content(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "_HEAD_BYTES", 64)
    state = State()
    for first in (100, 200, 300):
        path = tmp_path / f"{first}.jsonl"
        path.write_bytes(lines([*numbers(0, 9), *numbers(first, 9)]))
    assert state.run(tmp_path) == [
        n for first in (100, 200, 300) for n in [*numbers(0, 9), *numbers(first, 9)]
    ]
    assert state.run(tmp_path) == []
    path.write_bytes(lines([*numbers(0, 9), *numbers(400, 9)]))
    assert state.run(tmp_path) == [*numbers(0, 9), *numbers(400, 9)]


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["new", "new", "replace", "grow", "move", "copy"]),
        st.sampled_from(["avro", "jsonl", "avro.gz", "tar", "tar.gz"]),
        st.integers(1, 9),  # records
        st.sampled_from(["", "a", "z/y"]),  # folder
        st.integers(0, 4),  # commits before a crash
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(actions=ACTIONS, seed=st.integers(0, 1000))
def test_whatever_happens_to_a_folder_each_record_is_read_once(tmp_path_factory, actions, seed):
    top, choose, state = tmp_path_factory.mktemp("nights"), random.Random(seed), State()
    content: dict[Path, tuple[str, list[str]]] = {}
    written: list[str] = []
    for action, form, count, folder, crash_after in actions:
        values = numbers(len(written), count)
        grown = [path for path, (kind, _) in content.items() if kind in ("avro", "jsonl")]
        (top / folder).mkdir(parents=True, exist_ok=True)
        path = top / folder / f"{choose.random()}.{form}"
        if action == "grow" and grown:
            path = choose.choice(grown)
            form, old = content[path]
            values = [*old, *numbers(len(written), count)]
        elif action == "replace" and content:
            path = choose.choice(list(content))
        elif action in ("move", "copy") and content:
            old_path = choose.choice(list(content))
            if action == "copy":
                shutil.copy(old_path, path)
                content[path] = content[old_path]
            else:
                old_path.rename(path)
                content[path] = content.pop(old_path)
            values = []
        if values:
            content[path] = form, values
            path.write_bytes(FORMS[form](values))
            written += [value for value in values if value not in written]
        state.run(top, crash_after=crash_after)
        state.run(top)
        assert sorted(state.read) == sorted(written)


# -- states of older versions --------------------------------------------------------------


def test_an_old_position_continues_in_the_files_that_it_counts(tmp_path, caplog):
    (tmp_path / "1.jsonl").write_bytes(lines(numbers(0, 5)))
    (tmp_path / "2.avro").write_bytes(container(numbers(5, 5)))
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "new.jsonl").write_bytes(lines(numbers(20, 2)))  # was ignored
    state = State(position=7)
    assert state.run(tmp_path) == [*numbers(7, 3), *numbers(20, 2)]
    assert state.offsets[0] == 7
    assert "the first 7 records count as these" in caplog.text
    (tmp_path / "0.jsonl").write_bytes(lines(numbers(30, 2)))
    assert state.run(tmp_path) == numbers(30, 2)


def test_an_old_position_at_the_end_of_its_file_is_kept_for_that_file(tmp_path):
    (tmp_path / "1.jsonl").write_bytes(lines(numbers(0, 5)))
    (tmp_path / "2.jsonl").write_bytes(lines(numbers(5, 9)))
    state = State(position=5)
    assert state.run(tmp_path / "1.jsonl") == []
    assert state.run(tmp_path / "2.jsonl") == numbers(5, 9)


def test_an_old_position_beyond_the_end_of_other_files_skips_nothing_of_them(tmp_path, caplog):
    (tmp_path / "2.jsonl").write_bytes(lines(numbers(0, 4)))
    state = State(position=30)
    assert state.run(tmp_path / "2.jsonl") == numbers(0, 4)
    assert state.offsets == [30, 31, 32, 33]
    assert "these are other files and all of them are read" in caplog.text


# -- cost --------------------------------------------------------------------------------------


def test_thousands_of_files_have_small_bookmarks(tmp_path):
    for i in range(300):
        (tmp_path / f"{i}.jsonl").write_bytes(lines(numbers(i, 1)))
    state = State()
    assert len(state.run(tmp_path, batch=50)) == 300
    assert len(state.bookmarks) == 300
    assert max(len(name) + len(text) for name, text in state.bookmarks.items()) < 200
    assert os.listdir(tmp_path)  # nothing was written or removed
