"""What a reader takes away, before all sections: the three columns for the whole set."""

from collections.abc import Mapping
from typing import Any

from firstlight_paper.parts.per_class import leakage_sentences
from firstlight_paper.section import Section, Table, plus_minus

__all__ = ["headline", "summary"]

_METRICS = {"accuracy": "accuracy", "macro_f1": "macro F1", "macro_auc": "macro AUC"}
_AMONG = {"sixteen": "16 classes, 3 of them simulated", "real": "the 13 real ones"}


def summary(document: Mapping[str, Any]) -> Section | None:
    """The section that comes first; None where the results by class are not there.

    Parameters
    ----------
    document : mapping
        As from `firstlight_paper.run.join`.
    """
    result = document.get("per_class")
    if result is None:
        return None
    return Section(title="In short", blocks=(leakage_sentences(result), headline(result)))


def headline(result: Mapping[str, Any]) -> Table:
    """Accuracy, macro F1 and macro AUC in three columns, over sixteen classes and over the real ones.

    Parameters
    ----------
    result : mapping
        Result of the part ``per-class``.
    """
    said = (result["leak"], result["honest"]["design"], result["honest"]["ours"])
    rows = []
    for metric, title in _METRICS.items():
        for among, name in _AMONG.items():
            printed = f"{result['printed'][metric]:.2f}" if among == "sixteen" else ""
            cells = [plus_minus(table[among][metric]) for table in said]
            rows.append((f"{title}, {name}", printed, *cells))
    return Table(
        caption="Whole light curves; spread over folds, or over splits for its protocol.",
        columns=(
            "the paper's classes",
            "printed",
            "its protocol (leaks)",
            "honest, the paper's design",
            "honest, ours (default)",
        ),
        rows=tuple(rows),
    )
