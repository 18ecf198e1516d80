"""Limits of Pick-r against closed forms, quadrature, sampled thresholds and the bound on mismatches."""

import doctest
import importlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from fairhand import models
from fairhand.mechanisms.picking import PickR, QuantileThreshold, asymptotics, mismatch_bound
from fairhand.mechanisms.picking._fractions import r_to_s
from fairhand.models import Discrete, Exponential, Power, TruncatedExponential, Uniform
from helpers import assert_close

R = np.array([0.1, 0.35, 0.2, 0.35])


def test_equal_split_of_uniform_values_has_its_closed_form(dtype):
    law = Uniform(jnp.asarray(0, dtype), 1)
    for n in (2, 5, 1000):
        harmonic = np.sum(1 / np.arange(1, n + 1))
        found = asymptotics(np.full(n, 1 / n, dtype), law)
        assert_close(found.ratio, (1 - harmonic / (2 * n)) * (n + 1) / n, loosen=3)
        assert found.margins.shape == (n, n)


def test_equal_split_of_exponential_values_has_its_closed_form(dtype):
    for n in (2, 6):
        with pytest.warns(UserWarning, match="`law` is unbounded"):
            found = asymptotics(np.full(n, 1 / n, dtype), Exponential(jnp.asarray(2.0, dtype)))
        harmonic = np.sum(1 / np.arange(1, n + 1))
        assert_close(found.ratio, (1 + math.log(math.factorial(n)) / n) / harmonic, loosen=5)


def test_two_agents_with_power_values_have_closed_forms(dtype):
    for a in (0.5, 3.0):
        r, mean = 0.3, a / (a + 1)
        found = asymptotics([r, 1 - r], Power(jnp.asarray(a, dtype)))
        top = mean * (1 - (1 - r) ** (1 + 1 / a))
        assert_close(found.welfare, top + (1 - r) * mean)
        assert_close(found.ratio, (top + (1 - r) * mean) * (2 * a + 1) / (2 * a))
        assert_close(found.margins[0, 1], 2 * top - mean, loosen=2)
        assert_close(found.margins[1, 0], (1 - 2 * r) * mean, loosen=2)


def test_margins_equal_conditional_means_by_quadrature(dtype):
    """Lemma 3.6 (3) word for word, with the threshold read as a value."""
    law, reference = TruncatedExponential(jnp.asarray(3, dtype)), scipy.stats.truncexpon(3, scale=1 / 3)
    mass = lambda low, high: scipy.integrate.quad(lambda x: x * reference.pdf(x), low, high, epsabs=1e-13)[0]
    found, s = asymptotics(R.astype(dtype), law), np.asarray(r_to_s(R.astype(dtype)), float)
    for i in range(4):
        cut = reference.ppf(1 - s[i])
        own = R[i] * mass(cut, 1) / reference.sf(cut)
        for j in range(4):
            later = mass(0, cut) / reference.cdf(cut) if cut > 0 else 0.0
            other = R[j] * (later if i < j else reference.mean())
            assert_close(found.margins[i, j], np.inf if i == j else own - other, loosen=5)
    assert_close(found.s, s)


def test_welfare_and_envy_equal_those_of_sampled_thresholds():
    law, items = Power(0.6), 200_000
    u = np.random.default_rng(0).uniform(size=(4, items))
    values, s = u ** (1 / 0.6), np.asarray(r_to_s(R), float)
    owner = (u >= (1 - s)[:, None]).argmax(0)
    of = np.stack([(values * (owner == k)).mean(1) for k in range(4)], 1)  # [agent, bundle], value per item
    found = asymptotics(R, law)
    error = 4 / np.sqrt(items)
    assert abs(np.trace(of) - float(found.welfare)) < error
    off = ~np.eye(4, dtype=bool)
    sampled, expected = (np.diag(of)[:, None] - of)[off], np.asarray(found.margins)[off]
    assert np.abs(sampled - expected).max() < error
    assert expected.min() < -0.01 < 0.1 < expected.max()


def test_last_agent_of_an_equal_split_has_no_margin(dtype):
    found = asymptotics(np.full(4, 0.25, dtype), Uniform(jnp.asarray(0, dtype), 1))
    margins = np.asarray(found.margins)
    assert np.abs(margins[3, :3]).max() < 1e-7
    assert (margins[:3][~np.eye(4, dtype=bool)[:3]] > 0.01).all()
    assert np.isinf(np.diag(margins)).all()


