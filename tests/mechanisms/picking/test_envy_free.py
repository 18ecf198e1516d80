"""Designs without envy: windows, categories and the paper's proof, equal splits by brute force, correlated pairs."""

import doctest
import functools
import importlib
import warnings
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from fairhand import models
from fairhand.mechanisms.picking import (
    asymptotics,
    correlated_two_agent,
    equal_split_ef,
    optimal_pick,
    r_half,
    two_agent_ef,
    two_agent_tight,
)
from fairhand.models import Discrete, Exponential, PiecewiseLinear, Power, TruncatedExponential, Uniform
from helpers import assert_close

R0, ALPHA = 1 - 0.5**0.5, (2 + 2**0.5) / 4
MANY = 10**8


def random_laws(count, knots=6, seed=0):
    generator = np.random.default_rng(seed)
    levels = np.sort(generator.uniform(size=(count, knots - 2)), 1)
    levels = np.concatenate([np.zeros((count, 1)), levels, np.ones((count, 1))], 1)
    values = np.cumsum(generator.exponential(size=(count, knots)) ** generator.uniform(1, 6, (count, 1)), 1)
    floor = generator.exponential(size=(count, 1)) * generator.integers(0, 2, (count, 1))
    return PiecewiseLinear(jnp.asarray(levels), jnp.asarray(values + floor + 1e-3 * np.arange(knots)))


# Two agents: the window


def test_tight_rule_has_the_share_of_the_paper():
    np.testing.assert_allclose(two_agent_tight().r, [(2 - 2**0.5) / 2, 2**0.5 / 2], rtol=1e-15)


def test_half_of_the_value_lies_where_it_should(dtype):
    for a in (0.5, 1.0, 4.0):
        assert_close(r_half(Power(jnp.asarray(a, dtype))), 1 - 2 ** (-a / (a + 1)))
    law, reference = TruncatedExponential(jnp.asarray(3, dtype)), scipy.stats.truncexpon(3, scale=1 / 3)
    cut = reference.ppf(1 - float(r_half(law)))
    held = scipy.integrate.quad(lambda x: x * reference.pdf(x), cut, 1)[0]
    assert_close(np.asarray(held / reference.mean(), dtype), 0.5)


def test_half_has_implicit_derivatives_of_both_orders():
    exact = lambda a: 1 - 2 ** (-a / (a + 1))
    with jax.enable_x64(True):
        half, a = lambda a: r_half(Power(a)), 1.7
        np.testing.assert_allclose(jax.grad(half)(a), jax.grad(exact)(a), rtol=1e-12)
        np.testing.assert_allclose(jax.grad(jax.grad(half))(a), jax.grad(jax.grad(exact))(a), rtol=1e-10)


def test_nobody_envies_exactly_inside_the_window():
    with jax.enable_x64(True):
        laws = random_laws(50)
        half = np.asarray(jax.vmap(r_half)(laws))
        grid = np.linspace(0.01, 0.6, 60)
        both = lambda law, r: jnp.min(asymptotics(jnp.stack([r, 1 - r]), law).margins)
        least = np.asarray(jax.vmap(jax.vmap(both, (None, 0)), (0, None))(laws, grid))
    inside = (grid > half[:, None]) & (grid < 0.5)
    assert ((least > 1e-12) == inside)[np.abs(grid - 0.5 + 0 * half[:, None]) > 1e-9].all()
    assert 0 < inside.mean() < 0.9


# Two agents: the design


def test_categories_follow_the_surplus(dtype):
    generous = two_agent_ef(Power(jnp.asarray(0.5, dtype)), MANY)
    assert (generous.category, generous.r, generous.guarantee) == (1, R0, ALPHA)
    with pytest.warns(UserWarning, match="`items` = 1000 are too few.*at least 23,07. items"):
        narrow = two_agent_ef(Uniform(jnp.asarray(0.5, dtype), 1), 1000)
    assert (narrow.category, narrow.guarantee) == (2, 7 / 8)
    assert narrow.r == 0.5 - 1000**-0.25
    assert narrow.margins[0, 1] < 0 < narrow.margins[1, 0]
    enough = two_agent_ef(Uniform(jnp.asarray(0.5, dtype), 1), MANY)
    assert (enough.margins > 0).all()
    assert_close(enough.window, [r_half(Uniform(0.5, 1)), 0.5])
    assert_close(enough.mechanism.r, [enough.r, 1 - enough.r])
    assert_close(enough.ratio, asymptotics([enough.r, 1 - enough.r], Uniform(jnp.asarray(0.5, dtype), 1)).ratio)


