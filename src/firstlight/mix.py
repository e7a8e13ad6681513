"""`ClassMix`: how frequent each class is where the user observes, and probabilities under it.

Calibrated probabilities hold for the class frequencies of training. Under another mix each is multiplied by
the ratio of the frequencies (decision 0186).
"""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from firstlight._types import FloatArray
from firstlight.errors import SettingsError
from firstlight.settings import from_table

#: Share of all classes together that a mix does not name: nothing is impossible for not being listed.
OTHERS = 0.001
_MOST_STEPS, _CONVERGED = 2000, 1e-7  # of `estimate_mix`
_ADDED = 10.0  # objects of the training mix beside those of the estimate, so that no class vanishes


@dataclass(frozen=True, kw_only=True)
class MixBin:
    """The mix within a range of redshift, of magnitude, or of both; the lower limits belong to it.

    SettingsError if a range is empty, or none is given: such a bin would hold no object, or all of them.
    """

    mix: Mapping[str, float]
    redshift: tuple[float, float] = (-np.inf, np.inf)
    magnitude: tuple[float, float] = (-np.inf, np.inf)  # AB, of the brightest observation

    def __post_init__(self) -> None:
        for name, limits in (("redshift", self.redshift), ("magnitude", self.magnitude)):
            if not limits[0] < limits[1]:
                raise SettingsError(
                    f"bin of a class mix: {name} = {list(limits)}; give a lower and a higher limit"
                )
        if not np.isfinite([self.redshift, self.magnitude]).any():
            raise SettingsError("bin of a class mix: give a range of redshift, of magnitude, or of both")


