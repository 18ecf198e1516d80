"""Exchanges on the worst-case instance: the formula against playing every profile, and each step of the proof, in rationals."""

import math
from fractions import Fraction
from itertools import combinations, product
from math import comb

import jax
import numpy as np
import pytest
import scipy.stats

from fairhand.mechanisms.picking.exchange import exchange_welfare, noise_favours

Q = 2 - math.sqrt(2)
RATIONAL_Q = Fraction(41, 70)  # near Q, for steps that hold for every q
P = Fraction(1, 1000)


def law(p, q):
    """Base values of the worst-case family and their chances."""
    return {(1 - q) / p: p, Fraction(1): q, Fraction(0): 1 - q - p}


def chance_first_bundle_better(values, l, noise):  # noqa: E741
    first, second = sum(values[:l]), sum(values[l:])
    return noise if first == second else Fraction(int(first > second))


def play(l, k, p, q, trade):  # noqa: E741
    """Welfare per item of the exchange, over all profiles of two agents' base values."""
    noise = Fraction(scipy.stats.irwinhall(l + k).cdf(l)).limit_denominator(10**6)
    base = law(p, q)
    profiles = [(v, math.prod(base[x] for x in v)) for v in product(base, repeat=l + k)]
    stays = [(sum(v[:l]), sum(v[l:]), chance, chance_first_bundle_better(v, l, noise)) for v, chance in profiles]
    total = Fraction(0)
    for (a_first, a_second, a_chance, a_keeps), (b_first, b_second, b_chance, b_wants) in product(stays, repeat=2):
        keep, swap = a_first + b_second, a_second + b_first
        traded = trade((1 - a_keeps) * b_wants, keep, swap)
        total += a_chance * b_chance * (keep + traded * (swap - keep))
    return float(total / (l + k))


@pytest.mark.parametrize(("l", "k"), [(1, 1), (1, 2), (2, 1), (0, 2), (3, 0)])
def test_formula_is_the_limit_of_playing_every_profile(l, k):  # noqa: E741
    with jax.enable_x64(True):
        limit = float(exchange_welfare(l, k, float(RATIONAL_Q)).welfare)
    both_agree = lambda chance, keep, swap: chance
    far, near = (play(l, k, p, RATIONAL_Q, both_agree) for p in (2 * P, P))
    assert abs(near - limit) < 4 * P
    assert abs(2 * near - far - limit) < 20 * P**2  # Richardson: the error is linear in p


def test_formula_is_the_limit_for_two_against_two():
    with jax.enable_x64(True):
        limit = float(exchange_welfare(2, 2, float(RATIONAL_Q)).welfare)
    far, near = (play(2, 2, p, RATIONAL_Q, lambda chance, keep, swap: chance) for p in (2 * P, P))
    assert abs(2 * near - far - limit) < 40 * P**2


def test_a_trade_that_nobody_may_veto_beats_root_two():
    # the negative control of the bound: it is the agents' consent that costs welfare
    assert play(1, 1, P, RATIONAL_Q, lambda chance, keep, swap: swap > keep) > math.sqrt(2)


def test_no_exchange_beats_root_two(dtype):
    with_room = 1e-6 if dtype == "float32" else 1e-14
    for l, k in product(range(4 if dtype == "float32" else 7), repeat=2):  # noqa: E741
        if s := l + k:
            trade = exchange_welfare(l, k, np.asarray(Q, dtype))
            assert trade.welfare.dtype == dtype
            assert trade.welfare < 1.3285
            assert abs(float(trade.tau + exchange_welfare(k, l, np.asarray(Q, dtype)).tau) - 1) < with_room
            if s >= 3:
                assert trade.welfare <= (3 - Q) / 2 + math.sqrt(Q * (1 - Q) / (2 * s))
    assert abs(float(exchange_welfare(1, 1, np.asarray(Q, dtype)).welfare) - (3 - Q**2) / 2) < with_room


def test_slope_in_q_matches_finite_differences_and_exists_at_the_ends():
    with jax.enable_x64(True):
        for l, k in [(1, 2), (3, 2)]:  # noqa: E741
            value = lambda q: exchange_welfare(l, k, q).welfare  # noqa: B023
            slope = jax.jit(jax.grad(value))
            assert abs(slope(Q) - (value(Q + 1e-5) - value(Q - 1e-5)) / 2e-5) < 1e-8
            assert np.isfinite([slope(0.0), slope(1.0)]).all()


