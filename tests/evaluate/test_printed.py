import numpy as np
import pytest

from firstlight.evaluate.metrics import METRICS
from firstlight.evaluate.printed import PRINTED, PRINTED_F1, PRINTED_LABEL
from firstlight.taxonomy import CLASSES


def test_printed_figures_stand_beside_metrics_of_the_same_name() -> None:
    assert set(PRINTED) <= set(METRICS)
    assert "leaky" in PRINTED_LABEL


def test_the_paper_prints_all_classes_but_the_kilonova() -> None:
    assert set(CLASSES) - set(PRINTED_F1) == {"KN"}


def test_the_printed_average_is_that_of_the_printed_classes() -> None:
    assert np.mean(list(PRINTED_F1.values())) == pytest.approx(PRINTED["macro_f1"], abs=0.01)
