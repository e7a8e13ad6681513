"""The record of one alert, encoded as JSON or in ELAsTiCC's Avro form.

A record does not depend on the clock or on batching, so a replay gives the same bytes; sums are
taken over whole millionths or column by column, never in an order that a library chooses.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from firstlight._version import __version__
from firstlight.constants import MJD_OF_1970, TAI_MINUS_UTC_S
from firstlight.errors import SettingsError, missing_extra
from firstlight.followup.brightness import Brightness, measure_brightness
from firstlight.followup.utility import followup_score
from firstlight.lightcurves import LightCurves
from firstlight.online import Update
from firstlight.predictions import CLASSIFIED, Predictions
from firstlight.stream.alerts.alert import Alert
from firstlight.stream.alerts.values import integer_name
from firstlight.stream.avro.container import write_container
from firstlight.stream.avro.decode import fastavro_module
from firstlight.stream.results.context import context_fields
from firstlight.stream.results.features import FEATURE_DIGITS, PAIR_NAMES, transient_features
from firstlight.taxonomy import ELASTICC_NOT_CLASSIFIED, Taxonomy

OutputFormat = Literal["json", "elasticc"]

#: Columns of the brightness in a record, and their decimals.
BRIGHTNESS_DIGITS = {
    "mag": 4,
    "mag_err": 4,
    "mag_mjd": 9,
    "slope": 5,
    "slope_err": 5,
    "peak_mag": 4,
    "peak_mjd": 9,
}
#: Keys of a record that ELAsTiCC's form holds in other fields, or that follow from them.
_ELASTICC_FIELDS = frozenset({"status", "label", "proba", "coarse", "source"})
_MILLION = 1_000_000
_DAY_MS = 86_400_000

#: ELAsTiCC's schema of a broker's answer, version 0.9.1 (the record's name is spelt so there).
BROKER_CLASSIFICATION: dict[str, Any] = {
    "namespace": "elasticc.v0_9_1",
    "type": "record",
    "name": "brokerClassfication",
    "fields": [
        {"name": "alertId", "type": "long"},
        {"name": "diaSourceId", "type": "long"},
        {"name": "elasticcPublishTimestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {
            "name": "brokerIngestTimestamp",
            "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}],
        },
        *(
            {"name": name, "type": "string"}
            for name in ("brokerName", "brokerVersion", "classifierName", "classifierParams")
        ),
        {
            "name": "classifications",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "classificationDict",
                    "fields": [{"name": "classId", "type": "int"}, {"name": "probability", "type": "float"}],
                },
            },
        },
    ],
}


def build_records(
    alerts: Sequence[Alert],
    curves: LightCurves,
    update: Update,
    bundle: str,
    *,
    with_features: bool = False,
) -> list[dict[str, Any]]:
    """Records of alerts of different objects, keys in a fixed order, for `ResultFormat.encode`.

    Both have one row per alert: `curves` the observations in the packets, and `update` the pipeline's
    answers. Probabilities are whole millionths. `with_features` adds the field ``features``, and a context of
    the pipeline the field ``context``.
    """
    brightness = measure_brightness(curves)  # of this packet, not corrected for dust
    measured = {name: _numbers(getattr(brightness, name), n) for name, n in BRIGHTNESS_DIGITS.items()}
    columns: dict[str, list[Any]] = {
        "object": [alert.object_id for alert in alerts],
        "alert": [alert.alert_id for alert in alerts],
        "mjd": [alert.mjd for alert in alerts],
        "ra": _finite(np.array([alert.ra for alert in alerts], np.float64)),
        "dec": _finite(np.array([alert.dec for alert in alerts], np.float64)),
        **_classification(alerts, update, bundle, brightness),
        "mag": measured.pop("mag"),
        "mag_err": measured.pop("mag_err"),
        "band": [name or None for name in brightness.band_name.tolist()],
        **measured,
        "source": [str(alert.source_id) if alert.source_id else None for alert in alerts],
        "late": [bool(reason) for reason in update.late_reason],
        "late_reason": [reason or None for reason in update.late_reason],
        "n_dropped": [dict(alert.n_dropped) for alert in alerts],
        **_conditions(update),
        **_optional(alerts, update, with_features),
    }
    return _rows(columns)


def build_answers(
    alerts: Sequence[Alert],
    curves: LightCurves,
    update: Update,
    bundle: str,
    *,
    with_features: bool = False,
) -> list[dict[str, Any]]:
    """The part of `build_records` that depends on the bundle: another bundle's answers to the same alerts."""
    columns = _classification(alerts, update, bundle, measure_brightness(curves)) | _conditions(update)
    return _rows(columns | _optional(alerts, update, with_features))


