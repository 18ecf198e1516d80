"""Ratings as data: what is read, what is refused and how, and ranks that pose as ratings."""

import re

import numpy as np
import pytest

from fairhand.models.ratings import RatingData
from fairhand.models.ratings._ordinal import ranks_in_disguise

GIVEN = np.array([[0.2, 0.9, np.nan], [0.5, 0.4, 0.7]])
SENTENCE = "Rankings alone say nothing about a common continuous law."
NAN = np.nan


def test_a_rating_is_a_value_between_the_ends_of_the_scale():
    data = RatingData(GIVEN * 100, scale=(0, 100))
    np.testing.assert_allclose(data.values, GIVEN)
    assert data.num_ratings == 5
    assert data.agent.tolist() == [0, 0, 1, 1, 1]
    assert data.item.tolist() == [0, 1, 0, 1, 2]
    np.testing.assert_array_equal(data.observed()["rating"][1], (GIVEN * 100)[data.rated])


def test_steps_stand_for_all_values_nearest_to_them():
    data = RatingData([[5, 3, 1], [1, 4, 4]], steps=range(1, 6))
    assert data.scale == (0.5, 5.5)
    np.testing.assert_allclose(data.cuts, np.linspace(0, 1, 6))
    assert data.step.tolist() == [4, 2, 0, 0, 3, 3]
    uneven = RatingData([[0.0, 1.0, 4.0], [0.0, 4.0, 4.0]], steps=(0, 1, 4), scale=(0, 4))
    np.testing.assert_allclose(uneven.cuts * 4, [0, 0.5, 2.5, 4])


def test_a_long_table_is_read_in_any_order():
    table = {
        "who": ["b", "a", "b", "a", "a"],
        "what": ["x", "x", "y", "y", "z"],
        "points": [0.5, 0.2, 0.4, 0.9, 0.1],
    }
    data = RatingData.from_long(table, agent="who", item="what", rating="points")
    assert (data.agents, data.items) == (("b", "a"), ("x", "y", "z"))
    np.testing.assert_array_equal(data.ratings, [[0.5, 0.4, NAN], [0.2, 0.9, 0.1]])
    assert data.source == "data frame"


def test_a_file_is_hashed_and_its_faults_are_named_by_line(tmp_path):
    import hashlib

    path = tmp_path / "ratings.csv"
    path.write_text("who,what,points\n1,a,3\n1,b,4\n2,a,5\n\n2,b,1\n3,a,2\n")
    data = RatingData.from_long(path, agent="who", item="what", rating="points", steps=range(1, 6))
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert data.source == "ratings.csv"
    path.write_text(path.read_text() + "3,b,much\n")
    with pytest.raises(ValueError, match=r"^ratings.csv, line 8: column `points` holds 'much', which is not a finite"):
        RatingData.from_long(path, agent="who", item="what", rating="points", steps=range(1, 6))
    path.write_text("")
    with pytest.raises(ValueError, match="ratings.csv is empty: give a header line and one row for each rating"):
        RatingData.from_long(path, agent="who", item="what", rating="points")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": [0.5, 0.2, None, 0.9, 0.1]}, "row with index 2: column `points` holds nothing"),
        ({"what": ["x", "x", "x", "y", "z"]}, "row with index 2: agent `b` rates item `x` a second time"),
        ({"who": ["b", None, "b", "a", "a"]}, "row with index 1: column `who` is empty"),
        ({"points": None}, "has no column `points`: name one of `who`, `what`"),
    ],
)
def test_faults_of_a_long_table_are_named_by_row(change, message):
    table = {"who": list("babaa"), "what": list("xxyyz"), "points": [0.5, 0.2, 0.4, 0.9, 0.1], **change}
    table = {k: v for k, v in table.items() if v is not None}
    with pytest.raises(ValueError, match=re.escape(message)):
        RatingData.from_long(table, agent="who", item="what", rating="points")


