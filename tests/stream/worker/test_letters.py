"""Dead letters suffice to use their message again, and stay small."""

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.stream.io.message import Message
from firstlight.stream.limits import DEFAULT_LIMITS
from firstlight.stream.worker.letters import cut_letter, dead_letter, redriven


@given(
    value=st.binary(max_size=50),
    key=st.none() | st.binary(min_size=1, max_size=50),
    offset=st.integers(0, 2**60),
    time=st.none() | st.integers(0, 2**50),
)
def test_a_letter_gives_its_message_back_with_its_first_place(value, key, offset, time):
    message = Message(value, key, "alerts", 3, offset, time)
    once = redriven(Message(dead_letter(message, "decode", "why"), None, "letters", 0, 7))
    assert (once.value, once.key, once.timestamp_ms) == (value, key, time)
    assert (once.topic, once.partition, once.offset) == ("letters", 0, 7)
    assert once.first_place == ("alerts", 3, offset)
    again = json.loads(dead_letter(once, "decode", "still"))
    assert (again["topic"], again["partition"], again["offset"]) == ("alerts", 3, offset)


def test_a_letter_names_the_file_and_the_record_of_its_message():
    message = Message(b"x", None, "file", 0, 812, file="night.avro", record=12)
    letter = dead_letter(message, "decode", "why")
    assert {"file": "night.avro", "record": 12}.items() <= json.loads(letter).items()
    assert (redriven(Message(letter)).file, redriven(Message(letter)).record) == ("night.avro", 12)


def test_a_letter_of_a_message_that_could_not_be_read_does_not_hold_an_empty_one():
    """As of a line above the limit: its file has to be read again."""
    letter = dead_letter(Message(b"", None, "file", 0, 2, error="too long"), "decode", "too long")
    assert json.loads(letter)["value"] is None
    assert "does not hold the bytes of its message" in redriven(Message(letter)).error


@pytest.mark.parametrize("by", ["its own size", "the sink"])
def test_a_letter_without_bytes_keeps_size_digest_and_beginning(by):
    value = bytes(range(256)) * (DEFAULT_LIMITS.letter_bytes // 256 + 1 if by == "its own size" else 100)
    letter = dead_letter(Message(value, b"k" * 5000, "alerts", 0, 1), "decode", "why")
    if by == "the sink":
        letter = cut_letter(letter)
        assert json.loads(letter)["key"] is None
    found = json.loads(letter)
    assert found["value"] is None
    assert (found["cut"]["size"], found["cut"]["sha256"]) == (len(value), hashlib.sha256(value).hexdigest())
    assert base64.b64decode(found["cut"]["head"]) == value[:1024]
    assert len(cut_letter(letter)) < 3000
    message = redriven(Message(letter))
    assert f"does not hold the bytes of its message: {len(value)} bytes" in message.error
    assert message.first_place == ("alerts", 0, 1)


@pytest.mark.parametrize(
    "value",
    [
        *(
            b"",
            b"{}",
            b"[1]",
            b"7",
            b'"x"',
            b"no JSON",
            b"[" * 100_000,
            b'{"topic": "t", "partition": 1e400}',
        ),
        b'{"topic":"t","partition":0,"offset":0,"key":null,"value":"%","timestamp_ms":1}',
    ],
)
def test_texts_that_are_no_letters_are_named(value):
    assert redriven(Message(value)).error == "not a dead letter of firstlight"
