import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from firstlight.errors import LeakageError
from firstlight.lightcurves import LightCurves
from firstlight.splits import (
    check_columns,
    check_disjoint,
    check_distinct,
    check_near_duplicates,
    hash_split,
    stratified_folds,
    twins,
    twins_note,
)


def make_curves(n_objects: int, n_obs: int, seed: int, prefix: str = "object") -> LightCurves:
    rng = np.random.default_rng(seed)
    mjd = np.sort(rng.uniform(59_000, 60_000, (n_objects, n_obs)), axis=1)
    return LightCurves(
        object_id=np.array([f"{prefix}-{k}" for k in range(n_objects)]),
        offsets=np.arange(n_objects + 1) * n_obs,
        mjd=mjd.ravel(),
        band=rng.integers(0, 6, n_objects * n_obs),
        flux=rng.normal(0, 1000, n_objects * n_obs),
        flux_err=np.full(n_objects * n_obs, 50.0),
    )


def renamed(curves: LightCurves, prefix: str) -> LightCurves:
    return curves.with_columns(object_id=np.array([f"{prefix}-{k}" for k in range(len(curves))]))


TRAIN = make_curves(40, 30, seed=0)
TEST = make_curves(10, 30, seed=1, prefix="test")


# --- objects --------------------------------------------------------------------------


def test_separate_objects_pass() -> None:
    check_disjoint(["a", "b", "b"], ["c"])
    check_disjoint([], ["c"])


def test_an_object_planted_on_both_sides_is_caught_and_named() -> None:
    with pytest.raises(LeakageError, match=r"1 object\(s\) are in training and test: 'b'"):
        check_disjoint(["a", "b"], ["b", "c"])


def test_only_a_few_of_many_culprits_are_named() -> None:
    names = [f"o{k}" for k in range(100)]
    with pytest.raises(LeakageError, match=r"100 object\(s\).*'o0'.*and 95 more"):
        check_disjoint(names, names)


def test_numbers_and_their_text_are_the_same_object() -> None:
    with pytest.raises(LeakageError, match="615"):
        check_disjoint(np.array([615]).tolist(), np.array(["615"]))  # type: ignore[arg-type]


def test_an_object_duplicated_across_folds_is_caught() -> None:
    """The leak of oversampling before the split: rows, not objects, are dealt."""
    rng = np.random.default_rng(0)
    names = rng.permutation(np.repeat([f"o{k}" for k in range(50)], 4))
    rows = rng.permutation(len(names))
    with pytest.raises(LeakageError):
        check_disjoint(names[rows[:160]], names[rows[160:]])
    for fold in stratified_folds(names, np.full(len(names), "SNIa"), 5, rng=rng):
        check_disjoint(names[fold.train], names[fold.test])


# --- columns --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column",
    [
        "true_target",
        "true_peakmjd",
        "TRUE_Z",
        "target",
        "tflux_g",
        "libid_cadence",
        "label",
        "class",
        " Class ",
        "distmod",
        "SIM_TYPE_INDEX",
        "truth",
    ],
)
def test_a_label_planted_in_a_forbidden_column_is_caught(column: str) -> None:
    with pytest.raises(LeakageError, match=column.strip()):
        check_columns(["mwebv", "hostgal_photoz", column, "flux_peak_g"])


def test_honest_columns_pass() -> None:
    check_columns(
        [
            "object_id",
            "ra",
            "decl",
            "ddf_bool",
            "hostgal_specz",
            "hostgal_photoz",
            "hostgal_photoz_err",
            "mwebv",
            "latent_0",
            "gp_peak_flux_g",
            "class_like_width",
            "targets_nearby",
            "redshift_is_known",
        ]
    )


def test_columns_of_the_real_metadata_are_sorted_into_allowed_and_forbidden() -> None:
    """PLAsTiCC's own columns, as its training set spells them."""
    allowed = ["object_id", "ra", "decl", "ddf_bool", "hostgal_specz", "hostgal_photoz", "mwebv"]
    check_columns(allowed)
    for forbidden in ("distmod", "target"):
        with pytest.raises(LeakageError):
            check_columns([*allowed, forbidden])


