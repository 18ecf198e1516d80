"""Loss, gain, trade-off and prices of fairness; and how far they range over all optima."""

import numpy as np
from pair_lp import concave_weights, welfare_by_pairs
from scipy.optimize import linprog

from fairhand.mechanisms import participatory as room


def penalty(u, alpha, beta):
    return u.sum() - welfare_by_pairs(u, alpha, beta)


def random_problems(count, tied=True, negative=True):
    rng = np.random.default_rng(0)
    for trial in range(count):
        n, m = int(rng.integers(1, 5)), int(rng.integers(1, 4))
        values = rng.integers(0, 4, (n, m)) / 4 if tied else rng.random((n, m))
        caps = np.maximum(rng.choice([1, 0.5, 1 / 3, 0.6], m), 1 / n)
        yield values, *concave_weights(rng, n, negative), caps, ("forbidden", "free")[trial % 2]


def test_definitions_hold_and_loss_plus_gain_is_the_fall_of_inequality():
    for values, alpha, beta, caps, disposal in random_problems(40):
        c = room.compare(values, alpha, beta, caps=caps, disposal=disposal)
        before, after = c.standard.utilities, c.participatory.utilities
        top = -np.sort(-values, 0)  # the greatest total, item by item
        slots = np.clip(1 - np.arange(len(values))[:, None] * caps, 0, caps)
        total = (top * slots).sum()
        scale = 1e-12 * max(total, 1)
        assert abs(before.sum() - total) <= scale
        assert abs(c.loss - (before.sum() - after.sum())) <= scale
        gain = welfare_by_pairs(after, alpha, beta) - welfare_by_pairs(before, alpha, beta)
        assert abs(c.gain - gain) <= scale
        assert min(c.loss, c.gain) >= -1e-9
        assert abs(c.inequality_standard - penalty(before, alpha, beta)) <= scale
        assert abs(c.inequality_participatory - penalty(after, alpha, beta)) <= scale
        assert abs(c.loss + c.gain - c.inequality_standard + c.inequality_participatory) <= scale
        if total > 0 and after.sum() > 0:
            assert abs(c.price_of_fairness - c.loss / total) <= 1e-12
            assert abs(c.price_of_fairness_ratio - total / after.sum()) <= 1e-12
        assert c.standard.converged
        assert c.participatory.converged
        assert c.loss_range is None


def test_loss_rises_and_inequality_falls_along_a_ray_to_equal_utilities():
    rng = np.random.default_rng(1)
    values = rng.random((3, 4))
    alpha, beta = concave_weights(rng, 3, negative=False)
    found = [room.compare(values, t * alpha, t * beta) for t in (0, 0.2, 0.5, 1, 2, 5, 20)]
    loss = [c.loss for c in found]
    unequal = [
        c.inequality_participatory / max(t, 1e-9) for c, t in zip(found, (1, 0.2, 0.5, 1, 2, 5, 20), strict=True)
    ]
    assert found[0].loss == found[0].gain == 0
    assert (np.diff(loss) >= -1e-9).all()
    assert (np.diff(unequal[1:]) <= 1e-9).all()
    # the best equal utilities, by a program of their own
    n, m = values.shape
    cost = np.append(np.zeros(n * m), -1)
    rows = np.zeros((n + m, n * m + 1))
    for i in range(n):
        rows[i, i * m : (i + 1) * m], rows[i, -1] = values[i], -1
    for j in range(m):
        rows[n + j, j : n * m : m] = 1
    equal = -linprog(cost, A_eq=rows, b_eq=np.append(np.zeros(n), np.ones(m))).fun
    np.testing.assert_allclose(loss[-1], values.max(0).sum() - n * equal, atol=1e-7)


def test_ties_are_broken_for_what_people_like_and_ranges_cover_all_optima():
    open_, tight = 0, 0
    for values, alpha, beta, caps, disposal in random_problems(25):
        c = room.compare(values, alpha, beta, caps=caps, disposal=disposal, faces=True)
        n, m = values.shape
        rng = np.random.default_rng(2)
        rows = np.zeros((m, n * m))
        for j in range(m):
            rows[j, j::m] = 1
        equal = {} if disposal == "free" else {"A_eq": rows, "b_eq": np.ones(m)}
        gains = []
        for _ in range(12):  # random vertices of the set of allocations of greatest total utility
            less = np.vstack([-values.ravel(), rows])
            limit = np.append(1e-10 - c.standard.utilities.sum(), np.ones(m))
            found = linprog(
                rng.normal(size=n * m), less, limit, bounds=[(0, b) for _ in range(n) for b in caps], **equal
            )
            u = (values * found.x.reshape(n, m)).sum(1)
            gains.append(c.participatory.primal - welfare_by_pairs(u, alpha, beta))
        assert c.gain_range[0] - 1e-8 <= min(gains)
        assert max(gains) <= c.gain_range[1] + 1e-8
        assert abs(c.gain - c.gain_range[0]) < 1e-8
        assert c.loss_range[0] - 1e-7 <= c.loss <= c.loss_range[1] + 1e-7
        open_ += c.gain_range[1] > c.gain_range[0] + 1e-6
        tight += c.gain_range[1] > c.gain_range[0] + 1e-6 and abs(c.gain_range[1] - max(gains)) < 1e-6
    assert open_ >= 4
    assert tight >= open_ - 1  # the ends are reached, not only bounds


