"""Tables from CSV files: each fault of a file has a sentence with the column and the row, and exit code 3."""

import math

import numpy as np
import pytest

from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.tabular.data import read_table, split_rows, write_rows

GOOD = "a,b,y\n1,2,0\n3,4,1\n"


def read(tmp_path, content, target="y", features=None):
    path = tmp_path / "data.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path.as_uri(), target, features)


FAULTS = [
    ("empty file", "", "is empty; it needs a line of column names"),
    ("blank header", "\n1,2,0\n", "is empty; it needs a line of column names"),
    ("header only", "a,b,y\n", "has column names but no rows; add rows"),
    ("header and blank lines only", "a,b,y\n\n\n", "has column names but no rows; add rows"),
    ("missing target", "a,b,z\n1,2,0\n", 'has no column "y" for trainer.tabular.target. It has: a, b, z'),
    ("misspelled target", "a,b,yy\n1,2,0\n", 'for trainer.tabular.target. Did you mean "yy"?'),
    ("target alone", "y\n0\n1\n", "has no column besides the target; add features"),
    ("target that is no number", "a,b,y\n1,2,0\n3,4,sick\n", 'line 3, target column "y" holds "sick"; write 0 or 1'),
    ("target of other numbers", "a,b,y\n1,2,0\n3,4,2\n", 'line 3, target column "y" holds "2"; write 0 or 1'),
    ("empty target", "a,b,y\n1,2,0\n3,4,\n", 'line 3, target column "y" holds nothing; write 0 or 1'),
    ("NaN target", "a,b,y\n1,2,NaN\n3,4,1\n", 'line 2, target column "y" holds "NaN"; write 0 or 1'),
    ("one class", "a,b,y\n1,2,0\n3,4,0\n", 'every row has 0 in the target column "y"; rows of both classes are needed'),
    ("feature that is no number", "a,b,y\n1,2,0\n3,red,1\n", 'line 3, column "b" holds "red", which is no number'),
    ("number of Python alone", "a,b,y\n1_000,2,0\n3,4,1\n", 'line 2, column "a" holds "1_000", which is no number'),
    ("NA", "a,b,y\n1,NA,0\n3,4,1\n", 'line 2, column "b" holds "NA", which is no number'),
    ("infinite", "a,b,y\n1,inf,0\n3,4,1\n", 'line 2, column "b" holds an infinite number'),
    ("minus infinity", "a,b,y\n1,-Infinity,0\n3,4,1\n", 'line 2, column "b" holds an infinite number'),
    ("overflow", "a,b,y\n1,1e999,0\n3,4,1\n", 'line 2, column "b" holds an infinite number'),
    ("too large for XGBoost", "a,b,y\n1,1e300,0\n3,4,1\n", 'line 2, column "b" holds 1e300, which is too large'),
    ("too few cells", "a,b,y\n1,2,0\n3,4\n", "line 3 has 2 cells, the header has 3"),
    ("too many cells", "a,b,y\n1,2,0,9\n3,4,1\n", "line 2 has 4 cells, the header has 3"),
    ("doubled column", "a,a,y\n1,2,0\n3,4,1\n", 'has two columns named "a"; give each its own name'),
    ("column without a name", ",b,y\n1,2,0\n3,4,1\n", "column 1 has no name; name it, or write the file without it"),
    ("name that XGBoost refuses", "a[1],b,y\n1,2,0\n3,4,1\n", 'XGBoost takes no column named "a[1]"'),
    ("not UTF-8", GOOD.encode("utf-16"), "cannot be read as CSV in UTF-8"),
    ("Latin-1", "a,b,y\n1,2,0\n3,ä,1\n".encode("latin-1"), "cannot be read as CSV in UTF-8"),
    ("open quote", 'a,b,y\n1,"' + "x" * 200_000, "cannot be read as CSV in UTF-8"),
]


