"""A new survey: nothing tested on is trained on, and all that is shown comes from the JSON."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.data import Snpcc
from firstlight.lightcurves import LightCurves
from firstlight.taxonomy import CLASSES
from firstlight_paper.parts import new_survey, new_survey_show
from firstlight_paper.parts.new_survey import PART, estimate_mix, figure_of_merit, remix, to_three
from firstlight_paper.parts.new_survey_data import Amounts, split_survey
from firstlight_paper.section import Picture, Table
from firstlight_paper.workshop import Workshop, read_json, write_json

TINY = Amounts(n_test=24, n_random=40, labels=(10, 20), draws=2, rounds=3)
WIDTH = {"Ia": 12.0, "II": 40.0, "Ib": 8.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A hundred bumps whose width tells the type, as the public Parquet files have them."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("snpcc")
    types = rng.permutation(np.repeat(["Ia", "II", "Ib"], [30, 50, 20]))
    time = 56_200.0 + np.arange(0.0, 120.0, 5.0)
    parts = []
    for k, kind in enumerate(types):
        flux = 60.0 * np.exp(-0.5 * ((time - 56_250.0) / WIDTH[kind]) ** 2)
        for shift, band in enumerate("griz"):
            parts.append(
                pd.DataFrame(
                    {
                        "snid": 1_000_000 + k,
                        "mjd": time + 0.01 * shift,
                        "band": band,
                        "fluxcal": flux + rng.normal(0.0, 3.0, len(time)),
                        "fluxcalerr": 3.0,
                    }
                )
            )
    pd.concat(parts).to_parquet(folder / "lightcurves.parquet", index=False)
    n = len(types)
    pd.DataFrame(
        {
            "snid": 1_000_000 + np.arange(n),
            "sntype": np.where(np.arange(n) < 25, 1, -9),
            "sim_type": types,
            "host_photoz": rng.uniform(0.2, 0.6, n),
            "z_spec": -9.0,
            "mwebv": 0.02,
        }
    ).to_parquet(folder / "metadata.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def measured(own_bench, folder):
    """The part's result, the workshop, and every block of rows that was trained on."""
    workshop = Workshop(replace(own_bench, snpcc=folder))
    trained, scores = [], new_survey._Trainer.scores

    def spy(self, rows):
        trained.append((self.X_test, np.concatenate([block for block, _, _ in rows])))
        return scores(self, rows)

    patch = pytest.MonkeyPatch()
    patch.setattr(new_survey, "QUICK", TINY)
    patch.setattr(new_survey._Trainer, "scores", spy)
    yield PART.measure(workshop), workshop, trained
    patch.undo()


def test_no_row_that_is_tested_on_was_trained_on(measured):
    _, _, trained = measured
    assert len(trained) == TINY.draws * (2 + 2 * 2 * len(TINY.labels))
    for test, rows in trained:
        assert len(test) == TINY.n_test
        assert not {row.tobytes() for row in test} & {row.tobytes() for row in rows}


def test_the_result_has_what_the_page_needs_and_only_numbers(measured, tmp_path):
    result, _, _ = measured
    assert result["printed"] is None
    assert result["leak"] is None
    write_json(tmp_path / "x.json", result)
    json.dumps(read_json(tmp_path / "x.json"), allow_nan=False)
    assert (tmp_path / "x.json").stat().st_size < 150_000
    assert {(row["source"], row["training"], row["labels"]) for row in result["honest"]["adapted"]} == {
        (source, training, n)
        for source in ("spectroscopic", "random")
        for training in ("alone", "joint")
        for n in TINY.labels
    }
    for row in result["honest"]["adapted"]:
        assert len(row["auc"]["folds"]) == TINY.draws
    confusion = np.array(result["confusion"]["as it is"])
    assert confusion.sum() == TINY.draws * TINY.n_test


def test_the_section_is_drawn_from_the_json_alone(measured, tmp_path):
    write_json(tmp_path / "x.json", measured[0])
    section = PART.show(read_json(tmp_path / "x.json"))
    pictures = [block.name for block in section.blocks if isinstance(block, Picture)]
    assert pictures == [
        f"new-survey-{what}" for what in ("labels", "confusion", "phase", "curves", "anomaly")
    ]
    for table in (block for block in section.blocks if isinstance(block, Table)):
        assert {len(row) for row in table.rows} == {len(table.columns)}
    for picture in (block for block in section.blocks if isinstance(block, Picture)):
        picture.figure.savefig(tmp_path / "x.png")


