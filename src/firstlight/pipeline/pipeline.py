"""`Pipeline`: light curves in, calibrated class probabilities out; fit, predict, save, load.

It joins the stages and owns none of their science: preprocess -> encoder -> latents,
beside features -> classifier -> calibration -> verdict. Everything learnt is learnt in
`Pipeline.fit` from the objects it is given; `Pipeline.predict` has no state.
"""

import csv
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from firstlight._types import Progress, no_progress
from firstlight.anomaly import AnomalyScorer, Evidence
from firstlight.classify import (
    CLASSIFIERS,
    Classifier,
    PhaseCalibrator,
    load_classifier,
    to_all_classes,
    verdict,
)
from firstlight.encoder import Encoder, Latents, train_encoder
from firstlight.encoder.contrast import CONTRAST_NAMES, contrasts
from firstlight.encoder.steps import CONTEXT_NAMES, make_steps
from firstlight.errors import BundleError, NotFittedError
from firstlight.features import Templates, extract
from firstlight.lightcurves import LightCurves, RedshiftMode
from firstlight.online import Arrivals, Logs, ObjectStates, Parts, Update, update
from firstlight.pipeline.bundle import find_bundle, open_bundle, write_bundle
from firstlight.pipeline.config import PipelineConfig, load_preset
from firstlight.pipeline.training import (
    class_frequencies,
    last_phase,
    make_copies,
    training_info,
    usable_objects,
)
from firstlight.predictions import Predictions
from firstlight.preprocess import preprocess
from firstlight.settings import from_table, to_table
from firstlight.splits import check_columns, hash_fraction, validation_part
from firstlight.taxonomy import CLASSES

__all__ = ["Pipeline"]


BUNDLE_KIND = "firstlight-pipeline"
CHUNK = 512  # objects a thread takes at a time: enough to amortise calls, few enough to balance
SEEN_FILE = "training_objects.safetensors"
_SEEN_SALT = "trained"


class _Saves(Protocol):
    """A trained part that writes itself into an existing folder."""

    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class _Rows:
    """Objects as the classifier's rows, and what the encoder says of them."""

    X: NDArray[np.float32]
    latents: Latents
    labels: NDArray[np.str_]
    object_id: NDArray[np.str_]
    weight: NDArray[np.float64]
    phase: NDArray[np.float64]
    redshift: NDArray[np.float32]


