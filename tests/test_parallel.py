"""Processes side by side: results by name, errors passed on, and no worker outlives its run."""

import os
import signal
import subprocess
import sys
import time

import pytest

from firstlight.errors import DataError
from firstlight.parallel import one_core, side_by_side

ready: list[str] = []


def square(number, report):
    report("squaring", 1.0)
    return number**2


def fail_on_two(number, report):
    if number == 2:
        raise DataError("two is one too many")
    return number


def remember(word):
    ready.append(word)


def tell(number, report):
    return ready, os.getpid(), os.environ["OMP_NUM_THREADS"]


def wait_long(path, report):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)


def test_every_item_has_its_result_under_its_name():
    told = []
    found = dict(side_by_side(square, {"a": 3, "b": 4}, 2, progress=lambda *said: told.append(said)))
    assert found == {"a": 9, "b": 16}
    assert set(told) <= {("a", "squaring", 1.0), ("b", "squaring", 1.0)}


def test_no_item_gives_nothing():
    assert list(side_by_side(square, {}, 2)) == []


def test_the_error_of_an_item_comes_back_as_it_was():
    with pytest.raises(DataError, match="one too many"):
        list(side_by_side(fail_on_two, {str(k): k for k in (1, 2)}, 1))


def test_a_process_is_prepared_once_and_has_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = dict(side_by_side(tell, {"a": 1, "b": 2}, 1, initializer=remember, initargs=("ready",)))
    assert [words for words, _, _ in found.values()] == [["ready"], ["ready"]]
    assert all(pid != os.getpid() and threads == "1" for _, pid, threads in found.values())
    assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="asks Linux who runs")
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_workers_end_with_the_run_that_started_them(tmp_path, blow):
    place = tmp_path / "worker"
    script = tmp_path / "run.py"
    script.write_text(
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it\n"
        "from firstlight.parallel import side_by_side\n"
        "from tests.test_parallel import wait_long\n"
        f"if __name__ == '__main__':\n    list(side_by_side(wait_long, {{'a': {str(place)!r}}}, 1))\n"
    )
    root = os.path.dirname(os.path.dirname(__file__))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    run = subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.DEVNULL)
    worker = int(_wait_for(lambda: place.exists() and place.read_text()))
    run.send_signal(blow)
    assert run.wait(timeout=20) != 0
    _wait_for(lambda: not _runs(worker))


def _wait_for(condition, seconds=40.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_one_job_keeps_math_libraries_to_one_thread_and_then_restores_them(monkeypatch):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with threadpoolctl.threadpool_limits(2):
        before = [library["num_threads"] for library in threadpoolctl.threadpool_info()]
        assert max(before) == 2
        with one_core(1):
            assert {library["num_threads"] for library in threadpoolctl.threadpool_info()} == {1}
            assert os.environ["OMP_NUM_THREADS"] == "1"
        with one_core(2):
            assert [library["num_threads"] for library in threadpoolctl.threadpool_info()] == before
        assert os.environ["OMP_NUM_THREADS"] == "3"
        assert [library["num_threads"] for library in threadpoolctl.threadpool_info()] == before
