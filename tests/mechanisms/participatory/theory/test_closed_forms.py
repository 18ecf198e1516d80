"""Expectations of two agents with random values: closed forms against quadrature, simulation and solved instances."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from fehr_schmidt import optimum, penalty, standard

from fairhand.mechanisms.participatory.solvers.two_agents import two_agents
from fairhand.mechanisms.participatory.theory.closed_forms import beta_bound, uniform_many_items, uniform_pair
from fairhand.mechanisms.participatory.theory.independent import independent_bound, spread
from fairhand.models import Beta, Discrete, Power, TruncatedExponential, Uniform


def one_item(values, aversion):
    """Loss, gain and tradeoff of pairs with one item, by hand: equal utilities as soon as the ratio allows it."""
    rich, poor = values.max(-1), values.min(-1)
    moves = rich - poor <= aversion * (rich + poor)
    loss = np.where(moves, (rich - poor) * rich / (rich + poor), 0.0)
    return loss, np.where(moves, aversion * rich - loss, 0.0), np.where(moves, (rich + poor) / poor, 1.0)


def many_items(values, aversion):
    """Loss and gain of pairs `[draws, 2, items]` with A = B, by cutting the sorted items where utilities meet."""
    first = values[:, 0] >= values[:, 1]
    owned = np.stack([first, ~first], 1)
    own = (values * owned).sum(-1)
    flip = (own[:, 0] < own[:, 1])[:, None, None]
    rich, owned = np.where(flip, values[:, ::-1], values), np.where(flip, owned[:, ::-1], owned)[:, 0]
    a, b = rich[:, 0], rich[:, 1]
    rho = np.where(owned & (a - b <= aversion * (a + b)), (a - b) / (a + b), np.inf)
    order = rho.argsort(-1)
    a, b, rho = (np.take_along_axis(x, order, -1) for x in (a, b, rho))
    both = np.where(np.isfinite(rho), a + b, 0.0)
    gap = np.abs(own[:, :1] - own[:, 1:])
    part = np.clip((gap - np.cumsum(both, -1) + both) / np.maximum(both, 1e-300), 0, 1) * np.isfinite(rho)
    loss = (part * (a - b)).sum(-1)
    left = gap[:, 0] - (part * both).sum(-1)
    before = own.max(-1)
    return loss, aversion * (gap[:, 0] - left) - loss, before / (before - (part * a).sum(-1))


def test_the_simulations_agree_with_the_solvers():
    rng = np.random.default_rng(0)
    values = rng.random((40, 2, 3))
    for aversion in (0.1, 0.6):
        loss, gain, _ = many_items(values, aversion)
        solved = two_agents(values, aversion / 2, aversion / 2)
        before = values.max(1).sum(-1)
        np.testing.assert_allclose(loss, before - solved.utilities.sum(-1), atol=1e-9)
        for k in range(8):
            best = optimum(values[k], aversion / 2, aversion / 2)
            own = (values[k] * standard(values[k])).sum(1)
            assert gain[k] == pytest.approx(
                best.welfare - own.sum() + penalty(own, aversion / 2, aversion / 2), abs=1e-8
            )
        pairs = values[..., :1]
        np.testing.assert_allclose(one_item(pairs[..., 0], aversion), many_items(pairs, aversion), atol=1e-12)


@pytest.mark.parametrize("aversion", [0.0, 1e-4, 0.049, 0.051, 0.3, 0.9])
def test_one_item_by_quadrature(aversion):
    r = (1 - aversion) / (1 + aversion)  # the larger value has mean 2/3, the ratio is uniform and independent of it
    mean = lambda f: scipy.integrate.quad(f, r, 1, epsabs=1e-15, epsrel=1e-12)[0]
    rho = lambda q: (1 - q) / (1 + q)
    found = uniform_pair(aversion)
    np.testing.assert_allclose(found.loss, 2 / 3 * mean(rho), rtol=1e-10, atol=1e-18)
    np.testing.assert_allclose(found.gain, 2 / 3 * mean(lambda q: aversion - rho(q)), rtol=1e-6, atol=1e-16)
    np.testing.assert_allclose(found.tradeoff, r + mean(lambda q: (1 + q) / q), rtol=1e-10)


def test_one_item_by_simulation():
    values = np.random.default_rng(0).random((400_000, 2))
    for aversion in (0.1, 0.5):
        found = uniform_pair(aversion)
        for closed, drawn in zip((found.loss, found.gain, found.tradeoff), one_item(values, aversion), strict=True):
            assert abs(drawn.mean() - closed) < 5 * drawn.std() / np.sqrt(len(drawn))  # R6


def test_small_aversions_keep_their_digits():
    tiny = uniform_pair([1e-9, 1e-5])
    np.testing.assert_allclose(tiny.loss, [2 / 3 * 1e-18, 2 / 3 * 1e-10 - 8 / 9 * 1e-15], rtol=1e-8)
    np.testing.assert_allclose(tiny.gain, [2 / 3 * 1e-18, 2 / 3 * 1e-10 - 4 / 9 * 1e-15], rtol=1e-8)
    np.testing.assert_allclose(beta_bound(2.0, 1e-8), 2 / 7.5 * 3e-16, rtol=1e-6)


def test_many_items_tend_to_three_sixteenths():
    rng = np.random.default_rng(1)
    for aversion, items, draws in ((0.3, 400, 6000), (0.6, 400, 6000)):
        loss, gain, tradeoff = many_items(rng.random((draws, 2, items)), aversion)
        limit = uniform_many_items(aversion, items)
        assert abs(loss.mean() - 3 / 16) < 5 * loss.std() / np.sqrt(draws) + 0.003
        assert abs(gain.mean() - limit.gain) < 5 * gain.std() / np.sqrt(draws) + 0.005
        assert abs(tradeoff.mean() - limit.tradeoff) < 0.002
        c = 2 * aversion / (1 + aversion)
        assert items * beta_bound(1, c) > 30 * loss.mean()  # the bound keeps growing with the items


@pytest.mark.slow
def test_the_limit_is_approached_as_items_grow():
    rng = np.random.default_rng(2)
    off = []
    for items in (25, 100, 400, 1600):
        loss, _, _ = many_items(rng.random((8000, 2, items)), 0.2)
        off.append(abs(loss.mean() - 3 / 16))
    assert off[0] > off[1] > 0.01
    assert max(off[2:]) < 0.01


@pytest.mark.parametrize("s", [0.5, 1.0, 2.0, 3.0])
def test_beta_bound_is_the_expectation_of_the_bound_and_above_the_realised_loss(s):
    rng = np.random.default_rng(int(10 * s))
    values = rng.random((300_000, 2)) ** (1 / s)
    for aversion in (0.1, 0.4):
        c = 2 * aversion / (1 + aversion)
        rich, poor = values.max(-1), values.min(-1)
        drawn = np.where(poor >= (1 - c) * rich, rich - poor, 0.0)
        closed = beta_bound(s, c)
        assert abs(drawn.mean() - closed) < 5 * drawn.std() / np.sqrt(len(drawn))
        printed = s / ((s + 0.5) * (s + 1)) * (1 - (1 + c * s) * (1 - c) ** s)
        np.testing.assert_allclose(closed, printed, rtol=1e-10)
        assert one_item(values, aversion)[0].mean() < closed
        if s >= 1:
            assert closed <= s**3 / ((s + 0.5) * (s + 1)) * c**2 * (1 + 1e-12)
            assert s**3 / ((s + 0.5) * (s + 1)) <= s
    np.testing.assert_allclose(beta_bound(1.0, [0.1, 0.7]), np.square([0.1, 0.7]) / 3)


@pytest.mark.parametrize("s", [1.0, 2.0, 3.0])
def test_the_realised_loss_of_one_item_grows_with_the_square(s):
    c = np.array([0.01, 0.02])
    ratio = lambda c: scipy.integrate.quad(lambda q: s * q ** (s - 1) * (1 - q) / (1 + q), 1 - c, 1)[0]
    realised = np.array([2 * s / (2 * s + 1) * ratio(x) for x in c])
    slope = np.log(realised[1] / realised[0]) / np.log(2)
    assert abs(slope - 2) < 0.02  # R7
    assert np.all(realised < beta_bound(s, c))
    values = np.random.default_rng(0).random((400_000, 2)) ** (1 / s)
    drawn = one_item(values, 0.2)[0]
    exact = 2 * s / (2 * s + 1) * ratio(2 * 0.2 / 1.2)
    assert abs(drawn.mean() - exact) < 5 * drawn.std() / np.sqrt(len(drawn))


@pytest.mark.slow
@pytest.mark.parametrize("s", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("items", [1, 4, 16, 64])
def test_realised_losses_stay_below_the_expected_bound(s, items):
    values = np.random.default_rng(items).random((20_000, 2, items)) ** (1 / s)
    for aversion in (0.05, 0.2, 0.5):
        loss, _, _ = many_items(values, aversion)
        assert loss.mean() + 5 * loss.std() / np.sqrt(len(loss)) < items * beta_bound(s, 2 * aversion / (1 + aversion))


def test_the_general_bound_contains_the_closed_form_and_is_quadratic_with_a_finite_spread():
    c = np.array([0.05, 0.3, 1.0])
    np.testing.assert_allclose(independent_bound(Power(2.0), c), beta_bound(2.0, c), rtol=1e-8)
    assert spread(Power(2.5)) == pytest.approx(2.5)
    assert independent_bound(Power(2.5), 0.01) <= 2.5 / 2 * 0.01**2


@pytest.mark.slow
def test_the_general_bound_and_the_spread_of_other_laws():
    c = np.array([0.05, 0.3, 1.0])
    np.testing.assert_allclose(independent_bound(Beta(3.0, 1.0), c), beta_bound(3.0, c), rtol=1e-6)
    law, draws = scipy.stats.beta(2, 3), np.random.default_rng(0)
    values = law.rvs((400_000, 2), random_state=draws)
    rich, poor = values.max(1), values.min(1)
    drawn = np.where(poor >= 0.7 * rich, rich - poor, 0.0)
    closed = float(independent_bound(Beta(2.0, 3.0), 0.3))
    assert abs(drawn.mean() - closed) < 5 * drawn.std() / np.sqrt(len(drawn))
    assert spread(Beta(2.0, 0.5)) == np.inf
    for law in (Uniform(), Beta(2.0, 3.0), TruncatedExponential(1.0)):
        assert independent_bound(law, 0.01) <= spread(law) / 2 * 0.01**2 * 1.05


def test_two_points_are_linear_in_the_aversion_unless_items_are_independent_and_many():
    # Half of the mass at 1, half at r: the bound on an item is c with chance 1/2, of order c and not c squared.
    rng = np.random.default_rng(0)
    for aversion in (0.05, 0.2):
        r = (1 - aversion) / (1 + aversion) + 1e-9
        values = np.where(rng.random((4000, 2, 1)) < 0.5, 1.0, r) * np.ones(50)  # perfectly correlated items
        loss, _, _ = many_items(values, aversion)
        assert loss.mean() / 50 == pytest.approx(aversion / 2, rel=0.1)  # E loss tends to m A / 2
        free = np.where(rng.random((4000, 2, 50)) < 0.5, 1.0, r)
        independent, _, _ = many_items(free, aversion)
        assert independent.mean() < 0.3 * loss.mean()


@pytest.mark.parametrize(
    "call",
    [
        lambda: uniform_pair(1.0),
        lambda: uniform_pair(-0.1),
        lambda: uniform_pair("much"),
        lambda: uniform_many_items(0.1, 0),
        lambda: beta_bound(0.0, 0.1),
        lambda: beta_bound(1.0, 1.1),
        lambda: beta_bound(1.0, float("nan")),
        lambda: independent_bound("uniform", 0.1),
        lambda: independent_bound(Discrete([0.0, 1.0], [0.5, 0.5]), 0.1),
        lambda: spread(Uniform(-1.0, 1.0)),
    ],
)
def test_bad_input_is_named(call):
    with pytest.raises(ValueError, match="`"):
        call()
