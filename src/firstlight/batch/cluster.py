"""Partitions on the workers of a Dask cluster; those of a HATS catalog by LSDB's `map_partitions`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from firstlight.batch import hats
from firstlight.batch.frames import as_table
from firstlight.batch.parts import Part, needed_columns
from firstlight.batch.work import Job, Outcome, classify_part, reason_of, table_piece, write_part
from firstlight.errors import SettingsError, missing_extra

_WAIT_S = 30.0  # for the scheduler and its first worker


def on_cluster(address: str, todo: list[Part], job: Job, catalog: Any) -> Iterator[Outcome]:
    """Outcomes of the workers of a cluster, as they come.

    `catalog` is that of the partitions if they are of one. Raises MissingExtraError without Dask,
    SettingsError if there is no scheduler at the address, no worker, or one with several threads.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise missing_extra("a Dask cluster", "distributed", "batch") from error
    try:
        client = Client(address, timeout=_WAIT_S)
    except (OSError, ValueError) as error:
        raise SettingsError(f"--cluster {address}: no Dask scheduler there ({error})") from error
    with client:
        _check_workers(client, address)
        tasks = _of_files(client, todo, job) if catalog is None else _of_catalog(client, todo, job, catalog)
        try:
            for future in as_completed(tasks):
                fault = future.exception()
                yield Outcome(tasks[future], error=reason_of(fault)) if fault else _outcome(future.result())
                future.release()
        finally:
            client.cancel(list(tasks), force=True)


def _check_workers(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_WAIT_S)
    except TimeoutError as error:
        raise SettingsError(f"--cluster {address}: the scheduler has no worker; start some") from error
    busy = [name for name, threads in client.nthreads().items() if threads > 1]
    if busy:
        raise SettingsError(
            f"--cluster {address}: {len(busy)} worker(s) have several threads, which fight for cores; "
            "start workers with --nthreads 1"
        )


def _of_files(client: Any, todo: list[Part], job: Job) -> dict[Any, str]:
    """Tasks on files, each with the name of its partition."""
    shared = client.scatter(job, broadcast=True)
    return {client.submit(classify_part, part, shared, pure=False): part.name for part in todo}


def _of_catalog(client: Any, todo: list[Part], job: Job, catalog: Any) -> dict[Any, str]:
    """Tasks on the partitions of a HATS catalog, each with its name: reading is LSDB's."""
    import lsdb

    base = Path(str(catalog.catalog_base_dir))
    columns = needed_columns(catalog.schema, list(job.classify.carry or ()))
    index = catalog.catalog_info.healpix_column
    stamps = {part.name: part.stamp for part in todo}
    opened = lsdb.open_catalog(base, columns=[name for name in columns if name != index])
    pixels = [pixel for pixel in opened.get_healpix_pixels() if hats.output_of(pixel) in stamps]
    chosen = opened.partitions[pixels]
    mapped = chosen.map_partitions(_write, job, stamps, meta=_META, include_pixel=True)
    names = [hats.output_of(pixel) for pixel in chosen.get_healpix_pixels()]
    return dict(zip(client.compute(mapped.to_delayed()), names, strict=True))


_META = pd.DataFrame({name: pd.Series(dtype=object) for name in ("outcome",)})


def _write(frame: pd.DataFrame, pixel: Any, job: Job, stamps: dict[str, str]) -> pd.DataFrame:
    """Write the answers of one partition; its counts as a frame."""
    name = hats.output_of(pixel)
    piece = table_piece(as_table(frame), job, name)
    outcome = write_part(name, iter([piece]), job, stamps[name])
    return pd.DataFrame({"outcome": pd.Series([outcome], dtype=object)})


def _outcome(result: Any) -> Outcome:
    return result if isinstance(result, Outcome) else result["outcome"].iloc[0]
