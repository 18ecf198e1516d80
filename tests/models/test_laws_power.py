"""The power law against exact fractions and scipy; its series against mpmath; regularity against what is known."""

import doctest
import importlib
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from fairhand.models import Beta, Discrete, Empirical, Mixture, Power, Uniform
from fairhand.models.laws._series import decay_1, decay_2, decay_slope, not_all_below
from helpers import assert_close

EXPONENTS = np.array([0.01, 0.5, 1.0, 2.0, 40.0])
LEVELS = np.array([1e-3, 0.1, 0.37, 0.5, 0.8, 0.999])

# z, E1(z), E2(z), E1(z) − E2(z): mpmath 1.4, 40 digits.
DECAYS = np.array(
    [
        (1e-12, 0.9999999999995, 0.49999999999983333, 0.49999999999966667),
        (0.001, 0.99950016662500833, 0.49983337499166806, 0.49966679163334028),
        (0.9, 0.65936704473266765, 0.37848106140814705, 0.2808859833245206),
        (1.1, 0.60648083300174586, 0.35774469727114013, 0.24873613573060573),
        (30.0, 0.033333333333330214, 0.032222222222222326, 0.0011111111111078879),
    ]
)

# n, y, ∫ of 1 − tⁿ over [1 − y, 1]: mpmath 1.4, 60 digits.
REST = np.array(
    [(2, 1e-9, 9.9999999966666667e-19), (1e6, 1e-8, 4.9833749333475228e-11), (0.01, 0.3, 0.00050269574151370914)]
)


def each(method, u):
    laws = Power(np.asarray(EXPONENTS, u.dtype))
    return jax.vmap(lambda law, u: getattr(law, method)(u))(laws, jnp.broadcast_to(u, (EXPONENTS.size, u.size)))


def test_power_matches_scipy(dtype):
    reference = scipy.stats.beta(EXPONENTS[:, None], 1)
    u, x = LEVELS.astype(dtype), np.array([1e-4, 0.2, 0.9, 0.9999], dtype)
    assert_close(each("quantile", u), reference.ppf(u.astype(float)), loosen=5)
    assert_close(each("cdf", x), reference.cdf(x.astype(float)))
    assert_close(each("density", x), reference.pdf(x.astype(float)))
    np.testing.assert_allclose(
        each("survival", x), reference.sf(x.astype(float)), rtol=3e-5 if dtype == "float32" else 1e-10
    )
    means = EXPONENTS / (EXPONENTS + 1)
    assert_close(jax.vmap(lambda law: law.mean)(Power(EXPONENTS.astype(dtype))), means)


def test_power_formulas_are_exact_fractions(dtype):
    law, x = Power(jnp.asarray(3, dtype)), Fraction(5, 8)
    u = x**3
    tail = Fraction(3, 4) * (1 - x**4)
    assert_close(law.quantile(float(u)), float(x))
    assert_close(law.tail_integral(float(u)), float(tail))
    assert_close(law.expected_excess(float(x)), float(tail - x * (1 - u)))
    assert_close(law.expected_max([1, 2, 1000]), [float(Fraction(3 * n, 3 * n + 1)) for n in (1, 2, 1000)])
    assert_close(law.expected_excess([-1.0, 0.0, 1.0, 2.0]), [1.75, 0.75, 0, 0])


def test_power_keeps_its_digits_near_one(dtype):
    """Where the tail is a power of a small distance, differences of numbers near one would lose all of it."""
    step = 2.0**-10
    law = Power(jnp.asarray(2, dtype))
    gap = Fraction(step)
    precise = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(law.survival(1 - step), float(2 * gap - gap**2), rtol=precise)
    np.testing.assert_allclose(law.expected_excess(1 - step), float(gap**2 - gap**3 / 3), rtol=precise)
    np.testing.assert_allclose(law.tail_integral(1 - step), 2 / 3 * -np.expm1(1.5 * np.log1p(-step)), rtol=precise)


def test_series_match_mpmath(dtype):
    z, *values = DECAYS.T.astype(dtype)
    for function, value in zip((decay_1, decay_2, decay_slope), values, strict=True):
        assert_close(jax.vmap(function)(z), value)
    n, y, rest = REST.T
    precise = 2e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(jax.vmap(not_all_below)(n.astype(dtype), y.astype(dtype)), rest, rtol=precise)
    assert_close(jax.vmap(jax.grad(decay_1))(z), -DECAYS[:, 3].astype(dtype))


