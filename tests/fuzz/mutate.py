"""Mutations of bytes, JSON and arrays, from one generator of random numbers."""

import copy
import json
import zlib
from typing import Any

import numpy as np

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 3, 127, 255, 2**15, 2**16, 2**31 - 1, 2**31, -(2**31), 2**53 + 1, 2**62, 2**63, 2**64),
    *(10**30, -(10**400), 0.5, -0.0, 1e-300, -1e30, 1e38, 1e300, float("nan"), float("inf"), float("-inf")),
)
TEXTS = (
    "",
    " ",
    "0",
    "nan",
    "../x",
    "/etc/passwd",
    "\0",
    "\x1b[2J",
    "é\u202e",
    "\ud800",
    "x" * 5000,
    "SNIa",
    "AGN",
)
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"": 0}, "a\nb")
WORDS = (
    b"\0",
    b"\xff",
    b"\x80",
    b"\n",
    b"{",
    b"}",
    b'"',
    b",",
    b"\xff" * 8,
    b"\0" * 8,
    b"NaN",
    b"1e999",
    b"[" * 50,
)


def change_bytes(rng: np.random.Generator, data: bytes, most: int = 4) -> bytes:
    """Flip, overwrite, insert, delete, repeat or cut a few bytes."""
    out = bytearray(data)
    for _ in range(rng.integers(1, most + 1)):
        at = int(rng.integers(0, len(out) + 1))
        length = int(min(rng.geometric(0.1), 4096))
        way = rng.integers(0, 7)
        if way == 0 and at < len(out):
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif way == 1:
            out[at : at + length] = rng.bytes(min(length, 64))
        elif way == 2:
            out[at:at] = WORDS[rng.integers(len(WORDS))]
        elif way == 3:
            del out[at : at + length]
        elif way == 4:
            out[at:at] = out[at : at + length] * int(rng.integers(1, 20))
        elif way == 5 and rng.random() < 0.3:
            del out[at:]
        else:
            word = WORDS[rng.integers(len(WORDS))]
            out[at : at + len(word)] = word
    return bytes(out)


def odd_value(rng: np.random.Generator) -> Any:
    """A number, text or other value that readers stumble over."""
    group = (NUMBERS, TEXTS, OTHERS)[rng.integers(0, 3)]
    return copy.deepcopy(group[rng.integers(len(group))])


def change_json(rng: np.random.Generator, value: Any) -> Any:
    """Replace, remove, repeat or swap one value somewhere in parsed JSON."""
    value = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []
    _collect(value, places)
    if not places:
        return odd_value(rng)
    parent, key = places[rng.integers(len(places))]
    way = rng.integers(0, 6)
    if way <= 1:
        parent[key] = odd_value(rng)
    elif way == 2:
        del parent[key]
    elif way == 3:
        other, other_key = places[rng.integers(len(places))]
        parent[key] = copy.deepcopy(other[other_key])
    elif way == 4 and isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
        parent[key] = _near(rng, parent[key])
    elif isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    else:
        parent[TEXTS[rng.integers(len(TEXTS))]] = odd_value(rng)
    return value


def _near(rng: np.random.Generator, number: float) -> Any:
    with np.errstate(all="ignore"):
        return (number + 1, number - 1, -number, number * 1000, number * 1e-6)[rng.integers(0, 5)]


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        places.append((value, key))
        _collect(value[key], places)


def to_json(value: Any) -> bytes:
    """JSON that a careless writer leaves: NaN, lone surrogates and large integers as they are."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def change_array(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    """Change values, dtype or shape of an array."""
    array = array.copy()
    way = rng.integers(0, 9)
    if way <= 4 and array.size:
        flat = array.reshape(-1)
        n = 1 if rng.random() < 0.7 else int(rng.integers(1, array.size + 1))
        chosen = rng.integers(0, array.size, n)
        with np.errstate(all="ignore"):
            flat[chosen] = _odd_element(rng, array)
        return array
    if way == 5:
        dtypes = (np.float32, np.float64, np.int32, np.int64, np.uint8, np.float16, np.bool_, np.uint64)
        with np.errstate(all="ignore"):
            return array.astype(dtypes[rng.integers(len(dtypes))])
    if way == 6 and array.ndim:
        axis = int(rng.integers(0, array.ndim))
        keep = np.arange(array.shape[axis])
        sizes = (keep[:-1], keep[:0], np.append(keep, keep[:1]), keep[::-1], keep[1:])
        return np.take(array, sizes[rng.integers(len(sizes))], axis=axis)
    if way == 7:
        return array.T if array.ndim > 1 else array[:, None] if array.ndim else array.reshape(1)
    return array.reshape(-1)[: array.size // 2] if rng.random() < 0.5 else array.reshape(-1)


def _odd_element(rng: np.random.Generator, array: np.ndarray) -> Any:
    if array.dtype.kind == "f":
        values = (
            np.nan,
            np.inf,
            -np.inf,
            0.0,
            -1.0,
            1e30,
            -1e30,
            1e-40,
            3e38,
            array.flat[0] * 1e3,
            -array.flat[0],
        )
        return values[rng.integers(len(values))]
    size, some = array.size, int(array.flat[rng.integers(array.size)])
    values = (
        0,
        -1,
        1,
        size,
        size - 1,
        size + 1,
        2**16 - 1,
        2**16,
        2**31,
        2**62,
        -(2**63),
        some ^ 1,
        some + 1,
        some - 1,
    )
    wide = [some ^ (1 << int(rng.integers(0, 63)))]
    info = np.iinfo(array.dtype) if array.dtype.kind in "iu" else np.iinfo(np.uint8)
    chosen = [*values, *wide][rng.integers(len(values) + 1)]
    return min(max(int(chosen), int(info.min)), int(info.max))


def packed_zeros(megabytes: int, *, start: bytes = b"", gzip: bool = True) -> bytes:
    """A small file that inflates to `start` and many zeros, as gzip or raw deflate; made in little memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if gzip else -15)
    pieces = [packer.compress(start), *(packer.compress(b"\0" * (1 << 20)) for _ in range(megabytes))]
    return b"".join(pieces) + packer.flush()
