"""Alerts and packets for the tests of the stream, in the spellings of several surveys.

The schemas here are our own: names and types of fields as in the surveys' alerts, with more
fields that no layout reads.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstlight.bands import BANDS
from firstlight.lightcurves import LightCurve
from firstlight.pipeline import Pipeline
from firstlight.stream import Alert, Observations

MakeAlert = Callable[..., Alert]
Packet = Callable[[Any, Any], bytes]


def build_alert(n_obs: int = 12, seed: int = 0, *, bands: str = "ugrizy", **values: Any) -> Alert:
    """An alert with detections and forced photometry; the last detection triggered it."""
    rng = np.random.default_rng(seed)
    band = np.array([BANDS.index(name) for name in bands], np.int8)[rng.integers(0, len(bands), n_obs)]
    detected = rng.random(n_obs) < 0.5
    if n_obs:
        detected[-1] = True
    flux = rng.normal(300.0, 800.0, n_obs).astype(np.float32)
    observations = Observations(
        mjd=np.sort(rng.uniform(60000.0, 60100.0, n_obs)),
        band=band,
        flux=flux,
        flux_err=rng.uniform(20.0, 90.0, n_obs).astype(np.float32),
        detected=detected,
        source_id=np.arange(n_obs) + 170_094_456_272_322_680,
    )
    own = {
        "alert_id": str(170_094_456_272_322_680 + n_obs - 1),
        "object_id": "170028485706776685",
        "mjd": float(observations.mjd[-1]) if n_obs else 60100.0,
        "source_id": 170_094_456_272_322_680 + n_obs - 1,
        "ra": 63.25,
        "dec": -47.5,
        "ebv": float(np.float32(0.031)),
        "redshift": float(np.float32(0.42)),
        "redshift_err": float(np.float32(0.05)),
        "redshift_spec": float(np.float32(0.4013)),
    }
    return Alert(observations=observations, **(own | values))


def assert_same_alert(
    actual: Any, expected: Alert, *, rtol: float = 0.0, without: tuple[str, ...] = ()
) -> None:
    """Assert that two alerts are equal, except for the names in `without`."""
    assert isinstance(actual, Alert), actual
    for name in ("mjd", "band", "flux", "flux_err", "detected", "source_id"):
        if name in without:
            continue
        left, right = getattr(actual.observations, name), getattr(expected.observations, name)
        assert left.dtype == right.dtype
        if rtol and name in ("flux", "flux_err"):
            np.testing.assert_allclose(left, right, rtol=rtol, err_msg=name)
        elif rtol and name == "mjd":
            np.testing.assert_allclose(left, right, rtol=0.0, atol=1e-8)
        else:
            np.testing.assert_array_equal(left, right, err_msg=name)
    for name in ("alert_id", "object_id", "source_id", "dereddened"):
        if name not in without:
            assert getattr(actual, name) == getattr(expected, name), name
    for name in ("mjd", "ra", "dec", "ebv", "redshift", "redshift_err", "redshift_spec"):
        if name not in without:
            left, right = getattr(actual, name), getattr(expected, name)
            np.testing.assert_allclose(left, right, rtol=0.0, atol=1e-8 if rtol else 0.0, err_msg=name)


@pytest.fixture
def make_alert() -> MakeAlert:
    return build_alert


@pytest.fixture
def same_alert() -> Callable[..., None]:
    return assert_same_alert


@pytest.fixture
def packet() -> Packet:
    """Schemaless Avro of a record."""
    fastavro = pytest.importorskip("fastavro")

    def write(schema: Any, record: Any) -> bytes:
        out = BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
        return out.getvalue()

    return write


# --- LSST's schema through its versions ----------------------------------------------

#: Names of each version, and the place of each.
LSST_VERSIONS: dict[str, dict[str, Any]] = {
    "elasticc": {
        "top": "alertId",
        "time": "midPointTai",
        "band": "filterName",
        "flux": "psFlux",
        "visit": "ccdVisitId",
        "dec": "decl",
        "host": True,
        "withdrawn": False,
    },
    "7.0": {"top": "alertId", "withdrawn": False},
    "8.0": {"top": "alertId", "withdrawn": False, "tail": ["ssSource", "MPCORB"]},
    "9.0": {"top": "diaSourceId", "withdrawn": True, "tail": ["ssSource", "MPCORB"]},
    "10.0": {"top": "diaSourceId", "withdrawn": True, "reasons": True, "tail": ["ssSource", "mpc_orbits"]},
    "11.1": {"top": "diaSourceId", "withdrawn": True, "reasons": True, "tail": ["ssSource", "mpc_orbits"]},
    "fink": {"top": "diaSourceId", "withdrawn": True, "reasons": True, "spark": True, "tail": ["xm"]},
}
DEFAULTS = {
    "time": "midpointMjdTai",
    "band": "band",
    "flux": "psfFlux",
    "visit": "visit",
    "dec": "dec",
    "host": False,
    "reasons": False,
    "spark": False,
    "tail": ["ssObject"],
}


class LsstWriter:
    """Writes alerts as one version of LSST's schema would have them."""

    def __init__(self, version: str) -> None:
        self.names = DEFAULTS | LSST_VERSIONS[version]
        self.rng = np.random.default_rng(list(LSST_VERSIONS).index(version))
        self.schema = self.alert_schema()

    def nullable(self, kind: Any) -> Any:
        return [kind, "null"] if self.names["spark"] else ["null", kind]

    def fields(self, needed: dict[str, Any], n_filler: int, prefix: str) -> list[dict[str, Any]]:
        """The needed fields in a random order among others."""
        filler = {
            f"{prefix}_{i}": self.rng.choice(["float", "double", "boolean", "int", "long"])
            for i in range(n_filler)
        }
        entries = [{"name": name, "type": kind} for name, kind in needed.items()]
        entries += [{"name": name, "type": self.nullable(str(kind))} for name, kind in filler.items()]
        entries += [{"name": f"{prefix}_text", "type": self.nullable("string")}]
        return [entries[i] for i in self.rng.permutation(len(entries))]

    def plain(self, kind: Any) -> Any:
        """Fields that LSST always fills; Fink's copy may leave everything out."""
        return self.nullable(kind) if self.names["spark"] else kind

    def source_schema(self) -> dict[str, Any]:
        n = self.names
        needed: dict[str, Any] = {
            "diaSourceId": self.plain("long"),
            n["visit"]: self.plain("long"),
            "diaObjectId": self.nullable("long"),
            "ssObjectId": self.nullable("long"),
            n["time"]: self.plain("double"),
            n["band"]: self.nullable("string"),
            n["flux"]: self.nullable("float"),
            f"{n['flux']}Err": self.nullable("float"),
            "ra": self.plain("double"),
            n["dec"]: self.plain("double"),
        }
        if n["withdrawn"]:
            needed["timeWithdrawnMjdTai"] = self.nullable("double")
        return {"type": "record", "name": "diaSource", "fields": self.fields(needed, 60, "s")}

    def forced_schema(self) -> dict[str, Any]:
        n = self.names
        needed: dict[str, Any] = {
            "diaForcedSourceId": self.plain("long"),
            n["visit"]: self.plain("long"),
            n["time"]: self.plain("double"),
            n["band"]: self.nullable("string"),
            n["flux"]: self.nullable("float"),
            f"{n['flux']}Err": self.nullable("float"),
        }
        if n["withdrawn"]:
            needed["timeWithdrawnMjdTai"] = self.nullable("double")
        return {"type": "record", "name": "diaForcedSource", "fields": self.fields(needed, 8, "f")}

    def object_schema(self) -> dict[str, Any]:
        needed: dict[str, Any] = {
            "diaObjectId": self.plain("long"),
            "ra": self.plain("double"),
            self.names["dec"]: self.plain("double"),
        }
        if self.names["host"]:
            for name in ("mwebv", "hostgal_zphot", "hostgal_zphot_err", "hostgal_zspec"):
                needed[name] = self.nullable("float")
        return {"type": "record", "name": "diaObject", "fields": self.fields(needed, 40, "o")}

    def alert_schema(self) -> dict[str, Any]:
        spark = self.names["spark"]
        source, forced = self.source_schema(), self.forced_schema()
        # Fink's copies of the record have names of their own and may be null themselves
        previous = [{**source, "name": "prvDiaSource"}, "null"] if spark else "diaSource"
        items = [forced, "null"] if spark else forced
        fields: list[dict[str, Any]] = [{"name": self.names["top"], "type": self.plain("long")}]
        if self.names["reasons"]:
            fields += [
                {"name": name, "type": self.nullable("string")}
                for name in ("observation_reason", "target_name")
            ]
        fields += [
            {"name": "diaSource", "type": self.plain(source) if spark else source},
            {"name": "prvDiaSources", "type": self.nullable({"type": "array", "items": previous})},
            {"name": "prvDiaForcedSources", "type": self.nullable({"type": "array", "items": items})},
        ]
        fields += [{"name": "diaObject", "type": self.nullable(self.object_schema())}]
        for name in self.names["tail"]:
            record = {
                "type": "record",
                "name": f"{name}Record",
                "fields": self.fields({"x": "long"}, 5, name),
            }
            if name == "xm":
                wanted: dict[str, Any] = {
                    f"legacydr8_{key}": ["double", "null"] for key in ("zphot", "e_zphot", "pstar")
                }
                record["fields"] = self.fields(wanted | {"tns_redshift": ["double", "null"]}, 5, name)
            fields.append({"name": name, "type": self.nullable(record)})
        fields += [
            {"name": f"cutout{kind}", "type": self.nullable("bytes")} for kind in ("Science", "Template")
        ]
        return {"type": "record", "name": "alert", "namespace": "test.lsst", "fields": fields}

    def record(self, alert: Alert) -> dict[str, Any]:
        """The alert as this version has it; the last observation is its source."""
        n, o = self.names, alert.observations
        rows = [
            {
                n["time"]: float(o.mjd[i]),
                n["band"]: BANDS[o.band[i]],
                n["flux"]: float(o.flux[i]),
                f"{n['flux']}Err": float(o.flux_err[i]),
                n["visit"]: 2026_0305_0000 + i,
                "timeWithdrawnMjdTai": None,
            }
            for i in range(len(o))
        ]
        common = {
            "ra": alert.ra,
            n["dec"]: alert.dec,
            "diaObjectId": int(alert.object_id or 0),
            "ssObjectId": None,
        }
        sources = [
            {**row, **common, "diaSourceId": int(o.source_id[i])}
            for i, row in enumerate(rows)
            if o.detected[i]
        ]
        forced = [
            {**row, "diaForcedSourceId": int(o.source_id[i])}
            for i, row in enumerate(rows)
            if not o.detected[i]
        ]
        host = {
            "mwebv": alert.ebv,
            "hostgal_zphot": alert.redshift,
            "hostgal_zphot_err": alert.redshift_err,
            "hostgal_zspec": alert.redshift_spec,
        }
        return {
            n["top"]: int(alert.alert_id),
            "diaSource": sources[-1],
            "prvDiaSources": sources[:-1],
            "prvDiaForcedSources": forced,
            "diaObject": {
                "diaObjectId": int(alert.object_id or 0),
                "ra": alert.ra,
                n["dec"]: alert.dec,
                **host,
            },
            "cutoutScience": b"\x00\xff" * 40,
        }


