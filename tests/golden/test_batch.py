"""The answers of both shipped bundles on the committed sample, to the last bit."""

import numpy as np
import pytest

from firstlight import Pipeline, Predictions


@pytest.fixture(scope="module", params=["default", "fast"])
def bundle(request):
    return request.param


@pytest.fixture(scope="module")
def pipeline(bundle):
    return Pipeline.load(bundle)


def _rows(answers: Predictions) -> dict[str, list[object]]:
    columns = (answers.status, answers.reason, answers.label, answers.n_obs)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {name: list(row) for name, row in zip(answers.object_id.tolist(), rows, strict=True)}


def test_whole_light_curves_are_classified_as_recorded(golden, bits, pipeline, bundle, curves):
    answers = pipeline.predict(curves, jobs=1)
    columns = ["status", "reason", "label", "n_obs", ["phase", "anomaly", *answers.classes]]
    numbers = np.column_stack([answers.phase, answers.anomaly, answers.proba])
    rows = _rows(answers)
    for row, values in zip(rows.values(), numbers, strict=True):
        row.append(bits(values))
    golden.check(f"batch_{bundle}.json", {"columns": columns} | rows)


@pytest.mark.parametrize("days", [2, 16])
def test_early_light_curves_are_classified_as_recorded(golden, bits, digest, pipeline, bundle, curves, days):
    answers = pipeline.predict(curves.upto_phase(days), jobs=1)
    columns = ["status", "reason", "label", "n_obs", ["anomaly", "largest probability"], "all probabilities"]
    numbers = np.column_stack([answers.anomaly, answers.proba.max(axis=1)])
    rows = _rows(answers)
    for row, values, proba in zip(rows.values(), numbers, answers.proba, strict=True):
        row += [bits(values), digest(bits(proba).encode())]
    golden.check(f"batch_{bundle}_{days}d.json", {"columns": columns} | rows)


def test_threads_do_not_change_the_answer(pipeline, curves):
    few = curves.take(np.arange(8))
    one, two = (pipeline.predict(few, jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(one.proba, two.proba)
    np.testing.assert_array_equal(one.anomaly, two.anomaly)
