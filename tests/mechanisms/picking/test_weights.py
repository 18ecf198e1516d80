"""Equalising weights against closed forms, SciPy quadrature, medians and simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from fairhand.mechanisms.picking.weights import equalising_weights
from fairhand.models import Beta, Discrete, Empirical, Mixture, Power, TruncatedExponential, Uniform
from helpers import assert_close

MIXED = [Uniform(0.2, 0.5), Mixture([0.4, 0.6], [Uniform(0.0, 1.0), Uniform(0.2, 0.7)]), Uniform(0.5, 1.0), Power(1.0)]


class Blend:
    """A mixture of SciPy's laws."""

    def __init__(self, weights, parts):
        self.weights, self.parts = weights, parts

    def pdf(self, x):
        return sum(w * part.pdf(x) for w, part in zip(self.weights, self.parts, strict=True))

    def cdf(self, x):
        return sum(w * part.cdf(x) for w, part in zip(self.weights, self.parts, strict=True))


def uniform(low, high):
    return scipy.stats.uniform(low, high - low)


REFEREES = [uniform(0.2, 0.5), Blend([0.4, 0.6], [uniform(0, 1), uniform(0.2, 0.7)]), uniform(0.5, 1), uniform(0, 1)]


def chances(referees, weights, kinks):
    """Who wins how often, by SciPy, in the values of each agent."""
    found, weights = [], np.asarray(weights, float)
    for i, law in enumerate(referees):
        others = [k for k in range(len(referees)) if k != i]
        best = lambda x: law.pdf(x) * np.prod([referees[k].cdf(weights[i] * x / weights[k]) for k in others])  # noqa: B023
        ends = np.unique([0.0, *(a * weights[k] / weights[i] for k in range(len(referees)) for a in kinks[k])])
        pieces = zip(ends[:-1], ends[1:], strict=True)
        found.append(sum(scipy.integrate.quad(best, a, b, epsabs=1e-11)[0] for a, b in pieces))
    return np.array(found)


KINKS = [(0.2, 0.5), (0.0, 0.2, 0.7, 1.0), (0.5, 1.0), (0.0, 1.0)]


@pytest.mark.parametrize("low", [0.5, 0.6])
def test_two_uniform_agents(dtype, low):
    found = equalising_weights([Uniform(0.0, 1.0), Uniform(low, 1.0)])
    assert found.weights.dtype == dtype
    # P(v_1 > w v_2) = 1 − w (1 + low)/2
    assert_close(found.weights, [1.0, 1 / (1 + low)])
    assert_close(found.geometric, found.weights / np.sqrt(np.prod(np.asarray(found.weights))))
    assert_close(found.win_probabilities, [0.5, 0.5])
    assert found.residual <= (1e-6 if dtype == "float32" else 1e-14)


@pytest.fixture(scope="module")
def mixed():
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, equalising_weights(MIXED))


def test_four_different_agents_win_equally_often_by_scipy(mixed):
    w = np.asarray(mixed.weights)
    np.testing.assert_allclose(chances(REFEREES, w, KINKS), 0.25, atol=1e-10)
    assert mixed.residual < 1e-14
    off = w * np.array([1.0, 1.02, 1.0, 1.0])
    assert np.abs(chances(REFEREES, off, KINKS) - 0.25).max() > 1e-3  # the referee would notice


def test_four_different_agents_win_equally_often_when_simulated(mixed):
    draws = 200_000
    keys = jax.random.split(jax.random.key(1), 4)
    values = np.stack([law.sample((draws,), key=key) for law, key in zip(MIXED, keys, strict=True)])
    wins = np.bincount(np.argmax(np.asarray(mixed.weights)[:, None] * values, 0), minlength=4) / draws
    assert np.abs(wins - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / draws)


@pytest.mark.slow
def test_the_order_of_the_agents_does_not_matter(mixed):
    with jax.enable_x64(True):
        assert_close(equalising_weights(MIXED[::-1]).geometric, mixed.geometric[::-1])


@pytest.mark.slow
def test_smooth_laws_win_equally_often_by_scipy():
    with jax.enable_x64(True):
        laws = [Mixture([0.5, 0.5], [Beta(a, b), Uniform()]) for a, b in [(2.0, 2.0), (1.5, 3.0)]]
        laws += [Uniform(0.1, 0.8), TruncatedExponential(20.0)]
        referees = [Blend([0.5, 0.5], [scipy.stats.beta(a, b), uniform(0, 1)]) for a, b in [(2, 2), (1.5, 3)]]
        referees += [uniform(0.1, 0.8), scipy.stats.truncexpon(20, scale=1 / 20)]
        w = np.asarray(equalising_weights(laws).weights)
        found = chances(referees, w, [(0, 1), (0, 1), (0.1, 0.8), (0, 0.2, 1)])
        np.testing.assert_allclose(found, 1 / 4, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 60])
def test_many_agents_on_very_different_scales(count):
    with jax.enable_x64(True):
        low = np.linspace(0.0, 0.9, count)
        scale = 10.0 ** np.linspace(-3, 3, count)
        found = equalising_weights([Uniform(a * c, c) for a, c in zip(low, scale, strict=True)])
        assert found.residual < 1e-12
        same = equalising_weights([Uniform(a, 1.0) for a in low])
        assert_close(found.weights * scale / scale[0], same.weights, loosen=10)


def second_weight(low):
    return equalising_weights([Uniform(0.0, 1.0), Uniform(low, 1.0)]).weights[1]


def test_derivative_in_the_laws_is_that_of_the_closed_form():
    with jax.enable_x64(True):
        assert_close(jax.jit(jax.grad(second_weight))(0.5), -1 / 1.5**2, loosen=10)


