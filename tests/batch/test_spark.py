"""The function of a partition in PySpark, in a local session."""

import pandas as pd
import pytest
from tests.batch.conftest import assert_same
from tests.spark import local_session

from firstlight.batch import FrameClassifier, pandas_udf

pyspark = pytest.importorskip("pyspark", reason='needs pip install "firstlight[spark]"')
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def session():
    with local_session(**{"spark.sql.execution.arrow.maxRecordsPerBatch": "25"}) as made:
        yield made


def test_spark_gives_the_answers_of_predict(session, curves, wanted, tmp_path):
    table = curves.to_arrow().to_pandas().assign(dereddened=True)
    bands = [["ugrizy"[k] for k in row] for row in table["band"]]
    table.assign(band=bands).drop(columns=["survey"]).to_parquet(tmp_path / "objects.parquet")
    frame = session.read.parquet(str(tmp_path / "objects.parquet"))
    from pyspark.sql import functions

    found = frame.select(pandas_udf(FrameClassifier("fast"))(functions.struct("*")).alias("answer"))
    rows = [row.asDict() for row in found.select("answer.*").collect()]
    assert_same(pd.DataFrame(rows).astype(wanted.dtypes.to_dict()), wanted)
