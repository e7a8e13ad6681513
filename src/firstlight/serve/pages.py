"""The pages, rendered on this side from templates; all text is escaped."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import numpy as np
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from firstlight._version import __version__
from firstlight.anomaly.verdicts import CHOICES
from firstlight.errors import SettingsError
from firstlight.report.explanation_tables import tables_of
from firstlight.serve.columns import COLUMNS, Column
from firstlight.serve.desk import Desk
from firstlight.serve.detail import (
    alerts_of,
    altitude_chart,
    as_python,
    chances,
    light_curve_of,
    links,
    points_json,
    reasons_in_words,
    record_json,
)
from firstlight.serve.explain import model_json
from firstlight.serve.export import EXPORTS
from firstlight.serve.health import health_of
from firstlight.serve.pictures import NEAR_WINDOW, lines_svg, small_curve, sparkline
from firstlight.serve.query import LIMITS, AbsentError, View
from firstlight.serve.sky import FRAMES, sky_map
from firstlight.serve.tonight import Snapshot
from firstlight.taxonomy import CLASSES

_TREND_POINTS = 24
_NO_STORE = {"cache-control": "no-store"}


class Pages:
    """Renders the pages of a desk."""

    def __init__(self, desk: Desk, name: str, app: FastAPI) -> None:
        self.desk, self.name, self._app = desk, name, app
        self._environment = Environment(
            loader=PackageLoader("firstlight.serve", "templates"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["code"] = _code
        self._environment.filters["compact"] = lambda value: f"{value:,}"

    def _page(self, template: str, status: int = 200, **values: Any) -> Response:
        text = self._environment.get_template(f"{template}.html.j2").render(
            version=__version__,
            source=self.name,
            problems=self.desk.problems(),
            takes_verdicts=self.desk.takes_verdicts,
            now=datetime.now(UTC).strftime("%H:%M:%S"),
            **values,
        )
        return HTMLResponse(text, status, headers=_NO_STORE)

    def tonight(self, view: View) -> Response:
        """The ranked table."""
        snapshot, found = self.desk.chosen(view)
        n_pages = max(math.ceil(len(found) / view.rows), 1)
        page = min(view.page, n_pages)
        part = found.iloc[(page - 1) * view.rows : page * view.rows]
        columns = [COLUMNS[name] for name in view.columns]
        names = [str(name) for name in part["object"].tolist()]
        trends = self._trends(names, part["class"].tolist(), snapshot.bundle)
        rows = [
            {
                "id": f"row-{k}",
                "object": row["object"],
                "address": f"/object?{urlencode({'id': row['object'], 'bundle': snapshot.bundle})}",
                "cells": [(column, _cell(column, row)) for column in columns],
                "trend": trend,
                "why": row["reasons"],
                "chosen": row["fate"] == "chosen",
            }
            for k, (row, trend) in enumerate(zip(part.to_dict("records"), trends, strict=True))
        ]
        answer = self._page(
            "tonight",
            title="Tonight",
            view=view,
            heads=[_head(column, view) for column in columns],
            rows=rows,
            n=len(found),
            n_all=len(snapshot.table),
            page=page,
            n_pages=n_pages,
            previous=f"/?{view.address(page=page - 1)}" if page > 1 else "",
            following=f"/?{view.address(page=page + 1)}" if page < n_pages else "",
            exports=[(name, f"/export?{_joined(view, format=name)}") for name in EXPORTS],
            night=_night(snapshot),
            note=snapshot.note,
            bundle=snapshot.bundle,
            bundles=self.desk.board.bundles,
            columns=list(COLUMNS.values()),
            limits=LIMITS,
            classes=(*self.desk.board.classes, "none"),
            n_records=self.desk.board.n_records,
        )
        answer.headers["hx-replace-url"] = f"/?{view.address()}"  # the form sends more than the address needs
        return answer

    def _trends(self, names: list[str], labels: list[str], bundle: str) -> list[str]:
        """Lines of the probability of each object's class over its last records."""
        drawn = []
        place = {name: k for k, name in enumerate(self.desk.board.classes)}
        for points, label in zip(self.desk.board.trends(names, bundle), labels, strict=True):
            known = points[points["label"] >= 0]
            if not label or len(known) < 2:
                drawn.append("")
                continue
            drawn.append(sparkline(known["proba"][-_TREND_POINTS:, place[label]].tolist()))
        return drawn

    def object(self, object_id: str, bundle: str, here: str) -> Response:
        """The page of one object; `here` is the address of the page, for programs."""
        board = self.desk.board
        bundles = board.bundles_of(object_id)
        bundle = bundle or next(iter(bundles), "")
        history = board.history(object_id, bundle)
        snapshot = self.desk.snapshot(bundle) if history is not None else None
        row = None if snapshot is None else snapshot.row(object_id)
        if history is None or snapshot is None or row is None:
            return self.error(404, f"There is no record of the object {object_id[:200]!r}.")
        place = int((snapshot.table["object"] == object_id).to_numpy().argmax())
        proba = snapshot.results.proba[place]
        points, from_records = light_curve_of(object_id, history, self.desk.observations)
        ra, dec = float(row["ra"]), float(row["dec"])
        night = snapshot.night
        chart = altitude_chart(night, ra, dec) if night is not None and math.isfinite(ra + dec) else None
        order = np.argsort(-proba, kind="stable")
        return self._page(
            "object",
            title=f"{object_id}",
            object=object_id,
            bundle=bundle,
            bundles=bundles,
            row=row,
            facts=[(column, column.show(row[column.name])) for column in COLUMNS.values()],
            reasons=reasons_in_words(row, proba, history),
            bars=[(history.classes[k], float(proba[k])) for k in order if proba[k] >= 0.005],
            curve=json.dumps(points_json(points) | {"chances": asdict(chances(history))}),
            n_points=len(points.mjd),
            n_left_out=points.n_left_out,
            from_records=from_records,
            about=self.desk.observations.about,
            altitude=None if chart is None else lines_svg(chart),
            night=_night(snapshot),
            alerts=alerts_of(history),
            n_records=history.n_records,
            links=links(object_id, ra, dec),
            as_json=json.dumps(record_json(history), indent=1),
            as_python=as_python(object_id, here),
            verdict=self._verdict(object_id),
            choices=CHOICES,
            classes=CLASSES,
        )

    def _verdict(self, object_id: str) -> Mapping[str, Any] | None:
        given = self.desk.verdicts().get(object_id)
        return None if given is None else asdict(given)

    def explain(self, object_id: str, bundle: str) -> Response:
        """Reasons, neighbours and changes of one object, for a part of its page."""
        try:
            made = self.desk.explain(object_id, bundle)
        except AbsentError as error:
            return self._page("_explained", problem=str(error))
        return self._page(
            "_explained",
            problem="",
            sentences=made.sentences()[1:],
            tables=tables_of(made),
            neighbours=[(near, small_curve(near.curve, NEAR_WINDOW)) for near in made.nearest],
            model=json.dumps(model_json(made)),
        )

    def sky(self, view: View, frame: str, at: str) -> Response:
        """The map of the sky."""
        if frame not in FRAMES:
            raise SettingsError(f"frame: choose of {', '.join(FRAMES)}")
        snapshot, found = self.desk.chosen(view)
        return self._page(
            "sky",
            title="Sky",
            view=view,
            frame=frame,
            frames=[(name, f"/sky?{_joined(view, frame=name)}") for name in FRAMES],
            map=sky_map(found, snapshot.night, self.desk.config.plan.site, frame, at),
            n=len(found),
            night=_night(snapshot),
            bundle=snapshot.bundle,
        )

    def stream(self) -> Response:
        """The state of the stream."""
        return self._page("stream", title="Stream", health=health_of(self.desk))

    def api(self, here: str) -> Response:
        """The documentation of the API, from its own description."""
        described = self._app.openapi()
        routes = [
            {
                "call": f"{method.upper()} {path}",
                "about": about.get("description") or about["summary"],
                "parameters": [_parameter(one) for one in about.get("parameters", [])],
            }
            for path, methods in described["paths"].items()
            for method, about in methods.items()
        ]
        return self._page(
            "api", title="API", routes=routes, about=described["info"]["description"], here=here
        )

    def export(self, view: View, form: str) -> Response:
        """The chosen objects as a file."""
        if form not in EXPORTS:
            raise SettingsError(f"format: choose of {', '.join(EXPORTS)}")
        writer, kind, name = EXPORTS[form]
        _, found = self.desk.chosen(view)
        headers = _NO_STORE | {"content-disposition": f'attachment; filename="{name}"'}
        return Response(writer(found), media_type=kind, headers=headers)

    def feedback(self, values: Mapping[str, str], partial: bool) -> Response:
        """Write a verdict, and show it."""
        unknown = values.keys() - {"object", "verdict", "true_class"}
        choice = values.get("verdict", "")
        if unknown or choice not in CHOICES:
            raise SettingsError(f"verdict: choose of {', '.join(CHOICES)}")
        object_id = values.get("object", "")
        if not self.desk.takes_verdicts:
            return self.error(403, "The page is read-only: start it with --feedback FILE to give verdicts.")
        if not self.desk.board.bundles_of(object_id):
            return self.error(404, "There is no such object.")
        self.desk.give_verdict(object_id, choice, values.get("true_class", ""))  # type: ignore[arg-type]
        if not partial:
            return RedirectResponse(f"/object?{urlencode({'id': object_id})}", 303)
        return self._page(
            "verdict", object=object_id, verdict=self._verdict(object_id), choices=CHOICES, classes=CLASSES
        )

    def error(self, status: int, text: str) -> Response:
        """A page that states a problem."""
        return self._page("error", status, title="Not found" if status == 404 else "Problem", text=text)


