"""Utility of a spectrum, and its factors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from firstlight.errors import SettingsError, UnknownClassError
from firstlight.followup.brightness import Brightness
from firstlight.followup.utility import (
    N_IN_SURVEY,
    RARE,
    FollowupConfig,
    class_rarity,
    followup_score,
    followup_utility,
)
from firstlight.taxonomy import CLASSES, GALACTIC, class_index

NOW = 60_000.0


def brightness(n=1, **columns) -> Brightness:
    """Objects of 20th magnitude at their brightest, neither rising nor fading."""
    values = {
        "band": np.full(n, 2, np.int8),
        "mag": 20.0,
        "mag_err": 0.05,
        "mag_mjd": NOW,
        "slope": 0.0,
        "slope_err": 0.05,
        "peak_mag": 20.0,
        "peak_mjd": NOW,
    } | columns
    return Brightness(**{k: np.array(np.broadcast_to(v, (n,))) for k, v in values.items()})


def certain(*names) -> np.ndarray:
    proba = np.zeros((len(names), len(CLASSES)))
    proba[np.arange(len(names)), class_index(names)] = 1.0
    return proba


def rate(proba, anomaly=0.5, config=None, next_mjd=NOW + 1.0, classified=True, **columns):
    n = len(proba)
    flags = np.array(np.broadcast_to(classified, (n,)))
    scores = np.array(np.broadcast_to(np.asarray(anomaly, float), (n,)))
    return followup_utility(proba, scores, flags, brightness(n, **columns), next_mjd, config)


def test_utility_is_the_formula_of_its_docstring():
    rng = np.random.default_rng(1)
    n = 300
    proba, anomaly = rng.dirichlet(np.ones(17), n), rng.random(n)
    columns = {
        "mag": rng.uniform(17, 25, n),
        "mag_err": rng.uniform(0.01, 0.3, n),
        "mag_mjd": NOW - rng.uniform(0, 10, n),
        "slope": rng.normal(0, 0.1, n),
        "slope_err": rng.uniform(0.01, 0.1, n),
        "peak_mjd": NOW - rng.uniform(10, 50, n),
    }
    config = FollowupConfig(wanted=("KN", "TDE"), weights=(1.0, 0.5), rarity=0.4)
    u = rate(proba, anomaly, config, **columns)
    r = class_rarity()
    kn, tde = class_index(["KN", "TDE"])
    wanted = (1 - 0.4 * (1 - r[kn])) * proba[:, kn] + 0.5 * (1 - 0.4 * (1 - r[tde])) * proba[:, tde]
    novelty = np.clip((anomaly - 0.95) / 0.05, 0, 1)
    science = 1 - (1 - wanted) * (1 - 0.3 * novelty)
    mag, err = brightness(n, **columns).expected(NOW + 1.0)
    bright = norm.cdf((22.0 - mag) / np.hypot(err, 0.1))
    q = norm.cdf(-columns["slope"] / columns["slope_err"])
    d = columns["mag_mjd"] - columns["peak_mjd"] + (1 - q) * (NOW + 1 - columns["mag_mjd"])
    peak = 0.1 + 0.9 * np.exp(-((d / 5) ** 2) / 2) * q
    for name, expected in (
        *(("wanted", wanted), ("novelty", novelty), ("science", science), ("bright", bright)),
        *(("peak", peak), ("rising", q), ("total", science * bright * peak)),
    ):
        assert_allclose(getattr(u, name), expected, rtol=1e-9, atol=1e-12, err_msg=name)


@given(st.integers(0, 2**32 - 1))
def test_every_factor_is_between_zero_and_one(seed):
    rng = np.random.default_rng(seed)
    n = 20
    u = rate(
        rng.dirichlet(np.full(17, 0.1), n),
        np.where(rng.random(n) < 0.2, np.nan, rng.random(n)),
        FollowupConfig(rarity=rng.random(), novelty=rng.random()),
        mag=rng.uniform(10, 30, n),
        mag_mjd=NOW + rng.normal(0, 100, n),
        peak_mjd=NOW + rng.normal(0, 100, n),
        slope=rng.normal(0, 1, n),
    )
    for name in ("total", "wanted", "novelty", "science", "bright", "peak", "rising"):
        part = getattr(u, name)
        assert ((part >= 0.0) & (part <= 1.0)).all(), name


def test_the_wanted_come_before_the_others():
    u = rate(certain("KN", "SNIa", "EB"))
    assert u.total[0] > 0.4
    assert_array_equal(u.total[1:], 0.0)


def test_of_two_wanted_classes_the_rarer_is_worth_more():
    config = FollowupConfig(wanted=("KN", "SNIax"))
    assert np.diff(rate(certain("SNIax", "KN"), config=config).total)[0] > 0.0
    level = FollowupConfig(wanted=("KN", "SNIax"), rarity=0.0)
    assert np.diff(rate(certain("SNIax", "KN"), config=level).total)[0] == 0.0


def test_weights_scale_a_class():
    whole = FollowupConfig(wanted=("TDE",), weights=(1.0,))
    half = FollowupConfig(wanted=("TDE",), weights=(0.5,))
    assert rate(certain("TDE"), config=half).total[0] == pytest.approx(
        0.5 * rate(certain("TDE"), config=whole).total[0]
    )


def test_only_anomaly_scores_above_the_threshold_are_novel():
    u = rate(certain(*["SNIa"] * 4), anomaly=[0.5, 0.95, 0.99, np.nan])
    assert_array_equal(u.total[[0, 1, 3]], 0.0)
    assert u.novelty[2] == pytest.approx(0.8)
    assert u.total[2] > 0.0


def test_novelty_adds_to_the_wanted_but_never_above_one():
    u = rate(certain("KN", "KN"), anomaly=[0.0, 1.0], config=FollowupConfig(novelty=1.0, rarity=0.0))
    assert u.science.tolist() == [1.0, 1.0]


def test_too_faint_tomorrow_is_worth_little():
    kn = certain("KN", "KN", "KN")
    u = rate(kn, mag=[20.0, 22.0, 24.0])
    assert u.bright[0] > 0.999
    assert u.bright[1] == pytest.approx(0.5)
    assert u.bright[2] < 1e-6
    fading = rate(kn, mag=21.8, slope=[-0.3, 0.0, 0.3], slope_err=0.05)
    assert (np.diff(fading.bright) < 0.0).all()


def test_wanting_to_learn_adds_to_the_science_alone():
    proba = np.vstack([certain("TDE"), np.full((1, len(CLASSES)), 1.0 / len(CLASSES))])
    bright = brightness(2)
    without, with_ = (
        followup_utility(
            proba, np.full(2, 0.97), np.ones(2, bool), bright, NOW + 1.0, FollowupConfig(learn=x)
        )
        for x in (0.0, 0.5)
    )
    for factor in ("wanted", "novelty", "bright", "peak", "rising"):
        assert_array_equal(getattr(with_, factor), getattr(without, factor))
    assert_allclose(with_.science, 1.0 - (1.0 - without.science) * np.array([1.0, 0.5]))
    assert_allclose(with_.total, with_.science * with_.bright * with_.peak)


def test_past_the_peak_the_factor_falls_to_a_tenth():
    u = rate(certain(*["TDE"] * 4), peak_mjd=NOW - np.array([0.0, 5.0, 10.0, 200.0]))
    assert (np.diff(u.peak) < 0.0).all()
    assert u.peak[-1] == pytest.approx(0.1)


def test_rising_beats_fading():
    u = rate(certain("TDE", "TDE", "TDE"), slope=[-0.2, 0.0, 0.2])
    assert (np.diff(u.peak) < 0.0).all()
    assert u.rising[0] > 0.999
    assert u.rising[1] == 0.5


def test_a_slope_without_error_is_certain():
    u = rate(certain("TDE", "TDE"), slope=[-0.1, 0.1], slope_err=0.0)
    assert u.rising.tolist() == [1.0, 0.0]


def test_an_undetected_object_is_worth_0_and_an_unclassified_one_nan():
    u = rate(certain("KN", "KN"), mag=np.nan, slope=np.nan, peak_mjd=np.nan, classified=[True, False])
    assert u.total[0] == 0.0
    assert np.isnan(u.total[1])


def test_score_of_a_record_is_of_the_night_after():
    proba = certain("KN", "TDE")
    b = brightness(2, slope=0.2)
    score = followup_score(proba, np.zeros(2), np.ones(2, bool), b, NOW)
    assert_array_equal(score, followup_utility(proba, np.zeros(2), np.ones(2, bool), b, NOW + 1.0).total)


def test_score_does_not_depend_on_the_batch():
    rng = np.random.default_rng(2)
    n = 257
    proba, anomaly, b = rng.dirichlet(np.ones(17), n), rng.random(n), brightness(n, slope=rng.normal(size=n))
    ok, mjd = np.ones(n, bool), NOW + rng.random(n)
    together = followup_score(proba, anomaly, ok, b, mjd)
    alone = [followup_score(proba[[i]], anomaly[[i]], ok[[i]], b.take([i]), mjd[[i]])[0] for i in range(n)]
    assert together.tobytes() == np.array(alone).tobytes()
    transposed = followup_score(np.asfortranarray(proba), anomaly, ok, b, mjd)
    assert together.tobytes() == transposed.tobytes()


def test_rarity_follows_the_numbers_of_the_survey():
    rarity = dict(zip(CLASSES, class_rarity(), strict=True))
    assert set(N_IN_SURVEY) == set(CLASSES)
    assert (rarity["SNIa"], rarity["KN"]) == (0.0, 1.0)
    order = sorted(CLASSES, key=N_IN_SURVEY.__getitem__)
    assert order == sorted(CLASSES, key=rarity.__getitem__, reverse=True)


def test_rare_classes_wanted_by_default_are_outside_the_milky_way():
    assert not set(RARE) & GALACTIC
    assert FollowupConfig().class_worth()[class_index(["SNIa"])[0]] == 0.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"wanted": ("KN", "KN")}, "twice"),
        ({"wanted": ("KN",), "weights": (1.0, 0.5)}, r"2 weight\(s\) for 1 wanted"),
        ({"wanted": ("KN",), "weights": (1.5,)}, "weight of KN 1.5"),
        ({"rarity": -0.1}, "rarity -0.1"),
        ({"novelty": float("nan")}, "novelty nan"),
        ({"limit_mag": float("inf")}, "limit_mag inf"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(SettingsError, match=words):
        FollowupConfig(**settings)


def test_an_unknown_class_is_refused():
    with pytest.raises(UnknownClassError, match="Kilonova"):
        FollowupConfig(wanted=("Kilonova",)).class_worth()


def test_classes_of_a_user_can_be_wanted_and_ours_that_a_bundle_lacks_are_worth_nothing():
    worth = FollowupConfig(wanted=("nova", "TDE"), rarity=0.0).class_worth(("CV", "nova"))
    assert worth.tolist() == [0.0, 1.0]
