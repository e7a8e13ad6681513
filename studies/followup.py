"""Rare transients observed before their peak by each strategy of choosing targets.

Run ``python studies/followup.py [--preset quick] [--work FOLDER]``; it writes
``studies/results/followup.json`` and ``docs/images/followup.png`` (for another preset
than quick, ``followup-PRESET``). It trains the preset
on the training part of the fixed split if FOLDER holds no such hold-out yet.

The test part of PLAsTiCC's training set, which the classifier has not seen, is replayed
night by night, on its own dates. A telescope is given for some hours of one night in
fourteen. On the day before, every object that was detected so far is classified from its
observations so far, and each strategy spends the same hours on the same candidates: those outside
the Milky Way (by their host's photometric redshift), observed within ten days and expected
to be brighter than the limit. No object is observed twice. Everything is repeated for each
of the fourteen choices of the telescope's nights. The utility's shape was chosen on the validation
part; the test part chose nothing.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

import firstlight
from firstlight.bands import AB_ZERO_POINT_NJY
from firstlight.data import load_plasticc
from firstlight.experiments.crossval import run_holdout
from firstlight.followup.brightness import Brightness, measure_brightness
from firstlight.followup.schedule import SHORTEST, ScheduleConfig, exposure_hours
from firstlight.followup.utility import FollowupConfig, followup_utility
from firstlight.lightcurves import LightCurves
from firstlight.pipeline import Pipeline, load_preset
from firstlight.report.style import ACCENT, FAINT, INK, MAIN, new_figure, save_figure, styled
from firstlight.splits import hash_split
from firstlight.taxonomy import GALACTIC, class_index

HERE = Path(__file__).parent
RARE = ("KN", "TDE", "SLSN-I", "SNIa-91bg", "SNIax")
LIMIT_MAG = 22.5
BUDGETS = (0.5, 1.0, 2.0, 4.0, 8.0)  # hours of a telescope night
MAIN_BUDGET = 1.0
EVERY = 14  # nights from one telescope night to the next
CURRENT = 10.0  # days; an object not seen since is no candidate
CHUNK = 3000
NIGHT_END, NIGHT = 0.7, 1.2  # of a day: when the choice is made, and when the spectrum is taken
N_RANDOM, N_BOOTSTRAP = 5, 200  # seeds for each choice of nights, and resamplings
AHEAD, N_CUTS = 6.0, 20  # days that a forecast looks ahead, and moments an object
NEAR = 3.0  # days after the peak that still count as near it
TELESCOPE = ScheduleConfig(limit_mag=LIMIT_MAG)
WANTED = FollowupConfig(wanted=RARE, limit_mag=LIMIT_MAG)
Array = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="quick")
    parser.add_argument(
        "--source", type=Path, help="folder with the PLAsTiCC training set; default: the cache"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/followup"), help="hold-out and snapshots")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--images", type=Path, default=HERE.parent / "docs" / "images")
    args = parser.parse_args()
    curves, truth = load_plasticc(args.source)
    labels = truth.labels_of(curves.object_id)
    work = args.work / args.preset
    if not (work / "bundle").exists():
        run_holdout(curves, labels, load_preset(args.preset), work, jobs=1)
    pipeline = Pipeline.load(work / "bundle")
    test = hash_split(curves.object_id).test
    curves, labels = curves.take(test), labels[test]
    assert not pipeline.trained_on(curves.object_id).any()
    snapshots = load_snapshots(pipeline, curves, work / "snapshots.npz")
    result = measure(snapshots, curves, labels)
    result["forecast_within_6_days"] = forecast(curves, labels)
    result |= {
        "what": "objects whose spectrum is taken before their peak, for the same hours",
        "protocol": __doc__.split("\n\n")[-1].replace("\n", " ").strip(),
        "preset": args.preset,
        "version": firstlight.__version__,
        "bundle": pipeline.bundle_version,
        "limit_mag": LIMIT_MAG,
        "telescope": "1 h at the limit, a tenth of an hour at least, as much overhead each",
        "peak": "the brightest point of the whole light curve, in any band (highest flux less 2 sigma)",
        "n_objects": len(curves),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    name = "followup" if args.preset == "quick" else f"followup-{args.preset}"
    (args.out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    save_figure(draw(result), args.images / f"{name}.png")
    print_table(result)


# --- replay ---------------------------------------------------------------------


def load_snapshots(pipeline: Pipeline, curves: LightCurves, path: Path) -> dict[str, Array]:
    """Every (object, night) with new data after the trigger, classified from the observations until then."""
    if path.exists():
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    night = np.floor(curves.mjd + 1.0 - NIGHT_END)
    after = curves.mjd >= np.repeat(np.nan_to_num(curves.trigger_mjd, nan=np.inf), curves.n_obs)
    owner, when = np.unique(np.stack([curves.object_index[after], night[after]]), axis=1)
    owner = owner.astype(np.int64)
    parts, started = [], time.perf_counter()
    for first in range(0, len(owner), CHUNK):
        own, at = owner[first : first + CHUNK], when[first : first + CHUNK]
        parts.append(_classify(pipeline, curves, own, at))
        done = min(first + CHUNK, len(owner))
        print(f"{done}/{len(owner)} snapshots, {time.perf_counter() - started:.0f} s", flush=True)
    table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    np.savez(path, **table)
    return table


def _classify(
    pipeline: Pipeline, curves: LightCurves, owner: NDArray[np.int64], night: Array
) -> dict[str, Any]:
    part = curves.take(owner).upto_mjd(night + NIGHT_END)
    part = part.with_columns(object_id=np.array([f"{i}@{n:.0f}" for i, n in zip(owner, night, strict=True)]))
    brightness = measure_brightness(part)
    # Half a magnitude of margin: a riser may come within the limit before it is seen again.
    bright = brightness.expected(night + NIGHT)[0] <= LIMIT_MAG + 0.5
    found = pipeline.predict(part.take(bright), jobs=1)
    proba = np.zeros((len(owner), found.proba.shape[1]))
    anomaly, classified = np.full(len(owner), np.nan), np.zeros(len(owner), dtype=bool)
    proba[bright], anomaly[bright], classified[bright] = found.proba, found.anomaly, found.is_classified
    columns = {name: getattr(brightness, name) for name in brightness.__slots__}
    return {
        "owner": owner,
        "night": night,
        "proba": proba,
        "anomaly": anomaly,
        "classified": classified,
    } | columns


class Replay:
    """The candidates of every night, with the quantity by which each strategy orders them."""

    def __init__(self, snapshots: dict[str, Array], curves: LightCurves, labels: NDArray[np.str_]) -> None:
        self.labels = labels
        self.peak = measure_brightness(curves).peak_mjd
        outside = curves.redshift > 0.0  # a host redshift of 0 states a Milky Way object
        owner, night = snapshots["owner"], snapshots["night"]
        latest = np.full(len(curves), -1)
        order = np.argsort(night, kind="stable")
        edges = np.searchsorted(night[order], np.arange(night.min(), night.max() + 2.0))
        self.nights: list[dict[str, Array]] = []
        for k in range(len(edges) - 1):
            now = night.min() + k
            new = order[edges[k] : edges[k + 1]]
            latest[owner[new]] = new
            seen = np.flatnonzero((latest >= 0) & outside)
            seen = seen[now - night[latest[seen]] < CURRENT]
            self.nights.append(self._candidates(snapshots, latest[seen], now + NIGHT))

    def _candidates(
        self, snapshots: dict[str, Array], rows: NDArray[np.int64], when: float
    ) -> dict[str, Array]:
        brightness = Brightness(**{name: snapshots[name][rows] for name in Brightness.__slots__})
        mag = brightness.expected(when)[0]
        keep = (mag <= LIMIT_MAG) & snapshots["classified"][rows]
        rows, mag, brightness = rows[keep], mag[keep], brightness.take(keep)
        hours = exposure_hours(mag, TELESCOPE) + TELESCOPE.overhead
        proba = snapshots["proba"][rows]
        utility = followup_utility(
            proba, snapshots["anomaly"][rows], snapshots["classified"][rows], brightness, when, WANTED
        ).total
        wanted = proba[:, class_index(RARE)].sum(axis=1)
        return {
            "owner": snapshots["owner"][rows],
            "when": np.full(len(rows), when),
            "hours": hours,
            "brightest": -brightness.mag,
            "probability": wanted,
            "probability per hour": wanted / hours,
            "utility": utility,
            "utility per hour": utility / hours,
        }

    def run(
        self, strategy: str, hours: float, copies: NDArray[np.int64], offset: int, seed: int = 0
    ) -> tuple[Array, NDArray[np.int64]]:
        """When each copy of each object was observed (NaN: never), and which object it is."""
        rng = np.random.default_rng(seed)
        first = np.concatenate([[0], np.cumsum(copies)])
        observed = np.full(first[-1], np.nan)
        for night in self.nights[offset::EVERY]:
            owner = night["owner"]
            if not len(owner):
                continue
            count = copies[owner]
            who = np.repeat(first[owner], count)
            who += np.arange(len(who)) - np.repeat(np.cumsum(count) - count, count)
            row = np.repeat(np.arange(len(owner)), count)
            score = rng.random(len(who)) if strategy == "random" else night[strategy][row]
            fresh = np.flatnonzero(np.isnan(observed[who]))
            left = hours
            for k in fresh[np.argsort(-score[fresh], kind="stable")]:
                cost = night["hours"][row[k]]
                if cost <= left:
                    left -= cost
                    observed[who[k]] = night["when"][0]
                if left < SHORTEST + TELESCOPE.overhead:
                    break
        return observed, np.repeat(np.arange(len(copies)), copies)

    def count(self, observed: Array, who: NDArray[np.int64]) -> dict[str, float]:
        """Caught before the peak, by class; spectra taken, and the share of them on wanted classes."""
        took = np.isfinite(observed)
        early = took & (observed <= self.peak[who])
        near = took & (observed <= self.peak[who] + NEAR)
        label = self.labels[who]
        rare = np.isin(label, RARE)
        out = {name: float((early & (label == name)).sum()) for name in RARE}
        return out | {
            "all": float((early & rare).sum()),
            "all, up to 3 days after": float((near & rare).sum()),
            "all, ever": float((took & rare).sum()),
            "spectra": float(took.sum()),
            "purity": float((took & rare).sum() / max(took.sum(), 1)),
        }

    def catchable(self) -> dict[str, float]:
        """Objects that were a candidate before their peak on any night at all."""
        observed = np.full(len(self.labels), np.nan)
        for night in reversed(self.nights):
            observed[night["owner"].astype(np.int64)] = night["when"]
        return self.count(observed, np.arange(len(self.labels)))


# --- the comparison ---------------------------------------------------------------

STRATEGIES = ("random", "brightest", "probability", "probability per hour", "utility", "utility per hour")


def measure(snapshots: dict[str, Array], curves: LightCurves, labels: NDArray[np.str_]) -> dict[str, Any]:
    replay = Replay(snapshots, curves, labels)
    ones = np.ones(len(curves), dtype=np.int64)
    by_budget: dict[str, Any] = {}
    for hours in BUDGETS:
        by_budget[f"{hours:g}"] = {
            name: _spread(
                [
                    replay.count(*replay.run(name, hours, ones, offset, seed))
                    for offset in range(EVERY)
                    for seed in range(N_RANDOM if name == "random" else 1)
                ]
            )
            for name in STRATEGIES
        }
    rng = np.random.default_rng(0)
    drawn: dict[str, list[dict[str, float]]] = {name: [] for name in STRATEGIES}
    for k in range(N_BOOTSTRAP):
        copies = np.bincount(rng.integers(0, len(ones), len(ones)), minlength=len(ones))
        for name in STRATEGIES:
            drawn[name].append(replay.count(*replay.run(name, MAIN_BUDGET, copies, k % EVERY, k)))
    candidates = np.array([len(night["owner"]) for night in replay.nights])
    return {
        "n_of_class": {name: int((labels == name).sum()) for name in RARE},
        "catchable": replay.catchable(),
        "candidates_a_night": {"median": float(np.median(candidates)), "most": int(candidates.max())},
        "n_nights": len(replay.nights),
        "one_night_in": EVERY,
        "hours_of_a_night": by_budget,
        "spread": f"over the {EVERY} choices of nights (random: and {N_RANDOM} seeds for each)",
        "main_hours": MAIN_BUDGET,
        "bootstrap": {name: _spread(counts) for name, counts in drawn.items()},
        "bootstrap_of": f"{N_BOOTSTRAP} resamplings of the objects, each replayed again",
        "utility_less": {name: _difference(drawn, name) for name in STRATEGIES[:-1]},
    }


def _difference(drawn: dict[str, list[dict[str, float]]], other: str) -> dict[str, float]:
    """The number that the utility catches more than another strategy, resampling by resampling."""
    pairs = zip(drawn["utility per hour"], drawn[other], strict=True)
    gain = np.array([own["all"] - its["all"] for own, its in pairs])
    return {
        "mean": round(float(gain.mean()), 2),
        "std": round(float(gain.std()), 2),
        "share_above_0": round(float((gain > 0).mean()), 3),
    }


def forecast(curves: LightCurves, labels: NDArray[np.str_]) -> dict[str, dict[str, float]]:
    """How well the next flux in the same band is foreseen, against saying that nothing changes."""
    curves = curves.take(~np.isin(labels, [*GALACTIC, "AGN"]))
    rng = np.random.default_rng(0)
    off: dict[str, list[Array]] = {"trend": [], "nothing changes": []}
    deviation: dict[str, list[Array]] = {name: [] for name in off}
    for _ in range(N_CUTS):
        cut = curves.trigger_mjd + rng.uniform(0.0, 60.0, len(curves))
        now = measure_brightness(curves.upto_mjd(cut))
        ahead = curves.mjd - np.repeat(now.mag_mjd, curves.n_obs)
        same = (curves.band == np.repeat(now.band, curves.n_obs)) & (ahead > 0.5) & (ahead <= AHEAD)
        same &= curves.mjd > np.repeat(cut, curves.n_obs)
        row = np.flatnonzero(same)
        owner, first = np.unique(curves.object_index[row], return_index=True)
        row = row[first]
        for name, slope in (("trend", now.slope), ("nothing changes", np.zeros(len(now)))):
            mag, err = replace(now, slope=slope).take(owner).expected(curves.mjd[row])
            flux = 10.0 ** (-0.4 * (mag - AB_ZERO_POINT_NJY))
            off[name].append(np.abs(curves.flux[row] - flux) / flux)
            sigma = np.hypot(0.921 * err * flux, curves.flux_err[row])
            deviation[name].append(np.abs(curves.flux[row] - flux) / sigma)
    return {
        name: {
            "n": sum(len(part) for part in off[name]),
            "median_relative_error": round(float(np.median(np.concatenate(off[name]))), 3),
            "relative_error_90": round(float(np.percentile(np.concatenate(off[name]), 90)), 3),
            "within_1_sigma": round(float(np.mean(np.concatenate(deviation[name]) <= 1.0)), 3),
        }
        for name in off
    }


def _spread(counts: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "mean": round(float(np.mean([c[name] for c in counts])), 3),
            "std": round(float(np.std([c[name] for c in counts])), 3),
        }
        for name in counts[0]
    }


def print_table(result: dict[str, Any]) -> None:
    print("catchable", result["catchable"])
    for hours, table in result["hours_of_a_night"].items():
        for name, row in table.items():
            print(f"{hours:>5} h  {name:22}", {k: v["mean"] for k, v in row.items()})


SHOWN: dict[str, tuple[str, str, str]] = {
    "utility per hour": (ACCENT, "o", "utility"),
    "probability": (MAIN, "s", "probability only"),
    "brightest": (INK, "^", "brightest first"),
    "random": (FAINT, "D", "random"),
}


@styled
def draw(result: dict[str, Any]) -> Any:
    """Caught before the peak against hours, and by class at the main budget."""
    figure = new_figure(3.2)
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.25))
    tables = result["hours_of_a_night"]
    hours = [float(h) for h in tables]
    for name, (colour, marker, label) in SHOWN.items():
        caught = [table[name]["all"]["mean"] for table in tables.values()]
        left.plot(hours, caught, color=colour, marker=marker, label=label)
    caught = [table["probability per hour"]["all"]["mean"] for table in tables.values()]
    left.plot(hours, caught, color=MAIN, linestyle="--", linewidth=1.0, label="probability per hour")
    most = result["catchable"]["all"]
    left.axhline(most, color=INK, linewidth=0.8, linestyle=":")
    left.annotate(
        f"ever a candidate before its peak: {most:.0f}",
        *((hours[0], most), (0, -10)),
        textcoords="offset points",
        fontsize=7.0,
    )
    left.set(
        xscale="log",
        xlabel=f"hours of one night in {result['one_night_in']}",
        ylabel="rare transients caught before peak",
        ylim=(0.0, 1.05 * most),
    )
    left.set_xticks(hours, [f"{h:g}" for h in hours])
    left.minorticks_off()
    left.legend(loc="lower right")
    _draw_classes(right, result)
    return figure


def _draw_classes(axes: Any, result: dict[str, Any]) -> None:
    width, main = 0.2, tables_of(result)
    for j, (name, (colour, _, _)) in enumerate(SHOWN.items()):
        place = np.arange(len(RARE)) + (j - 1.5) * width
        spread = [result["bootstrap"][name][k]["std"] for k in RARE]
        values = [main[name][k]["mean"] for k in RARE]
        low = np.minimum(spread, values)
        axes.bar(place, values, width, color=colour, yerr=[low, spread], error_kw={"linewidth": 0.8})
    for k, name in enumerate(RARE):
        axes.plot(
            [k - 0.45, k + 0.45], [result["catchable"][name]] * 2, color=INK, linewidth=0.8, linestyle=":"
        )
    axes.set_xticks(range(len(RARE)), [f"{name}\n(of {result['n_of_class'][name]})" for name in RARE])
    axes.set(ylabel=f"caught before peak, {result['main_hours']:g} h a fortnight", ylim=(0.0, None))


def tables_of(result: dict[str, Any]) -> dict[str, Any]:
    """The counts at the main budget."""
    table: dict[str, Any] = result["hours_of_a_night"][f"{result['main_hours']:g}"]
    return table


if __name__ == "__main__":
    main()
