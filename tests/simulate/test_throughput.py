"""The throughputs: short rules against long sums, and against their source."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.bands import BANDS, EFFECTIVE_WAVELENGTH
from firstlight.errors import DataError
from firstlight.simulate.throughput import bin_throughput, lsst_throughputs


def test_every_band_has_a_rule_whose_weights_sum_to_one() -> None:
    rules = lsst_throughputs()
    assert len(rules) == len(BANDS)
    for rule in rules:
        assert rule.weight.sum() == pytest.approx(1.0, abs=1e-6)
        assert (rule.weight > 0).all()
        assert (np.diff(rule.wavelength) > 0).all()


def test_mean_wavelengths_are_the_effective_ones() -> None:
    means = [float(rule.wavelength @ rule.weight) for rule in lsst_throughputs()]
    np.testing.assert_allclose(means, EFFECTIVE_WAVELENGTH, rtol=0.012)


@given(st.floats(-2.0, 2.0), st.floats(0.1, 5.0))
def test_a_straight_spectrum_is_integrated_exactly(slope: float, level: float) -> None:
    wavelength = np.arange(4000.0, 6000.0, 1.0)
    response = np.exp(-0.5 * ((wavelength - 5000.0) / 300.0) ** 2)
    share = response / wavelength
    share /= share.sum()
    rule = bin_throughput(wavelength, response)
    spectrum = level + slope * (wavelength - 5000.0) / 1000.0
    quick = (level + slope * (rule.wavelength - 5000.0) / 1000.0) @ rule.weight
    assert quick == pytest.approx(spectrum @ share, abs=1e-6)


def test_faint_wings_get_wide_bins() -> None:
    wavelength = np.arange(3000.0, 11000.0, 1.0)
    response = np.where(np.abs(wavelength - 5000.0) < 500.0, 1.0, 1e-7)
    rule = bin_throughput(wavelength, response)
    assert (np.diff(rule.wavelength[np.abs(rule.wavelength - 5000.0) < 450.0]) < 60.0).all()
    assert (np.diff(rule.wavelength[rule.wavelength > 6000.0]) > 400.0).all()


@pytest.mark.parametrize(
    ("wavelength", "response"),
    [([1.0, 1.0], [1.0, 1.0]), ([1.0, 2.0], [1.0]), ([1.0, 2.0], [0.0, -1.0])],
)
def test_a_broken_throughput_is_refused(wavelength: list[float], response: list[float]) -> None:
    with pytest.raises(DataError, match="throughput"):
        bin_throughput(wavelength, response)


def test_the_shipped_rules_come_from_speclite() -> None:
    speclite = pytest.importorskip("speclite")
    from astropy.table import Table

    folder = Path(speclite.__file__).parent / "data" / "filters"
    for band, shipped in zip(BANDS, lsst_throughputs(), strict=True):
        table = Table.read(folder / f"lsst2023-{band}.ecsv", format="ascii.ecsv")
        made = bin_throughput(np.asarray(table["wavelength"]) * 10.0, np.asarray(table["response"]))
        np.testing.assert_allclose(shipped.wavelength, made.wavelength, atol=1e-3)
        np.testing.assert_allclose(shipped.weight, made.weight, atol=1e-8)
