"""What the page says and draws of the cost."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from firstlight.report.style import ACCENT, INK, MAIN, THIRD, new_figure, styled
from firstlight_paper.parts.limits import band, mean, tidy
from firstlight_paper.section import Picture, Section, Table, number, plus_minus

__all__ = ["show"]

_STAGES = (
    ("encoder", "encoder", MAIN, "o"),
    ("features", "features and copies", THIRD, "D"),
    ("classifier", "booster", ACCENT, "s"),
)
_BUNDLES = {"default": (MAIN, "o"), "fast": (ACCENT, "s")}


def show(result: Mapping[str, Any]) -> Section:
    """Curves and tables of time, memory, pruning and quantisation."""
    honest = result["honest"]
    protocol = f"{result['protocol'][0].upper()}{result['protocol'][1:]}."
    return Section(
        title="Limitation: cost",
        blocks=(
            _words(honest),
            Picture(
                name="cost",
                figure=_curves(honest),
                caption=(
                    "Processor time and peak memory of training, processor time of classifying, and macro F1 "
                    "of a pruned booster (band: one standard deviation over folds)."
                ),
            ),
            _training_table(honest, protocol),
            _classifying_table(honest),
            _smaller_table(honest),
        ),
    )


def _words(honest: Mapping[str, Any]) -> str:
    training, exponent = honest["training"], honest["exponent"]
    last = training[-1]
    default, fast = (honest["classifying"][name]["steps"] for name in ("default", "fast"))
    one, most = default[0], default[-1]
    per_object = 1000.0 * most["cpu"] / most["n_objects"]
    faster = (most["cpu"] / most["n_objects"]) / (fast[-1]["cpu"] / fast[-1]["n_objects"])
    whole = honest["pruned"][-1]
    enough = next(row for row in honest["pruned"] if _near(row["real"], whole["real"]))
    exact = honest["quantised"][0]
    coarse = list(takewhile(lambda row: _near(row["latents"], exact["latents"]), honest["quantised"]))[-1]
    bits = f"rounded to {coarse['bits']} bits ({coarse['kilobytes']:.0f} of {exact['kilobytes']:.0f} kB)" + (
        ", the fewest tried," if coarse is honest["quantised"][-1] else ""
    )
    return (
        f"The paper calls its model computationally intensive and prints no number. Training the preset "
        f"{honest['preset']} on {last['n_objects']:,} objects takes {last['cpu']:.0f} s of one core "
        f"({honest['machine']}) and {last['memory']:.0f} MB; from {training[0]['n_objects']:,} objects on, "
        f"time grows with their number to the power {number(exponent['cpu'], 2)}, memory by "
        f"{honest['memory_per_1000']:.0f} MB per 1,000. "
        f"Classifying {most['n_objects']:,} whole light curves with the bundle default takes "
        f"{per_object:.2f} ms each, one alone {1000.0 * one['cpu']:.1f} ms; the bundle fast is "
        f"{faster:.1f} times as fast. Pruning and quantisation, which the paper proposes: the first "
        f"{enough['rounds']} of {whole['rounds']} boosting rounds come within 0.01 of the macro F1 of all, "
        f"at {enough['microseconds'] / whole['microseconds']:.2f} of the trees' time. The autoencoder's "
        f"weights can be {bits} without a booster that reads latents alone losing more than 0.01 of macro F1 "
        "(means over folds)."
    )


def _near(scores: Mapping[str, Any], best: Mapping[str, Any]) -> bool:
    return mean(scores["macro_f1"]) >= mean(best["macro_f1"]) - 0.01


@styled
def _curves(honest: Mapping[str, Any]) -> Figure:
    figure = new_figure(5.4)
    panels = figure.subplots(2, 2)
    _training(panels[0, 0], honest)
    _memory(panels[0, 1], honest)
    _classifying(panels[1, 0], honest)
    rounds = [row["rounds"] for row in honest["pruned"]]
    panel = panels[1, 1]
    band(
        panel,
        rounds,
        [row["real"]["macro_f1"] for row in honest["pruned"]],
        MAIN,
        "macro F1, 13 real classes",
    )
    band(
        panel, rounds, [row["sixteen"]["macro_f1"] for row in honest["pruned"]], INK, "16 classes", "s", "--"
    )
    panel.set_xscale("log")
    tidy(panel, "boosting rounds kept", "macro F1")
    _plain_numbers(panel.xaxis)
    panel.legend(loc="lower right")
    return figure


def _training(panel: Axes, honest: Mapping[str, Any]) -> None:
    n = [step["n_objects"] for step in honest["training"]]
    power = number(honest["exponent"]["cpu"], 2)
    panel.plot(n, [s["cpu"] for s in honest["training"]], color=INK, marker="^", label=f"all, power {power}")
    for stage, label, colour, marker in _STAGES:
        seconds = [step["stages"].get(stage, 0.0) for step in honest["training"]]
        text = f"{label}, {number(honest['exponent'][stage], 2)}"
        panel.plot(n, seconds, color=colour, marker=marker, label=text)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_ylim(top=20.0 * panel.get_ylim()[1])  # room for the legend
    tidy(panel, "training objects", "training, one core [s]")
    panel.set_xticks(n, [f"{x:,}" for x in n])
    panel.xaxis.set_minor_locator(NullLocator())
    _plain_numbers(panel.yaxis)
    panel.legend(loc="upper left")


def _memory(panel: Axes, honest: Mapping[str, Any]) -> None:
    n = [step["n_objects"] for step in honest["training"]]
    panel.plot(n, [step["memory"] for step in honest["training"]], color=INK, marker="^", label="training")
    for name, (colour, marker) in _BUNDLES.items():
        steps = honest["classifying"][name]["steps"]
        x, y = ([step[key] for step in steps] for key in ("n_objects", "memory"))
        panel.plot(x, y, color=colour, marker=marker, ls="--", label=f"classifying, {name}")
    panel.set_ylim(0.0, 1.1 * max(step["memory"] for step in honest["training"]))
    panel.set_xscale("log")
    tidy(panel, "objects", "peak memory [MB]")
    _plain_numbers(panel.xaxis)
    panel.legend(loc="lower right")


def _classifying(panel: Axes, honest: Mapping[str, Any]) -> None:
    for name, (colour, marker) in _BUNDLES.items():
        steps = honest["classifying"][name]["steps"]
        each = [1000.0 * step["cpu"] / step["n_objects"] for step in steps]
        panel.plot([s["n_objects"] for s in steps], each, color=colour, marker=marker, label=f"bundle {name}")
    panel.set_xscale("log")
    panel.set_ylim(bottom=0.0)
    tidy(panel, "objects classified at once", "one core, an object [ms]")
    _plain_numbers(panel.xaxis)
    panel.legend()


def _plain_numbers(axis: Axis) -> None:
    """Powers of ten as numbers, and no labels between them."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _training_table(honest: Mapping[str, Any], protocol: str) -> Table:
    rows = tuple(
        (
            f"{step['n_objects']:,}",
            f"{step['n_observations']:,}",
            number(step["cpu"], 1),
            *(number(step["stages"].get(stage), 1) for stage, *_ in _STAGES),
            number(step["wall"], 1),
            number(step["memory"], 0),
            number(step["memory_before"], 0),
        )
        for step in honest["training"]
    )
    return Table(
        caption=f"Training by number of objects. {protocol}",
        columns=(
            "objects",
            "observations",
            "core [s]",
            *(f"of it {label} [s]" for _, label, *_ in _STAGES),
            "wall clock [s]",
            "peak memory [MB]",
            "before training [MB]",
        ),
        rows=rows,
    )


