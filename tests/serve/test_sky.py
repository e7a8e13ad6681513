"""The map of the sky: all that it draws lies inside of it, in both projections."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.followup.night import Night, find_site, plan_night
from firstlight.serve.sky import FRAMES, sky_map

WIDEST = 12.5  # of a character at the largest size that the style sheet sets, 20 px
CIRCLE = re.compile(r'<circle cx="([^"]+)" cy="([^"]+)" r="([^"]+)"')
TEXT = re.compile(r'<text class="\w+" x="([^"]+)" y="([^"]+)" text-anchor="(\w+)">([^<]*)<')


@pytest.fixture(scope="module")
def night() -> Night:
    return plan_night(find_site("rubin"), "2026-11-26")


@given(
    st.sampled_from(FRAMES),
    st.tuples(st.floats(0.0, 360.0), st.floats(-90.0, 90.0)),
    st.tuples(st.floats(0.0, 360.0), st.floats(-90.0, 90.0)),
    st.integers(1, 99_999),
)
def test_marks_and_labels_lie_inside_of_the_map(night, frame, target, moon, rank):
    ra, dec = np.radians(moon)
    vector = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    night = replace(night, moon_vector=np.broadcast_to(vector, night.moon_vector.shape))
    table = pd.DataFrame(
        {"object": ["a"], "ra": [target[0]], "dec": [target[1]], "class": ["KN"], "rank": [rank]}
    )
    svg = str(sky_map(table, night, night.site, frame, now=0.0)["svg"])
    left, top, width, height = map(float, re.search(r'viewBox="([^"]+)"', svg)[1].split())
    circles, texts = CIRCLE.findall(svg), TEXT.findall(svg)
    assert len(circles) == 2
    assert {text for *_, text in texts} >= {"Moon", str(rank)}
    boxes = [
        (float(x) - float(r), float(x) + float(r), float(y) - float(r), float(y) + float(r))
        for x, y, r in circles
    ]
    for x, y, anchor, text in texts:
        long = WIDEST * len(text)
        start = float(x) - (long if anchor == "end" else 0.0)
        boxes.append((start, start + long, float(y) - 16.0, float(y) + 4.0))
    for low_x, high_x, low_y, high_y in boxes:
        assert left <= low_x <= high_x <= left + width
        assert top <= low_y <= high_y <= top + height
