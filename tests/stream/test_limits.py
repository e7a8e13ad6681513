"""Limits: their defaults hold real alerts, and a value that is none is refused."""

from dataclasses import fields

import pytest

from firstlight.errors import SettingsError
from firstlight.stream.limits import DEFAULT_LIMITS, Limits


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1"])
def test_a_limit_is_a_whole_number_from_one(name, value):
    with pytest.raises(SettingsError, match=f"limits: {name} is"):
        Limits(**{name: value})


def test_a_cut_letter_is_smaller_than_a_whole_one():
    assert DEFAULT_LIMITS.letter_start_bytes < DEFAULT_LIMITS.letter_bytes <= DEFAULT_LIMITS.message_bytes
