"""Templates: made of training objects, found again in light curves."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firstlight.errors import BundleError, DataError
from firstlight.features import FeatureConfig, TemplateConfig, Templates, extract
from firstlight.features.registry import template_features
from firstlight.lightcurves import LightCurves
from firstlight.preprocess import distance_modulus

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
    np.testing.assert_array_equal(hidden.values, table.hide_redshift().values)


def test_shape_is_judged_apart_from_brightness(templates: Templates) -> None:
    curves = _supernovae(1, 0.1, 12.0, 1.0, 95)
    brighter = curves.with_columns(flux=4.0 * curves.flux, flux_err=4.0 * curves.flux_err)
    a, b = templates.match(curves, CONFIG), templates.match(brighter, CONFIG)
    for name in ("match_explained_SNIa", "match_explained_SNII"):
        np.testing.assert_allclose(_column(templates, a, name), _column(templates, b, name), atol=0.03)


def test_saved_templates_give_the_same_fits(templates: Templates, tmp_path: Path) -> None:
    templates.save(tmp_path)
    again = Templates.load(tmp_path)
    curves = _supernovae(2, 0.2, 60.0, -1.0, 94)
    np.testing.assert_array_equal(again.match(curves, CONFIG), templates.match(curves, CONFIG))
    assert again.names == templates.names


def test_loading_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no templates"):
        Templates.load(tmp_path)
    (tmp_path / "templates.json").write_text("{}")
    with pytest.raises(BundleError, match="no templates"):
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
