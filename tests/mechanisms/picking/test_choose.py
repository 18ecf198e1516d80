"""Decisions under a posterior of laws, against grids over r in NumPy."""

import doctest
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairhand import models
from fairhand.mechanisms.picking import choose_r, optimal_pick, r_half
from fairhand.models import Discrete, Exponential, Mixture, PiecewiseLinear, Power, Uniform
from helpers import assert_close

R0 = 1 - 0.5**0.5
GRID = np.linspace(0, 1, 20_001)
EXPONENTS = np.random.default_rng(0).gamma(3, 0.4, size=300)  # of Power: from top-heavy to nearly equal values
HALF = 1 - 0.5 ** (EXPONENTS / (EXPONENTS + 1))


def welfare(r, a):
    """Of Power(a), in closed form."""
    mean = a / (a + 1)
    return mean * (1 - (1 - r) ** (1 + 1 / a)) + (1 - r) * mean


def criterion(by, r, a):
    return welfare(r, a) * ((2 * a + 1) / (2 * a) if by == "ratio" else 1.0)


@pytest.mark.parametrize("by", ["welfare", "ratio"])
def test_choice_equals_a_grid(by, dtype):
    found = choose_r(Power(EXPONENTS.astype(dtype)), by=by)
    mean = criterion(by, GRID[:, None], EXPONENTS[None]).mean(1)
    own = 1 - (EXPONENTS / (EXPONENTS + 1)) ** EXPONENTS
    assert abs(found.r - GRID[mean.argmax()]) < 6e-5
    assert_close(found.value, criterion(by, found.r, EXPONENTS).mean(), loosen=3)
    assert float(found.value) >= mean.max() - 1e-6
    assert_close(found.own_best, own, loosen=5)
    assert_close(found.perfect_information, criterion(by, own, EXPONENTS).mean(), loosen=3)
    assert_close(found.prior_free, criterion(by, R0, EXPONENTS).mean(), loosen=3)
    assert float(found.perfect_information) >= float(found.value) >= float(found.prior_free)
    inside = np.mean((found.r > HALF) & (found.r < 0.5))
    assert float(found.envy_free_probability) == pytest.approx(inside, abs=1e-6)
    assert_close(found.mechanism.r, [found.r, 1 - found.r])


def test_the_two_criteria_differ():
    by = [choose_r(Power(EXPONENTS), by=by).r for by in ("welfare", "ratio")]
    assert by[0] - by[1] > 1e-3
    assert abs(choose_r(Power(EXPONENTS)).r - float(optimal_pick(Power(EXPONENTS.mean()), 2).r[0])) > 1e-3


@pytest.mark.parametrize(("confidence", "slack"), [(0.95, 1e-3), (0.5, 0.02), (0.8, 1e-3), (1.0, 1e-3)])
def test_chance_constraint_equals_a_grid(confidence, slack, dtype):
    found = choose_r(Power(EXPONENTS.astype(dtype)), "envy_free", confidence, slack)
    chance = np.mean((GRID[:, None] >= HALF + slack) & (GRID[:, None] <= 0.5 - slack), axis=1)
    mean = np.where(chance >= confidence, welfare(GRID[:, None], EXPONENTS[None]).mean(1), -np.inf)
    assert np.isfinite(mean.max())
    assert abs(found.r - GRID[mean.argmax()]) < 6e-5
    assert found.r <= 0.5 - slack
    assert np.mean(found.r >= HALF + slack - 1e-7) >= confidence
    assert float(found.envy_free_probability) >= confidence
    assert_close(found.value, welfare(found.r, EXPONENTS).mean(), loosen=3)
    low, high = HALF + slack, np.full_like(HALF, 0.5 - slack)
    low, high = np.where(low > high, (HALF + 0.5) / 2, low), np.where(low > high, (HALF + 0.5) / 2, high)
    own = np.clip(1 - (EXPONENTS / (EXPONENTS + 1)) ** EXPONENTS, low, high)
    assert_close(found.own_best, own, loosen=5)
    assert_close(found.perfect_information, welfare(own, EXPONENTS).mean(), loosen=3)


