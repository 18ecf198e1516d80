"""Attributes of items: matched to ratings by name, kept with them, and refused by file, row and column."""

import re

import numpy as np
import pytest

from fairhand.models.ratings import RatingData

GIVEN = RatingData([[5, 3, 1], [4, 4, np.nan]], steps=range(1, 6), items=("tea", "7", "milk"))
TABLE = {"drink": ["milk", "beer", "7", "tea"], "price": [1.0, 9.0, 2.5, 0.5], "size": [2, 5, 1, 3]}


def described(table=None, columns=("price", "size")):
    return GIVEN.described(TABLE if table is None else table, item="drink", columns=columns)


def test_items_find_their_row_by_name():
    data = described()
    np.testing.assert_array_equal(data.attributes, [[0.5, 3], [2.5, 1], [1, 2]])
    assert data.columns == ("price", "size")
    np.testing.assert_array_equal(data.ratings, GIVEN.ratings)
    assert described(columns="size").attributes.tolist() == [[3], [1], [2]]
    assert GIVEN.attributes.shape == (3, 0)


@pytest.mark.parametrize("file", ["drinks.csv", "drinks.parquet"])
def test_a_file_says_the_same(tmp_path, file):
    import pandas as pd

    path = tmp_path / file
    frame = pd.DataFrame(TABLE)
    (frame.to_parquet if file.endswith("parquet") else frame.to_csv)(path, index=False)
    np.testing.assert_array_equal(described(path).attributes, described().attributes)


def test_attributes_are_kept_and_change_the_hash():
    data = described()
    plain = lambda variables: {name: x for name, (_, x) in variables.items()}
    again = RatingData.from_saved(plain(data.observed()), plain(data.constant()), data.facts())
    np.testing.assert_array_equal(again.attributes, data.attributes)
    assert (again.columns, again.sha256) == (data.columns, data.sha256)
    assert len({GIVEN.sha256, data.sha256, described(columns="size").sha256}) == 3
    built = RatingData([[5, 3, 1], [4, 4, 2]], steps=range(1, 6), attributes=[[1.0], [2], [3]], columns="price")
    other = RatingData([[5, 3, 1], [4, 4, 2]], steps=range(1, 6), attributes=[[1.0], [2], [4]], columns="price")
    assert built.columns == ("price",)
    assert built.sha256 != other.sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": [1.0, 9.0, None, 0.5]}, "data frame, row with index 2: column `price` holds nothing"),
        ({"price": ["1", "9", "2", "free"]}, "data frame, row with index 3: column `price` holds 'free', which is not"),
        ({"drink": ["milk", "beer", "6", "tea"]}, "data frame has no row for item `7` in column `drink`"),
        ({"drink": ["milk", "tea", "7", "tea"]}, "data frame, row with index 3: item `tea` has a row already"),
        ({"drink": ["milk", None, "7", "tea"]}, "data frame, row with index 1: column `drink` is empty"),
    ],
)
def test_faults_are_named_by_row_and_column(change, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        described(TABLE | change)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"attributes": np.ones((2, 1)), "columns": ("price",)},
            "`attributes` must be [items, columns], that is (3, 1)",
        ),
        ({"attributes": np.ones((3, 1))}, "`attributes` must be [items, columns], that is (3, 0); got (3, 1)"),
        ({"attributes": np.ones((3, 2)), "columns": ("a", "a")}, "`columns` names ['a'] twice"),
        ({"attributes": [[1.0], [np.nan], [2.0]], "columns": ("a",)}, "`attributes` must be finite numbers"),
    ],
)
def test_attributes_that_do_not_fit_are_refused(more, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        RatingData([[5, 3, 1], [4, 4, 2]], steps=range(1, 6), **more)


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="data frame has no column `colour`: name one of `drink`, `price`, `size`"):
        described(columns=("price", "colour"))
