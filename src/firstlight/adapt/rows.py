"""Rows that an adapted bundle learns from: training objects as its survey sees them, and labelled objects."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from firstlight._types import AnyArray, BoolArray, IntArray, Progress, StrArray, no_progress
from firstlight._version import __version__
from firstlight.classify import TrainingRows, object_weights
from firstlight.encoder import Latents
from firstlight.errors import BundleError
from firstlight.files import replacing, source_digest
from firstlight.lightcurves import LightCurves
from firstlight.pipeline.config import CopiesConfig
from firstlight.pipeline.inputs import InputBuilder, in_chunks
from firstlight.pipeline.training import CopyRows, TrainingCopies, training_copies
from firstlight.settings import to_table
from firstlight.storage import read_arrays, write_arrays
from firstlight.surveys import load_survey

_STATED_ERROR = 0.031  # of a redshift over 1 + z, up to which it counts as spectroscopic in copies
PLAIN = -1  # stands for the survey of a copy that keeps its own observations
_MOST_CACHED = 4  # files of rows that the cache keeps, of some 80 MB each
_ROOMS = ("adapt", "encoder", "features", "lightcurves", "pipeline", "preprocess", "reobserve", "simulate")


class Seen(NamedTuple):
    """A survey that re-observes, by name or path, and how often relative to the others."""

    survey: str
    weight: float
    hidden: float = 0.25  # share of the copies without a redshift
    spectroscopic: float | None = None  # share of the copies with a spectroscopic one; None as in the bundle


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """Copies of some objects as rows."""

    made: CopyRows
    survey: IntArray  # (n_rows,); position of the survey that re-observed, `PLAIN` where none did
    whole: BoolArray  # (n_rows,); the whole light curve as observed, one row per object, in order
    object: IntArray  # (n_rows,); position of the object

    def take(self, keep: BoolArray) -> "Copies":
        """Rows where a mask is true."""
        made = self.made
        latents = type(made.latents)(*(part[keep] for part in made.latents))
        rows = CopyRows(made.rows.take(keep), latents, made.phase[keep], made.described[keep])
        return Copies(rows, self.survey[keep], self.whole[keep], self.object[keep])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CopyTask:
    """Raw objects, and how to copy them."""

    curves: LightCurves
    labels: StrArray  # (n_objects,)
    builder: InputBuilder
    copies: CopiesConfig
    pool: Sequence[Seen]  # surveys that re-observe, one drawn for each copy
    galactic: frozenset[str]  # classes in the Milky Way
    seed: int
    jobs: int | None = None  # threads; by default one per core
    progress: Progress = no_progress
    stage: str = "rows"  # its name in the progress


def redshift_shares(curves: LightCurves) -> tuple[float, float]:
    """Share of copies without a redshift, and of those with a spectroscopic one."""
    known = curves.redshift > 0.0
    unknown = float(np.isnan(curves.redshift).mean())
    if not known.any():
        return float(np.clip(unknown, 0.1, 0.9)), 0.5
    exact = curves.redshift_err[known] <= _STATED_ERROR * (1.0 + curves.redshift[known])
    return float(np.clip(unknown, 0.1, 0.9)), float(exact.mean())


def make_copies(task: CopyTask) -> Copies:
    """Copies of raw objects, each re-observed as a survey of the pool drawn for it."""
    curves, labels, builder, copies, pool = task.curves, task.labels, task.builder, task.copies, task.pool
    rng = np.random.default_rng(task.seed)
    n = len(curves)
    plain = training_copies(
        curves, labels, replace(builder.config, copies=replace(copies, reobserved=0)), rng
    )
    n_plain = len(plain.labels) // n
    parts, weights = [plain.curves], np.ones(n_plain)
    weights[0] = copies.whole_weight
    weight, owner = [np.repeat(weights, n)], [np.tile(np.arange(n), n_plain)]
    survey = [np.full(len(plain.labels), PLAIN)]
    share = np.array([one.weight for one in pool])
    for _ in range(copies.reobserved):
        drawn = rng.choice(len(pool), n, p=share / share.sum())
        for k, one in enumerate(pool):
            chosen = np.flatnonzero(drawn == k)
            if len(chosen):
                parts.append(_seen_by(curves.take(chosen), labels[chosen], builder, copies, one, rng))
                weight.append(np.ones(len(chosen)))
                owner.append(chosen)
                survey.append(np.full(len(chosen), k))
    joined = LightCurves.concatenate(parts, check=False)
    index = np.concatenate(owner)
    made = in_chunks(builder.rows, joined, task.jobs, lambda done: task.progress(task.stage, done))
    shared = object_weights(joined.object_id, np.concatenate(weight))
    rows = TrainingRows(made.X, labels[index], joined.redshift, shared, joined.object_id, task.galactic)
    return Copies(
        CopyRows(rows, made.latents, joined.last_phase, made.described),
        np.concatenate(survey),
        np.arange(len(index)) < n,
        index,
    )


def _seen_by(
    curves: LightCurves,
    labels: StrArray,
    builder: InputBuilder,
    copies: CopiesConfig,
    seen: Seen,
    rng: np.random.Generator,
) -> LightCurves:
    """One copy of each object as a survey sees it."""
    only = replace(copies, truncations=0, augmented=0, reobserved=1, hidden_redshift=seen.hidden)
    settings = replace(builder.config.reobserve, surveys={seen.survey: 1.0})
    if seen.spectroscopic is not None:
        settings = replace(settings, spectroscopic=seen.spectroscopic)
    made: TrainingCopies = training_copies(
        curves, labels, replace(builder.config, copies=only, reobserve=settings), rng
    )
    n = len(curves)
    return made.curves.take(np.arange(n, 2 * n))  # after the whole ones


def cached_copies(task: CopyTask, folder: Path, bundle_version: str) -> Copies:
    """`make_copies`, kept in a folder: the same bundle, survey and objects need no second pass."""
    parts = [
        __version__,
        bundle_version,
        task.curves.fingerprint,
        source_digest(_ROOMS),
        json.dumps(to_table(task.copies), sort_keys=True),
        *(json.dumps([to_table(load_survey(one.survey)) | {"name": ""}, *one[1:]]) for one in task.pool),
        str(task.seed),
    ]
    path = folder / f"{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:20]}.safetensors"
    found = _read(path, task)
    if found is not None:
        task.progress(task.stage, 1.0)
        return found
    made = make_copies(task)
    with replacing(path) as partial:
        write_arrays(partial, _arrays(made))
    for old in sorted(folder.glob("*.safetensors"), key=lambda one: one.stat().st_mtime)[:-_MOST_CACHED]:
        old.unlink(missing_ok=True)
    return made


def _arrays(copies: Copies) -> dict[str, AnyArray]:
    made, rows = copies.made, copies.made.rows
    return {
        "X": rows.X,
        "mean": made.latents.mean,
        "log_var": made.latents.log_var,
        "recon_error": made.latents.recon_error,
        "described": made.described,
        "redshift": rows.redshift,
        "weight": rows.weight,
        "phase": made.phase,
        "survey": copies.survey,
        "whole": copies.whole.astype(np.int64),
        "object": copies.object,
    }


def _read(path: Path, task: CopyTask) -> Copies | None:
    if not path.exists():
        return None
    try:
        found = read_arrays(path)
    except BundleError:
        return None
    index = found["object"]
    rows = TrainingRows(
        found["X"],
        task.labels[index],
        found["redshift"],
        found["weight"],
        task.curves.object_id[index],
        task.galactic,
    )
    latents = Latents(found["mean"], found["log_var"], found["recon_error"])
    return Copies(
        CopyRows(rows, latents, found["phase"], found["described"]),
        found["survey"],
        found["whole"].astype(np.bool_),
        index,
    )
