"""Parity: for alerts in any order, the stream gives the same answer as batch on the same data."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.online.conftest import Stream, rows_of

from firstlight.errors import DataError, NotFittedError
from firstlight.lightcurves import LightCurves, RejectLog
from firstlight.mix import ClassMix, MixBin
from firstlight.online import Arrivals, read_histories
from firstlight.online.history import MAX_ENTRIES
from firstlight.online.states import RECENT
from firstlight.pipeline import Pipeline
from firstlight.predictions import BEYOND


def position(curves: LightCurves) -> np.ndarray:
    """Place of every observation in its object."""
    return np.arange(len(curves.mjd)) - np.repeat(curves.offsets[:-1], curves.n_obs)


def feed_in_order(stream: Stream, curves: LightCurves, upto: int | None = None) -> None:
    """Feed one observation per alert, all objects together."""
    place = position(curves)
    for k in range(int(curves.n_obs.max()) if upto is None else upto):
        part = rows_of(curves, place == k)
        stream.feed(Arrivals.from_curves(part, np.full(len(part), k)))


def alerts_of(curves: LightCurves, groups: np.ndarray) -> list[Arrivals]:
    """Alerts of one object: the observations of each group, in the order of the groups' numbers."""
    alerts = []
    for group in np.unique(groups):
        part = curves.keep(groups == group)
        alerts.append(Arrivals.from_curves(part, np.array([group])))
    return alerts


