"""Draw the pictures of the concepts and of the home page: ``python docs/write_pictures.py [NAME ...]``.

They come from functions of the package, the sample of the tutorials (`docs/tutorials/sample`) and committed
results. The objects shown are new to the bundle that classifies them.
"""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from matplotlib.figure import Figure

from firstlight import LightCurves, Pipeline, Truth, read
from firstlight.report.style import save_figure

ROOT = Path(__file__).resolve().parent.parent
IMAGES, SAMPLE, DATA = (
    ROOT / "docs" / "images",
    ROOT / "docs" / "tutorials" / "sample",
    ROOT / "tests" / "data",
)

PICTURES: dict[str, Callable[[], Figure]] = {}


def picture(draw: Callable[[], Figure]) -> Callable[[], Figure]:
    """Register a picture under the name of its function."""
    PICTURES[draw.__name__] = draw
    return draw


@cache
def sample() -> LightCurves:
    """202 objects of the PLAsTiCC training set."""
    return read(DATA / "plasticc_sample_lightcurves.csv.gz", DATA / "plasticc_sample_metadata.csv.gz")


@cache
def truth() -> Truth:
    """Their classes."""
    return Truth.read(DATA / "plasticc_sample_metadata.csv.gz")


@cache
def pipeline() -> Pipeline:
    """A bundle that has not seen them."""
    return Pipeline.load(SAMPLE / "unseen")


@picture
def timeline() -> Figure:
    """Probabilities of a supernova night by night."""
    return sample()["90429960"].plot(pipeline(), window=(-20, 100), label="SNIa")


def main() -> None:
    """Draw the named pictures, by default all."""
    for name in sys.argv[1:] or PICTURES:
        save_figure(PICTURES[name](), IMAGES / f"{name}.png")
        sys.stdout.write(f"{IMAGES / name}.png\n")


if __name__ == "__main__":
    main()
