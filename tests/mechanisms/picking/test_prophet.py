"""Prophets and the guarantees for all laws: closed forms, a linear programme, brute force, and what the paper misprints."""

import doctest
import importlib
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats

from fairhand import models
from fairhand.mechanisms.picking import (
    QuantileThreshold,
    asymptotics,
    distribution_free_r,
    hill_kertz,
    kertz_beta,
    optimal_pick,
    pick_from_stopping_rule,
    r_half,
    stopping_rule_from_pick,
    tail_curve,
)
from fairhand.models import Discrete, Empirical, Exponential, Power, TruncatedExponential, Uniform
from helpers import assert_close

# The constants


def best_guarantee_by_linear_programme(n, levels=201):
    """Most α with Σ min(r_i, R_i x) ≥ α (1 − (1 − x)^n) on a grid of x, by HiGHS: an upper bound of 1/a_n, and its r."""
    x = np.concatenate([np.geomspace(1e-5, 0.05, levels // 2), np.linspace(0.05, 1, levels - levels // 2)])
    k = x.size
    columns = 1 + n + n * k  # alpha, r, collected[i, t]
    rows, right = [], []
    for i in range(n):
        for t in range(k):
            by_share, by_level = np.zeros(columns), np.zeros(columns)
            by_share[1 + n + i * k + t] = by_level[1 + n + i * k + t] = 1
            by_share[1 + i] = -1
            by_level[1 + i : 1 + n] = -x[t]  # R_i = Σ_{l ≥ i} r_l
            rows += [by_share, by_level]
            right += [0, 0]
    for t in range(k):
        row = np.zeros(columns)
        row[0] = -np.expm1(n * np.log1p(-min(x[t], 1 - 1e-16)))
        row[1 + n + t :: k] = -1
        rows.append(row)
        right.append(0)
    total = np.zeros((1, columns))
    total[0, 1 : 1 + n] = 1
    objective = np.zeros(columns)
    objective[0] = -1
    found = scipy.optimize.linprog(objective, np.array(rows), right, total, [1], method="highs")
    return found.x[0], found.x[1 : 1 + n]


@pytest.mark.parametrize("n", [2, 3])
def test_constant_and_fractions_equal_a_linear_programme(n):
    alpha, r = best_guarantee_by_linear_programme(n)
    best = distribution_free_r(n)
    assert best.guarantee <= alpha + 1e-9
    np.testing.assert_allclose(best.guarantee, alpha, atol=2e-4)
    np.testing.assert_allclose(best.r, r, atol=1e-3)


def test_constants_fall_to_the_limit_of_kertz():
    values = [1 / hill_kertz(n) for n in (2, 3, 4, 5, 10, 100, 1000)]
    assert values[0] == pytest.approx((2 + 2**0.5) / 4, abs=1e-14)
    assert (np.diff(values) < 0).all()
    assert kertz_beta() < values[-1] < kertz_beta() + 3e-4
    assert values[1] > 0.745 + 0.05  # the limit is not the constant of few agents


def test_both_equations_give_kertz_beta():
    assert kertz_beta() == pytest.approx(0.745440, abs=5e-7)
    assert kertz_beta("ode") == pytest.approx(kertz_beta(), abs=1e-11)
    speed = lambda y, b: 1 / (y * (1 - np.log(y)) + b - 1)
    assert scipy.integrate.quad(speed, 0, 1, args=(1 / kertz_beta(),))[0] == pytest.approx(1, abs=1e-7)


def test_the_integral_equation_as_printed_is_singular():
    """With β itself in it, the denominator changes sign inside (0, 1)."""
    denominator = lambda y: y * (1 - np.log(y)) + kertz_beta() - 1
    assert denominator(1e-3) < 0 < denominator(0.5)


# Without a law


def test_two_agents_get_the_tight_share():
    best = distribution_free_r(2)
    np.testing.assert_allclose(best.r, [1 - 0.5**0.5, 0.5**0.5], rtol=1e-14)
    np.testing.assert_allclose(best.quantiles, [1, 2**0.5 - 1], rtol=1e-14)


@pytest.mark.parametrize("n", [3, 10, 1000])
def test_every_piece_of_the_tail_curve_touches_the_guarantee(n):
    best = distribution_free_r(n)
    t, s = best.quantiles, best.s
    assert best.r.sum() == pytest.approx(1, abs=1e-14)
    assert (best.r > 0).all()
    assert s[-1] == 1
    assert t[0] == 1
    assert (np.diff(t) < 0).all()
    with jax.enable_x64(True):
        curve = np.asarray(tail_curve(s, t))
        everywhere = np.asarray(tail_curve(s, np.linspace(0, 1, 500)))
    np.testing.assert_allclose(curve, best.guarantee * -np.expm1(n * np.log(t)), rtol=1e-8, atol=1e-13)
    assert (everywhere - best.guarantee * (1 - np.linspace(0, 1, 500) ** n)).min() > -1e-12
    assert (np.diff(s) > 0).all()
    assert (1 - s[:-1] < t[:-1]).all()  # each touches inside its own piece, between two kinks 1 − s
    assert (1 - s[:-1] > t[1:]).all()


def test_fractions_equal_their_definition():
    n, best = 7, distribution_free_r(7)
    t = best.quantiles
    reached = 1 - best.guarantee * (1 - n * t ** (n - 1) + (n - 1) * t**n)
    np.testing.assert_allclose(best.r, -np.diff(np.append(reached, 0)), atol=1e-14)


# With a law


def test_uniform_programme_is_the_known_one(dtype):
    law = Uniform(jnp.asarray(0, dtype), 1)
    best = optimal_pick(law, 4)
    v = [0.5, 0.625, 0.6953125, (1 + 0.6953125**2) / 2]
    assert_close(best.values, v)
    assert_close(best.s, [1 - v[2], 1 - v[1], 1 - v[0], 1])
    assert_close(best.ratio, v[3] / 0.8)
    assert_close(optimal_pick(law, 2).ratio, 15 / 16)
    assert best.values.dtype == dtype


def test_thresholds_equal_brute_force_and_flatten_the_welfare():
    with jax.enable_x64(True):
        law = Power(0.4)
        best = optimal_pick(law, 3)
        assert float(jnp.sum(best.r)) == pytest.approx(1, abs=1e-14)
        np.testing.assert_allclose(asymptotics(best.r, law).ratio, best.ratio, rtol=1e-12)
        # Q(1 − s_i) is what an item is worth that goes on: where the exact quantile gradient vanishes.
        np.testing.assert_allclose(law.quantile(1 - best.s[:2]), best.values[1::-1], rtol=1e-10)
        grid = np.linspace(0.01, 0.99, 99)
        held, mean = np.asarray(law.tail_integral(1 - grid)), float(law.mean)
        value, s = float(best.values[-1]), np.asarray(best.s)
    welfare = held[:, None] + (1 - grid[:, None]) * (held[None] + (1 - grid[None]) * mean)
    i, j = np.unravel_index(welfare.argmax(), welfare.shape)
    assert welfare.max() <= value
    np.testing.assert_allclose(welfare.max(), value, atol=1e-4)
    np.testing.assert_allclose([grid[i], grid[j]], s[:2], atol=0.01)


def test_every_law_beats_the_guarantee():
    generator = np.random.default_rng(0)
    with jax.enable_x64(True):
        laws = models.Mixture(
            [0.6, 0.4], [Power(generator.gamma(1, 1, 200) + 0.01), Uniform(0.0, generator.exponential(5, 200))]
        )
        axes = jax.tree.map(lambda leaf: 0 if leaf.shape == (200,) else None, laws)
        ratios = jax.vmap(lambda law: optimal_pick(law, 3).ratio, (axes,))(laws)
        assert ratios.min() > distribution_free_r(3).guarantee


def test_power_has_closed_forms_and_posterior_push_forwards():
    """Minus the logarithm of a draw is exponential: a gamma prior gives a gamma posterior, and its quantiles stand for draws."""
    data = np.random.default_rng(1).uniform(size=40) ** (1 / 2.5)
    posterior = scipy.stats.gamma(2 + 40, scale=1 / (1 - np.log(data).sum()))
    a = posterior.ppf((np.arange(400) + 0.5) / 400)
    exact = {
        "r": lambda a: 1 - (a / (a + 1)) ** a,
        "half": lambda a: 1 - 2 ** (-a / (a + 1)),
        "ratio": lambda a: (a / (a + 1) + a / (a + 1) ** 2 * (a / (a + 1)) ** a) * (2 * a + 1) / (2 * a),
    }
    with jax.enable_x64(True):

        def push(law):
            best = optimal_pick(law, 2)
            return {"r": best.r[0], "half": r_half(law), "ratio": best.ratio}

        pushed = jax.vmap(push)(Power(a))
        for name, formula in exact.items():
            np.testing.assert_allclose(pushed[name], formula(a), rtol=1e-12)
            mean = scipy.integrate.quad(lambda x, f=formula: f(x) * posterior.pdf(x), 0.2, 12, points=[2, 3])[0]
            np.testing.assert_allclose(np.mean(pushed[name]), mean, rtol=1e-5)
        plugged = exact["ratio"](posterior.mean())
        assert abs(np.mean(pushed["ratio"]) - plugged) > 1e-5  # the push-forward of the mean is another number


@pytest.mark.slow
def test_gradients_in_the_parameters_match_differences():
    def numbers(x):
        best = optimal_pick(TruncatedExponential(x[0], x[1]), 3)
        return jnp.concatenate([best.r[:2], best.values, best.ratio[None]])

    point = np.array([2.0, 3.5])
    with jax.enable_x64(True):
        numbers = jax.jit(numbers)
        numeric = np.stack([(numbers(point + h) - numbers(point - h)) / 2e-6 for h in 1e-6 * np.eye(2)], -1)
        np.testing.assert_allclose(jax.jacfwd(numbers)(point), numeric, rtol=1e-6, atol=1e-8)


def test_scale_does_not_matter_and_a_thousand_agents_fit(dtype):
    one, ten = (optimal_pick(Uniform(jnp.asarray(0, dtype), high), 1000) for high in (1.0, 10.0))
    assert_close(ten.r, one.r, loosen=30)
    assert_close(ten.ratio, one.ratio)
    assert_close(one.r.sum(), 1, loosen=10)
    # Moser's sequence: 1 − V_n is 2 / (n + log n + 1.76799…), to order log n / n³.
    assert float(1 - one.values[-1]) == pytest.approx(2 / (1000 + np.log(1000) + 1.76799), rel=1e-4)


def test_plug_in_law_of_a_sample_is_dynamic_programming_over_its_atoms():
    sample = [Fraction(k) for k in (1, 1, 4, 6)]
    value, values = Fraction(0), []
    for _ in range(3):
        value = sum(max(x, value) for x in sample) / 4
        values.append(value)
    best = optimal_pick(Empirical([float(x) for x in sample]), 3)
    assert_close(best.values, [float(v) for v in values])
    assert_close(best.s, [0.5, 0.5, 1.0])  # 4 and 6 exceed V_2 = 33/8 and V_1 = 3: one of four, two of four


def test_an_unbounded_law_is_programmed_with_a_warning(dtype):
    """Of Exp(1), V_{k+1} = V_k + exp(−V_k), and the mean of the best of n is the harmonic number."""
    with pytest.warns(UserWarning, match="`law` is unbounded"):
        best = optimal_pick(Exponential(jnp.asarray(1, dtype)), 4)
    v = [1.0]
    for _ in range(3):
        v.append(v[-1] + np.exp(-v[-1]))
    assert_close(best.values, v)
    assert_close(best.ratio, v[-1] / (1 + 1 / 2 + 1 / 3 + 1 / 4))


# Stopping rules


def test_pick_dominates_randomised_rules_that_may_never_stop():
    """A rule that accepts x of U[0, 1] at draw i with probability c_i x^k: all its numbers are fractions."""
    generator = np.random.default_rng(2)
    for c, k in [(generator.uniform(size=4), k) for k in (0, 1, 3)] + [(np.array([0.2, 0.5, 0.9, 1.0]), 0)]:
        reach = np.append(1.0, np.cumprod(1 - c[:-1] / (k + 1)))
        z, reward = reach * c / (k + 1), np.sum(reach * c / (k + 2))
        found = pick_from_stopping_rule(z)
        np.testing.assert_allclose(found.r[:-1], z[:-1])
        assert np.sum(found.r) == pytest.approx(1)
        assert float(asymptotics(found.r, Uniform()).welfare) > reward + 1e-3
    assert found.r[-1] == pytest.approx(z[-1])  # the last of them always stops, and r is z


def test_thresholds_survive_the_round_trip():
    r = np.array([0.2, 0.0, 0.3, 0.5])
    rule = stopping_rule_from_pick(r)
    back = pick_from_stopping_rule(rule.z)
    assert_close(np.asarray(back.r), r)
    assert_close(rule.s, [0.2, 0.0, 0.375, 1])
    assert_close(rule.quantiles, [0.8, 1.0, 0.625, 0])
    assert_close(back.mechanism.r, r)


def test_thresholds_and_stopping_select_the_same_index(key):
    law, rule = Power(0.7), stopping_rule_from_pick([0.2, 0.3, 0.5])
    values = law.sample((3, 500), key=key)
    owner = QuantileThreshold(rule.s, law).allocate(values).shares.argmax(0)
    cut = np.append(np.asarray(law.quantile(rule.quantiles[:2])), -1)
    stopped = [next(i for i in range(3) if column[i] >= cut[i]) for column in np.asarray(values).T]
    assert owner.tolist() == stopped


# Bad input


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: hill_kertz(1), "`n` must be a whole number, at least 2"),
        (lambda: optimal_pick(Uniform(), 1), "`n` must be a whole number, at least 2"),
        (lambda: optimal_pick(Discrete([2.0], [1.0]), 3), "`law` is constant"),
        (lambda: optimal_pick(Uniform(-1, 1), 3), "`law` has values down to -1"),
        (lambda: optimal_pick(Uniform(0.0, [1.0, 2.0]), 3), "batch of laws.*vmap"),
        (lambda: kertz_beta("magic"), '`method` must be "integral" or "ode"'),
        (lambda: pick_from_stopping_rule([0.5, 0.6]), "`z` must not sum to more than 1"),
        (lambda: pick_from_stopping_rule([0.5, -0.1]), "`z` must not be negative"),
        (lambda: pick_from_stopping_rule([0.5, np.nan]), "`z` must not be negative"),
        (lambda: pick_from_stopping_rule(0.5), "`z` needs one entry a draw"),
        (lambda: stopping_rule_from_pick([0.5, 0.4]), "`r` must sum to 1"),
    ],
)
def test_bad_input_is_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("name", ["prophet", "prior_free"])
def test_examples_in_the_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(f"fairhand.mechanisms.picking.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
