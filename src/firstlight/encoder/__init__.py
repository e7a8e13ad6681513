"""The recurrent variational autoencoder: trained with torch, run without it."""

from firstlight.encoder.config import EncoderConfig, TrainConfig, VaeConfig
from firstlight.encoder.encode import Encoder, EncoderState, Latents
from firstlight.encoder.train import active_latents, train_encoder

__all__ = [
    "Encoder",
    "EncoderConfig",
    "EncoderState",
    "Latents",
    "TrainConfig",
    "VaeConfig",
    "active_latents",
    "train_encoder",
]
