"""Bad rows and objects with their reasons: nothing is lost silently.

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
    value: str = ""  # the value at fault, shortened; empty where there is none to show


class RejectLog:
    """Bad rows and objects with their reasons, in order of appearance, and notes of conversions.

    Examples
    --------
    >>> log = RejectLog()
    >>> log.add("615", "flux is not a finite number", "curves.csv", 12)
    >>> len(log), log.summary()
    (1, {'flux is not a finite number': 1})
    """

    def __init__(self) -> None:
        #: Sentences about choices and conversions of a reader, each once: a unit, a scale of time.
        self.notes: list[str] = []
        # Blocks of (reason, file, object ids, rows, values): a damaged file may reject a million rows.
        self._blocks: list[tuple[str, str, StrArray, IntArray, StrArray | None]] = []

    def add(
        self, object_id: str, reason: str, file: str = "", row: int | None = None, value: str = ""
    ) -> None:
        """Add one entry; the arguments are the fields of `Reject`.

        Reasons are counted, so a reason names no place and no value. `row` is None for a whole object
        or file.
        """
        self.add_rows([object_id], reason, file, [NO_ROW if row is None else row], [value])

    def add_rows(
        self,
        object_ids: ArrayLike,
        reason: str,
        file: str,
        rows: ArrayLike,
        values: ArrayLike | None = None,
    ) -> None:
        """Add many entries of one file and reason, with the line or row of each; -1 for a whole object."""
        ids, places = np.asarray(object_ids, dtype=np.str_), np.asarray(rows, dtype=np.int64)
        texts = None if values is None else np.asarray(values, dtype=np.str_)
        if len(ids):
            self._blocks.append((reason, str(file), ids, places, texts))

    def extend(self, other: Self) -> None:
        """Add all entries and notes of another log."""
        self._blocks += other._blocks
        for text in other.notes:
            self.note(text)

    def note(self, text: str) -> None:
        """Add a sentence about a choice or conversion of a reader, unless it is there already."""
        if text not in self.notes:
            self.notes.append(text)

    def __len__(self) -> int:
        """Number of entries."""
        return sum(len(block[2]) for block in self._blocks)

    def __iter__(self) -> Iterator[Reject]:
        """Iterate over the entries in order of appearance."""
        for reason, file, ids, rows, values in self._blocks:
            texts = [""] * len(ids) if values is None else values.tolist()
            for object_id, row, value in zip(ids.tolist(), rows.tolist(), texts, strict=True):
                yield Reject(object_id, reason, file, None if row == NO_ROW else row, value)

    def summary(self) -> dict[str, int]:
        """Number of entries per reason, the most frequent first."""
        counts: Counter[str] = Counter()
        for reason, _, ids, _, _ in self._blocks:
            counts[reason] += len(ids)
        return dict(counts.most_common())

    def first(self) -> dict[str, Reject]:
        """The first entry of each reason, in the order of `summary`."""
        found: dict[str, Reject] = {}
        for reason, file, ids, rows, values in self._blocks:
            row = None if rows[0] == NO_ROW else int(rows[0])
            value = "" if values is None else str(values[0])
            found.setdefault(reason, Reject(str(ids[0]), reason, file, row, value))
        return {reason: found[reason] for reason in self.summary()}

    def write(self, path: str | Path) -> None:
        """Write the fields of each `Reject` as JSON lines; DataError if that fails."""
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
