"""Rules against brute force: every rule of the room, hard and soft, on grids full of ties."""

import itertools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fairhand as fh
from fairhand.mechanisms import picking
from fairhand.mechanisms.saved import rule_from_json, rule_to_json
from fairhand.models import Independent, Population, Uniform
from fairhand.models.laws import Discrete

ROOT2 = np.sqrt(2.0)


def in_turn(bids, counts, order):
    """Pick-r as its definition says it."""
    shares, left = np.zeros(bids.shape), set(range(bids.shape[1]))
    for agent, count in zip(order, counts, strict=True):
        for j in sorted(left, key=lambda j: (-bids[agent, j], j))[:count]:
            shares[agent, j] = 1
            left.remove(j)
    return shares


def place(row):
    order = sorted(range(row.size), key=lambda j: (-row[j], j))
    return np.array([order.index(j) for j in range(row.size)])


def by_score(score):
    """The first agent whose score is greatest."""
    return np.eye(len(score))[:, [int(np.argmax(column)) for column in score.T]]


def by_menu(bids, picker, menu):
    worth = [sum(bids[picker, j] for j in bundle) for bundle in menu]
    mine = np.isin(np.arange(bids.shape[1]), menu[int(np.argmax(worth))])
    first = mine if picker == 0 else ~mine
    return np.stack([first, ~first]).astype(float)


def by_swap(bids, first, second):
    worth = lambda i, bundle: sum(bids[i, j] for j in bundle)
    swap = worth(0, second) > worth(0, first) and worth(1, first) > worth(1, second)
    mine = np.isin(np.arange(bids.shape[1]), second if swap else first)
    return np.stack([mine, ~mine]).astype(float)


MENU = ((0, 1), (2,), (1, 3), ())
CASES = {
    "fractions": (picking.PickR([0.5, 0.25, 0.25]), lambda b: in_turn(b, [2, 1, 1], [0, 1, 2])),
    "quotas in an order": (
        picking.PickR(quotas=[1, 1, 2], order=[2, 0, 1]),
        lambda b: in_turn(b, [1, 1, 2], [2, 0, 1]),
    ),
    "ranks": (picking.Ranking(), lambda b: by_score(-np.stack([place(row) for row in b]))),
    "welfare": (picking.WelfareMax(), by_score),
    "weighted welfare": (
        picking.WelfareMax([1.0, 2.0, 0.5]),
        lambda b: by_score(np.array([1.0, 2.0, 0.5])[:, None] * b),
    ),
    "thresholds": (
        picking.QuantileThreshold([0.25, 0.5, 1.0], Uniform(0.0, 4.0)),
        lambda b: by_score(np.stack([b[0] >= 3, b[1] >= 2, b[2] >= 0])),
    ),
    "menu": (picking.Picking([0, 1, 2, 3], 1, menu=MENU), lambda b: by_menu(b, 1, MENU)),
    "favourites": (
        picking.Picking([0, 1, 2, 3], 0, size=2),
        lambda b: by_menu(b, 0, tuple(itertools.combinations(range(4), 2))),
    ),
    "exchange": (picking.Exchange([0, 3], [1, 2]), lambda b: by_swap(b, [0, 3], [1, 2])),
    "side by side": (
        picking.PickingExchange([picking.Exchange([2], [0]), picking.Picking([1, 3], 1, menu=[[3], [1]])]),
        lambda b: np.where(
            np.isin(np.arange(4), [0, 2])[None], by_swap(b * [1, 0, 1, 0], [2], [0]), by_menu(b, 1, [[3], [1]])
        ),
    ),
}


def grid(agents, number=200):
    return np.random.default_rng(agents).integers(0, 4, (number, agents, 4)).astype(float)


def agents_of(rule):
    return rule._agents or 3


@pytest.mark.parametrize("name", CASES)
def test_shares_are_those_of_the_definition(name, dtype):
    rule, reference = CASES[name]
    bids = grid(agents_of(rule))
    shares = rule.allocate(bids.astype(dtype)).shares
    assert shares.dtype == dtype
    np.testing.assert_array_equal(shares, np.stack([reference(b) for b in bids]))


@pytest.mark.parametrize("name", CASES)
def test_soft_shares_tend_to_the_rule_even_on_ties(name):
    rule, _ = CASES[name]
    bids = grid(agents_of(rule))
    shares = lambda rule, bids: rule.allocate(bids).shares
    hard = shares(rule, bids)
    off = []
    for temperature in (0.3, 0.03, 0.003):
        soft = shares(rule.soften(temperature), bids)
        assert float(soft.min()) >= 0
        np.testing.assert_allclose(soft.sum(-2), 1, atol=2e-6)
        off.append(float(abs(soft - hard).max()))
    assert off[0] > off[-1]
    assert off[-1] < 1e-3
    np.testing.assert_array_equal(rule.soften(0.1).harden().allocate(bids).shares, hard)


