"""Names of all features, in the order in which the compiled kernels write them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import Literal

from firstlight.bands import BANDS

Stage = Literal["metadata", "statistics", "gaussian", "template"]

#: Longest time lags of the pooled structure function [day]; the first is one night.
LAGS = (1.5, 6.0, 20.0, 60.0, 400.0)
#: Windows after the brightest observation in which observed colours are read [day].
COLOUR_WINDOWS = ((-3.0, 3.0), (5.0, 15.0), (15.0, 30.0), (30.0, 60.0))
#: Epochs at which the Gaussian process is evaluated, days from its peak; the trigger comes first.
EPOCHS = (-10.0, 0.0, 10.0, 20.0, 30.0, 60.0)
#: The same in the rest frame [rest-frame day].
REST_EPOCHS = (-10.0, 0.0, 10.0, 20.0, 30.0)
#: Rest wavelengths at which the Gaussian process is evaluated [Angstrom]: near the U, B, V and R bands.
REST_WAVELENGTHS = (3600.0, 4400.0, 5500.0, 7000.0)
#: Pairs of bands, as indices into ugrizy, whose colours are features.
COLOURS = ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (1, 3), (2, 4))
#: Pairs of REST_WAVELENGTHS whose colours are features.
REST_COLOURS = ((0, 1), (1, 2), (2, 3), (0, 2), (1, 3))
#: Parts of a light curve whose time to 1/2 and 1/5 of the peak is measured.
LEVELS = (("half", 0.5), ("fifth", 0.2))


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """One feature: its name and meaning.

    Attributes
    ----------
    name : str
        Unique name, the column of a `FeatureTable`.
    description : str
        One line for the documentation.
    unit : str
        Physical unit; "1" for a pure number.
    stage : str
        Kernel that computes it.
    needs_redshift : bool
        Whether it is NaN when the host redshift is unknown.
    """

    name: str
    description: str
    unit: str
    stage: Stage
    needs_redshift: bool = False


def _features(
    stage: Stage, rows: Iterable[tuple[str, str, str]], needs_redshift: bool = False
) -> tuple[Feature, ...]:
    return tuple(
        Feature(name=name, description=text, unit=unit, stage=stage, needs_redshift=needs_redshift)
        for name, unit, text in rows
    )


@cache
def metadata_features() -> tuple[Feature, ...]:
    """Features of the object's metadata, in kernel order."""
    with_redshift = (
        ("redshift", "1", "host redshift in use; 0 for a Milky Way object"),
        ("redshift_err", "1", "error of the host redshift"),
        ("redshift_err_relative", "1", "error of the host redshift over 1 + redshift"),
        ("galactic", "1", "1 where the source states a Milky Way object (redshift exactly 0), else 0"),
        ("distance_modulus", "mag", "distance modulus at the host redshift; NaN in the Milky Way"),
        ("distance_modulus_err", "mag", "half the range of the distance modulus within one redshift error"),
    )
    without = (
        ("ebv", "mag", "Milky Way E(B-V) towards the object"),
        ("latitude_abs", "degree", "distance from the Galactic plane |b|"),
    )
    return _features("metadata", with_redshift, True) + _features("metadata", without)


