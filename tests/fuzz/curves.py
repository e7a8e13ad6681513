"""Files of light curves: each gives finite columns, rows set aside, or a `DataError`."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.fuzz.mutate import TEXTS, change_bytes, packed_zeros

from firstlight.data import RejectLog, read, write_curves
from firstlight.errors import DataError

DATA = Path(__file__).parent.parent / "data"
_ROWS = 60


def make(folder: Path) -> "Curves":
    """The target, with small files of the sample."""
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
        """Changed bytes of the light curves or of the metadata, or changed cells of a CSV."""
        if rng.random() < 0.2:
            metadata = (
                _change_cell(rng, self._metadata) if rng.random() < 0.7 else change_bytes(rng, self._metadata)
            )
            return lambda: self._use("curves.csv", self._seeds["curves.csv"], metadata)
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
        curves = self._read(name, content, metadata)
        for column in ("mjd", "flux", "flux_err"):
            assert np.isfinite(getattr(curves, column)).all(), f"{column} is not finite"
        assert (curves.flux_err > 0.0).all(), "a flux error that is not positive"
        assert ((curves.band >= 0) & (curves.band < 6)).all(), "a band that does not exist"

    def _read(self, name: str, content: bytes, metadata: bytes | None):
        (self._folder / name).write_bytes(content)
        if metadata is not None:
            (self._folder / "metadata.csv").write_bytes(metadata)
        beside = self._folder / "metadata.csv" if metadata is not None else None
        return read(self._folder / name, beside, RejectLog())


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
