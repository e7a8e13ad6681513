"""Files of alerts are read as light curves, joined as the stream joins them."""

import io
import json
from pathlib import Path

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.stream.conftest import build_alert

from firstlight.data import RejectLog, read
from firstlight.data.formats import is_alert_file
from firstlight.errors import DataError
from firstlight.stream.alerts.alert import light_curves
from firstlight.stream.alerts.avro import ContainerCodec
from firstlight.stream.alerts.files import read_alerts

BIG = 170_028_485_706_776_685


def test_an_avro_container_gives_the_light_curves_of_its_alerts(tmp_path):
    alerts = [build_alert(seed=seed, object_id=str(seed // 2 + 1)) for seed in range(4)]
    path = tmp_path / "alerts.avro"
    path.write_bytes(ContainerCodec().encode_all(alerts))
    said = []
    assert is_alert_file(path)
    assert read_alerts(path, report=said.append).fingerprint == light_curves(alerts).fingerprint
    assert "4 alerts of 2 objects" in said[0]
    with pytest.raises(DataError, match="these are alert packets"):
        read(path)


def test_a_folder_of_alerts_is_read_in_the_order_of_names_and_other_files_are_set_aside(tmp_path):
    alerts = [build_alert(seed=seed, object_id=str(seed // 2 + 1)) for seed in range(4)]
    for night in range(2):
        (tmp_path / f"{night}.avro").write_bytes(
            ContainerCodec().encode_all(alerts[2 * night : 2 * night + 2])
        )
    (tmp_path / "notes.txt").write_text("cloudy\n")
    assert is_alert_file(tmp_path)
    with pytest.raises(DataError, match=r"notes.txt: the file holds no alerts"):
        read_alerts(tmp_path)
    log, done = RejectLog(), []
    curves = read_alerts(tmp_path, log, progress=lambda stage, fraction: done.append(fraction))
    assert curves.fingerprint == light_curves(alerts).fingerprint
    assert log.summary() == {"the file holds no alerts, as others of the folder do": 1}
    assert done == [1 / 3, 2 / 3]


def rows(object_id):
    source = {"band": "g", "midpointMjdTai": 61000.0, "psfFlux": 900.0, "psfFluxErr": 30.0}
    return [
        {
            "diaSource": source | {"diaSourceId": k, "diaObjectId": BIG + k},
            "diaObject": {"diaObjectId": object_id(BIG + k), "ra": 10.0, "dec": -3.0},
            "prvDiaSources": [source | {"diaSourceId": 100 + k, "midpointMjdTai": 60999.0, "band": "r"}],
            "prvDiaForcedSources": [
                {"band": "i", "midpointMjdTai": 60998.0, "psfFlux": -10.0, "psfFluxErr": 30.0}
            ],
            "cutoutScience": b"x" * 10,
        }
        for k in range(2)
    ]


def test_a_parquet_of_alerts_is_read_with_its_histories_and_exact_names(tmp_path):
    path = tmp_path / "alerts.parquet"
    pq.write_table(pa.Table.from_pylist(rows(float)), path)
    assert is_alert_file(path)
    curves = read_alerts(path)
    assert curves.object_id.tolist() == [str(BIG), str(BIG + 1)]
    assert curves.band.tolist() == [3, 2, 1] * 2
    assert curves.detected.tolist() == [False, True, True] * 2
    np.testing.assert_array_equal(curves.ra, 10.0)


def test_a_packet_that_cannot_be_read_is_set_aside_and_the_rest_is_read(tmp_path):
    path = tmp_path / "alerts.parquet"
    made = rows(int)
    made[0]["diaSource"]["midpointMjdTai"] = None
    pq.write_table(pa.Table.from_pylist(made), path)
    with pytest.raises(DataError, match=r"packet 0: .*no time"):
        read_alerts(path)
    log = RejectLog()
    assert len(read_alerts(path, log)) == 1
    assert log.summary() == {"the packet cannot be read": 1}
    assert "no time" in log.first()["the packet cannot be read"].value


def test_a_ztf_object_is_the_same_as_a_packet_and_as_a_broker_s_file(tmp_path):
    packet = Path(__file__).parent / "packets" / "ZTF19acihgng.avro"
    record = next(fastavro.reader(io.BytesIO(packet.read_bytes())))
    rows = [record["candidate"], *record["prv_candidates"]]
    assert any(row["magpsf"] is None for row in rows)  # limits
    names = ("jd", "fid", "isdiffpos", "magpsf", "sigmapsf", "diffmaglim", "ra", "dec")
    candidates = [{name: row[name] for name in names} for row in reversed(rows)]
    broker = tmp_path / "broker.json"
    broker.write_text(json.dumps({"objectId": record["objectId"], "candidates": candidates}))
    one, other = read_alerts(packet), read(broker)
    assert one.fingerprint == other.fingerprint
    assert one.survey.tolist() == other.survey.tolist() == ["ztf"]


def test_a_file_without_a_usable_alert_is_refused(tmp_path):
    path = tmp_path / "alerts.parquet"
    made = rows(int)
    for row in made:
        row["diaSource"] |= {"ssObjectId": 7, "diaObjectId": 0}
        row["diaObject"] = {"diaObjectId": 0}
    pq.write_table(pa.Table.from_pylist(made), path)
    with pytest.raises(DataError, match=r"no alert that can be classified \(solar-system 2\)"):
        read_alerts(path, RejectLog())
