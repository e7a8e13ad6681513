"""SNe Ia from spectra: read from files, scaled to B, and drawn with stretch, colour and scatter."""

import importlib.machinery
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import DataError
from firstlight.simulate import SimulateConfig, simulate, simulate_classes
from firstlight.simulate.spectrum import TEN_PARSEC, band_flux, planck
from firstlight.simulate.template import find_template, make_template, read_template, template_population

PHASE = np.arange(-19.0, 61.0)
WAVELENGTH = np.arange(2_000.0, 11_001.0, 20.0)


def spectra():
    """A blackbody that cools, with a bump in time that is highest at phase 2."""
    shape = np.exp(-0.5 * ((PHASE - 2.0) / 12.0) ** 2)
    return shape[:, None] * planck(
        WAVELENGTH, np.maximum(12_000.0 - 100.0 * (PHASE[:, None] + 19.0), 5_000.0)
    )


@pytest.fixture(scope="module")
def template():
    return make_template(PHASE, WAVELENGTH, spectra())


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "spectra.txt"
    days, waves = np.meshgrid(PHASE, WAVELENGTH, indexing="ij")
    np.savetxt(path, np.column_stack([days.ravel(), waves.ravel(), spectra().ravel()]))
    return path


def one(value):
    return np.array([value])


def test_the_template_peaks_at_phase_zero_with_b_of_zero_magnitudes_at_ten_parsec(template):
    wavelength = np.arange(3_600.0, 5_601.0, 1.0)
    # A tophat about B's middle sees the same peak to some hundredths of a magnitude.
    blue = (wavelength > 3_950.0) & (wavelength < 4_900.0)
    phase = np.linspace(-15.0, 15.0, 61)
    light = template(wavelength[blue], phase[:, None]).mean(axis=1)
    assert abs(phase[np.argmax(light)]) <= 1.0
    density = light.max() / (4.0 * np.pi * TEN_PARSEC**2)
    vega = 10.0 ** (-0.4 * (48.6 - 0.09)) * 2.998e18 / 4_380.0**2
    assert -2.5 * np.log10(density / vega) == pytest.approx(0.0, abs=0.05)


@given(st.floats(-30.0, 400.0), st.floats(500.0, 30_000.0))
def test_light_is_finite_and_never_negative_anywhere(phase, wavelength):
    template = make_template(PHASE, WAVELENGTH, spectra())
    light = template(one(wavelength), one(phase))
    assert np.isfinite(light).all()
    assert (light >= 0.0).all()


def test_there_is_no_light_before_the_first_spectrum_and_none_outside_its_wavelengths(template):
    dark = template(np.array([4_000.0, 1_500.0, 20_000.0]), np.array([-25.0, 0.0, 0.0]))
    assert dark.tolist() == [0.0, 0.0, 0.0]


def test_light_between_two_days_lies_half_way(template):
    before, middle, after = template(one(5_000.0), np.array([3.0, 3.5, 4.0]))
    assert middle == pytest.approx(0.5 * (before + after))


def test_after_the_last_spectrum_light_fades_by_the_same_magnitudes_each_day(template):
    light = template(one(5_000.0), np.array([58.0, 68.0, 78.0]))
    assert -2.5 * np.log10(light[1:] / light[:-1]) == pytest.approx([0.15, 0.15])


def test_a_magnitude_brighter_is_a_factor_of_two_and_a_half_in_every_band(template):
    bands, state = np.arange(6, dtype=np.int8), np.zeros(6)
    bright, faint = (
        band_flux(10.0 ** (-0.4 * np.full(6, m)), state, bands, spectrum=template) for m in (-19, -18)
    )
    assert bright / faint == pytest.approx(np.full(6, 10.0**0.4))


def test_a_text_file_gives_the_spectra_it_was_written_from(path, template):
    found = read_template(path)
    np.testing.assert_allclose(found.table, template.table, rtol=1e-9)
    assert (found.first_phase, found.first_wavelength) == (template.first_phase, 2_000.0)


def test_an_hdf5_file_is_read_as_bayesn_lays_it_out(tmp_path, template):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("default")
        for name, value in {"phase": PHASE, "wave": WAVELENGTH, "flux": spectra()}.items():
            group[name] = value
    np.testing.assert_allclose(read_template(tmp_path / "a.h5").table, template.table)


