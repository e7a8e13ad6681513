"""Write the numbers and pictures of README.md and docs from the committed result files.

Run `make figures` after a new cross-validation or benchmark. A test checks that the pages hold
the text of `fill`, so that no number is typed by hand.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from firstlight.report.plots import confusion_matrix
from firstlight.report.style import save_figure
from firstlight.report.training import skill_against_phase
from firstlight.taxonomy import CLASSES, COARSE, COARSE_GROUPS, MEANING
from firstlight_paper.page.render import in_short, write_pages
from firstlight_paper.parts import PARTS
from firstlight_paper.results import Results

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where a test loads this file by its path

from autoencoder_tables import AUTOENCODER_BLOCKS
from made_tables import MADE_BLOCKS
from sky_tables import SKY_BLOCKS
from speed_tables import PRESETS, SPEED, SPEED_BLOCKS, by_workers
from study_tables import STUDY_BLOCKS
from tables import PHASES, RESULTS, ROOT, STUDIES, machine, read, table

PRINTED = {"accuracy": "0.89", "macro_f1": "0.89", "macro_auc": "0.94"}
COLUMNS = (
    ("accuracy", "accuracy", 3),
    ("macro_f1", "macro F1", 3),
    ("macro_auc", "macro AUC", 4),
    ("log_loss", "log-loss", 3),
    ("weighted_log_loss", "PLAsTiCC log-loss", 3),
    ("ece", "ECE", 3),
)
REAL_PHASES = tuple(days for days in PHASES if days != "0")  # of the prediction sets of real objects


def crossvals() -> dict[str, dict[str, Any]]:
    """Cross-validation result of each preset that has one."""
    return {
        path.stem.removeprefix("crossval-"): read(path) for path in sorted(RESULTS.glob("crossval-*.json"))
    }


def skill_table() -> str:
    """Scores of whole light curves per preset, and those that the paper prints."""
    rows = [
        [f"`{name}`", *(f"{result[k]['mean']:.{d}f} ± {result[k]['std']:.{d}f}" for k, _, d in COLUMNS)]
        for name, result in crossvals().items()
    ]
    printed = "as published in the paper (16 classes, oversampled, no split by object stated)"
    rows.append([printed, *(PRINTED.get(key, "") for key, _, _ in COLUMNS)])
    return table(["whole light curves", *(name for _, name, _ in COLUMNS)], rows)


#: Scores of the real objects, and their words.
REAL_SKY_METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "macro_auc": "macro AUC",
    "ece": "ECE",
}


def real_sky_table() -> str:
    """Scores on the testing half of the real objects: of today's bundles, and of the first ones."""
    first, now = (read(RESULTS / f"real-sky{name}.json")["bundles"] for name in ("-first-bundles", ""))
    found = {}
    for name in reversed(PRESETS):
        half = now[name]["testing"]
        found[f"`{name}`"] = half["whole"]
        found[f"`{name}`, {half['once']['n_objects']} objects without second names"] = half["once"]
    for name in reversed(PRESETS):
        found[f"`{name}`, trained on PLAsTiCC as it is"] = first[name]["testing"]["whole"]
    rows = [
        [name, *("{value:.3f} ± {std:.3f}".format(**scores[key]) for key in REAL_SKY_METRICS)]
        for name, scores in found.items()
    ]
    return table(["real objects", *REAL_SKY_METRICS.values()], rows)


def sets_table() -> str:
    """Coverage and size of prediction sets by phase, and the least covered class."""
    result = read(RESULTS / "prediction-sets.json")
    rows = []
    for phase in PHASES:
        found, usual = result["plasticc"]["by_phase"][phase], result["plasticc"]["aps"][phase]
        outside, classes = found["extragalactic"], found["per_class"]
        worst = min(classes, key=lambda name: classes[name]["coverage"])
        real = [
            f"{part[phase]['coverage']:.2f}, {part[phase]['size']:.1f}" if phase in part else ""
            for part in (result["real"][name] for name in reversed(PRESETS))
        ]
        one = "{coverage:.2f}, {size:.1f}, {worst} {worst_coverage:.2f}".format(**usual)
        rows.append(
            [
                "whole" if phase == "all" else phase,
                f"{outside['coverage']:.3f}",
                f"{outside['size']:.2f}",
                f"{worst} {classes[worst]['coverage']:.2f} of {classes[worst]['n']:,}",
                one,
                *real,
            ]
        )
    head = ["days", "coverage", "classes", "least covered class", "one threshold for all classes"]
    return table([*head, *(f"real objects, `{name}`" for name in reversed(PRESETS))], rows)


