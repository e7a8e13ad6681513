"""The recurrent variational autoencoder: trained with torch, run without it."""

from firstlight.model.config import EncoderConfig, TrainConfig, VaeConfig
from firstlight.model.encode import Encoder, EncoderState, Latents
from firstlight.model.train import active_latents, train_encoder

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
