"""The exact fractional Pareto factor against brute force, the dual program written down by itself, and cases by hand."""

import doctest
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from fairhand.mechanisms import Allocation, _pareto, metrics
from fairhand.models import Population


def profile(seed, agents, items):
    rng = np.random.default_rng(seed)
    return rng.random((agents, items)), rng.integers(0, agents, items)


def certificate(v, owner, w):
    u = np.array([v[i, owner == i].sum() for i in range(len(v))])
    return w @ u / np.sum(np.max(w[:, None] * v, 0))


def dual_factor(v, owner):
    """1 / min { sum p : p_j >= w_i v_ij, w u = 1 }: the dual, dense and with other variables than the primal's."""
    (n, m), u = v.shape, np.array([v[i, owner == i].sum() for i in range(len(v))])
    rows = np.zeros((n * m, n + m))
    for row, (i, j) in enumerate(itertools.product(range(n), range(m))):
        rows[row, i], rows[row, n + j] = v[i, j], -1.0
    cost = np.append(np.zeros(n), np.ones(m))
    return 1 / linprog(cost, rows, np.zeros(n * m), np.append(u, np.zeros(m))[None], [1.0]).fun


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("agents", "items"), [(2, 5), (3, 7), (6, 20)])
def test_the_factor_is_that_of_the_dual_and_its_weights_prove_it(seed, agents, items):
    v, owner = profile(seed, agents, items)
    found = metrics.pareto_factor(v, owner)
    np.testing.assert_allclose(found.factor, dual_factor(v, owner), rtol=1e-8)
    np.testing.assert_allclose(certificate(v, owner, found.weights), found.factor, rtol=1e-12)
    assert 0 <= found.gap < 1e-9
    assert found.weights.min() >= 0
    assert found.weights.max() == 1


@pytest.mark.parametrize("seed", range(3))
def test_no_integral_allocation_does_better_and_no_weights_prove_more(seed):
    v, owner = profile(10 + seed, 3, 6)
    found = metrics.pareto_factor(v, owner)
    u = np.array([v[i, owner == i].sum() for i in range(3)])
    keep = u > 0
    best = 1.0
    for other in itertools.product(range(3), repeat=6):
        got = np.array([v[i, np.array(other) == i].sum() for i in range(3)])
        best = max(best, np.min(got[keep] / u[keep]))
    assert found.factor <= 1 / best + 1e-9
    worse = minimize(lambda log: -certificate(v, owner, np.exp(log)), np.zeros(3), method="Nelder-Mead")
    assert -worse.fun <= found.factor + 1e-9
    assert -worse.fun > found.factor - 1e-3  # so that the line above is a test


def test_welfare_maximisers_are_efficient_and_a_swapped_item_is_not():
    v, _ = profile(0, 5, 40)
    w = np.array([1.0, 2.0, 0.5, 1.0, 1.0])
    owner = (w[:, None] * v).argmax(0)
    found = metrics.pareto_factor(v, owner, weights=w)
    assert found.factor == pytest.approx(1, abs=1e-12)
    assert found.certificate == pytest.approx(1, abs=1e-12)
    assert found.factor <= 1
    owner[0] = (owner[0] + 1) % 5
    assert metrics.pareto_factor(v, owner).factor < 1 - 1e-6


def test_a_dictator_with_everything_is_efficient():
    v, _ = profile(1, 3, 5)
    found = metrics.pareto_factor(v, np.zeros(5, int))
    assert found.factor == 1
    assert found.weights.tolist() == [1, 0, 0]  # agents with nothing drop out


