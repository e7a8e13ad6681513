import pytest

from firstlight.encoder import EncoderConfig, TrainConfig, VaeConfig, train_encoder

TINY = EncoderConfig(
    vae=VaeConfig(hidden=8, width=16, head_width=16),
    train=TrainConfig(epochs=2, batch=32),
)


@pytest.fixture(scope="session")
def tiny_config():
    """Settings that train in a second."""
    return TINY


@pytest.fixture(scope="session")
def halves(sample):
    """Training and validation objects of the sample."""
    return sample.take(range(0, 150)), sample.take(range(150, 202))


@pytest.fixture(scope="session")
def encoder(halves):
    """A small encoder, barely trained."""
    return train_encoder(*halves, TINY, seed=1)
