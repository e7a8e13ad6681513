import json
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firstlight.errors import BundleError, BundleVersionError
from firstlight.pipeline.bundle import (
    FORMAT_VERSION,
    Manifest,
    check_destination,
    find_bundle,
    is_bundle,
    open_bundle,
    read_manifest,
    shipped_bundles,
    write_bundle,
)

CONTENTS = {
    "weights.bin": b"\x00\x01\x02",
    "trees/first.txt": b"tree",
    "trees/second.txt": b"",
    "a b.json": b"{}",
}

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters='/\\:"'), min_size=1
)


def fill(contents: dict[str, bytes]):
    def write(folder: Path) -> None:
        for name, data in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    return write


def make(folder: Path, contents: dict[str, bytes] = CONTENTS, **info: object) -> Manifest:
    return write_bundle(folder, "toy", info, fill(contents))


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    table = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(table))


def beside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.iterdir() if path != folder)


# --- round trip -----------------------------------------------------------------


def test_a_bundle_opens_as_it_was_written(tmp_path):
    written = make(tmp_path / "deep" / "bundle", classes=["A", "B"], seed=1)
    manifest = open_bundle(tmp_path / "deep" / "bundle", kind="toy")
    assert manifest == written
    assert manifest.info == {"classes": ["A", "B"], "seed": 1}
    assert manifest.format_version == FORMAT_VERSION
    assert set(manifest.files) == set(CONTENTS)
    assert manifest.files["trees/second.txt"].size == 0
    assert manifest.created.endswith("+00:00")
    for name, data in CONTENTS.items():
        assert (tmp_path / "deep" / "bundle" / name).read_bytes() == data


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    contents=st.dictionaries(
        NAMES.map(lambda name: f"x{name}"[:40]), st.binary(max_size=64), min_size=1, max_size=4
    )
)
def test_any_plain_names_and_bytes_survive(tmp_path, contents):
    contents = {name: data for name, data in contents.items() if len(name.encode()) < 200}
    folder = tmp_path / "bundle"
    written = make(folder, contents)
    assert open_bundle(folder) == written
    assert {name: (folder / name).read_bytes() for name in contents} == contents


def test_nothing_is_left_beside_a_bundle(tmp_path):
    make(tmp_path / "bundle")
    make(tmp_path / "bundle")
    assert beside(tmp_path / "bundle") == []


def test_the_manifest_pickles_for_worker_processes(tmp_path):
    manifest = make(tmp_path / "bundle", seed=3)
    assert pickle.loads(pickle.dumps(manifest)) == manifest


def test_reading_the_manifest_does_not_touch_the_files(tmp_path):
    written = make(tmp_path / "bundle")
    (tmp_path / "bundle" / "weights.bin").unlink()
    assert read_manifest(tmp_path / "bundle") == written


# --- fingerprint ----------------------------------------------------------------


def test_equal_contents_have_equal_fingerprints(tmp_path):
    first = make(tmp_path / "first", seed=1)
    second = make(tmp_path / "second", dict(reversed(CONTENTS.items())), seed=2)
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 12
    assert json.loads((tmp_path / "first" / "manifest.json").read_text())["fingerprint"] == first.fingerprint


@pytest.mark.parametrize(
    "change", [{"weights.bin": b"\x00\x01\x03"}, {"other.bin": b""}, {"trees/second.txt": b"\n"}]
)
def test_any_change_of_the_files_changes_the_fingerprint(tmp_path, change):
    assert make(tmp_path / "a").fingerprint != make(tmp_path / "b", CONTENTS | change).fingerprint


def test_moving_bytes_to_another_name_changes_the_fingerprint(tmp_path):
    first = make(tmp_path / "a", {"a": b"1", "b": b"2"})
    assert first.fingerprint != make(tmp_path / "b", {"a": b"2", "b": b"1"}).fingerprint


# --- damage ---------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_found_and_its_file_named(tmp_path, data):
    folder = tmp_path / "bundle"
    make(folder)
    name = data.draw(st.sampled_from([name for name, content in CONTENTS.items() if content]))
    content = bytearray((folder / name).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=name.split("/")[-1]):
        open_bundle(folder)


def test_a_missing_file_is_named(tmp_path):
    make(tmp_path / "bundle")
    (tmp_path / "bundle" / "trees" / "first.txt").unlink()
    with pytest.raises(BundleError, match=r"'trees/first\.txt' is missing"):
        open_bundle(tmp_path / "bundle")


def test_an_added_file_is_named(tmp_path):
    make(tmp_path / "bundle")
    (tmp_path / "bundle" / "trees" / "extra.txt").write_text("x")
    with pytest.raises(BundleError, match=r"'trees/extra\.txt' is not in the manifest"):
        open_bundle(tmp_path / "bundle")


