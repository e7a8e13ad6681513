"""Table 1 tests on unseen objects, resumes by item, and says no more than its numbers."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight_paper.booster import PLAIN
from firstlight_paper.parts import table_1
from firstlight_paper.parts.table_1_words import difference_error, saturation, what_it_says
from firstlight_paper.scores import spread
from firstlight_paper.section import Picture, Table
from firstlight_paper.workshop import Workshop, plain

AMOUNT = table_1._Amount(
    latents=(1, 6, 9), folds=2, epochs=1, leaky_rows=400, booster=replace(PLAIN, n_estimators=4)
)


@pytest.fixture(scope="module")
def bench(own_bench):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_1, "_QUICK", AMOUNT)
        yield own_bench


@pytest.fixture(scope="module")
def rows(bench):
    return json.loads(json.dumps(plain(table_1.PART.measure(Workshop(bench))), allow_nan=False))


def _made(accuracies, losses, leak=None):
    """Rows as measured, from accuracies by number of latents and fold."""
    made = []
    for (n, folds), loss in zip(accuracies.items(), losses, strict=True):
        scores = {name: spread(folds) for name in ("accuracy", "macro_f1", "macro_auc", "macro_recall")}
        made.append(
            {
                "n_latents": n,
                "printed": 0.5,
                "leak": leak,
                "leak_shared": 0.7,
                "honest": spread(folds),
                "scores": {"sixteen": scores, "real": scores},
                "validation_loss": spread([loss, loss]),
                "active": [n, n],
                "most_frequent": 0.3,
                "protocol": "None.",
            }
        )
    return plain(made)


def test_every_number_of_latents_has_its_row_with_what_the_paper_prints(rows):
    assert [row["n_latents"] for row in rows] == [1, 6, 9]
    assert [row["printed"] for row in rows] == [0.001, 0.89, 0.82]
    assert all(len(row["honest"]["folds"]) == 2 and 0.0 < row["leak"] < 1.0 for row in rows)
    assert all(row["active"][0] <= row["n_latents"] for row in rows)


def test_honest_scores_are_of_all_test_objects_of_the_folds(rows, bench):
    folds = bench.objects.folds
    assert rows[0]["n_test"] == sum(len(fold.test) for fold in folds)
    assert rows[1]["reference"]["n_test"] == len(bench.objects)


def test_the_booster_learns_nothing_from_the_folds_test_objects(bench, monkeypatch):
    objects, folds, fold_proba = bench.objects, [], table_1.fold_proba

    def swapped(objects, X, k, booster, seed):
        # What the other test objects' latents are must not change what is said of the first.
        other = X.copy()
        other[objects.folds[k].test[1:]] = 99.0
        first = fold_proba(objects, X, k, booster, seed)[0]
        np.testing.assert_array_equal(fold_proba(objects, other, k, booster, seed)[0], first)
        folds.append(k)
        return fold_proba(objects, X, k, booster, seed)

    monkeypatch.setattr(table_1, "fold_proba", swapped)
    result = table_1._trained(bench, table_1._item(bench, AMOUNT, 2, 1), lambda words, done: None)
    assert folds == [1]
    assert result["honest"]["sixteen"]["n_objects"] == len(objects.folds[1].test)
    assert result["leak"] is None


def test_what_was_trained_is_not_trained_again_and_a_lost_item_alone_is(rows, bench, monkeypatch):
    trained = []
    work = table_1._trained

    def counted(bench, item, report):
        trained.append((item.latents, item.autoencoder.fold))
        return work(bench, item, report)

    monkeypatch.setattr(table_1, "_trained", counted)
    (bench.keep(table_1.STAGE) / "latents-06-fold-2.json").unlink()
    assert plain(table_1.PART.measure(Workshop(bench))) == rows
    assert trained == [(6, 1)]


def test_folds_have_seeds_of_their_own_and_only_the_first_leaks(bench):
    first, second = (table_1._item(bench, AMOUNT, 3, k) for k in (0, 1))
    assert first.autoencoder.seed != second.autoencoder.seed
    assert (first.leaky_rows, second.leaky_rows) == (400, 0)
    assert first.autoencoder.config.encoder.vae.latent == 3


def test_the_section_is_drawn_from_the_rows_alone(rows):
    section = table_1.PART.show(rows)
    assert sum(isinstance(block, Picture) for block in section.blocks) == 1
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert len(table.rows) == 4  # three numbers of latents and the longer training of six
    lines = {line.get_label() for line in section.blocks[-2].figure.axes[0].lines}
    assert {"printed", "its protocol (leaks)", "honest, 16 classes"} <= lines


@given(
    effect=st.lists(st.floats(0.0, 1.0), min_size=3, max_size=8),
    fold=st.floats(-0.3, 0.3),
)
def test_what_a_fold_has_in_all_rows_is_no_noise_of_their_differences(effect, fold):
    values = np.array(effect)[:, None] + np.array([0.0, fold])
    assert difference_error(values) == pytest.approx(0.0, abs=1e-12)


def test_the_error_of_a_difference_is_that_of_independent_noise():
    noise = np.random.default_rng(0).normal(0.0, 0.01, size=(4000, 2))
    # each mean of two has 0.01/sqrt(2), their difference 0.01
    assert difference_error(noise) == pytest.approx(0.01, rel=0.05)
    assert np.isnan(difference_error(noise[:, :1]))


def test_saturation_is_the_fewest_latents_near_the_best():
    assert saturation([1, 4, 6, 9], [0.3, 0.59, 0.6, 0.605], 0.01) == 4
    assert saturation([1, 4, 6, 9], [0.3, 0.59, 0.6, 0.605], float("nan")) == 9


def test_a_collapse_is_told_only_where_it_is_seen():
    rising = {1: [0.40, 0.41], 3: [0.50, 0.52], 6: [0.60, 0.61], 8: [0.60, 0.60], 25: [0.61, 0.60]}
    falling = rising | {1: [0.01, 0.02], 25: [0.40, 0.41]}
    few, many = what_it_says(_made(rising, [0.5, 0.4, 0.3, 0.35, 0.36]))[1:3]
    assert "not seen" in few
    assert "never fall" in many
    few, many = what_it_says(_made(falling, [0.5, 0.4, 0.3, 0.35, 0.36]))[1:3]
    assert "seen in part" in few
    assert "below both" not in few  # 0.5 is no collapse
    printed = _made(rising, [0.5, 0.4, 0.3, 0.35, 0.36])
    printed[0]["printed"], printed[1]["printed"] = 0.03, 0.15
    assert "below both (0.03)" in what_it_says(printed)[1]
    assert "at 25 latents" in many


def test_the_best_number_and_the_lowest_loss_are_named():
    made = _made({1: [0.3, 0.3], 6: [0.6, 0.61], 8: [0.5, 0.52]}, [0.5, 0.4, 0.3], leak=0.8)
    words = what_it_says(made)
    assert "best number of latents is 6" in words[0]
    assert "six are the best" in words[0]
    assert "lowest at 8" in words[0]
    assert "0.800" in words[3]
