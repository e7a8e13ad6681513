"""Files inside a bundle: JSON states, compressed text and arrays, checked as they are read.

A bundle may come from a stranger. Every file is read here and nowhere else: its size is bounded, each value
has the type that its reader states, each number is finite, and each array has the stated dtype, shape and
range. Compiled code relies on that. Every failure is a `BundleError` with the file and what to do.
"""

import gzip
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, load_file, save, save_file

from firstlight._types import AnyArray
from firstlight.errors import BundleError, BundleVersionError, NotOfferedError, SettingsError
from firstlight.settings import from_table

T = TypeVar("T")

LARGEST_STATE = 16 << 20  # bytes of a JSON file; the largest of ours has 20 kB
LARGEST_TEXT = 128 << 20  # bytes of a text after decompression; the largest of ours has 2.4 MB
LARGEST_ARRAYS = 1 << 30  # bytes of an array file; the largest of ours has 3 MB
LARGEST_NUMBER = 1e30  # of a float: sums and squares of some of them stay finite in float64

AGAIN = "fetch or train the bundle again"


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """The form of an array in a file.

    Attributes
    ----------
    dtype : str
        Name of the dtype.
    shape : tuple of int or str
        Sizes; one that is a name is free, but the same wherever the name occurs.
    least, most : float
        Range of the values; NaN is always outside.
    order : {"", "not_falling", "rising"}
        Order of the values along the last axis.
    """

    dtype: str
    shape: tuple[int | str, ...]
    least: float = -LARGEST_NUMBER
    most: float = LARGEST_NUMBER
    order: Literal["", "not_falling", "rising"] = ""


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a JSON file; numbers keep all digits."""
    path.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; BundleError if the file is missing, too large or malformed, or holds a NaN."""
    return parse_json(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """Read a small file; BundleError if it is missing or larger than `LARGEST_STATE`."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_STATE + 1)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error}); {AGAIN}") from error
    if len(content) > LARGEST_STATE:
        raise BundleError(f"{path}: larger than {LARGEST_STATE >> 20} MiB; {AGAIN}")
    return content


def parse_json(content: bytes, path: object) -> dict[str, Any]:
    """The JSON object in the bytes of a file; BundleError as `read_json` raises it."""
    try:
        table = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not readable as JSON ({error}); {AGAIN}") from error
    if not isinstance(table, dict):
        raise BundleError(f"{path}: not a JSON object; {AGAIN}")
    return table


def read_state(path: Path, kind: type[T], *, newest_format: int = 1) -> T:
    """Read a JSON object into a dataclass; keys that are no field are ignored.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    kind : type
        A dataclass as `firstlight.settings.from_table` fills them.
    newest_format : int
        Largest value of the key ``format`` that this firstlight reads; a file without it has 1.

    Raises
    ------
    BundleError
        If the file cannot be read, lacks a field, or has a value of another type or a number that is not
        finite.
    BundleVersionError
        If a newer firstlight wrote it.
    """
    content = read_json(path)
    found = content.get("format", 1)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise BundleError(f"{path}: format {found!r} is not a positive integer; {AGAIN}")
    if found > newest_format:
        raise BundleVersionError(
            f"{path}: format {found}, this firstlight reads up to {newest_format}; "
            "upgrade with `pip install -U firstlight`"
        )
    known = fields(kind)  # type: ignore[arg-type]
    needed = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    missing = [name for name in needed if name not in content]
    if missing:
        raise BundleError(f"{path}: without {missing}; {AGAIN}")
    table = {f.name: content[f.name] for f in known if f.name in content}
    try:
        if not _is_finite(table):
            raise SettingsError("a number is infinite")
        return from_table(kind, table, path.name)
    except NotOfferedError as error:
        raise BundleError(f"{path}: {error}") from error
    except (SettingsError, RecursionError) as error:
        raise BundleError(f"{path}: {error}; {AGAIN}") from error


def write_text(path: Path, text: str) -> None:
    """Write gzipped text; the same text gives the same bytes."""
    path.write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))


def read_text(path: Path) -> str:
    """Read gzipped text; BundleError if the file is missing or damaged, or inflates beyond `LARGEST_TEXT`."""
    try:
        with gzip.open(path) as file:
            content = file.read(LARGEST_TEXT + 1)
        if len(content) > LARGEST_TEXT:
            raise BundleError(
                f"{path}: inflates to more than {LARGEST_TEXT >> 20} MiB; use bundles from a source you trust"
            )
        text = content.decode("utf-8")
    except (OSError, EOFError, UnicodeError, zlib.error) as error:
        raise BundleError(f"{path}: cannot be read ({error}); {AGAIN}") from error
    if not text:
        raise BundleError(f"{path}: empty; {AGAIN}")
    return text


def write_arrays(path: Path, arrays: Mapping[str, AnyArray]) -> None:
    """Write arrays as safetensors, gzipped where the name ends in ``.gz``."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(save(whole), 9, mtime=0))
    else:
        save_file(whole, path)


def read_arrays(
    path: Path, specs: Mapping[str, ArraySpec] | None = None, **sizes: int
) -> dict[str, AnyArray]:
    """Read safetensors, also gzipped ones; BundleError if the file is missing or damaged, or breaks a spec.

    Without `specs` nothing is checked but the file, for a caller that checks the arrays by `check_arrays`;
    with them, arrays without a spec are left out. `sizes` are those of the named sizes in shapes that the
    caller knows.
    """
    try:
        if path.stat().st_size > LARGEST_ARRAYS:
            raise BundleError(f"{path}: larger than {LARGEST_ARRAYS >> 20} MiB; {AGAIN}")
        # its arrays are writable; compiled code needs that type
        arrays: dict[str, AnyArray] = _load_gzipped(path) if path.suffix == ".gz" else load_file(path)
        for name, array in arrays.items():
            if array.dtype.isbuiltin != 1:  # other libraries may register more types in numpy
                raise TypeError(f"array {name} has the type {array.dtype}")
    except BundleError:
        raise
    except (
        OSError,
        EOFError,
        zlib.error,
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
    ) as error:
        # from ValueError on: dtypes and shapes that numpy cannot hold
        raise BundleError(f"{path}: cannot be read ({error!r}); {AGAIN}") from error
    return arrays if specs is None else check_arrays(arrays, specs, path, **sizes)


def check_arrays(
    arrays: Mapping[str, AnyArray], specs: Mapping[str, ArraySpec], where: object, **sizes: int
) -> dict[str, AnyArray]:
    """The arrays that have a spec, contiguous; BundleError if one is missing or breaks its spec.

    `where`, the place of the arrays, begins the messages; for `sizes` see `read_arrays`.
    """
    missing = [name for name in specs if name not in arrays]
    if missing:
        raise BundleError(f"{where}: without array(s) {missing}; {AGAIN}")
    checked = {}
    for name, spec in specs.items():
        array = arrays[name]
        fault = _fault(array, spec, sizes)
        if fault:
            raise BundleError(f"{where}: array {name!r} {fault}; {AGAIN}")
        checked[name] = np.ascontiguousarray(array)
    return checked


# --- private --------------------------------------------------------------------


def _load_gzipped(path: Path) -> dict[str, AnyArray]:
    """Arrays of a gzipped file, writable; BundleError if it inflates beyond `LARGEST_ARRAYS`."""
    with gzip.open(path) as file:
        content = file.read(LARGEST_ARRAYS + 1)
    if len(content) > LARGEST_ARRAYS:
        raise BundleError(f"{path}: inflates to more than {LARGEST_ARRAYS >> 20} MiB; {AGAIN}")
    return {name: array.copy() for name, array in load(content).items()}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _is_finite(value: Any) -> bool:
    """Whether all floats within are finite; the JSON number 1e999 is read as infinity."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(_is_finite(part) for part in value.values())
    return all(_is_finite(part) for part in value) if isinstance(value, list) else True


def _fault(array: AnyArray, spec: ArraySpec, sizes: dict[str, int]) -> str:
    """The first difference between an array and its spec; new named sizes are added to `sizes`."""
    if array.dtype.name != spec.dtype:
        return f"has dtype {array.dtype.name}, not {spec.dtype}"
    fits = array.ndim == len(spec.shape)
    for wanted, size in zip(spec.shape, array.shape, strict=False):
        fits &= size == (sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted)
    if not fits:
        expected = ", ".join(
            str(sizes.get(size, size) if isinstance(size, str) else size) for size in spec.shape
        )
        return f"has shape {array.shape}, not ({expected})"
    if not array.size:
        return ""
    least, most = float(array.min()), float(array.max())
    if not (spec.least <= least and most <= spec.most):  # so that NaN is a fault
        return f"has values from {least} to {most}, outside {spec.least:g} to {spec.most:g}"
    if spec.order and array.shape[-1] > 1:
        step = np.diff(array, axis=-1).min()
        if step < 0 or (step == 0 and spec.order == "rising"):
            return f"is not {spec.order.replace('_', ' ')}"
    return ""
