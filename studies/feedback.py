"""Rare objects among the first 50 candidates, after no, 10 and 30 verdicts and after a verdict on each.

Run ``python -m studies.feedback`` from the top of the project; it writes ``studies/results/feedback.json``
and ``docs/images/feedback.png``. Each of the four classes costs one training of the preset (six minutes of
one core); candidates are kept in ``--cache``.

Protocol: a class is hidden from everything that trains. The preset, as it ships but without prediction sets,
is trained on the other objects of the training part of `hash_split`. The candidates are the known objects of
the validation and test parts, and objects of the hidden class, drawn at random so that they are one in a
hundred; as they are then about 30, no list of 50 can be purer than .6. A person answers one candidate after
another, always the first of the list, and calls it interesting if it is of the hidden class. The list is
ordered again after each answer, and after 0, 10, 30 or 50 answers it stays as it is. Purity is the share of
the hidden class among the first 50, answered ones included; `by chance` is the expectation of a random list.
coniferest's forests read the same columns as the ranker (places and probabilities). Settings of the ranker
were chosen on draws 0 to 3; the figures are of draws 100 and later, with other objects of the hidden class.
Spreads are standard deviations over draws.
"""

from benchmarks._harness import result, write

# isort: split
import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from firstlight import Pipeline, load_plasticc, load_preset
from firstlight._types import AnyArray, FloatArray, IntArray
from firstlight.anomaly.feedback import FeedbackRanker
from firstlight.predictions import CLASSIFIED
from firstlight.report.style import (
    ACCENT,
    INK,
    MAIN,
    label_panels,
    legend_above,
    panel_grid,
    save_figure,
    styled,
)
from firstlight.splits import hash_split

OUT = Path(__file__).parent / "results" / "feedback.json"
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "feedback.png"
LEFT_OUT = ("KN", "TDE", "SLSN-I", "muLens-Single")
N_FIRST, N_VERDICTS, FIRST_DRAW = 50, (0, 10, 30, 50), 100
N_KNOWN_PER_RARE = 99

Columns = dict[str, AnyArray]
#: Takes the candidates, those that have an answer and the answers; returns interest, higher first.
Order = Callable[[Columns, IntArray, FloatArray], FloatArray]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("classes", nargs="*", default=LEFT_OUT)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--cache", type=Path, default=Path("runs/feedback"))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    args = parser.parse_args()
    found = {
        name: measure(candidates(name, args.preset, args.cache), name, args.draws) for name in args.classes
    }
    protocol = " ".join((__doc__ or "").split("Protocol: ")[1].split())
    head = result("verdicts on candidates (studies/feedback.py)", "lightgbm", "torch", "coniferest")
    table = {"protocol": protocol, "preset": args.preset, "draws": args.draws, "found": found}
    write(args.out, head | table, show=False)
    save_figure(curves_of_all(found), args.picture)


def candidates(name: str, preset: str, cache: Path) -> Columns:
    """Objects that nothing was trained on, with the answers of a bundle trained without the class."""
    path = cache / f"{preset}-{name}.npz"
    if not path.exists():
        curves, truth = load_plasticc()
        labels, split = truth.labels_of(curves.object_id), hash_split(curves.object_id)
        learn = split.train[labels[split.train] != name]
        config = load_preset(preset)
        config = replace(config, sets=replace(config.sets, folds=0))
        pipeline = Pipeline(config).fit(
            curves.take(learn), labels[learn], jobs=1, workdir=cache / f"training-{preset}-{name}"
        )
        rest = np.setdiff1d(np.arange(len(labels)), learn)
        shown = curves.take(rest).with_redshift("photo")
        answers = pipeline.predict(shown, jobs=1)
        known = answers.status == CLASSIFIED
        np.savez(
            path,
            label=labels[rest][known],
            proba=answers.proba[known],
            anomaly=answers.anomaly[known],
            place=pipeline.places(shown.take(known), jobs=1),
        )
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def measure(pool: Columns, name: str, n_draws: int) -> dict[str, Any]:
    """Purity of every method after some verdicts, and objects found with each look."""
    n_known = int((pool["label"] != name).sum())
    n_rare = round(n_known / N_KNOWN_PER_RARE)
    table: dict[str, Any] = {
        "n_known": n_known,
        "n_rare": n_rare,
        "by_chance": round(n_rare / (n_known + n_rare), 4),
        "methods": {},
    }
    for method, order in METHODS.items():
        begun = time.process_time()
        runs = [session(pool, name, FIRST_DRAW + k, n_rare, order) for k in range(n_draws)]
        shares = np.array([one[0] for one in runs])
        table["methods"][method] = {
            "purity": {
                str(n): {"mean": round(float(own.mean()), 4), "sd": round(float(own.std(ddof=1)), 4)}
                for n, own in zip(N_VERDICTS, shares.T, strict=True)
            },
            "found": np.mean([one[1] for one in runs], axis=0).round(2).tolist(),
            "cpu_seconds": round((time.process_time() - begun) / n_draws, 2),
        }
        print(name, method, table["methods"][method]["purity"], flush=True)
    return table


