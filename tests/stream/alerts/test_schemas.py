"""Sources of schemas: memory, folders in several shapes, a registry on this machine."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from firstlight.errors import DataError, SchemaError, SettingsError
from firstlight.stream import Alert, ConfluentCodec, FolderSchemas, MemorySchemas, RegistrySchemas
from firstlight.stream.alerts.schemas import ASK_AGAIN_S, login_secrets, parse_schema_json
from firstlight.stream.alerts.write import LSST_SCHEMA, LSST_SCHEMA_ID
from firstlight.stream.avro.container import write_container
from firstlight.stream.avro.schema import field_paths


def test_memory_holds_the_given_schemas() -> None:
    schemas = MemorySchemas({7: "string"})
    assert schemas.schema(7) == "string"
    with pytest.raises(SchemaError, match=r"no Avro schema number 8; known: \[7\]") as caught:
        schemas.schema(8)
    assert caught.value.is_final


# --- folders --------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".avsc", ".json", ".avro"])
def test_a_folder_holds_schemas_as_files(tmp_path: Path, suffix: str) -> None:
    text = json.dumps(LSST_SCHEMA).encode()
    (tmp_path / f"703{suffix}").write_bytes(write_container(LSST_SCHEMA, []) if suffix == ".avro" else text)
    assert FolderSchemas(tmp_path).schema(703) == LSST_SCHEMA


def test_a_folder_reads_each_file_once(tmp_path: Path) -> None:
    path = tmp_path / "5.avsc"
    path.write_text('"long"')
    schemas = FolderSchemas(tmp_path)
    schemas.schema(5)
    path.unlink()
    assert schemas.schema(5) == "long"


def write_split(folder: Path) -> None:
    """Our schema in the shape of Rubin's: one file a record, named by their full names."""
    target = folder / "11" / "1"
    target.mkdir(parents=True)
    space = "lsst.v11_1"

    def split(schema: Any) -> Any:
        if isinstance(schema, list):
            return [split(item) for item in schema]
        if isinstance(schema, str):
            return f"{space}.{schema}" if schema == "diaSource" else schema
        if schema.get("type") == "array":
            return {**schema, "items": split(schema["items"])}
        name = schema["name"]
        fields = [{**entry, "type": split(entry["type"])} for entry in schema["fields"]]
        content = {"type": "record", "name": name, "namespace": space, "fields": fields}
        (target / f"{space}.{name}.avsc").write_text(json.dumps(content))
        return f"{space}.{name}"

    split(LSST_SCHEMA)


def test_a_folder_may_have_rubins_shape(tmp_path: Path, make_alert: Any, same_alert: Any) -> None:
    pytest.importorskip("fastavro")
    write_split(tmp_path)
    schema = FolderSchemas(tmp_path).schema(1101)
    assert field_paths(schema) == field_paths(LSST_SCHEMA)
    alert = make_alert(6)
    value = b"\0" + (1101).to_bytes(4, "big") + ConfluentCodec().encode(alert)[5:]
    same_alert(ConfluentCodec(FolderSchemas(tmp_path)).decode(value), alert)


def test_a_schema_that_is_nowhere_is_named_with_the_places_looked_at(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"expected 1002\.avsc, \.json or \.avro.*10/2/"):
        FolderSchemas(tmp_path).schema(1002)


def test_a_file_that_is_no_schema_is_waited_for(tmp_path: Path) -> None:
    schemas = FolderSchemas(tmp_path)
    (tmp_path / "1.avsc").write_text("{")
    with pytest.raises(SchemaError, match=r"1\.avsc: not an Avro schema") as caught:
        schemas.schema(1)
    assert not caught.value.is_absent
    (tmp_path / "1.avsc").write_text('"long"')
    assert schemas.schema(1) == "long"
    with pytest.raises(DataError, match="not an Avro schema"):
        parse_schema_json(b"[" * 100_000, "here")


# --- registry -------------------------------------------------------------------------


