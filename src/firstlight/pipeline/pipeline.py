"""`Pipeline`: light curves in, calibrated class probabilities out; fit, predict, save, load.

It joins the stages: preprocessing -> encoder and features -> classifier -> calibration ->
status. Everything learnt is learnt in `Pipeline.fit`; `Pipeline.predict` has no state.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstlight._types import Float32Array, FloatArray, Progress, no_progress
from firstlight.anomaly import describe
from firstlight.classify import status_of
from firstlight.encoder import Encoder
from firstlight.errors import BundleError, DataError, SettingsError
from firstlight.hosts import Hosts, UsedRedshifts
from firstlight.kernels import compile_kernels
from firstlight.lightcurves import LightCurves, RedshiftMode, as_light_curves
from firstlight.mix import ClassMix
from firstlight.online import Arrivals, HistoryReader, ObjectStates, Parts, Update, update
from firstlight.pipeline.bundle import write_bundle
from firstlight.pipeline.explain import N_NEAREST, Explained, explain
from firstlight.pipeline.explanation import Explanation
from firstlight.pipeline.filters import FILTERS, trained_filters
from firstlight.pipeline.inputs import InputRows, in_chunks
from firstlight.pipeline.saving import BUNDLE_KIND, Saved
from firstlight.pipeline.trained import Places, seen_hash
from firstlight.pipeline.training import simulated_info, train_inputs, training_objects, training_rows
from firstlight.pipeline.words import meanings
from firstlight.predictions import Domain, Predictions, Scores
from firstlight.preprocess import preprocess, with_ebv
from firstlight.provenance import provenance
from firstlight.splits import check_columns
from firstlight.storage import AGAIN
from firstlight.taxonomy import Taxonomy
from firstlight.timeline import Timeline, night_ends, prefixes


class Pipeline(Saved):
    """Classify light curves: preprocessing, encoder, features, boosted trees, calibration.

    The settings are by default those of the preset ``default``.

    Examples
    --------
    >>> from firstlight.pipeline import load_preset
    >>> pipeline = Pipeline(load_preset("seed"))  # settings; `fit` trains it
    >>> pipeline.config.inputs
    ('latent',)
    >>> Pipeline.load("fast").classes[:3]
    ('AGN', 'EB', 'M-dwarf')
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that the pipeline was trained on, in taxonomy order."""
        return self._fitted().classes

    @property
    def input_names(self) -> tuple[str, ...]:
        """Name of each column that the classifier reads."""
        return self._input_names()

    @property
    def encoder(self) -> Encoder:
        """The trained encoder."""
        return self.builder.encoder

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
        DataError, LeakageError
            If lengths disagree, fewer than two classes remain, or `held_out` parts copies of an object.
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
        self.info = objects.info(self.config.name, seed) | simulated_info(rows.rows)
        self.info[FILTERS] = trained_filters(objects.curves, self.config)
        self.info["run"] = provenance([curves.fingerprint, *map(str, labels)], seed=seed)
        return self

    # --- predict ----------------------------------------------------------------

    def predict(
        self,
        curves: Any,
        *,
        jobs: int | None = None,
        progress: Progress | None = None,
        redshifts: UsedRedshifts | None = None,
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
        redshifts : UsedRedshifts, optional
            Redshifts of the answers; by default those of `redshifts_in_use`.

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
            made = self.builder.rows(part)
            return self._score(made, part.redshift, part.last_phase)

        used = self.redshifts_in_use(curves) if redshifts is None else redshifts
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

    def predict_proba(self, curves: Any, *, jobs: int | None = None) -> FloatArray:
        """Calibrated probabilities alone, shape (n_objects, n_classes), columns those of `taxonomy`.

        Objects with too little data have the prior; see the status in `predict`.

        Raises
        ------
        NotFittedError
            If the pipeline was neither fitted nor loaded.
        """
        return self.predict(curves, jobs=jobs).proba

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
        """
        self._fitted()
        curves = as_light_curves(curve)
        if len(curves) != 1:
            raise DataError(f"a timeline is that of one object; {len(curves)} given")
        times = night_ends(curves[0]) if mjd is None else np.asarray(mjd, dtype=np.float64)
        parts = prefixes(with_ebv(curves, self.config.preprocess), times)
        used = self.redshifts_in_use(parts, np.repeat(curves.object_id, len(parts)))
        return Timeline(curves[0], times, self.predict(parts, jobs=jobs, redshifts=used))

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
        classifier, inputs = self._fitted(), self.builder
        parts = Explained(
            classifier=classifier,
            encoder=inputs.encoder,
            columns=meanings(self.config, inputs.templates),
            is_blind=self._is_blind,
            kept=self._kept,
            has_places=self._anomaly is not None,
            ready=self._ready,
            row=lambda ready: inputs.rows(ready).X,
            places=lambda curves: self.places(curves, jobs=1),
            predict=lambda curves: self.predict(curves, jobs=1),
        )
        return explain(parts, as_light_curves(curve), against, n_nearest)

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
        layout = (len(self.taxonomy.classes), self.config.reads_nights)
        if isinstance(rows, int):
            return ObjectStates.initial(self.encoder, rows, *layout)
        return ObjectStates.from_bytes(self.encoder, rows, *layout)

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
        inputs = self.builder
        parts = Parts(
            encoder=inputs.encoder,
            preprocess=self.config.preprocess,
            status=self.config.verdict,
            needs_history=self.needs_history,
            score=lambda latents, context, curves, phase, nights: self._score(
                InputRows(inputs.columns(latents, context, curves, nights), *latents, describe(context)),
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

    # --- inside ------------------------------------------------------------------

    def trained_on(self, object_id: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Which objects this pipeline was trained on, by hashes of their names, shape (n_objects,)."""
        return np.isin(seen_hash(object_id), self._seen)

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
        return self.builder.rows(self._ready(curves)).X

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

        def place(part: LightCurves) -> Places:
            return Places(scorer.places(self.builder.rows(part).X))

        made = in_chunks(place, self._ready(curves), jobs, lambda done: progress("places", done))
        return made.place

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

        The first use of firstlight on a machine compiles the numerical kernels, which takes some seconds.

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
            Objects that are further outside of the bundle's training set are not classified.
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
        pipeline, path = cls._read(folder, public_key)
        if min_domain is not None and pipeline._domain is None:
            raise SettingsError(
                f"{path}: this bundle does not know its domain; train it again, or demand none"
            )
        if coverage is not None and pipeline._sets is None:
            raise SettingsError(
                f"{path}: this bundle has no prediction sets; train it again, or state no coverage"
            )
        pipeline._min_domain = min_domain
        if prior is not None:
            pipeline._assume(ClassMix.read(prior))
        if coverage is not None:
            pipeline._cover(coverage)
        if context is not None:
            pipeline._use(context if isinstance(context, Hosts) else Hosts.open(context))
        compile_kernels(*pipeline.config.kernel_groups, progress=progress)  # last: damage costs no time
        return pipeline
