import io
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from tests._make import drawable_curves

from firstlight.bands import BANDS
from firstlight.cosmology import distance_modulus
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves
from firstlight.preprocess import asinh_magnitude
from firstlight.report.lightcurves import (
    BAND_COLOUR,
    BAND_MARKER,
    Curve,
    plot_light_curve,
)
from firstlight.report.style import CLASS_COLOUR


@pytest.fixture
def curves() -> LightCurves:
    return drawable_curves()


def points(figure, panel=0):
    """Coordinates of all markers of a panel: time, height."""
    lines = [line for line in figure.axes[panel].lines if line.get_marker() in BAND_MARKER.values()]
    return np.concatenate([line.get_xydata() for line in lines])


def sorted_rows(x, y):
    return np.array(sorted(zip(x, y, strict=True)))


def png(figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def luminance(colour):
    channel = np.array(to_rgb(colour))
    linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


# --- one object -------------------------------------------------------------------


def test_every_observation_is_drawn_at_its_flux_and_phase(curves):
    curve = curves[0]
    figure = plot_light_curve(curve)
    expected = sorted_rows(curve.mjd - curve.trigger_mjd, curve.flux / 1000.0)
    np.testing.assert_allclose(sorted_rows(*points(figure).T), expected, rtol=1e-6)
    assert figure.axes[0].get_ylabel() == "flux [µJy]"
    assert figure.axes[0].get_xlabel() == "days since first detection"


@pytest.mark.parametrize("y", ["magnitude", "absolute"])
def test_magnitudes_rise_downwards(curves, y):
    curve = curves[0]
    figure = plot_light_curve(curve, x="mjd", y=y)
    bottom, top = figure.axes[0].get_ylim()
    assert bottom > top
    height = asinh_magnitude(curve.flux, curve.band)
    if y == "absolute":
        height = height - distance_modulus(0.2)
    np.testing.assert_allclose(sorted_rows(*points(figure).T), sorted_rows(curve.mjd, height), rtol=1e-6)


@pytest.mark.parametrize("y", ["flux", "magnitude"])
def test_error_bars_reach_from_one_sigma_below_to_one_above(curves, y):
    curve = curves[0]
    figure = plot_light_curve(curve, x="mjd", y=y)
    drawn = [segment for bars in figure.axes[0].collections for segment in bars.get_segments()]
    ends = np.sort([segment[:, 1] for segment in drawn], axis=1)
    ends = ends[np.lexsort((ends[:, 0], [segment[0, 0] for segment in drawn]))]
    both = [curve.flux - curve.flux_err, curve.flux + curve.flux_err]
    expected = np.sort([f / 1000 if y == "flux" else asinh_magnitude(f, curve.band) for f in both], axis=0).T
    np.testing.assert_allclose(ends, expected, rtol=1e-5)


def test_detections_are_filled_and_others_open(curves):
    figure = plot_light_curve(curves[0])
    lines = [line for line in figure.axes[0].lines if line.get_marker() in BAND_MARKER.values()]
    filled = sum(len(line.get_xdata()) for line in lines if line.get_markerfacecolor() != "white")
    assert filled == curves[0].detected.sum()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*BANDS, "no detection"]


def test_bands_differ_in_shape_and_mostly_in_lightness():
    assert len(set(BAND_MARKER.values())) == len(set(BAND_COLOUR.values())) == len(BANDS)
    light = np.sort([luminance(colour) for colour in BAND_COLOUR.values()])
    assert light[-1] < 0.5  # readable on white
    assert light[-1] / light[0] > 5


def test_title_and_bars_show_the_prediction(curves):
    proba = {"SNIa": 0.7, "SNII": 0.2} | {f"C{i}": 0.01 * i for i in range(8)}
    figure = plot_light_curve(curves[0], probabilities=proba, label="SNIa")
    assert figure.axes[0].get_title(loc="left") == "object a, SNIa, host z = 0.20"
    texts = [text.get_text() for text in figure.axes[1].texts]
    assert texts[:4] == ["SNIa", "0.70", "SNII", "0.20"]
    assert len(texts) == 12
    galactic = replace(curves[0], redshift=0.0)
    assert "Milky Way" in plot_light_curve(galactic).axes[0].get_title(loc="left")
    assert plot_light_curve(galactic, title="mine").axes[0].get_title(loc="left") == "mine"


