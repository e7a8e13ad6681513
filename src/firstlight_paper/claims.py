"""What the texts rest on: every comparative sentence has a claim, an inequality over the score table.

A text cites its claim by ``{{ holds("...") }}``. A rerun that contradicts one marks the sentence on the page
and, at full scale, ends with an error.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from firstlight_paper.view import MissingError, View

__all__ = ["CLAIMS", "contradicted", "verdict"]

Claim = Callable[[View], bool]

REAL = 13
LEAK: dict[str, Any] = {"part": "protocol", "column": "protocol"}
OURS: dict[str, Any] = {"part": "ours", "column": "ours"}


def verdict(view: View, name: str) -> bool | None:
    """Whether a part's claim holds; None where its numbers were not computed."""
    try:
        return bool(CLAIMS[view.part][name](view))
    except MissingError:
        return None


def contradicted(view: View) -> list[str]:
    """Claims of a part that its numbers contradict."""
    return [name for name in CLAIMS.get(view.part, {}) if verdict(view, name) is False]


# --- comparisons ----------------------------------------------------------------


def _all(view: View, sign: float, variant: str, metric: str, subset: int = 16, **where: object) -> bool:
    """Whether a paired difference has one sign in every fold."""
    found = view.spread(variant, metric, subset, **where).folds  # type: ignore[arg-type]
    if not found:
        raise MissingError(variant)
    return all(sign * value > 0.0 for value in found)


def _beyond(
    view: View, sign: float, variant: str, against: str, metric: str, subset: int = 16, **where: object
) -> bool:
    """Whether a paired difference is larger than twice its spread."""
    found = view.spread(variant, metric, subset, against=against, **where)  # type: ignore[arg-type]
    if not np.isfinite(found.mean):
        raise MissingError(variant)
    return sign * found.mean > 2.0 * float(np.nan_to_num(found.std))


def _near(first: float, second: float, most: float) -> bool:
    return abs(first - second) <= most


# --- by part --------------------------------------------------------------------


def _leak_raises(v: View) -> bool:
    return all(v.mean("leak", m, **LEAK) > v.mean("design", m) + 0.05 for m in ("accuracy", "macro_f1"))


def _lowest_by_leak_alone(v: View) -> bool:
    low = v.facts["lowest"]
    others = {"design": {"SNIa-91bg", "SNIax"}, "ours": {"SNIax", "SNIbc"}}
    return low["printed"] == low["leak"] == {"SNIa", "SNII"} and all(
        low[who] == pair for who, pair in others.items()
    )


def _shared_objects(v: View) -> bool:
    """Balance alone changes little, sharing much."""
    leak, either, plain = (
        v.mean("leak", "accuracy", **LEAK),
        v.mean("either", "accuracy"),
        v.mean("objects", "accuracy"),
    )
    return leak - either > 3.0 * abs(either - plain)


def _memory(v: View) -> bool:
    return (
        v.mean("nearest leak", "accuracy", **LEAK) > v.mean("leak", "accuracy", **LEAK)
        and v.facts["recall"]["leak"] > 0.95
    )


def _helped(v: View) -> bool:
    for how in ("weights", "copies"):
        more = v.mean(f"boosting {how}", "false:rare") > 2.0 * v.mean("boosting none", "false:rare")
        if not (more and _beyond(v, 1.0, f"boosting {how}", "boosting none", "recall:rare")):
            return False
    return True


def _lightgbm_recall(v: View) -> bool:
    helped = max(v.mean(f"boosting {how}", "recall:rare") for how in ("none", "weights", "copies", "both"))
    return v.mean("lightgbm none", "recall:rare", column="ours") > helped


def _falls(v: View, names: list[str], first: float) -> bool:
    values = [first, *(v.mean(name, "accuracy", REAL) for name in names)]
    return all(a > b for a, b in pairwise(values))


def _lost(v: View, name: str) -> float:
    """Accuracy that a gap costs."""
    return v.mean("whole", "accuracy", REAL, part="ours") - v.mean(name, "accuracy", REAL)


