"""Every rule against the same rule in plain Python, on small random populations, a batch at a time."""

import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from fairhand.mechanisms import AbstractMechanism
from fairhand.mechanisms.classic import (
    Boston,
    DeferredAcceptance,
    ProbabilisticSerial,
    RandomSerialDictatorship,
    SerialDictatorship,
    TopTradingCycles,
    Utilitarian,
)
from fairhand.models import Items, Menu, Population
from helpers import assert_close

CASES, AGENTS, OPTIONS = 60, 5, 4


def draw(seed, supply):
    """Values `[cases, agents, options]` with ties and −inf, and whole capacities `[cases, options - 1]` for a menu."""
    rng = np.random.default_rng(seed)
    low = -1 if supply == "items" else -3
    values = rng.integers(low, 4, (CASES, AGENTS, OPTIONS)).astype(float)
    values[rng.random(values.shape) < 0.15] = -np.inf
    capacity = rng.integers(0, 3, (CASES, OPTIONS - 1)).astype(float)
    if supply == "menu":
        values[..., -1] = rng.integers(-3, 2, values.shape[:-1])
    return values, capacity


def population(values, capacity, supply):
    return Population(jnp.asarray(values), Menu.seats(jnp.asarray(capacity)) if supply == "menu" else Items())


def allocate(rule, values, capacity, supply, key=None):
    """The rule on the whole batch at once; `rule` may be a function of the case's index."""

    def one(case, v, b):
        made = rule if isinstance(rule, AbstractMechanism) else rule(case)
        return made.allocate(population(v, b, supply), key)

    return jax.jit(jax.vmap(one))(jnp.arange(CASES), jnp.asarray(values), jnp.asarray(capacity))


def ranking(row, supply):
    """Acceptable options from best to worst, then nothing (None)."""
    wanted = [o for o in range(len(row)) if np.isfinite(row[o]) and (supply == "menu" or row[o] >= 0)]
    return [*sorted(wanted, key=lambda o: (-row[o], o)), None]


def seats_of(capacity, supply):
    seats = {o: 1 for o in range(OPTIONS)} if supply == "items" else dict(enumerate(int(c) for c in capacity))
    return {None: AGENTS, OPTIONS - 1: AGENTS} | seats


def table(choice):
    shares = np.zeros((AGENTS, OPTIONS))
    for agent, option in enumerate(choice):
        if option is not None:
            shares[agent, option] = 1
    return shares


def serial(prefs, seats, order):
    left, choice = dict(seats), [None] * len(prefs)
    for agent in order:
        choice[agent] = next(o for o in prefs[agent] if left[o] > 0)
        left[choice[agent]] -= 1
    return choice


def eat(prefs, seats):
    left = {o: Fraction(s) for o, s in seats.items()}
    now, shares = Fraction(0), [dict.fromkeys(seats, Fraction(0)) for _ in prefs]
    while now < 1:
        eats = [next(o for o in p if left[o] > 0) for p in prefs]
        step = min([1 - now] + [left[o] / eats.count(o) for o in set(eats)])
        for agent, o in enumerate(eats):
            shares[agent][o] += step
            left[o] -= step
        now += step
    return np.array([[float(s[o]) for o in range(OPTIONS)] for s in shares])


def stable(prefs, scores, seats, choice):
    for agent, p in enumerate(prefs):
        for o in p[: p.index(choice[agent])]:
            held = [i for i, c in enumerate(choice) if c == o]
            if len(held) < seats[o] or any(scores[o][i] < scores[o][agent] for i in held):
                return False
    return True


def agent_optimal(prefs, scores, seats):
    found = []
    for choice in itertools.product(*prefs):
        if all(choice.count(o) <= s for o, s in seats.items()) and stable(prefs, scores, seats, choice):
            found.append(choice)
    best = [min(p.index(c[i]) for c in found) for i, p in enumerate(prefs)]
    return [p[b] for p, b in zip(prefs, best, strict=True)], found


def immediate(prefs, scores, seats):
    left, choice, waiting = dict(seats), [None] * len(prefs), list(range(len(prefs)))
    for k in range(OPTIONS + 1):
        for o in left:
            asking = [i for i in waiting if k < len(prefs[i]) and prefs[i][k] == o]
            if o is not None:
                asking.sort(key=lambda i, o=o: -scores[o][i])
            for agent in asking[: left[o]]:
                choice[agent] = o
                waiting.remove(agent)
                left[o] -= 1
    return choice


