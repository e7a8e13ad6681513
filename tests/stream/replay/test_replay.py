"""A replay: in order, whole to the last bit, and with earlier observations only."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.errors import DataError, SettingsError
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.rows import OBSERVATION_COLUMNS
from firstlight.stream import Alert, ConfluentCodec, JsonLinesCodec, light_curves
from firstlight.stream.alerts.alert import OBJECT_VALUES
from firstlight.stream.replay.replay import (
    LATE_DAYS,
    REPEAT_WITHIN,
    Replay,
    ReplayConfig,
    ReplayPacket,
    night_of,
    object_numbers,
    paced,
    source_numbers,
)

EVER = ReplayConfig(history_days=float("inf"))


def decoded(replay: Replay) -> list[Alert]:
    codec = ConfluentCodec()
    alerts = [codec.decode(packet.value) for packet in replay.packets()]
    assert all(isinstance(alert, Alert) for alert in alerts)
    return alerts  # type: ignore[return-value]


def assert_same_curves(actual: LightCurves, expected: LightCurves) -> None:
    """All that two sets of light curves say, whatever the order of the objects."""
    assert sorted(actual.object_id) == sorted(expected.object_id)
    assert actual.dereddened == expected.dereddened
    for name in expected.object_id:
        left, right = actual.find(name), expected.find(name)
        for column in OBSERVATION_COLUMNS:
            np.testing.assert_array_equal(getattr(left, column), getattr(right, column), err_msg=column)
        for column in OBJECT_VALUES:
            np.testing.assert_array_equal(getattr(left, column), getattr(right, column), err_msg=column)


def one_object(mjd: list[float], detected: list[bool], name: str = "42") -> LightCurves:
    n = len(mjd)
    return LightCurves([name], [0, n], mjd, np.arange(n) % 6, np.arange(n) + 1.0, np.ones(n), detected)


@st.composite
def random_curves(draw: st.DrawFn) -> LightCurves:
    """Light curves with empty objects, coinciding times in other bands, and unknown values."""
    counts = draw(st.lists(st.integers(0, 12), min_size=1, max_size=5).filter(any))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    total = sum(counts)
    # visits of one band are 34 s apart and more; several bands may share an instant
    keys = [np.sort(rng.choice(6 * 40, count, replace=False)) for count in counts]
    flat = np.concatenate(keys).astype(np.int64)
    values = {
        name: np.where(rng.random(len(counts)) < 0.3, np.nan, rng.uniform(0, 2, len(counts)))
        for name in OBJECT_VALUES
    }
    values["redshift_err"] = np.where(np.isnan(values["redshift"]), np.nan, values["redshift_err"])
    return LightCurves(
        object_id=[str(n) for n in rng.choice(10**8, len(counts), replace=False) + 1],
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        mjd=60000.0 + (flat // 6) * draw(st.sampled_from([0.0005, 0.3, 20.0])),
        band=flat % 6,
        flux=rng.normal(0, 1e4, total),
        flux_err=rng.uniform(0.1, 50.0, total),
        detected=rng.random(total) < 0.5,
        dereddened=draw(st.booleans()),
        **values,
    )


# --- everything arrives ----------------------------------------------------------------


def test_the_packets_of_real_objects_join_to_their_light_curves_exactly(sample: LightCurves) -> None:
    some = sample.take(np.arange(0, len(sample), 8))
    assert_same_curves(light_curves(decoded(Replay(some))), some)


@settings(max_examples=60)
@given(
    curves=random_curves(),
    shuffle=st.booleans(),
    late=st.sampled_from([0.0, 0.5, 1.0]),
    repeat=st.sampled_from([0.0, 0.5, 1.0]),
    days=st.sampled_from([0.0, 5.0, 365.0]),
)
def test_any_light_curve_comes_back_from_its_packets(
    curves: LightCurves, shuffle: bool, late: float, repeat: float, days: float
) -> None:
    config = ReplayConfig(shuffle_night=shuffle, late=late, repeat=repeat, history_days=days)
    seen = curves.take(curves.n_obs > 0)
    assert_same_curves(light_curves(decoded(Replay(curves, config))), seen)


@settings(max_examples=30)
@given(curves=random_curves(), late=st.sampled_from([0.0, 0.5]), only=st.booleans())
def test_packets_read_back_as_the_alerts_of_the_replay(curves: LightCurves, late: float, only: bool) -> None:
    codec = ConfluentCodec()
    if only and not curves.detected.any():
        return
    replay = Replay(curves, ReplayConfig(late=late, repeat=0.3, detections_only=only))
    packets = list(replay.packets())
    assert [packet.value for packet in packets] == [codec.encode(alert) for alert in replay.alerts()]
    assert [packet.key.decode() for packet in packets] == [alert.object_id for alert in replay.alerts()]
    listed = [alert.listed_from for alert in replay.alerts()]
    assert [codec.decode(packet.value).listed_from for packet in packets] == listed
    lines = [JsonLinesCodec().decode(JsonLinesCodec().encode(alert)) for alert in replay.alerts()]
    assert [alert.listed_from for alert in lines] == listed


def test_every_observation_sends_one_alert_in_order_of_time(sample: LightCurves) -> None:
    replay = Replay(sample)
    assert len(replay) == len(sample.mjd)
    np.testing.assert_array_equal(replay.mjd, np.sort(sample.mjd))
    np.testing.assert_array_equal(np.sort(replay.rows), np.arange(len(sample.mjd)))
    np.testing.assert_array_equal(sample.mjd[replay.rows], replay.mjd)
    np.testing.assert_array_equal(replay.object_index, sample.object_index[replay.rows])


def test_an_object_s_observations_come_in_its_own_order(sample: LightCurves) -> None:
    for owner in range(3):
        assert (np.diff(Replay(sample).rows[Replay(sample).object_index == owner]) == 1).all()


def test_an_alert_has_no_observation_from_after_it(sample: LightCurves) -> None:
    for alert in decoded(Replay(sample.take(np.arange(4)))):
        assert alert.observations.mjd.max() <= alert.mjd
        assert alert.observations.source_id.max() == alert.source_id


def test_the_values_of_an_object_are_in_each_packet(sample: LightCurves) -> None:
    few = sample.take(np.arange(3))
    for alert in decoded(Replay(few)):
        curve = few.find(alert.object_id)
        for name in OBJECT_VALUES:
            np.testing.assert_array_equal(getattr(alert, name), getattr(curve, name), err_msg=name)
        assert alert.dereddened
        assert alert.n_rejected == 0


def test_a_detection_is_the_source_and_the_rest_is_history() -> None:
    fastavro = pytest.importorskip("fastavro")
    from io import BytesIO

    from firstlight.stream.alerts.write import LSST_SCHEMA

    curves = one_object([1.0, 2.0, 3.0, 4.0], [False, True, True, False])
    packets = [
        fastavro.schemaless_reader(BytesIO(packet.value), LSST_SCHEMA, None)
        for packet in Replay(curves).packets(frame=b"")
    ]
    third, fourth = packets[2], packets[3]
    assert third["diaSource"]["psfFlux"] == 3.0
    assert [row["psfFlux"] for row in third["prvDiaSources"]] == [2.0]
    assert [row["psfFlux"] for row in third["prvDiaForcedSources"]] == [1.0]
    # no detection sent the fourth: its measurement is forced photometry
    assert (fourth["diaSource"]["psfFlux"], fourth["diaSource"]["midpointMjdTai"]) == (None, 4.0)
    assert [row["psfFlux"] for row in fourth["prvDiaForcedSources"]] == [1.0, 4.0]


# --- as the survey sends them ------------------------------------------------------------


def test_only_detections_send_alerts_if_so_wanted(sample: LightCurves) -> None:
    replay = Replay(sample, ReplayConfig(detections_only=True))
    np.testing.assert_array_equal(np.sort(replay.rows), np.flatnonzero(sample.detected))


def test_forced_photometry_before_the_first_detection_arrives_with_it() -> None:
    curves = one_object(
        [60001.0, 60002.0, 60003.0, 60004.0, 60005.0, 60006.0], [False, False, True, False, True, False]
    )
    first, second = decoded(Replay(curves, ReplayConfig(detections_only=True)))
    assert first.observations.mjd.tolist() == [60001.0, 60002.0, 60003.0]
    assert first.observations.detected.tolist() == [False, False, True]
    # a non-detection arrives with the next detection; one after the last never does
    assert second.observations.mjd.tolist() == [60001.0, 60002.0, 60003.0, 60004.0, 60005.0]


def test_a_packet_s_history_ends_at_the_window() -> None:
    curves = one_object([60000.0, 60300.0, 60365.0, 60366.0], [True] * 4)
    alerts = decoded(Replay(curves))
    assert [alert.observations.mjd.tolist() for alert in alerts[2:]] == [
        [60000.0, 60300.0, 60365.0],
        [60300.0, 60365.0, 60366.0],
    ]
    assert [len(a.observations) for a in decoded(Replay(curves, replace(EVER)))] == [1, 2, 3, 4]
    assert [len(a.observations) for a in decoded(Replay(curves, ReplayConfig(history_days=0.0)))] == [1] * 4


def test_a_replay_of_some_nights_keeps_the_history_before_them() -> None:
    curves = one_object([60001.0, 60002.0, 60003.0, 60004.0], [True] * 4)
    alerts = decoded(Replay(curves, ReplayConfig(from_mjd=60002.0, to_mjd=60003.0)))
    assert [alert.mjd for alert in alerts] == [60002.0, 60003.0]
    assert alerts[0].observations.mjd.tolist() == [60001.0, 60002.0]


def test_no_alert_to_send_is_an_error_with_the_reason() -> None:
    curves = one_object([1.0], [False])
    with pytest.raises(DataError, match=r"no detection from MJD -inf to inf"):
        Replay(curves, ReplayConfig(detections_only=True))
    with pytest.raises(DataError, match=r"no observation from MJD 2 to inf"):
        Replay(curves, ReplayConfig(from_mjd=2.0))


def test_at_most_so_many_alerts_are_sent(sample: LightCurves) -> None:
    whole, part = Replay(sample), Replay(sample, ReplayConfig(max_alerts=70))
    assert len(list(part.packets())) == len(part) == 70
    assert [p.value for p in part.packets()] == [
        p.value for p, _ in zip(whole.packets(), range(70), strict=False)
    ]


# --- names -------------------------------------------------------------------------------


def test_alerts_have_names_of_their_own_that_depend_on_object_and_place_alone(sample: LightCurves) -> None:
    replay = Replay(sample)
    names = [alert.alert_id for alert in replay.alerts()]
    assert names == [str(number) for number in replay.alert_numbers]
    assert len(set(names)) == len(names)
    few = Replay(sample.take(np.arange(40, 50)), ReplayConfig(from_mjd=59700.0, shuffle_night=True, seed=5))
    assert {alert.alert_id for alert in few.alerts()} < set(names)
    assert Replay(one_object([60001.0, 60002.0], [True, True], "615")).alert(1).alert_id == "615000002"


def test_large_objects_get_hashed_names_for_their_alerts() -> None:
    numbers = np.array([7, 170_028_485_706_776_685])
    curves = LightCurves(["7", "170028485706776685"], [0, 2, 4], [1.0, 2.0] * 2, [1] * 4, [1] * 4, [1] * 4)
    found = source_numbers(curves, numbers)
    assert found[:2].tolist() == [7_000_001, 7_000_002]
    assert (found > 0).all()
    assert len(set(found.tolist())) == 4


def test_names_that_are_no_integers_are_refused_or_numbered_by_the_name_alone() -> None:
    names = np.array(["ZTF19acihgng", "615", "007", "0", "-3", "\N{SUPERSCRIPT TWO}", str(1 << 62)])
    with pytest.raises(DataError, match=r"object 'ZTF19acihgng' \(6 such object\(s\) in all\)"):
        object_numbers(names)
    numbers = object_numbers(names, renumber=True)
    assert numbers[1] == 615
    assert len(set(numbers.tolist())) == len(names)
    assert (np.delete(numbers, 1) >= 1 << 62).all()
    np.testing.assert_array_equal(object_numbers(names[::-1], renumber=True), numbers[::-1])


def test_packets_refuse_a_name_that_alerts_can_carry() -> None:
    curves = one_object([60001.0], [True], "SN 1987A")
    with pytest.raises(DataError, match="positive integers"):
        Replay(curves).packets()
    assert next(Replay(curves).alerts()).object_id == "SN 1987A"
    renumbered = Replay(curves, ReplayConfig(renumber=True))
    (packet,) = renumbered.packets()
    assert packet.key == str(renumbered.numbers[0]).encode()
    assert decoded(renumbered)[0].object_id == str(renumbered.numbers[0])


# --- chance ------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [EVER, ReplayConfig(shuffle_night=True, late=0.2, repeat=0.1, seed=3)])
def test_the_same_replay_gives_the_same_bytes(sample: LightCurves, config: ReplayConfig) -> None:
    few = sample.take(np.arange(20))
    assert list(Replay(few, config).packets()) == list(Replay(few, config).packets())


def test_a_night_is_shuffled_and_the_nights_stay_in_order(sample: LightCurves) -> None:
    plain, shuffled = Replay(sample), Replay(sample, ReplayConfig(shuffle_night=True))
    assert not np.array_equal(plain.rows, shuffled.rows)
    assert (np.diff(night_of(sample.mjd[shuffled.rows])) >= 0).all()
    assert Counter(p.value for p in plain.packets()) == Counter(p.value for p in shuffled.packets())
    other = Replay(sample, ReplayConfig(shuffle_night=True, seed=1))
    assert not np.array_equal(other.rows, shuffled.rows)


def test_a_night_lasts_from_noon_to_noon_in_chile() -> None:
    # 23 UT to 10 UT is one night; the date in UTC changes in the middle of it
    assert night_of(np.array([60000.96, 60001.42, 60001.96])).tolist() == [60000, 60000, 60001]


def test_a_late_alert_brings_an_observation_that_packets_before_it_lack(sample: LightCurves) -> None:
    replay = Replay(sample, ReplayConfig(late=0.1, history_days=float("inf")))
    late = replay.mjd > sample.mjd[replay.rows]
    assert 0.05 < late.mean() < 0.15
    assert (replay.mjd - sample.mjd[replay.rows]).max() <= LATE_DAYS
    assert (np.diff(replay.mjd) >= 0).all()
    sent_at = np.empty(len(sample.mjd), np.int64)
    sent_at[replay.rows] = np.arange(len(replay))
    lacking = 0
    for i in range(0, len(replay), 7):
        alert, row, owner = replay.alert(i), replay.rows[i], replay.object_index[i]
        history = np.arange(sample.offsets[owner], row + 1)
        known = history[(sent_at[history] <= i) | ~late[sent_at[history]]]
        np.testing.assert_array_equal(alert.observations.mjd, sample.mjd[known])
        lacking += len(history) - len(known)
    assert lacking > 0


def test_a_repeated_alert_is_the_same_bytes_a_little_later(sample: LightCurves) -> None:
    few = sample.take(np.arange(30))
    replay = Replay(few, ReplayConfig(repeat=0.2, late=0.2))
    extra = len(replay) - len(few.mjd)
    assert 0.15 < extra / len(few.mjd) < 0.25
    places: dict[bytes, list[int]] = {}
    for i, packet in enumerate(replay.packets()):
        places.setdefault(packet.value, []).append(i)
    assert len(places) == len(few.mjd)
    pairs = [found for found in places.values() if len(found) > 1]
    assert len(pairs) == extra
    assert all(0 < found[1] - found[0] <= 2 * REPEAT_WITHIN for found in pairs)
    assert (np.diff(replay.mjd) >= 0).all()


# --- size and pace -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [30_000, 80_000])
def test_packets_have_a_realistic_size_and_read_the_same(sample: LightCurves, size: int) -> None:
    few = sample.take(np.arange(2))
    padded = Replay(few, ReplayConfig(packet_bytes=size))
    sizes = np.array([len(packet.value) for packet in padded.packets()])
    assert (abs(sizes - size) <= 3).all()
    assert_same_curves(light_curves(decoded(padded)), few)


def stream_of(*mjd: float) -> list[ReplayPacket]:
    return [ReplayPacket(b"1", b"", time) for time in mjd]


class Clock:
    """A clock that only moves while somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.waits = 100.0, []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def times(self, packets: Any) -> list[float]:
        """When each packet passes, since the first."""
        passed = [self.now for _ in packets]
        return [round(time - 100.0, 9) for time in passed]


