"""Build the `Explanation` of one object from the parts of a pipeline."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from firstlight._types import Float32Array, FloatArray, StrArray
from firstlight.bands import BANDS
from firstlight.classify import Classifier
from firstlight.classify.reasons import Decision, Explains
from firstlight.encoder import Encoder
from firstlight.encoder.decode import Reconstruction, reconstruct
from firstlight.errors import DataError
from firstlight.features.forecast import forecast
from firstlight.lightcurves import DETECTION_SNR, LightCurves
from firstlight.pipeline.explanation import (
    Change,
    Explanation,
    InputPart,
    Nearest,
    NextObservation,
    Reason,
    Why,
)
from firstlight.pipeline.kept import KeptObjects
from firstlight.pipeline.summary_words import Meaning
from firstlight.pipeline.words import group_of, natural_values
from firstlight.predictions import Predictions
from firstlight.timeline import answer_names, night_ends

N_NEAREST = 5
_N_INPUTS = 3  # named in each group
_REDSHIFTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # tried where none is known; 0 is in the Milky Way
_SPEC_ERR = 1e-3
_NEXT_DAYS = 1.0  # after the last observation
_SIGMAS = (-1.0, 0.0, 1.0)
_LEAST_OF_BAND = 2  # observations that a band needs before one more is imagined


@dataclass(frozen=True, slots=True)
class Explained:
    """The parts of a pipeline that `explain` reads."""

    classifier: Classifier
    encoder: Encoder
    columns: tuple[Meaning, ...]  # inputs of the classifier, in order
    is_blind: bool  # whether the pipeline was trained without redshifts
    kept: KeptObjects | None
    has_places: bool
    ready: Callable[[LightCurves], LightCurves]  # preprocesses as the classifier sees
    row: Callable[[LightCurves], Float32Array]  # columns of preprocessed light curves
    places: Callable[[LightCurves], FloatArray]
    predict: Callable[[LightCurves], Predictions]


def explain(parts: Explained, curves: LightCurves, against: str | None, n_nearest: int) -> Explanation:
    """Explain the answer to one object; see `Pipeline.explain`."""
    if len(curves) != 1:
        raise DataError(f"an explanation is that of one object; {len(curves)} given")
    if against is not None and against not in parts.classifier.classes:
        known = ", ".join(parts.classifier.classes)
        raise DataError(f"no class {against!r} in this bundle; choose of {known}")
    answer = parts.predict(curves)
    if not answer.is_classified[0]:
        note = "An object that is not classified has no reasons: its probabilities are class frequencies."
        return Explanation(curves[0], answer, (), (), None, (), (), (note,))
    notes: list[str] = []
    ready = parts.ready(curves)
    why = _why(parts, ready, answer, against, notes)
    nearest = _nearest(parts, curves, n_nearest, notes)
    made = _reconstruction(parts, ready)
    changes, following = _changes(parts, curves, answer, notes)
    return Explanation(curves[0], answer, why, nearest, made, changes, following, tuple(notes))


# --- reasons --------------------------------------------------------------------


def _why(
    parts: Explained, ready: LightCurves, answer: Predictions, against: str | None, notes: list[str]
) -> tuple[Why, ...]:
    classifier = parts.classifier
    if not isinstance(classifier, Explains):
        notes.append("The classifier of this bundle cannot be taken apart, so no reasons are given.")
        return ()
    x = parts.row(ready)[0]
    decisions = classifier.decisions(x, float(ready.redshift[0]))
    if not decisions:
        notes.append(
            "This bundle does not count the training rows of its trees: it gives no reasons; train it again."
        )
        return ()
    proba = dict(zip(answer.classes, answer.proba[0].tolist(), strict=True))
    found = []
    for decision in decisions:
        rival = against if decision.name != "side" and against in decision.classes else None
        found.append(_taken_apart(decision, x, parts.columns, proba, rival))
    if against is not None and all(against not in (w.favoured, w.against) for w in found):
        notes.append(
            f"Other trees decide between the Milky Way and the rest, so {against} has no reasons here."
        )
    return tuple(found)


def _taken_apart(
    decision: Decision,
    x: Float32Array,
    columns: tuple[Meaning, ...],
    proba: Mapping[str, float],
    against: str | None,
) -> Why:
    """A decision between the most probable of its classes and another, by default the next."""
    raw = decision.base + decision.parts.sum(axis=1)
    chance = [
        proba.get(name, float(score)) for name, score in zip(decision.classes, raw.tolist(), strict=True)
    ]
    order = np.argsort(-np.array(chance), kind="stable") if decision.name != "side" else np.argsort(-raw)
    best = int(order[0])
    rival = int(order[1]) if against is None else decision.classes.index(against)
    if rival == best:
        rival = int(order[1])
    weight = decision.parts[best] - decision.parts[rival]
    values = natural_values(columns, x)
    groups = [group_of(one.name) for one in columns]
    members = {group: [k for k, own in enumerate(groups) if own == group] for group in dict.fromkeys(groups)}
    reasons = []
    for group, places in members.items():
        largest = sorted(places, key=lambda k: -abs(weight[k]))[:_N_INPUTS]
        inputs = tuple(
            InputPart(columns[k].name, columns[k].text, columns[k].unit, values[k], float(weight[k]))
            for k in largest
            if weight[k]
        )
        reasons.append(Reason(group, float(weight[places].sum()), inputs))
    by_class = {
        name: {group: float(decision.parts[c, places].sum()) for group, places in members.items()}
        for c, name in enumerate(decision.classes)
    }
    return Why(
        decision=decision.name,
        favoured=decision.classes[best],
        against=decision.classes[rival],
        start=float(decision.base[best] - decision.base[rival]),
        total=float(raw[best] - raw[rival]),
        reasons=tuple(sorted(reasons, key=lambda one: -abs(one.weight))),
        by_class=by_class,
    )


# --- training objects and the reconstruction --------------------------------------


def _nearest(parts: Explained, curves: LightCurves, n: int, notes: list[str]) -> tuple[Nearest, ...]:
    """The nearest kept objects, cut at the age of this one, and without redshift where it has none."""
    kept = parts.kept
    if kept is None:
        notes.append("This bundle keeps no training objects; train it again to see the nearest ones.")
        return ()
    if not parts.has_places:
        notes.append("This bundle has no anomaly score, in whose space distances are measured.")
        return ()
    other = np.flatnonzero(kept.curves.object_id != curves.object_id[0])
    candidates, labels = kept.curves.take(other), kept.labels[other]
    same_age = candidates.upto_phase(curves.last_phase[0])
    if np.isnan(curves.redshift[0]):
        same_age = same_age.with_redshift("none")
    place, own = parts.places(same_age), parts.places(curves)[0]
    distance = np.sqrt(((place - own) ** 2).sum(axis=1))
    unit = _typical_distance(place, labels)
    order = np.argsort(distance, kind="stable")[:n]
    return tuple(
        Nearest(str(candidates.object_id[k]), str(labels[k]), float(distance[k] / unit), candidates[int(k)])
        for k in order
    )


def _typical_distance(place: FloatArray, labels: StrArray) -> float:
    """Median distance of an object from the nearest other one of its class."""
    square = (place**2).sum(axis=1)
    distance = np.sqrt(np.maximum(square[:, None] + square[None, :] - 2.0 * place @ place.T, 0.0))
    distance[labels[:, None] != labels[None, :]] = np.inf
    np.fill_diagonal(distance, np.inf)
    nearest = distance.min(axis=1)
    known = nearest[np.isfinite(nearest) & (nearest > 0.0)]
    return float(np.median(known)) if len(known) else 1.0


def _reconstruction(parts: Explained, ready: LightCurves) -> Reconstruction | None:
    return reconstruct(parts.encoder, ready) if ready.offsets[-1] else None


# --- the answer with other data ------------------------------------------------


def _changes(
    parts: Explained, curves: LightCurves, answer: Predictions, notes: list[str]
) -> tuple[tuple[Change, ...], tuple[NextObservation, ...]]:
    """Answers to variants of the object, all in one call."""
    variants = _redshift_variants(parts, curves, notes)
    ends = night_ends(curves[0])
    if len(ends) > 1:
        variants.append(("history", "Without the last night", curves.upto_mjd(ends[-2])))
    imagined = _imagined(curves, notes)
    all_curves = [variant for _, _, variant in variants] + [one for _, group in imagined for one in group]
    if not all_curves:
        return (), ()
    names = answer_names(str(curves.object_id[0]), len(all_curves))
    named = [one.with_columns(object_id=names[k : k + 1]) for k, one in enumerate(all_curves)]
    found = parts.predict(LightCurves.concatenate(named))
    best = answer.classes.index(str(answer.label[0]))
    changes = tuple(
        Change(kind, text, str(found.label[k]), float(found.proba[k].max()), float(found.proba[k, best]))
        for k, (kind, text, _) in enumerate(variants)
    )
    following = []
    for k, (expected, _) in enumerate(imagined):
        rows = range(len(variants) + k * len(_SIGMAS), len(variants) + (k + 1) * len(_SIGMAS))
        low, middle, high = (float(found.proba[row, best]) for row in rows)
        fainter, same, brighter = (str(found.label[row]) for row in rows)
        following.append(expected._replace(favoured=(low, middle, high), labels=(fainter, same, brighter)))
    following.sort(key=lambda one: min(one.favoured) - max(one.favoured))
    return changes, tuple(following)


def _redshift_variants(
    parts: Explained, curves: LightCurves, notes: list[str]
) -> list[tuple[str, str, LightCurves]]:
    """The object without its redshift and with a better one, or with redshifts where it has none."""
    if parts.is_blind:
        notes.append("The bundle was trained without redshifts: none would change the answer.")
        return []
    redshift = float(curves.redshift[0])
    if np.isnan(redshift):
        return [
            (
                "redshift",
                "In the Milky Way (redshift 0)" if z == 0.0 else f"With a redshift of {z:g}",
                _at_redshift(curves, z),
            )
            for z in _REDSHIFTS
        ]
    known = [("redshift", "Without the redshift", curves.with_redshift("none"))]
    if redshift > 0.0 and not float(curves.redshift_err[0]) <= _SPEC_ERR:
        known.append(
            (
                "redshift",
                f"With the redshift known precisely, {redshift:.3f} ± 0.001",
                _at_redshift(curves, redshift),
            )
        )
    return known


def _at_redshift(curves: LightCurves, redshift: float) -> LightCurves:
    err = _SPEC_ERR if redshift > 0.0 else 0.0
    return curves.with_columns(
        redshift=np.array([redshift], np.float32), redshift_err=np.array([err], np.float32)
    )


def _imagined(curves: LightCurves, notes: list[str]) -> list[tuple[NextObservation, list[LightCurves]]]:
    """In each band one more observation: a sigma fainter than expected, as expected, a sigma brighter."""
    mjd = float(curves.mjd[-1]) + _NEXT_DAYS
    expected = forecast(curves, mjd)
    if expected is None:
        notes.append("Too few nights to forecast one more observation.")
        return []
    made = []
    for band in range(len(BANDS)):
        own = curves.flux_err[curves.band == band]
        if len(own) < _LEAST_OF_BAND:
            continue
        noise = float(np.median(own))
        flux, sigma = float(expected[0][band]), float(np.hypot(expected[1][band], noise))
        cases = [_with_observation(curves, mjd, band, flux + s * sigma, noise) for s in _SIGMAS]
        made.append((NextObservation(BANDS[band], mjd, flux, sigma, (0.0, 0.0, 0.0), ("", "", "")), cases))
    return made


def _with_observation(curves: LightCurves, mjd: float, band: int, flux: float, err: float) -> LightCurves:
    added = {
        "mjd": mjd,
        "band": band,
        "flux": flux,
        "flux_err": err,
        "detected": abs(flux) > DETECTION_SNR * err,
    }
    columns = {
        name: np.append(getattr(curves, name), np.asarray(value, getattr(curves, name).dtype))
        for name, value in added.items()
    }
    return curves.with_columns(offsets=curves.offsets + np.array([0, 1]), **columns)
