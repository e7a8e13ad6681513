"""`Pipeline`: light curves in, calibrated class probabilities out; fit, predict, save, load.

It joins the stages: preprocessing -> encoder and features -> classifier -> calibration ->
status. Everything learnt is learnt in `Pipeline.fit`; `Pipeline.predict` has no state.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstlight._types import Float32Array, FloatArray, IntArray, Progress, StrArray, no_progress
from firstlight.anomaly import AnomalyInputs, AnomalyScorer, TrainingDomain, brighter, describe
from firstlight.classify import (
    COVERAGE,
    Classifier,
    PhaseCalibrator,
    PredictionSets,
    check_frequencies,
    class_frequencies,
    load_classifier,
    make_classifier,
    status_of,
    to_all_classes,
)
from firstlight.encoder import Encoder, Latents
from firstlight.errors import BundleError, DataError, NotFittedError, SettingsError
from firstlight.features import Templates
from firstlight.hosts import Hosts, UsedRedshifts
from firstlight.kernels import compile_kernels
from firstlight.lightcurves import LightCurves, RedshiftMode, as_light_curves
from firstlight.mix import ClassMix, under_mix
from firstlight.notebook import LONGEST, html_panel, html_table
from firstlight.online import Arrivals, HistoryReader, ObjectStates, Parts, Update, update
from firstlight.pipeline.bundle import find_bundle, open_bundle, write_bundle
from firstlight.pipeline.config import PipelineConfig, load_preset
from firstlight.pipeline.explain import N_NEAREST, Explained, explain
from firstlight.pipeline.explanation import Explanation
from firstlight.pipeline.inputs import InputBuilder, InputRows, in_chunks, input_names, n_threads
from firstlight.pipeline.kept import KeptObjects, choose
from firstlight.pipeline.training import (
    CopyRows,
    TrainingObjects,
    out_of_fold,
    train_inputs,
    training_objects,
    training_rows,
)
from firstlight.pipeline.words import meanings
from firstlight.predictions import Domain, Predictions, Scores
from firstlight.preprocess import preprocess
from firstlight.provenance import provenance
from firstlight.settings import to_table
from firstlight.splits import check_columns, hash_fraction
from firstlight.storage import AGAIN, ArraySpec, read_arrays, read_state, write_arrays, write_state
from firstlight.taxonomy import Taxonomy
from firstlight.text import printable
from firstlight.timeline import Timeline, night_ends, prefixes

BUNDLE_KIND = "firstlight-pipeline"
SEEN_FILE = "training_objects.safetensors"
_SEEN_SALT = "trained"
_SEEN_SPECS = {"hash": ArraySpec("float64", ("n_objects",), 0.0, 1.0, "not_falling")}


class _Saves(Protocol):
    """A trained part with a folder of its own in the bundle."""

    def save(self, folder: Path) -> None: ...


class Pipeline:
    """Classify light curves: preprocessing, encoder, features, boosted trees, calibration.

    The settings are by default those of the preset ``default``.

    Examples
    --------
    >>> pipeline = Pipeline(load_preset("seed"))  # settings; `fit` trains it
    >>> pipeline.config.inputs
    ('latent',)
    >>> Pipeline.load("fast").classes[:3]
    ('AGN', 'EB', 'M-dwarf')
    """

    def __init__(self, config: PipelineConfig | None = None) -> None:
        self.config = load_preset("default") if config is None else config
        self.info: dict[str, Any] = {}
        self.bundle_version = "unsaved"
        self._inputs: InputBuilder | None = None
        self._classifier: Classifier | None = None
        self._calibrator = PhaseCalibrator()
        self._sets: PredictionSets | None = None
        self._anomaly: AnomalyScorer | None = None
        self._domain: TrainingDomain | None = None
        self._min_domain: Domain | None = None
        self._kept: KeptObjects | None = None
        self._hosts: Hosts | None = None
        self._mix: ClassMix | None = None
        self._frequencies = np.empty((0, 0))  # of the mix, one row per bin
        self.taxonomy = Taxonomy()
        self._prior = np.zeros(len(self.taxonomy.classes))
        self._seen = np.empty(0)
        self._bundle = "not saved"

    def __repr__(self) -> str:
        """Bundle, preset, classes and training set."""
        return "\n".join(["Pipeline", *(f"  {name}: {text}" for name, text in self._described().items())])

    def _repr_html_(self) -> str:
        """`repr` for notebooks."""
        return html_panel("Pipeline", html_table(("", ""), list(self._described().items())))

    def _described(self) -> dict[str, str]:
        """What `repr` shows, on one line each."""
        rows = {"bundle": self._bundle, "preset": self.config.name}
        if self._classifier is None:
            return rows | {"trained on": "nothing yet"}
        rows["classes"] = f"{len(self.classes)}: {', '.join(self.classes)}"
        rows["inputs"] = f"{', '.join(self.config.inputs)} ({len(self.input_names)} columns)"
        counts = {name: self.info.get(f"n_{name}") for name in ("objects", "observations")}
        trained = [f"{count:,} {name}" for name, count in counts.items() if isinstance(count, int)]
        rows["trained on"] = ", ".join([*trained, f"redshift {self.info.get('redshift', 'unknown')}"])
        return {name: printable(text, 10 * LONGEST) for name, text in rows.items()}

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that the pipeline was trained on, in taxonomy order."""
        return self._fitted().classes

    @property
    def input_names(self) -> tuple[str, ...]:
        """Name of each column that the classifier reads."""
        return input_names(self.config, None if self._inputs is None else self._inputs.templates)

    @property
    def encoder(self) -> Encoder:
        """The trained encoder."""
        return self._builder().encoder

    @property
    def history(self) -> tuple[dict[str, float], ...]:
        """Training history of the encoder, one row per epoch."""
        return self.encoder.history

    # --- fit -------------------------------------------------------------------

    def fit(
        self,
        curves: LightCurves,
        labels: NDArray[np.str_],
        *,
        redshift: RedshiftMode = "photo",
        seed: int = 0,
        held_out: NDArray[np.bool_] | None = None,
        taxonomy: Taxonomy | None = None,
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
            Class of each object. Unknown classes, and classes with fewer than three objects,
            are left out and counted in `info`.
        redshift : {"photo", "spec", "none"}
            Which host redshift to train with.
        seed : int
            Seed of every random choice.
        held_out : bool array, shape (n_objects,), optional
            Objects to keep for early stopping and calibration; by default a part of each
            class, by a hash of the name.
        taxonomy : Taxonomy, optional
            The classes, which the bundle and its answers will have; by default those of firstlight.
        jobs : int, optional
            Threads; by default one per core.
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
        progress = progress or no_progress
        rng = np.random.default_rng(seed)
        objects = training_objects(curves, labels, self.config, redshift, held_out, taxonomy)
        self.taxonomy = objects.taxonomy
        folder = None if workdir is None else workdir / "encoder"
        self._inputs = train_inputs(objects, self.config, seed=seed, folder=folder, progress=progress)
        check_columns(self.input_names)
        rows, held = (
            training_rows(objects, self._inputs, rng, held_out=side, jobs=jobs, progress=progress)
            for side in (False, True)
        )
        self._fit_classifier(rows, held, seed, jobs, progress)
        self._keep(objects, rows)
        self._prior = class_frequencies(objects.labels, self.classes, self.taxonomy.classes)
        self._seen = np.sort(hash_fraction(objects.curves.object_id, _SEEN_SALT))
        self.info = objects.info(self.config.name, seed)
        self.info["run"] = provenance([curves.fingerprint, *np.asarray(labels).tolist()], seed=seed)
        return self

    def _fit_classifier(
        self, copies: CopyRows, held: CopyRows, seed: int, jobs: int | None, progress: Progress
    ) -> None:
        classifier = make_classifier(self.config.classifier)
        self._classifier = classifier.fit(
            copies.rows, held.rows, seed=seed, jobs=n_threads(jobs), progress=progress
        )
        proba = self._classifier.predict_proba(held.rows.X, redshift=held.rows.redshift)
        self._calibrator = PhaseCalibrator(self.config.calibration).fit(
            proba, held.rows.labels, self.classes, held.phase, groups=held.rows.object_id, seed=seed
        )
        calibrated = self._calibrator.transform(proba, held.phase)
        self._sets = self._fit_sets(copies, held, calibrated, seed, jobs, progress)
        self._anomaly = AnomalyScorer(self.config.anomaly).fit(
            copies.rows.X,
            copies.rows.labels,
            held.rows.X,
            inputs=_anomaly_inputs(copies.latents),
            validation_inputs=_anomaly_inputs(held.latents, calibrated),
            phase=held.phase,
            names=self.input_names,
            seed=seed,
        )
        anomaly = self._anomaly.score(held.rows.X, held.phase, _anomaly_inputs(held.latents, calibrated))
        self._domain = TrainingDomain(self.config.encoder.steps.flux_scale).fit(
            copies.described, copies.phase, held.described, held.phase, anomaly
        )
        progress("calibration", 1.0)

    def _keep(self, objects: TrainingObjects, copies: CopyRows) -> None:
        """Keep some of the objects trained on; whole curves are the first of their copies."""
        assert self._anomaly is not None
        curves, labels = objects.part(held_out=False)
        place = self._anomaly.places(copies.rows.X[: len(curves)])
        self._kept = choose(curves, labels, place, self.config.kept_per_class)

    def _fit_sets(
        self,
        copies: CopyRows,
        held: CopyRows,
        calibrated: FloatArray,
        seed: int,
        jobs: int | None,
        progress: Progress,
    ) -> PredictionSets:
        """Prediction sets of the held-out rows, or of the training rows out of fold."""
        rows, phase, n_folds = held.rows, held.phase, self.config.sets.folds
        if n_folds:
            rows, phase = copies.rows, copies.phase
            proba = out_of_fold(
                rows,
                held.rows,
                self.config.classifier,
                self.classes,
                n_folds,
                seed=seed,
                jobs=n_threads(jobs),
                progress=progress,
            )
            calibrated = self._calibrator.transform(proba, phase)
        return PredictionSets().fit(
            calibrated, rows.labels, self.classes, phase, rows.redshift, rows.owner, rows.galactic
        )

    @classmethod
    def of_parts(
        cls,
        config: PipelineConfig,
        builder: InputBuilder,
        classifier: Classifier,
        calibrator: PhaseCalibrator,
        *,
        anomaly: AnomalyScorer,
        domain: TrainingDomain,
        sets: PredictionSets,
        kept: KeptObjects | None,
        taxonomy: Taxonomy,
        prior: FloatArray,
        object_id: StrArray,
        info: Mapping[str, Any],
    ) -> Self:
        """A pipeline of trained parts; `prior` has a frequency per class of the taxonomy.

        `object_id` are the objects that it was trained on.
        """
        made = cls(config)
        made._inputs, made._classifier, made._calibrator = builder, classifier, calibrator
        made._anomaly, made._domain, made.taxonomy = anomaly, domain, taxonomy
        made._sets, made._kept = sets, kept
        made._prior, made.info = prior, dict(info)
        made._seen = np.unique(hash_fraction(object_id, _SEEN_SALT))
        return made

    @property
    def builder(self) -> InputBuilder:
        """The trained encoder and templates, which make the classifier's columns."""
        return self._builder()

    @property
    def classifier(self) -> Classifier:
        """The trained classifier."""
        return self._fitted()

    @property
    def frequencies(self) -> FloatArray:
        """Class frequencies of training, shape (n_classes,), columns those of `taxonomy`."""
        return self._prior

    # --- predict ----------------------------------------------------------------

    def predict(
        self, curves: Any, *, jobs: int | None = None, progress: Progress | None = None
    ) -> Predictions:
        """Classify every object from the observations given.

        Parameters
        ----------
        curves : LightCurves, or whatever `firstlight.lightcurves.as_light_curves` takes
            Objects, raw or dereddened: also one `LightCurve`, a DataFrame, an astropy table, or several.
            Their ``redshift`` is used where it is known, unless the pipeline was trained without redshifts.
        jobs : int, optional
            Threads; by default one per core.
        progress : callable, optional
            Called with a stage's name and the fraction of it that is done.

        Returns
        -------
        Predictions
            One row per object, in order: status, class, calibrated probabilities of all
            classes of the taxonomy, anomaly score in [0, 1] (higher is more unusual), and the domain:
            whether the object was observed like those of training.

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        DataError
            If the light curves cannot be read.

        Examples
        --------
        >>> import pandas as pd
        >>> table = pd.DataFrame({
        ...     "object_id": "a", "mjd": [60000.0, 60003.0, 60007.0], "band": ["g", "r", "g"],
        ...     "flux": [900.0, 2000.0, 2600.0], "flux_err": 60.0,
        ... })
        >>> predictions = Pipeline.load("fast").predict(table)
        >>> predictions.to_pandas()[["object_id", "status", "n_obs", "phase"]]
          object_id      status  n_obs  phase
        0         a  classified      3    7.0
        >>> predictions.proba.shape
        (1, 17)
        """
        self._fitted()
        curves = as_light_curves(curves)
        progress = progress or no_progress
        ready = self._ready(curves)
        status, reason = status_of(ready, self.config.verdict)

        def score(part: LightCurves) -> Scores:
            made = self._builder().rows(part)
            return self._score(made, part.redshift, part.last_phase)

        used = None if self._hosts is None else self._hosts.in_use(ready)
        rows = ready if used is None else used.shown(ready)
        scores = in_chunks(score, rows, jobs, lambda done: progress("classify", done))
        scores = scores if used is None else used.marginal(scores)
        return Predictions.of(
            scores,
            status,
            reason,
            self._assumed(scores.bin),
            object_id=curves.object_id,
            n_obs=curves.n_obs,
            phase=ready.last_phase,
            domain=self._domain_words(scores.domain),
            min_domain=self._min_domain,
            taxonomy=self.taxonomy,
        )

    def timeline(self, curve: Any, mjd: ArrayLike | None = None, *, jobs: int | None = None) -> Timeline:
        """Classify one object as it was known after each night.

        Parameters
        ----------
        curve : LightCurve, or whatever `predict` takes
            One object.
        mjd : float array, shape (n_answers,), optional
            Times, ascending [MJD]; by default the end of each night from the trigger's on.
        jobs : int, optional
            Threads; by default one per core.

        Returns
        -------
        Timeline
            Each answer equals that of `predict` for the observations up to its time.

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        DataError
            If there is not exactly one object with observations, or the times do not ascend.
        SettingsError
            If the pipeline has a context.
        """
        self._fitted()
        curves = as_light_curves(curve)
        if len(curves) != 1:
            raise DataError(f"a timeline is that of one object; {len(curves)} given")
        if self._hosts is not None:
            raise SettingsError(
                "a timeline uses its light curve's redshift; load the bundle without a context"
            )
        times = night_ends(curves[0]) if mjd is None else np.asarray(mjd, dtype=np.float64)
        return Timeline(curves[0], times, self.predict(prefixes(curves, times), jobs=jobs))

    def explain(self, curve: Any, *, against: str | None = None, n_nearest: int = N_NEAREST) -> Explanation:
        """Explain the answer to one object.

        Parameters
        ----------
        curve : LightCurve, or whatever `predict` takes
            One object.
        against : str, optional
            Class to compare the answer with; by default the next most probable one.
        n_nearest : int
            Nearest training objects to give.

        Returns
        -------
        Explanation
            Reasons (exact Shapley values of the trees, by groups of inputs), the nearest training objects
            that the bundle keeps, the autoencoder's reconstruction, and what would change the answer.
            Bundles of an older firstlight keep no training objects and give no reasons; a note says so.

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        DataError
            If there is not exactly one object, or the class is not one of the bundle.
        """
        classifier, inputs = self._fitted(), self._builder()
        parts = Explained(
            classifier=classifier,
            encoder=inputs.encoder,
            meanings=meanings(self.config, inputs.templates),
            is_blind=self._is_blind,
            kept=self._kept,
            has_places=self._anomaly is not None,
            ready=self._ready,
            row=lambda ready: inputs.rows(ready).X,
            places=lambda curves: self.places(curves, jobs=1),
            predict=lambda curves: self.predict(curves, jobs=1),
        )
        return explain(parts, as_light_curves(curve), against, n_nearest)

    def _assumed(self, bins: IntArray) -> FloatArray:
        """Class frequencies that the probabilities of some objects assume, by their bins of the mix."""
        return self._prior if self._mix is None else self._frequencies[bins]

    def _domain_words(self, codes: IntArray) -> tuple[StrArray, StrArray] | None:
        return None if self._domain is None else self._domain.words(codes)

    def _score(self, inputs: InputRows, redshift: Float32Array, phase: FloatArray) -> Scores:
        """Calibrated probabilities of all classes, anomaly scores and domains."""
        classifier, X, latents = self._fitted(), inputs.X, inputs.latents
        if not len(X):
            return Scores.empty(0, len(self.taxonomy.classes))
        proba = self._calibrator.transform(classifier.predict_proba(X, redshift=redshift), phase)
        anomaly = np.zeros(len(X))
        if self._anomaly is not None:
            anomaly = self._anomaly.score(X, phase, _anomaly_inputs(latents, proba))
        domain = np.zeros(len(X), np.int64)
        if self._domain is not None:
            domain = self._domain.codes(inputs.described, phase, anomaly)
        in_set = np.zeros((len(X), len(self.taxonomy.classes)), np.bool_)
        if self._sets is not None:
            columns = [self.taxonomy.classes.index(name) for name in classifier.classes]
            in_set[:, columns] = self._sets.members(proba, phase, redshift)
        proba = to_all_classes(proba, classifier.classes, self.taxonomy.classes)
        bins = np.zeros(len(X), np.int64)
        if self._mix is not None:
            scale = self.config.encoder.steps.flux_scale
            bins = self._mix.bin_of(redshift, brighter(inputs.described, scale), len(X))
            proba = under_mix(proba, self._prior, self._frequencies[bins])
        return Scores(proba, anomaly, domain, bins, in_set)

    @property
    def classifier_parts(self) -> tuple[Classifier, PhaseCalibrator]:
        """The trained classifier and its calibration."""
        return self._fitted(), self._calibrator

    def calibrated(self, X: Float32Array, redshift: FloatArray, phase: FloatArray) -> FloatArray:
        """Calibrated probabilities of rows of `inputs`, shape (n_rows, n_classes), as in `taxonomy`."""
        classifier, calibrator = self.classifier_parts
        proba = calibrator.transform(classifier.predict_proba(X, redshift=redshift), phase)
        return to_all_classes(proba, classifier.classes, self.taxonomy.classes)

    # --- update -----------------------------------------------------------------

    @property
    def needs_history(self) -> bool:
        """Whether an update needs the whole history: for features, or for cleaning."""
        reads = "features" in self.config.inputs or bool(self.config.features.own)
        return reads or self.config.preprocess.clean.method != "none"

    def states(self, rows: int | Sequence[bytes | None]) -> ObjectStates:
        """States of objects to update.

        Parameters
        ----------
        rows : int or sequence of bytes
            Number of new objects; or rows of `ObjectStates.to_bytes`, None for a new object.

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        DataError
            If a row was written with another kind of bundle.
        """
        if isinstance(rows, int):
            return ObjectStates.initial(self.encoder, rows, len(self.taxonomy.classes))
        return ObjectStates.from_bytes(self.encoder, rows, len(self.taxonomy.classes))

    def update(
        self,
        states: ObjectStates,
        arrivals: Arrivals,
        read_history: HistoryReader,
        *,
        redshift: RedshiftMode = "photo",
    ) -> Update:
        """Advance the states of some objects by one alert each, and classify the objects.

        An alert in order advances the encoder, at a cost that does not depend on the past, unless
        `needs_history`; a late, contradicting or repeated one needs the object's history. The
        predictions equal those of `predict` on all observations so far, to the last bit.

        Parameters
        ----------
        states : ObjectStates
            From `states` or the previous update; left unchanged.
        arrivals : Arrivals
            Content of the alerts; each object at most once.
        read_history : callable
            Returns the histories of the objects at the given positions: all entries of their
            updates, oldest first.
        redshift : {"photo", "spec", "none"}
            Which host redshift the classifier sees.

        Returns
        -------
        Update
            New states, predictions, and an entry for each object's history.

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        DataError
            If the numbers of objects differ, dereddened fluxes meet raw ones, or a history is
            damaged.
        """
        inputs = self._builder()
        parts = Parts(
            encoder=inputs.encoder,
            preprocess=self.config.preprocess,
            status=self.config.verdict,
            needs_history=self.needs_history,
            score=lambda latents, context, curves, phase: self._score(
                InputRows(inputs.columns(latents, context, curves), *latents, describe(context)),
                curves.redshift,
                phase,
            ),
            assumed=self._assumed,
            domain_words=self._domain_words,
            min_domain=self._min_domain,
            hosts=None if self._hosts is None else self._hosts.in_use,
            taxonomy=self.taxonomy,
        )
        return update(parts, states, arrivals, read_history, "none" if self._is_blind else redshift)

    def _builder(self) -> InputBuilder:
        if self._inputs is None:
            raise _not_trained()
        return self._inputs

    def predict_proba(self, curves: Any, *, jobs: int | None = None) -> FloatArray:
        """Calibrated probabilities alone, shape (n_objects, n_classes), columns those of `taxonomy`.

        Objects with too little data have the prior; see the status in `predict`.

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        """
        return self.predict(curves, jobs=jobs).proba

    def trained_on(self, object_id: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Which objects this pipeline was trained on, by hashes of their names, shape (n_objects,)."""
        return np.isin(hash_fraction(object_id, _SEEN_SALT), self._seen)

    def latents(self, curves: LightCurves) -> Float32Array:
        """Latent means of every object, shape (n_objects, n_latents)."""
        return self.encoder.encode(preprocess(curves, self.config.preprocess)).mean

    def inputs(self, curves: LightCurves) -> Float32Array:
        """Columns that the classifier reads, shape (n_objects, n_inputs); see `input_names`.

        A feature that the observations do not determine is NaN.

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        """
        self._fitted()
        return self._builder().rows(self._ready(curves)).X

    def places(
        self, curves: LightCurves, *, jobs: int | None = None, progress: Progress | None = None
    ) -> FloatArray:
        """Coordinates of objects in the space of the anomaly score, shape (n_objects, n_axes).

        Objects that are alike are near each other. Unlike predictions they may differ in the last bit
        between batches.

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        BundleError
            If the bundle has no anomaly score.
        """
        self._fitted()
        if self._anomaly is None:
            raise BundleError(f"{self._bundle} has no anomaly score; {AGAIN}")
        scorer, progress = self._anomaly, progress or no_progress

        def place(part: LightCurves) -> _Places:
            return _Places(scorer.places(self._builder().rows(part).X))

        made = in_chunks(place, self._ready(curves), jobs, lambda done: progress("places", done))
        return made.place

    @property
    def _is_blind(self) -> bool:
        """Whether it was trained without redshifts: one would mislead it."""
        return self.info.get("redshift") == "none"

    def _ready(self, curves: LightCurves) -> LightCurves:
        """Preprocessed light curves with the redshift that the classifier may see."""
        shown = curves.with_redshift("none") if self._is_blind else curves
        return preprocess(shown, self.config.preprocess)

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
        inputs = self._builder()
        state = {"config": to_table(self.config), "prior": self._prior.tolist()}
        if not self.taxonomy.is_ours:
            state["classes"] = self.taxonomy.table()
        write_state(folder / "pipeline.json", state)
        write_arrays(folder / SEEN_FILE, {"hash": self._seen})
        _write_history(folder, self.history)
        parts: dict[str, _Saves | None] = {
            "encoder": inputs.encoder,
            "classifier": self._classifier,
            "calibrator": self._calibrator,
            "sets": self._sets,
            "templates": inputs.templates,
            "anomaly": self._anomaly,
            "domain": self._domain,
            "kept": self._kept,
        }
        for name, part in parts.items():
            if part is not None:
                (folder / name).mkdir()
                part.save(folder / name)

    @classmethod
    def load(
        cls,
        folder: str | Path | None = None,
        *,
        public_key: str | Path | None = None,
        prior: "str | Path | Mapping[str, float] | ClassMix | None" = None,
        min_domain: Domain | None = None,
        coverage: float | None = None,
        context: "str | Path | Hosts | None" = None,
        progress: Progress | None = None,
    ) -> Self:
        """Read a bundle; its checksums are verified first, and with a key its signature.

        Nothing in a bundle is trusted: each file is checked before compiled code uses it.

        The first use of firstlight on a machine compiles what predictions need, which takes some seconds.

        Parameters
        ----------
        folder : path or str, optional
            A bundle folder, or the name of one that ships with firstlight (``default``,
            ``fast``); by default ``default``.
        public_key : path, optional
            PEM file of an Ed25519 public key; the bundle must be signed with its private key.
        prior : str, path, mapping or ClassMix, optional
            Class mix to assume instead of that of training: ``lsst``, ``bts``, a TOML file, or the
            frequency of each class; see `Predictions.with_prior`.
        min_domain : {"inside", "edge"}, optional
            Objects that are further outside of what the bundle was trained on are not classified.
        coverage : float, optional
            Fraction of the objects of each class whose prediction set holds it, .5 to .99 in steps of .01;
            by default .9. Bundles of earlier versions have no sets.
        context : path, str or Hosts, optional
            Host redshifts from outside: a Parquet or CSV file, or a lookup of an installed package; see
            `Hosts.open`. All answers of the pipeline use it.
        progress : callable, optional
            Called with a stage's name and the fraction of it that is done.

        Raises
        ------
        BundleError
            If the folder is not a bundle of ours, damaged, impossible, or not signed with the key.
        SettingsError
            If the key or the class mix cannot be read, or a domain or coverage is demanded of a bundle that
            knows none, or a context of one that was trained without redshifts.
        MissingExtraError
            If there is a key, but not the extra ``sign``.

        Examples
        --------
        >>> Pipeline.load()
        Pipeline
          bundle: default, ...
        """
        path = find_bundle(folder)
        manifest = open_bundle(path, kind=BUNDLE_KIND, public_key=public_key)
        absent = [name for name in ("pipeline.json", SEEN_FILE) if name not in manifest.files]
        if absent:
            raise BundleError(f"{path}: {', '.join(absent)} missing, of an unreleased layout; train it again")
        state = read_state(path / "pipeline.json", _Saved)
        pipeline = cls(state.config)
        pipeline._read_parts(path, state)
        if pipeline._domain is None and min_domain is not None:
            raise SettingsError(
                f"{path}: this bundle does not know its domain; train it again, or demand none"
            )
        if pipeline._sets is None and coverage is not None:
            raise SettingsError(
                f"{path}: this bundle has no prediction sets; train it again, or state no coverage"
            )
        pipeline._min_domain = min_domain
        pipeline.info = dict(manifest.info)
        pipeline.bundle_version = manifest.fingerprint
        if prior is not None:
            pipeline._assume(ClassMix.read(prior))
        if coverage is not None:
            pipeline._cover(coverage)
        if context is not None:
            pipeline._use(context if isinstance(context, Hosts) else Hosts.open(context))
        pipeline._bundle = f"{path.resolve().name}, version {manifest.fingerprint}"
        pipeline._check_parts(path)
        groups = ("base", "features") if "features" in pipeline.config.inputs else ("base",)
        compile_kernels(*groups, progress=progress)  # last, so that a damaged bundle costs no time
        return pipeline

    def _read_parts(self, path: Path, state: "_Saved") -> None:
        """Read what was trained; parts that a bundle lacks stay None."""
        self.taxonomy = _taxonomy(state, path)
        encoder = Encoder.load(path / "encoder")
        templates = Templates.load(path / "templates") if (path / "templates").is_dir() else None
        self._inputs = InputBuilder(self.config, encoder, templates)
        self._classifier = load_classifier(self.config.classifier.kind, path / "classifier")
        self._calibrator = PhaseCalibrator.load(path / "calibrator")
        if (path / "anomaly").is_dir():
            self._anomaly = AnomalyScorer.load(path / "anomaly")
        if (path / "domain").is_dir():
            self._domain = TrainingDomain.load(path / "domain")
        if (path / "kept").is_dir():
            self._kept = KeptObjects.load(path / "kept")
        if (path / "sets").is_dir():
            self._sets = PredictionSets.load(path / "sets")
        self._prior = check_frequencies(state.prior, len(self.taxonomy.classes), path / "pipeline.json")
        self._seen = read_arrays(path / SEEN_FILE, _SEEN_SPECS)["hash"]

    def _assume(self, mix: ClassMix) -> None:
        """Assume a class mix in all answers to come; records name it beside the bundle."""
        mix.check(self.taxonomy.classes)
        self._mix, self._frequencies = mix, mix.frequencies(self.taxonomy.classes, self._prior)
        self.bundle_version += f"+{mix.fingerprint}"

    def _cover(self, coverage: float) -> None:
        """Choose the coverage of the prediction sets; records name another than the usual one."""
        if self._sets is not None:
            self._sets.choose(coverage)
            if coverage != COVERAGE:
                self.bundle_version += f"+coverage-{coverage:g}"

    def _use(self, hosts: Hosts) -> None:
        """Use redshifts from outside in all answers to come."""
        if self._is_blind:
            raise SettingsError("this bundle was trained without redshifts; leave the context out")
        self._hosts = hosts

    def redshifts_in_use(self, curves: LightCurves) -> UsedRedshifts | None:
        """The redshifts that answers to these objects use; None without a context."""
        return None if self._hosts is None else self._hosts.in_use(curves)

    def _check_parts(self, path: Path) -> None:
        """Raise BundleError unless the parts of a bundle fit each other: each was checked alone."""
        classifier, n_inputs = self._fitted(), len(self.input_names)
        n_classes, n_latents = len(classifier.classes), self.encoder.n_latent
        faults = []
        if not set(classifier.classes) <= set(self.taxonomy.classes):
            faults.append("classes of the classifier that the taxonomy lacks")
        if (
            self.encoder.config.steps != self.config.encoder.steps
            or n_latents != self.config.encoder.vae.latent
        ):
            faults.append("settings of the encoder")
        if classifier.n_features != n_inputs:
            faults.append(f"classifier of {classifier.n_features} inputs, not {n_inputs}")
        if self._calibrator.n_classes not in (None, n_classes):
            faults.append(f"calibration of {self._calibrator.n_classes} classes, not {n_classes}")
        if self._sets is not None and self._sets.classes != classifier.classes:
            faults.append("classes of the prediction sets")
        if self._anomaly is not None:
            if self._anomaly.n_features != n_inputs:
                faults.append(f"anomaly score of {self._anomaly.n_features} inputs, not {n_inputs}")
            if self._anomaly.n_latents not in (None, 2 * n_latents):
                faults.append(f"anomaly score of {self._anomaly.n_latents} latents, not {2 * n_latents}")
        if faults:
            raise BundleError(f"{path}: parts do not fit each other ({'; '.join(faults)}); {AGAIN}")


class _Places(NamedTuple):
    """Coordinates of objects, in chunks."""

    place: FloatArray


@dataclass(frozen=True)
class _Saved:
    """The content of ``pipeline.json``."""

    config: PipelineConfig
    prior: tuple[float, ...]
    classes: Mapping[str, "_SavedClass"] | None = None  # None for those of firstlight


@dataclass(frozen=True)
class _SavedClass:
    """A class of a user's taxonomy in ``pipeline.json``."""

    group: str
    galactic: bool
    elasticc: int | None = None


def _taxonomy(state: _Saved, path: Path) -> Taxonomy:
    """The taxonomy of a bundle."""
    if state.classes is None:
        return Taxonomy()
    try:
        return Taxonomy.of(
            {n: {k: v for k, v in vars(c).items() if v is not None} for n, c in state.classes.items()}
        )
    except SettingsError as error:
        raise BundleError(f"{path}: {error}; {AGAIN}") from error


# --- private --------------------------------------------------------------------


def _not_trained() -> NotFittedError:
    return NotFittedError("this pipeline is not trained; call fit, or Pipeline.load(bundle)")


def _anomaly_inputs(latents: Latents, proba: FloatArray | None = None) -> AnomalyInputs:
    """Inputs of the anomaly score beside the rows."""
    return AnomalyInputs(np.hstack([latents.mean, latents.log_var]), latents.recon_error, proba)


def _write_history(folder: Path, history: tuple[dict[str, float], ...]) -> None:
    """Write the encoder's training history as a table."""
    with open(folder / "training.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, list(history[0]))
        rows.writeheader()
        rows.writerows(history)
