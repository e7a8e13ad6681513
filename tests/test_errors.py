"""The tree of errors is the one that the module draws."""

import inspect
import re
from pathlib import Path

import pytest

import firstlight
from firstlight import errors
from firstlight.errors import DataError, FirstlightError, missing_extra

SOURCES = Path(errors.__file__).parent.parent


def public_errors():
    return [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", public_errors(), ids=lambda kind: kind.__name__)
def test_every_error_is_ours_and_is_documented(kind):
    assert issubclass(kind, FirstlightError)
    assert kind.__doc__


@pytest.mark.parametrize("kind", public_errors(), ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_drawing(kind):
    assert re.search(rf"\b{kind.__name__}\b", errors.__doc__)


def test_all_errors_are_exported_in_order():
    defined = {
        name
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if value.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__)
    assert errors.__all__ == sorted(errors.__all__)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        ("DataError", ValueError),
        ("SettingsError", ValueError),
        ("FetchError", OSError),
        ("NotFittedError", RuntimeError),
        ("StateError", OSError),
        ("BrokerError", OSError),
        ("MissingExtraError", ImportError),
    ],
)
def test_errors_can_be_caught_as_the_builtin_that_they_are(kind, builtin):
    assert issubclass(getattr(errors, kind), builtin)


def test_bad_columns_bands_and_classes_are_data_errors():
    for name in ("MissingColumnError", "UnknownBandError", "UnknownClassError"):
        assert issubclass(getattr(errors, name), DataError)


def test_a_missing_extra_is_named_with_the_command_that_installs_it():
    error = missing_extra("the local broker", ["a", "b"], "demo")
    assert str(error) == 'the local broker needs a, b; install with: pip install "firstlight[demo]"'


def test_every_install_hint_of_an_extra_is_made_in_one_place():
    hints = re.compile(r"pip install\W+firstlight\[")
    paths = [*(SOURCES / "firstlight").rglob("*.py"), *(SOURCES / "firstlight_paper").rglob("*.py")]
    found = {path.name for path in paths if hints.search(path.read_text(encoding="utf-8"))}
    assert found == {"errors.py"}


def test_a_notebook_shows_the_line_of_the_caller_and_the_message():
    with pytest.raises(DataError) as caught:
        firstlight.LightCurves.empty()["\x1b[2J615"]
    shown = caught.value._render_traceback_()
    assert shown[0].startswith(f"{__file__}, line ")
    assert shown[1].strip() == 'firstlight.LightCurves.empty()["\\x1b[2J615"]'
    assert shown[-1] == "DataError: no object '\\x1b[2J615' among 0 light curves: none"


def test_the_message_of_an_error_acts_on_no_terminal_in_a_notebook():
    assert DataError("a\x1b[2J\nb")._render_traceback_() == ["DataError: a\\x1b[2J\\nb"]
