"""Contribution of each input of presets `default` and `fast`: features, templates, latents, summary.

Run ``python studies/ablation_inputs.py --preset fast [--source FOLDER]``; it writes
``docs/results/ablation-PRESET.json``. About four minutes of one core per variant; variants
in the file are kept unless ``--fresh``.

Protocol: `hash_split` of the PLAsTiCC training set; its training part trains (a tenth of it
calibrates), its validation part scores, its test part is not touched. Whole curves with
photometric redshift and without, and curves cut 8 days after the trigger.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import firstlight
from firstlight import LightCurves, Pipeline, load_plasticc, load_preset, score
from firstlight.metrics import METRICS
from firstlight.preprocess import PreprocessConfig
from firstlight.splits import hash_split

OUT = Path(__file__).parent.parent / "docs" / "results"
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "default": {
        "features without templates": {"inputs": ("features",), "templates": False},
        "features": {"inputs": ("features",)},
        "latents with their uncertainty": {"inputs": ("latent", "latent_scatter")},
        "preset: latents with their uncertainty, features": {},
    },
    "fast": {
        "preset: latents with their uncertainty, summary": {},
        "summary": {"inputs": ("summary",)},
        "latents with their uncertainty": {"inputs": ("latent", "latent_scatter")},
        "preset after the cleaning that looks back": {"preprocess": PreprocessConfig()},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=tuple(VARIANTS), default="default")
    parser.add_argument("--source", type=Path, help="folder with the PLAsTiCC training set; default: cache")
    parser.add_argument("--fresh", action="store_true", help="measure all variants again")
    args = parser.parse_args()
    out = OUT / f"ablation-{args.preset}.json"
    curves, truth = load_plasticc(args.source)
    labels = truth.labels_of(curves.object_id)
    split = hash_split(curves.object_id)
    done = json.loads(out.read_text())["variants"] if out.exists() and not args.fresh else {}
    result = {
        "protocol": f"hash split of {len(curves):,} objects: {len(split.train):,} train, "
        f"{len(split.validation):,} score, the rest untouched; seed 0",
        "version": firstlight.__version__,
        "variants": done,
    }
    test = curves.take(split.validation)
    views: dict[str, LightCurves] = {
        "whole": test,
        "whole, no redshift": test.with_redshift("none"),
        "8 days": test.upto_phase(8.0),
    }
    for name, changes in VARIANTS[args.preset].items():
        if name in done:
            continue
        start = time.perf_counter()
        pipeline = Pipeline(replace(load_preset(args.preset), **changes))
        pipeline.fit(curves.take(split.train), labels[split.train], seed=0, jobs=1)
        done[name] = {"train_seconds": round(time.perf_counter() - start, 1)}
        for view, shown in views.items():
            found = pipeline.predict(shown, jobs=1)
            scores = score(labels[split.validation], found.proba, found.classes, found.is_classified)
            done[name][view] = {metric: round(scores[metric], 4) for metric in METRICS}
        out.write_text(json.dumps(result, indent=1) + "\n")
        print(name, {view: done[name][view]["accuracy"] for view in views}, flush=True)


if __name__ == "__main__":
    main()
