"""A person's verdicts on objects, in a file of JSON lines: the newest of each object counts."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from firstlight.errors import DataError
from firstlight.taxonomy import CLASSES

Choice = Literal["interesting", "not_interesting", "wrong_class", "withdrawn"]
CHOICES: tuple[str, ...] = get_args(Choice)

_LONGEST = 1024  # characters of a name
_LARGEST_BYTES = 256 << 20  # of a file


@dataclass(frozen=True, slots=True)
class Verdict:
    """One verdict.

    Attributes
    ----------
    object : str
        Name of the object.
    verdict : str
        ``interesting``, ``not_interesting``, ``wrong_class`` (the class that it was given is wrong), or
        ``withdrawn`` (no verdict any more).
    time : str
        When it was given, ISO format, UTC.
    alert, bundle, label : str
        Alert, bundle and class of the record that the person saw.
    true_class : str
        The right class, where the person knows it; empty if not.
    """

    object: str
    verdict: Choice
    time: str = ""
    alert: str = ""
    bundle: str = ""
    label: str = ""
    true_class: str = ""

    def __post_init__(self) -> None:
        """Raise DataError for a verdict that cannot be."""
        if self.verdict not in CHOICES:
            raise DataError(f"verdict {str(self.verdict)[:40]!r}: it must be one of {', '.join(CHOICES)}")
        texts = asdict(self)
        if not all(isinstance(text, str) and len(text) <= _LONGEST for text in texts.values()):
            raise DataError(f"a verdict's values are texts of at most {_LONGEST} characters")
        if not self.object:
            raise DataError("a verdict names its object")
        if self.true_class not in ("", *CLASSES):
            raise DataError(f"class {self.true_class[:40]!r}: it must be one of {', '.join(CLASSES)}")


def append_verdict(path: Path, verdict: Verdict) -> None:
    """Add a verdict to a file, on disk when this returns; several programs may do so at once.

    A last line that a crash cut short gets an end first. DataError if the file cannot be written.
    """
    line = json.dumps(asdict(verdict)).encode() + b"\n"
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                line = b"\n" + line
            while line:
                line = line[os.write(file, line) :]
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise DataError(f"{path}: the verdict cannot be written: {error.strerror or error}") from error


def read_verdicts(path: Path) -> dict[str, Verdict]:
    """The newest verdict of each object, by its name; withdrawn ones are left out.

    A last line without its end is left out if it is cut short. DataError names a line that is no verdict.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise DataError(f"{path}: more than {_LARGEST_BYTES >> 20} MiB is no file of verdicts")
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"cannot read the verdicts {path}: {error.strerror or error}") from error
    found: dict[str, Verdict] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines) or _is_cut(line):
                continue  # cut short by a crash
            raise DataError(f"{path}, line {number}: not JSON") from None
        verdict = _parsed(content, f"{path}, line {number}")
        found.pop(verdict.object, None)
        found[verdict.object] = verdict
    return {name: one for name, one in found.items() if one.verdict != "withdrawn"}


def _is_cut(line: bytes) -> bool:
    """Whether a line begins like a verdict and has no end."""
    return line.startswith(b'{"object"') and not line.rstrip().endswith(b"}")


def _parsed(content: object, where: str) -> Verdict:
    if not isinstance(content, Mapping) or not {"object", "verdict"} <= content.keys():
        raise DataError(f"{where}: a verdict needs object and verdict ({', '.join(CHOICES)})")
    try:
        return Verdict(**{name: content[name] for name in Verdict.__slots__ if name in content})
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
