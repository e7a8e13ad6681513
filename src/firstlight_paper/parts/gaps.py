"""Limitation: gaps. Observations, stretches of time and whole bands are removed from test objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from firstlight.bands import BANDS
from firstlight.lightcurves import LightCurves
from firstlight_paper.context import Context
from firstlight_paper.experiment import Part, Variant
from firstlight_paper.models import perturbed
from firstlight_paper.objects import PAPER_CLASSES
from firstlight_paper.page.plots import heat_map
from firstlight_paper.page.tables import SIX_SCORES, pivot
from firstlight_paper.view import View

_ALL = "".join(BANDS)
_AFTER_TRIGGER = 0.5  # [day], so that the night of the trigger stays
NOTHING: dict[str, Any] = {"part": "ours", "variant": "whole"}


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Shares dropped, lengths of a gap [day], bands that are left."""

    dropped: tuple[float, ...] = tuple(round(0.1 * k, 1) for k in range(1, 10))
    block: tuple[float, ...] = (10.0, 20.0, 40.0, 80.0, 160.0)
    bands: tuple[str, ...] = (*(_ALL.replace(name, "") for name in BANDS), "griz", "gri", "gr", "gi", "iz")


def dropped(curves: LightCurves, rng: np.random.Generator, *, share: float) -> LightCurves:
    """Without a share of the observations, chosen at random."""
    return curves.keep(rng.random(len(curves.mjd)) >= share)


def block(curves: LightCurves, rng: np.random.Generator, *, days: float) -> LightCurves:
    """Without any observation for some days right after the trigger."""
    phase = curves.phase
    return curves.keep(~((phase > _AFTER_TRIGGER) & (phase <= _AFTER_TRIGGER + days)))


def bands(curves: LightCurves, rng: np.random.Generator, *, kept: str) -> LightCurves:
    """In some bands only."""
    return curves.keep(np.isin(curves.band, [BANDS.index(name) for name in kept]))


def variants(context: Context, amount: Amount) -> Sequence[Variant]:
    """Every gap on every fold."""
    changes: dict[str, tuple[Any, str]] = {
        f"dropped {share:g}": (partial(dropped, share=share), f"{share:g}") for share in amount.dropped
    }
    changes |= {f"block {days:g}": (partial(block, days=days), f"{days:g}") for days in amount.block}
    changes |= {f"bands {kept}": (partial(bands, kept=kept), "0") for kept in amount.bands}
    folds = range(context.scale.n_folds)
    return [
        Variant(name=name, work=partial(perturbed, change=change, key=("gaps", key)), folds=folds)
        for name, (change, key) in changes.items()
    ]


def _rows(view: View) -> dict[str, Mapping[str, Any]]:
    rows: dict[str, Mapping[str, Any]] = {"nothing": NOTHING}
    rows |= {f"{100 * a:.0f} % at random": {"variant": f"dropped {a:g}"} for a in view.amount.dropped}
    rows |= {f"{a:g} days after the trigger": {"variant": f"block {a:g}"} for a in view.amount.block}
    for kept in view.amount.bands:
        gone = _gone(kept)
        rows[f"band {gone}" if len(gone) == 1 else f"all but {kept}"] = {"variant": f"bands {kept}"}
    return rows


def _gone(kept: str) -> str:
    return "".join(name for name in _ALL if name not in kept)


def table(view: View) -> str:
    """Scores with every gap."""
    columns: dict[str, Mapping[str, Any]] = {
        "observations (median)": {"metric": "n_obs", "column": "", "subset": 0, "digits": 0}
    }
    columns |= SIX_SCORES
    share = {"metric": "not_classified", "subset": 13, "scale": 100, "digits": 1, "unit": " %"}
    return pivot(view, _rows(view), columns | {"not classified (real)": share}, "removed")


def _tick(kept: str) -> str:
    return f"no {_gone(kept)}" if len(_gone(kept)) == 1 else f"only\n{kept}"


def classes(view: View) -> Figure:
    """Change of every class's F1 when bands are missing."""
    names = [name for name in PAPER_CLASSES if view.has(**NOTHING, metric=f"f1:{name}")]
    kept = view.amount.bands

    def f1(name: str, where: Mapping[str, Any]) -> float:
        return float(np.nan_to_num(view.spread(**where, metric=f"f1:{name}").mean))

    change = [[f1(c, {"variant": f"bands {k}"}) - f1(c, NOTHING) for k in kept] for c in names]
    ticks = [_tick(name) for name in kept]
    return heat_map(
        np.array(change), names, ticks, label="change of F1", x_label="bands", form="+.2f", centred=True
    )


GAPS = Part(
    name="gaps",
    group="limitations",
    needs=("ours",),
    full=Amount(),
    variants=variants,
    tables={"gaps": table},
    figures={"gaps-bands": classes},
)
