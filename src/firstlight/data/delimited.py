"""Delimited text (CSV) as a stream of Arrow batches, tolerant of damage.

Compression is recognised by content, the dialect from the first lines: delimiter, decimal commas, comment
lines. Lines with the wrong number of fields, values that are no numbers and a file that ends early do
not stop the stream: they become `Damage` or missing values, each with its line, and the reader decides
what to do with them.
"""

import bz2
import io
import lzma
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

from firstlight._types import IntArray, Progress, no_progress
from firstlight.errors import DataError, MissingColumnError
from firstlight.files import GZIP_MAGIC
from firstlight.lightcurves.foreign.values import numbers_of
from firstlight.lightcurves.names import refuse_twice

BZIP2_MAGIC, XZ_MAGIC, ZSTD_MAGIC = b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks
COMPRESSED = (GZIP_MAGIC, BZIP2_MAGIC, XZ_MAGIC, ZSTD_MAGIC)

_BLOCK = 1 << 22  # bytes of text that become one batch
_PIECE = 1 << 16  # bytes of compressed data at a time; a piece with an error in it is lost whole
_HEAD = 1 << 16  # bytes in which the header and the dialect are found
_LONGEST_LINE = 1 << 26
_MOST_DAMAGE = 1_000_000  # lines; a file with more is no table
_GZIP = 31  # zlib's window bits for a gzip wrapper
_XZ_MEMORY = 1 << 28
# Tables shrink 3 to 30 times. One that grows more than this, and beyond this size, was made to fill memory.
MOST_GROWTH, GROWTH_FROM = 100, 1 << 28

_NUMBER_OR_DATE = re.compile(r"[+-]?[\d.,]+([eE][+-]?\d+)?|\d{4}-\d\d-\d\d([T ][\d:.]+)?")
_BLANKS = " "  # stands for any number of blanks between fields
_UNREADABLE = {
    **dict.fromkeys(UTF_16, "UTF-16 text; save it as UTF-8"),
    b"{": "JSON",
    b"[": "JSON",
    b"<": "XML or HTML",
}

#: "mixed" is a column of numbers that stay texts where one is none; these have decimal points.
Kind = Literal["number", "text", "mixed"]