def test_hdf5_without_h5py_names_the_missing_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match="pip install h5py"):
        read_template(tmp_path / "b.h5")


@pytest.mark.parametrize("text", ["", "no numbers here", "0 4000", "0 4000 1\n0 5000 1\n1 4000 1"])
def test_a_file_that_holds_no_template_is_a_data_error(text, tmp_path):
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(DataError):
        read_template(tmp_path / "bad.txt")


@pytest.mark.parametrize("change", ["backwards", "no b", "dark", "nan"])
def test_spectra_that_cannot_be_a_template_are_refused(change):
    phase, wavelength, flux = PHASE, WAVELENGTH, spectra()
    if change == "backwards":
        phase = phase[::-1]
    elif change == "no b":
        wavelength = wavelength + 3_000.0
    elif change == "dark":
        flux = 0.0 * flux
    else:
        flux[3, 3] = np.nan
    with pytest.raises(DataError):
        make_template(phase, wavelength, flux)


def test_the_environment_names_a_template(path, tmp_path, monkeypatch):
    monkeypatch.setenv("FIRSTLIGHT_SNIA_TEMPLATE", str(path))
    assert find_template() == path
    monkeypatch.setenv("FIRSTLIGHT_SNIA_TEMPLATE", str(tmp_path / "none"))
    with pytest.raises(DataError, match="no such file"):
        find_template()


def test_an_installed_bayesn_is_found_without_importing_it(tmp_path, monkeypatch):
    monkeypatch.delenv("FIRSTLIGHT_SNIA_TEMPLATE", raising=False)
    (tmp_path / "bayesn" / "data").mkdir(parents=True)
    (tmp_path / "bayesn" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "bayesn" / "data" / "hsiao.h5").write_bytes(b"")
    (tmp_path / "h5py.py").write_text("raise RuntimeError('imported')")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [importlib.machinery.PathFinder])
    assert find_template() == tmp_path / "bayesn" / "data" / "hsiao.h5"
    (tmp_path / "bayesn" / "data" / "hsiao.h5").unlink()
    assert find_template() is None


def test_drawn_supernovae_scatter_about_the_mean_and_dust_and_stretch_follow_colour_and_x1(template):
    drawn = template_population(template).draw(np.random.default_rng(0), 20_000)
    blue_dust = drawn["a_v"] * 4.1 / 3.1
    seen = drawn["magnitude"] + blue_dust
    assert np.mean(seen) == pytest.approx(-19.25, abs=0.05)
    intrinsic = seen - 3.1 * drawn["colour"]
    assert np.std(intrinsic) == pytest.approx(np.hypot(0.1, 0.14), abs=0.05)
    assert np.corrcoef(drawn["stretch"], intrinsic)[0, 1] < -0.5
    assert 0.75 < np.quantile(drawn["stretch"], 0.05) < np.quantile(drawn["stretch"], 0.95) < 1.15
    assert (drawn["colour"] < 0.0).any()


def test_only_snia_come_from_the_template(path, sample):
    plain, templated = (
        simulate_classes(("CaRT", "SNIa"), 4, sample, 3, SimulateConfig(template=chosen))
        for chosen in (None, path)
    )
    cart = plain.labels == "CaRT"
    np.testing.assert_array_equal(plain.curves.take(cart).flux, templated.curves.take(cart).flux)
    assert "stretch" in templated.truth.column_names
    assert "stretch" not in plain.truth.column_names


def test_a_templates_supernova_peaks_when_its_truth_says(path, sample):
    config = SimulateConfig(template=path, follow_up_mag=21.5)
    made = simulate("SNIa", 60, sample, np.random.default_rng(5), config)
    offset = []
    for curve, peak in zip(made.curves, made.truth.column("peak_mjd").to_pylist(), strict=True):
        seen = curve.detected & (curve.band == 2)
        if seen.sum() > 3:
            offset.append(curve.mjd[seen][np.argmax(curve.flux[seen])] - peak)
    assert len(offset) > 5
    assert abs(np.median(offset)) < 15.0
