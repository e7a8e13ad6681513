import json
import pickle
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firstlight.errors import DataError, MissingColumnError, SettingsError
from firstlight.predictions import (
    Predictions,
    Scores,
    check_output,
    domain_warning,
    read_predictions,
    write_predictions,
)
from firstlight.taxonomy import CLASSES, COARSE_GROUPS, Taxonomy

COLUMNS = ["object_id", "status", "reason", "class", *(f"proba_{name}" for name in CLASSES)]
COLUMNS += ["anomaly", "n_obs", "phase", "domain", "domain_reason", "set", "set_size"]
SUFFIXES = (".csv", ".parquet", ".jsonl")


def assert_equal(a: Predictions, b: Predictions, rtol: float) -> None:
    for name in ("object_id", "status", "reason", "label", "n_obs"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name in ("proba", "anomaly", "phase"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, err_msg=name)
    assert a.sets == b.sets
    assert a.classes == b.classes


# --- the table ------------------------------------------------------------------------


def test_arrays_are_read_only(predictions: Predictions) -> None:
    with pytest.raises(ValueError, match="read-only"):
        predictions.proba[0, 0] = 1.0


def test_is_classified_follows_status(predictions: Predictions) -> None:
    assert predictions.is_classified.tolist() == [True, True, False, True]
    assert len(predictions) == 4


def test_take_accepts_positions_and_masks(predictions: Predictions) -> None:
    assert predictions.take([3, 0]).object_id.tolist() == ["a,b", "615"]
    assert predictions.take(predictions.is_classified).object_id.tolist() == ["615", "007", "a,b"]
    assert len(predictions.take([])) == 0


def test_concatenate_puts_parts_together_again(predictions: Predictions) -> None:
    parts = [predictions.take([0]), predictions.take([1, 2, 3])]
    assert_equal(Predictions.concatenate(parts), predictions, rtol=0)


def test_concatenate_refuses_repeats_and_nothing(predictions: Predictions) -> None:
    with pytest.raises(DataError, match="'007' is predicted"):
        Predictions.concatenate([predictions, predictions])
    with pytest.raises(DataError, match="at least one"):
        Predictions.concatenate([])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": np.array(["classified", "maybe", "not_classified", "classified"])}, "'007': status"),
        ({"label": np.array(["SNIa", "SNIb", "", "TDE"])}, "'007': class is not one"),
        ({"proba": np.zeros((4, len(CLASSES)))}, "'615': probabilities"),
        ({"proba": np.full((4, len(CLASSES)), np.nan)}, "probabilities"),
        ({"proba": np.eye(4)}, "'proba' has shape"),
        ({"n_obs": np.arange(3)}, "'n_obs' has shape"),
        ({"object_id": np.array(["1", "2", "2", "3"])}, "'2' is predicted 2 times"),
    ],
)
def test_impossible_predictions_are_refused(
    predictions: Predictions, change: dict[str, np.ndarray], words: str
) -> None:
    names = ("object_id", "status", "reason", "label", "proba", "anomaly", "n_obs", "phase")
    with pytest.raises(DataError, match=words):
        Predictions(**({name: getattr(predictions, name) for name in names} | change))


# --- lookup, groups and other tables ----------------------------------------------------


def test_an_object_is_looked_up_by_name_or_position(predictions: Predictions) -> None:
    assert predictions["007"].label.tolist() == ["KN"]
    assert_equal(predictions["007"], predictions[1], rtol=0)
    assert predictions[-1].object_id.tolist() == ["a,b"]
    assert predictions[1:3].object_id.tolist() == ["007", "NA"]
    assert [part.object_id[0] for part in predictions] == predictions.object_id.tolist()
    assert "007" in predictions
    assert "7" not in predictions
    assert predictions._ipython_key_completions_() == predictions.object_id.tolist()


def test_an_unknown_name_is_refused_with_some_that_there_are(predictions: Predictions) -> None:
    with pytest.raises(DataError, match="no object '616' among 4 predictions: '615', '007', 'NA' and 1 more"):
        predictions["616"]
    with pytest.raises(IndexError):
        predictions[4]


