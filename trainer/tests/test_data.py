"""Tables from files: each fault of a file has a sentence with the column and the row, and exit code 3."""

import datetime
import math
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainingjob.datasource import DataSource
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.tabular.data import memory
from trainingjob.tabular.data.cells import CHUNK_ROWS
from trainingjob.tabular.data.split import split_rows
from trainingjob.tabular.data.table import Selection, read_table
from trainingjob.tabular.tasks.task import task_named

GOOD = "a,b,y\n1,2,0\n3,4,1\n"


def at(uri, selection):
    return read_table(DataSource("spec.trainer.tabular.dataset", uri), selection)


def read(tmp_path, content, target="y", features=None, task="binary_classification", file="data.csv", **selection):
    path = tmp_path / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    table = at(path.as_uri(), Selection(target, features, **selection))
    if target is not None:
        task_named(task).encode(table)
    return table


def values(table):
    return [column.values.tolist() for column in table.features]


FAULTS = [
    ("empty file", "", "is empty; it needs a line of column names"),
    ("blank header", "\n1,2,0\n", "is empty; it needs a line of column names"),
    ("header only", "a,b,y\n", "has column names but no rows; add rows"),
    ("header and blank lines only", "a,b,y\n\n\n", "has column names but no rows; add rows"),
    ("missing target", "a,b,z\n1,2,0\n", 'has no column "y" of trainer.tabular.target. It has: a, b, z'),
    ("misspelled target", "a,b,yy\n1,2,0\n", 'of trainer.tabular.target. Did you mean "yy"?'),
    ("target alone", "y\n0\n1\n", "has no column besides the target; add features"),
    (
        "target that is no number",
        "a,b,y\n1,2,0\n3,4,sick\n",
        'line 3, target column "y" holds "sick", which is no number',
    ),
    ("third class", "a,y\n1,0\n2,0\n3,1\n4,1\n5,2\n6,2\n", 'line 6, target column holds "2", a third class besides'),
    ("fractional class", "a,y\n1,0\n2,0.5\n", 'line 3, target column "y" holds 0.5, which is no class'),
    ("empty target", "a,b,y\n1,2,0\n3,4,\n", 'line 3, target column "y" holds nothing; write its class'),
    ("NaN target", "a,b,y\n1,2,NaN\n3,4,1\n", 'line 2, target column "y" holds nothing; write its class'),
    ("target of dates", "a,y\n1,2026-01-01\n2,2026-01-02\n", 'the target column "y" holds dates'),
    (
        "one class",
        "a,b,y\n1,2,0\n3,4,0\n",
        'every row has 0 in the target column "y"; rows of other classes are needed',
    ),
    (
        "class with one row",
        "a,y\n1,0\n2,0\n3,1\n",
        'line 4 is the only row of class "1" in the target column "y"; add rows',
    ),
    ("no date", "a,y\n2026-01-01,0\n2026-13-01,1\n", 'line 3, column "a" holds "2026-13-01", which is no date'),
    ("feature that is no number", "a,b,y\n1,2,0\n3,red,1\n", 'line 3, column "b" holds "red", which is no number'),
    ("number of Python alone", "a,b,y\n1_000,2,0\n3,4,1\n", 'line 2, column "a" holds "1_000", which is no number'),
    ("NA", "a,b,y\n1,NA,0\n3,4,1\n", 'line 2, column "b" holds "NA", which is no number'),
    ("infinite", "a,b,y\n1,inf,0\n3,4,1\n", 'line 2, column "b" holds an infinite number'),
    ("minus infinity", "a,b,y\n1,-Infinity,0\n3,4,1\n", 'line 2, column "b" holds an infinite number'),
    ("overflow", "a,b,y\n1,1e999,0\n3,4,1\n", 'line 2, column "b" holds an infinite number'),
    ("too large for XGBoost", "a,b,y\n1,1e300,0\n3,4,1\n", 'line 2, column "b" holds 1e+300, which is too large'),
    ("too few cells", "a,b,y\n1,2,0\n3,4\n", "line 3 has 2 cells, the header has 3"),
    ("too many cells", "a,b,y\n1,2,0,9\n3,4,1\n", "line 2 has 4 cells, the header has 3"),
    ("doubled column", "a,a,y\n1,2,0\n3,4,1\n", 'has two columns named "a"; give each its own name'),
    ("column without a name", ",b,y\n1,2,0\n3,4,1\n", "column 1 has no name; name it, or write the file without it"),
    ("cut in a character", "a,b,y\n1,2,0\n3,ä,1\n".encode()[:-4], "cannot be read as CSV in utf-8"),
    ("open quote", 'a,b,y\n1,"' + "x" * 200_000, "line 2 has 2 cells, the header has 3; quote cells that contain"),
    (
        "open quote of a large file",
        'a,b,y\n1,"' + "x" * (2**24 + 1),
        "close every quote, quote cells that contain quotes or line breaks, and keep cells below 16777216 characters",
    ),
    (
        "moment that is in the year 10000 in UTC",
        "a,y\n9999-12-31,0\n9999-12-31T23:59:59-05:00,1\n",
        'line 3, column "a" holds a moment outside the years 1 to 9999 (UTC)',
    ),
    (
        "moment that is before the year 1 in UTC",
        "a,y\n0001-01-01T00:00:00+05:00,0\n2026-01-01,1\n",
        'line 2, column "a" holds a moment outside the years 1 to 9999 (UTC)',
    ),
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
        at((tmp_path / "none.csv").as_uri(), Selection("y"))
    assert caught.value.code == ExitCode.DATA


def test_folder_is_no_file(tmp_path):
    with pytest.raises(TrainingError, match="is not there"):
        at(tmp_path.as_uri(), Selection("y"))


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


TWO = "a,b,y\n1,2,0\n3,4,1\n1,2,0\n3,4,1\n"
FORMS = {
    "LF": TWO,
    "CRLF": TWO.replace("\n", "\r\n"),
    "CR": TWO.replace("\n", "\r"),
    "BOM": TWO.encode("utf-8-sig"),
    "UTF-16": TWO.encode("utf-16"),
    "no last newline": TWO.rstrip("\n"),
    "spaces and a blank line": "\ufeffa, b ,y\n 1,2 , 0\n\n3,4,1\n1,2,0\n3,4,1\n",
    "quotes": '"a","b","y"\n"1","2","0"\n3,4,1\n1,2,0\n3,4,1\n',
    "decimals": "a,b,y\n1,2,0.0\n3e0,+4,1.0\n1,2,0\n3,4,1\n",
    "semicolons": TWO.replace(",", ";"),
    "tabs": TWO.replace(",", "\t"),
    "bars": TWO.replace(",", "|"),
    "semicolons and commas in quotes": 'a;b;y\n"1";2;0\n3;4;1\n1;2;0\n3;4;1\n',
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_forms_of_one_table(tmp_path, content):
    table = read(tmp_path, content)
    assert [column.name for column in table.features] == ["a", "b"]
    assert values(table) == [[1, 3, 1, 3], [2, 4, 2, 4]]
    assert table.target.values.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("cell", ["", "  ", "nan", "NaN", "NAN", "-nan"])
def test_missing_value_is_an_empty_cell_or_nan(tmp_path, cell):
    table = read(tmp_path, f"a,b,y\n1,{cell},0\n3,4,1\n", task="regression")
    assert math.isnan(table.features[1].values[0])
    assert table.features[1].values[1] == 4


def test_latin_1_is_told_from_utf_8(tmp_path):
    rows = "".join(f"{name},{index % 2}\n" for index, name in enumerate(["Größe", "Straße", "Köln", "Düsseldorf"] * 5))
    table = read(tmp_path, f"straße,y\n{rows}".encode("latin-1"))
    assert table.features[0].name == "straße"
    assert table.features[0].categories == ("Düsseldorf", "Größe", "Köln", "Straße")


KINDS = [
    ("numbers with a gap", ["1", "", "2.5"], "Numeric", [1, None, 2.5]),
    ("truth values", ["true", "False", ""], "Boolean", [1, 0, None]),
    ("days", ["1970-01-02", "", "1969-12-31"], "Date", [86_400e6, None, -86_400e6]),
    ("moments", ["1970-01-01T00:00:01.5", "1970-01-01T01:00:00+01:00", "1970-01-01"], "Date", [1.5e6, 0, 0]),
    ("texts", ["red", "", "blue"], "Categorical", [1, None, 0]),
    ("texts with a number among them", ["red", "blue", "7"], "Categorical", [2, 1, 0]),
    ("nothing", ["", "", ""], "Numeric", [None, None, None]),
    ("nan alone", ["nan", "", "NaN"], "Numeric", [None, None, None]),
    ("texts between nan", ["nan", "-nan", "red"], "Categorical", [None, None, 0]),
    ("truth values beside nan", ["nan", "true", "false"], "Boolean", [None, 1, 0]),
    ("dates between nan", ["nan", "nan", "1970-01-02"], "Date", [None, None, 86_400e6]),
]


@pytest.mark.parametrize(("cells", "kind", "wanted"), [case[1:] for case in KINDS], ids=[case[0] for case in KINDS])
def test_what_a_column_holds_is_judged_by_its_cells(tmp_path, cells, kind, wanted):
    table = read(
        tmp_path, "a,b,y\n" + "".join(f"{cell},1,{index}\n" for index, cell in enumerate(cells)), task="regression"
    )
    column = table.features[0]
    assert column.kind == kind
    assert [None if math.isnan(value) else value for value in column.values] == wanted
    # What is written reads back the same.
    rows = "".join(f"{column.text(row)},1,{row}\n" for row in range(3))
    again = read(tmp_path, f"a,b,y\n{rows}", task="regression").features[0]
    np.testing.assert_array_equal(again.values, column.values)


def test_declared_type_comes_before_what_the_cells_look_like(tmp_path):
    table = read(tmp_path, "zip,y\n01234,0\n99999,1\n", task="regression", kinds={"zip": "Categorical"})
    assert table.features[0].categories == ("01234", "99999")
    with pytest.raises(TrainingError, match='line 2, column "zip" holds "a", which is no number'):
        read(tmp_path, "zip,y\na,0\nb,1\n", task="regression", kinds={"zip": "Numeric"})


def test_a_text_after_many_numbers_is_named_with_its_line(tmp_path):
    rows = "".join(f"{index},{index % 2}\n" for index in range(10_050))
    with pytest.raises(TrainingError, match='line 10052, column "a" holds "oops", which is no number'):
        read(tmp_path, f"a,y\n{rows}oops,1\n")


@pytest.mark.parametrize("name", ['a,"b" ; drop', "größe in m²", "a b", "'", "a[1]<2>", '{"x": 1}', "Ω\t"])
def test_names_of_any_kind(tmp_path, name):
    quoted = '"' + name.replace('"', '""') + '"'
    table = read(tmp_path, f"{quoted},b,y\n1,2,0\n3,4,1\n", task="regression")
    assert table.features[0].name == name.strip()


def test_all_but_some_columns(tmp_path):
    table = read(tmp_path, "id,a,b,y\nx,1,2,0\nz,3,4,1\n", task="regression", excluded=("id",))
    assert [column.name for column in table.features] == ["a", "b"]
    with pytest.raises(TrainingError, match=r'no column "ID" of trainer\.tabular\.excludeFeatures'):
        read(tmp_path, "id,a,y\nx,1,0\n", excluded=("ID",))


def test_columns_that_are_not_used_may_hold_anything(tmp_path):
    table = read(tmp_path, "name,a,y\nAda,1,0\nBob,2,1\n", features=("a",), task="regression")
    assert values(table) == [[1, 2]]


@pytest.mark.parametrize("text", ["9999-12-31 23:59:59.9999999", "9999-12-31T23:59:59.999999", "9999-12-31"])
def test_open_end_of_a_period_is_a_date_that_is_written_in_the_same_year(tmp_path, text):
    column = read(tmp_path, f"a,y\n{text},0\n0001-01-01,1\n", task="regression").features[0]
    assert column.text(0).startswith("9999-12-31T")
    assert column.text(1) == "0001-01-01T00:00:00"
    again = read(tmp_path, f"a,y\n{column.text(0)},0\n{column.text(1)},1\n", task="regression").features[0]
    assert again.values.tolist() == column.values.tolist()


def test_cell_of_any_length_may_be_in_a_column(tmp_path):
    text = "x" * 300_000
    table = read(tmp_path, f"a,notes,y\n1,{text},0\n3,{text},1\n", excluded=("notes",), task="regression")
    assert values(table) == [[1, 3]]
    table = read(tmp_path, f"a,notes,y\n1,{text},0\n3,red,1\n", task="regression")
    assert table.features[1].categories == ("red", text)


def test_line_numbers_count_lines_of_quoted_cells(tmp_path):
    with pytest.raises(TrainingError, match=r'line 4, column "a"'):
        read(tmp_path, 'n,a,y\n"two\nlines",1,0\nx,red,1\n', features=("a",))


def parts(zeros, ones, share, seed, test_share=0.0):
    y = np.array([0.0] * zeros + [1.0] * ones)
    return y, split_rows(y, np.arange(len(y)), share, test_share, seed, stratified=True)


def test_same_seed_holds_out_the_same_rows():
    (y, first), (_, again), (_, other) = (parts(30, 20, 0.2, seed) for seed in (1, 1, 2))
    assert first.held_out.tolist() == again.held_out.tolist() != other.held_out.tolist()
    assert sorted([*first.train, *first.held_out]) == list(range(50))
    assert y[first.held_out].tolist().count(1) == 4
    assert first.test.tolist() == first.held_out.tolist()


def test_a_test_part_is_a_share_of_all_rows_and_shared_with_nobody():
    y, split = parts(30, 20, 0.2, 1, test_share=0.4)
    assert (len(split.train), len(split.held_out), len(split.test)) == (20, 10, 20)
    assert sorted([*split.train, *split.held_out, *split.test]) == list(range(50))
    assert [int(y[part].sum()) for part in (split.train, split.held_out, split.test)] == [8, 4, 8]


@pytest.mark.parametrize(
    ("zeros", "ones", "share", "sentence"),
    [
        (3, 1, 0.5, "4 rows cannot be split with evalSplit 0.5"),
        (30, 30, 0.001, "60 rows cannot be split with evalSplit 0.001"),
        (1, 1, 0.5, "2 rows cannot be split with evalSplit 0.5"),
        (98, 2, 0.1, "the 10 held-out rows would all be of one class"),
        (98, 2, 0.9, "the 10 training rows would all be of one class"),
    ],
)
def test_too_few_rows_to_hold_some_out(zeros, ones, share, sentence):
    with pytest.raises(TrainingError) as caught:
        parts(zeros, ones, share, 42)
    assert caught.value.code == ExitCode.DATA
    assert sentence in str(caught.value)


def parquet(path, columns):
    pq.write_table(pa.table(columns), path)


def test_parquet_keeps_its_types(tmp_path):
    day = datetime.date(1970, 1, 2)
    columns = {
        "n": pa.array([1, None, 3], pa.int32()),
        "f": [0.5, None, 2.5],
        "t": ["x", None, 'y "z"'],
        "b": [True, None, False],
        "w": [True, False, True],
        "d": [day, None, datetime.date(1970, 1, 1)],
        "c": pa.array(["u", "v", "u"]).dictionary_encode(),
        "y": [1.0, 2.0, 3.0],
    }
    parquet(tmp_path / "t.parquet", columns)
    table = at((tmp_path / "t.parquet").as_uri(), Selection("y"))
    kinds = {column.name: column.kind for column in table.features}
    assert kinds == {
        "n": "Numeric",
        "f": "Numeric",
        "t": "Categorical",
        "b": "Boolean",
        "w": "Boolean",
        "d": "Date",
        "c": "Categorical",
    }
    known = {c.name: [None if math.isnan(value) else value for value in c.values] for c in table.features}
    assert (known["n"], known["b"], known["d"]) == ([1, None, 3], [1, None, 0], [86_400e6, None, 0])
    assert table.features[2].categories == ("x", 'y "z"')


def test_faults_of_parquet(tmp_path):
    parquet(tmp_path / "t.parquet", {"a": [1.0, math.inf], "l": [[1], [2]], "y": [1.0, 2.0]})
    uri = (tmp_path / "t.parquet").as_uri()
    with pytest.raises(TrainingError, match='row 2, column "a" holds an infinite number'):
        at(uri, Selection("y", ("a",)))
    with pytest.raises(TrainingError, match='column "l" holds list'):
        at(uri, Selection("y", ("l",)))
    content = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(TrainingError, match=r"cannot be read as Parquet: .*; write the file again") as caught:
        at(uri, Selection("y"))
    assert caught.value.code == ExitCode.DATA


def test_names_of_a_parquet_file_are_those_of_its_heldout_csv(tmp_path):
    parquet(tmp_path / "t.parquet", {" age ": [1.0, 2.0], "l ": [[1], [2]], "y\n": [1.0, 2.0]})
    table = at((tmp_path / "t.parquet").as_uri(), Selection("y", ("age",)))
    assert table.features[0].name == "age"
    assert table.target.name == "y"
    with pytest.raises(TrainingError, match='column "l" holds list'):
        at((tmp_path / "t.parquet").as_uri(), Selection("y", ("l",)))
    parquet(tmp_path / "t.parquet", {" age": [1.0], "age ": [2.0], "y": [1.0]})
    with pytest.raises(TrainingError, match='has two columns named "age"'):
        at((tmp_path / "t.parquet").as_uri(), Selection("y"))


MOMENTS = [
    ("us", 253_402_300_799_999_999, None),
    ("us", 253_402_300_800_000_000, 'row 2, column "d" holds a moment outside the years 1 to 9999'),
    ("s", -62_135_596_801, 'row 2, column "d" holds a moment outside the years 1 to 9999'),
    # Microseconds since 1970 would not hold it.
    ("s", 10**14, r'column "d" holds a moment outside the years 1 to 9999 \(Casting'),
]


@pytest.mark.parametrize(("unit", "moment", "sentence"), MOMENTS)
def test_moments_of_parquet_that_no_file_could_be_written_with(tmp_path, unit, moment, sentence):
    parquet(tmp_path / "t.parquet", {"d": pa.array([0, moment], pa.timestamp(unit)), "y": [1.0, 2.0]})
    uri = (tmp_path / "t.parquet").as_uri()
    if sentence is None:
        assert at(uri, Selection("y")).features[0].text(1).startswith("9999-12-31T23:59:59.9999")
        return
    with pytest.raises(TrainingError, match=sentence) as caught:
        at(uri, Selection("y"))
    assert caught.value.code == ExitCode.DATA


def test_parquet_column_that_is_not_used_may_hold_anything(tmp_path):
    parquet(tmp_path / "t.parquet", {"a": [1.0, 2.0], "l": [[1], [2]], "y": [1.0, 2.0]})
    table = at((tmp_path / "t.parquet").as_uri(), Selection("y", ("a",)))
    assert values(table) == [[1, 2]]


def test_what_is_no_excel_file(tmp_path):
    with pytest.raises(TrainingError, match=r"cannot be read as Excel: .*; save it again, or as CSV") as caught:
        read(tmp_path, GOOD, file="t.xlsx")
    assert caught.value.code == ExitCode.DATA


XLSX = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets>'
    "</workbook>",
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship '
    'Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/>'
    "</Relationships>",
}


def excel(path, rows, first="A"):
    """Writes rows, by their number, with their first cell in column `first`."""
    cells = "".join(
        f'<row r="{number}">'
        + "".join(
            f'<c r="{chr(ord(first) + place)}{number}" t="inlineStr"><is><t>{cell}</t></is></c>'
            if isinstance(cell, str)
            else f'<c r="{chr(ord(first) + place)}{number}"><v>{cell}</v></c>'
            for place, cell in enumerate(row)
            if cell is not None
        )
        + "</row>"
        for number, row in rows.items()
    )
    with zipfile.ZipFile(path, "w") as file:
        for name, content in XLSX.items():
            file.writestr(name, content)
        main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        file.writestr(
            "xl/worksheets/sheet1.xml", f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>'
        )


def test_rows_of_an_excel_file_keep_their_numbers(tmp_path):
    path = tmp_path / "t.xlsx"
    rows = {number: (number, "red" if number % 2 else None, 0.5) for number in range(3, CHUNK_ROWS + 10)}
    excel(path, {1: ("a ", "b", "y"), **rows})
    table = at(path.as_uri(), Selection("y"))
    assert table.lines.tolist() == list(rows) == table.features[0].values.tolist()
    assert table.features[1].text(0) == "red"
    assert table.features[1].text(1) == ""
    excel(path, {1: ("a", "y"), 2: (1, 0), 5: ("oops", 1)})
    with pytest.raises(TrainingError, match='row 5, column "a" holds "oops"'):
        at(path.as_uri(), Selection("y"))


def test_names_of_an_excel_file_are_in_its_first_row_from_its_first_column(tmp_path):
    path = tmp_path / "t.xlsx"
    excel(path, {1: ("a", "y"), 2: (1, 0)}, first="B")
    with pytest.raises(TrainingError, match="column 1 has no name"):
        at(path.as_uri(), Selection("y"))
    for rows in ({}, {2: ("a", "y"), 3: (1, 0)}):
        excel(path, rows)
        with pytest.raises(TrainingError, match="has no column names in the first row of its first sheet"):
            at(path.as_uri(), Selection("y"))


def test_excel_file_that_is_too_large_is_refused_before_its_rows_are_read(tmp_path, monkeypatch):
    path = tmp_path / "t.xlsx"
    excel(path, {1: ("a", "y"), 2: (1, 0), 2000: (1, "not read")})
    monkeypatch.setattr(memory, "available_bytes", lambda: memory._BASE)
    with pytest.raises(TrainingError, match=r"has about 1999 rows of 2 columns; training on them takes about 0\.3 GiB"):
        at(path.as_uri(), Selection("y", kinds={"y": "Numeric"}, bytes_per_number=30))