def _overall_rows() -> Iterator[tuple[str, str, str]]:
    yield "n_obs", "1", "observations"
    yield "n_detected", "1", "detections"
    yield "detected_fraction", "1", "detections over observations"
    yield "detected_since_trigger", "1", "detections over observations since the trigger"
    yield "detected_span", "day", "last detection minus first"
    yield "detected_nights", "1", "nights with a detection"
    yield "detected_seasons", "1", "groups of detections apart by more than 60 days"
    yield "detected_bands", "1", "bands with a detection"
    yield "observed_bands", "1", "bands with an observation"
    yield "phase", "day", "last observation minus trigger"
    yield "since_detection", "day", "last observation minus last detection"
    yield "history", "day", "trigger minus first observation"
    yield "snr_max", "1", "highest S/N"
    yield "snr_second", "1", "highest S/N in another night than the highest"
    yield "snr_min", "1", "lowest S/N"
    yield "max_phase", "day", "time of the highest S/N since the trigger"
    yield "since_max", "day", "last observation minus time of the highest S/N"
    yield "second_gap", "day", "time between the two nights of highest S/N"
    for limit in (3, 10, 20):
        yield f"n_above_{limit}", "1", f"observations with S/N above {limit}"
    for limit in (3, 5):
        yield f"n_below_{limit}", "1", f"observations with S/N below -{limit}"
    yield "negative_power", "1", "share of the summed squared S/N that lies in negative fluxes"
    yield "detected_near_max", "1", "share of detections within 50 days of the highest S/N"
    yield "detected_around_max", "1", "share of detections within 150 days of the highest S/N"
    for name, text in (("before", "more than 40 days before"), ("after", "more than 200 days after")):
        yield f"n_{name}", "1", f"observations {text} the trigger"
        yield f"{name}_chi2", "1", f"mean squared S/N {text} the trigger"
        yield f"{name}_snr", "1", f"mean S/N {text} the trigger"
        yield f"{name}_flux", "1", f"root mean square flux {text} the trigger over the highest |flux|"
    yield "trend", "1/day", "slope of S/N in time"
    yield "trend_snr", "1", "significance of the slope of S/N in time"
    yield "season_chi2", "1", "scatter of the seasons' mean fluxes about their band's mean, per season"
    for low, high in zip((0.0, *LAGS[:-1]), LAGS, strict=True):
        where = f"of pairs in one band {low:g} to {high:g} days apart"
        yield f"structure_{high:g}", "1", f"mean squared difference over error {where}"
        yield f"structure_relative_{high:g}", "1", f"mean squared difference {where} over twice the variance"


def _band_rows(band: str) -> Iterator[tuple[str, str, str]]:
    for name, unit, text in (
        ("n_obs", "1", "observations"),
        ("n_detected", "1", "detections"),
        ("flux_max", "nJy", "highest flux"),
        ("flux_min", "nJy", "lowest flux"),
        ("snr_max", "1", "highest S/N"),
        ("snr_min", "1", "lowest S/N"),
        ("flux_mean", "nJy", "weighted mean flux"),
        ("mean_snr", "1", "weighted mean flux over its error"),
        ("flux_std", "nJy", "standard deviation of the flux"),
        ("flux_err", "nJy", "median flux error"),
        ("skew", "1", "skewness of the flux"),
        ("kurtosis", "1", "excess kurtosis of the flux"),
        ("spread", "1", "median absolute deviation over standard deviation"),
        ("asymmetry", "1", "(maximum - median) over (maximum - minimum)"),
        ("excess", "1", "chi2 per point about the weighted mean"),
        ("von_neumann", "1", "mean squared successive difference over variance"),
        ("negative", "1", "share of observations with S/N below -3"),
    ):
        yield f"{name}_{band}", unit, f"{text} in {band}"


def _cross_rows() -> Iterator[tuple[str, str, str]]:
    for a, b in COLOURS:
        pair = f"{BANDS[a]}{BANDS[b]}"
        yield (
            f"std_ratio_{pair}",
            "1",
            f"bounded ratio of intrinsic flux scatter, {BANDS[a]} against {BANDS[b]}",
        )
        yield f"max_ratio_{pair}", "1", f"bounded ratio of highest fluxes, {BANDS[a]} against {BANDS[b]}"
    for low, high in COLOUR_WINDOWS:
        where = f"{low:g} to {high:g} days from the highest S/N"
        for a, b in COLOURS[:5]:
            pair = f"{BANDS[a]}{BANDS[b]}"
            yield f"observed_{pair}_{high:g}", "1", f"bounded observed colour {BANDS[a]}-{BANDS[b]}, {where}"


@cache
def statistics_features() -> tuple[Feature, ...]:
    """Features of the raw fluxes, in kernel order."""
    return _features("statistics", chain(_overall_rows(), *map(_band_rows, BANDS), _cross_rows()))


