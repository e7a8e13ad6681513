from dataclasses import replace

import numpy as np
import torch

from firstlight.encoder import TrainConfig, VaeConfig
from firstlight.encoder.steps import make_steps
from firstlight.encoder.train import _batch, _make_targets
from firstlight.encoder.vae import N_TARGETS, RnnVae

SMALL = VaeConfig(hidden=8, width=16, head_width=16)


def make(config, tiny_config, sample, n=12):
    torch.manual_seed(0)
    model = RnnVae(config)
    model.target_scale.fill_(1.0 / N_TARGETS)
    curves = sample.take(range(n))
    return model, _batch(make_steps(curves, tiny_config.steps), _make_targets(curves, tiny_config))


def test_shapes_follow_the_settings(tiny_config, sample):
    config = replace(SMALL, latent=4, layers=1)
    model, batch = make(config, tiny_config, sample)
    mean, log_var = model.encode(batch.steps, batch.lengths, batch.context)
    assert mean.shape == log_var.shape == (12, 4)
    assert model.decode(mean, batch.steps, batch.context).shape == batch.flux.shape
    assert model.reconstruct(mean).shape == (12, N_TARGETS)


def test_the_default_has_two_layers_of_sixty_four_and_six_latents():
    model = RnnVae(VaeConfig())
    assert model.encoder.num_layers == 2
    assert model.encoder.hidden_size == 64
    assert not model.encoder.bidirectional
    assert model.mean.out_features == model.log_var.out_features == 6


def test_padding_changes_nothing(tiny_config, sample):
    model, batch = make(SMALL, tiny_config, sample)
    mean, _ = model.encode(batch.steps, batch.lengths, batch.context)
    longer = torch.cat([batch.steps, torch.full_like(batch.steps, 3.0)], dim=1)
    again, _ = model.encode(longer, batch.lengths, batch.context)
    torch.testing.assert_close(mean, again)


def test_kl_is_the_divergence_from_a_standard_normal(tiny_config, sample):
    model, batch = make(SMALL, tiny_config, sample)
    mean, log_var = model.encode(batch.steps, batch.lengths, batch.context)
    posterior = torch.distributions.Normal(mean, torch.exp(0.5 * log_var))
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(model.losses(batch).kl, expected.mean(dim=0))


def test_a_fitted_amplitude_never_fits_worse(tiny_config, sample):
    fitted, batch = make(replace(SMALL, amplitude="fitted"), tiny_config, sample)
    latent, _ = make(replace(SMALL, amplitude="latent"), tiny_config, sample)
    latent.load_state_dict(fitted.state_dict())
    # The prior on the amplitude costs next to nothing against hundreds of points.
    assert fitted.losses(batch).curve <= latent.losses(batch).curve * 1.01


def test_the_decoder_may_do_without_the_redshift(tiny_config, sample):
    model, batch = make(replace(SMALL, decoder_redshift=False), tiny_config, sample)
    z = torch.zeros(12, 6)
    a = model.decode(z, batch.steps, batch.context)
    b = model.decode(z, batch.steps, torch.zeros_like(batch.context))
    torch.testing.assert_close(a, b)


def test_no_curve_weight_needs_no_decoder(tiny_config, sample):
    model, batch = make(replace(SMALL, curve_weight=0.0), tiny_config, sample)
    losses = model.losses(batch)
    losses.total.backward()
    assert float(losses.curve) == 0.0
    assert model.flux1.weight.grad is None


def test_every_parameter_learns(tiny_config, sample):
    model, batch = make(SMALL, tiny_config, sample)
    model.losses(batch, noise=torch.ones(12, 6)).total.backward()
    for name, value in model.named_parameters():
        assert value.grad is not None, name
        assert torch.isfinite(value.grad).all(), name


def test_a_batch_holds_flux_over_peak(tiny_config, sample):
    _, batch = make(SMALL, tiny_config, sample)
    seen = batch.observed > 0
    assert float(batch.flux[seen].abs().max()) <= 5.0
    assert 0.3 < float(batch.flux.amax(dim=(1, 2)).median()) < 2.0
    assert np.isfinite(batch.flux_err.numpy()).all()


def test_train_settings_do_not_reach_the_network():
    assert not any(hasattr(TrainConfig(), name) for name in ("hidden", "latent"))