def test_a_group_has_the_probability_of_its_classes(predictions: Predictions) -> None:
    np.testing.assert_allclose(predictions.coarse.sum(axis=1), 1.0)
    assert dict(zip(COARSE_GROUPS, predictions.coarse[0].tolist(), strict=True))["SN-like"] == 1.0
    assert predictions.coarse_label.tolist() == ["SN-like", "Fast", "", "Long"]
    assert predictions.take([]).coarse.shape == (0, len(COARSE_GROUPS))


def test_under_another_mix_the_classes_are_weighed_by_the_ratio_of_the_frequencies(predictions):
    uniform = np.full(len(CLASSES), 1.0 / len(CLASSES))
    with pytest.raises(DataError, match="not known"):
        predictions.with_prior("lsst")
    same = predictions.with_prior(dict.fromkeys(CLASSES, 1.0), trained=uniform)
    sure = predictions.is_classified
    np.testing.assert_allclose(same.proba[sure], predictions.proba[sure])
    moved = predictions.with_prior({"SNIa": 1.0, "TDE": 3.0}, trained=uniform)
    np.testing.assert_allclose(moved.proba.sum(axis=1), 1.0)
    back = moved.with_prior(dict.fromkeys(CLASSES, 1.0))
    np.testing.assert_allclose(back.proba[sure], predictions.proba[sure], atol=1e-9)
    assert moved.proba[~sure, CLASSES.index("TDE")] > 0.7
    parts = Predictions.concatenate([moved[:2], moved[2:]])
    np.testing.assert_array_equal(parts.prior, moved.prior)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"redshift": [0.1, 0.2]}, r"redshift: shape \(2,\); expected \(4,\)"),
        ({"magnitude": ["faint"] * 4}, "magnitude: not numbers"),
        ({"trained": [0.5, 0.5]}, r"trained: shape \(2,\); expected \(17,\)"),
        ({"trained": np.zeros(len(CLASSES))}, "one positive"),
        ({"trained": np.full(len(CLASSES), np.nan)}, "finite"),
    ],
)
def test_numbers_that_do_not_fit_the_objects_or_the_classes_are_refused(predictions, values, message):
    uniform = np.full(len(CLASSES), 1.0 / len(CLASSES))
    with pytest.raises(DataError, match=message):
        predictions.with_prior("lsst", **({"trained": uniform} | values))


def with_sets(predictions: Predictions, *sets: str) -> Predictions:
    in_set = np.array([[name in text.split() for name in CLASSES] for text in sets])
    return replace(predictions, in_set=in_set)


def test_a_set_names_its_classes_and_an_object_without_one_has_no_size(predictions: Predictions) -> None:
    made = with_sets(predictions, "SNIa SNII", "KN", "", "")
    assert made.sets == [("SNIa", "SNII"), ("KN",), (), ()]
    np.testing.assert_array_equal(made.set_size, [2.0, 1.0, np.nan, np.nan])
    assert made.to_pandas()["set"].tolist() == ["SNIa; SNII", "KN", "", ""]
    with pytest.raises(DataError, match="'615': a prediction set without the class"):
        with_sets(predictions, "SNII", "KN", "", "TDE")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sets_come_back_from_a_file_and_an_unknown_class_in_one_is_refused(
    predictions: Predictions, tmp_path: Path, suffix: str
) -> None:
    made = with_sets(predictions, "SNIa SNII", "KN", "", "AGN TDE KN")
    path = tmp_path / f"out{suffix}"
    write_predictions(made, path)
    assert read_predictions(path).sets == made.sets
    if suffix == ".csv":
        path.write_text(path.read_text().replace("SNIa; SNII", "SNIa; Nova"))
        with pytest.raises(DataError, match="row 1: 'Nova' is none of the classes"):
            read_predictions(path)


