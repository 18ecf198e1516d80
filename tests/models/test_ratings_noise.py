"""Noisy and rounded ratings: probabilities against SciPy's quadrature, and latent values against their exact law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from fairhand.models import Beta, Power
from fairhand.models.ratings import _noise
from fairhand.models.ratings._copula import given_stated, log_copula, scores

CUTS = np.linspace(0, 1, 6)
LAWS = {"bell": (Beta(2.0, 5.0), scipy.stats.beta(2, 5)), "power": (Power(0.4), scipy.stats.beta(0.4, 1))}
SLOW = pytest.param("bell", marks=pytest.mark.slow)  # the incomplete beta function takes seconds to compile
steps, points = jax.jit(_noise.log_steps), jax.jit(_noise.log_points)
draw_steps, draw_points = jax.jit(_noise.draw_steps), jax.jit(_noise.draw_points)


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        yield


def integral(given, law, around=(), sd=0.0):
    """Of given(x) over the law, by adaptive quadrature between points where it may change fast."""
    fast = [x + sd * z for x in around for z in (-8, -4, -2, -1, 0, 1, 2, 4, 8)]
    ends, of = np.unique(np.clip([0, *10.0 ** np.arange(-9, 0), *fast, 1], 0, 1)), lambda x: given(x) * law.pdf(x)
    if law.pdf(0.0) == np.inf:  # then in its quantiles
        ends, of = law.cdf(ends), lambda u: given(law.ppf(u))
    quad = lambda low, high: scipy.integrate.quad(of, low, high, epsabs=1e-13, epsrel=1e-9)[0]
    return sum(quad(low, high) for low, high in zip(ends[:-1], ends[1:], strict=True))


@pytest.mark.parametrize("name", ["power", SLOW])
def test_rounding_alone_gives_differences_of_the_cdf(name):
    law, referee = LAWS[name]
    found = np.exp(steps(law, jnp.asarray(CUTS), None))
    np.testing.assert_allclose(found, np.diff(referee.cdf(CUTS)), rtol=1e-12)


@pytest.mark.parametrize("name", ["power", SLOW])
def test_noisy_steps_match_quadrature(name):
    law, referee = LAWS[name]
    ends = np.array([-np.inf, *CUTS[1:-1], np.inf])
    for sd in (1e-4, 0.03, 0.5):
        found = np.exp(steps(law, jnp.asarray(CUTS), sd))
        share = lambda k, sd=sd: lambda x: np.diff(scipy.stats.norm.cdf((ends[k : k + 2] - x) / sd))[0]
        expected = [integral(share(k), referee, CUTS[1:-1], sd) for k in range(5)]
        np.testing.assert_allclose(found, expected, atol=1e-8)
        np.testing.assert_allclose(found.sum(), 1, rtol=1e-12)


@pytest.mark.parametrize("name", ["power", SLOW])
def test_noisy_points_match_quadrature(name):
    law, referee = LAWS[name]
    y, norm = np.array([0.0, 0.1, 0.35, 0.9, 1.0]), scipy.stats.norm
    for sd in (1e-3, 0.1):
        given = [
            lambda x, sd=sd: norm.cdf(-x / sd),
            *(lambda x, v=v, sd=sd: norm.pdf((v - x) / sd) / sd for v in y[1:-1]),
            lambda x, sd=sd: norm.sf((1 - x) / sd),
        ]
        expected = [integral(g, referee, [v], sd) for g, v in zip(given, y, strict=True)]
        np.testing.assert_allclose(np.exp(points(law, jnp.asarray(y), sd)), expected, rtol=1e-6)


def test_ends_and_the_density_between_are_all_there_is():
    y = np.linspace(0, 1, 2001)
    found = np.exp(points(Power(2.0), jnp.asarray(y), 0.1))
    assert abs(found[0] + found[-1] + found[1:-1].sum() / 2000 + found[[1, -2]].sum() / 4000 - 1) < 1e-5


def test_slopes_are_finite_down_to_no_error():
    @jax.jit
    @jax.value_and_grad
    def total(sd):
        some = jnp.sum(_noise.log_steps(Power(2.0), jnp.asarray(CUTS), sd))
        return some + jnp.sum(_noise.log_points(Power(2.0), jnp.array([0.0, 0.2, 0.7, 1.0]), sd))

    for sd in (1e-5, 0.02, 0.1, 0.5):
        step = 1e-4 * sd
        expected = (total(sd + step)[0] - total(sd - step)[0]) / (2 * step)
        assert abs(total(sd)[1] / expected - 1) < 1e-4


def worst_level(values, u, weight, law):
    """How far the values are from the quantiles `u` of the law weighted by `weight`."""
    x = np.unique(np.concatenate([law.ppf(np.linspace(0, 1, 20_001)), np.linspace(0, 1, 200_001)]))
    mass = np.diff(law.cdf(x)) * weight((x[1:] + x[:-1]) / 2)
    below = np.concatenate([[0.0], np.cumsum(mass)])
    return np.abs(np.interp(values, x, below / below[-1]) - u).max()


@pytest.mark.parametrize("name", ["power", SLOW])
def test_latent_values_given_a_rating_follow_their_exact_law(name):
    law, referee = LAWS[name]
    u, sd, norm = np.linspace(1e-4, 1 - 1e-4, 2001), 0.1, scipy.stats.norm
    weights = {
        0.0: lambda x: norm.sf(x / sd),
        0.4: lambda x: norm.pdf((x - 0.4) / sd),
        1.0: lambda x: norm.sf((1 - x) / sd),
    }
    for y, weight in weights.items():
        found = np.asarray(draw_points(law, jnp.full(u.shape, y), sd, jnp.asarray(u)))
        assert worst_level(found, u, weight, referee) < 1e-4
        assert np.all(np.diff(found) > 0)


@pytest.mark.parametrize("name", ["power", SLOW])
@pytest.mark.parametrize("sd", [None, 0.1])
def test_latent_values_given_a_step_follow_their_exact_law(name, sd):
    law, referee = LAWS[name]
    u = np.linspace(1e-4, 1 - 1e-4, 2001)
    found = np.asarray(draw_steps(law, jnp.asarray(CUTS), sd, jnp.full(u.shape, 4), jnp.asarray(u)))
    weight = lambda x: x >= 0.8 if sd is None else scipy.stats.norm.sf((0.8 - x) / sd)
    assert worst_level(found, u, weight, referee) < 1e-4


def test_what_is_reported_is_the_nearest_step_or_is_cut_off():
    x, error = jnp.array([0.05, 0.39, 0.41, 0.99]), jnp.array([-3.0, 0.0, 0.5, 2.0])
    assert _noise.report(jnp.asarray(CUTS), 0.1, x, error).tolist() == [0, 1, 2, 4]
    assert _noise.report(jnp.asarray(CUTS), None, x, error).tolist() == [0, 1, 2, 4]
    np.testing.assert_allclose(_noise.report(jnp.zeros(0), 0.1, x, error), [0, 0.39, 0.46, 1])


copula, conditional = jax.jit(log_copula), jax.jit(given_stated)
CORRELATION = np.array([[1.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 1.0]])


def test_the_copula_is_the_joint_normal_over_its_marginals():
    z = np.random.default_rng(0).normal(size=(3, 7))
    found = copula(jnp.asarray(CORRELATION), jnp.asarray(z), jnp.ones((3, 7), bool))
    joint = scipy.stats.multivariate_normal(np.zeros(3), CORRELATION).logpdf(z.T)
    np.testing.assert_allclose(found, joint - scipy.stats.norm.logpdf(z).sum(0), rtol=1e-12, atol=1e-13)


def test_who_stated_nothing_leaves_the_copula_of_the_others():
    z = np.random.default_rng(1).normal(size=(3, 7))
    stated = np.array([[True], [False], [True]]) & np.ones((3, 7), bool)
    found = copula(jnp.asarray(CORRELATION), jnp.asarray(z), jnp.asarray(stated))
    pair, two = CORRELATION[np.ix_([0, 2], [0, 2])], z[[0, 2]]
    joint = scipy.stats.multivariate_normal(np.zeros(2), pair).logpdf(two.T)
    np.testing.assert_allclose(found, joint - scipy.stats.norm.logpdf(two).sum(0), rtol=1e-12, atol=1e-13)


def test_scores_given_the_stated_ones_have_the_conditional_moments():
    n = 200_000
    stated = np.array([True, False, True])
    z = np.where(stated, [0.7, 0.0, -1.2], 0.0)
    free = np.linalg.cholesky(CORRELATION) @ np.random.default_rng(2).normal(size=(3, n))
    wide = lambda x: jnp.broadcast_to(jnp.asarray(x)[:, None], (3, n))
    found = np.asarray(conditional(jnp.asarray(CORRELATION), wide(z), wide(stated), jnp.asarray(free)))
    assert np.all(found[stated] == z[stated][:, None])
    known = CORRELATION[np.ix_(stated, stated)]
    across = CORRELATION[1, stated]
    mean = across @ np.linalg.solve(known, z[stated])
    variance = 1 - across @ np.linalg.solve(known, across)
    assert abs(found[1].mean() - mean) < 5 * np.sqrt(variance / n)
    assert abs(found[1].var() / variance - 1) < 5 * np.sqrt(2 / n)


def test_scores_keep_both_tails():
    x = np.array([1e-300, 1e-20, 0.3, 0.5, 1 - 1e-9])
    found = scores(jnp.asarray(x), jnp.asarray(1 - x))
    np.testing.assert_allclose(found[:4], scipy.stats.norm.ppf(x[:4]), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(scores(jnp.asarray(1.0), jnp.asarray(1e-40)), scipy.stats.norm.isf(1e-40), rtol=1e-9)
