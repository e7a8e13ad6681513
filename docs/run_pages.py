"""Run the examples of pages, and write their output into the pages.

A fence below the line ``<!-- run -->`` is run: Python, or a console whose lines ``$ command`` are
commands and whose other lines are their output. A fence ``text`` right after Python is its output.
All fences of a page run in order, in one folder with the files of `prepare`, and Python keeps its names.
A command that is to fail ends with ``# exit code 1``.

``python docs/run_pages.py docs/how-to/*.md`` writes the output into the pages;
`tests/test_examples.py` runs the same fences and compares their output, numbers apart.
"""

import contextlib
import gzip
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fastavro

from firstlight.cli import run as run_firstlight
from firstlight.stream.replay.broker import LocalBroker

ROOT = Path(__file__).resolve().parent.parent
RUN = "<!-- run -->\n"
WIDTH = 100
DATA, PACKETS = ROOT / "tests" / "data", ROOT / "tests" / "stream" / "alerts" / "packets"
#: The address that pages about Kafka use; their examples run on a broker of their own.
BROKER = "broker:9092"
_FENCE = re.compile(
    rf"^{RUN}```(?P<kind>python|console)[^\n]*\n(?P<code>.*?)^```\n(?P<gap>\n```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_COMMAND = re.compile(r"^\$ ((?:[^\n]*\\\n)*[^\n]*)\n", re.MULTILINE)
_LOG_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\S+ ", re.MULTILINE)
#: Progress, notes of a first compilation, the log of level info, a warning that many pages would show.
_UNSTEADY = re.compile(r"━|^[^,]{1,60}: \d+ s$|compil(ing|e) kernels|^$|^info |^(warning )?no E\(B-V\)")
_STATUS = re.compile(r"# exit code (\d+)$")
_NUMBER = re.compile(r"[-+]?\d[\d,.:e+-]*")


class Example(NamedTuple):
    """A fence that was run: where it stands, its kind, its text with today's output, and the old text."""

    span: tuple[int, int]
    kind: str
    old: str
    new: str


def pages() -> list[Path]:
    """All pages with examples."""
    return sorted(path for path in (ROOT / "docs").rglob("*.md") if RUN in path.read_text(encoding="utf-8"))


def prepare(folder: Path) -> None:
    """Write the files that every page finds.

    ``curves.csv`` and ``metadata.csv`` hold 202 objects of PLAsTiCC as on Kaggle, ``alerts.avro`` 600
    alerts of them. ``rubin_fink.avro``, ``ztf_fink.avro`` and ``ZTF19acihgng.avro`` are public alerts, and
    ``detections.json`` has the detections of the last in the shape of ALeRCE's client.
    """
    for name, target in (("lightcurves", "curves.csv"), ("metadata", "metadata.csv")):
        packed = DATA / f"plasticc_sample_{name}.csv.gz"
        (folder / target).write_bytes(gzip.decompress(packed.read_bytes()))
    for path in PACKETS.glob("*.avro"):
        shutil.copy(path, folder)
    command = "replay --data curves.csv --metadata metadata.csv --sink alerts.avro --detections-only"
    with contextlib.chdir(folder):
        _firstlight([*shlex.split(command), "--max-alerts", "600"])
    for path in folder.glob("*.rejects.jsonl"):
        path.unlink()
    (folder / "detections.json").write_text(json.dumps(_as_alerce(PACKETS / "ZTF19acihgng.avro")))


def _as_alerce(packet: Path) -> list[dict[str, Any]]:
    """Detections of a ZTF packet, as ``Alerce().query_detections`` gives them."""
    with packet.open("rb") as file:
        alert = next(iter(fastavro.reader(file)))
    rows = [row for row in (*alert["prv_candidates"], alert["candidate"]) if row.get("magpsf")]
    return [
        {
            "oid": alert["objectId"],
            "candid": row["candid"],
            "mjd": row["jd"] - 2_400_000.5,
            "fid": row["fid"],
            "isdiffpos": 1 if row["isdiffpos"] in ("t", "1") else -1,
        }
        | {name: row[name] for name in ("magpsf", "sigmapsf", "diffmaglim", "ra", "dec", "rb")}
        for row in rows
    ]


def run_page(page: Path, folder: Path) -> Iterator[Example]:
    """Run each example of a page in a prepared folder; an example that fails is a RuntimeError."""
    with contextlib.ExitStack() as stack:
        address = BROKER
        if BROKER in page.read_text(encoding="utf-8"):
            broker = stack.enter_context(LocalBroker())
            broker.create_topic("alerts", partitions=2)
            address = broker.address
        yield from _run_page(page, folder, address)


def _run_page(page: Path, folder: Path, address: str) -> Iterator[Example]:
    """Run a page with the address of a broker in place of `BROKER`."""
    text, names = page.read_text(encoding="utf-8"), {"__name__": "__main__"}
    for found in _FENCE.finditer(text):
        code = found["code"]
        line = text.count("\n", 0, found.start()) + 2
        place = f"{page.name}:{line}"
        if found["kind"] == "console":
            new = f"{RUN}```console\n{_console(code, folder, place, address)}```\n"
            yield Example(found.span(), "console", found.group(), new + (found["gap"] or ""))
            continue
        printed = _python(code.replace(BROKER, address), names, folder, place).replace(address, BROKER)
        new = f"{RUN}```python\n{code}```\n"
        if printed:
            new += f"\n```text\n{printed}```\n"
        yield Example(found.span(), "python", found.group(), new)


def without_numbers(text: str) -> str:
    """The words of an output, one space apart: numbers and their alignment may change with a bundle."""
    return " ".join(_NUMBER.sub("0", re.sub(r"[─╭╮╰╯│]+", " ", text)).split())


def _python(code: str, names: dict[str, Any], folder: Path, place: str) -> str:
    """Output of Python code."""
    out = io.StringIO()
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(out):
            exec(compile(code, place, "exec"), names)  # noqa: S102  (our own pages)
    except Exception as error:
        raise RuntimeError(f"{place}: {type(error).__name__}: {error}") from error
    return _lines(out.getvalue())


def _console(code: str, folder: Path, place: str, address: str) -> str:
    """The commands of a console, each with its output."""
    parts = []
    for command in _COMMAND.findall(code):
        with contextlib.chdir(folder):
            status, printed = _shell(command.replace(BROKER, address))
        expected = _STATUS.search(command)
        if status != (int(expected[1]) if expected else 0):
            raise RuntimeError(f"{place}: exit code {status} of {command}\n{printed}")
        parts.append(f"$ {command}\n{_lines(printed).replace(address, BROKER)}")
    return "".join(parts)


def _shell(command: str) -> tuple[int, str]:
    """Exit code and output of a command; firstlight's run in this process, which saves their start."""
    words = shlex.split(command.replace("\\\n", " "), comments=True)
    if words[0] == "firstlight" and not set(words) & {"|", ">", "&&", "<"}:
        return _firstlight(words[1:])
    # The environment's programs come first, activated or not.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "PATH": path},
    )
    return done.returncode, done.stdout + done.stderr


def _firstlight(words: list[str]) -> tuple[int, str]:
    """Exit code and output of a command of firstlight."""
    out = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            status = run_firstlight(words)
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return status, out.getvalue()


def _lines(printed: str) -> str:
    """Output without progress bars, the lines of a first compilation and spaces at the ends of lines."""
    lines = [line.rstrip() for line in _LOG_TIME.sub("", printed.replace("\r", "\n")).splitlines()]
    kept = [line for line in lines if not _UNSTEADY.search(line)]
    return "".join(f"{line}\n" for line in kept)


def main(names: list[str]) -> None:
    """Run pages and write today's output into them."""
    for page in [Path(name).resolve() for name in names] or pages():
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder))
            text = page.read_text(encoding="utf-8")
            for example in reversed(list(run_page(page, Path(folder)))):
                start, end = example.span
                text = text[:start] + example.new + text[end:]
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
