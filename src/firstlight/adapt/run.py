"""`adapt`: a bundle for a user's survey and labels, and its scores on objects that it has not seen."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from firstlight._types import FloatArray, IntArray, Progress, StrArray, no_progress
from firstlight._version import __version__
from firstlight.adapt.config import AdaptConfig
from firstlight.adapt.rows import CopyTask, Seen, cached_copies, make_copies, redshift_shares
from firstlight.adapt.scores import SCRATCH, score_table
from firstlight.adapt.trees import Choice, Grower, Unseen, tree_settings
from firstlight.adapt.views import Labelled, Made, View, Views, right_by_source
from firstlight.anomaly import AnomalyInputs, AnomalyScorer, TrainingDomain
from firstlight.bands import BANDS
from firstlight.classify import Classifier, PhaseCalibrator, PredictionSets, SetsConfig, TrainingRows
from firstlight.errors import DataError
from firstlight.files import replacing
from firstlight.lightcurves import LightCurves, RedshiftMode
from firstlight.pipeline import Pipeline
from firstlight.pipeline.filters import FILTERS, added_filters
from firstlight.pipeline.inputs import n_threads
from firstlight.pipeline.kept import choose
from firstlight.pipeline.training import usable_objects
from firstlight.predictions import Predictions
from firstlight.provenance import provenance
from firstlight.settings import to_table, to_toml
from firstlight.splits import (
    check_distinct,
    check_near_duplicates,
    hash_fraction,
    twins_note,
    validation_part,
)
from firstlight.surveys import SurveyConfig, load_survey, measure_survey
from firstlight.taxonomy import Taxonomy

_HELD_SHARE = 0.1  # of the training objects, for the scales of anomaly score and domain


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """An adapted pipeline and its measurements.

    Attributes
    ----------
    pipeline : Pipeline
        Trained on all labelled objects, to be saved as a bundle.
    surveys : dict of str to SurveyConfig
        How each source observes, measured or stated.
    held_out : dict
        Scores of labelled objects by trees that have not seen them, by classifier; see `score_table`.
    sources_out : dict
        The same where trees have seen no object of the source; empty with fewer than three sources.
    by_source : dict
        Of those, accuracy by source and classifier, and number of objects.
    choice : Choice
        Weights and mix of the pipeline.
    protocol : str
        How it was measured, in one paragraph.
    """

    pipeline: Pipeline
    surveys: dict[str, SurveyConfig]
    held_out: dict[str, dict[str, Any]]
    sources_out: dict[str, dict[str, Any]]
    by_source: dict[str, dict[str, Any]]
    choice: Choice
    protocol: str


def adapt(
    base: Pipeline,
    curves: LightCurves,
    labels: StrArray,
    training: tuple[LightCurves, StrArray],
    *,
    survey: str | None = None,
    sources: StrArray | None = None,
    taxonomy: Taxonomy | None = None,
    config: AdaptConfig | None = None,
    redshift: RedshiftMode = "photo",
    scratch: bool = True,
    seed: int = 0,
    jobs: int | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Adapted:
    """Adapt a bundle to a survey with some labelled objects of it.

    Encoder, features and templates stay. The bundle's training set is observed again as the survey sees the
    sky, and trees are grown on it and on the labelled objects. Folds over the labelled objects choose how
    much the training set counts, and how far the class mix of the labels is assumed.

    Parameters
    ----------
    base : Pipeline
        The bundle.
    curves : LightCurves
        Labelled objects, raw.
    labels : str array, shape (n_objects,)
        Their classes, in the spelling of `taxonomy`; unknown ones and those of fewer than three objects are
        left out and counted.
    training : (LightCurves, str array)
        The training set of the bundle and its classes; objects of the same names are left out of it.
    survey : str, optional
        Name or TOML file of the survey; by default it is measured from the light curves.
    sources : str array, shape (n_objects,), optional
        Survey or catalogue of each object, if there are several; each is measured, and left out once.
    taxonomy : Taxonomy, optional
        The classes; by default those of the bundle.
    config : AdaptConfig, optional
        Sizes and the values to try.
    redshift : {"photo", "spec", "none"}
        Which host redshift to use.
    scratch : bool
        Whether to train pipelines on the labelled objects alone, for comparison.
    cache : Path, optional
        Folder that keeps the rows of the re-observed training set.
    seed, jobs, progress
        As for `Pipeline.fit`.

    Returns
    -------
    Adapted
        The pipeline, and scores of held-out objects.

    Raises
    ------
    DataError
        If fewer than two classes or three folds remain.
    LeakageError
        If a labelled object is in the training set under another name, or two of them are one.
    """
    config, progress = config or AdaptConfig(), progress or no_progress
    taxonomy = base.taxonomy if taxonomy is None else taxonomy
    mine = _usable(curves.with_redshift(redshift), labels, sources, taxonomy)
    check_distinct(mine.curves)
    known = _training(training, mine, taxonomy, config.most_per_class)
    with tempfile.TemporaryDirectory() as folder:
        surveys, pool = _pool(base, mine, survey, config, Path(folder))
        made = _copies(base, mine, known, pool, config, seed, jobs, cache, progress)
    views = Views(base, mine, config, made, seed, n_threads(jobs), progress)
    by_source = views.by_source()
    careful = None if by_source is None else by_source.grower.choose_for_all()
    random = views.random(careful)
    proba = random.proba | (_scratch(base, mine, random, config, seed, jobs, progress) if scratch else {})
    pipeline, choice = _finish(base, mine, known, made, random, careful, seed, surveys)
    protocol = f"{_protocol(mine, known, random, survey, seed)} {twins_note(mine.curves)}".strip()
    held_out, sources_out, accuracy = _measured(pipeline, mine, proba, by_source, protocol)
    return Adapted(pipeline, surveys, held_out, sources_out, accuracy, choice, protocol)


def _measured(
    pipeline: Pipeline,
    mine: Labelled,
    proba: dict[str, FloatArray],
    by_source: View | None,
    protocol: str,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Scores of held-out objects, with the source left out, and by source; noted in the pipeline."""
    classes = mine.taxonomy.classes
    held_out = score_table(mine.labels, classes, proba)
    pipeline.info["adapted"] |= {"held_out": held_out, "protocol": protocol}
    if by_source is None:
        return held_out, {}, {}
    sources_out = score_table(mine.labels, classes, by_source.proba)
    accuracy = right_by_source(mine, by_source.proba)
    pipeline.info["adapted"] |= {"source_left_out": sources_out, "by_source": accuracy}
    return held_out, sources_out, accuracy