def cycles(prefs, scores, seats, free):
    left, choice, here = dict(seats), {}, set(range(len(prefs)))
    while here:
        wants = {i: next(o for o in prefs[i] if left[o] > 0) for i in here}
        leaving = [i for i in here if wants[i] in free]
        if not leaving:
            head = {o: max(here, key=lambda i: scores[o][i]) for o in set(wants.values())}
            path = [min(here)]
            while path.count(path[-1]) < 2:
                path.append(head[wants[path[-1]]])
            leaving = path[path.index(path[-1]) : -1]
        for agent in leaving:
            choice[agent] = wants[agent]
            left[wants[agent]] -= wants[agent] not in free
            here.remove(agent)
    return [choice[i] for i in range(len(prefs))]


def priorities(seed):
    """Strict scores, some of them −inf: not eligible. The last option takes everybody."""
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(float(AGENTS)), (CASES, OPTIONS, 1)), axis=-1)
    scores[:, :-1][rng.random((CASES, OPTIONS - 1, AGENTS)) < 0.15] = -np.inf
    return scores


def rankings(values, supply, scores):
    """Rankings of the options for which an agent is eligible."""
    prefs = [ranking(row, supply) for row in values]
    return [[o for o in p if o is None or np.isfinite(scores[o][i])] for i, p in enumerate(prefs)]


@pytest.mark.parametrize("supply", ["items", "menu"])
def test_serial_dictatorship_matches_plain_python(supply, dtype):
    values, capacity = draw(0, supply)
    orders = np.random.default_rng(1).permuted(np.tile(np.arange(AGENTS), (CASES, 1)), axis=1)
    got = allocate(lambda c: SerialDictatorship(jnp.asarray(orders)[c]), values, capacity, supply)
    assert got.shares.dtype == dtype
    for c in range(CASES):
        prefs = [ranking(row, supply) for row in values[c]]
        np.testing.assert_array_equal(got.shares[c], table(serial(prefs, seats_of(capacity[c], supply), orders[c])))


def test_serial_dictatorship_on_bundles_matches_plain_python(dtype):
    rng = np.random.default_rng(2)
    uses = rng.integers(0, 3, (OPTIONS, 2)) / 10
    values, _ = draw(3, "menu")
    capacity = rng.integers(0, 8, (CASES, 2)) / 10

    def one(v, b):
        return SerialDictatorship().allocate(Population(v, Menu(jnp.asarray(uses), b)))

    got = jax.jit(jax.vmap(one))(jnp.asarray(values), jnp.asarray(capacity))
    unserved = np.zeros(CASES)
    for c in range(CASES):
        left, choice = np.round(10 * capacity[c]), []
        for row in values[c]:
            fits = [o for o in ranking(row, "menu") if o is None or np.all(np.round(10 * uses[o]) <= left)]
            choice.append(fits[0])
            left = left - (0 if fits[0] is None else np.round(10 * uses[fits[0]]))
        unserved[c] = choice.count(None)
        np.testing.assert_array_equal(got.shares[c], table(choice))
    np.testing.assert_array_equal(got.certificate["unserved"], unserved)
    np.testing.assert_array_equal(got.certificate.solved, unserved == 0)
    assert 0 < unserved.sum() < unserved.size * AGENTS


@pytest.mark.parametrize("supply", ["items", "menu"])
def test_random_serial_dictatorship_averages_to_all_orders(supply):
    values, capacity = (x[:3] for x in draw(4, supply))
    keys = jax.random.split(jax.random.key(5), 4000)

    @jax.jit
    def average(v, b):
        return jax.vmap(lambda k: RandomSerialDictatorship().allocate(population(v, b, supply), k).shares)(keys).mean(0)

    for v, b in zip(values, capacity, strict=True):
        mean = average(jnp.asarray(v), jnp.asarray(b))
        prefs, seats = [ranking(row, supply) for row in v], seats_of(b, supply)
        orders = list(itertools.permutations(range(AGENTS)))
        expected = sum(table(serial(prefs, seats, order)) for order in orders) / len(orders)
        error = np.sqrt(expected * (1 - expected) / keys.size)
        assert np.all(np.abs(mean - expected) <= 5 * error + 1e-6)


@pytest.mark.parametrize("supply", ["items", "menu"])
def test_probabilistic_serial_matches_exact_rationals(supply, dtype):
    values, capacity = draw(6, supply)
    got = allocate(ProbabilisticSerial(), values, capacity, supply)
    assert got.shares.dtype == dtype
    for c in range(CASES):
        prefs = [ranking(row, supply) for row in values[c]]
        assert_close(got.shares[c], eat(prefs, seats_of(capacity[c], supply)))
    assert np.all(got.certificate.solved)


