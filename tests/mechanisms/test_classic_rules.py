"""What all classic rules have in common: batches, compilation, refusals, certificates, lotteries."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairhand.mechanisms.classic import (
    Boston,
    DeferredAcceptance,
    ProbabilisticSerial,
    RandomSerialDictatorship,
    SerialDictatorship,
    TopTradingCycles,
    Utilitarian,
)
from fairhand.mechanisms.classic._rounding import round_lottery
from fairhand.mechanisms.saved import rule_from_json, rule_to_json
from fairhand.models import Items, Menu, Population
from fairhand.models.supply import AbstractSupply
from helpers import assert_close

AGENTS, OPTIONS = 5, 4
RNG = np.random.default_rng(0)
SCORES = RNG.permuted(np.tile(np.arange(float(AGENTS)), (OPTIONS, 1)), axis=1)
VALUES = RNG.normal(size=(3, AGENTS, OPTIONS))
RULES = {
    "serial": SerialDictatorship([3, 1, 4, 0, 2]),
    "random serial": RandomSerialDictatorship(),
    "eating": ProbabilisticSerial(),
    "deferred": DeferredAcceptance(SCORES, quotas=[1, 1, 2, AGENTS]),
    "boston": Boston(SCORES[:-1]),
    "cycles, owners": TopTradingCycles([0, 3, -1, 2, 1]),
    "cycles, priorities": TopTradingCycles(priorities=SCORES, ties="index"),
    "utilitarian": Utilitarian(),
}


def crowd(values, supply="seats"):
    return Population(jnp.asarray(values), Menu.seats([1.0, 2.0, 1.0]) if supply == "seats" else Items())


@eqx.filter_jit
def give(rule, people, key=None):
    return rule.allocate(people, key)


def assert_same(a, b):
    jax.tree.map(assert_close, eqx.filter(a, eqx.is_inexact_array), eqx.filter(b, eqx.is_inexact_array))


@pytest.mark.parametrize("name", RULES)
def test_compiled_and_batched_allocations_are_the_eager_ones_one_by_one(name, key):
    rule = RULES[name]
    alone = [rule.allocate(crowd(v), key) for v in VALUES]
    batch = eqx.filter_jit(jax.vmap(lambda v: rule.allocate(crowd(v), key)))(jnp.asarray(VALUES))
    assert_same(batch, jax.tree.map(lambda *x: jnp.stack(x), *alone))


@pytest.mark.parametrize("name", RULES)
def test_rules_survive_json_and_trees(name, key):
    rule = RULES[name]
    again = rule_from_json(json.loads(json.dumps(rule_to_json(rule))))
    leaves, structure = jax.tree.flatten(rule)
    for other in (again, jax.tree.unflatten(structure, leaves)):
        assert_same(give(other, crowd(VALUES[0]), key), give(rule, crowd(VALUES[0]), key))


@pytest.mark.parametrize("name", [n for n in RULES if n != "utilitarian"])
def test_only_rankings_count_and_carry_no_gradient(name, key):
    def welfare(v):
        return jnp.sum(RULES[name].allocate(crowd(v), key).shares * jax.lax.stop_gradient(v))

    values = jnp.asarray(VALUES[0])
    shares = give(RULES[name], crowd(values), key).shares
    assert_close(give(RULES[name], crowd(jnp.exp(3 * values) - 7), key).shares, shares)
    np.testing.assert_array_equal(jax.jit(jax.grad(welfare))(values), 0)


@pytest.mark.parametrize("name", ["eating", "cycles, priorities", "deferred"])
def test_agents_in_another_order_get_the_same(name, key):
    perm = np.array([3, 0, 4, 2, 1])
    rule, renamed = RULES[name], RULES[name]
    if name != "eating":
        renamed = type(rule)(priorities=SCORES[:, perm], quotas=rule.quotas)
    shares = give(rule, crowd(VALUES[0])).shares
    assert_close(give(renamed, crowd(VALUES[0][perm])).shares, shares[perm])


def test_eating_is_differentiable_in_capacity():
    with jax.enable_x64(True):
        values = jnp.asarray(VALUES[1])

        @jax.jit
        def welfare(capacity):
            return jnp.sum(ProbabilisticSerial().allocate(Population(values, Menu.seats(capacity))).shares * values)

        capacity = jnp.array([0.7, 1.1, 0.6])
        slope = jax.grad(welfare)(capacity)
        h = 1e-6 * jnp.eye(3)
        finite = [(welfare(capacity + e) - welfare(capacity - e)) / 2e-6 for e in h]
        np.testing.assert_allclose(slope, finite, atol=1e-8)
        assert np.any(np.abs(slope) > 0.1)


def test_eating_publishes_when_options_run_out():
    got = give(ProbabilisticSerial(), Population(jnp.array([[2.0, 1.0, 0.0]] * 4), Menu.seats([1.0, 2.0])))
    assert got.certificate["gone"].tolist() == [0.25, 0.75, np.inf]
    np.testing.assert_allclose(got.shares, [[0.25, 0.5, 0.25]] * 4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.05, 2.0))
def test_rounding_gives_one_choice_each_and_whole_counts(seed, spread):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(OPTIONS, spread), 8)
    choice = _round(jnp.asarray(shares), jax.random.key(seed))
    assert np.all(shares[np.arange(8), choice] > 0)
    count, expected = np.bincount(choice, minlength=OPTIONS), shares.sum(0)
    assert np.all((count >= np.floor(expected + 1e-5)) & (count <= np.ceil(expected - 1e-5)))


_round = jax.jit(round_lottery)


def test_rounding_keeps_every_chance(dtype):
    rng = np.random.default_rng(2)
    shares = rng.dirichlet(np.full(OPTIONS, 0.6), 7)
    shares[2] = [0, 1, 0, 0]
    keys = jax.random.split(jax.random.key(3), 20_000)
    choice = jax.jit(jax.vmap(lambda k: round_lottery(jnp.asarray(shares), k)))(keys)
    chance = np.eye(OPTIONS)[np.asarray(choice)].mean(0)
    assert np.all(np.abs(chance - shares) <= 4.5 * np.sqrt(shares * (1 - shares) / keys.size) + 1e-5)


def test_a_realisation_of_eating_keeps_its_chances_and_seats():
    rule, people = ProbabilisticSerial(), crowd(VALUES[2])
    keys = jax.random.split(jax.random.key(4), 20_000)
    drawn = jax.jit(jax.vmap(lambda k: rule.allocate(people, k)))(keys)
    expected = np.asarray(give(rule, people).shares)
    np.testing.assert_array_equal(np.unique(drawn.shares), [0, 1])
    assert np.max(jax.jit(jax.vmap(people.supply.excess))(drawn.shares)) == 0
    error = np.sqrt(expected * (1 - expected) / keys.size)
    assert np.all(np.abs(drawn.shares.mean(0) - expected) <= 4.5 * error + 1e-5)


def test_seats_nobody_can_take_are_left_and_the_certificate_says_who_is_unserved(key):
    people = Population(jnp.array([[1.0], [2.0], [-jnp.inf]]), Menu([[1.0]], [1.0]))
    for rule in (SerialDictatorship(), RandomSerialDictatorship(), ProbabilisticSerial(), Boston([[3.0, 2.0, 1.0]])):
        got = give(rule, people, key)
        assert got.certificate["unserved"] == 2
        assert "add a free outside option" in got.certificate.status
        assert got.shares.sum() == 1
        assert got.shares[2].sum() == 0
    got = give(Utilitarian(), people)
    assert not got.certificate.solved


def test_an_item_worth_less_than_nothing_is_left_unless_all_must_be_given():
    values = jnp.array([[-1.0, -jnp.inf], [-2.0, 0.0]])
    assert SerialDictatorship().allocate(Population(values)).shares.tolist() == [[0, 0], [0, 1]]
    assert SerialDictatorship().allocate(Population(values, Items(True))).shares.tolist() == [[1, 0], [0, 1]]


def test_options_that_share_a_good_are_refused_or_left_unsolved():
    shared = Menu([[1.0], [1.0], [0.0]], [2.0])
    people = Population(jnp.zeros((2, 3)), shared)
    with pytest.raises(ValueError, match="share good"):
        ProbabilisticSerial().allocate(people)
    assert give(SerialDictatorship(), people).certificate.solved
    inside = give(ProbabilisticSerial(), people)
    assert inside.certificate.residual == np.inf


def test_ineligible_agents_are_never_admitted():
    values = jnp.array([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    scores = np.array([[-np.inf, -np.inf], [-np.inf, 1.0]])
    people = Population(values, Menu.seats([1.0, 1.0]))
    for rule in (DeferredAcceptance(scores), Boston(scores), TopTradingCycles(priorities=scores)):
        assert give(rule, people).shares.tolist() == [[0, 0, 1], [0, 1, 0]]


def test_ties_in_priorities_go_to_the_lower_index_only_when_asked():
    people = Population(jnp.array([[1.0], [1.0]]))
    with pytest.raises(ValueError, match='`priorities` has ties at option 0.*ties="index"'):
        DeferredAcceptance([[1.0, 1.0]])
    assert DeferredAcceptance([[1.0, 1.0]], ties="index").allocate(people).shares.tolist() == [[1.0], [0.0]]


def test_the_cutoffs_of_deferred_acceptance_decide_who_gets_in():
    got = RULES["deferred"].allocate(crowd(VALUES[0]))
    rank = np.argsort(np.argsort(-SCORES, 1), 1)
    full = np.asarray(got.shares).sum(0) >= [1, 1, 2, AGENTS]
    reach = np.where(full[:, None], rank <= np.asarray(got.certificate["cutoff"])[:, None], True).T
    best = np.argmax(np.where(reach, VALUES[0], -np.inf), 1)
    np.testing.assert_array_equal(np.argmax(got.shares, 1), best)
    assert got.certificate.residual == 0


class Odd(AbstractSupply):
    def best(self, weights):
        return weights

    def excess(self, shares):
        return shares.sum()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SerialDictatorship([0, 0, 1]), "`order` must name every agent once"),
        (lambda: SerialDictatorship([1, 0]).allocate(crowd(VALUES[0])), "`order` is"),
        (lambda: RandomSerialDictatorship().allocate(crowd(VALUES[0])), "`key` is needed"),
        (lambda: Boston(SCORES[0]), r"`priorities` must be \[options, agents\]"),
        (lambda: Boston(SCORES * np.nan), "`priorities` must be finite"),
        (lambda: Boston(SCORES, ties="random"), "`ties` must be"),
        (lambda: Boston(SCORES, quotas=[0.5, 1, 1, 1]), "`quotas` must be whole"),
        (lambda: DeferredAcceptance(SCORES, quotas=[-1, 1, 1, 1]), "`quotas` must be whole"),
        (lambda: DeferredAcceptance(SCORES, quotas=[1, 1]).allocate(crowd(VALUES[0])), "`quotas` must have"),
        (lambda: DeferredAcceptance(SCORES[:2]).allocate(crowd(VALUES[0])), r"`priorities` must be \[4 options"),
        (lambda: TopTradingCycles(), "Give one of `endowment`"),
        (lambda: TopTradingCycles([0, 1], SCORES), "Give one of `endowment`"),
        (lambda: TopTradingCycles([0, -2]), "`endowment` must be whole"),
        (lambda: TopTradingCycles([0, 1]).allocate(crowd(VALUES[0])), "`endowment` is"),
        (lambda: TopTradingCycles([0, 1, 2, 3, 9]).allocate(crowd(VALUES[0])), "`endowment` names option 9"),
        (lambda: ProbabilisticSerial().allocate(Population(jnp.eye(2), Odd())), "`supply` must be `Items` or `Menu`"),
        (lambda: SerialDictatorship().allocate(Population(jnp.ones((1, 2)), Items(True))), "wants all of 2 items"),
        (lambda: SerialDictatorship().allocate(Population(jnp.ones((1, 3)), Menu.seats([1.0]))), "`uses` must have"),
    ],
)
def test_bad_input_is_refused_by_name(make, says):
    with pytest.raises(ValueError, match=says):
        make()
