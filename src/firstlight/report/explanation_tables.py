"""An explanation as tables of text, for the terminal and for pages."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from firstlight.pipeline.explanation import Explanation, Why, factor_text

N_GROUPS = 8


class Table(NamedTuple):
    """Cells of a table as text."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def tables_of(made: Explanation, n_groups: int = N_GROUPS) -> list[Table]:
    """The parts of an explanation that are tables; empty ones are left out."""
    found = [_why_table(why, n_groups) for why in made.why]
    rows: list[tuple[str, ...]]
    if made.nearest:
        rows = [(near.label, f"{near.distance:.2f}", near.object_id) for near in made.nearest]
        note = "Compared at the same age. 1 is the usual distance between neighbours of one class."
        found.append(Table("Nearest training objects", ("class", "distance", "object"), rows, note))
    if made.changes:
        rows = [
            (
                one.text,
                one.label or "not classified",
                f"{100 * one.probability:.0f} %",
                f"{100 * one.favoured:.0f} %",
            )
            for one in made.changes
        ]
        found.append(Table("What would change it", ("if", "class", "probability", f"of {made.label}"), rows))
    if made.next_observations:
        rows = [
            (one.band, _microjansky(one.flux, one.flux_err), *(f"{100 * p:.0f} %" for p in one.favoured))
            for one in made.next_observations
        ]
        head = ("band", "expected flux [µJy]", "1 sigma fainter", "as expected", "1 sigma brighter")
        found.append(Table(f"Probability of {made.label} with one more observation a day later", head, rows))
    return found


def _why_table(why: Why, n_groups: int) -> Table:
    rows = []
    for reason in why.reasons[:n_groups]:
        inputs = "; ".join(
            f"{part.meaning.partition(';')[0]}: {_value(part.value, part.unit)}" for part in reason.inputs[:2]
        )
        rows.append((reason.group, factor_text(reason.weight), inputs))
    rest = sum(reason.weight for reason in why.reasons[n_groups:])
    if why.reasons[n_groups:]:
        rows.append(("all other inputs", factor_text(rest), ""))
    rows.append(("with no input known", factor_text(why.start), ""))
    rows.append(("together", factor_text(why.total), "before calibration"))
    title = f"{why.favoured} against {why.against}"
    note = (
        f"A factor multiplies the ratio of probabilities: x speaks for {why.favoured}, / for {why.against}."
    )
    if any("bounded" in inputs for _, _, inputs in rows):
        note += " A bounded colour or ratio of fluxes a and b is (a - b) / (|a| + |b| + error)."
    return Table(title, ("reason", "factor", "main inputs"), rows, note)


def _value(value: float, unit: str) -> str:
    if not np.isfinite(value):
        return "not determined"
    return f"{value:.3g}" if unit == "1" else f"{value:.3g} {unit}"


def _microjansky(flux: float, err: float) -> str:
    """A flux and its error [nJy] in microjansky, with two digits of the error."""
    decimals = max(0, 1 - math.floor(math.log10(err / 1000.0)))
    return f"{flux / 1000.0:,.{decimals}f} ± {err / 1000.0:,.{decimals}f}"
