"""Common ground of the studies of the paper's future work: objects, rows of the trees, scores, result.

The other `future_*.py` import it; each takes ``--cache FOLDER``, in which inputs are made at the first
use (five minutes of one core) and probabilities are kept, and writes its part of
``docs/results/future-work.json``.

Protocol: `hash_split` of the PLAsTiCC training set with photometric redshifts. Its training part trains,
a tenth of it calibrates, its validation part scores; its test part is not touched. The encoder and the
templates are those of preset `default`, trained on the training part. The trees decide among the nine
extragalactic classes, for these objects alone, since the five of the Milky Way are almost always right:
one booster with the settings of `default`, which learns from five copies of each object (the whole curve,
three cut at random days, one thinned and noisier), calibrated like a bundle. Every alternative learns
from the same rows and is compared with it, on the same objects, as they stood 2, 8 and 32 days after the
trigger and whole. Differences are alternative minus `default`, with the standard deviation of a paired
bootstrap over objects; settings are those stated, tried once.
"""

from benchmarks._harness import commit, machine, versions, write

# isort: split
import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import firstlight
from firstlight import LightCurves, load_plasticc, load_preset
from firstlight._types import AnyArray, Float32Array, FloatArray, StrArray
from firstlight.classify import LightGBMBooster, PhaseCalibrator, TrainingRows, to_all_classes
from firstlight.encoder import Encoder
from firstlight.encoder.steps import Steps, make_steps
from firstlight.features import Templates
from firstlight.metrics import phase_name, score
from firstlight.metrics.compare import compare
from firstlight.metrics.scores import confusion_matrix, precision_recall_f1, truth_index
from firstlight.pipeline import PipelineConfig
from firstlight.pipeline.inputs import InputBuilder
from firstlight.pipeline.training import (
    CopyRows,
    TrainingObjects,
    train_inputs,
    training_copies,
    training_objects,
    training_rows,
)
from firstlight.preprocess import preprocess
from firstlight.splits import check_disjoint, hash_split
from firstlight.taxonomy import GALACTIC

OUT = Path(__file__).parent.parent / "docs" / "results" / "future-work.json"
VIEWS = (2.0, 8.0, 32.0, np.inf)  # days since trigger
N_DRAWS = 500
SCORES = ("accuracy", "macro_f1", "macro_auc", "log_loss")
COPIES = {"truncations": 3, "augmented": 1, "reobserved": 0}
EXACT = {"wrong_redshift": 0.0, "artefacts": 0.0, "hidden_redshift": 0.0}  # nothing is misstated or hidden

Answers = Mapping[str, FloatArray]  # probabilities of all classes of the taxonomy, by view
Predict = Callable[[Float32Array], FloatArray]  # rows to probabilities of `Ground.classes`


