"""What was set aside, and why: nothing is lost silently (law 4).

A reader that is given a `RejectLog` puts every bad row and object there with its reason
and place, and lets the rest through; without one, it raises at the first.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstlight.errors import DataError
from firstlight.files import replacing

__all__ = ["Reject", "RejectLog"]

_NO_ROW = -1


@dataclass(frozen=True, slots=True)
class Reject:
    """One thing that was set aside.

    Attributes
    ----------
    object_id : str
        The object; empty where it cannot be told.
    reason : str
        Why.
    file : str
        Where it came from.
    row : int or None
        Line of a text file (the header is line 1) or row of a table (from 0); None where
        the whole object or file is meant.
    """

    object_id: str
    reason: str
    file: str
    row: int | None


class RejectLog:
    """Bad rows and objects with their reasons, in the order in which they were met.

    Examples
    --------
    >>> log = RejectLog()
    >>> log.add("615", "flux is not a finite number", "curves.csv", 12)
    >>> len(log), log.summary()
    (1, {'flux is not a finite number': 1})
    """

    def __init__(self) -> None:
        # Blocks of (reason, file, object ids, rows): a damaged file may reject a million rows.
        self._blocks: list[tuple[str, str, NDArray[np.str_], NDArray[np.int64]]] = []

    def add(self, object_id: str, reason: str, file: str = "", row: int | None = None) -> None:
        """Set one thing aside.

        Parameters
        ----------
        object_id : str
            The object; empty where it cannot be told.
        reason : str
            Why, as a clause without a place in it, so that reasons can be counted.
        file : str
            Where it came from.
        row : int, optional
            Line or row; None where the whole object or file is meant.
        """
        self.add_rows([object_id], reason, file, [_NO_ROW if row is None else row])

    def add_rows(self, object_ids: ArrayLike, reason: str, file: str, rows: ArrayLike) -> None:
        """Set many things of one file aside for the same reason.

        Parameters
        ----------
        object_ids : str array_like, shape (n,)
            The object of each.
        reason : str
            Why.
        file : str
            Where they came from.
        rows : int array_like, shape (n,)
            Line or row of each; -1 where the whole object is meant.
        """
        ids, places = np.asarray(object_ids, dtype=np.str_), np.asarray(rows, dtype=np.int64)
        if len(ids):
            self._blocks.append((reason, str(file), ids, places))

    def __len__(self) -> int:
        """How many were set aside."""
        return sum(len(ids) for _, _, ids, _ in self._blocks)

    def __iter__(self) -> Iterator[Reject]:
        """Iterate over them in the order in which they were met."""
        for reason, file, ids, rows in self._blocks:
            for object_id, row in zip(ids.tolist(), rows.tolist(), strict=True):
                yield Reject(object_id, reason, file, None if row == _NO_ROW else row)

    def summary(self) -> dict[str, int]:
        """How many were set aside for each reason, the most frequent first."""
        counts: Counter[str] = Counter()
        for reason, _, ids, _ in self._blocks:
            counts[reason] += len(ids)
        return dict(counts.most_common())

    def write(self, path: str | Path) -> None:
        """Write as JSON lines: ``object_id``, ``reason``, ``file``, ``row``.

        Raises
        ------
        DataError
            If the file cannot be written.
        """
        with replacing(path) as partial, open(partial, "w", encoding="utf-8") as out:
            out.writelines(json.dumps(asdict(reject), ensure_ascii=False) + "\n" for reject in self)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote.

        Raises
        ------
        DataError
            If the file cannot be read or a line is not a reject.
        """
        log = cls()
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
            for line in lines:
                log.add(**json.loads(line))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
            raise DataError(f"{path}: not a reject file of firstlight ({error})") from error
        return log
