"""How loss goes with the number of agents and with aversion, on certified solutions."""

import numpy as np
import pytest

from fairhand.mechanisms.participatory import families
from fairhand.mechanisms.participatory.compare import compare
from fairhand.mechanisms.participatory.theory.bounds import bounds
from fairhand.mechanisms.participatory.theory.rates import iid_rate


@pytest.mark.parametrize("agents", [2, 10, 100, 1000, 10_000])
def test_relative_loss_reaches_the_aversion_at_any_number_of_agents(agents):
    found = families.lone_winner(0.2, agents, 1e-6)
    solved = compare(found.values, found.alpha, found.beta, method="one_item")
    assert solved.loss == pytest.approx(found.loss, abs=1e-8)
    assert abs(solved.price_of_fairness - 0.2) < 1e-5
    upper = bounds(found.values, found.alpha, found.beta)
    assert 1 < upper.derived_simple / solved.loss < 1 + 1e-4
    assert 1.6 < upper.theorem_3_4 / solved.loss < 2.4  # never advertise it as tight


@pytest.mark.parametrize("agents", [10, 100, 1000])
def test_aligned_populations_lose_less_than_any_factor(agents):
    rng = np.random.default_rng(agents)
    values = np.outer(rng.uniform(0.2, 1, agents), rng.random(12))
    alpha, beta = rng.uniform(0.1, 0.4, agents), rng.uniform(0, 0.1, agents)
    solved = compare(values, alpha, beta, method="aligned")
    upper = bounds(values, alpha, beta)
    best = values.max(0).sum()
    assert 0 < solved.loss <= min(upper.derived_inequality, upper.equation_101) + 1e-9
    assert solved.price_of_fairness < upper.item_factors.max() < 0.65  # R9: constants, free of n
    assert solved.loss / best == pytest.approx(solved.price_of_fairness)


def iid_losses(agents: int, items: int, draws: int, aversions, tol: float, seed: int = 0):
    """Mean loss an item of iid uniform populations with two seats' worth of room an agent, and the rate of theorem 3.6."""
    losses, rates = [], []
    for aversion in aversions:
        rng = np.random.default_rng(seed)
        total = 0.0
        for _ in range(draws):
            values = rng.random((agents, items))
            alpha = rng.uniform(0.9, 1.1, agents) * aversion / 2
            solved = compare(values, alpha, alpha, caps=2 / agents, tol=tol)
            upper = bounds(values, alpha, alpha, caps=2 / agents)
            assert solved.loss <= min(upper.equation_101, upper.derived_inequality) + 1e-9
            total += solved.loss / items / draws
        losses.append(total)
        rates.append(iid_rate(agents, upper.item_factors, 1.0, caps=2 / agents).rate / items)
    return np.array(losses), np.array(rates)


def test_independent_agents_lose_with_the_square_of_aversion():
    losses, rates = iid_losses(20, 5, 30, (0.03, 0.12), 1e-6)
    slope = np.log(losses[1] / losses[0]) / np.log(4)
    assert 1.6 < slope < 2.4
    assert np.all(losses < rates)


@pytest.mark.slow
def test_independent_agents_lose_alike_from_twenty_to_a_thousand():
    found = {n: iid_losses(n, 5, d, (0.1, 0.2), 1e-5) for n, d in ((20, 20), (50, 10), (200, 2), (1000, 1))}
    losses = np.array([x[0] for x in found.values()])
    rates = np.array([x[1] for x in found.values()])
    assert np.all(losses < 0.1 * rates)  # R8: no growth with n
    assert np.all(losses.max(0) < 2 * losses.min(0))
    slopes = np.log2(losses[:, 1] / losses[:, 0])
    assert np.all((slopes > 1.5) & (slopes < 2.6))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["iid", "aligned"])
def test_relative_loss_stays_below_constants_up_to_ten_thousand_agents(kind):
    factors, losses = [], []
    for n in (100, 1000, 10_000):
        rng = np.random.default_rng(n)
        values = rng.random((n, 20))
        if kind == "aligned":
            values = np.outer(rng.uniform(0.2, 1, n), values[0])
        alpha, beta = rng.uniform(0.1, 0.4, n), rng.uniform(0, 0.1, n)
        solved = compare(values, alpha, beta, tol=1e-3)
        upper = bounds(values, alpha, beta)
        best = values.max(0).sum()
        assert solved.loss <= min(upper.equation_101, upper.derived_inequality) + 1e-9
        factors.append([upper.item_factors.max(), upper.derived_simple / best])
        losses.append(solved.price_of_fairness)
    assert np.ptp(factors, axis=0).max() < 0.1
    assert max(losses) < np.min(factors)
