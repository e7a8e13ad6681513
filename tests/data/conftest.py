"""A stand-in web server, and files of light curves with something wrong in them."""

import gzip
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

HEADER = "object_id,mjd,passband,flux,flux_err,detected"
ROWS = (
    "615,59750.4,2,-544.8,3.6,1",
    "615,59751.4,1,-816.4,5.5,1",
    "615,59752.4,3,-471.4,3.8,0",
    "713,59825.2,2,10.5,1.9,0",
    "713,59826.2,1,-8.4,2.6,0",
)


@dataclass
class Server:
    """Files and faults of the stand-in."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True  # whether it can resume
    tags: bool = True  # whether it names the version of a file
    cuts: list[int] = field(default_factory=list)  # bytes to send before hanging up, once each
    faults: list[int] = field(default_factory=list)  # statuses to answer first, once each
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range header


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            wanted = self.headers.get("Range")
            server.requests.append((path, wanted))
            if server.faults:
                self.send_error(server.faults.pop(0))
                return
            body = server.files.get(path)
            if body is None:
                self.send_error(404)
                return
            tag = f'"{hash(body)}"'
            start = 0
            if wanted and server.ranges and self.headers.get("If-Range") in (None, tag):
                start = int(wanted.removeprefix("bytes=").split("-")[0])
                if start >= len(body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            if server.tags:
                self.send_header("ETag", tag)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            stop = start + server.cuts.pop(0) if server.cuts else len(body)
            self.wfile.write(body[start:stop])

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    """A web server on this machine."""
    state = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(state)) as listener:
        state.url = f"http://127.0.0.1:{listener.server_address[1]}"
        # the default half-second poll would be waited for at the end of every test
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        yield state
        listener.shutdown()
        thread.join()


@pytest.fixture
def csv(tmp_path: Path) -> Callable[..., Path]:
    """Write a small light-curve file: ``csv(*rows, header=..., name=..., end="\\n")``."""

    def write(
        *rows: str, header: str = HEADER, name: str = "curves.csv", end: str = "\n", zipped: bool = False
    ) -> Path:
        text = "\n".join([header, *(rows or ROWS)]) + end
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
        return path

    return write
