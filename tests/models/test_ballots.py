"""Pabulib files: what each type of vote becomes, tallies that the files state themselves, and faults by line and column."""

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from fairhand.models.ballots import Ballots

NAN = np.nan
DATA = Path(__file__).parents[3] / "shared/data"

HEAD = "META\nkey;value\ndescription;Town; and around\nvote_type;{kind}\nbudget;100\n{more}"
BODY = '''PROJECTS
project_id;cost;votes;name
p;60;2;Park
q;50.5;2;"Quay; ""north"""
r;1e2;0;Road
VOTES
voter_id;age;vote;points
1;34;q,p;{one}
2;;p;{two}
7;50;q;{three}
'''


def write(tmp_path, kind="cumulative", more="max_sum_points;10\n", points=("6,4", "3", "10"), change=()):
    one, two, three = points
    text = HEAD.format(kind=kind, more=more) + BODY.format(one=one, two=two, three=three)
    for old, new in change:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "town.pb"
    path.write_text(text, encoding="utf-8")
    return path


VOTES = {
    "approval": [[1, 1, 0], [1, 0, 0], [0, 1, 0]],
    "ordinal": [[2, 1, NAN], [1, NAN, NAN], [NAN, 1, NAN]],
    "cumulative": [[4, 6, 0], [3, 0, 0], [0, 10, 0]],
    "scoring": [[4, 6, NAN], [3, NAN, NAN], [NAN, 10, NAN]],
}


@pytest.mark.parametrize("kind", VOTES)
def test_what_a_vote_holds_depends_on_its_type(tmp_path, kind):
    ballots = Ballots.from_pabulib(write(tmp_path, kind))
    np.testing.assert_array_equal(ballots.votes, VOTES[kind])
    assert ballots.vote_type == kind
    assert ballots.projects == ("p", "q", "r")
    assert ballots.cost.tolist() == [60, 50.5, 100]
    assert (ballots.budget, ballots.voters) == (100, ("1", "2", "7"))
    assert ballots.voter_facts["age"].tolist() == ["34", "", "50"]
    assert ballots.project_facts["name"].tolist() == ["Park", 'Quay; "north"', "Road"]
    assert ballots.meta["description"] == "Town; and around"
    assert (ballots.source, len(ballots.sha256)) == ("town.pb", 64)


def test_a_score_that_is_stated_stands_for_what_was_not_named(tmp_path):
    ballots = Ballots.from_pabulib(write(tmp_path, "scoring", "default_score;-1\n"))
    np.testing.assert_array_equal(ballots.votes, [[4, 6, -1], [3, -1, -1], [-1, 10, -1]])


def test_orders_are_best_first(tmp_path):
    assert Ballots.from_pabulib(write(tmp_path, "ordinal")).orders() == [["q", "p"], ["p"], ["q"]]


def test_points_become_ratings(tmp_path):
    data = Ballots.from_pabulib(write(tmp_path)).ratings()
    np.testing.assert_array_equal(data.ratings, VOTES["cumulative"])
    assert (data.scale, data.agents, data.items) == ((0.0, 10.0), ("1", "2", "7"), ("p", "q", "r"))
    change = [("1;34;q,p;", "1;34;q,p,r;"), ("7;50;q;", "7;50;q,r;")]
    some = Ballots.from_pabulib(write(tmp_path, "scoring", "max_points;5\n", ("5,4,1", "3", "2,2"), change)).ratings()
    np.testing.assert_array_equal(some.ratings, [[4, 5, 1], [3, NAN, NAN], [NAN, 2, 2]])
    assert some.scale == (0.0, 5.0)
    steps = Ballots.from_pabulib(write(tmp_path)).ratings(steps=range(11))
    assert steps.step.tolist() == [4, 6, 0, 3, 0, 0, 0, 10, 0]


@pytest.mark.parametrize("kind", ["approval", "ordinal"])
def test_votes_without_points_are_no_ratings(tmp_path, kind):
    with pytest.raises(ValueError, match=f"town.pb: votes are {kind}, which hold no points"):
        Ballots.from_pabulib(write(tmp_path, kind)).ratings()