def _code(text: str) -> Markup:
    """Text with the parts between backticks as code; everything in it is escaped."""
    parts = text.split("`")
    return Markup().join(
        Markup("<code>{}</code>").format(part) if k % 2 else part for k, part in enumerate(parts)
    )


def _parameter(described: Mapping[str, Any]) -> tuple[str, str, str]:
    """Name, values and meaning of a parameter of the API."""
    schema = described["schema"]
    kinds = [schema, schema.get("items", {}), *schema.get("anyOf", [])]
    kinds += [kind["items"] for kind in kinds if "items" in kind]
    values = [str(value) for kind in kinds for value in kind.get("enum", [])]
    words = ", ".join(dict.fromkeys(value for value in values if value))
    types = [kind["type"] for kind in kinds if kind.get("type") not in (None, "null", "array")]
    name = described["name"] + (" (needed)" if described.get("required") else "")
    return name, words or types[0], described.get("description", "")


def _cell(column: Column, row: Mapping[str, Any]) -> str:
    """Text of a cell; the reason takes the place of a class."""
    if column.name == "class" and not row["class"]:
        return (
            f"not classified: {str(row['reason']).replace('_', ' ')}" if row["reason"] else "not classified"
        )
    return column.show(row[column.name])


def _joined(view: View, **more: str) -> str:
    """Query string of a view, with more parameters."""
    return "&".join(part for part in (view.address(page=1), urlencode(more)) if part)


def _head(column: Column, view: View) -> dict[str, Any]:
    """Head of a column: its link sorts, or reverses the order if the column is sorted already."""
    is_sorted = view.sort == column.name
    usual = View.parse([("sort", column.name)])
    turned = not view.descending if is_sorted else usual.descending
    return {
        "column": column,
        "address": f"/?{view.address(sort=column.name, descending=turned, page=1)}",
        "sorted": ("descending" if view.descending else "ascending") if is_sorted else "",
    }


def _night(snapshot: Snapshot) -> dict[str, Any] | None:
    night = snapshot.night
    if night is None or snapshot.ranking is None:
        return None
    return {
        "site": night.site.name,
        "date": night.date,
        "hours": night.dark_hours,
        "moon": 100.0 * night.moon_lit,
        "n_chosen": len(snapshot.ranking.chosen),
        "n_ranked": len(snapshot.ranking.table),
    }