# --- light curves ---------------------------------------------------------------------


def test_different_light_curves_pass() -> None:
    check_near_duplicates(TRAIN, TEST)


def test_a_light_curve_under_another_name_is_caught_and_both_are_named() -> None:
    planted = LightCurves.concatenate([TRAIN, renamed(TEST.take([3]), "copy")])
    with pytest.raises(LeakageError, match=r"1 pair.*copy-0 \(train\) and test-3 \(test\)"):
        check_near_duplicates(planted, TEST)


def test_a_truncated_copy_is_caught_on_either_side() -> None:
    cut = TEST.keep(TEST.mjd < 59_200)
    with pytest.raises(LeakageError, match="10 pair"):
        check_near_duplicates(renamed(cut, "cut"), TEST)
    with pytest.raises(LeakageError, match="10 pair"):
        check_near_duplicates(TEST, renamed(cut, "cut"))


def test_a_thinned_copy_is_caught() -> None:
    half = TEST.keep(np.arange(len(TEST.mjd)) % 2 == 0)
    with pytest.raises(LeakageError):
        check_near_duplicates(renamed(half, "thin"), TEST)


def test_a_few_shared_observations_are_no_copy() -> None:
    mjd, band, flux = TEST.mjd.copy(), TEST.band.copy(), TEST.flux.copy()
    for name, source in ((mjd, TRAIN.mjd), (band, TRAIN.band), (flux, TRAIN.flux)):
        name[:3] = source[:3]
    check_near_duplicates(
        TRAIN, TEST.with_columns(mjd=np.sort(mjd.reshape(10, 30)).ravel(), band=band, flux=flux)
    )


def test_the_same_times_with_other_fluxes_are_no_copy() -> None:
    other = renamed(TRAIN, "sky").with_columns(flux=TRAIN.flux + np.float32(1.0))
    check_near_duplicates(TRAIN, other)


def test_a_change_of_band_is_another_observation() -> None:
    other = renamed(TRAIN, "sky").with_columns(band=((TRAIN.band + 1) % 6).astype(np.int8))
    check_near_duplicates(TRAIN, other)


def test_times_that_passed_through_text_still_match() -> None:
    rounded = renamed(TEST, "text").with_columns(mjd=TEST.mjd.round(4) + 0.0)
    exact = TEST.with_columns(mjd=TEST.mjd.round(4))
    with pytest.raises(LeakageError):
        check_near_duplicates(rounded, exact)


def test_minus_zero_is_zero() -> None:
    zero = TEST.with_columns(flux=np.zeros_like(TEST.flux))
    minus = renamed(TEST, "minus").with_columns(flux=np.full_like(TEST.flux, -0.0))
    with pytest.raises(LeakageError, match="10 pair"):
        check_near_duplicates(zero, minus)


def test_empty_sides_and_empty_curves_pass() -> None:
    nothing = TEST.take(np.zeros(0, dtype=np.int64))
    check_near_duplicates(nothing, TEST)
    check_near_duplicates(TRAIN, nothing)
    check_near_duplicates(TRAIN, TEST.keep(np.zeros(len(TEST.mjd), dtype=bool)))


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.1, 1.0)), max_size=4, unique_by=lambda one: one[0]))
def test_copies_within_one_set_are_those_that_some_split_parts(copies: list[tuple[int, float]]) -> None:
    rng = np.random.default_rng(0)
    made = [renamed(TEST.take([k]).keep(rng.random(30) < share), f"copy {k} of") for k, share in copies]
    both = LightCurves.concatenate([TEST, *made])
    try:
        for k in range(len(TEST), len(both)):
            check_near_duplicates(both.take([k]), TEST)
    except LeakageError:
        with pytest.raises(LeakageError, match="copy"):
            check_distinct(both)
    else:
        check_distinct(both)


def copied(curves: LightCurves, others: LightCurves) -> set[str]:
    """Objects with half of their observations among those of others, found one by one."""
    found = set()
    for one in curves:
        seen = list(zip(one.mjd, one.band, one.flux, strict=True))
        elsewhere = {
            each
            for other in others
            if other.object_id != one.object_id
            for each in zip(other.mjd, other.band, other.flux, strict=True)
        }
        n_shared = sum(each in elsewhere for each in seen)
        if n_shared and n_shared >= 0.5 * len(seen):
            found.add(str(one.object_id))
    return found


