"""Constructed instances: closed forms against the linear program, and the printed formulas that fail on them."""

import numpy as np
import pytest
from fehr_schmidt import Optimum, loss_of, optimum, penalty, standard

from fairhand.mechanisms.participatory import compare, families
from fairhand.mechanisms.participatory.theory.bounds import bounds


def measure(values, alpha, beta, caps=1.0) -> tuple[float, float, float, Optimum]:
    """Loss, gain and tradeoff by the referee, x* with ties shared so that Q(x*) is least."""
    found = optimum(values, alpha, beta, caps)
    before = tied_standard(values, caps)
    loss = before.sum() - found.utilities.sum()
    gain = found.welfare - (before.sum() - penalty(before, alpha, beta))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((before == 0) & (found.utilities == 0), 1.0, before / found.utilities)
    return loss, gain, float(ratio.max()), found


def tied_standard(values, caps=1.0) -> np.ndarray:
    """Utilities under x*, where agents with identical rows share alike."""
    own = (values * standard(values, caps)).sum(1)
    groups = np.unique(values, axis=0, return_inverse=True)[1].ravel()
    return np.array([own[groups == g].mean() for g in groups])


@pytest.mark.parametrize("aversion", [0.05, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("eps", [1e-3, 1e-9])
def test_aligned_agents_lose_the_fraction_a(aversion, eps):
    found = families.aligned(aversion, 4, eps)
    loss, gain, tradeoff, _ = measure(found.values, found.alpha, found.beta)
    np.testing.assert_allclose([loss, gain, tradeoff], [found.loss, found.gain, found.tradeoff], rtol=1e-7, atol=1e-8)
    assert abs(found.loss / found.values[0].sum() - aversion) < 2 * eps
    upper = bounds(found.values, found.alpha, found.beta)
    assert loss <= upper.derived_gap * (1 + 1e-9)
    assert upper.derived_gap - loss < 8 * eps  # attained: R3
    assert upper.derived_similar - loss < 8 * eps
    assert loss / upper.equation_15 == pytest.approx(
        (1 + aversion) / 2, abs=10 * eps / aversion
    )  # (15) is not attained in total


@pytest.mark.parametrize("aversion", [0.1, 0.4, 0.8])
def test_similar_agents_lose_half_of_their_difference(aversion):
    found = families.delta_similar(aversion, 6, 1e-3)
    loss, gain, tradeoff, _ = measure(found.values, found.alpha, found.beta)
    np.testing.assert_allclose([loss, gain, tradeoff], [found.loss, found.gain, found.tradeoff], rtol=1e-9)
    delta = np.abs(found.values[0] - found.values[1]).sum()
    assert loss < delta / 2  # "at least delta / 2" is true in the limit only
    assert delta / 2 - loss == pytest.approx(3e-3)
    assert loss <= bounds(found.values, found.alpha, found.beta).derived_similar


@pytest.mark.parametrize("agents", [2, 3, 5, 10])
@pytest.mark.parametrize("make", [families.equation_26, families.equation_129])
def test_gain_over_loss_is_unbounded_and_the_printed_gain_is_wrong_beyond_two_agents(make, agents):
    rng = np.random.default_rng(agents)
    alpha, beta = rng.uniform(0.1, 0.2, agents), rng.uniform(0.05, 0.1, agents)
    ratios = []
    for eps in (1e-2, 1e-3):
        found = make(alpha, beta, eps)
        loss, gain, tradeoff, _ = measure(found.values, alpha, beta)
        np.testing.assert_allclose([loss, gain, tradeoff], [found.loss, found.gain, found.tradeoff], rtol=1e-7)
        assert np.min(beta[0] + alpha[1:]) >= found.threshold
        pull, unit = (beta[0] + alpha[1:]).sum(), 1.0 if make is families.equation_26 else eps
        printed = -found.loss + (2 - eps) * unit * pull  # (27), (130)
        assert abs(printed - gain) < 1e-7 if agents == 2 else printed > gain * (1 + 0.1 * (agents - 2))
        ratios.append(gain / loss)
    assert ratios[1] > 5 * ratios[0]  # R4


@pytest.mark.parametrize("make", [families.equation_26, families.equation_129])
def test_the_sparse_families_need_their_threshold(make):
    eps, n = 0.05, 4
    at = families.equation_26([0.1] * n, [0.1] * n, eps).threshold
    for factor in (0.9, 1.1):
        weights = np.full(n, at * factor / 2)
        found = make(weights, weights, eps)
        assert (abs(measure(found.values, weights, weights)[0] - found.loss) < 1e-9) == (factor > 1)


@pytest.mark.parametrize(("a1", "a2"), [(0.9, 0.6), (0.99, 0.98), (0.7, 0.5), (0.6, 0.45)])
def test_two_by_two(a1, a2):
    found = families.two_by_two(a1, a2)
    above, below = found.threshold * 1.05, found.threshold * 0.95
    loss, gain, tradeoff, _ = measure(found.values, above / 2, above / 2)
    np.testing.assert_allclose([loss, gain, tradeoff], [found.loss, found.gain_at(above), found.tradeoff], atol=1e-9)
    t = (a1 + a2 - 1) / (a1 + a2)
    assert abs(a1 / (a1 - t) - tradeoff) > 1e-4  # as printed
    loss, gain, tradeoff, _ = measure(found.values, below / 2, below / 2)
    np.testing.assert_allclose([loss, gain, tradeoff], [0, 0, 1], atol=1e-9)


@pytest.mark.parametrize("agents", [2, 3, 6, 10])
def test_one_agent_may_give_up_nearly_all(agents):
    found = families.proposition_5_1(agents, 0.01, 0.03)
    above, below = found.threshold * 1.02, found.threshold * 0.98
    loss, gain, tradeoff, best = measure(found.values, above / 2, above / 2)
    np.testing.assert_allclose([loss, gain, tradeoff], [found.loss, found.gain_at(above), found.tradeoff], atol=1e-8)
    assert np.ptp(best.utilities) < 1e-8
    _, _, tradeoff, best = measure(found.values, below / 2, below / 2)
    assert tradeoff < found.tradeoff - 0.1 or np.ptp(best.utilities) > 1e-3
    assert families.proposition_5_1(agents, 1e-6, 2e-6).tradeoff > agents - 1e-4


@pytest.mark.parametrize("agents", [2, 20, 50, 100])
def test_the_tradeoff_is_near_n_up_to_a_hundred_agents_and_only_beyond_the_threshold(agents):
    found = families.proposition_5_1(agents, 1e-3, 3e-3)
    beyond, short = (compare(found.values, t / 2, t / 2) for t in (1.02 * found.threshold, 0.98 * found.threshold))
    assert beyond.tradeoff == pytest.approx(found.tradeoff, rel=1e-6)
    assert beyond.loss == pytest.approx(found.loss, abs=1e-9)
    assert short.tradeoff == pytest.approx(1, abs=1e-9)


def test_the_matrices_of_proposition_5_1_are_printed_transposed():
    found = families.proposition_5_1(5, 0.01, 0.03)
    aversion = found.threshold * 1.02
    printed = found.values.T  # rows read as agents
    _, _, tradeoff, _ = measure(printed, aversion / 2, aversion / 2)
    assert tradeoff < 1.5 < 4.9 < found.tradeoff
    m, n, y = 4, 5, 0.5  # the printed shares, columns read as agents: items 2, ..., m to n - 1 agents, 1 / (m - 1) each
    assert (n - 1) / (m - 1) > 1
    assert y + (n - 1) * (1 - y) / (n - 1) == 1


def test_n_is_no_upper_bound_on_the_tradeoff():
    r = 0.5
    _, _, tradeoff, _ = measure(np.array([[1.0], [r]]), 0.4, 0.4)
    assert tradeoff == pytest.approx(1 + 1 / r)
    assert tradeoff > 2


@pytest.mark.parametrize("agents", [2, 3, 8])
@pytest.mark.parametrize("aversion", [0.1, 0.6])
def test_a_lone_winner_attains_the_derived_bounds_at_any_number_of_agents(agents, aversion):
    found = families.lone_winner(aversion, agents, 1e-7)
    loss, gain, tradeoff, _ = measure(found.values, found.alpha, found.beta)
    np.testing.assert_allclose([loss, gain, tradeoff], [found.loss, found.gain, found.tradeoff], rtol=1e-6, atol=1e-7)
    upper = bounds(found.values, found.alpha, found.beta)
    np.testing.assert_allclose([upper.derived_inequality, upper.derived_simple], loss, atol=1e-6)
    assert upper.theorem_3_4 > 1.2 * loss
    assert tradeoff > agents
    if agents == 2:
        assert loss == pytest.approx(families.aligned(aversion, 1, 1e-7).loss)
    below = found.threshold * 0.98 / 2
    assert loss_of(found.values, optimum(found.values, below, below)) < 1e-9


@pytest.mark.parametrize("seats", [1, 4, 10])
def test_a_crowd_loses_the_same_with_any_number_of_seats(seats):
    delta = 0.4
    found = families.crowd(seats, delta)
    aversion = found.threshold * 1.02
    loss, gain, tradeoff, _ = measure(found.values, aversion / 2, aversion / 2, 1 / seats)
    np.testing.assert_allclose([loss, gain, tradeoff], [found.loss, found.gain_at(aversion), found.tradeoff], atol=1e-8)
    n, m, b = 2 * seats, 1, 1 / seats
    assert loss <= delta * b * min(n, m / b)
    printed = delta * b * min(n, m)
    assert (loss > 2 * printed) == (seats >= 4)
    below = found.threshold * 0.98
    assert loss_of(found.values, optimum(found.values, below / 2, below / 2, b), b) < 1e-9


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: families.aligned(1.0, 3),
        lambda: families.aligned(0.2, 0),
        lambda: families.aligned(0.2, 3, 0.5),
        lambda: families.delta_similar(0.2, 3),
        lambda: families.equation_26([0.1], [0.1]),
        lambda: families.equation_26([0.1, -0.1], [0.1, 0.2]),
        lambda: families.equation_26([0.0, 0.0], [0.0, 0.0]),
        lambda: families.equation_129([0.1, 0.1], [0.1, 0.1], 1.0),
        lambda: families.two_by_two(0.4, 0.3),
        lambda: families.two_by_two(0.8, 0.1),
        lambda: families.proposition_5_1(1, 0.1, 0.2),
        lambda: families.proposition_5_1(3, 0.2, 0.1),
        lambda: families.crowd(0, 0.5),
        lambda: families.lone_winner(0.5, 1),
    ],
)
def test_bad_arguments_are_named(wrong):
    with pytest.raises(ValueError, match="`"):
        wrong()
