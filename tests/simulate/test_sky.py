"""Transients as surveys find them: light, weights and luminosities."""

import numpy as np
import pytest

from firstlight.simulate.sky import SKY_POPULATIONS, draw_sky_models
from firstlight.simulate.spectrum import flux_density, magnitude_of
from firstlight.taxonomy import CLASSES


@pytest.mark.parametrize("name", sorted(SKY_POPULATIONS))
def test_models_shine_after_the_explosion_and_weigh_one_together(name):
    models = draw_sky_models(SKY_POPULATIONS[name], 60, np.random.default_rng(0))
    assert name in CLASSES
    assert 20 <= len(models) <= 60
    light = models.evolution.luminosity
    assert np.isfinite(light).all()
    assert (light >= 0.0).all()
    assert models.weight.sum() == pytest.approx(1.0)
    peak_day = models.evolution.t[np.argmax(light, axis=1)]
    assert (models.trigger > 0.0).all()
    assert (models.trigger < peak_day + 30.0).all()


def test_superluminous_supernovae_have_the_luminosities_that_were_observed():
    kind = SKY_POPULATIONS["SLSN-I"]
    models = draw_sky_models(kind, 600, np.random.default_rng(1))
    evolution = models.evolution
    flux = flux_density(evolution.luminosity, evolution.state, 4770.0, spectrum=kind.population.spectrum)
    magnitude = magnitude_of(flux.max(axis=1))
    order = np.argsort(magnitude)
    total = np.cumsum(models.weight[order])
    low, median, high = (magnitude[order][np.searchsorted(total, q)] for q in (0.16, 0.5, 0.84))
    wanted, bright, faint = kind.peaks
    assert median == pytest.approx(wanted, abs=0.25)
    assert wanted - low == pytest.approx(bright, abs=0.3)
    assert high - wanted == pytest.approx(faint, abs=0.3)


def test_disruptions_are_bluer_than_supernovae_a_month_after_the_peak():
    colours = {}
    for name in ("SLSN-I", "TDE"):
        kind = SKY_POPULATIONS[name]
        models = draw_sky_models(kind, 200, np.random.default_rng(2))
        evolution = models.evolution
        at = np.argmax(evolution.luminosity, axis=1)
        late = np.searchsorted(evolution.t, evolution.t[at] + 30.0)
        rows = np.arange(len(models))
        light, state = evolution.luminosity[rows, late], evolution.state[rows, late]
        blue, red = (
            magnitude_of(flux_density(light, state, w, spectrum=kind.population.spectrum))
            for w in (4770.0, 6200.0)
        )
        colours[name] = np.median(blue - red)
    assert colours["TDE"] < -0.1 < colours["SLSN-I"]
