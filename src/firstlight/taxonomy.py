"""The classes that firstlight knows, the codes that surveys give them, and taxonomies of users.

Sixteen classes are those of the paper; the kilonova (KN) is ours. The coarse groups follow the
ELAsTiCC broker taxonomy: classes that behave alike on the sky.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from firstlight._types import IntArray
from firstlight.errors import SettingsError, UnknownClassError

#: All classes, in the order of every probability column.
CLASSES = (
    "AGN",
    "CaRT",
    "EB",
    "ILOT",
    "M-dwarf",
    "Mira",
    "PISN",
    "RRL",
    "SLSN-I",
    "SNIa",
    "SNII",
    "SNIa-91bg",
    "SNIax",
    "SNIbc",
    "TDE",
    "muLens-Single",
    "KN",
)

#: Classes that live in the Milky Way and have no host redshift.
GALACTIC = frozenset({"EB", "M-dwarf", "Mira", "RRL", "muLens-Single"})

#: Coarse group of each class.
COARSE: Mapping[str, str] = MappingProxyType(
    {
        "AGN": "AGN",
        "CaRT": "Long",
        "EB": "Periodic",
        "ILOT": "Long",
        "M-dwarf": "Fast",
        "Mira": "Periodic",
        "PISN": "Long",
        "RRL": "Periodic",
        "SLSN-I": "Long",
        "SNIa": "SN-like",
        "SNII": "SN-like",
        "SNIa-91bg": "SN-like",
        "SNIax": "SN-like",
        "SNIbc": "SN-like",
        "TDE": "Long",
        "muLens-Single": "Fast",
        "KN": "Fast",
    }
)

#: Meaning of each class, in a few words.
MEANING: Mapping[str, str] = MappingProxyType(
    {
        "AGN": "active galactic nucleus: gas falling into a massive black hole, irregular for years",
        "CaRT": "calcium-rich transient: faint and fast, with strong calcium lines later",
        "EB": "eclipsing binary star: short dips at a fixed period",
        "ILOT": "intermediate-luminosity optical transient: red, between nova and supernova",
        "M-dwarf": "flare of a cool dwarf star: hours long, blue, on a faint red star",
        "Mira": "pulsating red giant with a period of many months",
        "PISN": "pair-instability supernova of a very massive star: very bright, and hundreds of days long",
        "RRL": "RR Lyrae star: pulsates in less than a day, with a fast rise",
        "SLSN-I": "superluminous supernova without hydrogen: ten times brighter than SNIa, and slow",
        "SNIa": "thermonuclear supernova of a white dwarf, the standard candle",
        "SNII": "core-collapse supernova with hydrogen, often with a plateau",
        "SNIa-91bg": "thermonuclear supernova like SN 1991bg: faint, red and fast",
        "SNIax": "thermonuclear supernova like SN 2002cx: faint and slow in its spectra, of any brightness",
        "SNIbc": "core-collapse supernova that has lost its hydrogen envelope",
        "TDE": "tidal disruption event: a star torn apart by a massive black hole; blue for months",
        "muLens-Single": "microlensing by a single object: symmetric rise and fall of constant colour",
        "KN": "kilonova: the merger of neutron stars; days long, from blue to red",
    }
)

#: Coarse groups in the order of their first class.
COARSE_GROUPS: tuple[str, ...] = tuple(dict.fromkeys(COARSE[name] for name in CLASSES))

#: ELAsTiCC's class numbers (LSSTDESC/elasticc, taxonomy of ELAsTiCC2, four digits).
ELASTICC: Mapping[str, int] = MappingProxyType(
    {
        "AGN": 2332,
        "CaRT": 2245,
        "EB": 2325,
        "ILOT": 2244,
        "M-dwarf": 2233,
        "Mira": 2326,
        "PISN": 2246,
        "RRL": 2323,
        "SLSN-I": 2242,
        "SNIa": 2222,
        "SNII": 2224,
        "SNIa-91bg": 2226,
        "SNIax": 2225,
        "SNIbc": 2223,
        "TDE": 2243,
        "muLens-Single": 2235,
        "KN": 2232,
    }
)

#: ELAsTiCC's number for an alert that a classifier chose not to classify.
ELASTICC_NOT_CLASSIFIED = 300

#: PLAsTiCC target codes (Kessler et al. 2019, arXiv:1903.11756). Binary and string
#: microlensing occur in its test set alone and are outside our classes.
PLASTICC: Mapping[int, str] = MappingProxyType(
    {
        6: "muLens-Single",
        15: "TDE",
        16: "EB",
        42: "SNII",
        52: "SNIax",
        53: "Mira",
        62: "SNIbc",
        64: "KN",
        65: "M-dwarf",
        67: "SNIa-91bg",
        88: "AGN",
        90: "SNIa",
        92: "RRL",
        95: "SLSN-I",
        991: "muLens-Binary",
        992: "ILOT",
        993: "CaRT",
        994: "PISN",
        995: "muLens-String",
    }
)

#: Class weights of the PLAsTiCC challenge's log-loss: 2 for TDE and KN, 1 for all others
#: of the training set's classes (Malz et al. 2019, arXiv:1809.11145; Boone 2019, section 2).
PLASTICC_WEIGHT: Mapping[str, float] = MappingProxyType(
    {name: (2.0 if name in ("TDE", "KN") else 1.0) for name in CLASSES}
)

#: Types of the supernova photometric classification challenge (Kessler et al. 2010,
#: arXiv:1008.1024; the numbers 1, 2, 3, 21, 22, 23, 32, 33 of its ``SNTYPE`` in this order).
SNPCC: Mapping[str, str] = MappingProxyType(
    {
        "Ia": "SNIa",
        "II": "SNII",
        "Ibc": "SNIbc",
        "IIn": "SNII",
        "IIP": "SNII",
        "IIL": "SNII",
        "Ib": "SNIbc",
        "Ic": "SNIbc",
    }
)


def class_index(names: Iterable[str], classes: Sequence[str] = CLASSES) -> IntArray:
    """Position of each class name among the columns of a probability table, by default `CLASSES`.

    Raises UnknownClassError if a name is none of them.

    Examples
    --------
    >>> class_index(["AGN", "KN"]).tolist()
    [0, 16]
    """
    names = list(names)
    index = {name: k for k, name in enumerate(classes)}
    unknown = sorted({str(name) for name in names if name not in index})
    if unknown:
        raise UnknownClassError(f"unknown class(es) {unknown}; known: {', '.join(classes)}")
    return np.array([index[name] for name in names], dtype=np.int64)


def from_plasticc(codes: Iterable[int]) -> list[str]:
    """Class names of PLAsTiCC's ``target`` or ``true_target`` codes.

    ``muLens-Binary`` and ``muLens-String`` are not in `CLASSES`. Raises UnknownClassError for other codes.

    Examples
    --------
    >>> from_plasticc([90, 64])
    ['SNIa', 'KN']
    """
    codes = [int(code) for code in codes]
    unknown = sorted({code for code in codes if code not in PLASTICC})
    if unknown:
        raise UnknownClassError(f"unknown PLAsTiCC class code(s) {unknown}; known: {sorted(PLASTICC)}")
    return [PLASTICC[code] for code in codes]


def from_snpcc(types: Iterable[str]) -> list[str]:
    """Class names of SNPCC types such as ``Ia``, ``IIn`` or ``Ibc``: SNIa, SNII or SNIbc.

    Raises UnknownClassError for other types.

    Examples
    --------
    >>> from_snpcc(["Ia", "IIn", "Ic"])
    ['SNIa', 'SNII', 'SNIbc']
    """
    types = [str(name) for name in types]
    unknown = sorted({name for name in types if name not in SNPCC})
    if unknown:
        raise UnknownClassError(f"unknown SNPCC type(s) {unknown}; known: {', '.join(SNPCC)}")
    return [SNPCC[name] for name in types]


#: Spellings of TNS, BTS, ELAsTiCC and ALeRCE for our classes; case, blanks and signs do not matter.
#: Types of two readings (IIb, Ia-pec, LPV) are missing on purpose.
_SPELLINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AGN": ("QSO", "Blazar", "Quasar", "CLAGN"),
        "CaRT": ("Ca-rich", "SN Ib-Ca-rich", "SN Ca-rich", "SN Ib/c-Ca-rich", "CART-MOSFIT"),
        "EB": ("Eclipsing binary", "E", "EA", "EB/EW", "EW"),
        "ILOT": ("ILRT", "LBV", "ILOT-MOSFIT"),
        "M-dwarf": ("Mdwarf", "M-dwarf-flare", "M dwarf flare"),
        "Mira": ("Mira variable",),
        "PISN": ("PISN-MOSFIT", "PISN-STELLA_HECORE", "PISN-STELLA_HYDROGENIC"),
        "RRL": ("RR Lyrae", "RRab", "RRc", "RRLyr"),
        "SLSN-I": ("SLSN", "SLSN-I+host", "SLSN-I_no_host", "SLSN I", "SLSN-Ic"),
        "SNIa": (
            *("Ia", "SN Ia", "SN Ia-norm", "SN Ia-91T-like", "SN Ia-91T", "SN Ia-99aa-like"),
            *("SN Ia-99aa", "SNIa-SALT2", "SNIa-SALT3", "SNIa-norm"),
        ),
        "SNII": (
            *("II", "SN II", "SN IIP", "IIP", "SN IIL", "IIL", "SN IIn", "IIn", "SNIIP", "SNIIn"),
            *("SNII-NMF", "SNII-Templates", "SNIIn-MOSFIT", "SNII+HostXT_V19", "SNIIn+HostXT_V19"),
        ),
        "SNIa-91bg": ("SN Ia-91bg-like", "SN Ia-91bg", "91bg", "Ia-91bg"),
        "SNIax": ("SN Iax", "SN Iax[02cx-like]", "SN Ia-02cx", "Iax", "SNIa-x"),
        "SNIbc": (
            *("Ib", "Ic", "Ibc", "SN Ib", "SN Ic", "SN Ib/c", "SN Ibc", "SN Ic-BL", "SNIb", "SNIc"),
            *("SN Ibn", "SN Icn", "SNIcBL", "SNIb-Templates", "SNIc-Templates", "SNIcBL+HostXT_V19"),
            *("SNIb+HostXT_V19", "SNIc+HostXT_V19", "SNIbc-MOSFIT"),
        ),
        "TDE": ("TDE-H", "TDE-He", "TDE-H-He", "Tidal disruption event"),
        "muLens-Single": ("Microlensing", "uLens", "uLens-Single-GenLens", "uLens-Single_PyLIMA"),
        "KN": ("Kilonova", "KN_B19", "KN_K17"),
    }
)


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """The classes of a bundle: ours, or those of a user.

    Attributes
    ----------
    classes : tuple of str
        All classes: ours in their order, then others by name.
    groups : mapping of str to str
        Coarse group of each class.
    galactic : frozenset of str
        Classes in the Milky Way, which have no host redshift.
    aliases : mapping of str to str
        Further spellings of labels, and their classes.
    elasticc : mapping of str to int
        ELAsTiCC's number of each class that has one.
    """

    classes: tuple[str, ...] = CLASSES
    groups: Mapping[str, str] = field(default_factory=lambda: dict(COARSE))
    galactic: frozenset[str] = GALACTIC
    aliases: Mapping[str, str] = field(default_factory=dict)
    elasticc: Mapping[str, int] = field(default_factory=lambda: dict(ELASTICC))

    @classmethod
    def of(cls, table: Mapping[str, Mapping[str, Any]], where: object = "classes") -> Self:
        """A taxonomy of a table by class of ``group``, ``galactic``, ``aliases``, ``elasticc``, all optional.

        Entries that a class of ours omits are as in our taxonomy; the group of another is its name.
        SettingsError if there are fewer than two classes, a name is no name, a value is of a wrong type, or a
        spelling has two classes.
        """
        own: dict[str, str] = {}
        groups, numbers, galactic = {}, {}, set()
        for name, row in table.items():
            wrong = not isinstance(row, Mapping) or set(row) - {"group", "galactic", "aliases", "elasticc"}
            if wrong or not name.strip() or not name.isprintable() or len(name) > LONGEST_CLASS:
                raise SettingsError(
                    f"{where}: class {name!r}: a printable name of at most {LONGEST_CLASS} characters, "
                    "with any of group, galactic, aliases and elasticc"
                )
            groups[name] = row.get("group", COARSE.get(name, name))
            number = row.get("elasticc", ELASTICC.get(name))
            flag, spellings = row.get("galactic", name in GALACTIC), row.get("aliases", [])
            texts = isinstance(spellings, list | tuple) and all(isinstance(a, str) for a in spellings)
            if not (isinstance(groups[name], str) and isinstance(flag, bool) and texts):
                raise SettingsError(
                    f"{where}: class {name!r}: group is a text, galactic true or false, aliases texts"
                )
            if number is not None:
                if not isinstance(number, int) or isinstance(number, bool):
                    raise SettingsError(f"{where}: class {name!r}: elasticc is a whole number")
                numbers[name] = number
            if flag:
                galactic.add(name)
            for spelling in spellings:
                if own.setdefault(spelling, name) != name:
                    raise SettingsError(
                        f"{where}: {spelling!r} is a spelling of {name!r} and of {own[spelling]!r}"
                    )
        if len(groups) < 2:
            raise SettingsError(f"{where}: {len(groups)} class(es); a taxonomy has two or more")
        read_as = {_plain(name): name for name in groups}
        for spelling, name in own.items():
            other = read_as.setdefault(_plain(spelling), name)
            if other != name:
                raise SettingsError(
                    f"{where}: {spelling!r} is a spelling of {name!r} and of {other!r}; case, blanks and "
                    "signs do not matter"
                )
        classes = in_order(groups)
        return cls(classes, {name: groups[name] for name in classes}, frozenset(galactic), own, numbers)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The taxonomy in a TOML file with a table ``[classes.NAME]`` per class; SettingsError otherwise."""
        try:
            table = tomllib.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise SettingsError(f"cannot read the classes {path}: {error.strerror or error}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: not valid TOML: {error}") from error
        if set(table) != {"classes"} or not isinstance(table["classes"], dict):
            raise SettingsError(f"{path}: must have a table [classes.NAME] per class, and nothing else")
        return cls.of(table["classes"], path)

    @property
    def coarse_groups(self) -> tuple[str, ...]:
        """Coarse groups in the order of their first class."""
        return tuple(dict.fromkeys(self.groups[name] for name in self.classes))

    @property
    def is_ours(self) -> bool:
        """Whether the classes are those of firstlight."""
        return self.classes == CLASSES and self.groups == COARSE and self.galactic == GALACTIC

    def table(self) -> dict[str, dict[str, Any]]:
        """The taxonomy as `of` reads it."""
        spellings: dict[str, list[str]] = {}
        for spelling, name in self.aliases.items():
            spellings.setdefault(name, []).append(spelling)
        return {
            name: {"group": self.groups[name], "galactic": name in self.galactic}
            | ({"aliases": spellings[name]} if name in spellings else {})
            | ({"elasticc": self.elasticc[name]} if name in self.elasticc else {})
            for name in self.classes
        }

    def match(self, labels: Iterable[str]) -> dict[str, str | None]:
        """The class of each distinct label: by name, own alias or known spelling; None for an unknown one."""
        exact = {name: name for name in self.classes} | dict(self.aliases)
        loose = {_plain(name): name for name in self.classes}
        known: dict[str, str] = {}
        for name, spellings in _SPELLINGS.items():
            target = name if name in self.classes else loose.get(_plain(name))
            if target is None:  # a taxonomy of users may call it by one of our spellings
                target = next((loose[_plain(s)] for s in spellings if _plain(s) in loose), None)
            if target is not None:
                known |= dict.fromkeys(map(_plain, (name, *spellings)), target)
        known |= loose | {_plain(name): target for name, target in self.aliases.items()}
        return {
            label: exact.get(label, known.get(_plain(label)))
            for label in sorted({str(label) for label in labels})
        }


#: Most characters in the name of a class.
LONGEST_CLASS = 40


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct class names: ours in the order of `CLASSES`, then others by name.

    Examples
    --------
    >>> in_order(["nova", "KN", "AGN", "CV"])
    ('AGN', 'KN', 'CV', 'nova')
    """
    distinct = {str(name) for name in names}
    return (*(name for name in CLASSES if name in distinct), *sorted(distinct - set(CLASSES)))


def _plain(label: str) -> str:
    """A label without case, blanks and signs."""
    return re.sub(r"[\s_+\-/\[\]()]", "", label).casefold()