# --- objects and rows -----------------------------------------------------------


def _usable(curves: LightCurves, labels: StrArray, sources: StrArray | None, taxonomy: Taxonomy) -> Labelled:
    usable, left_out = usable_objects(curves, labels, taxonomy.classes)
    chosen = None if sources is None else np.asarray(sources, np.str_)[usable]
    if chosen is not None and len(np.unique(chosen)) < 2:
        chosen = None
    return Labelled(curves.take(usable), labels[usable], chosen, taxonomy, left_out)


def _training(
    training: tuple[LightCurves, StrArray], mine: Labelled, taxonomy: Taxonomy, most: int
) -> tuple[LightCurves, StrArray]:
    """The training set in the classes of the taxonomy, without the labelled objects."""
    curves, labels = training
    found = taxonomy.match(np.unique(labels).tolist())
    translated = np.array([found[name] or "" for name in labels.tolist()], dtype=np.str_)
    keep = (translated != "") & ~np.isin(curves.object_id, mine.curves.object_id)
    if not keep.any():
        return curves.take(keep), translated[keep]
    chosen, labels = curves.take(keep), translated[keep]
    check_near_duplicates(chosen, mine.curves)
    some = _some_of_each(chosen.object_id, labels, most)
    return chosen.take(some), labels[some]


def _some_of_each(object_id: StrArray, labels: StrArray, most: int) -> IntArray:
    """Positions of at most so many objects of each class, by the hash of their names."""
    order = np.argsort(hash_fraction(object_id, "adapt"), kind="stable")
    parts = [order[labels[order] == name][:most] for name in np.unique(labels)]
    return np.sort(np.concatenate(parts))


def _pool(
    base: Pipeline, mine: Labelled, survey: str | None, config: AdaptConfig, folder: Path
) -> tuple[dict[str, SurveyConfig], list[Seen]]:
    """The surveys of the labelled objects, and all that re-observe: theirs first, then the bundle's."""
    sources = np.full(len(mine.labels), "survey") if mine.sources is None else mine.sources
    surveys: dict[str, SurveyConfig] = {}
    pool: list[Seen] = []
    names = np.unique(sources).tolist()
    for k, name in enumerate(names):
        own = mine.curves.take(sources == name)
        surveys[name] = load_survey(survey) if survey is not None else measure_survey(own, name)
        path = folder / f"{k}.toml"
        path.write_text(to_toml(to_table(surveys[name])), encoding="utf-8")
        pool.append(Seen(str(path), config.own_share / len(names), *redshift_shares(own)))
    others = base.config.reobserve.surveys
    total = sum(others.values())
    if total > 0.0 and config.own_share < 1.0:
        pool += [Seen(name, (1.0 - config.own_share) * w / total) for name, w in others.items()]
    return surveys, pool


