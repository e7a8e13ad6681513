"""What our classifier reads of every object, by the pipeline of each fold; kept once for all parts."""

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from firstlight.errors import DataError
from firstlight_paper.shared import pipeline_of
from firstlight_paper.workshop import Bench, Report, Workshop

__all__ = ["inputs_of", "make_inputs"]

STAGE = "inputs"


def make_inputs(workshop: Workshop, n_folds: int | None = None) -> None:
    """Compute what `inputs_of` reads; the stage ``ours`` must have run.

    Parameters
    ----------
    workshop : Workshop
        Where to.
    n_folds : int, optional
        How many folds; by default all.
    """
    folds = range(workshop.bench.scale.n_folds if n_folds is None else n_folds)
    workshop.map(STAGE, _make, {f"fold-{k + 1}": k for k in folds})


def inputs_of(bench: Bench, fold: int) -> NDArray[np.float32]:
    """Our inputs of every object's whole curve, by the pipeline that never saw the fold's test objects.

    Returns
    -------
    float32 array, shape (n_objects, n_inputs)
        Columns are the pipeline's `Pipeline.input_names`; NaN where there is no value.

    Raises
    ------
    DataError
        If `make_inputs` did not run.
    """
    path = bench.keep(STAGE) / f"fold-{fold + 1}.safetensors"
    if not path.exists():
        raise DataError(f"{path} is not there: `make_inputs` must run first")
    return np.asarray(load_file(path)["X"])


def _make(bench: Bench, fold: int, report: Report) -> dict[str, int]:
    X = pipeline_of(bench, fold).inputs(bench.objects.curves)
    X = np.where(np.isfinite(X), X, np.float32(np.nan))
    save_file({"X": np.ascontiguousarray(X)}, bench.keep(STAGE) / f"fold-{fold + 1}.safetensors")
    return {"n_objects": X.shape[0], "n_inputs": X.shape[1]}
