"""Cost is measured in processes of their own; smaller models are smaller in the way that is said."""

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.classify import LightGBMBooster, LightGBMConfig
from firstlight.classify.forest import softmax
from firstlight.classify.lightgbm_text import read_forest
from firstlight.errors import DataError
from firstlight_paper.parts import cost, cost_child
from firstlight_paper.parts.cost import growth, pruned, quantised
from firstlight_paper.parts.cost_child import measured, peak_memory
from firstlight_paper.section import Picture, Table
from firstlight_paper.workshop import Workshop, plain


@given(power=st.floats(0.2, 2.5), factor=st.floats(0.01, 100.0))
def test_the_exponent_of_a_power_law_is_found(power, factor):
    n = np.array([100, 300, 1000, 5000])
    assert growth(n, factor * n**power) == pytest.approx(power, abs=1e-6)


def test_one_measurement_has_no_exponent():
    assert np.isnan(growth([100], [1.0]))


@given(
    weights=st.lists(st.floats(-10.0, 10.0, width=32), min_size=1, max_size=40).map(
        lambda values: np.array(values, dtype=np.float32)
    ),
    bits=st.integers(2, 10),
)
def test_rounded_weights_fit_their_bits_and_are_off_by_half_a_step_at_most(weights, bits):
    coarse = quantised(weights, bits)
    assert len(np.unique(coarse)) <= 2**bits - 1
    step = np.abs(weights).max() / (2 ** (bits - 1) - 1)
    assert np.abs(coarse - weights).max() <= 0.5 * step * (1.0 + 1e-4) + 1e-30


def test_pruning_gives_what_fewer_rounds_would_have_given():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    labels = np.array(["SNIa", "TDE", "AGN"])[rng.integers(0, 3, 300)]

    def grown(rounds):
        config = LightGBMConfig(rounds=rounds, row_fraction=1.0, feature_fraction=1.0)
        return LightGBMBooster(config).fit(X, labels)

    few = pruned(read_forest(grown(12).text), 5)
    np.testing.assert_allclose(softmax(few.raw(X)), grown(5).predict_proba(X), atol=1e-6)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_that_exceeds_the_peak_raises_it_by_as_much():
    before = peak_memory()
    now = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024**2
    wanted = before - now + 50.0  # MB
    held = np.ones(int(wanted * 1024**2 / 8))
    assert peak_memory() - before == pytest.approx(50.0, abs=20.0)
    assert held.all()


def test_a_measurement_that_fails_says_why(tmp_path):
    with pytest.raises(DataError, match=r"absent\.parquet"):
        measured("classify", tmp_path, curves=str(tmp_path / "absent.parquet"), bundle="default", sizes=[1])


def _here(command, **_):
    """The task in this process: what it measures then means little, and importing torch takes no time."""
    cost_child.main(*command[-2:])
    return SimpleNamespace(returncode=0)


@pytest.fixture(scope="module")
def result(own_bench):
    amounts = replace(
        cost.QUICK_AMOUNTS,
        train=(60, 120),
        preset=own_bench.scale.preset,
        classify=(1, 20),
        rounds=(1, 4),
        bits=(8, 2),
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(cost, "QUICK_AMOUNTS", amounts)
    patch.setattr(cost_child.subprocess, "run", _here)
    yield json.loads(json.dumps(plain(cost.measure(Workshop(own_bench))), allow_nan=False))
    patch.undo()


def test_time_and_memory_of_every_number_of_objects_are_told(result):
    training = result["honest"]["training"]
    assert [step["n_objects"] for step in training] == [60, 120]
    for step in training:
        assert 0.0 < sum(step["stages"].values()) <= step["cpu"] + 1e-3
        assert step["memory"] >= step["memory_before"] > 0.0
    for found in result["honest"]["classifying"].values():
        assert [step["n_objects"] for step in found["steps"]] == [1, 20]
        assert all(step["cpu"] > 0.0 for step in found["steps"])


def test_the_exact_encoder_and_the_whole_forest_agree(result):
    honest = result["honest"]
    assert honest["quantised"][0]["bits"] == 32
    assert honest["quantised"][0]["real"] == honest["pruned"][-1]["real"]
    assert honest["quantised"][-1]["kilobytes"] == pytest.approx(
        honest["quantised"][0]["kilobytes"] / 16, rel=1e-4
    )


def test_what_is_at_hand_is_not_measured_again(result, own_bench, monkeypatch):
    def never(*_):
        raise AssertionError("measured again")

    for name in ("_train", "_classify", "_make_smaller"):
        monkeypatch.setattr(cost, name, never)
    assert plain(cost.measure(Workshop(own_bench))) == result


def test_the_section_is_drawn_from_json_alone(result):
    section = cost.show(result)
    assert [block.name for block in section.blocks if isinstance(block, Picture)] == ["cost"]
    for table in (block for block in section.blocks if isinstance(block, Table)):
        assert {len(row) for row in table.rows} == {len(table.columns)}
