"""The worst-case ratio against grids, laws, the paper's proof, and what gradient ascent finds with it."""

import doctest
import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fairhand import models
from fairhand.mechanisms.picking import (
    asymptotics,
    distribution_free_r,
    optimal_pick,
    softmin_ratio,
    tail_curve,
    worst_case_ratio,
)
from fairhand.mechanisms.picking._fractions import r_to_s, s_to_r
from fairhand.models import laws
from helpers import assert_close

R0, ALPHA = 1 - 0.5**0.5, (2 + 2**0.5) / 4
S0 = np.array([R0, 1.0])
# Ties, an agent who takes nothing, one who takes all, and whatever else.
VECTORS = [
    np.array([0.3, 0.3, 0.6, 1.0]),
    np.array([0.0, 0.4, 0.2, 1.0]),
    np.array([0.5, 0.0, 0.0, 1.0]),
    np.array([0.2, 1.0, 0.7, 1.0]),
    np.array([0.9, 0.1, 0.5, 1.0]),
    np.array([0.25, 1 / 3, 0.5, 1.0]),
    np.array([1e-9, 0.02, 0.4, 1.0]),
]


def ratio_on_grid(s):
    """Least ratio over 300,000 quantiles, many of them next to 1, in NumPy."""
    reach = np.append(1.0, np.cumprod(1 - s[:-1]))
    x = np.concatenate([np.linspace(1e-4, 1, 200_001)[:-1], np.geomspace(1e-13, 1e-4, 100_001)])
    curve = sum(r * np.minimum(a, x) for r, a in zip(reach, s, strict=True))
    ratio = curve / -np.expm1(len(s) * np.log1p(-x))
    return ratio.min(), 1 - x[ratio.argmin()]


# The functional


def test_tail_curve_is_how_often_thresholds_collect_more(dtype):
    s, t = VECTORS[4].astype(dtype), np.array([[0.0, 0.05, 0.3], [0.5, 0.91, 1.0]], dtype)
    u = np.random.default_rng(0).uniform(size=(400_000, 4))
    taken = u[np.arange(len(u)), (u >= 1 - s).argmax(-1)]
    curve = tail_curve(s, t)
    assert curve.shape == t.shape
    assert curve.dtype == dtype
    assert np.abs(curve - (taken[:, None, None] > t).mean(0)).max() < 4 * 0.5 / np.sqrt(len(u))


def test_tail_curve_of_two_is_the_integral_of_the_papers_g(dtype):
    """Proof of proposition 3.3: g is 1 − r below 1 − r and 2 − r above."""
    r, t = 0.37, np.linspace(0, 1, 21)
    integral = np.where(t < 1 - r, (1 - r) * (1 - r - t) + (2 - r) * r, (2 - r) * (1 - t))
    assert_close(tail_curve([r, 1.0], t), integral)


@pytest.mark.parametrize("s", VECTORS)
def test_minimum_equals_that_of_a_fine_grid(s):
    with jax.enable_x64(True):
        found = worst_case_ratio(s)
        value, quantile = float(found.value), float(found.quantile)
    least, where = ratio_on_grid(s)
    assert least * (1 - 1e-8) < value <= least + 1e-12
    assert abs(quantile - where) < 2e-5


def test_random_vectors_equal_a_fine_grid():
    generator = np.random.default_rng(1)
    with jax.enable_x64(True):
        for n in (2, 7):
            s = np.concatenate([generator.uniform(size=(6, n - 1)), np.ones((6, 1))], 1)
            found = jax.vmap(worst_case_ratio)(jnp.asarray(s)).value
            np.testing.assert_allclose(found, [ratio_on_grid(row)[0] for row in s], rtol=1e-8)


