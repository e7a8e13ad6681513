"""A webhook: each record at least once, tried again while that may help, given up in the open."""

import pytest

from firstlight.errors import SettingsError, UnavailableError
from firstlight.stream.io.sinks import RefusedError
from firstlight.stream.routes.webhook import WebhookSink

ENTRIES = [(b"a", b'{"n":%d}' % n) for n in range(20)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sink(receiver, clock):
    found = WebhookSink("chat", f"{receiver.url}/hook", headers={"Authorization": "token t"}, clock=clock)
    yield found
    found.close()


def test_each_record_is_posted_once_with_the_headers(sink, receiver):
    sink.write(ENTRIES)
    assert receiver.requests == []
    assert sink.flush() == 20
    assert sorted(body["n"] for body in receiver.bodies) == list(range(20))
    path, headers, _ = receiver.requests[0]
    assert path == "/hook"
    assert (headers["Authorization"], headers["Content-Type"]) == ("token t", "application/json")
    assert len({headers["Idempotency-Key"] for _, headers, _ in receiver.requests}) == 20
    assert sink.flush() == 20


def test_after_a_failure_only_the_others_are_sent_again(sink, receiver):
    receiver.answers = [200] * 5 + [503] * 3
    sink.write(ENTRIES)
    with pytest.raises(UnavailableError, match=r"route chat: 127\.0\.0\.1 answers 503"):
        sink.flush()
    assert len(receiver.requests) == 17
    sink.write(ENTRIES)  # as the worker does
    assert sink.flush() == 20
    assert sorted(body["n"] for body in receiver.bodies) == list(range(20))


def test_a_service_that_stays_away_is_given_up_and_holds_nothing_up_from_then_on(sink, receiver, clock):
    receiver.answers = [503] * 60
    sink.write(ENTRIES)
    with pytest.raises(UnavailableError):
        sink.flush()
    clock.now = 61.0
    sink.write(ENTRIES)
    with pytest.raises(RefusedError, match="20 record") as caught:
        sink.flush()
    assert caught.value.records == ENTRIES
    sink.write(ENTRIES)
    with pytest.raises(RefusedError):  # at once
        sink.flush()
    assert receiver.n_calls == 60
    sink.write(ENTRIES)
    assert sink.flush() == 20  # it is back
    receiver.answers = [503] * 20
    sink.write(ENTRIES)
    with pytest.raises(UnavailableError):  # patience again
        sink.flush()


@pytest.mark.parametrize("code", [400, 401, 404, 302, 308])
def test_refused_records_are_not_tried_again(sink, receiver, code):
    receiver.answers = [200] * 4 + [code]
    sink.write(ENTRIES)
    with pytest.raises(RefusedError, match=f"answers {code}") as caught:
        sink.flush()
    assert len(caught.value.records) == 1
    assert receiver.n_calls == 20


def test_a_service_that_is_not_there_may_come(clock):
    sink = WebhookSink("chat", "http://127.0.0.1:1/secret", retry_s=5.0, clock=clock)
    sink.write(ENTRIES[:1])
    with pytest.raises(UnavailableError, match="cannot be reached") as caught:
        sink.flush()
    assert "secret" not in str(caught.value)
    sink.close()


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc/passwd", "https:///x"])
def test_other_addresses_are_refused(url):
    with pytest.raises(SettingsError, match="http://HOST"):
        WebhookSink("chat", url)
