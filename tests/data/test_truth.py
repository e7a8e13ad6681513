"""Labels in a table of their own."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.data import Truth
from firstlight.data.truth import read_sources
from firstlight.errors import DataError, MissingColumnError, UnknownClassError
from firstlight.taxonomy import CLASSES, Taxonomy


@pytest.fixture
def truth():
    return Truth(["9", "10", "a"], ["SNIa", "KN", "muLens-Binary"])


def test_labels_come_in_the_order_of_the_names(truth):
    assert truth.labels_of(["a", "9", "9"]).tolist() == ["muLens-Binary", "SNIa", "SNIa"]
    assert truth.labels_of([]).shape == (0,)


def test_missing_objects_are_named(truth):
    with pytest.raises(DataError, match=r"2 object\(s\) without a label: zz, 1; the truth has 3"):
        truth.labels_of(["9", "zz", "1"])
    with pytest.raises(DataError, match=r"o0, o1, o2, o3, o4, \.\.\."):
        truth.labels_of([f"o{i}" for i in range(9)])


@given(
    st.dictionaries(st.text("abc123", min_size=1, max_size=5), st.sampled_from(CLASSES), max_size=20),
    st.data(),
)
def test_every_object_gets_its_own_label(labels, data):
    truth = Truth(list(labels), list(labels.values()))
    wanted = data.draw(st.lists(st.sampled_from(sorted(labels)), max_size=9)) if labels else []
    assert truth.labels_of(wanted).tolist() == [labels[name] for name in wanted]


def test_a_truth_cannot_be_changed(truth):
    with pytest.raises(ValueError, match="read-only"):
        truth.label[0] = "AGN"


@pytest.mark.parametrize(
    ("names", "labels", "kind", "message"),
    [
        (["a"], ["SNIa", "KN"], DataError, "1 objects but 2 labels"),
        (["a", "a"], ["SNIa", "KN"], DataError, "object 'a' has several labels"),
    ],
)
def test_wrong_labels_are_refused(names, labels, kind, message):
    with pytest.raises(kind, match=message):
        Truth(names, labels)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_what_is_written_can_be_read(truth, tmp_path, name):
    truth.write(tmp_path / name)
    again = Truth.read(tmp_path / name)
    assert again.object_id.tolist() == truth.object_id.tolist()
    assert again.label.tolist() == truth.label.tolist()


def test_other_endings_are_refused(truth, tmp_path):
    with pytest.raises(DataError, match=r"written as \.csv or \.parquet"):
        truth.write(tmp_path / "t.txt")


def test_the_samples_metadata_hold_its_labels(sample, sample_labels, sample_paths):
    truth = Truth.read(sample_paths.metadata)
    np.testing.assert_array_equal(truth.labels_of(sample.object_id), sample_labels)
    assert len(truth) == 202
    assert len(set(truth.label.tolist())) == 14


@pytest.mark.parametrize("column", ["true_target", "target", "label", "class"])
@pytest.mark.parametrize("values", [[90, 991], ["SNIa", "muLens-Binary"], [90.0, 991.0]])
def test_labels_may_be_codes_or_names_under_any_heading(tmp_path, column, values):
    frame = pd.DataFrame({"object_id": [5, 7], column: values})
    frame.to_csv(tmp_path / "t.csv.gz", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv.gz", "t.parquet"):
        assert Truth.read(tmp_path / name).labels_of(["7", "5"]).tolist() == ["muLens-Binary", "SNIa"]


def test_the_true_target_goes_before_the_target(tmp_path):
    # in the unblinded test set, the rare classes' target is a catch-all
    pd.DataFrame({"object_id": [5], "target": [99], "true_target": [994]}).to_csv(tmp_path / "t.csv")
    assert Truth.read(tmp_path / "t.csv").label.tolist() == ["PISN"]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_file_without_labels_is_named_with_its_columns(tmp_path, name):
    frame = pd.DataFrame({"object_id": [5], "ra": [1.0]})
    frame.to_csv(tmp_path / name) if name.endswith("csv") else frame.to_parquet(tmp_path / name)
    with pytest.raises(MissingColumnError, match=rf"{name}.*true_target or target or label or class.*ra"):
        Truth.read(tmp_path / name)


def test_an_unknown_code_names_the_file(tmp_path):
    (tmp_path / "t.csv").write_text("object_id,label\n5,7\n")
    with pytest.raises(UnknownClassError, match=r"t.csv: unknown .*code\(s\) \[7\]"):
        Truth.read(tmp_path / "t.csv")


def test_a_broken_file_of_labels_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    with pytest.raises(DataError, match="cannot read"):
        Truth.read(path)
    path.write_text("object_id,label\n5,SNIa\n7\n")
    with pytest.raises(DataError, match=r"t.csv, row 3: the line has 1 fields"):
        Truth.read(path)
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        Truth.read(path)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_an_object_without_a_label_is_no_object_of_the_truth(tmp_path, name):
    frame = pd.DataFrame({"object_id": [5, 7, 9], "target": [90.0, np.nan, 64.0]})
    frame.to_csv(tmp_path / name) if name.endswith("csv") else frame.to_parquet(tmp_path / name)
    truth = Truth.read(tmp_path / name)
    assert dict(zip(truth.object_id.tolist(), truth.label.tolist(), strict=True)) == {"5": "SNIa", "9": "KN"}
    texts = frame.assign(target=["SNIa", "nan", "None"])
    texts.to_csv(tmp_path / name) if name.endswith("csv") else texts.to_parquet(tmp_path / name)
    assert Truth.read(tmp_path / name).object_id.tolist() == ["5"]


def test_a_repeated_label_counts_one_time_and_two_that_differ_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("object_id,label\n7,KN\n5,SNIa\n7,KN\n")
    assert Truth.read(path).object_id.tolist() == ["7", "5"]
    path.write_text("object_id,label\n7,KN\n5,SNIa\n7,TDE\n")
    with pytest.raises(DataError, match="object '7' is 'KN' and 'TDE'"):
        Truth.read(path)
    path.write_text("object_id,label\n,KN\n5,SNIa\n")
    with pytest.raises(DataError, match=r"1 label\(s\) without an object, the first 'KN'"):
        Truth.read(path)


def test_numbers_that_a_taxonomy_names_are_no_codes_of_plasticc(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("object_id,label\n7,101\n5,90\n")
    own = Taxonomy.of({"SNIa": {"aliases": ["101"]}, "SNII": {"aliases": ["90"]}})
    assert own.match(Truth.read(path, own).label.tolist()) == {"101": "SNIa", "90": "SNII"}


def test_each_object_has_one_source_or_the_column_is_refused(tmp_path):
    path = tmp_path / "labels.csv"
    rows = "object_id,label,source\n1,KN,ztf\n1,KN,ztf\n2,KN,des\n3,KN,{}\n"
    path.write_text(rows.format("ps1"))
    assert read_sources(path, ["3", "1"]).tolist() == ["ps1", "ztf"]
    path.write_text(rows.format("nan"))
    assert read_sources(path, ["2"]).tolist() == ["des"]
    with pytest.raises(DataError, match=r"no source of 1 of 2 object\(s\), the first '3'"):
        read_sources(path, ["2", "3"])
    path.write_text(rows.format("ps1\n3,KN,des"))
    with pytest.raises(DataError, match="'3' is 'ps1' and 'des'; an object has one source"):
        read_sources(path, ["1"])
    path.write_text("object_id,label\n1,KN\n")
    assert read_sources(path, ["1"]) is None
