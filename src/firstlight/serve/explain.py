"""Explanations of objects for their pages, with the bundles that made their records."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from firstlight.bands import BANDS
from firstlight.errors import FirstlightError
from firstlight.lightcurves import LightCurve
from firstlight.pipeline import Pipeline
from firstlight.pipeline.bundle import find_bundle, read_manifest, shipped_bundles
from firstlight.pipeline.explanation import Explanation
from firstlight.serve.query import AbsentError

_MOST_KEPT = 100  # newest explanations; each holds a few light curves
_MIX = "+"  # separates the version of a bundle from that of the class mix that it assumes


class Explainer:
    """Explains one object at a time; a bundle is loaded when it is first needed.

    Parameters
    ----------
    bundles : iterable of Path
        Bundles that records may come from, beside the shipped ones.

    Raises
    ------
    BundleError
        If one of them is no bundle.
    """

    def __init__(self, bundles: Iterable[Path] = ()) -> None:
        folders = [*shipped_bundles().values(), *(find_bundle(path) for path in bundles)]
        self._folders = {read_manifest(folder).fingerprint: folder for folder in folders}
        self._pipelines: dict[str, Pipeline] = {}
        self._kept: OrderedDict[tuple[str, str, int, float], Explanation] = OrderedDict()
        self._lock = threading.Lock()

    def knows(self, bundle: str) -> bool:
        """Whether the bundle of a record is here."""
        return bundle.partition(_MIX)[0] in self._folders

    def explain(self, bundle: str, curve: LightCurve | None) -> Explanation:
        """Explain an object by the bundle of its record.

        AbsentError without observations or without the bundle.
        """
        version = bundle.partition(_MIX)[0]
        if version not in self._folders:
            raise AbsentError(f"the bundle {bundle} is not here: start the page with --bundle FOLDER")
        if curve is None or not len(curve):
            raise AbsentError("the observations are not here: start the page with --data")
        key = (version, curve.object_id, len(curve), float(curve.mjd[-1]))
        with self._lock:
            if key not in self._kept:
                if version not in self._pipelines:
                    self._pipelines[version] = Pipeline.load(self._folders[version])
                try:
                    self._kept[key] = self._pipelines[version].explain(curve)
                except FirstlightError as error:
                    raise AbsentError(f"this object cannot be explained: {error}") from error
                if len(self._kept) > _MOST_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def model_json(made: Explanation) -> dict[str, Any]:
    """The reconstruction as it compares with the observations, for the chart: flux [nJy] by band."""
    decoded = made.decoded()
    if made.reconstruction is None or decoded is None:
        return {}
    seen = sorted({int(band) for band in made.curve.band.tolist()})
    return {
        "mjd": [round(mjd, 4) for mjd in made.reconstruction.mjd.tolist()],
        "flux": {BANDS[b]: [float(f"{flux:.5g}") for flux in decoded[:, b].tolist()] for b in seen},
    }
