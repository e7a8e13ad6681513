"""Settings of the features: read from tables and checked."""

import pytest

from firstlight.errors import SettingsError
from firstlight.features import FeatureConfig, TemplateConfig
from firstlight.settings import from_table, to_table


def test_settings_survive_a_table() -> None:
    config = FeatureConfig(max_points=50, templates=TemplateConfig(classes=("SNIa",)))
    assert from_table(FeatureConfig, to_table(config)) == config


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="max_point"):
        from_table(FeatureConfig, {"max_point": 3})


def test_the_process_needs_a_point() -> None:
    with pytest.raises(SettingsError, match="max_points = 0"):
        FeatureConfig(max_points=0)
