"""One honest fold: its two sides, and the dependences of its result."""

import subprocess
import sys

import numpy as np
import pytest

from firstlight.errors import LeakageError
from firstlight.experiments.fold import ROOMS, FoldTask, fold_sides
from firstlight.lightcurves import LightCurves
from firstlight.pipeline import PipelineConfig
from firstlight.splits import hash_split

IMPORTS = """
import sys
import firstlight.pipeline
print(*sorted({name.split(".")[1] for name in sys.modules if name.startswith("firstlight.")}))
"""


def test_the_sides_of_a_fold_cover_its_objects_once(sample, sample_labels):
    fold = hash_split(sample.object_id)
    sides = fold_sides(sample, sample_labels, fold)
    assert sides.test.object_id.tolist() == sample.object_id[fold.test].tolist()
    assert sorted([*sides.training.object_id, *sides.test.object_id]) == sorted(sample.object_id)
    held_out = set(sides.training.object_id[sides.held_out])
    assert held_out == set(sample.object_id[fold.validation])
    truth = dict(zip(sample.object_id.tolist(), sample_labels.tolist(), strict=True))
    assert sides.labels.tolist() == [truth[name] for name in sides.training.object_id.tolist()]
    assert sides.test_labels.tolist() == [truth[name] for name in sides.test.object_id.tolist()]


def test_a_light_curve_under_two_names_on_both_sides_is_refused(sample, sample_labels):
    copies = sample.with_columns(object_id=np.char.add("copy-", sample.object_id))
    doubled = LightCurves.concatenate([sample, copies])
    with pytest.raises(LeakageError, match="copy-"):
        fold_sides(doubled, np.tile(sample_labels, 2), hash_split(doubled.object_id))


def test_a_result_depends_on_every_module_that_a_pipeline_imports():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    # the version is in the identity itself
    harmless = {"_version", "errors", "files", "notebook", "parallel", "text"}
    assert set(done.stdout.split()) <= set(ROOMS) | harmless


def test_the_identity_of_a_fold_changes_with_all_that_changes_its_result(sample, sample_labels, tmp_path):
    base = {
        "name": "one",
        "curves": sample,
        "labels": sample_labels,
        "fold": hash_split(sample.object_id),
        "config": PipelineConfig(),
        "folder": tmp_path,
    }
    changed = [
        {"curves": sample.with_columns(flux=sample.flux + 1.0)},
        {"labels": np.roll(sample_labels, 1)},
        {"fold": hash_split(sample.object_id, salt="other")},
        {"config": PipelineConfig(inputs=("latent",))},
        {"redshift": "none"},
        {"seed": 1},
    ]
    identities = {FoldTask(**base | change).identity for change in ({}, *changed)}
    assert len(identities) == 1 + len(changed)
    assert FoldTask(**base | {"name": "other", "jobs": 1}).identity in identities
