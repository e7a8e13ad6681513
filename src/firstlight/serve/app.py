"""The web application: pages and API of a `Desk`, behind a `Guard`."""

import asyncio
import json
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from firstlight._version import __version__
from firstlight.errors import DataError, SettingsError
from firstlight.serve.api import make_api
from firstlight.serve.desk import Desk
from firstlight.serve.guard import App, Guard
from firstlight.serve.pages import Pages
from firstlight.serve.query import AbsentError, View

_TICK_S = 0.5  # between two looks for changes
_PAUSE_S = 2.0  # least time between two updates of a page
_ALIVE_S = 15.0  # between two signs of life on a quiet stream
MOST_STREAMS = 64  # open at once
_LARGEST_FORM, _MOST_FIELDS = 8192, 8  # bytes, fields; three short ones are expected

_ABOUT = (
    "The live page as JSON. Records are those of `firstlight stream`; names of objects are given "
    "as the parameter `id`, since they may hold any character."
)


class Streams:
    """Counts open event streams, and lets no more than `MOST_STREAMS` be open."""

    def __init__(self) -> None:
        self.n = 0

    def response(self, events: AsyncIterator[str]) -> Response:
        """A stream of server-sent events; 503 if too many are open."""
        if self.n >= MOST_STREAMS:
            return JSONResponse({"detail": "too many open streams"}, 503)
        self.n += 1  # here, since many requests may be answered before the first stream starts
        return _Stream(self, events)


class _Stream(StreamingResponse):
    """An event stream that counts as open until it has ended."""

    def __init__(self, streams: Streams, events: AsyncIterator[str]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"cache-control": "no-store"})
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; see `StreamingResponse`."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.n -= 1


def build_app(desk: Desk, *, host: str = "127.0.0.1", token: str = "", name: str = "") -> App:
    """The application of a desk.

    Parameters
    ----------
    desk : Desk
        Its content.
    host : str
        Address on which it will listen; other names are refused on a loopback address.
    token : str
        Needed from every visitor; empty for none.
    name : str
        Name of the results, for the pages.
    """
    app = FastAPI(
        title="firstlight: the live page",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    streams = Streams()
    pages = Pages(desk, name, app)
    app.include_router(make_api(desk, streams.response))
    static = Path(str(resources.files("firstlight.serve") / "static"))
    app.mount("/static", StaticFiles(directory=static))
    _add_pages(app, pages, desk, streams)
    _add_errors(app, pages)
    return Guard(app, host, token)


def _add_pages(app: FastAPI, pages: Pages, desk: Desk, streams: Streams) -> None:
    """Add the pages for people."""

    def tonight(request: Request) -> Response:
        return pages.tonight(View.parse(request.query_params.multi_items()))

    def one(request: Request) -> Response:
        values = request.query_params
        return pages.object(values.get("id", ""), values.get("bundle", ""), _here(request))

    def explain(request: Request) -> Response:
        values = request.query_params
        return pages.explain(values.get("id", ""), values.get("bundle", ""))

    def sky(request: Request) -> Response:
        pairs = [p for p in request.query_params.multi_items() if p[0] not in ("frame", "at")]
        frame = request.query_params.get("frame", "equatorial")
        return pages.sky(View.parse(pairs), frame, request.query_params.get("at", ""))

    def export(request: Request) -> Response:
        form = request.query_params.get("format", "csv")
        return pages.export(View.parse(request.query_params.multi_items()), form)

    async def feedback(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _LARGEST_FORM:
                raise HTTPException(413, "The form is too large.")
        try:
            pairs = parse_qsl(
                body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
            )
        except ValueError as error:
            raise HTTPException(422, "The form has too many fields.") from error
        return await run_in_threadpool(pages.feedback, dict(pairs), "hx-request" in request.headers)

    async def events(request: Request) -> Response:
        return streams.response(_changes(desk, request))

    for path, page in (
        ("/", tonight), ("/object", one), ("/explain", explain), ("/sky", sky), ("/export", export),
        ("/stream", lambda request: pages.stream()), ("/api", lambda request: pages.api(_here(request))),
        ("/events", events),
    ):  # fmt: skip
        app.add_route(path, page, methods=["GET"], include_in_schema=False)
    app.add_route("/feedback", feedback, methods=["POST"], include_in_schema=False)


def _here(request: Request) -> str:
    """Address of the page as the visitor typed it."""
    return f"{request.url.scheme}://{request.url.netloc}"


async def _changes(desk: Desk, request: Request) -> AsyncIterator[str]:
    """An event whenever there are new records, at most one in two seconds."""
    loop = asyncio.get_running_loop()
    seen, updated, alive = desk.board.version, -_PAUSE_S, loop.time()
    yield "retry: 3000\n\n"
    while not await request.is_disconnected():
        now = loop.time()
        if desk.board.version != seen and now - updated >= _PAUSE_S:
            seen, updated, alive = desk.board.version, now, now
            yield f"event: changed\ndata: {json.dumps({'records': desk.board.n_records})}\n\n"
        elif now - alive >= _ALIVE_S:
            alive = now
            yield ": still here\n\n"
        await asyncio.sleep(_TICK_S)


def _add_errors(app: FastAPI, pages: Pages) -> None:
    """Errors as JSON below ``/api/``, as pages elsewhere."""

    def answer(request: Request, status: int, text: str) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"detail": text}, status)
        return pages.error(status, text)

    def wrong(request: Request, error: Any) -> Response:
        return answer(request, 404 if isinstance(error, AbsentError) else 422, str(error))

    def unknown(request: Request, error: Any) -> Response:
        return answer(request, error.status_code, str(error.detail))

    def invalid(request: Request, error: Any) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        return answer(request, 422, f"{place}: {first['msg']}")

    app.add_exception_handler(SettingsError, wrong)
    app.add_exception_handler(DataError, wrong)
    app.add_exception_handler(HTTPException, unknown)
    app.add_exception_handler(RequestValidationError, invalid)
