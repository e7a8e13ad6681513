"""SuperNNova: its default recurrent network (LSTM 2x32, both directions), trained for one epoch.

The package has no trained model, so its own commands make a data base of some of the light
curves and train on it. One epoch is too short for good probabilities, but the time per call is
the same. A call is `classify_lcs` on a pandas table in memory; it reads the model's files in
every call.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import contest  # first: it sets the number of threads
import numpy as np
import pandas as pd
import torch
from supernnova.validation.validate_onthefly import classify_lcs

N_TRAIN = 1500
SCALE = 10 ** (-0.4 * (31.4 - 27.5))  # FLUXCAL has zero point 27.5


def photometry(curves: list[contest.Curve]) -> Any:
    """Light curves as rows, each with the host values that the network reads."""
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "SNID": curve.object_id,
                    "MJD": curve.mjd,
                    "FLUXCAL": curve.flux * SCALE,
                    "FLUXCALERR": curve.flux_err * SCALE,
                    "FLT": np.array(list(contest.BANDS))[curve.band],
                    **host(curve),
                }
            )
            for curve in curves
        ],
        ignore_index=True,
    )


def host(curve: contest.Curve) -> dict[str, float]:
    return {
        "HOSTGAL_PHOTOZ": curve.redshift,
        "HOSTGAL_PHOTOZ_ERR": curve.redshift_err,
        "HOSTGAL_SPECZ": curve.redshift,
        "HOSTGAL_SPECZ_ERR": curve.redshift_err,
    }


def train(curves: list[contest.Curve], folder: Path) -> Path:
    """The model's file, made with SuperNNova's own commands."""
    raw = folder / "raw"
    raw.mkdir()
    labels = sorted({curve.label for curve in curves})
    photometry(curves)[["SNID", "MJD", "FLUXCAL", "FLUXCALERR", "FLT"]].to_csv(
        raw / "PLASTICC_PHOT.csv", index=False
    )
    about = [
        {
            "SNID": curve.object_id,
            "PEAKMJD": curve.mjd[np.argmax(curve.flux)],
            "SIM_REDSHIFT_CMB": curve.redshift,
            "SNTYPE": labels.index(curve.label) + 101,
            **host(curve),
            **{f"SIM_PEAKMAG_{band}": 20.0 for band in contest.BANDS},
        }
        for curve in curves
    ]
    pd.DataFrame(about).to_csv(raw / "PLASTICC_HEAD.csv", index=False)
    kinds = json.dumps({str(i + 101): "Ia" if name == "SNIa" else name for i, name in enumerate(labels)})
    common = ["--dump_dir", folder, "--raw_dir", raw, "--fits_dir", folder / "none", "--sntypes", kinds]
    common += ["--redshift", "zpho", "--list_filters", *contest.BANDS]
    snn("make_data", "--debug", *common)  # without --debug it wants more than two cores
    snn("train_rnn", "--nb_epoch", 1, "--nb_classes", len(labels), *common)
    return next((folder / "models").rglob("*.pt"))


def snn(*words: Any) -> None:
    subprocess.run([shutil.which("snn", path=str(Path(sys.executable).parent)), *map(str, words)], check=True)


def main() -> None:
    args = contest.arguments()
    torch.set_num_threads(1)
    curves = contest.read_curves(args.curves)
    with tempfile.TemporaryDirectory() as folder:
        model = str(train(curves[-N_TRAIN:], Path(folder)))
        tables = [photometry([curve]) for curve in curves[: contest.N_BATCH]]

        def batch() -> Any:
            table = photometry(curves[: contest.N_BATCH])
            return lambda: classify_lcs(table, model, "cpu")

        times = contest.compete(lambda i: classify_lcs(tables[i].copy(), model, "cpu"), batch)
    contest.write(
        args.out,
        ("supernnova", "torch", "pandas", "numpy"),
        {"SuperNNova": times | {"what": "one call to classify the whole light curve"}},
    )


if __name__ == "__main__":
    main()
