"""Templates: made of training objects, found again in light curves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firstlight.cosmology import distance_modulus
from firstlight.errors import BundleError, DataError
from firstlight.features import FeatureConfig, TemplateConfig, Templates, extract
from firstlight.features.registry import template_features
from firstlight.lightcurves import LightCurves
from firstlight.storage import read_arrays, write_arrays

CONFIG = FeatureConfig(
    templates=TemplateConfig(classes=("SNIa", "SNII"), redshifts=(0.05, 0.1, 0.15, 0.2, 0.3, 0.4))
)
WAVELENGTHS = np.array([3709.0, 4767.0, 6194.0, 7539.0, 8668.0, 9739.0])


def _supernovae(
    n: int, redshift: float, fall: float, slope: float, seed: int, cadence: float = 4.0
) -> LightCurves:
    """Outbursts with a known fall time [rest-frame day] and spectral slope, M = -19 at 5000 A."""
    rng = np.random.default_rng(seed)
    time = np.arange(-40.0, 150.0, cadence)
    mjd, band = np.repeat(time, 6), np.tile(np.arange(6), len(time))
    phase = mjd / (1.0 + redshift)
    shape = np.where(phase < 0.0, np.exp(-0.5 * (phase / 7.0) ** 2), np.exp(-phase / fall))
    spectrum = (WAVELENGTHS / (1.0 + redshift) / 5000.0) ** slope
    top = 10.0 ** (0.4 * (31.4 + 19.0 - distance_modulus([redshift])[0])) * (1.0 + redshift)
    flux = np.tile(top * shape * spectrum[band], n)
    err = np.full(len(flux), 0.02 * top)
    return LightCurves(
        object_id=np.array([f"{seed}-{i}" for i in range(n)]),
        offsets=np.arange(n + 1) * len(mjd),
        mjd=np.tile(mjd, n) + 60_000.0,
        band=np.tile(band, n),
        flux=flux + err * rng.normal(size=len(flux)),
        flux_err=err,
        redshift=np.full(n, redshift),
        redshift_err=np.full(n, 0.01),
    )


@pytest.fixture(scope="module")
def training() -> tuple[LightCurves, NDArray[np.str_]]:
    fast = [_supernovae(6, z, 12.0, 1.0, 10 + i) for i, z in enumerate((0.05, 0.1, 0.2))]
    slow = [_supernovae(6, z, 60.0, -1.0, 20 + i) for i, z in enumerate((0.05, 0.1, 0.2))]
    return LightCurves.concatenate(fast + slow), np.repeat(["SNIa", "SNII"], 18)


@pytest.fixture(scope="module")
def templates(training: tuple[LightCurves, NDArray[np.str_]]) -> Templates:
    return Templates.fit(*training, CONFIG)


def _column(templates: Templates, values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    return values[:, [f.name for f in template_features(templates.names)].index(name)]


def test_templates_have_the_shape_of_their_class(templates: Templates) -> None:
    assert templates.names == ("SNIa", "SNII")
    optical = int(np.argmin(np.abs(templates.wavelength - 5000.0)))
    day = int(np.argmin(np.abs(templates.phase - 24.0)))
    assert templates.surface[0, day, optical] == pytest.approx(np.exp(-24.0 / 12.0), abs=0.1)
    assert templates.surface[1, day, optical] == pytest.approx(np.exp(-24.0 / 60.0), abs=0.1)
    assert np.all(templates.surface >= 0.0)


def test_luminosity_of_a_class_is_measured(templates: Templates) -> None:
    np.testing.assert_allclose(templates.magnitude, -19.0, atol=1.0)
    assert np.all(templates.magnitude_sd >= 0.3)


@pytest.mark.parametrize(
    ("fall", "slope", "best", "other"),
    [(12.0, 1.0, "SNIa", "SNII"), (60.0, -1.0, "SNII", "SNIa")],
)
def test_an_unseen_object_is_matched_by_its_own_template(
    templates: Templates, fall: float, slope: float, best: str, other: str
) -> None:
    values = templates.match(_supernovae(3, 0.1, fall, slope, 99, cadence=7.0), CONFIG)
    assert np.all(_column(templates, values, f"template_evidence_{best}") == 0.0)
    assert np.all(_column(templates, values, f"template_evidence_{other}") < -3.0)
    assert np.all(_column(templates, values, f"template_explained_{best}") > 0.9)
    np.testing.assert_allclose(_column(templates, values, f"template_absolute_{best}"), -19.0, atol=1.0)
    assert np.all(np.abs(_column(templates, values, f"template_redshift_{best}") - 0.1) < 0.06)


def test_peak_is_found_after_the_trigger(templates: Templates) -> None:
    curves = _supernovae(2, 0.1, 12.0, 1.0, 98)
    values = templates.match(curves, CONFIG)
    expected = (60_000.0 - curves.trigger_mjd) / 1.1
    np.testing.assert_allclose(_column(templates, values, "template_phase_SNIa"), expected, atol=4.0)


def test_a_fit_without_host_redshift_leaves_those_columns_empty(templates: Templates) -> None:
    curves = _supernovae(2, 0.1, 12.0, 1.0, 97)
    known, unknown = templates.match(curves, CONFIG), templates.match(curves.with_redshift("none"), CONFIG)
    needs = np.array([f.needs_redshift for f in template_features(templates.names)])
    assert np.isnan(unknown[:, needs]).all()
    np.testing.assert_array_equal(unknown[:, ~needs], known[:, ~needs])


def test_extract_appends_the_template_features(templates: Templates) -> None:
    curves = _supernovae(2, 0.1, 12.0, 1.0, 96)
    table = extract(curves, CONFIG, templates)
    plain = extract(curves, CONFIG)
    assert table.names[: len(plain.names)] == plain.names
    np.testing.assert_array_equal(table.values[:, len(plain.names) :], templates.match(curves, CONFIG))
    hidden = extract(curves.with_redshift("none"), CONFIG, templates)
    needs = [feature.needs_redshift for feature in table.features]
    np.testing.assert_array_equal(hidden.values, np.where(needs, np.nan, table.values))


def test_shape_is_judged_apart_from_brightness(templates: Templates) -> None:
    curves = _supernovae(1, 0.1, 12.0, 1.0, 95)
    brighter = curves.with_columns(flux=4.0 * curves.flux, flux_err=4.0 * curves.flux_err)
    a, b = templates.match(curves, CONFIG), templates.match(brighter, CONFIG)
    for name in ("match_explained_SNIa", "match_explained_SNII"):
        np.testing.assert_allclose(_column(templates, a, name), _column(templates, b, name), atol=0.03)


@pytest.mark.parametrize("days", [2.0, 8.0, 30.0, 150.0])
def test_no_template_explains_more_than_the_signal(templates: Templates, days: float) -> None:
    # far redshifts, where next to nothing of a template is inside of the bands
    wide = replace(templates, redshift=np.array([0.05, 0.2, 0.6, 1.05, 1.8, 2.6]))
    shapes = [(12.0, 1.0), (3.0, 8.0), (60.0, -8.0), (200.0, 12.0), (1.0, 0.0), (30.0, -3.0)]
    curves = LightCurves.concatenate(
        [_supernovae(20, 0.1, fall, slope, 80 + i) for i, (fall, slope) in enumerate(shapes)]
    )
    values = wide.match(curves.upto_phase(days), CONFIG)
    explained = np.stack(
        [
            _column(wide, values, f"{kind}_explained_{name}")
            for kind in ("match", "template")
            for name in wide.names
        ]
    )
    assert np.all((explained >= 0.0) & (explained <= 1.0 + 1e-6))
    assert explained.max() > 0.5


def test_saved_templates_give_the_same_fits(templates: Templates, tmp_path: Path) -> None:
    templates.save(tmp_path)
    again = Templates.load(tmp_path)
    curves = _supernovae(2, 0.2, 60.0, -1.0, 94)
    np.testing.assert_array_equal(again.match(curves, CONFIG), templates.match(curves, CONFIG))
    assert again.names == templates.names


def test_loading_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"templates\.json: cannot be read"):
        Templates.load(tmp_path)
    (tmp_path / "templates.json").write_text("{}")
    with pytest.raises(BundleError, match=r"templates\.json: without \['names'\]"):
        Templates.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("surface", lambda a: a[:-1]),
        ("surface", lambda a: np.full_like(a, np.inf)),
        ("phase", lambda a: a[::-1]),
        ("phase", lambda a: a * 1e-6),
        ("phase", lambda a: np.sort(np.where(a == a[3], a - 0.5, a))),
        ("redshift", lambda a: a - 1.0),
        ("magnitude_sd", lambda a: a * 0.0),
        ("wavelength", lambda a: a.astype(np.float32)),
    ],
)
def test_arrays_that_compiled_code_must_not_see_are_refused(templates, tmp_path, name, change) -> None:
    templates.save(tmp_path)
    path = tmp_path / "templates.safetensors"
    arrays = read_arrays(path)
    write_arrays(path, arrays | {name: change(arrays[name])})
    with pytest.raises(BundleError, match="fetch or train"):
        Templates.load(tmp_path)


def test_real_objects_of_every_class_give_finite_or_nan(
    sample: LightCurves, sample_labels: NDArray[np.str_]
) -> None:
    templates = Templates.fit(sample, sample_labels)
    assert "SNIa" in templates.names
    values = templates.match(sample)
    assert not np.isinf(values).any()
    assert np.isfinite(values[:, 0]).all()
    early = templates.match(sample.upto_phase(0.0))
    assert not np.isinf(early).any()


def test_classes_without_bright_objects_are_left_out(sample: LightCurves) -> None:
    labels = np.full(len(sample), "RRL")
    templates = Templates.fit(sample, labels)
    assert templates.names == ()
    assert templates.match(sample).shape == (len(sample), 0)


def test_labels_must_match_the_curves(sample: LightCurves) -> None:
    with pytest.raises(DataError, match="labels"):
        Templates.fit(sample, np.array(["SNIa"]))


def test_fits_do_not_depend_on_the_neighbours(templates: Templates) -> None:
    curves = _supernovae(4, 0.1, 12.0, 1.0, 93)
    together, alone = templates.match(curves, CONFIG), templates.match(curves.take(np.arange(2, 3)), CONFIG)
    np.testing.assert_array_equal(together[2], alone[0])


def test_the_future_does_not_reach_a_truncated_fit(templates: Templates) -> None:
    curves = _supernovae(2, 0.1, 12.0, 1.0, 92)
    changed = curves.with_columns(flux=np.where(curves.phase > 20.0, 0.0, curves.flux))
    a = templates.match(curves.upto_phase(20.0), CONFIG)
    b = templates.match(changed.upto_phase(20.0), CONFIG)
    np.testing.assert_array_equal(a, b)


def test_light_that_only_dims_fits_no_supernova(templates: Templates) -> None:
    curves = _supernovae(1, 0.1, 12.0, 1.0, 91)
    dimming = curves.with_columns(flux=-np.abs(curves.flux) - 3.0 * curves.flux_err)
    values = templates.match(dimming, CONFIG)
    assert np.all(_column(templates, values, "match_explained_SNIa") == 0.0)
    assert np.isnan(_column(templates, values, "match_absolute_SNIa")).all()
    assert np.isnan(_column(templates, values, "match_redshift_SNIa")).all()  # nothing was fitted
    assert np.isnan(_column(templates, values, "template_stretch_SNIa")).all()
    assert not np.isinf(values).any()


def test_rounding_does_not_choose_the_peak_of_a_single_observation(templates: Templates) -> None:
    """One flux fits every trial peak equally well: the one at the trigger counts."""
    curves = _supernovae(3, 0.1, 12.0, 1.0, 91)
    one = curves.keep(curves.mjd == curves.trigger_mjd[curves.object_index])
    one = one.keep(one.band == 2)
    for scale in (1.0, 1.0001, 0.7):
        values = templates.match(
            one.with_columns(flux=scale * one.flux, flux_err=scale * one.flux_err), CONFIG
        )
        phase = _column(templates, values, "template_phase_SNIa")
        np.testing.assert_allclose(phase, 0.0, atol=1e-6)


def test_host_redshift_pulls_the_fit(templates: Templates) -> None:
    curves = _supernovae(1, 0.2, 12.0, 1.0, 90, cadence=12.0)
    near = curves.with_columns(redshift=np.array([0.05]), redshift_err=np.array([0.005]))
    far = curves.with_columns(redshift=np.array([0.4]), redshift_err=np.array([0.005]))
    low = _column(templates, templates.match(near, CONFIG), "template_redshift_SNIa")
    high = _column(templates, templates.match(far, CONFIG), "template_redshift_SNIa")
    assert low[0] < high[0]


def test_fit_is_the_same_every_time(
    training: tuple[LightCurves, NDArray[np.str_]], templates: Templates
) -> None:
    again = Templates.fit(*training, CONFIG)
    np.testing.assert_array_equal(again.surface, templates.surface)
    np.testing.assert_array_equal(again.magnitude, templates.magnitude)


def test_objects_without_redshift_make_no_template(training: tuple[LightCurves, NDArray[np.str_]]) -> None:
    curves, labels = training
    assert Templates.fit(curves.with_redshift("none"), labels, CONFIG).names == ()


def test_no_object_gives_no_row(templates: Templates) -> None:
    assert templates.match(_supernovae(2, 0.1, 12.0, 1.0, 89).take(np.arange(0)), CONFIG).shape[0] == 0
