"""Future work of the paper: light curves that the decoder generates for rare classes.

Run ``python -m studies.future_generated --cache FOLDER`` from the top of the project (ten minutes of one
core); see `future_ground`.

Protocol: a generated object of a class is decoded from a latent of that class (that of one training
object of the class, moved by a third of the class's scatter), at the observations of another training
object of the class, with its redshift, errors and peak; noise is added, and detections are drawn from the
measured probability at each signal-to-noise ratio. Objects that would not trigger twice are drawn again.
`auc`: a booster separates real objects of the training part from copies of them by features of the
Gaussian process (shapes and colours), one half of the objects (by hash) from what it learnt on the other;
.5 means that it cannot. Rare classes are those with fewer than 250 training objects; each of their
objects gives three more rows to the trees, half of them cut at a random day: thinned and noisier copies
as the trees have already, copies observed again at another redshift by the LSST surveys (decision 0180),
or generated ones. All rows of an object share its weight.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from studies.future_ground import (
    Ground,
    arguments,
    booster,
    builder,
    class_differences,
    differences,
    extragalactic,
    ground,
    keep,
    kept,
    reference,
    scores,
    settings,
    sides,
)

from firstlight import LightCurves
from firstlight._types import AnyArray, FloatArray, IntArray, StrArray
from firstlight.bands import N_BANDS
from firstlight.classify import LightGBMBooster, LightGBMConfig, TrainingRows, object_weights
from firstlight.encoder import Encoder, running
from firstlight.encoder.steps import make_steps
from firstlight.encoder.vae import RnnVae
from firstlight.features import extract
from firstlight.features.registry import gaussian_features
from firstlight.metrics.curves import roc_auc
from firstlight.preprocess import preprocess
from firstlight.reobserve import ReobserveConfig, reobserve
from firstlight.simulate import augment, truncate
from firstlight.simulate.augment import detection_probability
from firstlight.splits import hash_fraction

RARE = 250  # objects
N_COPIES = 3
MOVE = 0.33  # of a latent, in standard deviations of the class
TRIES = 6
LEAST_TOP = 1e-3  # of a decoded light curve
SEPARATOR = LightGBMConfig(rounds=120, learning_rate=0.1, leaves=15, class_weight_exponent=1.0)
SURVEYS = {"lsst-wfd": 1.0, "lsst-ddf": 0.2}

Make = Callable[[np.random.Generator], LightCurves]  # one copy of each object


class Generator:
    """The decoder, and the latents of labelled objects."""

    def __init__(self, encoder: Encoder, curves: LightCurves, labels: StrArray) -> None:
        self.encoder, self.curves, self.labels = encoder, curves, labels
        clean = preprocess(curves, settings().preprocess)
        self.latent = encoder.encode(clean).mean.astype(np.float64)
        self.steps = make_steps(curves, encoder.config.steps)
        self.bin = bins_of(curves, encoder)
        self.chance = detection_probability(curves)
        self.model = RnnVae(encoder.config.vae)
        self.model.load_state_dict({n: torch.from_numpy(v) for n, v in encoder.weights.items()})
        self.model.eval()

    def latents(self, rng: np.random.Generator) -> FloatArray:
        """A latent of the class of each object."""
        out = np.empty_like(self.latent)
        for name in np.unique(self.labels):
            own = np.flatnonzero(self.labels == name)
            mean = self.latent[own].mean(axis=0)
            spread = np.linalg.cholesky(np.cov(self.latent[own].T) + 1e-6 * np.eye(self.latent.shape[1]))
            moved = self.latent[rng.choice(own, len(own))] - mean
            moved = moved + MOVE * rng.normal(size=moved.shape) @ spread.T
            out[own] = mean + moved / np.sqrt(1.0 + MOVE**2)  # keeps the scatter of the class
        return out

    def relative(self, latent: FloatArray, batch: int = 128) -> list[FloatArray]:
        """Decoded flux of each object over its peak, (bins, bands); 1 at its largest observed excursion."""
        found: list[FloatArray] = [np.empty(0)] * len(latent)
        order = np.argsort(self.steps.n_steps, kind="stable")
        shown = CHANNEL_KNOWN
        with torch.no_grad():
            for start in range(0, len(order), batch):
                rows = order[start : start + batch]
                part = self.steps.take(rows)
                padded = part.padded()
                own = torch.from_numpy(latent[rows].astype(np.float32))
                flux = self.model.decode(own, torch.from_numpy(padded), torch.from_numpy(part.context()))
                for k, row in enumerate(rows.tolist()):
                    n = int(part.n_steps[k])
                    values = flux[k, :n].numpy().astype(np.float64)
                    seen = padded[k, :n][:, shown] > 0.0
                    # the loss fits an amplitude of either sign, so the sign of the decoder is arbitrary
                    top = max(values[seen].tolist(), key=abs, default=0.0)
                    found[row] = values / top if abs(top) > LEAST_TOP else np.full_like(values, np.nan)
        return found

    def draw(self, rng: np.random.Generator) -> LightCurves:
        """One generated light curve at the observations of each object."""
        flux, detected = self.curves.flux.copy(), self.curves.detected.copy()
        missing = np.ones(len(self.curves), np.bool_)
        owner = self.curves.object_index
        peak = self._peaks()
        for _ in range(TRIES):
            relative = self.relative(self.latents(rng))
            first = np.concatenate([[0], np.cumsum([len(values) for values in relative])])
            stacked = np.concatenate(relative)
            drawn = stacked[first[owner] + self.bin, self.curves.band] * peak[owner]
            drawn = drawn + self.curves.flux_err * rng.normal(size=len(drawn))
            place = (
                np.clip(np.round(np.nan_to_num(drawn / self.curves.flux_err)), -10, 10).astype(np.int64) + 10
            )
            is_seen = rng.random(len(drawn)) < self.chance[place]
            n_seen = np.bincount(owner[is_seen & np.isfinite(drawn)], minlength=len(self.curves))
            good = missing & (n_seen >= 2) & np.isfinite(np.bincount(owner, drawn, len(self.curves)))
            flux = np.where(good[owner], drawn, flux).astype(np.float32)
            detected = np.where(good[owner], is_seen, detected)
            missing &= ~good
        made = self.curves.with_columns(flux=flux, detected=detected)
        return made.take(np.flatnonzero(~missing))

    def _peaks(self) -> FloatArray:
        scale = self.steps.flux_scale
        top = scale * np.sinh(self.steps.summary[:, running.SUMMARY_NAMES.index("peak")].astype(np.float64))
        return np.maximum(top, scale)


CHANNEL_KNOWN = [running.CHANNELS_PER_BAND * k + 3 for k in range(N_BANDS)]  # whether a band was observed


def bins_of(curves: LightCurves, encoder: Encoder) -> IntArray:
    """Time bin of each observation within its object, by the rule of `running.advance`."""
    bins = encoder.config.steps.bins()
    out = np.empty(len(curves.mjd), np.int64)
    for k in range(len(curves)):
        end, trigger, number = -np.inf, np.nan, -1
        for j in range(curves.offsets[k], curves.offsets[k + 1]):
            is_trigger = bool(curves.detected[j]) and np.isnan(trigger)
            if curves.mjd[j] >= end or is_trigger:
                number += 1
                trigger = curves.mjd[j] if is_trigger else trigger
                known = not np.isnan(trigger)
                days = curves.mjd[j] - trigger if known else 0.0
                end = curves.mjd[j] + running.bin_width(days, known, bins)
            out[j] = number
    return out


def distinguished(real: LightCurves, copies: LightCurves, labels: dict[str, str]) -> dict[str, Any]:
    """AUC of a booster that separates copies from real objects, of all and by class."""
    both = LightCurves.concatenate([real, copies], check=False)
    found = extract(preprocess(both, settings().preprocess), settings().features, None)
    X = np.column_stack([found.column(feature.name) for feature in gaussian_features()])
    is_copy = np.arange(len(both)) >= len(real)
    side = hash_fraction(both.object_id, "halves") < 0.5
    score = np.empty(len(both))
    for own in (False, True):
        learn = side != own
        rows = TrainingRows(X[learn], np.where(is_copy, "KN", "AGN")[learn])  # two labels, whatever they are
        model = LightGBMBooster(SEPARATOR).fit(rows, seed=0)
        score[~learn] = model.predict_proba(X[~learn])[:, model.classes.index("KN")]
    names = np.array([labels[name] for name in both.object_id.tolist()])
    table: dict[str, Any] = {"auc": round(roc_auc(is_copy, score), 3), "n": len(copies)}
    table["by class"] = {
        str(name): round(roc_auc(is_copy[names == name], score[names == name]), 3)
        for name in np.unique(names)
    }
    return table


def more_rows(found: Ground, cache: Path, make: Make, labels: dict[str, str], rare: StrArray) -> TrainingRows:
    """The rows of the trees and those of copies of rare classes; all rows of an object share its weight."""
    inputs, rng = builder(cache), np.random.default_rng(1)
    parts = [truncate(make(rng), rng, whole=0.5) for _ in range(N_COPIES)]
    copies = LightCurves.concatenate([preprocess(part, settings().preprocess) for part in parts], check=False)
    copies = copies.take(np.isin([labels[name] for name in copies.object_id.tolist()], rare))
    names = np.array([labels[name] for name in copies.object_id.tolist()])
    owner = np.concatenate([found.train.owner.astype(str), copies.object_id])
    weight = np.concatenate([found.train.weight, np.full(len(copies), np.median(found.train.weight))])
    return TrainingRows(
        np.concatenate([found.train.X, inputs.rows(copies).X]),
        np.concatenate([found.train.labels, names]),
        np.concatenate([found.train.redshift, copies.redshift]),
        object_weights(owner, weight),
        owner,
    )


def main() -> None:
    args = arguments(__doc__)
    torch.set_num_threads(1)
    found = ground(args.cache)
    base = reference(found, args.cache)
    curves, own_labels = extragalactic(sides()[0]).part(held_out=False)
    labels = dict(zip(curves.object_id.tolist(), own_labels.tolist(), strict=True))
    names, counts = np.unique(own_labels, return_counts=True)
    rare = names[counts < RARE]
    generator = Generator(builder(args.cache).encoder, curves, own_labels)
    surveys = ReobserveConfig(surveys=SURVEYS, spectroscopic=0.0)
    arms: dict[str, Make] = {
        "thinned": lambda rng: augment(curves, rng, settings().augment),
        "observed again": lambda rng: reobserve(curves, rng, surveys),
        "generated": generator.draw,
    }
    table: dict[str, Any] = {
        "objects": found.describe(),
        "reference": scores(found.labels, base),
        "rare": {str(n): int(c) for n, c in zip(names, counts, strict=True) if n in rare},
        "distinguished": {},
        "difference": {},
        "f1": {},
    }
    for arm, make in arms.items():
        table["distinguished"][arm] = distinguished(curves, make(np.random.default_rng(0)), labels)
        print(arm, table["distinguished"][arm], flush=True)

        def after(make: Make = make) -> dict[str, AnyArray]:
            rows = more_rows(found, args.cache, make, labels, rare)
            return dict(found.answers(booster(found, rows=rows).predict_proba)) | {"n": np.array([len(rows)])}

        own = kept(args.cache, f"arm-{arm}", after)
        answers = {view: own[view] for view in found.tests}
        table["difference"][arm] = differences(found.labels, base, answers)
        table["f1"][arm] = {v: class_differences(found.labels, base[v], answers[v]) for v in ("8", "all")}
        table["distinguished"][arm]["rows"] = int(own["n"][0]) - len(found.train)
    keep("generated", __doc__, ("torch", "lightgbm"), table, args.out)


if __name__ == "__main__":
    main()
