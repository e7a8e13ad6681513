"""Files of light curves: each gives finite columns, rows set aside, or a `DataError`."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.data.formats._samples import IDS, SAMPLES, truth
from tests.fuzz.mutate import TEXTS, change_bytes, change_json, packed_zeros, to_json

from firstlight.data import RejectLog, read, write_curves
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves

DATA = Path(__file__).parent.parent / "data"
_ROWS = 60


def make(folder: Path) -> "Curves":
    """The target, with small files of the sample and of each format."""
    return Curves(folder)


class Curves:
    documented = (DataError,)
    case_s = 10
    case_bytes = 256 << 20

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        rows = gzip.decompress((DATA / "plasticc_sample_lightcurves.csv.gz").read_bytes()).splitlines(
            keepends=True
        )
        head = b"".join(rows[: _ROWS + 1])
        objects = gzip.decompress((DATA / "plasticc_sample_metadata.csv.gz").read_bytes())
        self._metadata = objects
        whole = self._read("curves.csv", head, objects)
        write_curves(whole, folder / "curves.parquet")
        self._seeds = {
            "curves.csv": head,
            "curves.csv.gz": gzip.compress(head, mtime=0),
            "curves.parquet": (folder / "curves.parquet").read_bytes(),
        }
        self._samples = {
            name: _Sample(folder / f"sample {i}", make, bands, n)
            for i, (name, (_, make, bands, n, _)) in enumerate(SAMPLES.items())
        }

    def past(self) -> list[Callable[[], None]]:
        """Files that were read wrong, took gigabytes or gave a traceback."""
        head = self._seeds["curves.csv"]
        first, rest = head.split(b"\n", 1)
        return [
            lambda: self._use("curves.csv", head.replace(b",", b";")),
            lambda: self._use("curves.csv", b"# comment\n" + head),
            lambda: self._use("curves.csv", first + b"\n" + b"x" * (5 << 20) + b",1,2\n" + rest),
            lambda: self._use("curves.csv.gz", packed_zeros(1024, start=head)),
            lambda: self._use("curves.parquet", b"PAR1" * 10),
        ]

    def case(self, rng: np.random.Generator) -> Callable[[], None]:
        """Changed bytes, cells or JSON values of light curves in any format, or of the metadata."""
        if rng.random() < 0.2:
            metadata = (
                _change_cell(rng, self._metadata) if rng.random() < 0.7 else change_bytes(rng, self._metadata)
            )
            return lambda: self._use("curves.csv", self._seeds["curves.csv"], metadata)
        if rng.random() < 0.6:
            sample = self._samples[list(self._samples)[rng.integers(len(self._samples))]]
            name, content = sample.changed(rng)
            return lambda: _check(read(sample.written(name, content), rejects=RejectLog()))
        name = list(self._seeds)[rng.integers(len(self._seeds))]
        content = self._seeds[name]
        if name == "curves.csv" and rng.random() < 0.7:
            content = _change_cell(rng, content)
        elif name == "curves.csv.gz" and rng.random() < 0.5:
            content = gzip.compress(change_bytes(rng, gzip.decompress(content)), mtime=0)
        else:
            content = change_bytes(rng, content)
        return lambda: self._use(name, content)

    def _use(self, name: str, content: bytes, metadata: bytes | None = None) -> None:
        if metadata is None and not name.endswith(".parquet"):
            metadata = self._metadata
        _check(self._read(name, content, metadata))

    def _read(self, name: str, content: bytes, metadata: bytes | None):
        (self._folder / name).write_bytes(content)
        if metadata is not None:
            (self._folder / "metadata.csv").write_bytes(metadata)
        beside = self._folder / "metadata.csv" if metadata is not None else None
        return read(self._folder / name, beside, RejectLog())


class _Sample:
    """The files of one format of another survey, broker or package."""

    def __init__(
        self, folder: Path, make: Callable[[LightCurves, Path], Path], bands: str, n_objects: int
    ) -> None:
        folder.mkdir()
        self._path = make(truth(bands, n=6, ids=IDS[:n_objects]), folder)
        self._files = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    def changed(self, rng: np.random.Generator) -> tuple[Path, bytes]:
        """One of the files, and its new content."""
        path = list(self._files)[rng.integers(len(self._files))]
        content = self._files[path]
        if path.suffix == ".json" and rng.random() < 0.7:
            return path, to_json(change_json(rng, json.loads(content)))
        if path.suffix == ".csv" and rng.random() < 0.7:
            return path, _change_cell(rng, content)
        if path.suffix == ".gz" and rng.random() < 0.9:
            return path, gzip.compress(change_bytes(rng, gzip.decompress(content)), mtime=0)
        return path, change_bytes(rng, content)

    def written(self, changed: Path, content: bytes) -> Path:
        """Write the files, one of them changed; the arguments of `read`."""
        for path, whole in self._files.items():
            path.write_bytes(content if path == changed else whole)
        return self._path


def _check(curves: LightCurves) -> None:
    for column in ("mjd", "flux", "flux_err"):
        assert np.isfinite(getattr(curves, column)).all(), f"{column} is not finite"
    assert (curves.flux_err > 0.0).all(), "a flux error that is not positive"
    assert ((curves.band >= 0) & (curves.band < 6)).all(), "a band that does not exist"


def _change_cell(rng: np.random.Generator, content: bytes) -> bytes:
    """Another value in one cell of a CSV."""
    lines = content.split(b"\n")
    at = int(rng.integers(0, len(lines)))
    cells = lines[at].split(b",")
    values = [text.encode("utf-8", "surrogatepass") for text in TEXTS]
    values += [b"inf", b"-1", b"1e400", b'"', b"1e-320", b"9007199254740993", b"-999", b"2.5"]
    cells[rng.integers(len(cells))] = values[rng.integers(len(values))]
    lines[at] = b",".join(cells)
    return b"\n".join(lines)
