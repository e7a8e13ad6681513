"""The survey of each object of a foreign table, as columns or the names of its filters state it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from firstlight._types import IntArray, StrArray
from firstlight.bands import find_survey, stated_survey
from firstlight.lightcurves.curves import LightCurves
from firstlight.lightcurves.foreign.raw import RawTable
from firstlight.lightcurves.foreign.values import distinct_names, filter_names
from firstlight.lightcurves.names import SURVEY

_BETWEEN = "+"  # several surveys of one object: ps1+ztf


def with_surveys(curves: LightCurves, raw: RawTable) -> LightCurves:
    """The light curves of a table with the surveys that it states.

    A table of objects goes before a column of observations, and that before the names of filters.
    """
    found = _of_rows(raw)
    if raw.objects is not None and SURVEY in raw.objects:
        found |= {name: one for name, one in _by_object(raw.objects, SURVEY).items() if one}
    if not any(found.values()):
        return curves
    surveys = np.array([found.get(name, "") for name in curves.object_id.tolist()], dtype=np.str_)
    return curves._derive(survey=surveys)


def _of_rows(raw: RawTable) -> dict[str, str]:
    if SURVEY in raw.columns:
        stated = _by_object(raw.columns, SURVEY)
        if any(stated.values()):
            return stated
    return _by_object(raw.columns, "band")


def _by_object(columns: Mapping[str, Any], source: str) -> dict[str, str]:
    """The surveys that the values of a column state, by object; empty if none states any."""
    texts, code = filter_names(columns[source])
    surveys = [_survey_of(text, source) for text in texts]
    if not any(surveys):
        return {}
    names, owner = distinct_names(columns["object_id"])
    return _joined(names, owner, np.array(surveys, dtype=np.str_)[code])


def _joined(names: StrArray, owner: IntArray, surveys: StrArray) -> dict[str, str]:
    """The surveys of each object in one text, in alphabetical order."""
    distinct, code = np.unique(surveys, return_inverse=True)
    pairs = np.unique(np.stack([owner, code.ravel()], axis=1), axis=0)
    found: dict[str, list[str]] = {}
    for one, survey in pairs.tolist():
        if one >= 0 and distinct[survey]:
            found.setdefault(str(names[one]), []).extend(str(distinct[survey]).split(_BETWEEN))
    return {name: _BETWEEN.join(sorted(set(several))) for name, several in found.items()}


def _survey_of(text: str, source: str) -> str:
    """The survey that a value states: that of a filter, or one or several known names of surveys."""
    if source == "band":
        return stated_survey(text)
    known = {find_survey(part) for part in text.split(_BETWEEN)} - {None}
    return _BETWEEN.join(sorted(str(one) for one in known))
