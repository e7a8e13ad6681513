"""Every command that reads light curves, with files that have faults."""

import io
import json
import time
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from firstlight.cli.reading import Reading, translated, truth_of
from firstlight.errors import DataError, SettingsError
from firstlight.taxonomy import CLASSES


@pytest.fixture
def dirty(sample, tmp_path):
    """Three objects in our Parquet columns; one row has a bad band, and one object no usable row."""
    rows, objects = sample.take([0, 1, 2]).to_pandas()
    rows = rows.drop(columns="detected").merge(objects[["object_id", "redshift"]])
    rows["band"] = rows["band"].astype(object)
    rows.loc[3, "band"] = "Q"
    rows.loc[rows.object_id == sample.object_id[1], "flux_err"] = -1.0
    rows.to_parquet(tmp_path / "dirty.parquet")
    return tmp_path / "dirty.parquet"


def test_bad_rows_and_objects_are_set_aside_counted_and_shown_with_their_values(
    dirty, sample, tmp_path, capsys
):
    curves = Reading(dereddened=True).curves(dirty, None, tmp_path / "out.csv")
    assert curves.object_id.tolist() == [sample.object_id[0], sample.object_id[2]]
    assert curves.dereddened
    n_bad = int(sample.n_obs[1])
    rejects = [json.loads(line) for line in (tmp_path / "out.csv.rejects.jsonl").read_text().splitlines()]
    assert len(rejects) == 1 + n_bad + 1
    assert rejects[0]["value"] == "Q"
    shown = " ".join(capsys.readouterr().err.split())
    assert f"{n_bad + 2:,} row(s) or object(s) set aside" in shown
    assert f"{n_bad:,} x the flux error is not a positive finite number" in shown
    assert f"row 3, object '{sample.object_id[0]}', value 'Q'" in shown
    assert "no detection flags: a detection is |flux| > 5 flux_err" in shown


def test_an_object_that_was_set_aside_may_be_listed_and_an_unknown_one_may_not(dirty, sample, tmp_path):
    (tmp_path / "all.txt").write_text("\n".join(sample.object_id[:3]))
    assert len(Reading().curves(dirty, tmp_path / "all.txt", tmp_path / "x")) == 2
    (tmp_path / "more.txt").write_text("nobody\n")
    with pytest.raises(DataError, match=r"1 object.*not in the data; the first is 'nobody'"):
        Reading().curves(dirty, tmp_path / "more.txt", tmp_path / "x")


def test_a_file_of_which_nothing_is_left_is_an_error(dirty, tmp_path):
    pd.read_parquet(dirty).assign(band="Q").to_parquet(dirty)
    with pytest.raises(DataError, match=r"no object left; the reasons are in .*o\.rejects\.jsonl"):
        Reading().curves(dirty, None, tmp_path / "o")


def test_strict_reading_refuses_a_file_with_unusable_rows(dirty, sample, tmp_path):
    with pytest.raises(
        DataError, match=r"cannot be used, and --strict accepts none; the reasons are in .*o\.rejects"
    ):
        Reading(strict=True).curves(dirty, None, tmp_path / "o")
    assert (tmp_path / "o.rejects.jsonl").exists()
    sample.take([0]).to_pandas()[0].to_parquet(tmp_path / "clean.parquet")
    assert len(Reading(strict=True).curves(tmp_path / "clean.parquet", None, tmp_path / "o")) == 1


