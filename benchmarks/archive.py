"""`firstlight batch` on an archive: speed, memory, one worker against two, a kill, a Dask cluster.

Run ``python benchmarks/archive.py --work FOLDER [--objects N] [--bundle NAME] [--partitions N]``; it writes
the archive, a HATS catalog of N whole light curves, to FOLDER (2.5 GB per million), and its figures to
``docs/results/archive.json``, under the name of the bundle. The light curves are those of PLAsTiCC's training
set with the times of each object shifted, and its fluxes scaled, at random; positions are random on the sky.

Wall times hold on an idle machine alone. Processor times of all processes are given beside them.
"""

from _harness import ROOT, commit, machine, parser, versions, write

# isort: split
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from firstlight import LightCurves, Pipeline, load_plasticc

ORDER, FINE = 2, 16  # of the HEALPix partitions, 192 of them, and of the positions
DAYS, MAGNITUDES = 30.0, 0.1  # spread of the shifts of time, and of the scales of flux
SAMPLE = 3  # partitions that are compared row for row
SIZES = {"a million": 1e6, "3.5 million": 3.5e6, "a thousand million": 1e9}
RECORD = "_firstlight"


# --- the archive ------------------------------------------------------------------


def jittered(curves: LightCurves, rng: np.random.Generator, n_objects: int, first: int) -> LightCurves:
    """Copies of random light curves under new names."""
    made = curves.take(rng.integers(0, len(curves), n_objects))
    shift = rng.uniform(-DAYS, DAYS, n_objects)
    scale = 10 ** (0.4 * rng.normal(0.0, MAGNITUDES, n_objects))
    per_row = np.repeat(np.arange(n_objects), made.n_obs)
    columns = made._columns() | {
        "object_id": np.arange(first, first + n_objects).astype(str),
        "mjd": made.mjd + shift[per_row],
        "flux": made.flux * scale[per_row].astype(np.float32),
        "flux_err": made.flux_err * scale[per_row].astype(np.float32),
    }
    return LightCurves(**columns, dereddened=made.dereddened)


def write_archive(folder: Path, n_objects: int) -> dict[str, Any]:
    """Write the catalog, unless it is there; its size."""
    from cdshealpix.nested import healpix_to_lonlat
    from hats.catalog import PartitionInfo, TableProperties
    from hats.io import write_parquet_metadata
    from hats.io.paths import new_pixel_catalog_file
    from hats.pixel_math import HealpixPixel, compute_spatial_index

    if not (folder / "hats.properties").exists():
        curves, _ = load_plasticc()
        rng = np.random.default_rng(0)
        pixels = [HealpixPixel(ORDER, k) for k in range(12 * 4**ORDER)]
        bounds = np.linspace(0, n_objects, len(pixels) + 1).astype(int)
        for pixel, start, stop in zip(pixels, bounds[:-1], bounds[1:], strict=True):
            made = jittered(curves, rng, stop - start, start)
            inside = rng.integers(0, 4 ** (FINE - ORDER), len(made))  # centres of much smaller pixels
            lon, lat = healpix_to_lonlat(pixel.pixel * 4 ** (FINE - ORDER) + inside, FINE)
            index = compute_spatial_index(lon.deg, lat.deg)
            order = np.argsort(index, kind="stable")
            made = made.with_columns(ra=lon.deg, dec=lat.deg).take(order)
            frame = made.to_nested("lightcurve").set_axis(pd.Index(index[order], name="_healpix_29"))
            frame["object_id"] = frame["object_id"].astype(np.int64)
            path = Path(str(new_pixel_catalog_file(folder, pixel)))
            pq.write_table(frame.reset_index().to_pyarrow(), path, compression="zstd")
        write_parquet_metadata(folder)
        PartitionInfo(pixels).write_to_file(folder / "partition_info.csv")
        TableProperties(
            catalog_name=folder.name,
            catalog_type="object",
            ra_column="ra",
            dec_column="dec",
            total_rows=n_objects,
            healpix_column="_healpix_29",
            healpix_order=29,
            hats_order=ORDER,
        ).to_properties_file(folder)
    files = sorted(folder.rglob("Npix=*.parquet"))
    return {
        "objects": sum(pq.read_metadata(path).num_rows for path in files),
        "partitions": len(files),
        "gb": round(sum(path.stat().st_size for path in files) / 1e9, 2),
    }


# --- runs -------------------------------------------------------------------------


