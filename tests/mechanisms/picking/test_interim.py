"""Interim chances to win against enumerating what the opponents may report, with the rule itself and in rationals."""

import doctest
import importlib
import math
from fractions import Fraction
from itertools import permutations, product

import jax.numpy as jnp
import numpy as np
import pytest

from fairhand.mechanisms.picking import PickR, Ranking, WeightedRanking, WelfareMax
from fairhand.mechanisms.picking.interim import interim
from fairhand.models import Mixture, Uniform
from helpers import assert_close

LAWS = [Uniform(0.0, 1.0), Uniform(0.5, 1.0), Mixture([0.5, 0.5], [Uniform(0.0, 1.0), Uniform(0.2, 0.7)])]


def by_the_rule(rule, n, m):
    """How often agent i wins her t-th item, over all rankings of her opponents, by running the rule."""
    rankings = np.array(list(permutations(range(1, m + 1))), float)
    chances = []
    for i in range(n):
        others = np.stack(np.meshgrid(*[np.arange(len(rankings))] * (n - 1), indexing="ij"), -1).reshape(-1, n - 1)
        bids = rankings[others]
        mine = np.broadcast_to(np.arange(m, 0, -1.0), (len(bids), 1, m))
        bids = np.concatenate([bids[:, :i], mine, bids[:, i:]], 1)
        chances.append(np.asarray(rule.allocate(bids).shares)[:, i].mean(0, dtype=float))
    return np.array(chances)


@pytest.mark.parametrize(("n", "m"), [(2, 3), (2, 4), (3, 3)])
def test_ranking_equals_enumeration_in_rationals(n, m):
    for i in range(n):
        wins = [0] * m
        for others in product(permutations(range(m)), repeat=n - 1):
            for t in range(m):
                places = [rank[t] for rank in others]
                places.insert(i, t)
                wins[t] += places.index(min(places)) == i
        total = math.factorial(m) ** (n - 1)
        formula = [Fraction(m - t, m) ** i * Fraction(m - t + 1, m) ** (n - 1 - i) for t in range(1, m + 1)]
        assert [Fraction(w, total) for w in wins] == formula
        assert_close(interim(Ranking(), n, m)[i], [float(p) for p in formula])
    np.testing.assert_allclose(by_the_rule(Ranking(), n, m), interim(Ranking(), n, m), rtol=1e-6)


def test_weighted_ranking_equals_enumeration_with_its_exact_ties(dtype):
    # at these weights scores tie exactly, and round-off must not decide; here the same in rationals
    m, w = 4, [Fraction(1), Fraction(2, 3)]
    scores = [[w[0] * (1 - Fraction(t, m + 1)) for t in range(1, m + 1)]]
    scores += [[w[1] * (1 - Fraction(t, m + 1) / 2) for t in range(1, m + 1)]]
    first = [Fraction(sum(c <= b for c in scores[1]), m) for b in scores[0]]
    second = [Fraction(sum(c < b for c in scores[0]), m) for b in scores[1]]
    rule = WeightedRanking(LAWS[:2], np.asarray([1.0, 2 / 3], dtype))
    assert any(b == c for b in scores[0] for c in scores[1])
    found = interim(rule, 2, m)
    assert found.dtype == dtype
    assert_close(found, np.array([first, second], float))
    np.testing.assert_allclose(by_the_rule(rule, 2, m), found, rtol=1e-6)
    other_way = [Fraction(sum(c < b for c in scores[1]), m) for b in scores[0]]
    assert np.abs(np.array(other_way, float) - np.asarray(found[0])).max() > 0.2


@pytest.mark.parametrize("weights", [[1.0, 2 / 3, 1.1], [1.0, 1.0, 1.0], [0.01, 1.0, 1.0]])
def test_weighted_ranking_of_three_equals_enumeration(weights):
    rule = WeightedRanking(LAWS, weights)
    np.testing.assert_allclose(by_the_rule(rule, 3, 3), interim(rule, 3, 3), rtol=1e-6)


def test_weighted_ranking_of_agents_alike_is_ranking(dtype):
    rule = WeightedRanking([Uniform()] * 4, jnp.ones(4, dtype))
    assert_close(interim(rule, 4, 7), interim(Ranking(), 4, 7))


@pytest.mark.parametrize("rule", [Ranking(), WeightedRanking(LAWS, [1.0, 0.7, 1.2])])
def test_every_item_is_won_once_and_a_better_place_never_hurts(rule):
    found = np.asarray(interim(rule, 3, 200), float)
    assert abs(found.sum() - 200) < 1e-3
    assert (np.diff(found, axis=1) <= 1e-6).all()


@pytest.mark.parametrize(
    ("rule", "n", "m", "name"),
    [
        (PickR(0.5), 2, 3, "mechanism"),
        (WelfareMax(), 2, 3, "mechanism"),
        (Ranking().soften(0.1), 2, 3, "mechanism"),
        (WeightedRanking(LAWS, [1.0, 1.0, 1.0]), 2, 3, "agents"),
        (Ranking(), 1, 3, "agents"),
        (Ranking(), 2, 0, "items"),
    ],
)
def test_bad_input_is_refused_by_name(rule, n, m, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        interim(rule, n, m)


@pytest.mark.parametrize("module", ["exact", "exchange", "interim", "weights"])
def test_examples_run(module):
    result = doctest.testmod(importlib.import_module(f"fairhand.mechanisms.picking.{module}"))
    assert result.attempted >= 1
    assert not result.failed