def test_surplus_is_the_integral_of_the_paper(dtype):
    """Equation (5): A is the integral of r0 − |F − (1 − r0)| over the values, as far as F is below 1."""
    for a in (0.5, 3.0):
        points = [(1 - R0) ** (1 / a)]
        integral = scipy.integrate.quad(lambda x, a=a: R0 - abs(x**a - (1 - R0)), 0, 1, points=points)[0]
        found = two_agent_ef(Power(jnp.asarray(a, dtype)), MANY)
        assert_close(found.surplus, integral, loosen=3)


@pytest.mark.parametrize("scale", [1.0, 7.3, 1e-3])
def test_uniform_values_are_on_the_boundary_and_count_as_category_2(scale, dtype):
    end = jnp.asarray(scale, dtype)
    for law in (
        Uniform(0 * end, end),
        PiecewiseLinear(jnp.asarray([0, 0.3, 1], dtype), end * jnp.asarray([0, 0.3, 1], dtype)),
    ):
        with pytest.warns(UserWarning, match="boundary of the two categories"):
            found = two_agent_ef(law, 1000)
        assert found.category == 2
        assert abs(found.surplus) < 1e-5 * scale
        assert jax.jit(lambda law: two_agent_ef(law, 1000).category)(law) == 2


def test_next_to_the_boundary_the_category_is_not_in_doubt(dtype):
    for a, category in ((0.999, 1), (1.001, 2)):
        assert two_agent_ef(Power(jnp.asarray(a, dtype)), MANY).category == category


def test_uniform_values_need_543_items():
    assert int((0.5 - R0) ** -4) == 543
    for items, enough in ((543, False), (544, True)):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = two_agent_ef(Uniform(), items)
        assert (found.margins.min() > 0) == enough
        assert any("too few" in str(warning.message) for warning in said) != enough


@pytest.mark.slow
def test_guarantees_hold_for_random_laws():
    """At a constant schedule of 1e-6; both categories occur, and the ratio of the second may come close to 7/8."""
    with jax.enable_x64(True):
        laws = random_laws(300, seed=1)
        found = jax.vmap(lambda law: two_agent_ef(law, MANY, 1e-6))(laws)
        assert set(np.unique(found.category)) == {1, 2}
        assert (found.ratio >= found.guarantee - 1e-5).all()
        first = np.asarray(found.category) == 1
        np.testing.assert_allclose(found.r, np.where(first, R0, 0.5 - 1e-6), rtol=1e-14)
        half = np.asarray(found.window)[:, 0]
        assert ((half < R0) == first).all()
        assert (np.asarray(found.margins).min((1, 2)) > 0)[half < 0.5 - 1e-6].all()
        assert found.mechanism.r.shape == (300, 2)


