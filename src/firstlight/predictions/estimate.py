"""The class mix of some objects, estimated from their own predictions where that is safe."""

import numpy as np
from numpy.typing import ArrayLike

from firstlight.errors import DataError
from firstlight.mix import ClassMix, estimate_mix
from firstlight.predictions.table import Predictions

#: Name of a class mix that is estimated from the objects themselves.
ESTIMATED = "estimated"
_FEWEST = 100  # objects that an estimate needs


def estimated_mix(
    predictions: Predictions, *, min_phase: float = 64.0, trained: ArrayLike | None = None
) -> ClassMix:
    """The class mix of some objects, estimated from those that were followed long enough.

    Parameters
    ----------
    predictions : Predictions
        Predictions under the class frequencies of training.
    min_phase : float
        Days from the trigger to the last observation that an object needs; at earlier phases the estimate
        invents classes (decision 0184).
    trained : array_like, shape (n_classes,), optional
        Class frequencies that the probabilities assume; by default the `prior` of the predictions.

    Returns
    -------
    ClassMix
        For `Predictions.with_prior`.

    Raises
    ------
    DataError
        If fewer than 100 objects were followed long enough, or the present class frequencies are not known or
        not the same for all objects.
    """
    before = predictions.assumed(trained)
    if before.ndim != 1:
        raise DataError(
            "these predictions assume a class mix by redshift or magnitude; estimate one without it"
        )
    late = predictions.is_classified & (np.nan_to_num(predictions.phase, nan=-1.0) >= min_phase)
    n = int(late.sum())
    if n < _FEWEST:
        raise DataError(
            f"{n:,} objects were followed for {min_phase:g} days or more, and an estimate of the class mix "
            f"needs {_FEWEST}; state a mix instead"
        )
    found = estimate_mix(predictions.proba[late], before)
    mix = {name: float(share) for name, share in zip(predictions.classes, found, strict=True) if share > 0.0}
    source = f"estimated from {n:,} objects followed for {min_phase:g} days or more"
    return ClassMix(mix=mix, others=0.0, source=source, name=ESTIMATED)
