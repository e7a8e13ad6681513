"""Records of alerts: their content, that their bytes depend on nothing else, and that they read back."""

import json
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from firstlight.errors import DataError, MissingExtraError, SettingsError
from firstlight.followup.brightness import measure_brightness
from firstlight.followup.utility import followup_score
from firstlight.predictions import Predictions
from firstlight.stream import light_curves
from firstlight.stream.results.read import iter_results, read_results
from firstlight.stream.results.record import (
    BROKER_CLASSIFICATION,
    ElasticcResults,
    JsonResults,
    build_records,
    result_format,
    result_key,
)
from firstlight.taxonomy import CLASSES, COARSE, COARSE_GROUPS, ELASTICC

PACKETS = Path(__file__).parents[1] / "alerts" / "packets"
KEYS = (
    "object alert mjd ra dec bundle status reason label proba coarse anomaly change followup n_obs phase "
    "mag mag_err band mag_mjd slope slope_err peak_mag peak_mjd source late late_reason n_dropped "
    "ebv ebv_source domain domain_reason set set_size"
)


@pytest.fixture
def alerts(make_alert):
    return [make_alert(seed=seed, object_id=f"o{seed}", alert_id=str(100 + seed)) for seed in range(40)]


def predicted(alerts, seed=0) -> Predictions:
    rng = np.random.default_rng(seed)
    n = len(alerts)
    proba = rng.dirichlet(np.full(len(CLASSES), 0.3), n)
    unsure = np.arange(n) % 5 == 4
    return Predictions(
        object_id=np.array([alert.object_id for alert in alerts]),
        status=np.where(unsure, "not_classified", "classified"),
        reason=np.where(unsure, "few_observations", ""),
        label=np.where(unsure, "", np.array(CLASSES)[proba.argmax(axis=1)]),
        proba=proba,
        anomaly=np.where(unsure, np.nan, rng.random(n)),
        n_obs=np.arange(n) + 1,
        phase=np.where(unsure, np.nan, rng.uniform(0, 100, n)),
    )


def updated(predictions, previous=None):
    """Answers of a pipeline, as far as records need them."""
    n = len(predictions.proba)
    return SimpleNamespace(
        predictions=predictions,
        previous=np.full((n, len(CLASSES)), np.nan) if previous is None else previous,
        late_reason=["added" if number % 2 == 1 else "" for number in predictions.n_obs.tolist()],
        ebv=np.where(predictions.n_obs % 3 == 0, np.nan, 0.1),
        ebv_source=["" if number % 3 == 0 else "map" for number in predictions.n_obs.tolist()],
        redshifts=None,
    )


def records(alerts, seed=0, previous=None):
    return build_records(alerts, light_curves(alerts), updated(predicted(alerts, seed), previous), "abc123")


def test_a_record_has_all_keys_in_a_fixed_order(alerts):
    for record in records(alerts):
        assert " ".join(record) == KEYS
        assert tuple(record["proba"]) == CLASSES
        assert tuple(record["coarse"]) == COARSE_GROUPS


def test_probabilities_are_rounded_and_still_sum_to_one(alerts):
    for record in records(alerts):
        fine, coarse = record["proba"], record["coarse"]
        assert sum(fine.values()) == pytest.approx(1.0, abs=1e-5)
        assert all(p == round(p, 6) for p in (*fine.values(), *coarse.values()))
        for group in COARSE_GROUPS:
            parts = sum(p for name, p in fine.items() if COARSE[name] == group)
            assert coarse[group] == pytest.approx(parts, abs=1e-12)


def test_bytes_do_not_depend_on_the_alerts_worked_on_together(alerts):
    whole, said = records(alerts, previous=predicted(alerts, 7).proba), predicted(alerts)
    before = predicted(alerts, 7).proba
    for i, record in enumerate(whole):
        one = alerts[i : i + 1]
        (alone,) = build_records(one, light_curves(one), updated(said.take([i]), before[i : i + 1]), "abc123")
        for form in (JsonResults(), ElasticcResults()):
            assert form.encode(alone, 5) == form.encode(record, 5)


