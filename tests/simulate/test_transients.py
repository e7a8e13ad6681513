"""Simulated sets as a whole: their content, and that they repeat."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import firstlight.simulate.transients as transients
from firstlight.data import Truth, read_curves
from firstlight.errors import DataError, SettingsError, UnknownClassError
from firstlight.lightcurves import LightCurves
from firstlight.settings import from_table, to_table
from firstlight.simulate import (
    POPULATIONS,
    SIMULATED_PREFIX,
    SimulateConfig,
    SimulatedSet,
    simulate,
    simulate_classes,
)
from firstlight.simulate.populations import draw_models, population
from firstlight.simulate.survey import measure_survey

QUICK = SimulateConfig(batch=256, n_times=128)


@pytest.fixture(scope="module")
def rare(sample: LightCurves) -> SimulatedSet:
    return simulate("PISN", 60, sample, np.random.default_rng(2), QUICK)


@pytest.mark.parametrize("name", sorted(POPULATIONS))
def test_every_class_gives_the_wanted_number_of_objects(name: str, sample: LightCurves) -> None:
    made = simulate(name, 12, sample, np.random.default_rng(0), QUICK)
    assert len(made) == len(made.labels) == made.truth.num_rows == 12
    assert (made.labels == name).all()
    n_detected = np.add.reduceat(made.curves.detected.astype(int), made.curves.offsets[:-1])
    assert (n_detected >= 2).all()


def test_names_say_that_objects_are_simulated(rare: SimulatedSet) -> None:
    assert all(name.startswith(SIMULATED_PREFIX) for name in rare.curves.object_id)
    assert rare.truth.column("object_id").to_pylist() == rare.curves.object_id.tolist()


def test_epochs_and_place_are_those_of_a_real_object(rare: SimulatedSet, sample: LightCurves) -> None:
    for i, name in enumerate(rare.truth.column("carrier").to_pylist()[:10]):
        carrier, made = sample.find(name), rare.curves[i]
        assert carrier.redshift > 0.0
        np.testing.assert_array_equal(made.mjd, carrier.mjd)
        np.testing.assert_array_equal(made.band, carrier.band)
        assert (made.ra, made.dec, made.ebv) == (carrier.ra, carrier.dec, carrier.ebv)


def test_fluxes_are_not_those_of_the_carrier(rare: SimulatedSet, sample: LightCurves) -> None:
    carrier = sample.find(rare.truth.column("carrier")[0].as_py())
    assert not np.isin(rare.curves[0].flux, carrier.flux).any()


def test_no_truth_is_in_the_light_curves(rare: SimulatedSet) -> None:
    z = rare.truth.column("redshift").to_numpy()
    for name in ("redshift", "redshift_spec"):
        equal = np.isclose(getattr(rare.curves, name), z, rtol=0, atol=1e-9)
        assert equal.mean() < 0.05, name  # a few real hosts have both redshifts alike
    assert np.abs(rare.curves.redshift_spec - z).max() < 0.01
    assert rare.curves.dereddened


def test_noise_far_from_the_peak_is_the_sky(rare: SimulatedSet) -> None:
    curves, peak = rare.curves, rare.truth.column("peak_mjd").to_numpy()
    z, rise = (rare.truth.column(name).to_numpy() for name in ("redshift", "peak_day"))
    explosion = np.repeat(peak - rise * (1 + z), curves.n_obs)
    dark = curves.mjd < explosion
    assert dark.sum() > 300
    pull = curves.flux[dark] / curves.flux_err[dark]
    assert pull.mean() == pytest.approx(0.0, abs=0.15)
    assert pull.std() == pytest.approx(1.0, abs=0.1)


def test_the_same_seed_gives_the_same_set(sample: LightCurves) -> None:
    one, two = (simulate("CaRT", 8, sample, np.random.default_rng(4), QUICK) for _ in range(2))
    np.testing.assert_array_equal(one.curves.flux, two.curves.flux)
    assert one.truth.equals(two.truth)
    other = simulate("CaRT", 8, sample, np.random.default_rng(5), QUICK)
    assert not one.truth.equals(other.truth)


def test_labels_of_the_observed_set_are_not_needed_and_names_do_not_matter(sample: LightCurves) -> None:
    renamed = sample.with_columns(object_id=np.array([f"x{i}" for i in range(len(sample))]))
    one = simulate("PISN", 5, sample, np.random.default_rng(4), QUICK)
    two = simulate("PISN", 5, renamed, np.random.default_rng(4), QUICK)
    np.testing.assert_array_equal(one.curves.flux, two.curves.flux)


def test_adding_a_class_leaves_the_others_as_they_were(sample: LightCurves) -> None:
    alone = simulate_classes(["PISN"], 4, sample, seed=3)
    together = simulate_classes(["CaRT", "PISN", "CaRT"], 4, sample, seed=3)
    assert together.labels.tolist() == ["CaRT"] * 4 + ["PISN"] * 4
    np.testing.assert_array_equal(together.curves.take(np.arange(4, 8)).flux, alone.curves.flux)


def test_a_written_set_is_read_back_with_its_truth_apart(sample: LightCurves, tmp_path: Path) -> None:
    made = simulate_classes(["CaRT"], 3, sample, seed=1)
    made.write(tmp_path / "sim")
    curves = read_curves(tmp_path / "sim" / "curves.parquet")
    np.testing.assert_array_equal(curves.flux, made.curves.flux)
    assert Truth.read(tmp_path / "sim" / "truth.parquet").labels_of(curves.object_id).tolist() == ["CaRT"] * 3


def test_no_wanted_object_gives_none(sample: LightCurves) -> None:
    made = simulate("PISN", 0, sample, np.random.default_rng(0), QUICK)
    assert len(made) == 0
    assert made.truth.num_rows == 0


def test_sets_join_and_keep_their_parameters(sample: LightCurves, rare: SimulatedSet) -> None:
    faint = simulate("ILOT", 5, sample, np.random.default_rng(1), QUICK)
    both = SimulatedSet.concatenate([rare, faint])
    assert len(both) == len(rare) + 5
    assert both.truth.column("class").to_pylist() == both.labels.tolist()
    assert both.truth.column("nickel_mass").null_count == 5
    assert both.truth.column("slope").null_count == len(rare)


def test_follow_up_keeps_the_bright(sample: LightCurves, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transients, "FOLLOW_UP_WIDTH", 0.1)
    config = replace(QUICK, follow_up_mag=21.0)
    bright = simulate("SLSN-I", 30, sample, np.random.default_rng(0), config)
    assert bright.truth.column("peak_app_mag").to_numpy().max() < 21.7


def test_rejected_events_could_hardly_have_been_detected(
    sample: LightCurves, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quick looks are a saving of time; without them the same number is found."""
    survey, rng = measure_survey(sample), np.random.default_rng
    quick = transients._simulate_batch(population("CaRT"), survey, rng(9), QUICK, 40)
    monkeypatch.setattr(transients, "_LOOK_SNR", 0.0)
    # The looks draw nothing, so both runs place the same events on the same carriers.
    slow = transients._simulate_batch(population("CaRT"), survey, rng(9), QUICK, 40)
    assert len(quick.carrier) > 50
    assert len(quick.carrier) == pytest.approx(len(slow.carrier), rel=0.2)


