"""The panels of Figure 1 and the choice of their objects."""

import numpy as np
import pytest
from tests._make import drawable_curves

from firstlight.cosmology import distance_modulus
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves
from firstlight.preprocess import asinh_magnitude
from firstlight.report.lightcurves import BAND_MARKER
from firstlight_paper.page.figure_1 import FIGURE_1_CLASSES, figure_1_objects, plot_figure_1


@pytest.fixture
def curves() -> LightCurves:
    return drawable_curves()


LABELS = np.array(["SNIa", "AGN", "SLSN-I", "EB"])


def points(figure, panel=0):
    """Coordinates of all markers of a panel: time, height."""
    lines = [line for line in figure.axes[panel].lines if line.get_marker() in BAND_MARKER.values()]
    return np.concatenate([line.get_xydata() for line in lines])


def test_figure_1_has_three_panels_with_magnitudes_rising_downwards(curves):
    figure = plot_figure_1(curves, LABELS)
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == ["SN Ia, z = 0.20\nobject a", "AGN, z = 0.50\nobject b", "SLSN-I, z = 1.00\nobject c"]
    for panel in figure.axes:
        bottom, top = panel.get_ylim()
        assert bottom > top
    assert figure.axes[0].get_ylabel() == "absolute AB magnitude"


def test_figure_1_shows_significant_fluxes_in_absolute_magnitudes(curves):
    curve = curves[0]
    keep = (curve.flux > 3 * curve.flux_err) & (np.abs(curve.mjd - curve.trigger_mjd) < 150)
    expected = asinh_magnitude(curve.flux[keep], curve.band[keep]) - distance_modulus(curve.redshift)
    drawn = points(plot_figure_1(curves, LABELS))
    np.testing.assert_allclose(np.sort(drawn[:, 1]), np.sort(expected), rtol=1e-6)


def test_figure_1_draws_the_objects_named(curves, sample, sample_labels):
    figure = plot_figure_1(curves, LABELS, objects=["c", "b", "a"])
    assert figure.axes[0].get_title(loc="left").endswith("object c")
    assert len(plot_figure_1(sample, sample_labels).axes) == 3
    with pytest.raises(DataError, match="2 objects were named"):
        plot_figure_1(curves, LABELS, objects=["c", "b"])


def test_figure_1_prefers_an_event_seen_to_rise_and_fall(curves):
    early = curves.take([0]).upto_phase(5.0).with_columns(object_id=np.array(["early"]))
    both = LightCurves.concatenate([early, curves])
    figure = plot_figure_1(both, np.append("SNIa", LABELS))
    assert figure.axes[0].get_title(loc="left").endswith("object a")


def test_figure_1_says_which_class_it_lacks(curves):
    with pytest.raises(DataError, match="no AGN with a host redshift"):
        plot_figure_1(curves, np.array(["SNIa", "EB", "SLSN-I", "EB"]))
    with pytest.raises(DataError, match="no SLSN-I"):
        plot_figure_1(curves.with_columns(redshift=np.array([0.2, 0.5, np.nan, np.nan])), LABELS)
    with pytest.raises(DataError, match="labels of shape"):
        plot_figure_1(curves, LABELS[:2])


def test_the_named_objects_of_figure_1_are_those_that_it_draws(sample, sample_labels):
    names = figure_1_objects(sample, sample_labels)
    assert [sample_labels[sample.object_id == name].item() for name in names] == list(FIGURE_1_CLASSES)
    titles = [panel.get_title(loc="left") for panel in plot_figure_1(sample, sample_labels).axes]
    assert all(name in title for name, title in zip(names, titles, strict=True))
