"""Augmentation of the encoder's training set: cut short, thinned, noisier, without redshift."""

import numpy as np

from firstlight.encoder.config import TrainConfig
from firstlight.lightcurves import LightCurves

_FIRST_CUT, _LAST_CUT = 0.3, 400.0  # days since trigger; cuts are drawn log-uniformly between


def augment(curves: LightCurves, config: TrainConfig, rng: np.random.Generator) -> LightCurves:
    """Change a random part of the objects; order and triggers stay.

    `config` gives the fractions and strengths: `whole`, `cut`, `drop`, `noise`, `hide_redshift`.
    """
    n = len(curves)
    changed = rng.random(n) >= config.whole
    limit = np.full(n, np.nan)
    is_cut = changed & (rng.random(n) < config.cut)
    days = np.exp(rng.uniform(np.log(_FIRST_CUT), np.log(_LAST_CUT), n))
    limit[is_cut] = (curves.trigger_mjd + days)[is_cut]

    owner = curves.object_index
    share = np.where(changed, rng.uniform(0.0, config.drop, n), 0.0)
    keep = rng.random(len(curves.mjd)) >= share[owner]
    keep |= curves.mjd == curves.trigger_mjd[owner]
    out = curves.keep(keep).upto_mjd(limit)

    owner = out.object_index
    extra = np.where(changed, rng.uniform(0.0, config.noise, n), 0.0)[owner]
    noise = (extra * rng.standard_normal(len(out.mjd))).astype(np.float32) * out.flux_err
    flux_err = out.flux_err * np.sqrt(1.0 + extra**2).astype(np.float32)

    hidden = changed & (rng.random(n) < config.hide_redshift)
    redshift = np.where(hidden, np.float32(np.nan), out.redshift).astype(np.float32)
    redshift_err = np.where(hidden, np.float32(np.nan), out.redshift_err).astype(np.float32)
    return out._derive(flux=out.flux + noise, flux_err=flux_err, redshift=redshift, redshift_err=redshift_err)