def _rise_fall_rows(what: str, where: str, unit: str) -> Iterator[tuple[str, str, str]]:
    for side in ("rise", "fall"):
        for name, level in LEVELS:
            way = "from" if side == "rise" else "to"
            yield f"{side}_{name}_{what}", unit, f"time {way} {level:g} of the peak {where}"


def _fit_rows() -> Iterator[tuple[str, str, str]]:
    yield "gp_n", "1", "nightly points in the Gaussian process"
    yield "gp_scale", "nJy", "flux scale of the Gaussian process"
    yield "gp_time_scale", "day", "most likely time scale of the Gaussian process"
    yield "gp_amplitude", "1", "most likely amplitude of the Gaussian process over its flux scale"
    yield "gp_log_likelihood", "1", "log-likelihood of the Gaussian process per nightly point"
    yield "gp_chi2", "1", "chi2 per nightly point about the Gaussian process"
    yield "gp_chi2_zero", "1", "chi2 per nightly point about zero flux"
    yield "gp_chi2_constant", "1", "chi2 per nightly point about one constant flux per band"
    yield "gp_peak_phase", "day", "time of the peak of the summed griz light since the trigger"
    yield "gp_since_peak", "day", "last observation minus peak of the summed griz light"
    yield "gp_peak_flux", "nJy", "highest summed griz flux"
    yield "gp_minimum", "1", "lowest summed griz flux over the highest"
    yield "gp_last", "1", "summed griz flux at the last observation over the highest"
    yield "gp_slope", "1/day", "slope of the summed griz flux at the last observation over the highest"
    yield "gp_slope_first", "1/day", "slope of the summed griz flux at the trigger over the highest"
    yield from _rise_fall_rows("all", "of the summed griz light", "day")


def _gp_band_rows(band: str) -> Iterator[tuple[str, str, str]]:
    yield f"gp_peak_flux_{band}", "nJy", f"peak flux of the Gaussian process in {band}"
    yield f"gp_peak_delay_{band}", "day", f"peak in {band} minus peak of the summed light"
    yield f"gp_peak_snr_{band}", "1", f"flux at the summed peak over its posterior error in {band}"
    yield f"gp_peak_sd_{band}", "1", f"posterior error at the summed peak over the flux scale in {band}"
    yield f"gp_minimum_{band}", "1", f"lowest flux over the flux scale in {band}"
    yield from _rise_fall_rows(band, f"in {band}", "day")


def _from_peak(epoch: float, days: str) -> str:
    """When an epoch is, counted in days of a kind."""
    return (
        "at the peak"
        if epoch == 0.0
        else f"{abs(epoch):g} {days} {'before' if epoch < 0.0 else 'after'} the peak"
    )


def _gp_epoch_rows() -> Iterator[tuple[str, str, str]]:
    for name in ("trigger", *(f"{e:+g}" for e in EPOCHS)):
        where = "at the trigger" if name == "trigger" else _from_peak(float(name), "days")
        for a, b in COLOURS:
            yield (
                f"colour_{BANDS[a]}{BANDS[b]}_{name}",
                "1",
                f"bounded colour {BANDS[a]}-{BANDS[b]} {where}",
            )
    for epoch in EPOCHS:
        if epoch != 0.0:
            for band in BANDS:
                where = _from_peak(epoch, "days")
                yield (
                    f"ratio_{band}_{epoch:+g}",
                    "1",
                    f"bounded ratio of the flux {where} to that at the peak in {band}",
                )


