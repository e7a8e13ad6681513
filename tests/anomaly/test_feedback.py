"""Verdicts in a file, and the order of candidates that they give."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from firstlight.anomaly.feedback import FeedbackRanker, verdict_values
from firstlight.anomaly.verdicts import Verdict, append_verdict, read_verdicts
from firstlight.errors import DataError


def test_the_newest_verdict_of_an_object_counts_and_a_withdrawn_one_does_not(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    for name, choice in (
        ("a", "interesting"),
        ("b", "interesting"),
        ("a", "not_interesting"),
        ("b", "withdrawn"),
    ):
        append_verdict(path, Verdict(object=name, verdict=choice))
    assert {name: one.verdict for name, one in read_verdicts(path).items()} == {"a": "not_interesting"}


def test_verdicts_of_several_writers_are_all_there(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda k: append_verdict(path, Verdict(object=f"o{k}", verdict="interesting")), range(64)
            )
        )
    assert set(read_verdicts(path)) == {f"o{k}" for k in range(64)}


def test_a_line_that_a_crash_cut_short_costs_that_line_alone(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    append_verdict(path, Verdict(object="a", verdict="interesting"))
    path.write_bytes(path.read_bytes() + b'{"object": "b", "verd')
    assert set(read_verdicts(path)) == {"a"}
    append_verdict(path, Verdict(object="c", verdict="interesting"))
    assert set(read_verdicts(path)) == {"a", "c"}


@pytest.mark.parametrize(
    "line",
    [
        *("[1]", "no json", '{"object": "a"}', '{"object": "a", "verdict": "great"}'),
        *('{"object": "", "verdict": "withdrawn"}', '{"object": 7, "verdict": "interesting"}'),
        '{"object": "a", "verdict": "wrong_class", "true_class": "SN"}',
    ],
)
def test_a_file_of_something_else_is_refused_with_its_line(tmp_path, line):
    path = tmp_path / "verdicts.jsonl"
    path.write_text(json.dumps({"object": "a", "verdict": "interesting"}) + "\n" + line + "\n\n")
    with pytest.raises(DataError, match="line 2"):
        read_verdicts(path)


@pytest.fixture(scope="module")
def candidates():
    """Two kinds of equally strange objects, far apart, among ordinary ones."""
    rng = np.random.default_rng(5)
    kinds = np.repeat(["ordinary", "wanted", "dull"], [200, 20, 20])
    centre = {"ordinary": 0.0, "wanted": 4.0, "dull": -4.0}
    scatter = np.where(kinds == "ordinary", 1.0, 0.3)[:, None]
    place = rng.normal(0.0, 1.0, (240, 6)) * scatter + np.array([centre[kind] for kind in kinds])[:, None]
    anomaly = np.where(kinds == "ordinary", rng.uniform(0.0, 0.9, 240), rng.uniform(0.9, 1.0, 240))
    return kinds, FeedbackRanker(place, np.full((240, 3), 1.0 / 3.0), anomaly), anomaly


def verdicts_on(kinds, rows):
    values = np.full(len(kinds), np.nan)
    values[rows] = np.where(kinds[rows] == "wanted", 1.0, -1.0)
    return np.isfinite(values), values


def test_without_verdicts_the_order_is_that_of_the_anomaly_score(candidates):
    kinds, ranker, anomaly = candidates
    interest = ranker.interest(*verdicts_on(kinds, []))
    assert np.argsort(interest).tolist() == np.argsort(anomaly).tolist()


def test_a_verdict_moves_the_objects_that_are_alike(candidates):
    kinds, ranker, _ = candidates
    rows = [int(np.flatnonzero(kinds == kind)[0]) for kind in ("wanted", "dull")]
    before, after = (ranker.interest(*verdicts_on(kinds, some)) for some in ([], rows))
    assert (after > before)[kinds == "wanted"].all()
    assert (after < before)[kinds == "dull"].all()
    assert after[kinds == "dull"].max() < after[kinds == "wanted"].min()


def test_the_order_of_verdicts_does_not_matter_and_many_of_them_do_no_harm(candidates):
    kinds, ranker, _ = candidates
    rows = np.arange(0, 240, 2)
    interest = ranker.interest(*verdicts_on(kinds, rows))
    assert np.isfinite(interest).all()
    assert np.abs(interest).max() < 3.0
    left = np.setdiff1d(np.arange(240), rows)
    assert interest[left][kinds[left] == "wanted"].min() > interest[left][kinds[left] != "wanted"].max()


def test_a_wrong_class_says_nothing_about_interest():
    given = {"a": Verdict(object="a", verdict="wrong_class"), "b": Verdict(object="b", verdict="interesting")}
    known, values = verdict_values(np.array(["a", "b", "c"]), given)
    assert known.tolist() == [False, True, False]
    assert values[1] == 1.0


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_or_equal_candidates_are_no_error(n):
    ranker = FeedbackRanker(np.zeros((n, 3)), np.zeros((n, 2)), np.full(n, np.nan))
    known = np.zeros(n, bool)
    known[:1] = True
    assert np.isfinite(ranker.interest(known, np.ones(n))).all()