def test_models_are_drawn_with_their_band(curves):
    mjd = np.linspace(60000, 60050, 9)
    models = {2: Curve(mjd, np.full(9, 1000.0), np.full(9, 100.0)), 3: Curve(mjd, np.full(9, 500.0))}
    before = plot_light_curve(curves[0], x="mjd")
    figure = plot_light_curve(curves[0], x="mjd", models=models)
    assert len(figure.axes[0].collections) == len(before.axes[0].collections) + 1
    smooth = [
        line for line in figure.axes[0].lines if len(line.get_xdata()) == 9 and line.get_linestyle() == "-"
    ]
    assert [line.get_color() for line in smooth] == [BAND_COLOUR["r"], BAND_COLOUR["i"]]
    np.testing.assert_allclose(smooth[0].get_ydata(), 1.0)


def test_only_observations_inside_the_window_are_drawn(curves):
    figure = plot_light_curve(curves[0], window=(0.0, 30.0))
    time = points(figure)[:, 0]
    assert figure.axes[0].get_xlim() == (0.0, 30.0)
    assert time.min() >= 0.0
    assert time.max() <= 30.0
    with pytest.raises(DataError, match="no observation"):
        plot_light_curve(curves[0], window=(1e4, 2e4))


def test_a_lone_non_detection_is_drawn_in_mjd(curves):
    figure = plot_light_curve(curves[3])
    assert figure.axes[0].get_xlabel() == "MJD [day]"
    np.testing.assert_allclose(points(figure), [[60000.0, -0.01]], rtol=1e-6)


def test_an_absolute_magnitude_needs_a_redshift(curves):
    with pytest.raises(DataError, match="redshift="):
        plot_light_curve(curves[3], y="absolute")
    figure = plot_light_curve(curves[3], y="absolute", redshift=0.1)
    assert np.isfinite(points(figure)).all()


@pytest.mark.parametrize("choice", [{"x": "hours"}, {"y": "counts"}])
def test_unknown_axes_are_refused(curves, choice):
    with pytest.raises(DataError, match="choose"):
        plot_light_curve(curves[0], **choice)


def test_drawing_changes_no_setting_and_repeats_its_bytes(curves):
    before = dict(mpl.rcParams)
    first, second = (png(plot_light_curve(curves[0], probabilities={"SNIa": 1.0})) for _ in range(2))
    assert first == second
    assert dict(mpl.rcParams) == before


def test_any_real_object_can_be_drawn(sample):
    for curve in list(sample)[::67]:
        for y in ("flux", "magnitude"):
            assert png(plot_light_curve(curve, y=y)).startswith(b"\x89PNG")


# --- windows, folds and timelines ---------------------------------------------------


def test_phases_count_from_the_trigger_also_when_the_window_begins_later(curves):
    whole, part = (points(plot_light_curve(curves[0], window=w)) for w in (None, (20.0, 90.0)))
    inside = whole[(whole[:, 0] >= 20.0) & (whole[:, 0] <= 90.0)]
    np.testing.assert_allclose(sorted_rows(*part.T), sorted_rows(*inside.T))


def test_the_window_of_the_detections_shows_each_of_them_and_counts_the_rest(sample):
    for curve in list(sample)[::40]:
        figure = plot_light_curve(curve, window="detected")
        time = points(figure)[:, 0]
        detected = curve.mjd[curve.detected] - curve.trigger_mjd
        assert np.isin(detected, time).all()
        outside = figure.axes[0].get_title(loc="right")
        assert outside == (
            "" if len(time) == len(curve) else f"{len(curve) - len(time)} observations outside"
        )


