"""CSV files in whatever state they are."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.data import delimited
from firstlight.data.delimited import Damage, Delimited, choose, read_dialect, read_header, require
from firstlight.errors import DataError, MissingColumnError
from firstlight.lightcurves.foreign.values import names_of

COLUMNS = {"name": "text", "x": "number"}


def read(path, columns=COLUMNS):
    """All rows of a file: names, numbers, lines, damage."""
    source = Delimited(path, columns)
    names, numbers, lines = [], [], []
    for batch, batch_lines in source.batches():
        names += names_of(batch["name"]).tolist()
        numbers += batch["x"].to_pylist()
        lines += batch_lines.tolist()
    return names, numbers, lines, source.damage


@pytest.fixture(params=["plain", "gzip", "two members", "padded"])
def write(request, tmp_path):
    def write(text):
        data = text.encode()
        if request.param == "gzip":
            data = gzip.compress(data)
        if request.param == "two members":
            data = gzip.compress(data[:20]) + gzip.compress(data[20:])
        if request.param == "padded":
            data = gzip.compress(data) + bytes(50)
        path = tmp_path / "x.csv"
        path.write_bytes(data)
        return path

    return write


def test_rows_come_with_their_lines(write):
    names, numbers, lines, damage = read(write("name,x\na,1.5\nb,-2e3\n c , 4\n"))
    assert names == ["a", "b", "c"]
    assert numbers == [1.5, -2000.0, 4.0]
    assert lines == [2, 3, 4]
    assert damage == []


def test_other_columns_are_not_parsed(write):
    assert read(write("secret,x,name\nq,1,a\n"))[:2] == (["a"], [1.0])


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_line_ends_do_not_matter(write, end):
    assert read(write("name,x\r\na,1\r\nb,2" + end))[1] == [1.0, 2.0]


def test_a_byte_order_mark_and_spaces_in_the_header_do_not_matter(write):
    path = write('\ufeffname, "x" \na,1\n')
    assert read_header(path) == ["name", "x"]
    assert read(path)[:2] == (["a"], [1.0])


def test_lines_with_too_few_or_many_fields_are_damage(write):
    names, _, lines, damage = read(write("name,x\na,1\nb\nc,3\nd,4,5\ne,6\nf"))
    assert names == ["a", "c", "e"]
    assert lines == [2, 4, 6]
    assert [(d.line, d.text) for d in damage] == [(3, "b"), (5, "d,4,5"), (7, "f")]
    assert damage[0].reason == "the line has 1 fields, not 2"


def test_a_bad_line_that_is_not_utf_8_is_damage_like_any_other(tmp_path):
    path = tmp_path / "x.csv"
    n = 20_000  # lines before them: more than the head in which the file is recognised
    path.write_bytes(b"name,x\n" + b"a,1.0\n" * n + b"b\xf7\nc,3\nd,4,\x80\n")
    names, numbers, lines, damage = read(path)
    assert (names[-2:], numbers[-2:], lines[-2:]) == (["a", "c"], [1.0, 3.0], [n + 1, n + 3])
    assert [item.line for item in damage] == [n + 2, n + 4]


def test_a_text_among_numbers_is_nan_and_its_neighbours_are_read(write):
    names, numbers, lines, _ = read(write("name,x\na,1\nb,oops\nc,\nd,nan\ne,0x10\nf,+7.5\n"))
    assert names == list("abcdef")
    np.testing.assert_array_equal(numbers, [1.0, np.nan, np.nan, np.nan, np.nan, 7.5])
    assert lines == [2, 3, 4, 5, 6, 7]


def test_infinities_are_not_lost(write):
    assert np.isinf(read(write("name,x\na,inf\n"))[1]).all()


@pytest.mark.parametrize("bad", [0, 37, 199])
def test_a_bad_number_in_a_late_block_repeats_no_row(write, monkeypatch, bad):
    monkeypatch.setattr(delimited, "_BLOCK", 256)
    rows = [f"n{i},{i}" if i != bad else f"n{i},oops" for i in range(200)]
    rows.insert(100, "short")
    names, numbers, lines, damage = read(write("\n".join(["name,x", *rows]) + "\n"))
    assert names == [f"n{i}" for i in range(200)]
    assert [i for i, value in enumerate(numbers) if np.isnan(value)] == [bad]
    assert lines == [i + 2 + (i >= 100) for i in range(200)]
    assert damage == [Damage("the line has 1 fields, not 2", 102, "short")]


def test_a_header_alone_has_no_rows(write):
    assert read(write("name,x\n")) == ([], [], [], [])


@pytest.mark.parametrize("size", [12, 40, 200, 4000])
def test_a_truncated_gzip_gives_its_whole_rows_and_a_note(tmp_path, size):
    rng = np.random.default_rng(0)
    text = "name,x\n" + "".join(f"n{i},{v}\n" for i, v in enumerate(rng.random(2000)))
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(text.encode())[:size])
    try:
        names, numbers, _, damage = read(path)
    except DataError as error:  # cut within the header of the file
        assert "compressed data end early" in str(error)  # noqa: PT017
        return
    assert damage[-1] == Damage("the compressed data end early", None)
    assert names == [f"n{i}" for i in range(len(names))]
    np.testing.assert_array_equal(numbers[:-1], np.random.default_rng(0).random(2000)[: len(numbers) - 1])


def test_a_corrupt_gzip_says_so(tmp_path):
    rng = np.random.default_rng(0)
    data = bytearray(gzip.compress(b"name,x\n" + b"".join(b"a,%.12f\n" % v for v in rng.random(30_000))))
    data[-8] ^= 255  # its checksum
    (tmp_path / "x.csv.gz").write_bytes(bytes(data))
    names, *_, damage = read(tmp_path / "x.csv.gz")
    assert "damaged" in damage[-1].reason
    assert len(names) > 20_000


def test_an_empty_or_binary_or_absent_file_is_a_data_error(tmp_path):
    path = tmp_path / "x.csv"
    with pytest.raises(DataError, match=r"cannot read .*No such file"):
        read_header(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        read_header(path)
    path.write_bytes(b"\xfd\xfe\x00\x81" * 10)
    with pytest.raises(DataError, match="not a text file"):
        read_header(path)


@pytest.mark.parametrize(
    ("text", "cause"),
    [('{"name": 1}', "JSON"), ("<TABLE>", "XML or HTML"), ("# name\n# x\n", "comments alone")],
)
def test_text_without_a_header_is_refused_with_its_cause(tmp_path, text, cause):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=cause):
        read_header(tmp_path / "x.csv")


def test_text_with_another_delimiter_than_stated_is_a_data_error(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"name,x\n" + b"a\xff\xfe,1\n")
    with pytest.raises(DataError, match="not a text file in UTF-8"):
        read(path)


def test_columns_are_found_in_any_spelling():
    found = choose(["id", "flt"], {"name": ("name", "id"), "band": ("band", "flt"), "flux": ("flux",)})
    assert found == {"name": "id", "band": "flt"}


def test_missing_columns_are_named_with_the_file_and_its_columns(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(MissingColumnError, match=r"x.csv: column\(s\) c or d missing; its columns are a, b"):
        require({"one": "a"}, {"one": ("a",), "two": ("c", "d")}, path)


@given(kinds=st.lists(st.sampled_from(["good", "bad", "short"]), max_size=60))
def test_every_line_is_a_row_or_damage(kinds, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    line = {"good": "a,1", "bad": "a,one", "short": "a"}
    path.write_text("\n".join(["name,x", *(line[kind] for kind in kinds)]) + "\n")
    _, numbers, lines, damage = read(path)
    where = {kind: [i + 2 for i, k in enumerate(kinds) if k == kind] for kind in line}
    assert [d.line for d in damage] == where["short"]
    assert [n for n, v in zip(lines, numbers, strict=True) if np.isnan(v)] == where["bad"]
    assert [n for n, v in zip(lines, numbers, strict=True) if v == 1.0] == where["good"]


def test_a_header_with_a_name_twice_is_refused(tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text("object_id,flux,flux\n1,2,3\n")
    with pytest.raises(DataError, match="flux occur more than once"):
        read_header(path)


@pytest.mark.parametrize(
    "text",
    [
        'name,x\na,1\n"b\nb",2\nc,3\n',  # a quoted line break
        'name,x\na,1\n"b,2\nc,3\nd,4\n',  # a quotation mark that is not closed
        "name,x\na,1\nb\r,2\nc,3\n",  # a lone carriage return
        'name,x\na,1\nb,2,3\n"c\nc",4\n',  # beside a line of too many fields
    ],
)
def test_rows_that_are_not_lines_are_refused(write, text):
    with pytest.raises(DataError, match="write each row on one line"):
        read(write(text))


def test_the_last_comment_above_the_data_is_the_header_if_it_has_their_fields(tmp_path):
    path = tmp_path / "gaia.csv"
    path.write_text("Gaia21abc\n#Date,JD(TCB),mag\n2021-01-01 03:04:05,2459215.6,17.5\n")
    dialect = read_dialect(path)
    assert dialect.header == ("Date", "JD(TCB)", "mag")
    assert dialect.line == 2
    path.write_text("object_id,mjd,flux\n# a note, with a comma\n1,60000.5,3.0\n")
    assert read_dialect(path).header == ("object_id", "mjd", "flux")
