"""Unit demand along the budget interval, against brute force over budgets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairhand.models.demand import UNROLL, demand_choice, demand_lottery
from helpers import assert_close


def brute_force(values, survival):
    """Integrate the best affordable option over every interval of budgets between costs."""
    shares = np.zeros_like(values)
    for i, row in enumerate(values):
        for s in np.unique(survival)[
            ::-1
        ]:  # at a budget in the top s share of the law, options with S >= s are covered
            below = max([x for x in np.unique(survival) if x < s], default=0.0)
            covered = [o for o in range(len(row)) if survival[o] >= s and row[o] > -np.inf]
            if covered:
                shares[i, max(covered, key=lambda o, row=row: (row[o], -o))] += s - below
    return shares


@pytest.mark.parametrize("options", [1, 2, 5, UNROLL + 3])
def test_demand_matches_brute_force_over_budgets(options, dtype):
    rng = np.random.default_rng(options)
    values = rng.normal(size=(40, options)).round(1)  # ties on purpose
    values[rng.random(values.shape) < 0.1] = -np.inf
    survival = np.append(rng.choice([0.0, 0.2, 0.5, 0.7, 1.0], options - 1), 1.0)
    got = demand_lottery(jnp.asarray(values, dtype), jnp.asarray(survival, dtype)[None])
    assert_close(got, brute_force(values, survival))


def test_shares_sum_to_one_with_a_free_option():
    values = jax.random.normal(jax.random.key(0), (50, 4))
    afford = jnp.array([[0.1, 0.9, 0.4, 1.0]])
    assert_close(demand_lottery(values, afford).sum(1), np.ones(50))


def test_choice_at_a_budget_is_the_lottery_of_a_certain_budget():
    values = jax.random.normal(jax.random.key(1), (30, 4))
    cost = jnp.array([0.9, 0.8, 0.95, 0.0])
    budget = jnp.full(30, 0.9)
    certain = demand_lottery(values, (cost <= 0.9).astype(values.dtype)[None])
    assert_close(demand_choice(values, cost[None], budget), certain)


def test_nothing_affordable_is_a_row_of_zeros():
    values = jnp.array([[1.0, -jnp.inf]])
    assert demand_choice(values, jnp.array([[2.0, 0.0]]), jnp.array([1.0])).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("options", [4, UNROLL + 2])
def test_gradients_in_the_chance_to_afford_match_finite_differences(options):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        values = jnp.asarray(rng.normal(size=(60, options)))
        weights = jnp.asarray(rng.normal(size=(60, options)))
        afford = jnp.asarray(rng.random((1, options)))
        loss = lambda a: jnp.sum(weights * demand_lottery(values, a))
        reverse = jax.jit(jax.grad(loss))(afford)
        forward = jax.jit(jax.jacfwd(loss))(afford)
        step = 1e-6
        numeric = [
            (loss(afford.at[0, o].add(step)) - loss(afford.at[0, o].add(-step))) / (2 * step) for o in range(options)
        ]
        assert_close(reverse[0], np.array(numeric), loosen=1e4)
        assert_close(reverse, forward)
