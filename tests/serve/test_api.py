"""The API follows its description, for any request."""

import json

import pytest
from tests.serve._night import make_desk, wait_until

from firstlight.serve.app import MOST_STREAMS, Streams, build_app
from firstlight.serve.run import listen, serving
from firstlight.taxonomy import CLASSES

httpx = pytest.importorskip("httpx", reason="the tests of the API need httpx")
testclient = pytest.importorskip("starlette.testclient")
schemathesis = pytest.importorskip("schemathesis", reason="the tests of the API need schemathesis")
hypothesis = pytest.importorskip("hypothesis")


@pytest.fixture(scope="module")
def client(desk):
    with testclient.TestClient(build_app(desk), base_url="http://127.0.0.1") as own:
        yield own


@pytest.fixture(scope="module")
def api_schema(desk):
    app = build_app(desk)
    with testclient.TestClient(app, base_url="http://127.0.0.1") as own:
        described = own.get("/api/openapi.json").json()
    described["paths"].pop("/api/stream")  # it never ends
    return schemathesis.openapi.from_dict(described)


def test_every_answer_is_one_that_the_description_names(api_schema, desk):
    operations = [found.ok() for found in api_schema.get_all_operations()]
    assert len(operations) >= 6
    with serving(desk, listen("127.0.0.1", 0)) as address:
        for operation in operations:
            _call_often(operation, address)


def _call_often(operation, address) -> None:
    """Call one operation with a few requests that its description allows."""

    @hypothesis.given(case=operation.as_strategy())
    @hypothesis.settings(max_examples=6, derandomize=True, database=None, deadline=None)
    def call(case):
        case.call_and_validate(base_url=address)

    call()


def test_objects_are_filtered_sorted_and_in_pages(client):
    found = client.get("/api/objects", params={"class": ["KN", "TDE"], "sort": "mag", "rows": 10}).json()
    assert {row["class"] for row in found["objects"]} == {"KN", "TDE"}
    mags = [row["mag"] for row in found["objects"]]
    assert mags == sorted(mags)
    both = [client.get("/api/objects", params={"rows": 10, "page": k}).json()["objects"] for k in (1, 2, 9)]
    assert len({row["object"] for rows in both for row in rows}) == 20
    assert both[2] == []


def test_an_object_is_the_record_of_the_stream(client, night_file):
    last = [json.loads(line) for line in night_file.read_text().splitlines() if '"obj003"' in line][-1]
    found = client.get("/api/object", params={"id": "obj003"}).json()
    assert found["record"] == last
    assert found["n_records"] == 3
    assert [one["alert"] for one in found["alerts"]] == ["obj003-3", "obj003-2", "obj003-1"]
    assert found["probabilities"]["classes"][CLASSES[3]] == pytest.approx([0.6, 0.7, 0.8])
    curve = client.get("/api/lightcurve", params={"id": "obj003"}).json()
    assert curve["from_records"] is True
    assert len(curve["mjd"]) == len(curve["mag"]) == 3
    assert client.get("/api/lightcurve", params={"id": "nobody"}).status_code == 404


def test_a_slip_in_a_filter_is_an_error_and_no_table_of_everything(client):
    for query in ("min_anomly=0.9", "sort=magic", "rows=5", "max_mag=nan"):
        answer = client.get(f"/api/objects?{query}")
        assert answer.status_code == 422, query
        assert answer.json()["detail"]
    for query in ("class=SN1a", "bundle=none"):
        assert client.get(f"/api/objects?{query}").status_code == 404, query


def test_verdicts_need_feedback_and_a_known_object(desk, client, night_file):
    answer = client.post(
        "/api/verdicts", json={"object": "obj001", "verdict": "wrong_class", "true_class": "TDE"}
    )
    assert answer.status_code == 201
    found = {one["object"]: one for one in client.get("/api/verdicts").json()["verdicts"]}
    assert found["obj001"]["true_class"] == "TDE"
    assert (
        client.post("/api/verdicts", json={"object": "nobody", "verdict": "interesting"}).status_code == 404
    )
    with (
        make_desk(night_file) as quiet,
        testclient.TestClient(build_app(quiet), base_url="http://127.0.0.1") as own,
    ):
        wait_until(lambda: quiet.board.n_records > 0)
        assert (
            own.post("/api/verdicts", json={"object": "obj001", "verdict": "interesting"}).status_code == 403
        )
        assert own.post("/feedback", data={"object": "obj001", "verdict": "interesting"}).status_code == 403


@pytest.mark.parametrize(
    "address",
    [
        "latest?n=1_0",
        "objects?rows=1_0",
        "objects?min_probability=0.1_0",
        "objects?q=999 999",
        "objects?q=10:61:00",
    ],
)
def test_a_value_that_is_no_number_or_position_is_refused(client, address):
    answer = client.get(f"/api/{address}")
    assert answer.status_code == 422, answer.text
    if address.startswith("objects"):
        assert client.get(f"/{address.removeprefix('objects')}").status_code == 422


def test_a_form_with_many_fields_is_refused(client):
    answer = client.post("/feedback", data={f"field{k}": "1" for k in range(20)})
    assert answer.status_code == 422


def test_no_more_streams_are_open_than_allowed_also_if_all_come_at_once():
    async def none():
        yield ""

    streams = Streams()
    answers = [streams.response(none()) for _ in range(MOST_STREAMS + 3)]
    assert [answer.status_code for answer in answers].count(503) == 3


@pytest.mark.parametrize("form", ["csv", "votable", "tom"])
def test_exports_hold_the_chosen_objects(client, form):
    import io

    from astropy.table import Table

    body = client.get("/export", params={"format": form, "class": "KN"}).content
    table = Table.read(io.BytesIO(body), format="votable" if form == "votable" else "ascii.csv")
    names = {str(name) for name in table["name" if form == "tom" else "object"]}
    assert names == {"obj016", "obj033"}


def test_a_formula_in_a_name_does_not_run_in_a_spreadsheet():
    import pandas as pd

    from firstlight.serve.export import as_targets

    row = {"object": "=1+1", "ra": 1.0, "dec": 2.0, "class": "KN", "probability": 0.5, "worth": float("nan")}
    assert b"'=1+1,SIDEREAL,1.000000,2.000000,KN,0.5000,\n" in as_targets(pd.DataFrame([row]))


def test_pages_without_any_record_say_so(tmp_path):
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with (
        make_desk(tmp_path / "empty.jsonl") as quiet,
        testclient.TestClient(build_app(quiet), base_url="http://127.0.0.1") as own,
    ):
        assert "Waiting for the first record" in own.get("/").text
        for path in ("/sky", "/stream", "/api", "/export?format=votable", "/export?format=tom"):
            assert own.get(path).status_code == 200, path
        assert own.get("/object?id=x").status_code == 404
