"""Reasons for an answer, and data that would change it."""

import copy
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from firstlight.errors import DataError
from firstlight.pipeline.config import PipelineConfig
from firstlight.pipeline.inputs import input_names
from firstlight.pipeline.words import GROUPS, OTHER, group_of, meanings, natural_values


@pytest.fixture(scope="module")
def one(sample, sample_labels):
    """A supernova, cut 30 days after its trigger."""
    k = int(np.flatnonzero((sample_labels == "SNIa") & (sample.redshift > 0))[0])
    return sample.take([k]).upto_phase(30.0)


@pytest.fixture(scope="module", params=["tiny_default", "tiny_fast", "tiny_nights"])
def pipeline(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def made(pipeline, one):
    return pipeline.explain(one)


def test_reasons_add_up_to_the_ratio_before_calibration(pipeline, one, made):
    ready = pipeline._ready(one)
    row = pipeline.builder.rows(ready)
    proba = pipeline._fitted().predict_proba(row.X, redshift=ready.redshift)[0]
    chance = dict(zip(pipeline.classes, proba.tolist(), strict=True))
    why = next(w for w in made.why if w.decision.endswith("class"))
    assert why.favoured == made.label
    assert why.start + sum(reason.weight for reason in why.reasons) == pytest.approx(why.total)
    assert why.total == pytest.approx(np.log(chance[why.favoured] / chance[why.against]), abs=1e-6)
    for name, groups in why.by_class.items():
        assert set(groups) <= set(GROUPS), name


def test_every_input_has_a_group(pipeline):
    assert [name for name in pipeline.input_names if group_of(name) == OTHER] == []


def test_every_input_is_named_in_words(pipeline):
    columns = meanings(pipeline.config, pipeline.builder.templates)
    assert tuple(one.name for one in columns) == pipeline.input_names
    assert [one.name for one in columns if "_" in one.name and one.text == one.name.replace("_", " ")] == []
    unexplained = re.compile(r"(trigger|peak)\d|log |asinh \w+ time|\b(its|that) slope")
    assert [one.text for one in columns if unexplained.search(one.text)] == []


def test_values_are_those_of_the_light_curve(tiny_fast, one):
    ready = tiny_fast._ready(one)
    columns = meanings(tiny_fast.config, None)
    row = tiny_fast.builder.rows(ready).X[0]
    value = dict(zip((c.name for c in columns), natural_values(columns, row), strict=True))
    curve = ready[0]
    assert value["n_obs"] == pytest.approx(len(curve), rel=1e-5)
    assert value["span"] == pytest.approx(curve.mjd[-1] - curve.mjd[0], rel=1e-5)
    assert value["log_redshift"] == pytest.approx(float(ready.redshift[0]), rel=1e-4)
    for b in np.unique(curve.band).tolist():
        own, band = curve.band == b, "ugrizy"[b]
        low = curve.flux[own] - curve.flux_err[own]
        assert value[f"snr_max_{band}"] == pytest.approx(
            max(0.0, (curve.flux[own] / curve.flux_err[own]).max()), rel=1e-4
        )
        if low.max() > 0.0:
            assert value[f"high_{band}"] == pytest.approx(low.max(), rel=1e-4)
            at = curve.mjd[own][low.argmax()] - curve.trigger_mjd
            assert value[f"high_time_{band}"] == pytest.approx(at, rel=1e-4, abs=1e-4)


def test_what_is_not_determined_has_no_value(tiny_fast, one):
    """A column of the summary is 0 then, which reads like a measurement."""
    columns = meanings(tiny_fast.config, None)
    only = one.with_redshift("none").upto_phase(0.0)
    row = tiny_fast.builder.rows(tiny_fast._ready(only)).X[0]
    value = dict(zip((c.name for c in columns), natural_values(columns, row), strict=True))
    absent = sorted(set("ugrizy") - {"ugrizy"[b] for b in only.band.tolist()}) or ["y"]
    unknown = ["log_redshift", "absolute_peak", "galactic", "trigger8_r", f"mean_{absent[0]}"]
    if absent == ["y"]:
        unknown = unknown[:-1]
    assert np.isnan([value[name] for name in unknown]).all()
    assert value["redshift_known"] == 0.0


def test_two_inputs_with_columns_of_one_name_are_both_named():
    config = PipelineConfig(inputs=("latent", "summary", "features"), templates=False)
    names = input_names(config, None)
    assert len(set(names)) < len(names)
    assert tuple(one.name for one in meanings(config, None)) == names


def test_a_named_rival_is_compared(pipeline, one, made):
    rival = next(name for name in made.why[-1].by_class if name not in (made.label, made.why[-1].against))
    assert pipeline.explain(one, against=rival).why[-1].against == rival
    with pytest.raises(DataError, match="nova"):
        pipeline.explain(one, against="nova")


def test_nearest_objects_are_kept_ones_at_the_same_age(pipeline, one, made):
    assert len(made.nearest) == 5
    distances = [near.distance for near in made.nearest]
    assert distances == sorted(distances)
    kept = dict(zip(pipeline._kept.curves.object_id.tolist(), pipeline._kept.labels.tolist(), strict=True))
    assert all(kept[near.object_id] == near.label for near in made.nearest)
    first = pipeline._kept.curves.find(made.nearest[0].object_id)
    assert len(first) == len(made.nearest[0].curve)


def test_an_object_is_not_its_own_neighbour(pipeline):
    kept = pipeline._kept.curves.take([0])
    assert kept.object_id[0] not in [near.object_id for near in pipeline.explain(kept).nearest]


def test_changes_are_answers_to_changed_data(pipeline, one, made):
    hidden = pipeline.predict(one.with_redshift("none"))
    change = next(c for c in made.changes if c.text == "Without the redshift")
    assert change.probability == hidden.proba[0].max()
    before = pipeline.predict(one.upto_mjd(one.mjd[-1] - 0.6))
    change = next(c for c in made.changes if c.kind == "history")
    assert change.favoured == before.proba[0, before.classes.index(made.label)]


def test_redshifts_are_tried_where_none_is_known(pipeline, one):
    changes = pipeline.explain(one.with_redshift("none")).changes
    assert [c.text for c in changes if c.kind == "redshift"][:2] == [
        "In the Milky Way (redshift 0)",
        "With a redshift of 0.02",
    ]


def test_one_more_observation_is_predicted_like_any_other(pipeline, one, made):
    assert {each.band for each in made.next_observations} <= set("ugrizy")
    each = made.next_observations[0]
    band = "ugrizy".index(each.band)
    noise = float(np.median(one.flux_err[one.band == band]))
    longer = one.with_columns(
        offsets=one.offsets + np.array([0, 1]),
        mjd=np.append(one.mjd, each.mjd),
        band=np.append(one.band, np.int8(band)),
        flux=np.append(one.flux, np.float32(each.flux)),
        flux_err=np.append(one.flux_err, np.float32(noise)),
        detected=np.append(one.detected, abs(each.flux) > 5.0 * noise),
    )
    found = pipeline.predict(longer)
    assert each.favoured[1] == found.proba[0, found.classes.index(made.label)]


def test_an_observation_that_moves_nothing_is_not_recommended(made):
    now = float(made.predictions.proba[0].max())
    each = made.next_observations[0]
    for favoured, words in (((now, now, now), "would change nothing"), ((now, now, now - 0.3), "tell most")):
        one = each._replace(favoured=favoured, labels=(made.label,) * 3)
        assert words in replace(made, next_observations=(one,)).sentences()[-1 - len(made.notes)]


def test_it_is_plain_json(made):
    content = made.to_dict()
    assert json.loads(json.dumps(content, allow_nan=False))["class"] == made.label
    assert content["sentences"] == made.sentences()
    assert made.sentences()[0] in repr(made)


def test_an_old_bundle_names_its_missing_parts(tiny_fast, one):
    old = copy.copy(tiny_fast)
    old._kept = None
    old._classifier = copy.copy(tiny_fast._classifier)
    without = re.compile(r"^leaf_count=.*\n", re.MULTILINE)
    old._classifier._experts = {
        name: replace(expert, text=without.sub("", expert.text))
        for name, expert in tiny_fast._classifier._experts.items()
    }
    old._classifier._gate = replace(
        tiny_fast._classifier._gate, text=without.sub("", tiny_fast._classifier._gate.text)
    )
    made = old.explain(one)
    assert made.why == ()
    assert made.nearest == ()
    assert any("keeps no training objects" in note for note in made.notes)
    assert any("training rows" in note for note in made.notes)
    assert made.changes


def test_an_object_that_is_not_classified_has_no_reasons(tiny_fast, one):
    made = tiny_fast.explain(one.keep(np.arange(len(one.mjd)) < 1))
    assert made.why == ()
    assert made.notes
    assert made.sentences()[0].startswith("Not classified")


def test_two_objects_are_refused(tiny_fast, sample):
    with pytest.raises(DataError, match="one object"):
        tiny_fast.explain(sample.take([0, 1]))
