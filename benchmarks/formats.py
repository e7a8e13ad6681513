"""Rows per second of reading each foreign format, and of the usual reader of its container.

Run ``python benchmarks/formats.py``; it writes ``benchmarks/results/formats.json``. About a minute. The peers
(pandas, astropy, json) stop at a table; firstlight goes on to checked light curves in nJy, sorted by
object and time.
"""

from _harness import ROOT, parser, result, take_turns, write

# isort: split
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from astropy.table import Table

from firstlight.data import RejectLog, read

sys.path.insert(0, str(ROOT))
from tests.data.formats._samples import IDS, SAMPLES, truth

ROWS = 40_000  # per file


def main() -> None:
    args = parser(__doc__, "formats").parse_args()
    with tempfile.TemporaryDirectory() as folder:
        contestants: dict[str, Callable[[], Any]] = {}
        for name, peer in PEERS.items():
            _, writer, bands, n_objects, _ = SAMPLES[name]
            place = Path(folder) / name.replace(" ", "_")
            place.mkdir()
            path = writer(truth(bands, ROWS // n_objects, IDS[:n_objects]), place)
            contestants[name] = partial(_read, path)
            contestants[f"{name}: peer"] = partial(peer, path)
        times = take_turns(contestants, args.turns)
    table = {
        name: {
            "rows_per_s": round(ROWS / times[name].median),
            "peer_rows_per_s": round(ROWS / times[f"{name}: peer"].median),
            "time_over_peer": round(times[name].median / times[f"{name}: peer"].median, 2),
        }
        for name in PEERS
    }
    what = "rows per second, medians of turns, one thread"
    write(args.out, result(what, "numpy", "pandas", "pyarrow", "astropy", n_rows=ROWS, formats=table))


def _read(path: Path) -> Any:
    return read(path, rejects=RejectLog(), report=lambda sentence: None)


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


def _pair(path: Path) -> Any:
    return Table.read(path), Table.read(path.with_name(path.name.replace("HEAD", "PHOT")))


def _texts(path: Path) -> Any:
    return [pd.read_csv(one, sep=r"\s+", skiprows=9, header=None) for one in path.glob("*.DAT")]


PEERS: dict[str, Callable[[Path], Any]] = {
    "own columns as CSV": pd.read_csv,
    "Rubin forced sources": pd.read_parquet,
    "ALeRCE CSV": pd.read_csv,
    "Fink JSON": pd.read_json,
    "Lasair JSON": _json,
    "ZTF forced photometry": partial(pd.read_csv, sep=r"\s+", comment="#", header=None),
    "ATLAS forced photometry": partial(pd.read_csv, sep=r"\s+"),
    "SNANA FITS": _pair,
    "SNANA text": _texts,
    "sncosmo ECSV": partial(Table.read, format="ascii.ecsv"),
    "FITS table": Table.read,
    "Open Supernova Catalog": _json,
    "folder of Parquet parts": pd.read_parquet,
}

if __name__ == "__main__":
    main()
