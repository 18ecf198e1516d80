"""The exponential law and its truncation against mpmath, scipy, closed forms and finite differences."""

import doctest
import importlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from fairhand.models import Exponential, Mixture, TruncatedExponential, Uniform
from helpers import assert_close

# rate, high, u, Q(u), T(u), E of the largest of five: mpmath 1.4, 60 digits.
TRUNCATED = np.array(
    [
        (1e-09, 2.0, 0.3, 0.59999999957999998, 0.90999999973866667, 1.6666666664285714),
        (1e-09, 2.0, 0.9999, 1.9997999999998, 0.00019998999999996798, 1.6666666664285714),
        (0.001, 1.0, 0.5, 0.49987500000520833, 0.3749583281256947, 0.8332737996031749),
        (0.5, 1.0, 1e-06, 7.8693883539289547e-7, 0.45850591746280825, 0.80111068084268369),
        (2.0, 1.0, 0.75, 0.52277070360337973, 0.18099787137776442, 0.67970045550167389),
        (3.0, 2.0, 0.999999, 1.9998658840530816, 1.9999329375872784e-6, 0.74146928757968195),
        (30.0, 1.0, 0.999, 0.23025850929628845, 0.00026359184255759251, 0.076111111110663245),
        (40.0, 1.0, 0.9999999999999999, 0.91748121935206421, 1.042858659872383e-16, 0.057083333333333313),
        (500.0, 1.0, 0.999999, 0.027631021115871037, 2.9631021116723097e-8, 0.0045666666666666667),
        (2000.0, 1.0, 0.5, 0.00034657359027997265, 0.00042328679513998633, 0.0011416666666666667),
    ]
)


def of_rows(question, dtype):
    """`question(law, u)` for every row, in one program."""
    rate, high, u = TRUNCATED[:, :3].T.astype(dtype)
    return jax.jit(jax.vmap(lambda rate, high, u: question(TruncatedExponential(rate, high), u)))(rate, high, u)


# Without bound


def test_exponential_matches_scipy(dtype):
    law, reference = Exponential(jnp.asarray(2.5, dtype)), scipy.stats.expon(scale=0.4)
    u, x = np.array([0, 1e-4, 0.5, 0.99], dtype), np.array([-1, 0, 1e-4, 0.3, 9], dtype)
    assert_close(law.quantile(u), reference.ppf(u.astype(float)))
    assert_close(law.cdf(x), reference.cdf(x.astype(float)))
    np.testing.assert_allclose(
        law.survival(x), reference.sf(x.astype(float)), rtol=1e-5 if dtype == "float32" else 1e-14
    )
    assert_close(law.density(x), reference.pdf(x.astype(float)))
    assert_close(law.expected_excess(x), [1.4, *(0.4 * reference.sf(x[1:].astype(float)))])
    assert_close(law.tail_integral(u), [0.4 * (1 - v) * (1 - np.log1p(-v)) for v in u.astype(float)])
    assert_close(law.expected_max([1, 2, 3, 10]), 0.4 * np.array([1, 3 / 2, 11 / 6, 7381 / 2520]))
    assert_close(law.mean, 0.4)


def test_what_is_unbounded_is_said_to_be():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        law = Exponential()
    assert law.is_valid is False
    assert law.is_regular is False
    assert [float(end) for end in law.support] == [0, np.inf]
    assert law.quantile(1.0) == np.inf
    assert law.tail_integral(1.0) == 0
    with pytest.raises(ValueError, match="`laws` must be bounded.*TruncatedExponential"):
        Mixture([0.5, 0.5], [Uniform(), Exponential(2.0)])


def test_draws_are_finite_and_follow_the_law(key):
    draws = np.asarray(Exponential(0.5).sample((20_000,), key=key))
    assert np.isfinite(draws).all()
    assert scipy.stats.kstest(draws, scipy.stats.expon(scale=2).cdf).pvalue > 1e-3


