"""Serve the page with uvicorn until it is stopped."""

import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from firstlight.errors import SettingsError
from firstlight.serve.app import build_app
from firstlight.serve.desk import Desk
from firstlight.serve.guard import is_loopback

TOKEN_VARIABLE = "FIRSTLIGHT_SERVE_TOKEN"
_LEAST_TOKEN = 16  # characters
_START_S = 20.0


def make_token(host: str, given: str) -> str:
    """The token that visitors need: none on a loopback address, else the given one or a new one.

    SettingsError if the given one is short, or has characters that an address does not take.
    """
    if given and (
        len(given) < _LEAST_TOKEN or not all((c.isalnum() and c.isascii()) or c in "-_" for c in given)
    ):
        raise SettingsError(f"{TOKEN_VARIABLE}: at least {_LEAST_TOKEN} letters, digits, - and _")
    if given:
        return given
    return "" if is_loopback(host) else secrets.token_urlsafe(24)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. SettingsError if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(128)
    except (OSError, OverflowError) as error:
        sock.close()
        raise SettingsError(f"--host {host} --port {port}: cannot listen: {error}") from error
    return sock


def address_of(sock: socket.socket, token: str = "") -> str:
    """Address of the page, for a browser."""
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def _server(desk: Desk, sock: socket.socket, token: str, name: str) -> uvicorn.Server:
    host = str(sock.getsockname()[0])
    config = uvicorn.Config(
        build_app(desk, host=host, token=token, name=name),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        limit_concurrency=256,
        h11_max_incomplete_event_size=64 << 10,
        ws="none",
    )
    return uvicorn.Server(config)


def serve(desk: Desk, sock: socket.socket, token: str, name: str) -> None:
    """Serve until SIGINT or SIGTERM; the desk must be running."""
    _server(desk, sock, token, name).run(sockets=[sock])


@contextmanager
def serving(desk: Desk, sock: socket.socket, token: str = "", name: str = "") -> Iterator[str]:
    """Serve from a thread while the block runs; yields the address."""
    server = _server(desk, sock, token, name)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    end = time.monotonic() + _START_S
    while not server.started and thread.is_alive() and time.monotonic() < end:
        time.sleep(0.02)
    if not server.started:
        raise SettingsError("the page did not start")
    try:
        yield address_of(sock, token)
    finally:
        server.should_exit = True
        thread.join(5.0)
