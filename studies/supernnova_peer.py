"""SuperNNova on the folds of `supernnova_ground`: its own network, trained in each fold.

``ENVIRONMENT/bin/python studies/supernnova_peer.py FOLDER`` in SuperNNova's own environment (see
`benchmarks/peers.py`); FOLDER holds what ``supernnova_ground --input`` wrote, and gets a folder per
fold (a finished one is kept) with the data base, the model, the losses of every epoch and the answers.
Data base, normalisation, network, training loop and choice of the epoch are SuperNNova's: its functions
are called as its commands call them, with the options of `options`. Test objects are in none of it.
"""

import argparse
import contextlib
import json
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks" / "peers"))

import contest  # isort: skip  # first: it sets the number of threads
import numpy as np
import pandas as pd
import run_supernnova
import torch
from supernnova import conf
from supernnova.data import make_dataset
from supernnova.training import train_rnn
from supernnova.utils import training_utils
from supernnova.validation import validate_onthefly
from supernnova.validation.validate_rnn import get_batch_predictions

WINDOW = 30.0  # days before the trigger, the start of SuperNNova's default window
PHASES = (0.0, 2.0, 8.0, 32.0, np.inf)
BATCH = 1024
HIGHEST_RATE = 0.2311  # as found in the first fold; the cycle goes up to a tenth of it
PACKAGES = ("supernnova", "torch", "pandas", "numpy")


find_rate = train_rnn.get_lr


@dataclass(frozen=True)
class Plan:
    """What of SuperNNova's training is chosen here."""

    epochs: int = 30
    one_cycle: bool = True  # the rate rises, falls and fades by thirds, as it found it; else its constant one
    floor: float = -20.0  # FLUXCAL; SuperNNova takes the logarithm of the flux above the lowest one of all