def test_votes_without_order_are_no_orders(tmp_path):
    with pytest.raises(ValueError, match=r"town.pb: votes are cumulative, which order projects with ties if at all"):
        Ballots.from_pabulib(write(tmp_path)).orders()
    with pytest.raises(ValueError, match=r"town.pb: META does not state `max_points`: say `scale=`"):
        Ballots.from_pabulib(write(tmp_path, "scoring", "")).ratings()


def test_line_ends_blank_lines_and_marks_do_not_matter(tmp_path):
    path = write(tmp_path)
    same = Ballots.from_pabulib(path)
    text = path.read_text().replace("PROJECTS\n", "\nprojects;;\n").replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    again = Ballots.from_pabulib(path)
    np.testing.assert_array_equal(again.votes, same.votes)
    assert again.meta == same.meta


FAULTS = {
    "an unknown project": ([("2;;p;3", "2;;x;3")], "town.pb, line 15, column `vote`: project ['x'] is not in section"),
    "a project twice": ([("1;34;q,p;", "1;34;q,q;")], "town.pb, line 14, column `vote`: project ['q'] is named twice"),
    "too many points": (
        [("q;10\n", "q;11\n")],
        "town.pb, line 16, column `points`: 11 points in all, but `max_sum_points`",
    ),
    "points that are none": ([("p;3\n", "p;three\n")], "town.pb, line 15, column `points`: 'three' is not a number"),
    "points for another number of projects": (
        [("6,4", "6,3,1")],
        "town.pb, line 14, column `points`: 3 numbers for 2 projects",
    ),
    "a cost that is none": ([("p;60;", "p;6O;")], "town.pb, line 9, column `cost`: '6O' is not a number"),
    "no cost": ([("r;1e2;", "r;;")], "town.pb, line 11, column `cost`: nothing is not a number"),
    "a negative cost": ([("r;1e2;", "r;-3;")], "town.pb, line 11, column `cost`: the cost is negative: -3"),
    "an infinite budget": ([("budget;100", "budget;inf")], "town.pb, line 5, column `value`: 'inf' is not a number"),
    "a negative budget": ([("budget;100", "budget;-1")], "town.pb, line 5, column `value`: the budget is negative"),
    "no budget": ([("budget;100\n", "")], "town.pb: section META has no `budget`: add the line"),
    "no type": ([("vote_type;cumulative\n", "")], "town.pb: section META has no `vote_type`"),
    "another type": ([("cumulative", "score")], "town.pb, line 4, column `value`: vote_type 'score' is unknown"),
    "a section that is missing": ([("VOTES\nvoter_id", "voter_id")], "town.pb has no section VOTES"),
    "no votes": (
        [("VOTES\nvoter_id;age;vote;points\n1;34;q,p;6,4\n2;;p;3\n7;50;q;10\n", "")],
        "town.pb has no section VOTES: a .pb file has META, PROJECTS and VOTES.",
    ),
    "an empty section": (
        [("1;34;q,p;6,4\n2;;p;3\n7;50;q;10\n", "")],
        "town.pb: section VOTES is empty: the file may be cut short.",
    ),
    "a section twice": ([("VOTES\n", "META\nVOTES\n")], "town.pb, line 12: section META stands a second time"),
    "no section at all": ([("META\n", "")], "town.pb, line 1: 'key' stands before section META"),
    "a column that is missing": ([("voter_id;", "who;")], "town.pb, line 13: section VOTES has no column `voter_id`"),
    "a column twice": ([("age;vote", "vote;vote")], "town.pb, line 13: section VOTES has two columns ['vote']"),
    "no points": ([("vote;points", "vote;purse")], "town.pb: section VOTES has no column `points`"),
    "a project that stands twice": ([("q;50.5", "p;50.5")], "town.pb, line 10, column `project_id`: 'p' stands here a"),
    "a voter twice": (
        [("7;50", "2;50")],
        "town.pb, line 16, column `voter_id`: '2' voted a second time, after line 15",
    ),
    "no voter": ([("7;50", ";50")], "town.pb, line 16, column `voter_id` is empty"),
    "a semicolon out of quotes": ([(";Park", ";Park; south")], "town.pb, line 9: 5 entries under 4 columns"),
}


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=FAULTS)
def test_faults_are_named_by_line_and_column(tmp_path, change, message):
    path = write(tmp_path, change=change)
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        Ballots.from_pabulib(path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "num_votes;4\n",
            "town.pb, line 6, column `value`: `num_votes` is 4, but there are 3: the file may be cut short",
        ),
        ("num_projects;2\n", "`num_projects` is 2, but there are 3"),
        ("max_points;9\n", "town.pb, line 16, column `points`: 10 points to a project, but `max_points` in META is 9"),
        ("min_points;4\n", "town.pb, line 15, column `points`: 3 points to a project, but `min_points` in META is 4"),
        ("min_sum_points;5\n", "town.pb, line 15, column `points`: 3 points in all, but `min_sum_points` in META is 5"),
        ("max_length;1\n", "town.pb, line 14, column `vote`: 2 projects, but `max_length` in META is 1"),
        ("budget;3\n", "town.pb, line 6, column `key`: 'budget' stands here a second time, after line 5"),
    ],
)
def test_what_meta_states_is_held_to(tmp_path, more, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Ballots.from_pabulib(write(tmp_path, more=more))


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"^no.pb cannot be opened \(No such file"):
        Ballots.from_pabulib(tmp_path / "no.pb")
    path = tmp_path / "town.pb"
    path.write_bytes(b"META\nkey;value\ndescription;\xff\n")
    with pytest.raises(ValueError, match=r"^town.pb is not UTF-8 \(invalid start byte at byte 27\)"):
        Ballots.from_pabulib(path)
    path.write_text('META\nkey;value\ndescription;"' + "x;" * 100_000)
    with pytest.raises(ValueError, match=r"^town.pb, line 3: field larger than field limit"):
        Ballots.from_pabulib(path)


