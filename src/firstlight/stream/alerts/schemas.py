"""Sources of the schemas of schemaless Avro messages: a registry, a folder, memory.

Rubin numbers its schemas 100 times the major plus the minor version.
"""

import base64
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from firstlight.errors import DataError, SchemaError, SettingsError
from firstlight.stream.avro.container import read_header

MAX_SCHEMA_BYTES = 8 << 20
ASK_AGAIN_S = 5.0  # a schema that could not be had is requested again after this time
_MOST_FAILURES = 1000  # numbers that could not be had and are remembered
_MOST_REDIRECTS = 5


class SchemaSource(Protocol):
    """Finds Avro schemas by number; one number always means one schema.

    SchemaError if there is none with this number, or the source is unreachable.
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
            raise SchemaError(
                f"no Avro schema number {schema_id}; known: {sorted(self._schemas)[:20]}; give a folder or "
                "registry of schemas (--schemas)",
                schema_id,
                is_absent=True,
                is_final=True,
            )
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
            try:
                self._known[schema_id] = self._find(schema_id)
            except (DataError, OSError) as error:
                if isinstance(error, SchemaError):
                    raise
                raise SchemaError(f"schema number {schema_id}: {error}", schema_id) from error
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
        raise SchemaError(
            f"{self._folder}: no Avro schema number {schema_id}; expected {schema_id}.avsc, .json or .avro, "
            f"or the files of Rubin's schema in {schema_id // 100}/{schema_id % 100}/",
            schema_id,
            is_absent=True,
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
        """A schema with each named record written out at its first use."""
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
    """Schemas of a Confluent schema registry, each fetched once; a failure is repeated for `ASK_AGAIN_S`.

    Redirects are followed within the registry's host only.

    Parameters
    ----------
    url : str
        Address of the registry, ``http://`` or ``https://``; SettingsError for another. A login in it
        (``https://user:password@host``) is sent as basic authorization and never shown.
    authorization : str
        Value of the Authorization header, if the registry needs one. It is never shown.
    timeout : float
        Longest wait for a response [s].
    fetch : callable, optional
        Gets the bytes of an address; for tests.
    clock : callable
        Monotonic time [s]; for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        authorization: str = "",
        timeout: float = 10.0,
        fetch: Callable[[str], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not is_registry(url):
            raise SettingsError(
                f"schema registry {without_login(url)!r}: expected an address that begins with http:// or "
                "https://"
            )
        bare, login = _split_login(url)
        self._url = bare.rstrip("/")
        self._authorization = authorization or login
        self._timeout = timeout
        self._fetch = fetch or self._get
        self._clock = clock
        self._known: dict[int, Any] = {}
        self._failed: dict[int, tuple[float, SchemaError]] = {}

    def schema(self, schema_id: int) -> Any:
        """See `SchemaSource.schema`."""
        if schema_id in self._known:
            return self._known[schema_id]
        now = self._clock()
        failed_at, failure = self._failed.get(schema_id, (now, None))
        if failure is not None and now - failed_at < ASK_AGAIN_S:
            raise failure.with_traceback(None)
        self._failed.pop(schema_id, None)
        try:
            self._known[schema_id] = self._read(schema_id)
        except SchemaError as error:
            while len(self._failed) >= _MOST_FAILURES:
                self._failed.pop(next(iter(self._failed)))
            self._failed[schema_id] = (self._clock(), error)
            raise
        return self._known[schema_id]

    def _read(self, schema_id: int) -> Any:
        """The schema by the registry; SchemaError for every other response."""
        address = f"{self._url}/schemas/ids/{schema_id}"
        try:
            answer = parse_schema_json(self._fetch(address), address)
            text = answer.get("schema") if isinstance(answer, dict) else None
            if isinstance(text, str):
                return parse_schema_json(text.encode(), address)
            reason = f"{address}: the response holds no schema"
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(address, schema_id, error) from None
        except DataError as error:
            reason = str(error)
        except (OSError, ValueError, HTTPException) as error:
            reason = f"{address}: {error!r}; is the registry running?"
        raise SchemaError(reason, schema_id)

    def _refused(self, address: str, schema_id: int, error: urllib.error.HTTPError) -> SchemaError:
        """The error for a response with a status other than 200."""
        if error.code == 404:
            return SchemaError(f"{address}: the registry has no such schema", schema_id, is_absent=True)
        what = f"{address}: the registry responded {error.code} {error.reason}"
        if error.code in (401, 403):
            what += "; give a user and a password as http://USER:PASSWORD@HOST"
        elif 300 <= error.code < 400:
            new = without_login(error.headers.get("Location", "an unknown address"))
            what += f": it has moved to {new}; give the new address of the registry"
        return SchemaError(what, schema_id)

    def _get(self, address: str) -> bytes:
        headers = {"Accept": "application/vnd.schemaregistry.v1+json"}
        if self._authorization:
            headers["Authorization"] = self._authorization
        request = urllib.request.Request(address, headers=headers)
        with urllib.request.build_opener(_SameHost).open(request, timeout=self._timeout) as response:
            answer: bytes = response.read(MAX_SCHEMA_BYTES)
            return answer


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects within one host, so that the login never reaches another one."""

    max_redirections = _MOST_REDIRECTS

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        secured = (old.scheme, new.scheme) == ("http", "https")
        same = old.hostname == new.hostname and (secured or (old.scheme, old.port) == (new.scheme, new.port))
        return super().redirect_request(req, fp, code, msg, headers, newurl) if same else None


def is_registry(schemas: str) -> bool:
    """Whether a value of ``--schemas`` is the address of a registry."""
    return schemas.lower().startswith(("http://", "https://"))


def without_login(url: str) -> str:
    """An address without user and password, to be shown.

    >>> without_login("http://me:secret@registry:8081")
    'http://***@registry:8081'
    """
    return re.sub(r"//.*@", "//***@", url, flags=re.DOTALL)


def login_secrets(schemas: str) -> tuple[str, ...]:
    """The secrets in an address of a registry, to be masked in logs."""
    login = urlsplit(schemas).netloc.rpartition("@")[0] if is_registry(schemas) else ""
    password = login.partition(":")[2]
    found = (password, unquote(password), _split_login(schemas)[1].removeprefix("Basic ") if login else "")
    return tuple(dict.fromkeys(secret for secret in found if secret))


def _split_login(url: str) -> tuple[str, str]:
    """An address without its login, and the header value of that login ("" without one)."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, ""
    user, _, password = login.partition(":")
    words = f"{unquote(user)}:{unquote(password)}".encode()
    return urlunsplit(parts._replace(netloc=host)), f"Basic {base64.b64encode(words).decode()}"


def parse_schema_json(text: bytes, where: str) -> Any:
    """Parse the JSON of a schema; DataError, which names its origin `where`, if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not an Avro schema: {error}") from error