def test_a_folded_curve_shows_every_observation_in_two_cycles(curves):
    curve = curves[0]
    time, height = points(plot_light_curve(curve, period=0.37)).T
    cycle = (curve.mjd - curve.trigger_mjd) / 0.37 % 1.0
    expected = sorted_rows(np.concatenate([cycle, cycle + 1.0]), np.tile(curve.flux / 1000.0, 2))
    np.testing.assert_allclose(sorted_rows(time, height), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("period", [0.0, -1.0, np.nan, np.inf])
def test_a_period_is_a_positive_number(curves, period):
    with pytest.raises(DataError, match="positive period"):
        plot_light_curve(curves[0], period=period)


@pytest.mark.parametrize("window", [(3.0, 3.0), (np.nan, 4.0), "detections"])
def test_an_impossible_window_is_refused(curves, window):
    with pytest.raises(DataError, match="window"):
        plot_light_curve(curves[0], window=window)


@pytest.fixture(scope="module")
def timeline(sample, tiny_default):
    return tiny_default.timeline(sample[3], jobs=1)


def test_probabilities_are_drawn_below_the_light_curve_on_the_same_axis(timeline):
    figure = timeline.plot()
    above, below = figure.axes
    assert above.get_xlim() == below.get_xlim()
    assert below.get_xlabel() == "days since first detection"
    named = [text.get_text().split() for text in below.get_legend().get_texts()]
    lines = {line.get_color(): line for line in below.lines if len(line.get_xdata()) == len(timeline)}
    predictions = timeline.predictions
    shown = [name for name, *_ in named if name in CLASS_COLOUR]
    assert shown
    for name, value in (pair for pair in named if pair[0] in CLASS_COLOUR):
        proba = predictions.proba[:, predictions.classes.index(name)]
        line = lines[CLASS_COLOUR[name]]
        np.testing.assert_allclose(
            line.get_ydata()[predictions.is_classified], proba[predictions.is_classified]
        )
        np.testing.assert_allclose(line.get_xdata(), timeline.mjd - timeline.curve.trigger_mjd)
        assert value == f"{proba[-1]:.2f}"
    hidden = [name for name in predictions.classes if name not in shown]
    columns = [predictions.classes.index(name) for name in hidden]
    assert len(shown) == 6 or predictions.proba[:, columns].max() < 0.05


def test_the_legend_gives_the_last_answer_inside_the_window(timeline):
    days = timeline.mjd - timeline.curve.trigger_mjd
    figure = timeline.plot(window=(-5.0, float(days[2])))
    legend = figure.axes[1].get_legend()
    assert legend.get_title().get_text() == f"after {timeline.predictions.n_obs[2]} observations"


def test_a_timeline_without_a_classification_can_be_drawn(tiny_default, curves):
    figure = curves[3].plot(tiny_default)
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["not classified"]


def test_lines_are_thin_outside_the_prediction_set_and_the_true_class_is_always_drawn(timeline):
    predictions = timeline.predictions
    best = predictions.proba.argmax(axis=1)
    only_best = np.eye(len(predictions.classes), dtype=bool)[best] & predictions.is_classified[:, None]
    made = replace(timeline, predictions=replace(predictions, in_set=only_best))
    rare = predictions.classes[int(predictions.proba[-1].argmin())]
    figure = made.plot(label=rare)
    texts = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert f"{rare}  0.00 (true)" in texts
    assert "outside the set" in texts
    colour = CLASS_COLOUR[predictions.classes[best[-1]]]
    lines = [line for line in figure.axes[1].lines if line.get_color() == colour and len(line.get_xdata())]
    thick = max(lines, key=lambda line: line.get_linewidth())
    drawn = thick.get_ydata()[only_best[:, best[-1]]] if len(lines) > 1 else thick.get_ydata()[-1:]
    assert np.isfinite(drawn).all()


def test_bars_name_the_prediction_set_in_bold(timeline):
    one = timeline.predictions[-1]
    members = one.proba >= np.sort(one.proba)[:, [-2]]
    figure = replace(one, in_set=members).plot()
    bold = [text.get_text() for text in figure.axes[0].texts if text.get_weight() == "bold"]
    assert sorted(bold) == sorted(np.array(one.classes)[members[0]].tolist())


def test_a_folded_curve_has_no_timeline(timeline):
    with pytest.raises(DataError, match="no timeline"):
        timeline.plot(period=0.5)
