"""The page of one object: its history, light curve, altitude tonight, reasons in words and links."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np

from firstlight.bands import BANDS
from firstlight.followup.night import Night, altitude
from firstlight.serve.board import History, in_set
from firstlight.serve.observations import Observations, Points
from firstlight.serve.tonight import LEVEL, Snapshot, prediction_set

_MOST_CLASSES = 6  # drawn against time; the others count as one
_SHOWN_CHANCE = 0.02  # a class that never exceeded this is not drawn by itself
_CONE_ARCSEC = 5.0  # of links by position
_RUBIN_DIGITS = 15  # of the names of Rubin's objects, at least
_SAME_MJD = 1e-5  # day; the ranking rounds its times
_TREND = 0.05  # change of a probability that is called one


@dataclass(frozen=True, slots=True)
class Chances:
    """Probabilities of the main classes at each record, for a chart."""

    mjd: list[float]
    classes: list[str]
    proba: list[list[float]]  # of each class, one value per record
    others: list[float]  # sum of the other classes


def light_curve_of(object_id: str, history: History, source: Observations) -> tuple[Points, bool]:
    """Observations of an object, and whether they are from the records alone."""
    curve = source.find(object_id)
    if curve is not None:
        return Points.of(curve), False
    return _stated(history), True


def _stated(history: History) -> Points:
    """The magnitudes that the records state, each once."""
    points = history.points
    known = np.flatnonzero((points["band"] >= 0) & np.isfinite(points["mag"]))
    _, first = np.unique(points["mag_mjd"][known], return_index=True)
    rows = known[np.sort(first)]
    n = len(rows)
    return Points(
        mjd=[round(t, 6) for t in points["mag_mjd"][rows].tolist()],
        band=[BANDS[k] for k in points["band"][rows].tolist()],
        flux=[None] * n,
        flux_err=[None] * n,
        mag=[round(v, 4) for v in points["mag"][rows].tolist()],
        mag_err=[round(v, 4) if math.isfinite(v) else None for v in points["mag_err"][rows].tolist()],
        limit=[None] * n,
        detected=[True] * n,
    )


def chances(history: History) -> Chances:
    """Probabilities of the main classes against time; records without a class are left out."""
    points = history.points[history.points["label"] >= 0]
    points = points[np.argsort(points["mjd"], kind="stable")]
    largest = points["proba"].max(axis=0, initial=0.0)
    order = [k for k in np.argsort(-largest, kind="stable").tolist() if largest[k] >= _SHOWN_CHANCE]
    own = order[:_MOST_CLASSES]
    rest = [k for k in range(len(history.classes)) if k not in own]
    return Chances(
        mjd=[round(t, 6) for t in points["mjd"].tolist()],
        classes=[history.classes[k] for k in own],
        proba=[[round(p, 4) for p in points["proba"][:, k].tolist()] for k in own],
        others=[round(p, 4) for p in points["proba"][:, rest].sum(axis=1).tolist()],
    )


def alerts_of(history: History) -> list[dict[str, Any]]:
    """One row per kept record, the newest first."""
    rows = []
    for alert, point in zip(history.alerts, history.points, strict=True):
        best = int(point["label"])
        rows.append(
            {
                "alert": alert,
                "mjd": round(float(point["mjd"]), 6),
                "phase": _number(point["phase"], 3),
                "n_obs": int(point["n_obs"]),
                "class": history.classes[best] if best >= 0 else "",
                "probability": _number(point["proba"][best], 4) if best >= 0 else None,
                "anomaly": _number(point["anomaly"], 4),
                "change": _number(point["change"], 4),
                "mag": _number(point["mag"], 3),
                "mag_err": _number(point["mag_err"], 3),
                "band": BANDS[point["band"]] if point["band"] >= 0 else "",
                "late": bool(point["late"]),
            }
        )
    return sorted(reversed(rows), key=lambda row: -row["mjd"])


def reasons_in_words(row: Mapping[str, Any], proba: Any, history: History) -> list[str]:
    """Why the object has its class and its rank, a sentence each."""
    sentences = []
    if row["class"]:
        order = np.argsort(-proba, kind="stable")[:3]
        named = [f"{history.classes[k]} {100.0 * proba[k]:.0f} %" for k in order if proba[k] >= 0.005]
        sentences.append(f"Most probable classes: {', '.join(named)}.")
        sentences.append(_set_sentence(proba, history))
        sentences += _trend(str(row["class"]), history)
    else:
        why = str(row["reason"]).replace("_", " ") or "no reason given"
        sentences.append(f"Not classified ({why}); the probabilities are the class frequencies of training.")
    if _known(row["anomaly"]):
        share = 100.0 * float(row["anomaly"])
        words = f"More unusual than {share:.1f} % of the known objects at this phase"
        sentences.append(words + ("." if share < 95.0 else ": one in twenty or fewer looks like this."))
    if row.get("reasons"):
        place = f"Rank {int(row['rank'])} tonight" if _known(row["rank"]) else "Tonight"
        if abs(row["ranked_mjd"] - row["mjd"]) > _SAME_MJD:  # the ranking follows some seconds later
            place += f", by its record of MJD {row['ranked_mjd']:.4f} (the newer one is ranked soon)"
        sentences.append(f"{place}: {row['reasons']}.")
    else:
        sentences.append("Not ranked tonight: its newest record is too old, or nothing can be ranked.")
    if row.get("late"):
        sentences.append("The newest alert changed earlier observations.")
    return sentences


def _set_sentence(proba: Any, history: History) -> str:
    """The prediction set of the record, or else the fewest classes that hold `LEVEL`."""
    if given := in_set(record_json(history).get("set")):
        return f"Prediction set, whose classes cannot be excluded: {', '.join(given)}."
    chosen = prediction_set(proba, history.classes)
    words = "one class holds" if len(chosen) == 1 else f"{len(chosen)} classes hold"
    return f"{words.capitalize()} {100 * LEVEL:.0f} % of the probability: {', '.join(chosen)}."


def _trend(label: str, history: History) -> list[str]:
    """How the probability of the class changed since the first classified record."""
    points = history.points[history.points["label"] >= 0]
    if len(points) < 2:
        return ["This is its first classified record."]
    own = points["proba"][:, history.classes.index(label)]
    labels = points["label"]
    since = len(labels) - int(np.argmax(labels[::-1] != labels[-1])) if (labels != labels[-1]).any() else 0
    days = float(points["mjd"][-1] - points["mjd"][min(since, len(points) - 1)])
    held = f"for {len(points) - since} records ({days:.1f} days)" if since else "since the first record"
    step = float(own[-1] - own[0])
    way = "rose" if step >= _TREND else "fell" if step <= -_TREND else "stayed"
    span = f"from {100 * own[0]:.0f} to {100 * own[-1]:.0f} %"
    return [f"{label} has been the most probable class {held}; its probability {way} {span}."]


def altitude_chart(night: Night, ra: float, dec: float) -> dict[str, list[float]]:
    """Altitude of an object and of the Moon in the dark hours [degree], against UTC hours from midnight."""
    own = altitude(night, np.array([ra]), np.array([dec]))[0]
    return {
        "hours": [round(hour, 3) for hour in night.hours.tolist()],
        "altitude": [round(value, 2) for value in own.tolist()],
        "moon": [round(value, 2) for value in night.moon_altitude.tolist()],
    }


def links(object_id: str, ra: float, dec: float) -> list[tuple[str, str]]:
    """Names and addresses of pages elsewhere, by position; empty without a position."""
    if not (math.isfinite(ra) and math.isfinite(dec)):
        return []
    where = {"ra": f"{ra:.6f}", "dec": f"{dec:.6f}", "radius": _CONE_ARCSEC}
    tns = {"ra": where["ra"], "decl": where["dec"], "radius": _CONE_ARCSEC, "coords_unit": "arcsec"}
    simbad = {"Coord": f"{ra:.6f} {dec:+.6f}", "Radius": _CONE_ARCSEC, "Radius.unit": "arcsec"}
    cone = {"action": "conesearch"} | where
    return [
        ("TNS", f"https://www.wis-tns.org/search?{urlencode(tns)}"),
        ("ALeRCE", f"https://alerce.online/?{urlencode(where | {'page': 1})}"),
        ("Fink, Rubin", f"https://lsst.fink-portal.org/?{urlencode(cone)}"),
        ("Fink, ZTF", f"https://ztf.fink-portal.org/?{urlencode(cone)}"),
        _lasair(object_id),
        ("Simbad", f"https://simbad.cds.unistra.fr/simbad/sim-coo?{urlencode(simbad)}"),
    ]


def _lasair(object_id: str) -> tuple[str, str]:
    """Lasair's page of an object; its search by position takes no address, so else its search page."""
    if object_id.startswith("ZTF"):
        return "Lasair, ZTF", f"https://lasair-ztf.lsst.ac.uk/objects/{quote(object_id, safe='')}/"
    if object_id.isascii() and object_id.isdigit() and len(object_id) >= _RUBIN_DIGITS:
        return "Lasair, Rubin", f"https://lasair.lsst.ac.uk/objects/{object_id}/"
    return "Lasair (enter the position)", "https://lasair.lsst.ac.uk/conesearch/"


def record_json(history: History) -> dict[str, Any]:
    """The newest record, as the stream wrote it; empty if it was not JSON."""
    try:
        found = json.loads(history.raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def points_json(points: Points) -> dict[str, Any]:
    """Observations as a JSON object of lists."""
    return asdict(points)


def as_python(object_id: str, address: str) -> str:
    """Lines of Python that read the object's newest record and light curve from this page."""
    return "\n".join(
        [
            "import json, urllib.parse, urllib.request",
            "",
            f"page, name = {address!r}, {object_id!r}",
            'query = urllib.parse.urlencode({"id": name})',
            'record = json.load(urllib.request.urlopen(f"{page}/api/object?{query}"))',
            'curve = json.load(urllib.request.urlopen(f"{page}/api/lightcurve?{query}"))',
            'print(record["record"]["label"], len(curve["mjd"]))',
        ]
    )


def row_json(snapshot: Snapshot, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table as JSON: numbers, texts, None where unknown."""
    return {str(name): _plain(value) for name, value in row.items()} | {"bundle": snapshot.bundle}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, np.integer):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else None


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _number(value: Any, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(float(value)) else None
