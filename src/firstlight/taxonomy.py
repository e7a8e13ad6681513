"""The classes that firstlight knows, and the codes that surveys give them.

Sixteen classes are those of the paper; the kilonova (KN) is ours. The coarse groups follow the
ELAsTiCC broker taxonomy: classes that behave alike on the sky.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from firstlight._types import IntArray
from firstlight.errors import UnknownClassError

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

#: What each class is, in a few words.
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

_INDEX: Mapping[str, int] = MappingProxyType({name: index for index, name in enumerate(CLASSES)})


def class_index(names: Iterable[str]) -> IntArray:
    """Position of each class name in `CLASSES`, the column of every probability table.

    Raises UnknownClassError if a name is none of them.

    Examples
    --------
    >>> class_index(["AGN", "KN"]).tolist()
    [0, 16]
    """
    names = list(names)
    unknown = sorted({str(name) for name in names if name not in _INDEX})
    if unknown:
        raise UnknownClassError(f"unknown class(es) {unknown}; known: {', '.join(CLASSES)}")
    return np.array([_INDEX[name] for name in names], dtype=np.int64)


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