@dataclass(frozen=True, slots=True)
class Damage:
    """A part of a file that holds no row; `line` is None if the file itself ends early."""

    reason: str
    line: int | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Dialect of a file of delimited text: separators, header, decimal mark."""

    header: tuple[str, ...]  # column names
    delimiter: str  # one character; a blank stands for any number of them
    decimal_comma: bool  # whether 1,5 is a number
    line: int  # that of the header, from 1
    first: tuple[str, ...]  # the fields of the first row

    def has_date(self, name: str) -> bool:
        """Whether the first row has a date, such as 2026-11-27, in a column."""
        cell = dict(zip(self.header, self.first, strict=False)).get(name, "")
        return bool(re.match(r"\s*\"?\d{4}-\d\d-\d\d", cell))


class _Text:
    """The bytes of a plain or compressed file; damage ends the file and is noted."""

    def __init__(self, path: Path) -> None:
        self.damage = ""
        self._path = path
        self._raw = _open(path)
        self._pieces = _pieces(self._raw)
        self._rest = b""
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._raw.close()

    @property
    def fraction(self) -> float:
        """Fraction of the file that was read, 0 to 1."""
        return min(self._n_packed / max(self._path.stat().st_size, 1), 1.0)

    @property
    def _n_packed(self) -> int:
        """Bytes of the file that were read."""
        return (
            self._path.stat().st_size if self._raw.closed else self._raw.tell()
        )  # zstd closes it at the end

    def read(self, n: int) -> bytes:
        """Up to `n` bytes; fewer only at the end."""
        parts, size = [self._rest], len(self._rest)
        try:
            while size < n and (part := next(self._pieces, None)) is not None:
                parts.append(part)
                size += len(part)
                self._size += len(part)
        except EOFError:
            self.damage = "the compressed data end early"
        except (zlib.error, lzma.LZMAError, OSError, ValueError) as error:
            self.damage = f"the compressed data are damaged ({error})"
        if self._size > GROWTH_FROM and self._size > MOST_GROWTH * self._n_packed:
            raise DataError(
                f"{self._path}: the compressed data grow more than {MOST_GROWTH}-fold, as no table does; "
                "unpack the file if you trust it"
            )
        data = b"".join(parts)
        self._rest = data[n:]
        return data[:n]

    def blocks(self, start: int) -> Iterator[bytes]:
        """Whole lines in blocks, from the line with the number `start` on (from 1), ending in newlines."""
        rest, skip, bare = b"", start - 1, None
        while data := self.read(_BLOCK):
            if bare is None:
                bare = b"\n" not in data and b"\r" in data  # line ends of old Macs
            rest += data.replace(b"\r", b"\n") if bare else data
            while skip and (end := rest.find(b"\n")) >= 0:
                rest, skip = rest[end + 1 :], skip - 1
            end = 0 if skip else rest.rfind(b"\n") + 1
            if end:
                yield rest[:end]
                rest = rest[end:]
            if len(rest) > _LONGEST_LINE:
                raise DataError(f"{self._path}: a line has more than {_LONGEST_LINE >> 20} MB; not a table")
        if rest and not skip:
            yield rest + b"\n"


def _pieces(raw: io.BufferedReader) -> Iterator[bytes]:
    """Contents of a file, unpacked piece by piece."""
    magic = raw.peek(8)[:8]
    if magic.startswith(GZIP_MAGIC):
        return _unpacked(raw, lambda: zlib.decompressobj(_GZIP), GZIP_MAGIC)
    if magic.startswith(BZIP2_MAGIC):
        return _unpacked(raw, bz2.BZ2Decompressor, BZIP2_MAGIC)
    if magic.startswith(XZ_MAGIC):
        return _unpacked(raw, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY), XZ_MAGIC)
    if magic.startswith(ZSTD_MAGIC):
        return _read(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"), _PIECE)
    return _read(raw, _BLOCK)


def _read(raw: Any, size: int) -> Iterator[bytes]:
    limit = _PIECE  # who reads the header alone unpacks no more
    while data := raw.read(limit):
        yield data
        limit = size


def _unpacked(raw: io.BufferedReader, decompressor: Any, magic: bytes) -> Iterator[bytes]:
    """Contents of all members or streams, piece by piece; bytes after the last one are padding.

    Before Python 3.12 ``gzip`` reads 8 kB at a time and makes the whole reader 6 % slower.
    """
    data, limit = raw.read(_PIECE), _PIECE
    while data.startswith(magic):
        member = decompressor()
        pending = data
        while not member.eof:
            piece = member.decompress(pending, limit)
            yield piece
            limit = _BLOCK
            pending = getattr(member, "unconsumed_tail", b"")  # the other decompressors keep it themselves
            if member.eof or pending or not getattr(member, "needs_input", True):
                continue
            pending = raw.read(_PIECE)
            if not (piece or pending):
                raise EOFError
        data = member.unused_data
        data += raw.read(_PIECE) if len(data) < len(magic) else b""


@dataclass(slots=True)
class Delimited:
    """A plain or compressed CSV file to be read batch by batch.

    Only the named `columns` are parsed, as numbers or text. `damage` and `words` fill while `batches` runs.
    """

    path: Path
    columns: Mapping[str, Kind]
    damage: list[Damage] = field(default_factory=list)
    #: Texts that stand where a number should, by column and position among all rows; the first of them.
    words: dict[str, dict[int, str]] = field(default_factory=dict)
    progress: Progress = no_progress

    def batches(self) -> Iterator[tuple[dict[str, Any], IntArray]]:
        """Columns by name (Arrow arrays: float64, texts as dictionaries) and the line of each row.

        The first line of the file is line 1. Raises DataError if the file cannot be opened or is not
        delimited text.
        """
        dialect = read_dialect(self.path)
        line, seen = dialect.line + 1, 0
        try:
            with _Text(self.path) as text:
                for block in text.blocks(line):
                    batch, lines = self._parse(block, line, seen, dialect)
                    line += block.count(b"\n")
                    seen += len(lines)
                    self.progress("reading", text.fraction)
                    if len(lines):
                        yield batch, lines
                if text.damage:
                    self.damage.append(Damage(text.damage, None))
        except pa.ArrowInvalid as error:
            raise DataError(f"{self.path}: not a readable CSV file ({_cause(error)})") from error

    def _parse(self, block: bytes, line: int, seen: int, dialect: Dialect) -> tuple[dict[str, Any], IntArray]:
        """Columns of some whole lines, the first of which is `line`, and the line of each row."""
        if not block.isascii():  # Arrow cannot pass a row that is not UTF-8 to `set_aside`
            block = block.decode(errors="replace").encode()
        lines = _lines(block, line)
        if dialect.delimiter == _BLANKS:
            block = b"\n".join(b" ".join(row.split()) for row in block.split(b"\n"))
        bad: list[tuple[int, Damage]] = []

        def set_aside(row: Any) -> str:
            """Note a line with a wrong number of fields; comments carry no reason."""
            place = int(lines[row.number - 1]) if row.number and row.number <= len(lines) else None
            if not row.text.startswith("#"):
                reason = f"the line has {row.actual_columns} fields, not {row.expected_columns}"
                bad.append((row.number, Damage(reason, place, row.text[:80])))
            else:
                bad.append((row.number, Damage("", place)))
            return "skip"

        try:
            table = self._arrow(block, dialect, "number", set_aside)
        except pa.ArrowInvalid as error:
            if "conversion error" not in str(error):
                raise
            bad.clear()
            table = self._arrow(block, dialect, "text", set_aside)
        n_rows = len(table) + len(bad)
        if n_rows != len(lines):  # then nobody knows which line a row is from
            raise DataError(
                f"{self.path}: from line {line} on, {len(lines)} lines hold {n_rows} rows; a quoted cell has "
                "a line break, a quotation mark is not closed, or a line has a lone carriage return: write "
                "each row on one line"
            )
        self.damage += [damage for _, damage in bad if damage.reason]
        if len(self.damage) > _MOST_DAMAGE:
            raise DataError(f"{self.path}: more than {_MOST_DAMAGE:,} lines have another number of fields")
        good = np.ones(len(lines), dtype=bool)
        good[[number - 1 for number, _ in bad]] = False
        return {name: self._values(table, name, seen, dialect) for name in self.columns}, lines[good]

    def _arrow(self, block: bytes, dialect: Dialect, numbers_as: Kind, set_aside: Any) -> pa.Table:
        text_type = pa.dictionary(pa.int32(), pa.string())
        types = {
            name: pa.float64() if kind != "text" and numbers_as == "number" else text_type
            for name, kind in self.columns.items()
        }
        # One block at a time: Arrow's streaming reader reads ahead in a thread of its own, which can
        # outlive the interpreter and then ends the process.
        try:
            return pcsv.read_csv(
                pa.BufferReader(block),
                read_options=pcsv.ReadOptions(
                    use_threads=False, column_names=list(dialect.header), block_size=len(block) + 1
                ),
                parse_options=pcsv.ParseOptions(delimiter=dialect.delimiter, invalid_row_handler=set_aside),
                convert_options=pcsv.ConvertOptions(
                    column_types=types,
                    include_columns=list(types),
                    decimal_point="," if dialect.decimal_comma else ".",
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV" not in str(error):  # blank lines alone hold no rows, that is all
                raise
            return pa.table({name: pa.array([], kind) for name, kind in types.items()})

    def _values(self, table: pa.Table, name: str, seen: int, dialect: Dialect) -> Any:
        column = table.column(name).combine_chunks()
        column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        kind = self.columns[name]
        if kind == "text" or not pa.types.is_dictionary(column.type):
            return column
        texts = column.dictionary_decode()
        points = pc.replace_substring(texts, pattern=",", replacement=".") if dialect.decimal_comma else texts
        if kind == "mixed":
            return points
        numbers = numbers_of(points)
        words = self.words.setdefault(name, {})
        for row in np.flatnonzero(np.isnan(numbers))[: 1000 - len(words)].tolist():
            words[seen + row] = str(texts[row].as_py())
        return pa.array(numbers)


def joined(parts: Sequence[Any], kind: Kind) -> Any:
    """One Arrow array of a column's batches."""
    if not parts:
        return pa.array([], pa.string() if kind == "text" else pa.float64())
    if kind == "mixed" and len({part.type for part in parts}) > 1:
        parts = [part.cast(pa.string()) for part in parts]
    column = pa.chunked_array(parts)
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole


