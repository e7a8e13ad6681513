"""Fixtures of all tests: a small sample of real PLAsTiCC objects, and tiny pipelines."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray
from tests._forecasts import evaluation, forecasts, predictions  # noqa: F401
from tests._problems import folder, other_toy, quick, toy  # noqa: F401

from firstlight.anomaly import isolation
from firstlight.bands import SNANA_ZERO_POINT, flux_to_njy
from firstlight.lightcurves import LightCurves
from firstlight.pipeline import Pipeline, load_preset
from firstlight.taxonomy import from_plasticc

DATA = Path(__file__).parent / "data"

#: Examples of each property; a larger number looks further.
EXAMPLES = int(os.environ.get("FIRSTLIGHT_EXAMPLES", "40"))
_quiet = {"max_examples": EXAMPLES, "deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("local", **_quiet)
settings.register_profile("ci", derandomize=True, database=None, **_quiet)
settings.load_profile("ci" if os.environ.get("CI") else "local")


class SamplePaths(NamedTuple):
    """Files of the sample, with the column names of Kaggle."""

    light_curves: Path
    metadata: Path


isolation.N_TREES = 8  # per class, instead of 100: most of a tiny training


#: Files that take longest, begun first: those that wait for brokers and children beside those that compute.
LONG = (
    "fuzz/test_fuzz.py",
    "stream/io/test_kafka.py",
    "paper/parts/test_limitations.py",
    "stream/faults/test_broker.py",
    "experiments/test_crossval.py",
    "stream/faults/test_unkeyed.py",
    "experiments/test_study.py",
    "stream/faults/test_killed.py",
    "cli/test_train.py",
    "cli/test_stream.py",
    "stream/faults/test_hot_object.py",
    "kernels/test_compile.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that none is left alone at the end."""
    place = {Path(__file__).parent / name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run of the tests share."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    shared.mkdir(exist_ok=True)
    return shared


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Make the figures of reports, but do not render them, which takes ten seconds for each report."""
    patch.setattr("firstlight.report.html._embed", lambda figure, kind="svg": "data:,")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """See `draw_nothing`."""
    draw_nothing(monkeypatch)


@pytest.fixture(scope="session")
def sample_paths() -> SamplePaths:
    """Paths of the sample's light curves and metadata."""
    return SamplePaths(DATA / "plasticc_sample_lightcurves.csv.gz", DATA / "plasticc_sample_metadata.csv.gz")


@pytest.fixture(scope="session")
def sample(sample_paths: SamplePaths) -> LightCurves:
    """202 real objects of all 14 PLAsTiCC training classes."""
    rows = pd.read_csv(sample_paths.light_curves)
    objects = pd.read_csv(sample_paths.metadata)
    rows = rows.sort_values(["object_id", "mjd"], kind="stable")
    objects = objects.sort_values("object_id")
    counts = rows.groupby("object_id").size()
    return LightCurves(
        object_id=objects["object_id"].to_numpy().astype(str),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        mjd=rows["mjd"].to_numpy(),
        band=rows["passband"].to_numpy(),
        flux=flux_to_njy(rows["flux"].to_numpy(), SNANA_ZERO_POINT),
        flux_err=flux_to_njy(rows["flux_err"].to_numpy(), SNANA_ZERO_POINT),
        detected=rows["detected"].to_numpy() == 1,
        ra=objects["ra"].to_numpy(),
        dec=objects["decl"].to_numpy(),
        ebv=objects["mwebv"].to_numpy(),
        redshift=objects["hostgal_photoz"].to_numpy(),
        redshift_err=objects["hostgal_photoz_err"].to_numpy(),
        redshift_spec=objects["hostgal_specz"].to_numpy(),
        dereddened=True,
    )


@pytest.fixture(scope="session")
def sample_labels(sample_paths: SamplePaths, sample: LightCurves) -> NDArray[np.str_]:
    """Class of each object of `sample`, in its order."""
    objects = pd.read_csv(sample_paths.metadata)
    codes = dict(zip(objects["object_id"].astype(str), objects["target"], strict=True))
    return np.array(from_plasticc(codes[str(name)] for name in sample.object_id))


@pytest.fixture(scope="session")
def tiny_default(sample: LightCurves, sample_labels: NDArray[np.str_]) -> Pipeline:
    """The preset default at the size of a test; its updates read the history."""
    return _train("tiny.toml", sample, sample_labels)


@pytest.fixture(scope="session")
def tiny_fast(sample: LightCurves, sample_labels: NDArray[np.str_]) -> Pipeline:
    """The preset fast at the size of a test; its updates take constant time."""
    return _train("tiny_fast.toml", sample, sample_labels)


@pytest.fixture(scope="session")
def tiny_nights(sample: LightCurves, sample_labels: NDArray[np.str_]) -> Pipeline:
    """As `tiny_fast`, with a Gaussian process of nightly points."""
    return _train("tiny_nights.toml", sample, sample_labels)


def _train(preset: str, sample: LightCurves, labels: NDArray[np.str_]) -> Pipeline:
    pytest.importorskip("torch")
    config = load_preset(str(Path(__file__).parent / preset))
    return Pipeline(config).fit(sample, labels, seed=1, jobs=1)
