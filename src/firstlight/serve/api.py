"""The API below ``/api``: objects, light curves, newest records, a stream of records, verdicts, health."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from starlette.exceptions import HTTPException

from firstlight.anomaly.verdicts import CHOICES
from firstlight.serve.board import History
from firstlight.serve.columns import COLUMNS
from firstlight.serve.desk import Desk
from firstlight.serve.detail import (
    alerts_of,
    chances,
    light_curve_of,
    links,
    points_json,
    reasons_in_words,
    record_json,
    row_json,
)
from firstlight.serve.health import health_of
from firstlight.serve.query import LIMITS, MOST_ROWS, View
from firstlight.taxonomy import CLASSES
from firstlight.text import number_in

_TICK_S, _ALIVE_S = 0.25, 15.0
_MOST_LATEST = 500

Name = Literal[*COLUMNS]  # type: ignore[valid-type]
Choice = Literal[*CHOICES]  # type: ignore[valid-type]

ClassName = Annotated[str, StringConstraints(max_length=100)]
ObjectId = Annotated[str, Query(max_length=1024, description="Name of the object.")]
Bundle = Annotated[str, Query(max_length=200, description="Bundle. Default: the one whose record came last.")]


class Problem(BaseModel):
    """Why a request cannot be answered."""

    detail: str


_PROBLEMS: Any = {404: {"model": Problem}, 422: {"model": Problem}}


def _written_plainly(value: Any) -> Any:
    """Refuse spellings that only Python reads as a number, such as 1_0."""
    return number_in(value) if isinstance(value, str) else value


def _limit(name: str) -> Any:
    """A parameter of `LIMITS`."""
    limit = LIMITS[name]
    about = COLUMNS[limit.column]
    words = f"{'Least' if limit.is_least else 'Greatest'} {about.name.replace('_', ' ')}: {about.meaning}"
    return Query(ge=limit.low, le=limit.high, description=words + (f" [{about.unit}]" if about.unit else ""))


class Objects(BaseModel):
    """One page of the chosen objects."""

    n: int = Field(description="Number of objects that pass the filters.")
    page: int
    bundle: str
    night: str = Field(description="Evening of the night, or empty.")
    objects: list[dict[str, Any]] = Field(description="One per object, with the columns of the table.")


class OneObject(BaseModel):
    """Everything about one object."""

    bundle: str
    row: dict[str, Any] = Field(description="Its row of the table.")
    record: dict[str, Any] = Field(description="Its newest record, as the stream wrote it.")
    n_records: int = Field(description="Number of its records.")
    alerts: list[dict[str, Any]] = Field(description="Its records that are kept, the newest first.")
    probabilities: dict[str, Any] = Field(description="Probabilities of its main classes at each record.")
    reasons: list[str]
    links: list[tuple[str, str]]


class Curve(BaseModel):
    """Observations of one object; lists of one length."""

    object: str
    from_records: bool = Field(description="Whether there are only the magnitudes that the records state.")
    about: str
    mjd: list[float]
    band: list[str]
    flux: list[float | None] = Field(description="[nJy]")
    flux_err: list[float | None] = Field(description="[nJy]")
    mag: list[float | None] = Field(description="AB magnitude of a detection.")
    mag_err: list[float | None]
    limit: list[float | None] = Field(description="Magnitude of five sigma, where there is no detection.")
    detected: list[bool]
    n_left_out: int = Field(description="Older observations that are left out.")


class Latest(BaseModel):
    """Newest records, in the order of arrival."""

    records: list[dict[str, Any]]


class NewVerdict(BaseModel):
    """A verdict to write."""

    model_config = ConfigDict(extra="forbid")
    object: str = Field(min_length=1, max_length=1024)
    verdict: Choice
    true_class: Literal["", *CLASSES] = ""  # type: ignore[valid-type]


class Verdicts(BaseModel):
    """The newest verdict of each object."""

    verdicts: list[dict[str, Any]]


def make_api(desk: Desk, stream_response: Callable[[AsyncIterator[str]], Response]) -> APIRouter:
    """The routes of the API; `stream_response` makes a response of server-sent events."""
    router = APIRouter(prefix="/api", tags=["objects"], responses={422: {"model": Problem}})
    _add_table(router, desk)
    _add_object(router, desk)
    _add_evidence(router, desk)
    _add_news(router, desk, stream_response)
    _add_verdicts(router, desk)
    return router


def _add_table(router: APIRouter, desk: Desk) -> None:
    """Add the table of objects."""

    @router.get("/objects", response_model=Objects, responses=_PROBLEMS)
    def objects(
        request: Request,
        q: Annotated[str, Query(max_length=200, description="Part of a name, or a position.")] = "",
        class_: Annotated[
            list[ClassName] | None,
            Query(alias="class", max_length=70, description="Classes; none is not classified."),
        ] = None,
        min_probability: Annotated[float | None, _limit("min_probability")] = None,
        min_anomaly: Annotated[float | None, _limit("min_anomaly")] = None,
        min_change: Annotated[float | None, _limit("min_change")] = None,
        max_mag: Annotated[float | None, _limit("max_mag")] = None,
        max_phase: Annotated[float | None, _limit("max_phase")] = None,
        max_age: Annotated[float | None, _limit("max_age")] = None,
        min_hours_up: Annotated[float | None, _limit("min_hours_up")] = None,
        up: Annotated[Literal["0", "1"], Query(description="1: only objects that are up tonight.")] = "0",
        sort: Annotated[Name, Query()] = "rank",
        order: Annotated[Literal["", "asc", "desc"], Query()] = "",
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        rows: Annotated[int, Query(ge=10, le=MOST_ROWS)] = 100,
        bundle: Bundle = "",
    ) -> Objects:
        """Objects with their newest records, filtered, sorted and in pages."""
        view = View.parse(request.query_params.multi_items())
        snapshot, found = desk.chosen(view)
        part = found.iloc[(view.page - 1) * view.rows : view.page * view.rows]
        return Objects(
            n=len(found),
            page=view.page,
            bundle=snapshot.bundle,
            night=snapshot.night.date if snapshot.night else "",
            objects=[row_json(snapshot, row) for row in part.to_dict("records")],
        )


def _add_object(router: APIRouter, desk: Desk) -> None:
    """Add the values of one object that its records state."""

    @router.get("/object", response_model=OneObject, responses=_PROBLEMS)
    def one(id: ObjectId, bundle: Bundle = "") -> OneObject:
        """One object: newest record, history, reasons in words and links."""
        bundle, history = _history_of(desk, id, bundle)
        snapshot = desk.snapshot(bundle)
        row = snapshot.row(id)
        if row is None:
            raise HTTPException(404, "no such object")
        place = int((snapshot.table["object"] == id).to_numpy().argmax())
        shown = chances(history)
        return OneObject(
            bundle=bundle,
            row=row_json(snapshot, row),
            record=record_json(history),
            n_records=history.n_records,
            alerts=alerts_of(history),
            probabilities={
                "mjd": shown.mjd,
                "classes": dict(zip(shown.classes, shown.proba, strict=True)),
                "others": shown.others,
            },
            reasons=reasons_in_words(row, snapshot.results.proba[place], history),
            links=links(id, float(row["ra"]), float(row["dec"])),
        )


def _add_evidence(router: APIRouter, desk: Desk) -> None:
    """Add observations and explanation of one object."""

    @router.get("/lightcurve", response_model=Curve, responses=_PROBLEMS)
    def light_curve(id: ObjectId, bundle: Bundle = "") -> Curve:
        """Observations of one object."""
        _, history = _history_of(desk, id, bundle)
        points, from_records = light_curve_of(id, history, desk.observations)
        about = desk.observations.about
        return Curve(object=id, from_records=from_records, about=about, **points_json(points))

    @router.get("/explain", response_model=dict[str, Any], responses=_PROBLEMS)
    def explain(id: ObjectId, bundle: Bundle = "") -> dict[str, Any]:
        """Reasons for the class, nearest training objects, reconstruction, and data that would change it."""
        return desk.explain(id, bundle).to_dict()


def _history_of(desk: Desk, object_id: str, bundle: str) -> tuple[str, History]:
    """An object's bundle, by default the one whose record came last, and its history; 404 without one."""
    bundle = bundle or next(iter(desk.board.bundles_of(object_id)), "")
    history = desk.board.history(object_id, bundle)
    if history is None:
        raise HTTPException(404, "no such object")
    return bundle, history


