"""Gaps take what they say and nothing else, from test objects alone."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.bands import BANDS
from firstlight_paper.parts import gaps
from firstlight_paper.parts.gaps import BLOCKS, KEPT_BANDS, Gap, leave_out
from firstlight_paper.section import Picture, Table
from firstlight_paper.workshop import Workshop, plain


@given(share=st.floats(0.0, 0.95), seed=st.integers(0, 100))
def test_about_the_stated_share_is_dropped_and_the_rest_is_untouched(sample, share, seed):
    left = leave_out(sample, Gap(0, "dropped", share), np.random.default_rng(seed))
    assert len(left.mjd) / len(sample.mjd) == pytest.approx(1.0 - share, abs=0.02)
    assert left.object_id.tolist() == sample.object_id.tolist()
    assert np.isin(left.flux, sample.flux).all()


@pytest.mark.parametrize("kept", KEPT_BANDS)
def test_only_the_kept_bands_are_left_and_all_of_them(sample, kept):
    left = leave_out(sample, Gap(0, "bands", kept=kept), np.random.default_rng(0))
    expected = np.isin(sample.band, [BANDS.index(name) for name in kept])
    assert np.array_equal(left.mjd, sample.mjd[expected])
    assert {BANDS[k] for k in np.unique(left.band)} == set(kept)


@pytest.mark.parametrize("days", BLOCKS)
def test_a_block_leaves_the_trigger_and_what_lies_beyond_it(sample, days):
    left = leave_out(sample, Gap(0, "block", days), np.random.default_rng(0))
    np.testing.assert_array_equal(left.trigger_mjd, sample.trigger_mjd)
    assert not ((left.phase > 0.5) & (left.phase <= days + 0.5)).any()
    inside = (sample.phase > 0.5) & (sample.phase <= days + 0.5)
    assert inside.any()
    assert len(left.mjd) == len(sample.mjd) - inside.sum()


def test_every_band_is_missing_once():
    missing = [set(BANDS) - set(kept) for kept in KEPT_BANDS if len(kept) == len(BANDS) - 1]
    assert [gone.pop() for gone in missing] == list(BANDS)


@pytest.fixture(scope="module")
def result(own_bench):
    patch = pytest.MonkeyPatch()
    patch.setattr(gaps, "DROPPED", (0.5, 0.9))
    patch.setattr(gaps, "BLOCKS", (40.0,))
    yield json.loads(json.dumps(plain(gaps.measure(Workshop(own_bench))), allow_nan=False))
    patch.undo()


def test_every_test_object_is_scored_once_with_every_gap(result, own_bench):
    honest = result["honest"]
    steps = [honest["whole"], *honest["dropped"], *honest["block"], *honest["bands"].values()]
    assert {step["sixteen"]["n_objects"] for step in steps} == {len(own_bench.objects)}


def test_fewer_observations_are_seen_where_more_are_dropped(result):
    counts = [step["n_obs"] for step in result["honest"]["dropped"]]
    assert counts == sorted(counts, reverse=True)
    assert counts[1] == pytest.approx(0.5 * counts[0], rel=0.1)


def test_what_is_at_hand_is_not_computed_again(result, own_bench, monkeypatch):
    def never(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(gaps, "_classify", never)
    assert plain(gaps.measure(Workshop(own_bench))) == result


def test_the_section_is_drawn_from_json_alone(result):
    section = gaps.show(result)
    assert [block.name for block in section.blocks if isinstance(block, Picture)] == ["gaps", "gaps-bands"]
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert len(table.rows) == 1 + 2 + 1 + len(KEPT_BANDS)
    assert {len(row) for row in table.rows} == {len(table.columns)}
