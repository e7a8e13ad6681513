"""Files of alert packets as light curves: the history that the stream would have after the last of them."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from firstlight._types import Progress, no_progress
from firstlight.data import RejectLog
from firstlight.data.delimited import read_bytes
from firstlight.data.formats.recognise import files_of, is_alert_file
from firstlight.data.parquet import PARQUET_MAGIC, open_parquet, parquet_errors
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves
from firstlight.stream.alerts.alert import Alert, Skip, light_curves

_BATCH_ROWS = 256
_LONGEST_CAUSE = 160  # characters


def read_alerts(
    path: str | Path,
    rejects: RejectLog | None = None,
    *,
    report: Callable[[str], None] | None = None,
    progress: Progress = no_progress,
) -> LightCurves:
    """Light curves of the objects in a file or folder of alerts.

    Alerts of one object are joined by the stream's own rule: one row per visit and band, and the newest known
    position, redshift and reddening.

    Parameters
    ----------
    path : path
        Avro container of LSST, ZTF or their brokers, a Parquet file with an alert per row, or a folder of
        these, read in the order of their names.
    rejects : RejectLog, optional
        Takes packets that cannot be read, and the alerts that are not classified, with their reasons.
    report : callable, optional
        Takes one sentence for the user.
    progress : callable, optional
        Takes the name of the stage and the fraction of the files of a folder that were read.

    Returns
    -------
    LightCurves
        One per object, in the order of first appearance.

    Raises
    ------
    DataError
        If the file holds no usable alert; without `rejects`, for the first packet that cannot be read.
    """
    path = Path(path)
    good: list[Alert] = []
    skipped: Counter[str] = Counter()
    for file, number, item in _all_items(path, rejects, progress):
        if isinstance(item, Alert):
            good.append(item)
        elif isinstance(item, Skip):
            skipped[str(item.reason)] += 1
            if rejects is not None:
                rejects.add(item.object_id, f"the alert is not classified: {item.reason}", str(file), number)
        elif rejects is None:
            raise DataError(f"{file}, packet {number}: {item}; or set it aside with a RejectLog (rejects=)")
        else:
            rejects.add("", "the packet cannot be read", str(file), number, _cause(item))
    if not good:
        reasons = ", ".join(f"{name} {n}" for name, n in skipped.items()) or "none could be read"
        raise DataError(f"{path}: no alert that can be classified ({reasons})")
    curves = light_curves(good)
    if report is not None:
        left = "".join(f"; {n:,} left out: {name}" for name, n in skipped.items())
        joined = f"{len(good):,} alerts of {len(curves):,} objects, joined as the stream joins them"
        report(f"{path}: {joined}{left}")
    return curves


def _all_items(
    path: Path, rejects: RejectLog | None, progress: Progress
) -> Iterator[tuple[Path, int, Alert | Skip | DataError]]:
    """The packets of a file, or of all files of a folder, each with its file and number."""
    files = files_of(path)
    for done, file in enumerate(files):
        if done:
            progress("reading", done / len(files))
        if path.is_dir() and not is_alert_file(file):
            reason = "the file holds no alerts, as others of the folder do"
            if rejects is None:
                raise DataError(f"{file}: {reason}; remove it, or set it aside with a RejectLog (rejects=)")
            rejects.add("", reason, str(file))
            continue
        for number, item in enumerate(_items(file)):
            yield file, number, item


def _cause(error: DataError) -> str:
    """The text of an error, short enough for a table of reasons."""
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST_CAUSE else f"{text[: _LONGEST_CAUSE - 3]}..."


def _items(path: Path) -> Iterator[Alert | Skip | DataError]:
    if read_bytes(path, len(PARQUET_MAGIC)) == PARQUET_MAGIC:
        yield from _of_parquet(path)
        return
    from firstlight.stream.alerts.decoder import alert_decoder

    yield from alert_decoder("auto").decode_all(path.read_bytes())


def _of_parquet(path: Path) -> Iterator[Alert | Skip | DataError]:
    import pyarrow.parquet as pq

    from firstlight.stream.alerts.layouts import read_record

    with parquet_errors(path):
        columns = _needed(pq.read_schema(path))
    with open_parquet(path, columns) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
            for record in batch.to_pylist():
                try:
                    yield read_record(record)
                except DataError as error:
                    yield error


def _needed(schema: Any) -> list[str]:
    """Columns that a layout may look for: all but cutouts and truth."""
    from firstlight.stream.alerts.layouts import KNOWN_PATHS

    top = {path.partition(".")[0] for path in KNOWN_PATHS}
    return [name for name in schema.names if name in top]
