import csv
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from firstlight.encoder import active_latents, train_encoder
from firstlight.encoder.steps import make_steps
from firstlight.encoder.train import _target_groups, _target_scale
from firstlight.errors import BundleError, DataError, LeakageError, MissingExtraError


class KilledError(Exception):
    """Stands for a kill between two epochs."""


def longer(config, epochs):
    return replace(config, train=replace(config.train, epochs=epochs))


def same(a, b):
    return all(np.array_equal(a.weights[name], b.weights[name]) for name in b.weights)


def test_the_same_seed_gives_the_same_weights(halves, tiny_config, encoder):
    assert same(train_encoder(*halves, tiny_config, seed=1), encoder)
    assert not same(train_encoder(*halves, tiny_config, seed=2), encoder)


def test_a_killed_run_resumes_to_the_same_result(halves, tiny_config, tmp_path):
    config = longer(tiny_config, 3)
    undisturbed = train_encoder(*halves, config, seed=4)

    def kill(message, fraction):
        if fraction > 0.3:
            raise KilledError(message)

    with pytest.raises(KilledError):
        train_encoder(*halves, config, seed=4, folder=tmp_path, progress=kill)
    seen = []
    resumed = train_encoder(*halves, config, 4, tmp_path, lambda message, fraction: seen.append(fraction))
    assert len(seen) == 2
    assert same(resumed, undisturbed)
    losses = [row["validation_loss"] for row in resumed.history]
    assert losses == [row["validation_loss"] for row in undisturbed.history]


def test_a_finished_run_is_not_trained_again(halves, tiny_config, tmp_path, encoder):
    train_encoder(*halves, tiny_config, 1, tmp_path)
    seen = []
    again = train_encoder(*halves, tiny_config, 1, tmp_path, lambda message, fraction: seen.append(message))
    assert not seen
    assert same(again, encoder)


def test_a_checkpoint_of_another_run_is_refused(halves, tiny_config, tmp_path):
    one = longer(tiny_config, 1)
    train_encoder(*halves, one, 1, tmp_path)
    with pytest.raises(BundleError, match="another configuration"):
        train_encoder(*halves, one, 2, tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"half")
    with pytest.raises(BundleError, match="delete it"):
        train_encoder(*halves, one, 1, tmp_path)


def test_the_history_is_a_csv(halves, tiny_config, tmp_path):
    encoder = train_encoder(*halves, longer(tiny_config, 1), 1, tmp_path)
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1
    assert float(rows[0]["validation_loss"]) == encoder.history[0]["validation_loss"]
    assert {"train_loss", "validation_chi2", "kl", "kl_6", "learning_rate", "seconds"} <= set(rows[0])


def test_the_loss_falls(halves, tiny_config):
    history = train_encoder(*halves, longer(tiny_config, 5), seed=0).history
    assert history[-1]["validation_loss"] < history[0]["validation_loss"]


def test_training_stops_early_and_keeps_the_best(halves, tiny_config, monkeypatch):
    from firstlight.encoder import train as module

    losses = iter([3.0, 2.0, 2.5, 2.6, 9.9])
    honest = module._validate
    monkeypatch.setattr(module, "_validate", lambda *args: honest(*args) | {"validation_loss": next(losses)})
    patient = replace(tiny_config.train, epochs=30, patience=2)
    stopped = train_encoder(*halves, replace(tiny_config, train=patient), seed=0)
    assert [row["validation_loss"] for row in stopped.history] == [3.0, 2.0, 2.5, 2.6]


def test_labels_cannot_come_in():
    import inspect

    assert not any("label" in name for name in inspect.signature(train_encoder).parameters)


def test_an_object_on_both_sides_is_caught(sample, tiny_config):
    with pytest.raises(LeakageError, match="split by object"):
        train_encoder(sample.take([0, 1]), sample.take([1, 2]), tiny_config, 0)


def test_empty_sets_are_refused(sample, tiny_config):
    with pytest.raises(DataError, match="training and validation"):
        train_encoder(sample.take([]), sample, tiny_config, 0)


def test_a_missing_extra_is_named(halves, tiny_config, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"firstlight\[train\]"):
        train_encoder(*halves, tiny_config, 0)


def test_without_onnx_the_encoder_has_no_graph(halves, tiny_config, encoder, monkeypatch, tmp_path):
    assert encoder.graph is not None
    monkeypatch.setitem(sys.modules, "onnx", None)
    bare = train_encoder(*halves, tiny_config, seed=1)
    assert same(bare, encoder)
    assert bare.graph is None
    bare.save(tmp_path)
    assert not (tmp_path / "encoder.onnx").exists()


def test_importing_the_encoder_does_not_import_torch():
    code = "import sys, firstlight.encoder; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_active_latents_are_those_with_a_tenth_of_a_nat():
    row = {"validation_loss": 1.0, "kl": 2.0, "kl_1": 0.05, "kl_2": 0.2, "kl_3": 1.7}
    assert active_latents((row, row | {"validation_loss": 2.0, "kl_1": 5.0})) == 2


def test_the_learning_rate_falls_to_a_hundredth(tiny_config):
    train = replace(tiny_config.train, epochs=10)
    rates = [train.rate_at(epoch) for epoch in range(11)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-5)


def test_each_group_of_targets_has_the_weight_it_is_given(sample, tiny_config):
    context = make_steps(sample, tiny_config.steps).context()
    vae = replace(tiny_config.vae, scalar_weight=1.0, band_weight=3.0, absolute_weight=0.0)
    scale, groups = _target_scale(context, vae), _target_groups()
    assert scale.sum() == pytest.approx(1.0)
    assert scale[groups == "band"].sum() == pytest.approx(3.0 * scale[groups == "scalar"].sum(), rel=1e-5)
    assert scale[groups == "absolute"].sum() == 0.0
    assert scale[groups == "none"].sum() == 0.0