def _classification(
    alerts: Sequence[Alert], update: Update, bundle: str, brightness: Brightness
) -> dict[str, list[Any]]:
    """The fields ``bundle`` to ``phase``."""
    predictions = update.predictions
    followup = followup_score(
        predictions.proba,
        predictions.anomaly,
        predictions.is_classified,
        brightness,
        np.array([alert.mjd for alert in alerts], np.float64),
        classes=predictions.classes,
    )
    groups = predictions.coarse_groups
    fine, coarse, change = _in_millionths(predictions, update.previous)
    return {
        "bundle": [bundle] * len(alerts),
        "status": predictions.status.tolist(),
        "reason": predictions.reason.tolist(),
        "label": predictions.label.tolist(),
        "proba": [dict(zip(predictions.classes, row, strict=True)) for row in fine.tolist()],
        "coarse": [dict(zip(groups, row, strict=True)) for row in coarse.tolist()],
        "anomaly": _numbers(predictions.anomaly, 6),
        "change": _numbers(change, 6),
        "followup": _numbers(followup, 6),
        "n_obs": predictions.n_obs.tolist(),
        "phase": _numbers(predictions.phase, 6),
    }


def _conditions(update: Update) -> dict[str, list[Any]]:
    """The fields ``ebv`` to ``set_size``."""
    predictions = update.predictions
    sets = predictions.sets
    return {
        "ebv": _numbers(update.ebv, 4),
        "ebv_source": [source or None for source in update.ebv_source],
        "domain": predictions.domain.tolist(),
        "domain_reason": [reason or None for reason in predictions.domain_reason.tolist()],
        "set": [names or None for names in sets],
        "set_size": [len(names) or None for names in sets],
    }


def _optional(alerts: Sequence[Alert], update: Update, with_features: bool) -> dict[str, list[Any]]:
    """The fields ``features`` and ``context``, where there are any."""
    columns: dict[str, list[Any]] = {}
    if with_features:
        columns["features"] = _features(alerts, update)
    if update.redshifts is not None:
        columns["context"] = context_fields(update.redshifts, np.flatnonzero(update.answered), len(alerts))
    return columns