def sets_where() -> str:
    """Coverage by magnitude, and of real objects by survey and class."""
    result = read(RESULTS / "prediction-sets.json")
    bins = result["plasticc"]["by_magnitude"]
    set_phases = [days for days in PHASES if days != "2"]
    by_mag = [
        [
            name,
            *(f"{part[p]['coverage']:.2f}, {part[p]['size']:.1f}" if p in part else "" for p in set_phases),
        ]
        for name, part in bins.items()
    ]
    real = result["real"]["default"]
    rows = []
    for kind in ("by_survey", "per_class"):
        for name, last in real["all"][kind].items():
            parts = [real[phase][kind].get(name) for phase in REAL_PHASES]
            cells = ["" if part is None else f"{part['coverage']:.2f}, {part['size']:.1f}" for part in parts]
            rows.append([f"{name} ({last['n']})", *cells])
    first = table(["brightest detection [mag]", *(PHASES[days] for days in set_phases)], by_mag)
    return first + "\n\n" + table(["real objects, `default`", *(PHASES[days] for days in REAL_PHASES)], rows)


def headline() -> str:
    """The main scores and speeds in two sentences."""
    result = crossvals()["default"]
    first, early = (result["by_phase"][day]["all"]["accuracy"]["mean"] for day in ("0", "8"))
    files, stream = read(SPEED / "classify.json"), read(SPEED / "stream.json")["throughput"]["fast, 30 kB"]
    objects = next(row["objects_per_second"] for row in files["rows"] if "start to end" in row["name"])
    alerts = max(run["alerts_per_s"] for run in by_workers(stream))
    whole, f1 = result["accuracy"]["mean"], result["macro_f1"]
    return (
        "On simulated LSST objects that firstlight was not trained on, the most probable of 14 classes is "
        f"right for {100 * first:.0f} % on the day of the first detection, for {100 * early:.0f} % after "
        f"eight days and for {100 * whole:.0f} % with the whole light curve "
        f"(macro F1 {f1['mean']:.2f} ± {f1['std']:.2f}). Two CPU cores classify {objects:,.0f} objects per "
        f"second from a file, or {alerts:,.0f} alerts per second from Kafka with the bundle `fast`."
    )


def phase_table() -> str:
    """Scores against days since trigger, for all objects and for extragalactic ones."""
    rows = []
    for name, result in crossvals().items():
        if name == "seed-printed":  # its whole light curves are enough
            continue
        for metric, title in (("accuracy", "accuracy"), ("macro_auc", "macro AUC")):
            for selection in ("all", "extragalactic"):
                cells = [f"{result['by_phase'][p][selection][metric]['mean']:.3f}" for p in PHASES]
                rows.append([f"`{name}`, {title}, {selection}", *cells])
    return table(["days since trigger", *PHASES], rows)


def doubt_table() -> str:
    """Answers to false statements."""
    files = {preset: RESULTS / f"doubt-{preset}.json" for preset in reversed(PRESETS)}
    found = {preset: read(path)["cases"] for preset, path in files.items() if path.exists()}
    lone = "a lone bright point"

    def cells(case: str) -> Iterable[str]:
        for cases in found.values():
            right, confident = (cases[case][key] for key in ("accuracy", "confident_errors"))
            yield "{mean:.3f} ± {std:.3f}".format(**right)
            yield f"{100 * confident['mean']:.1f} ± {100 * confident['std']:.1f} %"

    head = ["statement"]
    for name in found:
        head += [f"`{name}`, accuracy", f"`{name}`, confident errors"]
    lines = [
        f"Of lone bright points, `{name}` answers {100 * cases[lone]['above_0.9']['mean']:.0f} % with a "
        f"probability above 0.9, and calls {100 * cases[lone]['called_KN']['mean']:.0f} % a KN."
        for name, cases in found.items()
    ]
    rows = [[case, *cells(case)] for case in next(iter(found.values())) if case != lone]
    return table(head, rows, *lines)


