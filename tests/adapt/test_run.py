"""A bundle adapted to a survey, on a few real objects."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from firstlight import LightCurves, Pipeline
from firstlight._types import no_progress
from firstlight.adapt import AdaptConfig, Adapted, adapt
from firstlight.adapt.rows import PLAIN, CopyTask, Seen, cached_copies
from firstlight.adapt.run import _copies, _pool, _training, _usable
from firstlight.adapt.scores import ADAPTED, MIXED, SCRATCH, UNADAPTED
from firstlight.adapt.trees import BUNDLE, NO_LABELS, SURVEY, Choice, balanced
from firstlight.adapt.views import Views
from firstlight.errors import DataError, LeakageError
from firstlight.pipeline.config import CopiesConfig
from firstlight.taxonomy import GALACTIC, Taxonomy

SMALL = AdaptConfig(
    folds=3,
    worth=(5.0,),
    anchors=5,
    rounds=4,
    leaves=5,
    further_rounds=2,
    training=CopiesConfig(truncations=0, reobserved=1),
    labels=CopiesConfig(truncations=1, augmented=0, reobserved=1),
)
MINE = ("SNIa", "SNII", "RRL")


class Halves(NamedTuple):
    """The sample in two parts: labelled objects of three classes, and a training set."""

    mine: LightCurves
    labels: np.ndarray
    training: tuple[LightCurves, np.ndarray]


@pytest.fixture(scope="module")
def halves(sample: LightCurves, sample_labels: np.ndarray) -> Halves:
    own = np.isin(sample_labels, MINE) & (np.arange(len(sample)) % 2 == 0)
    return Halves(sample.take(own), sample_labels[own], (sample.take(~own), sample_labels[~own]))


@pytest.fixture(scope="module")
def adapted(tiny_fast: Pipeline, halves: Halves) -> Adapted:
    """Three sources, so that each is left out once."""
    sources = np.array(["a", "b", "c"])[np.arange(len(halves.labels)) % 3]
    return adapt(tiny_fast, *halves, sources=sources, config=SMALL, scratch=False, jobs=1)


def test_an_adapted_bundle_is_saved_and_answers_alike(
    adapted: Adapted, halves: Halves, tmp_path: Path
) -> None:
    adapted.pipeline.save(tmp_path / "mine")
    loaded = Pipeline.load(tmp_path / "mine")
    before, after = (one.predict(halves.mine, jobs=1) for one in (adapted.pipeline, loaded))
    assert before.proba.tobytes() == after.proba.tobytes()
    assert before.anomaly.tobytes() == after.anomaly.tobytes()
    assert loaded.trained_on(halves.mine.object_id).all()
    assert set(np.unique(before.domain)) <= {"inside", "edge", "outside", "unknown"}


def test_encoder_and_features_are_those_of_the_bundle(
    adapted: Adapted, tiny_fast: Pipeline, halves: Halves
) -> None:
    assert adapted.pipeline.inputs(halves.mine).tobytes() == tiny_fast.inputs(halves.mine).tobytes()


def test_the_table_has_the_bundle_as_it_was_and_a_spread(
    adapted: Adapted, tiny_fast: Pipeline, halves: Halves
) -> None:
    assert set(adapted.held_out) == {ADAPTED, UNADAPTED, MIXED}
    right = tiny_fast.predict(halves.mine, jobs=1).label == halves.labels
    assert adapted.held_out[UNADAPTED]["accuracy"]["value"] == pytest.approx(right.mean(), abs=1e-4)
    assert adapted.held_out[ADAPTED]["accuracy"]["std"] > 0.0
    assert adapted.held_out[UNADAPTED]["accuracy"]["difference_std"] == 0.0


def test_each_source_is_left_out_and_counted(adapted: Adapted, halves: Halves) -> None:
    assert set(adapted.by_source) == {"a", "b", "c"}
    assert sum(row["n_objects"] for row in adapted.by_source.values()) == len(halves.labels)
    assert set(adapted.surveys) == {"a", "b", "c"}


def test_the_manifest_describes_the_adaptation(adapted: Adapted, halves: Halves) -> None:
    told = adapted.pipeline.info["adapted"]
    assert sum(told["labels"].values()) == len(halves.labels)
    assert told["trees_added_to"] in (BUNDLE, SURVEY)
    assert set(told["surveys"]) == set(adapted.surveys)


def test_held_out_objects_have_no_part_in_their_own_trees(
    tiny_fast: Pipeline, halves: Halves, tmp_path: Path
) -> None:
    """Other labels of a fold change nothing in the probabilities of that fold."""
    mine = _usable(halves.mine, halves.labels, None, Taxonomy())
    known = _training(halves.training, mine, Taxonomy(), 100)
    _, pool = _pool(tiny_fast, mine, None, SMALL, tmp_path)
    made = _copies(tiny_fast, mine, known, pool, SMALL, 0, 1, None, no_progress)
    found = []
    for flip in (False, True):
        grower = Views(tiny_fast, mine, SMALL, made, 0, 1, no_progress).random().grower
        own = grower.fold[made.labels.object] == 0
        if flip:
            labels = made.labels.made.rows.labels
            labels[own] = np.where(labels[own] == "SNIa", "SNII", "SNIa")
            grower._grown.clear()
        test = np.flatnonzero(own)
        found.append([grower.proba(grower.grow(out, SURVEY, 5.0), test) for out in ((0,), (0, 1))])
    for before, after in zip(*found, strict=True):
        assert before.tobytes() == after.tobytes()


def test_a_class_of_ones_own_is_learnt(tiny_fast: Pipeline, halves: Halves) -> None:
    taxonomy = Taxonomy.of({name: {} for name in ("SNIa", "SNII", "nova")})
    labels = np.where(halves.labels == "RRL", "nova", halves.labels)
    found = adapt(
        tiny_fast,
        halves.mine,
        labels,
        halves.training,
        taxonomy=taxonomy,
        config=SMALL,
        scratch=False,
        jobs=1,
    )
    assert found.pipeline.classes == ("SNIa", "SNII", "nova")
    assert found.pipeline.predict(halves.mine, jobs=1).proba[labels == "nova", 2].mean() > 1.0 / 3.0


def test_training_from_the_labels_alone_is_in_the_table(tiny_fast: Pipeline, halves: Halves) -> None:
    found = adapt(tiny_fast, *halves, config=SMALL, jobs=1)
    assert SCRATCH in found.held_out
    assert not found.sources_out


def test_rows_of_the_training_set_are_kept(tiny_fast: Pipeline, halves: Halves, tmp_path: Path) -> None:
    curves, labels = halves.training
    few = np.arange(20)
    task = CopyTask(
        curves=curves.take(few),
        labels=labels[few],
        builder=tiny_fast.builder,
        copies=SMALL.training,
        pool=[Seen("des", 1.0)],
        galactic=GALACTIC,
        seed=0,
        jobs=1,
    )
    made = [cached_copies(replace(task, seed=seed), tmp_path, tiny_fast.bundle_version) for seed in (0, 0, 1)]
    assert len(list(tmp_path.iterdir())) == 2
    first, again, other = (one.made.rows for one in made)
    assert first.X.tobytes() == again.X.tobytes()
    assert first.X.tobytes() != other.X.tobytes()
    assert (made[0].survey[made[0].whole] == PLAIN).all()


def test_sources_weigh_the_same_within_a_class() -> None:
    labels, sources = np.array(["a"] * 4 + ["b"]), np.array(["x", "x", "x", "y", "x"])
    weight = balanced(labels, sources)
    assert weight[:3].sum() == pytest.approx(weight[3])
    assert weight[:4].sum() == pytest.approx(4.0)
    assert weight[4] == 1.0


def test_too_few_labels_are_an_error(tiny_fast: Pipeline, halves: Halves) -> None:
    with pytest.raises(DataError, match="two classes or more"):
        adapt(tiny_fast, halves.mine.take([0]), halves.labels[:1], halves.training, config=SMALL)


def _views(bundle: Pipeline, halves: Halves, sources: np.ndarray, folder: Path) -> Views:
    mine = _usable(halves.mine, halves.labels, sources, Taxonomy())
    known = _training(halves.training, mine, Taxonomy(), 100)
    _, pool = _pool(bundle, mine, None, SMALL, folder)
    made = _copies(bundle, mine, known, pool, SMALL, 0, 1, None, no_progress)
    return Views(bundle, mine, SMALL, made, 0, 1, no_progress)


def test_a_source_that_is_a_class_says_nothing_about_the_class(
    tiny_fast: Pipeline, halves: Halves, tmp_path: Path
) -> None:
    """Each source has one class; in its view all classes that were copied weigh the same."""
    view = _views(tiny_fast, halves, halves.labels, tmp_path).by_source()
    assert view is not None
    grower = view.grower
    assert grower.keeps
    rows, labels = grower.training, grower.labels
    seen = rows.survey != PLAIN
    fill = grower._fill(seen & np.isin(rows.survey, (0, 1, 2)), frozenset({2}))
    for source in (0, 1):
        own = labels.made.rows.weight * grower.balance[labels.object]
        of_labels = own[grower._used(frozenset({2})) & (grower.fold[labels.object] == source)].sum()
        mine = rows.survey == source
        name = np.unique(halves.labels)[source]
        for label in np.unique(rows.made.rows.labels[mine]).tolist():
            chosen = mine & (rows.made.rows.labels == label)
            of_copies = (fill * rows.made.rows.weight)[chosen].sum()
            assert of_copies == pytest.approx(0.0 if label == name else of_labels)
    assert not fill[rows.survey == 2].any()


def test_labels_of_several_sources_keep_the_calibration_and_the_mix_of_the_bundle(
    adapted: Adapted, tiny_fast: Pipeline
) -> None:
    assert adapted.choice.start == BUNDLE
    assert adapted.choice.mix == 0.0
    np.testing.assert_array_equal(adapted.pipeline.frequencies, tiny_fast.frequencies)
    before, after = (one.calibrator.tables for one in (tiny_fast, adapted.pipeline))
    for own, kept in zip(before, after, strict=True):
        np.testing.assert_array_equal(own, kept)


def test_held_out_objects_are_answered_as_carefully_as_the_bundle_that_is_written(
    tiny_fast: Pipeline, halves: Halves, tmp_path: Path
) -> None:
    """Where sources choose that the labels train nothing, the table has no gain from labels."""
    sources = np.array(["a", "b", "c"])[np.arange(len(halves.labels)) % 3]
    view = _views(tiny_fast, halves, sources, tmp_path).random(Choice(BUNDLE, NO_LABELS, 0.0, 0.0))
    assert {choice.worth for choice in view.choices} == {NO_LABELS}
    np.testing.assert_allclose(view.proba[ADAPTED], view.proba[UNADAPTED])
    own = Choice(BUNDLE, 10.0, 0.5, 1.0)
    assert own.no_less_careful_than(None) == own
    assert own.no_less_careful_than(Choice(BUNDLE, 5.0, 0.0, 1.0)) == own
    assert own.no_less_careful_than(Choice(BUNDLE, 100.0, 0.0, 2.0)) == Choice(BUNDLE, 100.0, 0.5, 2.0)


def test_trees_without_labels_answer_a_source_as_the_bundle_does(
    tiny_fast: Pipeline, halves: Halves, tmp_path: Path
) -> None:
    sources = np.array(["a", "b", "c"])[np.arange(len(halves.labels)) % 3]
    view = _views(tiny_fast, halves, sources, tmp_path).by_source()
    assert view is not None
    grower = view.grower
    for part in grower.unseen(0, BUNDLE, NO_LABELS):
        whole = grower.labels.whole[part.rows]
        own = grower.labels.object[part.rows][whole]
        columns = [Taxonomy().classes.index(name) for name in grower.classes]
        np.testing.assert_allclose(part.proba[whole], view.proba[UNADAPTED][own][:, columns])


def test_an_adapted_bundle_names_the_filters_of_the_labels_too(adapted: Adapted, tiny_fast: Pipeline) -> None:
    assert set(tiny_fast.filters) <= set(adapted.pipeline.filters)


def test_one_light_curve_under_two_names_is_refused_before_any_work(
    tiny_fast: Pipeline, halves: Halves
) -> None:
    names = np.array([f"copy of {name}" for name in halves.mine.object_id[:6]])
    columns = halves.mine[:6]._columns() | {"object_id": names}
    both = LightCurves.concatenate([halves.mine, LightCurves(**columns, dereddened=halves.mine.dereddened)])
    with pytest.raises(LeakageError, match="copy of"):
        adapt(tiny_fast, both, np.append(halves.labels, halves.labels[:6]), halves.training, config=SMALL)
