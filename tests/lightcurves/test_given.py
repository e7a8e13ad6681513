"""`as_light_curves`: whatever a person holds, the light curves are the same."""

import numpy as np
import pytest
from tests._make import assert_same_curves

from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves, as_light_curves

WAYS = {
    "ours": lambda curves: curves,
    "many": list,
    "generator": iter,
    "DataFrames": lambda curves: curves.to_pandas(),
    "Arrow": lambda curves: curves.to_arrow(),
    "astropy": lambda curves: curves.to_astropy(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dereddened", [True, False])
def test_every_form_gives_the_same_light_curves(sample, way, dereddened):
    curves = sample.take(np.arange(20)).with_columns(dereddened=dereddened)
    assert_same_curves(as_light_curves(WAYS[way](curves)), curves)


def test_a_nested_frame_gives_the_same_light_curves(sample):
    pytest.importorskip("nested_pandas")
    curves = sample.take(np.arange(20))
    frame = curves.to_nested("observations")
    assert_same_curves(as_light_curves(frame), curves)
    assert_same_curves(LightCurves.from_nested(frame), curves)
    assert len(as_light_curves(frame.iloc[:0])) == 0


def test_one_light_curve_one_table_and_one_frame_are_light_curves_of_one_object(sample):
    one = sample.take([3])
    assert_same_curves(as_light_curves(sample[3]), one)
    assert_same_curves(as_light_curves(one.to_astropy()[0]), one)
    rows, _ = one.to_pandas()
    np.testing.assert_array_equal(as_light_curves(rows).flux, one.flux)


def test_nothing_is_no_light_curves():
    assert len(as_light_curves([])) == len(as_light_curves(LightCurves.empty())) == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("curves.csv", "no light curves in str.*read a file with firstlight.read"),
        (np.zeros(3), "no light curves in ndarray: give LightCurves, LightCurve or several"),
        ({"flux": [1.0]}, "no light curves in dict"),
        (3, "no light curves in int"),
        ([1.0, "a"], "no light curves in a sequence of float, str"),
    ],
)
def test_anything_else_is_refused_with_the_accepted_types(given, words):
    with pytest.raises(DataError, match=words):
        as_light_curves(given)


def test_single_light_curves_that_do_not_fit_each_other_are_refused(sample):
    raw = sample.take([1]).with_columns(dereddened=False)[0]
    with pytest.raises(DataError, match="dereddened fluxes with raw ones"):
        as_light_curves([sample[0], raw])
    with pytest.raises(DataError, match="occurs 2 times"):
        as_light_curves([sample[0], sample[0]])