def test_the_constraint_binds_from_below_where_most_welfare_asks_for_less():
    """Mostly little, and now and then a bonus: welfare wants r small, and the first agent must still hold half."""
    tops = np.linspace(1.8, 4.0, 40)
    knots = np.broadcast_to([1.0, 1.1, 1.2], (40, 3))
    laws = PiecewiseLinear([0.0, 0.9, 0.91, 1.0], np.concatenate([knots, tops[:, None]], 1))
    free, fair = choose_r(laws), choose_r(laws, "envy_free", confidence=0.9)
    assert free.r < 0.25
    assert fair.r > free.r + 0.1
    assert fair.value < free.value
    edges = np.sort(jax.vmap(lambda values: r_half(PiecewiseLinear(jnp.asarray(laws.levels), values)))(laws.values))
    assert fair.r == pytest.approx(edges[35] + 1e-3, abs=1e-5)
    assert float(fair.envy_free_probability) >= 0.9
    assert choose_r(laws, "envy_free", confidence=0.5).r < fair.r  # asking for less leaves more welfare


def test_out_of_reach_says_what_is_in_reach():
    reachable = np.mean(HALF + 0.1 <= 0.4)
    assert 0.2 < reachable < 0.8
    with pytest.raises(
        ValueError, match=f"`confidence` = 0.9 cannot be reached.* more than {reachable:.4g} of the draws"
    ):
        choose_r(Power(EXPONENTS), "envy_free", confidence=0.9, slack=0.1)
    choose_r(Power(EXPONENTS), "envy_free", confidence=reachable - 0.01, slack=0.1)


def test_draws_that_agree_leave_nothing_to_learn(dtype):
    found = choose_r(Uniform(jnp.zeros(5, dtype), 2.0))
    assert found.r == pytest.approx(0.5, abs=1e-6)
    assert_close(found.value, 1.25)
    assert_close(found.perfect_information, found.value)


def test_parameters_common_to_all_draws_need_no_axis():
    highs = np.array([1.0, 2.0, 5.0])
    plain = choose_r(Uniform(np.zeros(3), highs), by="ratio")
    assert choose_r(Uniform(0.0, highs), by="ratio").r == plain.r
    weights = np.array([[0.5, 0.5], [0.9, 0.1]])
    nested = choose_r(Mixture(weights, [Uniform(0.0, 1.0), Uniform(0.0, 2.0)]))
    mean = 0.5 * weights[:, 0] + weights[:, 1]
    np.testing.assert_allclose(nested.own_best, 1 - weights[:, 0] * mean - weights[:, 1] * mean / 2, atol=1e-6)


def test_gradients_match_differences():
    """In one parameter common to all draws: the choice moves implicitly, its value by the envelope."""

    def numbers(x):
        found = choose_r(Power(x * jnp.asarray([0.5, 1.0, 2.5])), by="ratio")
        return jnp.stack([jnp.asarray(found.r), found.value, found.perfect_information])

    with jax.enable_x64(True):
        numbers = jax.jit(numbers)
        slope = jax.jacrev(numbers)(1.3)
        np.testing.assert_allclose(slope, (numbers(1.3 + 1e-6) - numbers(1.3 - 1e-6)) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: choose_r(Power(2.0)), "`laws` has no leading axis `draws`.*optimal_pick"),
        (lambda: choose_r(models.Beta([1.0, 2.0], [1.0, 2.0, 3.0])), "different numbers of draws"),
        (lambda: choose_r(Power(np.ones((2, 2)))), "`laws` has no leading axis `draws`"),
        (lambda: choose_r(Power([1.0, 2.0]), by="envy"), '`by` must be "welfare", "ratio" or "envy_free"'),
        (lambda: choose_r(Power([1.0, 2.0]), "envy_free", 0.0), "`confidence` must lie in"),
        (lambda: choose_r(Power([1.0, 2.0]), "envy_free", 1.5), "`confidence` must lie in"),
        (lambda: choose_r(Power([1.0, 2.0]), "envy_free", slack=0.0), "`slack` must lie in"),
        (lambda: choose_r(Uniform(-1.0, [1.0, 2.0])), "`laws` has values down to -1"),
        (lambda: choose_r(Discrete([[1.0], [2.0]], [[1.0], [1.0]])), "`laws` is constant"),
    ],
)
def test_bad_input_is_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_what_the_paper_does_not_claim_is_said():
    with pytest.warns(UserWarning, match="`laws` is unbounded"):
        choose_r(Exponential([1.0, 2.0]))
    with pytest.warns(UserWarning, match="`laws` has atoms"):
        choose_r(Discrete([0.0, 1.0, 2.0], [[0.2, 0.3, 0.5], [0.5, 0.2, 0.3]]))


def test_examples_in_the_docstrings_run():
    result = doctest.testmod(importlib.import_module("fairhand.mechanisms.picking.choose"))
    assert result.attempted > 0
    assert result.failed == 0
