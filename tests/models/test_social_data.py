"""Comparisons of allocations: gaps with their sign and norm, reading with faults named, and what is kept in a file."""

import doctest
import importlib
import re
from typing import Any

import numpy as np
import pytest

from fairhand.models.social import COLUMNS_OF_BFS, SocialChoiceData, Traits, alpha_of_offer, gaps, offer_of_alpha

TABLE = {
    "sid": [7, 7, 3],
    "choice_x": [1, 0, 1],
    "self_x": [8, 2, 5],
    "self_y": [5, 4, 5],
    "other_x": [2, 9, 0],
    "other_y": [5, 9, 5],
    "q": [0, 1, 0],
    "v": [0, 0, 1],
}
COLUMNS: dict[str, Any] = COLUMNS_OF_BFS


def test_behind_is_others_richer_and_both_are_averages_over_the_others():
    payoffs = np.random.default_rng(0).uniform(0, 10, (5, 2, 4))
    payoffs[2, :, 3] = np.nan  # three players only
    who = np.array([0, 1, 2, 3, 0])
    own, behind, ahead = gaps(payoffs, who)
    for s in range(5):
        for o in range(2):
            mine, others = (
                payoffs[s, o, who[s]],
                [k for k in range(4) if k != who[s] and not np.isnan(payoffs[s, o, k])],
            )
            assert own[s, o] == mine
            assert behind[s, o] == pytest.approx(np.mean([max(payoffs[s, o, k] - mine, 0) for k in others]))
            assert ahead[s, o] == pytest.approx(np.mean([max(mine - payoffs[s, o, k], 0) for k in others]))
    assert gaps([[[3.0]]])[1].item() == 0  # nobody else


def test_a_table_is_read_by_its_columns():
    data = SocialChoiceData.from_table(TABLE, **COLUMNS, unit="francs")
    assert data.people.tolist() == ["7", "3"]
    assert data.person.tolist() == [0, 0, 1]
    assert data.chosen.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(data.behind, [[0, 0], [7, 5], [0, 0]])
    np.testing.assert_array_equal(data.ahead, [[6, 0], [0, 0], [5, 0]])
    assert data.kind.tolist() == [0, 1, 0]
    assert data.plain.tolist() == [True, False, False]
    assert data.scale == pytest.approx(np.sqrt((9 + 4 + 0) / 3))
    some = SocialChoiceData.from_table(TABLE, **COLUMNS, without=[7])
    assert some.people.tolist() == ["3"]
    assert some.situations.tolist() == [2]
    assert data.where(data.person == 1).people.tolist() == ["3"]
    assert data.where(data.person == 1).sha256 != data.sha256