def test_probabilistic_serial_takes_fractional_capacities(dtype):
    values, _ = draw(7, "menu")
    capacity = np.random.default_rng(8).integers(0, 9, (CASES, OPTIONS - 1)) / 4
    got = allocate(ProbabilisticSerial(), values, capacity, "menu")
    for c in range(CASES):
        prefs = [ranking(row, "menu") for row in values[c]]
        seats = {None: AGENTS, OPTIONS - 1: AGENTS} | {o: Fraction(int(4 * b), 4) for o, b in enumerate(capacity[c])}
        assert_close(got.shares[c], eat(prefs, seats))


@pytest.mark.parametrize("supply", ["items", "menu"])
def test_deferred_acceptance_is_the_best_of_all_stable_matchings(supply, dtype):
    values, capacity = draw(9, supply)
    scores = priorities(10)
    got = allocate(lambda c: DeferredAcceptance(jnp.asarray(scores)[c]), values, capacity, supply)
    several = 0
    for c in range(CASES):
        prefs = rankings(values[c], supply, scores[c])
        scored = dict(enumerate(scores[c])) | {None: np.zeros(AGENTS)}
        best, found = agent_optimal(prefs, scored, seats_of(capacity[c], supply))
        several += len(found) > 1
        np.testing.assert_array_equal(got.shares[c], table(best))
    assert np.all(got.certificate.solved)
    assert several > 0


@pytest.mark.parametrize("supply", ["items", "menu"])
def test_boston_matches_plain_python(supply, dtype):
    values, capacity = draw(11, supply)
    scores = priorities(12)
    got = allocate(lambda c: Boston(jnp.asarray(scores)[c]), values, capacity, supply)
    for c in range(CASES):
        prefs = rankings(values[c], supply, scores[c])
        expected = immediate(prefs, dict(enumerate(scores[c])), seats_of(capacity[c], supply))
        np.testing.assert_array_equal(got.shares[c], table(expected))


@pytest.mark.parametrize("supply", ["items", "menu"])
def test_top_trading_cycles_with_priorities_match_plain_python(supply, dtype):
    values, capacity = draw(13, supply)
    scores = priorities(14)
    got = allocate(lambda c: TopTradingCycles(priorities=jnp.asarray(scores)[c]), values, capacity, supply)
    free = {None} if supply == "items" else {None, OPTIONS - 1}
    for c in range(CASES):
        prefs = rankings(values[c], supply, scores[c])
        expected = cycles(prefs, dict(enumerate(scores[c])), seats_of(capacity[c], supply), free)
        np.testing.assert_array_equal(got.shares[c], table(expected))


def test_top_trading_cycles_with_endowments_match_plain_python(dtype):
    values, capacity = draw(15, "items")
    owned = np.random.default_rng(16).permuted(np.tile(np.arange(-1, OPTIONS), (CASES, 1)), axis=1)
    got = allocate(lambda c: TopTradingCycles(jnp.asarray(owned)[c]), values, capacity, "items")
    for c in range(CASES):
        prefs = [ranking(row, "items") for row in values[c]]
        turn = {o: {i: (owned[c, i] == o, -i) for i in range(AGENTS)} for o in range(OPTIONS)}
        np.testing.assert_array_equal(got.shares[c], table(cycles(prefs, turn, seats_of((), "items"), {None})))
    assert np.all(got.certificate.solved)


def test_utilitarian_matches_the_hungarian_method(dtype):
    values, capacity = draw(17, "menu")
    values = np.where(np.isneginf(values), -np.inf, values + np.random.default_rng(18).random(values.shape))
    got = allocate(Utilitarian(), values, capacity, "menu")
    for c in range(CASES):
        column = np.repeat(np.arange(OPTIONS), [*capacity[c].astype(int), AGENTS])
        worth = np.where(np.isneginf(values[c]), -1e6, values[c])[:, column]
        row, seat = scipy.optimize.linear_sum_assignment(worth, maximize=True)
        choice = np.empty(AGENTS, int)
        choice[row] = column[seat]
        assert_close(got.shares[c], table(list(choice)))
        assert_close(got.certificate["value"][c], worth[row, seat].sum(), 10)
    assert np.all(got.certificate.solved), got.certificate.status
    assert np.all(got.certificate["bound"] >= got.certificate["value"] - 1e-4)


def test_utilitarian_gives_each_item_to_who_values_it_most(dtype):
    values = jnp.asarray(np.random.default_rng(19).normal(size=(AGENTS, OPTIONS)))
    got = Utilitarian().allocate(Population(values)).certificate
    assert got is not None
    assert bool(got.solved)
    assert_close(got["value"], np.maximum(np.asarray(values).max(0), 0).sum())
