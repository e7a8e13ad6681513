"""CSV files as a stream of Arrow batches, tolerant of damage.

Gzip is recognised by content. Lines with the wrong number of fields, values that are no
numbers and a file that ends early do not stop the stream: they become `Damage` or missing
values, each with its line, and the reader decides what to do with them.
"""

import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from firstlight._types import FloatArray, IntArray, StrArray
from firstlight.errors import DataError, MissingColumnError
from firstlight.files import GZIP_MAGIC

_BLOCK = 1 << 21  # bytes of text per batch; Arrow reads some 30 of them ahead
_PIECE = 1 << 16  # bytes of gzip at a time; a piece with an error in it is lost whole
_GZIP = 31  # zlib's window bits for a gzip wrapper

Kind = Literal["number", "text"]


@dataclass(frozen=True, slots=True)
class Damage:
    """A part of a file that holds no row; `line` is None if the file itself ends early."""

    reason: str
    line: int | None
    text: str = ""


class _Text:
    """The bytes of a plain or gzipped file, for Arrow to read; damage ends the file and is noted."""

    def __init__(self, path: Path) -> None:
        self.damage = ""
        self._raw = _open(path)
        self._pieces = _unpacked(self._raw) if self._raw.peek(2).startswith(GZIP_MAGIC) else None
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._raw.close()

    @property
    def closed(self) -> bool:
        return self._raw.closed

    def readable(self) -> bool:
        return True

    def read(self, n: int) -> bytes:
        """Up to `n` bytes; fewer only at the end."""
        if self._pieces is None:
            return self._raw.read(n)
        parts, size = [self._rest], len(self._rest)
        try:
            while size < n and (part := next(self._pieces, None)) is not None:
                parts.append(part)
                size += len(part)
        except EOFError:
            self.damage = "the gzip data end early"
        except zlib.error as error:
            self.damage = f"the gzip data are damaged ({error})"
        data = b"".join(parts)
        self._rest = data[n:]
        return data[:n]


def _unpacked(raw: io.BufferedReader) -> Iterator[bytes]:
    """Contents of all gzip members, piece by piece; what follows the last member is padding.

    Before Python 3.12 ``gzip`` reads 8 kB at a time and makes the whole reader 6 % slower.
    """
    data, limit = raw.read(_PIECE), _PIECE  # who reads the header alone unpacks no more
    while data.startswith(GZIP_MAGIC):
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            piece = member.decompress(data, limit)
            yield piece
            limit = _BLOCK
            data = member.unconsumed_tail or (b"" if member.eof else raw.read(_PIECE))
            if not (piece or data or member.eof):
                raise EOFError
        data = member.unused_data
        data += raw.read(_PIECE) if len(data) < len(GZIP_MAGIC) else b""


@dataclass(slots=True)
class Delimited:
    """A plain or gzipped CSV file to be read batch by batch.

    Only the named `columns` are parsed, as numbers or text. `damage` fills while `batches` runs.
    """

    path: Path
    columns: Mapping[str, Kind]
    damage: list[Damage] = field(default_factory=list)

    def batches(self) -> Iterator[tuple[dict[str, Any], IntArray]]:
        """Columns by name (float64 arrays, texts as Arrow dictionaries) and the line of each row.

        The header is line 1; blank lines are not counted. Raises DataError if the file cannot be
        opened or is not delimited text.
        """
        try:
            yield from self._tolerant(read_header(self.path))
        except pa.ArrowInvalid as error:
            if "Empty CSV" not in str(error):  # a header and nothing below it has no rows, that is all
                raise DataError(f"{self.path}: not a readable CSV file ({error})") from error

    def _tolerant(self, header: Sequence[str]) -> Iterator[tuple[dict[str, Any], IntArray]]:
        """Read numbers strictly, and from the first value that is none as text, cast leniently."""
        skip = 0
        try:
            for batch, lines in self._stream(header, "number"):
                skip += len(lines)
                yield batch, lines
        except pa.ArrowInvalid as error:
            if "conversion error" not in str(error):
                raise
        else:
            return
        self.damage.clear()  # the second pass meets it again
        for batch, lines in self._stream(header, "text"):
            start = min(skip, len(lines))
            skip -= start
            if start < len(lines):
                yield {name: values[start:] for name, values in batch.items()}, lines[start:]

    def _stream(self, header: Sequence[str], numbers_as: Kind) -> Iterator[tuple[dict[str, Any], IntArray]]:
        bad: list[Damage] = []

        def set_aside(row: Any) -> str:
            reason = f"the line has {row.actual_columns} fields, not {row.expected_columns}"
            bad.append(Damage(reason, row.number, row.text[:80]))
            return "skip"

        text_type = pa.dictionary(pa.int32(), pa.string())
        types = {
            name: pa.float64() if kind == numbers_as == "number" else text_type
            for name, kind in self.columns.items()
        }
        with _Text(self.path) as text:
            seen = 0
            try:
                reader = pcsv.open_csv(
                    pa.PythonFile(text, mode="r"),
                    read_options=pcsv.ReadOptions(
                        use_threads=False, column_names=list(header), skip_rows=1, block_size=_BLOCK
                    ),
                    parse_options=pcsv.ParseOptions(invalid_row_handler=set_aside),
                    convert_options=pcsv.ConvertOptions(column_types=types, include_columns=list(types)),
                )
                for batch in reader:
                    lines = _line_numbers(seen, batch.num_rows, bad)
                    seen += batch.num_rows
                    if batch.num_rows:
                        yield {name: self._values(batch.column(name), name) for name in self.columns}, lines
            finally:
                self.damage += bad
                if text.damage:
                    self.damage.append(Damage(text.damage, None))

    def _values(self, column: Any, name: str) -> Any:
        if self.columns[name] == "text":
            return column
        if pa.types.is_dictionary(column.type):
            return _numbers(column.dictionary)[column.indices.to_numpy()]
        return column.to_numpy(zero_copy_only=False)


