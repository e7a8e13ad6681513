"""The supernovae of SNPCC for the part ``new-survey``: how many, for what, and how they differ.

What is tested on has no spectrum and is never trained on. Labels come from the bright
spectroscopic sample, which is what one has in reality, or at random from the rest.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.bands import magnitude
from firstlight.data import RejectLog, Snpcc, read_snpcc
from firstlight.lightcurves import LightCurve, LightCurves
from firstlight_paper.parts.new_survey_show import THREE
from firstlight_paper.workshop import Bench, Report

__all__ = ["FULL", "QUICK", "Amounts", "Split", "digest", "look", "split_survey", "survey_of"]

_WINDOW = (-30.0, 100.0)  # days since trigger that an example shows
_SHOWN_REDSHIFT = 0.35


@dataclass(frozen=True)
class Amounts:
    """How much of the new survey is used.

    Attributes
    ----------
    n_test : int
        Objects that are only tested on, the same for all.
    n_random : int
        Objects from which labels are drawn at random, shared out among the draws.
    labels : tuple of int
        Numbers of labelled objects tried.
    draws : int
        Repetitions, each with other labelled objects and the pipeline of another fold.
    rounds : int
        Boosting rounds of each classifier.
    """

    n_test: int
    n_random: int
    labels: tuple[int, ...]
    draws: int
    rounds: int


FULL = Amounts(n_test=2000, n_random=3000, labels=(30, 100, 300, 1000), draws=3, rounds=200)
QUICK = Amounts(n_test=300, n_random=300, labels=(30, 100), draws=2, rounds=60)


@dataclass(frozen=True, eq=False)
class Split:
    """Positions of the new survey's objects by what they are for; no object is in two.

    Attributes
    ----------
    test : int64 array
        Tested on; none has a spectrum.
    random : tuple of int64 array
        One a draw, to be labelled: a fair sample of the objects without a spectrum.
    spectroscopic : int64 array
        The bright sample that a spectrograph has typed.
    """

    test: NDArray[np.int64]
    random: tuple[NDArray[np.int64], ...]
    spectroscopic: NDArray[np.int64]


def split_survey(survey: Snpcc, amounts: Amounts, rng: np.random.Generator) -> Split:
    """Share out the objects that triggered; what has a spectrum is never tested on."""
    usable = np.isfinite(survey.curves.trigger_mjd)
    without = rng.permutation(np.flatnonzero(usable & ~survey.spectroscopic))
    test, pool = without[: amounts.n_test], without[amounts.n_test :][: amounts.n_random]
    return Split(
        test=np.sort(test),
        random=tuple(np.array_split(pool, amounts.draws)),
        spectroscopic=np.flatnonzero(usable & survey.spectroscopic),
    )


def digest(folder: Path) -> str:
    """Changes with the name or size of any file of the survey."""
    files = sorted(path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else []
    return hashlib.sha256(repr([(path.name, path.stat().st_size) for path in files]).encode()).hexdigest()


@lru_cache(maxsize=1)
def survey_of(folder: Path) -> tuple[Snpcc, int]:
    """The survey, and how many of its rows were set aside; read once a process."""
    log = RejectLog()
    return read_snpcc(folder, log), len(log)


def look(bench: Bench, item: tuple[Amounts, str], report: Report) -> dict[str, Any]:
    """What the two surveys' supernovae look like: medians, and an example of each class."""
    assert bench.snpcc is not None
    survey, n_rejected = survey_of(bench.snpcc)
    parts = split_survey(survey, item[0], bench.rng("new-survey"))
    objects = bench.objects
    home = np.flatnonzero(np.isin(objects.labels, THREE) & ~objects.simulated)
    groups = {
        "PLAsTiCC": (objects.curves.take(home), objects.labels[home]),
        "SNPCC, with spectrum": (
            survey.curves.take(parts.spectroscopic),
            survey.labels[parts.spectroscopic],
        ),
        "SNPCC, tested on": (survey.curves.take(parts.test), survey.labels[parts.test]),
    }
    examples = {
        name: {label: _example(groups[name], label) for label in THREE}
        for name in ("PLAsTiCC", "SNPCC, with spectrum")
    }
    return {
        "surveys": {name: _medians(*group) for name, group in groups.items()},
        "examples": examples,
        "n_rejected": n_rejected,
        "n_survey": len(survey),
    }


def _medians(curves: LightCurves, labels: NDArray[np.str_]) -> dict[str, Any]:
    flux_err = curves.flux_err.astype(np.float64)
    owner = curves.object_index
    snr, brightest = np.full(len(curves), -np.inf), np.full(len(curves), -np.inf)
    np.maximum.at(snr, owner, curves.flux / flux_err)
    np.maximum.at(brightest, owner, np.where(curves.detected, curves.flux, -np.inf))
    n_detected = np.bincount(owner[curves.detected], minlength=len(curves))
    return {
        "n_objects": len(curves),
        "mix": {name: float(np.mean(labels == name)) for name in THREE},
        "n_obs": float(np.median(curves.n_obs)),
        "n_detected": float(np.median(n_detected)),
        "snr": float(np.median(snr)),
        "magnitude": float(np.median(magnitude(brightest[np.isfinite(brightest)]))),
        "depth": float(np.median(magnitude(5.0 * flux_err))),
        "redshift": float(np.nanmedian(curves.redshift)),
    }


def _example(group: tuple[LightCurves, NDArray[np.str_]], label: str) -> dict[str, Any] | None:
    """An object of a class near the shown redshift, well observed around its rise."""
    curves, labels = group
    owner, phase = curves.object_index, curves.phase

    def count(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(owner[mask], minlength=len(curves))

    snr, loud = curves.flux / curves.flux_err, 10.0
    suits = (count(snr > loud) >= 8) & (count((phase > -20.0) & (phase < 0.0)) >= 4)
    suits &= count((phase > 30.0) & (phase < 80.0)) >= 6
    far = np.where((labels == label) & suits, np.abs(curves.redshift - _SHOWN_REDSHIFT), np.inf)
    far = np.where(np.isfinite(far), far, np.inf)
    return _drawn(curves[int(far.argmin())]) if np.isfinite(far).any() else None


def _drawn(curve: LightCurve) -> dict[str, Any]:
    phase = curve.mjd - curve.trigger_mjd
    keep = np.flatnonzero((phase >= _WINDOW[0]) & (phase <= _WINDOW[1]))
    keep = keep[:: -(-len(keep) // 100)]
    return {
        "redshift": curve.redshift,
        "phase": phase[keep].round(2),
        "band": curve.band[keep],
        "flux": (curve.flux[keep] / 1e3).round(3),  # uJy
        "flux_err": (curve.flux_err[keep] / 1e3).round(3),
    }
