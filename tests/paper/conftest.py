"""A reproduction at the size of a test: the sample's objects, a few simulated ones, two folds, every part."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests._locked import locked

from firstlight.classify.lightgbm import LightGBMConfig
from firstlight.experiments.study import TuneConfig
from firstlight_paper.context import Context
from firstlight_paper.convnet import ConvnetConfig
from firstlight_paper.experiment import compute
from firstlight_paper.models import PLAIN
from firstlight_paper.objects import assemble
from firstlight_paper.parts import (
    PARTS,
    baselines,
    cost,
    gaps,
    imbalance,
    new_survey,
    noise,
    overlap,
    per_class,
    preprocessing,
    rarity,
    simulated,
    table_1,
    training,
    tuning,
)
from firstlight_paper.scale import Scale

TINY = Scale(name="tiny", n_real=150, n_simulated=10, n_folds=2, encoder_epochs=2, preset="tests/tiny.toml")
WEAK = replace(PLAIN, n_estimators=4)
TREES = LightGBMConfig(rounds=4, learning_rate=0.3, max_bin=15)

#: Amounts of every part that has some.
AMOUNTS = {
    "protocol": per_class.Amount(repeats=2, stages=4, most=300),
    "simulated": simulated.Amount(most=6, repeats=2, n_population=8, n_draws=2),
    "preprocessing": preprocessing.Amount(epochs=1, folds=1),
    "table-1": table_1.Amount(latents=(1, 2, 6, 8, 25), folds=2, epochs=1, leaky_rows=300, booster=WEAK),
    "training": training.Amount(epochs=1, seeds=2, values={"layers": (1,), "decay": ("no",)}),
    "tuning": tuning.Amount(
        study=TuneConfig(
            n_trials=5, inner_folds=2, startup=4, ranges={"n_estimators": (3, 6), "max_depth": (1, 2)}
        ),
        leaky_rows=300,
    ),
    "baselines": baselines.Amount(
        trees=5, convnet=ConvnetConfig(channels=8, hidden=8, epochs=2), boosting=WEAK, leaky_rows=300
    ),
    "imbalance": imbalance.Amount(boosting=WEAK, lightgbm=TREES, lightgbm_folds=1, leaky_rows=300),
    "per-class": per_class.Amount(repeats=1, stages=4),
    "overlap": overlap.Amount(days=(8.0,), retrained=1, shares=(0.0, 0.5, 1.0), config=TREES),
    "noise": noise.Amount(ratios=(1.0, 0.4, 0.15)),
    "gaps": gaps.Amount(dropped=(0.5, 0.9), block=(40.0,), bands=("ugizy", "gri", "gr")),
    "cost": cost.Amount(rounds=(1, 2, 4), bits=(32, 4), folds=1, booster=TREES),
    "rarity": rarity.Amount(sizes=(5, 10, 0), leaky_sizes=(5, 0), folds=1, leaky_rows=300, config=TREES),
    "new-survey": new_survey.Amount(n_test=24, n_random=40, labels=(10, 20), draws=2, rounds=3),
}
TINY_PARTS = tuple(replace(part, quick=AMOUNTS.get(part.name, part.quick)) for part in PARTS)
WIDTH = {"Ia": 12.0, "II": 40.0, "Ib": 8.0}


@pytest.fixture(scope="session")
def tiny_objects(sample, sample_labels):
    """150 real objects and ten each of CaRT, ILOT, PISN in two folds."""
    return assemble(sample, sample_labels, TINY, 0)


@pytest.fixture(scope="session")
def snpcc_folder(shared_folder):
    """A hundred bumps whose width shows the type, as the public Parquet files have them."""
    rng = np.random.default_rng(0)
    folder = shared_folder / "snpcc"
    types = rng.permutation(np.repeat(["Ia", "II", "Ib"], [30, 50, 20]))
    time = 56_200.0 + np.arange(0.0, 120.0, 5.0)
    parts = []
    for k, kind in enumerate(types):
        flux = 60.0 * np.exp(-0.5 * ((time - 56_250.0) / WIDTH[kind]) ** 2)
        for shift, band in enumerate("griz"):
            fluxes = {"fluxcal": flux + rng.normal(0.0, 3.0, len(time)), "fluxcalerr": 3.0}
            where = {"snid": 1_000_000 + k, "mjd": time + 0.01 * shift, "band": band}
            parts.append(pd.DataFrame(where | fluxes))
    objects = {
        "snid": 1_000_000 + np.arange(len(types)),
        "sntype": np.where(np.arange(len(types)) < 25, 1, -9),
        "sim_type": types,
        "host_photoz": rng.uniform(0.2, 0.6, len(types)),
    }
    with locked(shared_folder / "snpcc.lock"):
        if not folder.exists():
            folder.mkdir()
            pd.concat(parts).to_parquet(folder / "lightcurves.parquet", index=False)
            described = pd.DataFrame(objects | {"z_spec": -9.0, "mwebv": 0.02})
            described.to_parquet(folder / "metadata.parquet", index=False)
    return folder


@pytest.fixture(scope="session")
def tiny_context(tiny_objects, snpcc_folder, shared_folder, pytestconfig):
    """A context over `tiny_objects`; the preset is a file of the tests."""
    pytest.importorskip("torch")
    pytest.importorskip("optuna")
    scale = replace(TINY, preset=str(pytestconfig.rootpath / "tests" / "tiny.toml"))
    folder = shared_folder / "reproduction"
    return Context(folder=folder, scale=scale, snpcc=snpcc_folder, given=tiny_objects)


@pytest.fixture(scope="session")
def tiny_run(tiny_context, shared_folder):
    """Results of all parts, computed once for all processes; treat them and their folder as read-only."""
    with locked(shared_folder / "reproduction.lock"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The number of unique classes")
        return compute(tiny_context, TINY_PARTS)
