"""First-order steps: the mirror map stays in the base polytope, certificates hold always, and optima are the linear program's."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from fairhand.mechanisms.participatory._check import Problem
from fairhand.mechanisms.participatory.measures import weighted_welfare
from fairhand.mechanisms.participatory.solvers import _capped_simplex, _mirror, first_order
from fairhand.mechanisms.participatory.solvers.dual import bound
from fairhand.mechanisms.participatory.solvers.first_order import solve_first_order, solve_in_program
from fairhand.mechanisms.participatory.solvers.solution import certified
from fairhand.mechanisms.participatory.solvers.types import merge

SHAPE = (6, 9)
KINDS = ("iid", "altruist", "alike", "aligned", "fehr_schmidt", "ties", "zeros")


def draw(kind: str, n: int = SHAPE[0], m: int = SHAPE[1], seed: int = 0):
    rng = np.random.default_rng(seed)
    values, alpha, beta = rng.random((n, m)), rng.uniform(0.1, 0.45, n), rng.uniform(0.0, 0.3, n)
    if kind == "altruist":
        alpha[0], beta[0] = -0.15, 0.1
        alpha[1:] += 0.1
    elif kind == "alike":
        alpha, beta = np.full(n, 0.3), np.full(n, 0.2)
    elif kind == "aligned":
        values = np.outer(rng.random(n), rng.random(m))
    elif kind == "fehr_schmidt":
        who = rng.integers(0, 4, n)
        alpha, beta = np.array([0, 0.5, 1, 4.0])[who], np.array([0, 0.25, 0.6, 0.6])[who]
    elif kind == "ties":
        values = rng.integers(0, 3, (n, m)) / 2.0
    elif kind == "zeros":
        values[0], values[:, 0] = 0.0, 0.0
    return values, alpha, beta


def by_program(values, alpha, beta, caps, disposal="forbidden"):
    """W* by the linear program with one split an unordered pair, written out here."""
    n, m = values.shape
    pairs = list(itertools.combinations(range(n), 2))
    size = n * m + 2 * len(pairs)
    cost = np.zeros(size)
    cost[: n * m] = -values.ravel()
    equal = np.zeros((len(pairs), size))
    for p, (i, k) in enumerate(pairs):
        equal[p, i * m : (i + 1) * m], equal[p, k * m : (k + 1) * m] = values[i], -values[k]
        up, down = n * m + 2 * p, n * m + 2 * p + 1
        equal[p, up], equal[p, down] = -1, 1
        cost[up], cost[down] = (beta[i] + alpha[k]) / (n - 1), (beta[k] + alpha[i]) / (n - 1)
    items = np.zeros((m, size))
    for j in range(m):
        items[j, j : n * m : m] = 1
    limits = [(0, b) for _ in range(n) for b in caps] + [(0, None)] * (2 * len(pairs))
    if disposal == "free":
        done = linprog(cost, items, np.ones(m), equal, np.zeros(len(pairs)), limits)
    else:
        rows, right = np.vstack([equal, items]), np.concatenate([np.zeros(len(pairs)), np.ones(m)])
        done = linprog(cost, A_eq=rows, b_eq=right, bounds=limits)
    assert done.status == 0
    return -done.fun


def sigma_of(y, alpha, beta, counts=None):
    with jax.enable_x64(True):
        return np.asarray(first_order._sigma(_mirror.mirror(alpha, beta, counts), y))


def by_double_loop(y, alpha, beta):
    n, e = len(y), alpha + beta
    sigma = np.zeros(n)
    for i, k in itertools.permutations(range(n), 2):
        sigma[i] += (e[i] + e[k]) * np.clip((y[k] - y[i] + 1) / 2, 0, 1) - beta[i] - alpha[k]
    return sigma / (n - 1)


def outside_by_subsets(sigma, alpha, beta):
    """By how much sigma leaves the base polytope, over all sets of agents."""
    n, worst = len(sigma), abs(sigma.sum())
    for size in range(1, n):
        for chosen in itertools.combinations(range(n), size):
            inside = np.isin(np.arange(n), chosen)
            most = ((n - size) * alpha[inside].sum() + size * beta[~inside].sum()) / (n - 1)
            worst = max(worst, sigma[inside].sum() - most)
    return worst


@pytest.mark.parametrize("n", [2, 5, 7])
def test_mirror_map_is_the_double_sum_and_lies_in_the_base_polytope(n):
    rng = np.random.default_rng(n)
    for trial in range(25):
        alpha, beta = rng.uniform(0.1, 1, n), rng.uniform(-0.05, 0.6, n)
        if trial % 3 == 0:
            alpha[0] = -beta[0] - 0.04  # one negative alpha + beta, concave all the same
        y = rng.random(n) * rng.choice([0.5, 3, 30])
        y[rng.integers(n)] = y[0]
        sigma = sigma_of(y, alpha, beta)
        np.testing.assert_allclose(sigma, by_double_loop(y, alpha, beta), atol=1e-12)
        assert outside_by_subsets(sigma, alpha, beta) < 1e-12
        vertex = sigma_of(np.arange(n) * 10.0, alpha, beta)
        assert (
            outside_by_subsets(1.1 * vertex - 0.1 * sigma_of(np.zeros(n), alpha, beta), alpha, beta) > 1e-4
        )  # the judge can refuse


def test_mirror_map_with_counts_is_that_of_the_copies():
    rng = np.random.default_rng(1)
    counts, alpha, beta, y = np.array([3, 1, 4]), rng.random(3), rng.random(3), rng.random(3) * 2
    each = sigma_of(*(np.repeat(x, counts) for x in (y, alpha, beta)))
    np.testing.assert_allclose(np.repeat(sigma_of(y, alpha, beta, counts), counts), each, atol=1e-12)


def test_prefix_sums_and_order_beyond_one_block():
    rng = np.random.default_rng(2)
    rows = rng.random((2, 5000))
    with jax.enable_x64(True):
        sums = np.asarray(_mirror.prefix_sums(jnp.asarray(rows)))
        order = np.asarray(_mirror.ascending(jnp.asarray(rows[0] * 1e3)))
    np.testing.assert_allclose(sums[:, 1:], np.cumsum(rows, 1), rtol=1e-12)
    assert (sums[:, 0] == 0).all()
    assert np.array_equal(order, np.argsort(rows[0]))


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("capped", [False, True])
def test_projection_satisfies_its_optimality_conditions(free, capped):
    rng = np.random.default_rng(3)
    v = np.concatenate([rng.normal(size=(7, 20)), rng.normal(size=(7, 20)) * 50 - 30], 1)
    caps = np.full((7, 40), 0.3) if capped else None
    with jax.enable_x64(True):
        x = np.asarray(
            _capped_simplex.project(jnp.asarray(v), caps if caps is None else jnp.asarray(caps), jnp.zeros(40), free)[0]
        )
    b = 0.3 if capped else 1.0
    assert (x >= 0).all()
    assert (x <= b + 1e-12).all()
    for j in range(40):
        total = x[:, j].sum()
        assert total <= 1 + 1e-9
        assert free or total == pytest.approx(1, abs=1e-9)
        inner = (x[:, j] > 1e-7) & (x[:, j] < b - 1e-7)
        slack = v[:, j] - x[:, j]  # lambda where x is inside, at most lambda at 0, at least lambda at the cap
        low, high = slack[x[:, j] <= 1e-7].max(initial=-np.inf), slack[x[:, j] >= b - 1e-7].min(initial=np.inf)
        inside = slack[inner]
        assert np.ptp(inside) < 1e-6 if len(inside) else True
        assert low <= min(high, inside.min(initial=np.inf)) + 1e-6
        assert inside.max(initial=-np.inf) <= high + 1e-6
        if free and total < 1 - 1e-6:  # nothing is gained by more
            assert np.abs(inside).max(initial=0.0) < 1e-6
            assert low <= 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_reaches_the_linear_program(kind):
    values, alpha, beta = draw(kind)
    caps = np.ones(SHAPE[1])
    best = by_program(values, alpha, beta, caps)
    found = judged(values, alpha, beta, caps)
    assert found.converged, found.status
    assert found.primal - 1e-8 <= best <= found.dual + 1e-8
    assert outside_by_subsets(found.sigma, alpha, beta) < 1e-9


@pytest.mark.parametrize("disposal", ["forbidden", "free"])
@pytest.mark.parametrize("cap", [0.18, 0.4])
def test_caps_and_disposal_reach_the_linear_program(cap, disposal):
    values, alpha, beta = draw("iid", seed=4)
    beta[0] = 2.5  # would rather have it thrown away
    values[0], values[1:, :3] = 4.0, 0.1
    caps = np.full(SHAPE[1], cap)
    best = by_program(values, alpha, beta, caps, disposal)
    found = judged(values, alpha, beta, caps, disposal)
    assert found.converged, found.status
    assert found.primal - 1e-8 <= best <= found.dual + 1e-8
    assert (found.shares <= cap + 1e-12).all()
    if disposal == "free" and cap < 1 / (SHAPE[0] - 1):  # else the others take it
        assert found.shares.sum(0).min() < 0.95
        assert best > by_program(values, alpha, beta, caps) + 0.01


def test_counts_reach_the_linear_program_of_the_copies():
    values, alpha, beta = draw("iid", 3, 9, seed=5)
    counts = np.array([1, 3, 2])
    caps = np.full(9, 0.5)
    best = by_program(*(np.repeat(x, counts, 0) for x in (values, alpha, beta)), caps)
    shares, sigma = solve_first_order(Problem(values, alpha, beta, caps, "forbidden", counts))
    found = certified(Problem(values, alpha, beta, caps, "forbidden", counts), shares, sigma, 1e-6, "first_order")
    assert found.converged, found.status
    assert found.primal - 1e-8 <= best <= found.dual + 1e-8
    merged = merge(*(np.repeat(x, counts, 0) for x in (values, alpha, beta)))
    assert np.array_equal(merged.counts, counts)


def test_scale_of_values_and_of_single_items_does_not_matter():
    values, alpha, beta = draw("iid", seed=6)
    values[:, 0] *= 100
    plain = judged(values, alpha, beta, np.ones(SHAPE[1]))
    large = judged(values * 1e6, alpha, beta, np.ones(SHAPE[1]))
    assert plain.converged
    assert large.converged
    assert large.primal == pytest.approx(1e6 * plain.primal, rel=3e-6)


def test_short_runs_say_so_and_bound_all_the_same():
    for seed in range(5):
        values, alpha, beta = draw("fehr_schmidt", seed=seed)
        caps = np.ones(SHAPE[1])
        shares, sigma = solve_first_order(Problem(values, alpha, beta, caps), 1e-12, 1)
        found = certified(Problem(values, alpha, beta, caps), shares, sigma, 1e-12, "first_order")
        best = by_program(values, alpha, beta, caps)
        assert found.primal - 1e-9 <= best <= found.dual + 1e-9
        assert not found.converged
        assert "max_steps" in found.status


def test_one_agent_gets_everything():
    found = judged(np.array([[0.3, 0.7]]), np.array([0.4]), np.array([0.1]), np.ones(2))
    assert found.converged
    assert found.shares.tolist() == [[1.0, 1.0]]


def test_candidates_in_place_of_all_pairs_reach_the_same(monkeypatch):
    values, alpha, beta = draw("iid", 150, 40, seed=7)
    whole = judged(values, alpha, beta, np.ones(40), tol=1e-5)
    monkeypatch.setattr(first_order, "PAIRS", 0)
    few = judged(values, alpha, beta, np.ones(40), tol=1e-5)
    assert whole.converged, whole.status
    assert few.converged, few.status
    assert first_order.rows_for(150, 40, np.ones(40)) == 64
    assert whole.dual >= few.primal
    assert few.dual >= whole.primal


def test_same_shape_compiles_once():
    values, alpha, beta = draw("iid")
    judged(values, alpha, beta, np.ones(SHAPE[1]))
    before = first_order._steps._cache_size()
    judged(*draw("fehr_schmidt", seed=9), np.ones(SHAPE[1]), tol=1e-4)
    assert first_order._steps._cache_size() == before


def test_inside_a_program_over_a_batch():
    drawn = [draw(kind, seed=s) for s, kind in enumerate(("iid", "aligned", "altruist"))]
    values, alpha, beta = (np.stack(x) for x in zip(*drawn, strict=True))
    with jax.enable_x64(True):
        run = jax.jit(jax.vmap(lambda v, a, b: solve_in_program(v, a, b, steps=1500)))
        found = jax.tree.map(np.asarray, run(*(jnp.asarray(x) for x in (values, alpha, beta))))
    for k in range(3):
        u = (values[k] * found.shares[k]).sum(1)
        assert found.primal[k] == pytest.approx(weighted_welfare(u, alpha[k], beta[k]), abs=1e-9)
        assert found.dual[k] == pytest.approx(bound(found.sigma[k], values[k], np.ones(9), "forbidden"), abs=1e-9)
        best = by_program(values[k], alpha[k], beta[k], np.ones(9))
        assert found.primal[k] - 1e-9 <= best <= found.dual[k] + 1e-9
        assert found.dual[k] - found.primal[k] < 1e-5 * values[k].max(0).sum()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["iid", "fehr_schmidt", "aligned"])
def test_thousands_of_agents(kind):
    values, alpha, beta = draw(kind, 2000, 200)
    found = judged(values, alpha, beta, np.ones(200), tol=1e-4)
    assert found.converged, found.status


def judged(values, alpha, beta, caps, disposal="forbidden", tol=1e-6):
    shares, sigma = solve_first_order(Problem(values, alpha, beta, caps, disposal), tol)
    return certified(Problem(values, alpha, beta, caps, disposal), shares, sigma, tol, "first_order")
