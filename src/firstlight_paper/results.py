"""Results of a reproduction on disk: the score table, one companion file per part, and the record."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from firstlight.errors import DataError
from firstlight.files import replacing
from firstlight_paper.scores import Row, Scores

SCORES, ABOUT, DATA = "scores.csv", "about.json", "data"


class Results:
    """A folder of results, read as a whole."""

    def __init__(self, folder: Path, *, must_exist: bool = False) -> None:
        if must_exist and not (folder / ABOUT).exists():
            raise DataError(f"{folder} holds no reproduction: give the folder with {SCORES} and {ABOUT}")
        self.folder = folder
        self.scores = Scores.read(folder / SCORES) if (folder / SCORES).exists() else Scores()
        self.about: dict[str, Any] = read_json(folder / ABOUT) if (folder / ABOUT).exists() else {}
        self._extra: dict[str, dict[str, dict[str, Any]]] = {}

    def extra(self, part: str) -> dict[str, dict[str, Any]]:
        """Files that a part keeps beside its scores, by variant and fold."""
        if part not in self._extra:
            path = self.folder / DATA / f"{part}.json"
            self._extra[part] = read_json(path) if path.exists() else {}
        return self._extra[part]

    def add(self, part: str, variant: str, fold: str, rows: Iterable[Row], extra: Mapping[str, Any]) -> None:
        """Keep the result of a trial; the companion is written first, since rows mark a trial as done."""
        if extra:
            kept = self.extra(part)
            for name, value in extra.items():
                kept.setdefault(name or variant, {})[fold] = plain(value)
            self._write_extra(part)
        self.scores.add(rows)
        self.write_scores()

    def drop(self, part: str) -> None:
        """Forget everything of a part."""
        self.scores.drop(part)
        self._extra[part] = {}
        (self.folder / DATA / f"{part}.json").unlink(missing_ok=True)

    def write_scores(self) -> None:
        """Write the score table."""
        self.scores.write(self.folder / SCORES)

    def write_about(self) -> None:
        """Write the record of the inputs of all results."""
        write_json(self.folder / ABOUT, self.about)

    def _write_extra(self, part: str) -> None:
        """One line for each variant and fold, so that a change shows where it is."""
        lines = []
        compact = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode
        for variant, folds in self.extra(part).items():
            inner = ",\n".join(f"  {json.dumps(fold)}: {compact(value)}" for fold, value in folds.items())
            lines.append(f" {json.dumps(variant)}: {{\n{inner}\n }}")
        with replacing(self.folder / DATA / f"{part}.json") as partial:
            partial.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """The same as JSON can hold it: arrays as lists, six digits, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def read_json(path: Path) -> Any:
    """One JSON document."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; delete it to compute it again") from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, as a whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(plain(value), indent=1, allow_nan=False) + "\n", encoding="utf-8")