class Pipeline:
    """Classify light curves: preprocessing, encoder, features, boosted trees, calibration.

    Parameters
    ----------
    config : PipelineConfig, optional
        Settings; by default those of the preset ``default``.

    Examples
    --------
    >>> pipeline = Pipeline(load_preset("seed"))
    >>> pipeline.config.inputs
    ('latent',)
    """

    def __init__(self, config: PipelineConfig | None = None) -> None:
        self.config = load_preset("default") if config is None else config
        self.info: dict[str, Any] = {}
        self.bundle_version = "unsaved"
        self._encoder: Encoder | None = None
        self._templates: Templates | None = None
        self._classifier: Classifier | None = None
        self._calibrator = PhaseCalibrator()
        self._anomaly: AnomalyScorer | None = None
        self._prior = np.zeros(len(CLASSES))
        self._seen = np.empty(0)

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that the pipeline was trained on, in taxonomy order."""
        return self._fitted().classes

    @property
    def input_names(self) -> tuple[str, ...]:
        """Name of each column that the classifier reads."""
        n_latents = self.config.encoder.vae.latent
        names: list[str] = []
        if "latent" in self.config.inputs:
            names += [f"latent_{k + 1}" for k in range(n_latents)]
        if "latent_scatter" in self.config.inputs:
            names += [f"latent_log_var_{k + 1}" for k in range(n_latents)]
        if "summary" in self.config.inputs:
            names += CONTEXT_NAMES + CONTRAST_NAMES
        if "features" in self.config.inputs:
            names += extract(LightCurves.empty(), self.config.features, self._templates).names
        return tuple(names)

    @property
    def history(self) -> tuple[dict[str, float], ...]:
        """The encoder's training, a row an epoch."""
        return self._trained_encoder().history

    # --- fit -------------------------------------------------------------------

    def fit(
        self,
        curves: LightCurves,
        labels: NDArray[np.str_],
        *,
        redshift: RedshiftMode = "photo",
        seed: int = 0,
        held_out: NDArray[np.bool_] | None = None,
        jobs: int | None = None,
        workdir: Path | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Train every stage on the given objects.

        Parameters
        ----------
        curves : LightCurves
            Training objects; a part of them is kept for early stopping and calibration.
        labels : str array, shape (n_objects,)
            Class of each object; objects of classes that firstlight does not know, and of
            classes with fewer than three objects, are left out and counted in `info`.
        redshift : {"photo", "spec", "none"}
            Which host redshift to train with.
        seed : int
            Seed of every random choice.
        held_out : bool array, shape (n_objects,), optional
            Which objects to keep for early stopping and calibration; by default a part
            of each class, chosen by a hash of the name.
        jobs : int, optional
            Threads; by default one a core.
        workdir : Path, optional
            Where checkpoints go; a killed training resumes from them.
        progress : callable, optional
            Called with a stage's name and the fraction of it that is done.

        Returns
        -------
        Pipeline
            Itself.

        Raises
        ------
        DataError
            If lengths disagree or fewer than two classes remain.
        """
        report = progress or no_progress
        rng = np.random.default_rng(seed)
        labels = np.asarray(labels, dtype=np.str_)
        usable, dropped = usable_objects(curves, labels)
        if held_out is None:
            held_out = validation_part(curves.object_id, labels, self.config.copies.validation_fraction)
        curves, labels, held_out = curves.take(usable), labels[usable], held_out[usable]
        curves = curves.with_redshift(redshift)
        training, validation = curves.take(~held_out), curves.take(held_out)
        clean = preprocess(training, self.config.preprocess)
        folder = None if workdir is None else workdir / "encoder"
        self._encoder = train_encoder(
            clean, preprocess(validation, self.config.preprocess), self.config.encoder, seed, folder, report
        )
        if self._wants_templates:
            report("templates", 0.0)
            self._templates = Templates.fit(clean, labels[~held_out], self.config.features, rng)
            report("templates", 1.0)
        check_columns(self.input_names)
        rows = self._rows(training, labels[~held_out], rng, jobs, report, "training rows")
        check = self._rows(validation, labels[held_out], rng, jobs, report, "validation rows")
        self._fit_classifier(rows, check, seed, jobs, report)
        self._prior = class_frequencies(labels, self.classes)
        self._seen = np.sort(hash_fraction(curves.object_id, _SEEN_SALT))
        self.info = training_info(self.config, curves, labels, held_out, dropped, redshift, seed)
        return self

    @property
    def _wants_templates(self) -> bool:
        return self.config.templates and "features" in self.config.inputs

    def _rows(
        self,
        curves: LightCurves,
        labels: NDArray[np.str_],
        rng: np.random.Generator,
        jobs: int | None,
        report: Progress,
        stage: str,
    ) -> _Rows:
        """Copies of every object as rows."""
        copies = make_copies(curves, labels, self.config, rng)

        def read(part: LightCurves) -> NDArray[np.float32]:
            X, latents = self._matrix(part)
            return np.hstack([X, latents.mean, latents.log_var, latents.recon_error[:, None]])

        table = _in_chunks(read, copies.curves, jobs, lambda done: report(stage, done))
        n = self.config.encoder.vae.latent
        return _Rows(
            X=np.ascontiguousarray(table[:, : -2 * n - 1]),
            latents=Latents(table[:, -2 * n - 1 : -n - 1], table[:, -n - 1 : -1], table[:, -1]),
            labels=copies.labels,
            object_id=copies.curves.object_id,
            weight=copies.weight,
            phase=last_phase(copies.curves),
            redshift=copies.curves.redshift,
        )

    def _fit_classifier(
        self, rows: _Rows, check: _Rows, seed: int, jobs: int | None, report: Progress
    ) -> None:
        classifier = CLASSIFIERS[self.config.classifier.kind](self.config.classifier)
        self._classifier = classifier.fit(
            rows.X,
            rows.labels,
            redshift=rows.redshift,
            sample_weight=rows.weight,
            groups=rows.object_id,
            validation=(check.X, check.labels, check.redshift, check.weight, check.object_id),
            seed=seed,
            jobs=_jobs(jobs),
            progress=report,
        )
        proba = self._classifier.predict_proba(check.X, redshift=check.redshift)
        self._calibrator = PhaseCalibrator(self.config.calibration).fit(
            proba, check.labels, self.classes, check.phase, groups=check.object_id, seed=seed
        )
        calibrated = self._calibrator.transform(proba, check.phase)
        self._anomaly = AnomalyScorer(self.config.anomaly).fit(
            rows.X,
            rows.labels,
            check.X,
            evidence=_evidence(rows.latents),
            validation=_evidence(check.latents, calibrated),
            phase=check.phase,
            names=self.input_names,
            seed=seed,
        )
        report("calibration", 1.0)

    # --- predict ----------------------------------------------------------------

    def predict(
        self, curves: LightCurves, *, jobs: int | None = None, progress: Progress | None = None
    ) -> Predictions:
        """Classify every object from the observations given.

        Parameters
        ----------
        curves : LightCurves
            Objects, raw or dereddened as their source says. Their ``redshift`` column is
            used where it is known, unless the pipeline was trained without redshifts.
        jobs : int, optional
            Threads; by default one a core.
        progress : callable, optional
            Called with a stage's name and the fraction of it that is done.

        Returns
        -------
        Predictions
            One row an object, in order: status, class, calibrated probabilities of all
            classes of the taxonomy, anomaly score in [0, 1] (higher = stranger).

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        """
        self._fitted()
        report = progress or no_progress
        if self.info.get("redshift") == "none":  # trained blind: a stated redshift would mislead it
            curves = curves.with_redshift("none")
        ready = preprocess(curves, self.config.preprocess)
        status, reason = verdict(ready, self.config.verdict)
        phase = last_phase(ready)

        def classify(part: LightCurves) -> NDArray[np.float64]:
            return self._classify(*self._matrix(part), part.redshift, last_phase(part))

        table = _in_chunks(classify, ready, jobs, lambda done: report("classify", done))
        proba, strange = table[:, :-1], table[:, -1]
        unsure = status != "classified"
        proba[unsure] = self._prior
        label = np.where(unsure, "", np.array(CLASSES)[proba.argmax(axis=1)])
        return Predictions(
            object_id=curves.object_id,
            status=status,
            reason=reason,
            label=label,
            proba=proba,
            anomaly=np.where(unsure, np.nan, strange),
            n_obs=curves.n_obs,
            phase=phase,
        )

    def _classify(
        self,
        X: NDArray[np.float32],
        latents: Latents,
        redshift: NDArray[np.float32],
        phase: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Calibrated probabilities of all classes, with the anomaly score as last column."""
        classifier = self._fitted()
        if not len(X):
            return np.empty((0, len(CLASSES) + 1))
        proba = self._calibrator.transform(classifier.predict_proba(X, redshift=redshift), phase)
        strange = np.zeros(len(X))
        if self._anomaly is not None:
            strange = self._anomaly.score(X, phase, _evidence(latents, proba))
        return np.column_stack([to_all_classes(proba, classifier.classes), strange])

    # --- update -----------------------------------------------------------------

    @property
    def needs_history(self) -> bool:
        """Whether an update looks at the whole history: for features, or to clean it."""
        return "features" in self.config.inputs or self.config.preprocess.clean.method != "none"

    def states(self, rows: int | Sequence[bytes | None]) -> ObjectStates:
        """States of objects to update.

        Parameters
        ----------
        rows : int or sequence of bytes
            How many objects, nothing seen of them yet; or rows as `ObjectStates.to_bytes`
            gives them, None for an object of which nothing was seen.

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        DataError
            If a row was written with another kind of bundle.
        """
        encoder = self._trained_encoder()
        if isinstance(rows, int):
            return ObjectStates.initial(encoder, rows)
        return ObjectStates.from_bytes(encoder, rows)

    def update(
        self, states: ObjectStates, arrivals: Arrivals, logs: Logs, *, redshift: RedshiftMode = "photo"
    ) -> Update:
        """Take one alert each of many objects into their states, and classify them anew.

        An alert in order advances the encoder by one step an observation, at a cost that
        does not depend on the past, unless `needs_history`; a late, contradicting or
        repeated one is sorted out with the object's log. The answer is that of `predict` on
        all observations known by then, to the last bit.

        Parameters
        ----------
        states : ObjectStates
            From `states`, or of the update before; left unchanged.
        arrivals : Arrivals
            What the alerts carry; each object at most once.
        logs : callable
            Given positions, the logs of those objects: all entries that their updates gave,
            oldest first.
        redshift : {"photo", "spec", "none"}
            Which host redshift the classifier sees.

        Returns
        -------
        Update
            New states, predictions, and an entry for each object's log.

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        DataError
            If the numbers of objects differ, dereddened fluxes meet raw ones, or a log is
            damaged.
        """
        parts = Parts(
            encoder=self._trained_encoder(),
            preprocess=self.config.preprocess,
            verdict=self.config.verdict,
            needs_history=self.needs_history,
            classify=lambda latents, context, curves, phase: self._classify(
                self._inputs(latents, context, curves), latents, curves.redshift, phase
            ),
            prior=self._prior,
        )
        blind = self.info.get("redshift") == "none"
        return update(parts, states, arrivals, logs, "none" if blind else redshift)

    def _trained_encoder(self) -> Encoder:
        if self._encoder is None:
            raise _not_trained()
        return self._encoder

    def predict_proba(self, curves: LightCurves, *, jobs: int | None = None) -> NDArray[np.float64]:
        """Calibrated probabilities alone, shape (n_objects, 17), columns `firstlight.taxonomy.CLASSES`.

        Objects with too little data have the prior; `predict` says which they are.

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        """
        return self.predict(curves, jobs=jobs).proba

    def trained_on(self, object_id: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Which objects this pipeline has seen in training: scores on them are not honest.

        A bundle remembers hashes of the names, not the names.
        """
        return np.isin(hash_fraction(object_id, _SEEN_SALT), self._seen)

    def latents(self, curves: LightCurves) -> NDArray[np.float32]:
        """Latent means of every object, shape (n_objects, n_latents)."""
        return self._trained_encoder().encode(preprocess(curves, self.config.preprocess)).mean

    def inputs(self, curves: LightCurves) -> NDArray[np.float32]:
        """What the classifier reads of every object, shape (n_objects, n_inputs).

        Columns are `input_names`; a feature that the observations do not give is NaN.

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        """
        self._fitted()
        if self.info.get("redshift") == "none":
            curves = curves.with_redshift("none")
        return self._matrix(preprocess(curves, self.config.preprocess))[0]

    def _matrix(self, curves: LightCurves) -> tuple[NDArray[np.float32], Latents]:
        """The classifier's input of preprocessed light curves, shape (n_objects, n_inputs)."""
        steps = make_steps(curves, self.config.encoder.steps)
        latents = self._trained_encoder().encode_steps(steps)
        return self._inputs(latents, steps.context(), curves), latents

    def _inputs(
        self, latents: Latents, context: NDArray[np.float32], curves: LightCurves
    ) -> NDArray[np.float32]:
        """The classifier's columns; what is not among its inputs is not computed."""
        parts = []
        if "latent" in self.config.inputs:
            parts.append(latents.mean)
        if "latent_scatter" in self.config.inputs:
            parts.append(latents.log_var)
        if "summary" in self.config.inputs:
            parts += [context, contrasts(context)]
        if "features" in self.config.inputs:
            parts.append(extract(curves, self.config.features, self._templates).values)
        return np.hstack(parts).astype(np.float32, copy=False)

    def _fitted(self) -> Classifier:
        if self._classifier is None:
            raise _not_trained()
        return self._classifier

    # --- save and load -----------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the trained pipeline as a bundle: no pickle, every file with its sha256.

        Raises
        ------
        NotFittedError
            If there is nothing to save.
        BundleError
            If `folder` exists and is not a bundle.
        """
        self._fitted()
        write_bundle(Path(folder), BUNDLE_KIND, self.info, self._write)

    def _write(self, folder: Path) -> None:
        assert self._encoder is not None
        assert self._classifier is not None
        state = {"config": to_table(self.config), "prior": self._prior.tolist()}
        (folder / "pipeline.json").write_text(json.dumps(state, indent=1))
        save_file({"hash": self._seen}, folder / SEEN_FILE)
        _write_history(folder, self.history)
        parts: dict[str, _Saves | None] = {
            "encoder": self._encoder,
            "classifier": self._classifier,
            "calibrator": self._calibrator,
            "templates": self._templates,
            "anomaly": self._anomaly,
        }
        for name, part in parts.items():
            if part is not None:
                (folder / name).mkdir()
                part.save(folder / name)

    @classmethod
    def load(cls, folder: str | Path | None = None) -> Self:
        """Read a bundle; its checksums are verified first.

        Parameters
        ----------
        folder : path or str, optional
            A bundle folder, or the name of one that ships with firstlight (``default``,
            ``fast``); by default ``default``.

        Raises
        ------
        BundleError
            If the folder is not a bundle of ours, or damaged.
        """
        path = find_bundle(folder)
        manifest = open_bundle(path, kind=BUNDLE_KIND)
        absent = [name for name in ("pipeline.json", SEEN_FILE) if name not in manifest.files]
        if absent:
            raise BundleError(f"{path}: {', '.join(absent)} missing, of an unreleased layout; train it anew")
        state = json.loads((path / "pipeline.json").read_text())
        pipeline = cls(from_table(PipelineConfig, state["config"]))
        pipeline._encoder = Encoder.load(path / "encoder")
        pipeline._classifier = load_classifier(pipeline.config.classifier.kind, path / "classifier")
        pipeline._calibrator = PhaseCalibrator.load(path / "calibrator")
        if (path / "templates").is_dir():
            pipeline._templates = Templates.load(path / "templates")
        if (path / "anomaly").is_dir():
            pipeline._anomaly = AnomalyScorer.load(path / "anomaly")
        pipeline._prior = np.array(state["prior"])
        pipeline._seen = load_file(path / SEEN_FILE)["hash"]
        pipeline.info = dict(manifest.info)
        pipeline.bundle_version = manifest.fingerprint
        return pipeline


# --- private --------------------------------------------------------------------


def _not_trained() -> NotFittedError:
    return NotFittedError("this pipeline is not trained; call fit, or Pipeline.load(bundle)")


def _evidence(latents: Latents, proba: NDArray[np.float64] | None = None) -> Evidence:
    """What the anomaly score is told beside the rows."""
    return Evidence(np.hstack([latents.mean, latents.log_var]), latents.recon_error, proba)


def _jobs(jobs: int | None) -> int:
    return jobs or cpu_count() or 1


def _in_chunks(
    function: Callable[[LightCurves], NDArray[Any]],
    curves: LightCurves,
    jobs: int | None,
    report: Callable[[float], None],
) -> NDArray[Any]:
    """Apply a function to chunks of objects in threads; compiled code releases the GIL."""
    starts = range(0, max(len(curves), 1), CHUNK)
    parts = [curves.take(np.arange(s, min(s + CHUNK, len(curves)))) for s in starts]
    results = []
    with ThreadPoolExecutor(_jobs(jobs)) as pool:
        for result in pool.map(function, parts):
            results.append(result)
            report(len(results) / len(parts))
    return np.concatenate(results)


def _write_history(folder: Path, history: tuple[dict[str, float], ...]) -> None:
    """Write the encoder's training history as a table."""
    with open(folder / "training.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, list(history[0]))
        rows.writeheader()
        rows.writerows(history)
