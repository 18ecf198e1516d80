"""Exact welfare against closed forms, SciPy's order statistics, enumeration in rationals and simulation."""

import math
from fractions import Fraction
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from fairhand.mechanisms.picking import PickR, QuantileThreshold, Ranking, WelfareMax
from fairhand.mechanisms.picking.exact import expected_welfare
from fairhand.mechanisms.picking.interim import interim
from fairhand.models import (
    Beta,
    Discrete,
    Empirical,
    Exponential,
    Mixture,
    Power,
    TruncatedExponential,
    Uniform,
    WorstCaseFamily,
)
from helpers import assert_close

BETA = scipy.stats.beta(2, 5)


def uniform_top(t, m):
    """Expected sum of the t greatest of m uniform values."""
    return t - t * (t + 1) / (2 * (m + 1))


def top(quantile, t, m, jumps=()):
    """Expected sum of the t greatest of m values, by SciPy."""
    chance = lambda u: scipy.special.betainc(m - t, t, u) if 0 < t < m else t / m
    spread = math.sqrt(t * (m - t) / m**3)
    ends = [0, 1, *jumps, *np.clip((m - t) / m + spread * np.array([-9, -3, 0, 3, 9]), 0, 1)]
    pieces = zip(np.sort(ends)[:-1], np.sort(ends)[1:], strict=True)
    part = lambda a, b: scipy.integrate.quad(lambda u: quantile(u) * chance(u), a, b, epsrel=1e-12, limit=200)[0]
    return m * sum(part(a, b) for a, b in pieces if b > a)


@pytest.mark.parametrize("quotas", [(1, 0), (3, 7), (0, 10), (10, 0), (1, 99_999), (123_456, 876_544)])
def test_picks_of_uniform_values(dtype, quotas):
    m = sum(quotas)
    found = expected_welfare(PickR(quotas=quotas), Uniform(), m)
    assert found.dtype == dtype
    assert_close(found, [uniform_top(quotas[0], m), quotas[1] / 2])


def test_picks_follow_the_order_and_r_is_rounded_down():
    with jax.enable_x64(True):
        found = expected_welfare(PickR([0.3, 0.3, 0.4], order=[2, 0, 1]), Uniform(), 12)
        assert_close(found, [uniform_top(4, 9), 5 / 2, uniform_top(3, 12)])


@pytest.mark.slow
@pytest.mark.parametrize(("t", "m"), [(3, 10), (1, 1000), (400, 1000), (999, 1000), (40_000, 100_000)])
def test_picks_of_beta_values_match_scipy(t, m):
    with jax.enable_x64(True):
        found = expected_welfare(PickR(quotas=[t, m - t]), Beta(2.0, 5.0), m)
        np.testing.assert_allclose(found, [top(BETA.ppf, t, m), (m - t) * 2 / 7], rtol=1e-10)


@pytest.mark.parametrize(("t", "m"), [(3, 10), (1, 1000), (999, 1000), (40_000, 100_000)])
def test_picks_of_values_with_a_power_law_match_scipy(t, m):
    with jax.enable_x64(True):
        found = expected_welfare(PickR(quotas=[t, m - t]), Power(0.5), m)
        np.testing.assert_allclose(found, [top(np.square, t, m), (m - t) / 3], rtol=1e-10)


@pytest.mark.parametrize(("t", "m"), [(2, 5), (29, 100), (5_000, 100_000)])
@pytest.mark.parametrize("p", [1e-4, 0.1])
def test_picks_across_jumps_of_the_quantile_match_scipy(p, t, m):
    with jax.enable_x64(True):
        delta, q = 0.01, 2 - math.sqrt(2)
        rest = 1 - p - q

        def quantile(u):
            level = [(0.0, 0.0, rest), (1.0, rest, q), ((1 - q) / p, 1 - p, p)][int(u >= rest) + int(u >= 1 - p)]
            return level[0] + delta * (u - level[1]) / level[2]

        found = expected_welfare(PickR(quotas=[t, m - t]), WorstCaseFamily(p, delta, q), m)
        np.testing.assert_allclose(found, [top(quantile, t, m, (rest, 1 - p)), (m - t) * (1 + delta / 2)], rtol=1e-10)


