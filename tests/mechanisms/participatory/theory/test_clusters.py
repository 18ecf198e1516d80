"""Clusters found and measured, and the rates of theorems 3.5 and 3.6."""

import itertools

import numpy as np
import pytest
from fehr_schmidt import loss_of, optimum

from fairhand.mechanisms.participatory import families
from fairhand.mechanisms.participatory.theory.bounds import bounds
from fairhand.mechanisms.participatory.theory.clusters import clusters
from fairhand.mechanisms.participatory.theory.rates import cluster_rate, iid_rate


def groups(rng, sizes, items, noise):
    """Agents round centres that value different items."""
    centres = np.zeros((len(sizes), items))
    for q in range(len(sizes)):
        centres[q, q :: len(sizes)] = rng.uniform(0.5, 1, len(centres[q, q :: len(sizes)]))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.clip(centres[labels] + noise * rng.random((len(labels), items)), 0, 1), labels


def same_partition(one, other) -> bool:
    return (
        len(set(zip(one.tolist(), other.tolist(), strict=True))) == len(set(one.tolist())) == len(set(other.tolist()))
    )


def measured(a, labels) -> tuple[float, float]:
    """Delta and gamma by loops."""
    delta = gamma = 0.0
    for q in np.unique(labels):
        top, low = a[labels == q].max(0), a[labels == q].min(0)
        delta = max(delta, np.abs(top - low).sum())
        for k in np.flatnonzero(labels != q):
            gamma = max(gamma, top @ a[k] / (top.sum() * a[k].sum()))
    return delta, gamma


@pytest.mark.parametrize("sizes", [(6,), (5, 5), (3, 9, 4), (1, 1, 20)])
def test_clusters_that_are_there_are_found(sizes):
    rng = np.random.default_rng(len(sizes))
    a, labels = groups(rng, sizes, 12, 0.02)
    order = rng.permutation(len(a))
    a, labels = a[order], labels[order]
    for found in (clusters(a, count=len(sizes)), clusters(a, radius=0.3)):
        assert same_partition(found.labels, labels)
    if len(sizes) > 1:
        assert same_partition(clusters(a).labels, labels)
    known = clusters(a, labels=labels)
    np.testing.assert_allclose((known.delta, known.gamma), measured(a, labels))
    assert known.count == len(sizes)
    np.testing.assert_array_equal(known.upper[0], a[known.labels == 0].max(0))


def test_agents_without_clusters_are_one():
    assert clusters(np.random.default_rng(0).random((200, 8))).count == 1
    assert clusters(np.ones((4, 3))).count == 1
    assert clusters([[1.0, 2.0]]).delta == 0


def test_copies_are_one_cluster_each():
    found = clusters(np.repeat(np.eye(3), 5, 0))
    assert (found.count, found.delta, found.gamma) == (3, 0.0, 0.0)


def test_a_radius_is_kept_with_few_clusters():
    rng = np.random.default_rng(1)
    a = rng.random((30, 2))
    counts = []
    for radius in (2.0, 1.0, 0.5, 0.1, 0.0):
        found = clusters(a, radius=radius)
        assert found.delta <= radius
        counts.append(found.count)
    assert counts[0] == 1
    assert counts[-1] == 30
    assert counts == sorted(counts)


def test_the_rate_by_hand():
    a = np.array([[1.0, 0.0, 0.0], [0.9, 0.0, 0.0], [0.0, 1.0, 0.2], [0.0, 1.0, 0.1]])
    found = cluster_rate(a, 0.1, 0.05, cap=0.5, clusters=clusters(a, count=2))
    factors = bounds(a, 0.1, 0.05, caps=0.5).item_factors
    np.testing.assert_allclose(found.terms, [0.1 * 0.5 * 2 * 4, 0.0], atol=1e-12)
    assert found.rate == pytest.approx(0.4)
    assert found.applies
    assert found.constant == "unspecified"
    b = np.array([[1.0, 0.0, 0.0, 0.02], [0.0, 1.0, 0.8, 0.0]])
    crossed = cluster_rate(b, 0.1, 0.05, clusters=clusters(b, count=2), shape=1.0)
    gamma = clusters(b, count=2).gamma
    assert gamma == 0
    c = 0.9 * b + 0.01
    gamma = clusters(c, count=2).gamma
    assert gamma > 0
    crossed = cluster_rate(c, 0.1, 0.05, clusters=clusters(c, count=2), shape=1.0)
    np.testing.assert_allclose(crossed.terms[1], (4 * gamma) ** (4 / 3) * bounds(c, 0.1, 0.05).item_factors.sum())
    assert factors.shape == (3,)


