"""`firstlight bundle`: keys, signatures, and commands that demand one."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from firstlight.pipeline.bundle import shipped_bundles
from firstlight.storage import read_json

pytest.importorskip("cryptography")


@pytest.fixture(scope="module")
def signed(firstlight, tmp_path_factory) -> tuple[Path, Path]:
    """A signed copy of the bundle fast, and the public key."""
    folder = tmp_path_factory.mktemp("signed")
    shutil.copytree(shipped_bundles()["fast"], folder / "bundle")
    public = firstlight("bundle", "keygen", folder / "maker.key").stdout.strip()
    firstlight("bundle", "sign", folder / "bundle", "--key", folder / "maker.key")
    return folder / "bundle", Path(public)


def test_a_signed_bundle_is_verified(firstlight, signed):
    bundle, key = signed
    version = read_json(bundle / "manifest.json")["fingerprint"]
    assert f"as signed, version {version}" in firstlight("bundle", "verify", bundle, "--key", key).stdout
    assert "names key" in firstlight("info", bundle).stdout


def test_another_key_and_an_unsigned_bundle_end_with_code_1(firstlight, signed, tmp_path):
    firstlight("bundle", "keygen", tmp_path / "other.key")
    done = firstlight("bundle", "verify", signed[0], "--key", tmp_path / "other.key.pub", ok=False)
    assert done.returncode == 1
    assert "not signed with key" in done.stderr
    done = firstlight("bundle", "verify", shipped_bundles()["fast"], "--key", signed[1], ok=False)
    assert "not signed (no manifest.sig)" in done.stderr


def test_commands_refuse_a_bundle_without_the_signature(
    firstlight, signed, sample_paths, tmp_path, monkeypatch
):
    words = ("--metadata", sample_paths.metadata, "--out", tmp_path / "a.csv")
    classify = ("classify", sample_paths.light_curves, *words)
    done = firstlight(*classify, "--bundle", "fast", "--verify-with", signed[1], ok=False)
    assert "not signed" in done.stderr
    stream = ("stream", "--source", tmp_path, "--sink", tmp_path / "b.jsonl", "--state", tmp_path / "state")
    monkeypatch.setenv("FIRSTLIGHT_VERIFY_WITH", str(signed[1]))
    assert "not signed" in firstlight(*stream, "--bundle", "fast", ok=False).stderr
    assert "not signed" in firstlight(*classify, "--bundle", "fast", ok=False).stderr
    assert not (tmp_path / "a.csv").exists()
    name = str(pd.read_csv(sample_paths.metadata)["object_id"][0])
    sample = ("--data", sample_paths.light_curves, "--metadata", sample_paths.metadata)
    for command in (("explain", name), ("plot", name, "--out", tmp_path / "a.png")):
        assert "not signed" in firstlight(*command, *sample, "--bundle", "fast", ok=False).stderr
    labels = ("--labels", sample_paths.metadata, "--from", "fast", "--out", tmp_path / "adapted")
    assert "not signed" in firstlight("adapt", *sample, *labels, ok=False).stderr
    objects = tmp_path / "objects.txt"
    objects.write_text(f"{name}\n")
    firstlight(*classify, "--objects", objects, "--bundle", signed[0])


def test_info_shows_foreign_text_as_it_is(firstlight, signed, tmp_path):
    shutil.copytree(signed[0], tmp_path / "bundle")
    path = tmp_path / "bundle" / "manifest.json"
    table = json.loads(path.read_text())
    table["info"]["note"] = "\x1b[2J[red]gone[/red]\nsignature yes"
    path.write_text(json.dumps(table))
    shown = firstlight("info", tmp_path / "bundle").stdout
    assert r"\x1b[2J[red]gone[/red]\nsignature yes" in shown
    assert "\x1b" not in shown