def test_an_agent_who_takes_nothing_is_not_counted_at_the_limit(dtype):
    """With her the limit t → 1 would be 1.5 / 3 and the guarantee one half; it is a third."""
    s = np.array([0.0, 1.0, 1.0], dtype)
    found = worst_case_ratio(s)
    assert_close(found.value, 1 / 3)
    assert found.quantile == 1
    counted_too = (1 + 1 + 0) / 3
    assert counted_too > found.value


def test_safe_share_of_two_attains_its_guarantee_twice(dtype):
    found = worst_case_ratio(S0.astype(dtype))
    assert_close(found.value, ALPHA)
    assert float(found.quantile) == 1 or abs(float(found.quantile) - (2**0.5 - 1)) < 1e-3
    near = np.array([2**0.5 - 1, 1 - 1e-3], dtype)
    assert_close(tail_curve(S0.astype(dtype), near) / (1 - near**2), [ALPHA, 2 * ALPHA / (2 - 1e-3)], loosen=10)


def test_dominance_of_proposition_3_3_holds_at_every_quantile():
    t = np.linspace(0, 1, 100_001)
    with jax.enable_x64(True):
        gap = np.asarray(tail_curve(S0, t)) - ALPHA * (1 - t**2)
        worse = np.asarray(tail_curve([0.32, 1.0], t)) - ALPHA * (1 - t**2)
    assert gap.min() > -1e-15
    assert gap[np.abs(t - (2**0.5 - 1)) < 1e-5].min() < 1e-10
    assert gap[-1] == 0
    assert worse.min() < -1e-4  # any other share misses it somewhere


def test_equal_split_guarantees_exactly_n_plus_1_over_2n(dtype):
    for n in (2, 4):
        s = 1 / np.arange(n, 0, -1).astype(dtype)
        assert_close(worst_case_ratio(s).value, (n + 1) / (2 * n), loosen=2)


def test_guarantee_is_concave_in_the_fractions():
    r = np.random.default_rng(2).dirichlet(np.ones(4), size=(40, 2))
    with jax.enable_x64(True):
        value = jax.vmap(lambda r: worst_case_ratio(r_to_s(r)).value)
        found = np.asarray(value(jnp.concatenate([r.reshape(-1, 4), r.mean(1)])))
    ends, middle = found[:80].reshape(40, 2), found[80:]
    assert (middle >= ends.mean(1) - 1e-14).all()


def test_gradients_match_differences_and_are_finite_where_agents_take_nothing_or_all():
    points = np.array([[0.8, 0.15, 0.4], [0.08, 0.3, 0.2], *(s[:3] for s in VECTORS)])

    def numbers(x):
        s = jnp.append(x, 1.0)
        return jnp.stack([worst_case_ratio(s).value, softmin_ratio(s, 0.03)])

    with jax.enable_x64(True):
        both = jax.jit(jax.vmap(lambda x: (numbers(x), jax.jacrev(numbers)(x))))
        slopes, steps = np.asarray(both(points)[1]), 1e-6 * np.eye(3)
        inside = points[:2]  # a step from the others would leave [0, 1]
        numeric = np.stack([(both(inside + h)[0] - both(inside - h)[0]) / 2e-6 for h in steps], -1)
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(slopes[:2], numeric, rtol=1e-6, atol=1e-8)


def test_softmin_is_a_lower_bound_within_t_log_n():
    with jax.enable_x64(True):
        for s in VECTORS:
            hard, soft = worst_case_ratio(s).value, softmin_ratio(s, 0.01)
            assert hard - 0.01 * np.log(4) <= soft <= hard


def test_a_thousand_agents_agree_in_both_precisions():
    s = distribution_free_r(1000).s
    with jax.enable_x64(True):
        precise = float(worst_case_ratio(s).value)
    assert float(worst_case_ratio(s.astype("float32")).value) == pytest.approx(precise, rel=2e-5)
    assert precise == pytest.approx(distribution_free_r(1000).guarantee, rel=1e-9)
    assert abs(float(worst_case_ratio(1 / np.arange(1000.0, 0, -1)).value) - 1001 / 2000) < 1e-5


