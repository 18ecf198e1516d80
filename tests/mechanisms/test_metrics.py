"""Metrics against the definitions, written out in plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairhand.mechanisms import Allocation, ex_post, metrics
from fairhand.models import Items, Menu, Population
from helpers import assert_close


def lottery(seed, agents=7, options=5):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(options), agents)
    people = Population(
        rng.normal(size=(agents, options)), Menu.seats(np.full(options - 1, 1.5)), kind=np.arange(agents) % 3
    )
    return people, Allocation(jnp.asarray(shares, jnp.float32))


def whole_items(seed, agents=4, items=9):
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, agents, items)
    shares = (np.arange(agents)[:, None] == owner).astype("float32")
    return Population(rng.random((agents, items)).astype("float32"), Items()), Allocation(jnp.asarray(shares))


@pytest.mark.parametrize("seed", range(3))
def test_envy_is_the_best_gain_from_anothers_shares(seed):
    people, allocation = lottery(seed)
    worth = people.values @ np.asarray(allocation.shares).T
    expected = np.maximum(worth.max(1) - np.diagonal(worth), 0)
    assert_close(metrics.envy_of_each(people, allocation), expected, loosen=20)
    assert_close(metrics.envy(people, allocation), expected.mean(), loosen=20)
    assert metrics.envy_free(people, allocation) == float(expected.max() <= 1e-9)


def test_equal_shares_have_no_envy():
    people, allocation = lottery(0)
    same = Allocation(jnp.broadcast_to(allocation.shares[:1], allocation.shares.shape))
    assert metrics.envy_free(people, same, 1e-6) == 1


def test_nobody_envies_shares_of_an_option_they_cannot_take():
    people = Population(np.array([[1.0, -np.inf], [0.0, 5.0]]))
    assert_close(metrics.envy_of_each(people, Allocation(jnp.eye(2))), np.zeros(2))


@pytest.mark.parametrize("seed", range(4))
def test_ef1_shortfall_matches_its_definition(seed):
    people, allocation = whole_items(seed)
    values, shares = np.asarray(people.values), np.asarray(allocation.shares)
    worst = 0.0
    for i in range(4):
        for j in range(4):
            held = np.flatnonzero(shares[j] > 0)
            others = [values[i, held].sum() - values[i, g] for g in held] or [0.0]
            worst = max(worst, min(others) - values[i] @ shares[i])
    assert_close(metrics.ef1_shortfall(people, allocation), worst, loosen=20)


def test_ef1_finds_a_planted_violation():
    everything = Allocation(jnp.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
    assert metrics.ef1(Population(np.ones((2, 3))), everything) == 0


@pytest.mark.parametrize("seed", range(3))
def test_gini_is_the_mean_absolute_difference_over_twice_the_mean(seed):
    rng = np.random.default_rng(seed)
    u = rng.exponential(size=11).astype("float32")
    people = Population(u[:, None])
    expected = np.abs(u[:, None] - u).mean() / (2 * u.mean())
    assert_close(metrics.gini(people, Allocation(jnp.ones((11, 1)))), expected, loosen=10)


def test_group_means_and_the_worst_group():
    people, allocation = lottery(1)
    u = (people.values * np.asarray(allocation.shares)).sum(1)
    means = [u[people.kind == k].mean() for k in range(3)]
    assert_close(metrics.group_means(3)(people, allocation), means, loosen=20)
    assert_close(metrics.worst_group(3)(people, allocation), min(means), loosen=20)
    assert_close(metrics.egalitarian(people, allocation), u.min(), loosen=20)
    assert_close(metrics.welfare(people, allocation), u.sum(), loosen=20)
    four = metrics.group_means(4)(people, allocation)
    assert np.isnan(four[3])  # nobody is in the fourth
    assert_close(metrics.worst_group(4)(people, allocation), min(means), loosen=20)


def test_nash_is_minus_infinity_when_somebody_gets_nothing():
    people = Population(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert_close(metrics.nash(people, Allocation(jnp.eye(2))), np.log([1.0, 4.0]).mean())
    assert metrics.nash(people, Allocation(jnp.array([[1.0, 1.0], [0.0, 0.0]]))) == -np.inf


def test_chance_of_oversubscription_is_near_the_frequency_of_independent_draws():
    rng = np.random.default_rng(0)
    chance = rng.random((300, 1)) * 0.2
    shares = jnp.asarray(np.hstack([chance, 1 - chance]), jnp.float32)
    capacity = np.floor(chance.sum() + 6)
    people = Population(np.zeros((300, 2)), Menu.seats([capacity]))
    drawn = (rng.random((20000, 300)) < chance[:, 0]).sum(1) > capacity
    assert abs(float(metrics.chance_oversubscribed(people, Allocation(shares))) - drawn.mean()) < 0.01


def test_an_infeasible_option_given_is_minus_infinity_and_not_given_is_no_nan():
    people = Population(np.array([[1.0, -np.inf]]))
    assert metrics.welfare(people, Allocation(jnp.array([[1.0, 0.0]]))) == 1
    assert metrics.welfare(people, Allocation(jnp.array([[0.5, 0.5]]))) == -np.inf
    slope = jax.grad(lambda s: metrics.welfare(people, Allocation(s)))(jnp.array([[1.0, 0.0]]))
    assert bool(jnp.isfinite(slope).all())


def test_names_are_short_and_equal_metrics_are_equal():
    assert metrics.name_of(ex_post(metrics.envy)) == "ex post envy"
    assert metrics.group_means(3) == metrics.group_means(3)
    assert hash(metrics.group_means(3)) == hash(metrics.group_means(3))
