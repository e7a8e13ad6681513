"""Write the tables of the cards in ``docs/cards`` from the bundles and the committed results.

Run ``make figures`` after a bundle was retrained or a result measured again. The text of a card stands in its
page, and each table between a pair of marks. A missing measurement has no table and no heading.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tables import RESULTS, ROOT, STUDIES, machine, read, table
from update import REAL_SKY_METRICS

from firstlight.taxonomy import CLASSES, COARSE, GALACTIC

CARDS = ROOT / "docs" / "cards"
MODELS = ROOT / "src" / "firstlight" / "models"
PHASES = ("0", "2", "8", "32", "64", "all")
#: Entries of a bundle's information that have a row of their own, or a table.
SHOWN = ("preset", "firstlight", "objects_per_class", "left_out")


def manifest(bundle: str) -> dict[str, Any]:
    """Manifest of a bundle that ships."""
    return read(MODELS / bundle / "manifest.json")


def plus_minus(found: dict[str, float], digits: int = 3) -> str:
    """A score with its spread."""
    return f"{found['mean']:.{digits}f} ± {found['std']:.{digits}f}"


def about(bundle: str) -> str:
    """Description of a bundle, from its manifest."""
    stated = manifest(bundle)
    info, config = stated["info"], read(MODELS / bundle / "pipeline.json")["config"]
    size = sum(part["size"] for part in stated["files"].values())
    rows = [
        ["version", f"`{stated['fingerprint']}`"],
        ["preset", f"`{info['preset']}`"],
        [
            "made by",
            f"firstlight {info.get('firstlight', stated['firstlight_version'])}, {stated['created'][:10]}",
        ],
        ["size", f"{size / 1e6:.1f} MB in {len(stated['files'])} files"],
        ["inputs", ", ".join(config["inputs"])],
        [
            "copies",
            ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in config["copies"].items()),
        ],
    ]
    for name, value in info.items():
        if name not in SHOWN and isinstance(value, int | float | str):
            shown = f"{value:,}" if isinstance(value, int) else str(value)
            rows.append([name.removeprefix("n_").replace("_", " "), shown])
    return table(["", ""], rows)


def classes(bundle: str) -> str:
    """Training objects of each class, and the scores of objects of that class."""
    info, scores = manifest(bundle)["info"], crossval(bundle)["per_class"]
    rows = []
    for name, number in info["objects_per_class"].items():
        cells = [plus_minus(scores[name][key], 2) for key in ("precision", "recall", "f1")]
        rows.append([name, f"{number:,}", *cells, f"{scores[name]['auc']['mean']:.3f}"])
    absent = [name for name in CLASSES if name not in info["objects_per_class"]]
    note = f"Without training objects, and so always of probability 0: {', '.join(absent)}." if absent else ""
    return table(
        ["class", "training objects", "precision", "recall", "F1", "AUC"], rows, *filter(None, [note])
    )


def crossval(bundle: str) -> dict[str, Any]:
    """Cross-validation of the preset of a bundle."""
    return read(RESULTS / f"crossval-{manifest(bundle)['info']['preset']}.json")


def simulated(bundle: str) -> str:
    """Scores of whole light curves, out of fold."""
    result = crossval(bundle)
    names = {
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced accuracy",
        "macro_f1": "macro F1",
        "macro_auc": "macro AUC",
        "log_loss": "log-loss",
        "ece": "ECE",
    }
    rows = [[title, plus_minus(result[key])] for key, title in names.items()]
    return table(["whole light curves", "mean ± spread of folds"], rows, f"Protocol: {result['protocol']}.")


def phases(bundle: str) -> str:
    """Scores by days since the trigger."""
    by_phase = crossval(bundle)["by_phase"]
    rows = []
    for title, group, key in (
        ("accuracy, all", "all", "accuracy"),
        ("accuracy, extragalactic", "extragalactic", "accuracy"),
        ("macro F1, all", "all", "macro_f1"),
        ("macro F1, extragalactic", "extragalactic", "macro_f1"),
        ("ECE, all", "all", "ece"),
    ):
        rows.append([title, *(f"{by_phase[phase][group][key]['mean']:.3f}" for phase in PHASES)])
    counts = [f"{by_phase[phase]['all']['n_not_classified']:,}" for phase in PHASES]
    rows.append(["objects not classified", *counts])
    return table(["days since trigger", *PHASES], rows)


def confusions(bundle: str) -> str:
    """The most frequent wrong answers."""
    found = crossval(bundle)["confusion"]
    counts, names = np.array(found["matrix"]), found["classes"]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(share, 0.0)
    rows = []
    for place in np.argsort(-share, axis=None)[:10]:
        true, given = np.unravel_index(place, share.shape)
        rows.append([names[true], names[given], f"{counts[true, given]:,}", f"{share[true, given]:.0%}"])
    return table(["true class", "answer", "objects", "share of the class"], rows)


def anomaly(bundle: str) -> str:
    """How well the anomaly score finds classes that were left out of training."""
    scores = read(STUDIES / "anomaly.json")["scores"].get(manifest(bundle)["info"]["preset"], {})
    rows = []
    for name, parts in scores.items():
        run = parts["test"]["whole"]["variants"]["chosen"]
        rows.append([name, f"{run['auc']:.2f}", f"{run['purity_top_1pct']:.2f}"])
    return table(["class left out", "AUC", "purity in the top 1 % at a prevalence of 1 %"], rows)


def real(bundle: str) -> str:
    """Scores on objects of real surveys, with the heading; empty if they were not measured."""
    path = RESULTS / "real-sky.json"
    result = read(path) if path.exists() else {"bundles": {}}
    if bundle not in result["bundles"]:
        return ""
    half = result["bundles"][bundle]["testing"]
    return "\n\n".join(["## Measured on real data", *_real_tables(half), _real_note(result, half)])


def _real_tables(half: dict[str, Any]) -> Iterator[str]:
    """Tables of one half of the real objects."""

    def cells(scores: dict[str, Any]) -> list[str]:
        return [f"{scores[key]['value']:.3f} ± {scores[key]['std']:.3f}" for key in REAL_SKY_METRICS]

    yield table(
        ["days since trigger", *REAL_SKY_METRICS.values()],
        [[name, *cells(scores)] for name, scores in half["by_phase"].items()],
    )
    for key, title in (("by_type", "type"), ("by_source", "source"), ("by_bands", "number of bands")):
        rows = [
            [name, f"{one['n_objects']:,}", f"{one['accuracy']:.3f} ± {one['std']:.3f}"]
            for name, one in half[key].items()
        ]
        yield table([title, "objects", "accuracy"], rows)


def _real_note(result: dict[str, Any], half: dict[str, Any]) -> str:
    """Protocol and machine of the real objects."""
    text = f"{half['n_objects']:,} objects of the half that chose nothing. {result['protocol']}"
    return f"{text} {machine(result['machine'])}." if "machine" in result else text


def data_classes(_: str) -> str:
    """Classes of the training set of PLAsTiCC, with their groups."""
    info = manifest("default")["info"]
    counts = info["objects_per_class"]
    total = sum(counts.values())
    rows = [
        [
            name,
            COARSE[name],
            "Milky Way" if name in GALACTIC else "extragalactic",
            f"{n:,}",
            f"{n / total:.1%}",
        ]
        for name, n in counts.items()
    ]
    note = f"{total:,} objects with {info['n_observations']:,} observations."
    return table(["class", "group", "place", "objects", "share"], rows, note)


BLOCKS: dict[str, Callable[[str], str]] = {
    "about": about,
    "classes": classes,
    "simulated": simulated,
    "by-phase": phases,
    "confusions": confusions,
    "left-out": anomaly,
    "real": real,
    "data-classes": data_classes,
}


def fill(text: str, bundle: str) -> str:
    """Text of a card with every marked block replaced."""
    for name, write in BLOCKS.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if start in text:
            head, rest = text.split(start, 1)
            made = write(bundle)
            text = f"{head}{start}\n{made}\n{end}{rest.split(end, 1)[1]}"
    return text


def main() -> None:
    """Update the cards."""
    for page in cards():
        page.write_text(fill(page.read_text(encoding="utf-8"), page.stem), encoding="utf-8")


def cards() -> list[Path]:
    """Pages of the cards."""
    return [page for page in sorted(CARDS.glob("*.md")) if page.stem not in ("index", "SUMMARY")]


if __name__ == "__main__":
    main()
