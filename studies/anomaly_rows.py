"""Rows for `studies/anomaly.py`: latents and features after training without one class.

Run ``python studies/anomaly_rows.py [CLASS ...]``; it writes ``runs/anomaly/CLASS.safetensors``,
about four minutes of one core per class; existing files are kept. The class is left out of
everything that trains: encoder, templates, and the rows that the scorer will learn from.
Known objects are split by `hash_split`: of its training part a fifth stops the encoder and
sets the scale; choices are made on its validation part (``dev``), its test part
(``test``) chooses nothing. Objects of the missing class are strangers of one or the other.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from firstlight import LightCurves, load_plasticc, load_preset
from firstlight.encoder import Encoder, train_encoder
from firstlight.encoder.steps import make_steps
from firstlight.features import Templates, extract
from firstlight.pipeline import PipelineConfig
from firstlight.preprocess import preprocess
from firstlight.simulate import augment, truncate
from firstlight.splits import hash_split, validation_part

LEFT_OUT = ("KN", "TDE", "SLSN-I", "muLens-Single")
ROWS = Path("runs/anomaly")
VIEWS = {"whole": np.inf, "32 days": 32.0, "8 days": 8.0}
HIDDEN = 0.25  # of the copies have no redshift, as in the preset
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classes", nargs="*", default=LEFT_OUT)
    parser.add_argument("--source", type=Path, help="folder with the PLAsTiCC training set; default: cache")
    parser.add_argument("--epochs", type=int, help="of the encoder; default: the preset's")
    args = parser.parse_args()
    curves, truth = load_plasticc(args.source)
    labels = truth.labels_of(curves.object_id)
    curves = curves.with_redshift("photo")
    ROWS.mkdir(parents=True, exist_ok=True)
    for name in args.classes:
        path = ROWS / f"{name}.safetensors"
        if not path.exists():
            start = time.perf_counter()
            save_file(prepare(curves, labels, name), path)
            print(f"{path}: {time.perf_counter() - start:.0f} s", flush=True)


def prepare(curves: LightCurves, labels: NDArray[np.str_], left_out: str) -> dict[str, NDArray[Any]]:
    """Train without a class and return the columns that scorers use."""
    config = load_preset("default")
    rng = np.random.default_rng(SEED)
    split = hash_split(curves.object_id)
    learn = split.train[labels[split.train] != left_out]
    held = validation_part(curves.object_id[learn], labels[learn], 0.2)
    parts = {"train": learn[~held], "scale": learn[held]}
    ready = {k: preprocess(curves.take(index), config.preprocess) for k, index in parts.items()}
    encoder = train_encoder(
        ready["train"], ready["scale"], config.encoder, SEED, ROWS / f"encoder-{left_out}", _print_progress
    )
    templates = Templates.fit(ready["train"], labels[parts["train"]], config.features)
    out: dict[str, NDArray[Any]] = {}
    for part, index in parts.items():
        copies = [curves.take(index), *_copies(curves.take(index), rng, config, part)]
        shown = LightCurves.concatenate(copies, check=False)
        add(out, part, shown, np.tile(labels[index], len(copies)), encoder, templates, config)
    strange = labels == left_out
    for part, known in (("dev", split.validation), ("test", split.test)):
        alien = np.setdiff1d(np.flatnonzero(strange), split.test) if part == "dev" else split.test
        index = np.concatenate([known[~strange[known]], alien[strange[alien]]])
        for view, days in VIEWS.items():
            shown = curves.take(index).upto_phase(days)
            add(out, f"{part}|{view}", shown, labels[index], encoder, templates, config)
    return out


def _copies(
    curves: LightCurves, rng: np.random.Generator, config: PipelineConfig, part: str
) -> list[LightCurves]:
    """Training copies as in the pipeline, a quarter of them without redshift."""
    cuts = 1 if part == "train" else 3
    copies = [truncate(curves, rng) for _ in range(cuts)]
    copies.append(augment(curves, rng, config.augment))
    out = []
    for copy in copies:
        hide = rng.random(len(copy)) < HIDDEN
        blank = {name: np.where(hide, np.float32(np.nan), getattr(copy, name)) for name in _REDSHIFT}
        out.append(copy.with_columns(**blank))
    return out


_REDSHIFT = ("redshift", "redshift_err", "redshift_spec")


def add(
    out: dict[str, NDArray[Any]],
    part: str,
    curves: LightCurves,
    labels: NDArray[np.str_],
    encoder: Encoder,
    templates: Templates,
    config: PipelineConfig,
) -> None:
    """Write the columns of some rows under ``part|name``."""
    ready = preprocess(curves, config.preprocess)
    steps = make_steps(ready, encoder.config.steps)
    latents = encoder.encode_steps(steps)
    last = np.full(len(ready), np.nan)
    some = ready.n_obs > 0
    last[some] = ready.mjd[ready.offsets[1:][some] - 1]
    columns: dict[str, NDArray[Any]] = {
        "latent": latents.mean,
        "scatter": latents.log_var,
        "error": latents.recon_error,
        "summary": steps.context(),
        "features": extract(ready, config.features, templates).values,
        "phase": last - ready.trigger_mjd,
        "n_obs": ready.n_obs.astype(np.int64),
        "label": np.array([name.encode().ljust(16) for name in labels]).view(np.uint8).reshape(-1, 16),
    }
    out |= {f"{part}|{name}": np.ascontiguousarray(value) for name, value in columns.items()}


def _print_progress(message: str, done: float) -> None:
    print(f"{message} ({done:.0%})", flush=True)


if __name__ == "__main__":
    main()
