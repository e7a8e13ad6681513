"""The survey files: readable, with sources, and refused where they make no sense."""

from dataclasses import replace

import pytest

from firstlight.bands import find_filter
from firstlight.errors import SettingsError
from firstlight.surveys import load_survey, survey_names


@pytest.mark.parametrize("name", survey_names())
def test_every_survey_states_its_sources_and_sees_through_ugrizy(name):
    survey = load_survey(name)
    assert survey.name == name
    assert all(":" in source for source in survey.sources)
    assert {find_filter(one).band for one in survey.filters} <= set(range(6))


def test_the_surveys_of_the_bundles_are_there():
    assert set(survey_names()) >= {"lsst-wfd", "lsst-ddf", "ztf", "ps1", "des", "atlas", "decam", "ls4"}


def test_a_survey_of_ones_own_is_a_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'sources = ["own: none"]\nfilters = ["ztf_g"]\ndepth = [20.0]\nchance = [1.0]\n'
        "gap = 1.0\nseason = 9.0\npeak = [15.0, 18.0]\n"
    )
    assert load_survey(str(file)).name == "mine"
    file.write_text(file.read_text() + "moon = 1.0\n")
    load_survey.cache_clear()
    with pytest.raises(SettingsError, match="moon"):
        load_survey(str(file))


def test_a_survey_that_is_not_there_is_refused_with_the_names():
    with pytest.raises(SettingsError, match="lsst-wfd"):
        load_survey("hubble")


@pytest.mark.parametrize(
    "change",
    [
        {"depth": (20.0,)},
        {"chance": (0.5, 1.5)},
        {"peak": (19.0, 15.0)},
        {"gap": 0.0},
        {"filters": ("ztf_g", "ztf_q")},
        {"filters": ("ztf_g", "wise_W1")},
        {"underestimate": 0.5},
        {"sources": ()},
        {"gap": float("nan")},
        {"depth": (20.0, float("inf"))},
    ],
    ids=str,
)
def test_an_impossible_value_is_refused_with_the_survey(change):
    with pytest.raises(SettingsError, match="survey ztf"):
        replace(load_survey("ztf"), **change)
