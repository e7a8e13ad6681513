"""Write the numbers and pictures of README.md and docs/stream.md from docs/results and benchmarks/results.

Run `make figures` after a new cross-validation or benchmark. A test checks that the pages
hold what this script writes, so that no number is typed by hand.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from firstlight.report.plots import confusion_matrix
from firstlight.report.style import save_figure
from firstlight.report.training import skill_against_phase
from firstlight_paper.parts import PARTS
from firstlight_paper.render import in_short, write_pages
from firstlight_paper.results import Results

ROOT = Path(__file__).resolve().parent.parent
RESULTS, SPEED = ROOT / "docs" / "results", ROOT / "benchmarks" / "results"
STUDIES = ROOT / "studies" / "results"
PRINTED = {"accuracy": "0.89", "macro_f1": "0.89", "macro_auc": "0.94"}
COLUMNS = (
    ("accuracy", "accuracy", 3),
    ("macro_f1", "macro F1", 3),
    ("macro_auc", "macro AUC", 4),
    ("log_loss", "log-loss", 3),
    ("weighted_log_loss", "PLAsTiCC log-loss", 3),
    ("ece", "ECE", 3),
)
PHASES = ("0", "2", "8", "32", "all")


def read(path: Path) -> dict[str, Any]:
    """One JSON document."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def skill_table() -> str:
    """Whole light curves: every preset that was cross-validated, and what the paper prints."""
    lines = ["| whole light curves | " + " | ".join(name for _, name, _ in COLUMNS) + " |"]
    lines.append("|---" * (len(COLUMNS) + 1) + "|")
    for path in sorted(RESULTS.glob("crossval-*.json")):
        result = read(path)
        cells = [f"{result[k]['mean']:.{d}f} ± {result[k]['std']:.{d}f}" for k, _, d in COLUMNS]
        lines.append(f"| `{path.stem.removeprefix('crossval-')}` | " + " | ".join(cells) + " |")
    printed = [PRINTED.get(key, "") for key, _, _ in COLUMNS]
    lines.append(
        "| printed in the paper (16 classes, oversampled, no split by object stated) | "
        + " | ".join(printed)
        + " |"
    )
    return "\n".join(lines)


