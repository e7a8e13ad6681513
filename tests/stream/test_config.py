"""The configuration of the stream as a TOML file."""

from pathlib import Path

import pytest

from firstlight.errors import SettingsError
from firstlight.stream.config import StreamConfig, read_config


def written(folder: Path, text: str) -> Path:
    path = folder / "stream.toml"
    path.write_text(text)
    return path


def test_no_file_and_an_empty_one_give_the_defaults(tmp_path: Path) -> None:
    assert read_config(None) == read_config(written(tmp_path, "")) == StreamConfig()


def test_a_table_sets_what_it_names(tmp_path: Path) -> None:
    text = '[quality]\nflags = ["isDipole"]\nmin_reliability = 0.5\nmax_nbad = 0\nnegative = false\n'
    quality = read_config(written(tmp_path, text)).quality
    assert (quality.flags, quality.min_reliability, quality.max_nbad) == (("isDipole",), 0.5, 0)
    assert quality.columns == ("reliability", "nbad", "negative")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[qualities]\n", "qualities"),
        ("[quality]\nmin_relibility = 0.5\n", "min_relibility"),
        ('[quality]\nmin_rb = "high"\n', "min_rb"),
        ("[quality]\nmin_rb = 2\n", "min_rb"),
        ("quality = 3\n", "expected a table"),
        ("[quality", "not TOML"),
    ],
)
def test_what_cannot_be_read_right_is_refused_by_name(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        read_config(written(tmp_path, text))


def test_a_missing_file_is_an_error_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read the configuration"):
        read_config(tmp_path / "none.toml")
