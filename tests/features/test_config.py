"""Settings of the features: read from tables, checked, and turned into a kernel."""

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import Matern

from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.errors import SettingsError
from firstlight.features import FeatureConfig, TemplateConfig
from firstlight.settings import from_table, to_table


def test_settings_survive_a_table() -> None:
    config = FeatureConfig(max_points=50, templates=TemplateConfig(classes=("SNIa",)))
    assert from_table(FeatureConfig, to_table(config)) == config


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="max_point"):
        from_table(FeatureConfig, {"max_point": 3})


def test_band_kernel_is_a_correlation() -> None:
    kernel = FeatureConfig().band_kernel()
    np.testing.assert_allclose(np.diag(kernel), 1.0)
    np.testing.assert_allclose(kernel, kernel.T)
    expected = Matern(length_scale=6000.0, nu=1.5)(np.array(EFFECTIVE_WAVELENGTH)[:, None])
    np.testing.assert_allclose(kernel, expected)


def test_a_longer_scale_ties_the_bands_closer() -> None:
    near = FeatureConfig(wavelength_scale=20_000.0).band_kernel()
    assert np.all(near >= FeatureConfig().band_kernel())


@pytest.mark.parametrize(
    "bad",
    [
        {"window": (5.0, 10.0)},
        {"window": (-5.0,)},
        {"time_scales": ()},
        {"time_scales": (5.0, -1.0)},
        {"amplitudes": ()},
        {"max_points": 0},
        {"grid_step": 0.0},
        {"wavelength_scale": -6000.0},
    ],
)
def test_impossible_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        FeatureConfig(**bad)  # type: ignore[arg-type]
