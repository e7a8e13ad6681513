"""Tables of simulated objects in the training set, and of gains of the shipped bundles without them."""

from typing import Any

from tables import RESULTS, machine, read, table

_PLASTICC = {"accuracy": "accuracy", "macro_f1": "macro F1", "log_loss": "log-loss"}
_REAL = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log-loss",
    "recall SLSN-I": "SLSN-I found",
    "log_loss SLSN-I": "log-loss of SLSN-I",
    "recall TDE": "TDE found",
    "log_loss TDE": "log-loss of TDE",
    "recall SNII": "SNII found",
}
_PHASES = {"2": "2 d", "8": "8 d", "32": "32 d", "all": "whole"}
_MIX = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "log_loss", "ece")


def _made() -> dict[str, Any]:
    return read(RESULTS / "made-classes.json")


def _change(cell: dict[str, float]) -> str:
    return "{value:.3f} ({difference:+.3f} ± {difference_std:.3f})".format(**cell)


def _variants(
    part: dict[str, Any], which: str, columns: dict[str, str], phase: str = "all"
) -> list[list[str]]:
    """A row per variant: the control's scores, and those of the others with their change."""
    rows = []
    for name, found in part.items():
        own = found[which][phase]
        cells = [f"{own[key]['value']:.3f}" if name == "control" else _change(own[key]) for key in columns]
        rows.append([name, *cells])
    return rows


def made_real_table() -> str:
    """Real objects: the choosing half by variant, and the testing half of the chosen one."""
    found = _made()
    rows = []
    for key, words in (
        ("choosing", "two seeds"),
        ("choosing, first seed", "one seed"),
        ("testing", "two seeds, testing half"),
    ):
        for row in _variants(found.get(key, {}), "real", _REAL):
            rows.append([f"{row[0]}, {words}", *row[1:]])
    return table(["real objects, whole curves", *_REAL.values()], rows)


def made_plasticc_table() -> str:
    """PLAsTiCC's test part by variant and phase."""
    found = _made()
    rows = [
        [f"{row[0]}, {words}", *row[1:]]
        for phase, words in _PHASES.items()
        for row in _variants(found["choosing"], "plasticc", _PLASTICC, phase)
    ]
    rows += [
        [f"{row[0]}, whole, one seed", *row[1:]]
        for row in _variants(found.get("choosing, first seed", {}), "plasticc", _PLASTICC)
    ]
    where = f"{machine(found['machine'])}; commit {found['commit']}."
    return table(["1,519 objects of PLAsTiCC", *_PLASTICC.values()], rows, where)


def made_check_table() -> str:
    """How well a booster tells real objects from made ones and from copies."""
    rows, found = [], _made()["check"]
    for name, own in found.items():
        if "redshift" not in own:  # copies, which stand beside the made objects of their class
            continue
        for kind in own["redshift"]:
            if kind == "real" and name != name.split(",")[0]:
                continue
            told = found[f"{name}, copies of PLAsTiCC's"] if kind == "copies" else own
            auc = "" if kind == "real" else f"{told['auc']:.2f} ± {told['std']:.2f}"
            n = told["n_real"] if kind == "real" else told["n_made"]
            spread = [" / ".join(f"{value:.2f}" for value in own[key][kind]) for key in ("redshift", "peak")]
            rows.append([f"{name}, {kind}", str(n), auc, *spread])
    head = ["", "objects", "AUC against real ones", "redshift (16, 50, 84 %)", "brightest absolute magnitude"]
    return table(head, rows)


def sky_mixtures_table() -> str:
    """Geometric mixtures of both presets, by phase."""
    found = read(RESULTS / "sky-answers.json")["mixtures"]
    rows = []
    for which, words in (("real", "real"), ("plasticc", "PLAsTiCC")):
        for phase, when in _PHASES.items():
            for name, phases in found[which].items():
                cells = [f"{phases[phase][key]['value']:.3f}" for key in _MIX]
                rows.append([f"{words}, {when}, {name}", *cells])
    return table(["", "accuracy", "balanced", "macro F1", "macro AUC", "log-loss", "ECE"], rows)


def sky_prior_table() -> str:
    """The mix `bts` by source."""
    rows = [
        [name, str(own["n_objects"])]
        + [f"{own[f'{key}, {mix}']:.3f}" for key in ("accuracy", "log_loss") for mix in ("training", "bts")]
        for name, own in read(RESULTS / "sky-answers.json")["prior"].items()
    ]
    head = ["source", "objects", "accuracy", "accuracy, `bts`", "log-loss", "log-loss, `bts`"]
    return table(head, rows)


def sky_missed_table() -> str:
    """Differences between superluminous supernovae that are classified wrong and right."""
    rows = []
    for name, own in read(RESULTS / "sky-answers.json")["missed"]["SLSN-I"].items():
        if isinstance(own, dict) and "p" in own:
            above = "" if own["recall above"] is None else f"{own['recall above']:.2f}"
            cells = [f"{own[f'median of the {kind}']:.2f}" for kind in ("right", "wrong")]
            rows.append([name, *cells, f"{own['recall to the median']:.2f}", above, f"{own['p']:.3f}"])
    head = ["SLSN-I", "median, right", "median, wrong", "found, to the median", "found, above", "p"]
    return table(head, rows)


MADE_BLOCKS = {
    "made-real": made_real_table,
    "made-plasticc": made_plasticc_table,
    "made-check": made_check_table,
    "sky-mixtures": sky_mixtures_table,
    "sky-prior": sky_prior_table,
    "sky-missed": sky_missed_table,
}
