import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight_paper.parts import per_class_pattern
from firstlight_paper.parts.per_class_pattern import find_pattern, implied, rank_correlation
from firstlight_paper.printed import PRINTED, PRINTED_F1

N = {name: 10 * (k + 1) for k, name in enumerate(sorted(PRINTED_F1, key=lambda name: -PRINTED_F1[name]))}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(per_class_pattern, "N_PERMUTATIONS", 500)
    monkeypatch.setattr(per_class_pattern, "N_RESAMPLINGS", 200)


def test_the_same_order_correlates_fully_and_is_no_accident() -> None:
    x = np.arange(12.0)
    found = rank_correlation(x, np.exp(x), np.random.default_rng(0))
    assert found["rho"] == pytest.approx(1.0)
    assert found["p"] == pytest.approx(1 / 501)
    assert found["low"] == pytest.approx(1.0)


def test_a_constant_column_has_no_correlation() -> None:
    found = rank_correlation(np.arange(5.0), np.ones(5), np.random.default_rng(0))
    assert found["rho"] is None
    assert found["p"] is None


@given(st.lists(st.integers(0, 20), min_size=4, max_size=16, unique=True), st.integers(0, 1000))
def test_correlation_is_that_of_scipy(values: list[int], seed: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    x, y = np.array(values, float), np.random.default_rng(seed).integers(0, 5, len(values)).astype(float)
    found = rank_correlation(x, y, np.random.default_rng(0))
    if np.ptp(y) == 0.0:
        assert found["rho"] is None
    else:
        assert found["rho"] == pytest.approx(stats.spearmanr(x, y).statistic)
        assert found["low"] <= found["high"]
        assert 0.0 < found["p"] <= 1.0


def test_p_values_of_unrelated_columns_are_spread_evenly() -> None:
    rng = np.random.default_rng(1)
    p = [rank_correlation(rng.normal(size=16), rng.normal(size=16), rng)["p"] for _ in range(200)]
    assert np.mean(np.array(p) < 0.2) == pytest.approx(0.2, abs=0.09)


def test_the_printed_order_is_found_where_it_is() -> None:
    backwards = {name: 1.0 - value for name, value in PRINTED_F1.items()}
    f1 = {"leak": dict(PRINTED_F1), "design": backwards, "ours": backwards}
    found = find_pattern(N, f1, np.random.default_rng(0))
    assert found["correlation"]["leak"]["all"]["rho"] == pytest.approx(1.0)
    assert found["correlation"]["design"]["all"]["rho"] == pytest.approx(-1.0)
    assert found["leak_minus_design"]["difference"] == pytest.approx(2.0)
    assert found["leak_minus_design"]["share_not_positive"] == 0.0
    assert found["lowest"]["leak"] == found["lowest"]["printed"] == ["SNII", "SNIa"]
    assert found["lowest"]["design"] != ["SNII", "SNIa"]
    assert found["chance_of_lowest"] == pytest.approx(1 / 120)


def test_the_largest_class_is_not_copied() -> None:
    found = find_pattern(N, dict.fromkeys(("leak", "design", "ours"), PRINTED_F1), np.random.default_rng(0))
    assert min(found["copies"].values()) == 1.0
    assert found["copies"][max(N, key=lambda name: N[name])] == 1.0
    assert found["correlation"]["copies"]["extragalactic"]["n"] == 11


def test_printed_recalls_give_the_printed_accuracy_only_if_classes_are_alike() -> None:
    found = implied(N)
    assert found["balanced"]["accuracy"] == pytest.approx(PRINTED["accuracy"], abs=0.005)
    assert found["balanced"]["predicted"] == pytest.approx(1.0, abs=0.005)
    assert found["section_2"]["accuracy"] <= found["section_2_most"] < 0.71
    assert found["section_2"]["predicted"] < 0.95
    assert 2 / 16 < found["common_most"] < 0.3  # what a balanced set has, and far from section 2's 0.75


def test_equal_numbers_of_objects_are_a_balanced_set() -> None:
    found = implied(dict.fromkeys(PRINTED_F1, 7))
    assert found["objects"] == found["balanced"]