def leak() -> str:
    """The gain by the paper's protocol: a paragraph, and all columns in a table."""
    return in_short(Results(RESULTS / "reproduction", must_exist=True), PARTS)


def protocol() -> str:
    """Protocol of each cross-validation, from its result."""
    return "\n".join(f"- `crossval-{name}.json`: {r['protocol']}." for name, r in crossvals().items())


def install_table() -> str:
    """Size and import time of each extra."""
    result = read(RESULTS / "install.json")
    core, rows = result["extras"]["core"], []
    for name, run in result["extras"].items():
        files, code = run["files_mb"], run["bytecode_mb"]
        more = files + code - core["files_mb"] - core["bytecode_mb"]
        title, added = ("core", "") if name == "core" else (f"`[{name}]`", f"+{more:,}")
        cells = [f"{files:,}", f"{code:,}", added, str(run["packages"]), f"{run['import_s']:.2f}"]
        rows.append([title, *cells])
    largest = ", ".join(f"{name} {size}" for name, size in core["largest_mb"].items())
    commits = dict.fromkeys(run.get("commit", result["commit"]) for run in result["extras"].values())
    head = ["", "files, MB", "bytecode, MB", "more than the core, MB", "packages", "import, s"]
    lines = (
        f"Largest packages of the core, MB: {largest}.",
        "PyTorch is the CPU build.",
        f"{machine(result['machine'])}; commit{'s' * (len(commits) > 1)} {', '.join(commits)}.",
    )
    return table(head, rows, *lines)


def pythons_table() -> str:
    """Versions of Python that were tried."""
    tried = read(RESULTS / "install.json")["pythons"]
    rows = [
        [version, f"{run['objects']:,}", "the same" if run["same_classes"] else "others"]
        for version, run in tried.items()
    ]
    return table(["Python", "objects classified", "answers"], rows)


def offline_line() -> str:
    """The folder of wheels of the core."""
    run = read(RESULTS / "install.json")["offline"]
    return (
        f"For the core that is {run['wheels']} wheels of {run['mb']:,} MB. An installation from such a "
        f"folder alone classified {run['objects']:,} objects."
    )


def stranger_table() -> str:
    """Time of a new user's first steps."""
    result = read(RESULTS / "stranger.json")
    answer, page = result["first_answer_s"], result["first_object_s"]
    rows = [[name, f"{spent:.1f}"] for name, spent in answer.items()]
    rows += [[name, f"{spent:.1f}"] for name, spent in page.items()]
    whole = sum(spent for name, spent in answer.items() if name != "later classify")
    return table(
        ["step", "s"],
        rows,
        f"From the clone to the first answer that is {whole:.0f} s; downloads {result['downloads']}.",
        "The last three are counted from the start of `firstlight demo --page`, with PLAsTiCC fetched "
        f"before; the page of the object is {result['object_page']}.",
        f"{machine(result['machine'])}; commit {result['commit']}.",
    )


def anomaly_table() -> str:
    """Detection of a class that was left out of all training."""
    rows = []
    for preset, classes in read(STUDIES / "anomaly.json")["scores"].items():
        for name, parts in classes.items():
            run = parts["test"]["whole"]["variants"]["chosen"]
            rows.append([f"{name}, `{preset}`", f"{run['auc']:.2f}", f"{run['purity_top_1pct']:.2f}"])
    return table(
        ["left out, whole curves (test)", "AUC", "purity in the top 1 % at a prevalence of 1 %"], rows
    )