def test_under_another_mix_a_set_keeps_its_classes_and_gains_the_new_answer(predictions: Predictions) -> None:
    made = with_sets(predictions, "SNIa SNII", "KN", "", "")
    uniform = np.full(len(CLASSES), 1.0 / len(CLASSES))
    moved = made.with_prior({"SNII": 1.0, "SNIbc": 1.0, "TDE": 1.0}, trained=uniform, redshift=np.zeros(4))
    assert moved.label[0] == "SNII"
    assert moved.sets == [("SNIa", "SNII"), ("KN",), (), ()]
    sure = replace(made, in_set=np.eye(len(CLASSES), dtype=bool)[made.proba.argmax(axis=1)])
    assert sure.with_prior({"SNII": 1.0}, trained=uniform).sets[0] == ("SNIa", "SNII")


def test_objects_outside_of_the_demanded_domain_are_not_classified():
    made = Predictions.of(
        Scores.empty(3, len(CLASSES))._replace(
            proba=np.eye(len(CLASSES))[[3, 5, 7]], anomaly=np.array([0.2, 0.9, 0.99])
        ),
        *(np.full(3, "classified"), np.full(3, ""), np.full(len(CLASSES), 1.0 / len(CLASSES))),
        object_id=np.array(["a", "b", "c"]),
        n_obs=np.ones(3, np.int64),
        phase=np.zeros(3),
        domain=(np.array(["inside", "edge", "outside"]), np.array(["", "", "two bands"])),
        min_domain="edge",
    )
    assert made.status.tolist() == ["classified", "classified", "not_classified"]
    assert made.reason.tolist() == ["", "", "outside_domain"]
    assert made.anomaly.tolist() == [0.2, 0.9, 0.99]
    assert "1 of 3 objects looks unlike" in domain_warning(made)
    assert ": two bands; check units" in domain_warning(made)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_predictions_of_classes_of_a_user_come_back_with_these_classes(tmp_path: Path, suffix: str) -> None:
    own = Taxonomy.of({"CV": {"galactic": True, "group": "Stars"}, "SNIa": {}, "nova": {"group": "Stars"}})
    made = Predictions.of(
        Scores.empty(2, 3)._replace(
            proba=np.array([[0.2, 0.5, 0.3], [0.9, 0.1, 0.0]]), in_set=np.array([[1, 1, 0], [1, 0, 0]]) > 0
        ),
        *(np.full(2, "classified"), np.full(2, ""), np.full(3, 1.0 / 3.0)),
        object_id=np.array(["a", "b"]),
        n_obs=np.ones(2, np.int64),
        phase=np.zeros(2),
        taxonomy=own,
    )
    assert made.classes == ("SNIa", "CV", "nova")
    assert made.label.tolist() == ["CV", "SNIa"]
    assert made.sets == [("SNIa", "CV"), ("SNIa",)]
    assert made.coarse_groups == ("SN-like", "Stars")
    np.testing.assert_allclose(made.coarse, [[0.2, 0.8], [0.9, 0.1]])
    path = tmp_path / f"out{suffix}"
    write_predictions(made, path)
    assert_equal(read_predictions(path), made, rtol=1e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_class_may_be_called_label(predictions: Predictions, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    table = predictions.to_pandas().rename(columns={"class": "label"})
    if suffix == ".csv":
        table.to_csv(path, index=False)
    elif suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=True)
    assert read_predictions(path).label.tolist() == predictions.label.tolist()


def test_predictions_can_be_sent_to_another_process(predictions: Predictions) -> None:
    assert_equal(pickle.loads(pickle.dumps(predictions)), predictions, rtol=0)


def test_the_table_of_astropy_is_that_of_pandas(predictions: Predictions) -> None:
    table = predictions.to_astropy()
    assert table.colnames == COLUMNS
    assert str(table["phase"].unit) == "d"
    pd.testing.assert_frame_equal(table.to_pandas(), predictions.to_pandas(), check_dtype=False)


# --- repr -----------------------------------------------------------------------------


def test_predictions_show_their_first_rows(predictions: Predictions) -> None:
    lines = repr(predictions).splitlines()
    assert lines[:2] == [
        "Predictions: 4 objects, 3 classified, 1 not classified",
        "  classes: KN 1, SNIa 1, TDE 1",
    ]
    assert [line.split() for line in lines[2:]] == [
        ["object_id", "class", "probability", "status", "phase"],
        ["615", "SNIa", "0.875", "classified", "848.2"],
        ["007", "KN", "1.000", "classified", "0.0"],
        ["NA", "-", "-", "not_classified", "-"],
        ["a,b", "TDE", "0.667", "classified", "-1.5"],
    ]


def test_predictions_show_bars_in_a_notebook(predictions: Predictions) -> None:
    page = ElementTree.fromstring(predictions._repr_html_())
    assert len(page.findall(".//tbody/tr")) == 4
    assert "SNIa0.88SNII0.12" in "".join(page.itertext())


def test_no_predictions_have_a_repr(predictions: Predictions) -> None:
    assert repr(predictions.take([])).startswith("Predictions: 0 objects, 0 classified")
    ElementTree.fromstring(predictions.take([])._repr_html_())


# --- files ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_written_predictions_are_read_back(predictions: Predictions, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"new folder/out{suffix}"
    write_predictions(predictions, path)
    assert_equal(read_predictions(path), predictions, rtol=0 if suffix == ".parquet" else 1e-5)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=50)
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        min_size=1,
        max_size=5,
        unique=True,
    )
)
@example(names=["a\rb", "=1+1", "-5", "\r", "\n", "\t@", '"', "'=1+1", "NA", " a"])
def test_ids_come_back_as_they_were(suffix: str, names: list[str]) -> None:
    n = len(names)
    made = Predictions.of(
        Scores.empty(n, len(CLASSES))._replace(proba=np.full((n, len(CLASSES)), 1.0 / len(CLASSES))),
        *(np.full(n, "classified"), np.full(n, ""), np.full(len(CLASSES), 1.0 / len(CLASSES))),
        object_id=np.array(names),
        n_obs=np.ones(n, np.int64),
        phase=np.zeros(n),
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"out{suffix}"
        write_predictions(made, path)
        assert read_predictions(path).object_id.tolist() == made.object_id.tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_columns_are_those_of_the_manual(predictions: Predictions, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    write_predictions(predictions, path)
    if suffix == ".parquet":
        found = list(pd.read_parquet(path).columns)
    elif suffix == ".csv":
        found = path.read_text().splitlines()[0].split(",")
    else:
        found = list(json.loads(path.read_text().splitlines()[0]))
    assert found == COLUMNS


def test_csv_has_six_digits_empty_class_and_empty_nan(predictions: Predictions, tmp_path: Path) -> None:
    write_predictions(predictions, tmp_path / "out.csv")
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert rows[1].startswith("615,classified,,SNIa,0,")
    assert ",0.123457,352,848.25" in rows[1]
    assert rows[3].startswith('NA,not_classified,"1 observation, needs 2",,0.0588235,')
    assert rows[3].endswith(",,1,,unknown,,,")
    assert rows[4].startswith('"a,b",')


def test_jsonl_writes_null_for_unknown_values(predictions: Predictions, tmp_path: Path) -> None:
    write_predictions(predictions, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows[2]["anomaly"] is None
    assert rows[2]["class"] == ""
    assert rows[0]["n_obs"] == 352
    assert rows[0]["anomaly"] == 0.123457


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writing_twice_gives_the_same_bytes(predictions: Predictions, tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        write_predictions(predictions, tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_no_object_is_a_table_too(predictions: Predictions, tmp_path: Path, suffix: str) -> None:
    write_predictions(predictions.take([]), tmp_path / f"out{suffix}")
    assert len(read_predictions(tmp_path / f"out{suffix}")) == 0


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from((".csv", ".jsonl")))
def test_rounded_probabilities_stay_a_distribution(seed: int, suffix: str) -> None:
    import tempfile

    rng = np.random.default_rng(seed)
    n = 5
    table = Predictions(
        object_id=np.array([f"o{k}" for k in range(n)]),
        status=np.full(n, "classified"),
        reason=np.full(n, ""),
        label=rng.choice(CLASSES, n),
        proba=rng.dirichlet(np.full(len(CLASSES), 0.05), n),
        anomaly=rng.normal(size=n),
        n_obs=rng.integers(0, 1000, n),
        phase=rng.normal(0, 100, n),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"out{suffix}"
        write_predictions(table, path)
        back = read_predictions(path)
    np.testing.assert_allclose(back.proba.sum(axis=1), 1.0, atol=2e-5)
    assert_equal(back, table, rtol=1e-5)


def test_an_older_file_survives_a_failed_write(predictions: Predictions, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    (tmp_path / "blocked").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="cannot write"):
        write_predictions(predictions, tmp_path / "blocked" / "out.csv")
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["out.txt", "out", "out.csv.gz"])
def test_an_unknown_suffix_is_refused_early(predictions: Predictions, tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"\.csv, \.parquet, \.jsonl"):
        check_output(tmp_path / name)
    for act in (lambda p: write_predictions(predictions, p), read_predictions):
        with pytest.raises(DataError, match=r"\.csv, \.parquet, \.jsonl"):
            act(tmp_path / name)


def test_check_output_refuses_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(DataError, match="in the way"):
        check_output(tmp_path / "out.csv")
    check_output(tmp_path / "new" / "out.csv")


# --- files of others --------------------------------------------------------------------


def test_a_foreign_classifier_needs_names_and_probabilities_only(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("object_id,proba_SNIa,proba_KN\n0007,0.25,0.75\nx,1,0\n")
    table = read_predictions(path)
    assert table.object_id.tolist() == ["0007", "x"]
    assert table.label.tolist() == ["KN", "SNIa"]
    assert table.is_classified.all()
    assert np.isnan(table.anomaly).all()
    assert table.proba[0, CLASSES.index("KN")] == 0.75
    assert table.proba[0, CLASSES.index("AGN")] == 0.0


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("object_id,class\n1,SNIa\n", MissingColumnError, "proba_<Class>"),
        ("name,proba_SNIa\n1,1\n", MissingColumnError, "object_id"),
        ("object_id,proba_SNIa\n1,much\n", DataError, "not a number"),
        ("object_id,proba_SNIa\n1,0.5\n", DataError, "'1': probabilities"),
        ("object_id,proba_SNIa\n1,1\n1,1\n", DataError, "'1' is predicted 2 times"),
        ("", DataError, "cannot read"),
    ],
)
def test_errors_name_file_and_place(tmp_path: Path, text: str, error: type[DataError], words: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(error, match=words) as raised:
        read_predictions(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_absent_file_is_one_clear_error(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(DataError, match=rf"absent{suffix}: no such file"):
        read_predictions(tmp_path / f"absent{suffix}")


def test_a_damaged_file_is_one_clear_error(predictions: Predictions, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    write_predictions(predictions, path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot read predictions"):
        read_predictions(path)
    lines = tmp_path / "out.jsonl"
    lines.write_text('{"object_id": "1"\n')
    with pytest.raises(DataError, match="cannot read predictions"):
        read_predictions(lines)
    lines.write_text("[1, 2]\n")
    with pytest.raises(DataError, match="line 1 is not a JSON object"):
        read_predictions(lines)


def test_an_empty_jsonl_has_no_columns(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("")
    with pytest.raises(MissingColumnError):
        read_predictions(tmp_path / "out.jsonl")


def test_blank_lines_of_jsonl_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('\n{"object_id": 5, "proba_KN": 1.0}\n\n')
    assert read_predictions(path).object_id.tolist() == ["5"]


@pytest.mark.parametrize("check", [True, False])
def test_an_object_that_is_not_classified_has_the_prior_no_label_and_no_score(check):
    prior = np.full(len(CLASSES), 1.0 / len(CLASSES))
    sure = np.eye(len(CLASSES))[[3, 5]]
    made = Predictions.of(
        Scores.empty(2, len(CLASSES))._replace(proba=sure.copy(), anomaly=np.array([0.2, 0.9])),
        np.array(["classified", "not_classified"]),
        np.array(["", "no_signal"]),
        prior,
        object_id=np.array(["a", "b"]),
        n_obs=np.array([9, 1]),
        phase=np.array([3.0, np.nan]),
        check=check,
    )
    assert made.label.tolist() == [CLASSES[3], ""]
    np.testing.assert_array_equal(made.proba, [sure[0], prior])
    np.testing.assert_array_equal(made.anomaly, [0.2, np.nan])
    assert made.reason.tolist() == ["", "no_signal"]
