"""`ColumnNames`: the meaning of a file's columns, as the user states it or as a reading found it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from firstlight.bands import SURVEYS, find_filter, find_survey
from firstlight.data.formats.layouts import WORDS
from firstlight.errors import SettingsError
from firstlight.files import replacing

#: Values that can be stated for the whole file, with a leading @ or where no column has that name.
_FIXED = ("survey", "system")
FILE_NAME = "@file"  # the object's name is that of the file


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Columns of a file by their content, and values for the whole file.

    Examples
    --------
    >>> names = ColumnNames.parse("mjd=obsmjd,flux=f,survey=ztf")
    >>> names.columns, names.fixed
    ({'mjd': 'obsmjd', 'flux': 'f'}, {'survey': 'ztf'})
    """

    columns: Mapping[str, str] = field(default_factory=dict)  # word of `WORDS` to a column of the file
    fixed: Mapping[str, str] = field(default_factory=dict)  # survey, system, or @file as object_id
    filters: Mapping[str, str] = field(default_factory=dict)  # filters of the file to those of the table

    @classmethod
    def parse(cls, text: str) -> Self:
        """The names of ``mjd=obsmjd,flux=f`` or of a TOML file; SettingsError if they cannot be used."""
        if text.lower().endswith(".toml"):
            return cls.read(Path(text))
        pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
        if not pairs or any(not equal or not value.strip() for _, equal, value in pairs):
            raise SettingsError(
                f"column names {text!r}: write them as mjd=obsmjd,flux=f, or name a .toml file"
            )
        return cls._of({word.strip(): value.strip() for word, _, value in pairs})

    @classmethod
    def read(cls, path: Path) -> Self:
        """The names of a TOML file that `write` wrote."""
        try:
            table = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"cannot read the column names in {path}: {error}") from error
        unknown = sorted(set(table) - {"columns", "filters"})
        parts = [table.get(name, {}) for name in ("columns", "filters")]
        if unknown or not all(isinstance(part, dict) for part in parts):
            raise SettingsError(f"{path}: the tables are [columns] and [filters], not {', '.join(unknown)}")
        if not all(isinstance(value, str) for part in parts for value in part.values()):
            raise SettingsError(f'{path}: column and filter names are texts, such as mjd = "obsmjd"')
        for name in parts[1].values():
            find_filter(name)  # raises for an unknown one
        return replace(cls._of(parts[0]), filters=parts[1])

    @classmethod
    def _of(cls, stated: Mapping[str, str]) -> Self:
        unknown = sorted(set(stated) - set(WORDS))
        if unknown:
            raise SettingsError(f"unknown name(s) {unknown} of columns; known: {', '.join(WORDS)}")
        fixed = {}
        for word, value in stated.items():
            if word in _FIXED and (value.startswith("@") or _is_fixed(word, value)):
                fixed[word] = value.removeprefix("@")
            elif word == "object_id" and value == FILE_NAME:
                fixed[word] = value
        if "survey" in fixed and find_survey(fixed["survey"]) is None:
            raise SettingsError(f"unknown survey {fixed['survey']!r}; known: {', '.join(SURVEYS)}")
        return cls({word: value for word, value in stated.items() if word not in fixed}, fixed)

    def with_survey(self, survey: str) -> Self:
        """The same names for filters of a survey, unless the user stated another."""
        return replace(self, fixed={"survey": survey} | dict(self.fixed))

    def write(self, path: Path) -> None:
        """Write the names as TOML, which `parse` reads."""
        values = dict(self.columns) | {
            word: f"@{value.removeprefix('@')}" for word, value in self.fixed.items()
        }
        lines = ["[columns]", *(f"{word} = {_quoted(value)}" for word, value in values.items())]
        if self.filters:
            lines += ["", "[filters]"]
            lines += [f"{_quoted(name)} = {_quoted(value)}" for name, value in self.filters.items()]
        with replacing(path) as partial:
            partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _is_fixed(word: str, value: str) -> bool:
    return find_survey(value) is not None if word == "survey" else value.lower() in ("ab", "vega")


def _quoted(value: str) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
