"""Files of light curves that are given where a stream reads alerts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from firstlight.errors import BrokerError, DataError
from firstlight.stream.io.records import Tail, read_records, table_kind
from firstlight.stream.limits import Limits

_OF_ALERTS = {
    "observations", "alert", "candidate", "candidates", "diaSource", "diaSourcesList", "diaObject",
}  # fmt: skip


def refuse_tables(path: Path, files: Sequence[Path], limits: Limits) -> None:
    """DataError if a file, or each of the files of a folder, is a table and holds no alerts."""
    kind = ""
    for file in files:
        kind = _kind(file, limits)
        if not kind:
            return
    if not kind:
        return
    which = "" if list(files) == [path] else f"{files[-1].name}: "
    raise DataError(
        f"{path}: {which}this is {kind}; a stream reads alerts in Avro or JSON, also in a tar archive. "
        f"Classify light curves with `firstlight classify {path} --out classes.csv`, or make alerts of them "
        f"with `firstlight replay --data {path} --sink alerts.avro`"
    )


def _kind(file: Path, limits: Limits) -> str:
    """What a file is if it cannot hold alerts; empty for alerts, and for files that cannot be read now."""
    from firstlight.data.delimited import unpacked_head

    try:
        head = unpacked_head(file)
        if head.lstrip()[:1] not in (b"{", b"["):
            return table_kind(head)
        with file.open("rb") as raw:
            first = next(read_records(raw, file, 0, Tail(), limits), None)
        record = json.loads(first.value) if first is not None and not first.error else None
    except (BrokerError, DataError, OSError, ValueError, RecursionError):
        return ""
    return "a table in JSON" if _is_table(record) else ""


def _is_table(record: Any) -> bool:
    """Whether a JSON value is a row of a table, a table by columns, or events with their photometry."""
    from firstlight.data.formats.catalog import is_catalog
    from firstlight.data.formats.layouts import find_words, layout_of
    from firstlight.data.formats.source import plain_name

    if not isinstance(record, dict) or _OF_ALERTS & record.keys():
        return False
    found = find_words(layout_of(record), {plain_name(name): name for name in record}).keys()
    measured = found >= {"flux", "flux_err"} or found >= {"mag", "mag_err"}
    return is_catalog(record) or (measured and found >= {"mjd", "filter"})