def _rows(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """One table per alert."""
    names = tuple(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _features(alerts: Sequence[Alert], update: Update) -> list[dict[str, Any]]:
    """The field ``features`` of each record."""
    values, pair = transient_features(update.states.data["running"])
    columns: dict[str, list[Any]] = {
        name: _numbers(values[name], digits) for name, digits in FEATURE_DIGITS.items()
    }
    columns["colour_bands"] = [PAIR_NAMES[k] or None for k in pair.tolist()]
    columns["reliability"] = _finite(np.array([alert.reliability for alert in alerts]))
    return _rows(columns)


def _in_millionths(
    predictions: Predictions, previous: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities of classes and groups, and their change, as whole millionths of 1."""
    proba, groups = predictions.proba, predictions.coarse_groups
    group_of = [groups.index(predictions.groups.get(name, name)) for name in predictions.classes]
    parts = np.rint(proba * _MILLION).astype(np.int64)
    before = np.rint(np.where(np.isnan(previous), 0.0, previous) * _MILLION).astype(np.int64)
    coarse = np.zeros((len(proba), len(groups)), np.int64)
    moved = np.zeros(len(proba), np.int64)
    for k, group in enumerate(group_of):
        coarse[:, group] += parts[:, k]
        moved += np.abs(parts[:, k] - before[:, k])
    change = np.where(np.isnan(previous[:, 0]), np.nan, np.rint(moved / 2.0) / _MILLION)
    return parts / _MILLION, coarse / _MILLION, np.minimum(change, 1.0)


def _numbers(values: NDArray[np.floating[Any]], digits: int) -> list[float | None]:
    """Rounded numbers; None for NaN and infinities."""
    return _finite(np.round(values, digits) + 0.0)  # no -0.0


def _finite(values: NDArray[np.floating[Any]]) -> list[float | None]:
    """Numbers; None for NaN and infinities, which JSON lacks."""
    out = values.astype(object)
    out[~np.isfinite(values)] = None
    numbers: list[float | None] = out.tolist()
    return numbers


def result_key(record: Mapping[str, Any]) -> bytes:
    """Key of a record's message: the object, so that its records stay in order."""
    return str(record["object"]).encode()


# --- bytes ----------------------------------------------------------------------


class ResultFormat(Protocol):
    """An encoding of records: equal records and timestamps give equal bytes."""

    preamble: bytes  #: first bytes of a file of records

    def encode(self, record: Mapping[str, Any], timestamp_ms: int | None) -> bytes:
        """Bytes of one record; `timestamp_ms` is that of the alert's message, if it has one."""
        ...


class JsonResults:
    """Records as JSON, one object each, without a newline; needs orjson.

    >>> JsonResults().encode({"object": "a", "change": None}, None)
    b'{"object":"a","change":null}'
    """

    preamble = b""

    def __init__(self) -> None:
        try:
            import orjson
        except ImportError as error:
            raise missing_extra("writing results as JSON", "orjson", "stream") from error
        self._dumps = orjson.dumps

    def encode(self, record: Mapping[str, Any], timestamp_ms: int | None) -> bytes:
        """See `ResultFormat.encode`; the timestamp is not used."""
        return self._dumps(record)


class ElasticcResults:
    """Records in ELAsTiCC's brokerClassification form (schema version 0.9.1); needs fastavro.

    All but the classes goes, as JSON, into ``classifierParams``. The publishing time is that of the
    alert's message, else the alert's own. With `in_file` the bytes are blocks of an Avro container,
    otherwise bare Avro, as brokers send it to Kafka; `preset` is the name of the classifier.
    """

    def __init__(self, *, in_file: bool = False, preset: str = "", taxonomy: Taxonomy | None = None) -> None:
        fastavro = fastavro_module()
        self._write = fastavro.schemaless_writer
        self._schema = fastavro.parse_schema(BROKER_CLASSIFICATION)
        self._numbers = (Taxonomy() if taxonomy is None else taxonomy).elasticc
        self._name = f"firstlight {preset}".rstrip()
        self.preamble = write_container(BROKER_CLASSIFICATION, []) if in_file else b""

    def encode(self, record: Mapping[str, Any], timestamp_ms: int | None) -> bytes:
        """See `ResultFormat.encode`."""
        if record["status"] == CLASSIFIED:
            classes = [
                {"classId": self._numbers[name], "probability": p}
                for name, p in record["proba"].items()
                if p > 0
            ]
        else:
            classes = [{"classId": ELASTICC_NOT_CLASSIFIED, "probability": 1.0}]
        about = {name: value for name, value in record.items() if name not in _ELASTICC_FIELDS}
        number = _number(record["alert"])
        message = {
            "alertId": number,
            "diaSourceId": int(record["source"] or number),
            "elasticcPublishTimestamp": _unix_ms(record["mjd"]) if timestamp_ms is None else timestamp_ms,
            "brokerIngestTimestamp": None,  # the wall clock would make a replay's bytes differ
            "brokerName": "firstlight",
            "brokerVersion": __version__,
            "classifierName": self._name,
            "classifierParams": json.dumps(about, separators=(",", ":")),
            "classifications": classes,
        }
        out = BytesIO()
        self._write(out, self._schema, message)
        body = out.getvalue()
        if not self.preamble:
            return body
        # one record per block, so that a file may be cut after any record
        return write_container(BROKER_CLASSIFICATION, [body])[len(self.preamble) :]


def result_format(
    name: OutputFormat, *, in_file: bool, preset: str = "", taxonomy: Taxonomy | None = None
) -> ResultFormat:
    """The format that ``--output-format`` names (``json`` or ``elasticc``); SettingsError for another.

    With `in_file` it goes to a file, which has to show where a record ends; `preset` names the
    classifier in ELAsTiCC's form. MissingExtraError if its library is not installed.
    """
    if name == "json":
        return JsonResults()
    if name == "elasticc":
        taxonomy = Taxonomy() if taxonomy is None else taxonomy
        unnumbered = [name for name in taxonomy.classes if name not in taxonomy.elasticc]
        if unnumbered:
            raise SettingsError(
                f"output format elasticc: this bundle has no number for {', '.join(unnumbered)}; train it "
                "with elasticc = NUMBER per class, or choose json"
            )
        return ElasticcResults(in_file=in_file, preset=preset, taxonomy=taxonomy)
    raise SettingsError(f"output format {name!r}: choose json or elasticc")


def _number(name: str) -> int:
    """An integer for ELAsTiCC: the alert's name, or a hash of it."""
    if (number := integer_name(name)) is not None:
        return number
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def _unix_ms(mjd: float) -> int:
    return round((mjd - MJD_OF_1970) * _DAY_MS) - 1000 * TAI_MINUS_UTC_S
