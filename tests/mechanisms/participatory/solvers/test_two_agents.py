"""Two agents, against linear programs, grids of the dual, closed forms of the theory, and controls that must fail."""

import numpy as np
import pytest
from pair_lp import best_welfare, concave_weights, welfare_by_pairs

from fairhand.mechanisms import participatory as room


def below_one(rng):
    while True:
        alpha, beta = concave_weights(rng, 2)
        if max(beta[0] + alpha[1], beta[1] + alpha[0]) < 1:
            return alpha, beta


def dual(delta, values):
    return np.maximum((1 - delta) * values[0], (1 + delta) * values[1]).sum()


def random_values(rng, items):
    """Of all sorts: continuous, with ties, aligned, with worthless items."""
    kind = rng.integers(4)
    values = rng.random((2, items))
    if kind == 1:
        values = rng.integers(0, 3, (2, items)) / 2
    elif kind == 2:
        values = np.array([[1.0], [rng.random()]]) * values[:1]
    elif kind == 3:
        values[:, rng.random(items) < 0.3] = 0
    return values


def test_optimum_and_certificate_agree_with_the_linear_program():
    rng = np.random.default_rng(0)
    seen = {"equal": 0, "first": 0, "second": 0}
    for _ in range(120):
        values, (alpha, beta) = random_values(rng, rng.integers(1, 7)), below_one(rng)
        found = room.two_agents(values, alpha, beta)
        truth = best_welfare(values, alpha, beta)
        np.testing.assert_allclose([found.primal, found.dual], truth, atol=1e-9)
        assert abs(found.gap) <= 1e-14 * values.sum()
        np.testing.assert_allclose(found.utilities, (values * found.shares).sum(1), atol=1e-15)
        np.testing.assert_allclose(found.shares.sum(0), 1, atol=1e-15)
        ahead = found.utilities[0] - found.utilities[1]
        seen["equal" if abs(ahead) < 1e-12 else "first" if ahead > 0 else "second"] += 1
    assert min(seen.values()) > 10


def test_threshold_is_the_whole_set_of_optimal_deltas():
    rng = np.random.default_rng(1)
    wide = 0
    for _ in range(150):
        values, (alpha, beta) = random_values(rng, rng.integers(1, 6)), below_one(rng)
        top, low = beta[0] + alpha[1], -(beta[1] + alpha[0])
        found = room.two_agents(values, alpha, beta)
        first, last = found.threshold
        wide += last > first + 1e-9
        for delta in (first, (first + last) / 2, last):
            np.testing.assert_allclose(dual(delta, values), found.primal, atol=1e-12)
        # strictly outside the dual is strictly worse, unless the end is that of the segment
        for delta, end in ((first - 1e-4, low), (last + 1e-4, top)):
            if low <= delta <= top and values.sum() > 0:
                assert dual(delta, values) > found.primal + 1e-9, (end, values)
        ahead = found.utilities[0] - found.utilities[1]
        if ahead > 1e-9:
            assert abs(first - top) < 1e-12
            assert abs(last - top) < 1e-12
        if ahead < -1e-9:
            assert abs(last - low) < 1e-12
    assert wide > 10


def test_items_follow_the_threshold():
    rng = np.random.default_rng(2)
    for _ in range(40):
        values, (alpha, beta) = rng.random((2, 8)), below_one(rng)
        found = room.two_agents(values, alpha, beta)
        rho = (values[0] - values[1]) / values.sum(0)
        assert (found.shares[0, rho > found.threshold[1] + 1e-12] == 1).all()
        assert (found.shares[0, rho < found.threshold[0] - 1e-12] == 0).all()
        assert ((found.shares > 0) & (found.shares < 1)).any(0).sum() <= 1  # at most one item is split


def test_delta_may_be_negative_though_the_first_was_richer():
    """The printed lemma says otherwise of u(x^theta); it holds of u(x*)."""
    values, alpha, beta = np.array([[1.0, 0.9], [1.05, 0.0]]), np.full(2, 0.2), np.full(2, 0.2)
    standard = (values * (values == values.max(0))).sum(1)
    found = room.two_agents(values, alpha, beta)
    assert standard[1] > standard[0]
    rng = np.random.default_rng(3)
    signs = set()
    for _ in range(400):
        values = rng.random((2, 3))
        found = room.two_agents(values, alpha, beta)
        if abs(found.utilities[0] - found.utilities[1]) < 1e-12:
            signs.add(np.sign(found.threshold.mean()))
    assert signs == {-1.0, 1.0}


