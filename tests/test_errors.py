"""The tree of errors is the one that the module draws."""

import inspect
import re

import pytest

from firstlight import errors
from firstlight.errors import DataError, FirstlightError


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
