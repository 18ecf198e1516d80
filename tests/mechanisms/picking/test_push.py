"""The theory pushed through a posterior of laws: closed forms of the power law draw by draw, and what plugging in misses."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from fairhand.mechanisms.picking import push
from fairhand.mechanisms.picking.push import push_forward, push_weights
from fairhand.models import Beta, Power, TruncatedExponential, Uniform
from helpers import assert_close

# The conjugate posterior of `Power(a)` under a gamma prior, as a sampler without error would give it.
GAMMA = scipy.stats.gamma(12.0, scale=1 / 8.0)
LEVELS = (np.arange(400) + 0.5) / 400
A = GAMMA.ppf(LEVELS)


def r_opt(a):
    return 1 - (a / (a + 1)) ** a


def r_half(a):
    return 1 - 2 ** (-a / (a + 1))


@pytest.fixture(scope="module")
def pushed():
    with jax.enable_x64(True):
        yield push_forward(Power(A), 2, r=0.4)


def test_every_draw_has_the_closed_form_of_its_law(pushed):
    assert_close(pushed.r[:, 0], r_opt(A))
    assert_close(pushed.s[:, 0], r_opt(A))
    assert_close(pushed.r_half, r_half(A))
    mean = A / (A + 1)
    best = mean + mean ** (A + 1) / (A + 1)  # V_2 = E max(X, E X)
    assert_close(pushed.ratio, best / (2 * A / (2 * A + 1)))


def test_quantiles_of_the_pushed_r_are_those_of_the_gamma_law(pushed):
    for level in (0.05, 0.5, 0.95):  # r_opt and r_half rise with the exponent, so quantiles are carried over
        assert abs(np.quantile(pushed.r[:, 0], level) - r_opt(GAMMA.ppf(level))) < 1e-3
        assert abs(np.quantile(pushed.r_half, level) - r_half(GAMMA.ppf(level))) < 1e-3


def test_plugging_in_the_mean_is_not_pushing_through(pushed):
    assert abs(float(pushed.r[:, 0].mean()) - r_opt(GAMMA.mean())) > 1e-3


def test_categories_and_windows_say_the_same(pushed):
    first = np.asarray(pushed.category) == 1
    assert np.array_equal(first, np.asarray(pushed.r_half) < 1 - np.sqrt(0.5))
    assert np.array_equal(first, A < 1)
    assert np.array_equal(first, np.asarray(pushed.surplus) > 0)
    assert 0 < first.mean() < 1
    assert np.array_equal(pushed.given_envy_free, (r_half(A) < 0.4) & (0.4 < 0.5))
    assert np.array_equal(pushed.envy_free, (r_half(A) < r_opt(A)) & (r_opt(A) < 0.5))


def test_the_uniform_law_is_on_the_boundary_and_counts_as_category_two():
    found = push_forward(Power(jnp.ones(1)), 2)
    assert found.category.tolist() == [2]
    assert abs(float(found.surplus[0])) < 1e-6


def test_regret_is_never_negative_and_zero_at_a_draws_own_best(pushed):
    assert np.all(np.asarray(pushed.regret) >= -1e-14)
    nearest = np.abs(r_opt(A) - 0.4).argmin()
    assert np.asarray(pushed.regret).argmin() == nearest
    np.testing.assert_allclose(pushed.regret, pushed.ratio - pushed.given_ratio)


def test_more_agents_have_no_category():
    found = push_forward(Power(np.array([0.5, 2.0])), 3)
    assert found.r.shape == (2, 3)
    assert found.margins.shape == (2, 3, 3)
    assert (found.category, found.surplus, found.regret) == (None, None, None)
    assert set(found.named) == {"s", "r", "ratio", "margins", "envy_free", "r_half"}
    assert found.named["margins"].shape == (2, 3, 2)
    assert np.all(np.isfinite(found.named["margins"]))


def test_margins_off_the_diagonal_keep_their_order(pushed):
    plain = pushed.named["margins"]
    np.testing.assert_array_equal(plain[:, 0, 0], pushed.margins[:, 0, 1])
    np.testing.assert_array_equal(plain[:, 1, 0], pushed.margins[:, 1, 0])


def test_weights_are_pushed_draw_by_draw():
    low = np.array([0.0, 0.25, 0.5])
    found = push_weights([Uniform(np.zeros(3), np.ones(3)), Uniform(low, np.ones(3))])
    np.testing.assert_allclose(found.weights[[0, 2], 1], [1, 2 / 3], rtol=1e-5)
    np.testing.assert_allclose(found.win_probabilities, 0.5, atol=1e-5)
    np.testing.assert_allclose(found.tau[:, 0], np.sqrt(0.5), rtol=1e-5)
    assert found.named["tau"].shape == (3, 2)


@pytest.mark.slow
def test_weights_of_exponential_laws_equalise_their_chances():
    rate = np.array([[1.0, 4.0], [2.0, 2.0], [0.5, 9.0]])
    with jax.enable_x64(True):
        found = push_weights([TruncatedExponential(rate[:, i], np.ones(3)) for i in range(2)])
    rng = np.random.default_rng(0)
    values = -np.log1p(-rng.random((200_000, 3, 2)) * -np.expm1(-rate)) / rate
    wins = (values * np.asarray(found.weights)).argmax(-1).mean(0)
    np.testing.assert_allclose(wins, 0.5, atol=5 * 0.5 / np.sqrt(200_000))
    assert abs(float(found.weights[1, 1]) - 1) < 1e-9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: push_forward(Power(2.0), 2), "`law` has no leading axis `draws`"),
        (lambda: push_forward(Power(A), 1), "`n` must be a whole number"),
        (lambda: push_forward(Power(A), 3, r=0.4), "`r` must be one fraction for each of 3 agents"),
        (lambda: push_weights([Uniform(np.zeros(2), np.ones(2))]), "at least two, got 1"),
        (
            lambda: push_weights([Uniform(np.zeros(2), np.ones(2)), Uniform(np.zeros(3), np.ones(3))]),
            r"`laws` must have the same number of draws; they have \[2, 3\]",
        ),
        (
            lambda: push_weights([Uniform(np.zeros(2), np.ones(2)), Beta(np.array([1.0, 2.0]), np.array([1.0, 2.0]))]),
            r"`laws\[1\]` is not regular in 1 of 2 draws",
        ),
    ],
)
def test_what_cannot_be_pushed_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_examples_run():
    found = doctest.testmod(push, extraglobs={"jnp": jnp, "np": np})
    assert found.failed == 0
    assert found.attempted > 0
