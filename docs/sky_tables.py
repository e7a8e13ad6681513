"""Tables of the real sky: missed objects, adapted bundles, class mixes."""

from collections.abc import Iterable
from typing import Any

from tables import PHASES, RESULTS, machine, read, table

from firstlight.adapt.scores import ADAPTED, SCORE_WORDS, UNADAPTED

_MOST_WRONG = 3


def real_gap_table() -> str:
    """Types of the unseen half: share of right answers, confusions, and the loss by each type."""
    half = read(RESULTS / "real-sky.json")["bundles"]["default"]["testing"]
    n, types = half["n_objects"], half["by_type"]
    rows = []
    for name, found in sorted(types.items(), key=lambda item: item[1]["accuracy"]):
        answers = dict(half["answers"][name])
        right = answers.pop(name, 0)
        wrong = sorted(answers.items(), key=lambda item: -item[1])[:_MOST_WRONG]
        lost = found["n_objects"] - right
        rows.append(
            [
                name,
                f"{right} of {found['n_objects']}",
                ", ".join(f"{other} {count}" for other, count in wrong) or "-",
                f"{lost / n:.3f}",
                f"{(1.0 - right / found['n_objects']) / len(types):.3f}",
            ]
        )
    head = ["type", "right", "most often taken for", "of the accuracy", "of the balanced accuracy"]
    return table(head, rows)


def side_by_side_table() -> str:
    """Simulated and real objects beside each other: accuracy by phase, other scores of whole curves."""
    real = read(RESULTS / "real-sky.json")["bundles"]
    simulated = {preset: read(RESULTS / f"crossval-{preset}.json") for preset in ("default", "fast")}
    rows = []
    for phase, words in PHASES.items():
        cells = []
        for preset, found in simulated.items():
            own = real[preset]["testing"]["by_phase"]["whole" if phase == "all" else phase]
            cells.append(f"{found['by_phase'][phase]['all']['accuracy']['mean']:.2f}")
            cells.append("{value:.2f} ± {std:.2f}".format(**own["accuracy"]))
        rows.append([f"accuracy, {words}", *cells])
    for key, words in (("macro_f1", "macro F1"), ("macro_auc", "macro AUC"), ("ece", "ECE")):
        cells = []
        for preset, found in simulated.items():
            cells.append(f"{found[key]['mean']:.2f}")
            cells.append("{value:.2f} ± {std:.2f}".format(**real[preset]["testing"]["whole"][key]))
        rows.append([f"{words}, whole", *cells])
    head = [f"`{preset}`, {kind}" for preset in simulated for kind in ("simulated", "real")]
    return table(["", *head], rows)


def real_sources_table() -> str:
    """Sources of the unseen half: objects, wrong answers, and the accuracy of both halves."""
    halves = read(RESULTS / "real-sky.json")["bundles"]["default"]
    rows = []
    for name, found in sorted(halves["testing"]["by_source"].items(), key=lambda item: item[1]["accuracy"]):
        n, other = found["n_objects"], halves["choosing"]["by_source"][name]
        cells = ["{accuracy:.3f} ± {std:.3f}".format(**part) for part in (found, other)]
        rows.append([name, str(n), str(n - round(found["accuracy"] * n)), *cells])
    return table(["source", "objects", "wrong", "accuracy", "accuracy, choosing half"], rows)


def _adapt() -> dict[str, Any]:
    return read(RESULTS / "adapt.json")


def _cell(row: dict[str, Any], key: str) -> str:
    return "{value:.3f} ± {std:.3f}".format(**row[key])


def adapt_table() -> str:
    """Adapted and unadapted on the real set, in folds and with sources left out."""
    result = _adapt()
    part = result["parts"]["real"]
    rows = []
    for words, key in (("five folds", "scores"), ("its source left out", "source_left_out")):
        for kind, row in part[key].items():
            rows.append([f"{words}, {kind}", *(_cell(row, name) for name in SCORE_WORDS)])
    note = (
        f"{part['n_labels']} typed objects, bundle `{result['bundle']}` of version {result['version']}; "
        f"{machine(result['machine'])}; commit {result['commit']}."
    )
    return table(["real objects", *SCORE_WORDS.values()], rows, note)


def adapt_sources_table() -> str:
    """Accuracy by source where that source was left out."""
    found = _adapt()["parts"]["real"]["by_source"]
    kinds = (UNADAPTED, ADAPTED)
    rows = [
        [name, str(own["n_objects"]), *(f"{own[kind]:.3f}" for kind in kinds)] for name, own in found.items()
    ]
    return table(["accuracy, the source left out", "objects", *kinds], rows)


def _by_labels() -> list[tuple[int, dict[str, Any]]]:
    parts = _adapt()["parts"]
    return sorted((part["n_labels"], part["scores"]) for name, part in parts.items() if name != "real")


def adapt_labels_table() -> str:
    """SNPCC by the number of labels."""
    if not _by_labels():
        return "Not measured yet: `python -m studies.adapt --real FOLDER --snpcc FOLDER`."
    rows: list[list[str]] = []
    for n, scores in _by_labels():
        for kind, row in scores.items():
            if kind == UNADAPTED and rows:  # the same for any number of labels
                continue
            words = kind if kind == UNADAPTED else f"{kind}, {n:,} labels"
            rows.append([words, *(_cell(row, name) for name in SCORE_WORDS)])
    return table(["2,000 unseen supernovae of SNPCC", *SCORE_WORDS.values()], rows)


def mix_kept_table() -> str:
    """Mean probability of each class over its frequency, by days since trigger."""
    rows = []
    by_phase = read(RESULTS / "crossval-default.json")["by_phase"]
    other = read(RESULTS / "crossval-fast.json")["by_phase"]
    for name in by_phase["all"]["all"]["mix"]:
        cells = [_ratio(by_phase[phase]["all"]["mix"][name]) for phase in PHASES]
        rows.append([name, *cells, _ratio(other["2"]["all"]["mix"][name])])
    return table(["`default`", *PHASES.values(), "`fast`, 2 d"], rows)


def _ratio(found: dict[str, float]) -> str:
    return f"{found['mean']:.2f} ± {found['std']:.2f}"


def mix_table() -> str:
    """Accuracy and log-loss under mixes that are stated and estimated."""
    result = read(RESULTS / "mix-default.json")
    rows: list[Iterable[str]] = []
    for mix, phases in result["mixes"].items():
        words = "training set" if mix == "as in training" else f"`{mix}`"
        for phase, kinds in phases.items():
            where = "whole" if phase == "whole" else f"{phase} d"
            cells = [
                "{mean:.3f} ± {std:.3f}".format(**own["accuracy"]) + f" / {own['log_loss']['mean']:.3f}"
                for own in kinds.values()
            ]
            far = [f"{own['distance']['mean']:.3f}" for own in list(kinds.values())[2:]]
            rows.append([f"{words}, {where}", *cells, " / ".join(far)])
    kinds = list(next(iter(next(iter(result["mixes"].values())).values())))
    note = f"Accuracy / log-loss; {result['n_folds']} folds, `default`; commit {result['commit']}."
    return table(["objects, phase", *kinds, "distance of the estimates"], rows, note)


SKY_BLOCKS = {
    "side-by-side": side_by_side_table,
    "real-gap": real_gap_table,
    "real-sources": real_sources_table,
    "adapt": adapt_table,
    "adapt-sources": adapt_sources_table,
    "adapt-labels": adapt_labels_table,
    "mix-kept": mix_kept_table,
    "mix": mix_table,
}
