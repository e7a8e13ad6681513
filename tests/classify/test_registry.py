"""Which classifiers there are, and which there were."""

import pytest

from firstlight.classify import CLASSIFIERS, ClassifierConfig
from firstlight.errors import SettingsError
from firstlight.settings import from_table


def test_the_classifiers_are_those_that_presets_name():
    assert set(CLASSIFIERS) == {"gated", "lightgbm", "seed"}


def test_the_logistic_classifier_names_the_last_version_that_had_it():
    with pytest.raises(SettingsError, match=r"last in firstlight 0\.1\.0\.dev0; choose one of gated"):
        from_table(ClassifierConfig, {"kind": "logistic"})
