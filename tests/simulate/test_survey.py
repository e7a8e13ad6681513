"""Properties measured of a survey, on made-up surveys whose truth is known and on the real sample."""

import numpy as np
import pytest

from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves
from firstlight.simulate.survey import Survey, measure_survey, milky_way_dimming

PHOTON, CALIBRATION = 2e-4, 0.005


def made_up(n: int = 60, n_obs: int = 120, redshift: float = 0.3) -> LightCurves:
    """Objects with a bump of known photon noise, and detections by a known rule."""
    rng = np.random.default_rng(5)
    total = n * n_obs
    sky = np.repeat(rng.choice([20.0, 80.0], n), n_obs)
    bump = np.exp(-0.5 * ((np.tile(np.arange(n_obs), n) - 60.0) / 6.0) ** 2)
    true = np.repeat(rng.uniform(1_000.0, 60_000.0, n), n_obs) * bump
    err = np.sqrt(sky**2 * (1.0 + PHOTON * true) + (CALIBRATION * true) ** 2)
    flux = true + err * rng.standard_normal(total)
    return LightCurves(
        object_id=np.array([f"o{i}" for i in range(n)]),
        offsets=np.arange(n + 1) * n_obs,
        mjd=np.tile(np.arange(n_obs, dtype=float), n),
        band=np.full(total, 2, dtype=np.int8),
        flux=flux,
        flux_err=err,
        detected=rng.random(total) < 1.0 / (1.0 + np.exp(-3.0 * (flux / err - 5.0))),
        redshift=np.full(n, redshift),
        redshift_err=np.full(n, 0.05),
        redshift_spec=np.full(n, redshift) + 0.01,
        ebv=np.full(n, 0.1),
        dereddened=True,
    )


@pytest.fixture(scope="module")
def known() -> Survey:
    return measure_survey(made_up())


def test_photon_and_calibration_noise_are_found_again(known: Survey) -> None:
    assert known.photon_noise[2] == pytest.approx(PHOTON, rel=0.1)
    assert known.calibration_err[2] == pytest.approx(CALIBRATION, rel=0.1)
    assert known.photon_noise[0] == 0.0


def test_carriers_lose_their_own_photons(known: Survey) -> None:
    sky = known.sky_err.reshape(-1, 120)
    # The rest is the same at the peak as far from it.
    np.testing.assert_allclose(np.median(sky[:, 55:65] / sky[:, :10].mean(axis=1)[:, None]), 1.0, rtol=0.05)


def test_errors_grow_with_flux(known: Survey) -> None:
    flux = np.geomspace(1.0, 1e6, 30)
    error = known.error(flux, np.full(30, 50.0), np.full(30, 2, dtype=np.int8))
    assert (np.diff(error) > 0).all()
    assert error[0] == pytest.approx(50.0, rel=1e-3)


def test_detection_rises_from_never_to_always(known: Survey) -> None:
    assert (np.diff(known.detection_proba) >= 0).all()
    assert np.interp(2.0, known.snr_knots, known.detection_proba) < 0.02
    assert np.interp(5.0, known.snr_knots, known.detection_proba) == pytest.approx(0.5, abs=0.15)
    assert np.interp(9.0, known.snr_knots, known.detection_proba) > 0.95


def test_cuts_on_measured_and_on_expected_flux_differ(known: Survey) -> None:
    assert not known.detects_expected
    base = made_up()
    snr = base.flux / base.flux_err
    rng = np.random.default_rng(8)
    # The survey's files show the true S/N, blurred by one sigma.
    blurred = rng.random(len(snr)) < 1.0 / (
        1.0 + np.exp(-1.7 / 1.2 * (snr + rng.normal(size=len(snr)) - 5.0))
    )
    assert measure_survey(base.with_columns(detected=blurred)).detects_expected


def test_real_plasticc_decides_on_expected_flux(sample: LightCurves) -> None:
    survey = measure_survey(sample)
    assert survey.detects_expected
    noise = np.random.default_rng(0).normal(size=2_000) * 10.0
    dark = np.zeros(2_000)
    assert not survey.detect(dark, noise, np.full(2_000, 10.0), np.random.default_rng(1)).any()


def test_negative_flux_is_never_detected(known: Survey) -> None:
    flux = np.full(100, -500.0)
    assert not known.detect(flux, flux, np.full(100, 10.0), np.random.default_rng(0)).any()


def test_host_redshifts_scatter_as_the_real_ones(known: Survey) -> None:
    photo, err = known.draw_host_redshifts(np.full(50, 0.8), np.random.default_rng(0))
    np.testing.assert_allclose(photo, 1.8 * 1.3 / 1.31 - 1.0, atol=1e-6)
    np.testing.assert_allclose(err, 0.05)


def test_host_redshifts_stay_above_zero(known: Survey) -> None:
    photo, _ = known.draw_host_redshifts(np.full(50, 0.002), np.random.default_rng(0))
    assert (photo > 0.0).all()


def test_milky_way_objects_and_empty_ones_lend_nothing(sample: LightCurves) -> None:
    survey = measure_survey(sample)
    assert len(survey.carriers) == int((sample.redshift > 0).sum())
    assert survey.spec_fraction == 1.0


def test_the_real_sample_detects_half_near_five_sigma(sample: LightCurves) -> None:
    survey = measure_survey(sample)
    assert 0.2 < np.interp(5.0, survey.snr_knots, survey.detection_proba) < 0.7
    assert np.isfinite(survey.sky_err).all()
    assert (survey.sky_err > 0.0).all()
    assert (survey.sky_err <= survey.carriers.flux_err * (1 + 1e-6)).all()


def test_a_survey_without_redshifts_is_refused(sample: LightCurves) -> None:
    with pytest.raises(DataError, match="host redshift"):
        measure_survey(sample.with_redshift("none"))
    with pytest.raises(DataError, match="host redshift"):
        measure_survey(sample.take(np.empty(0, np.int64)))


def test_milky_way_dust_dims_only_uncorrected_fluxes() -> None:
    corrected = made_up(3)
    assert (milky_way_dimming(corrected) == 1.0).all()
    raw = milky_way_dimming(corrected.with_columns(dereddened=False))  # type: ignore[arg-type]
    assert (raw < 1.0).all()
    assert raw[0, 0] == pytest.approx(10 ** (-0.4 * 0.1 * 4.681), rel=1e-5)
