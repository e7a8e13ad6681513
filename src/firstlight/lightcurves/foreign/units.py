"""Units of foreign fluxes: zero points, unit columns, and whether the fluxes can have that unit at all."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firstlight._types import BoolArray, FloatArray
from firstlight.bands import AB_ZERO_POINT_NJY, SNANA_ZERO_POINT, flux_to_njy, magnitude
from firstlight.errors import DataError
from firstlight.lightcurves.foreign.values import as_arrow, decoded, numbers_of

#: The deepest tenth of the error bars of any large part of PLAsTiCC is a 1-sigma depth of 25.8
#: (RR Lyrae alone) to 27.5 mag (deep-drilling fields alone); taking nJy or microjansky for
#: 27.5, or the reverse, moves it by 3.6 to 3.9 mag. A few bright objects may be shallower.
PLASTICC_DEPTH = (24.0, 28.8)
#: No survey from the ground is deeper, so smaller errors are microjansky, zero point 27.5 or
#: magnitudes; how shallow a survey may be has no bound.
ANY_DEPTH = (-np.inf, 28.8)
_ENOUGH_OBJECTS = 50
_LARGEST_AB_OFFSET = 1.1  # mag; of a filter that ugrizy cover, with some room for corrections
_BRIGHTEST, _FAINTEST = -30.0, 50.0  # mag; beyond these a magnitude stands for none
_SAME_SCALE = 0.01  # relative; a unit and a zero point that differ by less state the same
_LARGEST_ZERO_POINT = 40.0  # mag; no survey's is beyond
#: Units of a detector, whose meaning a zero point gives.
_COUNTS = ("", "adu", "count", "counts", "ct", "dn", "electron", "electrons", "ph", "photon")
_MICRO = re.compile("[\u00b5\u03bc]")  # micro sign and Greek mu


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """nJy per flux unit, and the rows whose unit is unknown."""

    factor: FloatArray | float  # a number, or (n_rows,)
    stated: bool = False  # whether the table or the caller stated it
    note: str = ""  # the unit used, for the user; empty where nothing was stated
    # reason: (our column name, the rows)
    unknown: dict[str, tuple[str, BoolArray]] = field(default_factory=dict)


def flux_scale(columns: Mapping[str, Any], zero_point: float | None, *, implied: bool = False) -> Scale:
    """NJy per flux unit from the columns ``zero_point``, ``unit`` and ``system``, or one zero point for all.

    `implied` says that `zero_point` follows from the format instead of from the caller, so that a column
    goes before it. Raises DataError if a caller's zero point contradicts a column, or two columns each other.
    """
    unknown: dict[str, tuple[str, BoolArray]] = {}
    if "system" in columns:
        unknown["the magnitude system is not AB"] = ("system", _not_ab(columns["system"]))
    by_zero_point = _of_zero_points(columns["zero_point"], unknown) if "zero_point" in columns else None
    fallback = by_zero_point
    if fallback is None and zero_point is not None and not implied:
        fallback = np.asarray(flux_to_njy(1.0, zero_point))
    by_unit = _of_units(columns["unit"], fallback, unknown) if "unit" in columns else None
    if by_unit is not None and by_zero_point is not None:
        _refuse_contradiction(by_unit, by_zero_point, "the flux unit and the zero point of the table")
    own = by_zero_point if by_unit is None else by_unit
    if own is None:
        used = AB_ZERO_POINT_NJY if zero_point is None else zero_point
        return Scale(float(flux_to_njy(1.0, used)), zero_point is not None and not implied, unknown=unknown)
    if zero_point is not None and not implied:
        given = np.full(len(own), float(flux_to_njy(1.0, zero_point)))
        _refuse_contradiction(own, given, f"the zero point {zero_point:g} that was given and the table's")
    return Scale(own, True, _used(own, "zero point" if by_unit is None else "unit"), unknown)


def _not_ab(values: Any) -> BoolArray:
    texts = decoded(as_arrow(values)).to_pylist()
    return np.array([str(text or "").strip().lower() != "ab" for text in texts], dtype=bool)


def _of_zero_points(values: Any, unknown: dict[str, tuple[str, BoolArray]]) -> FloatArray:
    numbers = numbers_of(values)
    good = np.isfinite(numbers) & (numbers > 0.0) & (numbers <= _LARGEST_ZERO_POINT)
    unknown["the zero point is not an AB magnitude between 0 and 40"] = ("zero_point", ~good)
    return np.where(good, flux_to_njy(1.0, np.where(good, numbers, AB_ZERO_POINT_NJY)), np.nan)


def _of_units(
    values: Any, zero_point: FloatArray | None, unknown: dict[str, tuple[str, BoolArray]]
) -> FloatArray:
    """NJy per unit of each row; counts take the zero point, where there is one."""
    code = decoded(as_arrow(values)).dictionary_encode()
    texts = [str(text).strip() for text in code.dictionary.to_pylist()]
    index = np.asarray(code.indices.fill_null(len(texts)))
    scale: FloatArray = np.array([*(unit_scale(text) for text in texts), np.nan])[index]
    if zero_point is not None:
        counts = np.array([*(text.lower() in _COUNTS for text in texts), True])[index]
        scale = np.where(counts, zero_point, scale)
    unknown["the unit is not one of flux density"] = ("unit", np.isnan(scale))
    return scale


_MAGNITUDE_UNITS = (
    dict.fromkeys(("mag", "mags", "magnitude", "magnitudes"), (1.0, ""))
    | dict.fromkeys(("mmag", "millimag"), (0.001, ""))
    | dict.fromkeys(("abmag", "magab", "mab", "abmagnitude"), (1.0, "ab"))
    | dict.fromkeys(("vegamag", "magvega", "vegamagnitude"), (1.0, "vega"))
)


def unit_scale(unit: str) -> float:
    """NJy per unit of flux density, such as ``uJy``; NaN for another unit, such as ``mag``.

    Examples
    --------
    >>> unit_scale("uJy"), unit_scale("mag")
    (1000.0, nan)
    """
    import warnings

    from astropy import units as u

    text = _MICRO.sub("u", unit.strip())
    words = {"nanojansky": "nJy", "microjansky": "uJy", "millijansky": "mJy", "jansky": "Jy"}
    text = words.get(text.lower(), text)
    if text.lower() in ("njy", "ujy"):
        text = text[0].lower() + "Jy"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)  # of style, such as two slashes
            return float(f"{u.Unit(text).to(u.nJy):.12g}") if text else float("nan")
    except (u.UnitsError, ValueError, TypeError):
        return float("nan")


def magnitude_unit(unit: str) -> tuple[float, str] | None:
    """Magnitudes per unit, and its system: ``ab``, ``vega`` or none; None if it is no magnitude.

    Examples
    --------
    >>> magnitude_unit("mag(AB)"), magnitude_unit("mmag"), magnitude_unit("Jy")
    ((1.0, 'ab'), (0.001, ''), None)
    """
    return _MAGNITUDE_UNITS.get(re.sub("[^a-z]", "", unit.lower()))


def unit_doubt(flux: FloatArray, mag: FloatArray) -> str:
    """The fault of fluxes without a unit that are not nJy by the magnitudes beside them; else empty."""
    both = (mag > _BRIGHTEST) & (mag < _FAINTEST) & (flux > 0)
    if not both.any():
        return ""
    zero_point = float(np.median(mag[both] + 2.5 * np.log10(flux[both])))
    if abs(zero_point - AB_ZERO_POINT_NJY) <= _LARGEST_AB_OFFSET:
        return ""
    return (
        f"the fluxes are not in nJy: the table's magnitudes give them the zero point {zero_point:.2f}, and "
        f"that of nJy is {AB_ZERO_POINT_NJY}; state it "
        f"(--zero-point {zero_point:.2f} if the magnitudes are AB)"
    )


def days_per_unit(unit: str) -> float | None:
    """Days per unit of time, such as ``s``; None for a name that is no unit of time, such as ``MJD``.

    Examples
    --------
    >>> days_per_unit("h"), days_per_unit("MJD")
    (0.041666666666666664, None)
    """
    import warnings

    from astropy import units as u

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)
            return float(u.Unit(unit).to(u.d))
    except (u.UnitsError, ValueError, TypeError):
        return None


def _refuse_contradiction(one: FloatArray, other: FloatArray, what: str) -> None:
    with np.errstate(invalid="ignore"):
        differ = np.flatnonzero(np.abs(one / other - 1.0) > _SAME_SCALE)
    if len(differ):
        first = differ[0]
        raise DataError(
            f"row {first}: {what} contradict each other: one unit is {one[first]:.6g} nJy by the former and "
            f"{other[first]:.6g} nJy by the latter; correct one of them"
        )


def _used(scale: FloatArray, column: str) -> str:
    known = np.unique(scale[np.isfinite(scale)])
    if len(known) == 1 and known[0] == 1.0:
        return ""
    if len(known) == 1:
        return f"fluxes are converted by the table's {column}: 1 is {known[0]:.6g} nJy"
    return f"fluxes are converted by each row's {column}"


def check_depth(
    flux_err: FloatArray, n_objects: int, where: str, depth: tuple[float, float], zero_point: float | None
) -> None:
    """Raise DataError if the error bars [nJy] are impossible for a survey of this depth."""
    errors = flux_err[np.isfinite(flux_err) & (flux_err > 0)]
    if not len(errors):
        return
    shallowest, deepest = depth
    found = float(magnitude(np.quantile(errors, 0.1)))
    if found <= deepest and (found >= shallowest or n_objects < _ENOUGH_OBJECTS):
        return
    if depth == PLASTICC_DEPTH:
        used = SNANA_ZERO_POINT if zero_point is None else zero_point
        raise DataError(
            f"{where}: with zero point {used:g} mag the survey's 1-sigma depth would be "
            f"{found:.1f} mag; PLAsTiCC's is 25.8 to 27.5. Its files have zero point {SNANA_ZERO_POINT}; "
            f"fluxes in nJy have {AB_ZERO_POINT_NJY}, in microjansky 23.9"
        )
    raise DataError(
        f"{where}: if the fluxes are in nJy, their 1-sigma depth is {found:.1f} mag, deeper than any "
        f"survey's ({deepest}); give their zero point (zero_point=, --zero-point): {SNANA_ZERO_POINT} for "
        f"SNANA and PLAsTiCC, 23.9 for microjansky, {AB_ZERO_POINT_NJY} if they are in nJy. Magnitudes are "
        "no fluxes"
    )
