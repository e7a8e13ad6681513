"""Logs of the stream: one line an event, and no secret in any."""

import io
import json
import logging

import pytest

from firstlight.errors import SettingsError
from firstlight.stream.worker.logging import LOGGER, configure_logs, log, release_logs


@pytest.fixture(autouse=True)
def _restored():
    yield
    release_logs()


def test_json_lines_carry_the_fields_of_the_event():
    out = io.StringIO()
    configure_logs("json", stream=out)
    log(logging.INFO, "batch done", alerts=256, partition=("alerts", 0))
    entry = json.loads(out.getvalue())
    assert (entry["event"], entry["level"], entry["alerts"]) == ("batch done", "info", 256)


def test_text_is_one_line_an_event():
    out = io.StringIO()
    configure_logs("text", stream=out)
    log(logging.WARNING, "broker away", host="b:9092")
    assert out.getvalue().count("\n") == 1
    assert "broker away  host=b:9092" in out.getvalue()


@pytest.mark.parametrize("form", ["json", "text"])
def test_secrets_never_show(form):
    out = io.StringIO()
    configure_logs(form, secrets=['pass"word', "key"], stream=out)
    log(logging.ERROR, 'login with pass"word failed', config='sasl.password=pass"word', other="key")
    assert "word" not in out.getvalue().replace("password=", "")
    assert "key" not in out.getvalue()
    assert "***" in out.getvalue()


FORGED = "x\n2026-01-01 error forged\x1b[2J\u2028\u202e\r\x00\x9b"


@pytest.mark.parametrize("form", ["json", "text"])
def test_foreign_text_neither_forges_a_line_nor_reaches_the_terminal(form):
    out = io.StringIO()
    configure_logs(form, stream=out)
    log(logging.WARNING, f"rejected {FORGED}", object=FORGED)
    assert out.getvalue().count("\n") == 1
    assert out.getvalue()[:-1].isprintable()
    try:
        raise ValueError(FORGED)
    except ValueError:
        LOGGER.exception("failed")
    lines = out.getvalue().split("\n")[1:-1]
    assert all(line.isprintable() for line in lines)
    assert [line for line in lines if not line.startswith(" ")] == lines[:1]


def test_an_error_keeps_its_trace():
    for form in ("json", "text"):
        out = io.StringIO()
        configure_logs(form, stream=out)
        try:
            raise ValueError("here")
        except ValueError:
            LOGGER.exception("failed")
        assert "ValueError: here" in out.getvalue()


def test_a_second_configuration_replaces_the_first():
    first, second = io.StringIO(), io.StringIO()
    configure_logs("text", stream=first)
    configure_logs("json", level=logging.ERROR, stream=second)
    log(logging.INFO, "quiet")
    log(logging.ERROR, "loud")
    assert first.getvalue() == ""
    assert "loud" in second.getvalue()
    assert "quiet" not in second.getvalue()
    with pytest.raises(SettingsError, match="json or text"):
        configure_logs("xml")


def test_repeated_warnings_of_the_parts_are_logged_once():
    out = io.StringIO()
    configure_logs("text", stream=out)
    below = logging.getLogger("firstlight.preprocess.dust")
    for n in range(5):
        below.warning("E(B-V) is unknown for %d objects", n)
        log(logging.INFO, "batch")
    assert out.getvalue().count("E(B-V) is unknown for 0 objects") == 1
    assert out.getvalue().count("E(B-V)") == 1
    assert out.getvalue().count("batch") == 5


def test_released_the_logs_go_where_they_went_before(caplog):
    out = io.StringIO()
    configure_logs("text", stream=out)
    release_logs()
    log(logging.WARNING, "to others")
    assert out.getvalue() == ""
    assert "to others" in caplog.text


def test_standard_error_is_looked_up_when_it_is_written(capsys):
    configure_logs("text")
    log(logging.INFO, "here")
    assert "here" in capsys.readouterr().err
