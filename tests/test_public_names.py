"""The public library is short, listed and pinned; importing it costs nothing."""

import subprocess
import sys

import pytest

import firstlight

# Where each public name is defined. Changing a name is a change for users: say so in CHANGELOG.md.
PUBLIC_NAMES = {
    "CLASSES": "tuple",
    "FirstlightError": "firstlight.errors",
    "LightCurve": "firstlight.lightcurves",
    "LightCurves": "firstlight.lightcurves",
    "Pipeline": "firstlight.pipeline",
    "PipelineConfig": "firstlight.pipeline",
    "Predictions": "firstlight.predictions",
    "RejectLog": "firstlight.lightcurves",
    "Truth": "firstlight.data",
    "load_plasticc": "firstlight.data",
    "load_preset": "firstlight.pipeline",
    "read": "firstlight.data",
    "read_predictions": "firstlight.predictions",
    "run_crossval": "firstlight.experiments",
    "run_holdout": "firstlight.experiments",
    "score": "firstlight.metrics",
    "write_curves": "firstlight.data",
    "write_predictions": "firstlight.predictions",
}


def test_public_names_are_those_promised():
    assert set(firstlight.__all__) == set(PUBLIC_NAMES)


@pytest.mark.parametrize("name", sorted(set(PUBLIC_NAMES) - {"CLASSES"}))
def test_every_public_name_is_a_documented_function_or_class_of_its_room(name):
    found = getattr(firstlight, name)
    assert callable(found)
    assert found.__name__ == name
    assert found.__module__.startswith(PUBLIC_NAMES[name])
    assert len(found.__doc__.strip()) > 20


def test_the_classes_are_a_tuple_of_names():
    assert isinstance(firstlight.CLASSES, tuple)
    assert {"SNIa", "KN", "TDE", "AGN"} < set(firstlight.CLASSES)


def test_completion_offers_the_public_names_and_nothing_else():
    shown = {name for name in dir(firstlight) if not name.startswith("_")}
    assert shown == set(PUBLIC_NAMES)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'classifier'"):
        _ = firstlight.classifier


def test_importing_the_package_imports_nothing_else():
    code = "import sys, firstlight; print([m for m in ('numpy', 'torch', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