def _rest_rows() -> Iterator[tuple[str, str, str]]:
    names = [f"{w:.0f}" for w in REST_WAVELENGTHS]
    for epoch in REST_EPOCHS:
        where = _from_peak(epoch, "rest-frame days")
        for a, b in REST_COLOURS:
            text = f"bounded colour at rest {names[a]} - {names[b]} A, {where}"
            yield f"rest_colour_{names[a]}_{names[b]}_{epoch:+g}", "1", text
    for epoch in REST_EPOCHS:
        if epoch != 0.0:
            where = _from_peak(epoch, "rest-frame days")
            for name in names:
                text = f"bounded ratio of the flux at rest {name} A {where} to that at the peak"
                yield f"rest_ratio_{name}_{epoch:+g}", "1", text
    for name in names:
        yield f"absolute_{name}", "mag", f"absolute AB magnitude at rest {name} A at the peak"
    for band in BANDS:
        yield f"absolute_{band}", "mag", f"absolute AB magnitude of the peak in {band}, no K correction"
    for name in ("all", "4400", "5500"):
        where = "of the summed griz light" if name == "all" else f"at rest {name} A"
        yield from _rise_fall_rows(f"rest_{name}", f"{where}, rest frame", "day")
    yield "rest_since_peak", "day", "last observation minus peak, rest frame"
    yield "rest_detected_span", "day", "last detection minus first, rest frame"


@cache
def gaussian_features() -> tuple[Feature, ...]:
    """Features of the Gaussian process, in kernel order."""
    free = chain(_fit_rows(), *map(_gp_band_rows, BANDS), _gp_epoch_rows())
    return _features("gaussian", free) + _features("gaussian", _rest_rows(), True)


@cache
def nights_features() -> tuple[Feature, ...]:
    """Features of the Gaussian process of nightly points, in kernel order.

    Absolute magnitudes have the prefix ``gp_``, since the running summary has its own.
    """
    return tuple(
        replace(one, name=f"gp_{one.name}") if one.name.startswith("absolute_") else one
        for one in gaussian_features()
    )


@cache
def template_features(names: tuple[str, ...]) -> tuple[Feature, ...]:
    """Features of the template fits, in kernel order: free of the host redshift, then with it."""
    free = chain(*map(_match_rows, names))
    return _features("template", free) + _features("template", chain(*map(_template_rows, names)), True)


def _match_rows(name: str) -> Iterator[tuple[str, str, str]]:
    yield f"match_explained_{name}", "1", f"share of chi2 explained by {name}, any redshift"
    yield f"match_evidence_{name}", "1", f"log-evidence of {name} below the best, any redshift"
    yield f"match_redshift_{name}", "1", f"redshift at which {name} fits best"
    yield f"match_absolute_{name}", "mag", f"absolute magnitude of {name} at the redshift of its best fit"


def _template_rows(name: str) -> Iterator[tuple[str, str, str]]:
    where = f"of {name} at the host redshift"
    yield f"template_explained_{name}", "1", f"share of chi2 explained, best fit {where}"
    yield f"template_chi2_{name}", "1", f"chi2 per point over that of the best template, {where}"
    yield f"template_evidence_{name}", "1", f"log-evidence below the best template, {where}"
    yield f"template_redshift_{name}", "1", f"redshift of the best fit {where}"
    yield f"template_stretch_{name}", "1", f"stretch of the best fit {where}"
    yield f"template_colour_{name}", "1", f"colour term of the best fit {where}"
    yield f"template_absolute_{name}", "mag", f"absolute magnitude of the best fit {where}"
    yield f"template_phase_{name}", "day", f"peak minus trigger, rest frame, of the best fit {where}"


def document(features: Sequence[Feature]) -> str:
    """Markdown tables of features in column order: one section per stage, one row per feature."""
    lines: list[str] = []
    stage = ""
    for feature in features:
        if feature.stage != stage:
            stage = feature.stage
            count = sum(other.stage == stage for other in features)
            lines += ["", f"## {stage.capitalize()} ({count})", ""]
            lines += ["| feature | unit | meaning | needs redshift |", "|---|---|---|---|"]
        needs = "yes" if feature.needs_redshift else ""
        meaning = feature.description.replace("|", "\\|")
        lines.append(f"| `{feature.name}` | {feature.unit} | {meaning} | {needs} |")
    return "\n".join(lines).strip() + "\n"
