"""From columns to a matrix: what is learnt is learnt from the training rows alone, and goes through a file unchanged."""

import math
import tracemalloc

import numpy as np
import pytest

from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.tabular.data.column import Column
from trainingjob.tabular.data.pipeline import fit, read_pipeline
from trainingjob.tabular.data.preprocessing import Preprocessing

NAN = math.nan
NUMBERS = Column("n", "Numeric", np.array([1.0, NAN, 3.0, 5.0, 3.0, 1000.0, NAN]))
COLORS = Column("c", "Categorical", np.array([0.0, 1.0, NAN, 0.0, 0.0, 2.0, NAN]), ("blue", "grün", "red"))
FLAGS = Column("b", "Boolean", np.array([1.0, 1.0, 0.0, NAN, 1.0, 0.0, NAN]))
# 2026-01-31, a Saturday, and 1969-12-31, a Wednesday.
DAYS = Column("d", "Date", np.array([1769817600e6, -86400e6, NAN, 1769817600e6, 0.0, -1.0, NAN]))
TRAIN = np.arange(5)
LATER = np.array([5, 6])


def fitted(*columns, encoding="OneHot", scaling="None", train=TRAIN, **chosen):
    pipeline, notes = fit(columns, train, Preprocessing(**chosen), encoding, scaling)
    return pipeline, notes


FILLS = [
    ({"imputing": "Mean"}, 3.0),
    ({"imputing": "Median"}, 3.0),
    ({"imputing": "MostFrequent"}, 3.0),
    ({"imputing": "Constant", "fill_value": "-7.5"}, -7.5),
]


@pytest.mark.parametrize(("chosen", "fill"), FILLS, ids=[chosen["imputing"] for chosen, _ in FILLS])
def test_missing_numbers_get_what_the_training_rows_say(chosen, fill):
    pipeline, _ = fitted(NUMBERS, **chosen)
    assert pipeline.transform((NUMBERS,), TRAIN).x[:, 0].tolist() == [1, fill, 3, 5, 3]
    # A thousand among the held-out rows changes nothing.
    assert pipeline.transform((NUMBERS,), LATER).x[:, 0].tolist() == [1000, fill]


def test_native_leaves_missing_numbers_missing():
    x = fitted(NUMBERS, imputing="Native")[0].transform((NUMBERS,), TRAIN).x
    assert np.isnan(x[:, 0]).tolist() == [False, True, False, False, False]


def test_drop_leaves_rows_out_and_says_which_stay():
    pipeline, _ = fitted(NUMBERS, COLORS, train=np.array([0, 3, 4, 5]), imputing="Drop")
    matrix = pipeline.transform((NUMBERS, COLORS), np.arange(7))
    assert matrix.kept.tolist() == [0, 3, 4, 5]
    assert len(matrix.x) == 4


SCALES = [
    ("Standard", [-1.58113883, 0, 1.58113883]),
    ("MinMax", [0, 0.5, 1]),
    # Quartiles that are the same are nothing to divide by.
    ("Robust", [-2, 0, 2]),
    ("None", [1, 3, 5]),
]


@pytest.mark.parametrize(("scaling", "wanted"), SCALES, ids=[scaling for scaling, _ in SCALES])
def test_scaling_is_that_of_the_training_rows(scaling, wanted):
    column = Column("n", "Numeric", np.array([1.0, 3.0, 3.0, 3.0, 5.0, 3000.0]))
    pipeline, _ = fitted(column, scaling=scaling)
    found = pipeline.transform((column,), np.array([0, 1, 4])).x[:, 0]
    assert found == pytest.approx(wanted)


def test_truth_values_are_not_scaled_and_have_no_mean():
    pipeline, _ = fitted(FLAGS, scaling="Standard")
    assert pipeline.transform((FLAGS,), np.arange(7)).x[:, 0].tolist() == [1, 1, 0, 1, 1, 0, 1]


def test_one_hot_has_a_column_for_each_text_of_the_training_rows():
    pipeline, _ = fitted(COLORS)
    matrix = pipeline.transform((COLORS,), np.arange(7))
    assert matrix.names == ("c=blue", "c=grün")
    # A missing text is the most frequent one; "red" was never seen and is none of them.
    assert matrix.x.tolist() == [[1, 0], [0, 1], [1, 0], [1, 0], [1, 0], [0, 0], [1, 0]]


def test_ordinal_puts_what_it_has_not_seen_after_the_rest():
    matrix = fitted(COLORS, encoding="Ordinal")[0].transform((COLORS,), np.arange(7))
    assert (matrix.names, matrix.categorical) == (("c",), ())
    assert matrix.x[:, 0].tolist() == [0, 1, 0, 0, 0, 2, 0]