def test_proof_of_category_2_in_rationals():
    """Appendix E: S(t) ≥ (7/8)(1 − t²) on its three pieces; the least gaps are (10 − 7√2)/28 at 1/7 and 0 at 1."""
    t, r = np.linspace(0, 1, 70_001), R0
    pieces = np.where(t < 0.5, 3 + 2 * r - t, np.where(t < 1 - r, 5 + 2 * r - 5 * t, 7 - 7 * t)) / 4
    gap = pieces - 7 / 8 * (1 - t**2)
    first = t < 0.5
    assert gap.min() == gap[-1] == 0
    assert t[first][gap[first].argmin()] == pytest.approx(1 / 7, abs=1e-5)
    assert gap[first].min() == pytest.approx((10 - 7 * 2**0.5) / 28, abs=1e-12)
    # The gap of the first piece in the field of a + b√2, with 2r = 2 − √2.
    seventh = Fraction(1, 7)
    rational = (5 - seventh) / 4 - Fraction(7, 8) * (1 - seventh**2)
    assert (rational, Fraction(-1, 4)) == (Fraction(10, 28), Fraction(-7, 28))
    # S is the tail curve of an even split and a quarter of the surplus of one level set.
    with jax.enable_x64(True):
        from fairhand.mechanisms.picking import tail_curve

        curve = np.asarray(tail_curve([0.5, 1.0], t))
    np.testing.assert_allclose(pieces, curve + (r - np.abs(t - (1 - r))) / 4, atol=1e-14)


@pytest.mark.parametrize("items", [1, 16, 17, 23])
def test_few_items_are_refused(items):
    with pytest.raises(ValueError, match="`schedule` gives r = 1/2 - epsilon.*at least 24 items"):
        two_agent_ef(Power(2.0), items)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert two_agent_ef(Power(2.0), 24).mechanism.counts(24)[0] == 1


def test_refusals_travel_under_jit():
    """Where the category is known to the program only."""
    design = jax.jit(lambda a: two_agent_ef(Power(a), 20).r)
    assert design(0.5) == pytest.approx(R0)
    with pytest.raises(Exception, match="`schedule` gives r"):
        jax.block_until_ready(design(2.0))


@pytest.mark.slow
def test_schedules_may_be_constants_or_functions_and_learned():
    law = Power(2.0)
    assert two_agent_ef(law, 100, 0.05).r == 0.45
    assert two_agent_ef(law, 100, lambda m: 1 / m).r == 0.49
    # 0.5 − 0.4 is a little below 0.1 in floating point, and still one item of ten.
    with pytest.warns(UserWarning, match="too few"):
        assert two_agent_ef(law, 10, 0.4).mechanism.counts(10).tolist() == [1, 9]
    slope = jax.grad(lambda power: two_agent_ef(law, 10_000, lambda m: m**-power).ratio)(0.5)
    step = [two_agent_ef(law, 10_000, 10_000**-power).ratio for power in (0.51, 0.49)]
    assert slope == pytest.approx(float(step[0] - step[1]) / 0.02, rel=0.05)


# Equal split


@functools.partial(jax.jit, static_argnums=1)
def least_margins(law, n, grid):
    r = lambda eps: jnp.append(jnp.full(n - 1, 1 / n - eps), 1 / n + (n - 1) * eps)
    return jax.vmap(lambda eps: jnp.min(asymptotics(r(eps), law).margins))(grid)


