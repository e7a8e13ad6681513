"""`Explanation`: reasons for the answer to an object, and data that would change it."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firstlight._types import FloatArray
from firstlight.bands import BANDS, EXTINCTION_PER_EBV
from firstlight.encoder.decode import Reconstruction
from firstlight.lightcurves import LightCurve
from firstlight.notebook import LONGEST, html_panel, html_table
from firstlight.predictions import Predictions
from firstlight.preprocess.dust import MAX_EBV
from firstlight.text import printable

_MOST_GROUPS = 4  # in a sentence
_TELLING = 1.2  # a group that changes a ratio of probabilities by less is not named in a sentence
_MOVED = 0.02  # a smaller change of a probability is none


class InputPart(NamedTuple):
    """One input of the classifier, and its contribution to a decision."""

    name: str
    meaning: str
    unit: str  # "1" for a pure number
    value: float  # in its unit; NaN where the observations do not determine it
    weight: float  # natural logarithm of the factor by which it multiplies the ratio of probabilities


class Reason(NamedTuple):
    """A group of inputs, and its contribution to a decision."""

    group: str
    weight: float  # natural logarithm, the sum over its inputs
    inputs: tuple[InputPart, ...]  # those that add or take most, first the largest


@dataclass(frozen=True, slots=True, eq=False)
class Why:
    """Why one class is more probable than another: a ratio of probabilities as a product over inputs.

    Exact Shapley values of the boosted trees (path-dependent TreeSHAP), before the calibration.
    """

    decision: str  # "class", "galactic class", "extragalactic class", or "side": in the Milky Way or not
    favoured: str  # the more probable class
    against: str  # the class that it is compared with
    start: float  # natural logarithm of the ratio when no input is known
    total: float  # natural logarithm of the ratio: `start` and the weights of all reasons
    reasons: tuple[Reason, ...]  # by group, first the largest
    by_class: dict[str, dict[str, float]]  # raw score that each group adds to each class


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """A training object that the bundle keeps, near the explained object."""

    object_id: str
    label: str  # its class
    # at the same age; 1 is the median distance of a kept object from the nearest other one of its class
    distance: float
    curve: LightCurve  # its whole light curve


class Change(NamedTuple):
    """The answer if something were different."""

    kind: str  # "redshift", "history" or "observation"
    text: str  # the difference
    label: str  # the most probable class then; empty if not classified
    probability: float  # of that class
    favoured: float  # probability of the class that is most probable now


class NextObservation(NamedTuple):
    """Expected effect of one more observation in one band."""

    band: str
    mjd: float
    flux: float  # expected flux [nJy]
    flux_err: float  # uncertainty of the expectation, with the noise of a measurement [nJy]
    # probability of the class that is most probable now, if the flux is one sigma fainter, as expected,
    # and one sigma brighter
    favoured: tuple[float, float, float]
    labels: tuple[str, str, str]  # the most probable class in each case


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Why an object has its answer.

    Attributes
    ----------
    curve : LightCurve
        The object as it was given.
    predictions : Predictions
        The answer, one row.
    why : tuple of Why
        The decisions behind the answer, as products over groups of inputs.
    nearest : tuple of Nearest
        The nearest training objects that the bundle keeps, nearest first.
    reconstruction : Reconstruction or None
        The autoencoder's reconstruction of the light curve.
    changes : tuple of Change
        The answer with and without a redshift, and without the last night.
    next_observations : tuple of NextObservation
        Expected effect of one more observation in each band, the largest first.
    notes : tuple of str
        Parts that are missing here, and why.
    """

    curve: LightCurve
    predictions: Predictions
    why: tuple[Why, ...]
    nearest: tuple[Nearest, ...]
    reconstruction: Reconstruction | None
    changes: tuple[Change, ...]
    next_observations: tuple[NextObservation, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        """The sentences."""
        name = printable(self.curve.object_id, LONGEST)
        return "\n".join([f"Explanation of object {name}", *(f"  {text}" for text in self.sentences())])

    def _repr_html_(self) -> str:
        """`repr` for notebooks."""
        name = printable(self.curve.object_id, LONGEST)
        return html_panel(
            f"Explanation of object {name}", html_table(("",), [(s,) for s in self.sentences()])
        )

    @property
    def label(self) -> str:
        """The most probable class; empty if the object is not classified."""
        return str(self.predictions.label[0])

    def decoded(self) -> FloatArray | None:
        """The reconstruction with the dust of the observations, shape (n_bins, 6) [nJy]; None without one."""
        if self.reconstruction is None:
            return None
        ebv = 0.0 if self.curve.dereddened else float(np.clip(np.nan_to_num(self.curve.ebv), 0.0, MAX_EBV))
        return np.asarray(self.reconstruction.flux * 10.0 ** (-0.4 * ebv * EXTINCTION_PER_EBV))

    def sentences(self) -> list[str]:
        """The explanation in words."""
        found = [self._answer(), *self.reasons()]
        if self.reconstruction is not None:
            percent = 100.0 * self.reconstruction.error
            found.append(
                f"The autoencoder reconstructs the light curve to {percent:.0f} % of its brightest flux."
            )
        found += [self._change_sentence(change) for change in self.changes]
        if self.next_observations:
            found.append(self._next_sentence(self.next_observations[0]))
        return [*found, *self.notes]

    def reasons(self) -> list[str]:
        """The part of the sentences that is about the decisions and the nearest training objects."""
        found = [_why_sentence(one) for one in self.why]
        if self.nearest:
            named = ", ".join(f"{one.label} ({one.distance:.1f})" for one in self.nearest)
            found.append(f"Nearest training objects at the same age, with their distances: {named}.")
        return found

    def _answer(self) -> str:
        one = self.predictions
        if not one.is_classified[0]:
            return f"Not classified: {str(one.reason[0]).replace('_', ' ')}."
        order = np.argsort(-one.proba[0], kind="stable")[:3]
        named = [f"{one.classes[k]} {100 * one.proba[0, k]:.0f} %" for k in order if one.proba[0, k] >= 0.005]
        text = f"Most probable classes: {', '.join(named)}."
        if members := one.sets[0]:
            text += f" Prediction set: {', '.join(members)}."
        return text

    def _change_sentence(self, change: Change) -> str:
        now = float(self.predictions.proba[0].max())
        step = change.favoured - now
        label = change.label or "not classified"
        if change.label == self.label:
            way = (
                "unchanged"
                if abs(step) < _MOVED
                else f"from {100 * now:.0f} to {100 * change.favoured:.0f} %"
            )
            return f"{change.text}: still {label}, {way}."
        chance = f" {100 * change.probability:.0f} %" if change.label else ""
        return f"{change.text}: {label}{chance}, not {self.label}."

    def _next_sentence(self, one: NextObservation) -> str:
        low, high = min(one.favoured), max(one.favoured)
        others = sorted({name for name in one.labels if name != self.label})
        now = float(self.predictions.proba[0].max())
        if not others and max(high - now, now - low) < _MOVED:
            return "One more observation a day later would change nothing."
        rest = f", or make it {' or '.join(others)}" if others else ""
        return (
            f"One more {one.band} observation a day later would tell most: it may move {self.label} to "
            f"{100 * low:.0f} to {100 * high:.0f} %{rest}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; NaN as None."""
        one = self.predictions
        found: dict[str, Any] = {
            "object_id": self.curve.object_id,
            "status": str(one.status[0]),
            "reason": str(one.reason[0]),
            "class": self.label,
            "probabilities": dict(zip(one.classes, map(_plain, one.proba[0].tolist()), strict=True)),
            "anomaly": _plain(float(one.anomaly[0])),
            "n_obs": int(one.n_obs[0]),
            "phase": _plain(float(one.phase[0])),
            "sentences": self.sentences(),
            "why": [_why_dict(why) for why in self.why],
            "nearest": [
                {
                    "object_id": near.object_id,
                    "class": near.label,
                    "distance": _plain(near.distance),
                    "light_curve": _curve_dict(near.curve),
                }
                for near in self.nearest
            ],
            "reconstruction": None,
            "changes": [change._asdict() for change in self.changes],
            "next_observations": [
                {name: list(v) if isinstance(v, tuple) else v for name, v in each._asdict().items()}
                for each in self.next_observations
            ],
            "notes": list(self.notes),
        }
        if (made := self.reconstruction) is not None:
            found["reconstruction"] = {
                "mjd": made.mjd.tolist(),
                "flux": {BANDS[b]: _list(made.flux[:, b]) for b in range(len(BANDS))},
                "observed": {BANDS[b]: _list(made.observed[:, b]) for b in range(len(BANDS))},
                "error": _plain(made.error),
            }
        return found


def factor_text(weight: float) -> str:
    """A weight as a factor of the ratio of probabilities: ``x 3.2`` for, ``/ 3.2`` against.

    Examples
    --------
    >>> factor_text(math.log(2.0)), factor_text(-math.log(2.0))
    ('x 2.0', '/ 2.0')
    """
    factor = math.exp(min(abs(weight), 690.0))
    number = f"{factor:.1f}" if factor < 100 else f"{factor:,.0f}" if factor < 1e6 else f"{factor:.0e}"
    return f"{'x' if weight >= 0.0 else '/'} {number}"


def _why_sentence(why: Why) -> str:
    named = [one for one in why.reasons if abs(one.weight) >= math.log(_TELLING)]
    speak = [f"{one.group} ({factor_text(one.weight)})" for one in named if one.weight > 0.0][:_MOST_GROUPS]
    oppose = [f"{one.group} ({factor_text(one.weight)})" for one in named if one.weight < 0.0][:_MOST_GROUPS]
    text = f"{why.favoured} against {why.against}"
    parts = [f"for it speak {', '.join(speak)}" if speak else "nothing speaks for it clearly"]
    if oppose:
        parts.append(f"against it {', '.join(oppose)}")
    return f"{text}: {'; '.join(parts)}."


def _why_dict(why: Why) -> dict[str, Any]:
    return {
        "decision": why.decision,
        "favoured": why.favoured,
        "against": why.against,
        "start": _plain(why.start),
        "total": _plain(why.total),
        "groups": [
            {
                "group": reason.group,
                "weight": _plain(reason.weight),
                "inputs": [
                    {name: _plain(v) if isinstance(v, float) else v for name, v in part._asdict().items()}
                    for part in reason.inputs
                ],
            }
            for reason in why.reasons
        ],
        "by_class": why.by_class,
    }


def _curve_dict(curve: LightCurve) -> dict[str, Any]:
    return {
        "mjd": curve.mjd.tolist(),
        "band": [BANDS[b] for b in curve.band.tolist()],
        "flux": _list(curve.flux),
        "flux_err": _list(curve.flux_err),
        "detected": curve.detected.tolist(),
        "dereddened": curve.dereddened,
        "trigger_mjd": _plain(float(curve.trigger_mjd)),
    }


def _list(values: NDArray[np.floating]) -> list[float | None]:
    return [_plain(float(f"{value:.6g}")) for value in values.tolist()]


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