@pytest.mark.parametrize("name", CASES)
def test_rules_take_any_batch_and_any_real_numbers(name):
    rule, reference = CASES[name]
    bids = grid(agents_of(rule), 12).astype(int).reshape(2, 3, 2, agents_of(rule), 4)
    expected = np.stack([reference(b.astype(float)) for b in bids.reshape(12, -1, 4)]).reshape(bids.shape)
    np.testing.assert_array_equal(rule.allocate(bids).shares, expected)
    people = rule.allocate(Population(bids[0, 0, 0]))
    np.testing.assert_array_equal(people.shares, expected[0, 0, 0])
    assert people.certificate is not None
    assert bool(people.certificate.solved)


ALIKE = [name for name in CASES if agents_of(CASES[name][0]) == 3]  # rules that treat all items alike


@pytest.mark.parametrize("name", ALIKE)
def test_permuting_items_permutes_shares(name):
    rule, _ = CASES[name]
    bids = np.random.default_rng(1).random((200, 3, 4))
    shuffle = [2, 0, 3, 1]
    np.testing.assert_array_equal(rule.allocate(bids[..., shuffle]).shares, rule.allocate(bids).shares[..., shuffle])


@pytest.mark.parametrize("name", ["fractions", "ranks"])
def test_only_the_order_of_an_agents_bids_counts(name):
    rule, _ = CASES[name]
    bids = np.random.default_rng(2).random((200, 3, 4))
    twisted = np.stack([bids[:, 0] ** 3, 7 * bids[:, 1], np.exp(bids[:, 2])], 1)
    np.testing.assert_array_equal(rule.allocate(bids).shares, rule.allocate(twisted).shares)


def test_weighted_ranking_is_its_definition_also_where_scores_tie_exactly(dtype):
    laws, weights = [Uniform(), Uniform(0.5, 1.0)], np.array([1.0, 2 / 3])
    rule = picking.WeightedRanking(laws, weights)
    bids = np.random.default_rng(3).random((300, 2, 4)).astype(dtype)

    def reference(b):
        level = 1 - (np.stack([place(row) for row in b]) + 1) / 5
        score = weights[:, None] * np.stack([level[0], 0.5 + level[1] / 2])
        return by_score(np.round(score, 6))

    np.testing.assert_array_equal(rule.allocate(bids).shares, np.stack([reference(b) for b in bids]))
    # 1 · 0.6 and 2/3 · 0.9 tie: a rule that trusts rounding gives the item to either.
    tie = np.array([[2.0, 3.0, 1.0, 0.0], [4.0, 1.0, 2.0, 3.0]])
    assert rule.allocate(tie).shares[0, 0] == 1


@pytest.mark.parametrize(
    ("r", "items", "quotas"),
    [
        ([0.1] * 10, 10, [1] * 10),
        ([1 / 3, 1 / 3, 1 / 3], 9, [3, 3, 3]),
        ([0.7, 0.1, 0.2], 10, [7, 1, 2]),
        ([0.29, 0.71], 100, [29, 71]),
        ([0.0, 1.0], 7, [0, 7]),
        ([(2 - ROOT2) / 2, ROOT2 / 2], 10, [2, 8]),
    ],
)
def test_quotas_are_the_floors_of_rational_arithmetic(r, items, quotas):
    assert picking.PickR(r).counts(items).tolist() == quotas
    traced = jax.jit(lambda r: picking.PickR(r).counts(items))(jnp.asarray(r))
    assert traced.tolist() == quotas


def test_a_bare_number_is_the_first_of_two():
    rule = picking.PickR(0.3)
    np.testing.assert_allclose(rule.r, [0.3, 0.7])
    assert rule.counts(11).tolist() == [3, 8]


def test_unequal_sums_of_equal_size_do_not_trade():
    # 0.1 + 0.2 is more than 0.3 by rounding only; the agent is indifferent.
    rule = picking.Exchange([0], [1, 2])
    bids = np.array([[0.3, 0.1, 0.2], [1.0, 0.1, 0.1]])
    with jax.enable_x64(True):
        assert rule.allocate(bids).shares[0].tolist() == [1.0, 0.0, 0.0]


