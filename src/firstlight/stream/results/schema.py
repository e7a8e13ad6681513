"""JSON Schema of the stream's records, for those who read them with other programs."""

from typing import Any

from firstlight.bands import BANDS
from firstlight.classify.status import REASONS
from firstlight.online.update import LATE_REASONS
from firstlight.predictions import BEYOND, CLASSIFIED, DOMAINS, NOT_CLASSIFIED
from firstlight.stream.alerts.observe import REASONS as DROP_REASONS
from firstlight.stream.results.context import context_schema
from firstlight.stream.results.features import features_schema
from firstlight.taxonomy import Taxonomy

#: Single values that each bundle beside the one in charge has in its answer.
ANSWER_FIELDS = (
    *("bundle", "status", "reason", "label", "anomaly", "change", "followup", "n_obs", "phase"),
    *("ebv", "ebv_source", "domain", "domain_reason", "set_size"),
)
_SHARE = {"type": "number", "minimum": 0.0, "maximum": 1.0}


def record_schema(taxonomy: Taxonomy | None = None) -> dict[str, Any]:
    """JSON Schema (2020-12) of one record of ``firstlight stream``, as JSON.

    Every field but ``features``, ``context`` and ``others`` is always present, in this order. Later versions
    may add fields at the end, so the schema allows more. The classes are those of a bundle's `taxonomy`,
    by default those of firstlight.

    Examples
    --------
    >>> list(record_schema()["properties"])[:3]
    ['object', 'alert', 'mjd']
    """
    taxonomy = Taxonomy() if taxonomy is None else taxonomy
    properties = _key() | _answer(taxonomy) | _brightness() | _history(taxonomy)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "firstlight result",
        "description": "The classification of one object after one alert.",
        "type": "object",
        "properties": properties
        | {"features": features_schema(), "context": context_schema(), "others": _others()},
        "required": list(properties),
    }


def _key() -> dict[str, Any]:
    return {
        "object": _text("Name of the object."),
        "alert": _text("Name of the alert."),
        "mjd": _number("Time of the alert [MJD TAI day]."),
        "ra": _number("Right ascension, ICRS [degree]; null if unknown.", or_null=True),
        "dec": _number("Declination, ICRS [degree]; null if unknown.", or_null=True),
        "bundle": _text(
            "Identity of the bundle. Equal object, alert and bundle mean equal bytes, so consumers count by "
            "these three."
        ),
    }


def _answer(taxonomy: Taxonomy) -> dict[str, Any]:
    return {
        "status": _one_of(
            (CLASSIFIED, NOT_CLASSIFIED), "Whether there are enough data for a classification."
        ),
        "reason": _one_of(("", *REASONS, BEYOND), "Why the object is not classified; empty if it is."),
        "label": _one_of(("", *taxonomy.classes), "Most probable class; empty if not classified."),
        "proba": _shares(
            taxonomy.classes,
            "Calibrated probability of each class, in whole millionths; the frequencies of the training set "
            "if not classified.",
        ),
        "coarse": _shares(taxonomy.coarse_groups, "Sum of the probabilities of each group of classes."),
        "anomaly": _share(
            "Anomaly score: a fraction 1 - anomaly of known objects at this phase is more anomalous; null if "
            "not classified."
        ),
        "change": _share(
            "Total variation distance from the probabilities in the object's previous record; null in the "
            "first."
        ),
        "followup": _share("Value of a spectrum on the next night; null if not classified."),
        "n_obs": _count("Number of known observations."),
        "phase": _number("Days since the trigger; null before the first detection.", or_null=True),
    }


def _brightness() -> dict[str, Any]:
    measured = {
        "mag": _number("Latest magnitude in that band, of the fluxes in the packet [AB mag].", or_null=True),
        "mag_err": _number("Error of mag [mag].", or_null=True),
        "band": _one_of((*BANDS, None), "Band with the most significant recent flux."),
        "mag_mjd": _number("Time of mag [MJD TAI day].", or_null=True),
        "slope": _number(
            "Change of magnitude, common to all bands [mag per day]; negative when brightening.", or_null=True
        ),
        "slope_err": _number("Error of slope [mag per day].", or_null=True),
        "peak_mag": _number("Brightest magnitude so far, in any band [AB mag].", or_null=True),
        "peak_mjd": _number("Time of peak_mag [MJD TAI day].", or_null=True),
    }
    for field in measured.values():
        field["description"] += " Null without a significant flux."
    return measured


def _history(taxonomy: Taxonomy) -> dict[str, Any]:
    return {
        "source": _text("Number of the source that triggered the alert; null if unknown.", or_null=True),
        "late": {
            "type": "boolean",
            "description": "Whether the alert changed observations before the object's latest one.",
        },
        "late_reason": _one_of(
            (*filter(None, LATE_REASONS), None), "How it changed them; null if it did not."
        ),
        "n_dropped": {
            "type": "object",
            "properties": {name: {"type": "integer", "minimum": 1} for name in DROP_REASONS},
            "description": "Rows of the packet that were set aside, by reason.",
        },
        "ebv": _number("Milky Way E(B-V) that the answer uses [mag]; null if unknown.", or_null=True),
        "ebv_source": _one_of(
            ("given", "map", None),
            "Whether the alerts give it, or it is that of the dust map at their position.",
        ),
        "domain": _one_of(
            DOMAINS,
            "Whether the object was observed like those that the bundle was trained on; unknown if the "
            "bundle does not say, or the object is not classified for want of data.",
        ),
        "domain_reason": _text(
            "The inputs that are unlike those of training; null if none is.", or_null=True
        ),
        "set": {
            "type": ["array", "null"],
            "items": {"enum": list(taxonomy.classes)},
            "uniqueItems": True,
            "description": "Prediction set: the classes that the object may have. Of the objects of each "
            "class, 90 %, or the coverage that was chosen, have it in their set. Null if not classified, or "
            "if the bundle has no sets.",
        },
        "set_size": {
            "type": ["integer", "null"],
            "minimum": 1,
            "description": "Number of classes in the set; null without one.",
        },
    }


def _others() -> dict[str, Any]:
    """Answers of the bundles beside the one in charge, whose classes may be others."""
    return {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "bundle": _text("Identity of that bundle."),
                "error": _text("Why it has no answer; then there are no other fields."),
            },
            "required": ["bundle"],
        },
        "description": "With several bundles: the answers of those beside the one in charge, in their order. "
        "Each has the fields bundle to phase, ebv to set_size, features and context of the record that "
        "the bundle would write alone; the other fields would be those of this record.",
    }


def _type(name: str, or_null: bool) -> str | list[str]:
    return [name, "null"] if or_null else name


def _text(description: str, *, or_null: bool = False) -> dict[str, Any]:
    return {"type": _type("string", or_null), "description": description}


def _number(description: str, *, or_null: bool = False) -> dict[str, Any]:
    return {"type": _type("number", or_null), "description": description}


def _count(description: str) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0, "description": description}


def _share(description: str) -> dict[str, Any]:
    return _SHARE | {"type": ["number", "null"], "description": description}


def _one_of(values: tuple[str | None, ...], description: str) -> dict[str, Any]:
    return {"enum": list(values), "description": description}


def _shares(names: tuple[str, ...], description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict.fromkeys(names, _SHARE),
        "required": list(names),
        "additionalProperties": False,
        "description": description,
    }
