"""`Hosts`: where candidates come from, a file that may change or a lookup of another package."""

import re
import time
from pathlib import Path
from typing import NamedTuple, Self

from firstlight._types import FloatArray, StrArray
from firstlight.errors import DataError, SettingsError
from firstlight.hosts.candidates import Candidates, HostLookup
from firstlight.hosts.rule import UsedRedshifts, redshifts_in_use
from firstlight.hosts.table import RADIUS_ARCSEC, HostTable
from firstlight.lightcurves import LightCurves
from firstlight.plugins import made, offered, reason_of

#: Group of entry points by which other packages offer lookups; their values are ``package.module:Class``.
ENTRY_POINTS = "firstlight.hosts"

#: Longest time for the single look-ups of a batch that failed as a whole [s].
PATIENCE_S = 10.0

#: Kind and reason of each failure, by the position of the object.
Failures = dict[int, tuple[str, str]]

_KIND = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Reread(NamedTuple):
    """Outcome of reading a changed file: its version and rows, or why the former content stays in use."""

    path: Path
    version: str
    n_rows: int
    error: str = ""


class Hosts:
    """Redshifts from outside, for pipelines; several may share it.

    Parameters
    ----------
    lookup : HostLookup
        Finds candidates.
    version : str
        Its name in records.
    name : str
        Its name in messages.
    """

    def __init__(self, lookup: HostLookup, version: str, name: str = "context") -> None:
        self._lookup, self.version, self.name = lookup, version, name
        self._path: Path | None = None
        self._radius = RADIUS_ARCSEC
        self._seen: tuple[int, int, int] | None = None
        #: Answers looked up since `refresh`, by the arguments; None before its first call.
        self._known: dict[tuple[bytes, ...], tuple[Candidates, Failures]] | None = None

    def __repr__(self) -> str:
        """Name and version."""
        return f"Hosts({self.name!r}, version {self.version})"

    @classmethod
    def open(cls, name: str | Path, radius: float = RADIUS_ARCSEC) -> Self:
        """Read a file, or load the lookup ``package.module:Class`` of an installed package.

        Parameters
        ----------
        name : str or path
            Parquet or CSV file, or an entry point of the group ``firstlight.hosts``.
        radius : float
            Cross-match radius of a file [arcsec].

        Raises
        ------
        DataError
            If the file cannot be read.
        SettingsError
            If no installed package offers the lookup, it cannot be made, or the radius cannot hold.
        """
        text = str(name)
        if _KIND.fullmatch(text) and not Path(text).exists():
            return cls(_installed_lookup(text), text, text)
        path = Path(name)
        seen = _stamp(path)
        table = HostTable.read(path, radius)
        made = cls(table, table.version, text)
        made._path, made._radius, made._seen = path, radius, seen
        return made

    def refresh(self) -> Reread | None:
        """Read the file again if it changed; None if it did not.

        A file that cannot be used is tried again only after its next change. From one call to the next, equal
        objects are looked up once: bundles side by side look for the same ones.
        """
        self._known = {}
        if self._path is None or (seen := _stamp(self._path)) == self._seen:
            return None
        self._seen = seen
        try:
            table = HostTable.read(self._path, self._radius)
        except DataError as error:
            return Reread(self._path, self.version, 0, str(error))
        self._lookup, self.version = table, table.version
        return Reread(self._path, table.version, len(table))

    def in_use(self, curves: LightCurves, names: StrArray | None = None) -> UsedRedshifts:
        """The redshifts that answers to these objects use; see `redshifts_in_use`.

        `names` are those of the objects in the context, if the light curves have others. An object for which
        the lookup fails has no candidates; `UsedRedshifts.failures` says why.
        """
        names = curves.object_id if names is None else names
        found, failures = self._known_of(names, curves.ra, curves.dec)
        return redshifts_in_use(curves, found, self.version, failures)

    def _known_of(self, names: StrArray, ra: FloatArray, dec: FloatArray) -> tuple[Candidates, Failures]:
        """As `_look_up`, once for equal arguments between two calls of `refresh`."""
        if self._known is None:
            return self._look_up(names, ra, dec)
        arguments = (names.dtype.str.encode(), names.tobytes(), ra.tobytes(), dec.tobytes())
        if arguments not in self._known:
            self._known[arguments] = self._look_up(names, ra, dec)
        return self._known[arguments]

    def _look_up(self, names: StrArray, ra: FloatArray, dec: FloatArray) -> tuple[Candidates, Failures]:
        """Candidates of objects, and kind and reason of each failure, by the object's position."""
        try:
            return self._lookup(names, ra, dec).checked(len(names)), {}
        except Exception as error:  # of any package
            first = type(error).__name__, reason_of(error)
        if len(names) == 1:
            return Candidates.none(), {0: first}
        found, failures = [], {}
        end = time.monotonic() + PATIENCE_S
        for k in range(len(names)):  # one object must not cost the others their redshifts
            if time.monotonic() > end:
                failures[k] = first
                continue
            mine, failed = self._look_up(names[k : k + 1], ra[k : k + 1], dec[k : k + 1])
            found.append(mine.of(k))
            failures.update((k, reason) for reason in failed.values())
        return Candidates.joined(found), failures


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """A mark that changes with the content of a file; None without a file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _installed_lookup(kind: str) -> HostLookup:
    """The lookup of an installed package; nothing else is ever imported."""
    found = offered(ENTRY_POINTS)
    if kind not in found:
        raise SettingsError(
            f"context {kind!r}: no such file, and no installed package has an entry point of that value in "
            f"the group {ENTRY_POINTS}; offered are {', '.join(found) or 'none'}"
        )
    lookup: HostLookup = made(found[kind], "context")
    return lookup