def test_every_object_fed_observation_by_observation_ends_where_batch_does(constant_stream, sample):
    feed_in_order(constant_stream, sample)
    constant_stream.assert_equals(constant_stream.pipeline.predict(sample, jobs=1))
    new_or_long = sum(1 + (n - 1) // MAX_ENTRIES for n in sample.n_obs)
    assert constant_stream.reads <= new_or_long  # a history is read for new objects and to shorten it


def test_every_prefix_agrees_with_batch(any_stream, sample):
    part = sample.take(np.arange(0, len(sample), 9))
    place = position(part)
    for k in range(12):
        new = rows_of(part, place == k)
        any_stream.feed(Arrivals.from_curves(new, np.full(len(new), k)))
        any_stream.assert_equals(any_stream.pipeline.predict(rows_of(part, place <= k), jobs=1))


def test_under_a_stated_mix_and_a_demanded_domain_stream_and_batch_agree(tiny_fast, sample):
    mix = ClassMix(
        mix={"SNIa": 3.0, "SNII": 1.0, "RRL": 1.0},
        bins=(MixBin(mix={"AGN": 1.0, "SNIa": 1.0}, redshift=(0.0, 0.4), magnitude=(15.0, 23.0)),),
    )
    stated = copy(tiny_fast)
    stated._assume(mix)
    stated._min_domain = "inside"
    part = sample.take(np.arange(0, len(sample), 3))
    part = part._derive(
        flux=100.0 * part.flux, flux_err=100.0 * part.flux_err
    )  # brighter than all of training
    stream = Stream(stated)
    feed_in_order(stream, part)
    expected = stated.predict(part, jobs=1)
    stream.assert_equals(expected)
    assert BEYOND in expected.reason
    assert all(expected.is_classified == (expected.set_size > 0))
    assert len(np.unique(expected.prior, axis=0)) == 2


def test_the_preset_that_needs_the_history_agrees_too(default_stream, sample):
    part = sample.take(np.arange(3, len(sample), 23))
    feed_in_order(default_stream, part)
    default_stream.assert_equals(default_stream.pipeline.predict(part, jobs=1))


@settings(max_examples=12)
@given(st.data())
def test_any_order_with_repeats_ends_where_batch_does(tiny_fast, tiny_nights, tiny_default, sample, data):
    pipeline = data.draw(st.sampled_from([tiny_fast, tiny_nights, tiny_default]))
    one = sample.take([data.draw(st.integers(0, len(sample) - 1))])
    groups = np.sort(data.draw(st.lists(st.integers(0, 9), min_size=len(one.mjd), max_size=len(one.mjd))))
    alerts = alerts_of(one, np.array(groups))
    order = data.draw(st.permutations(range(len(alerts))))
    repeats = data.draw(st.lists(st.sampled_from(range(len(alerts))), max_size=4))
    stream = Stream(pipeline)
    for k in [*order, *repeats]:
        stream.feed(alerts[k])
    stream.assert_equals(pipeline.predict(one, jobs=1))


def test_alerts_shuffled_within_a_night_make_no_difference(any_stream, sample):
    rng = np.random.default_rng(5)
    part = sample.take(np.arange(1, len(sample), 40))
    for i in range(len(part)):
        one = part.take([i])
        night = np.floor(one.mjd)
        order = np.lexsort((rng.random(len(night)), night))
        for number, k in enumerate(order):
            alert = one.keep(np.arange(len(night)) == k)
            any_stream.feed(Arrivals.from_curves(alert, np.array([number])))
    any_stream.assert_equals(any_stream.pipeline.predict(part, jobs=1))


def test_packets_that_carry_the_past_are_counted_once(any_stream, sample):
    part = sample.take([4, 90, 170])
    place = position(part)
    for k in range(0, int(part.n_obs.max()), 3):
        alive = part.take(part.n_obs > k)
        seen = alive.keep(position(alive) <= k)
        any_stream.feed(Arrivals.from_curves(seen, np.full(len(alive), k)))
    last = place <= np.repeat((part.n_obs - 1) // 3 * 3, part.n_obs)
    any_stream.assert_equals(any_stream.pipeline.predict(part.keep(last), jobs=1))


def test_observations_of_several_bands_at_one_time_agree_with_batch_in_any_order_of_rows(any_stream, sample):
    rng = np.random.default_rng(8)
    rows, objects = sample.take(np.arange(2, len(sample), 50)).to_pandas()
    rows["mjd"] = np.floor(rows["mjd"])  # a night's bands at one time, and some bands twice
    read = [
        LightCurves.from_pandas(rows.sample(frac=1.0, random_state=k), objects, rejects=RejectLog())
        for k in range(2)
    ]
    assert np.mean(np.diff(read[0].mjd) == 0) > 0.2
    assert read[0].fingerprint == read[1].fingerprint
    for i in range(len(objects)):
        one = read[0].take([i])
        for number, k in enumerate(rng.permutation(len(one.mjd))):
            alert = one.keep(np.arange(len(one.mjd)) == k)
            any_stream.feed(Arrivals.from_curves(alert, np.array([number])))
    any_stream.assert_equals(any_stream.pipeline.predict(read[1], jobs=1))


def windowed(curves: LightCurves, k: int, days: float) -> LightCurves:
    """Content of a packet at the k-th observation: that one, and the days before it."""
    now = np.repeat(curves.mjd[curves.offsets[:-1] + k], curves.n_obs)
    return curves.keep((position(curves) <= k) & (curves.mjd >= now - days))


def test_packets_with_a_part_of_the_past_need_no_history(fast_stream, sample):
    """Twelve months of a longer history are recognised by the ring of recent observations."""
    part = sample.take(np.flatnonzero(sample.n_obs > 110)[:6])
    for k in range(110):
        fast_stream.feed(Arrivals.from_curves(windowed(part, k, 60.0), np.full(len(part), k)))
    fast_stream.assert_equals(fast_stream.pipeline.predict(part.keep(position(part) < 110), jobs=1))
    assert fast_stream.reads <= len(part) * (1 + 109 // MAX_ENTRIES)


def test_a_window_longer_than_the_ring_needs_the_history_and_is_right(fast_stream, sample):
    one = sample.take([int(np.argmax(sample.n_obs))])
    last = int(one.n_obs[0]) - 1
    assert last > RECENT + 20
    start = one.mjd[10] - 1e-4
    fast_stream.feed(Arrivals.from_curves(one.keep(position(one) < last - 3), np.array([0])))
    for k in range(last - 3, last):
        before = fast_stream.reads
        packet = one.keep((position(one) <= k) & (one.mjd >= start))
        fast_stream.feed(Arrivals.from_curves(packet, np.array([k])))
        assert fast_stream.reads == before + 1
    fast_stream.assert_equals(fast_stream.pipeline.predict(one.keep(position(one) < last), jobs=1))


@pytest.mark.parametrize("what", ["flux", "missing", "extra"])
def test_a_window_that_contradicts_known_observations_is_noticed(fast_stream, sample, what):
    one = sample.take(np.flatnonzero(sample.n_obs > 60)[[2]])
    one = one.with_columns(detected=np.ones(len(one.mjd), bool))
    place = position(one)
    known = one.keep((place < 50) & ~((place == 44) & (what == "extra")))
    fast_stream.feed(Arrivals.from_curves(known, np.array([0])))
    packet = one if what != "flux" else changed(one, 44, 2.0)
    packet = packet.keep((place >= 40) & (place < 52) & ~((place == 44) & (what == "missing")))
    done = fast_stream.feed(Arrivals.from_curves(packet, np.array([1])))
    assert done.late[0] == (what != "missing")
    expected = one if what != "flux" else changed(one, 44, 2.0)
    fast_stream.assert_equals(fast_stream.pipeline.predict(expected.keep(place < 52), jobs=1))


def test_a_missing_alert_is_made_up_by_the_next_packet(fast_stream, sample):
    one = sample.take([33])
    place = position(one)
    fast_stream.feed(Arrivals.from_curves(one.keep(place < 5), np.array([1])))
    fast_stream.feed(Arrivals.from_curves(one.keep(place < 9), np.array([3])))
    fast_stream.assert_equals(fast_stream.pipeline.predict(one.keep(place < 9), jobs=1))


def test_a_repeated_alert_changes_nothing_and_is_marked(any_stream, sample):
    one = sample.take([12])
    place = position(one)
    first = Arrivals.from_curves(one.keep(place < 4), np.array([1]))
    second = Arrivals.from_curves(one.keep((place >= 4) & (place < 8)), np.array([2]))
    for alert in (first, second):
        assert any_stream.feed(alert).answered.all()
    name = str(one.object_id[0])
    row, history = any_stream.rows[name], any_stream.histories[name]
    for alert in (second, first):
        done = any_stream.feed(alert)
        assert not done.answered.any()
        assert done.predictions.reason[0] == "repeated"
        assert done.entries == [b""]
    assert (any_stream.rows[name], any_stream.histories[name]) == (row, history)


def test_a_late_alert_is_marked_and_gets_its_answer(any_stream, sample):
    one = sample.take([12])
    place = position(one)
    alerts = [one.keep((place >= 4 * k) & (place < 4 * k + 4)) for k in range(3)]
    any_stream.feed(Arrivals.from_curves(alerts[0], np.array([0])))
    assert not any_stream.feed(Arrivals.from_curves(alerts[2], np.array([2]))).late.any()
    done = any_stream.feed(Arrivals.from_curves(alerts[1], np.array([1])))
    assert done.answered.all()
    assert done.late.all()
    any_stream.assert_equals(any_stream.pipeline.predict(one.keep(place < 12), jobs=1))


def test_a_late_alert_that_brings_nothing_new_is_still_answered(fast_stream, sample):
    one = sample.take([12])
    place = position(one)
    fast_stream.feed(Arrivals.from_curves(one.keep(place < 8), np.array([8])))
    done = fast_stream.feed(Arrivals.from_curves(one.keep(place < 4), np.array([4])))
    assert done.answered.all()
    assert not done.late.any()
    assert not fast_stream.feed(Arrivals.from_curves(one.keep(place < 4), np.array([4]))).answered.any()


def changed(curves: LightCurves, row: int, factor: float) -> LightCurves:
    flux = curves.flux.copy()
    flux[row] *= np.float32(factor)
    return curves.with_columns(flux=flux)


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0)])
def test_of_two_statements_about_one_visit_the_later_alert_counts(any_stream, sample, order):
    one = sample.take([60]).with_columns()
    detected = one.with_columns(detected=np.ones(len(one.mjd), bool))
    place = position(one)
    packets = [
        detected.keep(place < 6),
        changed(detected, 2, 3.0).keep(place < 8),
        changed(detected, 2, 5.0).keep(place < 10),
    ]
    for k in order:
        any_stream.feed(Arrivals.from_curves(packets[k], np.array([k])))
    any_stream.assert_equals(any_stream.pipeline.predict(packets[2], jobs=1))


