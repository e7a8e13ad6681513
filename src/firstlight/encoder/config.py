"""Settings of the encoder: input, network and training; free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from firstlight.encoder.steps import StepsConfig
from firstlight.errors import SettingsError

_MOST_LAYERS, _WIDEST = 8, 1 << 14
FLUX_FLOOR = 0.1  # error of the decoder, relative to the running peak: decision 0010


@dataclass(frozen=True, kw_only=True)
class VaeConfig:
    """The network of `vae.RnnVae` and its loss.

    The tuning and the paper set `latent`, `hidden` and `layers`; the study behind decision 0010
    compares the others.
    """

    RETIRED: ClassVar[Mapping[str, object]] = {"kl_warmup": 5, "free_bits": 0.0, "flux_floor": 0.1}

    latent: int = 6  # dimension of the latent, 1 to 25; the paper settled on 6
    # width and depth of the GRU, in encoder and decoder
    hidden: int = 64
    layers: int = 2
    width: int = 512  # width of the encoder's two fully connected layers
    head_width: int = 256  # width of the reconstruction head's two hidden layers
    kl_weight: float = 0.001  # weight of the KL divergence against mean squared errors of unit variance
    curve_weight: float = 0.05  # weight of the reconstructed light curve
    # weights of the groups that the head reconstructs: counts and spans, per-band moments, fluxes in
    # windows after trigger and peak, rest-frame shape, redshift and galactic flag, absolute magnitudes.
    # Only their ratios matter.
    scalar_weight: float = 0.3
    band_weight: float = 1.0
    window_weight: float = 4.0
    shape_weight: float = 20.0
    redshift_weight: float = 1.0
    absolute_weight: float = 1.0
    # whether the decoder's amplitude is a least-squares fit per object, so that the latent carries the
    # shape alone, or comes from the latent
    amplitude: Literal["fitted", "latent"] = "fitted"
    # whether the light-curve decoder sees the redshift, so that the latent need not carry it
    decoder_redshift: bool = True

    def __post_init__(self) -> None:
        """Check the sizes."""
        if not 1 <= self.latent <= 25:
            raise SettingsError(f"vae.latent = {self.latent}: choose 1 to 25")
        if not (1 <= self.layers <= _MOST_LAYERS and 1 <= self.hidden <= _WIDEST):
            raise SettingsError(f"vae: choose 1 to {_MOST_LAYERS} layers, and hidden from 1 to {_WIDEST}")
        if not (1 <= self.width <= _WIDEST and 1 <= self.head_width <= _WIDEST):
            raise SettingsError(f"vae: choose width and head_width from 1 to {_WIDEST}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Optimisation and augmentation.

    Presets differ in `epochs`; the paper's training study sets `patience`, `learning_rate` and
    `batch`; the augmentation depends on the survey that the encoder is for.
    """

    RETIRED: ClassVar[Mapping[str, object]] = {"weight_decay": 0.0}

    epochs: int = 40  # most epochs; the learning rate falls to a hundredth over them (cosine)
    patience: int = 10  # training stops after this many epochs without a better validation loss
    learning_rate: float = 1e-3  # first learning rate of Adam
    batch: int = 128  # objects per batch
    whole: float = 0.5  # fraction of the objects that are not augmented
    cut: float = 0.5  # fraction of the augmented objects that end at a random phase
    drop: float = 0.4  # largest fraction of observations dropped from an augmented object
    noise: float = 0.7  # largest noise added to an augmented object, in units of the errors
    hide_redshift: float = 0.15  # fraction of the augmented objects whose redshift is hidden

    def __post_init__(self) -> None:
        """Check counts and fractions."""
        if min(self.epochs, self.patience, self.batch) < 1:
            raise SettingsError("train: epochs, patience and batch must be at least 1")
        for name in ("whole", "cut", "drop", "hide_redshift"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"train.{name} = {getattr(self, name)}: choose 0 to 1")
        if self.learning_rate <= 0.0 or self.noise < 0.0:
            raise SettingsError("train: learning_rate must be positive and noise not negative")

    def rate_at(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0: half a cosine, down to a hundredth of the first."""
        fall = 0.5 * (1.0 + np.cos(np.pi * epoch / self.epochs))
        return float(self.learning_rate * (0.01 + 0.99 * fall))


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """All settings of an encoder."""

    steps: StepsConfig = field(default_factory=StepsConfig)  # light curve to input
    vae: VaeConfig = field(default_factory=VaeConfig)  # network and loss
    train: TrainConfig = field(default_factory=TrainConfig)  # optimisation and augmentation