@dataclass(frozen=True, eq=False)
class Ground:
    """Rows to learn from, rows to calibrate on, and rows to score by view."""

    train: TrainingRows
    train_phase: FloatArray
    held: TrainingRows
    held_phase: FloatArray
    tests: Mapping[str, Float32Array]
    test_phase: Mapping[str, FloatArray]
    labels: StrArray  # of the objects of every view
    names: tuple[str, ...]  # of the columns

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the taxonomy."""
        return tuple(c for c in firstlight.CLASSES if c in set(self.train.labels.tolist()))

    def describe(self) -> dict[str, int]:
        """Number of objects on each side."""
        sides = {"train": self.train.owner, "calibrate": self.held.owner}
        return {name: len(np.unique(owner)) for name, owner in sides.items()} | {"score": len(self.labels)}

    def answers(self, predict: Predict) -> dict[str, FloatArray]:
        """Calibrated probabilities of the scored objects by view."""
        proba = {view: predict(X) for view, X in self.tests.items()}
        return self.calibrated(self.calibrator(predict(self.held.X)), proba)

    def calibrator(self, held: FloatArray) -> PhaseCalibrator:
        """The calibration of a classifier by its probabilities of the rows to calibrate on."""
        return PhaseCalibrator(settings().calibration).fit(
            held, self.held.labels, self.classes, self.held_phase, groups=self.held.object_id, seed=0
        )

    def calibrated(
        self, calibrator: PhaseCalibrator, proba: Mapping[str, FloatArray]
    ) -> dict[str, FloatArray]:
        """Probabilities of all classes of the taxonomy by view, from those of `classes`."""
        return {
            view: to_all_classes(calibrator.transform(own, self.test_phase[view]), self.classes)
            for view, own in proba.items()
        }


def settings() -> PipelineConfig:
    """Preset `default` with fewer copies."""
    config = load_preset("default")
    return replace(config, copies=replace(config.copies, **COPIES, **EXACT))


def sides() -> tuple[TrainingObjects, LightCurves, StrArray]:
    """All objects to learn from, and the extragalactic ones to score with their classes."""
    curves, truth = load_plasticc()
    labels = truth.labels_of(curves.object_id)
    split = hash_split(curves.object_id)
    check_disjoint(curves.object_id[split.train], curves.object_id[split.validation])
    objects = training_objects(curves.take(split.train), labels[split.train], settings())
    test = split.validation[~np.isin(labels[split.validation], list(GALACTIC))]
    return objects, curves.take(test), labels[test]


def extragalactic(objects: TrainingObjects) -> TrainingObjects:
    """Those of the objects that lie outside the Milky Way."""
    keep = ~np.isin(objects.labels, list(GALACTIC))
    return replace(
        objects,
        curves=objects.curves.take(keep),
        labels=objects.labels[keep],
        held_out=objects.held_out[keep],
    )


def builder(cache: Path, objects: TrainingObjects | None = None) -> InputBuilder:
    """Encoder and templates of the training part; trained at the first use."""
    encoder, templates = cache / "encoder", cache / "templates"
    if not (templates / "done").exists():
        objects = sides()[0] if objects is None else objects
        made = train_inputs(objects, settings(), seed=0, folder=cache / "training", progress=say)
        made.encoder.save(encoder)
        templates.mkdir(parents=True, exist_ok=True)
        assert made.templates is not None
        made.templates.save(templates)
        (templates / "done").touch()
    return InputBuilder(settings(), Encoder.load(encoder), Templates.load(templates))


def ground(cache: Path) -> Ground:
    """The rows, from the cache or made."""
    path = cache / "rows.npz"
    if not path.exists():
        _make(cache, path)
    with np.load(path) as file:
        found = {name: file[name] for name in file.files}

    def rows(side: str) -> TrainingRows:
        return TrainingRows(*(found[f"{side}_{n}"] for n in ("X", "labels", "redshift", "weight", "owner")))

    views = [phase_name(days) for days in VIEWS]
    return Ground(
        train=rows("train"),
        train_phase=found["train_phase"],
        held=rows("held"),
        held_phase=found["held_phase"],
        tests={view: found[f"test_{view}"] for view in views},
        test_phase={view: found[f"phase_{view}"] for view in views},
        labels=found["labels"],
        names=tuple(found["names"].tolist()),
    )


def _make(cache: Path, path: Path) -> None:
    objects, test, labels = sides()
    inputs = builder(cache, objects)
    rng = np.random.default_rng(0)
    arrays: dict[str, AnyArray] = {"labels": labels, "names": np.array(inputs.names)}
    for side, held_out in (("train", False), ("held", True)):
        made: CopyRows = training_rows(extragalactic(objects), inputs, rng, held_out=held_out, jobs=1)
        columns = (made.rows.X, made.rows.labels, made.rows.redshift, made.rows.weight, made.rows.owner)
        for name, column in zip(("X", "labels", "redshift", "weight", "owner"), columns, strict=True):
            arrays[f"{side}_{name}"] = column
        arrays[f"{side}_phase"] = made.phase
        say(side, 1.0)
    for days in VIEWS:
        view = phase_name(days)
        shown = preprocess(test.upto_phase(days), inputs.config.preprocess)
        arrays[f"test_{view}"], arrays[f"phase_{view}"] = inputs.rows(shown).X, shown.last_phase
    np.savez(path, **arrays)


def booster(found: Ground, seed: int = 0, rows: TrainingRows | None = None) -> LightGBMBooster:
    """The booster of `default`, trained on the rows."""
    own = found.train if rows is None else rows
    return LightGBMBooster(settings().classifier.lightgbm).fit(own, seed=seed)


def reference_booster(found: Ground, cache: Path) -> LightGBMBooster:
    """The trained booster of `default`, from the cache or trained."""
    folder = cache / "booster"
    if not (folder / "classifier.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        booster(found).save(folder)
    return LightGBMBooster.load(folder)


def step_sets(encoder: Encoder) -> dict[str, Steps]:
    """Inputs of the encoder: for the rows to learn from, to calibrate on, and to score by view."""
    objects, test, _ = sides()
    own, rng = extragalactic(objects), np.random.default_rng(0)  # the same draws as for the rows
    found = {}
    for side, held_out in (("train", False), ("held", True)):
        copies = training_copies(*own.part(held_out), settings(), rng)
        found[side] = make_steps(copies.curves, encoder.config.steps)
    for days in VIEWS:
        shown = preprocess(test.upto_phase(days), settings().preprocess)
        found[phase_name(days)] = make_steps(shown, encoder.config.steps)
    return found


def kept(cache: Path, name: str, make: Callable[[], Mapping[str, AnyArray]]) -> dict[str, AnyArray]:
    """Arrays from the cache, or made and written there."""
    path = cache / f"{name}.npz"
    if not path.exists():
        np.savez(path, **make())
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def reference(found: Ground, cache: Path) -> dict[str, FloatArray]:
    """Answers of the booster of `default`."""
    return kept(cache, "reference", lambda: found.answers(reference_booster(found, cache).predict_proba))


def scores(labels: StrArray, answers: Answers) -> dict[str, dict[str, float]]:
    """`SCORES` by view."""
    table = {}
    for view, proba in answers.items():
        own = score(labels, proba, firstlight.CLASSES)
        table[view] = {name: round(float(own[name]), 4) for name in SCORES}
    return table


def differences(labels: StrArray, before: Answers, after: Answers) -> dict[str, dict[str, list[float]]]:
    """Difference and its standard deviation, of accuracy, macro F1 and log-loss by view."""
    table = {}
    for view in after:
        own = compare(labels, before[view], after[view])
        table[view] = {key: [round(row["difference"], 4), round(row["std"], 4)] for key, row in own.items()}
    return table


def class_differences(labels: StrArray, before: FloatArray, after: FloatArray) -> dict[str, list[float]]:
    """F1 of each class before and after, difference, and its standard deviation by a paired bootstrap."""
    present = [c for c in firstlight.CLASSES if c in set(labels.tolist())]
    truth = truth_index(labels, firstlight.CLASSES)
    best = [proba.argmax(axis=1) for proba in (before, after)]

    def f1(rows: AnyArray) -> FloatArray:
        tables = [confusion_matrix(truth[rows], own[rows], len(firstlight.CLASSES)) for own in best]
        return np.array([precision_recall_f1(table)[2] for table in tables])

    whole, rng = f1(np.arange(len(truth))), np.random.default_rng(0)
    draws = np.array(
        [np.subtract(*f1(rng.integers(0, len(truth), len(truth)))[::-1]) for _ in range(N_DRAWS)]
    )
    found = {}
    for name in present:
        k = firstlight.CLASSES.index(name)
        values = (whole[0, k], whole[1, k], whole[1, k] - whole[0, k], draws[:, k].std(ddof=1))
        found[name] = [round(float(value), 4) for value in values]
    return found


def keep(
    part: str, doc: str | None, libraries: tuple[str, ...], table: Mapping[str, Any], out: Path = OUT
) -> None:
    """Write a part of the result file, with its commit and machine; the other parts stay."""
    result: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    result["what"] = "the paper's future work, item by item (studies/future_*.py)"
    result["protocol"] = _protocol(__doc__)
    result["parts"] = result.get("parts", {}) | {
        part: {
            "protocol": _protocol(doc),
            "version": firstlight.__version__,
            "commit": commit(),
            "machine": machine(),
            "libraries": versions("numpy", *libraries),
            **table,
        }
    }
    write(out, result, show=False)
    print(part, json.dumps(table, indent=1), flush=True)


def _protocol(doc: str | None) -> str:
    return " ".join((doc or "").split("Protocol: ")[1].split())


def arguments(doc: str | None) -> argparse.Namespace:
    """Options of every part: where inputs are kept, where the result is written."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("runs/future"), help="folder of inputs")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    return args


def say(stage: str, done: float) -> None:
    """Print progress."""
    print(f"{stage} {done:.2f}", flush=True)


if __name__ == "__main__":
    found = ground(arguments(__doc__).cache)
    print(found.describe(), found.train.X.shape, {view: X.shape for view, X in found.tests.items()})
