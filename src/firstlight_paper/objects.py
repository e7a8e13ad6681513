"""The paper's sixteen classes: thirteen real ones of PLAsTiCC, three simulated, dealt into folds."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firstlight.data import load_plasticc
from firstlight.data.sample import MIN_OBJECTS
from firstlight.lightcurves import LightCurves
from firstlight.simulate import SimulateConfig, simulate_classes
from firstlight.splits import Fold, stratified_folds
from firstlight.taxonomy import CLASSES
from firstlight_paper.scale import Scale

#: Classes that the paper has and PLAsTiCC's training set lacks.
SIMULATED_CLASSES = ("CaRT", "ILOT", "PISN")

#: The paper's sixteen classes, in the order of the taxonomy.
PAPER_CLASSES = tuple(name for name in CLASSES if name != "KN")

#: Their columns among those of all classes.
PAPER_COLUMNS = [CLASSES.index(name) for name in PAPER_CLASSES]

#: PLAsTiCC's training set is a sample of a spectroscopic campaign; simulated
#: objects pass one like it, near those fitted to real SLSN-I and SNIa in the part ``simulated``.
FOLLOW_UP_MAG = 22.5


@dataclass(frozen=True, eq=False)
class Objects:
    """Real and simulated objects of the paper's classes, and the folds that all parts share."""

    curves: LightCurves
    labels: NDArray[np.str_]
    simulated: NDArray[np.bool_]
    folds: tuple[Fold, ...]
    truth: pa.Table

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """Changes with any light curve, label or fold."""
        state = hashlib.sha256(f"{self.curves.fingerprint}\n{','.join(self.labels)}".encode())
        for fold in self.folds:
            state.update(fold.test.tobytes())
        return state.hexdigest()

    def learn(self, k: int) -> NDArray[np.int64]:
        """Objects of fold `k` that models may learn from, the held-out tenth among them."""
        fold = self.folds[k]
        return np.sort(np.concatenate([fold.train, fold.validation]))


def make_objects(scale: Scale, seed: int, source: Path | None = None) -> Objects:
    """Load the real objects, simulate the missing classes, deal all of them into folds."""
    survey, truth = load_plasticc(source)
    return assemble(survey, truth.labels_of(survey.object_id), scale, seed)


def assemble(survey: LightCurves, labels: NDArray[np.str_], scale: Scale, seed: int) -> Objects:
    """Add the missing classes to light curves at hand and deal all into folds; see `make_objects`."""
    chosen = _chosen(labels, scale.n_real, np.random.default_rng(seed))
    real, labels = survey.take(chosen), labels[chosen]
    made = simulate_classes(
        SIMULATED_CLASSES, scale.n_simulated, survey, seed, SimulateConfig(follow_up_mag=FOLLOW_UP_MAG)
    )
    model = made.truth.column("model").to_numpy().astype(np.int64)
    group = [f"{name} model {k}" for name, k in zip(made.labels.tolist(), model.tolist(), strict=True)]
    curves = LightCurves.concatenate([real, made.curves])
    labels = np.concatenate([labels, made.labels])
    folds = stratified_folds(
        np.concatenate([real.object_id, np.array(group, dtype=np.str_)]),
        labels,
        scale.n_folds,
        rng=np.random.default_rng(seed),
        validation=0.1,
    )
    simulated = np.arange(len(curves)) >= len(real)
    return Objects(curves.with_redshift("photo"), labels, simulated, tuple(folds), made.truth)


def _chosen(labels: NDArray[np.str_], n: int | None, rng: np.random.Generator) -> NDArray[np.int64]:
    """Objects of the paper's classes, thinned alike in every class if fewer are wanted."""
    known = np.isin(labels, PAPER_CLASSES)
    share = 1.0 if n is None else min(1.0, n / known.sum())
    parts = []
    for name in PAPER_CLASSES:
        members = np.flatnonzero(labels == name)
        if len(members) >= MIN_OBJECTS:
            wanted = max(round(share * len(members)), min(10, len(members)))
            parts.append(rng.permutation(members)[:wanted])
    return np.sort(np.concatenate(parts))