@pytest.mark.parametrize(("content", "sentence"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_fault(tmp_path, content, sentence):
    with pytest.raises(TrainingError) as caught:
        read(tmp_path, content)
    assert caught.value.code == ExitCode.DATA
    assert sentence in str(caught.value)
    assert "data.csv" in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(TrainingError, match="is not there; put the file on the network volume") as caught:
        read_table((tmp_path / "none.csv").as_uri(), "y", None)
    assert caught.value.code == ExitCode.DATA


def test_folder_is_no_file(tmp_path):
    with pytest.raises(TrainingError, match="is not there"):
        read_table(tmp_path.as_uri(), "y", None)


def test_missing_feature(tmp_path):
    with pytest.raises(
        TrainingError, match=r'no column "bb" of trainer.tabular.features. Did you mean "b"\? It has: a'
    ):
        read(tmp_path, GOOD, features=("a", "bb"))


def test_target_among_features(tmp_path):
    with pytest.raises(TrainingError, match='features names the target "y"; leave it out'):
        read(tmp_path, GOOD, features=("a", "y"))


def test_a_long_list_of_columns_is_cut(tmp_path):
    header = ",".join(f"c{index}" for index in range(100))
    with pytest.raises(TrainingError, match=r"c19 and 80 more$"):
        read(tmp_path, f"{header}\n{'1,' * 99}1\n")


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD.encode("utf-8-sig"),
        GOOD.rstrip("\n"),
        "\ufeffa, b ,y\n 1,2 , 0\n\n3,4,TRUE\n",
        '"a","b","y"\n"1","2","False"\n3,4,true\n',
        "a,b,y\n1,2,0.0\n3e0,+4,1.0\n",
    ],
    ids=["LF", "CRLF", "CR", "BOM", "no last newline", "spaces and a blank line", "quotes", "decimals"],
)
def test_forms_of_one_table(tmp_path, content):
    table = read(tmp_path, content)
    assert (table.features, table.target) == (("a", "b"), "y")
    assert table.x.tolist() == [[1, 2], [3, 4]]
    assert table.y.tolist() == [0, 1]


@pytest.mark.parametrize("cell", ["", "  ", "nan", "NaN", "NAN", "-nan"])
def test_missing_value_is_an_empty_cell_or_nan(tmp_path, cell):
    table = read(tmp_path, f"a,b,y\n1,{cell},0\n3,4,1\n")
    assert math.isnan(table.x[0, 1])
    assert table.x[1].tolist() == [3, 4]


def test_columns_that_are_not_used_may_hold_anything(tmp_path):
    table = read(tmp_path, "name,a,y\nAda,1,0\nBob,2,1\n", features=("a",))
    assert table.x.tolist() == [[1], [2]]


def test_line_numbers_count_lines_of_quoted_cells(tmp_path):
    with pytest.raises(TrainingError, match=r'line 4, column "a"'):
        read(tmp_path, 'n,a,y\n"two\nlines",1,0\nx,red,1\n', features=("a",))


def write_table(tmp_path, zeros, ones):
    rows = [f"{index},{index * 0.1!r},0" for index in range(zeros)] + [f"{index},,1" for index in range(ones)]
    return read(tmp_path, "a,b,y\n" + "\n".join(rows) + "\n")


def test_same_seed_holds_out_the_same_rows(tmp_path):
    table = write_table(tmp_path, 30, 20)
    first, again, other = (split_rows(table, 0.2, seed) for seed in (1, 1, 2))
    assert first.held_out.tolist() == again.held_out.tolist() != other.held_out.tolist()
    assert sorted([*first.train, *first.held_out]) == list(range(50))
    assert table.y[first.held_out].tolist().count(1) == 4


@pytest.mark.parametrize(
    ("zeros", "ones", "share", "sentence"),
    [
        (3, 1, 0.5, "4 rows cannot be split with evalSplit 0.5"),
        (30, 30, 0.001, "60 rows cannot be split with evalSplit 0.001"),
        (1, 1, 0.5, "2 rows cannot be split with evalSplit 0.5"),
        (98, 2, 0.1, "with evalSplit 0.1 the 10 held-out rows would all be of one class"),
        (98, 2, 0.9, "with evalSplit 0.9 the 10 training rows would all be of one class"),
    ],
)
def test_too_few_rows_to_hold_some_out(tmp_path, zeros, ones, share, sentence):
    with pytest.raises(TrainingError) as caught:
        split_rows(write_table(tmp_path, zeros, ones), share, 42)
    assert caught.value.code == ExitCode.DATA
    assert sentence in str(caught.value)


def test_written_rows_read_back_the_same(tmp_path):
    table = read(tmp_path, "a,b,y\n0.1,1e-300,0\n-0.0,,1\n3.3333333333333335,1e38,1\n")
    path = tmp_path / "rows.csv"
    write_rows(path, table, np.array([2, 0, 1]))
    again = read_table(path.as_uri(), "y", None)
    assert again.features == table.features
    np.testing.assert_array_equal(again.x, table.x[[2, 0, 1]])
    assert again.y.tolist() == [1, 0, 1]
