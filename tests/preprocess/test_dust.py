import logging

import numpy as np
import pytest

from firstlight.bands import EFFECTIVE_WAVELENGTH, EXTINCTION_PER_EBV
from firstlight.lightcurves import LightCurves
from firstlight.preprocess import PreprocessConfig, deredden, preprocess
from firstlight.timeline import prefixes


def make_curves(ebv=(0.1, 0.0, np.nan), dereddened=False, redshift=(0.2, 0.0, np.nan)) -> LightCurves:
    n = len(ebv)
    return LightCurves(
        object_id=np.array([f"o{i}" for i in range(n)]),
        offsets=6 * np.arange(n + 1),
        mjd=np.tile(np.arange(6.0), n),
        band=np.tile(np.arange(6), n),
        flux=np.tile([100.0, -50.0, 0.0, 1e6, 3.0, -1e6], n),
        flux_err=np.full(6 * n, 10.0),
        ebv=np.array(ebv),
        redshift=np.array(redshift, dtype=float)[:n],
        dereddened=dereddened,
    )


def test_extinction_coefficients_are_those_of_fitzpatrick_1999():
    from astropy import units
    from dust_extinction.parameter_averages import F99

    expected = 3.1 * F99(Rv=3.1)(EFFECTIVE_WAVELENGTH * units.AA)
    np.testing.assert_allclose(EXTINCTION_PER_EBV, expected, rtol=0.005)


def test_dereddening_brightens_by_the_extinction_of_the_band():
    curves = make_curves()
    ready = deredden(curves)
    assert ready.dereddened
    brighter = -2.5 * np.log10(ready.flux_err[:6] / curves.flux_err[:6])
    np.testing.assert_allclose(brighter, -0.1 * EXTINCTION_PER_EBV, atol=1e-6)
    np.testing.assert_allclose(ready.flux / ready.flux_err, curves.flux / curves.flux_err, rtol=1e-5)


def test_objects_without_reddening_or_without_knowing_it_keep_their_fluxes(caplog, monkeypatch):
    monkeypatch.setattr("firstlight.preprocess.dust._named", set())
    curves = make_curves()
    with caplog.at_level(logging.WARNING):
        ready = deredden(curves)
    np.testing.assert_array_equal(ready.flux[6:], curves.flux[6:])
    np.testing.assert_array_equal(ready.flux_err[6:], curves.flux_err[6:])
    assert "no position for 1 of 3 objects" in caplog.text


def test_the_warning_counts_objects_not_answers_and_is_not_repeated_for_them(caplog, monkeypatch):
    monkeypatch.setattr("firstlight.preprocess.dust._named", set())
    one = make_curves([np.nan])
    with caplog.at_level(logging.WARNING):
        deredden(prefixes(one, np.array([2.0, 3.0, 5.0])))
        deredden(one)
    assert [record.getMessage().partition(" for ")[2][:14] for record in caplog.records] == ["1 of 1 objects"]
    deredden(make_curves([0.1, np.nan]))
    assert len(caplog.records) == 2


def test_dereddening_twice_is_dereddening_once():
    ready = deredden(make_curves())
    assert deredden(ready) is ready


def test_the_double_correction_of_the_seed_is_off_by_default():
    ready = deredden(make_curves())
    double = deredden(ready, again=True)
    np.testing.assert_allclose(double.flux[0] / ready.flux[0], 10 ** (0.4 * 0.1 * 4.681), rtol=1e-5)


@pytest.mark.parametrize("ebv", [-0.01, 1e4, np.inf])
def test_absurd_reddening_still_gives_valid_fluxes(ebv):
    ready = deredden(make_curves([ebv]))
    again = ready.with_columns(flux=np.array(ready.flux))  # checks every value
    assert again.dereddened
    assert np.all(ready.flux_err >= 10.0 - 1e-6)


def test_the_result_is_read_only_and_the_input_untouched():
    curves = make_curves()
    before = curves.flux.copy()
    ready = deredden(curves)
    np.testing.assert_array_equal(curves.flux, before)
    with pytest.raises(ValueError, match="read-only"):
        ready.flux[0] = 1.0


@pytest.mark.parametrize(
    ("mode", "source_corrected", "factor"),
    [("auto", False, 1), ("auto", True, 0), ("always", True, 1), ("never", False, 0)],
)
def test_preprocess_corrects_as_the_mode_says(mode, source_corrected, factor):
    curves = make_curves(dereddened=source_corrected)
    ready = preprocess(curves, PreprocessConfig(deredden=mode))
    np.testing.assert_allclose(ready.flux[0] / curves.flux[0], 10 ** (0.4 * 0.1 * 4.681 * factor), rtol=1e-5)
    assert ready.dereddened == (source_corrected or mode != "never")