# Laws


def random_laws(count, knots=7):
    """Piecewise-linear laws, from nearly constant to nearly all mass on a rare value."""
    generator = np.random.default_rng(3)
    levels = np.sort(generator.uniform(size=(count, knots - 2)), 1)
    levels = np.concatenate([np.zeros((count, 1)), levels, np.ones((count, 1))], 1)
    values = np.cumsum(generator.exponential(size=(count, knots)) ** generator.uniform(1, 8, (count, 1)), 1)
    return models.PiecewiseLinear(jnp.asarray(levels), jnp.asarray(values + 1e-3 * np.arange(knots)))


def test_no_law_falls_below_the_guarantee():
    with jax.enable_x64(True):
        many = random_laws(400)
        for s in (S0, VECTORS[4]):
            r = s_to_r(s)
            ratios = jax.vmap(lambda law, r=r: asymptotics(r, law).ratio)(many)
            least = float(worst_case_ratio(s).value)
            assert ratios.min() >= least - 1e-12
            assert ratios.min() < least + 0.2  # the laws do try


def test_a_law_on_the_level_set_nearly_attains_it():
    s, thin = np.array([0.2, 1.0]), 1e-5
    with jax.enable_x64(True):
        worst = worst_case_ratio(s)
        t = float(worst.quantile)
        law = models.PiecewiseLinear([0.0, t - thin, t + thin, 1.0], [0.0, 1e-9, 1.0, 1.0 + 1e-9])
        found = asymptotics(s_to_r(s), law).ratio
        np.testing.assert_allclose(found, worst.value, atol=1e-4)


@pytest.mark.parametrize("small", [1e-2, 1e-3, 1e-4])
def test_worst_case_instance_tends_to_the_guarantee(small, dtype):
    """Theorem 3.1: every share between p and p + q collects 2 − q − p of 2 − q² − q p − p, up to the noise."""
    law = laws.WorstCaseFamily(jnp.asarray(small, dtype), jnp.asarray(small, dtype))
    q, p = 2 - 2**0.5, small
    for r in (R0, 0.1, p + q - 0.01):
        found = asymptotics([r, 1 - r], law)
        assert 2 - q - p <= found.welfare + 1e-5 <= 2 - q - p + small + 2e-5
        assert ALPHA - 1e-6 <= float(found.ratio) <= ALPHA + 2 * small
    greedy = asymptotics([0.9, 0.1], law).ratio
    assert greedy < ALPHA - 0.05  # beyond p + q the first agent takes what is worth nothing to her


# Learning


@pytest.mark.slow
def test_adversary_finds_the_probability_of_theorem_3_1():
    """(2 − q)/(2 − q²) is least at 2 − √2, in closed form and by the law itself."""
    with jax.enable_x64(True):
        closed = lambda q: (2 - q) / (2 - q * q)
        by_law = lambda q: optimal_pick(laws.WorstCaseFamily(jnp.asarray(1e-7), jnp.asarray(1e-7), q), 2).ratio
        for loss in (closed, by_law):
            q = descend(lambda x, loss=loss: loss(jax.nn.sigmoid(x)), jnp.asarray(-1.0), 300)
            np.testing.assert_allclose(jax.nn.sigmoid(q), 2 - 2**0.5, atol=1e-5)
            np.testing.assert_allclose(loss(jax.nn.sigmoid(q)), ALPHA, atol=1e-6)


def descend(loss, start, steps, rate=0.1):
    optimiser = optax.adam(optax.cosine_decay_schedule(rate, steps))

    @jax.jit
    def run(start):
        def step(carry, _):
            x, state = carry
            update, state = optimiser.update(jax.grad(loss)(x), state)
            return (optax.apply_updates(x, update), state), None

        return jax.lax.scan(step, (start, optimiser.init(start)), length=steps)[0][0]

    return run(start)


