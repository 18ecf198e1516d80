"""The classic rules keep what they promise, and the audit refutes what they do not: manipulation, envy, blocking."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairhand.mechanisms import DSIC, Allocation, Feasible, Orders, Scalings, play
from fairhand.mechanisms.classic import (
    Boston,
    DeferredAcceptance,
    Efficient,
    IndividuallyRational,
    ProbabilisticSerial,
    RandomSerialDictatorship,
    SDEnvyFree,
    SerialDictatorship,
    Stable,
    TopTradingCycles,
    Utilitarian,
)
from fairhand.mechanisms.promises import label_of
from fairhand.models import Items, Menu, Population, Roster, TypeTable

AGENTS, OPTIONS, TYPES = 4, 4, 4
SCORES = np.array([[0.0, 1.0, 2.0, 3.0], [3.0, 0.0, 2.0, 1.0], [1.0, 3.0, 0.0, 2.0], [2.0, 1.0, 3.0, 0.0]])
OWNED = np.array([2, -1, 0, 3])
SUPPLY = {"items": Items(), "seats": Menu.seats([1.0, 2.0, 1.0])}

RULES = {
    "serial": SerialDictatorship([3, 1, 0, 2]),
    "random serial": RandomSerialDictatorship(),
    "eating": ProbabilisticSerial(),
    "deferred": DeferredAcceptance(SCORES),
    "boston": Boston(SCORES),
    "cycles, owners": TopTradingCycles(OWNED),
    "cycles, priorities": TopTradingCycles(priorities=SCORES),
    "utilitarian": Utilitarian(),
}
BROKEN = {  # what a rule does not promise, and does break
    "serial": (SDEnvyFree(), Stable(SCORES), IndividuallyRational(OWNED)),
    "random serial": (Stable(SCORES), IndividuallyRational(OWNED)),
    "eating": (DSIC(Orders()),),
    "deferred": (SDEnvyFree(), Efficient(ex_post=True), IndividuallyRational(OWNED)),
    "boston": (DSIC(Orders()), Stable(SCORES)),
    "cycles, owners": (Stable(SCORES),),
    "cycles, priorities": (SDEnvyFree(), Stable(SCORES)),
    "utilitarian": (DSIC(Scalings()),),
}
QUICK = {"serial": "items", "cycles, owners": "items", "utilitarian": "items"}  # seats for the others
CASES = [
    pytest.param(name, supply, marks=() if supply == QUICK.get(name, "seats") else pytest.mark.slow)
    for name in RULES
    for supply in SUPPLY
]


def world(supply):
    """All profiles of a few types of agents, so that amounts are exact; some items are worth less than nothing."""
    worth = np.random.default_rng(7).uniform(0.05, 1.0, (TYPES, OPTIONS))
    worth[:, :2] += 0.5  # contested
    if supply == "items":
        worth[0, 2] = -0.3
    worth[1, 0] = -np.inf
    return TypeTable(jnp.full(TYPES, 1 / TYPES), jnp.asarray(worth), AGENTS, SUPPLY[supply])


@pytest.fixture
def precise():
    with jax.enable_x64(True):
        yield


@eqx.filter_jit
def amounts(promises, rule, where, coins=0, populations=None):
    runs = play(rule, where, jax.random.key(1), populations, coins=coins)
    return [promise.violation(runs).amount for promise in promises]


@pytest.mark.slow
@pytest.mark.usefixtures("precise")
@pytest.mark.parametrize(("name", "supply"), CASES)
def test_promises_are_kept_and_what_is_not_promised_is_refuted(name, supply):
    rule, kept, broken = RULES[name], RULES[name].promises, BROKEN[name]
    coins, populations = 0, None
    if name == "eating":
        coins, kept = 2, (*kept, Feasible(ex_post=True))  # capacities are whole here
    if name == "utilitarian":
        populations = 3  # each lie is a linear programme on the host
    found = amounts((*kept, *broken), rule, world(supply), coins, populations)
    found = {label_of(p): float(x) for p, x in zip((*kept, *broken), found, strict=True)}
    assert all(found[label_of(p)] <= 1e-9 for p in kept), found
    assert all(found[label_of(p)] > 1e-3 for p in broken), found
    truthful = name not in ("eating", "boston", "utilitarian")
    assert any(p.about_incentives for p in rule.promises) == truthful


@pytest.mark.usefixtures("precise")
def test_random_serial_dictatorship_is_not_ordinally_efficient():
    # Bogomolnaia and Moulin (2001), the example of their introduction.
    values = jnp.array([[4.0, 3.0, 2.0, 1.0]] * 2 + [[3.0, 4.0, 2.0, 1.0]] * 2)
    where = Roster(Population(values))
    eaten = eqx.filter_jit(play)(ProbabilisticSerial(), where)
    half = [[0.5, 0, 0.25, 0.25]] * 2 + [[0, 0.5, 0.25, 0.25]] * 2
    np.testing.assert_allclose(eaten.allocation.shares[0], half)
    assert amounts((Efficient(),), ProbabilisticSerial(), where)[0] <= 1e-12
    assert amounts((Efficient(),), RandomSerialDictatorship(), where, 200)[0] > 0.05


@pytest.mark.usefixtures("precise")
def test_waste_and_cycles_are_measured_in_shares():
    values = jnp.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0]])
    runs = eqx.filter_jit(play)(SerialDictatorship(), Roster(Population(values, Menu.seats([1.0, 1.0]))))

    def judged(promise, shares):
        given = dataclasses.replace(runs, allocation=Allocation(jnp.array(shares, float)[None]))
        return float(eqx.filter_jit(type(promise).violation)(promise, given).amount)

    assert judged(Efficient(), [[1, 0, 0], [0, 1, 0]]) == 0
    assert judged(Efficient(ex_post=True), [[0, 1, 0], [1, 0, 0]]) == 1  # both would rather swap
    assert judged(Efficient(), [[0.7, 0.3, 0], [0.3, 0.7, 0]]) == pytest.approx(0.3)
    assert judged(Efficient(ex_post=True), [[0, 0, 1], [0, 1, 0]]) == 1  # a seat is empty
    assert judged(Efficient(), [[0.75, 0, 0.25], [0, 1, 0]]) == pytest.approx(0.25)
    assert judged(Efficient(), [[np.nan, 0, 0], [0, 1, 0]]) == np.inf
    assert judged(SDEnvyFree(), [[0.7, 0.3, 0], [0.9, 0.1, 0]]) == pytest.approx(0.2)
    assert judged(SDEnvyFree(), [[0.7, 0.3, 0], [0.3, 0.7, 0]]) <= 1e-12
