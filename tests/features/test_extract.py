"""Features of real and of awkward light curves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.features import FeatureConfig, FeatureTable, extract, features
from firstlight.lightcurves import LightCurves


@pytest.fixture(scope="module")
def table(sample: LightCurves) -> FeatureTable:
    return extract(sample)


def _supernova(redshift: float = 0.1, last: float = 120.0, peak: float = 20.0) -> LightCurves:
    """A noiseless outburst of known shape: Gaussian rise of 10 days, exponential fall of 30."""
    time = np.arange(-30.0, last, 3.0)
    mjd, band = np.repeat(time, 6), np.tile(np.arange(6), len(time))
    shape = np.where(mjd < peak, np.exp(-0.5 * ((mjd - peak) / 10.0) ** 2), np.exp(-(mjd - peak) / 30.0))
    return LightCurves(
        object_id=np.array(["sn"]),
        offsets=np.array([0, len(mjd)]),
        mjd=mjd + 60_000.0,
        band=band,
        flux=1000.0 * shape * (1.0 + 0.1 * band),
        flux_err=np.full(len(mjd), 5.0),
        redshift=np.array([redshift]),
        redshift_err=np.array([0.01]),
    )


def test_kernels_fill_every_column_of_some_object(table: FeatureTable) -> None:
    empty = [name for name in table.names if np.isnan(table.column(name)).all()]
    assert empty == []


def test_values_are_finite_or_nan(table: FeatureTable) -> None:
    assert table.values.dtype == np.float32
    assert not np.isinf(table.values).any()


def test_the_last_column_is_the_last_feature() -> None:
    """A kernel that wrote one value too few or too many would shift this."""
    table = extract(_supernova(redshift=0.5))
    assert table.names[-1] == "rest_detected_span"
    expected = table.column("detected_span")[0] / 1.5
    assert table.column("rest_detected_span")[0] == pytest.approx(expected)
    since = table.column("gp_since_peak")[0] / 1.5
    assert table.column("rest_since_peak")[0] == pytest.approx(since)


def test_hiding_the_redshift_equals_not_knowing_it(sample: LightCurves, table: FeatureTable) -> None:
    unknown = extract(sample.with_redshift("none"))
    needs = np.array([feature.needs_redshift for feature in table.features])
    np.testing.assert_array_equal(unknown.values[:, ~needs], table.values[:, ~needs])
    assert np.isnan(unknown.values[:, needs]).all()


def test_only_redshift_features_change_with_redshift(sample: LightCurves, table: FeatureTable) -> None:
    shifted = extract(sample.with_columns(redshift=sample.redshift * 1.1))
    free = np.array([not feature.needs_redshift for feature in table.features])
    np.testing.assert_array_equal(shifted.values[:, free], table.values[:, free])


def test_the_future_does_not_reach_a_truncated_curve(sample: LightCurves) -> None:
    """Later observations must not change the features of day 15."""
    late = sample.phase > 15.0
    changed = sample.with_columns(
        flux=np.where(late, -3.0 * sample.flux, sample.flux), detected=sample.detected & ~late
    )
    a, b = extract(sample.upto_phase(15.0)), extract(changed.upto_phase(15.0))
    np.testing.assert_array_equal(a.values, b.values)


def test_objects_do_not_depend_on_their_neighbours(sample: LightCurves, table: FeatureTable) -> None:
    order = np.random.default_rng(0).permutation(len(sample))[:40]
    np.testing.assert_array_equal(extract(sample.take(order)).values, table.values[order])


def test_time_and_position_on_the_sky_do_not_matter(sample: LightCurves, table: FeatureTable) -> None:
    """No season and no field to memorise: only |b| may tell where an object is."""
    moved = extract(sample.with_columns(mjd=sample.mjd + 1024.0, ra=np.full(len(sample), np.nan)))
    keep = np.array([name != "latitude_abs" for name in table.names])
    np.testing.assert_allclose(moved.values[:, keep], table.values[:, keep], rtol=2e-3, atol=2e-3)


def test_peak_and_fall_of_a_known_outburst() -> None:
    curves = _supernova()
    table = extract(curves)
    peak = 60_020.0 - curves.trigger_mjd[0]
    assert table.column("gp_peak_phase")[0] == pytest.approx(peak, abs=2.5)
    assert table.column("fall_half_all")[0] == pytest.approx(30.0 * np.log(2.0), abs=2.5)
    assert table.column("fall_fifth_r")[0] == pytest.approx(30.0 * np.log(5.0), abs=2.5)
    assert table.column("rise_half_i")[0] == pytest.approx(10.0 * np.sqrt(2 * np.log(2.0)), abs=5.0)
    assert table.column("fall_half_rest_all")[0] == pytest.approx(
        table.column("fall_half_all")[0] / 1.1, rel=1e-5
    )
    assert table.column("gp_peak_flux_r")[0] == pytest.approx(1200.0, rel=0.15)  # the process rounds the cusp


def test_absolute_magnitude_of_a_known_flux() -> None:
    table = extract(_supernova(redshift=0.1))
    modulus = table.column("distance_modulus")[0]
    expected = 31.4 - 2.5 * np.log10(table.column("gp_peak_flux_r")[0]) - modulus
    assert table.column("absolute_r")[0] == pytest.approx(expected, abs=1e-3)
    assert table.column("distance_modulus_err")[0] == pytest.approx(0.22, abs=0.05)


def test_absolute_magnitude_of_light_below_zero_is_that_of_its_error() -> None:
    curves = _supernova(redshift=0.1)
    dimming = curves.with_columns(flux=np.where(curves.band == 0, -curves.flux, curves.flux))
    table = extract(dimming.keep((curves.band == 0) & (curves.phase < 40.0)))
    assert table.column("gp_peak_flux_u")[0] < 5.0
    limit = table.column("gp_peak_sd_u")[0] * table.column("gp_scale")[0]
    expected = 31.4 - 2.5 * np.log10(limit) - table.column("distance_modulus")[0]
    assert table.column("absolute_u")[0] == pytest.approx(expected, abs=1e-3)


def test_features_beyond_the_data_are_nan() -> None:
    early = extract(_supernova(last=22.0))
    assert np.isnan(early.column("ratio_r_+30")[0])
    assert np.isnan(early.column("fall_half_all")[0])
    assert np.isfinite(early.column("ratio_r_-10")[0])


def test_milky_way_objects_have_no_distance() -> None:
    table = extract(_supernova(redshift=0.0))
    assert table.column("galactic")[0] == 1.0
    assert np.isnan(table.column("absolute_r")[0])
    assert np.isnan(table.column("distance_modulus")[0])


def test_no_objects_give_an_empty_table(sample: LightCurves) -> None:
    assert extract(sample.take(np.arange(0))).values.shape == (0, len(features()))


def test_an_object_without_observations_has_no_features(sample: LightCurves) -> None:
    two = sample.take(np.arange(2))
    none = two.keep(two.object_index == 1)
    table = extract(none)
    assert table.column("n_obs")[0] == 0.0
    assert np.isnan(table.column("snr_max")[0])
    np.testing.assert_array_equal(table.values[1], extract(two).values[1])


@given(
    n=st.integers(1, 12),
    scale=st.sampled_from([1e-3, 1.0, 1e9]),
    detected=st.booleans(),
    bands=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_awkward_curves_give_finite_or_nan(
    n: int, scale: float, detected: bool, bands: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n = min(n, 5 * bands)  # a band has one row per time
    time, band = np.divmod(np.sort(rng.choice(5 * bands, n, replace=False)), bands)
    curves = LightCurves(
        object_id=np.array(["x"]),
        offsets=np.array([0, n]),
        mjd=np.array([0.0, 0.01, 3.0, 400.0, 5000.0])[time],
        band=band,
        flux=scale * rng.normal(size=n),
        flux_err=scale * rng.uniform(0.01, 10.0, n),
        detected=np.full(n, detected),
        redshift=np.array([rng.choice([np.nan, 0.0, 1e-4, 0.3, 3.0])]),
    )
    values = extract(curves).values
    assert not np.isinf(values).any()
    assert values[0, features().index(next(f for f in features() if f.name == "n_obs"))] == n


def test_many_points_are_joined_not_lost(sample: LightCurves) -> None:
    few = extract(sample, FeatureConfig(max_points=20))
    assert few.column("gp_n").max() <= 20
    assert np.isfinite(few.column("gp_peak_flux")).all()


@pytest.mark.parametrize("days", [0.0, 2.0, 8.0, 32.0])
def test_early_curves_have_the_features_of_their_observations(sample: LightCurves, days: float) -> None:
    early = extract(sample.upto_phase(days))
    assert not np.isinf(early.values).any()
    assert np.nanmax(early.column("phase")) <= days
    assert np.isfinite(early.column("gp_peak_flux")).all()
    assert np.all(early.column("gp_since_peak") >= -10.0)  # no peak is claimed beyond the margin


def test_a_late_detection_flag_does_not_move_the_past(sample: LightCurves) -> None:
    """Phases count from the first detection; later flags change counts alone."""
    some = sample.take(np.arange(0, len(sample), 7))
    flagged = some.detected.copy()
    flagged[some.offsets[1:] - 1] = True
    a, b = extract(some), extract(some.with_columns(detected=flagged))
    for name in ("phase", "gp_peak_phase", "rise_half_all", "snr_max", "max_phase"):
        np.testing.assert_array_equal(a.column(name), b.column(name))


def test_one_observation_is_enough(sample: LightCurves) -> None:
    first = sample.phase == 0.0
    index = np.flatnonzero(first)
    _, keep = np.unique(sample.object_index[index], return_index=True)
    single = np.zeros(len(sample.mjd), dtype=bool)
    single[index[keep]] = True
    table = extract(sample.keep(single))
    np.testing.assert_array_equal(table.column("n_obs"), 1.0)
    np.testing.assert_array_equal(table.column("phase"), 0.0)
    assert np.isnan(table.column("snr_second")).all()
    assert np.isfinite(table.column("gp_time_scale")).all()


def test_detected_flux_scales_with_the_survey(sample: LightCurves, table: FeatureTable) -> None:
    """Ratios and times do not know the unit of flux; fluxes and magnitudes do."""
    brighter = extract(sample.with_columns(flux=8.0 * sample.flux, flux_err=8.0 * sample.flux_err))
    unit = np.array([feature.unit for feature in table.features])
    free = np.isin(unit, ["1", "day", "1/day"])
    np.testing.assert_allclose(brighter.values[:, free], table.values[:, free], rtol=2e-3, atol=2e-3)
    flux = unit == "nJy"
    np.testing.assert_allclose(brighter.values[:, flux], 8.0 * table.values[:, flux], rtol=1e-3, atol=1e-2)


def test_threads_give_the_same_numbers(sample: LightCurves, table: FeatureTable) -> None:
    from concurrent.futures import ThreadPoolExecutor

    parts = [sample.take(part) for part in np.array_split(np.arange(len(sample)), 4)]
    with ThreadPoolExecutor(2) as pool:
        values = np.concatenate([part.values for part in pool.map(extract, parts)])
    np.testing.assert_array_equal(values, table.values)
