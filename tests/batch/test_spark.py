"""The function of a partition in PySpark, in a local session."""

import os
import shutil
import sys

import pandas as pd
import pytest
from tests.batch.conftest import assert_same

from firstlight.batch import FrameClassifier, pandas_udf

pyspark = pytest.importorskip("pyspark", reason='needs pip install "firstlight[spark]"')
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def session():
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("needs a Java virtual machine")
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        settings = {
            "spark.ui.enabled": "false",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.sql.shuffle.partitions": "1",
            "spark.sql.execution.arrow.maxRecordsPerBatch": "25",
        }
        builder = SparkSession.builder.master("local[1]").appName("firstlight tests")
        for name, value in settings.items():
            builder = builder.config(name, value)
        made = builder.getOrCreate()
        made.sparkContext.setLogLevel("ERROR")
        yield made
        made.stop()


def test_spark_gives_the_answers_of_predict(session, curves, wanted, tmp_path):
    table = curves.to_arrow().to_pandas().assign(dereddened=True)
    bands = [["ugrizy"[k] for k in row] for row in table["band"]]
    table.assign(band=bands).drop(columns=["survey"]).to_parquet(tmp_path / "objects.parquet")
    frame = session.read.parquet(str(tmp_path / "objects.parquet"))
    from pyspark.sql import functions

    found = frame.select(pandas_udf(FrameClassifier("fast"))(functions.struct("*")).alias("answer"))
    rows = [row.asDict() for row in found.select("answer.*").collect()]
    assert_same(pd.DataFrame(rows).astype(wanted.dtypes.to_dict()), wanted)