def test_a_case_by_hand():
    # Each holds what the other likes: swapping triples both, and no fraction does better by symmetry.
    v = np.array([[3.0, 1.0], [1.0, 3.0]])
    found = metrics.pareto_factor(v, [1, 0], weights=[1, 3])
    assert found.factor == pytest.approx(1 / 3, rel=1e-12)
    assert found.certificate == pytest.approx(4 / 12)
    # No whole items can be traded, but fractions can: 2 + 3 (1 - a) = 3 theta and 3 a = theta give theta = 5/4.
    found = metrics.pareto_factor(np.array([[3.0, 2.0], [3.0, 1.0]]), [0, 1])
    assert found.factor == pytest.approx(4 / 5, rel=1e-12)
    # Proportional values leave nothing to gain.
    assert metrics.pareto_factor(np.array([[2.0, 1.0], [1.0, 0.5]]), [0, 1]).factor == pytest.approx(1)


def test_nobody_with_any_utility_is_factor_zero():
    found = metrics.pareto_factor(np.eye(2), [1, 0])
    assert found.factor == 0
    assert found.certificate is None
    assert metrics.pareto_factor(np.zeros((2, 2)), [1, 0], weights=[1, 1]).certificate == 0


@pytest.mark.parametrize("unit", [1e-9, 1e6])
def test_units_do_not_matter(unit):
    v, owner = profile(3, 4, 30)
    mixed = v * np.array([unit, 1.0, 1 / unit, 3.0])[:, None]
    here, there = metrics.pareto_factor(v, owner), metrics.pareto_factor(mixed, owner)
    assert there.factor == pytest.approx(here.factor, rel=1e-9)
    assert there.gap < 1e-8


def test_an_agent_with_next_to_nothing_does_not_upset_the_solver():
    v, _ = profile(4, 5, 200)
    owner = np.zeros(200, int)
    owner[:4] = [1, 2, 3, 4]
    v[1:, :4] = 1e-12
    found = metrics.pareto_factor(v, owner)
    assert found.factor == pytest.approx(v[0, 4:].sum() / v[0].sum(), rel=1e-9)
    assert found.gap < 1e-9


def test_thousand_items_are_quick_and_allocations_and_populations_will_do():
    v, owner = profile(5, 5, 1000)
    shares = jnp.asarray(np.arange(5)[:, None] == owner, jnp.float32)
    found = metrics.pareto_factor(Population(v), Allocation(shares))
    assert found.gap < 1e-9
    assert found.factor == metrics.pareto_factor(v, owner).factor
    # A fractional allocation too: equal split is what anyone can improve on.
    half = metrics.pareto_factor(np.array([[1.0, 0.0], [0.0, 1.0]]), Allocation(jnp.full((2, 2), 0.5)))
    assert half.factor == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("values", "allocation", "weights", "named"),
    [
        (np.ones(3), [0], None, "`values`"),
        (-np.ones((2, 1)), [0], None, "`values`"),
        (np.full((2, 1), np.nan), [0], None, "`values`"),
        (np.ones((2, 3)), [0, 1], None, "`allocation`"),
        (np.ones((2, 3)), [0, 1, 2], None, "`allocation`"),
        (np.ones((2, 3)), [0, 1, -1], None, "`allocation`"),
        (np.ones((2, 3)), [0.0, 1.0, 1.0], None, "`allocation`"),
        (np.ones((2, 3)), Allocation(jnp.ones((3, 2))), None, "`allocation`"),
        (np.ones((2, 3)), Allocation(jnp.ones((2, 3))), None, "`allocation`"),
        (np.ones((2, 3)), [0, 1, 1], [1.0], "`weights`"),
        (np.ones((2, 3)), [0, 1, 1], [1.0, -1.0], "`weights`"),
        (np.ones((2, 3)), [0, 1, 1], [0.0, 0.0], "`weights`"),
    ],
)
def test_bad_input_is_refused_by_name(values, allocation, weights, named):
    with pytest.raises(ValueError, match=named):
        metrics.pareto_factor(values, allocation, weights)


def test_inside_jit_it_says_that_it_runs_on_the_host():
    with pytest.raises(ValueError, match="outside `jit`"):
        jax.jit(lambda v: metrics.pareto_factor(v, [0, 1]).factor)(jnp.eye(2))


def test_the_example_runs():
    result = doctest.testmod(_pareto, extraglobs={"np": np})
    assert result.attempted
    assert not result.failed
