"""Presets and settings files: complete, named, and strict about keys."""

from dataclasses import replace

import pytest

from firstlight.errors import SettingsError
from firstlight.pipeline import PipelineConfig, load_preset
from firstlight.pipeline.config import preset_names
from firstlight.settings import from_table, to_table


@pytest.mark.parametrize("name", preset_names())
def test_every_shipped_preset_is_valid_and_carries_its_name(name):
    assert load_preset(name).name == name


@pytest.mark.parametrize(("alias", "name"), [("paper", "seed"), ("paper-printed", "seed-printed")])
def test_the_presets_of_the_paper_have_a_second_name(alias, name):
    assert load_preset(alias) == load_preset(name)


def test_the_presets_are_those_documented():
    assert {"default", "seed", "quick"} <= set(preset_names())


def test_the_seed_preset_classifies_from_six_latents_and_nothing_else():
    config = load_preset("seed")
    assert config.inputs == ("latent",)
    assert config.encoder.vae.latent == 6
    assert (config.encoder.vae.layers, config.encoder.vae.hidden) == (2, 64)
    assert config.encoder.train.batch == 128
    assert config.encoder.train.learning_rate == pytest.approx(1e-3)
    assert config.classifier.kind == "seed"


def test_an_unknown_key_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[copies]\ntruncation = 3\n")
    with pytest.raises(SettingsError, match=r"truncation.*mine.copies.*truncations"):
        load_preset(str(path))


def test_a_preset_that_does_not_exist_is_an_error_that_lists_those_that_do():
    with pytest.raises(SettingsError, match=r"no preset or file 'sed'; presets: .*seed"):
        load_preset("sed")


def test_malformed_toml_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("inputs = [")
    with pytest.raises(SettingsError, match=r"broken\.toml: not valid TOML"):
        load_preset(str(path))


def test_a_preset_that_is_no_text_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"binary\.toml: not valid TOML"):
        load_preset(str(path))


@pytest.mark.parametrize("name", preset_names())
def test_settings_survive_a_trip_through_json(name):
    config = load_preset(name)
    assert from_table(PipelineConfig, to_table(config)) == config


def test_a_preset_reads_one_gaussian_process_at_most():
    config = load_preset("default")
    with pytest.raises(SettingsError, match="leave one of the two out"):
        replace(config, inputs=(*config.inputs, "gaussian_process"))


def test_the_printed_preset_follows_the_paper_to_the_letter():
    config = load_preset("seed-printed")
    assert config.preprocess.deredden == "always"
    clean = config.preprocess.clean
    assert clean.method == "seed"
    assert (clean.clip.cut_sigma, clean.clip.clip_sigma, clean.clip.iterations) == (7.0, 3.0, 5)