@pytest.mark.parametrize(
    "law",
    [
        Exponential(1.0),
        WorstCaseFamily(1e-6, 1e-6),
        pytest.param(Power(0.05), marks=pytest.mark.slow),
        pytest.param(TruncatedExponential(1000.0), marks=pytest.mark.slow),
        pytest.param(Beta(0.1, 0.2), marks=pytest.mark.slow),
        pytest.param(Mixture([0.5, 0.5], [Discrete([0.0, 0.3], [0.5, 0.5]), Beta(2.0, 2.0)]), marks=pytest.mark.slow),
    ],
)
def test_one_pick_is_worth_the_expected_maximum(law):
    with jax.enable_x64(True):
        for m in (2, 1000, 100_000):
            found = expected_welfare(PickR(quotas=[1, m - 1]), law, m)
            np.testing.assert_allclose(found, [law.expected_max(m), (m - 1) * law.mean], rtol=1e-11)


@pytest.mark.parametrize("r", [0.05, (2 - math.sqrt(2)) / 2, 0.58])
def test_every_r_between_p_and_p_plus_q_is_optimal_on_the_worst_case(r):
    # so that the instance makes r0 one of a continuum of optima, at 2 − q − p an item, up to noise
    with jax.enable_x64(True):
        p, delta, m, q = 1e-2, 1e-6, 100_000, 2 - math.sqrt(2)
        value = lambda r: float(expected_welfare(PickR(r), WorstCaseFamily(p, delta), m).sum()) / m
        assert abs(value(r) - (2 - q - p)) < 1e-6
        assert value(0.7) < 2 - q - p - 0.05
        assert value(0.005) < 2 - q - p - 0.05


def test_picks_of_unbounded_values():
    with jax.enable_x64(True):
        found = expected_welfare(PickR(quotas=[2, 3]), Exponential(1.0), 5)
        steps = [1 / k for k in range(5, 0, -1)]  # gaps of exponential order statistics
        assert_close(found, [sum(steps) + sum(steps[:-1]), 3.0], loosen=100)


@pytest.mark.parametrize("quotas", [(1, 2), (2, 1), (3, 0)])
def test_picks_of_tied_values_equal_enumeration_of_all_profiles(quotas):
    values, chances = [0.0, 1.0, 3.0], [Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)]
    profiles = np.array(list(product(range(3), repeat=6))).reshape(-1, 2, 3)
    bids, rule = np.array(values)[profiles], PickR(quotas=quotas)
    mine = (bids * np.asarray(rule.allocate(bids).shares)).sum(-1)
    weight = np.array([float(math.prod(chances[k] for k in row)) for row in profiles.reshape(-1, 6).tolist()])
    with jax.enable_x64(True):
        found = expected_welfare(rule, Discrete(values, [float(c) for c in chances]), 3)
        assert_close(found, weight @ mine, loosen=10)


@pytest.mark.parametrize("m", [1, 7, 1000])
def test_picks_from_samples_are_those_of_order_statistics(m):
    samples = np.random.default_rng(0).random(50) ** 2
    t = (m + 2) // 3
    with jax.enable_x64(True):
        found = expected_welfare(PickR(quotas=[t, m - t]), Empirical(samples), m)
    if t == m:
        assert abs(float(found[0]) - m * samples.mean()) < 1e-12
        return
    # ∫ I_u(M − t, t) over a step of the quantile, in closed form
    a, u = m - t, np.arange(51) / 50
    area = u * scipy.special.betainc(a, t, u) - a / m * scipy.special.betainc(a + 1, t, u)
    np.testing.assert_allclose(found[0], m * np.sort(samples) @ np.diff(area), rtol=1e-10)


def simulate(rule, law, n, m, populations=4000):
    draws = law.sample((populations, n, m), key=jax.random.key(7))
    mine = np.asarray((draws * rule.allocate(draws).shares).sum(-1), float)
    return mine.mean(0), 4 * mine.std(0) / math.sqrt(populations)


GAPS = WorstCaseFamily(0.1, 0.2, 0.5)


