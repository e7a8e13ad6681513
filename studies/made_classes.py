"""Do made objects of rare classes, in the training set, help on real sky.

Run ``python -m studies.made_classes --data FOLDER --cache FOLDER`` from the top of the project (six
minutes of one core per seed and two per variant); it writes ``docs/results/made-classes.json``. FOLDER
holds ``curves.parquet`` and ``objects.parquet`` (see `studies.real_sky`); the cache keeps rows and
probabilities.

Protocol: preset `default` learns from the training part of the fixed split of PLAsTiCC and stops and
calibrates on its validation part; the test part (1,519 objects) guards against a loss. A variant adds
rows of made objects (populations of `firstlight.simulate.sky` and of `made_populations`, views of
`firstlight.reobserve.simulated`) to those of the experts outside the Milky Way
and of the gate; encoder, templates, the expert of the Milky Way and the held-out rows are those of
the control of the same seed. Each made object has six views through the surveys of the preset and
the cadence of PLAsTiCC, half of them cut at a random day, with wrong and hidden redshifts as other
copies. The weight of a class does not move: the weight of its made rows is taken from its other rows,
either from its re-observed copies alone or from all of them. Real objects: protocol of `real_sky`;
its choosing half compares variants, its testing half is scored with ``--final`` alone.  Scores are
means over seeds, spreads standard deviations over bootstrap samples of the objects, and differences are
variant minus control on the same samples. `check`: a booster separates real objects of a class (choosing
half) from made ones, and from re-observed copies of PLAsTiCC's, by rest-frame features of the Gaussian
process, through the survey that is most like the source of the real ones; its AUC is .5 where it cannot.
"""

from benchmarks._harness import result

# isort: split
import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from studies.made_populations import KINDS
from studies.real_sky import N_BINS, SALT, TYPES, read_set

from firstlight import CLASSES, LightCurves, load_plasticc, load_preset
from firstlight._types import AnyArray, BoolArray, Float32Array, FloatArray, StrArray
from firstlight.classify import (
    LightGBMBooster,
    LightGBMConfig,
    PhaseCalibrator,
    StatusConfig,
    TrainingRows,
    to_all_classes,
)
from firstlight.classify.gate import GatedClassifier, _grow_expert, _grow_gate
from firstlight.classify.lightgbm import grow_lightgbm
from firstlight.classify.status import CLASSIFIED, status_from_counts, status_of
from firstlight.encoder import Encoder
from firstlight.experiments.fold import fold_sides
from firstlight.features import Templates
from firstlight.features.registry import gaussian_features
from firstlight.metrics import phase_name
from firstlight.metrics.curves import calibration_error, roc_auc
from firstlight.metrics.scores import SMALLEST_PROBA, headline
from firstlight.pipeline.config import CopiesConfig, PipelineConfig
from firstlight.pipeline.inputs import InputBuilder
from firstlight.pipeline.training import (
    TrainingObjects,
    _hide_redshift,
    _mistaken,
    train_inputs,
    training_objects,
    training_rows,
)
from firstlight.preprocess import preprocess
from firstlight.reobserve import SimulatedConfig, Surfaces, reobserve
from firstlight.reobserve.simulated import views_of
from firstlight.simulate import truncate
from firstlight.simulate.sky import draw_sky_models
from firstlight.simulate.survey import measure_survey
from firstlight.splits import hash_fraction, hash_split
from firstlight.taxonomy import class_index

OUT = Path(__file__).parent.parent / "docs" / "results" / "made-classes.json"
PHASES = (2.0, 8.0, 32.0, np.inf)  # days since trigger
N_MODELS = 600
VIEWS = SimulatedConfig()
N_RESAMPLES = 100
MOST = {"SNII": 500, "SNIbc": 500, "TDE": 500}  # made objects of frequent classes
#: Surveys that see the sky as the real objects' source does.
LIKE_REAL = {
    "SLSN-I": {"literature": 1.0},
    "TDE": {"nuclear": 0.7, "ztf-forced": 0.3},
    "SNII": {"literature": 1.0},
}
#: Features of the Gaussian process in the rest frame: luminosities, colours, rise and fall.
REST = ("rest_", "absolute_3", "absolute_4", "absolute_5", "absolute_7")
SEPARATOR = LightGBMConfig(rounds=60, learning_rate=0.1, leaves=7, class_weight_exponent=1.0)
N_CHECKS, N_FOLDS = 4, 5
ONE_VIEW = SimulatedConfig(views=1, cadence=0.0)
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "log_loss", "ece")


