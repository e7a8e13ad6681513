"""Search spaces: ranges that make sense."""

import math

import pytest

from firstlight.classify import SearchSpace, Tunable
from firstlight.errors import SettingsError


@pytest.mark.parametrize(
    "settings",
    [
        {"low": 1.0, "high": 1.0},
        {"low": 2.0, "high": 1.0},
        {"low": 0.0, "high": 1.0, "log": True},
        {"low": 1.5, "high": 3.0, "integer": True},
        {"low": 1.0, "high": math.inf},
        {"low": math.nan, "high": 1.0},
        {"low": 1, "high": 3, "least": 2},
    ],
)
def test_a_range_without_sense_is_refused(settings):
    with pytest.raises(SettingsError, match="depth from"):
        Tunable(name="depth", words="maximum depth", **settings)


def test_a_setting_is_named_one_time():
    one = Tunable(name="depth", words="maximum depth", low=1, high=3)
    with pytest.raises(SettingsError, match="twice"):
        SearchSpace(settings=(one, one))
