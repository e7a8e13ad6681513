"""The autoencoder's reconstruction, which training computes with torch."""

import numpy as np
import pytest

from firstlight.encoder.decode import reconstruct
from firstlight.encoder.steps import make_steps
from firstlight.errors import BundleError, DataError
from firstlight.preprocess import PreprocessConfig, preprocess


@pytest.fixture(scope="module")
def ready(sample):
    return preprocess(sample, PreprocessConfig())


def test_it_equals_the_decoding_of_training(tiny_fast, ready):
    torch = pytest.importorskip("torch")
    from firstlight.encoder.train import _batch, _make_targets
    from firstlight.encoder.vae import RnnVae

    encoder = tiny_fast.encoder
    model = RnnVae(encoder.config.vae).eval()
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in encoder.weights.items()})
    for k in (0, 50, 150):
        one = ready.take([k])
        batch = _batch(make_steps(one, encoder.config.steps), _make_targets(one, encoder.config))
        with torch.no_grad():
            mean, _ = model.encode(batch.steps, batch.lengths, batch.context)
            decoded = model.decode(mean, batch.steps, batch.context)
            if encoder.config.vae.amplitude == "fitted":
                weight = batch.observed / (batch.flux_err**2 + 0.01)
                cross = (weight * batch.flux * decoded).sum() + 1.0
                decoded *= cross / ((weight * decoded**2).sum() + 1.0)
        made = reconstruct(encoder, one)
        top = np.nanmax(np.abs(made.observed))
        relative = batch.flux[0].numpy()
        peak = np.nanmax(np.abs(made.observed) / np.where(relative, np.abs(relative), np.nan))
        np.testing.assert_allclose(made.flux, decoded[0].numpy() * peak, rtol=1e-3, atol=1e-4 * top)


def test_a_bin_lies_between_its_observations(tiny_fast, ready):
    made = reconstruct(tiny_fast.encoder, ready.take([3]))
    assert len(made.mjd) == len(made.flux)
    assert (np.diff(made.mjd) > 0).all()
    assert made.mjd[0] >= ready.take([3]).mjd[0]
    assert made.mjd[-1] <= ready.take([3]).mjd[-1]
    assert np.isfinite(made.error)


def test_several_objects_are_refused(tiny_fast, ready):
    with pytest.raises(DataError):
        reconstruct(tiny_fast.encoder, ready)


def test_a_decoder_of_another_size_is_refused(tiny_fast, ready, monkeypatch):
    weights = tiny_fast.encoder.weights | {"flux2.bias": np.zeros(5, np.float32)}
    monkeypatch.setattr(tiny_fast.encoder, "weights", weights)
    with pytest.raises(BundleError, match="decoder"):
        reconstruct(tiny_fast.encoder, ready.take([0]))
