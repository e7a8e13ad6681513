"""The configuration of the stream as a TOML file."""

from pathlib import Path

import pytest

from firstlight.errors import SettingsError
from firstlight.stream import ContainerCodec, JsonLinesCodec
from firstlight.stream.alerts.decoder import alert_decoder
from firstlight.stream.config import StreamConfig, read_config


def written(folder: Path, text: str) -> Path:
    path = folder / "stream.toml"
    path.write_text(text)
    return path


def test_no_file_and_an_empty_one_give_the_defaults(tmp_path: Path) -> None:
    assert read_config(None) == read_config(written(tmp_path, "")) == StreamConfig()


def test_a_table_sets_the_options_that_it_names(tmp_path: Path) -> None:
    text = '[quality]\nflags = ["isDipole"]\nmin_reliability = 0.5\nmax_nbad = 0\nnegative = false\n'
    quality = read_config(written(tmp_path, text)).quality
    assert (quality.flags, quality.min_reliability, quality.max_nbad) == (("isDipole",), 0.5, 0)
    assert quality.columns == ("reliability", "nbad", "negative")


def test_the_limits_of_the_file_hold_for_names_messages_and_containers(tmp_path: Path, make_alert) -> None:
    text = "[limits]\nname_bytes = 10\nmessage_bytes = 500\nblock_records = 1\n"
    limits = read_config(written(tmp_path, text)).limits
    decoder = alert_decoder(limits=limits)
    line = JsonLinesCodec().encode(make_alert(1, object_id="o" * 11))
    assert "more than 10 bytes" in str(decoder.decode_all(line)[0])
    assert "more than 500 bytes" in str(decoder.decode_all(line.replace(b"oo", b"o" * 500))[0])
    container = ContainerCodec().encode_all([make_alert(alert_id=str(i), object_id="1") for i in range(2)])
    assert "limit block_records" in str(decoder.decode_all(container)[0])
    assert len(alert_decoder().decode_all(container)) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[limits]\nname_bytes = 0\n", "name_bytes"),
        ("[limits]\nnames = 1\n", "names"),
        ("[qualities]\n", "qualities"),
        ("[quality]\nmin_relibility = 0.5\n", "min_relibility"),
        ('[quality]\nmin_rb = "high"\n', "min_rb"),
        ("[quality]\nmin_rb = 2\n", "min_rb"),
        ("quality = 3\n", "expected a table"),
        ("[quality", "not TOML"),
    ],
)
def test_unreadable_options_are_refused_by_name(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        read_config(written(tmp_path, text))


def test_a_missing_file_is_an_error_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read the configuration"):
        read_config(tmp_path / "none.toml")