@pytest.mark.parametrize(
    ("ratings", "more", "message"),
    [
        ([[0.1, 0.2, NAN], [NAN, 0.3, 0.4]], {}, "holds too few ratings: 4, and a law takes at least 5"),
        (np.full((2, 3), NAN), {}, "holds too few ratings: 0"),
        (np.full((2, 3), 0.5), {}, "is constant: all 6 ratings are 0.5, so the law would have zero variance"),
        (GIVEN * 5, {}, "the rating of item `1` by agent `0` is 4.5, outside `scale` (0.0, 1.0): say `scale=`"),
        (GIVEN - 0.3, {}, "the rating of item `0` by agent `0` is -0.1, outside `scale`"),
        (GIVEN, {"scale": (1, 0)}, "`scale` must be the least and the greatest rating"),
        ([["a", "b"], ["c", "d"]], {}, "`ratings` must be numbers, NaN where there is none; got <U1"),
        ([[True, False], [False, True]], {}, "`ratings` must be numbers"),
        ([[1.0, 2.0], [3.0]], {}, "`ratings` must be [agents, items], one row of equal length an agent"),
        ([0.1, 0.2, 0.3, 0.4, 0.5], {}, "`ratings` must be [agents, items]; got shape (5,)"),
        ([[0.1, np.inf, 0.4], [0.5, 0.2, 0.3]], {}, "the rating of item `1` by agent `0` is infinite"),
        ([[1, 2.5, 5], [3, 3, 4]], {"steps": range(1, 6)}, "is 2.5, which is not one of `steps`"),
        (
            [[1, 2, 5], [3, 3, 4]],
            {"steps": (5, 4, 3, 2, 1)},
            "`steps` must be the ratings one can give, at least two and ascending",
        ),
        ([[1, 2, 5], [3, 3, 4]], {"steps": range(1, 6), "scale": (1, 4.5)}, "outside `scale`"),
        ([[1, 2, 4], [3, 3, 4]], {"steps": range(1, 6), "scale": (1, 4.5)}, "leave `scale`"),
        (GIVEN, {"steps": (1,)}, "`steps` must be the ratings one can give, at least two"),
        (GIVEN, {"agents": ("a",)}, "`agents` must be 2 names; got 1"),
        (GIVEN, {"items": ("a", "b", "a")}, "`items` names ['a'] twice"),
    ],
)
def test_bad_ratings_are_refused_by_name(ratings, more, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        RatingData(ratings, **more)


RANKS = {
    "ranks": [[1, 3, 2], [2, 1, 3]],
    "ranks of one agent": [[2, 1, 4, 3, 5, 6]],
    "ranks from zero": [[0, 2, 1], [1, 0, 2]],
    "points by rank": [[10.0, 4.0, 7.0], [7.0, 10.0, 4.0], [4.0, 7.0, 10.0]],
    "each ranked what they knew": [[1, 3, 2, NAN], [2, NAN, NAN, 1], [NAN, 1, 2, 3]],
    "one ranked nothing": [[1, 3, 2], [2, 1, 3], [NAN, NAN, NAN]],
}


@pytest.mark.parametrize("ranks", RANKS.values(), ids=RANKS)
def test_ranks_in_disguise_are_refused_and_told_what_to_collect(ranks):
    with pytest.raises(ValueError, match=re.escape(SENTENCE)) as caught:
        RatingData(ranks, scale=(0, 10))
    assert "Collect ratings" in str(caught.value)


def test_rankings_are_refused_in_so_many_words():
    for given in ([[0, 1, 2], [2, 1, 0]], None):
        with pytest.raises(ValueError, match=re.escape(SENTENCE)):
            RatingData.from_rankings(given)


@pytest.mark.parametrize(
    "ratings",
    [
        [[1, 3, 2], [2, 1, 4]],  # one of them did not use the ranks
        [[1, 3, 3], [2, 1, 3]],  # ties
        [[5, 5, 4], [4, 5, 5]],  # the same stars, but not all different
        [[0.2, 0.9], [0.9, 0.3]],
        [[1], [1], [1]],  # a single rating is no order
    ],
)
def test_ratings_are_not_taken_for_ranks(ratings):
    assert ranks_in_disguise(np.asarray(ratings, float)) == ""


def test_equal_ratings_hash_equally_and_others_do_not():
    assert RatingData(GIVEN).sha256 == RatingData(GIVEN.copy()).sha256
    assert RatingData(GIVEN).sha256 != RatingData(GIVEN, scale=(0, 2)).sha256


def test_what_is_saved_is_read_again():
    data = RatingData([[5, 3, NAN], [1, 4, 4]], steps=range(1, 6), agents=("a", "b"), items=("x", "y", "z"))
    plain = lambda variables: {name: x for name, (_, x) in variables.items()}
    again = RatingData.from_saved(plain(data.observed()), plain(data.constant()), data.facts())
    np.testing.assert_array_equal(again.ratings, data.ratings)
    for name in ("scale", "steps", "agents", "items", "source", "sha256"):
        assert getattr(again, name) == getattr(data, name)
