"""firstlight: an update with one new observation, and a whole light curve without a state.

An update reads the state row of the object from bytes, adds the new observation, and returns
class probabilities and the new row; preset `default` also reads the object's history.
Run with the names of bundles after the files: ``run_firstlight.py CURVES OUT fast=FOLDER``.
"""

import argparse
from pathlib import Path
from typing import Any

import contest  # first: it sets the number of threads
import numpy as np

from firstlight import Pipeline
from firstlight.data import read_curves
from firstlight.lightcurves import LightCurves
from firstlight.online import Arrivals


class Kept:
    """Some objects that were followed up to their last observation but one."""

    def __init__(self, pipeline: Pipeline, curves: LightCurves) -> None:
        self.pipeline = pipeline
        last = np.zeros(len(curves.mjd), np.bool_)
        last[curves.offsets[1:] - 1] = True
        self.newest = curves.keep(last)
        n = len(curves)
        before = pipeline.update(
            pipeline.states(n),
            Arrivals.from_curves(curves.keep(~last), np.arange(n)),
            lambda which: [[] for _ in which],
        )
        self.rows = before.states.to_bytes()
        self.logs = [[entry] for entry in before.entries]

    def arrivals(self, which: np.ndarray) -> Arrivals:
        """The newest observation of some objects."""
        return Arrivals.from_curves(self.newest.take(which), which + 1_000_000)

    def update(self, which: np.ndarray, arrivals: Arrivals) -> list[bytes]:
        """From stored bytes to stored bytes; the probabilities are in the update."""
        update = self.pipeline.update(
            self.pipeline.states([self.rows[i] for i in which]),
            arrivals,
            lambda index: [self.logs[which[i]] for i in index],
        )
        if not update.answered.all():
            raise SystemExit("an update was taken for a repeated one")
        return update.states.to_bytes()


def compete(name: str, bundle: Path | None, curves: LightCurves) -> dict[str, dict[str, Any]]:
    """One preset: updates, and the whole light curve from nothing."""
    pipeline = Pipeline.load(bundle)
    kept = Kept(pipeline, curves)
    everyone = np.arange(len(curves))
    arrivals = [kept.arrivals(everyone[i : i + 1]) for i in everyone]
    alone = [curves.take(everyone[i : i + 1]) for i in everyone]
    together = kept.arrivals(everyone)
    updates = contest.compete(
        lambda i: kept.update(everyone[i : i + 1], arrivals[i]),
        lambda: lambda: kept.update(everyone, together),
    )
    whole = contest.compete(
        lambda i: pipeline.predict(alone[i], jobs=1), lambda: lambda: pipeline.predict(curves, jobs=1)
    )
    bundle_version = {"bundle": pipeline.bundle_version}
    return {
        f"firstlight, {name}": updates
        | bundle_version
        | {"what": "one update of a stored state with the newest observation"},
        f"firstlight, {name}, from nothing": whole
        | bundle_version
        | {"what": "one call to classify the whole light curve"},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("curves", type=Path, help="file of light curves, as Parquet")
    parser.add_argument("out", type=Path, help="where the times go")
    parser.add_argument("bundles", nargs="+", help="name=folder; the shipped one where the folder is empty")
    args = parser.parse_args()
    curves = read_curves(args.curves).take(np.arange(contest.N_BATCH))
    contestants: dict[str, dict[str, Any]] = {}
    for pair in args.bundles:
        name, _, folder = pair.partition("=")
        contestants |= compete(name, Path(folder) if folder else None, curves)
    contest.write(args.out, ("firstlight", "numpy", "numba", "scipy"), contestants)


if __name__ == "__main__":
    main()
