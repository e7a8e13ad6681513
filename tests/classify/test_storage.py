"""Files of a saved classifier."""

import numpy as np
import pytest

from firstlight.classify.storage import (
    read_arrays,
    read_state,
    read_text,
    write_arrays,
    write_state,
    write_text,
)
from firstlight.errors import BundleError


def test_state_comes_back_with_all_digits(folder):
    write_state(folder / "a.json", {"x": [0.1, 1 / 3], "name": "muLens-Single"})
    assert read_state(folder / "a.json", "x") == {"x": [0.1, 1 / 3], "name": "muLens-Single"}


def test_text_comes_back_and_repeats_bit_for_bit(folder):
    write_text(folder / "a.gz", "tree\nλ=1\n")
    write_text(folder / "b.gz", "tree\nλ=1\n")
    assert read_text(folder / "a.gz") == "tree\nλ=1\n"
    assert (folder / "a.gz").read_bytes() == (folder / "b.gz").read_bytes()


def test_arrays_come_back(folder):
    arrays = {"a": np.arange(3), "b": np.ones((2, 2))[:, ::-1]}
    write_arrays(folder / "a.safetensors", arrays)
    for name, array in read_arrays(folder / "a.safetensors", "a", "b").items():
        np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"y": 1}', b"\xff\xfe"])
def test_bad_state_is_a_bundle_error(folder, content):
    (folder / "a.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"a\.json"):
        read_state(folder / "a.json", "x")


@pytest.mark.parametrize("content", [b"", b"plain", b"\x1f\x8b\x08\x00"])
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


def test_bad_arrays_are_a_bundle_error(folder):
    (folder / "a.safetensors").write_bytes(b"\x00" * 4)
    with pytest.raises(BundleError, match="safetensors"):
        read_arrays(folder / "a.safetensors")
    write_arrays(folder / "a.safetensors", {"a": np.arange(3)})
    with pytest.raises(BundleError, match="'b'"):
        read_arrays(folder / "a.safetensors", "a", "b")
    with pytest.raises(BundleError, match=r"none\.safetensors"):
        read_arrays(folder / "none.safetensors")
