"""Metadata features: distance, Galactic latitude, the time from which phases count."""

import numpy as np

from firstlight.features.metadata import distance, galactic_latitude, metadata, reference_mjd
from firstlight.features.registry import metadata_features
from firstlight.lightcurves import LightCurves


def test_latitude_agrees_with_astropy() -> None:
    from astropy.coordinates import SkyCoord

    ra, dec = np.array([0.0, 53.1, 349.4, np.nan]), np.array([-90.0, -28.1, -62.9, 0.0])
    expected = SkyCoord(ra[:3], dec[:3], unit="deg").galactic.b.deg
    actual = galactic_latitude(ra, dec)
    np.testing.assert_allclose(actual[:3], expected, atol=1e-3)
    assert np.isnan(actual[3])


def test_phases_count_from_the_trigger_or_else_the_best_point(sample: LightCurves) -> None:
    np.testing.assert_array_equal(reference_mjd(sample), sample.trigger_mjd)
    blind = sample.take(np.arange(2)).with_columns(detected=np.zeros(int(sample.offsets[2]), dtype=bool))
    expected = [c.mjd[np.argmax(c.flux / c.flux_err)] for c in blind]
    np.testing.assert_allclose(reference_mjd(blind), expected)


def test_distance_error_grows_with_redshift_error(sample: LightCurves) -> None:
    wide = sample.with_columns(redshift_err=2.0 * sample.redshift_err)
    modulus, err = distance(sample)
    far = (sample.redshift > 0.1) & (sample.redshift_err > 0.0)
    assert np.all(distance(wide)[1][far] > err[far])
    assert np.all(np.isnan(modulus) == (sample.redshift == 0.0))


def test_a_redshift_error_that_is_zero_or_not_stated_is_a_spectroscopic_one(sample: LightCurves) -> None:
    n = len(sample)
    at = sample.with_columns(redshift=np.linspace(0.0, 1.0, n))
    spectroscopic = metadata_of(at, np.full(n, 1e-3))
    for err in (0.0, 1e-6, np.nan):
        np.testing.assert_allclose(metadata_of(at, np.full(n, err)), spectroscopic, rtol=1e-6)
    assert spectroscopic[0, 1] == 0.0  # in the Milky Way
    assert np.isnan(metadata_of(at.with_redshift("none"), np.full(n, 1e-3))[:, 1:3]).all()


def metadata_of(curves: LightCurves, redshift_err: np.ndarray) -> np.ndarray:
    curves = curves.with_columns(redshift_err=redshift_err)
    return metadata(curves, *distance(curves))


def test_distance_error_is_never_negative(sample: LightCurves) -> None:
    near = sample.with_columns(
        redshift=np.full(len(sample), 1.2e-3), redshift_err=np.linspace(1e-5, 1e-3, len(sample))
    )
    assert np.all(distance(near)[1] >= 0.0)


def test_columns_are_those_of_the_registry(sample: LightCurves) -> None:
    values = metadata(sample, *distance(sample))
    names = [feature.name for feature in metadata_features()]
    assert values.shape == (len(sample), len(names))
    np.testing.assert_array_equal(values[:, names.index("redshift")], sample.redshift)
    np.testing.assert_array_equal(values[:, names.index("ebv")], sample.ebv)
    np.testing.assert_array_equal(values[:, names.index("galactic")], sample.redshift == 0.0)