def test_change_is_half_the_sum_of_differences_and_null_at_first(alerts):
    assert all(record["change"] is None for record in records(alerts))
    before = predicted(alerts, 7).proba
    expected = 0.5 * np.abs(before - predicted(alerts).proba).sum(axis=1)
    changes = [record["change"] for record in records(alerts, previous=before)]
    np.testing.assert_allclose(changes, expected, atol=2e-5)
    assert {record["change"] for record in records(alerts, previous=predicted(alerts).proba)} == {0.0}


def test_an_unclassified_object_has_no_follow_up_score(alerts):
    for record in records(alerts):
        assert (record["followup"] is None) == (record["status"] == "not_classified")


def test_brightness_and_follow_up_are_those_of_the_packet(alerts):
    curves = light_curves(alerts)
    b, said = measure_brightness(curves), predicted(alerts)
    score = followup_score(said.proba, said.anomaly, said.is_classified, b, [a.mjd for a in alerts])
    for i, record in enumerate(records(alerts)):
        assert (record["band"] or "") == b.band_name[i]
        for name in ("mag", "mag_err", "mag_mjd", "slope", "slope_err", "peak_mag", "peak_mjd"):
            known = record[name] if record[name] is not None else np.nan
            np.testing.assert_allclose(known, getattr(b, name)[i], atol=6e-5)
        wanted = record["followup"] if record["followup"] is not None else np.nan
        np.testing.assert_allclose(wanted, score[i], atol=1e-6)


def test_a_packet_without_light_has_no_magnitude(make_alert):
    alert = make_alert()
    dark = replace(alert.observations, flux=-abs(alert.observations.flux))
    (record,) = records([replace(alert, observations=dark)])
    assert [record[name] for name in ("mag", "band", "slope", "peak_mjd")] == [None] * 4


def test_unknown_values_are_null_and_never_nan(alerts, make_alert):
    nowhere = make_alert(ra=float("nan"), dec=float("nan"))
    (record,) = records([nowhere])
    assert record["ra"] is None
    for entry in (*records(alerts), record):
        assert b"NaN" not in JsonResults().encode(entry, None)
        assert json.loads(JsonResults().encode(entry, None)) == entry


def test_the_key_is_the_object(alerts):
    assert result_key(records(alerts)[3]) == b"o3"


# --- ELAsTiCC's form --------------------------------------------------------------


def unpacked(body: bytes) -> dict:
    fastavro = pytest.importorskip("fastavro")
    return fastavro.schemaless_reader(BytesIO(body), fastavro.parse_schema(BROKER_CLASSIFICATION), None)


def test_elasticcs_form_names_classes_by_number_and_sums_to_one(alerts):
    record = records(alerts)[0]
    message = unpacked(ElasticcResults(preset="fast").encode(record, 1_700_000_000_123))
    said = {item["classId"]: item["probability"] for item in message["classifications"]}
    assert sum(said.values()) == pytest.approx(1.0, abs=1e-5)
    for name, p in record["proba"].items():
        assert said.get(ELASTICC[name], 0.0) == pytest.approx(p, abs=1e-6)
    assert message["alertId"] == 100
    assert message["diaSourceId"] == alerts[0].source_id
    assert message["classifierName"] == "firstlight fast"
    assert json.loads(message["classifierParams"])["bundle"] == "abc123"
    assert message["elasticcPublishTimestamp"].timestamp() == pytest.approx(1_700_000_000.123)
    assert message["brokerIngestTimestamp"] is None


def test_elasticcs_form_has_its_own_number_for_not_classified(alerts):
    message = unpacked(ElasticcResults().encode(records(alerts)[4], None))
    assert message["classifications"] == [{"classId": 300, "probability": 1.0}]
    assert json.loads(message["classifierParams"])["reason"] == "few_observations"


def test_without_a_message_time_the_alerts_own_time_is_the_publishing_time(make_alert):
    (record,) = records([make_alert(mjd=60000.0)])  # 2023-02-25, 37 s of TAI ahead of UTC
    stamp = unpacked(ElasticcResults().encode(record, None))["elasticcPublishTimestamp"]
    assert stamp.isoformat() == "2023-02-24T23:59:23+00:00"


