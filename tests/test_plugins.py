"""Faults of other packages become errors of firstlight with their names."""

from importlib.metadata import EntryPoint

import pytest

from firstlight.errors import BundleError, DataError, SettingsError
from firstlight.plugins import errors_of, made, offered


class Fine:
    def __init__(self, value):
        self.value = value


def point(value):
    return EntryPoint(value, value, "group")


def test_an_entry_point_of_a_group_is_found_by_its_value(monkeypatch):
    points = [point("a.b:C"), point("a.b:D")]
    monkeypatch.setattr("firstlight.plugins.entry_points", lambda group: points if group == "x" else [])
    assert list(offered("x")) == ["a.b:C", "a.b:D"]
    assert offered("y") == {}


def test_an_object_is_made_with_its_arguments():
    assert made(point(f"{__name__}:Fine"), "thing", 3).value == 3


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_module_at_all:Class", "cannot be imported: ModuleNotFoundError"),
        (f"{__name__}:Nowhere", "cannot be imported: AttributeError"),
        (f"{__name__}:Fine", "cannot be made: TypeError"),
    ],
)
def test_a_class_that_cannot_be_made_is_a_wrong_setting(value, words):
    with pytest.raises(SettingsError, match=f"thing '{value}' {words}"):
        made(point(value), "thing")


def test_errors_have_one_line_of_bounded_length_and_ours_pass():
    with pytest.raises(DataError) as caught, errors_of("thing"):
        raise RuntimeError("a\nb\x1b" * 1000)
    assert str(caught.value).startswith("thing: RuntimeError: a\\nb\\x1b")
    assert len(str(caught.value)) < 500
    with pytest.raises(BundleError, match=r"^as it is$"), errors_of("thing"):
        raise BundleError("as it is")