def test_exponential_gradients_match_differences():
    def quantities(theta):
        law, u = Exponential(theta[0]), theta[1]
        parts = [
            law.quantile(u),
            law.cdf(u),
            law.survival(u),
            law.density(u),
            law.tail_integral(u),
            law.expected_excess(u),
        ]
        return jnp.stack([*parts, law.mean, law.expected_max(7)])

    with jax.enable_x64(True):
        at, run = np.array([0.7, 0.4]), jax.jit(quantities)
        numeric = np.stack([(run(at + h) - run(at - h)) / 2e-6 for h in 1e-6 * np.eye(2)], -1)
        np.testing.assert_allclose(jax.jacfwd(quantities)(at), numeric, atol=1e-9)
        assert_close(jax.vmap(jax.grad(Exponential().tail_integral))(jnp.array([0.0, 0.5])), [0, np.log(0.5)])


# Cut


def test_truncated_exponential_matches_mpmath():
    """From rates of 1e-9, where the plain formulas are 0/0, to 2000; precise at both ends."""
    with jax.enable_x64(True):
        ask = lambda law, u: (law.quantile(u), law.survival(law.quantile(u)), law.tail_integral(u), law.expected_max(5))
        x, above, tail, most = of_rows(ask, float)
        _, _, u, quantile, tails, maxima = TRUNCATED.T
        np.testing.assert_allclose(x, quantile, rtol=1e-14)
        np.testing.assert_allclose(tail, tails, rtol=1e-13)
        np.testing.assert_allclose(most, maxima, rtol=1e-12)
        # one rounding of x moves P(X ≥ x) by its density
        slack = of_rows(lambda law, u: law.density(law.quantile(u)) * law.quantile(u), float) * 4e-16
        assert np.all(np.abs(above - (1 - u)) <= slack + 1e-14 * (1 - u))


def test_single_precision_is_as_good_as_its_inputs():
    ask = lambda law, u: jnp.stack([law.quantile(u), law.tail_integral(u), law.mean, law.expected_max(5), law.cdf(0.3)])
    single = of_rows(ask, "float32")
    with jax.enable_x64(True):
        rate, high, u = (v.astype(float) for v in TRUNCATED[:, :3].T.astype("float32"))
        double = jax.vmap(lambda r, h, u: ask(TruncatedExponential(r, h), u))(rate, high, u)
    np.testing.assert_allclose(single, double, rtol=2e-5)


def test_truncated_exponential_matches_scipy(dtype):
    rate, high = 3.0, 2.0
    law, reference = TruncatedExponential(jnp.asarray(rate, dtype), high), scipy.stats.truncexpon(6.0, scale=1 / 3)
    x = np.array([-1, 0, 1e-4, 0.5, 1.9, 2, 3], dtype)
    assert_close(law.cdf(x), reference.cdf(x.astype(float)))
    assert_close(law.survival(x), reference.sf(x.astype(float)))
    assert_close(law.density(x), np.where(x <= 2, reference.pdf(x.astype(float)), 0))
    assert_close(law.mean, reference.mean())
    excess = [reference.expect(lambda v, c=c: max(v - c, 0.0)) for c in x]
    np.testing.assert_allclose(law.expected_excess(x), excess, rtol=1e-5, atol=1e-7)


def test_no_rate_is_uniform():
    def ask(law, u):
        return jnp.concatenate(
            [law.quantile(u), law.tail_integral(u), law.expected_excess(2 * u), law.expected_max(u * 0 + 7)]
        )

    with jax.enable_x64(True):
        u = np.array([0, 1e-6, 0.3, 0.9, 1])
        assert_close(ask(TruncatedExponential(0.0, 2.0), u), ask(Uniform(0.0, 2.0), u))
        # and the law moves with its rate there: dF/dλ = x (h − x)/2h, by expansion
        slopes = jax.grad(
            lambda r: TruncatedExponential(r, 2.0).cdf(0.5) + TruncatedExponential(r, 2.0).quantile(0.25)
        )(0.0)
        assert_close(slopes, 0.5 * 1.5 / 4 - 0.5 * 1.5 / 2)


