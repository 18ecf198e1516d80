"""One door to the solvers: any method, batch, cap and disposal; what an optimum must obey; and what is told of a failure."""

import importlib

import jax.numpy as jnp
import numpy as np
import pytest
from pair_lp import best_welfare, concave_weights, welfare_by_pairs

from fairhand.mechanisms import participatory as room
from fairhand.mechanisms.participatory._check import Problem
from fairhand.mechanisms.participatory.solvers.solution import certified, feasible


def problem(seed, n=4, m=3, negative=True):
    rng = np.random.default_rng(seed)
    return rng.random((n, m)), *concave_weights(rng, n, negative)


@pytest.mark.parametrize("disposal", ["forbidden", "free"])
def test_auto_agrees_with_the_papers_program(disposal):
    rng = np.random.default_rng(0)
    used = set()
    for trial in range(40):
        n, m = int(rng.integers(1, 6)), int(rng.integers(1, 5))
        values = rng.random((n, m)) if trial % 3 else rng.integers(0, 3, (n, m)) / 2
        alpha, beta = concave_weights(rng, n)
        caps = np.maximum(rng.choice([1, 1, 0.5, 1 / 3, 0.4], m), 1 / n) if trial % 2 else np.ones(m)
        found = room.solve(values, alpha, beta, caps=caps, disposal=disposal)
        used.add(found.method)
        truth = best_welfare(values, alpha, beta, caps, disposal)
        np.testing.assert_allclose([found.primal, found.dual], truth, atol=1e-8)
        np.testing.assert_allclose(found.primal, welfare_by_pairs(found.utilities, alpha, beta), atol=1e-13)
        np.testing.assert_allclose(found.dual, room.dual_value(found.sigma, values, caps=caps, disposal=disposal))
        assert found.gap == found.dual - found.primal
        assert found.converged
        assert found.status == ""
        assert (found.shares >= 0).all()
        assert (found.shares <= caps).all()
        total = found.shares.sum(0)
        assert (total <= 1 + 1e-15).all()
        assert disposal == "free" or (total >= 1 - 1e-12).all()
    assert {"utilitarian", "two_agent", "one_item", "lp"} <= used


def test_no_allocation_beats_the_bound():
    rng = np.random.default_rng(1)
    for seed in range(5):
        values, alpha, beta = problem(seed)
        found = room.solve(values, alpha, beta)
        for _ in range(50):
            shares = rng.dirichlet(np.full(4, 0.3), 3).T
            assert welfare_by_pairs((values * shares).sum(1), alpha, beta) <= found.dual + 1e-9


def test_batches_are_the_loop_over_leading_axes():
    rng = np.random.default_rng(2)
    values, alpha = rng.random((2, 1, 3, 2)), rng.random((3, 3)) / 3
    found = room.solve(values, alpha, 0.1, caps=[1.0, 0.5])
    assert found.shares.shape == (2, 3, 3, 2)
    assert found.sigma.shape == found.utilities.shape == (2, 3, 3)
    assert found.primal.shape == found.gap.shape == found.converged.shape == (2, 3)
    one = room.solve(values[1, 0], alpha[2], 0.1, caps=[1.0, 0.5])
    np.testing.assert_array_equal(found.shares[1, 2], one.shares)
    assert found.dual[1, 2] == one.dual


def test_lists_jax_arrays_whole_numbers_and_single_precision_are_taken():
    values = [[3, 1], [2, 2]]
    exact = room.solve(values, 0.2, 0.1)
    for kind in (
        np.array(values),
        jnp.asarray(values),
        np.array(values, np.float32),
        jnp.asarray(values, jnp.bfloat16),
    ):
        found = room.solve(kind, np.float32(0.2), jnp.asarray(0.1))
        np.testing.assert_allclose(found.primal, exact.primal, rtol=1e-7)
        assert found.shares.dtype == found.primal.dtype == np.float64


def test_without_aversion_total_utility_is_greatest():
    values, _, _ = problem(3)
    found = room.solve(values, 0.0, 0.0)
    np.testing.assert_allclose([found.primal, found.dual], values.max(0).sum(), rtol=1e-14)
    assert found.method == "utilitarian"
    for method in ("lp", "types"):
        np.testing.assert_allclose(room.solve(values, 0.0, 0.0, method=method).primal, found.primal, rtol=1e-9)


def test_best_welfare_falls_with_aversion_and_is_convex_in_it():
    values, alpha, beta = problem(4, negative=False)
    worth = lambda a, b: float(room.solve(values, a, b).primal)
    up = np.eye(4)[1] * 0.2
    assert worth(alpha + up, beta) <= worth(alpha, beta) + 1e-9
    assert worth(alpha, beta + up) <= worth(alpha, beta) + 1e-9
    for other in range(5):
        _, a, b = problem(10 + other, negative=False)
        middle = worth((alpha + a) / 2, (beta + b) / 2)
        assert middle <= (worth(alpha, beta) + worth(a, b)) / 2 + 1e-9


def test_scale_and_names_do_not_matter_but_the_scale_of_one_agent_does():
    values, alpha, beta = problem(5)
    worth = room.solve(values, alpha, beta).primal
    np.testing.assert_allclose(room.solve(1e3 * values, alpha, beta).primal, 1e3 * worth, rtol=1e-8)
    agents, items = [2, 0, 3, 1], [1, 2, 0]
    np.testing.assert_allclose(
        room.solve(values[agents][:, items], alpha[agents], beta[agents]).primal, worth, rtol=1e-8
    )
    one = values * np.array([[3.0], [1], [1], [1]])
    assert abs(room.solve(one, alpha, beta).shares - room.solve(values, alpha, beta).shares).max() > 0.1