def test_native_codes_are_named_as_such_and_unseen_ones_are_missing():
    pipeline, _ = fitted(NUMBERS, COLORS, encoding="Native", imputing="Native")
    matrix = pipeline.transform((NUMBERS, COLORS), np.arange(7))
    assert matrix.categorical == (1,)
    assert [None if math.isnan(code) else code for code in matrix.x[:, 1]] == [0, 1, None, 0, 0, None, None]


def test_constant_text_is_a_category_of_its_own():
    pipeline, _ = fitted(COLORS, imputing="Constant", fill_value="?")
    matrix = pipeline.transform((COLORS,), np.arange(3))
    assert matrix.names == ("c=?", "c=blue", "c=grün")
    assert matrix.x[2].tolist() == [1, 0, 0]


def test_codes_follow_texts_and_not_their_places_in_another_file():
    pipeline, _ = fitted(COLORS, encoding="Ordinal")
    other = Column("c", "Categorical", np.array([0.0, 1.0, 2.0]), ("amber", "blue", "grün"))
    assert pipeline.transform((other,), np.arange(3)).x[:, 0].tolist() == [2, 0, 1]


def test_a_date_is_day_month_and_weekday():
    matrix = fitted(DAYS, imputing="Native")[0].transform((DAYS,), np.array([0, 1, 4]))
    assert matrix.names == ("d (day)", "d (month)", "d (weekday)")
    assert matrix.x.tolist() == [[20484, 1, 5], [-1, 12, 2], [0, 1, 3]]


def test_columns_that_say_nothing_are_left_out_and_named():
    empty = Column("empty", "Numeric", np.array([NAN, NAN, NAN, NAN, NAN, 4.0, 5.0]))
    same = Column("same", "Numeric", np.array([2.0, 2.0, 2.0, NAN, 2.0, 4.0, 5.0]))
    pipeline, notes = fitted(NUMBERS, empty, same)
    assert [feature.name for feature in pipeline.features] == ["n"]
    assert notes == [
        'column "empty" has no value in the training rows and is left out',
        'column "same" has one value in all training rows and is left out',
    ]
    with pytest.raises(TrainingError, match=r"no column can be learnt from: .*; add columns that vary") as caught:
        fitted(empty, same)
    assert caught.value.code == ExitCode.DATA


def test_a_gap_says_something_where_it_stays():
    gaps = Column("gaps", "Numeric", np.array([2.0, 2.0, NAN, 2.0, NAN]))
    pipeline, notes = fitted(NUMBERS, gaps, imputing="Native")
    assert ([feature.name for feature in pipeline.features], notes) == (["n", "gaps"], [])


def test_too_many_texts_for_a_column_each():
    keys = Column("id", "Categorical", np.arange(2000.0), tuple(f"k{index:04}" for index in range(2000)))
    with pytest.raises(TrainingError, match=r'column "id" has 2000 .*, too many for a .*encoding: Ordinal'):
        fitted(keys, train=np.arange(2000))


def test_fill_value_that_is_no_number():
    with pytest.raises(TrainingError, match='fillValue: "none" is no number, as the Numeric column "n" needs'):
        fitted(NUMBERS, imputing="Constant", fill_value="none")


@pytest.mark.parametrize("encoding", ["OneHot", "Ordinal", "Native"])
@pytest.mark.parametrize("imputing", ["Mean", "Native"])
def test_what_is_read_from_the_file_does_the_same_to_the_last_bit(tmp_path, encoding, imputing):
    columns = (NUMBERS, COLORS, FLAGS, DAYS)
    pipeline, _ = fitted(*columns, encoding=encoding, scaling="Standard", imputing=imputing)
    pipeline.write(tmp_path)
    again = read_pipeline(tmp_path)
    assert again == pipeline
    for rows in (TRAIN, LATER):
        np.testing.assert_array_equal(again.transform(columns, rows).x, pipeline.transform(columns, rows).x)


def test_one_hot_columns_are_filled_without_a_second_copy():
    texts = tuple(f"{index:03}" for index in range(500))
    column = Column("c", "Categorical", np.tile(np.arange(500, dtype=np.float64), 20), texts)
    rows = np.arange(10_000)
    pipeline, _ = fitted(column, train=rows)
    tracemalloc.start()
    x = pipeline.transform((column,), rows).x
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert x.sum() == 10_000
    assert peak < 1.1 * x.nbytes
