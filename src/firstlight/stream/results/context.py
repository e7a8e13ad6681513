"""The field ``context`` of a record: redshifts that the answer uses, and the host's distance."""

from typing import Any

from firstlight._types import IntArray
from firstlight.hosts import KINDS, UsedRedshifts

_NONE = KINDS.index("none")
#: Decimals of redshifts, weights and host offsets.
_REDSHIFT, _WEIGHT, _ARCSEC = 6, 6, 3


def context_fields(used: UsedRedshifts, answered: IntArray, n_alerts: int) -> list[dict[str, Any] | None]:
    """The field of each alert; None where it was not answered.

    `used` has the alerts at the positions `answered`.
    """
    rows = [
        {
            "redshift": _number(redshift, _REDSHIFT),
            "redshift_err": _number(error, _REDSHIFT),
            "kind": KINDS[kind],
            "weight": round(weight, _WEIGHT),
        }
        for redshift, error, kind, weight in zip(
            used.redshift.tolist(),
            used.redshift_err.tolist(),
            used.kind.tolist(),
            used.weight.tolist(),
            strict=True,
        )
    ]
    fields: list[dict[str, Any] | None] = [None] * n_alerts
    table = zip(
        answered.tolist(),
        used.starts.tolist(),
        used.counts.tolist(),
        used.from_context.tolist(),
        used.host_offset.tolist(),
        strict=True,
    )
    for k, (place, start, count, from_context, offset) in enumerate(table):
        mine = rows[start : start + count]
        if all(row["kind"] == KINDS[_NONE] for row in mine):
            source, mine = None, []
        else:
            source = "context" if from_context else "given"
        fields[place] = {
            "version": used.version,
            "source": source,
            "redshifts": mine,
            "host_offset": _number(offset, _ARCSEC),
            "error": used.failures[k][1] if k in used.failures else None,
        }
    return fields


def context_schema() -> dict[str, Any]:
    """JSON Schema of the field."""
    number = {"type": ["number", "null"]}
    row = {
        "redshift": number | {"description": "Redshift; null for an unknown host."},
        "redshift_err": number | {"description": "Its error; null if unknown."},
        "kind": {"enum": list(KINDS), "description": "Photometric, spectroscopic, or none."},
        "weight": {
            "type": "number",
            "minimum": 0.0,
            "maximum": 1.0,
            "description": "Weight of the answer with this redshift in the answer; they sum to 1.",
        },
    }
    fields = {
        "version": {
            "type": "string",
            "description": "Version of the context: digits of the file's sha256, or the name of the lookup.",
        },
        "source": {
            "enum": ["given", "context", None],
            "description": "Whether the alerts give the redshift, or the context; null if neither.",
        },
        "redshifts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": row,
                "required": list(row),
                "additionalProperties": False,
            },
            "description": "Redshifts that the answer uses.",
        },
        "host_offset": number
        | {"description": "Distance to the centre of the most probable host [arcsec]; null if unknown."},
        "error": {
            "type": ["string", "null"],
            "description": "Why the context could not be read for this object, so that the answer uses what "
            "the alerts give; null if it could.",
        },
    }
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
        "description": "Redshifts of the answer; only with --context.",
    }


def _number(value: float, digits: int) -> float | None:
    """A rounded number; None for NaN."""
    return None if value != value else round(value, digits)
