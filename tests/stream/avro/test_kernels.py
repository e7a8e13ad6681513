"""The compiled pieces, one by one, against Python."""

import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firstlight.stream.avro import kernels as avro_kernels
from firstlight.stream.avro.kernels import REASONS


def buffer(data: bytes) -> np.ndarray:
    return np.frombuffer(data or b"\0", np.uint8)


def is_utf8(data: bytes) -> bool:
    return bool(avro_kernels._is_utf8(buffer(data), 0, len(data)))


@given(st.binary(max_size=6) | st.text(max_size=4).map(lambda text: text.encode(errors="surrogatepass")))
@example(b"\xed\x9f\xbf")
@example(b"\xed\xa0\x80")
@example(b"\xf4\x8f\xbf\xbf")
@example(b"\xf0\x8f\xbf\xbf")
@example(b"\xe0\x9f\xbf")
@example(b"\xc1\xbf")
@example(b"\xf5\x80\x80\x80")
def test_text_is_utf8_exactly_if_python_decodes_it(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        assert not is_utf8(data)
    else:
        assert is_utf8(data)


@given(st.integers(-(1 << 63), (1 << 63) - 1))
@example(-(1 << 63))
@example((1 << 63) - 1)
def test_integers_read_and_skip_to_the_same_place(value: int) -> None:
    bits, out = ((value << 1) ^ (value >> 63)) & (1 << 64) - 1, bytearray()
    while bits > 0x7F:
        out.append(bits & 0x7F | 0x80)
        bits >>= 7
    out.append(bits)
    data = buffer(bytes(out) + b"\x01")
    assert tuple(avro_kernels._varint(data, 0, len(data))) == (len(out), value)
    assert avro_kernels._skip_varint(data, 0, len(data)) == len(out)
    for end in range(len(out)):
        reasons = avro_kernels._varint(data, 0, end)[0], avro_kernels._skip_varint(data, 0, end)
        assert {REASONS[reason] for reason in reasons} == {"the packet ends inside a value"}


@pytest.mark.parametrize("data", [b"\xff" * 10, b"\xff" * 9 + b"\x02", b"\x80" * 12])
def test_integers_of_more_than_64_bits_are_refused_by_both(data: bytes) -> None:
    values = buffer(data)
    reasons = (
        avro_kernels._varint(values, 0, len(data))[0],
        avro_kernels._skip_varint(values, 0, len(data)),
    )
    assert {REASONS[reason] for reason in reasons} == {"an integer of more than 64 bits"}


@given(st.floats(width=32), st.floats())
def test_floats_keep_every_bit(single: float, double: float) -> None:
    data = buffer(struct.pack("<fd", single, double))
    kind, integer, number = np.zeros(2, np.uint8), np.zeros(2, np.int64), np.zeros(2)
    assert avro_kernels._read(avro_kernels.T_FLOAT, 0, data, 0, 12, 0, kind, integer, number) == 4
    assert avro_kernels._read(avro_kernels.T_DOUBLE, 0, data, 4, 12, 1, kind, integer, number) == 12
    assert struct.pack("<f", number[0]) == struct.pack("<f", single) or np.isnan(single)
    assert number[1:].tobytes() == struct.pack("<d", double)
