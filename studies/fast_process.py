"""Gain of preset `fast` from a Gaussian process that is kept up to date at constant cost.

``python -m studies.fast_process --crossval FOLDER --cache FOLDER`` from the top of the project makes the
rows, trains the classifiers that are missing in the cache and writes ``docs/results/fast-process.json``.
About three minutes of one core for the rows of a fold, and two to three for a classifier. ``--fold K`` and
``--variant NAME`` do one part and write nothing but the cache.

Protocol: PLAsTiCC training set, photometric redshifts, folds, encoders and copies of the cross-validation of
`fast` (``--crossval``, folder of ``firstlight crossval``). Trees and calibration are trained again with more
columns beside those of the preset: same rows, settings and seed. Fold 1 chooses, 2 and 3 are
quoted. Test objects are classified as they stood 0, 2, 8 and 32 days after the trigger, and whole. Objects
that the preset declines keep its prior. Differences are paired by fold. Costs: processor time of one core,
for the test objects of fold 1: `update` per observation, `read` per answer.
"""

from benchmarks._harness import result, take_turns

# isort: split
import argparse
import json
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from studies import fast_filter

from firstlight import LightCurves, Pipeline, load_plasticc, read_predictions, score
from firstlight._types import AnyArray, Float32Array, FloatArray, StrArray
from firstlight.classify import PhaseCalibrator, TrainingRows, make_classifier
from firstlight.experiments.fold import Sides, fold_sides
from firstlight.features import Templates
from firstlight.features.extract import read_nights
from firstlight.features.nights import MOST_POINTS, N_POINTS, advance_rows, initial_rows, write_points
from firstlight.features.registry import template_features
from firstlight.metrics import phase_name
from firstlight.online import Arrivals
from firstlight.pipeline.training import training_copies, training_objects
from firstlight.preprocess import preprocess
from firstlight.splits import stratified_folds

OUT = Path(__file__).parent.parent / "docs" / "results" / "fast-process.json"
DAYS = (0.0, 2.0, 8.0, 32.0, np.inf)
METRICS = ("accuracy", "macro_f1", "macro_auc", "log_loss")
CHOOSE, QUOTE = (1,), (2, 3)
N_FOLDS = 5
BATCH, N_ALERTS = 256, 4  # alerts per batch; alerts of an object that are timed
NEAR = 3  # redshifts of the grid of templates that a known redshift is compared with

#: Columns beside those of the preset.
VARIANTS: dict[str, tuple[str, ...]] = {
    "nothing: trained again": (),
    "process of nightly points": ("process",),
    "filter": ("evidence", "now", "peak"),
    "filter: evidence": ("evidence",),
    "filter: levels and slopes now": ("now",),
    "filter: running peak and after": ("peak",),
    "process of nightly points, filter": ("process", "evidence", "now", "peak"),
    "process of nightly points, templates at near redshifts": ("process", "templates"),
}


class Fold(NamedTuple):
    """The bundle of a fold of the cross-validation, and its objects."""

    number: int
    sides: Sides
    pipeline: Pipeline
    templates: Templates


# --- columns -------------------------------------------------------------------------------


def blocks(fold: Fold) -> dict[str, Callable[[LightCurves], Float32Array]]:
    """Columns of preprocessed light curves, by name; `filter` holds the groups of `fast_filter`."""
    return {
        "base": lambda curves: fold.pipeline.builder.rows(curves).X,
        "process": lambda curves: read_nights(nights_of(curves), curves.redshift),
        "filter": fast_filter.columns,
        "templates": lambda curves: near(fold.templates, curves_of(nights_of(curves), curves)),
    }


def nights_of(curves: LightCurves) -> FloatArray:
    """Rows of nightly points."""
    rows = initial_rows(len(curves))
    advance_rows(rows, curves)
    return rows


def curves_of(rows: FloatArray, curves: LightCurves) -> LightCurves:
    """The nightly points as light curves; the first point since the trigger is the detection."""
    offsets = np.concatenate([[0], np.cumsum(rows[:, N_POINTS].astype(np.int64))])
    n = offsets[-1]
    mjd, band, flux, err = np.empty(n), np.empty(n, np.int8), np.empty(n, np.float32), np.empty(n, np.float32)
    write_points(rows, offsets, mjd, band, flux, err)
    return curves._derive(
        offsets=offsets, mjd=mjd, band=band, flux=flux, flux_err=err,
        detected=mjd >= np.repeat(np.nan_to_num(curves.trigger_mjd, nan=np.inf), np.diff(offsets)) - 0.5,
    )  # fmt: skip


