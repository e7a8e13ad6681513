"""The classifier's inputs in an astronomer's words: groups of columns, and the meaning of each column."""

import re
from functools import cache

from firstlight.features import Templates, features
from firstlight.features.registry import nights_features
from firstlight.pipeline.config import PipelineConfig
from firstlight.pipeline.inputs import input_names

#: Groups of inputs, and the columns in each by their names; the first pattern that fits counts.
_GROUPS = {
    "autoencoder": r"latent_.*",
    "host redshift": r"(log_)?redshift.*|distance_modulus.*",
    "Milky Way or not": r"galactic",
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


def meanings(config: PipelineConfig, templates: Templates | None) -> dict[str, tuple[str, str]]:
    """Meaning and unit of each column that the classifier reads, by name; "1" is a pure number."""
    known = {name: (_plain(name), "1") for name in input_names(config, templates)}
    if "features" in config.inputs:
        known |= {one.name: (one.description, one.unit) for one in features(templates)}
    if config.reads_nights:
        known |= {one.name: (one.description, one.unit) for one in nights_features()}
    return known


def _plain(name: str) -> str:
    if found := re.fullmatch(r"latent_(log_var_)?(\d+)", name):
        what = "log-variance of coordinate" if found[1] else "coordinate"
        return f"{what} {found[2]} of the autoencoder"
    return name.replace("_", " ")
