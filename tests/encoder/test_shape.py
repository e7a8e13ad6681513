import numpy as np

from firstlight.bands import EFFECTIVE_WAVELENGTH
from firstlight.encoder.shape import N_SHAPE, TIME_EDGES, WAVELENGTH_EDGES, rest_frame_shape
from firstlight.lightcurves import LightCurves

N_WAVELENGTHS = len(WAVELENGTH_EDGES) - 1


def curve(mjd, flux, band=2, flux_err=1.0, redshift=0.0):
    n = len(mjd)
    return LightCurves(
        object_id=np.array(["a"]),
        offsets=np.array([0, n]),
        mjd=np.asarray(mjd, float),
        band=np.broadcast_to(band, n),
        flux=np.asarray(flux, float),
        flux_err=np.broadcast_to(flux_err, n),
        redshift=np.array([redshift]),
    )


def window(days, wavelength):
    row = np.searchsorted(TIME_EDGES, days, side="right") - 1
    column = np.searchsorted(WAVELENGTH_EDGES, wavelength, side="right") - 1
    return row * N_WAVELENGTHS + column


def test_the_peak_is_one_and_half_of_it_a_half():
    shape, known = rest_frame_shape(curve([0, 30], [1000, 500]))
    r = EFFECTIVE_WAVELENGTH[2]
    np.testing.assert_allclose(0.3 * shape[0, window(0, r)], 1.0, rtol=0.01)
    np.testing.assert_allclose(0.3 * shape[0, window(30, r)], 0.5, rtol=0.01)
    assert known[0].sum() < 2.0 + 1e-6
    assert (known[0] > 0.9).sum() == 2


def test_redshift_shifts_time_and_wavelength():
    _, known = rest_frame_shape(curve([0, 90], [1000, 500], redshift=1.0))
    r = EFFECTIVE_WAVELENGTH[2]
    assert known[0, window(0, r / 2)] > 0.9
    assert known[0, window(45, r / 2)] > 0.9


def test_an_unknown_redshift_counts_as_zero():
    a, _ = rest_frame_shape(curve([0, 30], [1000, 500], redshift=np.nan))
    b, _ = rest_frame_shape(curve([0, 30], [1000, 500], redshift=0.0))
    np.testing.assert_array_equal(a, b)


def test_noise_alone_has_no_shape():
    shape, known = rest_frame_shape(curve([0, 30], [1.0, -1.0]))
    assert not shape.any()
    assert not known.any()


def test_a_noisy_window_is_known_less_and_shrunk():
    shape, known = rest_frame_shape(curve([0, 30], [1000, 500], flux_err=[1.0, 600.0]))
    at = window(30, EFFECTIVE_WAVELENGTH[2])
    assert 0.0 < known[0, at] < 0.3
    assert 0.3 * shape[0, at] < 0.2


def test_an_object_without_observations_is_all_zero():
    empty = LightCurves(np.array(["none"]), np.array([0, 0]), *(np.empty(0) for _ in range(4)))
    shape, known = rest_frame_shape(empty)
    assert shape.shape == known.shape == (1, N_SHAPE)
    assert not known.any()


def test_real_curves_have_finite_bounded_shapes(sample):
    shape, known = rest_frame_shape(sample)
    assert np.isfinite(shape).all()
    assert np.abs(shape).max() <= 2.0 / 0.3 + 1e-5
    assert known.min() >= 0.0
    assert known.max() <= 1.0
    assert 0.05 < known.mean() < 0.5