def phase_table() -> str:
    """Skill against days since trigger, all objects and extragalactic ones."""
    lines = ["| days since trigger | " + " | ".join(PHASES) + " |", "|---" * (len(PHASES) + 1) + "|"]
    for path in sorted(RESULTS.glob("crossval-*.json")):
        by_phase = read(path)["by_phase"]
        name = path.stem.removeprefix("crossval-")
        if name == "seed-printed":  # its whole curves say enough
            continue
        for metric, title in (("accuracy", "accuracy"), ("macro_auc", "macro AUC")):
            for selection in ("all", "extragalactic"):
                cells = [f"{by_phase[p][selection][metric]['mean']:.3f}" for p in PHASES]
                lines.append(f"| `{name}`, {title}, {selection} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def leak() -> str:
    """What the paper's protocol is worth: a paragraph, and all columns in a table."""
    return in_short(Results(RESULTS / "reproduction", must_exist=True), PARTS)


def protocol() -> str:
    """What was done, in the words of the results themselves."""
    return "\n".join(
        f"- `{p.stem}.json`: {read(p)['protocol']}." for p in sorted(RESULTS.glob("crossval-*.json"))
    )


def speed_table() -> str:
    """Objects a second, beside the peers that ran in the same benchmark."""
    path = SPEED / "classify.json"
    if not path.exists():
        return ""
    result = read(path)
    lines = ["| `firstlight classify`, 7,848 whole curves | objects/s |", "|---|---|"]
    lines += [f"| {row['name']} | {row['objects_per_second']:,.0f} |" for row in result["rows"]]
    lines.append("")
    lines.append(result["machine"])
    return "\n".join(lines)


def stream_table() -> str:
    """Alerts a second over a real broker, latency and bursts, beside what is asked and what LSST sends."""
    if not (SPEED / "stream.json").exists():
        return ""
    result = read(SPEED / "stream.json")
    rows = [["over a real broker, two cores shared with it", "`fast`", "`default`", "asked"], ["---"] * 4]
    for size in ("30 kB", "80 kB"):
        runs = [result["throughput"].get(f"{name}, {size}") for name in PRESETS]
        aims = " and ".join(f"{run['aim_alerts_per_s']:,}" for run in runs if run)
        best = [f"{max(r['alerts_per_s'] for r in by_workers(run)):,}" if run else "" for run in runs]
        rows.append([f"alerts/s, {size} packets", *best, aims])
    latency, aim = result["latency"], result["latency"]["aim_ms"]
    for size in ("30 kB", "80 kB"):
        found = [latency.get(f"{name}, {size}") for name in PRESETS]
        alone = result["broker alone"][size]["all"]
        title = f"ms from alert to result at {latency['alerts_per_s']}/s, {size}, median / 99 %"
        title += f" (the broker alone: {alone['p50']:.0f} / {alone['p99']:.0f})"
        cells = [f"{run['p50']:.0f} / {run['p99']:.0f}" if run else "" for run in found]
        rows.append([title, *cells, f"{aim['p50']} / {aim['p99']}"])
    burst = result["burst"]
    for size in ("30 kB", "80 kB"):
        runs = [burst.get(f"{name}, {size}") for name in PRESETS]
        cells = [f"{min(r['seconds'] for r in by_workers(run)):.1f}" if run else "" for run in runs]
        rows.append(
            [f"s to clear a visit's {burst['alerts']:,} alerts, {size}", *cells, f"{burst['aim_s']:.0f}"]
        )
    lsst, packets = result["lsst"], result["throughput"]["fast, 30 kB"]["packets"]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines += [
        "",
        f"LSST sends {lsst['alerts_a_night']:,} alerts a night, {lsst['alerts_per_s_mean']} a second in the mean.",
    ]
    lines.append(
        f"Packets hold {packets['observations']:.0f} observations in {packets['bytes_without_cutouts']:,} bytes of our "
        "LSST-like schema, the rest is cutouts; LSST's own rows are wider. The best of one worker and several."
    )
    lines.append(f"{result['machine']}; {'; '.join(loads(result))}.")
    return "\n".join(lines)


def by_workers(run: dict[str, Any]) -> list[dict[str, Any]]:
    """What was measured with one worker and with several."""
    return [found for name, found in run.items() if name.endswith(("worker", "workers"))]


def loads(result: dict[str, Any]) -> list[str]:
    """How busy the machine was before each part."""
    parts = ("throughput", "latency", "burst")
    return [f"load before {part} {result[part]['load_before']}" for part in parts if part in result]


def peers_table() -> str:
    """One classification beside the peers that ran in the same benchmark."""
    if not (SPEED / "peers.json").exists():
        return ""
    result = read(SPEED / "peers.json")
    lines = [
        "| one newest observation to probabilities, one thread | single, ms | in batches, ms an object |",
        "|---|---|---|",
    ]
    for name, run in result["contestants"].items():
        lines.append(
            f"| {name} | {run['single_ms']['median']:,.2f} | {run['batch_ms_an_object']['median']:,.3f} |"
        )
    lines += [f"| {name} | not run: {why} | |" for name, why in result["not_installed"].items()]
    lines += ["", f"{result['machine']}."]
    return "\n".join(lines)


def alert_table() -> str:
    """Where a worker's time goes."""
    if not (SPEED / "stream.json").exists():
        return ""
    runs = {name: run for name, run in read(SPEED / "stream.json")["alert"].items() if isinstance(run, dict)}
    parts = list(next(iter(runs.values()))["us_an_alert"])
    lines = ["| us an alert | " + " | ".join(parts) + " |", "|---" * (len(parts) + 1) + "|"]
    for name, run in runs.items():
        lines.append(
            f"| {name} | " + " | ".join(f"{value:,.0f}" for value in run["us_an_alert"].values()) + " |"
        )
    return "\n".join(lines)


def anomaly_table() -> str:
    """How well a class that was left out of all training is found."""
    if not (STUDIES / "anomaly.json").exists():
        return ""
    result = read(STUDIES / "anomaly.json")
    lines = [
        "| left out, whole curves (test) | AUC | purity in the top 1 % at a prevalence of 1 % |",
        "|---|---|---|",
    ]
    for preset, classes in result["scores"].items():
        for name, parts in classes.items():
            run = parts["test"]["whole"]["variants"][SCORE]
            lines.append(f"| {name}, `{preset}` | {run['auc']:.2f} | {run['purity_top_1pct']:.2f} |")
    return "\n".join(lines)


def metrics_table() -> str:
    """What the worker counts."""
    from firstlight.stream.worker.metrics import COUNTERS, GAUGES

    lines = ["| metric | kind | meaning |", "|---|---|---|"]
    lines += [
        f"| `firstlight_{name}_total` | counter{f', by {label}' if label else ''} | {text} |"
        for name, (label, text) in COUNTERS.items()
    ]
    lines += [f"| `firstlight_{name}` | gauge | {text} |" for name, text in GAUGES.items()]
    return "\n".join(lines)


PRESETS = ("fast", "default")
SCORE = "chosen"
BLOCKS = {
    "skill": skill_table,
    "leak": leak,
    "phases": phase_table,
    "protocol": protocol,
    "speed": speed_table,
    "stream": stream_table,
    "peers": peers_table,
    "alert": alert_table,
    "anomaly": anomaly_table,
    "metrics": metrics_table,
}
PAGES = ("README.md", "docs/stream.md")


def fill(text: str) -> str:
    """A page's text with every marked block written anew."""
    for name, write in BLOCKS.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if start in text:
            head, rest = text.split(start, 1)
            text = f"{head}{start}\n{write()}\n{end}{rest.split(end, 1)[1]}"
    return text


def draw() -> None:
    """The pictures of README.md."""
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
