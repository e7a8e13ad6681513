"""Who may see the page: hosts, a token, the origin of changes, and headers against injected content.

On the loopback interface every program of this machine may read the page, but no other web site may use it
through the browser: the name of the host is checked (DNS rebinding) and so is the origin of a change.
"""

import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "firstlight_token"
#: Nothing from elsewhere, nothing inline.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"(?:\[(?P<address>[0-9a-fA-F:.]+)\]|(?P<name>[^:\[\]]+))(?::[0-9]*)?")
_SAFE = frozenset({"GET", "HEAD"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """An ASGI application that lets permitted requests through to another.

    Parameters
    ----------
    app : callable
        The application.
    host : str
        Address on which it listens.
    token : str
        Needed from every visitor; empty for none, which is for loopback addresses only.
    """

    def __init__(self, app: App, host: str, token: str) -> None:
        self._app, self._token = app, token
        self._names = _LOCAL if is_loopback(host) else None  # None: any name, the token guards

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = message | {"headers": [*message.get("headers", []), *HEADERS]}
            await send(message)

        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self._names is not None and _host_name(headers.get(b"host", "")) not in self._names:
            await _plain(with_headers, 421, "This page answers to localhost alone.")
        elif scope["method"] not in _SAFE and not _is_own(headers):
            await _plain(with_headers, 403, "A change must come from the page itself, or from a program.")
        elif not self._token or _holds(scope, headers, self._token):
            await self._app(scope, receive, with_headers)
        elif (address := _without_token(scope, self._token)) is not None:
            await _enter(with_headers, address, self._token)
        else:
            await _plain(with_headers, 401, "Open the address with the token that the program printed.")


def _host_name(host: str) -> str:
    """Name of a host header without its port; empty if it is malformed."""
    found = _HOST.fullmatch(host)
    return "" if found is None else found["address"] or found["name"] or ""


def _is_own(headers: dict[bytes, str]) -> bool:
    """Whether a change comes from this page, or from a program that is no browser."""
    if headers.get(b"sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origin = headers.get(b"origin")
    return origin is None or urlsplit(origin).netloc == headers.get(b"host")


def _holds(scope: Scope, headers: dict[bytes, str], token: str) -> bool:
    """Whether a request has the token in its cookie or as a bearer."""
    given = [headers.get(b"authorization", "").removeprefix("Bearer ")]
    try:
        cookie = SimpleCookie(headers.get(b"cookie", "")).get(COOKIE)
    except CookieError:
        cookie = None
    given += [cookie.value] if cookie is not None else []
    return any(hmac.compare_digest(one.encode(), token.encode()) for one in given)


def _without_token(scope: Scope, token: str) -> str | None:
    """The address without its token, if that is the right one."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    given = dict(pairs).get("token", "")
    if scope["method"] != "GET" or not hmac.compare_digest(given.encode(), token.encode()):
        return None
    rest = urlencode([pair for pair in pairs if pair[0] != "token"])
    path = "/" + scope["path"].lstrip("/")  # "//host" would be another site
    return f"{path}?{rest}" if rest else path


async def _enter(send: Send, address: str, token: str) -> None:
    """Keep the token in a cookie, out of addresses and histories."""
    cookie = f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"
    headers = [(b"location", quote(address, safe="/?=&%+").encode()), (b"set-cookie", cookie.encode())]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _plain(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode() + b"\n"})