@dataclass(frozen=True, kw_only=True)
class ClassMix:
    """Relative frequencies of classes.

    Attributes
    ----------
    mix : mapping of str to float
        Frequency of each class, in any unit.
    others : float
        Share of all classes together that a mix does not name.
    source : str
        Where the numbers are from.
    bins : tuple of MixBin
        Mixes of ranges of redshift and magnitude. The first range that holds an object counts;
        outside of all, and where redshift or magnitude is unknown, `mix` counts.
    name : str
        Name of the mix in messages and records.

    Raises
    ------
    SettingsError
        If a frequency is negative or not finite, none is positive, or a share is not within 0 and 1.
    """

    mix: Mapping[str, float]
    others: float = OTHERS
    source: str = ""
    bins: tuple[MixBin, ...] = ()
    name: str = "own"

    def __post_init__(self) -> None:
        for table in (self.mix, *(part.mix for part in self.bins)):
            values = np.array(list(table.values()), np.float64)
            if not (np.isfinite(values).all() and (values >= 0.0).all() and (values > 0.0).any()):
                raise SettingsError(
                    f"class mix {self.name!r}: frequencies must be finite and not negative, and one positive"
                )
        if not 0.0 <= self.others < 1.0:
            raise SettingsError(f"class mix {self.name!r}: others = {self.others}; a share from 0 to below 1")

    @classmethod
    def read(cls, source: "str | Path | Mapping[str, float] | ClassMix") -> "ClassMix":
        """A mix by the name of one that ships (`mix_names`), from a TOML file, or of frequencies by class.

        Raises SettingsError if there is no such name or file, or its content is no mix.
        """
        if isinstance(source, ClassMix):
            return source
        if isinstance(source, Mapping):
            return cls(mix={str(name): float(value) for name, value in source.items()})
        if str(source) in mix_names():
            content = (resources.files("firstlight") / "mixes" / f"{source}.toml").read_bytes()
        elif Path(source).is_file():
            content = Path(source).read_bytes()
        else:
            raise SettingsError(f"no class mix or file {str(source)!r}; mixes: {', '.join(mix_names())}")
        try:
            table: dict[str, Any] = tomllib.loads(content.decode("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{source}: not valid TOML: {error}") from error
        return from_table(cls, {"name": Path(source).stem} | table, Path(source).stem)

    @property
    def fingerprint(self) -> str:
        """Name and eight hexadecimal digits of the content, for records."""
        return f"{self.name}-{hashlib.sha256(repr(self).encode()).hexdigest()[:8]}"

    def check(self, classes: Sequence[str]) -> None:
        """Raise SettingsError if the mix names a class that is not among the given ones."""
        named = {name for table in (self.mix, *(part.mix for part in self.bins)) for name in table}
        unknown = sorted(named - set(classes))
        if unknown:
            raise SettingsError(
                f"class mix {self.name!r}: unknown class(es) {unknown}; known: {', '.join(classes)}"
            )

    def frequencies(self, classes: Sequence[str], trained: FloatArray | None = None) -> FloatArray:
        """Frequencies within each bin, the last outside of all, shape (n_bins + 1, n_classes).

        Each row sums to 1. Classes that were not `trained` (frequency 0) get none. SettingsError if a row
        names none of the others.
        """
        rows = []
        for table in (*(part.mix for part in self.bins), self.mix):
            row = np.array([table.get(name, 0.0) for name in classes])
            row = row / max(row.max(), 5e-324)  # so that no unit overflows
            unnamed = np.array([name not in table for name in classes])
            if trained is not None:
                row[trained <= 0.0], unnamed = 0.0, unnamed & (trained > 0.0)
            named, n = row.sum(), int(unnamed.sum())
            if not named > 0.0:
                raise SettingsError(
                    f"class mix {self.name!r}: all of {sorted(table)} are classes without training objects"
                )
            if n:
                row = row / named * (1.0 - self.others)
                row[unnamed] = self.others / n
            rows.append(row / row.sum())
        return np.stack(rows)

    def bin_of(self, redshift: ArrayLike | None, is_brighter: "Brighter | None", n: int) -> Any:
        """Position of each object's bin, shape (n,); the last where no bin holds it."""
        found = np.full(n, len(self.bins))
        z = np.full(n, np.nan) if redshift is None else np.asarray(redshift, np.float64)
        for k, part in reversed(list(enumerate(self.bins))):
            inside = np.ones(n, np.bool_)
            if np.isfinite(part.redshift).any():
                inside &= (z >= part.redshift[0]) & (z < part.redshift[1])
            if np.isfinite(part.magnitude).any():
                inside &= (
                    np.zeros(n, np.bool_)
                    if is_brighter is None
                    else is_brighter(part.magnitude[1]) & ~is_brighter(part.magnitude[0])
                )
            found[inside] = k
        return found


class Brighter:
    """Which objects are brighter than a magnitude, without a logarithm of their fluxes."""

    def __init__(self, brightness: FloatArray, of_magnitude: Any) -> None:
        self._brightness, self._of = brightness, of_magnitude

    def __call__(self, magnitude: float) -> Any:
        """Mask of the objects brighter than a magnitude."""
        if np.isinf(magnitude):  # one of unknown brightness is in no range
            return ~np.isnan(self._brightness) & (magnitude > 0.0)
        return self._brightness > self._of(magnitude)


def under_mix(proba: FloatArray, trained: FloatArray, mix: FloatArray) -> FloatArray:
    """Probabilities under other class frequencies than those of training.

    Parameters
    ----------
    proba : float64 array, shape (n_objects, n_classes)
        Probabilities under the class frequencies of training.
    trained : float64 array, shape (n_classes,)
        Class frequencies of training.
    mix : float64 array, shape (n_classes,) or (n_objects, n_classes)
        Class frequencies to assume.

    Returns
    -------
    float64 array, shape (n_objects, n_classes)
        Rows sum to 1; a row that the mix makes impossible stays. A row does not depend on the others.

    Examples
    --------
    >>> under_mix(np.array([[0.5, 0.5]]), np.array([0.5, 0.5]), np.array([0.9, 0.1])).tolist()
    [[0.9, 0.1]]
    """
    ratio = np.asarray(mix) / np.where(trained > 0.0, trained, 1.0)
    moved = proba * ratio
    total = np.zeros(len(proba))
    for column in moved.T:  # in one order for any batch
        total = total + column
    possible = total > 0.0
    return np.where(possible[:, None], moved / np.where(possible, total, 1.0)[:, None], proba)


def estimate_mix(proba: FloatArray, trained: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    """Class frequencies of unlabelled objects, by expectation maximisation.

    Safe for whole light curves alone: at early phases probabilities overlap too much, and frequencies that
    are not there are found (decision 0184).

    Parameters
    ----------
    proba : float64 array, shape (n_objects, n_classes)
        Calibrated probabilities under the class frequencies of training.
    trained : float64 array, shape (n_classes,)
        Class frequencies of training.
    weight : float64 array, shape (n_objects,), optional
        How many objects each one stands for; by default one. Ten objects of the training mix are added, so
        that few objects do not make a class impossible.

    Returns
    -------
    float64 array, shape (n_classes,)
        Frequencies that sum to 1; those of training without objects. Classes that were not trained get none.

    References
    ----------
    Saerens, Latinne & Decaestecker 2002, doi:10.1162/089976602753284446.
    """
    shown = np.asarray(trained, np.float64)
    mix = shown / max(float(shown.sum()), 1e-300)
    count = np.ones(len(proba)) if weight is None else np.asarray(weight, np.float64)
    if not count.sum() > 0.0:
        return mix
    start = mix
    for _ in range(_MOST_STEPS):
        expected = count @ under_mix(proba, shown, mix) + _ADDED * start
        before, mix = mix, expected / (count.sum() + _ADDED)
        if np.abs(mix - before).max() < _CONVERGED:
            break
    return mix


def mix_names() -> list[str]:
    """Names of the class mixes that ship with firstlight."""
    folder = resources.files("firstlight") / "mixes"
    return sorted(e.name.removesuffix(".toml") for e in folder.iterdir() if e.name.endswith(".toml"))