@dataclass(frozen=True)
class Variant:
    """Which kinds are made, how many objects per real one, and whose weight their rows take."""

    kinds: tuple[str, ...] = ()
    times: float = 1.0
    takes_all: bool = False  # the weight of all rows of the class, instead of its re-observed copies alone


VARIANTS = {
    "control": Variant(),
    "SLSN-I and TDE": Variant(("SLSN-I", "TDE")),
    "SLSN-I and TDE, twice as many": Variant(("SLSN-I", "TDE"), 2.0),
    "SLSN-I and TDE, weight of all copies": Variant(("SLSN-I", "TDE"), 1.0, True),
    "SLSN-I, TDE, SNII and SNIbc": Variant(("SLSN-I", "TDE", "SNII", "SNIbc")),
}

# --- the ground -----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Test:
    """Objects to score as rows by phase."""

    X: Mapping[str, Float32Array]
    redshift: Mapping[str, FloatArray]
    phase: Mapping[str, FloatArray]
    classified: Mapping[str, BoolArray]
    labels: StrArray
    object_id: StrArray


@dataclass(frozen=True, eq=False)
class Ground:
    """The parts that all variants of one seed share."""

    seed: int
    folder: Path
    objects: TrainingObjects
    inputs: InputBuilder
    rows: TrainingRows
    reobserved: BoolArray  # (n_rows,)
    held: TrainingRows
    held_phase: FloatArray
    tests: Mapping[str, Test]

    @classmethod
    def of(cls, cache: Path, data: Path, seed: int) -> "Ground":
        """From the cache, or made."""
        folder = cache / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        config = preset()
        curves, truth = load_plasticc()
        labels = truth.labels_of(curves.object_id)
        sides = fold_sides(curves, labels, hash_split(curves.object_id))
        objects = training_objects(sides.training, sides.labels, config, held_out=sides.held_out)
        inputs = _inputs(folder, objects, seed)
        if not (folder / "rows.npz").exists():
            _make_rows(folder, objects, inputs, seed)
        with np.load(folder / "rows.npz") as file:
            kept = {name: file[name] for name in file.files}
        rows, held = (
            TrainingRows(*(kept[f"{side}_{n}"] for n in ("X", "labels", "redshift", "weight", "owner")))
            for side in ("train", "held")
        )
        real, types, _, _ = read_set(data)
        tests = {
            "plasticc": _test(
                folder / "plasticc.npz", inputs, sides.test.with_redshift("photo"), sides.test_labels
            ),
            "real": _test(folder / "real.npz", inputs, real, types),
        }
        n_held = int(objects.held_out.sum())
        own = _answered(rows, inputs.names, len(objects.held_out) - n_held)
        reobserved = _reobserved(len(rows), len(objects.held_out) - n_held, config.copies)[own]
        others = _answered(held, inputs.names, n_held)
        phase = kept["held_phase"][others]
        return cls(seed, folder, objects, inputs, rows.take(own), reobserved, held.take(others), phase, tests)


def preset() -> PipelineConfig:
    """Preset `default` without its simulated objects, which are what the variants add.

    All copies are made, also those that are too poor to be classified, so that a row's place says which copy
    it is; `_answered` leaves them out.
    """
    every = StatusConfig(min_obs=0, min_detections=0, min_snr=0.0)
    return replace(load_preset("default"), simulated=SimulatedConfig(), verdict=every)


def _answered(rows: TrainingRows, names: list[str], n_whole: int) -> BoolArray:
    """Whole curves, which come first, and the copies that `status_of` would classify."""
    n_obs, n_detected, high, low = (
        rows.X[:, names.index(n)] for n in ("n_obs", "n_detected", "snr_max", "snr_min")
    )
    config = StatusConfig()
    has_signal = np.maximum(np.abs(high), np.abs(low)) >= config.min_snr
    keep = status_from_counts(n_obs, n_detected, has_signal, config)[0] == CLASSIFIED
    keep[:n_whole] = True
    return np.asarray(keep)


