"""Every error that firstlight raises on purpose.

::

    FirstlightError
    ├── DataError                 input that cannot be used, with its place
    │   ├── MissingColumnError    a needed column is absent
    │   ├── UnknownBandError      a passband that is none of ugrizy
    │   └── UnknownClassError     a class name or survey code without a mapping
    ├── SettingsError             a setting that does not exist or cannot hold
    │   └── NotOfferedError       a class of another package that is not installed
    ├── FetchError                a data set that no source could provide
    │   └── SchemaError           an Avro schema that a stream needs and cannot get
    ├── BundleError               a model folder that is damaged or foreign
    │   └── BundleVersionError    written by a newer firstlight
    ├── LeakageError              an object, or a truth column, on both sides
    ├── NotFittedError            a prediction by a model that is not fitted
    ├── StateError                the stream's state cannot be read or written
    │   └── StateInUseError       another worker has it
    ├── BrokerError               a broker, source or sink of the stream that cannot continue
    │   └── UnavailableError      a broker that is away, refuses the login or lacks the topic
    ├── PartsFailedError          parts of a reproduction failed; the others are kept
    └── MissingExtraError         an optional dependency is not installed

Each message names the fault, its place, and what to do about it. `FirstlightError.exit_code` is the exit
code of the command line: 1 an error in data, bundle or state; 2 a setting or schema that the run cannot do
without (as wrong usage); 3 a broker that is unavailable. 0 is success and `INTERRUPTED` an interruption.
"""

from collections.abc import Iterable
from pathlib import Path
from traceback import extract_tb

__all__ = [
    "BrokerError",
    "BundleError",
    "BundleVersionError",
    "DataError",
    "FetchError",
    "FirstlightError",
    "LeakageError",
    "MissingColumnError",
    "MissingExtraError",
    "NotFittedError",
    "NotOfferedError",
    "PartsFailedError",
    "SchemaError",
    "SettingsError",
    "StateError",
    "StateInUseError",
    "UnavailableError",
    "UnknownBandError",
    "UnknownClassError",
]


#: Exit code after Ctrl-C.
INTERRUPTED = 130
_PACKAGE = Path(__file__).parent


class FirstlightError(Exception):
    """Root of all errors raised on purpose by firstlight."""

    exit_code = 1
    #: Lines to show below the message, such as a text and a mark under the fault in it.
    excerpt: tuple[str, ...] = ()

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython and notebooks show: the caller's line and the message, on one line each."""
        lines = []
        frames = extract_tb(self.__traceback__)
        inside = [k for k, frame in enumerate(frames) if Path(frame.filename).is_relative_to(_PACKAGE)]
        if inside and inside[0] > 0:
            caller = frames[inside[0] - 1]
            lines += [f"{caller.filename}, line {caller.lineno}:", f"    {caller.line}", ""]
        return [*lines, f"{type(self).__name__}: {_on_one_line(str(self))}"]


def _on_one_line(text: str) -> str:
    """The text without characters that act on a terminal; `firstlight.text` is no room below this one."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class DataError(FirstlightError, ValueError):
    """Input that cannot be used; the message names the file, row or object."""


class MissingColumnError(DataError):
    """A needed column is absent from a table."""


class UnknownBandError(DataError):
    """A passband that is none of u, g, r, i, z, y."""


class UnknownClassError(DataError):
    """A class name or a survey's class code that has no place in the taxonomy."""


class SettingsError(FirstlightError, ValueError):
    """A setting that does not exist, or a value that it cannot take."""

    exit_code = 2


class NotOfferedError(SettingsError):
    """A class of another package that no installed package offers; the message says to install one."""


class FetchError(FirstlightError, OSError):
    """A data set that none of its sources could provide."""


class SchemaError(FetchError):
    """An Avro schema that a stream needs and cannot get.

    Attributes
    ----------
    schema_id : int, optional
        Number of the schema.
    is_absent : bool
        Whether its source works and has no such schema: then the message may be damaged.
    is_final : bool
        Whether the source cannot change while the stream runs, so that waiting is useless.
    """

    exit_code = 2

    def __init__(
        self, message: str, schema_id: int | None = None, *, is_absent: bool = False, is_final: bool = False
    ) -> None:
        super().__init__(message)
        self.schema_id = schema_id
        self.is_absent = is_absent
        self.is_final = is_final


class BundleError(FirstlightError, ValueError):
    """A model folder that is damaged, incomplete or foreign."""


class BundleVersionError(BundleError):
    """A model folder written by a newer firstlight than this one."""


class LeakageError(FirstlightError, ValueError):
    """Information about the truth, or a copy of an object, on the wrong side of a split."""


class NotFittedError(FirstlightError, RuntimeError):
    """A prediction by a model that was never fitted or loaded."""


class StateError(FirstlightError, OSError):
    """The stream's state cannot be read or written: in use, no space, or lost; the message names the file."""


class StateInUseError(StateError):
    """The state belongs to another worker that runs."""


class BrokerError(FirstlightError, OSError):
    """A broker, source or sink of the stream that cannot continue; the message names it."""


class UnavailableError(BrokerError):
    """A broker that is away, refuses the login or lacks the topic.

    `is_final` if waiting is useless, as for a wrong password at the start.
    """

    exit_code = 3

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


class MissingExtraError(FirstlightError, ImportError):
    """An optional dependency is missing; the message names the extra to install."""


class PartsFailedError(FirstlightError):
    """Parts of a reproduction could not be computed; the others were, and are kept."""


def missing_extra(purpose: str, packages: str | Iterable[str], extra: str) -> MissingExtraError:
    """The error for packages that are not installed; every install hint of firstlight is made here.

    Parameters
    ----------
    purpose : str
        The work that needs the packages; it begins the message.
    packages : str or iterable of str
        The missing packages.
    extra : str
        The extra of firstlight that contains them.

    Examples
    --------
    >>> str(missing_extra("tuning", "optuna", "train"))
    'tuning needs optuna; install with: pip install "firstlight[train]"'
    """
    names = packages if isinstance(packages, str) else ", ".join(packages)
    return MissingExtraError(f'{purpose} needs {names}; install with: pip install "firstlight[{extra}]"')
