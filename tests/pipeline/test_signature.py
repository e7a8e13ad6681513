"""A signed bundle proves who made it, to whom has the public key."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from firstlight.errors import BundleError, MissingExtraError, SettingsError
from firstlight.pipeline.bundle import open_bundle, shipped_bundles, sign_bundle, write_bundle
from firstlight.pipeline.signature import SIGNATURE_NAME, make_keys, signed_with

pytest.importorskip("cryptography")


def fill(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "weights.bin").write_bytes(b"weights")
    (folder / "b.json").write_text("{}")


@pytest.fixture
def keys(tmp_path) -> tuple[Path, Path]:
    return tmp_path / "maker.key", make_keys(tmp_path / "maker.key")


@pytest.fixture
def signed(keys, tmp_path) -> Path:
    folder = tmp_path / "bundle"
    write_bundle(folder, "toy", {"n": 1}, fill)
    sign_bundle(folder, keys[0])
    return folder


def test_a_signed_bundle_opens_with_the_key_and_without_one(signed, keys):
    assert open_bundle(signed, public_key=keys[1]) == open_bundle(signed)
    assert signed_with(signed) == sign_bundle(signed, keys[0])


def test_the_private_key_is_for_its_owner_alone(keys):
    assert keys[0].stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in keys[1].read_bytes()


def change_manifest(folder: Path) -> None:
    table = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(table | {"info": {"n": 2}}))


def replace_file(folder: Path) -> None:
    """Another file with a right checksum in the manifest: the case that checksums alone do not find."""
    other = folder.parent / "other"
    write_bundle(other, "toy", {"n": 1}, lambda to: (to / "b.json").write_text("[]"))
    shutil.copy(folder / SIGNATURE_NAME, other)
    shutil.rmtree(folder)
    other.rename(folder)


@pytest.mark.parametrize(
    "change",
    [
        change_manifest,
        replace_file,
        lambda folder: (folder / "a" / "weights.bin").write_bytes(b"WEIGHTS"),
        lambda folder: (folder / "b.json").unlink(),
        lambda folder: (folder / "c.json").write_text("{}"),
        lambda folder: (folder / "a" / SIGNATURE_NAME).write_text("{}"),
        lambda folder: (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes() + b" "),
        lambda folder: (folder / SIGNATURE_NAME).unlink(),
        lambda folder: (folder / SIGNATURE_NAME).write_text("{}"),
        lambda folder: (folder / SIGNATURE_NAME).write_text('{"key": "0", "signature": "AA=="}'),
        lambda folder: (folder / SIGNATURE_NAME).write_text('{"key": "0", "signature": "?"}'),
    ],
)
def test_every_change_of_a_signed_bundle_is_found(signed, keys, change):
    change(signed)
    with pytest.raises(BundleError):
        open_bundle(signed, public_key=keys[1])


def test_the_signature_of_somebody_else_is_refused(signed, tmp_path):
    other = make_keys(tmp_path / "other.key")
    with pytest.raises(BundleError, match=f"signed with key {signed_with(signed)}"):
        open_bundle(signed, public_key=other)


def test_a_signature_that_is_a_link_is_refused(signed, keys):
    (signed / SIGNATURE_NAME).rename(signed.parent / "signature")
    (signed / SIGNATURE_NAME).symlink_to(signed.parent / "signature")
    with pytest.raises(BundleError):
        open_bundle(signed, public_key=keys[1])


def test_a_damaged_bundle_is_not_signed(signed, keys):
    (signed / "b.json").write_text("[]")
    with pytest.raises(BundleError, match="has changed"):
        sign_bundle(signed, keys[0])


def test_a_bundle_that_ships_with_the_package_is_not_changed(keys):
    with pytest.raises(BundleError, match="copy its folder"):
        sign_bundle(shipped_bundles()["fast"], keys[0])


def test_writing_a_bundle_again_removes_the_old_signature(signed, keys):
    write_bundle(signed, "toy", {"n": 1}, fill)
    with pytest.raises(BundleError, match="not signed"):
        open_bundle(signed, public_key=keys[1])


def test_a_bundle_cannot_hold_a_file_of_the_name_of_the_signature(tmp_path):
    with pytest.raises(BundleError, match="reserved"):
        write_bundle(tmp_path / "x", "toy", {}, lambda folder: (folder / SIGNATURE_NAME).write_text("{}"))


def test_keys_are_never_overwritten(keys):
    with pytest.raises(SettingsError, match="exists"):
        make_keys(keys[0])
    keys[0].unlink()
    with pytest.raises(SettingsError, match="exists"):
        make_keys(keys[0])


@pytest.mark.parametrize(
    "content", [b"", b"plain", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_a_file_without_a_key_is_a_settings_error(signed, keys, tmp_path, content):
    (tmp_path / "odd").write_bytes(content)
    for key in (tmp_path / "odd", tmp_path / "none", keys[0]):
        with pytest.raises(SettingsError, match="key"):
            open_bundle(signed, public_key=key)
    for key in (tmp_path / "odd", tmp_path / "none", keys[1]):
        with pytest.raises(SettingsError, match="key"):
            sign_bundle(signed, key)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_keys_of_openssl_are_read(signed, tmp_path):
    private, public = tmp_path / "o.key", tmp_path / "o.pub"
    for words in (
        ("genpkey", "-algorithm", "ed25519", "-out", private),
        ("pkey", "-in", private, "-pubout", "-out", public),
    ):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
    sign_bundle(signed, private)
    open_bundle(signed, public_key=public)


def test_without_the_extra_it_is_named(signed, keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(MissingExtraError, match=r"firstlight\[sign\]"):
        open_bundle(signed, public_key=keys[1])
    open_bundle(signed)
