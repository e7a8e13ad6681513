"""The tuning learns from inner folds of outer fold 1, is scored once, and says what its numbers say."""

import copy
import json

import pytest

from firstlight.experiments import study
from firstlight.experiments.study import PARAMETERS, TuneConfig
from firstlight_paper.parts import tuning
from firstlight_paper.section import Picture, Table
from firstlight_paper.workshop import Workshop, plain

pytest.importorskip("optuna")

CONFIG = TuneConfig(n_trials=5, inner_folds=2, startup=4, n_estimators=(3, 6), max_depth=(1, 2))


def fold_loss(task, settings, fold) -> float:
    return 1.0 + 0.1 * settings.max_depth + 1.0 / settings.n_estimators


@pytest.fixture(scope="module")
def bench(own_bench):
    """Trials cost nothing here; what is scored in the end is trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "QUICK", CONFIG)
        patch.setattr(tuning, "MOST_LEAKY_ROWS_QUICK", 300)
        patch.setattr(tuning, "PLAIN", tuning.SklearnBoosterConfig(class_weight_exponent=0.0, n_estimators=4))
        patch.setattr(study, "_fold_loss", fold_loss)
        yield own_bench


@pytest.fixture(scope="module")
def asked(bench):
    """The part's result, and which settings were fitted on which fold."""
    fits, honest = [], tuning.fold_proba

    def spied(objects, X, k, config, seed):
        fits.append((k, config))
        return honest(objects, X, k, config, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "fold_proba", spied)
        result = tuning.PART.measure(Workshop(bench))
    return json.loads(json.dumps(plain(result), allow_nan=False)), fits


@pytest.fixture(scope="module")
def result(asked):
    return asked[0]


def test_the_study_sees_no_test_object_of_the_outer_fold(bench):
    objects = bench.objects
    seen = set(tuning.learning_rows(bench).object_id.tolist())
    assert seen == set(objects.curves.object_id[objects.learn(0)].tolist())
    assert not seen & set(objects.curves.object_id[objects.folds[0].test].tolist())


def test_the_tuned_settings_are_scored_once_and_on_the_clean_fold_alone(asked, bench):
    _, fits = asked
    tuned = [k for k, config in fits if config != tuning.PLAIN]
    untuned = [k for k, config in fits if config == tuning.PLAIN]
    assert tuned == [0]
    assert sorted(untuned) == list(range(len(bench.objects.folds)))


def test_a_finished_tuning_is_taken_up_as_it_is(result, bench, monkeypatch):
    monkeypatch.setattr(study, "_one_trial", lambda *_: pytest.fail("a trial ran again"))
    monkeypatch.setattr(tuning, "fold_proba", lambda *_: pytest.fail("a fit ran again"))
    again = tuning.PART.measure(Workshop(bench))
    assert json.loads(json.dumps(plain(again))) == result


def test_more_trials_run_only_those_that_are_missing(result, bench, monkeypatch):
    tickets, one = [], study._one_trial

    def counted(task, study, ticket):
        tickets.append(ticket)
        one(task, study, ticket)

    monkeypatch.setattr(study, "_one_trial", counted)
    monkeypatch.setattr(tuning, "QUICK", TuneConfig(**{**CONFIG.__dict__, "n_trials": 7}))
    more = plain(tuning.PART.measure(Workshop(bench)))
    assert tickets == [5, 6]
    assert more["n_trials"] == 7
    assert more["trials"][:5] == result["trials"]


def test_the_full_scale_has_as_many_cycles_as_the_paper():
    assert tuning.FULL.n_trials >= 105


def test_printed_its_protocol_and_honest_stand_side_by_side(result):
    assert result["accuracy"]["printed"] == 0.89
    assert result["accuracy"]["leak"] == result["leak"]["tuned"]["sixteen"]["accuracy"]
    assert result["accuracy"]["honest"] == result["honest"]["tuned"]["sixteen"]["accuracy"]
    assert 0.0 < result["leak"]["shared"] <= 1.0
    assert result["n_trials"] == len(result["trials"]) == CONFIG.n_trials
    change = result["honest"]["difference"]["sixteen"]["accuracy"]
    assert change["before"] == result["honest"]["untuned"]["sixteen"]["accuracy"]
    assert change["after"] == result["honest"]["tuned"]["sixteen"]["accuracy"]
    folds = result["honest"]["untuned_over_folds"]["sixteen"]["accuracy"]
    assert folds["folds"][0] == pytest.approx(change["before"], abs=1e-6)
    assert len(folds["folds"]) == 2


def test_the_section_is_drawn_from_the_json_alone(result):
    section = tuning.PART.show(result)
    pictures = [block for block in section.blocks if isinstance(block, Picture)]
    assert [picture.name for picture in pictures] == [
        "tuning-history",
        "tuning-importance",
        "tuning-parallel",
    ]
    scores, settings = [block for block in section.blocks if isinstance(block, Table)]
    assert all(len(row) == len(scores.columns) for row in scores.rows)
    assert [row[0] for row in settings.rows] == list(PARAMETERS.values())
    assert any("13 real classes" in row[0] for row in scores.rows)


def test_without_importances_their_picture_is_left_out(result):
    section = tuning.show(result | {"importances": None})
    assert "tuning-importance" not in [b.name for b in section.blocks if isinstance(b, Picture)]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.01, 0.03, "more than the choice of test objects explains"),
        (-0.01, 0.03, "alone explains"),
        (-0.03, -0.01, "worse there"),
    ],
)
def test_the_words_follow_the_interval(result, low, high, words):
    changed = copy.deepcopy(result)
    change = changed["honest"]["difference"]["sixteen"]["accuracy"]
    change |= {"difference": (low + high) / 2.0, "low": low, "high": high}
    text = tuning.show(changed).blocks[1]
    assert words in text
    assert f"{low:+.3f}" in text


def test_a_choice_at_the_end_of_its_range_is_told(result):
    changed = copy.deepcopy(result)
    changed["settings"]["range"] = {name: [1e-4, 1.0] for name in PARAMETERS}
    changed["settings"]["tuned"] = dict.fromkeys(PARAMETERS, 0.04)  # inside, on either scale
    assert "end of its range" not in tuning.show(changed).blocks[1]
    changed["settings"]["tuned"]["max_depth"] = 1.0
    assert "range: maximum depth (highest tried)" in tuning.show(changed).blocks[1]
