"""Sources of schemas: memory, folders in several shapes, a registry on this machine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from firstlight.errors import DataError, FetchError
from firstlight.stream import Alert, ConfluentCodec, FolderSchemas, MemorySchemas, RegistrySchemas
from firstlight.stream.alerts.schemas import parse_schema_json
from firstlight.stream.alerts.write import LSST_SCHEMA, LSST_SCHEMA_ID
from firstlight.stream.avro.container import write_container
from firstlight.stream.avro.schema import field_paths


def test_memory_holds_the_given_schemas() -> None:
    schemas = MemorySchemas({7: "string"})
    assert schemas.schema(7) == "string"
    with pytest.raises(DataError, match=r"no Avro schema number 8; known: \[7\]"):
        schemas.schema(8)


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
    with pytest.raises(DataError, match=r"expected 1002\.avsc, \.json or \.avro.*10/2/"):
        FolderSchemas(tmp_path).schema(1002)


def test_a_file_that_is_no_schema_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "1.avsc").write_text("{")
    with pytest.raises(DataError, match=r"1\.avsc: not an Avro schema"):
        FolderSchemas(tmp_path).schema(1)
    with pytest.raises(DataError, match="not an Avro schema"):
        parse_schema_json(b"[" * 100_000, "here")


# --- registry -------------------------------------------------------------------------


class Registry(BaseHTTPRequestHandler):
    """A registry with one schema, which counts its visitors."""

    visits: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.visits.append((self.path, self.headers.get("Authorization")))
        number = self.path.rpartition("/")[2]
        if number == "500":
            self.send_error(500)
        elif number == str(LSST_SCHEMA_ID):
            self.answer(json.dumps({"schema": json.dumps(LSST_SCHEMA)}).encode())
        elif number == "13":
            self.answer(b'{"error": 1}')
        else:
            self.send_error(404)

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def registry() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    visits: list[tuple[str, str | None]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (Registry,), {"visits": visits}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", visits
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_schema_is_fetched_once_from_a_registry(registry: Any, make_alert: Any) -> None:
    pytest.importorskip("fastavro")
    url, visits = registry
    codec = ConfluentCodec(RegistrySchemas(f"{url}/", authorization="Basic c2VjcmV0"))
    value = codec.encode(make_alert(3))
    for _ in range(3):
        assert isinstance(codec.decode(value), Alert)
    assert visits == [(f"/schemas/ids/{LSST_SCHEMA_ID}", "Basic c2VjcmV0")]


def test_a_schema_unknown_to_the_registry_is_a_data_error(registry: Any) -> None:
    url, visits = registry
    with pytest.raises(DataError, match="has no such schema"):
        RegistrySchemas(url).schema(12)
    with pytest.raises(DataError, match="holds no schema"):
        RegistrySchemas(url).schema(13)
    assert visits[0][1] is None


def test_a_registry_in_trouble_is_worth_another_try(registry: Any) -> None:
    url, _ = registry
    with pytest.raises(FetchError, match="responded 500"):
        RegistrySchemas(url, authorization="Basic c2VjcmV0").schema(500)
    with pytest.raises(FetchError, match="is the registry running"):
        RegistrySchemas("http://127.0.0.1:9", timeout=0.5).schema(1)


def test_failures_are_not_remembered() -> None:
    answers = iter([FetchError("away"), json.dumps({"schema": '"long"'}).encode()])

    def fetch(address: str) -> bytes:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    schemas = RegistrySchemas("https://registry.example", fetch=fetch)
    with pytest.raises(FetchError):
        schemas.schema(1)
    assert schemas.schema(1) == "long"


def test_only_http_addresses_are_followed() -> None:
    for url in ("file:///etc/passwd", "registry.example", "ftp://x"):
        with pytest.raises(DataError, match="expected an address that begins with http"):
            RegistrySchemas(url)
