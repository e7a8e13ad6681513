import pytest

from firstlight.encoder import EncoderConfig, TrainConfig, VaeConfig
from firstlight.errors import SettingsError
from firstlight.settings import from_table, to_table


def test_settings_survive_a_table():
    config = EncoderConfig(vae=VaeConfig(latent=9), train=TrainConfig(epochs=3))
    assert from_table(EncoderConfig, to_table(config)) == config


def test_an_unknown_setting_is_an_error():
    with pytest.raises(SettingsError, match="latents"):
        from_table(EncoderConfig, {"vae": {"latents": 6}})


@pytest.mark.parametrize("latent", [0, 26])
def test_the_latent_has_one_to_twenty_five_dimensions(latent):
    with pytest.raises(SettingsError, match="1 to 25"):
        VaeConfig(latent=latent)


@pytest.mark.parametrize("settings", [{"hidden": 0}, {"layers": 0}, {"head_width": 0}])
def test_impossible_networks_are_refused(settings):
    with pytest.raises(SettingsError, match="vae"):
        VaeConfig(**settings)


@pytest.mark.parametrize(
    "settings", [{"epochs": 0}, {"batch": 0}, {"cut": 1.5}, {"learning_rate": 0.0}, {"noise": -1.0}]
)
def test_impossible_training_is_refused(settings):
    with pytest.raises(SettingsError, match="train"):
        TrainConfig(**settings)
