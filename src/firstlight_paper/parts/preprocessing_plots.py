"""Pictures of the preprocessing: Figure 1, what a cut removes, signal by class, skill by variant."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from firstlight.bands import BANDS
from firstlight.lightcurves import LightCurves
from firstlight.preprocess import deredden
from firstlight.report.lightcurves import BAND_COLOUR, BAND_MARKER
from firstlight.report.style import ACCENT, FAINT, FOURTH, INK, MAIN, THIRD, new_figure, styled
from firstlight_paper.cleaning import BRIGHT_SNR, EVERY_CLASS
from firstlight_paper.figure_1 import plot_figure_1
from firstlight_paper.objects import PAPER_CLASSES, SIMULATED_CLASSES

__all__ = [
    "EXAMPLES",
    "MOST_POINTS",
    "SHOWN",
    "WINDOW",
    "before_and_after",
    "figure_1",
    "lost_by_class",
    "skill",
]

#: A supernova, a flare, a microlensing event: what a cut about the mean takes for outliers.
EXAMPLES: Mapping[str, str] = MappingProxyType(
    {"SNIa": "SN Ia", "M-dwarf": "M-dwarf flare", "muLens-Single": "microlensing"}
)
WINDOW = (-75.0, 125.0)  # days since the brightest significant observation
MOST_POINTS = 200  # observations of an object that is shown

#: What cleanings and variants are called.
SHOWN: Mapping[str, str] = MappingProxyType(
    {
        "none": "no cleaning",
        "cut": "7-sigma cut alone",
        "clip": "clipping alone",
        "both": "both (the paper's)",
        "physical": "ours (only the unphysical)",
        "printed": "both, dust twice (printed)",
        "distance": "ours, no redshift",
    }
)
_LOOK: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"cut": (FOURTH, "^"), "clip": (THIRD, "s"), "both": (ACCENT, "D"), "physical": (MAIN, "o")}
)
_START = 60000.0  # MJD of the first observation of a stored light curve: any will do


def figure_1(rows: Sequence[Mapping[str, Any]], cleaning: str, *, again: bool) -> Figure:
    """Figure 1 from stored light curves.

    Parameters
    ----------
    rows : sequence of mapping
        One a panel: ``days``, ``band``, ``flux``, ``flux_err``, ``detected``, ``kept``, ``ebv``,
        ``redshift``, ``object_id``, ``class``.
    cleaning : str
        Whose cleaning to apply, a key of ``kept``.
    again : bool
        Whether to correct dust a second time.
    """
    counts = [len(row["days"]) for row in rows]
    columns = {
        name: np.concatenate([np.asarray(row[name]) for row in rows])
        for name in ("band", "flux", "flux_err", "detected")
    }
    curves = LightCurves(
        object_id=np.array([row["object_id"] for row in rows]),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        mjd=_START + np.concatenate([np.asarray(row["days"], dtype=np.float64) for row in rows]),
        band=columns["band"],
        flux=columns["flux"],
        flux_err=columns["flux_err"],
        detected=columns["detected"].astype(bool),
        ebv=np.array([row["ebv"] for row in rows], dtype=np.float32),
        redshift=np.array([row["redshift"] for row in rows], dtype=np.float32),
        dereddened=True,
    )
    keep = np.concatenate([np.asarray(row["kept"][cleaning], dtype=bool) for row in rows])
    cleaned = deredden(curves.keep(keep), again=again)
    labels = np.array([row["class"] for row in rows])
    return plot_figure_1(cleaned, labels, objects=[row["object_id"] for row in rows])


@styled
def before_and_after(examples: Sequence[Mapping[str, Any]]) -> Figure:
    """Light curves with what the paper's cuts remove crossed out."""
    figure = new_figure(3.4)
    panels = figure.subplots(1, len(examples), squeeze=False)[0]
    for panel, example in zip(panels, examples, strict=True):
        _example(panel, example)
    panels[0].set_ylabel("flux [µJy]")
    present = sorted({int(band) for example in examples for band in example["band"]})
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=BAND_MARKER[BANDS[k]],
            color=BAND_COLOUR[BANDS[k]],
            label=BANDS[k],
        )
        for k in present
    ]
    handles.append(_cross())
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.1)
    return figure