def test_a_repeated_observation_overrules_a_change_in_between(fast_stream, sample):
    one = sample.take([60])
    one = one.with_columns(detected=np.ones(len(one.mjd), bool))
    place = position(one)
    first = Arrivals.from_curves(one.keep(place < 6), np.array([0]))
    between = Arrivals.from_curves(changed(one, 2, 3.0).keep(place < 7), np.array([1]))
    again = Arrivals.from_curves(one.keep(place < 9), np.array([2]))
    for alert in (first, again, between):
        fast_stream.feed(alert)
    fast_stream.assert_equals(fast_stream.pipeline.predict(one.keep(place < 9), jobs=1))


def test_a_redshift_that_arrives_later_is_used_from_then_on(any_stream, sample):
    one = sample.take([140])
    place = position(one)
    blind = one.with_redshift("none")
    any_stream.feed(Arrivals.from_curves(blind.keep(place < 10), np.array([0])))
    any_stream.assert_equals(any_stream.pipeline.predict(blind.keep(place < 10), jobs=1))
    any_stream.feed(Arrivals.from_curves(one.keep((place >= 10) & (place < 12)), np.array([1])))
    any_stream.feed(Arrivals.from_curves(blind.keep((place >= 12) & (place < 14)), np.array([2])))
    any_stream.assert_equals(any_stream.pipeline.predict(one.keep(place < 14), jobs=1))