@pytest.mark.parametrize("exponent", [0.3, 1.0, 5.0])
def test_gradients_match_differences(exponent):
    def quantities(theta):
        law, u = Power(theta[0]), theta[1]
        return jnp.stack(
            [law.quantile(u), law.cdf(u), law.survival(u), law.density(u), law.tail_integral(u), law.expected_excess(u)]
            + [law.mean, law.expected_max(7)]
        )

    with jax.enable_x64(True):
        at, step, run = np.array([exponent, 0.4]), 1e-6 * np.eye(2), jax.jit(quantities)
        numeric = np.stack([(run(at + h) - run(at - h)) / 2e-6 for h in step], -1)
        np.testing.assert_allclose(jax.jacfwd(quantities)(at), numeric, rtol=1e-8, atol=1e-9)


def test_gradients_at_the_ends_are_finite():
    ends = jnp.array([0.0, 1.0])
    slopes = jax.vmap(jax.grad(lambda a, u: Power(a).tail_integral(u)), (None, 0))(2.0, ends)
    assert_close(slopes, [1 / 9, 0])
    assert_close(jax.vmap(jax.grad(Power(2.0).tail_integral))(ends), [0, -1])
    assert_close(jax.vmap(jax.grad(lambda a, u: Power(a).quantile(u)), (None, 0))(2.0, ends), [0, 0])
    assert_close(jax.vmap(jax.grad(Power(2.0).cdf))(jnp.array([-0.5, 0.0, 1.0, 1.5])), [0, 0, 2, 0])


def test_numpyro_agrees_and_so_do_draws(relaxed_ranks, key):
    x = jnp.array([0.2, 0.7])
    assert_close(jnp.exp(Power(3.0).distribution.log_prob(x)), Power(3.0).density(x), loosen=5)
    draws = np.asarray(Power(3.0).sample((5000,), key=key))
    assert scipy.stats.kstest(draws, scipy.stats.beta(3, 1).cdf).pvalue > 1e-3


def test_minus_log_of_a_draw_is_exponential(key):
    draws = -np.log(np.asarray(Power(2.5).sample((5000,), key=key)))
    assert scipy.stats.kstest(draws, scipy.stats.expon(scale=1 / 2.5).cdf).pvalue > 1e-3


@pytest.mark.parametrize("exponent", [0.0, -1.0, np.nan, np.inf, "2"])
def test_bad_exponents_are_refused(exponent):
    with pytest.raises(ValueError, match="`exponent` must be"):
        Power(exponent)


def test_examples_in_the_docstring_run():
    module = importlib.import_module("fairhand.models.laws.power")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


# Regularity


REGULAR = [
    Uniform(0.5, 2),
    Power(1),
    Beta(1, 1),
    Mixture([0.5, 0.5], [Uniform(0, 1), Uniform(1, 2)]),  # they touch
    Mixture([0.5, 0.5], [Uniform(0, 1), Beta(2, 2)]),  # the floor of one carries the zeros of the other
    Mixture([0.5, 0.5], [Beta(1, 2), Beta(2, 1)]),  # two triangles make a rectangle
    Mixture([0.5, 0.25, 0.25], [Uniform(0.4, 1.5), Uniform(0, 0.7), Mixture([1, 0], [Power(1), Discrete([3], [1])])]),
]
IRREGULAR = [
    Power(2),  # density 0 at 0
    Power(0.5),  # infinite there
    Beta(2, 2),
    Beta(1, 2),
    Beta(0.5, 1),
    Discrete([0, 1], [0.5, 0.5]),
    Empirical([0, 1, 2]),
    Mixture([0.5, 0.5], [Uniform(0, 1), Uniform(1.5, 2)]),  # a gap
    Mixture([0.5, 0.5], [Uniform(0, 1), Power(0.5)]),
    Mixture([0.5, 0.5], [Uniform(0, 0.5), Beta(2, 2)]),  # nothing carries the zero at 1
    Mixture([0.5, 0.5], [Power(2), Beta(2, 1)]),
    Mixture([0.9, 0.1], [Uniform(), Discrete([0.5], [1])]),  # an atom
    Mixture([0.5, 0.25, 0.25], [Uniform(0, 1), Uniform(0.2, 0.7), Uniform(1.1, 2)]),
]


@pytest.mark.parametrize("law", REGULAR)
def test_regular_laws_are_known(law):
    assert law.is_regular is True


@pytest.mark.parametrize("law", IRREGULAR)
def test_irregular_laws_are_found_out(law):
    assert law.is_regular is False


def test_regularity_can_be_asked_inside_a_program():
    assert jax.jit(jax.vmap(lambda a: Power(a).is_regular))(jnp.array([0.5, 1.0, 2.0])).tolist() == [False, True, False]
    assert jax.jit(lambda low: Uniform(low, 2.0).is_valid)(3.0) == False  # noqa: E712