def _inputs(folder: Path, objects: TrainingObjects, seed: int) -> InputBuilder:
    config = preset()
    if not (folder / "inputs-done").exists():
        made = train_inputs(objects, config, seed=seed, folder=folder / "training", progress=say)
        made.encoder.save(folder / "encoder")
        (folder / "templates").mkdir(exist_ok=True)
        assert made.templates is not None
        made.templates.save(folder / "templates")
        (folder / "inputs-done").touch()
    return InputBuilder(config, Encoder.load(folder / "encoder"), Templates.load(folder / "templates"))


def _make_rows(folder: Path, objects: TrainingObjects, inputs: InputBuilder, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays: dict[str, AnyArray] = {}
    for side, held_out in (("train", False), ("held", True)):
        made = training_rows(objects, inputs, rng, held_out=held_out, jobs=1, progress=say)
        columns = (made.rows.X, made.rows.labels, made.rows.redshift, made.rows.weight, made.rows.owner)
        for name, column in zip(("X", "labels", "redshift", "weight", "owner"), columns, strict=True):
            arrays[f"{side}_{name}"] = column
        arrays[f"{side}_phase"] = made.phase
    np.savez(folder / "rows.npz", **arrays)


def _test(path: Path, inputs: InputBuilder, curves: LightCurves, labels: StrArray) -> Test:
    """Rows of the objects to score, from the cache or made."""
    if not path.exists():
        arrays: dict[str, AnyArray] = {}
        for days in PHASES:
            ready, name = preprocess(curves.upto_phase(days), inputs.config.preprocess), phase_name(days)
            arrays[f"X-{name}"] = inputs.rows(ready).X
            arrays[f"redshift-{name}"], arrays[f"phase-{name}"] = ready.redshift, ready.last_phase
            arrays[f"classified-{name}"] = status_of(ready)[0] == CLASSIFIED
        np.savez(path, **arrays)
    names = [phase_name(days) for days in PHASES]
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    by_phase = {
        key: {name: kept[f"{key}-{name}"] for name in names}
        for key in ("X", "redshift", "phase", "classified")
    }
    return Test(**by_phase, labels=labels, object_id=curves.object_id)


def say(stage: str, done: float) -> None:
    """Progress on standard output."""
    if done in (0.0, 1.0):
        print(stage, done, flush=True)


# --- made rows ------------------------------------------------------------------


def made_rows(ground: Ground, variant: Variant) -> TrainingRows:
    """The rows of the control and those of made objects, with the same weight of each class."""
    training, labels = ground.objects.part(held_out=False)
    hosts = measure_survey(training)
    config = ground.inputs.config
    weight = ground.rows.weight.copy()
    parts = [replace_weight(ground.rows, weight)]
    for kind in variant.kinds:
        label = kind.split(",")[0]
        rng = np.random.default_rng([ground.seed, *kind.encode()])
        n = round(variant.times * min(int((labels == label).sum()), MOST.get(label, 10**6)))
        models, seen = draw_sky_models(KINDS[kind], N_MODELS, rng), config.reobserve
        made, owner = views_of(models, label, n, hosts, seen.surveys, rng, VIEWS, seen.spectroscopic)
        made = _mistaken(truncate(made, rng, whole=0.5), config.copies, rng)
        made = _hide_redshift(made, rng.random(len(made)) < config.copies.hidden_redshift)
        ready = preprocess(made, config.preprocess)
        gives = (ground.rows.labels == label) & (ground.reobserved | variant.takes_all)
        share = n / (n + (labels == label).sum())
        own = weight[gives].sum() * share / len(made)
        weight[gives] *= 1.0 - share
        # in parts, as the memory of the features of many views is large
        X = np.concatenate(
            [
                ground.inputs.rows(ready.take(np.arange(s, min(s + 512, len(ready))))).X
                for s in range(0, len(ready), 512)
            ]
        )
        parts.append(
            TrainingRows(X, np.full(len(made), label), ready.redshift, np.full(len(made), own), owner)
        )
        print(f"  {kind}: {n} objects, {len(made)} views", flush=True)
    parts[0] = replace_weight(ground.rows, weight)
    return TrainingRows.concatenate(parts)


def replace_weight(rows: TrainingRows, weight: FloatArray) -> TrainingRows:
    """The same rows with other weights."""
    return TrainingRows(rows.X, rows.labels, rows.redshift, weight, rows.object_id, rows.galactic)


def _reobserved(n_rows: int, n_objects: int, copies: CopiesConfig) -> BoolArray:
    """Which rows are re-observed copies: the copies of all objects follow each other in a fixed order."""
    first = 1 + copies.truncations + copies.augmented
    copy = np.arange(n_rows) // n_objects
    return np.asarray((copy >= first) & (copy < first + copies.reobserved))


# --- training -------------------------------------------------------------------


def answers(ground: Ground, name: str) -> dict[str, AnyArray]:
    """Probabilities of both sets by phase, from the cache or from a training."""
    path = ground.folder / f"{name}.npz"
    if not path.exists():
        print(f"seed {ground.seed}: {name}", flush=True)
        rows = made_rows(ground, VARIANTS[name])
        classifier = _train(ground, rows, name)
        held = classifier.predict_proba(ground.held.X, redshift=ground.held.redshift)
        calibrator = PhaseCalibrator(ground.inputs.config.calibration).fit(
            held, ground.held.labels, classifier.classes, ground.held_phase, groups=ground.held.object_id,
            seed=ground.seed,
        )  # fmt: skip
        labels = ground.objects.labels
        prior = np.array([(labels == one).mean() for one in CLASSES])
        found = {}
        for which, test in ground.tests.items():
            for phase, X in test.X.items():
                raw = classifier.predict_proba(X, redshift=test.redshift[phase])
                proba = to_all_classes(calibrator.transform(raw, test.phase[phase]), classifier.classes)
                found[f"{which}-{phase}"] = np.where(test.classified[phase][:, None], proba, prior)
        np.savez(path, **found)
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def _train(ground: Ground, rows: TrainingRows, name: str) -> GatedClassifier:
    """The classifier of a variant; made objects change neither the expert of the Milky Way nor its rows."""
    config, control = ground.inputs.config.classifier, ground.folder / "control"
    if name == "control":
        made = GatedClassifier(config.lightgbm, config.gate).fit(rows, ground.held, seed=ground.seed)
        control.mkdir(exist_ok=True)
        made.save(control)
        return made
    made = GatedClassifier.load(control)

    def grow(settings: LightGBMConfig) -> Any:
        return lambda own, held: grow_lightgbm(own, held, settings, seed=ground.seed)

    expert = made._experts["extragalactic"]
    made._experts["extragalactic"] = _grow_expert(rows, ground.held, expert.classes, grow(config.lightgbm))
    made._gate = _grow_gate(rows, ground.held, grow(config.gate.booster), config.gate)
    return made


# --- scores ---------------------------------------------------------------------


def scores(labels: StrArray, proba: FloatArray, shown: tuple[str, ...]) -> dict[str, float]:
    """Scores of some objects; recall and log-loss of the classes shown."""
    truth = class_index(labels.tolist())
    found = headline(truth, proba, np.ones(len(CLASSES)))
    best = proba.argmax(axis=1)
    loss = -np.log(np.maximum(proba[np.arange(len(truth)), truth], SMALLEST_PROBA))
    out = {key: found[key] for key in SCORES} | {
        "ece": calibration_error(best == truth, proba.max(axis=1), N_BINS)
    }
    for name in shown:
        own = labels == name
        if own.any():
            out[f"recall {name}"] = float((best == truth)[own].mean())
            out[f"log_loss {name}"] = float(loss[own].mean())
    return out


def compared(
    labels: StrArray, control: list[FloatArray], own: list[FloatArray], shown: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Scores of a variant, mean over seeds, and differences to the control, each with its spread."""
    rng = np.random.default_rng(0)
    draws = [rng.choice(len(labels), len(labels)) for _ in range(N_RESAMPLES)]

    def mean(answers: list[FloatArray], rows: Any) -> dict[str, float]:
        each = [scores(labels[rows], proba[rows], shown) for proba in answers]
        return {key: float(np.mean([one.get(key, np.nan) for one in each])) for key in each[0]}

    whole = np.arange(len(labels))
    best, before = mean(own, whole), mean(control, whole)
    spread = [(mean(own, rows), mean(control, rows)) for rows in draws]
    table = {}
    for key, value in best.items():
        pairs = [(a.get(key, np.nan), b.get(key, np.nan)) for a, b in spread]
        table[key] = {
            "value": round(value, 4),
            "std": round(float(np.nanstd([a for a, _ in pairs])), 4),
            "difference": round(value - before[key], 4),
            "difference_std": round(float(np.nanstd([a - b for a, b in pairs])), 4),
        }
    return table


def table_of(grounds: list[Ground], names: list[str], half: str) -> dict[str, Any]:
    """Scores of the variants on PLAsTiCC's test part and on one half of the real objects, by phase."""
    found: dict[str, Any] = {}
    real = grounds[0].tests["real"]
    side = (hash_fraction(real.object_id, SALT) < 0.5) == (half == "choosing")
    base = [answers(ground, "control") for ground in grounds]
    for name in names:
        own = [answers(ground, name) for ground in grounds]
        found[name] = {}
        for phase in (phase_name(days) for days in PHASES):
            sets = {"plasticc": np.ones(len(grounds[0].tests["plasticc"].labels), np.bool_), "real": side}
            for which, mask in sets.items():
                labels = grounds[0].tests[which].labels[mask]
                key = f"{which}-{phase}"
                shown = TYPES if which == "real" else ("SLSN-I", "TDE", "SNII", "SNIbc", "SNIa", "AGN")
                found[name].setdefault(which, {})[phase] = compared(
                    labels, [one[key][mask] for one in base], [one[key][mask] for one in own], shown
                )
        print_row(name, found[name])
    return found


def print_row(name: str, found: dict[str, Any]) -> None:
    """The main numbers of a variant."""
    for which, keys in (
        ("plasticc", (*SCORES, "recall SLSN-I", "recall TDE", "recall SNII")),
        ("real", (*SCORES, *(f"recall {one}" for one in TYPES), "log_loss SLSN-I", "log_loss TDE")),
    ):
        whole = found[which]["all"]
        words = ", ".join(
            "{} {value:.3f} ({difference:+.3f} +- {difference_std:.3f})".format(key, **whole[key])
            for key in keys
            if key in whole
        )
        print(f"{name} | {which}: {words}", flush=True)


# --- real against made ----------------------------------------------------------


def check(ground: Ground, data: Path) -> dict[str, Any]:
    """For each class: AUC of a booster between real objects and made ones, and re-observed ones."""
    real, types, _, _ = read_set(data)
    choosing = hash_fraction(real.object_id, SALT) < 0.5
    training, labels = ground.objects.part(held_out=False)
    hosts, config = measure_survey(training), ground.inputs.config
    found: dict[str, Any] = {}
    for kind in KINDS:
        label = kind.split(",")[0]
        if label not in LIKE_REAL:
            continue
        own = real.take(choosing & (types == label))
        rng = np.random.default_rng(1)
        models = draw_sky_models(KINDS[kind], N_MODELS, rng)
        made, _ = views_of(models, label, 3 * len(own), hosts, LIKE_REAL[label], rng, ONE_VIEW, 1.0)
        found[kind] = {"n_real": len(own), "n_made": len(made)} | separated(own, made, ground)
        mags = {"real": own, "made": made}
        if kind == label:
            some = training.take(labels == label)
            settings = replace(config.reobserve, surveys=LIKE_REAL[label], spectroscopic=1.0)
            surfaces = Surfaces.of(some)
            parts = [reobserve(some, rng, settings, surfaces) for _ in range(1 + 3 * len(own) // len(some))]
            copies = LightCurves.concatenate(parts, check=False)
            found[f"{label}, copies of PLAsTiCC's"] = {"n_real": len(own), "n_made": len(copies)} | separated(
                own, copies, ground
            )
            mags["copies"] = copies
        found[kind]["redshift"] = {key: _quantiles(one.redshift) for key, one in mags.items()}
        found[kind]["peak"] = {key: _quantiles(absolute_peak(one)) for key, one in mags.items()}
        print(kind, found[kind], found.get(f"{label}, copies of PLAsTiCC's"), flush=True)
    return found


def _quantiles(values: AnyArray) -> list[float]:
    return np.round(np.nanquantile(np.asarray(values, np.float64), [0.16, 0.5, 0.84]), 3).tolist()


def absolute_peak(curves: LightCurves) -> FloatArray:
    """Absolute magnitude of the brightest point of at least 5 sigma, without K correction."""
    from firstlight.cosmology import distance_modulus

    good = curves.flux > 5.0 * curves.flux_err
    best = np.zeros(len(curves))
    np.maximum.at(best, curves.object_index[good], curves.flux[good])
    best[best <= 0.0] = np.nan
    return np.asarray(31.4 - 2.5 * np.log10(best) - distance_modulus(curves.redshift))


def separated(real: LightCurves, made: LightCurves, ground: Ground) -> dict[str, Any]:
    """AUC of a booster that separates two sets by rest-frame features, in folds of objects."""
    names = [feature.name for feature in gaussian_features() if feature.name.startswith(REST)]
    columns = [ground.inputs.names.index(name) for name in names]
    X = np.concatenate(
        [
            ground.inputs.rows(preprocess(one, ground.inputs.config.preprocess)).X[:, columns]
            for one in (real, made)
        ]
    )
    is_made = np.arange(len(X)) >= len(real)
    owner = np.concatenate([real.object_id, made.object_id])
    found, gains = [], np.zeros(len(names))
    for k in range(N_CHECKS):
        fold = (hash_fraction(owner, f"check-{k}") * N_FOLDS).astype(np.int64)
        score = np.empty(len(X))
        for part in range(N_FOLDS):
            rows = TrainingRows(
                X[fold != part], np.where(is_made, "KN", "AGN")[fold != part]
            )  # any two labels
            model = LightGBMBooster(SEPARATOR).fit(rows, seed=k)
            score[fold == part] = model.predict_proba(X[fold == part])[:, model.classes.index("KN")]
        found.append(roc_auc(is_made, score))
    for j in range(len(names)):
        known = np.isfinite(X[:, j])
        if known.sum() > 20 and 0 < is_made[known].sum() < known.sum():
            gains[j] = abs(roc_auc(is_made[known], X[known, j].astype(np.float64)) - 0.5)
    worst = np.argsort(-gains)[:6]
    return {
        "auc": round(float(np.mean(found)), 3),
        "std": round(float(np.std(found)), 3),
        "most different": {
            names[j]: [round(float(np.nanmedian(X[rows, j])), 3) for rows in (~is_made, is_made)]
            for j in worst
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of curves.parquet and objects.parquet"
    )
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--check", action="store_true", help="real against made objects alone")
    parser.add_argument(
        "--one-seed", nargs="*", default=[], help="variants trained with the first seed alone"
    )
    parser.add_argument("--final", nargs="*", help="variants to score on the testing half, too")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    if args.check:
        found = check(Ground.of(args.cache, args.data, args.seeds[0]), args.data)
        (args.cache / "check.json").write_text(json.dumps(found, indent=1))
        return
    grounds = [Ground.of(args.cache, args.data, seed) for seed in args.seeds]
    table: dict[str, Any] = {
        "protocol": " ".join((__doc__ or "").split("Protocol: ")[1].split()),
        "seeds": args.seeds,
        "choosing": table_of(grounds, args.variants, "choosing"),
    }
    if args.one_seed:
        table["choosing, first seed"] = table_of(grounds[:1], ["control", *args.one_seed], "choosing")
    if args.final:
        table["testing"] = table_of(grounds, ["control", *args.final], "testing")
    if (args.cache / "check.json").exists():
        table["check"] = json.loads((args.cache / "check.json").read_text())
    what = "made objects of rare classes in the training set of `default` (studies/made_classes.py)"
    args.out.write_text(json.dumps(result(what, "numpy", "lightgbm", **table), indent=1) + "\n")


if __name__ == "__main__":
    main()