def near(templates: Templates, curves: LightCurves) -> Float32Array:
    """Template fits at the redshifts nearest to the host's; at every second of the grid where it is unknown.

    Milky Way objects have none.
    """
    grid, out = (
        templates.redshift,
        np.full((len(curves), len(template_features(templates.names))), np.nan, np.float32),
    )
    distance = abs(np.log1p(np.maximum(curves.redshift, 1e-3))[:, None] - np.log1p(grid))
    middle = np.where(
        curves.redshift > 0.0, distance.argmin(axis=1), np.where(curves.redshift == 0.0, -2, -1)
    )
    for j in np.unique(middle[middle >= -1]).tolist():
        low = min(max(j - NEAR // 2, 0), len(grid) - NEAR)
        shown = grid[::2] if j < 0 else grid[low : low + NEAR]
        own = np.flatnonzero(middle == j)
        out[own] = _at(templates, tuple(shown.tolist())).match(curves.take(own))
    return out


_made: dict[tuple[float, ...], Templates] = {}


def _at(templates: Templates, redshift: tuple[float, ...]) -> Templates:
    """The templates at some redshifts; made one time per fold."""
    if redshift not in _made or _made[redshift].surface is not templates.surface:
        _made[redshift] = replace(templates, redshift=np.array(redshift))
    return _made[redshift]


def place(names: Sequence[str], widths: dict[str, int]) -> AnyArray:
    """Positions of some groups' columns in a row of all blocks."""
    at, found = 0, {}
    for name, width in widths.items():
        found[name] = np.arange(at, at + width)
        if name == "filter":
            start = at
            for group, size in fast_filter.GROUPS.items():
                found[group] = np.arange(start, start + size)
                start += size
        at += width
    return np.concatenate([found[name] for name in names])


# --- rows ----------------------------------------------------------------------------------


def open_fold(number: int, crossval: Path) -> Fold:
    """One fold with its objects and trained pipeline."""
    pipeline = Pipeline.load(crossval / f"fold-{number}" / "bundle")
    curves, truth = load_plasticc()
    labels = truth.labels_of(curves.object_id)
    folds = stratified_folds(
        curves.object_id, labels, N_FOLDS, rng=np.random.default_rng(0),
        validation=pipeline.config.copies.validation_fraction,
    )  # fmt: skip
    sides = fold_sides(curves, labels, folds[number - 1])
    objects = training_objects(sides.training, sides.labels, pipeline.config, held_out=sides.held_out)
    learnt, names = objects.part(held_out=False)
    templates = Templates.fit(preprocess(learnt, pipeline.config.preprocess), names)
    return Fold(number, sides, pipeline, templates)


def make_rows(fold: Fold, path: Path, names: Sequence[str]) -> None:
    """Write the rows of training, held-out and test objects with the blocks that some groups are in."""
    config, rng = fold.pipeline.config, np.random.default_rng(0)
    objects = training_objects(fold.sides.training, fold.sides.labels, config, held_out=fold.sides.held_out)
    kept: dict[str, Any] = {}
    needed = {"base", *("filter" if name in fast_filter.GROUPS else name for name in names)}
    made = {name: function for name, function in blocks(fold).items() if name in needed}
    seconds = dict.fromkeys(made, 0.0)
    parts = {}
    for held_out, name in ((False, "train"), (True, "held")):
        copies = training_copies(*objects.part(held_out), config, rng)
        parts[name] = copies.curves
        kept |= {f"{name}_labels": copies.labels, f"{name}_weight": copies.weight}
    test = fold.sides.test.with_redshift("photo")
    for days in DAYS:
        parts[f"test_{phase_name(days)}"] = preprocess(test.upto_phase(days), config.preprocess)
    for name, curves in parts.items():
        own = []
        for block, function in made.items():
            start = time.process_time()
            chunks = [
                curves.take(np.arange(k, min(k + 512, len(curves)))) for k in range(0, len(curves), 512)
            ]
            own.append(np.concatenate([function(chunk) for chunk in chunks]))
            seconds[block] += time.process_time() - start
            kept[f"width_{block}"] = own[-1].shape[1]
        kept[f"{name}_X"] = np.hstack(own)
        kept |= {
            f"{name}_redshift": curves.redshift,
            f"{name}_id": curves.object_id,
            f"{name}_phase": curves.last_phase,
        }
        say(fold.number, name, {block: round(spent, 1) for block, spent in seconds.items()})
    np.savez(path, **kept)


# --- classifiers ---------------------------------------------------------------------------


def train(fold: int, rows: Any, names: Sequence[str], config: Any) -> dict[str, FloatArray]:
    """Classes, and probabilities of the test objects at each phase, by trees on some groups of columns."""
    widths = {
        name.removeprefix("width_"): int(rows[name]) for name in rows.files if name.startswith("width_")
    }
    where = place(("base", *names), widths)

    def part(name: str) -> TrainingRows:
        return TrainingRows(
            np.ascontiguousarray(rows[f"{name}_X"][:, where]), rows[f"{name}_labels"],
            rows[f"{name}_redshift"], rows[f"{name}_weight"], rows[f"{name}_id"],
        )  # fmt: skip

    start = time.process_time()
    held = part("held")
    model = make_classifier(config.classifier).fit(part("train"), held, seed=0, jobs=1)
    proba = model.predict_proba(held.X, redshift=held.redshift)
    calibrator = PhaseCalibrator(config.calibration).fit(
        proba, held.labels, model.classes, rows["held_phase"], groups=held.object_id, seed=0
    )
    out: dict[str, Any] = {"classes": np.array(model.classes)}
    for days in DAYS:
        name = f"test_{phase_name(days)}"
        X = np.ascontiguousarray(rows[f"{name}_X"][:, where])
        raw = model.predict_proba(X, redshift=rows[f"{name}_redshift"])
        out[name] = calibrator.transform(raw, rows[f"{name}_phase"])
    out["seconds"] = time.process_time() - start
    out["columns"] = len(where)
    return out


# --- scores --------------------------------------------------------------------------------


def scores_of(fold: int, path: Path | None, crossval: Path, labels_of: Callable[[StrArray], StrArray]) -> Any:
    """Metrics of a fold at each phase: of a trained variant, or of the preset where `path` is None."""
    found = {}
    for days in DAYS:
        preset = read_predictions(crossval / f"fold-{fold}" / f"phase-{phase_name(days)}.parquet")
        proba = preset.proba
        if path is not None:
            with np.load(path) as file:
                own = np.zeros_like(proba)
                own[:, [preset.classes.index(str(name)) for name in file["classes"]]] = file[
                    f"test_{phase_name(days)}"
                ]
            proba = np.where(preset.is_classified[:, None], own, proba)
        value = score(labels_of(preset.object_id), proba, preset.classes, preset.is_classified)
        found[phase_name(days)] = {metric: value[metric] for metric in METRICS}
    return found


def summary(own: Sequence[Any], base: Sequence[Any]) -> Any:
    """Mean scores and paired differences to the preset, with their standard error over the folds."""
    table: dict[str, Any] = {}
    for view in own[0]:
        table[view] = {}
        for metric in METRICS:
            value = np.array([one[view][metric] for one in own])
            change = value - np.array([one[view][metric] for one in base])
            error = change.std(ddof=1) / np.sqrt(len(change)) if len(change) > 1 else None
            table[view][metric] = {
                "mean": round(float(value.mean()), 4),
                "change": round(float(change.mean()), 4),
                "error": None if error is None else round(float(error), 4),
            }
    return table


def costs(crossval: Path) -> dict[str, Any]:
    """Processor time of an observation and of an answer [us], by phase and at random detections (`any`)."""
    fold = open_fold(1, crossval)
    test = fold.sides.test.with_redshift("photo")
    found: dict[str, Any] = {}
    views = {phase_name(days): test.upto_phase(days) for days in (8.0, 32.0, np.inf)}
    at = np.random.default_rng(0).choice(np.flatnonzero(test.detected), 4 * BATCH)
    at = at[np.unique(test.object_index[at], return_index=True)[1]]  # an object is in a batch one time
    views["any"] = test.take(test.object_index[at]).upto_mjd(test.mjd[at])
    for view, shown in views.items():
        curves = preprocess(shown, fold.pipeline.config.preprocess)
        rows = nights_of(curves)
        calls: dict[str, tuple[Callable[[], object], int]] = {
            "update": (lambda curves=curves: nights_of(curves), len(curves.mjd)),
            "read": (lambda rows=rows, curves=curves: read_nights(rows, curves.redshift), len(curves)),
            "templates, near redshifts": (
                lambda rows=rows, curves=curves: near(fold.templates, curves_of(rows, curves)),
                len(curves),
            ),
            "filter, update": (lambda curves=curves: fast_filter.columns(curves), len(curves.mjd)),
        }
        times = take_turns({name: call for name, (call, _) in calls.items()}, 3)
        found[view] = {"points": round(float(rows[:, N_POINTS].mean()), 1)} | {
            name: round(1e6 * times[name].median_cpu / n, 2) for name, (_, n) in calls.items()
        }
        found[view]["alert"] = alert_costs(fold, shown)
    return found


def alert_costs(fold: Fold, curves: LightCurves) -> dict[str, float]:
    """Processor time of an alert in `Pipeline.update`, batches of 256 [us], without and with the process.

    Trees are those of the preset: they do not read the columns of the process, which are made all the same.
    """
    more = copy(fold.pipeline)
    more.config = replace(more.config, inputs=(*more.config.inputs, "gaussian_process"))
    assert more._inputs is not None
    more._inputs, n_own = replace(more._inputs, config=more.config), len(fold.pipeline.input_names)
    score_rows = more._score
    more._score = (
        lambda inputs, *others: score_rows(  # type: ignore[method-assign]
            inputs._replace(X=np.ascontiguousarray(inputs.X[:, :n_own])), *others
        )
    )
    curves = curves.take(np.flatnonzero(curves.n_obs > 2 * N_ALERTS)[: 4 * BATCH])
    left = np.repeat(curves.offsets[1:], curves.n_obs) - np.arange(len(curves.mjd))
    times: dict[str, list[float]] = {"fast": [], "with the process": []}
    for start in range(0, len(curves) - BATCH + 1, BATCH):
        pipelines = dict(zip(times, (fold.pipeline, more), strict=True))
        states = {name: one.states(BATCH) for name, one in pipelines.items()}
        entries: dict[str, list[list[bytes]]] = {name: [[] for _ in range(BATCH)] for name in times}
        for k in range(N_ALERTS, -1, -1):
            new = left > k if k == N_ALERTS else left == k + 1
            part = curves.keep(new).take(np.arange(start, start + BATCH))
            arrivals = Arrivals.from_curves(part, np.full(BATCH, N_ALERTS - k))
            for name, one in pipelines.items():
                begin = time.process_time()
                done = one.update(
                    states[name], arrivals, lambda index, own=entries[name]: [own[i] for i in index]
                )
                if k < N_ALERTS:
                    times[name].append(1e6 * (time.process_time() - begin) / BATCH)
                states[name] = done.states
                entries[name] = [
                    [*old, entry] for old, entry in zip(entries[name], done.entries, strict=True)
                ]
    return {name: round(float(np.median(own)), 1) for name, own in times.items()}


def write(crossval: Path, cache: Path) -> None:
    """Write the result file from the cache."""
    _, truth = load_plasticc()
    table: dict[str, Any] = {}
    for name in VARIANTS:
        table[name] = {}
        for words, folds in (("chosen on", CHOOSE), ("quoted", QUOTE)):
            done = [k for k in folds if file_of(cache, k, name).exists()]
            if done:
                own = [scores_of(k, file_of(cache, k, name), crossval, truth.labels_of) for k in done]
                base = [scores_of(k, None, crossval, truth.labels_of) for k in done]
                table[name][words] = {"folds": done, "phases": summary(own, base)}
    table = {name: one for name, one in table.items() if one}
    with np.load(cache / "rows-1.npz") as file:
        widths = {name[6:]: int(file[name]) for name in file.files if name.startswith("width_")}
    answer = result("what `fast` gains from more columns of constant cost; see studies/fast_process.py") | {
        "protocol": " ".join(__doc__.split("Protocol: ")[1].split()),
        "most_points": MOST_POINTS,
        "columns": widths,
        "us": costs(crossval),
        "variants": table,
    }
    OUT.write_text(json.dumps(answer, indent=1) + "\n")


def file_of(cache: Path, fold: int, name: str) -> Path:
    """File of one trained variant."""
    return cache / f"fold-{fold}-{name.replace(' ', '-').replace(':', '').replace(',', '')}.npz"


def say(*words: object) -> None:
    """Print at once, with the time."""
    print(time.strftime("%H:%M:%S"), *words, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--crossval", type=Path, required=True, help="folder of the cross-validation of `fast`"
    )
    parser.add_argument("--cache", type=Path, required=True, help="folder of rows and probabilities")
    parser.add_argument("--fold", type=int, action="append", help="folds to run; default: 1, 2 and 3")
    parser.add_argument("--variant", action="append", choices=tuple(VARIANTS), help="default: all")
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    chosen = args.variant or tuple(VARIANTS)
    for k in args.fold or (*CHOOSE, *QUOTE):
        fold = None
        if not (args.cache / f"rows-{k}.npz").exists():
            fold = open_fold(k, args.crossval)
            make_rows(
                fold, args.cache / f"rows-{k}.npz", [group for name in chosen for group in VARIANTS[name]]
            )
        config = Pipeline.load(args.crossval / f"fold-{k}" / "bundle").config
        with np.load(args.cache / f"rows-{k}.npz") as rows:
            for name in chosen:
                path = file_of(args.cache, k, name)
                if not path.exists():
                    found = train(k, rows, VARIANTS[name], config)
                    np.savez(path, **found)
                    say(k, name, f"{float(found['seconds']):.0f} s of one core")
    if not (args.fold or args.variant):
        write(args.crossval, args.cache)


if __name__ == "__main__":
    main()