def read_header(path: Path) -> list[str]:
    """Column names of a plain or gzipped CSV file.

    Raises DataError if the file cannot be read, is empty, is not text or names a column twice.
    """
    with _Text(path) as text:
        head = text.read(1 << 16)
    if not head:
        raise DataError(f"{path}: {text.damage or 'the file is empty'}; fetch it again")
    try:
        line = head.splitlines()[0].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file") from error
    names = [name.strip().strip('"') for name in line.split(",")]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column(s) {', '.join(twice)} occur more than once; keep one of each")
    return names


def choose(header: Sequence[str], spellings: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Our names to the file's, for those that the file has in any of their spellings."""
    found = {
        name: next((spelling for spelling in known if spelling in header), None)
        for name, known in spellings.items()
    }
    return {name: spelling for name, spelling in found.items() if spelling is not None}


def require(found: Mapping[str, str], needed: Mapping[str, Sequence[str]], path: Path) -> None:
    """Raise MissingColumnError, naming the file and what it has, unless all `needed` were found."""
    missing = [" or ".join(needed[name]) for name in needed if name not in found]
    if missing:
        raise MissingColumnError(
            f"{path}: column(s) {', '.join(missing)} missing; its columns are {', '.join(read_header(path))}"
        )


def texts(column: Any) -> tuple[StrArray, IntArray]:
    """Distinct values of a text column, stripped, and the position of each row among them."""
    values = [str(value or "").strip() for value in column.dictionary.to_pylist()]
    return np.array(values, dtype=np.str_), column.indices.to_numpy().astype(np.int64)


def read_bytes(path: Path, n: int) -> bytes:
    """The first `n` bytes of a file; raises DataError if it cannot be read."""
    try:
        with _open(path) as raw:
            return raw.read(n)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _open(path: Path) -> io.BufferedReader:
    try:
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _numbers(values: Any) -> FloatArray:
    """Numbers of an Arrow array of texts; NaN where a text is none."""
    trimmed = pc.utf8_trim_whitespace(values)
    number = pc.match_substring_regex(trimmed, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
    numeric = pc.if_else(number, pc.replace_substring_regex(trimmed, r"^\+", ""), None)
    return numeric.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _line_numbers(seen: int, n_rows: int, bad: Sequence[Damage]) -> IntArray:
    """Lines of the rows `seen` to ``seen + n_rows``, given the lines that held no row."""
    rows = np.arange(seen, seen + n_rows, dtype=np.int64)
    skipped = np.array([damage.line for damage in bad if damage.line is not None], dtype=np.int64)
    # the k-th bad line stands after (line - 2 - k) good rows: the header is line 1
    return rows + 2 + np.searchsorted(skipped - 2 - np.arange(len(skipped)), rows, side="right")