def _copies(
    base: Pipeline,
    mine: Labelled,
    known: tuple[LightCurves, StrArray],
    pool: Sequence[Seen],
    config: AdaptConfig,
    seed: int,
    jobs: int | None,
    cache: Path | None,
    progress: Progress,
) -> Made:
    n_own = len(np.unique(mine.sources)) if mine.sources is not None else 1
    task = CopyTask(
        curves=mine.curves,
        labels=mine.labels,
        builder=base.builder,
        copies=config.labels,
        pool=pool[:n_own],
        galactic=mine.taxonomy.galactic,
        seed=seed,
        jobs=jobs,
        progress=progress,
        stage="rows of labels",
    )
    labels = make_copies(task)
    if not len(known[0]):
        raise DataError(
            "no object of the training set has a class of the labels' taxonomy; train on the labels alone"
        )
    task = replace(
        task,
        curves=known[0],
        labels=known[1],
        copies=config.training,
        pool=pool,
        stage="rows of the training set",
    )
    rows = make_copies(task) if cache is None else cached_copies(task, cache, base.bundle_version)
    held = validation_part(known[0].object_id, known[1], _HELD_SHARE)[rows.object]
    return Made(rows.take(~held), rows.take(held), labels)


# --- training on the labels alone -------------------------------------------------


def _scratch(
    base: Pipeline,
    mine: Labelled,
    view: View,
    config: AdaptConfig,
    seed: int,
    jobs: int | None,
    progress: Progress,
) -> dict[str, FloatArray]:
    """Probabilities of pipelines trained on the labelled objects of the other folds alone, if they can be."""
    settings = replace(
        base.config,
        copies=replace(base.config.copies, reobserved=0, validation_fraction=0.2),
        classifier=tree_settings(base.config.classifier, config),
        sets=SetsConfig(folds=0),
        kept_per_class=0,
    )
    fold = view.grower.fold
    found = np.zeros((len(fold), len(mine.taxonomy.classes)))
    n_folds = int(fold.max()) + 1
    for k in range(n_folds):
        learn = fold != k
        try:
            made = Pipeline(settings).fit(
                mine.curves.take(learn), mine.labels[learn], taxonomy=mine.taxonomy, seed=seed, jobs=jobs
            )
        except DataError:
            return {}
        test: Predictions = made.predict(mine.curves.take(~learn), jobs=jobs)
        found[~learn] = test.proba
        progress("from scratch", (k + 1) / n_folds)
    return {SCRATCH: found}


# --- the result -----------------------------------------------------------------


def _finish(
    base: Pipeline,
    mine: Labelled,
    known: tuple[LightCurves, StrArray],
    made: Made,
    random: View,
    careful: Choice | None,
    seed: int,
    surveys: Mapping[str, SurveyConfig],
) -> tuple[Pipeline, Choice]:
    """The pipeline of all labelled objects."""
    grower = random.grower
    choice = grower.choose_for_all().no_less_careful_than(careful)  # other sources must not suffer
    raw = random.raw
    for k, own in enumerate(random.choices):
        if own[:2] != choice[:2]:  # its rows must come from trees like those of the pipeline
            rows = np.flatnonzero(grower.fold[made.labels.object] == k)
            raw[rows] = grower.proba(grower.grow((k,), choice.start, choice.worth), rows)
    calibrator = grower.calibrate([_all_rows(raw, grower)], choice)
    classifier = grower.grow((), choice.start, choice.worth)
    prior = base.frequencies if grower.keeps else np.zeros(len(mine.taxonomy.classes))
    if not grower.keeps:
        frequency = grower.frequency(()) ** (choice.mix if calibrator.n_classes is None else 1.0)
        prior[[mine.taxonomy.classes.index(name) for name in grower.classes]] = frequency / frequency.sum()
    anomaly, domain = _scales(base, made, classifier, calibrator, seed)
    inside = np.unique(made.training.object)
    kept = choose(
        known[0].take(inside),
        known[1][inside],
        anomaly.places(made.training.made.rows.X[made.training.whole]),
        base.config.kept_per_class,
    )
    pipeline = Pipeline.of_parts(
        replace(base.config, classifier=grower.settings),
        base.builder,
        classifier,
        calibrator,
        anomaly=anomaly,
        domain=domain,
        sets=_sets(made, classifier, calibrator, raw),
        kept=kept,
        taxonomy=mine.taxonomy,
        prior=prior,
        object_id=np.concatenate([known[0].object_id, mine.curves.object_id]),
        info=_info(base, mine, known, choice, surveys, seed),
    )
    return pipeline, choice


def _all_rows(raw: FloatArray, grower: Grower) -> Unseen:
    return Unseen(raw, np.arange(len(raw)), grower.frequency(()))