def test_a_second_run_computes_nothing(measured, monkeypatch):
    result, workshop, _ = measured

    def refuse(*_):
        raise AssertionError("computed anew")

    monkeypatch.setattr(new_survey, "_draw", refuse)
    monkeypatch.setattr(new_survey, "look", refuse)
    assert json.dumps(PART.measure(workshop)) == json.dumps(result)
    monkeypatch.setattr(new_survey, "QUICK", replace(TINY, rounds=4))
    with pytest.raises(AssertionError, match="computed anew"):
        PART.measure(workshop)


def test_without_the_survey_the_part_says_what_to_give(own_bench):
    result = PART.measure(Workshop(replace(own_bench, snpcc=None)))
    assert result["honest"] is None
    (paragraph,) = PART.show(json.loads(json.dumps(result))).blocks
    assert "--snpcc FOLDER" in paragraph


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 80), n_test=st.integers(1, 40), draws=st.integers(1, 4))
def test_no_object_of_the_survey_is_in_two_parts(seed, n, n_test, draws):
    rng = np.random.default_rng(seed)
    curves = LightCurves(
        object_id=np.arange(n).astype(str),
        offsets=np.arange(n + 1),
        mjd=np.zeros(n),
        band=np.ones(n),
        flux=rng.normal(5.0, 3.0, n),
        flux_err=np.ones(n),
    )
    survey = Snpcc(curves, np.full(n, "SNIa"), rng.random(n) < 0.3)
    parts = split_survey(survey, replace(TINY, n_test=n_test, draws=draws), rng)
    everything = np.concatenate([parts.test, *parts.random, parts.spectroscopic])
    assert len(np.unique(everything)) == len(everything)
    assert len(parts.random) == draws
    assert survey.spectroscopic[parts.spectroscopic].all()
    assert not survey.spectroscopic[parts.test].any()
    assert curves.detected[everything].all()


def test_the_mix_of_unlabelled_objects_is_found_from_their_probabilities():
    rng = np.random.default_rng(0)
    old, new = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.65, 0.15])
    truth = rng.choice(3, 20_000, p=new)
    seen = rng.normal(truth, 0.7)  # one measurement, whose density is known
    density = np.exp(-0.5 * ((seen[:, None] - np.arange(3)) / 0.7) ** 2)
    proba = density * old
    proba /= proba.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(estimate_mix(proba, old), new, atol=0.02)
    right = (remix(proba, old, new).argmax(axis=1) == truth).mean()
    assert right > (proba.argmax(axis=1) == truth).mean() + 0.05


def test_three_classes_keep_their_ratios():
    proba = np.full((1, len(CLASSES)), 0.05)
    proba[0, CLASSES.index("SNII")] = 0.2
    np.testing.assert_allclose(to_three(proba), [[1 / 6, 4 / 6, 1 / 6]])
    empty = np.zeros((1, len(CLASSES)))
    np.testing.assert_allclose(to_three(empty), np.full((1, 3), 1 / 3))


def test_false_supernovae_ia_count_three_times():
    assert figure_of_merit([[10, 0], [0, 90]]) == 1.0
    assert figure_of_merit([[5, 5], [0, 90]]) == 0.5
    assert figure_of_merit([[10, 0], [10, 80]]) == 0.25
    assert figure_of_merit([[0, 10], [0, 90]]) == 0.0


@pytest.mark.parametrize(
    ("alone", "words"), [((0.8, 0.9), "30 random labels alone"), ((0.9, 0.7), "no number")]
)
def test_labels_are_worth_it_only_where_every_draw_gains(alone, words):
    def row(training, folds):
        return {"source": "random", "training": training, "labels": 30, "auc": {"folds": list(folds)}}

    honest = {
        "before": {"three_survey_mix": {"auc": {"folds": [0.7, 0.75]}}},
        "adapted": [row("joint", (0.9, 0.9)), row("alone", alone)],
    }
    text = new_survey_show._worth(honest)
    assert "30 random labels together with PLAsTiCC" in text
    assert words in text
