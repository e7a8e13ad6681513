"""One table of the filters of all surveys, and their spellings."""

import re

import numpy as np
import pytest
from astropy import units as u
from dust_extinction.parameter_averages import F99
from hypothesis import given
from hypothesis import strategies as st

from firstlight.bands import (
    BANDS,
    EFFECTIVE_WAVELENGTH,
    EXTINCTION_PER_EBV,
    OUTSIDE,
    SURVEYS,
    find_filter,
    find_survey,
    match_bands,
    read_filters,
    short_spellings,
)
from firstlight.bands.filters import _BARE
from firstlight.errors import UnknownBandError

FILTERS = read_filters()


def test_there_are_some_ninety_filters_each_with_a_source_and_named_once():
    assert len(FILTERS) > 80
    assert len({one.label for one in FILTERS}) == len(FILTERS)
    assert {one.survey for one in FILTERS} == set(SURVEYS)
    assert all(one.source and one.system in ("AB", "Vega") and one.wavelength > 1000 for one in FILTERS)


def test_ab_magnitudes_need_no_offset_and_vega_magnitudes_have_one():
    assert all((one.ab_offset == 0) == (one.system == "AB") for one in FILTERS)
    assert all(-0.2 < one.ab_offset < 7 for one in FILTERS)


def test_extinction_is_fitzpatrick_1999_where_that_law_reaches():
    known = [one for one in FILTERS if np.isfinite(one.extinction)]
    assert {one.survey for one in FILTERS} - {one.survey for one in known} == {"wise"}
    law = 3.1 * F99(Rv=3.1)([one.wavelength for one in known] * u.AA)
    np.testing.assert_allclose([one.extinction for one in known], law, rtol=0.005)


def test_the_lsst_rows_are_the_bands():
    lsst = [one for one in FILTERS if one.survey == "lsst"]
    assert tuple(one.name for one in lsst) == BANDS
    assert [one.band for one in lsst] == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal([one.wavelength for one in lsst], EFFECTIVE_WAVELENGTH)
    np.testing.assert_array_equal([one.extinction for one in lsst], EXTINCTION_PER_EBV)


@given(st.sampled_from(FILTERS), st.data())
def test_a_filter_is_found_by_its_survey_and_name_in_any_usual_spelling(one, data):
    survey = data.draw(st.sampled_from(SURVEYS[one.survey]))
    case = data.draw(st.sampled_from((str, str.upper, str.lower, str.title)))
    between = data.draw(st.sampled_from(("", "_", "__", "-", ":", "::", ".", " ", "/")))
    pair = [survey, one.name] if data.draw(st.booleans()) else [one.name, survey]
    assert find_filter(case(between.join(pair))) == one
    assert find_filter(case(one.name), case(survey)) == one


def test_no_spelling_has_two_meanings():
    meanings: dict[str, set[str]] = {}
    for one in FILTERS:
        for survey in SURVEYS[one.survey]:
            for spelling in (survey + one.name, one.name + survey):
                meanings.setdefault(spelling.lower(), set()).add(one.label)
    assert not {spelling: found for spelling, found in meanings.items() if len(found) > 1}
    bare = [name for names in _BARE.values() for name in names]
    assert len(bare) == len(set(bare))


@pytest.mark.parametrize(
    ("spelling", "survey", "label"),
    [
        ("g", None, "lsst_g"),
        ("Y", None, "lsst_y"),
        ("R", None, "johnson_R"),
        ("R", "ZTF", "ztf_r"),
        ("1", "ztf", "ztf_g"),
        ("fid_2", None, ""),
        ("cyan", None, "atlas_c"),
        ("bessellux", None, "johnson_U"),
        ("gaia::gbp", None, "gaia_BP"),
        ("gaia::bp", None, "gaia_BP"),
        ("r'", None, "sdss_r"),
        ("V", "Swift", "uvot_V"),
        ("ztfg", "ATLAS", "ztf_g"),
        ("g", "an unknown telescope", "lsst_g"),
        ("F625W", None, ""),
        ("x", "ztf", ""),
    ],
)
def test_names_in_use(spelling, survey, label):
    if label:
        assert find_filter(spelling, survey).label == label
    else:
        with pytest.raises(UnknownBandError, match=re.escape(repr(spelling))):
            find_filter(spelling, survey)


@pytest.mark.parametrize("name", ["G", "b", "v", "w1", "3"])
def test_a_name_with_several_meanings_is_refused_with_spellings_that_have_one(name):
    with pytest.raises(UnknownBandError, match="write") as caught:
        find_filter(name)
    for offered in re.findall(r"\b[a-z0-9]+_\w+", str(caught.value)):
        assert find_filter(offered).label
    assert match_bands([name])[0] == (int(name) if name.isdecimal() else -1)


def test_surveys_are_found_by_their_names():
    assert [find_survey(name) for name in ("Pan-STARRS", "SWIFT", "Hubble")] == ["ps1", "uvot", None]


def test_the_nearest_band_is_that_in_ln_wavelength_and_infrared_filters_have_none():
    names = ["uvot_U", "johnson_B", "V", "uvot_V", "atlas_c", "atlas_o", "gaia_RP", "J", "UVM2", "wise_W1"]
    bands = match_bands(names).tolist()
    assert bands == [0, 1, 2, 2, 1, 2, 3, OUTSIDE, OUTSIDE, OUTSIDE]


def test_short_spellings_are_found_as_the_table_finds_them():
    for spelling, band in short_spellings(("lsst", "ztf")).items():
        assert len(spelling) <= 8
        assert find_filter(spelling).band == band
