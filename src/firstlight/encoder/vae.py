"""The recurrent variational autoencoder in torch; only training imports this module.

After Kingma & Welling (2013, arXiv:1312.6114) and Villar et al. (2020, doi:10.3847/1538-4357/abc6fd).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from firstlight.bands import N_BANDS
from firstlight.encoder.config import FLUX_FLOOR, VaeConfig
from firstlight.encoder.running import CHANNELS_PER_BAND, N_CHANNELS
from firstlight.encoder.shape import N_SHAPE
from firstlight.encoder.steps import N_CONTEXT

N_TARGETS = N_CONTEXT + N_SHAPE

_BIN_CHANNELS = slice(CHANNELS_PER_BAND * N_BANDS, CHANNELS_PER_BAND * N_BANDS + 4)  # time alone
_REDSHIFT_COLUMNS = slice(N_CONTEXT - 11, N_CONTEXT - 7)
_LARGEST = 5.0  # standard deviations; inputs and targets are clipped here


class Batch(NamedTuple):
    """Input and targets of one training step, padded; all float32 but `lengths`."""

    steps: Tensor  # (batch, time, N_CHANNELS)
    lengths: Tensor  # (batch,) int64
    context: Tensor  # (batch, N_CONTEXT), input of the encoder
    target: Tensor  # (batch, N_CONTEXT), target of the head: the whole curve's context
    shape: Tensor  # (batch, N_SHAPE), target of the head: the rest-frame shape
    known: Tensor  # (batch, N_TARGETS), weight of each target, 0 to 1
    flux: Tensor  # (batch, time, N_BANDS), over the object's peak
    flux_err: Tensor  # (batch, time, N_BANDS)
    observed: Tensor  # (batch, time, N_BANDS), 0 or 1


class Losses(NamedTuple):
    """Means over a batch."""

    total: Tensor  # ()
    curve: Tensor  # () error-weighted squared error with the flux floor
    chi2: Tensor  # () the same against the measurement errors alone, median over objects
    head: Tensor  # ()
    kl: Tensor  # (latent,) [nat]


class RnnVae(nn.Module):
    """Encoder, light-curve decoder and reconstruction head.

    A unidirectional GRU reads the time bins; two fully connected layers join its last state with the
    context and give the latent. A second GRU decodes the light curve from the latent, and the head
    decodes the context and rest-frame shape of the whole curve. No label enters.
    """

    context_mean: Tensor
    context_std: Tensor
    target_scale: Tensor

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("context_mean", torch.zeros(N_CONTEXT))
        self.register_buffer("context_std", torch.ones(N_CONTEXT))
        self.register_buffer("target_scale", torch.ones(N_TARGETS))
        self.encoder = nn.GRU(N_CHANNELS, config.hidden, config.layers, batch_first=True)
        self.fc1 = nn.Linear(config.hidden + N_CONTEXT, config.width)
        self.fc2 = nn.Linear(config.width, config.width)
        self.mean = nn.Linear(config.width, config.latent)
        self.log_var = nn.Linear(config.width, config.latent)
        n_query = 4 + (4 if config.decoder_redshift else 0)
        self.decoder = nn.GRU(config.latent + n_query, config.hidden, config.layers, batch_first=True)
        self.flux1 = nn.Linear(config.hidden, config.hidden)
        self.flux2 = nn.Linear(config.hidden, N_BANDS)
        self.head1 = nn.Linear(config.latent, config.head_width)
        self.head2 = nn.Linear(config.head_width, config.head_width)
        self.head3 = nn.Linear(config.head_width, N_TARGETS)

    def scale(self, context: Tensor) -> Tensor:
        """Context in standard deviations of the training set, clipped."""
        return ((context - self.context_mean) / self.context_std).clamp(-_LARGEST, _LARGEST)

    def encode(self, steps: Tensor, lengths: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latent, each (batch, latent)."""
        states, _ = self.encoder(steps)  # (batch, time, hidden)
        rows = torch.arange(len(lengths))
        last = states[rows, lengths - 1]  # (batch, hidden)
        x = torch.relu(self.fc1(torch.cat([last, self.scale(context)], dim=1)))
        x = torch.relu(self.fc2(x))
        return self.mean(x), self.log_var(x).clamp(-12.0, 4.0)

    def decode(self, latent: Tensor, steps: Tensor, context: Tensor) -> Tensor:
        """Flux over peak at the times of the steps, (batch, time, N_BANDS)."""
        n_times = steps.shape[1]
        known = [latent]
        if self.config.decoder_redshift:
            known.append(self.scale(context)[:, _REDSHIFT_COLUMNS])
        query = torch.cat(known, dim=1)[:, None, :].expand(-1, n_times, -1)
        states, _ = self.decoder(torch.cat([query, steps[:, :, _BIN_CHANNELS]], dim=2))
        return self.flux2(torch.relu(self.flux1(states)))

    def reconstruct(self, latent: Tensor) -> Tensor:
        """Scaled context and shape as the head reconstructs them, (batch, N_TARGETS)."""
        return self.head3(torch.relu(self.head2(torch.relu(self.head1(latent)))))

    def losses(self, batch: Batch, kl_scale: float = 1.0, noise: Tensor | None = None) -> Losses:
        """Negative ELBO of a batch and its parts.

        `kl_scale`, 0 to 1, is the warm-up factor of the KL weight; `noise` holds standard normal draws,
        (batch, latent), and without it the latent is its mean.
        """
        config = self.config
        mean, log_var = self.encode(batch.steps, batch.lengths, batch.context)
        latent = mean if noise is None else mean + noise * torch.exp(0.5 * log_var)
        kl = 0.5 * (mean**2 + log_var.exp() - 1.0 - log_var).mean(dim=0)  # (latent,)
        goal = torch.cat([self.scale(batch.target), batch.shape], dim=1)
        head_error = (self.reconstruct(latent) - goal) ** 2
        head = (batch.known * self.target_scale * head_error).sum(dim=1).mean()
        curve = chi2 = torch.zeros(())
        if config.curve_weight > 0.0:
            by_object, floored = self.curve_chi2(latent, batch)
            curve, chi2 = floored.mean(), by_object.median()
        cost = config.kl_weight * kl_scale * kl.clamp(min=0.0).sum()
        return Losses(config.curve_weight * curve + head + cost, curve, chi2, head, kl)

    def curve_chi2(self, latent: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Chi2 per point of the decoded light curves, (batch,): with errors alone, and with the floor."""
        model = self.decode(latent, batch.steps, batch.context)
        weight = batch.observed / (batch.flux_err**2 + FLUX_FLOOR**2)  # (batch, time, bands)
        if self.config.amplitude == "fitted":
            # Least squares with a unit-width Gaussian prior around 1, solved in closed form.
            cross = (weight * batch.flux * model).sum(dim=(1, 2)) + 1.0
            square = (weight * model**2).sum(dim=(1, 2)) + 1.0
            model = model * (cross / square)[:, None, None]
        points = batch.observed.sum(dim=(1, 2)).clamp(min=1.0)
        residual = (batch.flux - model) ** 2
        plain = (batch.observed * residual / batch.flux_err**2).sum(dim=(1, 2)) / points
        return plain, (weight * residual).sum(dim=(1, 2)) / points