def read_header(path: Path) -> list[str]:
    """Column names of a CSV file; DataError as for `read_dialect`."""
    return list(read_dialect(path).header)


def read_dialect(path: Path) -> Dialect:
    """Dialect of a plain or compressed CSV file, from its first lines.

    Comment lines begin with ``#``. The one right above the first line of numbers is the header if it has as
    many fields, or if nothing else can be: titles above it are passed over.
    Raises DataError if the file cannot be read, is empty, is not text or names a column twice.
    """
    with _Text(path) as text:
        head = text.read(_HEAD)
    if not head:
        raise DataError(f"{path}: {text.damage or 'the file is empty'}; fetch it again")
    for start, what in _UNREADABLE.items():
        if head.lstrip().startswith(start):
            raise DataError(f"{path}: this is {what}, not delimited text")
    try:
        if b"\0" in head:
            raise UnicodeDecodeError("utf-8", head[:1], 0, 1, "NUL")
        # the last line may be cut within a character
        lines = head.decode("utf-8-sig", errors="strict" if len(head) < _HEAD else "replace").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8") from error
    if "�" in (lines[0] if lines else ""):
        raise DataError(f"{path}: not a text file in UTF-8")
    number = next((k for k, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if number is None:
        raise DataError(f"{path}: no header in its first {_HEAD >> 10} kB, comments alone")
    header = lines[number]
    below = lines[number + 1 : number + 21]
    data = next((k for k, line in enumerate(lines) if _n_numbers(line) and not line.startswith("#")), 0)
    comment = next((line for line in reversed(lines[:data]) if line.startswith("#")), "").lstrip("# ")
    above = lines[data - 1].startswith("#") and _n_fields(comment) == _n_fields(lines[data])
    if comment and not _n_numbers(comment) and (above or (data == number and _n_numbers(header) >= 3)):
        header, below, number = comment, lines[data : data + 20], data - 1
    delimiter = _delimiter(header)
    names = [name.strip().strip('"').strip() for name in _split(header, delimiter)]
    refuse_twice(names, str(path))
    comma = delimiter != "," and any(
        re.fullmatch(r'\s*"?[+-]?\d+,\d+([eE][+-]?\d+)?"?\s*', cell)
        for line in below
        for cell in _split(line, delimiter)
    )
    _refuse_decimal_commas(path, delimiter, len(names), below)
    first = next((tuple(_split(line, delimiter)) for line in below if line.strip()), ())
    return Dialect(tuple(names), delimiter, comma, number + 1, first)


def _refuse_decimal_commas(path: Path, delimiter: str, width: int, below: Sequence[str]) -> None:
    """Raise DataError if every line has more fields than the header, as decimal commas make them."""
    counts = {line.count(",") + 1 for line in below if line.strip()}
    if delimiter == "," and counts and min(counts) > width + 1 and not any('"' in line for line in below):
        raise DataError(
            f"{path}: the header has {width} columns and every line below has {min(counts)} or more; if the "
            "numbers have decimal commas, write them with points, or separate the columns by semicolons"
        )


def is_ipac(head: bytes) -> bool:
    """Whether text is a table of IPAC: bars in the header and none in the rows."""
    lines = [line for line in head.splitlines() if line.strip() and not line.startswith(b"\\")]
    first = next((line for line in lines if not line.startswith(b"|")), b"")
    return bool(first) and lines[0].startswith(b"|") and b"|" not in first


def _delimiter(header: str) -> str:
    """The character between the fields of a header: the most frequent candidate outside of quotes."""
    bare = re.sub(r'"[^"]*"', "", header)
    counts = {mark: bare.count(mark) for mark in (",", ";", "\t", "|")}
    best = max(counts, key=lambda mark: counts[mark])
    if counts[best]:
        return best
    return _BLANKS if re.search(r"\S\s+\S", bare) else ","


def _split(line: str, delimiter: str) -> list[str]:
    return line.split() if delimiter == _BLANKS else line.split(delimiter)


def _n_fields(line: str) -> int:
    return len(_split(line, _delimiter(line)))


def _n_numbers(line: str) -> int:
    """Number of numbers and dates in a line; a line of column names has none."""
    return sum(bool(_NUMBER_OR_DATE.fullmatch(cell.strip())) for cell in _split(line, _delimiter(line)))


def _lines(block: bytes, first: int) -> IntArray:
    """Numbers of the lines of a block that are not blank."""
    n_lines = block.count(b"\n")
    if b"\n\n" not in block and b"\n\r" not in block and not block.startswith((b"\n", b"\r")):
        return np.arange(first, first + n_lines, dtype=np.int64)
    filled = [k for k, line in enumerate(block.split(b"\n")[:-1]) if line.strip(b"\r")]
    return np.array(filled, dtype=np.int64) + first


def _cause(error: Exception) -> str:
    text = str(error)
    if "UTF8" in text or "UTF-8" in text:
        return "a text is not UTF-8; save the file as UTF-8"
    return text.splitlines()[0]


def choose(header: Sequence[str], spellings: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Our names to the file's, for those that the file has in any of their spellings."""
    found = {
        name: next((spelling for spelling in known if spelling in header), None)
        for name, known in spellings.items()
    }
    return {name: spelling for name, spelling in found.items() if spelling is not None}


def require(found: Mapping[str, str], needed: Mapping[str, Sequence[str]], path: Path) -> None:
    """Raise MissingColumnError, naming the file and its columns, unless all `needed` were found."""
    missing = [" or ".join(needed[name]) for name in needed if name not in found]
    if missing:
        raise MissingColumnError(
            f"{path}: column(s) {', '.join(missing)} missing; its columns are {', '.join(read_header(path))}"
        )


def read_bytes(path: Path, n: int) -> bytes:
    """The first `n` bytes of a file; raises DataError if it cannot be read."""
    try:
        with _open(path) as raw:
            return raw.read(n)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def unpacked_head(path: Path) -> bytes:
    """The first bytes of the contents of a plain or compressed file."""
    with _Text(path) as text:
        return text.read(_HEAD)


def unpacked(path: Path) -> bytes:
    """The whole contents of a plain or compressed file; DataError if they are damaged or grow without end."""
    with _Text(path) as text:
        parts = list(iter(lambda: text.read(_BLOCK), b""))
    if text.damage:
        raise DataError(f"{path}: {text.damage}; fetch it again")
    return b"".join(parts)


def _open(path: Path) -> io.BufferedReader:
    try:
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