def test_two_others_are_two_columns_an_option(tmp_path):
    path = tmp_path / "three.csv"
    path.write_text("took,me_a,me_b,p_a,p_b,q_a,q_b\n1,5,4,9,4,1,4\n0,3,3,3,0,3,9\n")
    both = {"own": ("me_a", "me_b"), "others": (("p_a", "q_a"), ("p_b", "q_b"))}
    data = SocialChoiceData.from_table(path, choice="took", **both)
    np.testing.assert_array_equal(data.behind, [[2, 0], [0, 3]])
    np.testing.assert_array_equal(data.ahead, [[2, 0], [0, 1.5]])
    assert (data.source, len(data.sha256)) == ("three.csv", 64)
    again = SocialChoiceData.from_saved(
        {"chosen": data.observed()["chosen"][1]}, {n: x for n, (_, x) in data.constant().items()}, data.facts()
    )
    assert again.sha256 == data.sha256
    np.testing.assert_array_equal(again.behind, data.behind)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"choice_x": [1, 2, 1]}, "row with index 1: column `choice_x` holds '2': write 1 where the first option"),
        ({"self_y": [5, "x", 5]}, "row with index 1: column `self_y` holds 'x', which is not a finite number"),
        ({"other_y": [5, None, 5]}, "row with index 1: column `other_y` holds nothing"),
        ({"q": [0, 3, 0]}, "row with index 1: column `q` holds '3'"),
        ({"sid": [7, None, 3]}, "row with index 1: column `sid` is empty"),
    ],
)
def test_a_fault_in_a_table_is_named_by_its_row(change, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        SocialChoiceData.from_table(TABLE | change, **COLUMNS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"own": ("self_x",)}, "`own` must name two columns"),
        ({"others": ("other_x", ("other_y", "self_y"))}, "as many columns"),
        ({"others": "other_x"}, "`others` must have two entries"),
        ({"choice": "took"}, "has no column `took`"),
        ({"without": [9]}, "`without` names ['9']"),
        ({"without": [7, 3]}, "leaves nobody"),
        ({"person": None, "without": [7]}, "say with `person=`"),
    ],
)
def test_a_fault_in_the_call_is_named(change, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        SocialChoiceData.from_table(TABLE, **{**COLUMNS, **change})


PAIR = np.array([[[5.0, 1.0], [3.0, 3.0]]])


@pytest.mark.parametrize(
    ("payoffs", "chosen", "fields", "said"),
    [
        ("words", [], {}, "`payoffs` must be an array or list of real numbers"),
        ([[[1.0, 2.0], [1.0]]], [0], {}, "`payoffs` must be an array or list of real numbers"),
        (PAIR, [0], {"unkind": "words"}, "`unkind` must be an array or list of real numbers"),
        (np.zeros((0, 2, 2)), [], {}, "is empty"),
        (np.zeros((1, 3, 2)), [0], {}, "2 options"),
        (PAIR * np.inf, [0], {}, "must be finite"),
        (PAIR[..., :1], [0], {}, "at least two of them"),
        (np.where([[[False, True], [False, False]]], np.nan, PAIR), [0], {}, "same players in both options"),
        (PAIR, [2], {}, "`chosen` of situation 0 must be 0 for the first"),
        (PAIR, [0.5], {}, "`chosen` must be whole numbers"),
        (PAIR, [0, 1], {}, "`chosen` must have one entry"),
        (PAIR, [0], {"own": 2}, "`own` must be an index of a player"),
        (PAIR, [0], {"kind": [0.5]}, "`kind` of situation 0 must be 0 or 1"),
        (PAIR, [0], {"person": [1], "people": ["ann"]}, "`person` must be indices from 0 to 0"),
    ],
)
def test_bad_arrays_are_refused_by_name(payoffs, chosen, fields, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        SocialChoiceData.from_payoffs(payoffs, chosen, **fields)


def test_gaps_cannot_be_negative_or_missing():
    good = {"own": [[1.0, 2.0]], "behind": [[0.0, 1.0]], "ahead": [[1.0, 0.0]], "chosen": [0]}
    for change, said in (
        ({"behind": [[-1.0, 0.0]]}, "`behind` of situation 0 is negative"),
        ({"ahead": [[np.nan, 0.0]]}, "`ahead` of situation 0 is not finite"),
        ({"own": [1.0]}, "`own` must be [1 situations, 2 options]"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            SocialChoiceData(**(good | change))


def test_statistics_are_shares_that_can_be_counted():
    rng = np.random.default_rng(1)
    payoffs = rng.integers(0, 5, (60, 2, 2)).astype(float)
    data = SocialChoiceData.from_payoffs(payoffs, rng.integers(0, 2, 60), person=np.arange(60) % 3)
    found = {name: f(data.chosen[None])[0] for name, f in data.statistics().items()}
    asked = payoffs[:, 0, 0] != payoffs[:, 1, 0]
    took = np.take_along_axis(payoffs[..., 0], data.chosen[:, None], 1)[:, 0] == payoffs[..., 0].max(1)
    assert found["takes more"] == pytest.approx(took[asked].mean())
    ahead = asked & (payoffs[..., 0] > payoffs[..., 1]).all(1)
    assert found["takes more | ahead"] == pytest.approx(took[ahead].mean())
    own = [took[asked & (data.person == i)].mean() for i in range(3)]
    assert found["sd of people"] == pytest.approx(np.std(own))


def test_traits_are_read_with_faults_named_and_make_a_population():
    table = {"who": [2, 5], "a": [0.3, None], "b": [-7.0, 0.1]}
    found = Traits.read(table, person="who", alpha="a", beta="b")
    assert found.people.tolist() == ["2", "5"]
    assert np.isnan(found.alpha[1])
    people = found.of([5, 2]).population(np.ones((2, 3)))
    np.testing.assert_array_equal(people.beta, [0.1, -7.0])
    for change, said in (
        ({"a": ["x", 1]}, "row with index 0: column `a` holds 'x'"),
        ({"who": [2, 2]}, "row with index 1: `2` appears twice"),
        ({"who": [2, None]}, "column `who` is empty"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            Traits.read(table | change, person="who", alpha="a", beta="b")
    with pytest.raises(ValueError, match="`people` names"):
        found.of([3])
    with pytest.raises(ValueError, match="a row for each of the 2 people"):
        found.population(np.ones((3, 1)))


def test_thresholds_are_where_people_are_indifferent():
    alpha = np.array([0.1, 0.5, 3.0])
    s = offer_of_alpha(alpha)
    np.testing.assert_allclose(s - alpha * (1 - 2 * s), 0, atol=1e-12)  # accepting is worth what refusing is
    np.testing.assert_allclose(alpha_of_offer(s), alpha)
    assert alpha_of_offer(0.6) == np.inf
    with pytest.raises(ValueError, match="`offer` must be shares"):
        alpha_of_offer(1.2)


@pytest.mark.parametrize("module", ["data", "thresholds", "traits", "offers", "identification"])
def test_quick_examples_run(module):
    found = doctest.testmod(importlib.import_module(f"fairhand.models.social.{module}"), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0
    assert found.attempted > 0
