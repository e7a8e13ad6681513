"""Time a new user's way: ``git clone`` to the first answer, and the demonstration to the first object.

Run ``python release/stranger.py``; it writes ``docs/results/stranger.json``, from which ``docs/install.md``
takes its table. All is done in a new folder and a new environment, with the last commit. The times of
downloads are those of this machine: packages may come from a cache, and PLAsTiCC is taken from the
local data cache.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from dist import ROOT, run

sys.path.insert(0, str(ROOT / "benchmarks"))
from _harness import machine, write

RESULT = ROOT / "docs" / "results" / "stranger.json"
#: A table with column names of its own, as a user would have one: of the tutorials.
OWN_FILE = Path("docs/tutorials/sample/files/mine.csv")
OWN_WORDS = ("--zero-point", "23.9", "--columns")
OWN_COLUMNS = "object_id=source,mjd=obsmjd,filter=passband,flux=f_uJy,flux_err=df_uJy"
PATIENCE_S = 180.0
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def timed(steps: dict[str, float], name: str, work: Callable[[], object]) -> None:
    """Do one step and keep its time [s]."""
    start = time.perf_counter()
    work()
    steps[name] = round(time.perf_counter() - start, 1)
    sys.stdout.write(f"{name}: {steps[name]} s\n")
    sys.stdout.flush()


def first_answer(folder: Path) -> dict[str, float]:
    """Seconds per step from the clone to the class of a light curve of one's own, and of a later answer."""
    steps: dict[str, float] = {}
    clone, programs = folder / "firstlight", folder / "env" / "bin"
    timed(steps, "git clone", lambda: run("git", "clone", "--quiet", ROOT, clone))
    timed(steps, "new environment", lambda: run(sys.executable, "-m", "venv", folder / "env"))
    pip = (programs / "python", "-m", "pip", "--quiet", "install", ".")
    timed(steps, "pip install .", lambda: run(*pip, cwd=clone))
    shutil.copy(clone / OWN_FILE, folder)
    words = (
        programs / "firstlight",
        "classify",
        OWN_FILE.name,
        *OWN_WORDS,
        OWN_COLUMNS,
        "--out",
        "mine-classes.csv",
    )
    timed(steps, "first classify", lambda: run(*words, cwd=folder))
    if not (folder / "mine-classes.csv").read_text(encoding="utf-8").count("SN-90429960"):
        sys.exit("the object is not in the answer")
    timed(steps, "later classify", lambda: run(*words, cwd=folder))
    return steps


def first_object(folder: Path) -> dict[str, float]:
    """Seconds from ``firstlight demo --page`` to its page, its first object and the page of that object."""
    steps: dict[str, float] = {}
    pip = (folder / "env" / "bin" / "python", "-m", "pip", "--quiet", "install", ".[demo]")
    timed(steps, "pip install '.[demo]'", lambda: run(*pip, cwd=folder / "firstlight"))
    start = time.perf_counter()
    with demonstration(folder) as address:
        marks = {"address of the page": time.perf_counter()}
        name = wait_for_object(address)
        marks["first object in the table"] = time.perf_counter()
        open_object(address, name)
        marks["page of that object"] = time.perf_counter()
    return steps | {name: round(mark - start, 1) for name, mark in marks.items()}


@contextmanager
def demonstration(folder: Path) -> Iterator[str]:
    """The demonstration as ``make stream-demo PAGE=1`` runs it; the address of its page."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    words = ("demo", "--seconds", "60", "--rate", "100", "--packet-kb", "30", "--page")
    demo = subprocess.Popen(
        [folder / "env" / "bin" / "firstlight", *words],
        cwd=folder, env=environment | {"BROWSER": "true"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert demo.stdout is not None
    try:
        before = ""
        for line in demo.stdout:
            before += line
            if line.startswith("the live page: "):
                threading.Thread(target=demo.stdout.read, daemon=True).start()
                yield line.removeprefix("the live page: ").strip().rstrip("/")
                break
        else:
            sys.exit(f"the demonstration has no page:\n{before}")
    finally:
        demo.terminate()
        demo.wait()


def wait_for_object(address: str) -> str:
    """Name of the first object that the page ranks."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with urlopen(f"{address}/api/objects") as answer:
            rows: list[dict[str, Any]] = json.load(answer)["objects"]
        if rows:
            return str(rows[0]["object"])
        time.sleep(0.1)
    sys.exit("the page shows no object")


def open_object(address: str, name: str) -> None:
    """Load the page of an object until its light curve is drawn in chromium; without one, its HTML."""
    place = f"{address}/object?{urlencode({'id': name})}"
    if not in_browser():
        with urlopen(place) as answer:
            if name not in answer.read().decode():
                sys.exit(f"{place} does not name its object")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page()
        page.goto(place)
        page.wait_for_selector(".plot canvas")
        browser.close()


def in_browser() -> bool:
    """Whether chromium and playwright are here."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return False
    return shutil.which("chromium") is not None


def main() -> None:
    """Walk the way and write the times."""
    head = {"commit": run("git", "rev-parse", "--short=12", "HEAD").strip(), "machine": machine()}
    with tempfile.TemporaryDirectory() as name:
        answer, demo = first_answer(Path(name)), first_object(Path(name))
    notes = {
        "downloads": "from caches on this machine; not the time of a user's network",
        "object_page": "drawn in chromium, with its start" if in_browser() else "its HTML, without a browser",
    }
    write(RESULT, {**head, **notes, "first_answer_s": answer, "first_object_s": demo})


if __name__ == "__main__":
    main()