def test_dust_that_becomes_known_later_corrects_earlier_fluxes(any_stream, sample):
    raw = sample.take([140]).with_columns(ebv=np.array([0.4]))
    raw = LightCurves(**{**raw._columns(), "dereddened": False})
    unknown = raw.with_columns(ebv=np.array([np.nan]))
    place = position(raw)
    any_stream.feed(Arrivals.from_curves(unknown.keep(place < 10), np.array([0])))
    any_stream.feed(Arrivals.from_curves(raw.keep((place >= 10) & (place < 12)), np.array([1])))
    any_stream.feed(Arrivals.from_curves(unknown.keep((place >= 12) & (place < 14)), np.array([2])))
    any_stream.assert_equals(any_stream.pipeline.predict(raw.keep(place < 14), jobs=1))


@settings(max_examples=15)
@given(st.data())
def test_dust_from_the_map_follows_the_newest_position_and_yields_to_a_given_value(
    tiny_fast, tiny_default, sample, data
):
    pipeline = data.draw(st.sampled_from([tiny_fast, tiny_default]))
    one = sample.take([data.draw(st.integers(0, len(sample) - 1))])
    one = LightCurves(**{**one._columns(), "dereddened": False})
    n = min(5, int(one.n_obs[0]))
    groups = np.minimum(np.arange(len(one.mjd)), n - 1)
    places = [(np.nan, np.nan), (10.0, -40.0), (10.0, -40.0001), (266.0, -25.0)]
    alerts, known = [], (np.nan, np.nan, np.nan)
    for arrival in alerts_of(one, groups):
        place, ebv = (
            data.draw(st.sampled_from(places)),
            data.draw(st.sampled_from([np.nan, np.nan, np.nan, 0.3])),
        )
        stated = (*place, ebv)
        curves = arrival.curves.with_columns(ra=[place[0]], dec=[place[1]], ebv=[ebv])
        alerts.append(replace(arrival, curves=curves))
        known = tuple(old if np.isnan(new) else new for old, new in zip(known, stated, strict=True))
    stream = Stream(pipeline)
    for k in data.draw(st.permutations(range(n))):
        stream.feed(alerts[k])
    whole = one.with_columns(ra=[known[0]], dec=[known[1]], ebv=[known[2]])
    stream.assert_equals(pipeline.predict(whole, jobs=1))