def _classifying_table(honest: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            name,
            f"{step['n_objects']:,}",
            number(1000.0 * step["cpu"] / step["n_objects"], 2),
            number(1000.0 * step["wall"] / step["n_objects"], 2),
            number(step["memory"], 0),
        )
        for name, found in honest["classifying"].items()
        for step in found["steps"]
    )
    return Table(
        caption=(
            "Classifying whole light curves by number of objects, shipped bundles, one thread, least of five "
            f"runs up to 100 objects; {honest['machine']}. Loading takes "
            + " and ".join(f"{found['load']:.2f} s ({name})" for name, found in honest["classifying"].items())
            + " before."
        ),
        columns=("bundle", "objects", "core, an object [ms]", "wall clock [ms]", "peak memory [MB]"),
        rows=rows,
    )


def _smaller_table(honest: Mapping[str, Any]) -> Table:
    def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
        kinds = (("sixteen", "macro_f1"), ("real", "accuracy"), ("real", "macro_f1"), ("real", "log_loss"))
        latents = row["latents"]["macro_f1"] if "latents" in row else None
        return (*(plus_minus(row[part][metric]) for part, metric in kinds), plus_minus(latents))

    rows: Sequence[tuple[str, ...]] = [
        (f"{row['rounds']} boosting rounds", *cells(row), number(row["microseconds"], 1), "-")
        for row in honest["pruned"]
    ]
    rows = [
        *rows,
        *(
            (f"autoencoder of {row['bits']} bits", *cells(row), "-", number(row["kilobytes"], 0))
            for row in honest["quantised"]
        ),
    ]
    return Table(
        caption=(
            "Pruned boosters and quantised autoencoders on unseen objects, a LightGBM booster on our inputs "
            "of whole light curves, and one on their latents alone; spread over folds. Nothing is trained "
            "again after it was made smaller."
        ),
        columns=(
            "kept",
            "macro F1, 16 classes",
            "accuracy, 13 real",
            "macro F1, 13 real",
            "log-loss, 13 real",
            "macro F1 from latents alone, 13 real",
            "trees, an object [µs]",
            "autoencoder [kB]",
        ),
        rows=tuple(rows),
    )
