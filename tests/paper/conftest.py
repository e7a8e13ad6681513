"""A reproduction at the size of a test: the sample's objects, a few simulated ones, two folds."""

import pytest

from firstlight_paper import shared, workshop
from firstlight_paper.objects import assemble
from firstlight_paper.scale import Scale
from firstlight_paper.workshop import Bench, Workshop

TINY = Scale(name="tiny", n_real=150, n_simulated=10, n_folds=2, encoder_epochs=1, preset="tests/tiny.toml")


@pytest.fixture(scope="session")
def tiny_objects(sample, sample_labels):
    """150 real objects and ten each of CaRT, ILOT, PISN in two folds."""
    return assemble(sample, sample_labels, TINY, 0)


@pytest.fixture(scope="session")
def tiny_bench(tiny_objects, tmp_path_factory, pytestconfig):
    """A bench over `tiny_objects` with the shared stages done; treat its folder as read-only."""
    pytest.importorskip("torch")
    patch = pytest.MonkeyPatch()
    patch.setattr(workshop, "_objects", lambda scale, seed, source: tiny_objects)
    patch.chdir(pytestconfig.rootpath)  # the preset is a file of the tests
    bench = Bench(folder=tmp_path_factory.mktemp("reproduction"), scale=TINY)
    shared.encode_folds(Workshop(bench))
    shared.our_folds(Workshop(bench))
    yield bench
    patch.undo()


@pytest.fixture
def tiny_workshop(tiny_bench):
    """A workshop of one process over `tiny_bench`."""
    return Workshop(tiny_bench)