def test_true_flux_is_never_negative_and_dark_before_the_explosion(sample: LightCurves) -> None:
    survey, rng = measure_survey(sample), np.random.default_rng(3)
    drawn, evolution = draw_models(population("ILOT"), 400, rng, 128)
    n = len(drawn["peak_day"])
    truth = drawn | transients._place(population("ILOT"), n, survey, rng)
    carrier = rng.integers(0, len(survey.carriers), n)
    scene = transients._Scene(population("ILOT"), survey, evolution, np.arange(n), carrier, truth)
    row, owner = transients._rows(survey.carriers.offsets, carrier)
    flux = transients._true_flux(scene, row, owner)
    assert (flux >= 0.0).all()
    assert (flux > 0.0).any()
    start = truth["peak_mjd"] - truth["peak_day"] * (1 + truth["redshift"])
    assert (flux[survey.carriers.mjd[row] <= start[owner]] == 0.0).all()


def test_host_dust_is_mostly_thin_and_never_beyond_its_limit() -> None:
    a_v = transients._draw_host_av(20_000, np.random.default_rng(0))
    assert a_v.min() >= 0.0
    assert a_v.max() <= transients.HOST_AV_MAX
    assert a_v.mean() == pytest.approx(0.4 * 2 / 3 + 0.08 / 3, abs=0.02)


def test_a_class_that_cannot_be_simulated_is_refused(sample: LightCurves) -> None:
    with pytest.raises(UnknownClassError, match="cannot be simulated"):
        simulate("KN", 1, sample, np.random.default_rng(0))


def test_a_survey_that_never_detects_the_class_is_too_shallow(
    sample: LightCurves, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transients, "MAX_DRAWS", 4)
    impossible = replace(QUICK, min_detections=10_000)
    with pytest.raises(DataError, match="too shallow"):
        simulate("CaRT", 2, sample, np.random.default_rng(0), impossible)


@pytest.mark.parametrize("bad", [{"batch": 0}, {"min_detections": 0}, {"n_times": 0}])
def test_impossible_settings_are_refused(bad: dict[str, float], sample: LightCurves) -> None:
    with pytest.raises(SettingsError):
        simulate("CaRT", 1, sample, np.random.default_rng(0), replace(QUICK, **bad))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="fewer than 0"):
        simulate("CaRT", -1, sample, np.random.default_rng(0))


def test_settings_come_from_a_table() -> None:
    config = from_table(SimulateConfig, {"follow_up_mag": 22.5, "batch": 64})
    assert config == SimulateConfig(follow_up_mag=22.5, batch=64)
    assert "follow_up_mag" not in to_table(SimulateConfig())


def test_a_limit_on_the_peak_lets_objects_through_whose_peak_was_not_observed(sample):
    made = {
        on: simulate(
            "SLSN-I",
            60,
            sample,
            np.random.default_rng(2),
            SimulateConfig(follow_up_mag=21.0, follow_up_on=on),
        )
        for on in ("epochs", "peak")
    }
    faintest = {on: float(one.truth.column("peak_app_mag").to_numpy().max()) for on, one in made.items()}
    assert faintest["epochs"] < 21.0 + 8 * 0.4
    assert faintest["peak"] > faintest["epochs"] + 0.5


def test_an_unknown_quantity_to_lay_the_limit_on_is_refused(sample):
    with pytest.raises(SettingsError, match="choose epochs or peak"):
        simulate("CaRT", 1, sample, np.random.default_rng(0), SimulateConfig(follow_up_on="trigger"))
