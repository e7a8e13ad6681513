"""The command ``explain``."""

import json

import pytest


@pytest.fixture(scope="module")
def words(sample, sample_words, bundle):
    return ("explain", sample.object_id[1], *sample_words, "--bundle", bundle)


def test_tables_give_reasons_neighbours_and_changes(firstlight, words):
    shown = firstlight(*words).stdout
    for title in ("against", "Nearest training objects", "What would change it", "one more observation"):
        assert title in shown
    assert "[µJy]" in shown
    assert "trained on" not in firstlight(*words).stderr


def test_json_holds_the_light_curves_of_the_neighbours(firstlight, words):
    made = json.loads(firstlight(*words, "--json", "--nearest", 2, "--upto-phase", 60).stdout)
    assert len(made["nearest"]) == 2
    assert len(made["nearest"][0]["light_curve"]["mjd"]) > 0
    assert made["phase"] <= 60
    assert made["reconstruction"]["mjd"]


def test_a_page_needs_no_network_and_no_script(firstlight, words, tmp_path):
    out = tmp_path / "why.html"
    firstlight(*words, "--out", out)
    page = out.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "data:image/svg+xml" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_picture_is_drawn(firstlight, words, tmp_path):
    firstlight(*words, "--out", tmp_path / "why.png")
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("wrong", [("--out", "why.txt"), ("--against", "nova")])
def test_impossible_options_are_refused(firstlight, words, wrong):
    done = firstlight(*words, *wrong, ok=False)
    assert done.returncode in (1, 2)
    assert "choose" in done.stderr or "use" in done.stderr