def test_an_order_of_agents_for_ties_would_overstate_the_gain():
    """Negative control: giving tied items to the first agent is one of the optima, and the worst."""
    c = room.compare([[1.0, 1.0], [1.0, 1.0]], 0.3, 0.2, faces=True)
    assert c.gain == 0
    np.testing.assert_allclose(c.gain_range, [0, 1.0], atol=1e-9)  # u = (2, 0): Q = 2 (0.2 + 0.3)
    np.testing.assert_allclose(c.standard.utilities, 1)


def test_loss_ranges_where_the_optimum_is_a_segment():
    """A = B = 1/9 is where equality starts to pay for (1, 0.8): any split between is optimal."""
    c = room.compare([[1.0], [0.8]], 1 / 18, 1 / 18, faces=True)
    np.testing.assert_allclose(c.loss_range, [0, 1 - 8 / 9], atol=1e-6)
    assert room.compare([[1.0], [0.8]], 0.05, 0.05, faces=True).loss_range.max() < 1e-6


def test_many_tied_agents_are_settled_by_cuts(monkeypatch):
    rng = np.random.default_rng(3)
    values = rng.choice([0.5, 1.0], (6, 5))
    alpha, beta = concave_weights(rng, 6, negative=False)
    exact = room.compare(values, alpha, beta)
    monkeypatch.setattr("fairhand.mechanisms.participatory.solvers.faces.ROWS", 1)
    cut = room.compare(values, alpha, beta)
    np.testing.assert_allclose(cut.gain, exact.gain, atol=1e-5)
    np.testing.assert_allclose(cut.standard.primal, exact.standard.primal)


def test_tradeoff_of_nothing():
    """0/0 counts as 1, positive/0 as infinite."""
    none = room.compare(np.zeros((2, 2)), 0.2, 0.1)
    assert (none.loss, none.gain, none.tradeoff) == (0, 0, 1)
    assert (none.price_of_fairness, none.price_of_fairness_ratio) == (0, 1)
    assert room.compare([[1.0, 0.0], [0.0, 0.0]], 0.2, 0.1).tradeoff == 1
    wasted = room.compare([[1.0], [0.0]], 0.1, 2.0, method="lp")  # the second is given what is nothing to him
    assert wasted.tradeoff == np.inf
    assert wasted.price_of_fairness_ratio == np.inf


def test_individual_tradeoff_of_two_goods():
    """Rows (a1, 1 - a1), (a2, 1 - a2): a1 + a2 above the threshold (a1 - a2)/(a1 + a2), 1 below; the printed form is another."""
    a1, a2 = 0.9, 0.7
    values, edge = [[a1, 1 - a1], [a2, 1 - a2]], (a1 - a2) / (a1 + a2)
    above = room.compare(values, (edge + 0.01) / 2, (edge + 0.01) / 2)
    np.testing.assert_allclose(above.tradeoff, a1 + a2, rtol=1e-12)
    moved = (a1 + a2 - 1) / (a1 + a2)
    assert abs(above.tradeoff - a1 / (a1 - moved)) > 0.1
    assert room.compare(values, (edge - 0.01) / 2, (edge - 0.01) / 2).tradeoff == 1


def test_one_agent_and_batches():
    alone = room.compare([[1.0, 2.0]], 0.5, 0.5, faces=True)
    assert (alone.loss, alone.gain, alone.tradeoff) == (0, 0, 1)
    rng = np.random.default_rng(4)
    values, alpha = rng.random((2, 1, 3, 2)), rng.random((3, 3)) / 3
    found = room.compare(values, alpha, 0.1, faces=True)
    one = room.compare(values[1, 0], alpha[2], 0.1, faces=True)
    assert found.loss.shape == (2, 3)
    assert found.gain_range.shape == (2, 3, 2)
    assert found.gain[1, 2] == one.gain
    np.testing.assert_array_equal(found.loss_range[1, 2], one.loss_range)
