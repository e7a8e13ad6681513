"""The dust map is read at the right pixel, and a given E(B-V) counts before it."""

import numpy as np
import pytest

from firstlight.errors import SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.preprocess import PreprocessConfig, preprocess, with_ebv
from firstlight.preprocess.dust_map import NSIDE, SCALE, _pixels, map_ebv, ring_pixel

N_PIXELS = 12 * NSIDE**2


def centres():
    """Longitude [rad] and sine of the latitude of all pixels: Górski et al. (2005), equations 4 to 9."""
    longitude, z, n = [], [], NSIDE
    for ring in range(1, 4 * n):
        from_pole = min(ring, 4 * n - ring)
        count = 4 * min(from_pole, n)
        shift = 0.5 if from_pole < n or (ring - n) % 2 == 0 else 0.0
        longitude.append((np.arange(count) + shift) * 2.0 * np.pi / count)
        height = (
            1.0 - from_pole**2 / (3.0 * n**2) if from_pole < n else 4.0 / 3.0 - 2.0 * from_pole / (3.0 * n)
        )
        z.append(np.full(count, height if ring <= 2 * n else -height))
    return np.concatenate(longitude), np.concatenate(z)


def test_the_centre_of_each_pixel_lies_in_that_pixel():
    longitude, z = centres()
    np.testing.assert_array_equal(ring_pixel(longitude, z), np.arange(N_PIXELS))


def test_every_position_lies_within_a_degree_of_the_centre_of_its_pixel():
    rng = np.random.default_rng(1)
    longitude, z = rng.uniform(-np.pi, 3.0 * np.pi, 20_000), rng.uniform(-1.0, 1.0, 20_000)
    of_centre = [column[ring_pixel(longitude, z)] for column in centres()]

    def direction(longitude, z):
        width = np.sqrt(1.0 - z**2)
        return np.stack([width * np.cos(longitude), width * np.sin(longitude), z])

    distance = np.linalg.norm(direction(longitude, z) - direction(*of_centre), axis=0)
    assert np.degrees(distance.max()) < 1.0


def test_the_map_knows_dusty_and_clear_directions():
    # Schlafly & Finkbeiner (2011): 0.017, about 0.5, far above 5, 0.012
    cosmos, baade, centre, pole = map_ebv([150.1, 270.9, 266.4, 192.86], [2.2, -30.03, -29.0, 27.13])
    assert cosmos == pytest.approx(0.017, abs=0.005)
    assert 0.3 < baade < 0.8
    assert centre > 5.0
    assert pole == pytest.approx(0.012, abs=0.006)


def test_an_unknown_position_has_no_value():
    assert np.isnan(map_ebv([np.nan, 10.0], [0.0, np.nan])).all()


def test_the_map_is_whole_and_positive():
    assert _pixels().shape == (N_PIXELS,)
    assert np.isfinite(_pixels()).all()
    assert (_pixels() > 0.0).all()
    assert 0.5 < SCALE < 1.0


def test_a_given_value_counts_and_the_map_fills_the_rest():
    curves = LightCurves(
        object_id=["a", "b", "c"],
        offsets=[0, 1, 2, 3],
        mjd=[60_000.0] * 3,
        band=[2] * 3,
        flux=[1000.0] * 3,
        flux_err=[10.0] * 3,
        ra=[150.1, 150.1, np.nan],
        dec=[2.2, 2.2, np.nan],
        ebv=[0.5, np.nan, np.nan],
    )
    filled = with_ebv(curves, PreprocessConfig())
    np.testing.assert_array_equal(filled.ebv[:2], np.array([0.5, map_ebv([150.1], [2.2])[0]], np.float32))
    assert np.isnan(filled.ebv[2])
    assert with_ebv(curves, PreprocessConfig(dust_map="none")) is curves
    ready = preprocess(curves, PreprocessConfig())
    given = preprocess(curves.with_columns(ebv=filled.ebv), PreprocessConfig(dust_map="none"))
    np.testing.assert_array_equal(ready.flux, given.flux)


def test_an_unknown_map_is_refused():
    with pytest.raises(SettingsError, match="sfd or none"):
        PreprocessConfig(dust_map="planck")