def _example(panel: Axes, example: Mapping[str, Any]) -> None:
    days, flux, flux_err = (np.asarray(example[name], dtype=float) for name in ("days", "flux", "flux_err"))
    band, gone = np.asarray(example["band"]), ~np.asarray(example["kept"]["both"], dtype=bool)
    for k, name in enumerate(BANDS):
        own = band == k
        if own.any():
            panel.errorbar(
                days[own], flux[own], yerr=flux_err[own], fmt=BAND_MARKER[name], color=BAND_COLOUR[name],
                markersize=3.6, markeredgewidth=0.0, elinewidth=0.7, alpha=0.85,
            )  # fmt: skip
    panel.plot(days[gone], flux[gone], "x", color=INK, markersize=8.0, markeredgewidth=1.2, zorder=4)
    panel.axhline(0.0, color=FAINT, linewidth=0.8, zorder=0)
    title = f"{EXAMPLES[example['class']]}, object {example['object_id']}"
    panel.set_title(f"{title}\n{int(gone.sum())} of {len(gone)} points removed", loc="left", fontsize=8.5)
    panel.set_xlabel(f"days since brightest point\nabove S/N {BRIGHT_SNR:.0f}")
    panel.grid(visible=True, axis="y")


def _cross() -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker="x", color=INK, markersize=7.0, label="removed by the paper's cuts"
    )


@styled
def lost_by_class(lost: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """Shares of signal and of peaks that each cleaning removes, one line a class."""
    both = lost["both"]
    names = [name for name in PAPER_CLASSES if name in both]
    names.sort(key=lambda name: both[name]["peak_lost"] or 0.0)
    names = [EVERY_CLASS, *names]
    figure = new_figure(0.6 + 0.32 * len(names))
    panels = figure.subplots(1, 2, sharey=True)
    for panel, (what, title) in zip(
        panels,
        (("positive_signal", "signal removed [%]"), ("peak_lost", "brightest point removed [%]")),
        strict=True,
    ):
        for place, (cleaning, (colour, marker)) in enumerate(_LOOK.items()):
            values = [lost[cleaning][name][what] for name in names]
            shift = 0.27 - 0.18 * place  # equal shares stay visible one below the other
            known = [(100.0 * value, at + shift) for at, value in enumerate(values) if value is not None]
            panel.plot(
                [x for x, _ in known], [y for _, y in known], marker, color=colour,
                label=SHOWN[cleaning], markersize=4.2, clip_on=False, zorder=3,
            )  # fmt: skip
        panel.set_xlabel(title)
        panel.set_xlim(-2.0, 100.0)
        panel.grid(visible=True)
        panel.axhline(0.5, color=FAINT, linewidth=0.8)
    panels[0].set_yticks(range(len(names)), [_class_name(name) for name in names])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(_LOOK))
    return figure


def _class_name(name: str) -> str:
    if name == EVERY_CLASS:
        return "all objects"
    return f"{name} (simulated)" if name in SIMULATED_CLASSES else name


@styled
def skill(rows: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Accuracy, macro F1 and macro AUC of every variant, with their spread over folds."""
    names = list(rows)
    figure = new_figure(0.8 + 0.3 * len(names))
    panels = figure.subplots(1, 3, sharey=True)
    metrics = (("accuracy", "accuracy"), ("macro_f1", "macro F1"), ("macro_auc", "macro AUC"))
    for panel, (metric, title) in zip(panels, metrics, strict=True):
        for at, name in enumerate(names):
            value = rows[name]["sixteen"][metric]
            if value["mean"] is None:
                continue
            colour = MAIN if name == "physical" else ACCENT if name in ("both", "printed") else INK
            panel.errorbar(
                value["mean"],
                at,
                xerr=value["std"] or 0.0,
                fmt="D",
                color=colour,
                markersize=5.0,
                capsize=3.0,
            )
            panel.plot(value["folds"], [at + 0.22] * len(value["folds"]), ".", color=colour, alpha=0.55)
        ours = rows["physical"]["sixteen"][metric]["mean"]
        if ours is not None:
            panel.axvline(ours, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
        panel.set_xlabel(title)
        panel.grid(visible=True, axis="y")
    panels[0].set_yticks(range(len(names)), [SHOWN[name] for name in names])
    panels[0].invert_yaxis()
    return figure
