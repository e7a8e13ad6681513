"""The throughputs: short rules against long sums, and against their source."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from firstlight.bands import BANDS, EFFECTIVE_WAVELENGTH
from firstlight.simulate.throughput import Quadrature, lsst_throughputs

BIN_WIDTH = 50.0  # Angstrom
LEAST_SHARE = 1e-4  # of the response; below it lie the ends and the leaks far out of band


def condensed(wavelength: NDArray[np.float64], response: NDArray[np.float64]) -> Quadrature:
    """One node per bin of a throughput: how ``throughputs.csv`` was made.

    A photon-counting detector that sees an AB flux density f_nu reports the mean
    ``int f_nu T dlambda / lambda / int T dlambda / lambda`` (Fukugita et al. 1996,
    doi:10.1086/117915). Each bin keeps its share of the lower integral and the mean
    wavelength under it, so that spectra linear within a bin are integrated exactly.
    """
    share = np.clip(response, 0.0, None) / wavelength * np.gradient(wavelength)
    share /= share.sum()
    fine = np.floor(wavelength / BIN_WIDTH).astype(np.int64)
    minor = np.bincount(fine, share)[fine] < LEAST_SHARE
    # The faint wings and leaks matter for very red sources alone: wide bins will do.
    coarse = np.floor(wavelength / (10.0 * BIN_WIDTH)).astype(np.int64) + fine.max() + 1
    bins = np.where(minor, coarse, fine)
    weight = np.bincount(bins, share)
    mean = np.bincount(bins, share * wavelength) / np.where(weight > 0.0, weight, 1.0)
    kept = weight > 1e-9
    order = np.argsort(mean[kept])
    return Quadrature(mean[kept][order], weight[kept][order] / weight[kept].sum())


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
    rule = condensed(wavelength, response)
    spectrum = level + slope * (wavelength - 5000.0) / 1000.0
    quick = (level + slope * (rule.wavelength - 5000.0) / 1000.0) @ rule.weight
    assert quick == pytest.approx(spectrum @ share, abs=1e-6)


def test_faint_wings_get_wide_bins() -> None:
    wavelength = np.arange(3000.0, 11000.0, 1.0)
    response = np.where(np.abs(wavelength - 5000.0) < 500.0, 1.0, 1e-7)
    rule = condensed(wavelength, response)
    assert (np.diff(rule.wavelength[np.abs(rule.wavelength - 5000.0) < 450.0]) < 60.0).all()
    assert (np.diff(rule.wavelength[rule.wavelength > 6000.0]) > 400.0).all()


def test_the_shipped_rules_come_from_speclite() -> None:
    speclite = pytest.importorskip("speclite")
    from astropy.table import Table

    folder = Path(speclite.__file__).parent / "data" / "filters"
    for band, shipped in zip(BANDS, lsst_throughputs(), strict=True):
        table = Table.read(folder / f"lsst2023-{band}.ecsv", format="ascii.ecsv")
        made = condensed(np.asarray(table["wavelength"]) * 10.0, np.asarray(table["response"]))
        np.testing.assert_allclose(shipped.wavelength, made.wavelength, atol=1e-3)
        np.testing.assert_allclose(shipped.weight, made.weight, atol=1e-8)