def test_thresholds_stop_where_the_prophet_does():
    """Per item, QT-s and the optimal-stopping rule with the same thresholds pick the same index (proposition 3.8)."""
    law, s = Uniform(), np.array([0.2, 0.4, 0.5, 1.0])
    values = np.asarray(law.sample((4, 5000), key=jax.random.key(1)))
    owner = np.asarray(picking.QuantileThreshold(s, law).allocate(values).shares.argmax(0))

    def stop(column):
        return next(i for i, x in enumerate(column) if x >= 1 - s[i])

    np.testing.assert_array_equal(owner, [stop(column) for column in values.T])


def test_pick_and_thresholds_differ_on_the_order_of_root_m_items():
    """Lemma 3.6: under the bound n² C / 2 of its proof, and growing with exponent one half."""
    law, s = Uniform(), np.array([0.3, 0.5, 1.0])
    soft = picking.QuantileThreshold(s, law)
    sizes, apart = [100, 1600, 25_600], []
    for m in sizes:
        values = law.sample((40, 3, m), key=jax.random.key(m))
        a, b = (rule.allocate(values).shares.argmax(-2) for rule in (soft, soft.coupled))
        differ = np.asarray((a != b).sum(-1))
        assert differ.max() <= 9 * (np.sqrt(m * np.log(m)) + 1) / 2
        apart.append(differ.mean())
    slope = np.polyfit(np.log(sizes), np.log(apart), 1)[0]
    assert 0.35 < slope < 0.65


def test_softening_moves_with_r_as_the_exact_gradient_says():
    """The welfare of the last items of the two: Q(1 − r) − mean, here 0.7 − 0.5."""
    with jax.enable_x64(True):
        values = Uniform().sample((200, 2, 400), key=jax.random.key(0))
        welfare = lambda r: (picking.PickR(r).soften(0.02).allocate(values).shares * values).sum(-2).mean()
        slope = jax.grad(welfare)(jnp.array([0.3, 0.7]))
    # Only differences along the simplex mean anything; the softened cut adds a bias of order T².
    np.testing.assert_allclose(slope[0] - slope[1], 0.2, atol=0.01)


@pytest.mark.slow
def test_the_verbs_need_nothing_from_this_room():
    world = Independent(Uniform(), agents=2, options=60)
    start = picking.PickR([0.1, 0.9])
    tuned = fh.tune(
        start, fh.mean(fh.metrics.welfare), world, key=jax.random.key(0), populations=64, steps=80, restarts=1
    )
    assert isinstance(tuned.mechanism, picking.PickR)
    # welfare of the uniform is greatest at r = 1/2, flat near it
    assert abs(float(tuned.mechanism.r[0]) - 0.5) < 0.08
    found = fh.audit(tuned, world, key=jax.random.key(1), populations=4, precision="float32")
    assert found.ok


@pytest.mark.parametrize("name", CASES)
def test_rules_reopen_from_json(name):
    rule, _ = CASES[name]
    bids = grid(agents_of(rule))
    again = rule_from_json(rule_to_json(rule))
    assert type(again) is type(rule)
    np.testing.assert_array_equal(again.allocate(bids).shares, rule.allocate(bids).shares)


