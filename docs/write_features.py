"""Write ``docs/reference/features.md`` from the code: ``python docs/write_features.py``."""

from pathlib import Path

from firstlight.features import TemplateConfig, features
from firstlight.features.registry import document, template_features

HEAD = """# Features

Written by `docs/write_features.py` from the registry in `firstlight.features.registry`; do not edit.

What `firstlight.features.extract` computes, in column order. Days count from the trigger (the first
detection), fluxes are difference fluxes. A *bounded* colour or ratio of a and b is
(a - b) / (|a| + |b| + noise), between -1 and 1, and needs no positive flux. A feature that needs the
host redshift is NaN without one; hiding a redshift sets exactly these columns to NaN. Template features
exist where `Templates` are given, one set per template. A preset with the input `gaussian_process` has
the Gaussian features alone, read from at most 48 nightly points; absolute magnitudes begin with `gp_` there.

"""


def text() -> str:
    """All of ``docs/reference/features.md``."""
    return HEAD + document(features() + template_features(TemplateConfig().classes))


if __name__ == "__main__":
    Path(__file__).with_name("reference").joinpath("features.md").write_text(text(), encoding="utf-8")
