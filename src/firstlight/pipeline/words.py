"""The classifier's inputs in an astronomer's words: groups of columns, and the meaning of each column."""

import math
import re
from functools import cache

from firstlight._types import Float32Array
from firstlight.features import Templates, features
from firstlight.features.registry import Feature, nights_features
from firstlight.pipeline.config import PipelineConfig
from firstlight.pipeline.inputs import names_by_input
from firstlight.pipeline.summary_words import Meaning, summary_meanings

#: Groups of inputs, and the columns in each by their names; the first pattern that fits counts.
_GROUPS = {
    "autoencoder": r"latent_.*",
    "host redshift": r"(log_)?redshift.*|distance_modulus.*|galactic",
    "position and dust": r"ebv|latitude_abs",
    "fit of class templates": r"(template|match)_.*",
    "absolute magnitude": r"(gp_)?absolute_.*",
    "colour": r"(rest_)?colour_.*|observed_[ugrizy]{2}_.*|max_ratio_.*|(trigger|peak)\d_[ugrizy]_[ugrizy]"
    r"|peak_in_[ugrizy]",
    "rise": r"rise_.*|(rest_)?ratio_\w+_-\d+|gp_slope_first",
    "decline": r"fall_.*|(rest_)?ratio_\w+_\+\d+|gp_slope|gp_last",
    "change of brightness": r"(trigger|peak)\d_(trigger|peak)\d_[ugrizy]|trend.*|change_.*",
    "times": r"phase|since_.*|history|(rest_)?detected_span|span|before_trigger|max_phase|second_gap"
    r"|(rest_)?since_peak|gp_(peak_phase|since_peak|peak_delay_[ugrizy])|(high|light)_(time|width)_[ugrizy]"
    r"|peak_time|dip_time",
    "brightness": r"flux_(max|min|mean|err)_[ugrizy]|snr_.*|mean_(snr_)?[ugrizy]|gp_peak_(flux|snr|sd).*"
    r"|gp_scale|(high|low)_[ugrizy]|peak|dip|dip_ratio|n_above_.*",
    "light-curve shape": r"(trigger|peak)\d_[ugrizy](_known)?|gp_(time_scale|amplitude|n|log_likelihood)"
    r"|gp_(chi2|minimum).*",
    "variability": r"structure_.*|season_chi2|(before|after)_.*|(skew|kurtosis|spread|asymmetry|excess)_.*"
    r"|von_neumann_.*|negative.*|deviation_.*|n_below_.*|flux_std_.*|std_ratio_.*",
    "detections and cadence": r"n_.*|detected_.*|observed_bands|share_.*|positive_.*|triggered",
}
#: Group of a column that no pattern knows, such as one of a feature that a user added.
OTHER = "other"
GROUPS = (*_GROUPS, OTHER)


@cache
def group_of(name: str) -> str:
    """Group of a column.

    Examples
    --------
    >>> group_of("rise_half_r"), group_of("latent_3"), group_of("rest_colour_3600_4400_+0")
    ('rise', 'autoencoder', 'colour')
    """
    found = (group for group, pattern in _GROUPS.items() if re.fullmatch(pattern, name))
    return next(found, OTHER)


def meanings(config: PipelineConfig, templates: Templates | None) -> tuple[Meaning, ...]:
    """Meaning and unit of each column that the classifier reads, in order."""
    known = {
        "summary": summary_meanings(config.encoder.steps.flux_scale),
        "gaussian_process": _of_features(nights_features()),
        "features": _of_features(features(templates)),
    }
    found: list[Meaning] = []
    for part, names in names_by_input(config, templates).items():
        found += known[part] if part in known else [Meaning(name, _plain(name)) for name in names]
    return tuple(found)


def _of_features(known: tuple[Feature, ...]) -> tuple[Meaning, ...]:
    return tuple(Meaning(one.name, one.description, one.unit) for one in known)


def natural_values(columns: tuple[Meaning, ...], row: Float32Array) -> list[float]:
    """Value of each column in its unit; NaN where the observations do not determine it."""
    by_name = dict(zip((one.name for one in columns), row.tolist(), strict=True))
    return [
        math.nan if one.known_by and by_name[one.known_by] == 0.0 else one.natural(value)
        for one, value in zip(columns, row.tolist(), strict=True)
    ]


def _plain(name: str) -> str:
    if found := re.fullmatch(r"latent_(log_var_)?(\d+)", name):
        what = "log-variance of coordinate" if found[1] else "coordinate"
        return f"{what} {found[2]} of the autoencoder"
    return name.replace("_", " ")
