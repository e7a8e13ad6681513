"""Light curves and labels for the commands, from files or the downloaded PLAsTiCC set."""

from pathlib import Path
from typing import TYPE_CHECKING

from firstlight.cli.app import PLASTICC, console
from firstlight.errors import DataError

if TYPE_CHECKING:
    from firstlight._types import StrArray
    from firstlight.data import RejectLog, Truth
    from firstlight.lightcurves import LightCurves


def read_light_curves(
    source: str | Path,
    metadata: Path | None,
    objects: Path | None,
    rejects: "RejectLog | None",
    zero_point: float | None = None,
    dereddened: bool | None = None,
    format: str | None = None,
    columns: str | None = None,
) -> "LightCurves":
    """Light curves of a file or of the downloaded set; all objects, or those that a file lists."""
    from firstlight.data import load_plasticc, read
    from firstlight.data.formats import is_alert_file

    if str(source) == PLASTICC:
        curves = load_plasticc()[0]
    elif is_alert_file(Path(source)):
        from firstlight.stream.alerts.files import read_alerts

        curves = read_alerts(source, rejects, report=_report)
    else:
        curves = read(
            Path(source),
            metadata,
            rejects,
            zero_point,
            dereddened,
            format=format,
            columns=columns,
            report=_report,
        )
    return curves if objects is None else _only(curves, objects)


def _report(sentence: str) -> None:
    console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def read_labelled(
    data: str,
    metadata: Path | None,
    truth: Path | None,
    objects: Path | None,
    format: str | None = None,
    columns: str | None = None,
) -> tuple["LightCurves", "StrArray"]:
    """Light curves and their labels, aligned."""
    from firstlight.data import Truth, load_plasticc

    if data == PLASTICC:
        curves, table = load_plasticc()
        table = table if truth is None else Truth.read(truth)
        curves = curves if objects is None else _only(curves, objects)
    else:
        table = _truth_beside(Path(data), metadata, truth)
        curves = read_light_curves(data, metadata, objects, None, format=format, columns=columns)
    return curves, table.labels_of(curves.object_id)


def _truth_beside(data: Path, metadata: Path | None, truth: Path | None) -> "Truth":
    from firstlight.data import Truth

    path = truth or metadata or data.with_name("truth.parquet")
    if not path.exists():
        raise DataError(f"no labels for {data}: give --truth FILE (object_id and target, label or class)")
    return Truth.read(path)


def _only(curves: "LightCurves", objects: Path) -> "LightCurves":
    import numpy as np

    try:
        lines = [line.strip() for line in objects.read_text("utf-8-sig").splitlines()]
    except OSError as error:
        raise DataError(f"cannot read the list of objects {objects}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{objects}: not a text file; it must have one object id per line") from error
    named = lines[1:] if lines[:1] == ["object_id"] else lines  # as tables are written
    wanted = np.unique(np.array([name for name in named if name], dtype=np.str_))
    if not len(wanted):
        raise DataError(f"{objects}: lists no object; it must have one object id per line")
    known = np.isin(curves.object_id, wanted)
    if known.sum() < len(wanted):
        missing = np.setdiff1d(wanted, curves.object_id)
        raise DataError(
            f"{objects}: {len(missing)} object(s) not in the data; the first is {str(missing[0])!r}"
        )
    return curves.take(known)
