"""HATS catalogs: their partitions in, and a catalog of answers with the same partitions out."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from firstlight._version import __version__
from firstlight.batch.parts import Part
from firstlight.batch.select import Cone
from firstlight.batch.work import Job, Outcome
from firstlight.errors import DataError, missing_extra

_PROPERTIES = ("hats.properties", "properties", "collection.properties")
_ARCSEC = 3600.0


def is_catalog(source: Path) -> bool:
    """Whether a folder is a HATS catalog or collection."""
    return any((source / name).is_file() for name in _PROPERTIES)


def open_catalog(source: Path) -> Any:
    """The catalog of objects in a folder.

    Raises MissingExtraError without hats, DataError if the folder holds no catalog of objects.
    """
    try:
        import hats
    except ImportError as error:
        raise missing_extra("a HATS catalog", "hats", "batch") from error
    try:
        catalog = hats.read_hats(source)
    except Exception as error:  # hats raises whatever its parsers do
        raise DataError(f"{source}: not a HATS catalog that can be read ({error})") from error
    catalog = getattr(catalog, "main_catalog", catalog)
    if catalog.catalog_info.catalog_type != "object":
        raise DataError(
            f"{source}: a HATS catalog of type {catalog.catalog_info.catalog_type}; give the one of objects, "
            "with their light curves nested (LSDB: objects.join_nested(sources, ...))"
        )
    return catalog


def parts_of(catalog: Any, cone: Cone | None) -> list[Part]:
    """The partitions of a catalog, only those that touch the cone if there is one."""
    from hats.io import pixel_catalog_file

    if cone is not None:
        catalog = catalog.filter_by_cone(cone.ra, cone.dec, cone.radius * _ARCSEC)
    base = Path(str(catalog.catalog_base_dir))
    parts = []
    for pixel in catalog.get_healpix_pixels():
        found = pixel_catalog_file(base, pixel, npix_suffix=catalog.catalog_info.npix_suffix)
        path = Path(str(found))
        paths = tuple(sorted(path.glob("*.parquet"))) if path.is_dir() else (path,)
        n_bytes = sum(one.stat().st_size for one in paths if one.exists())
        parts.append(Part(output_of(pixel), paths, n_bytes))
    return parts


def output_of(pixel: Any) -> str:
    """Place of the answers of a partition in their catalog."""
    from hats.io import pixel_catalog_file

    return str(pixel_catalog_file("/", pixel)).lstrip("/")


def position_of(catalog: Any) -> tuple[str, str] | None:
    """Columns of right ascension and declination of a catalog; None without one."""
    if catalog is None:
        return None
    info = catalog.catalog_info
    return (info.ra_column, info.dec_column) if info.ra_column and info.dec_column else None


def carried(catalog: Any, carry: Sequence[str] | None) -> tuple[str, ...]:
    """Columns that the answers need to be a catalog: index and position; then those of the user."""
    info = catalog.catalog_info
    index = info.healpix_column if catalog.has_healpix_column() else None
    return tuple(
        dict.fromkeys(name for name in (index, info.ra_column, info.dec_column, *(carry or ())) if name)
    )


def finish(catalog: Any, out: Path, outcomes: Iterable[Outcome], job: Job) -> None:
    """Write the metadata that make a catalog of the answers of the partitions."""
    from hats.catalog import PartitionInfo
    from hats.io import write_parquet_metadata
    from hats.io.paths import get_healpix_from_path

    counts = {get_healpix_from_path(one.name): one.answered for one in outcomes}
    if not counts:
        return
    write_parquet_metadata(out, create_per_partition_stats=True)
    partitions = PartitionInfo(list(counts))
    partitions.write_to_file(out / "partition_info.csv")
    info = catalog.catalog_info
    provenance = info.new_provenance_dict(out, builder=f"firstlight v{__version__}")
    made = info.copy_and_update(
        catalog_name=out.name,
        total_rows=sum(counts.values()),
        default_columns=None,
        npix_suffix=".parquet",
        skymap_order=None,
        skymap_alt_orders=None,
        hats_max_rows=max(counts.values()),
        hats_max_bytes=None,
        hats_order=partitions.get_highest_order(),
        moc_sky_fraction=float(f"{partitions.calculate_fractional_coverage():.5g}"),
        firstlight_bundle=job.classify.version,
        firstlight_lineage=job.lineage,
        **provenance,
    )
    made.to_properties_file(out)
