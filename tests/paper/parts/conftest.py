"""A bench whose folder a test module may write into, with the shared stages of the tiny one."""

from dataclasses import replace

import pytest


@pytest.fixture(scope="module")
def own_bench(tiny_bench, tmp_path_factory):
    """`tiny_bench` in a folder of this module's own."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "work").mkdir()
    for stage in ("encode", "ours"):
        (folder / "work" / stage).symlink_to(tiny_bench.folder / "work" / stage)
    return replace(tiny_bench, folder=folder)
