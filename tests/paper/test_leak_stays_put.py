"""The leaky protocol is for columns that carry its name, and for nothing else."""

import re
from pathlib import Path

import firstlight_paper

SOURCE = Path(firstlight_paper.__file__).parent
LEAKY = re.compile(r"leaky_rows|leaky_proba|fit_leaky|firstlight_paper\.leak")


def test_nothing_outside_the_reproduction_knows_the_leaky_protocol():
    users = [path for path in SOURCE.parent.rglob("*.py") if LEAKY.search(path.read_text(encoding="utf-8"))]
    assert users
    for path in users:
        assert path.parent.name in ("firstlight_paper", "parts"), path


def test_every_part_that_uses_it_names_the_column():
    for path in (SOURCE / "parts").glob("*.py"):
        if LEAKY.search(path.read_text(encoding="utf-8")):
            siblings = path.parent.glob(f"{path.stem}*.py")
            said = " ".join(sibling.read_text(encoding="utf-8") for sibling in siblings)
            assert '"leak"' in said, path
            assert "its protocol" in said, path
