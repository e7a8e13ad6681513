"""The parts of a trained pipeline: how they are fitted, and their answers for rows."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from firstlight._types import Float32Array, FloatArray, IntArray, Progress, StrArray
from firstlight.anomaly import AnomalyInputs, AnomalyScorer, TrainingDomain, brighter
from firstlight.classify import (
    COVERAGE,
    Classifier,
    PhaseCalibrator,
    PredictionSets,
    class_frequencies,
    make_classifier,
    to_all_classes,
)
from firstlight.encoder import Latents
from firstlight.errors import NotFittedError, SettingsError
from firstlight.hosts import Hosts, UsedRedshifts
from firstlight.lightcurves import LightCurves
from firstlight.mix import ClassMix, under_mix
from firstlight.notebook import LONGEST, html_panel, html_table
from firstlight.pipeline.config import PipelineConfig, load_preset
from firstlight.pipeline.filters import saved_filters, seen_surveys
from firstlight.pipeline.inputs import InputBuilder, InputRows, input_names, n_threads
from firstlight.pipeline.kept import KeptObjects, choose
from firstlight.pipeline.training import CopyRows, TrainingObjects, out_of_fold
from firstlight.predictions import Domain, Scores
from firstlight.preprocess import preprocess
from firstlight.reobserve import is_simulated
from firstlight.splits import hash_fraction
from firstlight.taxonomy import Taxonomy
from firstlight.text import printable

_SEEN_SALT = "trained"


class Places(NamedTuple):
    """Coordinates of objects, in chunks."""

    place: FloatArray


class Trained:
    """The parts of a pipeline; `Pipeline` has the methods for users."""

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
        """The lines of `repr`, by name."""
        rows = {"bundle": self._bundle, "preset": self.config.name}
        if self._classifier is None:
            return rows | {"trained on": "nothing yet"}
        rows["classes"] = f"{len(self._fitted().classes)}: {', '.join(self._fitted().classes)}"
        rows["inputs"] = f"{', '.join(self.config.inputs)} ({len(self._input_names())} columns)"
        counts = {name: self.info.get(f"n_{name}") for name in ("objects", "observations")}
        trained = [f"{count:,} {name}" for name, count in counts.items() if isinstance(count, int)]
        rows["trained on"] = ", ".join([*trained, f"redshift {self.info.get('redshift', 'unknown')}"])
        return {name: printable(text, 10 * LONGEST) for name, text in rows.items()}

    @property
    def filters(self) -> dict[str, str]:
        """Filters that the training saw, such as ``ztf_g``, and the band of ugrizy that each enters as."""
        return saved_filters(self.info, self.config)

    @property
    def surveys(self) -> frozenset[str]:
        """Surveys whose filters the training saw, as `bands.find_survey` names them."""
        return seen_surveys(self.filters)

    def _input_names(self) -> tuple[str, ...]:
        """Name of each column that the classifier reads."""
        return input_names(self.config, None if self._inputs is None else self._inputs.templates)

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

    # --- the parts, for other rooms -------------------------------------------------

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
        made._seen = np.unique(seen_hash(object_id))
        return made

    @property
    def builder(self) -> InputBuilder:
        """The trained encoder and templates, which make the classifier's columns."""
        if self._inputs is None:
            raise _not_trained()
        return self._inputs

    @property
    def classifier(self) -> Classifier:
        """The trained classifier."""
        return self._fitted()

    @property
    def calibrator(self) -> PhaseCalibrator:
        """The calibration of the classifier's probabilities."""
        return self._calibrator

    @property
    def frequencies(self) -> FloatArray:
        """Class frequencies of training, shape (n_classes,), columns those of `taxonomy`."""
        return self._prior

    def calibrated(self, X: Float32Array, redshift: FloatArray, phase: FloatArray) -> FloatArray:
        """Calibrated probabilities of rows of `inputs`, shape (n_rows, n_classes), as in `taxonomy`."""
        proba = self._calibrator.transform(self.classifier.predict_proba(X, redshift=redshift), phase)
        return to_all_classes(proba, self.classifier.classes, self.taxonomy.classes)

    # --- fit ----------------------------------------------------------------------

    def _fit_classifier(
        self, copies: CopyRows, held: CopyRows, seed: int, jobs: int | None, progress: Progress
    ) -> None:
        classifier = make_classifier(self.config.classifier)
        self._classifier = classifier.fit(
            copies.rows, held.rows, seed=seed, jobs=n_threads(jobs), progress=progress
        )
        proba = self._classifier.predict_proba(held.rows.X, redshift=held.rows.redshift)
        self._calibrator = PhaseCalibrator(self.config.calibration).fit(
            proba, held.rows.labels, self._fitted().classes, held.phase, groups=held.rows.object_id, seed=seed
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
            names=self._input_names(),
            seed=seed,
        )
        anomaly = self._anomaly.score(held.rows.X, held.phase, _anomaly_inputs(held.latents, calibrated))
        self._domain = TrainingDomain(self.config.encoder.steps.flux_scale).fit(
            copies.described, copies.phase, held.described, held.phase, anomaly
        )
        progress("calibration", 1.0)

    def _keep(self, objects: TrainingObjects, copies: CopyRows) -> None:
        """Keep names, frequencies and some of the objects trained on; whole curves are the first copies."""
        assert self._anomaly is not None
        curves, labels = objects.part(held_out=False)
        place = self._anomaly.places(copies.rows.X[: len(curves)])
        self._kept = choose(curves, labels, place, self.config.kept_per_class)
        self._prior = class_frequencies(objects.labels, self._fitted().classes, self.taxonomy.classes)
        self._seen = np.sort(seen_hash(objects.curves.object_id))

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
                self._fitted().classes,
                n_folds,
                seed=seed,
                jobs=n_threads(jobs),
                progress=progress,
            )
            calibrated = self._calibrator.transform(proba, phase)
        own = ~is_simulated(rows.owner)  # the coverage of the sets holds for real objects
        return PredictionSets().fit(
            calibrated[own],
            rows.labels[own],
            self._fitted().classes,
            phase[own],
            rows.redshift[own],
            rows.owner[own],
            rows.galactic,
        )

    # --- answers --------------------------------------------------------------------

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

    def redshifts_in_use(self, curves: LightCurves, names: StrArray | None = None) -> UsedRedshifts | None:
        """The redshifts that answers to these objects use; None without a context.

        `names` are those of the objects in the context, by default the light curves'.
        """
        return None if self._hosts is None else self._hosts.in_use(curves, names)


def seen_hash(object_id: StrArray) -> FloatArray:
    """Hash of each name, by which a pipeline recognises its training objects."""
    return hash_fraction(object_id, _SEEN_SALT)


# --- private --------------------------------------------------------------------


def _not_trained() -> NotFittedError:
    return NotFittedError("this pipeline is not trained; call fit, or Pipeline.load(bundle)")


def _anomaly_inputs(latents: Latents, proba: FloatArray | None = None) -> AnomalyInputs:
    """Inputs of the anomaly score beside the rows."""
    return AnomalyInputs(np.hstack([latents.mean, latents.log_var]), latents.recon_error, proba)