@pytest.mark.slow
def test_derivatives_forward_and_second():
    with jax.enable_x64(True):
        assert_close(jax.jit(jax.jvp, static_argnums=0)(second_weight, (0.5,), (1.0,))[1], -1 / 1.5**2, loosen=10)
        assert_close(jax.jit(jax.grad(jax.grad(second_weight)))(0.5), 2 / 1.5**3, loosen=10)


@pytest.mark.slow
def test_derivatives_match_finite_differences_for_mixed_laws():
    with jax.enable_x64(True):

        def weights(p):
            blend = Mixture(jnp.stack([p[1], 1 - p[1]]), [Uniform(0.0, 1.0), Uniform(p[0], 0.7)])
            return equalising_weights([Uniform(p[2], 0.5), blend]).weights[1]

        p = jnp.array([0.2, 0.4, 0.25])
        slope, step = jax.jit(jax.grad(weights))(p), 1e-5
        for i, e in enumerate(np.eye(3)):
            assert abs(slope[i] - (weights(p + step * e) - weights(p - step * e)) / (2 * step)) < 1e-8


def test_a_posterior_of_laws_is_mapped_over():
    with jax.enable_x64(True):
        low = jnp.array([0.1, 0.5, 0.6])
        posterior = [Uniform(jnp.zeros(3), jnp.ones(3)), Uniform(low, jnp.ones(3))]
        found = jax.jit(jax.vmap(equalising_weights))(posterior)
        assert_close(found.weights[:, 1], 1 / (1 + low))
        assert found.residual.shape == (3,)


@pytest.mark.parametrize("which", [[0, 2, 3], pytest.param([0, 1, 2, 3], marks=pytest.mark.slow)])
def test_sgd_is_good_to_three_digits_and_judged_by_quadrature(which, key):
    pick = lambda them: [them[i] for i in which]
    found = equalising_weights(pick(MIXED), "sgd", key=key)
    referee = chances(pick(REFEREES), found.weights, pick(KINKS))
    assert 1e-6 < found.residual < 3e-3
    np.testing.assert_allclose(referee, found.win_probabilities, atol=1e-5)
    assert_close(found.residual, np.abs(referee - 1 / len(which)).max(), loosen=100)


def draw(seed, draws):
    rng = np.random.default_rng(seed)
    return np.stack([rng.uniform(0, 1, draws), rng.uniform(0.5, 1, draws)])


def test_two_samples_meet_at_the_median_of_their_ratio():
    with jax.enable_x64(True):
        for seed in range(3):
            values = draw(seed, 501)
            found = equalising_weights(values)
            ratios = np.sort(values[0] / values[1])
            assert ratios[249] <= found.weights[1] <= ratios[251]
            wins = np.mean(values[0] >= np.asarray(found.weights)[1] * values[1])
            assert abs(wins - found.win_probabilities[0]) < 1e-12
            assert_close(found.residual, 0.5 / 501)


def test_weights_from_many_samples(dtype):
    draws = 100_000
    values = draw(0, draws).astype(dtype)
    found = equalising_weights(values)
    assert found.weights.dtype == dtype
    assert float(found.residual) < 1 / draws
    # a sample's median of v_1/v_2, which has density 3/4 at its median of 2/3
    assert abs(found.weights[1] - 2 / 3) < 4 * 0.5 / 0.75 / np.sqrt(draws)


@pytest.mark.slow
def test_weights_from_samples_of_three():
    draws = 50_000
    values = np.random.default_rng(0).uniform([[0], [0.5], [0.1]], [[1], [1], [0.3]], (3, draws))
    with jax.enable_x64(True):
        found = equalising_weights(values)
        exact = equalising_weights([Uniform(), Uniform(0.5, 1.0), Uniform(0.1, 0.3)])
        assert float(found.residual) < 1 / draws
        wins = np.bincount(np.argmax(np.asarray(found.weights)[:, None] * values, 0), minlength=3) / draws
        assert_close(found.win_probabilities, wins)
        np.testing.assert_allclose(found.weights, exact.weights, rtol=4 * 2 / np.sqrt(draws))


def test_weights_from_samples_scale_with_them_and_so_do_their_derivatives():
    with jax.enable_x64(True):
        values = jnp.asarray(draw(0, 501))
        weight = lambda c: equalising_weights(values * jnp.stack([jnp.ones_like(c), c])[:, None]).weights[1]
        at, slope = jax.jit(jax.value_and_grad(weight))(1.0)
        assert_close(weight(4.0), at / 4)
        assert_close(slope, -at, loosen=1e4)


@pytest.mark.parametrize(
    "law",
    [Beta(2.0, 5.0), Power(2.0), Empirical([0.1, 0.2]), Discrete([0.0, 1.0], [0.5, 0.5]), Uniform(-1.0, 1.0)]
    + [Mixture([0.5, 0.5], [Uniform(0.0, 0.1), Uniform(0.9, 1.0)])],
)
def test_irregular_laws_are_refused(law):
    with pytest.raises(ValueError, match=r"`laws\[1\]`"):
        equalising_weights([Uniform(), law])


@pytest.mark.parametrize(
    ("laws", "method", "name"),
    [
        ([Uniform()], "newton", "laws"),
        (np.ones(3), "newton", "laws"),
        (np.array([[0.0, 1.0], [1.0, 1.0]]), "newton", "laws"),
        (np.array([[np.nan, 1.0], [1.0, 1.0]]), "newton", "laws"),
        (draw(0, 3), "sgd", "method"),
        ([Uniform(), Uniform()], "fixed point", "method"),
        ([Uniform(), Uniform()], "sgd", "key"),
    ],
)
def test_bad_input_is_refused_by_name(laws, method, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        equalising_weights(laws, method)
