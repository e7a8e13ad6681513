"""Sources of the schemas of schemaless Avro messages: a registry, a folder, memory.

Rubin numbers its schemas 100 times the major plus the minor version.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from firstlight.errors import DataError, FetchError
from firstlight.stream.avro.container import read_header

MAX_SCHEMA_BYTES = 8 << 20


class SchemaSource(Protocol):
    """Finds Avro schemas by number; one number always means one schema.

    DataError for an unknown number, FetchError if the source is unreachable.
    """

    def schema(self, schema_id: int) -> Any:
        """Parsed JSON of the schema with this number."""
        ...


class MemorySchemas:
    """Schemas held in memory: parsed JSON by number.

    >>> MemorySchemas({7: "string"}).schema(7)
    'string'
    """

    def __init__(self, schemas: Mapping[int, Any]) -> None:
        self._schemas = dict(schemas)

    def schema(self, schema_id: int) -> Any:
        """See `SchemaSource.schema`."""
        if schema_id not in self._schemas:
            raise DataError(f"no Avro schema number {schema_id}; known: {sorted(self._schemas)[:20]}")
        return self._schemas[schema_id]


class FolderSchemas:
    """Schemas in the files of a folder.

    Number 1101 is looked up as ``1101.avsc``, ``1101.json``, in the head of the Avro container
    ``1101.avro``, and as ``11/1/*.alert.avsc`` with the files of its records beside it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._known: dict[int, Any] = {}

    def schema(self, schema_id: int) -> Any:
        """See `SchemaSource.schema`."""
        if schema_id not in self._known:
            self._known[schema_id] = self._find(schema_id)
        return self._known[schema_id]

    def _find(self, schema_id: int) -> Any:
        for suffix in (".avsc", ".json"):
            path = self._folder / f"{schema_id}{suffix}"
            if path.is_file():
                return parse_schema_json(path.read_bytes(), str(path))
        path = self._folder / f"{schema_id}.avro"
        if path.is_file():
            return read_header(path.read_bytes()).schema
        split = self._folder / str(schema_id // 100) / str(schema_id % 100)
        mains = sorted(split.glob("*.alert.avsc"))
        if len(mains) == 1:
            return _join_files(mains[0], sorted(split.glob("*.avsc")))
        raise DataError(
            f"{self._folder}: no Avro schema number {schema_id}; expected {schema_id}.avsc, .json or .avro, "
            f"or the files of Rubin's schema in {schema_id // 100}/{schema_id % 100}/"
        )


def _join_files(main: Path, files: list[Path]) -> Any:
    """One schema from several files: each record is written out at its first use."""
    records: dict[str, Any] = {}
    for path in files:
        schema = parse_schema_json(path.read_bytes(), str(path))
        if path != main and isinstance(schema, dict):
            space = schema.get("namespace")
            records[f"{space}.{schema.get('name')}" if space else str(schema.get("name"))] = schema
    written: set[str] = set()

    def fill(schema: Any) -> Any:
        if isinstance(schema, str):
            if schema in records and schema not in written:
                written.add(schema)
                return fill(records[schema])
            return schema
        if isinstance(schema, list):
            return [fill(item) for item in schema]
        if not isinstance(schema, dict):
            return schema
        filled = dict(schema)
        for key in ("items", "values"):
            if key in filled:
                filled[key] = fill(filled[key])
        if isinstance(filled.get("type"), dict | list):
            filled["type"] = fill(filled["type"])
        if isinstance(filled.get("fields"), list):
            filled["fields"] = [
                {**entry, "type": fill(entry["type"])}
                if isinstance(entry, dict) and "type" in entry
                else entry
                for entry in filled["fields"]
            ]
        return filled

    return fill(parse_schema_json(main.read_bytes(), str(main)))


class RegistrySchemas:
    """Schemas of a Confluent schema registry, each fetched once.

    Parameters
    ----------
    url : str
        Address of the registry, ``http://`` or ``https://``; DataError for another.
    authorization : str
        Value of the Authorization header, if the registry needs one. It is never shown.
    timeout : float
        Longest wait for a response [s].
    fetch : callable, optional
        Gets the bytes of an address; for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        authorization: str = "",
        timeout: float = 10.0,
        fetch: Callable[[str], bytes] | None = None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise DataError(
                f"schema registry {url!r}: expected an address that begins with http:// or https://"
            )
        self._url = url.rstrip("/")
        self._authorization = authorization
        self._timeout = timeout
        self._fetch = fetch or self._get
        self._known: dict[int, Any] = {}

    def schema(self, schema_id: int) -> Any:
        """See `SchemaSource.schema`."""
        if schema_id not in self._known:
            address = f"{self._url}/schemas/ids/{schema_id}"
            answer = parse_schema_json(self._fetch(address), address)
            if not isinstance(answer, dict) or not isinstance(answer.get("schema"), str):
                raise DataError(f"{address}: the response holds no schema")
            self._known[schema_id] = parse_schema_json(answer["schema"].encode(), address)
        return self._known[schema_id]

    def _get(self, address: str) -> bytes:
        headers = {"Accept": "application/vnd.schemaregistry.v1+json"}
        if self._authorization:
            headers["Authorization"] = self._authorization
        request = urllib.request.Request(address, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:
                answer: bytes = response.read(MAX_SCHEMA_BYTES)
                return answer
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise DataError(f"{address}: the registry has no such schema") from None
            raise FetchError(f"{address}: the registry responded {error.code} {error.reason}") from None
        except OSError as error:
            raise FetchError(f"{address}: {error}; is the registry running?") from error


def parse_schema_json(text: bytes, where: str) -> Any:
    """Parse the JSON of a schema; DataError, which names its origin `where`, if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not an Avro schema: {error}") from error