def _choices(v: View, measure: str, sign: float, names: set[str]) -> bool:
    """Only these choices lie beyond the seeds, all of them worse."""
    found = v.facts[measure]
    return found["beyond"] == names and all(sign * found["change"][name] > 0.0 for name in names)


def _ahead(v: View) -> bool:
    change = v.facts["change"]
    leads = [
        change[n]["macro_f1"] for n in ("svm on latents", "forest on latents", "convnet on light curves")
    ]
    leads += [change[n]["macro_auc"] for n in ("forest on latents", "convnet on light curves")]
    mixed = change["svm on latents"]["macro_auc"].folds
    return all(min(lead.folds) > 0.0 for lead in leads) and min(mixed) < 0.0 < max(mixed)


def _logistic(v: View) -> bool:
    f1, auc = (v.facts["change"]["logistic on latents"][m] for m in ("macro_f1", "macro_auc"))
    return max(f1.folds) < 0.0 and abs(auc.mean) < auc.std


def _order(v: View) -> bool:
    order = v.facts["order"]
    return order["protocol"][0] == "boosting on latents" and order["design"].index("boosting on latents") >= 3


def _called(v: View) -> bool:
    far = v.facts["far"]
    return not far["SLSN-I"] and far["SNIa"] and far["SNIa-template"]


def _coarse(v: View) -> bool:
    exact = v.mean("bits 32", "macro_f1", REAL)
    fine = all(v.mean(f"bits {bits}", "macro_f1", REAL) > exact - 0.001 for bits in (8, 6, 5, 4))
    return (
        fine
        and v.mean("bits 3", "macro_f1", REAL, column="design")
        < v.mean("bits 32", "macro_f1", REAL, column="design") - 0.1
    )