@pytest.mark.parametrize(
    ("rule", "law"),
    [
        (PickR([0.2, 0.5, 0.3], order=[1, 2, 0]), GAPS),
        (Ranking(), GAPS),
        (QuantileThreshold([0.2, 0.0, 1.0], GAPS), GAPS),
        (QuantileThreshold([0.2, 0.5, 1.0], Uniform(0.0, 1.1)), GAPS),
        (PickR([0.2, 0.5, 0.3]), Discrete([0.0, 0.5, 0.7], [0.2, 0.3, 0.5])),
    ],
)
def test_simulation_agrees_within_four_standard_errors(rule, law):
    n, m = 3, 12
    mean, bound = simulate(rule, law, n, m)
    found = np.asarray(expected_welfare(rule, law, m, n))
    assert (np.abs(found - mean) <= bound + 1e-5).all()
    assert (np.abs(found * 1.1 - mean)[found > 0] > bound[found > 0]).all()  # one could tell


@pytest.mark.parametrize("m", [1, 2, 10, 1_000_000])
def test_ranking_of_two_uniform_agents(dtype, m):
    found = expected_welfare(Ranking(), Uniform(), m, agents=2)
    assert found.dtype == dtype
    assert_close(found.sum(), 2 * m / 3 - 1 / 6)
    assert_close(found, [(m - 1) / 3 + 1 / 2, (m - 1) / 3])


@pytest.mark.parametrize(("n", "m"), [(3, 1), (3, 2), (5, 3), (5, 40)])
def test_ranking_is_the_sum_over_places(n, m):
    with jax.enable_x64(True):
        chance = np.asarray(interim(Ranking(), n, m))
        place = np.arange(1, m + 1)
        assert_close(expected_welfare(Ranking(), Uniform(), m, n), chance @ (1 - place / (m + 1)), loosen=10)
        # t-th greatest of m values of Power(a): the mean of B^(1/a) for B ~ Beta(m − t + 1, t)
        mean = np.exp(scipy.special.betaln(m - place + 1 + 1 / 0.4, place) - scipy.special.betaln(m - place + 1, place))
        assert_close(expected_welfare(Ranking(), Power(0.4), m, n), chance @ mean, loosen=1e3)


def test_ranking_approaches_the_best_welfare_and_takes_many_agents():
    with jax.enable_x64(True):
        for n, m, least in [(2, 100, 0.99), (2, 10_000, 0.9999), (300, 1_000_000, 0.9995)]:
            ratio = float(expected_welfare(Ranking(), Uniform(), m, n).sum() / (m * n / (n + 1)))
            assert least < ratio < 1


def test_thresholds_have_their_closed_form(dtype):
    rule = QuantileThreshold(np.asarray([0.5, 1.0], dtype), Uniform())
    assert_close(expected_welfare(rule, Uniform(), 8), [3.0, 2.0])
    assert_close(expected_welfare(rule, rule.law, 8), [3.0, 2.0])
    assert_close(expected_welfare(rule, Uniform(0.0, 2.0), 8), [8 * 0.75 * 1.25, 8 * 0.25 * 1.0])


def slopes(value, at, step=1e-4):
    """Derivative by JAX, and by central differences of the fourth order."""
    by_jax = jax.jit(jax.grad(value))(at)
    moves = step * np.eye(at.size)
    far = lambda k, e: value(at + k * e)
    by_hand = [(8 * (far(1, e) - far(-1, e)) - far(2, e) + far(-2, e)) / (12 * step) for e in moves]
    return np.asarray(by_jax), np.array(by_hand)


@pytest.mark.slow
def test_slopes_in_the_shapes_of_a_beta_law_match_finite_differences():
    with jax.enable_x64(True):
        picks = lambda p: expected_welfare(PickR(quotas=[3, 4, 5]), Beta(p[0], p[1]), 12) @ jnp.array([1.0, 2.0, 0.5])
        np.testing.assert_allclose(*slopes(picks, jnp.array([2.0, 5.0])), rtol=1e-7)


