"""Texts and table rows of the report, from the record that ``metrics.json`` holds."""

from collections.abc import Mapping
from typing import Any

from firstlight.metrics.phases import SELECTIONS

DIGITS = {"macro_auc": 4, "micro_auc": 4, "auc": 4, "ece": 4, "classwise_ece": 4}
#: Metrics of the headline table: key, name, meaning.
HEADLINE = (
    ("accuracy", "accuracy", "objects whose most probable class is the true one"),
    ("macro_precision", "macro precision", "purity, averaged over classes"),
    ("macro_recall", "macro recall", "completeness, averaged over classes (balanced accuracy)"),
    ("macro_f1", "macro F1", "harmonic mean of both, averaged over classes"),
    ("macro_auc", "macro AUC", "one class against the rest, averaged over classes"),
    ("micro_auc", "micro AUC", "all pairs of object and class pooled"),
    ("log_loss", "log-loss", "mean of -ln p(true class) over objects [nat]; lower is better"),
    ("flat_log_loss", "flat log-loss", "the same with equal weight per class; lower is better"),
    ("weighted_log_loss", "PLAsTiCC log-loss", "the same with double weight of TDE and KN; lower is better"),
    ("brier", "Brier score", "squared distance between forecast and truth; lower is better"),
    ("ece", "ECE", "difference between confidence and accuracy, 15 bins; lower is better"),
    ("classwise_ece", "class-wise ECE", "the same for each class's column, averaged; lower is better"),
)
PER_CLASS = (
    ("precision", "precision"),
    ("recall", "recall"),
    ("f1", "F1"),
    ("auc", "AUC"),
    ("average_precision", "average precision"),
    ("completeness_at_95_purity", "recall at 95 % purity"),
    ("log_loss", "log-loss"),
)
BY_PHASE = (
    ("accuracy", "accuracy"),
    ("macro_f1", "macro F1"),
    ("macro_auc", "macro AUC"),
    ("flat_log_loss", "flat log-loss"),
    ("ece", "ECE"),
)


def probability_text(value: float) -> str:
    """Probability with three digits, never rounded to 0 or 1.

    >>> probability_text(0.25), probability_text(0.9999), probability_text(1e-6)
    ('0.250', '>0.999', '<0.001')
    """
    return ">0.999" if value > 0.9995 else "<0.001" if value < 0.0005 else f"{value:.3f}"


def headline_tiles(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Name, mean and spread of the five scores at the top of the page."""
    shown = ("accuracy", "macro_f1", "macro_auc", "flat_log_loss", "ece")
    names = {key: name for key, name, _ in HEADLINE}
    return [{"name": names[key], **mean_std_text(record[key], key)} for key in shown]


def headline_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the headline table: name, meaning, scores of all and of extragalactic objects."""
    whole = record["by_phase"].get("all", {})
    rows = []
    for key, name, meaning in HEADLINE:
        outside = whole.get("extragalactic")
        rows.append(
            {
                "name": name,
                "meaning": meaning,
                "all": mean_std_text(record[key], key),
                "extragalactic": None if outside is None else mean_std_text(outside[key], key),
            }
        )
    return rows


def per_class_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table of classes, in the order of the record."""
    return [
        {
            "name": name,
            "n": f"{table['n']:,}",
            "values": [mean_std_text(table[key], key) for key, _ in PER_CLASS],
        }
        for name, table in record["per_class"].items()
    ]


def phase_rows(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table of phases per selection; none without early phases."""
    rows = []
    for selection in SELECTIONS:
        for phase, tables in record["by_phase"].items():
            table = tables.get(selection)
            if table is not None and len(record["by_phase"]) > 1:
                values = [mean_std_text(table[key], key) for key, _ in BY_PHASE]
                rows.append(
                    {
                        "selection": selection,
                        "phase": phase,
                        "n": f"{table['n']:,}",
                        "n_not_classified": f"{table['n_not_classified']:,}",
                        "values": values,
                    }
                )
    return rows


def set_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Rows of the table of prediction sets: phase, coverage and size of both selections, and worst class."""
    rows = []
    for phase, table in record.get("prediction_sets", {}).items():
        known = {name: part for name, part in table["per_class"].items() if part["n"]}
        worst = min(known, key=lambda name: known[name]["coverage"])
        cells = [
            text
            for part in (table, table["extragalactic"])
            for text in (_digits(part["coverage"], 3), _digits(part["size"], 2))
        ]
        rows.append([phase, *cells, f"{worst} {known[worst]['coverage']:.2f} of {known[worst]['n']:,}"])
    return rows


def _digits(value: float | None, digits: int) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"


def mean_std_text(value: Mapping[str, Any], key: str) -> dict[str, str]:
    """Mean and spread with the digits of the score; ``n/a`` and empty if unknown."""
    digits = DIGITS.get(key, 3)
    mean, std = (value[part] for part in ("mean", "std"))
    return {
        "mean": "n/a" if mean is None else f"{mean:.{digits}f}",
        "std": "" if std is None else f"{std:.{digits}f}",
    }


def duration_text(seconds: float) -> str:
    """Wall time in words.

    >>> duration_text(0.25), duration_text(75.0), duration_text(4000.0)
    ('0.25 s', '1 min 15 s', '1 h 7 min')
    """
    if seconds < 60.0:
        return f"{seconds:.2f} s" if seconds < 10.0 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min"