def test_where_a_rate_does_not_apply_it_says_why():
    rng = np.random.default_rng(0)
    a = np.outer(rng.uniform(0.2, 1, 6), rng.random(4))
    alike = cluster_rate(a, 0.1, 0.1, clusters=clusters(a, count=2))  # of one taste: gamma m is at least 1
    assert np.isnan(alike.rate)
    assert "gamma" in alike.notes[0]
    odd = cluster_rate(a, 0.1, 0.1, cap=0.4, clusters=clusters(a, count=1))
    assert np.isnan(odd.rate)
    assert not odd.applies
    dense = iid_rate(100, [0.5], 3.0, caps=0.1)
    assert np.isnan(dense.rate)
    assert len(dense.notes) == 2
    fine = iid_rate(100, [0.1, 0.2], [1.0, 2.0], caps=[0.02, 0.01])
    np.testing.assert_allclose(fine.terms, [0.01 * 0.02 * 100, 0.04 * 4 * 0.01 * 100])


def test_the_printed_rate_of_clusters_vanishes_where_the_loss_does_not():
    delta, ratios = 0.4, []
    for seats in (1, 4, 16):
        found = families.crowd(seats, delta)
        weight = found.threshold * 0.51
        loss = loss_of(found.values, optimum(found.values, weight, weight, 1 / seats), 1 / seats)
        assert loss == pytest.approx(delta / (2 - delta), abs=1e-8)
        one = clusters(found.values, count=1)
        rate = cluster_rate(found.values, weight, weight, cap=1 / seats, clusters=one).rate
        assert rate == pytest.approx(delta)
        printed = one.delta / seats * min(2 * seats, 1)
        ratios.append(loss / printed)
    np.testing.assert_allclose(ratios, np.array([1, 4, 16]) / (2 - delta))  # no constant is large enough


def test_tight_unlike_clusters_lose_less():
    rng = np.random.default_rng(3)
    losses, rates = [], []
    for noise in (0.02, 0.08, 0.2):
        a, labels = groups(rng, (4, 4), 8, noise)
        losses.append(loss_of(a, optimum(a, 0.1, 0.1)))
        rates.append(cluster_rate(a, 0.1, 0.1, clusters=clusters(a, labels=labels)).rate)
    assert all(x < y for x, y in itertools.pairwise(losses))
    assert all(x < y for x, y in itertools.pairwise([r for r in rates if not np.isnan(r)]))


@pytest.mark.parametrize(
    "call",
    [
        lambda: clusters(np.ones((2, 2, 2))),
        lambda: clusters(np.ones((2, 2)), count=3),
        lambda: clusters(np.ones((2, 2)), count=1, radius=1.0),
        lambda: clusters(np.ones((2, 2)), labels=[0]),
        lambda: clusters(np.ones((2, 2)), radius=-1.0),
        lambda: cluster_rate(2 * np.ones((2, 2)), 0.1, 0.1),
        lambda: cluster_rate(np.ones((1, 2)), 0.1, 0.1),
        lambda: cluster_rate(np.ones((2, 2)), 0.1, 0.1, cap=[0.5, 1.0]),
        lambda: iid_rate(0, [0.1], 1.0, caps=1.0),
        lambda: iid_rate(10, 0.1, 1.0, caps=1.0),
        lambda: iid_rate(10, [0.1], [1.0, 1.0], caps=1.0),
    ],
)
def test_bad_input_is_named(call):
    with pytest.raises(ValueError, match="`"):
        call()