def test_closed_form_of_one_item():
    """Below the ratio r = (1 - A)/(1 + A) the item goes whole to the one who values it more; above it is split to equality."""
    for ratio, aversion in ((0.3, 0.4), (0.5, 0.4), (0.9, 0.1), (0.8, 0.1)):
        found = room.compare([[1.0], [ratio]], aversion / 2, aversion / 2)
        if ratio < (1 - aversion) / (1 + aversion):
            expected = (0.0, 0.0, 1.0)
        else:
            loss = 1 - 2 * ratio / (1 + ratio)
            expected = (loss, aversion - loss, 1 + 1 / ratio)
        np.testing.assert_allclose([found.loss, found.gain, found.tradeoff], expected, atol=1e-14)


def test_expected_loss_gain_and_tradeoff_of_uniform_values():
    """n = 2, m = 1, uniform, A = B: closed forms, by the midpoint rule on a grid without a tie."""
    aversion = 0.3
    grid = lambda k: (np.arange(k) + 0.5) / k
    values = np.stack(np.meshgrid(grid(30), grid(29)), -1).reshape(-1, 2, 1)
    values = values[values[:, 0, 0] != values[:, 1, 0]]
    found = room.compare(values, aversion / 2, aversion / 2)
    log = np.log1p(aversion)
    expected = [
        4 / 3 * (log - aversion / (1 + aversion)),
        4 / 3 * (aversion - log),
        1 + np.log((1 + aversion) / (1 - aversion)),
    ]
    np.testing.assert_allclose([found.loss.mean(), found.gain.mean(), found.tradeoff.mean()], expected, rtol=0.02)


def test_a_threshold_of_the_wrong_sign_is_noticed():
    """Negative control: alpha and beta exchanged give another threshold and a worse allocation."""
    values, alpha, beta = np.array([[1.0, 0.7, 0.5], [0.8, 0.6, 0.1]]), np.array([0.6, 0.0]), np.array([0.0, 0.0])
    right, wrong = room.two_agents(values, alpha, beta), room.two_agents(values, beta, alpha)
    assert right.primal > welfare_by_pairs(wrong.utilities, alpha, beta) - 1e-12
    assert abs(right.primal - wrong.primal) > 0.05
    np.testing.assert_allclose(right.primal, best_welfare(values, alpha, beta), atol=1e-9)


@pytest.mark.parametrize("disposal", ["forbidden", "free"])
def test_caps_are_taken_by_the_back_end(disposal):
    rng = np.random.default_rng(4)
    for _ in range(30):
        values, (alpha, beta) = rng.random((2, 4)), below_one(rng)
        caps = rng.uniform(0.1 if disposal == "free" else 0.5, 1, 4)
        found = room.solve(values, alpha, beta, caps=caps, disposal=disposal, method="two_agent")
        np.testing.assert_allclose(found.primal, best_welfare(values, alpha, beta, caps, disposal), atol=1e-9)
        assert abs(found.gap) < 1e-13


def test_proportional_pieces_change_nothing():
    rng = np.random.default_rng(5)
    values, (alpha, beta) = rng.random((2, 5)), below_one(rng)
    pieces = np.repeat(values, 4, 1) * np.tile([0.1, 0.2, 0.3, 0.4], 5)
    np.testing.assert_allclose(room.two_agents(pieces, alpha, beta).primal, room.two_agents(values, alpha, beta).primal)


def test_batches_are_the_loop_and_a_million_items_are_one_sort():
    rng = np.random.default_rng(6)
    values, alpha = rng.random((3, 1, 2, 4)), rng.random((2, 2)) / 4
    found = room.two_agents(values, alpha, 0.1)
    assert found.threshold.shape == (3, 2, 2)
    assert found.shares.shape == (3, 2, 2, 4)
    one = room.two_agents(values[2, 0], alpha[1], 0.1)
    np.testing.assert_array_equal(found.threshold[2, 1], one.threshold)
    np.testing.assert_array_equal(found.shares[2, 1], one.shares)
    many = room.two_agents(rng.random((2, 10**6)), 0.1, 0.2)
    assert bool(many.converged)
    assert abs(many.gap) < 1e-12 * many.primal
