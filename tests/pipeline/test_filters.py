"""The filters that a bundle was trained on, and objects that were observed through others."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight import LightCurves, Pipeline
from firstlight.bands import BANDS, find_filter, read_filters
from firstlight.errors import BundleError
from firstlight.pipeline import load_preset
from firstlight.pipeline.filters import (
    FILTERS,
    added_filters,
    filters_warning,
    saved_filters,
    seen_surveys,
    through_others,
    trained_filters,
)

_SURVEYS = st.sampled_from(["", "ztf", "ps1", "ps1+ztf", "johnson", "uvot", "skymapper"])


def _curves(*objects: tuple[str, str]) -> LightCurves:
    """An object per survey and bands."""
    bands = [band for _, names in objects for band in names]
    n = len(bands)
    curves = LightCurves(
        object_id=np.array([str(k) for k in range(len(objects))]),
        offsets=np.cumsum([0, *(len(names) for _, names in objects)]),
        mjd=np.arange(n, dtype=np.float64),
        band=np.array([BANDS.index(band) for band in bands], np.int8),
        flux=np.full(n, 900.0, np.float32),
        flux_err=np.full(n, 30.0, np.float32),
        detected=np.ones(n, np.bool_),
    )
    return curves.with_columns(survey=np.array([survey for survey, _ in objects]))


def test_the_shipped_bundles_name_lsst_and_the_surveys_that_observed_again():
    for name in ("default", "fast"):
        filters = Pipeline.load(name).filters
        assert {"lsst", "ztf", "ps1", "des", "sdss", "atlas"} <= seen_surveys(filters)
        assert filters["ztf_g"] == "g"
        assert all(find_filter(label).band == BANDS.index(band) for label, band in filters.items())


@given(
    objects=st.lists(st.tuples(_SURVEYS, st.sets(st.sampled_from("gri"), min_size=1)), min_size=1, max_size=5)
)
def test_filters_of_the_training_set_are_known(objects):
    curves = _curves(*((survey, "".join(sorted(bands))) for survey, bands in objects))
    filters = trained_filters(curves, load_preset("seed"))
    other, names = through_others(curves, filters)
    assert not other.any()
    assert names == []
    assert filters_warning(curves, filters) is None


def test_objects_through_other_filters_are_counted_and_named():
    trained = trained_filters(_curves(("ztf", "gr")), load_preset("seed"))
    assert trained == {"ztf_g": "g", "ztf_r": "r"}
    curves = _curves(("ztf", "gr"), ("ztf", "gri"), ("skymapper", "r"), ("", "g"), ("mine", "g"))
    other, names = through_others(curves, trained)
    assert other.tolist() == [False, True, True, True, True]
    assert names == ["lsst_g", "mine", "skymapper_r", "ztf_i"]
    warning = filters_warning(curves, trained)
    assert warning is not None
    assert warning.startswith(
        "4 of 5 objects were observed through filters that this bundle was not trained on"
    )


def test_one_known_survey_of_several_is_enough_for_a_band():
    trained = trained_filters(_curves(("ztf", "gr")), load_preset("seed"))
    other, _ = through_others(_curves(("ps1+ztf", "gr"), ("ps1+ztf", "gz")), trained)
    assert other.tolist() == [False, True]


def test_filters_of_labels_and_of_a_stated_survey_are_added():
    found = added_filters({"lsst_g": "g"}, _curves(("ztf", "r")), ["atlas_o"])
    assert list(found) == [one.label for one in read_filters() if one.label in found]
    assert found == {"lsst_g": "g", "ztf_r": "r", "atlas_o": "r"}


def test_a_manifest_without_filters_means_those_of_its_settings():
    config = load_preset("default")
    plain = replace(config, copies=replace(config.copies, reobserved=0))
    assert saved_filters({}, plain) == {f"lsst_{band}": band for band in BANDS}
    mine = replace(config, reobserve=replace(config.reobserve, surveys={"nowhere.toml": 1.0, "ztf": 1.0}))
    assert seen_surveys(saved_filters({}, mine)) == {"lsst", "ztf"}


@pytest.mark.parametrize("stated", [["g"], {"ztf_g": "green"}, {"ztf_g": ["g"]}, "ztf_g"])
def test_a_manifest_with_filters_in_another_form_is_refused(stated):
    with pytest.raises(BundleError, match="no table of filters"):
        saved_filters({FILTERS: stated}, load_preset("seed"))


def test_a_trained_bundle_names_its_filters(tiny_fast: Pipeline):
    assert tiny_fast.info[FILTERS] == tiny_fast.filters
    assert tiny_fast.filters["lsst_r"] == "r"
    assert "lsst" in tiny_fast.surveys


def test_no_object_is_unknown_where_there_is_none():
    other, names = through_others(LightCurves.empty(), {"lsst_g": "g"})
    assert other.shape == (0,)
    assert names == []
