"""LightGBM's model text, shortened for storage and read into a `Forest`.

The text stays in LightGBM's own format, so that LightGBM reads it too. Only numerical
splits and constant leaves are read.
"""

import re
import warnings
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight._types import FloatArray
from firstlight.classify.forest import MISSING_HIGH, MISSING_IS_ZERO, MISSING_LOW, Forest, floor_float32
from firstlight.errors import BundleError, DataError
from firstlight.storage import AGAIN, LARGEST_NUMBER

#: Lines of a tree that prediction needs.
_KEPT_LINES = (
    "num_leaves",
    "num_cat",
    "split_feature",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
    "leaf_count",  # for explanations alone
    "is_linear",
    "shrinkage",
)
_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # bits of decision_type
_MISSING_SHIFT = 2  # bits 2 and 3 of decision_type: none, zero, NaN
_MISSING_NONE, _MISSING_NAN = 0, 2
LEAF_DIGITS = 4  # of leaf values; a raw score of hundreds of trees changes by about 1e-3 (decision 0183)
COVER_DIGITS = 2  # of the training rows in a leaf, which weigh the branches of an explanation
_MAX_LEAVES = 1 << 15  # of a tree: its nodes fit a forest's 16-bit fields
_MAX_FEATURE = 1 << 20
_MAX_COUNT = 1 << 40  # rows in a leaf
_MAX_DECISION = 255  # LightGBM stores decision_type in 8 bits
#: The lines that are read. Others are not kept: a hostile text may have millions.
_LINE = re.compile(
    r"^(average_output|num_tree_per_iteration|max_feature_idx|num_leaves|num_cat|is_linear|split_feature"
    r"|threshold|decision_type|left_child|right_child|leaf_value)(?:=(.*))?$",
    re.MULTILINE,
)
_COVER_LINE = re.compile(r"^(leaf_count)=(.*)$", re.MULTILINE)


def compact(text: str) -> str:
    """Text of ``Booster.model_to_string`` without training statistics, about a third as long.

    Thresholds are rounded so that float32 rows fall on the same side. Leaf values keep
    `LEAF_DIGITS` digits: the shortened text is the model from then on.
    """
    header, *trees = text.split("\n\nTree=")
    # LightGBM checks the sizes where they are given, and parses tree by tree where not.
    lines = [line for line in header.split("\n") if not line.startswith(("tree_sizes=", "feature_infos="))]
    n_features = _header_number(_lines_by_key(header), "max_feature_idx") + 1
    lines.append("feature_infos=" + " ".join(["[-1:1]"] * n_features))
    parts = ["\n".join(lines)]
    for tree in trees:
        kept = [tree.split("\n", 1)[0]]
        for line in tree.split("\n")[1:]:
            key, _, values = line.partition("=")
            if key in _KEPT_LINES:
                kept.append(f"{key}={_shorten(key, values)}")
        parts.append("Tree=" + "\n".join(kept) + "\n")
    return "\n\n".join(parts) + "\n\nend of trees\n"


def read_forest(text: str, where: object = "LightGBM model text") -> Forest:
    """Forest of a whole or compact model text.

    Equal to ``Booster.predict(..., raw_score=True)`` bit for bit on float32 rows. Raises
    BundleError, which begins with `where`, for a damaged text, for splits that do not form trees, and for
    categorical, linear or averaged trees.
    """
    try:
        return _read(text)
    except (BundleError, DataError) as error:
        raise BundleError(f"{where}: {error}") from error


def read_covers(text: str, where: object = "LightGBM model text") -> FloatArray | None:
    """Training rows in each leaf, in the order of the nodes of `read_forest`, shape (n_nodes,).

    None for a text that does not count them. Raises BundleError, which begins with `where`, if it is damaged.
    """
    if not _COVER_LINE.search(text):
        return None
    try:
        return np.asarray(np.maximum(_read(text, covers=True).value, 1.0))
    except (BundleError, DataError) as error:
        raise BundleError(f"{where}: {error}") from error


def _read(text: str, covers: bool = False) -> Forest:
    """The trees of a text, with counts of rows as values of the leaves where `covers` is true."""
    if not text.startswith("tree\n"):
        raise BundleError("this is not a LightGBM model text; it should begin with 'tree'")
    lines = _lines_by_key(text)
    if "average_output" in lines or set(lines["num_cat"] + lines["is_linear"]) - {"0"}:
        raise BundleError("categorical, linear and averaged trees are not read; train with plain ones")
    n_leaves = _whole(lines, "num_leaves", 1, _MAX_LEAVES)
    n_splits = n_leaves - 1
    splits = {
        "split_feature": _whole(lines, "split_feature", 0, _MAX_FEATURE),
        "threshold": _numbers(lines, "threshold"),
        "decision_type": _whole(lines, "decision_type", 0, _MAX_DECISION),
        "left_child": _whole(lines, "left_child", -_MAX_LEAVES, _MAX_LEAVES),
        "right_child": _whole(lines, "right_child", -_MAX_LEAVES, _MAX_LEAVES),
    }
    if covers:
        for found in _COVER_LINE.finditer(text):
            lines[found[1]].append(found[2])
        leaves = _whole(lines, "leaf_count", 0, _MAX_COUNT).astype(np.float64)
    else:
        leaves = _numbers(lines, "leaf_value")
    for name in splits:
        _check_counts(lines, name, n_splits)
    _check_counts(lines, "leaf_count" if covers else "leaf_value", n_leaves)
    n_outputs = _header_number(lines, "num_tree_per_iteration")
    if not 1 <= n_outputs <= len(n_leaves) or len(n_leaves) % n_outputs:
        raise BundleError(f"{len(n_leaves)} trees, but {n_outputs} per iteration; {AGAIN}")
    n_features = _header_number(lines, "max_feature_idx") + 1
    return _join(n_leaves, n_outputs, n_features, splits, leaves)