CLAIMS: Mapping[str, Mapping[str, Claim]] = {
    "per-class": {
        "the leak raises accuracy and F1": _leak_raises,
        "ours beats the paper's design": lambda v: all(
            v.mean("whole", m, **OURS) > v.mean("design", m) for m in ("accuracy", "macro_f1", "macro_auc")
        ),
        "the leak alone has the two lowest printed classes lowest": _lowest_by_leak_alone,
        "the printed order follows the leak's F1 better than the honest one": lambda v: (
            v.facts["difference"]["low"] > 0.0
        ),
        "the leak does not give the printed AUC": lambda v: (
            v.mean("leak", "macro_auc", **LEAK) > v.mean("paper", "macro_auc", column="printed") + 0.02
        ),
        "the printed accuracy needs balanced rows": lambda v: (
            v.facts["implied"]["section_2_most"] < 0.89 - 0.1
            and _near(v.facts["implied"]["balanced"][0], 0.89, 0.005)
        ),
        "the predicted shares need balanced rows": lambda v: (
            v.facts["implied"]["predicted_most"] < 1.0
            and _near(v.facts["implied"]["balanced"][1], 1.0, 0.005)
        ),
        "the gap comes from shared objects, not from balance": _shared_objects,
        "the protocol rewards memory": _memory,
    },
    "simulated": {
        "a booster cannot separate simulated SLSN-I": lambda v: _near(
            v.mean("SLSN-I peak", "auc", 0, column=""), 0.5, 2.0 * v.spread("SLSN-I peak", "auc", 0, "").std
        ),
        "blackbody SNIa are easier to separate than template SNIa": lambda v: (
            v.mean("SNIa peak", "auc", 0, column="") > v.mean("SNIa-template peak", "auc", 0, column="") + 0.1
        ),
        "calls of simulated SLSN-I agree with real ones, those of SNIa do not": _called,
    },
    "preprocessing": {
        "clipping removes the signal, the cut little": lambda v: (
            v.mean("clip", "positive_signal", column="") > 10.0 * v.mean("cut", "positive_signal", column="")
        ),
        "the paper's cleaning lowers accuracy": lambda v: _beyond(v, -1.0, "both", "physical", "accuracy"),
        "dust twice changes nothing measurable": lambda v: (
            not _beyond(v, 1.0, "printed", "both", "accuracy")
            and not _beyond(v, -1.0, "printed", "both", "accuracy")
        ),
        "the redshift matters": lambda v: _beyond(v, -1.0, "distance", "physical", "accuracy"),
        "the supernova of Figure 1 was observed late": lambda v: v.facts["supernova"] > -17.0,
    },
    "architecture": {
        "all printed sizes are ours": lambda v: v.facts["same"] == 4,
        "the GRU is the paper's up to conventions": lambda v: v.facts["worst"]["same_convention"] < 1e-12,
    },
    "table-1": {
        "six latents are no peak and not distinguishable from the best": lambda v: (
            v.facts["best"] != 6 and v.facts["behind"] <= 2.0 * v.facts["error"]
        ),
        "few latents do not collapse": lambda v: all(
            v.mean(str(n), "accuracy") > v.mean("largest class", "accuracy", column="") for n in (1, 2, 3)
        ),
        "more latents do no harm": lambda v: (
            min(v.facts["beyond_eight"]) >= v.facts["six_to_eight"] - 2.0 * v.facts["error"]
        ),
        "all 25 latents are in use": lambda v: v.mean("25", "active", 0) == 25.0,
        "the leak raises every row": lambda v: bool(np.min(v.facts["leak_gain"]) > 0.0),
    },
    "training": {
        "three choices have a worse loss, none a better one": lambda v: _choices(
            v, "loss", 1.0, {"batch 512", "learning rate 0.0003", "hidden units 16"}
        ),
        "two choices have a worse accuracy, none a better one": lambda v: _choices(
            v, "accuracy", -1.0, {"batch 512", "learning rate 0.0003"}
        ),
        "a short patience stops too early": lambda v: v.facts["short"][1].mean > v.facts["long"][1].mean,
    },
    "tuning": {
        "tuning does not change accuracy measurably": lambda v: (
            v.mean("difference", "accuracy low") < 0.0 < v.mean("difference", "accuracy high")
        ),
        "one setting is at the end of its range": lambda v: (
            v.facts["ends"] == ["min_impurity_decrease"] and v.facts["tuned"]["min_impurity_decrease"] < 1e-6
        ),
        "the protocol changes accuracy more than tuning": lambda v: (
            v.mean("untuned", "accuracy", column="protocol") - v.mean("untuned", "accuracy")
            > 10.0 * abs(v.mean("difference", "accuracy"))
        ),
    },
    "baselines": {
        "the paper's baselines lead its design on unseen objects": _ahead,
        "logistic regression is behind in F1 only": _logistic,
        "our pipeline leads in every fold": lambda v: all(
            min(one.folds) > 0.0 for one in v.facts["change"]["default on inputs"].values()
        ),
        "the protocol puts the paper's design first, unseen objects do not": _order,
        "the paper's design trails in common and rare classes": lambda v: (
            max(max(lead) for lead in v.facts["lead"].values()) < 0.0
        ),
    },
    "imbalance": {
        "help raises recall and more than doubles false positives of the paper's boosting": _helped,
        "both together cost the paper's boosting accuracy and F1": lambda v: (
            _beyond(v, -1.0, "boosting both", "boosting none", "accuracy")
            and v.mean("boosting both", "macro_f1") < v.mean("boosting none", "macro_f1")
        ),
        "LightGBM on our inputs recalls more rare objects without help": _lightgbm_recall,
        "the least copied classes are those printed lowest": lambda v: (
            set(v.facts["least"][:2]) == set(v.facts["lowest_printed"]) == {"SNIa", "SNII"}
        ),
        "M-dwarf and EB are copied little and printed high": lambda v: (
            v.facts["least"][2:4] == ["M-dwarf", "EB"]
        ),
    },
    "overlap": {
        "SNIa and SNII are confused most": lambda v: v.facts["pairs"][0] == "SNIa/SNII",
        "spectroscopic redshifts help": lambda v: _all(
            v, 1.0, "spec whole", "macro_f1", REAL, against="ours::whole"
        ),
        "no redshift hurts": lambda v: _all(v, -1.0, "none whole", "macro_f1", REAL, against="ours::whole"),
        "uncertain objects first saves most spectra": lambda v: (
            v.facts["needed"]["perfect"] < v.facts["needed"]["entropy"] < 0.5 * v.facts["needed"]["random"]
        ),
    },
    "noise": {
        "accuracy falls with every step of noise": lambda v: _falls(
            v, [f"{r:g}" for r in v.amount.ratios[1:]], v.mean("1", "accuracy", REAL)
        ),
        "bright objects stand the noise, faint ones do not": lambda v: (
            v.mean("0.15", "accuracy:S/N 50", REAL) > 2.0 * v.mean("0.15", "accuracy:S/N 0", REAL)
        ),
        "unstated noise does more harm than stated noise": lambda v: _beyond(
            v, -1.0, "0.4 unstated", "0.4", "accuracy", REAL
        ),
    },
    "gaps": {
        "accuracy falls as more is dropped": lambda v: _falls(
            v, [f"dropped {a:g}" for a in v.amount.dropped], v.mean("whole", "accuracy", REAL, part="ours")
        ),
        "forty days cost about as much as half of the observations": lambda v: _near(
            _lost(v, "block 40"), _lost(v, "dropped 0.5"), 0.02
        ),
        "r is missed most": lambda v: (
            max(
                (name for name in v.amount.bands if len(name) == 5),
                key=lambda name: _lost(v, f"bands {name}"),
            )
            == "ugizy"
        ),
        "gri loses less than half of what gr loses": lambda v: (
            _lost(v, "bands gri") < 0.5 * _lost(v, "bands gr")
        ),
    },
    "cost": {
        "training time grows more slowly than the number of objects": lambda v: v.facts["power"]["all"] < 1.0,
        "the fast bundle is faster": lambda v: v.facts["ms"]["fast"] < v.facts["ms"]["default"],
        "all inputs stand coarse weights, latents alone do not": _coarse,
    },
    "rarity": {
        "weights and numbers raise recall": lambda v: (
            v.facts["average"](10, "plain", "recall")
            < v.facts["average"](10, "weights", "recall")
            < v.facts["average"](0, "plain", "recall")
            < v.facts["average"](0, "weights", "recall")
        ),
        "copies make the rarest classes look best": lambda v: (
            v.facts["average"](5, "copied", "f1")
            > v.facts["average"](0, "copied", "f1")
            > v.facts["average"](0, "plain", "f1")
            > v.facts["average"](5, "plain", "f1")
        ),
    },
    "new-survey": {
        "classes and mix help": lambda v: (
            _all(v, 1.0, "survey's mix", "accuracy", 0, against="as it is")
            and v.mean("survey's mix", "accuracy", 0) > v.facts["tested"]["mix"]["SNII"]
        ),
        "missing bands explain little of the gap": lambda v: (
            v.mean("PLAsTiCC griz", "auc", 0) - v.mean("survey's mix", "auc", 0)
            > v.mean("PLAsTiCC ugrizy", "auc", 0) - v.mean("PLAsTiCC griz", "auc", 0)
        ),
        "random labels are worth more than bright ones": lambda v: all(
            v.mean(f"{how} random 1000", "auc", 0) > v.mean(f"{how} spectroscopic 1000", "auc", 0)
            for how in ("joint", "alone")
        ),
        "thirty random labels help, a hundred suffice alone": lambda v: (
            v.facts["enough"]["joint random"] == 30 and v.facts["enough"]["alone random"] == 100
        ),
        "the anomaly score notices the new survey": lambda v: (
            v.mean("anomaly SNPCC", "beyond", 0, column="")
            > v.mean("anomaly PLAsTiCC, griz only", "beyond", 0, column="")
            > 0.05
        ),
    },
}