def _sets(made: Made, classifier: Classifier, calibrator: PhaseCalibrator, raw: FloatArray) -> PredictionSets:
    """Prediction sets of rows that their trees have not seen: labelled ones, and held-out training ones."""
    labels, held = made.labels.made, made.held.made
    proba = np.vstack([raw, classifier.predict_proba(held.rows.X, redshift=held.rows.redshift)])
    phase = np.concatenate([labels.phase, held.phase])
    rows = TrainingRows.concatenate([labels.rows, held.rows])
    return PredictionSets().fit(
        calibrator.transform(proba, phase),
        rows.labels,
        classifier.classes,
        phase,
        rows.redshift,
        rows.owner,
        rows.galactic,
    )


def _scales(
    base: Pipeline, made: Made, classifier: Classifier, calibrator: PhaseCalibrator, seed: int
) -> tuple[AnomalyScorer, TrainingDomain]:
    """Anomaly score and domain, with scales from held-out training objects."""
    rows, labels, held = made.training.made, made.labels.made, made.held.made
    proba = classifier.predict_proba(held.rows.X, redshift=held.rows.redshift)
    proba = calibrator.transform(proba, held.phase)
    X = np.vstack([rows.rows.X, labels.rows.X])
    latents = [np.hstack([one.latents.mean, one.latents.log_var]) for one in (rows, labels, held)]
    errors = np.concatenate([rows.latents.recon_error, labels.latents.recon_error])
    checked = AnomalyInputs(latents[2], held.latents.recon_error, proba)
    anomaly = AnomalyScorer(base.config.anomaly).fit(
        X,
        np.concatenate([rows.rows.labels, labels.rows.labels]),
        held.rows.X,
        inputs=AnomalyInputs(np.vstack(latents[:2]), errors),
        validation_inputs=checked,
        phase=held.phase,
        names=base.input_names,
        seed=seed,
    )
    domain = TrainingDomain(base.config.encoder.steps.flux_scale).fit(
        np.vstack([rows.described, labels.described]),
        np.concatenate([rows.phase, labels.phase]),
        held.described,
        held.phase,
        anomaly.score(held.rows.X, held.phase, checked),
    )
    return anomaly, domain


def _info(
    base: Pipeline,
    mine: Labelled,
    known: tuple[LightCurves, StrArray],
    choice: Choice,
    surveys: Mapping[str, SurveyConfig],
    seed: int,
) -> dict[str, Any]:
    """Description for the manifest."""
    names, counts = np.unique(np.concatenate([known[1], mine.labels]), return_counts=True)
    own, n_own = np.unique(mine.labels, return_counts=True)
    return {
        "preset": base.config.name,
        "firstlight": __version__,
        "redshift": base.info.get("redshift", "photo"),
        "seed": seed,
        "n_objects": len(known[0]) + len(mine.labels),
        "n_observations": int(known[0].offsets[-1] + mine.curves.offsets[-1]),
        "objects_per_class": {str(n): int(c) for n, c in zip(names, counts, strict=True)},
        "left_out": mine.left_out,
        "adapted": {
            "from": base.bundle_version,
            "labels": {str(n): int(c) for n, c in zip(own, n_own, strict=True)},
            "trees_added_to": choice.start,
            "training_objects_count_as": None if np.isinf(choice.worth) else choice.worth,
            "mix": choice.mix,
            "surveys": {name: to_table(one) for name, one in surveys.items()},
        },
        FILTERS: added_filters(
            base.filters,
            mine.curves,
            [name for one in surveys.values() for name in one.filters if name not in BANDS],  # else measured
        ),
        "run": provenance(
            [known[0].fingerprint, mine.curves.fingerprint, *known[1].tolist(), *mine.labels.tolist()],
            seed=seed,
        ),
    }


def _protocol(
    mine: Labelled, known: tuple[LightCurves, StrArray], view: View, survey: str | None, seed: int
) -> str:
    n_folds = int(view.grower.fold.max()) + 1
    how = "is measured without labels" if survey is None else "is stated"
    return (
        f"{n_folds} stratified folds over {len(mine.labels):,} labelled objects, each tested once, as whole "
        f"curves, by trees that have not seen it; weights, mix and calibration of a fold chosen on the folds "
        f"beside it by trees that have seen neither; {len(known[0]):,} training objects re-observed as the "
        f"survey, which {how}; spread: bootstrap over objects; seed {seed}"
    )


def write_survey(survey: SurveyConfig, path: Path) -> None:
    """Write a survey as a TOML file that ``--survey`` reads."""
    with replacing(path) as partial:
        partial.write_text(to_toml(to_table(survey)), encoding="utf-8")
