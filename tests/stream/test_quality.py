"""Cuts on the quality of measurements, in every layout that has the fields."""

import json
import math
from typing import Any

import pytest

from firstlight.errors import SettingsError
from firstlight.stream import Alert, LasairCodec, Skip, SkipReason
from firstlight.stream.alerts.layouts import PacketReader, read_record
from firstlight.stream.quality import DEFAULT_FLAGS, QualityConfig

SET = [True, 1, 1.0, "t", "true", "T", "1"]
NOT_SET = [False, 0, 0.0, None, math.nan, "f", "false", "0", ""]


def lsst(**more: Any) -> dict[str, Any]:
    """A packet with four sources, the second of which has more fields."""
    rows = [
        {"diaSourceId": 1 + i, "midpointMjdTai": 60001.0 + i, "band": "g", "psfFlux": 5.0, "psfFluxErr": 1.0}
        for i in range(4)
    ]
    rows[1] |= more
    return {"diaSource": rows[3], "prvDiaSources": rows[:3], "diaObject": {"diaObjectId": 7}}


def ztf(**more: Any) -> dict[str, Any]:
    rows = [
        {"candid": 1 + i, "jd": 2460001.5 + i, "fid": 1, "magpsf": 19.0, "sigmapsf": 0.1, "isdiffpos": "t"}
        for i in range(4)
    ]
    rows[1] |= more
    return {"objectId": "Z", "candidate": rows[3], "prv_candidates": rows[:3]}


def kept(record: dict[str, Any], **settings: Any) -> tuple[list[int], dict[str, int]]:
    """Numbers of the observations, and the counts of the others."""
    alert = read_record(record, quality=QualityConfig(**settings))
    assert isinstance(alert, Alert)
    return alert.observations.source_id.tolist(), dict(alert.n_dropped)


@pytest.mark.parametrize("flag", DEFAULT_FLAGS)
@pytest.mark.parametrize("value", SET)
def test_a_flag_in_any_spelling_sets_its_measurement_aside(flag: str, value: Any) -> None:
    assert kept(lsst(**{flag: value})) == ([1, 3, 4], {"flag": 1})


@pytest.mark.parametrize("value", NOT_SET)
def test_a_flag_that_is_not_set_or_missing_changes_nothing(value: Any) -> None:
    assert kept(lsst(psfFlux_flag=value)) == ([1, 2, 3, 4], {})


def test_the_settings_choose_the_flags() -> None:
    assert kept(lsst(isDipole=True)) == ([1, 2, 3, 4], {})
    assert kept(lsst(isDipole=True), flags=("isDipole",)) == ([1, 3, 4], {"flag": 1})
    assert kept(lsst(psfFlux_flag=True), flags=()) == ([1, 2, 3, 4], {})


@pytest.mark.parametrize(
    ("make", "field", "bad", "good", "setting"),
    [
        (lsst, "reliability", 0.3, 0.5, {"min_reliability": 0.5}),
        (ztf, "rb", 0.3, 0.55, {"min_rb": 0.55}),
        (ztf, "drb", 0.1, 0.9, {"min_drb": 0.5}),
        (ztf, "nbad", 1, 0, {"max_nbad": 0}),
        (lsst, "isNegative", True, False, {"negative": False}),
    ],
)
def test_a_cut_sets_bad_values_aside_and_keeps_good_and_missing_ones(
    make: Any, field: str, bad: Any, good: Any, setting: dict[str, Any]
) -> None:
    reason = "negative" if field == "isNegative" else field
    assert kept(make(**{field: bad})) == ([1, 2, 3, 4], {})  # off by default
    assert kept(make(**{field: bad}), **setting) == ([1, 3, 4], {reason: 1})
    for value in (good, None, math.nan, -999.0):
        assert kept(make(**{field: value}), **setting) == ([1, 2, 3, 4], {})


def test_an_alert_whose_own_source_is_flagged_is_answered_from_the_rest() -> None:
    record = lsst()
    record["diaSource"]["psfFlux_flag"] = True
    assert kept(record) == ([1, 2, 3], {"flag": 1})
    record["prvDiaSources"] = []
    skip = read_record(record)
    assert isinstance(skip, Skip)
    assert skip.reason is SkipReason.NO_MEASUREMENT


def test_a_flagged_detection_leaves_the_forced_photometry_of_its_visit() -> None:
    record = lsst(psfFlux_flag=True)
    row = {"diaForcedSourceId": 9, "midpointMjdTai": 60002.0, "band": "g", "psfFlux": 4.0, "psfFluxErr": 1.0}
    alert = read_record(record | {"prvDiaForcedSources": [row]})
    assert isinstance(alert, Alert)
    assert alert.observations.source_id.tolist() == [1, 9, 3, 4]
    assert alert.observations.detected.tolist() == [True, False, True, True]


def test_flags_are_read_from_packets_and_from_lasair_too(
    packet: Any, lsst_latest: Any, make_alert: Any
) -> None:
    alert = make_alert(20)
    schema = json.loads(json.dumps(lsst_latest.schema))
    own = next(field["type"] for field in schema["fields"] if field["name"] == "diaSource")
    own["fields"].append({"name": "psfFlux_flag", "type": ["null", "boolean"]})
    record = lsst_latest.record(alert)
    record["prvDiaSources"][1]["psfFlux_flag"] = True
    read, _ = PacketReader(schema).read(packet(schema, record))
    assert read.n_dropped == {"flag": 1}
    message = {
        "diaObjectId": 7,
        "diaSourcesList": [*lsst(psfFlux_flag=True)["prvDiaSources"], lsst()["diaSource"]],
    }
    assert LasairCodec().decode(json.dumps(message).encode()).n_dropped == {"flag": 1}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "settings",
    [
        {"min_reliability": 1.5},
        {"min_rb": -0.1},
        {"min_drb": math.nan},
        {"max_nbad": -1},
        {"flags": ("a.b",)},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"quality.{next(iter(settings))}"):
        QualityConfig(**settings)
