"""Value laws against SciPy, closed forms and plain sums; gradients against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from fairhand.models import Beta, Discrete, Empirical, Mixture, Uniform
from helpers import assert_close

X = np.array([0.05, 0.3, 0.5, 0.77, 0.95])


def referee(a, b):
    return scipy.stats.beta(a, b)


@pytest.mark.parametrize(("a", "b"), [(2.0, 5.0), (0.5, 0.5), (1.0, 1.0), (30.0, 4.0)])
def test_beta_matches_scipy(a, b):
    with jax.enable_x64(True):
        law, known = Beta(a, b), referee(a, b)
        assert_close(law.cdf(X), known.cdf(X), loosen=1e3)
        assert_close(law.survival(X), known.sf(X), loosen=1e3)
        assert_close(law.density(X), known.pdf(X), loosen=1e3)
        assert_close(law.quantile(X), known.ppf(X), loosen=1e3)
        assert_close(law.mean, known.mean(), loosen=1e3)
        tail = [scipy.integrate.quad(known.ppf, u, 1, epsabs=1e-11)[0] for u in (0.0, 0.4, 0.9)]
        np.testing.assert_allclose(law.tail_integral(np.array([0.0, 0.4, 0.9])), tail, rtol=1e-7)
        most = scipy.integrate.quad(lambda x: 1 - known.cdf(x) ** 4, 0, 1, epsabs=1e-12)[0]
        np.testing.assert_allclose(law.expected_max(4), most, rtol=1e-8)


@pytest.mark.parametrize("ask", ["cdf", "quantile", "tail_integral", "expected_max"])
@pytest.mark.parametrize(("a", "b"), [(2.0, 5.0), (0.7, 1.4)])
def test_beta_gradients_in_its_parameters_match_finite_differences(ask, a, b):
    with jax.enable_x64(True):
        at = 3 if ask == "expected_max" else 0.35
        value = lambda p: getattr(Beta(p[0], p[1]), ask)(at)
        p, step = jnp.array([a, b]), 1e-5
        slope = jax.jit(jax.grad(value))(p)
        for i in range(2):
            move = jnp.zeros(2).at[i].set(step)
            assert abs(float(slope[i] - (value(p + move) - value(p - move)) / (2 * step))) < 1e-7


def test_samples_follow_the_law_and_move_with_its_parameters():
    with jax.enable_x64(True):
        key = jax.random.key(0)
        for law, known in [(Beta(2.0, 5.0), referee(2, 5)), (Uniform(-1.0, 3.0), scipy.stats.uniform(-1, 4))]:
            assert scipy.stats.kstest(np.asarray(law.sample((4000,), key=key)), known.cdf).pvalue > 1e-3
        mean = lambda high: Uniform(0.0, high).sample((5000,), key=key).mean()
        assert abs(float(jax.grad(mean)(2.0)) - 0.5) < 0.02


def test_uniform_has_its_closed_forms(dtype):
    law = Uniform(jnp.asarray(1.0, dtype), jnp.asarray(3.0, dtype))
    assert law.cdf(2.5).dtype == dtype
    assert_close(law.cdf(np.array([0.0, 1.0, 2.0, 9.0], dtype)), np.array([0.0, 0.0, 0.5, 1.0]))
    assert_close(law.tail_integral(jnp.asarray(0.5, dtype)), 0.5 * 2.5)
    assert_close(law.expected_max(3), 1 + 2 * 3 / 4, loosen=10)
    assert_close(law.mean, 2.0)


def test_atoms_are_exact_and_ties_are_not_split():
    with jax.enable_x64(True):
        law = Discrete([0.0, 1 / 6, 5 / 6], [0.25, 0.25, 0.5])
        assert_close(law.cdf(np.array([0.0, 1 / 6])), np.array([0.25, 0.5]))
        assert_close(law.survival(np.array([0.0, 1 / 6, 5 / 6])), np.array([1.0, 0.75, 0.5]))  # P(X >= x)
        assert_close(law.mean, 0.25 / 6 + 2.5 / 6)
        atoms, chance = np.array([0.0, 1 / 6, 5 / 6]), np.array([0.25, 0.25, 0.5])
        joint = sum(
            p * q * max(x, y) for x, p in zip(atoms, chance, strict=True) for y, q in zip(atoms, chance, strict=True)
        )
        assert_close(law.expected_max(2), joint)
        assert set(np.asarray(law.sample((200,), key=jax.random.key(1))).tolist()) <= set(atoms.tolist())
        slope = jax.grad(lambda p: Discrete(jnp.asarray(atoms), p).expected_max(1))(jnp.asarray(chance))
        assert_close(slope - slope[0], atoms - atoms[0], loosen=1e3)


def test_empirical_is_the_sample():
    with jax.enable_x64(True):
        seen = np.random.default_rng(0).normal(size=50).round(1)
        law = Empirical(seen)
        for x in (-1.0, 0.1, 0.7):
            assert_close(law.cdf(x), (seen <= x).mean())
            assert_close(law.survival(x), (seen >= x).mean())
        assert_close(law.mean, seen.mean())


@pytest.mark.slow
def test_a_mixture_mixes_cdfs_and_inverts_them():
    with jax.enable_x64(True):
        law = Mixture([0.3, 0.7], [Beta(2.0, 5.0), Uniform(0.2, 0.9)])
        mixed = 0.3 * referee(2, 5).cdf(X) + 0.7 * scipy.stats.uniform(0.2, 0.7).cdf(X)
        assert_close(law.cdf(X), mixed, loosen=1e3)
        assert_close(law.cdf(law.quantile(X)), X, loosen=1e3)
        assert_close(law.mean, 0.3 * 2 / 7 + 0.7 * 0.55, loosen=1e3)
        value = lambda w: Mixture(jnp.stack([w, 1 - w]), [Beta(2.0, 5.0), Uniform(0.2, 0.9)]).quantile(0.6)
        numeric = (value(jnp.asarray(0.3 + 1e-6)) - value(jnp.asarray(0.3 - 1e-6))) / 2e-6
        assert abs(float(jax.grad(value)(jnp.asarray(0.3)) - numeric)) < 1e-6


def test_a_law_with_a_draws_axis_is_a_loop_over_draws():
    with jax.enable_x64(True):
        a, b = jnp.array([1.0, 2.0, 3.0]), jnp.array([4.0, 2.0, 0.5])
        together = jax.jit(jax.vmap(lambda law: law.quantile(0.3)))(Beta(a, b))
        assert_close(
            together, np.array([Beta(float(x), float(y)).quantile(0.3) for x, y in zip(a, b, strict=True)]), loosen=10
        )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Uniform(1.0, 1.0), "`low`|`high`"),
        (lambda: Uniform(np.nan, 1.0), "`low`"),
        (lambda: Beta(0.0, 1.0), "`a`"),
        (lambda: Beta(1.0, -2.0), "`b`"),
        (lambda: Discrete([1.0, 2.0], [0.5, 0.6]), "`probs`"),
        (lambda: Discrete([1.0, 2.0], [1.5, -0.5]), "`probs`"),
        (lambda: Discrete([1.0], [0.5, 0.5]), "`atoms`|`probs`"),
        (lambda: Empirical([]), "`samples`"),
        (lambda: Empirical([1.0, np.nan]), "`samples`"),
        (lambda: Mixture([0.5, 0.6], [Uniform(), Uniform()]), "`weights`"),
        (lambda: Mixture([1.0], [Uniform(), Uniform()]), "`weights`|`laws`"),
    ],
)
def test_bad_parameters_are_refused_by_name(make, said):
    with pytest.raises(ValueError, match=said):
        make()
