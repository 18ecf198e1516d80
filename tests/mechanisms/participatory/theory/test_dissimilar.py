"""Theorem D.1 against the worst partner a mixed-integer program finds, and against solved pairs."""

import numpy as np
import pytest
from fehr_schmidt import standard

from fairhand.mechanisms.participatory.solvers.two_agents import two_agents
from fairhand.mechanisms.participatory.theory.adversary import worst_partner
from fairhand.mechanisms.participatory.theory.dissimilar import (
    dissimilar_bound,
    dissimilar_expected,
    dissimilarity,
    loss_curve,
    loss_majorant,
)


def realised(values, aversion) -> tuple[float, int]:
    """Loss by the solver, and who is richer under the utilitarian optimum."""
    before = (values * standard(values)).sum(1)
    found = two_agents(values, aversion / 2, aversion / 2)
    return float(before.sum() - found.utilities.sum()), int(before.argmax())


def check_adversary(m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.random(m) ** (1 if seed % 2 else 3)
    for aversion in (0.1, 0.5):
        for strength in (0.1, 0.4, 1.2):
            gamma = strength / a.sum()
            found = worst_partner(a, aversion, gamma)
            assert found.converged
            pair = np.stack([a, found.values])
            assert not dissimilarity(pair) > gamma * (1 + 1e-6)
            c = 2 * aversion / (1 + aversion)
            assert found.upper <= found.loss + 1e-5
            assert found.upper <= c * a.sum() * (1 + 1e-7)
            for tau in (0.0, 0.5, 2 / 3, 1.0):
                assert found.upper <= dissimilar_bound(a, aversion, gamma, tau).sum() * (1 + 1e-7)
            loss, rich = realised(pair, aversion)
            if rich == 0:
                assert loss <= found.upper + 1e-9


@pytest.mark.parametrize("m", [1, 2, 5, 9])
def test_no_dissimilar_partner_does_more_than_the_sum_allows(m):
    check_adversary(m, m)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("m", [14, 20])
def test_no_dissimilar_partner_does_more_up_to_twenty_items(m, seed):
    check_adversary(m, seed)


def test_the_adversary_beats_a_search_of_its_own_kind():
    rng = np.random.default_rng(0)
    a, aversion, gamma = rng.random(4), 0.4, 0.3
    found = worst_partner(a, aversion, gamma)
    tries = rng.random((200_000, 4))
    tries[::2] = np.clip(a * (1 - aversion) / (1 + aversion) * (1 + 0.02 * tries[::2]), 0, 1) * (
        rng.random((100_000, 4)) < 0.6
    )
    allowed = dissimilarity(np.stack([np.broadcast_to(a, tries.shape), tries], 1)) <= gamma
    best = np.where(allowed, loss_curve(a, tries, aversion).sum(-1), 0.0).max()
    assert 0.5 * found.loss < best <= found.upper + 1e-9


def test_solved_pairs_lose_less_than_the_sum_but_not_less_item_by_item():
    rng = np.random.default_rng(1)
    beyond = checked = 0
    for _ in range(400):
        m = int(rng.integers(2, 30))
        values = rng.random((2, m)) ** rng.integers(1, 8)
        if rng.random() < 0.5:
            values[1] *= rng.random(m) < 0.3
        aversion = rng.uniform(0.05, 0.8)
        loss, rich = realised(values, aversion)
        gamma = dissimilarity(values)
        for tau in (0.3, 0.5, 0.9):
            terms = dissimilar_bound(values[rich], aversion, gamma, tau)
            assert loss <= terms.sum() + 1e-9
            beyond += np.any(loss_curve(values[rich], values[1 - rich], aversion) > terms + 1e-9)
            checked += 1
    assert checked == 1200
    assert beyond > 0  # a single term is no bound on its item


@pytest.mark.parametrize("aversion", [0.05, 0.4, 0.9])
def test_the_majorant_lies_above_and_touches(aversion):
    a, x = np.array([[0.2], [0.8], [1.0]]), np.linspace(0, 1, 2001)
    low, high = loss_curve(a, x, aversion), loss_majorant(a, x, aversion)
    assert np.all(high >= low - 1e-12)
    assert np.all(np.diff(high, 2, axis=-1) <= 1e-12)  # concave
    at = a * (1 - aversion) / (1 + aversion)
    np.testing.assert_allclose(loss_majorant(a, at, aversion), loss_curve(a, at, aversion))


@pytest.mark.parametrize("g", [0.05, 0.2, 0.3, 0.36])
def test_the_printed_constant_of_the_corollary_is_less_than_its_own_sum(g):
    aversion, m = 0.2, 200_000
    r = (1 - aversion) / (1 + aversion)
    a = (np.arange(m) + 0.5) / m  # uniform values
    mean = dissimilar_bound(a, aversion, g / a.sum(), 2 / 3).mean()
    corrected = (1 - r) * (3 + 2 / r) * g ** (4 / 3)
    printed = 2 * (1 - r) * (1 + 1 / r) * g ** (4 / 3)
    assert mean == pytest.approx(corrected, rel=1e-3)
    assert mean > printed * 1.1
    # With (64) instead of (65) the printed constant is right, for small G only.
    sharper = (1 - r) * (g**2 + g ** (5 / 3) + (1 + 2 / r) * g ** (4 / 3))
    assert (sharper <= printed) == (g < 0.236)
    assert dissimilar_expected(100, aversion, g / 100) == pytest.approx(100 * corrected)


@pytest.mark.parametrize("s", [0.5, 1.0, 2.0, 4.0])
def test_the_expected_bound_holds_for_other_powers(s):
    m, aversion = 20_000, 0.3
    a = ((np.arange(m) + 0.5) / m) ** (1 / s)
    for g in (0.02, 0.2, 0.9):  # gamma * items; the norm of a is at most the number of items
        mean = dissimilar_bound(a, aversion, g / m, (s + 1) / (s + 2)).sum()
        assert mean <= dissimilar_expected(m, aversion, g / m, s) * (1 + 1e-3)


def test_by_hand_and_in_batches():
    a = np.array([0.05, 0.2, 1.0])
    found = dissimilar_bound([a, a / 2], [0.2, 0.5], 0.05, 0.5)
    g, c, r = 0.0625, 1 / 3, 2 / 3
    np.testing.assert_allclose(found[0], [c * (1 + 2 / r) * g**0.5, 2 * c * g**0.5, 0.0])
    np.testing.assert_allclose(found[1], dissimilar_bound(a / 2, 0.5, 0.05, 0.5))
    np.testing.assert_allclose(dissimilar_bound(a, 0.2, 1.0), a / 3)  # G > 1: nothing is known of unlikeness
    assert dissimilarity(np.ones((2, 8))) == 1 / 8
    assert dissimilarity(np.eye(2)) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: dissimilar_bound([0.5, 1.5], 0.1, 0.1),
        lambda: dissimilar_bound(0.5, 0.1, 0.1),
        lambda: dissimilar_bound([0.5], 1.0, 0.1),
        lambda: dissimilar_bound([0.5], 0.1, -0.1),
        lambda: dissimilar_bound([0.5], 0.1, 0.1, 1.5),
        lambda: dissimilar_expected(10, 0.1, 0.2),
        lambda: dissimilarity(np.ones((3, 2))),
        lambda: loss_majorant(0.5, 0.5, 0.0),
        lambda: worst_partner([0.0, 0.0], 0.1, 0.1),
        lambda: worst_partner([0.5, 0.5], [0.1, 0.2], 0.1),
    ],
)
def test_bad_input_is_named(call):
    with pytest.raises(ValueError, match="`"):
        call()