def test_slopes_in_the_law_match_finite_differences():
    with jax.enable_x64(True):
        steps = lambda p: expected_welfare(PickR(quotas=[3, 9]), WorstCaseFamily(p[0], p[1]), 12)[0]
        np.testing.assert_allclose(*slopes(steps, jnp.array([0.05, 0.1])), rtol=1e-7)
        ranked = lambda p: expected_welfare(Ranking(), Uniform(p[0], p[1]), 12, 3).sum()
        np.testing.assert_allclose(*slopes(ranked, jnp.array([0.2, 0.9])), rtol=1e-7)


@pytest.mark.slow
def test_real_quotas_join_the_whole_ones_smoothly():
    with jax.enable_x64(True):
        value = lambda r: expected_welfare(PickR(r), Power(0.5), 20, smooth=True)
        for t in ([4, 6, 10], [0, 20, 0], [20, 0, 0]):
            whole = expected_welfare(PickR(quotas=t), Power(0.5), 20)
            assert_close(value(np.array(t) / 20), whole, loosen=10)
        total = lambda x: value(jnp.array([x[0], x[1], 1 - x[0] - x[1]])).sum()
        np.testing.assert_allclose(*slopes(total, jnp.array([0.23, 0.37])), rtol=1e-7)
        between = float(total(jnp.array([0.225, 0.3])))
        assert float(total(jnp.array([0.2, 0.3]))) < between < float(total(jnp.array([0.25, 0.3])))


def test_slopes_in_real_quotas_are_finite_where_somebody_gets_all_or_nothing():
    with jax.enable_x64(True):
        total = lambda r: expected_welfare(PickR(jnp.stack([r, 1 - r])), Uniform(), 20, smooth=True).sum()
        slope = jax.jit(jax.vmap(jax.grad(total)))(jnp.array([0.0, 1.0]))
        # t − t (t + 1)/42 + (20 − t)/2 at t = 20 r
        assert_close(slope, [20 * (0.5 - 1 / 42), 20 * (0.5 - 41 / 42)], loosen=100)


def test_the_best_real_quota_tends_to_that_of_many_items():
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(lambda r: expected_welfare(PickR(r), Power(2.0), 10_000, smooth=True).sum()))
        best = 1 - (2 / 3) ** 2  # 1 − F(mean)
        assert slope(best - 1e-3) > 0 > slope(best + 1e-3)


def test_a_posterior_of_laws_is_mapped_over():
    with jax.enable_x64(True):
        high = jnp.array([0.5, 1.0, 2.0])
        laws = Uniform(jnp.zeros(3), high)
        picks = jax.jit(jax.vmap(lambda law: expected_welfare(PickR(0.3), law, 10)))(laws)
        assert_close(picks, high[:, None] * np.array([[uniform_top(3, 10), 3.5]]))
        ranked = jax.jit(jax.vmap(lambda law: expected_welfare(Ranking(), law, 10, 2).sum()))(laws)
        assert_close(ranked, high * 6.5)


@pytest.mark.parametrize(
    ("rule", "law", "items", "agents", "smooth", "name"),
    [
        (WelfareMax(), Uniform(), 3, 2, False, "mechanism"),
        (PickR(0.5).soften(0.1), Uniform(), 3, None, False, "mechanism"),
        (PickR(0.5), Uniform(), 0, None, False, "items"),
        (PickR(0.5), Uniform(), 3, 3, False, "agents"),
        (PickR(quotas=[1, 1]), Uniform(), 3, None, False, "quotas"),
        (PickR(quotas=[1, 1]), Uniform(), 2, None, True, "smooth"),
        (PickR([[0.5, 0.5]]), Uniform(), 2, None, False, "mechanism"),
        (Ranking(), Uniform(), 3, None, False, "agents"),
        (Ranking(), Uniform(), 3, 1, False, "agents"),
        (Ranking(), Empirical([0.1, 0.2]), 3, 2, False, "law"),
        (QuantileThreshold([0.5, 1.0], Uniform()), Uniform(), 3, 3, False, "agents"),
    ],
)
def test_bad_input_is_refused_by_name(rule, law, items, agents, smooth, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        expected_welfare(rule, law, items, agents, smooth=smooth)
