"""Classifying needs no training library."""

import subprocess
import sys

from firstlight.classify import (
    GateConfig,
    GatedClassifier,
    LightGBMConfig,
    SklearnBooster,
    SklearnBoosterConfig,
)

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from firstlight.classify import load_classifier
for kind in ("gated", "seed"):
    load_classifier(kind, Path(sys.argv[1]) / kind).predict_proba(np.zeros((3, 8), np.float32))
loaded = {"lightgbm", "sklearn", "torch", "scipy.optimize", "matplotlib"} & set(sys.modules)
sys.exit(f"imported {loaded}" if loaded else 0)
"""


def test_a_loaded_classifier_predicts_without_the_libraries_that_trained_it(toy, tmp_path):
    booster = LightGBMConfig(rounds=3)
    models = {
        "gated": GatedClassifier(booster, GateConfig(booster=booster)),
        "seed": SklearnBooster(SklearnBoosterConfig(n_estimators=2)),
    }
    for kind, model in models.items():
        (tmp_path / kind).mkdir()
        model.fit(toy.rows).save(tmp_path / kind)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
