"""Inequality, welfare, supergradients and the dual bound, against double loops and linear programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pair_lp import concave_weights, inequality_by_pairs, set_bound, welfare_by_pairs
from scipy.optimize import linprog

from fairhand.mechanisms import participatory as room
from fairhand.mechanisms.participatory.measures import weighted_supergradient, weighted_welfare
from fairhand.mechanisms.participatory.solvers.dual import fill, fill_jax
from fairhand.mechanisms.participatory.solvers.solution import outside
from helpers import assert_close


def cases():
    """Utilities and weights: distinct, with ties, all equal, one agent, and below 0."""
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 7, 20):
        alpha, beta = concave_weights(rng, n)
        yield rng.normal(size=n), alpha, beta
        yield rng.integers(0, 3, n).astype(float), alpha, beta
        yield np.full(n, 0.7), alpha, beta


@pytest.mark.parametrize(("u", "alpha", "beta"), list(cases()))
def test_sorted_evaluation_is_the_double_loop(u, alpha, beta):
    behind, ahead = inequality_by_pairs(u)
    found = room.inequality(u)
    np.testing.assert_allclose(found.disadvantage, behind, atol=1e-14)
    np.testing.assert_allclose(found.advantage, ahead, atol=1e-14)
    np.testing.assert_allclose(room.welfare(u, alpha, beta), welfare_by_pairs(u, alpha, beta), atol=1e-13)


def test_swapping_the_two_inequalities_is_noticed():
    u, alpha, beta = np.array([3.0, 1.0, 0.0]), np.array([0.1, 0.2, 0.3]), np.array([0.4, 0.05, 0.0])
    assert abs(room.welfare(u, beta, alpha) - welfare_by_pairs(u, alpha, beta)) > 0.1


@pytest.mark.parametrize(("u", "alpha", "beta"), [c for c in cases() if len(c[0]) > 1])
def test_sort_vertex_is_a_supergradient_within_the_base_polytope(u, alpha, beta):
    rng = np.random.default_rng(1)
    sigma = room.supergradient(u, alpha, beta)
    worth = welfare_by_pairs(u, alpha, beta)
    np.testing.assert_allclose([(1 + sigma) @ u, sigma.sum()], [worth, 0], atol=1e-13)
    for _ in range(20):
        assert (1 + sigma) @ (v := u + rng.normal(size=len(u))) >= welfare_by_pairs(v, alpha, beta) - 1e-12
        members = rng.random(len(u)) < 0.5
        assert sigma[members].sum() <= set_bound(members, alpha, beta) + 1e-12
    assert outside(sigma, alpha, beta) <= 1e-12
    assert outside(sigma + np.append(0.1, np.zeros(len(u) - 1)), alpha, beta) > 1e-3  # what is no dual is seen


def test_many_agents_are_sorted_by_their_bits_rightly():
    rng = np.random.default_rng(2)
    n = 1 << 15
    u = np.concatenate([rng.random(n // 2), 0.5 + 1e-13 * rng.random(n // 4), np.full(n // 4, 0.25)]) - 0.3
    alpha, beta = rng.random(n), rng.random(n)
    order = np.argsort(u)
    below, behind = np.arange(n), np.empty(n)
    ranked = u[order]
    behind[order] = ranked[::-1].cumsum()[::-1] - ranked - (n - 1 - below) * ranked
    found = room.inequality(u)
    np.testing.assert_allclose(found.disadvantage, behind / (n - 1), atol=1e-11)
    np.testing.assert_allclose(found.disadvantage - found.advantage, (u.sum() - n * u) / (n - 1), atol=1e-11)
    worth = (u - alpha * found.disadvantage - beta * found.advantage).sum()
    np.testing.assert_allclose(room.welfare(u, alpha, beta), worth, rtol=1e-12)
    np.testing.assert_allclose((1 + room.supergradient(u, alpha, beta)) @ u, worth, rtol=1e-11)
    two = np.stack([u, u[::-1]])
    np.testing.assert_array_equal(room.inequality(two).advantage[1], found.advantage[::-1])


def test_counts_stand_for_copies():
    rng = np.random.default_rng(3)
    u, counts = rng.random(6).round(1), np.array([1, 3, 2, 1, 5, 2])
    alpha, beta = concave_weights(rng, 6, negative=False)
    copy = lambda x: np.repeat(x, counts)
    assert_close(weighted_welfare(u, alpha, beta, counts), welfare_by_pairs(copy(u), copy(alpha), copy(beta)))
    sigma = weighted_supergradient(u, alpha, beta, counts)
    assert_close((counts * (1 + sigma)) @ u, welfare_by_pairs(copy(u), copy(alpha), copy(beta)))
    assert outside(sigma, alpha, beta, counts) <= 1e-12
    assert outside(copy(sigma), copy(alpha), copy(beta)) <= 1e-12


def test_lists_single_precision_batches_and_numbers_are_taken():
    rng = np.random.default_rng(4)
    u = rng.random((2, 3, 4)).astype(np.float32)
    alpha = rng.random((3, 4))
    looped = [[welfare_by_pairs(u[a, b].astype(float), alpha[b], np.full(4, 0.1)) for b in range(3)] for a in range(2)]
    found = room.welfare(u, alpha, 0.1)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, looped, rtol=1e-12)
    np.testing.assert_array_equal(room.welfare(u.tolist(), alpha.tolist(), 0.1), found)
    np.testing.assert_array_equal(room.welfare(jnp.asarray(u), alpha, 0.1), found)
    assert room.supergradient(u, alpha, 0.1).shape == (2, 3, 4)
    assert room.welfare([1, 2], 0, 0) == 3


def test_jit_vmap_and_grad_agree_with_numpy(dtype):
    rng = np.random.default_rng(5)
    u, alpha, beta = rng.random((3, 9)), rng.random((3, 9)), rng.random((3, 9))
    one = lambda u, a, b: (
        *jax.value_and_grad(room.welfare)(u, a, b),
        room.supergradient(u, a, b),
        room.inequality(u),
        room.is_concave(a, -b),
    )
    worth, slope, sigma, unequal, concave = jax.jit(jax.vmap(one))(*(jnp.asarray(x, dtype) for x in (u, alpha, beta)))
    assert worth.dtype == slope.dtype == unequal.advantage.dtype == dtype
    assert_close(worth, room.welfare(u, alpha, beta))
    assert_close(sigma, room.supergradient(u, alpha, beta), loosen=3)
    assert_close(slope, 1 + room.supergradient(u, alpha, beta), loosen=3)
    assert_close(unequal.advantage, room.inequality(u).advantage)
    assert concave.tolist() == room.is_concave(alpha, -beta).tolist()


def test_concave_iff_no_pair_has_a_negative_sum():
    rng = np.random.default_rng(6)
    seen = set()
    for _ in range(300):
        n = int(rng.integers(2, 6))
        alpha, beta = rng.normal(0.2, 0.4, n), rng.normal(0.2, 0.4, n)
        total = alpha + beta
        truth = all(total[i] + total[k] >= 0 for i in range(n) for k in range(i))
        assert bool(room.is_concave(alpha, beta)) == truth
        seen.add(truth)
        midpoints = [rng.normal(size=(2, n)) for _ in range(50)]
        if truth:
            w = lambda v, a=alpha, b=beta: welfare_by_pairs(v, a, b)
            assert all(w((x + y) / 2) >= (w(x) + w(y)) / 2 - 1e-12 for x, y in midpoints[:3])
    assert seen == {True, False}
    assert room.is_concave([-5.0], [0.0])  # one agent minds nobody
    assert not room.is_concave(-0.5, 0.1)  # for everybody
    assert room.is_concave(-0.5, 0.5)
    assert room.is_concave([[0.1, 0.1], [-0.2, 0.1]], [[0.0, 0.0], [0.0, 0.0]]).tolist() == [True, False]
    assert room.is_concave([-(0.1 + 0.2), 0.0], [0.3, 0.0])  # a sum of 0, but for rounding


def by_program(weights, caps, disposal):
    n, m = weights.shape
    total = 0.0
    for j in range(m):
        ones = np.ones((1, n))
        rows = {"A_ub": ones, "b_ub": [1]} if disposal == "free" else {"A_eq": ones, "b_eq": [1]}
        total -= linprog(-weights[:, j], bounds=[(0, caps[j])] * n, **rows).fun
    return total


@pytest.mark.parametrize("disposal", ["forbidden", "free"])
@pytest.mark.parametrize("cap", [1.0, 0.5, 1 / 3, 1 / 7, 0.3, "each"])
def test_dual_value_is_the_best_response(cap, disposal):
    rng = np.random.default_rng(7)
    values, sigma = rng.random((7, 4)), rng.normal(0, 1.2, 7)
    caps = np.array([1.0, 0.2, 0.45, 1 / 3]) if cap == "each" else np.full(4, cap)
    weights = (1 + sigma)[:, None] * values
    truth = by_program(weights, caps, disposal)
    given = caps if cap == "each" else cap
    np.testing.assert_allclose(room.dual_value(sigma, values, caps=given, disposal=disposal), truth, rtol=1e-12)
    shares = fill(weights, caps, disposal)
    np.testing.assert_allclose((weights * shares).sum(), truth, rtol=1e-12)
    assert (shares <= caps + 1e-15).all()
    assert (shares.sum(0) <= 1 + 1e-15).all()
    with jax.enable_x64(True):
        jitted = jax.jit(lambda s, v: room.dual_value(s, v, caps=given, disposal=disposal))(sigma, values)
        np.testing.assert_allclose(jitted, truth, rtol=1e-12)
        traced = jax.jit(lambda s, v, b: room.dual_value(s, v, caps=b, disposal=disposal))(sigma, values, caps)
        np.testing.assert_allclose(traced, truth, rtol=1e-12)
        np.testing.assert_allclose(fill_jax(jnp.asarray(weights), caps, disposal), shares, atol=1e-15)


def test_dual_value_takes_batches_and_streams_items(monkeypatch):
    rng = np.random.default_rng(8)
    values, sigma = rng.random((2, 1, 5, 30)), rng.normal(0, 0.3, (3, 5))
    found = room.dual_value(sigma, values, caps=0.25)
    assert found.shape == (2, 3)
    one = room.dual_value(sigma[2], values[1, 0], caps=0.25)
    assert found[1, 2] == one
    monkeypatch.setattr("fairhand.mechanisms.participatory.solvers.dual.BLOCK", 20)
    np.testing.assert_allclose(room.dual_value(sigma[2], values[1, 0], caps=0.25), one, rtol=1e-14)


def test_items_shared_by_counts_go_to_members():
    rng = np.random.default_rng(9)
    weights, counts, caps = (
        rng.normal(0.5, 0.5, (4, 6)),
        np.array([2, 1, 3, 2]),
        np.array([1, 0.5, 0.3, 0.2, 0.15, 0.4]),
    )
    for disposal in ("forbidden", "free"):
        whole = fill(np.repeat(weights, counts, 0), caps, disposal)
        shares = fill(weights, caps, disposal, counts)
        np.testing.assert_allclose(
            (weights * counts[:, None] * shares).sum(), (np.repeat(weights, counts, 0) * whole).sum()
        )
        np.testing.assert_allclose(counts @ shares, whole.sum(0), atol=1e-15)


def test_a_million_agents_need_no_pairs():
    rng = np.random.default_rng(10)
    u, alpha = rng.random(10**6), rng.random(10**6)
    mean_gap = room.inequality(u).advantage.mean()
    np.testing.assert_allclose(mean_gap, 1 / 6, atol=1e-3)  # E (U - V)^+ of two uniform numbers
    assert room.welfare(u, alpha, 0.1) < u.sum()


def test_a_society_is_a_population_in_one_batch():
    p = room.society(np.ones((2, 3, 4)), alpha=[0.1, np.nan, 0.3], beta=0.2)
    assert p.values.shape == (2, 3, 4)
    assert p.alpha.shape == p.beta.shape == (2, 3)
    assert np.isnan(p.alpha[:, 1]).all()
    grown = jax.jit(lambda a: jnp.asarray(room.society(jnp.ones((3, 4)), a, 0.0).alpha) * 2)(jnp.arange(3.0))
    assert grown.tolist() == [0, 2, 4]