def test_a_bar_shows_on_a_terminal_once_reading_takes_long_and_nowhere_else(monkeypatch):
    app = import_module("firstlight.cli.app")  # the package's `app` is the application in it
    for terminal, shows in ((True, True), (False, False)):
        shown = Console(file=io.StringIO(), force_terminal=terminal)
        monkeypatch.setattr(app, "console", shown)
        monkeypatch.setattr(app, "_QUIET_S", 0.0)
        with app.reading_progress("reading x.csv") as report:
            report("reading", 0.5)
            time.sleep(0.2)
        assert ("reading x.csv" in shown.file.getvalue()) == shows
    monkeypatch.setattr(app, "_QUIET_S", 60.0)
    shown = Console(file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr(app, "console", shown)
    with app.reading_progress("reading x.csv"):
        pass
    assert "reading" not in shown.file.getvalue()


def test_options_of_files_are_refused_with_the_downloaded_set(tmp_path):
    with pytest.raises(SettingsError, match="leave out --zero-point and --dereddened"):
        Reading(zero_point=27.5, dereddened=False).curves("plasticc", None, tmp_path / "o")


def test_plot_draws_an_object_of_a_file_with_a_bad_row(firstlight, dirty, sample, tmp_path):
    done = firstlight("plot", sample.object_id[0], "--data", dirty, "--out", tmp_path / "x.png")
    assert "set aside" in done.stderr
    assert (tmp_path / "x.png").exists()


def test_train_and_classify_take_a_file_with_a_bad_row(firstlight, sample, sample_labels, tmp_path):
    pytest.importorskip("torch")
    from tests.cli.conftest import TINY

    rows, objects = sample.take(np.arange(0, len(sample), 2)).to_pandas()
    rows.loc[5, "flux"] = np.nan
    rows.merge(objects).to_parquet(tmp_path / "x.parquet")
    truth = pd.DataFrame({"object_id": sample.object_id, "label": sample_labels})
    truth.to_csv(tmp_path / "truth.csv", index=False)
    done = firstlight(
        *("train", "--data", tmp_path / "x.parquet", "--truth", tmp_path / "truth.csv"),
        *("--preset", TINY, "--out", tmp_path / "bundle", "--rejects", tmp_path / "r.jsonl"),
    )
    assert "1 row(s) or object(s) set aside" in done.stderr
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("bundle", ["default", "fast"])
def test_shuffled_rows_with_several_bands_at_one_time_give_the_same_answers(
    firstlight, sample, bundle, tmp_path
):
    rows, objects = sample.take(np.arange(0, len(sample), 40)).to_pandas()
    rows["mjd"] = np.floor(rows["mjd"])
    answers = []
    for k in range(2):
        rows.sample(frac=1.0, random_state=k).merge(objects).to_csv(tmp_path / "x.csv", index=False)
        options = ("--bundle", bundle, "--upto-phase", 20, "--zero-point", 31.4)
        firstlight("classify", tmp_path / "x.csv", *options, "--out", tmp_path / "o.csv")
        answers.append(sorted((tmp_path / "o.csv").read_text().splitlines()))
    assert answers[0] == answers[1]


def test_evaluate_takes_no_option_of_light_curves_without_light_curves(firstlight, tmp_path):
    done = firstlight(
        *("evaluate", tmp_path / "p.csv", "--truth", tmp_path / "t.csv", "--out", tmp_path / "r"),
        *("--zero-point", 27.5),
        ok=False,
    )
    assert "leave out --zero-point: no light curves are read without --data" in " ".join(done.stderr.split())


def test_labels_that_fit_no_light_curve_are_counted_and_explained(
    sample, sample_labels, sample_paths, tmp_path, capsys
):
    truth = pd.DataFrame({"object_id": sample.object_id, "label": sample_labels})
    some = pd.concat([truth[2:], pd.DataFrame({"object_id": ["7"], "label": ["KN"]})])
    some.to_csv(tmp_path / "truth.csv", index=False)
    reading = Reading(metadata=sample_paths.metadata)
    words = (str(sample_paths.light_curves), tmp_path / "truth.csv", None, tmp_path / "out")
    curves, labels = reading.labelled(*words)
    assert curves.object_id.tolist() == sample.object_id[2:].tolist()
    assert labels.tolist() == sample_labels[2:].tolist()
    shown = " ".join(capsys.readouterr().err.split())
    assert "1 of 201 label(s) are of objects without a light curve; the first is '7'" in shown
    assert "2 of 202 object(s) set aside, they have no label" in shown
    truth.assign(object_id="SN" + truth["object_id"]).to_csv(tmp_path / "truth.csv", index=False)
    with pytest.raises(DataError, match=f"such as '{sample.object_id[0]}', the labels such as 'SN"):
        reading.labelled(*words)
    (tmp_path / "truth.csv").unlink()
    with pytest.raises(DataError, match=r"truth\.csv"):
        reading.labelled(*words)


def test_labels_of_no_class_are_shown_as_they_are_and_counted(capsys):
    labels = np.array(["[red]x[/red]", "muLens-Binary", "SN Ia", "KN", "KN"])
    assert translated(labels)[2:].tolist() == ["SNIa", "KN", "KN"]
    shown = " ".join(capsys.readouterr().err.split())
    assert (
        "2 object(s) set aside, their labels are no classes: '[red]x[/red]' (1), 'muLens-Binary' (1)" in shown
    )


def test_a_truth_file_may_have_the_spellings_of_a_file_of_classes(tmp_path):
    (tmp_path / "truth.csv").write_text("object_id,class\n1,first kind\n2,KN\n")
    (tmp_path / "classes.toml").write_text("[classes.SNIa]\naliases = ['first kind']\n[classes.KN]\n")
    for classes in (("SNIa", "KN"), CLASSES):
        truth = truth_of(tmp_path / "truth.csv", classes, tmp_path / "classes.toml")
        assert truth.label.tolist() == ["SNIa", "KN"]
