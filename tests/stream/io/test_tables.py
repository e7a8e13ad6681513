"""Files of light curves given as alerts: refused at once, with the command that reads them."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from firstlight.data import write_curves
from firstlight.errors import DataError
from firstlight.stream.io.open import open_source

PACKETS = Path(__file__).parents[1] / "alerts" / "packets"
ROW = {"object_id": "a", "mjd": 60000.5, "band": "r", "flux": 100.0, "flux_err": 5.0}
ZTF_ROW = {"objectId": "ZTF1", "jd": 2460000.5, "fid": 1, "magpsf": 18.0, "sigmapsf": 0.1, "isdiffpos": "t"}
CSV = "".join(f"{','.join(map(str, line))}\n" for line in (ROW.keys(), ROW.values()))
TABLES = {
    "plain.csv": (CSV, "text that is not JSON"),
    "mac.csv": (CSV.replace("\n", "\r"), "text that is not JSON"),
    "table.ecsv": ("# %ECSV 1.0\n# ---\nmjd band\n1.0 r\n", "text that is not JSON"),
    "snana.dat": ("SURVEY: LSST\nSNID: 1\nOBS: 60000 r 1 1\n", "text that is not JSON"),
    "rows.json": (json.dumps([ROW, ROW]), "a table in JSON"),
    "rows.jsonl": (f"{json.dumps(ROW)}\n" * 2, "a table in JSON"),
    "indented.json": (
        json.dumps({name: [value] for name, value in ROW.items()}, indent=2),
        "a table in JSON",
    ),
    "broker.json": (json.dumps([ZTF_ROW]), "a table in JSON"),
    "event.json": (json.dumps({"SN1": {"photometry": [{"time": "1"}]}}), "a table in JSON"),
    "image.fits": ("SIMPLE  =                    T", "a FITS file"),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("packed", [False, True])
def test_a_table_is_refused_with_the_commands_that_read_it(tmp_path, name, packed):
    text, kind = TABLES[name]
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    with pytest.raises(DataError) as caught:
        open_source(str(path))
    said = str(caught.value)
    assert said.startswith(f"{path}: this is {kind};")
    assert f"`firstlight classify {path} --out" in said
    assert f"`firstlight replay --data {path} --sink" in said


def test_light_curves_in_parquet_are_refused(tmp_path, sample):
    path = tmp_path / "curves.parquet"
    write_curves(sample.take(np.arange(2)), path)
    with pytest.raises(DataError, match=r"curves\.parquet: this is a Parquet file;"):
        open_source(str(path))


def test_a_folder_is_refused_if_it_holds_nothing_but_tables(tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b.json").write_text(json.dumps(ROW))
    with pytest.raises(DataError, match=r"b\.json: this is a table in JSON"):
        open_source(str(tmp_path))
    (tmp_path / "c.jsonl").write_text('{"object_id": "a", "observations": {}}\n')
    source = open_source(str(tmp_path))
    (table, row, alert) = source.poll(10, 1.0)
    assert table.error == (
        f"{tmp_path / 'a.csv'}: text that is not JSON, not alerts; `firstlight classify` and `replay` read "
        "light curves"
    )
    assert not row.error  # the decoder says what it lacks
    assert not alert.error


@pytest.mark.parametrize("path", sorted(PACKETS.rglob("*.avro")), ids=lambda path: path.name)
def test_packets_of_surveys_are_never_refused(path):
    open_source(str(path)).close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"cut short by a crash",
        b'"mjd": 3}\n{"object_id": "a", "observations": {}}\n',
        b'{"object_id": "a", "mjd',
        b'{"diaObjectId": 1, "mjd": 1, "band": "r", "flux": 1, "fluxErr": 1, "alert": {}}',
        b"\x00\x00\x00\x00\x07a packet\nwith a line end",
        b"\x1f\x8b damaged",
    ],
)
def test_alerts_and_damage_are_left_to_the_decoder(tmp_path, content):
    path = tmp_path / "alerts"
    path.write_bytes(content)
    open_source(str(path), follow=True).close()


def test_an_empty_folder_may_be_followed(tmp_path):
    open_source(str(tmp_path), follow=True).close()
