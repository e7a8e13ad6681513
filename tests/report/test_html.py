import base64
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from matplotlib.figure import Figure

from firstlight.errors import DataError
from firstlight.lightcurves import LightCurve, LightCurves
from firstlight.metrics import Evaluation, summarise
from firstlight.report import html as report
from firstlight.report.html import Picture, ReportContent, versions_in_use, write_report
from firstlight.report.style import new_figure

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Text, images, links and ids of a page; checks that tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(values)
        if values.get("href"):
            self.links.append(str(values["href"]))
        if values.get("id"):
            self.ids.append(str(values["id"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def make_curves(names: list[str]) -> LightCurves:
    n = len(names)
    return LightCurves(
        object_id=np.array(names),
        offsets=np.arange(n + 1) * 4,
        mjd=np.tile(np.arange(59_000.0, 59_004.0), n),
        band=np.tile([1, 2, 3, 4], n),
        flux=np.full(4 * n, 1000.0),
        flux_err=np.full(4 * n, 50.0),
    )


class Drawn(NamedTuple):
    """A fast light-curve plot that records the objects drawn."""

    names: list[str]

    def plot_light_curve(
        self,
        curve: LightCurve,
        label: str,
        probabilities: dict[str, float],
        window: tuple[float, float] | None,
        models: object = None,
    ) -> Figure:
        assert sum(probabilities.values()) == pytest.approx(1.0)
        assert (window is None) == (label in ("AGN", "EB", "RRL", "muLens-Single"))
        self.names.append(curve.object_id)
        figure = new_figure(1.0, 2.0)
        figure.subplots().plot(curve.mjd, curve.flux)
        return figure


@pytest.fixture(scope="module", autouse=True)
def drawn() -> Iterator[Drawn]:
    spy = Drawn([])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "plot_light_curve", spy.plot_light_curve)
        yield spy


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the figures in tests of other things."""
    names = ("histogram", "confusion", "roc", "roc_per_class", "precision_recall", "reliability")
    monkeypatch.setattr(report, "draw_figures", lambda content, record: dict.fromkeys(names, "data:,"))


@pytest.fixture(scope="module")
def content(evaluation: Evaluation) -> ReportContent:
    figure = new_figure(1.0, 2.0)
    figure.subplots().plot([1, 2])
    assert evaluation.fold is not None
    latent = np.where(evaluation.fold[:, None] == 0, np.random.default_rng(0).normal(size=(500, 3)), np.nan)
    return ReportContent(
        title="Made-up objects & <tags>",
        evaluation=evaluation,
        protocol="Three folds.\n\nEncoder and classifier saw training folds only.",
        preset="quick",
        warnings=("quick setting: 3 epochs",),
        curves=make_curves(evaluation.object_id.tolist()),
        latent=latent,
        histories=([{"epoch": 1.0, "train_loss": 2.0}, {"epoch": 2.0, "train_loss": 1.0}],),
        importance={"flux_g": 2.0, "flux_r": 1.0},
        importance_std={"flux_g": 0.1},
        pictures=(Picture(figure=figure, caption="A picture from elsewhere."),),
        timings={"encoder": 75.0},
        facts={"seed": "0"},
    )


@pytest.fixture(scope="module")
def minimal(evaluation: Evaluation) -> ReportContent:
    few = np.arange(60)
    part = Evaluation(
        object_id=evaluation.object_id[few],
        labels=evaluation.labels[few],
        proba=evaluation.proba[few],
        classified=np.ones(60, dtype=bool),
    )
    return ReportContent(title="classes.csv", evaluation=part, protocol="Predictions of a file.")


@pytest.fixture(scope="module")
def full(content: ReportContent, tmp_path_factory: pytest.TempPathFactory, drawn: Drawn) -> Path:
    """Folder of a report with everything in it."""
    folder = tmp_path_factory.mktemp("full") / "out"
    drawn.names.clear()
    write_report(folder, content)
    assert len(drawn.names) == 8
    return folder


@pytest.fixture(scope="module")
def summary(minimal: ReportContent) -> dict[str, Any]:
    return summarise(minimal.evaluation, protocol=minimal.protocol)


def test_a_full_report_holds_every_section(full: Path) -> None:
    page = Page((full / "report.html").read_text())
    record = json.loads((full / "metrics.json").read_text())
    sections = "protocol headline classes confusion roc reliability phase latent training examples record"
    assert page.ids == sections.split()
    assert [link for link in page.links if link.startswith("#")] == [f"#{name}" for name in page.ids]
    assert sorted(item.name for item in full.iterdir()) == ["metrics.json", "report.html"]
    for words in (
        "Made-up objects & <tags>",
        "quick setting: 3 epochs",
        "Encoder and classifier saw training folds only.",
        "standard deviation between 3 folds",
        "3 object(s) had too little data",
        f"{record['accuracy']['mean']:.3f}",
        f"± {record['macro_auc']['std']:.4f}",
        "A picture from elsewhere.",
        "1 min 15 s",
        "of 500 objects.",
    ):
        assert words in page.text, words


def test_the_report_is_self_contained(full: Path) -> None:
    text = (full / "report.html").read_text()
    page = Page(text)
    assert "<script" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert all(link.startswith("#") for link in page.links)
    assert len(page.images) == 6 + 2 + 1 + 2 + 1 + 8
    for image in page.images:
        kind, _, data = str(image["src"]).partition(";base64,")
        assert kind in ("data:image/svg+xml", "data:image/png")
        assert base64.b64decode(data, validate=True)[:5] in (b"<?xml", b"\x89PNG\r")
        assert image["alt"]


def test_metrics_json_has_the_layout_of_all_results(full: Path, content: ReportContent) -> None:
    table = json.loads((full / "metrics.json").read_text())
    assert table["preset"] == "quick"
    assert table["warnings"] == ["quick setting: 3 epochs"]
    assert table["timings"] == {"encoder": 75.0}
    assert set(table["versions"]) >= {"firstlight", "Python", "numpy"}
    assert table["protocol"] == content.protocol


def test_a_report_of_predictions_alone_has_no_section_on_the_training(
    minimal: ReportContent, summary: dict[str, Any], tmp_path: Path, drawn: Drawn
) -> None:
    drawn.names.clear()
    record = write_report(tmp_path, minimal, summary)
    page = Page((tmp_path / "report.html").read_text())
    assert page.ids == ["protocol", "headline", "classes", "confusion", "roc", "reliability", "record"]
    assert "bootstrap" in page.text
    assert "Every object was classified." in page.text
    assert drawn.names == []
    assert json.loads((tmp_path / "metrics.json").read_text()) == record


@pytest.mark.usefixtures("no_figures")
def test_the_same_content_gives_the_same_page(
    minimal: ReportContent, summary: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write_report(tmp_path / name, minimal, summary)
    for name in ("report.html", "metrics.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.usefixtures("no_figures")
def test_examples_without_a_light_curve_are_skipped(
    minimal: ReportContent, summary: dict[str, Any], tmp_path: Path, drawn: Drawn
) -> None:
    drawn.names.clear()
    known = minimal.evaluation.object_id[:30].tolist()
    curves = make_curves(known)
    curves = curves.keep(curves.object_index != 0)  # the first has lost its observations
    write_report(tmp_path, replace(minimal, curves=curves), summary)
    assert drawn.names
    assert set(drawn.names) <= set(known[1:])


@pytest.mark.usefixtures("no_figures")
def test_markup_in_text_of_the_user_is_escaped(
    minimal: ReportContent, summary: dict[str, Any], tmp_path: Path
) -> None:
    bad = "<img src=x onerror=alert(1)>"
    write_report(tmp_path, replace(minimal, title=bad, warnings=(bad,), facts={bad: bad}), summary)
    text = (tmp_path / "report.html").read_text()
    assert "<img src=x" not in text
    assert len(re.findall("&lt;img src=x", text)) == 5


def test_latents_of_other_objects_are_refused(minimal: ReportContent, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="3 latents for 60"):
        write_report(tmp_path, replace(minimal, latent=np.zeros((3, 6))))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_figures")
def test_a_folder_that_cannot_be_made_is_one_clear_error(
    minimal: ReportContent, summary: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write_report(tmp_path / "file" / "out", minimal, summary)


def test_versions_name_python_and_the_numerical_packages() -> None:
    found = versions_in_use()
    assert found["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"numpy", "scikit-learn"} <= set(found)


def test_a_report_does_not_mention_the_paper(full: Path) -> None:
    text = (full / "report.html").read_text(encoding="utf-8").lower()
    assert "paper" not in text
    assert "printed" not in text


def test_a_summary_of_stars_alone_has_no_extragalactic_column(
    minimal: ReportContent, tmp_path: Path, no_figures: None
) -> None:
    evaluation = minimal.evaluation
    stars = replace(evaluation, labels=np.where(np.arange(60) % 2 == 0, "EB", "RRL"))
    write_report(tmp_path, replace(minimal, evaluation=stars))
    text = Page((tmp_path / "report.html").read_text()).text
    assert "extragalactic only" not in text
    assert "60 objects, 2 classes" in text


def test_prediction_sets_have_a_section_where_there_are_some(evaluation, tmp_path):
    inside = evaluation.proba >= 0.1
    with_sets = replace(
        evaluation, by_phase={"2": replace(evaluation.by_phase["2"], in_set=inside)}, in_set=inside
    )
    record = write_report(tmp_path, ReportContent(title="t", evaluation=with_sets, protocol="p"))
    page = Page((tmp_path / "report.html").read_text())
    assert "sets" in page.ids
    assert "#sets" in page.links
    assert f"{record['prediction_sets']['all']['coverage']:.3f}" in page.text
    assert list(record["prediction_sets"]) == ["2", "all"]