@pytest.mark.parametrize("r", [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.3, 0.0, 0.7], [0.0, 0.0, 1.0]])
def test_agents_who_take_nothing_leave_no_nan(r):
    """And no NaN gradient, in the fractions and in the law."""

    def numbers(r, high):
        found = asymptotics(r, Uniform(0.0, high))
        off = jnp.where(jnp.eye(3, dtype=bool), 0.0, found.margins)
        return jnp.concatenate([off.ravel(), jnp.stack([found.welfare, found.ratio]), found.s])

    r = np.array(r)
    found = asymptotics(r, Uniform())
    assert not np.isnan(np.asarray(found.margins)).any()
    slopes = jax.jit(jax.jacrev(numbers, (0, 1)))(jnp.asarray(r), jnp.asarray(1.0))
    assert all(np.isfinite(slope).all() for slope in slopes)
    # Nobody envies an agent who has nothing, and she envies all others by what they have.
    nothing = r == 0
    margins = np.where(np.eye(3, dtype=bool), 0, np.asarray(found.margins))
    assert (margins[:, nothing] >= 0).all()
    assert (margins[nothing] <= 0).all()


def test_gradients_match_differences():
    def numbers(x):
        found = asymptotics(jnp.append(x[:2], 1 - x[0] - x[1]), Power(x[2]))
        off = jnp.where(jnp.eye(3, dtype=bool), 0.0, found.margins)
        return jnp.append(off.ravel(), found.ratio)

    point = np.array([0.2, 0.45, 1.7])
    with jax.enable_x64(True):
        numbers = jax.jit(numbers)
        numeric = np.stack([(numbers(point + h) - numbers(point - h)) / 2e-6 for h in 1e-6 * np.eye(3)], -1)
        np.testing.assert_allclose(jax.jacfwd(numbers)(point), numeric, rtol=1e-6, atol=1e-8)


def test_scale_and_batches(dtype):
    one, ten = (asymptotics(R.astype(dtype), Uniform(jnp.asarray(0, dtype), high)) for high in (1.0, 10.0))
    assert_close(ten.ratio, one.ratio)
    assert_close(ten.margins, 10 * np.asarray(one.margins), loosen=2)
    batch = jax.vmap(lambda law: asymptotics(R.astype(dtype), law))(
        Uniform(jnp.zeros(2, dtype), jnp.array([1.0, 10.0], dtype))
    )
    assert_close(batch.margins, np.stack([one.margins, ten.margins]), loosen=2)


# Pick-r and QT-s item by item


def test_mismatches_stay_under_the_bound_and_grow_like_the_root():
    """Lemma 3.6 (1). The bound has probability 1 − 2n/m², so that no draw of these should break it."""
    r, law, mean = np.array([0.2, 0.3, 0.5]), Uniform(), {}
    for items in (400, 6400):
        values = np.random.default_rng(items).uniform(size=(30, 3, items)).astype("float32")
        picked = PickR(r).allocate(values).shares.argmax(-2)
        taken = QuantileThreshold(r_to_s(r), law).allocate(values).shares.argmax(-2)
        mismatches = np.sum(np.asarray(picked != taken), -1)
        assert mismatches.max() <= mismatch_bound(3, items)
        mean[items] = mismatches.mean()
    assert 2.5 < mean[6400] / mean[400] < 6.5  # the root of 16 is 4


def test_bound_counts_every_item_once():
    both = 3**2 * (math.sqrt(1000 * math.log(1000)) + 1)  # of the paper, which counts a differing item for two agents
    assert mismatch_bound(3, 1000) == both / 2


# Bad input


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: asymptotics([0.5, 0.4], Uniform()), "`r` must sum to 1"),
        (lambda: asymptotics([1.5, -0.5], Uniform()), "`r` must not be negative"),
        (lambda: asymptotics(1.5, Uniform()), "`r` must be a fraction"),
        (lambda: asymptotics(np.full((2, 2), 0.5), Uniform()), "`r` must be one vector.*vmap"),
        (lambda: asymptotics([0.5, 0.5], Uniform(-1, 1)), "`law` has values down to -1"),
        (lambda: asymptotics([0.5, 0.5], Discrete([2.0], [1.0])), "`law` is constant"),
        (lambda: asymptotics([0.5, 0.5], Uniform(0.0, [1.0, 2.0])), "batch of laws.*vmap"),
        (lambda: mismatch_bound(1, 10), "`agents` must be a whole number"),
        (lambda: mismatch_bound(2, 0), "`items` must be a whole number"),
    ],
)
def test_bad_input_is_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_atoms_are_warned_of():
    with pytest.warns(UserWarning, match="`law` has atoms"):
        found = asymptotics([0.5, 0.5], models.Empirical([0.0, 1.0]))
    assert_close(found.welfare, 0.75)


def test_examples_in_the_docstrings_run():
    result = doctest.testmod(importlib.import_module("fairhand.mechanisms.picking.coupling"))
    assert result.attempted > 0
    assert result.failed == 0