class Registry(BaseHTTPRequestHandler):
    """A registry with one schema, which counts its visitors; other numbers are statuses."""

    visits: list[tuple[str, str | None]]
    elsewhere: list[str]

    def do_GET(self) -> None:
        self.visits.append((self.path, self.headers.get("Authorization")))
        number = self.path.rpartition("/")[2]
        if number == str(LSST_SCHEMA_ID):
            self.answer(json.dumps({"schema": json.dumps(LSST_SCHEMA)}).encode())
        elif number in ("13", "14"):
            self.answer({"13": b'{"error": 1}', "14": b"<html>maintenance</html>"}[number])
        elif number in ("301", "302"):
            self.send_response(int(number))
            here = f"/new/schemas/ids/{LSST_SCHEMA_ID}"
            self.send_header("Location", here if number == "301" else self.elsewhere[0] + here)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_error(int(number))

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Write no log."""


Visits = list[tuple[str, str | None]]


@pytest.fixture
def start_registry() -> Iterator[Any]:
    """Starts registries; each gives its address, its visits and the place to which 302 leads."""
    started = []

    def start() -> tuple[str, Visits, list[str]]:
        visits: Visits = []
        elsewhere: list[str] = []
        handler = type("Handler", (Registry,), {"visits": visits, "elsewhere": elsewhere})
        server = HTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}", visits, elsewhere

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def registry(start_registry: Any) -> tuple[str, Visits]:
    url, visits, _ = start_registry()
    return url, visits


def test_each_schema_is_fetched_once_from_a_registry(registry: Any, make_alert: Any) -> None:
    pytest.importorskip("fastavro")
    url, visits = registry
    codec = ConfluentCodec(RegistrySchemas(f"{url}/", authorization="Basic c2VjcmV0"))
    value = codec.encode(make_alert(3))
    for _ in range(3):
        assert isinstance(codec.decode(value), Alert)
    assert visits == [(f"/schemas/ids/{LSST_SCHEMA_ID}", "Basic c2VjcmV0")]


@pytest.mark.parametrize(
    ("number", "absent", "words"),
    [
        (404, True, "has no such schema"),
        (422, False, "responded 422"),
        (500, False, "responded 500"),
        (401, False, "give a user and a password"),
        (403, False, "give a user and a password"),
        (13, False, "holds no schema"),
        (14, False, "not an Avro schema"),
    ],
)
def test_a_schema_that_cannot_be_had_is_not_the_fault_of_a_message(
    registry: Any, number: int, absent: bool, words: str
) -> None:
    with pytest.raises(SchemaError, match=words) as caught:
        RegistrySchemas(registry[0]).schema(number)
    assert (caught.value.schema_id, caught.value.is_absent) == (number, absent)
    assert caught.value.exit_code == 2


def test_a_registry_that_is_away_is_worth_another_try() -> None:
    with pytest.raises(SchemaError, match="is the registry running") as caught:
        RegistrySchemas("http://127.0.0.1:9", timeout=0.5).schema(1)
    assert not caught.value.is_absent


def test_a_failure_is_repeated_without_a_request_for_a_while() -> None:
    now, asked = [0.0], []

    def fetch(address: str) -> bytes:
        asked.append(address)
        if now[0] < ASK_AGAIN_S:
            raise OSError("away")
        return json.dumps({"schema": '"long"'}).encode()

    schemas = RegistrySchemas("https://registry.example", fetch=fetch, clock=lambda: now[0])
    for _ in range(100):
        with pytest.raises(SchemaError):
            schemas.schema(1)
    assert len(asked) == 1
    now[0] = ASK_AGAIN_S
    assert schemas.schema(1) == "long"
    assert len(asked) == 2


def test_a_login_in_the_address_is_sent_and_never_shown(registry: Any) -> None:
    url, visits = registry
    address = url.replace("http://", "http://me:sword%2Ffish@")
    schemas = RegistrySchemas(address)
    assert schemas.schema(LSST_SCHEMA_ID) == LSST_SCHEMA
    assert visits[0][1] == "Basic " + base64.b64encode(b"me:sword/fish").decode()
    with pytest.raises(SchemaError) as caught:
        schemas.schema(404)
    assert "sword" not in str(caught.value)
    assert set(login_secrets(address)) >= {"sword%2Ffish", "sword/fish"}
    assert login_secrets(url) == login_secrets("a/folder") == ()


def test_redirects_are_followed_within_the_host_only(start_registry: Any) -> None:
    url, visits, elsewhere = start_registry()
    other, other_visits, _ = start_registry()
    elsewhere.append(other.replace("http://", "http://me:swordfish@"))
    schemas = RegistrySchemas(url, authorization="Basic c2VjcmV0")
    assert schemas.schema(301) == LSST_SCHEMA
    assert {login for _, login in visits} == {"Basic c2VjcmV0"}
    with pytest.raises(SchemaError, match=r"has moved to http://.*new address") as caught:
        schemas.schema(302)
    assert "swordfish" not in str(caught.value)
    assert other_visits == []


def test_only_http_addresses_are_followed() -> None:
    for url in ("file:///etc/passwd", "registry.example", "ftp://me:swordfish@x"):
        with pytest.raises(SettingsError, match="expected an address that begins with http") as caught:
            RegistrySchemas(url)
        assert "swordfish" not in str(caught.value)