LAWS = {
    "uniform": ([0.0, 0.2, 0.5, 1.0], [0.0, 0.2, 0.5, 1.0]),
    "near constant": ([0.0, 0.2, 0.5, 1.0], [1.0, 1.1, 1.15, 1.2]),
    "rare fortune": ([0.0, 0.5, 0.97, 1.0], [1.0, 1.02, 1.05, 500.0]),
    "gap": ([0.0, 0.6, 0.601, 1.0], [0.0, 0.01, 1.0, 1.01]),
    "mostly nothing": ([0.0, 0.9, 0.9001, 1.0], [0.0, 1e-4, 1.0, 1.5]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("n", [2, 5])
def test_eps_equals_brute_force(name, n):
    with jax.enable_x64(True):
        law = PiecewiseLinear(*LAWS[name])
        found = equal_split_ef(law, n)
        grid = np.linspace(0, 1 / n, 2001)[1:-1]
        least = np.asarray(least_margins(law, n, grid))
        eps, most, margin = float(found.eps), float(found.eps_max), float(np.min(found.margins))
        ratio = float(found.ratio)
        assert abs(float(found.r.sum()) - 1) < 1e-14
    width = 1 / (2000 * n)
    assert abs(most - grid[least > 0].max()) < 1.01 * width
    assert abs(eps - grid[least.argmax()]) < 1.01 * width
    assert margin >= least.max()
    assert (np.diff(least, 2) < 1e-12 * float(law.mean)).all()  # concave, so that the greatest is the only one
    assert ratio > (n + 1) / (2 * n)


def test_two_agents_may_give_up_to_the_end_of_the_window(dtype):
    law = Power(jnp.asarray(3, dtype))
    found = equal_split_ef(law, 2)
    assert_close(found.eps_max, 0.5 - r_half(law), loosen=2)
    assert_close(found.r, [0.5 - found.eps, 0.5 + found.eps])
    given = equal_split_ef(law, 2, 0.01)
    assert_close(given.r, [0.49, 0.51])
    assert_close(given.mechanism.r, [0.49, 0.51])
    assert (given.margins > 0).all()


@pytest.mark.slow
def test_gradients_of_the_equal_split_match_differences():
    """At 40 the least margin is greatest where it is flat, at 0.5 where two cross."""

    def numbers(x):
        law = PiecewiseLinear(jnp.array([0.0, 0.9, 1.0]), jnp.stack([jnp.ones_like(x), 1.1 + 0 * x, 1.1 + x]))
        found = equal_split_ef(law, 3)
        return jnp.stack([found.eps, found.eps_max, found.ratio])

    with jax.enable_x64(True):
        point = np.array([0.5, 40.0])
        both = jax.jit(jax.vmap(lambda x: (numbers(x), jax.jacrev(numbers)(x))))
        slope, h = both(point)[1], 1e-5 * point
        numeric = (both(point + h)[0] - both(point - h)[0]) / (2 * h)[:, None]
        np.testing.assert_allclose(slope, numeric, rtol=2e-5, atol=1e-9)


def test_equal_split_of_many_agents_works_in_both_precisions(dtype):
    law = Uniform(jnp.asarray(0, dtype), 1)
    found = equal_split_ef(law, 300)
    assert (np.asarray(found.margins) > 0).all()
    assert 0 < found.eps < found.eps_max < 1 / 300
    harmonic = np.sum(1 / np.arange(1, 301))
    assert float(found.ratio) == pytest.approx((1 - harmonic / 600) * 301 / 300, abs=1e-3)


@pytest.mark.slow
def test_over_all_laws_with_no_envy_the_ratio_stays_above_n_plus_1_over_2n():
    generator = np.random.default_rng(3)
    with jax.enable_x64(True):
        laws = random_laws(100, seed=3)
        eps = jax.vmap(lambda law: equal_split_ef(law, 4).eps_max)(laws) * generator.uniform(size=100)
        found = jax.vmap(lambda law, eps: equal_split_ef(law, 4, eps))(laws, eps)
        assert found.ratio.min() > 5 / 8
        assert np.asarray(found.margins).min() > 0


# Correlated values


def copula(law_1, law_2, rho, draws=40_000, seed=0):
    normal = np.random.default_rng(seed).multivariate_normal([0, 0], [[1, rho], [rho, 1]], draws)
    u = scipy.stats.norm.cdf(normal)
    return np.stack([np.asarray(law_1.quantile(u[:, 0])), np.asarray(law_2.quantile(u[:, 1]))], 1)


def test_top_heavier_agent_picks_first():
    steep = Power(4.0)
    joint = copula(Uniform(), steep, 0.95)
    found = correlated_two_agent(Uniform(), steep, joint=joint)
    assert np.asarray(found.order).tolist() == [0, 1]
    assert_close(found.tau, [0.5**0.5, 2**-0.8])
    assert found.r == pytest.approx(R0 + 0.01, abs=1e-6)
    taken = joint[:, 0] >= 1 - found.r
    assert float(found.share) == pytest.approx(joint[taken, 1].sum() / joint[:, 1].sum(), abs=1e-5)
    assert float(found.share) < 0.5
    assert found.mechanism.order == (0, 1)
    turned = correlated_two_agent(steep, Uniform(), joint=joint[:, ::-1])
    assert np.asarray(turned.order).tolist() == [1, 0]
    assert float(turned.share) == float(found.share)
    assert_close(turned.mechanism.r, [found.r, 1 - found.r])
    wrong = joint[:, 1] >= float(
        steep.quantile(2**-0.8 - 0.01)
    )  # with the other first, he takes more than half of her value
    assert joint[wrong, 0].sum() / joint[:, 0].sum() > 0.55


def test_equal_laws_let_agent_0_pick_first_whatever_their_name(dtype):
    one, two = Uniform(jnp.asarray(0, dtype), 1), Power(jnp.asarray(1, dtype))
    for pair in ((one, two), (two, one), (one, one)):
        found = correlated_two_agent(*pair)
        assert np.asarray(found.order).tolist() == [0, 1]
        assert found.share is None
    orders = jax.vmap(lambda law: correlated_two_agent(law, Power(1.0)).order)(Power(jnp.array([0.5, 1.0, 2.0], dtype)))
    assert orders.tolist() == [[0, 1], [0, 1], [1, 0]]


def test_too_large_an_eps_is_told_by_the_sample():
    joint = copula(Uniform(), Uniform(), 0.9)
    with pytest.warns(UserWarning, match="the second agent envies"):
        correlated_two_agent(Uniform(), Uniform(), 0.2, joint)
    twins = np.repeat(joint[:, :1], 2, 1)  # quantiles that agree for certain, which the paper excludes
    with pytest.warns(UserWarning, match="the second agent (may envy|envies)"):
        correlated_two_agent(Uniform(), Uniform(), 0.003, twins)


# Bad input


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: two_agent_ef(Power(2.0), 100, 0.0), "outside \\(0, 1/2\\)"),
        (lambda: two_agent_ef(Power(2.0), 100, 0.5), "outside \\(0, 1/2\\)"),
        (lambda: two_agent_ef(Power(2.0), 100, 0.495), "no item for the first agent"),
        (lambda: two_agent_ef(Power(2.0), 0), "`items` must be a whole number"),
        (lambda: two_agent_ef(Power(0.5), 3), "no item for the first agent"),
        (lambda: two_agent_ef(Discrete([3.0], [1.0]), 100), "`law` is constant"),
        (lambda: two_agent_ef(Uniform(0.0, [1.0, 2.0]), 100), "batch of laws.*vmap"),
        (lambda: equal_split_ef(Uniform(), 1), "`n` must be a whole number"),
        (lambda: equal_split_ef(Uniform(), 3, 0.0), "`eps` must lie inside \\(0, 0.1009"),
        (lambda: equal_split_ef(Uniform(), 3, -0.01), "`eps` must lie inside"),
        (lambda: equal_split_ef(Uniform(), 3, 0.11), "`eps` must lie inside"),
        (lambda: equal_split_ef(Uniform(), 3, np.nan), "`eps` must lie inside"),
        (lambda: equal_split_ef(Uniform(-1, 1), 3), "`law` has values down to -1"),
        (lambda: correlated_two_agent(Uniform(), Uniform(), 0.0), "`eps` must be positive"),
        (lambda: correlated_two_agent(Uniform(), Uniform(), 0.8), "leaves the second agent nothing"),
        (lambda: correlated_two_agent(Uniform(), Discrete([3.0], [1.0])), "`law_2` is constant"),
        (lambda: correlated_two_agent(Uniform(), Uniform(), joint=np.ones((5, 3))), "`joint` must be sampled values"),
    ],
)
def test_bad_input_is_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_what_the_paper_does_not_claim_is_said():
    with pytest.warns(UserWarning, match="`law` is unbounded"):
        two_agent_ef(Exponential(), MANY)
    with pytest.warns(UserWarning, match="`law` has atoms"):
        equal_split_ef(models.Empirical([0.1, 0.5, 0.9]), 3)
    optimal_pick(models.Empirical([0.1, 0.5, 0.9]), 3)  # a plug-in law, as the paper's corollary allows


@pytest.mark.parametrize("name", ["two_agents", "equal_split", "correlated"])
def test_examples_in_the_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(f"fairhand.mechanisms.picking.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
