"""`repr` of light curves, in terminals and notebooks."""

from xml.etree import ElementTree

import numpy as np
import pytest

from firstlight.lightcurves import LightCurves
from firstlight.notebook import N_ROWS

NASTY = "<script>alert(1)</script>\x1b[2J\n"


@pytest.fixture
def nasty():
    """Two objects, one without observations, with an id that is no plain text."""
    return LightCurves(
        object_id=[NASTY, "empty"],
        offsets=[0, 3, 3],
        mjd=[60000.0, 60001.5, 60009.0],
        band=[1, 1, 2],
        flux=[5.0, -20.0, 900.0],
        flux_err=[2.0, 2.0, 2.0],
        redshift=[0.5, np.nan],
    )


def test_many_light_curves_state_numbers_bands_span_and_known_values(sample):
    text = repr(sample)
    first = (
        f"LightCurves: 202 objects, {len(sample.mjd):,} observations, bands ugrizy, MJD 59580.04 to 60674.35"
    )
    assert text.startswith(first)
    assert f"redshift {np.isfinite(sample.redshift).sum()}" in text
    assert f"... {202 - N_ROWS} more" in text
    assert len(text.splitlines()) == N_ROWS + 4


def test_one_light_curve_has_a_sparkline_per_band(sample):
    curve = sample[0]
    assert repr(curve).startswith(f"LightCurve '{curve.object_id}': {len(curve)} observations")
    assert sum(line.endswith("|") for line in repr(curve).splitlines()) == len(np.unique(curve.band))
    page = ElementTree.fromstring(curve._repr_html_())
    assert len(page.findall(".//svg")) == len(np.unique(curve.band))


def test_foreign_ids_neither_run_nor_forge_lines(nasty):
    for shown in (nasty, nasty[0]):
        assert "\x1b" not in repr(shown)
        assert "<script>" not in shown._repr_html_()
        assert "<script>" in "".join(ElementTree.fromstring(shown._repr_html_()).itertext())
    assert len(repr(nasty).splitlines()) == 5


def test_nothing_to_show_is_shown_as_nothing(nasty):
    assert repr(nasty[1]).splitlines() == [
        "LightCurve 'empty': 0 observations, 0 detections, not dereddened, fluxes in nJy",
        "  known values: none",
    ]
    assert repr(LightCurves.empty()).startswith("LightCurves: 0 objects, 0 observations, ")
    for shown in (nasty[1], LightCurves.empty()):
        ElementTree.fromstring(shown._repr_html_())