@pytest.mark.slow
def test_truncated_gradients_match_differences():
    def quantities(theta):
        law, u = TruncatedExponential(theta[0], theta[1]), theta[2]
        parts = [
            law.quantile(u),
            law.cdf(u),
            law.survival(u),
            law.density(u),
            law.tail_integral(u),
            law.expected_excess(u),
        ]
        return jnp.stack([*parts, law.mean, law.expected_max(7)])

    with jax.enable_x64(True):
        run = jax.jit(lambda theta: (quantities(theta), jax.jacfwd(quantities)(theta)))
        for at in np.array([[1e-3, 1.0, 0.4], [3.0, 2.0, 0.9], [12.0, 1.0, 0.2]]):
            numeric = np.stack([(run(at + h)[0] - run(at - h)[0]) / 2e-6 for h in 1e-6 * np.eye(3)], -1)
            np.testing.assert_allclose(run(at)[1], numeric, atol=2e-9)


def test_quantile_gradients_stay_precise_near_the_top():
    """At 1 − u = 1e-12 and density 3e-12 the rounding of F would be an error of 1e-4; the upper tail has none."""
    with jax.enable_x64(True):
        rate, v = 30.0, 2.0**-40
        quantile = lambda r: TruncatedExponential(r).quantile(1 - v)
        slope = jax.grad(quantile)(rate)
        # 1 − Q = log(1 + v (e^k − 1))/k
        grown = v * np.expm1(rate)
        exact = np.log1p(grown) / rate**2 - v * np.exp(rate) / (1 + grown) / rate
        np.testing.assert_allclose(slope, exact, rtol=1e-12)
        ends = jax.vmap(jax.grad(lambda h, u: TruncatedExponential(3.0, h).quantile(u)), (None, 0))(
            2.0, jnp.array([0, 1.0])
        )
        assert ends.tolist() == [0, 1]


def test_truncated_draws_follow_the_law_and_numpyro_agrees(relaxed_ranks, key):
    law, reference = TruncatedExponential(4.0, 0.5), scipy.stats.truncexpon(2.0, scale=0.25)
    draws = np.asarray(law.sample((20_000,), key=key))
    assert scipy.stats.kstest(draws, reference.cdf).pvalue > 1e-3
    x = jnp.array([0.01, 0.2, 0.49])
    assert_close(jnp.exp(law.distribution.log_prob(x)), law.density(x), loosen=5)
    flat = TruncatedExponential(0.0, 2.0)
    assert_close(jnp.exp(flat.distribution.log_prob(x)), [0.5, 0.5, 0.5], loosen=5)


def test_cut_laws_are_valid_and_regular():
    assert TruncatedExponential(5.0).is_valid is True
    assert TruncatedExponential(500.0, 3.0).is_regular is True
    assert Mixture([0.5, 0.5], [TruncatedExponential(5.0), TruncatedExponential(0.0, 2.0)]).is_regular is True


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Exponential(0.0), "`rate` must be positive"),
        (lambda: Exponential(np.inf), "`rate` must be finite"),
        (lambda: TruncatedExponential(-1.0), "`rate` must not be negative.*`Power`"),
        (lambda: TruncatedExponential(np.nan), "`rate` must be finite"),
        (lambda: TruncatedExponential(1.0, 0.0), "`high` must be positive"),
        (lambda: TruncatedExponential(1.0, np.inf), "`high` must be finite"),
        (lambda: TruncatedExponential("1"), "`rate` must be real numbers"),
    ],
)
def test_bad_input_is_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_examples_in_the_docstrings_run():
    result = doctest.testmod(importlib.import_module("fairhand.models.laws.exponential"))
    assert result.attempted > 0
    assert result.failed == 0
