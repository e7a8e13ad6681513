"""No code from data. The linter refuses code that unpickles or evaluates."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUFF = shutil.which("ruff", path=str(Path(sys.executable).parent))
pytestmark = pytest.mark.skipif(RUFF is None, reason="needs ruff (extra dev)")


def ruff(*words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(RUFF), "check", "--no-cache", "--select", "S102,S301,S302,S307,TID251", *words]
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False)


def test_no_module_reads_pickles_or_evaluates_text():
    done = ruff("src")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib",
        "from cloudpickle import load",
        "import dill",
        "import marshal",
        "from shelve import open",
        "import numpy as np\nnp.load('x.npy', allow_pickle=True)",
        "import torch\ntorch.load('x.pt')",
        "from torch import load",
        "import pandas as pd\npd.read_pickle('x.pkl')",
        "eval('1')",
        "exec('x = 1')",
    ],
)
def test_the_linter_refuses_every_way_to_run_code_from_a_file(text):
    done = ruff("--stdin-filename", "src/firstlight/example.py", "-", text=text)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "example.py" in done.stdout
