"""A local session of Spark, for the tests that need a Java virtual machine."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def local_session(**more: str) -> Iterator[Any]:
    """A session with one core; the test is skipped without PySpark or Java. `more` are settings of Spark."""
    pytest.importorskip("pyspark", reason='needs pip install "firstlight[spark]"')
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
        }
        builder = SparkSession.builder.master("local[1]").appName("firstlight tests")
        for name, value in (settings | more).items():
            builder = builder.config(name, value)
        made = builder.getOrCreate()
        made.sparkContext.setLogLevel("ERROR")
        yield made
        made.stop()
