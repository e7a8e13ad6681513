"""Contribution of each part of the encoder of preset `seed`: six unsupervised latents and a probe.

Run ``python studies/ablation_seed.py [--source FOLDER]``; it writes
``docs/results/ablation-seed.json``, from which ``docs/decisions/0010`` takes its numbers.
About a minute of one core per variant, 20 minutes in all; variants in the file are kept unless
``--fresh``. One seed's accuracy scatters by about 0.01.

Protocol: the objects of the PLAsTiCC training set whose sha256 falls below 0.6 train the encoder
(a tenth of them stops it early) and the probe; those from 0.6 to 0.8 score it; the rest is not
touched here. The probe is LightGBM on the six latent means alone. No label enters the encoder.
"""

import argparse
import hashlib
import json
import os
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

import firstlight
from firstlight.data import load_plasticc
from firstlight.encoder import Encoder, EncoderConfig, active_latents, train_encoder
from firstlight.encoder.steps import make_steps
from firstlight.lightcurves import LightCurves

OUT = Path(__file__).parent.parent / "docs" / "results" / "ablation-seed.json"
TRAIN, DEVELOPMENT = (0.0, 0.6), (0.6, 0.8)
SNR_EDGES = (0.0, 10.0, 30.0, 100.0, np.inf)

NO_HEAD = {f"{group}_weight": 0.0 for group in ("scalar", "band", "window", "shape", "redshift", "absolute")}
ALIKE = {"scalar_weight": 1.0, "window_weight": 1.0, "shape_weight": 0.0}
HALF = {"epochs": 20}  # half the preset's epochs, to afford the table
#: Per variant: changes of the network, changes of the training, and the seed.
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "preset, 40 epochs": ({}, {}, 0),
    "preset, 40 epochs, another seed": ({}, {}, 1),
    "20 epochs": ({}, HALF, 0),
    "20 epochs, another seed": ({}, HALF, 1),
    "only the light curve is drawn": (NO_HEAD | {"curve_weight": 1.0}, HALF, 0),
    "redshift, galactic flag and absolute magnitudes too": (
        NO_HEAD | {"redshift_weight": 1.0, "absolute_weight": 1.0},
        HALF,
        0,
    ),
    "and summaries, all groups alike": (ALIKE, HALF, 0),
    "and window fluxes x4, counts x0.3": ({"shape_weight": 0.0}, HALF, 0),
    "no augmentation": ({}, HALF | {"whole": 1.0}, 0),
    "fully connected layers of 128": ({"width": 128, "head_width": 128}, HALF, 0),
    "KL weight x5": ({"kl_weight": 0.005}, HALF, 0),
    "no light-curve decoder": ({"curve_weight": 0.0}, HALF, 0),
    "amplitude from the latent": ({"amplitude": "latent"}, HALF, 0),
    "decoder without redshift": ({"decoder_redshift": False}, HALF, 0),
    "3 latents": ({"latent": 3}, HALF, 0),
    "12 latents": ({"latent": 12}, HALF, 0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, help="folder with the PLAsTiCC training set; default: cache")
    parser.add_argument("--fresh", action="store_true", help="measure all variants again")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    curves, truth = load_plasticc(args.source)
    labels = truth.labels_of(curves.object_id)
    place = np.array([_place(name) for name in curves.object_id])
    train = np.flatnonzero((place >= TRAIN[0]) & (place < TRAIN[1]))
    development = np.flatnonzero((place >= DEVELOPMENT[0]) & (place < DEVELOPMENT[1]))
    result: dict[str, Any] = {
        "version": firstlight.__version__,
        "data": "PLAsTiCC training set, photo-z, whole curves, 14 classes",
        "protocol": __doc__.split("Protocol: ")[1].strip().replace("\n", " "),
        "n_train": len(train),
        "n_development": len(development),
        "variants": {},
    }
    if args.out.exists() and not args.fresh:
        result["variants"] = json.loads(args.out.read_text())["variants"]
    for name, (vae, training, seed) in VARIANTS.items():
        if name in result["variants"]:
            continue
        base = EncoderConfig()
        config = replace(base, vae=replace(base.vae, **vae), train=replace(base.train, **training))
        row = _measure(curves, labels, train, development, config, seed)
        result["variants"][name] = row
        print(name, {key: value for key, value in row.items() if key != "reconstruction"}, flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")


def _place(object_id: str) -> float:
    """Where in [0, 1) an object's name falls."""
    return int(hashlib.sha256(str(object_id).encode()).hexdigest()[:12], 16) / 16**12


def _measure(
    curves: LightCurves,
    labels: NDArray[np.str_],
    train: NDArray[np.int64],
    development: NDArray[np.int64],
    config: EncoderConfig,
    seed: int,
) -> dict[str, Any]:
    order = np.random.default_rng(1).permutation(train)
    n_stop = len(train) // 10
    start = time.process_time()
    encoder = train_encoder(curves.take(order[n_stop:]), curves.take(order[:n_stop]), config, seed)
    seconds = time.process_time() - start
    scores = probe(encoder, curves, labels, train, development)
    best = min(encoder.history, key=lambda row: row["validation_loss"])
    kl = [best[f"kl_{k + 1}"] for k in range(config.vae.latent)]
    scores |= {
        "cpu_seconds": round(seconds, 1),
        "epochs": len(encoder.history),
        "active_latents": active_latents(encoder.history),
        "kl": [round(value, 2) for value in kl],
        "reconstruction": reconstruction(encoder, curves.take(development)),
    }
    return scores


def probe(
    encoder: Encoder,
    curves: LightCurves,
    labels: NDArray[np.str_],
    train: NDArray[np.int64],
    development: NDArray[np.int64],
) -> dict[str, Any]:
    """Skill of boosted trees on the latent means alone."""
    classes, target = np.unique(labels[train], return_inverse=True)
    weight = np.bincount(target)[target] ** -0.75
    booster = lgb.LGBMClassifier(
        n_estimators=150,
        num_leaves=12,
        learning_rate=0.06,
        min_child_samples=15,
        reg_lambda=5.0,
        subsample=0.7,
        subsample_freq=1,
        colsample_bytree=0.7,
        n_jobs=1,
        random_state=0,
        verbose=-1,
    )
    booster.fit(encoder.encode(curves.take(train)).mean, target, sample_weight=weight / weight.mean())
    proba = np.asarray(booster.predict_proba(encoder.encode(curves.take(development)).mean))
    true, predicted = labels[development], classes[proba.argmax(axis=1)]
    return {
        "accuracy": round(float(accuracy_score(true, predicted)), 4),
        "macro_f1": round(float(f1_score(true, predicted, average="macro")), 4),
        "macro_auc": round(float(roc_auc_score(true, proba, multi_class="ovr", labels=classes)), 4),
    }


def reconstruction(encoder: Encoder, curves: LightCurves) -> dict[str, Any]:
    """Chi2 a point of the light curves drawn from the latent means, by peak signal to noise."""
    import torch

    from firstlight.encoder.config import FLUX_FLOOR
    from firstlight.encoder.train import _batch, _make_targets
    from firstlight.encoder.vae import RnnVae

    model = RnnVae(encoder.config.vae)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in encoder.weights.items()})
    steps = make_steps(curves, encoder.config.steps)
    targets = _make_targets(curves, encoder.config)
    chi2, floored = [], []
    with torch.no_grad():
        for index in np.array_split(np.arange(len(curves)), 8):
            batch = _batch(steps.take(index), targets.take(index))
            latent, _ = model.encode(batch.steps, batch.lengths, batch.context)
            plain, with_floor = model.curve_chi2(latent, batch)
            chi2.append(plain.numpy())
            floored.append(with_floor.numpy())
    measured, tolerant = np.concatenate(chi2), np.concatenate(floored)
    snr = np.maximum.reduceat(curves.flux / curves.flux_err, curves.offsets[:-1])
    by_snr = {}
    for low, high in pairwise(SNR_EDGES):
        chosen = (snr >= low) & (snr < high)
        by_snr[f"peak S/N {low:.0f} to {high:.0f}"] = {
            "n": int(chosen.sum()),
            "chi2": round(float(np.median(measured[chosen])), 3),
            "chi2_with_floor": round(float(np.median(tolerant[chosen])), 3),
        }
    return {
        "what": "median over objects of chi2 a point (binned observations), errors alone and with a floor of "
        f"{FLUX_FLOOR} of the peak; 1 is the noise",
        "chi2": round(float(np.median(measured)), 3),
        "chi2_with_floor": round(float(np.median(tolerant)), 3),
        "by_snr": by_snr,
    }


if __name__ == "__main__":
    main()
