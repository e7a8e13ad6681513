"""What a run records about itself."""

import json

from firstlight import __version__
from firstlight.provenance import provenance


def test_a_run_names_version_machine_libraries_data_and_seed():
    run = provenance(["light curves", "labels"], seed=7)
    assert json.loads(json.dumps(run)) == run
    assert run["firstlight"] == __version__
    assert run["libraries"]["numpy"]
    assert run["processor"]
    assert run["cores"] >= 1
    assert run["seed"] == 7


def test_other_data_give_another_digest_and_equal_data_the_same():
    first, other, again = (provenance([text])["data"] for text in ("a", "b", "a"))
    assert first == again != other
    assert len(first) == 64
