"""The two host programs: pairs by HiGHS, and cutting planes."""

import numpy as np
import pytest
import scipy.optimize

from fairhand.mechanisms.participatory._check import Problem
from fairhand.mechanisms.participatory.measures import supergradient, welfare
from fairhand.mechanisms.participatory.solvers._ordered import into_polytope, solve_in_order
from fairhand.mechanisms.participatory.solvers._program import Program
from fairhand.mechanisms.participatory.solvers.cutting_plane import blunt, solve_cuts
from fairhand.mechanisms.participatory.solvers.dual import bound
from fairhand.mechanisms.participatory.solvers.lp import solve_lp
from fairhand.mechanisms.participatory.solvers.solution import certified

BOTH = pytest.mark.parametrize("back_end", [solve_lp, solve_cuts])


def draw(seed, altruists=True):
    """A concave instance: sizes, values, weights, caps and disposal all random; some with negative alpha or beta."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 7), rng.integers(1, 5)
    values = rng.random((n, m)) * (rng.random((n, m)) < 0.9)
    alpha, beta = rng.uniform(-0.4 * altruists, 1.2, n), rng.uniform(-0.4 * altruists, 0.8, n)
    least = np.sort(alpha + beta)[:2].sum()
    alpha += max(0.0, -least)  # the pair condition
    caps = np.where(rng.random(m) < 0.5, 1.0, rng.uniform(1 / n, 1.0, m))
    return values, alpha, beta, caps, ("forbidden", "free")[seed % 2]


def program_of_the_paper(values, alpha, beta, caps, disposal):
    """The program of the proof of lemma 3.3 word for word: z_ik for every ordered pair, with two rows each.

    It needs alpha_i + beta_i >= 0 for all i.
    """
    n, m = values.shape
    pairs = [(i, k) for i in range(n) for k in range(n) if i != k]
    cost = np.concatenate([-values.ravel(), np.full(len(pairs), 1 / (n - 1))])
    rows = []
    for row, (i, k) in enumerate(pairs):
        gap = np.zeros((n, m))
        gap[i], gap[k] = values[i], -values[k]
        for side in (beta[i], -alpha[i]):
            z = np.zeros(len(pairs))
            z[row] = -1
            rows.append(np.concatenate([side * gap.ravel(), z]))
    totals = np.hstack([np.tile(np.eye(m), n), np.zeros((m, len(pairs)))])
    rows = np.array(rows)
    free = disposal == "free"
    answer = scipy.optimize.linprog(
        cost,
        A_ub=np.vstack([rows, totals]) if free else rows,
        b_ub=np.append(np.zeros(len(rows)), np.ones(m)) if free else np.zeros(len(rows)),
        A_eq=None if free else totals,
        b_eq=None if free else np.ones(m),
        bounds=[(0, b) for _ in range(n) for b in caps] + [(None, None)] * len(pairs),
    )
    assert answer.status == 0
    return -answer.fun


def in_base_polytope(sigma, alpha, beta):
    """Whether sigma is in Sigma, by a linear program in the multipliers of pairs."""
    n = len(sigma)
    i, k = np.triu_indices(n, 1)
    flow = np.zeros((n, i.size))
    flow[i, np.arange(i.size)], flow[k, np.arange(i.size)] = 1.0, -1.0
    low, high = -(beta[i] + alpha[k]) / (n - 1), (alpha[i] + beta[k]) / (n - 1)
    # HiGHS allows 1e-7, so a violation is looked for, not feasibility.
    slack = np.hstack([flow, np.eye(n), -np.eye(n)])
    cost = np.append(np.zeros(i.size), np.ones(2 * n))
    answer = scipy.optimize.linprog(
        cost, A_eq=slack, b_eq=sigma, bounds=[*zip(low, high, strict=True), *[(0, None)] * (2 * n)]
    )
    return answer.fun < 1e-9


@BOTH
@pytest.mark.parametrize("seed", range(12))
def test_primal_and_dual_meet_and_sigma_is_in_the_base_polytope(back_end, seed):
    values, alpha, beta, caps, disposal = draw(seed)
    shares, sigma = back_end(Problem(values, alpha, beta, caps, disposal), 1e-9, 500)
    assert np.all(shares >= 0)
    assert np.all(shares <= caps)
    total = shares.sum(0)
    assert np.all(total <= 1 + 1e-12)
    assert disposal == "free" or np.allclose(total, 1, rtol=0, atol=1e-12)
    primal = float(welfare((values * shares).sum(1), alpha, beta))
    assert bound(sigma, values, caps, disposal) - primal == pytest.approx(0, abs=1e-9 * max(values.sum(), 1))
    assert sigma.sum() == pytest.approx(0, abs=1e-10)
    assert in_base_polytope(sigma, alpha, beta)


@BOTH
@pytest.mark.parametrize("seed", range(40, 48))
def test_agrees_with_the_program_of_the_paper(back_end, seed):
    values, alpha, beta, caps, disposal = draw(seed, altruists=False)
    shares, _ = back_end(Problem(values, alpha, beta, caps, disposal), 1e-9, 500)
    primal = welfare((values * shares).sum(1), alpha, beta)
    assert primal == pytest.approx(program_of_the_paper(values, alpha, beta, caps, disposal), abs=1e-8)


def test_the_sort_vertex_is_no_dual_where_many_are_equal():
    """The negative control of the multipliers: at the same optimum an order of utilities certifies nothing."""
    values = np.array([[1.0, 0.9, 0.3], [0.8, 0.9, 0.2], [0.9, 0.7, 0.4]])
    alpha, beta, caps = np.full(3, 0.6), np.full(3, 0.4), np.ones(3)
    shares, sigma = solve_lp(Problem(values, alpha, beta, caps))
    u = (values * shares).sum(1)
    assert np.ptp(u) < 1e-12
    primal = float(welfare(u, alpha, beta))
    assert bound(sigma, values, caps, "forbidden") == pytest.approx(primal, abs=1e-12)
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        tie = u + 1e-9 * np.array(order)
        assert bound(supergradient(tie, alpha, beta), values, caps, "forbidden") > primal + 0.05


@BOTH
@pytest.mark.parametrize("seed", range(60, 66))
def test_counts_are_that_many_copies(back_end, seed):
    values, alpha, beta, _, disposal = draw(seed, altruists=False)
    n, m = values.shape
    counts = np.random.default_rng(seed).integers(1, 5, n)
    caps = np.where(np.arange(m) % 2, 1.0, 1 / counts.sum() + 0.1)
    whole = [np.repeat(x, counts, 0) for x in (values, alpha, beta)]
    shares, sigma = back_end(Problem(values, alpha, beta, caps, disposal, counts), 1e-9, 500)
    alone, _ = back_end(Problem(*whole, caps, disposal), 1e-9, 500)
    # One member's shares and sigma, handed to every copy, are an optimum of the long problem, and its proof.
    spread = certified(
        Problem(*whole, caps, disposal), np.repeat(shares, counts, 0), np.repeat(sigma, counts), 1e-9, "spread"
    )
    assert spread.converged
    assert spread.primal == pytest.approx(welfare((whole[0] * alone).sum(1), *whole[1:]), abs=1e-9)


@BOTH
def test_edges(back_end):
    one = back_end(Problem(np.array([[2.0, 0.0]]), np.ones(1), np.ones(1), np.ones(2), "forbidden"), 1e-9, 50)
    assert one[0].tolist() == [[1.0, 1.0]]
    assert one[1].tolist() == [0.0]
    zero = back_end(Problem(np.zeros((2, 2)), np.ones(2), np.ones(2), np.ones(2), "forbidden"), 1e-9, 50)
    assert np.allclose(zero[0].sum(0), 1)
    tight = back_end(Problem(np.eye(3), np.full(3, 0.2), np.full(3, 0.2), np.full(3, 1 / 3), "forbidden"), 1e-9, 50)
    assert np.allclose(tight[0], 1 / 3)
    big = np.array([[1e9, 2e9], [3e9, 1e9]])
    small = back_end(Problem(big * 1e-15, np.full(2, 0.3), np.full(2, 0.2), np.ones(2), "forbidden"), 1e-9, 50)
    large = back_end(Problem(big, np.full(2, 0.3), np.full(2, 0.2), np.ones(2), "forbidden"), 1e-9, 50)
    np.testing.assert_allclose(small[0], large[0], atol=1e-9)


def test_blunt_cuts_are_in_the_base_polytope_and_sharpen_to_the_order():
    rng = np.random.default_rng(0)
    for _ in range(20):
        n = rng.integers(2, 7)
        alpha, beta, u = rng.uniform(0, 1, n), rng.uniform(0, 1, n), rng.random(n)
        members = np.ones(n)
        for width in (1e-7, 0.3, 5.0):
            sigma = blunt(u, alpha, beta, members, width)
            assert in_base_polytope(sigma, alpha, beta)
            # By the double sum.
            ramp = np.clip(((u[None] - u[:, None]) / width + 1) / 2, 0, 1)
            pair = (alpha + beta)[:, None] + (alpha + beta)[None]
            terms = pair * ramp - beta[:, None] - alpha[None]
            np.testing.assert_allclose(sigma, (terms.sum(1) - np.diag(terms)) / (n - 1), atol=1e-9)
        np.testing.assert_allclose(blunt(u, alpha, beta, members, 1e-7), supergradient(u, alpha, beta), atol=1e-9)


def test_the_right_order_is_enough_for_both_sides():
    """From utilities that are a little off, and few shares in play, to the exact optimum and its proof."""
    rng, lost = np.random.default_rng(11), []
    for _ in range(5):
        n, m = 12, 5
        values, alpha, beta = rng.random((n, m)), rng.uniform(0, 0.3, n), rng.uniform(0, 0.2, n)
        caps, one = np.ones(m), np.ones(n)
        shares, sigma = solve_lp(Problem(values, alpha, beta, caps))
        u = (values * shares).sum(1)
        best = float(welfare(u, alpha, beta))
        noisy = u + 1e-6 * rng.normal(size=n)
        shares, worth, support = solve_in_order(Problem(values, alpha, beta, caps, "forbidden", one), noisy, shares > 0)
        again = (values * shares).sum(1)
        assert float(welfare(again, alpha, beta)) == pytest.approx(best, abs=1e-9)
        assert support.sum() < n * m
        moved = into_polytope(worth, again, alpha, beta, one)
        assert in_base_polytope(moved, alpha, beta)
        assert bound(moved, values, caps, "forbidden") >= best - 1e-9
        # What is in the polytope stays; what is not comes in.
        np.testing.assert_allclose(into_polytope(sigma, u, alpha, beta, one), sigma, atol=1e-9)
        outside = sigma + 0.5 * rng.normal(size=n)
        assert not in_base_polytope(outside - outside.mean(), alpha, beta)
        assert in_base_polytope(into_polytope(outside, u, alpha, beta, one), alpha, beta)
        # The negative control: the wrong order loses welfare.
        worse = solve_in_order(Problem(values, alpha, beta, caps, "forbidden", one), -u, np.ones((n, m), bool))[0]
        lost.append(best - float(welfare((values * worse).sum(1), alpha, beta)))
    assert min(lost) > -1e-9
    assert max(lost) > 1e-3


def test_the_bound_of_a_program_holds_for_wrong_duals(monkeypatch):
    """Weak duality: whatever multipliers the solver reports, the bound stays above the optimum."""
    program = Program(np.array([[1.0, 0.5], [0.7, 0.9]]), np.array([1.0, 0.6]), "forbidden")
    program.reward(program.utilities, [1.0, 1.0])
    program.at_most([0, 0], program.utilities, [1.0, -1.0], [0.2])
    right = program.solve()
    assert right.bound == pytest.approx(program.values.ravel() @ right.shares.ravel(), abs=1e-12)
    honest = scipy.optimize.linprog

    def lying(*args, **kwargs):
        answer = honest(*args, **kwargs)
        answer.ineqlin.marginals = answer.ineqlin.marginals - 0.1
        answer.eqlin.marginals = answer.eqlin.marginals * 0.8 + 0.05
        return answer

    monkeypatch.setattr(scipy.optimize, "linprog", lying)
    assert program.solve().bound > right.bound + 1e-3


def test_a_solver_that_fails_leaves_an_honest_gap(monkeypatch):
    class Failed:
        status = 4

    monkeypatch.setattr(scipy.optimize, "linprog", lambda *args, **kwargs: Failed())
    values, alpha, beta, caps, _ = draw(3)
    shares, sigma = solve_lp(Problem(values, alpha, beta, caps))
    found = certified(Problem(values, alpha, beta, caps), shares, sigma, 1e-6, "lp")
    assert np.isfinite(found.dual)
    assert float(found.gap) > 0
    assert "relative gap" in found.status


def test_cutting_planes_stop_at_the_gap_asked_for():
    rng = np.random.default_rng(5)
    values, alpha, beta = rng.random((24, 8)), rng.uniform(0, 0.6, 24), rng.uniform(-0.1, 0.4, 24)
    alpha += 0.1
    _, exact = solve_lp(Problem(values, alpha, beta, np.ones(8)))
    best = bound(exact, values, np.ones(8), "forbidden")
    for tol in (1e-2, 1e-6):
        shares, sigma = solve_cuts(Problem(values, alpha, beta, np.ones(8)), tol, 500)
        found = certified(Problem(values, alpha, beta, np.ones(8)), shares, sigma, tol, "cutting_plane")
        assert found.converged
        assert float(found.primal) <= best + 1e-9
        assert float(found.dual) >= best - 1e-9


@pytest.mark.slow
def test_both_agree_on_many_instances():
    for seed in range(200, 500):
        values, alpha, beta, caps, disposal = draw(seed)
        worth = []
        for back_end in (solve_lp, solve_cuts):
            shares, sigma = back_end(Problem(values, alpha, beta, caps, disposal), 1e-9, 1000)
            found = certified(Problem(values, alpha, beta, caps, disposal), shares, sigma, 1e-8, "both")
            assert found.converged, (seed, found.status)
            worth.append(found.primal)
        assert worth[0] == pytest.approx(worth[1], abs=1e-7)
