"""Rankings as data: what readers understand, and what they refuse by name."""

import doctest
import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fairhand.models.rankings import RankingData

AGH = Path(__file__).parents[2] / ".." / "shared" / "data" / "agh_courses_2003.soc"
HEADER = """# FILE NAME: x
# NUMBER ALTERNATIVES: 4
# NUMBER VOTERS: {voters}
# ALTERNATIVE NAME 1: Ann
# ALTERNATIVE NAME 2: Bo
# ALTERNATIVE NAME 3: Cy
# ALTERNATIVE NAME 4: Di
"""
MENU = ("a", "b", "c", "d")


def write(tmp_path, name, body, voters=5):
    path = tmp_path / name
    path.write_text(HEADER.format(voters=voters) + body)
    return path


def lists(orders, **more):
    return RankingData.from_orders(orders, **{"menu": MENU, "unranked": "below", **more})


# Lists of names.


def test_ties_menus_and_outcomes_become_padded_arrays():
    data = RankingData.from_orders(
        [["c", {"a", "b"}], ["d", "a"]],
        menu=[["a", "b", "c"], ["a", "d"]],
        items=MENU,
        assigned=["c", None],
        feasible=[["a", "c"], []],
    )
    assert data.order.tolist() == [[2, 0, 1], [3, 0, -1]]
    assert data.level.tolist() == [[0, 1, 1], [0, 1, -1]]
    assert data.menu.astype(int).tolist() == [[1, 1, 1, 0], [1, 0, 0, 1]]
    assert data.rank.tolist() == [[1, 1, 0, -1], [1, -1, -1, 0]]
    assert data.assigned.tolist() == [2, -1]
    assert data.feasible.astype(int).tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]


def test_a_whole_weight_becomes_so_many_people():
    data = lists([["a"], ["b", "c"]], weight=[2.0, 1.0], attributes=np.arange(8.0).reshape(2, 4, 1), columns=("x",))
    every = data.expanded()
    assert every.order.tolist() == [[0, -1], [0, -1], [1, 2]]
    assert every.person.tolist() == [0, 1, 2]
    assert every.column("x")[2].tolist() == [4, 5, 6, 7]
    with pytest.raises(ValueError, match="`weight` of ranking .* is not whole"):
        lists([["a"]], weight=[1.5]).expanded()


def test_saved_data_open_the_same():
    data = lists(
        [["c", ("a", "b")], ["d"]],
        attributes=np.arange(8.0).reshape(2, 4, 1),
        columns=("x",),
        person=[0, 0],
        weight=[1.0, 0.5],
        assigned=["c", None],
        feasible=[["a", "c"], []],
    )
    plain = lambda variables: {name: array for name, (_, array) in variables.items()}
    again = RankingData.from_saved(plain(data.observed()), plain(data.constant()), data.facts())
    assert again.sha256 == data.sha256
    assert again.changed(source="x").sha256 == data.changed(source="x").sha256  # taken anew from the arrays
    assert again.changed(weight=None).sha256 != data.changed(source="x").sha256


@pytest.mark.parametrize(
    ("orders", "more", "message"),
    [
        ([["a", "b", "a"]], {}, "ranking 0 lists item `a` twice: keep one place"),
        ([["a"], [("b", "c"), "b"]], {}, "ranking 1 lists item `b` twice"),
        ([["a", "x"]], {}, "the list of ranking 0 names the unknown item `x`"),
        ([["a", "d"]], {"menu": [["a", "b"]], "items": MENU}, "ranking 0 lists item `d`, which is not on its menu"),
        ([["a"], []], {}, "ranking 1 is empty: drop it"),
        ([["a"]], {"menu": [["a"]], "items": MENU}, "ranking 0 has a menu of a single item"),
        ([["a"]], {"menu": ["a"]}, "has the single item"),
        (
            [["a", "b"], ["a"]],
            {"unranked": None, "menu": ["a", "b"]},
            "ranking 1 leaves out items of its menu: say `unr",
        ),
        ([["a"]], {"unranked": "worse"}, '`unranked` must be "below" or "silent"'),
        ([["a"]], {"menu": [["a", "b"], ["a"]]}, "`menu` must be one list of names for all, or one for each of the 1"),
        (["ab"], {}, "ranking 0 must be a list of names"),
        ([], {}, "is empty: give at least one ranking"),
        ([["a"]], {"weight": [-1.0]}, "`weight` of ranking .* is negative"),
        ([["a"]], {"weight": [0.0]}, "all of `weight` is 0"),
        ([["a"]], {"person": [0.5]}, "`person` must be whole numbers"),
        ([["a"]], {"person": [3], "people": ["p"]}, "`person` must be indices from 0 to 0"),
        ([["a"]], {"attributes": np.zeros((3, 1)), "columns": ("x",)}, "`attributes` must be"),
        (
            [["a"]],
            {"attributes": np.full((4, 1), np.nan), "columns": ("x",)},
            "attribute `x` of item `a` is not finite",
        ),
        ([["a"]], {"assigned": ["b"], "feasible": [["a"]]}, "item `b` was assigned, but `feasible` does not hold it"),
        ([["a"]], {"assigned": np.array([7])}, "`assigned` must be an index from 0 to 3"),
        ([["a"]], {"level": np.array([[1]])}, "ranking 0 has a bad `level`"),
        ([["a"]], {"labels": ["one", "two"]}, "`labels` must have one entry for each of the 1 rankings; got 2"),
    ],
)
def test_bad_lists_are_refused_by_name(orders, more, message):
    with pytest.raises(ValueError, match=message):
        lists(orders, **more)


