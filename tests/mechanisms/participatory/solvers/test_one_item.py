"""One item, aligned values, and merged types, against linear programs and enumeration of sets."""

import itertools

import numpy as np
import pytest
from pair_lp import best_welfare, concave_weights, set_bound, welfare_by_pairs

from fairhand.mechanisms import participatory as room
from fairhand.mechanisms.participatory.solvers.one_item import one_item
from fairhand.mechanisms.participatory.solvers.types import merge


def all_sets(n):
    return (np.array(s, bool) for s in itertools.product([False, True], repeat=n))


@pytest.mark.parametrize("alike", [True, False])
def test_one_item_is_the_best_set_and_its_dual_lies_in_the_base_polytope(alike):
    rng = np.random.default_rng(0)
    worthless = 0
    for trial in range(60):
        n = int(rng.integers(2, 7))
        alpha, beta = concave_weights(rng, n)
        if alike:
            alpha, beta = np.full(n, abs(alpha[0])), np.full(n, beta[0] if alpha[0] >= 0 else 0.4)
            beta = np.maximum(beta, -alpha)
        s = rng.random(n).round(1 if trial % 2 else 9) * (rng.random(n) < 0.8)
        found = room.solve(s[:, None], alpha, beta, method="one_item")
        np.testing.assert_allclose(found.primal, best_welfare(s[:, None], alpha, beta), atol=1e-9)
        assert abs(found.gap) <= 1e-13
        for members in all_sets(n):
            assert found.sigma[members].sum() <= set_bound(members, alpha, beta) + 1e-12 if members.any() else True
        # the formula, by enumeration: utilities of 1 on a set, scaled to what one item gives
        if (s > 0).any():
            ratios = [
                welfare_by_pairs(m.astype(float), alpha, beta) / (1 / s[m]).sum()
                for m in all_sets(n)
                if m.any() and (s[m] > 0).all()
            ]
            best = max(ratios) if (s > 0).all() else max(0, *ratios)
            worthless += best == 0
            np.testing.assert_allclose(found.primal, best, atol=1e-12)


def test_strong_aversion_rather_wastes_the_item_on_somebody_who_does_not_want_it():
    found = room.solve([[1.0], [0.0]], 0.1, 5.0, method="one_item")
    assert found.shares.ravel().tolist() == [0, 1]
    assert found.primal == found.dual == 0


def test_the_richest_alone_is_not_enough_where_weights_differ():
    """Negative control: with different weights the optimal set is not always a top set."""
    rng = np.random.default_rng(1)
    other = 0
    for _ in range(80):
        s, (alpha, beta) = rng.random(5), concave_weights(rng, 5, negative=False)
        share, _ = one_item(s, alpha, beta)
        chosen = share > 1e-12
        other += s[chosen].min() < s[~chosen].max(initial=0)
    assert other


@pytest.mark.parametrize("alike", [True, False])
def test_aligned_values_are_one_item(alike):
    rng = np.random.default_rng(2)
    for _ in range(15):
        n = int(rng.integers(2, 6))
        alpha, beta = (rng.random() * 0.5, rng.random() * 0.5) if alike else concave_weights(rng, n)
        values = rng.random((n, 1)) * rng.random((1, 4))
        alpha, beta = np.broadcast_to(alpha, n), np.broadcast_to(beta, n)
        found = room.solve(values, alpha, beta, method="aligned")
        np.testing.assert_allclose(found.primal, best_welfare(values, alpha, beta), atol=1e-9)
        assert abs(found.gap) <= 1e-12
        assert room.solve(values, alpha, beta).method in ("aligned", "two_agent")


def test_aligned_worst_case_loses_the_aversion():
    """Two aligned agents at the ratio r + eps: loss / ||a_1|| -> A."""
    aversion, eps = 0.4, 1e-6
    ratio = (1 - aversion) / (1 + aversion) + eps
    values = np.array([[1.0], [ratio]]) * np.array([[0.5, 1.0, 0.2]])
    loss = room.compare(values, aversion / 2, aversion / 2).loss
    np.testing.assert_allclose(loss / values[0].sum(), aversion, atol=1e-5)