def metrics_table() -> str:
    """Metrics of the worker."""
    from firstlight.stream.worker.delays import DELAYS
    from firstlight.stream.worker.metrics import COUNTERS, GAUGES, PARTITION_LAG

    rows = [
        [f"`firstlight_{name}_total`", f"counter{f', by {label}' if label else ''}", text]
        for name, (label, text) in COUNTERS.items()
    ]
    rows += [[f"`firstlight_{name}`", "gauge", text] for name, text in GAUGES.items()]
    rows.append([f"`firstlight_{PARTITION_LAG[0]}`", "gauge, by topic and partition", PARTITION_LAG[1]])
    rows.append(["`firstlight_seconds`", "histogram, by stage", "Time of a micro-batch, by its parts."])
    rows += [[f"`firstlight_delay_{kind}_seconds`", "histogram", text] for kind, text in DELAYS.items()]
    rows.append(
        ["`process_*`", "counters and gauges", "Memory, CPU time and open files of the process (Linux)."]
    )
    return table(["metric", "kind", "meaning"], rows)


def classes_table() -> str:
    """Meaning of each class, the share that is found, and its confusions."""
    confusion = read(RESULTS / "crossval-default.json")["confusion"]
    rows = []
    for name in sorted(CLASSES, key=lambda name: COARSE_GROUPS.index(COARSE[name])):
        counts = dict(
            zip(confusion["classes"], confusion["matrix"][confusion["classes"].index(name)], strict=True)
        )
        total, right = sum(counts.values()), counts.pop(name)
        errors = sorted(
            ((n, other) for other, n in counts.items() if n >= 0.01 * total and n > 0), reverse=True
        )
        taken = ", ".join(f"{other} {100 * n / total:.0f} %" for n, other in errors[:3]) or "-"
        found = (f"{total:,}", f"{100 * right / total:.0f} %", taken) if total else ("none", "-", "-")
        rows.append([f"`{name}`", COARSE[name], MEANING[name], *found])
    return table(["class", "group", "description", "objects", "found", "most often taken for"], rows)


BLOCKS = {
    "classes": classes_table,
    "headline": headline,
    "install": install_table,
    "pythons": pythons_table,
    "offline": offline_line,
    "stranger": stranger_table,
    "skill": skill_table,
    "real-sky": real_sky_table,
    "doubt": doubt_table,
    "sets": sets_table,
    "sets-where": sets_where,
    "leak": leak,
    "phases": phase_table,
    "protocol": protocol,
    "anomaly": anomaly_table,
    "metrics": metrics_table,
    **SPEED_BLOCKS,
    **STUDY_BLOCKS,
    **AUTOENCODER_BLOCKS,
    **SKY_BLOCKS,
    **MADE_BLOCKS,
}
PAGES = (
    "README.md",
    "docs/index.md",
    "docs/concepts/classes.md",
    "docs/install.md",
    "docs/skill.md",
    "docs/results/future-work.md",
    "docs/results/autoencoder.md",
    "docs/performance.md",
    "docs/how-to/stream.md",
    "docs/comparison.md",
    "docs/how-to/live-page.md",
    "docs/how-to/engines.md",
    "docs/how-to/embed.md",
    "docs/decisions/0170-feedback.md",
    "docs/decisions/0223-spectra-that-teach.md",
    "docs/decisions/0225-simulated-objects.md",
)


def fill(text: str) -> str:
    """Text of a page with every marked block replaced."""
    for name, write in BLOCKS.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if start in text:
            head, rest = text.split(start, 1)
            text = f"{head}{start}\n{write()}\n{end}{rest.split(end, 1)[1]}"
    return text


def draw() -> None:
    """Draw the pictures of README.md and write the reproduction's page."""
    result = read(RESULTS / "crossval-default.json")
    images = ROOT / "docs" / "images"
    images.mkdir(exist_ok=True)
    confusion = result["confusion"]
    save_figure(
        confusion_matrix(np.array(confusion["matrix"]), confusion["classes"]), images / "confusion.png"
    )
    save_figure(skill_against_phase(result["by_phase"]), images / "phases.png")
    write_pages(Results(RESULTS / "reproduction", must_exist=True), PARTS, RESULTS, html=False)


def main() -> None:
    """Update the pages and their pictures."""
    for name in PAGES:
        page = ROOT / name
        page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")
    draw()


if __name__ == "__main__":
    main()