def _join(
    n_leaves: NDArray[np.int64],
    n_outputs: int,
    n_features: int,
    splits: dict[str, NDArray[Any]],
    leaves: NDArray[np.float64],
) -> Forest:
    """Merge splits and leaves, which LightGBM numbers separately, into one list of nodes per tree."""
    n_splits = n_leaves - 1
    n_nodes = n_leaves + n_splits
    first = np.cumsum(n_nodes) - n_nodes
    is_split = np.zeros(n_nodes.sum(), dtype=bool)
    within = np.arange(len(is_split)) - np.repeat(first, n_nodes)
    is_split[:] = within < np.repeat(n_splits, n_nodes)

    def spread(values: NDArray[np.float64], fill: float) -> NDArray[np.float64]:
        out = np.full(len(is_split), fill)
        out[is_split] = values
        return out

    def child(name: str) -> NDArray[np.int64]:
        # A leaf is stored as the bitwise complement of its number.
        number = splits[name]
        number = np.where(number < 0, np.repeat(n_splits, n_splits) + ~number, number)
        if np.any((number < 0) | (number >= np.repeat(n_nodes, n_splits))):
            raise BundleError(f"{name} points outside its tree; {AGAIN}")
        return spread(number.astype(np.float64), -1).astype(np.int64)

    value = np.zeros(len(is_split))
    value[~is_split] = leaves
    decision = spread(splits["decision_type"], 0).astype(np.int64)
    if np.any(decision & _CATEGORICAL):
        raise BundleError("categorical splits are not read; train with plain ones")
    missing_type = (decision >> _MISSING_SHIFT) & 3
    if np.any((missing_type != _MISSING_NONE) & (missing_type != _MISSING_NAN)):
        raise BundleError("trees that treat zero as missing are not read; train with zero_as_missing off")
    directed = np.where(decision & _DEFAULT_LEFT, MISSING_LOW, MISSING_HIGH)
    return Forest.lay_out(
        n_nodes=n_nodes,
        feature=spread(splits["split_feature"], 0).astype(np.int64),
        threshold=spread(splits["threshold"], 0.0),
        left=child("left_child"),
        right=child("right_child"),
        value=value,
        output=np.arange(len(n_leaves)) % n_outputs,
        start=np.zeros(n_outputs),
        n_features=n_features,
        missing=np.where(missing_type == _MISSING_NAN, directed, MISSING_IS_ZERO),
    )


def _lines_by_key(text: str) -> dict[str, list[str]]:
    """Right-hand sides of the lines that are read, tree after tree."""
    lines: dict[str, list[str]] = defaultdict(list)
    for found in _LINE.finditer(text):
        lines[found[1]].append(found[2] or "")
    return lines


def _numbers(lines: dict[str, list[str]], key: str) -> NDArray[np.float64]:
    """All values of a key, tree after tree."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # numpy before 2.3 warns where later ones raise
        try:
            numbers = np.fromstring(" ".join(filter(None, lines[key])), dtype=np.float64, sep=" ")
        except (DeprecationWarning, ValueError) as error:
            raise BundleError(f"{key} has a value that is not a number; {AGAIN}") from error
    largest = np.inf if key == "threshold" else LARGEST_NUMBER  # an infinite threshold sets NaN apart
    if not np.all(np.abs(numbers) <= largest):  # so that NaN is refused too
        raise BundleError(f"{key} has a value that is NaN or beyond {largest:g}; {AGAIN}")
    return numbers


def _whole(lines: dict[str, list[str]], key: str, least: int, most: int) -> NDArray[np.int64]:
    """All values of a key, which must be whole numbers in a range."""
    numbers = _numbers(lines, key)
    whole = np.clip(numbers, least, most).astype(np.int64)
    if not np.array_equal(whole, numbers):
        raise BundleError(f"{key} has a value that is not a whole number from {least} to {most}; {AGAIN}")
    return whole


def _check_counts(lines: dict[str, list[str]], key: str, counts: NDArray[np.int64]) -> None:
    """Raise BundleError unless each tree has as many values of a key as it states."""
    found = [line.count(" ") + 1 if line else 0 for line in lines[key]]
    if found != counts.tolist():
        raise BundleError(f"a tree has more or fewer values of {key} than it states; {AGAIN}")


def _header_number(lines: dict[str, list[str]], key: str) -> int:
    values = lines[key]
    if not values or not re.fullmatch(r"[0-9]{1,6}", values[0]):
        raise BundleError(f"no line {key!r} with a number; {AGAIN}")
    return int(values[0])


def _shorten(key: str, values: str) -> str:
    if key == "threshold":
        floats = floor_float32(np.array(values.split(), dtype=np.float64))
        return " ".join(_decimal(number) for number in floats)
    if key == "leaf_value":
        return " ".join(f"{float(number):.{LEAF_DIGITS}g}" for number in values.split())
    if key == "leaf_count":
        return " ".join(f"{float(f'{float(number):.{COVER_DIGITS}g}'):.0f}" for number in values.split())
    return values


def _decimal(number: np.float32) -> str:
    """Shortest decimal from the number up to the next float32: it splits the same rows."""
    shortest = str(number)
    if float(shortest) >= float(number):
        return shortest
    # One or two units of the ninth digit; a float32 step is at least six of them.
    return f"{float(number) + 1e-8 * abs(float(number)):.8e}"