def test_gaps_and_unknown_indices_are_refused():
    menu = np.ones((1, 3), bool)
    with pytest.raises(ValueError, match="ranking 0 has a gap"):
        RankingData(np.array([[0, -1, 1]]), ("a", "b", "c"), menu, "below")
    with pytest.raises(ValueError, match="ranking 0 has an unknown item: `order` must be indices from 0 to 2"):
        RankingData(np.array([[0, 3]]), ("a", "b", "c"), menu, "below")
    with pytest.raises(ValueError, match="item .* is named twice"):
        RankingData(np.array([[0, 1]]), ("a", "b", "a"), menu, "below")
    with pytest.raises(ValueError, match="has no attribute `cost`"):
        RankingData(np.array([[0, 1, 2]]), ("a", "b", "c"), menu).column("cost")


# Long tables.

TABLE = pd.DataFrame(
    {
        "who": ["p", "p", "p", "q", "q", "q"],
        "what": ["a", "b", "c", "c", "b", "d"],
        "rank": [2, 1, None, 1, None, 3],
        "cost": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "got": [0, 1, 0, 0, 0, 0],
        "can": [1, 1, 0, 1, 1, 1],
        "w": [1.0, 1.0, 1.0, 2.0, 2.0, 2.0],
    }
)
ROLES = {"ranking": "who", "item": "what", "rank": "rank", "menu": "rows", "unranked": "below"}


def test_a_long_table_is_read_with_its_rows_as_menus():
    data = RankingData.from_long(
        TABLE, **ROLES, attributes="cost", person="who", weight="w", assigned="got", feasible="can"
    )
    assert data.items == MENU
    assert data.order.tolist() == [[1, 0], [2, 3]]
    assert data.menu.astype(int).tolist() == [[1, 1, 1, 0], [0, 1, 1, 1]]
    assert data.column("cost").tolist() == [[1, 2, 3, 0], [0, 5, 4, 6]]
    assert data.assigned.tolist() == [1, -1]
    assert data.feasible.astype(int).tolist() == [[1, 1, 0, 0], [0, 1, 1, 1]]
    assert (data.weight.tolist(), data.people.tolist()) == ([1.0, 2.0], ["p", "q"])


def test_menus_may_be_stated_beside_the_table():
    kept = {**ROLES, "menu": "all"}
    assert RankingData.from_long(TABLE, **kept).menu.all()
    named = RankingData.from_long(TABLE, **{**ROLES, "menu": ["a", "b", "c", "d", "e"]}, items=(*MENU, "e"))
    assert named.menu.all()
    with pytest.raises(ValueError, match="row with index 5: item `d` is ranked, but it is not on `menu`"):
        RankingData.from_long(TABLE, **{**ROLES, "menu": ["a", "b", "c"]})
    with pytest.raises(ValueError, match='`menu` must be "rows", "all" or a list'):
        RankingData.from_long(TABLE, **{**ROLES, "menu": "everything"})
    with pytest.raises(ValueError, match="row with index 0: ranking p has no row for item `d`, which is on its menu"):
        RankingData.from_long(TABLE, **kept, attributes="cost")


def test_equal_ranks_are_ties_only_if_called_so(tmp_path):
    path = tmp_path / "lists.csv"
    TABLE.assign(rank=[1, 1, None, 1, None, 3]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"lists.csv, line 3: items `a` and `b` of ranking p share rank 1"):
        RankingData.from_long(path, **ROLES)
    assert RankingData.from_long(path, **ROLES, ties=True).level.tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        ({"rank": ["2", "best", None, "1", None, "3"]}, {}, "index 1: column `rank` holds 'best', which is no rank"),
        ({"rank": [None, None, None, 1, 2, 3]}, {}, "index 0: ranking p ranks nothing"),
        ({"what": ["a", "b", "a", "c", "b", "d"]}, {}, "index 2: item `a` appears twice in ranking p"),
        ({}, {"items": ("a", "b", "c")}, "index 5: item `d` in column `what` is not in `items`"),
        ({}, {"person": "nobody"}, "has no column `nobody`"),
        ({"w": [1.0, 2.0, 1.0, 1.0, 1.0, 1.0]}, {"weight": "w"}, "index 1: column `w` changes within a ranking"),
        ({"got": [1, 1, 0, 0, 0, 0]}, {"assigned": "got"}, "index 1: ranking p has a second item in column `got`"),
        ({"can": [1, 2, 0, 1, 1, 1]}, {"feasible": "can"}, "index 1: column `can` holds '2': write 1 for yes"),
        ({"cost": [1, 2, None, 4, 5, 6]}, {"attributes": "cost"}, "index 2: column `cost` holds nothing"),
    ],
)
def test_bad_tables_are_refused_by_row(change, more, message):
    with pytest.raises(ValueError, match=message):
        RankingData.from_long(TABLE.assign(**change), **ROLES, **more)


