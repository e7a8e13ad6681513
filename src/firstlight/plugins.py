"""Classes of other packages, offered as entry points.

Nothing is imported that no installed package offers in a group of firstlight. Whatever such a class raises
becomes an error of firstlight with its name, so that one fault of it never ends a run without a word.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from firstlight.errors import DataError, FirstlightError, SettingsError
from firstlight.text import printable

_LONGEST = 200  # characters of a reason


def offered(group: str) -> dict[str, EntryPoint]:
    """Entry points of installed packages in a group, by ``package.module:Class``."""
    return {point.value: point for point in entry_points(group=group)}


def loaded(point: EntryPoint, what: str) -> Any:
    """The class of an entry point; SettingsError if its module cannot be imported."""
    with errors_of(f"{what} {point.value!r} cannot be imported", SettingsError):
        return point.load()


def made(point: EntryPoint, what: str, *arguments: Any) -> Any:
    """An object of the class of an entry point; SettingsError if it cannot be made."""
    kind = loaded(point, what)
    with errors_of(f"{what} {point.value!r} cannot be made", SettingsError):
        return kind(*arguments)


@contextmanager
def errors_of(what: str, kind: type[FirstlightError] = DataError) -> Iterator[None]:
    """Raise errors of another package as errors of firstlight; those of firstlight pass."""
    try:
        yield
    except FirstlightError:
        raise
    except Exception as error:
        raise kind(f"{what}: {reason_of(error)}") from error


def reason_of(error: BaseException) -> str:
    """The kind and the words of an error, in one line of bounded length."""
    return printable(f"{type(error).__name__}: {error}", _LONGEST)
