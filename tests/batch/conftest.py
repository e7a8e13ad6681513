"""A small archive of the sample: Parquet files, and the same as a HATS catalog."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from firstlight import LightCurves, Pipeline, write_curves
from firstlight.batch import FrameClassifier

N_PARTS = 3


@pytest.fixture(scope="session")
def classify() -> FrameClassifier:
    return FrameClassifier("fast")


@pytest.fixture(scope="session")
def curves(sample) -> LightCurves:
    """Sixty objects of the sample."""
    return sample.take(np.arange(0, len(sample), 3)[:60])


@pytest.fixture(scope="session")
def wanted(curves, classify) -> pd.DataFrame:
    """Answers of `Pipeline.predict` for them, by object."""
    return Pipeline.load("fast").predict(curves, jobs=1).to_pandas()


@pytest.fixture(scope="session")
def folder(curves, tmp_path_factory) -> Path:
    """Their light curves in files of firstlight, with small row groups."""
    path = tmp_path_factory.mktemp("archive") / "parts"
    path.mkdir()
    for part in range(N_PARTS):
        write_curves(curves[20 * part : 20 * part + 20], path / f"part-{part}.parquet", row_group_objects=7)
    return path


def answers(out: Path) -> pd.DataFrame:
    """The answers of a run: all files together."""
    return pd.concat([pd.read_parquet(path) for path in sorted(out.rglob("*.parquet"))], ignore_index=True)


def assert_same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """The same answers to the last bit, in any order of rows."""
    found = found[list(wanted.columns)].assign(object_id=found["object_id"].astype(str))
    by_name = [frame.sort_values("object_id").reset_index(drop=True) for frame in (found, wanted)]
    pd.testing.assert_frame_equal(*by_name, check_exact=True)