def test_dereddened_fluxes_cannot_follow_raw_ones(fast_stream, sample):
    one = sample.take([140])
    raw = LightCurves(**{**one._columns(), "dereddened": False})
    place = position(one)
    fast_stream.feed(Arrivals.from_curves(one.keep(place < 4), np.array([0])))
    with pytest.raises(DataError, match="cannot follow"):
        fast_stream.feed(Arrivals.from_curves(raw.keep((place >= 4) & (place < 8)), np.array([1])))
    fast_stream.rows.clear()  # the history knows it too
    with pytest.raises(DataError, match="cannot follow"):
        fast_stream.feed(Arrivals.from_curves(raw.keep((place >= 4) & (place < 8)), np.array([1])))


def test_the_batch_makes_no_difference(any_stream, sample):
    part = sample.take([5, 50, 120, 180])
    place = position(part)
    together = Stream(any_stream.pipeline)
    for k in range(6):
        new = rows_of(part, place == k)
        together.feed(Arrivals.from_curves(new, np.full(len(new), k)))
        for i in range(len(new)):
            any_stream.feed(Arrivals.from_curves(new.take([i]), np.array([k])))
    assert together.rows == any_stream.rows
    assert together.histories == any_stream.histories


def test_a_lost_state_is_rebuilt_from_the_history(any_stream, sample):
    one = sample.take([77])
    feed_in_order(any_stream, one, upto=20)
    any_stream.rows.clear()
    new = one.keep(position(one) == 20)
    done = any_stream.feed(Arrivals.from_curves(new, np.array([20])))
    assert np.isnan(done.previous).all()
    any_stream.assert_equals(any_stream.pipeline.predict(one.keep(position(one) <= 20), jobs=1))


def test_a_long_history_is_rewritten_as_one_entry(fast_stream, sample):
    one = sample.take([int(np.argmax(sample.n_obs))])
    feed_in_order(fast_stream, one, upto=MAX_ENTRIES + 3)
    entries = fast_stream.histories[str(one.object_id[0])]
    assert len(entries) <= MAX_ENTRIES
    history = read_histories([entries])
    np.testing.assert_array_equal(history.mjd, one.mjd[: MAX_ENTRIES + 3])
    assert sorted(history.alerts.tolist()) == list(range(MAX_ENTRIES + 3))


def test_the_previous_answer_is_returned(fast_stream, sample):
    one = sample.take([77])
    place = position(one)
    first = fast_stream.feed(Arrivals.from_curves(one.keep(place < 5), np.array([0])))
    second = fast_stream.feed(Arrivals.from_curves(one.keep(place == 5), np.array([1])))
    assert np.isnan(first.previous).all()
    np.testing.assert_array_equal(second.previous, first.predictions.proba)


def test_too_little_data_is_not_classified(any_stream, sample):
    place = position(sample)
    first = rows_of(sample, place == 0).take([0, 1, 2])
    done = any_stream.feed(Arrivals.from_curves(first, np.zeros(3)))
    assert (done.predictions.status == "not_classified").all()
    assert (done.predictions.label == "").all()


def test_an_empty_batch_gives_an_empty_update(any_stream, sample):
    nothing = Arrivals.from_curves(sample.take([]), np.empty(0))
    done = any_stream.pipeline.update(any_stream.pipeline.states(0), nothing, lambda index: [])
    assert len(done.predictions) == 0
    assert done.entries == []


def test_states_and_alerts_must_be_of_the_same_objects(fast_stream, sample):
    arrivals = Arrivals.from_curves(sample.take([1, 2]), np.array([0, 0]))
    with pytest.raises(DataError, match="3 states but 2 alerts"):
        fast_stream.pipeline.update(fast_stream.pipeline.states(3), arrivals, lambda index: [])


def test_an_untrained_pipeline_has_no_states():
    with pytest.raises(NotFittedError):
        Pipeline().states(1)
