"""Bundles with right checksums: each loads and predicts finite numbers, or is a `BundleError`.

The mutants are of a tiny bundle of the preset ``fast``. The children check all indices in compiled code.
"""

import gzip
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from tests.fuzz.mutate import NUMBERS, change_array, change_bytes, change_json, packed_zeros, to_json

from firstlight.data import read
from firstlight.errors import BundleError
from firstlight.lightcurves import LightCurves
from firstlight.pipeline import Pipeline, load_preset
from firstlight.taxonomy import from_plasticc

TESTS = Path(__file__).parent.parent
N_OBJECTS = 6  # more than four, so that trees run in blocks of rows; see `_walk` for fewer

Files = dict[str, bytes]


def make(folder: Path) -> "Bundles":
    """The target, with the tiny bundle that it mutates."""
    return Bundles(folder)


class Bundles:
    documented = (BundleError,)
    case_s = 20
    case_bytes = 512 << 20

    def __init__(self, folder: Path) -> None:
        self._mutant = folder / "mutant"
        data = TESTS / "data"
        curves = read(data / "plasticc_sample_lightcurves.csv.gz", data / "plasticc_sample_metadata.csv.gz")
        self._curves = curves.take(np.arange(0, len(curves), len(curves) // N_OBJECTS)[:N_OBJECTS])
        self._few = self._curves.take(np.arange(2))
        good = tiny_bundle(curves)
        self._good = {
            path.relative_to(good).as_posix(): path.read_bytes() for path in good.rglob("*") if path.is_file()
        }
        assert self._good, "no bundle to mutate"
        self._use({})  # it is sound; and what follows is not timed for compilation

    def past(self) -> list[Callable[[], None]]:
        """Changes that once wrote or read outside of arrays, hung, or gave a traceback."""
        gate = "classifier/gate.txt.gz"
        forest = {
            "isolation.depth": 1 << 62,
            "isolation.nodes": 0,
            "isolation.output": 99,
            "isolation.root": 1,
        }
        return [
            *(
                lambda key=key: self._use(self._with_lines(gate, key, "0"))
                for key in ("left_child", "right_child")
            ),
            lambda: self._use(self._with_lines(gate, "split_feature", "1000000")),
            lambda: self._use(self._with_lines(gate, "num_tree_per_iteration", "0")),
            lambda: self._use(self._with_lines(gate, "leaf_value", "inf")),
            lambda: self._use({gate: packed_zeros(1024, start=b"tree\n")}),
            *(
                lambda n=n, v=v: self._use(self._with_array("anomaly/anomaly.safetensors.gz", n, v))
                for n, v in forest.items()
            ),
            lambda: self._use(self._with_array("anomaly/anomaly.safetensors.gz", "isolation.value", np.nan)),
            lambda: self._use(self._with_array("encoder/weights.safetensors", "fc1.weight", np.inf)),
            lambda: self._use(self._with_array("encoder/weights.safetensors", "context_std", 0.0)),
            lambda: self._use({"pipeline.json": b"[]"}),
            lambda: self._use({"encoder/encoder.json": b"[" * 100_000}),
        ]

    def case(self, rng: np.random.Generator) -> Callable[[], None]:
        """One or two files changed."""
        changed: Files = {}
        for _ in range(1 if rng.random() < 0.8 else 2):
            name = sorted(self._good)[rng.integers(len(self._good))]
            changed[name] = _change(rng, name, changed.get(name) or self._good[name])
        return lambda: self._use(changed)

    def _use(self, changed: Files) -> None:
        """Write the mutant, load it, classify."""
        _write(self._mutant, self._good | changed)
        pipeline = Pipeline.load(self._mutant)
        for curves in (self._curves, self._few):
            _classify(pipeline, curves)

    def _with_lines(self, name: str, key: str, value: str) -> Files:
        text = gzip.decompress(self._good[name]).decode()
        pattern = re.compile(rf"^{key}=(.*)$", re.MULTILINE)
        new = pattern.sub(lambda found: f"{key}={' '.join([value] * len(found[1].split()))}", text)
        return {name: gzip.compress(new.encode(), 1)}

    def _with_array(self, name: str, array: str, value: float) -> Files:
        arrays = _load(name, self._good[name])
        arrays[array] = np.full_like(arrays[array], value)
        return {name: _save(name, arrays)}


def _classify(pipeline: Pipeline, curves: LightCurves) -> None:
    found = pipeline.predict(curves, jobs=1)
    assert np.isfinite(found.proba).all(), "a probability is not finite"
    assert np.allclose(found.proba.sum(axis=1), 1.0), "probabilities do not sum to one"
    anomaly = found.anomaly[found.is_classified]  # the others have none
    assert ((anomaly >= 0.0) & (anomaly <= 1.0)).all(), (
        "an anomaly score that is not finite, or outside 0 to 1"
    )


def _load(name: str, data: bytes) -> dict[str, np.ndarray]:
    """Arrays of a file."""
    return dict(load_arrays(gzip.decompress(data) if name.endswith(".gz") else data))


def _save(name: str, arrays: dict[str, np.ndarray]) -> bytes:
    """Content of a file of arrays."""
    content = save_arrays(arrays)
    return gzip.compress(content, 1) if name.endswith(".gz") else content


def _change(rng: np.random.Generator, name: str, data: bytes) -> bytes:
    """The content of a file, changed in a way that its format knows; or a few bytes."""
    if rng.random() < 0.1:
        return change_bytes(rng, data)
    try:
        if name.endswith(".json"):
            return to_json(change_json(rng, json.loads(data)))
        if name.endswith((".safetensors", ".safetensors.gz")):
            arrays = _load(name, data)
            chosen = sorted(arrays)[rng.integers(len(arrays))]
            if rng.random() < 0.1:
                del arrays[chosen]
            elif rng.random() < 0.1:
                arrays[chosen] = arrays[sorted(arrays)[rng.integers(len(arrays))]]
            else:
                arrays[chosen] = np.ascontiguousarray(change_array(rng, arrays[chosen]))
            return _save(name, arrays)
        if name.endswith(".gz"):
            return gzip.compress(_change_text(rng, gzip.decompress(data).decode()).encode(), 1)
    except (ValueError, OSError, RecursionError):  # a file that was changed before
        pass
    return change_bytes(rng, data)


def _change_text(rng: np.random.Generator, text: str) -> str:
    """Change one line of a LightGBM text."""
    lines = text.split("\n")
    at = int(rng.choice([k for k, line in enumerate(lines) if "=" in line]))
    key, _, values = lines[at].partition("=")
    words = values.split(" ")
    number = str(NUMBERS[rng.integers(len(NUMBERS))])
    way = rng.integers(0, 7)
    if way <= 2:
        words[rng.integers(len(words))] = str(int(rng.integers(-20, 20))) if way else number
    elif way == 3:
        words = [number if rng.random() < 0.5 else "0"] * len(words)
    elif way == 4:
        rng.shuffle(words)
    elif way == 5:
        words = words[:-1] if rng.random() < 0.5 else [*words, number]
    lines[at] = f"{key}={' '.join(words)}"
    if way == 6:
        lines[at : at + 1] = [] if rng.random() < 0.5 else [lines[at]] * 2
    return "\n".join(lines)


def _write(folder: Path, files: Files) -> None:
    """Write a bundle; the checksums are right."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        manifest = json.loads(files["manifest.json"])
        described = manifest["files"]
        for name in described:
            content = files[name]
            described[name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        files = files | {"manifest.json": to_json(manifest)}
    except (ValueError, KeyError, TypeError):  # the manifest itself was changed
        pass
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def tiny_bundle(curves: LightCurves) -> Path:
    """A bundle of the preset ``fast`` at the size of a test, trained where the cache has none."""
    folder = Path(os.environ["FIRSTLIGHT_FUZZ_CACHE"]) / "bundle"
    if not (folder / "manifest.json").is_file():
        objects = pd.read_csv(TESTS / "data" / "plasticc_sample_metadata.csv.gz")
        codes = dict(zip(objects["object_id"].astype(str), objects["target"], strict=True))
        labels = np.array(from_plasticc(codes[str(name)] for name in curves.object_id))
        config = load_preset(str(TESTS / "tiny_fast.toml"))
        Pipeline(config).fit(curves, labels, seed=1, jobs=1).save(folder)
    return folder