class Memory:
    """Resident memory of the processes below one, over time."""

    def __init__(self, pid: int, every_s: float = 1.0) -> None:
        self.rows: list[tuple[float, int, int]] = []  # seconds, largest and sum over processes [MB]
        self.stop, self.pid, self.every_s = Event(), pid, every_s
        self.start = time.perf_counter()
        self.thread = Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while not self.stop.wait(self.every_s):
            sizes = [_resident_mb(pid) for pid in [self.pid, *_below(self.pid)]]
            self.rows.append((round(time.perf_counter() - self.start, 1), max(sizes), sum(sizes)))

    def figures(self) -> dict[str, Any]:
        """Largest memory, and a row per tenth of the run."""
        self.stop.set()
        self.thread.join()
        some = self.rows[:: max(1, len(self.rows) // 10)]
        largest = max((row[1] for row in self.rows), default=0)
        return {"largest_process_mb": largest, "seconds_largest_sum_mb": some}


def _below(pid: int) -> list[int]:
    """Processes that a process started, and theirs."""
    try:
        own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [one for child in map(int, own) for one in (child, *_below(child))]


def _resident_mb(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * resource.getpagesize() // 10**6


def classify(source: Path, out: Path, bundle: str, *words: str, before: int = 0) -> dict[str, Any]:
    """Run the command to its end; its times, counts and memory. `before` objects were answered already."""
    used, load = _children_s(), os.getloadavg()[0]
    start = time.perf_counter()
    child = _start(source, out, bundle, *words)
    memory = Memory(child.pid)
    log = child.communicate()[1].decode()
    print(log, file=sys.stderr, flush=True)
    wall = time.perf_counter() - start
    if child.returncode:
        raise SystemExit(log)
    n_objects = _counts(out)["answered"] - before
    cpu = _children_s() - used
    return {
        "objects": n_objects,
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "objects_per_s": round(n_objects / wall, 1),
        "cpu_ms_per_object": round(1e3 * cpu / n_objects, 3),
        "load_before": round(load, 1),
        "memory": memory.figures(),
    }


def _start(source: Path, out: Path, bundle: str, *words: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "firstlight",
        "batch",
        str(source),
        "--out",
        str(out),
        "--bundle",
        bundle,
    ]
    return subprocess.Popen([*command, *words], stderr=subprocess.PIPE)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _counts(out: Path) -> dict[str, int]:
    """Sums of the counts of all partitions."""
    sums: dict[str, int] = {}
    for path in (out / RECORD / "parts").rglob("*.json"):
        for name, value in json.loads(path.read_text())["result"].items():
            if isinstance(value, int):
                sums[name] = sums.get(name, 0) + value
    return sums


def killed_and_resumed(
    source: Path, out: Path, bundle: str, n_partitions: int, *words: str
) -> dict[str, Any]:
    """Kill a run about half-way with its workers, then run the command again."""
    start = time.perf_counter()
    child = _start(source, out, bundle, *words)
    while child.poll() is None and len(_parts(out)) < n_partitions // 2:
        time.sleep(0.2)
    workers = _below(child.pid)
    for pid in [child.pid, *workers]:
        os.kill(pid, signal.SIGKILL)
    child.communicate()
    first = time.perf_counter() - start
    before = {path: path.stat().st_mtime_ns for path in _parts(out)}
    done = _counts(out)["answered"]
    second = classify(source, out, bundle, *words, before=done)
    again = [path for path, stamp in before.items() if path.stat().st_mtime_ns != stamp]
    return {
        "killed_after_s": round(first, 1),
        "partitions_done_at_the_kill": len(before),
        "partitions_done_twice": len(again),
        "resumed": second,
        "objects": done + second["objects"],
        "wall_s": round(first + second["wall_s"], 1),
    }


def _parts(out: Path) -> list[Path]:
    return list((out / RECORD / "parts").rglob("*.json"))


def on_cluster(source: Path, out: Path, bundle: str, work: Path) -> dict[str, Any]:
    """A Dask scheduler and two worker processes, each with one thread."""
    address = "tcp://127.0.0.1:8917"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": work}
    parts = [subprocess.Popen([*dask, "--host", "127.0.0.1", "--port", "8917", "--no-dashboard"], **quiet)]
    worker = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        address,
        "--nthreads",
        "1",
        "--no-dashboard",
    ]
    worker += ["--memory-limit", "2GB", "--no-nanny"]
    parts += [subprocess.Popen(worker, **quiet) for _ in range(2)]
    before = [_cpu_s(part.pid) for part in parts]
    try:
        figures = classify(source, out, bundle, "--cluster", address)
        used = sum(_cpu_s(part.pid) for part in parts) - sum(before)
        figures["cpu_s"] = round(figures["cpu_s"] + used, 1)
        figures["cpu_ms_per_object"] = round(1e3 * figures["cpu_s"] / figures["objects"], 3)
        figures["memory"] = {"largest_process_mb": max(_resident_mb(part.pid) for part in parts)}
        return figures
    finally:
        for part in parts:
            part.terminate()
            part.wait()


def _cpu_s(pid: int) -> float:
    """Processor time of a process that runs [s]."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def is_equal(source: Path, out: Path, bundle: str) -> dict[str, Any]:
    """Whether some partitions hold the answers of `Pipeline.predict`, bit for bit and row for row."""
    pipeline = Pipeline.load(bundle)
    rows = 0
    files = sorted(out.rglob("Npix=*.parquet"))
    for path in files[:: max(1, len(files) // SAMPLE)][:SAMPLE]:
        found = pd.read_parquet(path)
        frame = pq.read_table(source / path.relative_to(out))
        curves = LightCurves.from_arrow(frame.set_column(
            frame.column_names.index("object_id"), "object_id", frame["object_id"].cast("string")
        ))  # fmt: skip
        wanted = pipeline.predict(curves, jobs=1).to_pandas()
        found = found[list(wanted.columns)].assign(object_id=found["object_id"].astype(str))
        pd.testing.assert_frame_equal(found, wanted, check_exact=True)
        rows += len(found)
    return {"rows": rows, "partitions": SAMPLE}


def subset(source: Path, folder: Path, n_partitions: int) -> Path:
    """A catalog of some of the partitions, as links."""
    from hats.catalog import PartitionInfo, TableProperties
    from hats.io.paths import get_healpix_from_path

    if not folder.exists():
        files = sorted(source.rglob("Npix=*.parquet"))[:n_partitions]
        for path in files:
            link = folder / path.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
        PartitionInfo([get_healpix_from_path(str(path)) for path in files]).write_to_file(
            folder / "partition_info.csv"
        )
        pq.write_metadata(pq.read_schema(files[0]), folder / "dataset" / "_common_metadata")
        TableProperties.read_from_dir(source).to_properties_file(folder)
    return folder


def main() -> None:
    words = parser(__doc__, "archive", turns=None)
    words.set_defaults(out=ROOT / "docs" / "results" / "archive.json")
    words.add_argument("--work", type=Path, required=True, help="folder for the archive and the answers")
    words.add_argument("--objects", type=int, default=1_000_000)
    words.add_argument("--bundle", default="fast")
    words.add_argument(
        "--partitions", type=int, default=16, help="partitions of the runs beside the whole one"
    )
    args = words.parse_args()
    source, work = args.work / f"archive-{args.objects}", args.work / f"answers-{args.bundle}"
    figures: dict[str, Any] = {"commit": commit(), "machine": machine()}
    figures["libraries"] = versions("numpy", "numba", "pyarrow", "lsdb", "dask", "distributed")
    figures["archive"] = write_archive(source, args.objects)
    figures["bundle"] = Pipeline.load(args.bundle).bundle_version
    some = subset(source, args.work / f"some-{args.objects}-{args.partitions}", args.partitions)
    for jobs in (1, 2):
        figures[f"workers {jobs}"] = classify(some, work / f"some-{jobs}", args.bundle, "--jobs", str(jobs))
    figures["cluster"] = on_cluster(some, work / "cluster", args.bundle, args.work)
    n_partitions = figures["archive"]["partitions"]
    whole = killed_and_resumed(source, work / "whole", args.bundle, n_partitions, "--jobs", "2")
    figures["whole"] = whole
    figures["equal"] = is_equal(source, work / "whole", args.bundle)
    few, many = figures["workers 2"], whole["resumed"]  # their difference leaves the start of processes out
    more = many["objects"] - few["objects"]
    if more <= 0:
        raise SystemExit("too few objects to tell their cost from that of starting: raise --objects")
    per_object = (many["cpu_s"] - few["cpu_s"]) / more
    figures["marginal_cpu_ms_per_object"] = round(1e3 * per_object, 3)
    figures["extrapolated_core_hours"] = {
        name: round(per_object * number / 3600, 2) for name, number in SIZES.items()
    }
    try:
        table = json.loads(args.out.read_text())
    except FileNotFoundError:
        table = {}
    write(args.out, table | {args.bundle: figures}, show=False)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