@functools.partial(jax.jit, static_argnums=1)
def climb(start, steps, hot=0.1, cold=1e-6):
    """Thresholds by gradient ascent on the soft guarantee, cooled as it goes."""
    optimiser = optax.adam(lambda k: 0.2 * 1e-4 ** (k / steps), b2=0.99)
    thresholds = lambda x: jnp.append(jax.nn.sigmoid(x), 1.0)

    def step(carry, k):
        x, state = carry
        slope = jax.grad(lambda x: -softmin_ratio(thresholds(x), hot * (cold / hot) ** (k / steps)))(x)
        update, state = optimiser.update(slope, state)
        return (optax.apply_updates(x, update), state), None

    return thresholds(jax.lax.scan(step, (start, optimiser.init(start)), jnp.arange(steps))[0][0])


def check_learning(agents, starts, r_error, value_error):
    best = distribution_free_r(agents)
    with jax.enable_x64(True):
        start = 2 * jax.random.normal(jax.random.key(agents), (starts, agents - 1))
        assert worst_case_ratio(jnp.append(jax.nn.sigmoid(start[0]), 1.0)).value < best.guarantee - 0.02
        s = jax.vmap(lambda x: climb(x, 2000))(start)
        value = np.asarray(jax.vmap(worst_case_ratio)(s).value)
        r = np.asarray(s_to_r(s))
    assert np.abs(r - best.r).max() < r_error
    assert (value <= best.guarantee + 1e-12).all()
    assert np.abs(value - best.guarantee).max() < value_error


@pytest.mark.slow
def test_ascent_from_random_starts_finds_the_safe_share_of_two():
    check_learning(2, 8, 1e-5, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("agents", [3, 4, 5, 10])
def test_ascent_from_random_starts_finds_the_safe_shares_of_many(agents):
    check_learning(agents, 8, 1e-4, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("agents", [2, 3])
def test_adversary_with_a_free_law_comes_down_to_the_guarantee(agents):
    """Ratio of the dynamic programme over monotone quantile functions; the fortune is learned as value times mass."""
    pieces, rare = 8, 1e-5

    def law(x):
        gaps, rises = jax.nn.softmax(x[:pieces]) * (1 - rare), jax.nn.softplus(x[pieces:])
        levels = jnp.concatenate([jnp.zeros(1), jnp.cumsum(gaps)[:-1], jnp.array([1 - rare, 1.0])])
        body = jnp.cumsum(rises[:-1])
        return models.PiecewiseLinear(levels, jnp.append(body, body[-1] + rises[-1] / rare))

    with jax.enable_x64(True):
        loss = lambda x: optimal_pick(law(x), agents).ratio
        start = jax.random.normal(jax.random.key(agents), (2 * pieces + 2,))
        found = loss(descend(loss, start, 3000))
        least = distribution_free_r(agents).guarantee
        assert loss(start) > least + 0.02
        assert least <= found < least + 2e-4


# Bad input


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: worst_case_ratio([0.5, 0.9]), "`s` must end with 1"),
        (lambda: worst_case_ratio([1.2, 1.0]), "`s` must lie in"),
        (lambda: worst_case_ratio([np.nan, 1.0]), "`s` must lie in"),
        (lambda: worst_case_ratio([1.0]), "`s` needs at least two"),
        (lambda: worst_case_ratio([[0.5, 1.0]]), "`s` must be one vector.*vmap"),
        (lambda: tail_curve([0.5, 1.0], 1.5), "`t` must be quantiles"),
        (lambda: tail_curve([0.5, 1.0], [0.1, np.nan]), "`t` must be quantiles"),
        (lambda: softmin_ratio([0.5, 1.0], 0.0), "`temperature` must be positive"),
    ],
)
def test_bad_input_is_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_examples_in_the_docstrings_run():
    result = doctest.testmod(importlib.import_module("fairhand.mechanisms.picking.worst_case"))
    assert result.attempted > 0
    assert result.failed == 0