def named(check: Callable[..., None], *sides: LightCurves) -> set[str]:
    """Objects that a check names in its error."""
    try:
        check(*sides)
    except LeakageError as error:
        return set(re.findall(r"object-\d", str(error)))
    return set()


@given(st.integers(0, 10**6), st.integers(2, 30))
def test_copies_are_found_as_by_comparing_every_observation(seed: int, n_fluxes: int) -> None:
    rng = np.random.default_rng(seed)
    curves = make_curves(6, 4, seed).with_columns(
        mjd=np.tile([60_000.0, 60_001.0, 60_002.0, 60_003.0], 6),
        band=np.zeros(24, np.int8),
        flux=rng.integers(0, n_fluxes, 24).astype(np.float32),
    )
    curves = curves.keep(rng.random(24) < 0.8)
    one, other = curves.take(np.arange(3)), curves.take(np.arange(3, 6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("firstlight.splits.leakage.MOST_NAMED", 99)
        within, across = named(check_distinct, curves), named(check_near_duplicates, one, other)
    assert within >= copied(curves, curves)
    assert across >= copied(one, other) | copied(other, one)
    assert bool(within) == bool(copied(curves, curves))
    assert bool(across) == bool(copied(one, other) | copied(other, one))


def test_real_objects_are_all_different(sample: LightCurves) -> None:
    fold = hash_split(sample.object_id)
    check_distinct(sample)
    check_near_duplicates(sample.take(fold.train), sample.take(fold.test))


def test_a_real_object_in_both_parts_is_caught(sample: LightCurves, sample_labels: NDArray[np.str_]) -> None:
    fold = stratified_folds(sample.object_id, sample_labels, 5, rng=np.random.default_rng(0))[0]
    planted = np.concatenate([fold.train, fold.test[:1]])
    name = str(sample.object_id[fold.test[0]])
    with pytest.raises(LeakageError, match=name):
        check_near_duplicates(sample.take(planted), sample.take(fold.test))


# --- the same object under the names of two surveys -------------------------------------


def placed(curves: LightCurves, seed: int) -> LightCurves:
    rng = np.random.default_rng(seed)
    return curves.with_columns(ra=rng.uniform(0, 360, len(curves)), dec=rng.uniform(-90, 90, len(curves)))


def test_one_object_of_two_surveys_is_found_by_position_and_time() -> None:
    first, second = placed(TRAIN, 0), placed(TEST, 1)
    ra, dec = second.ra.copy(), second.dec.copy()
    ra[3], dec[3] = (first.ra[7] - 360.0) % 360.0, first.dec[7] + 1.0 / 3600.0
    ra[4], dec[4] = first.ra[8], first.dec[8] + 3.0 / 3600.0  # too far
    both = LightCurves.concatenate([first, second.with_columns(ra=ra, dec=dec)])
    assert twins(both) == [("object-7", "test-3")]
    assert "object-7 and test-3" in twins_note(both)
    later = second.with_columns(ra=ra, dec=dec, mjd=second.mjd + 2_000.0)
    assert twins(LightCurves.concatenate([first, later])) == []  # another transient at the same place


def test_positions_of_fields_and_unknown_ones_are_no_twins() -> None:
    field = TRAIN.with_columns(ra=np.full(len(TRAIN), 53.0), dec=np.full(len(TRAIN), -28.0))
    assert twins(field) == []
    assert twins(TRAIN) == []
    assert twins_note(TRAIN.take(np.zeros(0, np.int64))) == ""


def test_across_zero_hours_and_at_the_pole_twins_are_found() -> None:
    curves = placed(TRAIN, 2)
    ra, dec = curves.ra.copy(), curves.dec.copy()
    ra[:2], dec[:2] = [0.0001, 359.9999], 10.0
    ra[2:4], dec[2:4] = [10.0, 190.0], 89.9999
    assert twins(curves.with_columns(ra=ra, dec=dec)) == [("object-0", "object-1"), ("object-2", "object-3")]