def _add_news(
    router: APIRouter, desk: Desk, stream_response: Callable[[AsyncIterator[str]], Response]
) -> None:
    """Add records as they come, and the state of the stream."""

    @router.get("/latest", response_model=Latest)
    def latest(
        n: Annotated[int, Query(ge=0, le=_MOST_LATEST), BeforeValidator(_written_plainly)] = 100,
    ) -> Latest:
        """The newest records, as the stream wrote them."""
        return Latest(records=desk.latest(n))

    @router.get("/stream", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}})
    async def stream(request: Request) -> Response:
        """New records as server-sent events, one record per event, from now on."""
        return stream_response(_records(desk, request))

    @router.get("/health", response_model=dict[str, Any])
    def health() -> dict[str, Any]:
        """Rates, delays, problems, classes per hour, dead letters, and the worker's state."""
        return health_of(desk)


def _add_verdicts(router: APIRouter, desk: Desk) -> None:
    """Add reading and writing of verdicts."""

    @router.get("/verdicts", response_model=Verdicts)
    def verdicts() -> Verdicts:
        """The newest verdict of each object; none without --feedback."""
        return Verdicts(verdicts=[asdict(one) for one in desk.verdicts().values()])

    @router.post(
        "/verdicts",
        response_model=dict[str, Any],
        status_code=201,
        responses={403: {"model": Problem}, 404: {"model": Problem}},
    )
    def give(new: NewVerdict) -> dict[str, Any]:
        """Write a verdict, if the page was started with --feedback."""
        if not desk.takes_verdicts:
            raise HTTPException(403, "the page is read-only: start it with --feedback FILE")
        if not desk.board.bundles_of(new.object):
            raise HTTPException(404, "no such object")
        return asdict(desk.give_verdict(new.object, new.verdict, new.true_class))


async def _records(desk: Desk, request: Request) -> AsyncIterator[str]:
    """New records; an event ``lost`` says how many were dropped because the reader was too slow."""
    loop = asyncio.get_running_loop()
    seen, alive = desk.n_seen, loop.time()
    yield ": records of firstlight\n\n"
    while not await request.is_disconnected():
        records, n_lost, seen = desk.since(seen)
        if n_lost:
            yield f"event: lost\ndata: {json.dumps({'records': n_lost})}\n\n"
        for record in records:
            yield f"data: {json.dumps(record)}\n\n"
        now = loop.time()
        if records:
            alive = now
        elif now - alive >= _ALIVE_S:
            alive = now
            yield ": still here\n\n"
        await asyncio.sleep(_TICK_S)