def test_arrays_that_do_not_fit_are_refused():
    given = {"projects": ("p", "q"), "cost": np.ones(2), "budget": 1.0, "voters": ("1",), "votes": np.zeros((1, 2))}
    assert Ballots("approval", **given).votes.shape == (1, 2)
    with pytest.raises(ValueError, match="`vote_type` must be one of approval"):
        Ballots("approved", **given)
    with pytest.raises(ValueError, match=r"`votes` must be \[voters, projects\] and `cost` \[projects\]"):
        Ballots("approval", **(given | {"voters": ("1", "2")}))


@pytest.mark.parametrize(
    ("file", "projects", "voters", "budget", "largest"),
    [("pb_czestochowa_2020_grabowka.pb", 8, 201, 225_862, 10), ("pb_toulouse_2019.pb", 30, 1494, 1_000_000, 7)],
)
def test_real_files_agree_with_their_own_tallies(file, projects, voters, budget, largest):
    path = DATA / file
    if not path.exists():
        pytest.skip("snapshot data are not here")
    ballots = Ballots.from_pabulib(path)
    assert ballots.votes.shape == (voters, projects)
    assert (ballots.vote_type, ballots.budget) == ("cumulative", budget)
    assert (ballots.votes > 0).sum(0).tolist() == ballots.project_facts["votes"].astype(int).tolist()
    if "score" in ballots.project_facts:
        assert ballots.votes.sum(0).tolist() == ballots.project_facts["score"].astype(float).tolist()
    assert ballots.votes.sum(1).max() == largest
    assert ballots.ratings().num_ratings == voters * projects


def test_examples_run():
    for module in ("ballots",):
        found = doctest.testmod(importlib.import_module(f"fairhand.models.ballots.{module}"))
        assert found.failed == 0
        assert found.attempted > 0