def test_proportional_pieces_of_items_change_nothing():
    values, alpha, beta = problem(6)
    pieces = np.concatenate([values * 0.3, values * 0.7], 1)
    np.testing.assert_allclose(
        room.solve(pieces, alpha, beta).primal, room.solve(values, alpha, beta).primal, rtol=1e-8
    )


def test_free_disposal_matters_only_outside_the_papers_regime():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        values, beta = rng.random((4, 3)), rng.random(4) * 0.49
        alpha = beta + (0.49 - beta) * rng.random(4)
        held = room.solve(values, alpha, beta).primal
        np.testing.assert_allclose(held, room.solve(values, alpha, beta, disposal="free").primal, rtol=1e-8)
    envious = np.array([[1.0], [0.1]])
    free, held = (room.solve(envious, 3.0, 0.1, caps=0.5, disposal=d) for d in ("free", "forbidden"))
    np.testing.assert_allclose(
        free.primal, best_welfare(envious, np.full(2, 3.0), np.full(2, 0.1), 0.5, "free"), atol=1e-9
    )
    assert free.primal > held.primal + 0.01
    np.testing.assert_allclose(free.shares.ravel(), [0.05, 0.5], atol=1e-9)


@pytest.mark.parametrize("method", ["two_agent", "one_item", "lp"])
def test_slopes_of_the_best_welfare_are_those_of_the_dual(method):
    """dW*/da = (1 + sigma) x, where the optimum and its dual are unique."""
    n, m = {"two_agent": (2, 4), "one_item": (4, 1), "lp": (3, 3)}[method]
    checked = 0
    for seed in range(6):
        values, alpha, beta = problem(seed, n, m, negative=False)
        alpha, beta = alpha / 3, beta / 3
        found = room.solve(values, alpha, beta, method=method)
        slope = (1 + np.asarray(found.sigma))[:, None] * found.shares
        numeric = np.empty_like(values)
        for at in np.ndindex(values.shape):
            step = np.zeros_like(values)
            step[at] = 1e-6
            ends = [room.solve(values + s * step, alpha, beta, method=method).primal for s in (1, -1)]
            numeric[at] = (ends[0] - ends[1]) / 2e-6
        vertex = room.supergradient(found.utilities, alpha, beta)
        checked += bool(np.abs(vertex - np.asarray(found.sigma)).max() > 1e-3)
        np.testing.assert_allclose(slope, numeric, atol=2e-4)
    assert checked  # somewhere the sort vertex would have been wrong


def test_identical_agents_get_equal_utilities_and_the_same_worth_as_unmerged():
    values, alpha, beta = problem(7, negative=False)
    rows = [0, 1, 1, 2, 3, 3, 3]
    found = room.solve(values[rows], alpha[rows], beta[rows])
    assert found.method == "types"
    np.testing.assert_allclose(found.utilities[[1, 4, 4]], found.utilities[[2, 5, 6]], atol=1e-12)
    np.testing.assert_allclose(
        found.primal, room.solve(values[rows], alpha[rows], beta[rows], method="lp").primal, rtol=1e-9
    )


def test_a_gap_is_told_or_thrown_never_silent(monkeypatch):
    values, alpha, beta = problem(8)

    def lazy(p, tol, max_steps):
        return np.full_like(p.values, 1 / len(p.values)), room.supergradient(np.zeros(len(p.values)), p.alpha, p.beta)

    monkeypatch.setattr(
        importlib.import_module("fairhand.mechanisms.participatory.solvers.solve"), "_back_end", lambda method: lazy
    )
    with pytest.raises(RuntimeError, match="relative gap of .* above `tol`"):
        room.solve(values, alpha, beta, method="lp")
    found = room.solve(values, alpha, beta, method="lp", throw=False)
    assert not found.converged
    assert found.gap > 0
    assert "`tol`" in found.status
    many = room.solve(np.stack([values, values]), alpha, beta, method="lp", throw=False)
    assert "2 of 2 problems" in many.status
    with pytest.raises(RuntimeError, match="Loss and gain"):
        room.compare(values, alpha, beta, method="lp")


def test_a_false_certificate_is_refused():
    values, alpha, beta = problem(9)
    data = Problem(values, alpha, beta, np.ones(3))
    shares = room.solve(values, alpha, beta).shares
    for sigma in (np.array([-5.0, 5, 0, 0]), np.full(4, np.nan)):
        found = certified(data, shares, sigma, 1e-6, "lp")
        assert not found.converged
        assert "base polytope" in found.status
        assert found.dual == np.inf


def test_shares_are_made_feasible_without_new_owners():
    rng = np.random.default_rng(10)
    shares, caps = rng.dirichlet(np.ones(5), 3).T, np.array([1.0, 0.9, 0.25])
    shares[0] = 0
    near = feasible(shares + rng.normal(0, 1e-9, shares.shape) * (shares > 0), caps, "forbidden")
    np.testing.assert_allclose(near.sum(0), 1, atol=1e-12)
    assert (near <= caps).all()
    assert (near[0, :2] == 0).all()
    np.testing.assert_allclose(near[:, 0], shares[:, 0] / shares[:, 0].sum(), atol=1e-8)
    assert (feasible(2 * shares, np.ones(3), "free").sum(0) <= 1 + 1e-15).all()