@pytest.fixture(params=list(LSST_VERSIONS))
def lsst_writer(request: pytest.FixtureRequest) -> LsstWriter:
    return LsstWriter(request.param)


@pytest.fixture
def lsst_latest() -> LsstWriter:
    return LsstWriter("11.1")


@pytest.fixture
def fink_writer() -> LsstWriter:
    return LsstWriter("fink")


# --- a pipeline, and a stream of real objects -----------------------------------------


@pytest.fixture(scope="session")
def fast_bundle(tiny_fast: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny fast pipeline as a bundle."""
    folder = tmp_path_factory.mktemp("stream") / "fast"
    tiny_fast.save(folder)
    return folder


@pytest.fixture(scope="session")
def fast_pipeline(fast_bundle: Path) -> Pipeline:
    """The tiny fast pipeline as it is loaded, with its bundle's version."""
    return Pipeline.load(fast_bundle)


def alerts_of(curve: LightCurve, every: int = 1, *, whole: bool = True) -> list[Alert]:
    """An alert for every so many observations of an object; whole: with all earlier ones in it."""
    alerts = []
    for k in range(every - 1, len(curve.mjd), every):
        first = 0 if whole else k - every + 1
        observations = Observations(
            *(
                getattr(curve, name)[first : k + 1]
                for name in ("mjd", "band", "flux", "flux_err", "detected")
            ),
            source_id=np.arange(first, k + 1) + 1,
        )
        about = {name: getattr(curve, name) for name in ("ra", "dec", "ebv", "redshift", "redshift_err")}
        alerts.append(
            Alert(
                f"{curve.object_id}-{k}",
                str(curve.object_id),
                float(curve.mjd[k]),
                observations,
                source_id=k + 1,
                dereddened=True,
                **about,
            )
        )
    return alerts


@pytest.fixture(scope="session")
def alert_stream(sample) -> list[Alert]:
    """Some 200 alerts of 16 real objects in order of time, every second object's with its history."""
    alerts = []
    for i in range(16):
        alerts += alerts_of(sample[11 * i], 8, whole=i % 2 == 0)
    return sorted(alerts, key=lambda alert: (alert.mjd, alert.object_id))
