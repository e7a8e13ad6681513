"""A command line that runs in the test's process, and a tiny bundle that it trained."""

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from tests._locked import locked

from firstlight.cli.app import run

TINY = str(Path(__file__).parent.parent / "tiny.toml")


class Done(NamedTuple):
    """Exit code and output of a command."""

    returncode: int
    stdout: str
    stderr: str


def _firstlight(*arguments: object, ok: bool = True) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("COLUMNS", "250")
        code = run([str(part) for part in arguments])
    assert (code == 0) is ok, out.getvalue() + err.getvalue()
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def firstlight() -> Callable[..., Done]:
    """Run a command in this process, where the kernels are compiled; `ok` is whether it shall succeed."""
    return _firstlight


@pytest.fixture(scope="session")
def sample_words(sample_paths) -> tuple[object, ...]:
    """Options that name the committed sample."""
    return "--data", sample_paths.light_curves, "--metadata", sample_paths.metadata


@pytest.fixture(scope="session")
def bundle(firstlight, sample_paths, sample_words, shared_folder) -> Path:
    """A tiny bundle, trained by the command on every second object of the sample, once per run."""
    pytest.importorskip("torch")
    folder = shared_folder / "cli"
    with locked(shared_folder / "cli.lock"):
        if not (folder / "bundle").exists():
            folder.mkdir(exist_ok=True)
            names = pd.read_csv(sample_paths.metadata)["object_id"]
            (folder / "train.txt").write_text("\n".join(map(str, names[::2])))
            firstlight(
                *("train", *sample_words, "--objects", folder / "train.txt"),
                *("--preset", TINY, "--seed", 3, "--out", folder / "bundle"),
            )
    return folder / "bundle"


@pytest.fixture(scope="session")
def predictions(firstlight, bundle, sample_paths, shared_folder) -> Path:
    """Predictions of the tiny bundle on the whole sample."""
    out = bundle.parent / "classes.csv"
    with locked(shared_folder / "cli.lock"):
        if not out.exists():
            firstlight(
                *("classify", sample_paths.light_curves, "--metadata", sample_paths.metadata),
                *("--bundle", bundle, "--out", out),
            )
    return out
