"""Golden answers: outputs of today, pinned so that a change behind them shows.

Comparison is exact with the processor type and library versions that recorded the files; with others
numbers may differ by 1e-12 of their value, since numpy's exponentials round by instruction set (4e-15
measured with AVX2 against AVX-512). ``pytest tests/golden --update-golden`` records the files;
``presets/`` and ``state/`` are inputs that an earlier version left, and are never rewritten.
"""

import importlib.metadata
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstlight import LightCurves, read
from firstlight.cli import app

HERE = Path(__file__).parent
DATA = HERE.parent / "data"
RECORDED_ON = HERE / "recorded_on.json"
TOLERANCE = 1e-12  # relative, with another processor type or other libraries than recorded
#: Marks of machine-dependent entries: bits of float64 numbers, digest of such bits.
FLOATS, DIGEST = "f8:", "bits:"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="record the golden answers again")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _is_recorded_machine():
        terminalreporter.write_line(f"tests/golden: compared to {TOLERANCE:g}, not exactly. {_machines()}")


class Golden:
    """Compares answers with the recorded ones, or records them."""

    def __init__(self, update: bool) -> None:
        self.update = update

    def check(self, name: str, found: dict[str, Any]) -> None:
        """Compare a JSON object entry by entry."""
        found = json.loads(json.dumps(found))
        if self.update:
            lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items())
            self._record(name, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
        wanted = json.loads(self._recorded(name))
        assert list(found) == list(wanted), f"{name}: other entries, or in another order"
        exact = _is_recorded_machine()
        wrong = [key for key in wanted if not _same(found[key], wanted[key], exact)]
        if wrong:
            first = wrong[0]
            pytest.fail(
                f"{name}: {len(wrong)} of {len(wanted)} entries differ; the first is {first!r}\n"
                f"  recorded: {wanted[first]}\n  found:    {found[first]}\n{_machines()}",
                pytrace=False,
            )

    def check_lines(self, name: str, found: list[bytes]) -> None:
        """Compare lines byte for byte."""
        if self.update:
            self._record(name, b"".join(found))
        wanted = self._recorded(name).splitlines(keepends=True)
        assert len(found) == len(wanted), f"{name}: {len(found)} lines, recorded {len(wanted)}"
        for number, (line, recorded) in enumerate(zip(found, wanted, strict=True), start=1):
            if line != recorded:
                pytest.fail(
                    f"{name}: line {number} differs\n  recorded: {recorded!r}\n  found:    {line!r}\n"
                    f"{_machines()}",
                    pytrace=False,
                )

    def _record(self, name: str, content: bytes) -> None:
        (HERE / name).write_bytes(content)
        RECORDED_ON.write_text(json.dumps(_machine(), indent=1) + "\n")

    def _recorded(self, name: str) -> bytes:
        path = HERE / name
        assert path.is_file(), f"{path} is missing; record it with pytest tests/golden --update-golden"
        return path.read_bytes()


def _same(found: Any, wanted: Any, exact: bool) -> bool:
    """Whether two JSON values are equal, numbers within the tolerance unless exact."""
    if exact or type(found) is not type(wanted):
        return bool(found == wanted)
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_same(found[k], wanted[k], exact) for k in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(
            _same(a, b, exact) for a, b in zip(found, wanted, strict=True)
        )
    if isinstance(wanted, str) and wanted.startswith(FLOATS):
        a, b = (np.frombuffer(bytes.fromhex(text.removeprefix(FLOATS)), ">f8") for text in (found, wanted))
        return a.shape == b.shape and bool(np.allclose(a, b, rtol=TOLERANCE, atol=0.0, equal_nan=True))
    if isinstance(wanted, str) and wanted.startswith(DIGEST):
        return True
    return bool(found == wanted)


def _machine() -> dict[str, str]:
    """Processor and libraries that the last bits may depend on."""
    from llvmlite.binding import get_host_cpu_name

    libraries = ("numpy", "scipy", "numba", "llvmlite")
    versions = {name: importlib.metadata.version(name) for name in libraries}
    vectors = np.show_config(mode="dicts")["SIMD Extensions"]
    found = " ".join((*vectors["baseline"], *vectors.get("found", ())))
    return {"processor": f"{platform.machine()} {get_host_cpu_name()}", "vectors": found, **versions}


def _is_recorded_machine() -> bool:
    return RECORDED_ON.is_file() and json.loads(RECORDED_ON.read_text()) == _machine()


def _machines() -> str:
    if _is_recorded_machine():
        return "Recorded with this processor type and these libraries: the code changed the answer."
    recorded = RECORDED_ON.read_text() if RECORDED_ON.is_file() else "nowhere"
    return f"Recorded on {' '.join(recorded.split())}, this is {json.dumps(_machine())}."


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(bool(request.config.getoption("update_golden", default=False)))


@pytest.fixture(scope="session")
def bits() -> Callable[..., str]:
    """Bits of float64 numbers, sixteen hexadecimal digits each."""
    return lambda values: FLOATS + np.asarray(values, ">f8").tobytes().hex()


@pytest.fixture(scope="session")
def digest() -> Callable[[bytes], str]:
    """Digest of numbers that is compared on the recorded machine type alone."""
    from hashlib import sha256

    return lambda content: DIGEST + sha256(content).hexdigest()[:16]


@pytest.fixture(scope="session")
def firstlight() -> Callable[..., None]:
    """Run a command of the command line; it must succeed."""

    def command(*words: object) -> None:
        with pytest.raises(SystemExit) as stop:
            app([str(word) for word in words])
        assert not stop.value.code

    return command


@pytest.fixture(scope="session")
def sample_files() -> tuple[Path, Path]:
    """Light curves and metadata of the committed sample."""
    return DATA / "plasticc_sample_lightcurves.csv.gz", DATA / "plasticc_sample_metadata.csv.gz"


@pytest.fixture(scope="session")
def curves(sample_files: tuple[Path, Path]) -> LightCurves:
    """The committed sample as `firstlight.read` gives it."""
    return read(*sample_files)
