"""Figures of skill against phase, latent space, training history and feature importance.

Each function returns a `Figure`; figures of single scores are in `firstlight.report.plots`.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from firstlight._types import FloatArray, IntArray, StrArray
from firstlight.errors import DataError
from firstlight.metrics import Snapshot
from firstlight.metrics.phases import SELECTIONS
from firstlight.metrics.scores import (
    confusion_matrix,
    precision_recall_f1,
    present_classes,
    truth_index,
)
from firstlight.report.style import (
    ACCENT,
    CLASS_COLOUR,
    CLASS_MARKER,
    INK,
    MAIN,
    THIRD,
    new_figure,
    panel_grid,
    styled,
)

#: Panels of the skill figure: metric and title.
PHASE_PANELS = (
    ("accuracy", "accuracy"),
    ("macro_f1", "macro F1"),
    ("macro_auc", "macro AUC"),
    ("flat_log_loss", "flat log-loss [nat]"),
    ("ece", "ECE"),
    ("classified", "share classified"),
)
MOST_POINTS = 6000  # of a scatter plot; more do not show
MOST_NAMED_LATENTS = 6

#: Rows of a training history, one per epoch.
History = Sequence[Mapping[str, float]]


@styled
def skill_against_phase(by_phase: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """Scores against days since the trigger, for all objects and for the extragalactic ones.

    `by_phase` is that of `summarise_folds`; the band is one standard deviation.
    """
    phases = list(by_phase)
    where = np.arange(len(phases))
    figure, panels = panel_grid(len(PHASE_PANELS), 3, 1.9, sharey=False)
    looks = {"all": (MAIN, "o", "-"), "extragalactic": (ACCENT, "s", "--")}
    for panel, (metric, title) in zip(panels, PHASE_PANELS, strict=True):
        for selection in SELECTIONS:
            tables = [by_phase[phase].get(selection) for phase in phases]
            mean, std = np.array([_value(table, metric) for table in tables]).T
            colour, marker, line = looks[selection]
            panel.fill_between(where, mean - std, mean + std, color=colour, alpha=0.18, lw=0)
            panel.plot(where, mean, color=colour, marker=marker, ls=line, label=selection)
        panel.set_title(title, loc="left")
        panel.set_xticks(where, phases)
        panel.grid()
        if metric in ("flat_log_loss", "ece"):
            panel.set_ylim(0.0, None)
    panels[0].legend(loc="lower right")
    figure.supxlabel("days since trigger", fontsize=9)
    return figure


@styled
def phase_by_class(labels: StrArray, snapshots: Mapping[str, Snapshot], classes: Sequence[str]) -> Figure:
    """Recall and F1 by class and days since trigger, as two heat maps.

    Parameters are true classes, shape (n_objects,), predictions by phase, and the names of the columns.
    """
    truth, present = truth_index(labels, classes), present_classes(labels, classes)
    tables = np.array([_recall_f1(truth, one, classes, present) for one in snapshots.values()])
    return _heat_maps(dict(zip(("recall", "F1"), tables.T, strict=True)), list(snapshots), present)


@styled
def sets_by_class(sets: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Coverage and mean size of prediction sets by class and days since trigger, as two heat maps.

    `sets` is the table of `firstlight.metrics.set_scores`.
    """
    present = list(dict.fromkeys(name for table in sets.values() for name in table["per_class"]))
    tables = {}
    for title, key in {"coverage": "coverage", "classes in the set": "size"}.items():
        rows = [[table["per_class"].get(name, {}).get(key) for table in sets.values()] for name in present]
        tables[title] = np.array(rows, dtype=np.float64)
    return _heat_maps(tables, list(sets), present)


