"""Values of objects (position, dust, redshift) from a file of any container with usual column names."""

from pathlib import Path
from typing import Any

import numpy as np

from firstlight.data.formats.layouts import OBJECT_WORDS, WORDS
from firstlight.data.formats.names import ColumnNames
from firstlight.data.formats.recognise import open_source
from firstlight.errors import MissingColumnError
from firstlight.lightcurves import Intake, MetadataTable, RejectLog
from firstlight.lightcurves.foreign.angles import degrees
from firstlight.lightcurves.foreign.intake import object_table
from firstlight.lightcurves.foreign.objects import known_values, unusual
from firstlight.lightcurves.foreign.values import distinct_names, untyped_ids


def read_metadata(
    path: Path, rejects: RejectLog | None = None, names: ColumnNames | None = None
) -> MetadataTable:
    """Position, E(B-V) and host redshifts by object: any of them, a row per object.

    `names` are the user's column names; those that the file lacks are of the light curves. Positions are
    in degrees, or sexagesimal with right ascension in hours. Raises MissingColumnError or DataError if the
    file cannot be read; without `rejects`, also for the first object whose values disagree.
    """
    intake = Intake(str(path), rejects)
    damage: list[Any] = []
    source, _ = open_source(path, damage)
    folded, words = source.folded, ("object_id", *OBJECT_WORDS)
    found = {
        word: folded[name]
        for word in words
        if (name := next((one for one in WORDS[word] if one in folded), None)) is not None
    }
    own = {} if names is None else names.columns
    found |= {word: own[word] for word in words if own.get(word) in source.names}
    if "object_id" not in found or len(found) == 1:
        wanted = "object_id" if "object_id" not in found else ", ".join(OBJECT_WORDS)
        raise MissingColumnError(
            f"{path}: no metadata of objects: column(s) {wanted} missing; its columns are "
            f"{', '.join(source.names)}"
        )
    columns, place = source.read(
        dict.fromkeys(found.values(), "text")  # so that a text that is no number can be shown
    )
    for one in damage:
        line = np.array([-1 if one.line is None else one.line])
        intake.refuse(one.reason, np.array([""]), line, hint="correct the line")
    ids = columns[found["object_id"]]
    object_ids, owner = distinct_names(untyped_ids(ids) if source.container == "CSV" else ids)
    nameless = np.flatnonzero(owner < 0)
    intake.refuse("the row names no object", np.full(len(nameless), ""), place[nameless])
    stated: dict[str, Any] = {word: columns[name] for word, name in found.items() if word != "object_id"}
    angles = {word: degrees(stated[word], hours=word == "ra") for word in ("ra", "dec") if word in stated}
    values = known_values(stated | angles)
    for note in unusual(stated, values):
        intake.note(note)
    return object_table(object_ids, [(owner, values)], intake, place)
