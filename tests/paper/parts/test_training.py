"""One choice is changed at a time, and only what exceeds the noise of seeds is called a difference."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.encoder import TrainConfig
from firstlight_paper import shared
from firstlight_paper.parts import training
from firstlight_paper.parts.training import SteadyRate, stop
from firstlight_paper.parts.training_words import beyond, limit, what_it_says
from firstlight_paper.section import Picture, Table
from firstlight_paper.workshop import Workshop, plain

AMOUNT = training._Amount(epochs=2, seeds=2, values={"layers": (1,), "decay": ("no",), "batch": (512,)})


@pytest.fixture(scope="module")
def bench(own_bench):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_QUICK", AMOUNT)
        yield own_bench


@pytest.fixture(scope="module")
def result(bench):
    return json.loads(json.dumps(plain(training.PART.measure(Workshop(bench))), allow_nan=False))


def _made(seeds, changed):
    """A result as measured, from losses of the seeds and of the changed choices."""
    score = {"mean": 0.5, "std": 0.01, "folds": [0.5, 0.51]}
    rows = [
        {"setting": name, "value": 1, "validation_loss": loss, "honest": 0.5, "history": [{}] * 8}
        for name, loss in changed.items()
    ]
    loss = {"mean": float(np.mean(seeds)), "std": float(np.std(seeds, ddof=1)), "folds": seeds}
    return {
        "honest": {"validation_loss": loss, "sixteen": {"accuracy": score}},
        "limit": {"validation_loss": limit(seeds), "accuracy": 0.1},
        "rows": rows,
    }


def test_every_trial_differs_from_the_printed_setting_in_one_choice(bench):
    trials = training._trials(bench, training._FULL)
    printed = trials["printed-seed-1"].autoencoder.config.encoder
    assert (printed.vae.layers, printed.vae.hidden) == (2, 64)
    assert (printed.train.learning_rate, printed.train.batch) == (1e-3, 128)
    seen = {}
    for name, trial in trials.items():
        encoder = trial.autoencoder.config.encoder
        vae = {k: v for k, v in vars(encoder.vae).items() if v != getattr(printed.vae, k)}
        train = {k: v for k, v in vars(encoder.train).items() if v != getattr(printed.train, k)}
        seen[name] = {**vae, **train, **({"decay": "no"} if isinstance(encoder.train, SteadyRate) else {})}
    assert all(len(change) == (0 if "printed" in name else 1) for name, change in seen.items())
    assert len({json.dumps(change) for change in seen.values()}) == len(seen) - 2  # three seeds are alike
    assert len({repr(trial) for trial in trials.values()}) == len(trials)


def test_without_decay_the_rate_of_every_epoch_is_the_first(result):
    rates = {row["setting"]: [epoch["learning_rate"] for epoch in row["history"]] for row in result["rows"]}
    assert rates["decay"] == [1e-3, 1e-3]
    assert rates["layers"][1] < rates["layers"][0]


def test_a_trial_is_tested_on_the_folds_test_objects_alone(bench, monkeypatch):
    tested = []
    scored = training.scored

    def watched(labels, proba, simulated):
        tested.append(len(labels))
        return scored(labels, proba, simulated)

    monkeypatch.setattr(training, "scored", watched)
    latent = shared.latents_of(bench, 0)
    training._scores(bench, latent, shared.Autoencoder(0, shared.seed_config(bench), 0))
    assert tested == [len(bench.objects.folds[0].test)]


def test_what_was_trained_is_not_trained_again(result, bench, monkeypatch):
    monkeypatch.setattr(training, "train_autoencoder", None)
    assert plain(training.PART.measure(Workshop(bench))) == result


def test_the_section_is_drawn_from_the_result_alone(result):
    section = training.PART.show(result)
    assert sum(isinstance(block, Picture) for block in section.blocks) == 2
    for table in (block for block in section.blocks if isinstance(block, Table)):
        assert all(len(row) == len(table.columns) for row in table.rows)


class Rough(TrainConfig):
    """A rate that spoils the third epoch."""

    def rate_at(self, epoch):
        return 1e-3 if epoch < 2 else 1.0


def test_a_training_that_stops_early_is_the_beginning_of_one_that_does_not(bench):
    """What `stop` reads off a history is what a training with that patience does."""
    config = shared.seed_config(bench)

    def history(patience):
        encoder = replace(config.encoder, train=Rough(epochs=4, patience=patience))
        item = shared.Autoencoder(0, replace(config, encoder=encoder))
        return shared.train_autoencoder(bench, item, lambda words, done: None)[1]

    whole, stopped = history(4), history(1)
    assert len(whole) == 4
    assert len(stopped) == stop(whole, 1) == 3
    assert stopped == whole[:3]


@given(losses=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30), patience=st.integers(1, 10))
def test_more_patience_never_stops_sooner_nor_keeps_a_worse_loss(losses, patience):
    history = [{"validation_loss": loss} for loss in losses]
    soon, late = stop(history, patience), stop(history, patience + 1)
    assert soon <= late <= len(losses)
    assert min(losses[:late]) <= min(losses[:soon])
    assert soon == len(losses) or min(losses[:soon]) == min(losses[: soon - patience])


def test_the_limit_holds_a_further_seed_19_times_of_20():
    values = np.random.default_rng(0).normal(size=(4000, 4))
    inside = [abs(row[3] - row[:3].mean()) < limit(row[:3]) for row in values]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)
    assert np.isnan(limit([1.0]))


def test_only_what_exceeds_the_noise_of_seeds_is_named():
    made = _made([0.50, 0.51, 0.52], {"layers": 0.53, "batch": 0.9, "hidden units": 0.2})
    assert [row["setting"] for row, _ in beyond(made, "validation_loss")] == ["batch", "hidden units"]
    stopping = {
        "rows": [
            {"patience": 2, "epochs": {"mean": 5.0}, "validation_loss": {"mean": 0.6}},
            {"patience": 10, "epochs": {"mean": 40.0}, "validation_loss": {"mean": 0.5}},
        ],
        "tried_patience": 2,
        "most_epochs": 40,
        "n_folds": 5,
        "stopped": {"sixteen": {"accuracy": 0.5}},
        "long": {"sixteen": {"accuracy": 0.6}},
        "stopped_epochs": 5,
        "long_epochs": 40,
    }
    first, second = what_it_says(made | {"early_stopping": stopping})
    assert "better: hidden units 1 (-0.3100); worse: batch 1 (+0.3900)" in first
    assert "layers" not in first
    assert "After 8 epochs, of 40" in first
    assert "None of 3 changed choices" in first
    assert "after 5 epochs is 0.500, after 40 it is 0.600" in second
