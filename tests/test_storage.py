"""Files inside a bundle are checked as they are read."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from firstlight import storage
from firstlight.errors import BundleError, BundleVersionError
from firstlight.storage import (
    ArraySpec,
    check_arrays,
    read_arrays,
    read_json,
    read_state,
    read_text,
    write_arrays,
    write_state,
    write_text,
)


@dataclass(frozen=True)
class State:
    x: tuple[float, ...]
    name: str = ""
    counts: Mapping[str, int] | None = None


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path


def test_state_comes_back_with_all_digits(folder):
    write_state(folder / "a.json", {"x": [0.1, 1 / 3], "name": "muLens-Single", "counts": {"n": 3}, "new": 1})
    assert read_state(folder / "a.json", State) == State((0.1, 1 / 3), "muLens-Single", {"n": 3})


def test_text_comes_back_and_repeats_bit_for_bit(folder):
    write_text(folder / "a.gz", "tree\nλ=1\n")
    write_text(folder / "b.gz", "tree\nλ=1\n")
    assert read_text(folder / "a.gz") == "tree\nλ=1\n"
    assert (folder / "a.gz").read_bytes() == (folder / "b.gz").read_bytes()


def test_arrays_come_back_writable(folder):
    arrays = {"a": np.arange(3), "b": np.ones((2, 2))[:, ::-1]}
    write_arrays(folder / "a.safetensors", arrays)
    for name, array in read_arrays(folder / "a.safetensors").items():
        np.testing.assert_array_equal(array, arrays[name])
        assert array.flags.writeable  # compiled code is compiled for writable arrays


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b'{"y": 1}',
        b"\xff\xfe",
        b'{"x": 1}',
        b'{"x": "12"}',
        b'{"x": [true]}',
        b'{"x": [NaN]}',
        b'{"x": [Infinity]}',
        b'{"x": [1e999]}',
        b'{"x": [1' + b"0" * 400 + b"]}",
        b'{"x": [1' + b"0" * 5000 + b"]}",
        b'{"x": [1.0], "name": 5}',
        b'{"x": [1.0], "counts": {"n": 1.5}}',
        b'{"x": [1.0], "counts": [1]}',
        b'{"x": [1.0], "format": "1"}',
        b'{"x": [1.0], "format": true}',
        b"[" * 100_000,
        b'{"x":' * 100_000,
    ],
)
def test_bad_state_is_a_bundle_error(folder, content):
    (folder / "a.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"a\.json.*fetch or train"):
        read_state(folder / "a.json", State)


def test_state_of_a_newer_format_is_refused_before_it_is_read(folder):
    write_state(folder / "a.json", {"format": 2, "x": "other"})
    with pytest.raises(BundleVersionError, match="upgrade"):
        read_state(folder / "a.json", State)


@pytest.mark.parametrize(
    "content",
    [b"", b"plain", b"\x1f\x8b\x08\x00", gzip.compress(b"", mtime=0), gzip.compress(b"\xff", mtime=0)],
)
def test_bad_text_is_a_bundle_error(folder, content):
    (folder / "a.gz").write_bytes(content)
    with pytest.raises(BundleError, match=r"a\.gz"):
        read_text(folder / "a.gz")


def test_a_flipped_bit_in_text_is_a_bundle_error(folder):
    write_text(folder / "a.gz", "tree\n" * 100)
    damaged = bytearray((folder / "a.gz").read_bytes())
    damaged[len(damaged) // 2] ^= 0x10
    (folder / "a.gz").write_bytes(bytes(damaged))
    with pytest.raises(BundleError, match=r"a\.gz"):
        read_text(folder / "a.gz")


def test_files_that_are_too_large_are_refused(folder, monkeypatch):
    write_text(folder / "a.gz", "tree\n" * 1000)
    write_state(folder / "a.json", {"x": [1.0] * 1000})
    write_arrays(folder / "a.safetensors", {"a": np.zeros(1000)})
    write_arrays(folder / "b.safetensors.gz", {"a": np.zeros(1000)})
    for name in ("LARGEST_TEXT", "LARGEST_STATE", "LARGEST_ARRAYS"):
        monkeypatch.setattr(storage, name, 1000)
    for read, name in (
        (read_text, "a.gz"),
        (read_json, "a.json"),
        (read_arrays, "a.safetensors"),
        (read_arrays, "b.safetensors.gz"),
    ):
        with pytest.raises(BundleError, match=rf"{name}: (inflates to more|larger) than"):
            read(folder / name)


def test_a_number_type_that_numpy_lacks_is_a_bundle_error(folder):
    header = json.dumps({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    (folder / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(BundleError, match=r"a\.safetensors"):
        read_arrays(folder / "a.safetensors")


def test_a_number_type_of_another_library_is_a_bundle_error_too(folder):
    pytest.importorskip("ml_dtypes")
    test_a_number_type_that_numpy_lacks_is_a_bundle_error(folder)


def test_gzipped_arrays_are_the_same_and_writable(folder):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([1, 2])}
    for _ in range(2):
        write_arrays(folder / "a.safetensors.gz", arrays)
    read = read_arrays(folder / "a.safetensors.gz")
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].flags.writeable
    content = (folder / "a.safetensors.gz").read_bytes()
    for damaged in (content[:-9], content[:12] + b"?" + content[13:], b"?"):
        (folder / "a.safetensors.gz").write_bytes(damaged)
        with pytest.raises(BundleError, match="cannot be read"):
            read_arrays(folder / "a.safetensors.gz")


def test_bad_arrays_are_a_bundle_error(folder):
    (folder / "a.safetensors").write_bytes(b"\x00" * 4)
    with pytest.raises(BundleError, match="safetensors"):
        read_arrays(folder / "a.safetensors")
    with pytest.raises(BundleError, match=r"none\.safetensors"):
        read_arrays(folder / "none.safetensors")


SPECS = {
    "a": ArraySpec("float64", ("n", "m"), 0.0, 1.0),
    "b": ArraySpec("int64", ("n",), order="rising"),
    "c": ArraySpec("float32", (2, "m", "m")),
}


def good() -> dict[str, np.ndarray]:
    return {
        "a": np.ones((3, 2)),
        "b": np.arange(3),
        "c": np.zeros((2, 2, 2), np.float32),
        "other": np.ones(1),
    }


def test_arrays_that_keep_their_specs_are_returned():
    assert list(check_arrays(good(), SPECS, "here", n=3)) == ["a", "b", "c"]
    assert check_arrays({"b": np.zeros(0, np.int64)}, {"b": SPECS["b"]}, "here")["b"].size == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a", np.ones((3, 2), np.float32)),
        ("a", np.ones(3)),
        ("a", np.full((3, 2), 1.5)),
        ("a", np.full((3, 2), np.nan)),
        ("a", np.full((3, 2), -np.inf)),
        ("b", np.arange(4)),
        ("b", np.array([0, 2, 1])),
        ("b", np.array([0, 0, 1])),
        ("c", np.zeros((2, 2, 3), np.float32)),
        ("c", np.zeros((3, 2, 2), np.float32)),
        ("c", np.full((2, 2, 2), np.inf, np.float32)),
    ],
)
def test_an_array_that_breaks_its_spec_is_named(name, value):
    with pytest.raises(BundleError, match=f"here: array '{name}'"):
        check_arrays(good() | {name: value}, SPECS, "here")


def test_missing_arrays_are_named():
    with pytest.raises(BundleError, match=r"here: without array\(s\) \['b'\]"):
        check_arrays({name: array for name, array in good().items() if name != "b"}, SPECS, "here")
