"""Codecs of containers: every one is read, none inflates beyond its limit, damage is an error."""

import bz2
import contextlib
import lzma
import zlib
from io import BytesIO

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.errors import DataError
from firstlight.stream.avro.codecs import CODECS, inflate
from firstlight.stream.avro.container import ContainerReader


def deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


def snappy(data: bytes) -> bytes:
    return bytes(pa.Codec("snappy").compress(data, asbytes=True)) + zlib.crc32(data).to_bytes(4, "big")


PACK = {
    "null": bytes,
    "deflate": deflate,
    "snappy": snappy,
    "zstandard": lambda data: bytes(pa.Codec("zstd").compress(data, asbytes=True)),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def test_every_codec_is_tested() -> None:
    assert PACK.keys() == CODECS.keys()


@settings(max_examples=100, deadline=None)
@given(
    codec=st.sampled_from(sorted(PACK)), data=st.binary(min_size=1, max_size=300), times=st.integers(1, 50)
)
def test_a_block_is_inflated_up_to_its_limit_and_no_further(codec: str, data: bytes, times: int) -> None:
    whole = data * times
    packed = PACK[codec](whole)
    assert inflate(codec, packed, len(whole)) == whole
    if len(whole) > 1:
        with pytest.raises(DataError, match="the limit block_bytes"):
            inflate(codec, packed, len(whole) - 1)


@settings(max_examples=200, deadline=None)
@given(codec=st.sampled_from(sorted(PACK.keys() - {"null"})), data=st.data())
def test_a_damaged_block_is_an_error_or_other_bytes_but_never_more(codec: str, data: st.DataObject) -> None:
    packed = bytearray(PACK[codec](b"alert " * 100))
    kept = data.draw(st.integers(0, len(packed)))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(0, 255))
    with contextlib.suppress(DataError):
        assert len(inflate(codec, bytes(packed[:kept]), 1000)) <= 1000


def test_a_snappy_block_with_a_wrong_checksum_is_an_error() -> None:
    packed = snappy(b"alert " * 100)
    with pytest.raises(DataError, match="wrong checksum"):
        inflate("snappy", packed[:-1] + bytes([packed[-1] ^ 1]), 1000)


def test_containers_that_fastavro_compressed_are_read() -> None:
    fastavro = pytest.importorskip("fastavro")
    schema = {"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}
    for codec in ("null", "deflate", "bzip2", "xz"):
        out = BytesIO()
        fastavro.writer(out, schema, [{"x": i} for i in range(5)], codec=codec)
        reader = ContainerReader(out)
        block = reader.read_block()
        assert block is not None
        assert list(reader.records(block)) == [bytes([2 * i]) for i in range(5)], codec