@styled
def latent_space(latent: NDArray[np.floating[Any]], labels: StrArray, classes: Sequence[str]) -> Figure:
    """First two principal components of the latents, and every pair of the first six latents.

    `latent` are latent means, shape (n_objects, n_latents); classes give the colours. Raises
    `DataError` with fewer than two latents or three objects.
    """
    point: FloatArray = np.asarray(latent, dtype=np.float64)
    if point.ndim != 2 or point.shape[1] < 2 or len(point) < 3:
        raise DataError(f"latents of shape {point.shape} cannot be drawn; need 3 objects and 2 latents")
    present = present_classes(labels, classes)
    # In random order, so that no class hides the others.
    order = np.random.default_rng(0).permutation(len(point))[:MOST_POINTS]
    point, labels = point[order], labels[order]
    n_shown = min(point.shape[1], MOST_NAMED_LATENTS)
    pairs = list(combinations(range(n_shown), 2))
    n_rows = -(-len(pairs) // 5)
    figure = new_figure(4.4 + 1.45 * n_rows)
    colours = [CLASS_COLOUR.get(name, INK) for name in labels.tolist()]
    halves: Any = figure.subfigures(2, 1, height_ratios=(4.4, 1.45 * n_rows))
    top, bottom = halves
    _principal_panel(top.subplots(), point, labels, present)
    grid = bottom.subplots(n_rows, 5, squeeze=False).ravel()
    for panel, (i, j) in zip(grid, pairs, strict=False):
        panel.scatter(point[:, i], point[:, j], s=1.2, c=colours, alpha=0.6, linewidths=0, rasterized=True)
        _frame(panel, point[:, i], point[:, j])
        panel.set_title(f"$z_{{{i + 1}}}$ and $z_{{{j + 1}}}$", loc="left", fontsize=8, pad=2)
        panel.tick_params(labelsize=6.5)
    for panel in grid[len(pairs) :]:
        panel.set_axis_off()
    return figure


@styled
def training_loss(*histories: History) -> Figure:
    """Training history of one or several trainings, one panel per quantity.

    Rows are those of `Encoder.history`: ``epoch``, losses whose names begin with ``train_`` or
    ``validation_``, and others. Dotted lines mark the epoch with the lowest validation loss. Raises
    `DataError` without anything to draw.
    """
    tables = [_columns(history) for history in histories]
    panels_of = _history_panels(tables[0]) if tables else {}
    if not panels_of:
        raise DataError("no training history to draw")
    figure, panels = panel_grid(len(panels_of), min(4, len(panels_of)), 1.7, sharey=False)
    for panel, (title, parts) in zip(panels, panels_of.items(), strict=True):
        for number, table in enumerate(tables):
            _history_panel(panel, table, parts, labelled=number == 0)
        panel.set_title(title.replace("_", " "), loc="left")
        panel.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        panel.grid()
        if panel.get_legend_handles_labels()[0]:
            panel.legend(ncols=2 if len(parts) > 3 else 1, fontsize=7, handlelength=1.3)
    figure.supxlabel("epoch", fontsize=9)
    return figure


@styled
def feature_importance(
    names: Sequence[str], importance: ArrayLike, std: ArrayLike | None = None, n_shown: int = 30
) -> Figure:
    """Most important inputs of the classifier, as shares of the total importance.

    `std` is the spread between folds in the unit of `importance`. Raises `DataError` if lengths
    disagree or the total is not positive.
    """
    importance = np.asarray(importance, dtype=np.float64)
    total = importance.sum()
    if importance.shape != (len(names),) or not total > 0.0:
        raise DataError(f"{len(names)} names and {importance.shape} importances with sum {total:g}")
    top = np.argsort(-importance, kind="stable")[:n_shown]
    where = np.arange(len(top))
    figure = new_figure(0.7 + 0.19 * len(top))
    panel = figure.subplots()
    spread = None if std is None else 100.0 * np.asarray(std, dtype=np.float64)[top] / total
    panel.barh(where, 100.0 * importance[top] / total, xerr=spread, color=MAIN, height=0.68, ecolor=INK)
    panel.set_yticks(where, [names[i] for i in top])
    panel.invert_yaxis()
    panel.set_ylim(len(top) - 0.4, -0.6)
    panel.set_xlabel(f"share of the importance of all {len(names):,} inputs [%]")
    panel.grid(axis="x")
    return figure


# --- private --------------------------------------------------------------------


def _value(table: Mapping[str, Any] | None, metric: str) -> tuple[float, float]:
    if table is None:
        return float("nan"), 0.0
    if metric == "classified":
        return 1.0 - table["n_not_classified"] / table["n"], 0.0
    value = table[metric]
    mean = float("nan") if value["mean"] is None else value["mean"]
    return mean, 0.0 if value["std"] is None or not np.isfinite(value["std"]) else value["std"]


def _heat_maps(tables: Mapping[str, FloatArray], phases: Sequence[str], names: Sequence[str]) -> Figure:
    """A heat map of classes against days since trigger per table, shape (n_classes, n_phases).

    Shares have a scale from 0 to 1, other numbers one up to the largest.
    """
    figure = new_figure(0.9 + 0.24 * len(names))
    for panel, (title, table) in zip(
        figure.subplots(1, len(tables), sharey=True), tables.items(), strict=True
    ):
        most = max(float(np.nanmax(table)), 1.0)
        image = panel.imshow(table, cmap="Blues", vmin=0.0, vmax=most, aspect="auto")
        for (i, j), value in np.ndenumerate(table):
            colour = "white" if value > 0.55 * most else INK
            text = "" if np.isnan(value) else f"{value:.2f}" if most <= 1.0 else f"{value:.1f}"
            panel.text(j, i, text, ha="center", va="center", color=colour, fontsize=6.8)
        panel.set_title(title, loc="left")
        panel.set_xticks(range(len(phases)), phases)
        panel.set_yticks(range(len(names)), names)
        panel.set_xlabel("days since trigger")
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
    if all(float(np.nanmax(table)) <= 1.0 for table in tables.values()):
        bar = figure.colorbar(image, ax=figure.axes, fraction=0.025, pad=0.01)
        bar.outline.set_visible(False)
    return figure


def _recall_f1(
    truth: IntArray, snapshot: Snapshot, classes: Sequence[str], present: Sequence[str]
) -> FloatArray:
    """Recall and F1 of the classes present, shape (n_present, 2)."""
    confusion = confusion_matrix(truth, snapshot.proba.argmax(axis=1), len(classes))
    _, recall, f1 = precision_recall_f1(confusion)
    return np.column_stack([recall, f1])[truth_index(np.array(present), classes)]


def _principal_panel(panel: Axes, latent: FloatArray, labels: StrArray, present: Sequence[str]) -> None:
    scaled = (latent - latent.mean(axis=0)) / np.maximum(latent.std(axis=0), 1e-12)
    _, singular, axes = np.linalg.svd(scaled, full_matrices=False)
    plane = scaled @ axes[:2].T
    share = singular**2 / np.sum(singular**2)
    frequent = sorted(present, key=lambda name: -np.count_nonzero(labels == name))
    for name in frequent:  # rare classes on top
        x, y = plane[labels == name].T
        colour, marker = CLASS_COLOUR.get(name, INK), CLASS_MARKER.get(name, "o")
        # Rasterized, because thousands of points make a vector file large.
        panel.scatter(x, y, s=5.0, c=colour, marker=marker, alpha=0.6, linewidths=0, rasterized=True)
    _frame(panel, plane[:, 0], plane[:, 1])
    panel.set_xlabel(f"first principal component ({100 * share[0]:.0f} % of the variance)")
    panel.set_ylabel(f"second ({100 * share[1]:.0f} %)")
    shown = [name for name in present if np.any(labels == name)]
    median = np.array([np.median(plane[labels == name], axis=0) for name in shown])
    handles = []
    for name, at, place in zip(shown, median, _apart(panel, median, shown), strict=True):
        colour, marker = CLASS_COLOUR.get(name, INK), CLASS_MARKER.get(name, "o")
        box = {
            "facecolor": "white",
            "alpha": 0.85,
            "edgecolor": colour,
            "lw": 1.0,
            "boxstyle": "round,pad=0.15",
        }
        arrow = {"arrowstyle": "-", "color": colour, "lw": 1.0}
        panel.annotate(
            name, at, place, ha="center", va="center", fontsize=7.5, bbox=box, arrowprops=arrow, clip_on=True
        )
        handles.append(Line2D([], [], color=colour, marker=marker, ls="", ms=4.5, label=name))
    panel.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _apart(panel: Axes, wanted: FloatArray, names: Sequence[str]) -> FloatArray:
    """Move labels vertically until none overlap, in data coordinates."""
    extent = np.array([np.ptp(panel.get_xlim()), np.ptp(panel.get_ylim())])
    place = wanted / extent  # in units of the panel, where labels have a fixed size
    width = np.array([0.016 * len(name) + 0.02 for name in names])
    height = 0.055
    for _ in range(200):
        moved = False
        for i, j in combinations(range(len(names)), 2):
            gap = place[j] - place[i]
            overlap = height - abs(gap[1])
            if abs(gap[0]) < 0.5 * (width[i] + width[j]) and overlap > 1e-6:
                step = 0.5 * overlap * (1.0 if gap[1] >= 0 else -1.0)
                place[i, 1] -= step
                place[j, 1] += step
                moved = True
        if not moved:
            break
    return np.asarray(place * extent)


def _frame(panel: Axes, x: FloatArray, y: FloatArray) -> None:
    """Set limits that ignore outliers."""
    for values, limit in ((x, panel.set_xlim), (y, panel.set_ylim)):
        low, high = np.quantile(values, (0.002, 0.998))
        margin = 0.06 * max(high - low, 1e-9)
        limit(low - margin, high + margin)


def _columns(history: History) -> dict[str, FloatArray]:
    if not history:
        raise DataError("the training history has no epoch to draw")
    table = {name: np.array([row[name] for row in history], dtype=np.float64) for name in history[0]}
    return {"epoch": np.arange(1.0, len(history) + 1.0)} | table


def _history_panels(table: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Title of each panel -> role of a line in it (train, validation or its own name) -> column."""
    panels: dict[str, dict[str, str]] = {}
    for name in table:
        head, _, rest = name.partition("_")
        if name in ("epoch", "seconds"):
            continue
        if head in ("train", "validation"):
            panels.setdefault(rest or "loss", {})[head] = name
        elif head == "kl" and rest:
            panels.setdefault("KL of each latent [nat]", {})[rest] = name
        else:
            panels.setdefault(name, {})[""] = name
    return panels


def _history_panel(
    panel: Axes, table: Mapping[str, FloatArray], parts: Mapping[str, str], *, labelled: bool
) -> None:
    looks = {"train": (MAIN, "-"), "validation": (ACCENT, "--"), "": (THIRD, "-")}
    for number, (role, name) in enumerate(parts.items()):
        colour, line = looks.get(role, (list(CLASS_COLOUR.values())[number % len(CLASS_COLOUR)], "-"))
        label = role if labelled and role else None
        panel.plot(table["epoch"], table[name], color=colour, ls=line, lw=1.2, label=label)
    loss = table.get("validation_loss")
    if loss is not None and np.isfinite(loss).any():
        panel.axvline(table["epoch"][int(np.nanargmin(loss))], color=INK, lw=0.7, ls=":")
