"""Records of the stream read back: one by one, or as columns."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.dtypes import StringDType
from numpy.typing import NDArray

from firstlight._types import Progress, no_progress
from firstlight.bands import BANDS
from firstlight.errors import DataError
from firstlight.predictions import CLASSIFIED, NOT_CLASSIFIED
from firstlight.stream.alerts.values import EARLIEST_MJD, LATEST_MJD, LONGEST_NAME
from firstlight.stream.avro.container import MAGIC
from firstlight.stream.avro.decode import fastavro_module
from firstlight.stream.results.record import BRIGHTNESS_DIGITS, BROKER_CLASSIFICATION
from firstlight.taxonomy import CLASSES, COARSE, COARSE_GROUPS, ELASTICC, in_order
from firstlight.text import printable

_LINES_PER_REPORT = 1000
_LONGEST_TEXT = 1024  # characters of a name in a record; the stream takes no longer ones
_DEEPEST = 32  # lists and tables within each other; pages could not show more
_LARGEST = 1e30  # of a number that has no range of its own
_CHANCE = (0.0, 1.0 + 1e-6)  # a probability, rounded or in single precision
#: Ranges of numbers, as the stream checks them in alerts.
_RANGES = {
    "mjd": (EARLIEST_MJD, LATEST_MJD), "ra": (0.0, 360.0), "dec": (-90.0, 90.0),
    "anomaly": _CHANCE, "change": _CHANCE, "followup": _CHANCE,
}  # fmt: skip
_MOST_OBSERVATIONS = 2**31 - 1
_EXPECTED = "give results of firstlight stream: lines of JSON, or Avro in ELAsTiCC's form (alerts are none)"
#: Errors of fastavro for damage, and of a message with other fields.
_DAMAGE = (ValueError, EOFError, KeyError, TypeError, IndexError, OverflowError, MemoryError)
_CLASS_OF = {number: name for name, number in ELASTICC.items()}
#: Numbers of a record, each a column; null reads as NaN.
NUMBERS = ("mjd", "ra", "dec", "anomaly", "change", "followup", "phase", *BRIGHTNESS_DIGITS)
#: Columns of text, and the record's keys that fill them.
TEXTS = {
    "object_id": "object",
    "alert_id": "alert",
    "bundle": "bundle",
    "status": "status",
    "reason": "reason",
    "label": "label",
    "band": "band",
}


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """Records of many alerts as columns, in their order in the file.

    Attributes
    ----------
    object_id, alert_id, bundle, status, reason, label, band : StringDType arrays, shape (n_records,)
        Names, ``classified`` or ``not_classified`` and the reason, the most probable class, and the band of
        `mag`; empty if there is none. One long name does not make the others longer.
    mjd, ra, dec : float64 arrays, shape (n_records,)
        Time of the alert [MJD TAI day] and position [degree]; a position is NaN if unknown.
    anomaly, change, followup : float64 arrays, shape (n_records,)
        Scores in [0, 1]; NaN if there is none.
    phase : float64 array, shape (n_records,)
        Days since trigger; NaN before it.
    mag, mag_err, mag_mjd, slope, slope_err, peak_mag, peak_mjd : float64 arrays, shape (n_records,)
        As in `firstlight.followup.brightness.Brightness`; NaN without a recent detection.
    proba : float64 array, shape (n_records, n_classes)
        Class probabilities, columns `classes`; the prior if not classified.
    n_obs : int64 array, shape (n_records,)
        Observations used.
    late : bool array, shape (n_records,)
        Whether the alert had observations older than known ones.
    classes : tuple of str
        Our classes, or those of the bundle.
    """

    object_id: NDArray[np.str_]
    alert_id: NDArray[np.str_]
    bundle: NDArray[np.str_]
    status: NDArray[np.str_]
    reason: NDArray[np.str_]
    label: NDArray[np.str_]
    band: NDArray[np.str_]
    mjd: NDArray[np.float64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    anomaly: NDArray[np.float64]
    change: NDArray[np.float64]
    followup: NDArray[np.float64]
    phase: NDArray[np.float64]
    mag: NDArray[np.float64]
    mag_err: NDArray[np.float64]
    mag_mjd: NDArray[np.float64]
    slope: NDArray[np.float64]
    slope_err: NDArray[np.float64]
    peak_mag: NDArray[np.float64]
    peak_mjd: NDArray[np.float64]
    proba: NDArray[np.float64]
    n_obs: NDArray[np.int64]
    late: NDArray[np.bool_]
    classes: tuple[str, ...] = CLASSES

    def __len__(self) -> int:
        """Number of records."""
        return len(self.object_id)

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]]) -> Self:
        """Columns of records (see `iter_results`); a repeated object, alert and bundle counts once."""
        once: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        for record in records:
            once.setdefault((record["object"], record["alert"], record["bundle"]), record)
        rows = list(once.values())
        values: dict[str, Any] = {
            name: np.array([row[key] or "" for row in rows], StringDType()) for name, key in TEXTS.items()
        }
        for name in NUMBERS:
            values[name] = np.array([np.nan if row[name] is None else row[name] for row in rows], np.float64)
        named = {name for row in rows for name in row["proba"]}
        classes = CLASSES if named <= set(CLASSES) else in_order(named)
        table = [[row["proba"].get(name, 0.0) for name in classes] for row in rows]
        return cls(
            **values,
            proba=np.array(table, np.float64).reshape(len(rows), len(classes)),
            classes=classes,
            n_obs=np.array([row["n_obs"] or 0 for row in rows], np.int64),
            late=np.array([bool(row["late"]) for row in rows], np.bool_),
        )


def read_results(path: str | Path, progress: Progress = no_progress) -> Results:
    """Read a file of ``firstlight stream --sink FILE`` (JSON lines or ELAsTiCC's Avro) as columns.

    Each record counts once. `progress` takes the fraction of JSON lines that were read. DataError if the
    file cannot be read or a line is not a record; the message names the line.
    """
    return Results.of(iter_results(path, progress))


def iter_results(path: str | Path, progress: Progress = no_progress) -> Iterator[dict[str, Any]]:
    """Read a file of results, record by record (dict with the keys of `build_records`).

    Of ELAsTiCC's Avro, classes of probability 0 are missing. A last line without its newline is still
    being written, or was cut by a crash: it is left out. DataError, which names the place, if the file
    cannot be read or a part of it is not a record.
    """
    try:
        with open(path, "rb") as file:
            head = file.peek(len(MAGIC))[: len(MAGIC)]
            if head == MAGIC:
                yield from _avro_records(file, path)
                return
            size = max(Path(path).stat().st_size, 1)
            for number, line in enumerate(file, start=1):
                if number % _LINES_PER_REPORT == 0:
                    progress("reading", min(file.tell() / size, 1.0))
                if line.endswith(b"\n") and line.strip():
                    yield parse_result(line, f"{path}, line {number}")
    except OSError as error:
        raise DataError(f"cannot read the results {path}: {error.strerror or error}") from error


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no value of JSON")


_JSON = json.JSONDecoder(parse_constant=_no_number)


def _decode(line: bytes) -> Any:
    """A line of JSON; ValueError or RecursionError if it is not one, or has a text that is not Unicode."""
    record = _JSON.decode(line.decode())
    if b"\\ud" in line.lower():  # the only way to half a character
        json.dumps(record, ensure_ascii=False).encode()
    return record


def parse_result(line: bytes, where: str) -> dict[str, Any]:
    """Read one record of the stream: a line of JSON, or bare Avro in ELAsTiCC's form as in a topic.

    Parameters
    ----------
    line : bytes
        The record.
    where : str
        Its place, with which the message of an error begins.

    Returns
    -------
    dict
        Keys of `build_records`.

    Raises
    ------
    DataError
        If it is not a record, or a value is out of its range.
    """
    try:
        record = _decode(line)
    except (ValueError, RecursionError) as error:
        if line.lstrip()[:1] == b"{" or line[:1].isspace():
            raise DataError(f"{where}: not JSON: {error}") from error
        record = _bare_avro(line, where)
    if line.count(b"[") + line.count(b"{") > _DEEPEST and _is_deep(record):
        raise DataError(f"{where}: more than {_DEEPEST} lists or tables within each other")
    absent = [] if isinstance(record, dict) else ["everything"]
    absent = absent or [key for key in (*TEXTS.values(), *NUMBERS, "proba") if key not in record]
    if absent:
        raise DataError(f"{where}: not a result of firstlight stream: {', '.join(absent[:5])} missing")
    found: dict[str, Any] = record
    _check_values(found, where)
    for key in ("object", "alert"):
        if not isinstance(found[key], str) or len(found[key]) > LONGEST_NAME:
            raise DataError(f"{where}: {key} is not a name of at most {LONGEST_NAME} characters")
    if not found["object"]:
        raise DataError(f"{where}: object is empty")
    if isinstance(source := found.get("source"), int):  # as it was written before ids were text
        found["source"] = str(source) if source else None
    return found


def _is_deep(value: Any) -> bool:
    """Whether more than `_DEEPEST` lists or tables of a record are within each other."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return any(isinstance(inner, dict | list) for inner in level)


def by_bundle(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One record per bundle, each as that bundle alone would write it, the one in charge first.

    Parameters
    ----------
    record : mapping
        A record of a stream of several bundles, or of one.

    Returns
    -------
    list of dict
        The records; a bundle that has no answer has no record.

    Raises
    ------
    DataError
        If the field ``others`` is not one of a record.

    Examples
    --------
    >>> record = {"object": "a", "label": "KN", "bundle": "1", "others": [{"label": "TDE", "bundle": "2"}]}
    >>> [(found["bundle"], found["label"]) for found in by_bundle(record)]
    [('1', 'KN'), ('2', 'TDE')]
    """
    first = {key: value for key, value in record.items() if key != "others"}
    others = record.get("others", [])
    if not isinstance(others, list) or not all(isinstance(answer, dict) for answer in others):
        raise DataError("the field others of a record is not a list of answers")
    return [first, *(first | answer for answer in others if "error" not in answer)]


def _check_values(record: Mapping[str, Any], where: str) -> None:
    """Raise DataError for a value that no record has; all texts of a file take the space of the longest."""
    for key in TEXTS.values():
        text = record.get(key)
        if not (text is None or isinstance(text, str)) or len(text or "") > _LONGEST_TEXT:
            raise DataError(f"{where}: {key} is not a text of at most {_LONGEST_TEXT} characters")
    numbers = {key: (record.get(key), *_RANGES.get(key, (-_LARGEST, _LARGEST))) for key in NUMBERS}
    numbers |= {key: (number, *_CHANCE) for key, number in _as_table(record["proba"], where).items()}
    for key, (number, low, high) in numbers.items():
        if not (number is None or (isinstance(number, int | float) and low <= number <= high)):
            raise DataError(f"{where}: {key} is not a number that a record can have")
    if record["mjd"] is None:
        raise DataError(f"{where}: mjd is missing")
    n_obs = record.get("n_obs")
    if not (n_obs is None or (isinstance(n_obs, int) and 0 <= n_obs <= _MOST_OBSERVATIONS)):
        raise DataError(f"{where}: n_obs is not a number of observations")
    if record.get("label") not in ("", None, *CLASSES, *record["proba"]) or record.get("band") not in (
        "",
        None,
        *BANDS,
    ):
        raise DataError(f"{where}: a class or a band that firstlight does not know")


def _as_table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: proba is not a table of classes")
    return value


def _avro_records(file: Any, path: str | Path) -> Iterator[dict[str, Any]]:
    """Records of a container in ELAsTiCC's form."""
    fastavro = fastavro_module()
    try:
        reader = fastavro.reader(file)
        name = str(dict(reader.writer_schema).get("name", ""))
        if name.rpartition(".")[2] != BROKER_CLASSIFICATION["name"]:
            raise DataError(f"{path}: an Avro file of {printable(name, 60) or 'another kind'}; {_EXPECTED}")
        for message in reader:
            record = _from_elasticc(message)
            _check_values(record, str(path))
            yield record
    except DataError:
        raise
    except _DAMAGE as error:
        raise DataError(f"{path}: damaged: its Avro ends early or has other fields; {_EXPECTED}") from error


def _bare_avro(value: bytes, where: str) -> dict[str, Any]:
    """The record of a message in ELAsTiCC's form, whose schema is not in the message."""
    fastavro = fastavro_module()
    try:
        return _from_elasticc(fastavro.schemaless_reader(BytesIO(value), BROKER_CLASSIFICATION, None))
    except _DAMAGE as error:
        head = printable(value[:20].decode("latin-1"))
        raise DataError(f"{where}: begins with '{head}'; {_EXPECTED}") from error


def _from_elasticc(message: Mapping[str, Any]) -> dict[str, Any]:
    about = json.loads(message["classifierParams"])
    found = {item["classId"]: float(item["probability"]) for item in message["classifications"]}
    proba = {_CLASS_OF[number]: p for number, p in found.items() if number in _CLASS_OF}
    coarse = {group: sum(p for name, p in proba.items() if COARSE[name] == group) for group in COARSE_GROUPS}
    return {
        **{key: value for key, value in about.items() if key not in ("status", "label", "proba", "coarse")},
        "status": CLASSIFIED if proba else NOT_CLASSIFIED,
        "label": max(proba, key=proba.__getitem__) if proba else "",
        "proba": proba,
        "coarse": coarse,
        "source": str(message["diaSourceId"]),
        "published": message["elasticcPublishTimestamp"],
    }