def options(folder: Path, kinds: str, plan: Plan, action: str) -> Any:
    """Settings of SuperNNova as its command line makes them."""
    words = ["--dump_dir", folder, "--raw_dir", folder / "raw", "--fits_dir", folder / "none"]
    words += ["--sntypes", kinds, "--redshift", "zpho", "--list_filters", *contest.BANDS]
    if action == "make_data":  # without --debug it wants more than two cores
        words += ["--debug", "--testing_ids", folder / "aside.csv"]
    else:
        words += ["--nb_epoch", plan.epochs, "--nb_classes", len(json.loads(kinds))]
        if plan.one_cycle:
            words += ["--cyclic", "--cyclic_phases", plan.epochs // 3, 2 * plan.epochs // 3, plan.epochs]
    before = sys.argv
    sys.argv = ["snn", *map(str, words)]
    try:
        return conf.get_settings(action)
    finally:
        sys.argv = before


def table(curves: list[contest.Curve], trigger: Any, floor: float, days: float = np.inf) -> Any:
    """Light curves from `WINDOW` before the trigger to some days after it, as SuperNNova reads them."""
    found = run_supernnova.photometry(curves)
    since = found["MJD"].to_numpy() - np.repeat(trigger, [len(curve.mjd) for curve in curves])
    found["FLUXCAL"] = found["FLUXCAL"].clip(lower=floor)
    return found[(since >= -WINDOW) & (since <= days)].reset_index(drop=True)


def write_raw(
    folder: Path, curves: list[contest.Curve], trigger: Any, labels: list[str], floor: float
) -> None:
    """The training objects of a fold in the files that SuperNNova makes its data base of."""
    raw = folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    columns = ["SNID", "MJD", "FLUXCAL", "FLUXCALERR", "FLT"]
    table(curves, trigger, floor)[columns].to_csv(raw / "PLASTICC_PHOT.csv", index=False)
    about = [
        {
            "SNID": curve.object_id,
            "PEAKMJD": start,  # it chooses nothing here: no window around the peak is asked for
            "SIM_REDSHIFT_CMB": curve.redshift,
            "SNTYPE": labels.index(curve.label) + 101,
            **run_supernnova.host(curve),
            **{f"SIM_PEAKMAG_{band}": 20.0 for band in contest.BANDS},
        }
        for curve, start in zip(curves, trigger, strict=True)
    ]
    pd.DataFrame(about).to_csv(raw / "PLASTICC_HEAD.csv", index=False)
    # With test objects named (here one), it trains on all others; else on equal numbers of each class.
    pd.DataFrame({"SNID": [curves[0].object_id]}).to_csv(folder / "aside.csv", index=False)


def train(folder: Path, kinds: str, plan: Plan) -> dict[str, Any]:
    """Make the data base and train, as ``snn make_data`` and ``snn train_rnn``; losses and times."""
    settings = options(folder, kinds, plan, "make_data")
    np.random.seed(settings.seed)  # noqa: NPY002 - SuperNNova draws from it
    make_dataset.make_dataset(settings)
    settings = options(folder, kinds, plan, "train_rnn")
    np.random.seed(settings.seed)  # noqa: NPY002
    torch.manual_seed(settings.seed)
    losses: dict[str, list[float]] = {"train": [], "validation": [], "validation_accuracy": []}
    clock = [time.process_time()]

    def keep(train: Any, validation: Any, *_: Any) -> None:  # in place of a picture of the losses per epoch
        losses["train"].append(round(float(train["loss"][-1]), 4))
        losses["validation"].append(round(float(validation["loss"][-1]), 4))
        losses["validation_accuracy"].append(round(float(validation["Acc"][-1]), 4))
        clock.append(time.process_time())
        print(f"epoch {len(clock) - 1}: {losses['train'][-1]} {losses['validation'][-1]}", file=sys.stderr)

    training_utils.plot_loss = keep
    train_rnn.get_lr = lambda settings: min(find_rate(settings), HIGHEST_RATE)
    (train_rnn.train_cyclic if plan.one_cycle else train_rnn.train)(settings)
    return {
        "losses": losses,
        "epochs": len(losses["validation"]),
        "best_epoch": int(np.argmin(losses["validation"])) + 1,
        "cpu_s": round(clock[-1] - clock[0], 1),
        "cpu_s_an_epoch": round(float(np.median(np.diff(clock))), 2),
    }


class Network:
    """A trained model: the parts of SuperNNova's `classify_lcs`, without reading files for every call."""

    def __init__(self, folder: Path) -> None:
        path = next((folder / "models").rglob("*.pt"))
        settings = validate_onthefly.get_settings(str(path))
        settings.use_cuda = settings.random_length = settings.random_redshift = False
        names = list(enumerate(settings.training_features))
        settings.idx_features_to_normalize = [
            k for k, name in names if name in settings.training_features_to_normalize
        ]
        self.used = [k for k, name in enumerate(settings.all_features) if name in settings.training_features]
        self.settings = settings
        self.rnn = training_utils.get_model(settings, len(settings.training_features))
        self.rnn.load_state_dict(torch.load(path, map_location="cpu", weights_only=False))
        self.rnn.eval()

    def rows(self, photometry: Any) -> dict[str, tuple[Any, Any]]:
        """Normalised inputs of every object, one row per visit, and days since its first visit."""
        found = validate_onthefly.format_data(photometry, self.settings)
        out = {}
        for name, own in found.groupby(level=0):
            X = own.to_numpy().astype(np.float64)
            days = np.cumsum(own["delta_time"].to_numpy(np.float64))
            place = self.settings.idx_features_to_normalize
            X[:, place] = np.clip(X[:, place], self.settings.arr_norm[:, 0], np.inf)
            out[str(name)] = training_utils.normalize_arr(X, self.settings)[:, self.used], days
        return out

    def predict(self, sequences: list[Any]) -> Any:
        """Probabilities of sequences, in batches of similar length."""
        order = np.argsort([len(X) for X in sequences], kind="stable")
        out = np.full((len(sequences), self.settings.nb_classes), np.nan, np.float32)
        for part in np.array_split(order, len(order) // BATCH + 1):
            some = [(sequences[k], 0, "") for k in part]
            packed, _, target, back = training_utils.get_data_batch(some, np.arange(len(some)), self.settings)
            with torch.no_grad():
                out[part] = get_batch_predictions(self.rnn, packed, target)[0][back]
        return out


def answer(
    network: Network, curves: list[contest.Curve], asked: dict[str, Any], floor: float
) -> dict[str, Any]:
    """Probabilities at each phase and after each night; `asked` has the trigger and the nights' ends."""
    found = {}
    for days in PHASES:
        rows = network.rows(table(curves, asked["trigger"], floor, days))
        name = "all" if np.isposinf(days) else f"{days:g}"
        found[f"phase_{name}"] = network.predict([rows[curve.object_id][0] for curve in curves])
    sequences = []  # a night's visits are whole in the table, so a shorter light curve has its first rows
    for curve, trigger, ends in zip(curves, asked["trigger"], asked["nights"], strict=True):
        X, days = rows[curve.object_id]
        first = curve.mjd[curve.mjd - trigger >= -WINDOW][0]
        sequences += [X[:n] for n in np.searchsorted(days, ends - first + 1e-3, side="right")]
    return found | {"nights": network.predict(sequences)}


def run(folder: Path, k: int, plan: Plan, only_train: bool) -> None:
    """Train on the other folds' objects and answer those of fold `k`."""
    policy = "one-cycle" if plan.one_cycle else "constant"
    own = folder / (f"trial-{policy}-{plan.epochs}-{plan.floor:g}" if only_train else f"supernnova-{k}")
    if (own / "answers.npz").exists():
        return
    curves = contest.read_curves(folder / "input.npz")
    fold = np.load(folder / "fold.npy")
    with np.load(folder / "asked.npz") as file:
        trigger, ends = file["trigger"], np.split(file["night_mjd"], file["night_offsets"][1:-1])
    labels = sorted({curve.label for curve in curves})
    kinds = json.dumps({str(i + 101): "Ia" if name == "SNIa" else name for i, name in enumerate(labels)})
    learn, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
    if not (own / "about.json").exists():
        learn = np.random.default_rng(k).permutation(learn)
        write_raw(own, [curves[i] for i in learn], trigger[learn], labels, plan.floor)
        with contextlib.redirect_stdout(open(own / "log.txt", "w")):
            about = train(own, kinds, plan)
        about |= {
            "policy": policy,
            "floor": f"{plan.floor:g}",
            "versions": {name: version(name) for name in PACKAGES},
        }
        (own / "about.json").write_text(json.dumps(about, indent=1) + "\n")
        print(f"fold {k}: {about['epochs']} epochs, {about['cpu_s']} s", flush=True)
    if not only_train:
        start = time.process_time()
        asked = {"trigger": trigger[test], "nights": [ends[i] for i in test]}
        found = answer(Network(own), [curves[i] for i in test], asked, plan.floor)
        order = [name for name in labels if name == "SNIa"] + [name for name in labels if name != "SNIa"]
        np.savez(own / "answers.npz", test=test, classes=np.array(order), **found)
        print(f"fold {k}: {time.process_time() - start:.0f} s to answer", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, nargs="*", default=list(range(5)), help="folds, from 0 on")
    parser.add_argument("--epochs", type=int, default=Plan.epochs)
    parser.add_argument("--constant", action="store_true", help="SuperNNova's constant rate, not one cycle")
    parser.add_argument("--floor", type=float, default=Plan.floor, help="lowest FLUXCAL")
    parser.add_argument("--train", action="store_true", help="train alone, into a folder of this plan")
    args = parser.parse_args()
    plan = Plan(args.epochs, not args.constant, args.floor)
    torch.set_num_threads(1)
    for k in args.folds:
        run(args.folder.absolute(), k, plan, args.train)


if __name__ == "__main__":
    main()
