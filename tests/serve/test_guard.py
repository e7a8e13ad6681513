"""Who may see the page, and where a change may come from."""

import asyncio

import pytest

from firstlight.errors import SettingsError
from firstlight.serve.guard import COOKIE, Guard
from firstlight.serve.run import make_token

TOKEN = "a-token-of-the-test-1234"


def ask(guard: Guard, path: str = "/", method: str = "GET", query: str = "", **headers: str):
    """Status and headers of an answer."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    own = {"host": "127.0.0.1:8321"} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in own.items()],
    }  # fmt: skip
    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


async def page(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


LOCAL = Guard(page, "127.0.0.1", "")
OPEN = Guard(page, "0.0.0.0", TOKEN)


def test_every_answer_forbids_foreign_and_inline_content():
    for status, headers in (ask(LOCAL), ask(LOCAL, host="evil.example")):
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert status in (200, 421)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:80", 200),
        ("127.0.0.1", 200),
        ("[::1]:8321", 200),
        ("evil.example:8321", 421),
        ("", 421),
        ("127.0.0.1:8321.evil.example", 421),
        ("[::1].evil.example", 421),
    ],
)
def test_a_local_page_answers_to_local_names_alone(host, status):
    assert ask(LOCAL, host=host)[0] == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:8321"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site", "origin": "http://127.0.0.1:9999"}, 403),
    ],
)
def test_a_change_comes_from_the_page_or_from_a_program(headers, status):
    assert ask(LOCAL, "/feedback", "POST", **headers)[0] == status


def test_with_a_token_nobody_else_sees_anything():
    assert ask(OPEN, host="any.example")[0] == 401
    assert ask(OPEN, authorization="Bearer wrong")[0] == 401
    assert ask(OPEN, cookie=f"{COOKIE}=wrong")[0] == 401
    assert ask(OPEN, "/static/page.css")[0] == 401
    assert ask(OPEN, authorization=f"Bearer {TOKEN}")[0] == 200
    assert ask(OPEN, cookie=f"other=1; {COOKIE}={TOKEN}")[0] == 200


def test_the_token_goes_from_the_address_into_a_cookie():
    status, headers = ask(OPEN, "//evil.example/", query=f"class=KN&token={TOKEN}")
    assert status == 303
    assert headers["location"] == "/evil.example/?class=KN"
    assert TOKEN in headers["set-cookie"]
    assert "HttpOnly" in headers["set-cookie"]
    assert ask(OPEN, query="token=wrong")[0] == 401


def test_only_a_local_page_needs_no_token():
    assert make_token("127.0.0.1", "") == ""
    assert len(make_token("0.0.0.0", "")) >= 24
    assert make_token("0.0.0.0", TOKEN) == TOKEN
    for bad in ("short", "with a blank in it 123456"):
        with pytest.raises(SettingsError):
            make_token("0.0.0.0", bad)