def test_packets_pass_at_a_rate() -> None:
    clock = Clock()
    stream = paced(stream_of(1, 1, 9, 9), rate=4.0, clock=lambda: clock.now, sleep=clock.sleep)
    assert clock.times(stream) == [0.0, 0.25, 0.5, 0.75]


def test_packets_pass_as_the_sky_sent_them_or_so_many_times_faster() -> None:
    clock = Clock()
    stream = paced(stream_of(1.0, 1.5, 2.0), speedup=1.0, clock=lambda: clock.now, sleep=clock.sleep)
    assert clock.times(stream) == [0.0, 43_200.0, 86_400.0]
    clock = Clock()
    stream = paced(stream_of(1.0, 1.5, 2.0), speedup=86_400.0, clock=lambda: clock.now, sleep=clock.sleep)
    assert clock.times(stream) == [0.0, 0.5, 1.0]


def test_overdue_packets_pass_at_once() -> None:
    clock = Clock()
    passed = []
    for packet in paced(stream_of(1, 2, 3, 4), rate=1.0, clock=lambda: clock.now, sleep=clock.sleep):
        passed.append((packet.mjd, clock.now - 100.0))
        clock.now += 2.5 if packet.mjd == 1 else 0.0  # a slow consumer
    assert passed == [(1, 0.0), (2, 2.5), (3, 2.5), (4, 3.0)]


def test_without_a_pace_packets_pass_as_fast_as_they_are_taken() -> None:
    clock = Clock()
    assert clock.times(paced(stream_of(1, 2), clock=lambda: clock.now, sleep=clock.sleep)) == [0.0, 0.0]
    assert clock.waits == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"late": 1.5}, "late is a fraction"),
        ({"repeat": -0.1}, "repeat is a fraction"),
        ({"late": float("nan")}, "late is a fraction"),
        ({"history_days": -1.0}, "history_days is a number of days"),
        ({"from_mjd": 2.0, "to_mjd": 1.0}, r"from_mjd 2.0 is not before to_mjd 1.0"),
        ({"max_alerts": 0}, "max_alerts is at least 1"),
        ({"packet_bytes": -1}, "packet_bytes is from 0"),
    ],
)
def test_a_setting_out_of_range_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ReplayConfig(**values)


def test_a_pace_is_a_positive_number_and_one_of_two() -> None:
    with pytest.raises(SettingsError, match="exclude each other"):
        paced([], rate=1.0, speedup=1.0)
    for value in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(SettingsError, match="rate is a positive number"):
            paced([], rate=value)