def session(pool: Columns, name: str, draw: int, n_rare: int, order: Order) -> tuple[list[float], list[int]]:
    """Purity of the first 50 after each of `N_VERDICTS`, and rare objects found after each look."""
    rng = np.random.default_rng(draw)
    rare = rng.choice(np.flatnonzero(pool["label"] == name), n_rare, replace=False)
    index = rng.permutation(np.concatenate([np.flatnonzero(pool["label"] != name), rare]))
    some = {key: value[index] for key, value in pool.items()}
    truth = np.where(some["label"] == name, 1.0, -1.0)
    seen: IntArray = np.empty(0, np.int64)
    shares = []
    for n in range(N_FIRST + 1):
        interest = order(some, seen, truth[seen])
        interest[seen] = -np.inf
        rest = np.argsort(-interest, kind="stable")
        if n in N_VERDICTS:
            first = np.concatenate([seen, rest[: N_FIRST - n]])
            shares.append(float((truth[first] > 0.0).mean()))
        if n < N_FIRST:
            seen = np.append(seen, rest[0])
    return shares, np.cumsum(truth[seen] > 0.0).tolist()


def by_score(some: Columns, seen: IntArray, answers: FloatArray) -> FloatArray:
    """No feedback."""
    return some["anomaly"].copy()


def by_ranker(some: Columns, seen: IntArray, answers: FloatArray) -> FloatArray:
    """Our ranker."""
    if _KEPT.get("of") is not some["place"]:
        ranker = FeedbackRanker(some["place"], some["proba"], some["anomaly"])
        _KEPT.update(ranker=ranker, of=some["place"])
    known, values = np.zeros(len(some["place"]), bool), np.zeros(len(some["place"]))
    known[seen], values[seen] = True, answers
    return np.asarray(_KEPT["ranker"].interest(known, values))


_KEPT: dict[str, Any] = {}


def by_forest(kind: str) -> Order:
    """Coniferest's forests on the places and probabilities that our ranker reads."""

    def order(some: Columns, seen: IntArray, answers: FloatArray) -> FloatArray:
        """Score of each object by a forest of coniferest, fitted to the verdicts; large is strange."""
        from coniferest.aadforest import AADForest
        from coniferest.pineforest import PineForest

        rows = np.ascontiguousarray(np.hstack([some["place"], some["proba"]]))
        made = {
            "AAD": lambda: AADForest(n_trees=128, n_subsamples=256, random_seed=0, n_jobs=1),
            "Pine": lambda: PineForest(
                n_trees=128, n_subsamples=256, n_spare_trees=256, random_seed=0, n_jobs=1
            ),
        }[kind]()
        if len(seen):
            made.fit_known(rows, rows[seen], np.where(answers > 0.0, -1, 1))
        else:
            made.fit(rows)
        return -np.asarray(made.score_samples(rows))

    return order


METHODS: dict[str, Order] = {
    "score alone": by_score,
    "feedback": by_ranker,
    "AAD forest (coniferest)": by_forest("AAD"),
    "Pine forest (coniferest)": by_forest("Pine"),
}
#: Colour and dashes of each method in the picture.
DRAWN: dict[str, tuple[str, Any]] = {
    "score alone": (MAIN, (0, (5, 1))),
    "feedback": (ACCENT, "-"),
    "AAD forest (coniferest)": ("#009E73", "-."),
    "Pine forest (coniferest)": ("#999933", ":"),
}


@styled
def curves_of_all(found: dict[str, Any]) -> Any:
    """Rare objects found against candidates looked at, a panel per class."""
    figure, panels = panel_grid(len(found), len(found), 2.0)
    looks = np.arange(1, N_FIRST + 1)
    for panel, (name, own) in zip(panels, found.items(), strict=True):
        panel.plot(looks, own["by_chance"] * looks, color="#BBBBBB", lw=0.8, label="by chance")
        for method, (colour, dash) in DRAWN.items():
            panel.plot(looks, own["methods"][method]["found"], color=colour, ls=dash, label=method)
        panel.axhline(own["n_rare"], color=INK, lw=0.6, ls=":")
        panel.set(xlim=(0, N_FIRST), ylim=(0.0, None))
        panel.set_title(name, color=INK)
        panel.grid(True)
    label_panels(figure, "candidates looked at, a verdict on each", "objects of the hidden class")
    legend_above(figure, panels[0], 5)
    return figure


if __name__ == "__main__":
    main()