LAW = Uniform()
HALVES = picking.PickR([0.5, 0.5])
BAD = {
    "one axis": (lambda: HALVES.allocate(np.ones(3)), "`values` must be [..., agents, items]"),
    "NaN": (lambda: HALVES.allocate([[np.nan, 1.0], [1.0, 1.0]]), "`values` must be finite and not negative"),
    "infinite": (lambda: picking.Ranking().allocate([[np.inf, 1.0], [1.0, 1.0]]), "`values` must be finite"),
    "negative": (
        lambda: picking.WelfareMax().allocate([[-1.0, 1.0], [1.0, 1.0]]),
        "`values` must be finite and not neg",
    ),
    "one agent": (lambda: picking.Ranking().allocate(np.ones((1, 3))), "at least two agents"),
    "no item": (lambda: picking.Ranking().allocate(np.ones((2, 0))), "at least one item"),
    "text": (lambda: HALVES.allocate(np.array([["a", "b"], ["c", "d"]])), "`values` must be real numbers"),
    "three for two": (lambda: picking.Exchange([0], [1]).allocate(np.ones((3, 2))), "`values` must have 2 agents"),
    "agents and r": (lambda: HALVES.allocate(np.ones((3, 2))), "`values` must have 2 agents"),
    "negative r": (lambda: picking.PickR([1.2, -0.2]), "`r` must not be negative"),
    "NaN r": (lambda: picking.PickR([np.nan, 0.2]), "`r` must not be negative"),
    "sum of r": (lambda: picking.PickR([0.5, 0.50001]), "`r` must sum to 1"),
    "r of one": (lambda: picking.PickR([1.0]), "`r` needs at least two"),
    "r beyond 1": (lambda: picking.PickR(1.5), "`r` must be a fraction"),
    "r and quotas": (lambda: picking.PickR(0.5, quotas=[1, 1]), "exactly one of `r`"),
    "nothing": (lambda: picking.PickR(), "exactly one of `r`"),
    "broken quotas": (lambda: picking.PickR(quotas=[0.5, 1.5]), "`quotas` must be whole"),
    "negative quotas": (lambda: picking.PickR(quotas=[-1, 3]), "`quotas` must be whole"),
    "quotas and items": (lambda: picking.PickR(quotas=[1, 2]).allocate(np.ones((2, 4))), "`quotas` must sum to the 4"),
    "order": (lambda: picking.PickR(0.5, order=[0, 0]), "`order` must name each"),
    "s beyond 1": (lambda: picking.QuantileThreshold([1.2, 1.0], LAW), "`s` must lie in"),
    "s at the end": (lambda: picking.QuantileThreshold([0.5, 0.9], LAW), "`s` must end with 1"),
    "atoms": (lambda: picking.QuantileThreshold([0.5, 1.0], Discrete([0.0, 1.0], [0.5, 0.5])), "`law` has atoms"),
    "empty menu": (lambda: picking.Picking([0, 1], 0, menu=[]), "`menu` is empty"),
    "strange menu": (lambda: picking.Picking([0, 1], 0, menu=[[2]]), "`menu` offers"),
    "menu and size": (lambda: picking.Picking([0, 1], 0, menu=[[0]], size=1), "exactly one of `menu`"),
    "size": (lambda: picking.Picking([0, 1], 0, size=3), "`size` must be a whole number from 0 to 2"),
    "picker": (lambda: picking.Picking([0, 1], 2, size=1), "`picker` must be agent 0 or 1"),
    "no endowment": (lambda: picking.Exchange([], [0]), "`first` is empty"),
    "shared endowment": (lambda: picking.Exchange([0], [0, 1]), "both own item 0"),
    "overlap": (
        lambda: picking.PickingExchange([picking.Exchange([0], [1]), picking.Picking([1], 0, size=1)]),
        "overlap",
    ),
    "gap": (lambda: picking.PickingExchange([picking.Exchange([0], [2])]), "must cover the 2 items"),
    "too few": (lambda: picking.Exchange([0], [1]).allocate(np.ones((2, 3))), "must cover the 3 items"),
    "weights": (lambda: picking.WelfareMax([1.0, 0.0]), "`weights` must be positive"),
    "weights and laws": (
        lambda: picking.WeightedRanking([LAW, LAW], [1.0, 1.0, 1.0]),
        "`weights` needs one entry a law",
    ),
    "stream length": (
        lambda: picking.allocate_stream(HALVES, lambda i: np.ones(3), agents=2, items=4),
        "`row(0)` must have shape",
    ),
    "stream NaN": (
        lambda: picking.allocate_stream(HALVES, lambda i: np.full(3, np.nan), agents=2, items=3),
        "`row(0)` must be finite",
    ),
    "stream agents": (lambda: picking.allocate_stream(HALVES, np.ones, agents=3, items=4), "rule is for 2 agents"),
    "stream rule": (
        lambda: picking.allocate_stream(picking.Exchange([0], [1]), np.ones, agents=2, items=2),
        "cannot be streamed",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_by_name(name):
    call, said = BAD[name]
    with pytest.raises(ValueError, match=re.escape(said)):
        call()


def test_bad_bids_are_refused_under_jit_too():
    allocate = eqx.filter_jit(lambda b: HALVES.allocate(b).shares)
    with pytest.raises(Exception, match="`values` must be finite and not negative"):
        jax.block_until_ready(allocate(np.array([[1.0, np.nan], [1.0, 1.0]])))
    # In a population the status travels, as for every rule that the verbs play.
    spoiled = eqx.filter_jit(lambda b: HALVES.allocate(Population(b)).certificate)(np.array([[1.0, -1.0], [1.0, 1.0]]))
    assert not bool(spoiled.solved)


@pytest.mark.parametrize("name", ALIKE)
def test_streaming_equals_allocating_and_asks_each_row_at_most_twice(name, dtype):
    rule, _ = CASES[name]
    for bids in grid(3, 25).astype(dtype):
        asked = []

        def row(i, bids=bids, asked=asked):
            asked.append(i)
            return bids[i]

        found = picking.allocate_stream(rule, row, agents=3, items=4)
        shares = np.asarray(rule.allocate(bids).shares)
        np.testing.assert_array_equal(found.owner, shares.argmax(0))
        np.testing.assert_allclose(found.utility, (shares * bids).sum(1), rtol=1e-6)
        assert max(map(asked.count, range(3))) <= 2
        assert found.owner.dtype == np.int32
