"""The function of a partition for PySpark."""

from typing import Any

import pandas as pd

from firstlight.batch.frames import FrameClassifier
from firstlight.errors import missing_extra

_TYPES = {"f": "double", "i": "long"}


def pandas_udf(classify: FrameClassifier) -> Any:
    """A function of PySpark that takes a struct of an object's columns and gives a struct of its answers.

    Parameters
    ----------
    classify : FrameClassifier
        The function of a partition; its `carry` is not used, since Spark keeps the columns beside.

    Returns
    -------
    callable
        For ``select``, with ``struct("object_id", "mjd", "band", "flux", "flux_err")``, for instance; the
        observations are arrays.

    Raises
    ------
    MissingExtraError
        If PySpark is not installed.
    """
    try:
        from pyspark.sql.functions import pandas_udf as udf
    except ImportError as error:
        raise missing_extra("a function of Spark", "pyspark", "spark") from error
    from dataclasses import replace

    alone = replace(classify, carry=())

    def answers(objects: pd.DataFrame) -> pd.DataFrame:
        found = alone(objects)
        return found.assign(object_id=found["object_id"].astype(str))

    return udf(answers, schema(alone))


def schema(classify: FrameClassifier) -> str:
    """Columns of the answers, as Spark spells them."""
    meta = classify(pd.DataFrame())
    types = {name: _TYPES.get(dtype.kind, "string") for name, dtype in meta.dtypes.items()}
    return ", ".join(f"`{name}` {kind}" for name, kind in types.items())