def test_a_longer_file_is_found(tmp_path):
    make(tmp_path / "bundle")
    with open(tmp_path / "bundle" / "weights.bin", "ab") as file:
        file.write(b"more")
    with pytest.raises(BundleError, match=r"weights\.bin"):
        open_bundle(tmp_path / "bundle")


def test_another_kind_is_refused(tmp_path):
    make(tmp_path / "bundle")
    with pytest.raises(BundleError, match="kind 'toy', but 'pipeline' is needed"):
        open_bundle(tmp_path / "bundle", kind="pipeline")


def test_a_newer_format_asks_for_an_upgrade(tmp_path):
    make(tmp_path / "bundle")
    edit_manifest(tmp_path / "bundle", firstlight_bundle=FORMAT_VERSION + 1, files="of another shape")
    with pytest.raises(BundleVersionError, match=r"pip install -U firstlight"):
        open_bundle(tmp_path / "bundle")
    assert is_bundle(tmp_path / "bundle")


@pytest.mark.parametrize(
    "changes",
    [
        {"files": ["weights.bin"]},
        {"files": {"weights.bin": {"size": 3}}},
        {"files": {"weights.bin": {"size": "3", "sha256": "0"}}},
        {"files": {"weights.bin": 3}},
        {"info": 3},
        {"firstlight_bundle": "1"},
        {"firstlight_bundle": True},
        {"firstlight_bundle": 0},
    ],
)
def test_a_damaged_manifest_is_one_clear_error(tmp_path, changes):
    make(tmp_path / "bundle")
    edit_manifest(tmp_path / "bundle", **changes)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        open_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_one_clear_error(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        open_bundle(tmp_path)
    assert not is_bundle(tmp_path)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        open_bundle(tmp_path)
    with pytest.raises(BundleError, match="not a bundle"):
        open_bundle(tmp_path / "absent" / "folder")


def test_a_replacement_cut_short_says_where_the_old_bundle_is(tmp_path):
    make(tmp_path / "bundle")
    os.rename(tmp_path / "bundle", tmp_path / ".bundle.0123456789ab.old")
    with pytest.raises(BundleError, match=r"'\.bundle\.0123456789ab\.old' beside it"):
        open_bundle(tmp_path / "bundle")


# --- paths ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "C:x",
        "a\\b",
        "",
        ".",
        "./a",
        "a//b",
        "a/",
        "manifest.json",
        "a\0b",
        "\ud800",
    ],
)
def test_a_manifest_cannot_point_out_of_its_folder(tmp_path, name):
    make(tmp_path / "bundle")
    edit_manifest(tmp_path / "bundle", files={name: {"size": 0, "sha256": "0" * 64}})
    with pytest.raises(BundleError, match="not allowed"):
        open_bundle(tmp_path / "bundle")


@settings(max_examples=200)
@given(name=st.text(max_size=12) | st.lists(st.sampled_from(["..", ".", "a", "", "/"])).map("/".join))
def test_accepted_names_stay_inside(name):
    from firstlight.pipeline.bundle import _safe_name

    root = Path("/bundle")
    try:
        _safe_name(name)
    except ValueError:
        return
    inside = os.path.normpath(root / name)
    assert inside.startswith("/bundle/")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": 1},
        {"created": None},
        {"info": [["a", 1]]},
        {"files": []},
        {"files": {"a": 1}},
        {"files": {"a": {"size": True, "sha256": "0" * 64}}},
        {"files": {"a": {"size": -1, "sha256": "0" * 64}}},
        {"files": {"a": {"size": 1, "sha256": "0" * 63}}},
        {"files": {"a": {"size": 1}}},
        {"files": {"a": {"size": 1 << 60, "sha256": "0" * 64}}},
        {"files": {f"f{k}": {"size": 0, "sha256": "0" * 64} for k in range(2000)}},
    ],
)
def test_a_manifest_of_wrong_types_or_without_bounds_is_damaged(tmp_path, change):
    make(tmp_path / "bundle")
    edit_manifest(tmp_path / "bundle", **change)
    with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
        open_bundle(tmp_path / "bundle")