def test_alerts_whose_names_are_no_numbers_get_a_steady_one(make_alert):
    (record,) = records([make_alert(alert_id="ZTF21abc@1", source_id=0)])
    first, again = (unpacked(ElasticcResults().encode(record, 1)) for _ in range(2))
    assert first["alertId"] == again["alertId"] > 0
    assert first["diaSourceId"] == first["alertId"]


# --- reading back -----------------------------------------------------------------


def test_json_lines_read_back_as_columns(alerts, tmp_path):
    path, said = tmp_path / "out.jsonl", records(alerts)
    lines = [JsonResults().encode(record, None) + b"\n" for record in said]
    path.write_bytes(b"".join([*lines, lines[0], b'{"object": "torn']))
    assert list(iter_results(path))[:-1] == said
    columns = read_results(path)
    assert len(columns) == len(alerts)  # the repeated line counts once
    assert columns.object_id.tolist() == [alert.object_id for alert in alerts]
    np.testing.assert_allclose(columns.proba, predicted(alerts).proba, atol=1e-6)
    assert np.isnan(columns.change).all()
    assert columns.late.tolist() == [record["late"] for record in said]
    assert (columns.label == predicted(alerts).label).all()


def test_a_container_may_be_cut_after_any_record_and_reads_back(alerts, tmp_path):
    form, said = ElasticcResults(in_file=True), records(alerts)
    blocks = [form.encode(record, None) for record in said]
    path = tmp_path / "out.avro"
    for n in (0, 1, len(blocks)):
        path.write_bytes(form.preamble + b"".join(blocks[:n]))
        back = list(iter_results(path))
        for r, wanted in zip(back, said[:n], strict=True):
            for name in KEYS.split():
                assert name in ("proba", "coarse") or r[name] == wanted[name]
    columns = read_results(path)
    unsure = columns.status == "not_classified"
    np.testing.assert_allclose(columns.proba[~unsure], predicted(alerts).proba[~unsure], atol=1e-6)
    assert columns.label.tolist() == predicted(alerts).label.tolist()
    assert (columns.ra == 63.25).all()


@pytest.mark.parametrize("line", [b"{}\n", b"[]\n", b"nonsense\n", b'{"object": "a"}\n'])
def test_a_line_that_is_no_result_is_named(line, tmp_path, alerts):
    path = tmp_path / "out.jsonl"
    path.write_bytes(JsonResults().encode(records(alerts)[0], None) + b"\n" + line)
    with pytest.raises(DataError, match="line 2"):
        read_results(path)


def test_a_missing_file_and_a_damaged_container_are_errors(tmp_path, alerts):
    with pytest.raises(DataError, match="cannot read"):
        read_results(tmp_path / "none.jsonl")
    form = ElasticcResults(in_file=True)
    path = tmp_path / "out.avro"
    path.write_bytes((form.preamble + form.encode(records(alerts)[0], None))[:-20])
    with pytest.raises(DataError, match="damaged"):
        read_results(path)


@pytest.mark.parametrize("name", ["rubin_fink.avro", "ZTF19acihgng.avro"])
def test_a_file_of_alerts_is_no_file_of_results_and_the_error_names_the_expected_one(name, tmp_path):
    alerts = PACKETS / name
    with pytest.raises(DataError, match=r"an Avro file of \S+; give results of firstlight stream"):
        read_results(alerts)
    path = tmp_path / "noise.jsonl"
    path.write_bytes(alerts.read_bytes()[100:160].replace(b"\n", b"") + b"\n")
    with pytest.raises(DataError, match=r"line 1: begins with .*; give results of firstlight stream"):
        read_results(path)


def test_an_empty_file_has_no_results(tmp_path):
    path = tmp_path / "out.jsonl"
    path.touch()
    assert len(read_results(path)) == 0
    assert read_results(path).proba.shape == (0, len(CLASSES))


def test_formats_are_chosen_by_name():
    assert isinstance(result_format("json", in_file=True), JsonResults)
    assert result_format("elasticc", in_file=True).preamble.startswith(b"Obj\x01")
    assert result_format("elasticc", in_file=False).preamble == b""
    with pytest.raises(SettingsError, match="json or elasticc"):
        result_format("xml", in_file=False)


def test_json_without_orjson_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "orjson", None)
    with pytest.raises(MissingExtraError, match="stream"):
        JsonResults()