# PrefLib.


def test_the_agh_file_holds_146_rankings_of_9_courses():
    if not AGH.exists():
        pytest.skip("the file is not here")
    data = RankingData.from_preflib(AGH)
    assert (data.num_rankings, len(data.items), data.menu.all()) == (146, 9, True)
    assert data.items[0] == "Course 1"
    assert (data.order[:4] == data.order[0]).all()
    assert data.order[0].tolist() == [8, 1, 4, 5, 6, 7, 3, 2, 0]
    assert len(np.unique(data.order, axis=0)) == 123


def test_ties_and_counts_are_read(tmp_path):
    data = RankingData.from_preflib(write(tmp_path, "x.toc", "3: 2,{1,3},4\n2: {1,2,3,4}\n"))
    assert data.num_rankings == 5
    assert data.order[0].tolist() == [1, 0, 2, 3]
    assert data.level[[0, 4]].tolist() == [[0, 1, 1, 2], [0, 0, 0, 0]]
    assert data.labels[2] == "line 8, 3"


def test_incomplete_lists_need_a_stated_menu(tmp_path):
    path = write(tmp_path, "x.soi", "3: 2,1\n2: 1,2,3,4\n")
    with pytest.raises(ValueError, match=r'x.soi, line 8: the list leaves out alternatives.*`menu="all"`'):
        RankingData.from_preflib(path)
    with pytest.raises(ValueError, match="leaves out items of its menu: say `unranked="):
        RankingData.from_preflib(path, menu="all")
    assert RankingData.from_preflib(path, menu="all", unranked="below").menu.all()
    assert RankingData.from_preflib(path, menu="listed").menu[0].tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("x.soc", "5: 2,1,3,3\n", "x.soc, line 8: alternative 3 is listed twice"),
        ("x.soc", "5: 2,1,3,5\n", r"x.soc, line 8: alternative \['5'\] has no ALTERNATIVE NAME"),
        (
            "x.soc",
            "5: 2,1\n",
            "x.soc, line 8: a .soc file holds orders that are strict, complete; this one lists 2 of 4",
        ),
        ("x.soc", "5: 2,{1,3},4\n", "line 8: a .soc file .* with ties"),
        ("x.soc", "4: 2,1,3,4\n", "says NUMBER VOTERS 5, but its lines count 4"),
        ("x.soc", "0: 2,1,3,4\n", "line 8: '0: 2,1,3,4' is no ranking: write how many"),
        ("x.soc", "2,1,3,4\n", "line 8: '2,1,3,4' is no ranking"),
        ("x.toc", "5: 2,{1,3,4\n", "line 8: the order breaks at '{1,3,4'"),
        ("x.toc", "5: 2,{1,x},4\n", "line 8: the tie '{1,x}' must hold numbers"),
        ("x.soc", "5:\n", "line 8: the ranking is empty"),
        ("x.soc", "5: 2,1,,4\n", "line 8: the order breaks at ',4'"),
        ("x.soc", "", "x.soc holds no ranking"),
        ("x.pb", "5: 2,1,3,4\n", "x.pb is no file of orders"),
        ("x.soi", "5: 2\n", "line 8: the list leaves out"),
    ],
)
def test_bad_files_are_refused_by_line(tmp_path, name, body, message):
    with pytest.raises(ValueError, match=message):
        RankingData.from_preflib(write(tmp_path, name, body))


def test_other_faults_of_files_are_named(tmp_path):
    single = write(tmp_path, "x.soi", "5: 2\n")
    with pytest.raises(ValueError, match=r'line 8: with `menu="listed"` this list of one alternative says nothing'):
        RankingData.from_preflib(single, menu="listed")
    old = tmp_path / "old.soc"
    old.write_text("4\n1,Ann\n")
    with pytest.raises(ValueError, match="old.soc, line 1: the header is missing, as in PrefLib's format before 2022"):
        RankingData.from_preflib(old)
    with pytest.raises(ValueError, match="nowhere.soc cannot be opened"):
        RankingData.from_preflib(tmp_path / "nowhere.soc")
    short = tmp_path / "short.soc"
    short.write_text("# NUMBER ALTERNATIVES: 3\n# ALTERNATIVE NAME 1: Ann\n1: 1\n")
    with pytest.raises(ValueError, match="says NUMBER ALTERNATIVES 3, but names 1"):
        RankingData.from_preflib(short)


@pytest.mark.parametrize("name", ["data", "reports"])
def test_examples_run(name):
    module = importlib.import_module(f"fairhand.models.rankings.{name}")
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 0
    assert found.failed == 0