def test_a_manifest_that_is_a_link_is_no_bundle(tmp_path):
    make(tmp_path / "bundle")
    (tmp_path / "bundle" / "manifest.json").rename(tmp_path / "elsewhere.json")
    (tmp_path / "bundle" / "manifest.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BundleError, match="not a bundle"):
        open_bundle(tmp_path / "bundle")


def test_a_folder_of_too_many_files_is_refused(tmp_path):
    make(tmp_path / "bundle")
    for k in range(2100):
        (tmp_path / "bundle" / f"f{k}").touch()
    with pytest.raises(BundleError, match="more than 1000 files"):
        open_bundle(tmp_path / "bundle")


def test_links_are_refused_in_reading_and_writing(tmp_path):
    make(tmp_path / "bundle")
    weights = tmp_path / "bundle" / "weights.bin"
    weights.rename(tmp_path / "elsewhere.bin")
    weights.symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(BundleError, match="not a plain file"):
        open_bundle(tmp_path / "bundle")

    def link(folder: Path) -> None:
        (folder / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")

    with pytest.raises(BundleError, match="not a plain file"):
        write_bundle(tmp_path / "other", "toy", {}, link)
    assert not (tmp_path / "other").exists()


# --- all or nothing -------------------------------------------------------------


def test_a_failed_write_leaves_the_old_bundle(tmp_path):
    first = make(tmp_path / "bundle")

    def fail(folder: Path) -> None:
        (folder / "half.bin").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(tmp_path / "bundle", "toy", {}, fail)
    assert open_bundle(tmp_path / "bundle") == first
    assert beside(tmp_path / "bundle") == []


def test_a_failed_swap_brings_the_old_bundle_back(tmp_path, monkeypatch):
    first = make(tmp_path / "bundle")
    rename = os.rename

    def refuse_new(source, target):
        if str(source).endswith(".partial"):
            raise PermissionError(13, "denied", str(target))
        rename(source, target)

    monkeypatch.setattr("firstlight.pipeline.bundle.os.rename", refuse_new)
    with pytest.raises(PermissionError):
        make(tmp_path / "bundle", {"new.bin": b"new"})
    assert open_bundle(tmp_path / "bundle") == first
    assert beside(tmp_path / "bundle") == []


def test_a_bundle_is_replaced_whole(tmp_path):
    make(tmp_path / "bundle")
    second = make(tmp_path / "bundle", {"only.bin": b"1"})
    assert open_bundle(tmp_path / "bundle") == second
    assert sorted(path.name for path in (tmp_path / "bundle").iterdir()) == ["manifest.json", "only.bin"]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "bundle").mkdir()
    make(tmp_path / "bundle")
    open_bundle(tmp_path / "bundle")


def test_a_link_to_a_bundle_stays_a_link(tmp_path):
    make(tmp_path / "v1")
    (tmp_path / "current").symlink_to(tmp_path / "v1", target_is_directory=True)
    second = make(tmp_path / "current", {"only.bin": b"1"})
    assert (tmp_path / "current").is_symlink()
    assert open_bundle(tmp_path / "v1") == second


def test_other_peoples_folders_are_left_alone(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years")
    with pytest.raises(BundleError, match="not a bundle"):
        make(tmp_path / "thesis")
    (tmp_path / "thesis" / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match="not a bundle"):
        make(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years"


def test_a_folder_filled_meanwhile_is_left_alone(tmp_path):
    def slow(folder: Path) -> None:
        (folder / "weights.bin").write_bytes(b"1")
        (tmp_path / "bundle").mkdir()
        (tmp_path / "bundle" / "note.txt").write_text("mine")

    with pytest.raises(BundleError, match="not a bundle"):
        write_bundle(tmp_path / "bundle", "toy", {}, slow)
    assert (tmp_path / "bundle" / "note.txt").read_text() == "mine"


def test_a_file_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "bundle").write_text("text")
    with pytest.raises(BundleError, match="this is a file"):
        make(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("contents", "reason"), [({}, "no file was written"), ({"manifest.json": b""}, "reserved")]
)
def test_a_writer_that_breaks_the_rules_is_refused(tmp_path, contents, reason):
    with pytest.raises(BundleError, match=reason):
        make(tmp_path / "bundle", contents)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
def test_info_must_be_plain_json(tmp_path, value):
    with pytest.raises(BundleError, match="plain JSON"):
        make(tmp_path / "bundle", value=value)
    assert not (tmp_path / "bundle").exists()


def test_a_folder_of_the_same_name_as_a_file_is_not_that_file(tmp_path):
    make(tmp_path / "bundle", {"a": b"1", "b": b"2"})
    (tmp_path / "bundle" / "a").unlink()
    (tmp_path / "bundle" / "a").mkdir()
    with pytest.raises(BundleError, match="'a' is missing"):
        open_bundle(tmp_path / "bundle")


def test_a_destination_is_checked_before_work_is_done(tmp_path):
    check_destination(tmp_path / "new" / "bundle")
    (tmp_path / "file").write_text("a file")
    for taken in (tmp_path, tmp_path / "file", tmp_path / "file" / "bundle"):
        with pytest.raises(BundleError, match="choose another"):
            check_destination(taken)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_bundle_is_found_by_path_and_by_name(tmp_path):
    names = shipped_bundles()
    assert "default" in names
    assert find_bundle() == find_bundle("default") == names["default"]
    assert find_bundle(tmp_path) == tmp_path


def test_a_folder_counts_before_a_name(tmp_path, monkeypatch):
    (tmp_path / "default").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_bundle("default") == Path("default")


def test_neither_path_nor_name_lists_the_shipped_ones():
    with pytest.raises(BundleError, match=r"shipped ones are .*default"):
        find_bundle("nowhere")
