"""Starts `firstlight` from a warm process: everything is imported, compiled and loaded once, then forked.

Run by the fixture `launch` as ``python launcher.py BUNDLE WARM_UP_ALERTS FOLDER``; takes one JSON
command a line on stdin and answers each with one on stdout. What runs in the child is the
command line itself with all its parts; only the bundle is already in memory, and a second one named
``other``, which answers in the same way.
"""

import copy
import json
import os
import resource
import sys
import traceback
from contextlib import contextmanager
from typing import Any


def main() -> None:
    bundle, alerts, folder = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nobody else speaks on the line of answers
    import firstlight.cli
    from firstlight.cli.app import run
    from firstlight.pipeline import Pipeline

    assert firstlight.cli
    pipeline = Pipeline.load(bundle)
    other = copy.copy(pipeline)
    other.bundle_version = f"{pipeline.bundle_version}-other"
    Pipeline.load = classmethod(  # type: ignore[method-assign,assignment]
        lambda cls, path=None, **_: other if str(path) == "other" else pipeline
    )
    out = f"{folder}/warm"
    code = run(["stream", "--source", alerts, "--sink", f"{out}.jsonl", "--state", out, "--batch", "40"])
    assert code == 0
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if "argv" in command:
            answer = {"pid": _start(run, command)}
        else:
            pid, status = os.waitpid(command["wait"], os.WNOHANG)
            answer = {"code": os.waitstatus_to_exitcode(status) if pid else None}
        print(json.dumps(answer), file=answers, flush=True)


def _start(run: Any, command: dict[str, Any]) -> int:
    """Fork a child that runs one command line."""
    pid = os.fork()
    if pid:
        return pid
    try:
        for name in (0, 1):
            os.dup2(os.open(os.devnull, os.O_RDWR), name)
        os.dup2(os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 2)
        if command["trace"] is not None:
            _trace(command["trace"])
        if command["room"] is not None:  # as a disk that has so many bytes left for each file
            resource.setrlimit(resource.RLIMIT_FSIZE, (command["room"], resource.RLIM_INFINITY))
        code = run(command["argv"])
        sys.stderr.flush()
        os._exit(code)
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(99)  # a child must never go on as the launcher


def _trace(path: str) -> None:
    """Keep the worker's present step in a file."""
    from firstlight.stream.worker.metrics import Metrics

    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    now, timed = ["poll"], Metrics.timed

    def tell(stage: str) -> None:
        now[0] = stage
        os.pwrite(file, stage.ljust(8).encode(), 0)

    @contextmanager
    def traced(self: Metrics, stage: str) -> Any:
        before = now[0]
        tell(stage)
        try:
            with timed(self, stage):
                yield
        finally:
            tell(before)

    Metrics.timed = traced  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    main()
