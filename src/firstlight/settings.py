"""Settings: TOML tables to frozen dataclasses, where an unknown key is an error.

Each stage owns its dataclass; this module only fills them. A class that once had more settings lists them
as ``RETIRED: ClassVar[Mapping[str, object]]``: key -> the only value that any preset or bundle holds.
"""

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from firstlight.errors import SettingsError

T = TypeVar("T")


def from_table(kind: type[T], table: Mapping[str, Any], where: str = "") -> T:
    """Build a frozen dataclass from a table, nested dataclasses included.

    Parameters
    ----------
    kind : type
        A dataclass whose fields are bool, int, float, str, Literal, dataclasses, or tuples or mappings of
        them.
    table : mapping
        Values by field name, as read from TOML.
    where : str
        Name of the table, for messages.

    Returns
    -------
    kind
        The settings; fields that the table omits keep their defaults.

    Raises
    ------
    SettingsError
        If a key is unknown, a value has the wrong type, or a retired key holds another value than its last.
    """
    name = where or kind.__name__
    hints = get_type_hints(kind)
    table = _without_retired(kind, table, name)
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise SettingsError(f"unknown setting(s) {unknown} in [{name}]; known: {known}")
    missing = [f.name for f in fields(kind) if f.name not in table and _is_needed(f)]  # type: ignore[arg-type]
    if missing:
        raise SettingsError(f"setting(s) {missing} are missing in [{name}]")
    values = {key: _coerce(hints[key], value, f"{name}.{key}") for key, value in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise SettingsError(f"[{name}]: {error}") from error


def to_table(settings: Any) -> dict[str, Any]:
    """Plain nested dict of a settings dataclass, fit for TOML or JSON (None is left out)."""
    return _plain(asdict(settings))


def to_toml(table: Mapping[str, Any], place: str = "") -> str:
    """A table of settings as TOML; see `to_table`.

    Examples
    --------
    >>> print(to_toml({"name": "x", "copies": {"truncations": 2}}), end="")
    name = "x"
    <BLANKLINE>
    [copies]
    truncations = 2
    """
    lines = [
        f"{key} = {_toml_value(value)}" for key, value in table.items() if not isinstance(value, Mapping)
    ]
    if place and lines:
        lines.insert(0, f"\n[{place}]")
    text = "".join(f"{line}\n" for line in lines)
    for key, value in table.items():
        if isinstance(value, Mapping):
            text += to_toml(value, f"{place}.{key}" if place else key)
    return text


def _without_retired(kind: type[Any], table: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The table without its retired keys, which must hold the values that are now constants."""
    retired: Mapping[str, object] = getattr(kind, "RETIRED", {})
    for key in sorted(retired.keys() & set(table)):
        _check_retired(table[key], retired[key], f"{name}.{key}")
    return {key: value for key, value in table.items() if key not in retired}


def _check_retired(value: Any, last: Any, name: str) -> None:
    """Refuse a value of a retired setting other than its last one; a table may state any part of it."""
    if isinstance(value, Mapping) and isinstance(last, Mapping):
        for key, part in value.items():
            if key not in last:
                raise SettingsError(f"{name}.{key}: no such setting; remove it")
            _check_retired(part, last[key], f"{name}.{key}")
        return
    same = tuple(value) if isinstance(value, list) else value
    if same != last or isinstance(same, bool) != isinstance(last, bool):
        raise SettingsError(
            f"{name} = {value!r}: this setting is gone, its value is always {last!r}; "
            f"remove it or set it to that"
        )


def _is_needed(one: Field[Any]) -> bool:
    return one.init and one.default is MISSING and one.default_factory is MISSING


def _plain(table: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            out[key] = _plain(value)
        elif isinstance(value, tuple):
            out[key] = list(value)
        elif value is not None:
            out[key] = value
    return out


def _coerce(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise SettingsError(f"{where} = {value!r}: expected a table")
        return from_table(hint, value, where)
    if origin is Literal:
        if value not in get_args(hint):
            raise SettingsError(f"{where} = {value!r}: choose one of {list(get_args(hint))}")
        return value
    if origin in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return None if value is None else _coerce(kinds[0], value, where)
    if origin is tuple:
        item, n = get_args(hint)[0], len(get_args(hint))
        if not isinstance(value, list | tuple):
            raise SettingsError(f"{where} = {value!r}: expected a list")
        if Ellipsis not in get_args(hint) and len(value) != n:
            raise SettingsError(f"{where} = {list(value)}: expected a list of {n}")
        return tuple(_coerce(item, part, where) for part in value)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise SettingsError(f"{where} = {value!r}: expected a table")
        item = get_args(hint)[1]
        return {key: _coerce(item, part, f"{where}.{key}") for key, part in value.items()}
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise SettingsError(f"{where}: an integer too large for a number of 64 bits") from None
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise SettingsError(f"{where} = {value!r}: expected {hint.__name__}")
    return value


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml_value(item) for item in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace(
            "\x7f", "\\u007f"
        )  # TOML escapes alike, but this
    return repr(value)
