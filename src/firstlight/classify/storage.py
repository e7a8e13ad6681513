"""Small files of a saved classifier: JSON state, compressed text, safetensors."""

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from firstlight.errors import BundleError


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a JSON file; numbers keep all digits."""
    path.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")


def read_state(path: Path, *needed: str) -> dict[str, Any]:
    """Read a JSON object; BundleError if the file is missing, malformed or lacks one of the `needed` keys."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read ({error}); save the bundle again") from error
    if not isinstance(state, dict):
        raise BundleError(f"{path}: not a JSON object; save the bundle again")
    missing = [key for key in needed if key not in state]
    if missing:
        raise BundleError(f"{path}: without {missing}; save the bundle again")
    return state


def write_text(path: Path, text: str) -> None:
    """Write gzipped text; the same text gives the same bytes."""
    path.write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))


def read_text(path: Path) -> str:
    """Read gzipped text; BundleError if the file is missing or damaged."""
    try:
        text = gzip.decompress(path.read_bytes()).decode("utf-8")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise BundleError(f"{path}: cannot be read ({error}); save the bundle again") from error
    if not text:
        raise BundleError(f"{path}: empty; save the bundle again")
    return text


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as safetensors."""
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def read_arrays(path: Path, *needed: str) -> dict[str, NDArray[Any]]:
    """Read safetensors; BundleError if the file is missing, damaged or lacks one of the `needed` arrays."""
    try:
        arrays: dict[str, NDArray[Any]] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path}: cannot be read ({error}); save the bundle again") from error
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise BundleError(f"{path}: without array(s) {missing}; save the bundle again")
    return arrays
