"""The gain from adapting a bundle: on real surveys with sources left out, and by the number of labels.

Run ``python -m studies.adapt --real FOLDER --snpcc FOLDER`` from the top of the project; it writes
``docs/results/adapt.json`` after each part and goes on where it stopped. On one core a part takes some six
minutes, with the bundle `fast` as with `default`.

Protocol of the real set: typed objects of seven surveys and catalogues (see `studies/real_sky.py`), less
one of each pair that is one object in two catalogues, in five stratified folds, and with each source out:
then neither its objects nor the survey that is measured from them have any part in the trees. Protocol of
SNPCC: so many labels drawn at random, and 2,000 other objects that nothing has seen, whole curves. From
scratch is the bundle's preset trained on the labels alone.
Spreads are standard deviations over bootstrap samples of the objects.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks._harness import result, write
from studies.real_sky import read_set

from firstlight import LightCurves, Pipeline, RejectLog, load_plasticc
from firstlight.adapt import AdaptConfig, adapt
from firstlight.adapt.scores import ADAPTED, SCRATCH, UNADAPTED, score_table
from firstlight.adapt.trees import tree_settings
from firstlight.data import cache_folder
from firstlight.data.snpcc import read_snpcc
from firstlight.splits import twins
from firstlight.taxonomy import CLASSES

OUT = Path(__file__).parent.parent / "docs" / "results" / "adapt.json"
COUNTS = (1000, 100, 300, 30)  # labels, in the order in which they are measured
N_TEST = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--real", type=Path, required=True, help="folder of curves.parquet and objects.parquet"
    )
    parser.add_argument("--snpcc", type=Path, required=True, help="folder of the SNPCC data set")
    parser.add_argument("--bundle", default="fast")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    bundle = Pipeline.load(args.bundle)
    curves, truth = load_plasticc()
    training = curves, truth.labels_of(curves.object_id)
    protocol = " ".join((__doc__ or "").split("Protocol of the real set: ")[1].split())
    about = {"protocol": "Real set: " + protocol, "bundle": args.bundle, "version": bundle.bundle_version}
    what = "a bundle adapted to other surveys with labels of theirs (studies/adapt.py)"
    parts: dict[str, Any] = {}
    if args.out.exists():
        found = json.loads(args.out.read_text())
        parts = found["parts"] if found["version"] == bundle.bundle_version else {}
    for name, run in {"real": real, **{f"snpcc-{n}": snpcc for n in COUNTS}}.items():
        if name not in parts:
            parts[name] = run(bundle, training, args, name)
            table = result(what, "lightgbm", "numpy", **about, parts=parts)
            write(args.out, table, show=False)
            print(
                name,
                {kind: row["accuracy"]["value"] for kind, row in parts[name]["scores"].items()},
                flush=True,
            )


def real(bundle: Pipeline, training: Any, args: argparse.Namespace, name: str) -> dict[str, Any]:
    """The real set: five folds, and sources left out."""
    curves, types, source, _ = read_set(args.real)
    second = [b for _, b in twins(curves)]  # one supernova under the names of two catalogues: one stays
    one = ~np.isin(curves.object_id, second)
    curves, types, source = curves.take(one), types[one], source[one]
    made = adapt(
        bundle, curves, types, training, sources=source, scratch=False, jobs=1,
        cache=cache_folder() / "adapt",
    )  # fmt: skip
    return {
        "n_labels": len(types),
        "scores": made.held_out,
        "source_left_out": made.sources_out,
        "by_source": made.by_source,
        "choice": _choice(made),
    }


def snpcc(bundle: Pipeline, training: Any, args: argparse.Namespace, name: str) -> dict[str, Any]:
    """So many labels of SNPCC, tested on other objects."""
    data = read_snpcc(args.snpcc, RejectLog())
    order = np.random.default_rng(1).permutation(len(data))
    test, mine = order[:N_TEST], order[N_TEST:][: int(name.split("-")[1])]
    curves, labels = data.curves.take(mine), data.labels[mine]
    made = adapt(
        bundle, curves, labels, training, scratch=False, jobs=1, cache=cache_folder() / "adapt"
    )  # fmt: skip
    unseen = data.curves.take(test)
    proba = {
        UNADAPTED: bundle.predict(unseen, jobs=1).proba,
        SCRATCH: _scratch(bundle, curves, labels).predict(unseen, jobs=1).proba,
        ADAPTED: made.pipeline.predict(unseen, jobs=1).proba,
    }
    return {
        "n_labels": len(mine),
        "scores": score_table(data.labels[test], CLASSES, proba),
        "held_out_labels": made.held_out,
        "choice": _choice(made),
    }


def _scratch(bundle: Pipeline, curves: LightCurves, labels: np.ndarray) -> Pipeline:
    copies = replace(bundle.config.copies, reobserved=0, validation_fraction=0.2)
    trees = tree_settings(bundle.config.classifier, AdaptConfig())
    config = replace(bundle.config, copies=copies, classifier=trees, kept_per_class=0)
    return Pipeline(replace(config, sets=replace(config.sets, folds=0))).fit(curves, labels, jobs=1)


def _choice(made: Any) -> dict[str, Any]:
    worth = made.choice.worth
    return {"start": made.choice.start, "worth": None if np.isinf(worth) else worth, "mix": made.choice.mix}


if __name__ == "__main__":
    main()
