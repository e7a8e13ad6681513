"""PLAsTiCC light curves and metadata, in the spellings of Kaggle, Zenodo and the wheel.

The fluxes have zero point 27.5 and are already corrected for Milky Way dust (the PLAsTiCC
team 2018, arXiv:1810.00001). Of the metadata only position, E(B-V) and host redshifts are
parsed: labels and ``true_*`` columns never leave the file.
"""

from collections.abc import Iterator
from pathlib import Path

from firstlight.data.text import iter_text, read_text
from firstlight.lightcurves import LightCurves, MetadataTable, RejectLog


def read_plasticc(
    light_curves: str | Path,
    metadata: str | Path | MetadataTable | None = None,
    *,
    zero_point: float | None = None,
    rejects: RejectLog | None = None,
    partial: bool = False,
) -> LightCurves:
    """Read a PLAsTiCC light-curve file whole; see `firstlight.data.read`.

    The CSV has ``object_id``, ``mjd``, ``passband`` (0 to 5 or letters), ``flux``, ``flux_err`` and
    ``detected`` or ``detected_bool`` (else |flux| > 5 flux_err is a detection). Of the metadata
    ``object_id`` and any of ``ra``, ``decl``, ``mwebv``, ``hostgal_photoz``, ``hostgal_photoz_err`` and
    ``hostgal_specz`` are read; negative redshifts (-9) mean unknown. `partial` allows it objects that
    this file does not have. The result is `dereddened`, in order of first appearance.
    """
    return read_text(light_curves, metadata, zero_point=zero_point, rejects=rejects, partial=partial)


def iter_plasticc(
    light_curves: str | Path,
    metadata: str | Path | MetadataTable | None = None,
    *,
    chunk_objects: int = 20_000,
    zero_point: float | None = None,
    rejects: RejectLog | None = None,
    partial: bool = False,
) -> Iterator[LightCurves]:
    """Read a PLAsTiCC light-curve file of any size in chunks of whole objects, as `read_plasticc`.

    The rows of an object must stand together in the file, as they do in all releases. Memory is that
    of one chunk of `chunk_objects`, plus the metadata and the names met. Raises DataError also, without
    `rejects`, if an object appears again after others.
    """
    return iter_text(
        light_curves,
        metadata,
        chunk_objects=chunk_objects,
        zero_point=zero_point,
        rejects=rejects,
        partial=partial,
    )
