import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import firstlight
from firstlight.kernels import compile as ahead
from firstlight.kernels import decorator

ROOT = Path(__file__).resolve().parents[2]
GROUPS = ("base", "nights", "features", "stream")
#: Compiles two small kernels ahead of use, twice, with messages as lines.
TWICE = """
import json, logging, sys
from firstlight.kernels import compile as ahead
kernels = {"firstlight.kernels.search:n_below": ["Tuple((Array(float64, 1, 'C'), float64,))"],
           "firstlight.kernels.search:ranked": ["Tuple((Array(float64, 1, 'C'), int64, int64,))"]}
ahead._read_table = lambda: {"base": {"seconds": 1, "kernels": kernels}}
logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
for _ in range(2):
    ahead._ready.clear()
    ahead.compile_kernels("base")
    print("compiled ahead")
from firstlight.kernels import n_below
import numpy as np
assert n_below(np.arange(5.0), 3.0) == 3
print(json.dumps([n_below.stats.cache_hits.total(), n_below.stats.cache_misses.total()]))
"""


def start(cache: Path, **environment: str) -> subprocess.Popen[str]:
    source = str(Path(firstlight.__file__).parents[1])
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": source} | environment
    return subprocess.Popen(
        [sys.executable, "-c", TWICE],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lines(process: subprocess.Popen[str]) -> list[str]:
    found = process.communicate()[0].splitlines()
    assert process.returncode == 0, found
    return found


def test_every_kernel_of_the_table_exists_and_its_signatures_can_be_read():
    for name, signatures in ahead._signatures(GROUPS).items():
        assert ahead._find(name).py_func
        for signature in signatures:
            assert ahead.spell(ahead.types.Tuple(ahead.parse(signature))) == signature


def test_classification_and_stream_need_no_kernel_outside_the_table(tmp_path):
    spec = importlib.util.spec_from_file_location("write_kernels", ROOT / "docs" / "write_kernels.py")
    record = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(record)
    used = record.run_all(tmp_path, fresh=False)
    table = ahead._signatures(GROUPS)
    absent = {
        name: sorted(set(kinds) - set(table.get(name, [])))
        for name, kinds in used.items()
        if set(kinds) - set(table.get(name, []))
    }
    assert not absent, "run docs/write_kernels.py"


def test_a_kernel_is_compiled_after_those_that_it_calls():
    table = ahead._signatures(("base", "features"))
    jobs = ahead._jobs({name: ahead._find(name) for name in table}, table)
    # through `write_statistics`, which numba writes into its caller
    needs = jobs["firstlight.features.extract:_statistics_all"].needs
    assert "firstlight.features.statistics:_structure" in needs
    assert all(jobs[other].rank > job.rank for job in jobs.values() for other in job.needs)


def test_no_two_jobs_compile_one_kernel_for_different_types():
    table = ahead._signatures(GROUPS)
    jobs = ahead._jobs({name: ahead._find(name) for name in table}, table)
    assert [name for name, kinds in table.items() if len(kinds) > 1 and name not in jobs] == []


def test_kernels_are_compiled_ahead_once_and_found_in_the_cache(tmp_path):
    first, *rest, counts = lines(start(tmp_path))
    assert first.startswith("compiling kernels for the first use")
    assert rest == ["compiled ahead"] * 2
    assert json.loads(counts) == [1, 0]
    assert lines(start(tmp_path)) == [*rest, counts]


def test_of_two_first_uses_at_once_one_compiles(tmp_path):
    both = [start(tmp_path) for _ in range(2)]
    messages = [line for process in both for line in lines(process)]
    assert sum(line.startswith("compiling kernels") for line in messages) == 1
    assert messages.count("[1, 0]") == 2


def test_python_cannot_call_a_kernel_that_only_kernels_call():
    @decorator.kernel(inner=True)
    def half(x):
        return 0.5 * x

    @decorator.kernel
    def quarter(x):
        return half(half(x))

    assert quarter(4.0) == 1.0
    with pytest.raises(TypeError, match=r"only compiled code calls half"):
        half(4.0)


def test_flags_compare_quickly_as_they_do_slowly():
    from numba.core.compiler import Flags
    from numba.core.targetconfig import TargetConfig

    plain, spelled, quick, inner = Flags(), Flags(), Flags(), Flags()
    spelled.fastmath = False
    quick.fastmath = {"contract"}
    inner.no_cpython_wrapper = True
    every = [plain, spelled, quick, inner, quick.copy()]
    slowly = [[one == other for other in every] for one in every]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TargetConfig, "__eq__", TargetConfig.__eq__)
        patch.setattr(TargetConfig, "__hash__", TargetConfig.__hash__)
        ahead._compare_flags_quickly()
        assert [[one == other for other in every] for one in every] == slowly
        assert slowly[0][1]
        assert slowly[2][4]
        assert not slowly[0][2]
        for one in every:
            assert all(hash(one) == hash(other) for other in every if one == other)


def test_nothing_is_compiled_where_numba_is_off(tmp_path, monkeypatch):
    monkeypatch.setattr(ahead, "_ready", set())
    monkeypatch.setattr(ahead.numba.config, "DISABLE_JIT", 1)
    monkeypatch.setattr(ahead, "_find", lambda name: pytest.fail("looked for a kernel"))
    ahead.compile_kernels(*GROUPS)


def test_where_no_code_can_be_kept_one_warning_says_so(monkeypatch, caplog):
    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(decorator, "njit", njit)
    decorator._warn_of_no_cache.cache_clear()
    functions = [decorator.kernel(lambda x: x) for _ in range(2)]
    assert [function(1) for function in functions] == [1, 1]
    assert [record.message.partition(",")[0] for record in caplog.records] == ["compiled code cannot be kept"]
