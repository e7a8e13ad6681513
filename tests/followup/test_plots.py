"""The picture of a night's targets."""

import io

import numpy as np
import pytest

from firstlight.followup.plots import MOST_SHOWN, ShownTarget, plot_targets
from firstlight.report.style import save_figure

HOURS = np.arange(1.0, 8.0, 1.0 / 12.0)
MOON = np.where(HOURS > 5.0, 20.0, -20.0)


def target(k, chosen=True, top=4.0) -> ShownTarget:
    airmass = 1.0 + 0.1 * (HOURS - top) ** 2
    airmass[airmass > 2.0] = np.nan
    start = top - 0.1 if chosen else np.nan
    return ShownTarget(f"object-{k}", "KN 80 %", 1.0 / (k + 1), airmass, start, start + 0.2)


def drawn(targets, moon=MOON):
    return plot_targets(targets, HOURS, moon, "Rubin, 2026-11-26")


def png(figure) -> bytes:
    stream = io.BytesIO()
    save_figure(figure, stream, "png")
    return stream.getvalue()


def test_two_panels_name_every_target_best_on_top():
    tracks, worth = drawn([target(0), target(1, top=6.0), target(2, chosen=False)]).axes
    assert tracks.get_title(loc="left") == "Rubin, 2026-11-26"
    assert [label.get_text() for label in worth.get_yticklabels()] == [
        "object-0  1",
        "object-1  2",
        "object-2",
    ]
    assert [bar.get_width() for bar in worth.patches] == pytest.approx([1.0, 0.5, 1.0 / 3.0])
    bottom, top = worth.get_ylim()
    assert top < bottom


def test_low_airmass_is_on_top_and_observed_times_are_thick():
    tracks = drawn([target(0), target(1, chosen=False)]).axes[0]
    bottom, top = tracks.get_ylim()
    assert top < 1.0 < bottom
    thick = [line for line in tracks.lines if line.get_linewidth() > 3.0]
    assert len(thick) == 1
    x = thick[0].get_xdata()
    assert x.min() >= 3.9 - 1e-6
    assert x.max() <= 4.1 + 1e-6


def test_at_most_fifteen_targets_are_shown():
    assert len(drawn([target(k) for k in range(30)]).axes[1].patches) == MOST_SHOWN


def test_moon_is_named_only_where_it_is_up():
    def words(moon):
        return [text.get_text() for text in drawn([target(0)], moon).axes[0].texts]

    assert any("Moon" in text for text in words(MOON))
    assert not any("Moon" in text for text in words(np.full(len(HOURS), -30.0)))


@pytest.mark.parametrize("targets", [[], [target(0, chosen=False)]], ids=["none", "none chosen"])
def test_an_empty_night_still_draws(targets):
    assert png(drawn(targets))[:4] == b"\x89PNG"


def test_same_night_gives_the_same_bytes():
    assert png(drawn([target(0)])) == png(drawn([target(0)]))
