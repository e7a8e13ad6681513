"""The filters that a bundle was trained on, and objects that were observed through others.

Inside firstlight a filter is the nearest of ugrizy. A bundle names the filters that its training saw, each
with the band that it enters as (decision 0173); light curves know the survey of each object and its bands.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from firstlight._types import BoolArray
from firstlight.bands import BANDS, find_filter, find_survey, read_filters
from firstlight.errors import BundleError
from firstlight.lightcurves import LightCurves
from firstlight.pipeline.config import PipelineConfig
from firstlight.storage import AGAIN
from firstlight.surveys import load_survey, survey_names

#: Key of the filters in the manifest of a bundle.
FILTERS = "filters"
_UNSTATED = "lsst"  # survey of light curves that state none: bare u g r i z y are LSST's
_BETWEEN = "+"  # several surveys of one object
_MOST_SHOWN = 5


def trained_filters(curves: LightCurves, config: PipelineConfig) -> dict[str, str]:
    """Filters that a training on some objects sees, each with its band.

    They are those of the surveys that the objects state, as far as their bands occur, and those of the
    surveys that observe them again (`PipelineConfig.reobserve`).
    """
    return _sorted(_observed(curves) | _again(config))


def added_filters(before: Mapping[str, str], curves: LightCurves, filters: Iterable[str]) -> dict[str, str]:
    """The filters of a bundle, of further objects and of their survey."""
    return _sorted(dict(before) | _observed(curves) | _bands(filters))


def saved_filters(info: Mapping[str, Any], config: PipelineConfig) -> dict[str, str]:
    """The filters that a manifest names; for one of an older firstlight, those that its settings imply.

    BundleError if the manifest names them in another form.
    """
    stated = info.get(FILTERS)
    if stated is None:  # a survey in a file of the one who trained it may not be here
        return _sorted({f"{_UNSTATED}_{band}": band for band in BANDS} | _again(config, survey_names()))
    if not isinstance(stated, Mapping) or not all(band in BANDS for band in stated.values()):
        raise BundleError(f"{FILTERS} of the manifest are no table of filters and their bands; {AGAIN}")
    return {str(name): str(band) for name, band in stated.items()}


def seen_surveys(filters: Mapping[str, str]) -> frozenset[str]:
    """Surveys of some filters."""
    return frozenset(label.partition("_")[0] for label in filters)


def through_others(curves: LightCurves, filters: Mapping[str, str]) -> tuple[BoolArray, list[str]]:
    """Which objects were observed through filters that are not among the given ones, and these filters.

    An object is known where each of its bands has a filter of its survey among the given ones. A survey
    that is unknown to `bands.find_survey` stands for its filters.
    """
    used = np.zeros((len(curves), len(BANDS)), np.bool_)
    used[curves.object_index, curves.band] = True
    pattern = used @ (1 << np.arange(len(BANDS)))
    surveys, code = np.unique(curves.survey, return_inverse=True)
    pairs, owner = np.unique(code.ravel() * (1 << len(BANDS)) + pattern, return_inverse=True)
    known = {(label.partition("_")[0], band) for label, band in filters.items()}
    other = []
    found: set[str] = set()
    for pair in pairs.tolist():
        stated = str(surveys[pair >> len(BANDS)])
        bands = [band for k, band in enumerate(BANDS) if pair >> k & 1]
        unseen = _unseen(stated, bands, known)
        found |= unseen
        other.append(bool(unseen))
    return np.array(other, np.bool_)[owner.ravel()], sorted(found)


def filters_warning(curves: LightCurves, filters: Mapping[str, str]) -> str | None:
    """One sentence on the objects that were observed through filters that a bundle does not know."""
    other, names = through_others(curves, filters)
    n = int(other.sum())
    if not n:
        return None
    shown = ", ".join(names[:_MOST_SHOWN])
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    one = "was" if n == 1 else "were"
    return (
        f"{n:,} of {len(curves):,} objects {one} observed through filters that this bundle was not trained "
        f"on: {shown}{more}; each is taken for the nearest of ugrizy, and `firstlight adapt` learns from "
        "labels of that survey"
    )


# --- private --------------------------------------------------------------------


def _unseen(stated: str, bands: list[str], known: set[tuple[str, str]]) -> set[str]:
    """Filters of an object that are not among the known surveys and bands."""
    parts = stated.split(_BETWEEN) if stated else [_UNSTATED]
    surveys = [find_survey(part) for part in parts]
    strange = {part for part, survey in zip(parts, surveys, strict=True) if survey is None}
    missing: set[str] = set()
    for band in bands:
        names = {one.label for one in read_filters() if one.survey in surveys and _band(one.band) == band}
        if names and not any((survey, band) in known for survey in surveys):
            missing |= names
    return strange | missing


def _observed(curves: LightCurves) -> dict[str, str]:
    """Filters of the surveys and bands that some objects state."""
    found: dict[str, str] = {}
    for stated in np.unique(curves.survey).tolist():
        own = (curves.survey == stated)[curves.object_index]
        bands = {BANDS[k] for k in np.unique(curves.band[own]).tolist()}
        surveys = {find_survey(part) for part in (stated or _UNSTATED).split(_BETWEEN)}
        found |= {
            one.label: _band(one.band)
            for one in read_filters()
            if one.survey in surveys and _band(one.band) in bands
        }
    return found


def _again(config: PipelineConfig, among: Collection[str] | None = None) -> dict[str, str]:
    """Filters of the surveys that observe training objects again, by default of all."""
    if not config.copies.reobserved:
        return {}
    surveys = [name for name in config.reobserve.surveys if among is None or name in among]
    return _bands(filter_ for name in surveys for filter_ in load_survey(name).filters)


def _bands(filters: Iterable[str]) -> dict[str, str]:
    return {one.label: _band(one.band) for one in map(find_filter, filters)}


def _band(index: int) -> str:
    return BANDS[index] if index >= 0 else ""


def _sorted(found: Mapping[str, str]) -> dict[str, str]:
    """In the order of the table of filters."""
    return {one.label: found[one.label] for one in read_filters() if one.label in found}