def test_many_agents_of_one_kind_take_one_pass():
    rng = np.random.default_rng(3)
    s = rng.random(100_000)
    found = room.solve(s[:, None], 0.3, 0.2)
    assert found.method == "one_item"
    assert abs(found.gap) < 1e-9 * s.max()
    few = room.solve(rng.random((300, 1)), rng.random(300), rng.random(300) * 0.5)
    assert few.method == "one_item"
    assert abs(few.gap) < 1e-12


def test_merging_finds_exact_copies_only():
    rng = np.random.default_rng(4)
    values, alpha, beta = rng.random((5, 3)), rng.random(5), rng.random(5)
    kind = np.array([3, 0, 1, 3, 3, 2, 0, 4])
    types = merge(values[kind], alpha[kind], beta[kind])
    assert types.counts.tolist() == [3, 2, 1, 1, 1]
    assert types.kind.tolist() == [0, 1, 2, 0, 0, 3, 1, 4]
    np.testing.assert_array_equal(types.values[types.kind], values[kind])
    alpha = alpha[kind].copy()
    alpha[0] += 1e-16 + np.spacing(alpha[0])
    assert merge(values[kind], alpha, beta[kind]).counts.tolist() == [1, 2, 1, 2, 1, 1]
    assert merge(values[kind], alpha, beta[kind], np.arange(1, 9)).counts.sum() == 36
    swapped = np.array([[1.0, 2.0], [2.0, 1.0]])
    assert len(merge(swapped, np.zeros(2), np.zeros(2)).counts) == 2


@pytest.mark.parametrize("disposal", ["forbidden", "free"])
def test_types_are_their_copies(disposal):
    """Replication: the norm n - 1 changes with the copies, and W agrees with the program of all of them."""
    rng = np.random.default_rng(5)
    for _ in range(6):
        k, counts = 3, rng.integers(1, 4, 3)
        values, (alpha, beta) = rng.random((k, 3)), concave_weights(rng, k, negative=False)
        copy = lambda x, c=counts: np.repeat(x, c, 0)
        caps = np.maximum(rng.choice([1, 0.5, 0.3], 3), 1 / counts.sum())
        truth = best_welfare(copy(values), copy(alpha), copy(beta), caps, disposal)
        for found in (
            room.solve(values, alpha, beta, caps=caps, disposal=disposal, counts=counts),
            room.solve(copy(values), copy(alpha), copy(beta), caps=caps, disposal=disposal, method="types"),
            room.solve(copy(values), copy(alpha), copy(beta), caps=caps, disposal=disposal),
        ):
            np.testing.assert_allclose([found.primal, found.dual], truth, atol=1e-8)
        found = room.solve(values, alpha, beta, caps=caps, disposal=disposal, counts=counts, method="types")
        assert found.shares.shape == (k, 3)
        assert (found.shares <= caps + 1e-12).all()
        np.testing.assert_allclose((counts * (1 + np.asarray(found.sigma))) @ found.utilities, found.primal, atol=1e-7)
        if disposal == "forbidden":
            np.testing.assert_allclose(counts @ found.shares, 1, atol=1e-12)


def test_one_item_with_counts_gives_members_equal_shares():
    s, counts = np.array([[1.0], [0.9], [0.5]]), np.array([3, 2, 4])
    for alpha in (0.3, np.array([0.3, 0.1, 0.2])):
        found = room.solve(s, alpha, 0.2, counts=counts, method="one_item")
        whole = best_welfare(np.repeat(s, counts, 0), np.repeat(np.broadcast_to(alpha, 3), counts), np.full(9, 0.2))
        np.testing.assert_allclose([found.primal, found.dual], whole, atol=1e-9)
