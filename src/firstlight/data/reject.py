"""Bad rows and objects with their reasons: nothing is lost silently (law 4).

A reader with a `RejectLog` logs every bad row and object and reads on; without one, it raises
for the first.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from firstlight._types import IntArray, StrArray
from firstlight.errors import DataError
from firstlight.files import replacing

NO_ROW = -1  # stands for a whole object or file


@dataclass(frozen=True, slots=True)
class Reject:
    """One bad row, object or file."""

    object_id: str  # its object; empty where unknown
    reason: str  # the fault, as a clause
    file: str  # the source
    # line of a text file (the header is line 1) or row of a table (from 0); None for a whole object or file
    row: int | None


class RejectLog:
    """Bad rows and objects with their reasons, in order of appearance.

    Examples
    --------
    >>> log = RejectLog()
    >>> log.add("615", "flux is not a finite number", "curves.csv", 12)
    >>> len(log), log.summary()
    (1, {'flux is not a finite number': 1})
    """

    def __init__(self) -> None:
        # Blocks of (reason, file, object ids, rows): a damaged file may reject a million rows.
        self._blocks: list[tuple[str, str, StrArray, IntArray]] = []

    def add(self, object_id: str, reason: str, file: str = "", row: int | None = None) -> None:
        """Add one entry; the arguments are the fields of `Reject`.

        Reasons are counted, so a reason names no place. `row` is None for a whole object or file.
        """
        self.add_rows([object_id], reason, file, [NO_ROW if row is None else row])

    def add_rows(self, object_ids: ArrayLike, reason: str, file: str, rows: ArrayLike) -> None:
        """Add many entries of one file and reason, with the line or row of each; -1 for a whole object."""
        ids, places = np.asarray(object_ids, dtype=np.str_), np.asarray(rows, dtype=np.int64)
        if len(ids):
            self._blocks.append((reason, str(file), ids, places))

    def __len__(self) -> int:
        """Number of entries."""
        return sum(len(ids) for _, _, ids, _ in self._blocks)

    def __iter__(self) -> Iterator[Reject]:
        """Iterate over the entries in order of appearance."""
        for reason, file, ids, rows in self._blocks:
            for object_id, row in zip(ids.tolist(), rows.tolist(), strict=True):
                yield Reject(object_id, reason, file, None if row == NO_ROW else row)

    def summary(self) -> dict[str, int]:
        """Number of entries per reason, the most frequent first."""
        counts: Counter[str] = Counter()
        for reason, _, ids, _ in self._blocks:
            counts[reason] += len(ids)
        return dict(counts.most_common())

    def write(self, path: str | Path) -> None:
        """Write as JSON lines: ``object_id``, ``reason``, ``file``, ``row``; DataError if that fails."""
        with replacing(path) as partial, open(partial, "w", encoding="utf-8") as out:
            out.writelines(json.dumps(asdict(reject), ensure_ascii=False) + "\n" for reject in self)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a file that `write` wrote; DataError if that fails or a line is not a reject."""
        log = cls()
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
            for line in lines:
                log.add(**json.loads(line))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
            raise DataError(f"{path}: not a reject file of firstlight ({error})") from error
        return log
