"""TOML tables to frozen dataclasses."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import SettingsError
from firstlight.pipeline import PipelineConfig, load_preset
from firstlight.pipeline.config import preset_names
from firstlight.settings import from_table, to_table, to_toml


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.1
    kind: Literal["fast", "slow"] = "fast"


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str = "x"
    n: int = 3
    on: bool = True
    limit: float | None = None
    sizes: tuple[int, ...] = (1, 2)
    inner: Inner = field(default_factory=Inner)


def test_omitted_fields_keep_their_defaults():
    assert from_table(Outer, {}) == Outer()


def test_nested_tables_fill_nested_dataclasses():
    table = tomllib.loads('n = 4\nsizes = [5]\nlimit = 2\n[inner]\nkind = "slow"\nrate = 1\n')
    settings = from_table(Outer, table)
    assert settings == Outer(n=4, sizes=(5,), limit=2.0, inner=Inner(kind="slow", rate=1.0))
    assert isinstance(settings.inner.rate, float)
    assert isinstance(settings.limit, float)


def test_an_unknown_key_is_an_error_that_names_the_known_ones():
    with pytest.raises(
        SettingsError, match=r"unknown setting\(s\) \['m'\] in \[Outer\]; known: \['name', 'n'"
    ):
        from_table(Outer, {"m": 1})


def test_an_unknown_key_in_a_nested_table_names_the_table():
    with pytest.raises(SettingsError, match=r"in \[top\.inner\]"):
        from_table(Outer, {"inner": {"rat": 1.0}}, "top")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"n": "4"}, "Outer.n = '4': expected int"),
        ({"n": True}, "expected int"),
        ({"n": 1.5}, "expected int"),
        ({"name": 1}, "expected str"),
        ({"on": 1}, "expected bool"),
        ({"sizes": 3}, "expected a list"),
        ({"sizes": ["a"]}, "expected int"),
        ({"inner": 3}, "expected a table"),
        ({"inner": {"kind": "medium"}}, r"choose one of \['fast', 'slow'\]"),
        ({"inner": {"rate": "0.1"}}, "Outer.inner.rate = '0.1': expected float"),
    ],
)
def test_a_wrong_type_is_an_error_with_its_place(table, message):
    with pytest.raises(SettingsError, match=message):
        from_table(Outer, table)


@dataclass(frozen=True, kw_only=True)
class Needy:
    path: str
    range: tuple[float, float] = (0.0, 1.0)


def test_a_missing_needed_setting_is_an_error():
    with pytest.raises(SettingsError, match=r"setting\(s\) \['path'\] are missing in \[top\]"):
        from_table(Needy, {}, "top")


def test_a_list_of_another_length_than_the_setting_has_is_an_error():
    assert from_table(Needy, {"path": "", "range": [1, 2]}).range == (1.0, 2.0)
    with pytest.raises(SettingsError, match=r"range = .* expected a list of 2"):
        from_table(Needy, {"path": "", "range": [1.0]})


@dataclass(frozen=True, kw_only=True)
class Slimmer:
    RETIRED: ClassVar[Mapping[str, object]] = {
        "depth": 4,
        "grid": (1.0, 2.0),
        "fast": True,
        "cuts": {"sigma": 20.0, "night": 0.5},
    }

    n: int = 3


@dataclass(frozen=True, kw_only=True)
class Holder:
    slimmer: Slimmer = field(default_factory=Slimmer)


def test_a_retired_setting_with_its_last_value_is_ignored():
    table = {"n": 5, "depth": 4, "grid": [1.0, 2.0], "fast": True}
    assert from_table(Slimmer, table) == Slimmer(n=5)
    assert from_table(Holder, {"slimmer": table}) == Holder(slimmer=Slimmer(n=5))
    assert table["depth"] == 4


@pytest.mark.parametrize("cuts", [{}, {"sigma": 20.0}, {"night": 0.5, "sigma": 20.0}])
def test_any_part_of_a_retired_table_is_ignored(cuts):
    assert from_table(Slimmer, {"cuts": cuts}) == Slimmer()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"depth": 5}, r"Slimmer.depth = 5: this setting is gone, its value is always 4; remove it"),
        ({"grid": [1.0]}, r"Slimmer.grid = \[1.0\]: .*always \(1.0, 2.0\)"),
        ({"fast": 1}, r"Slimmer.fast = 1: .*always True"),
        ({"cuts": {"sigma": 21.0}}, r"Slimmer.cuts.sigma = 21.0: .*always 20.0"),
        ({"cuts": {"foo": 2}}, r"Slimmer.cuts.foo: no such setting"),
        ({"cuts": 3}, r"Slimmer.cuts = 3: .*always"),
    ],
)
def test_a_retired_setting_with_another_value_is_an_error_that_names_key_and_value(table, message):
    with pytest.raises(SettingsError, match=message):
        from_table(Slimmer, table)


def test_a_retired_setting_is_not_written():
    assert to_table(Slimmer()) == {"n": 3}


@given(
    st.text(), st.integers(), st.booleans(), st.none() | st.floats(allow_nan=False), st.lists(st.integers())
)
def test_settings_survive_the_way_through_a_table(name, n, on, limit, sizes):
    settings = Outer(name=name, n=n, on=on, limit=limit, sizes=tuple(sizes))
    assert from_table(Outer, to_table(settings)) == settings


@given(
    name=st.text(st.characters(blacklist_categories=["Cs"])),
    n=st.integers(-(2**60), 2**60),
    on=st.booleans(),
    limit=st.floats(allow_nan=False),
    sizes=st.lists(st.integers(0, 9), max_size=4),
)
def test_settings_survive_the_way_through_toml(name, n, on, limit, sizes):
    settings = Outer(name=name, n=n, on=on, limit=limit, sizes=tuple(sizes))
    assert from_table(Outer, tomllib.loads(to_toml(to_table(settings)))) == settings


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_survives_the_way_through_toml(name):
    preset = load_preset(name)
    assert from_table(PipelineConfig, tomllib.loads(to_toml(to_table(preset)))) == preset