def test_noise_settles_ties_by_the_law_of_irwin_and_hall():
    for l, k in product(range(6), repeat=2):  # noqa: E741
        if l + k:
            assert abs(float(noise_favours(l, k)) - scipy.stats.irwinhall(l + k).cdf(l)) < 1e-10
    assert noise_favours(60, 60) == Fraction(1, 2)


@pytest.mark.parametrize(
    ("l", "k", "q", "name"),
    [(0, 0, Q, "l"), (-1, 2, Q, "l"), (1, 1, 1.2, "q"), (1, 1, math.nan, "q")],
)
def test_bad_input_is_refused_by_name(l, k, q, name):  # noqa: E741
    with pytest.raises(ValueError, match=f"`{name}`"):
        exchange_welfare(l, k, q)


# The steps of the proof (theorem 3.1, lemma 3.2 and appendix C), each in rationals.


def test_a_picking_component_is_worth_at_most_two_minus_q_minus_p_an_item():
    p, base = Fraction(1, 7), law(Fraction(1, 7), Fraction(1, 2))
    rng = np.random.default_rng(0)
    for s in range(1, 6):
        subsets = [c for size in range(s + 1) for c in combinations(range(s), size)]
        top = [[c for c in subsets if len(c) == size] for size in range(s + 1)]
        some = [[subsets[i] for i in rng.choice(len(subsets), min(4, len(subsets)), replace=False)] for _ in range(4)]
        for menu in top + some:
            worth = Fraction(0)
            for v in product(base, repeat=s):
                best = max(sum(v[j] for j in c) for c in menu)
                # noise may settle a tie either way: the better of both; what is left is worth its mean of 1 an item
                kind = max(s - len(c) for c in menu if sum(v[j] for j in c) == best)
                worth += math.prod(base[x] for x in v) * (best + kind)
            assert worth <= s * (2 - Fraction(1, 2) - p)


def test_expected_gap_of_two_values():
    p, q = P, RATIONAL_Q
    gap = sum(a * b * abs(x - y) for (x, a), (y, b) in product(law(p, q).items(), repeat=2))
    assert gap == 2 - 2 * q**2 - 2 * p - 2 * p * q <= 2 * (1 - q**2)


@pytest.mark.parametrize("s", range(1, 7))
def test_non_high_values_are_worth_little_more_than_their_mean(s):
    q = RATIONAL_Q
    pmf = [comb(s, i) * q**i * (1 - q) ** (s - i) for i in range(s + 1)]
    most = sum(a * b * max(i, j) for (i, a), (j, b) in product(enumerate(pmf), repeat=2))
    assert (most - s * q) ** 2 <= s * q * (1 - q) / 2


def spread(weights):
    """E |r − h/2| for weights over r = 0, …, h."""
    h = len(weights) - 1
    return sum(w * abs(r - Fraction(h, 2)) for r, w in enumerate(weights)) / sum(weights)


def captured(l, k, h, q):  # noqa: E741
    """Of h high values, how many the exchange gives to those who have them, in the limit p → 0; every pattern of them."""
    s, noise = l + k, noise_favours(l, k)

    def keeps(a, b):
        """Chance that an agent with a highs among the l items and b among the k items prefers the l."""
        if a != b:
            return Fraction(int(a > b))
        chances = lambda n: [comb(n, i) * q**i * (1 - q) ** (n - i) for i in range(n + 1)]
        pairs = product(enumerate(chances(l - a)), enumerate(chances(k - b)))
        return sum(x * y * (noise if i == j else int(i > j)) for (i, x), (j, y) in pairs)

    total = Fraction(0)
    kept = {(a, b): keeps(a, b) for a in range(l + 1) for b in range(k + 1) if a + b <= h}
    for (a, b), (c, d) in product(kept, repeat=2):
        if a + b + c + d == h:
            chance = Fraction(comb(l, a) * comb(k, b) * comb(l, c) * comb(k, d), comb(2 * s, h))
            trade = (1 - kept[a, b]) * kept[c, d]
            total += chance * ((1 - trade) * (a + d) + trade * (b + c))
    return total


@pytest.mark.parametrize("s", range(2, 7))
def test_three_quarters_of_the_high_values_at_most_reach_their_owner(s):
    for h in range(1, 2 * s + 1):
        hypergeometric = [comb(s, r) * comb(s, h - r) for r in range(h + 1)]
        binomial = [Fraction(comb(h, r)) for r in range(h + 1)]
        assert spread(hypergeometric) <= spread(binomial)
        assert h == 1 or spread(binomial) <= Fraction(h, 4)
        for l in range(1, s):  # noqa: E741
            assert captured(l, s - l, h, RATIONAL_Q) <= Fraction(3 * h, 4)
