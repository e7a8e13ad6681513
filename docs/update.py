"""Write the numbers and pictures of README.md from the JSON in docs/results and benchmarks/results.

Run `make figures` after a new cross-validation or benchmark. A test checks that README.md
holds what this script writes, so that no number is typed by hand.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from firstlight.evaluate.plot_style import save_figure
from firstlight.evaluate.plots import confusion_matrix
from firstlight.evaluate.plots_model import skill_against_phase

ROOT = Path(__file__).resolve().parent.parent
RESULTS, SPEED = ROOT / "docs" / "results", ROOT / "benchmarks" / "results"
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
    lines.append("| printed in the paper (16 classes, oversampled, no split by object stated) | " + " | ".join(printed) + " |")
    return "\n".join(lines)


def phase_table() -> str:
    """Skill against days since trigger, all objects and extragalactic ones."""
    lines = ["| days since trigger | " + " | ".join(PHASES) + " |", "|---" * (len(PHASES) + 1) + "|"]
    for path in sorted(RESULTS.glob("crossval-*.json")):
        by_phase = read(path)["by_phase"]
        name = path.stem.removeprefix("crossval-")
        for metric, title in (("accuracy", "accuracy"), ("macro_auc", "macro AUC")):
            for selection in ("all", "extragalactic"):
                cells = [f"{by_phase[p][selection][metric]['mean']:.3f}" for p in PHASES]
                lines.append(f"| `{name}`, {title}, {selection} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


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


BLOCKS = {"skill": skill_table, "phases": phase_table, "protocol": protocol, "speed": speed_table}


def fill(text: str) -> str:
    """README text with every marked block written anew."""
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


def main() -> None:
    """Update README.md and its pictures."""
    readme = ROOT / "README.md"
    readme.write_text(fill(readme.read_text(encoding="utf-8")), encoding="utf-8")
    draw()


if __name__ == "__main__":
    main()
