"""Files of alerts: containers, gzip, JSON lines. Each record is a message or an error, in bounded memory."""

import gzip
import json
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
from tests.fuzz.mutate import change_bytes, packed_zeros
from tests.fuzz.packets import check_decoded, container, seeds

from firstlight.errors import BrokerError, SchemaError
from firstlight.stream.alerts.decoder import AlertDecoder
from firstlight.stream.io.open import open_source

_MOST_RECORDS = 100_000  # of a file of some kilobytes


def make(folder: Path) -> "Containers":
    """The target, with a folder for the file."""
    return Containers(folder)


class Containers:
    documented = (BrokerError, SchemaError)  # a file that cannot be read; a schema that cannot be had
    case_s = 5
    case_bytes = 256 << 20

    def __init__(self, folder: Path) -> None:
        self._path = folder / "alerts"
        found = seeds()
        lines = b"".join(found["json"][0].rstrip(b"\n") + b"\n" for _ in range(3))
        self._seeds = {
            **{name: value for name, (value, _) in found.items() if value[:4] == b"Obj\x01"},
            "lines": lines,
            "array": json.dumps([json.loads(line) for line in lines.splitlines()]).encode(),
            "lines.gz": gzip.compress(lines, mtime=0),
            "deflated": _deflated(found["container"][0]),
        }
        self._decoder = AlertDecoder()
        for value in self._seeds.values():
            self._reads(value)

    def past(self) -> list[Callable[[], None]]:
        """Small files that inflate to gigabytes or to millions of records."""
        schema = {"type": "record", "name": "alert", "fields": [{"name": "x", "type": "boolean"}]}
        return [
            lambda: self._reads(container(schema, 1, packed_zeros(1023, gzip=False), b"deflate")),
            lambda: self._reads(container(schema, 200 << 20, packed_zeros(200, gzip=False), b"deflate")),
            lambda: self._reads(container(schema, -(1 << 62), b"\0", b"null")),
            lambda: self._reads(container(schema, 1 << 62, b"", b"null")),
            lambda: self._reads(gzip.compress(b"{" + b" " * (1 << 20), mtime=0)[:-4]),
        ]

    def case(self, rng: np.random.Generator) -> Callable[[], None]:
        """A file with a few changed bytes."""
        name = list(self._seeds)[rng.integers(len(self._seeds))]
        value = change_bytes(rng, self._seeds[name])
        return lambda: self._reads(value)

    def _reads(self, content: bytes) -> None:
        self._path.write_bytes(content)
        n_records = 0
        with closing(open_source(str(self._path))) as source:
            while not source.exhausted:
                for message in source.poll(512, 0.0):
                    n_records += 1
                    if not message.error:
                        check_decoded(self._decoder.decode_all(message.value, message.key))
                assert n_records <= _MOST_RECORDS, "a small file of very many records"


def _deflated(content: bytes) -> bytes:
    """A container whose body is the packed head of another: wrong records in a sound frame."""
    schema = {"type": "record", "name": "alert", "fields": [{"name": "x", "type": "bytes"}]}
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return container(schema, 2, packer.compress(content) + packer.flush(), b"deflate")
