"""Audits: they find planted lies, of the size that plain loops find, and find none in rules that have none."""

import doctest
import importlib
import itertools
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fairhand as fh
from fairhand import models
from fairhand.mechanisms import AbstractMechanism, Allocation, picking
from fairhand.mechanisms.picking import _batched, audit_bic, audit_dsic
from fairhand.mechanisms.picking._promises import Claims, Swaps, bayesian, dominant
from fairhand.models import Population

GRID = np.array(list(itertools.product(range(4), repeat=3)), float)  # {0, 1, 2, 3}^3, with all its ties
UNIFORM = models.Uniform()
SMALL = np.array(list(itertools.product(range(3), repeat=2)), float)


def whole(owner, agents):
    return Allocation((owner[..., None, :] == np.arange(agents)[:, None]).astype(float))


class Dictator:
    """Agent 0 takes all: truthful, and in NumPy."""

    def allocate(self, values):
        return whole(np.zeros(values.shape[:-2] + values.shape[-1:], int), values.shape[-2])


class Greedy:
    """Welfare maximisation in NumPy: whoever bids most wins."""

    def allocate(self, values):
        assert isinstance(values, np.ndarray)
        return whole(values.argmax(-2), values.shape[-2])


class Proportional:
    """Fractional, in JAX and not ours: everybody gets the share of each item that they bid."""

    def allocate(self, values):
        values = jnp.asarray(values) + 1e-3
        return Allocation(values / values.sum(-2, keepdims=True))


class HostTopHalf(AbstractMechanism):
    """A mechanism of ours that computes in NumPy, so it cannot be compiled: agent 0 takes her better half."""

    def allocate(self, reported, key=None):
        values = np.asarray(reported)
        best = np.argsort(-values[..., 0, :], -1, kind="stable").argsort(-1) < values.shape[-1] // 2
        return whole(1 - best.astype(int), values.shape[-2])


class Reestimated:
    """Pick-r whose r is the best one for the law of the very bids that it serves: the share of bids above their mean."""

    def allocate(self, values):
        quota = values.shape[-1] * np.mean(values > values.mean((-2, -1), keepdims=True), (-2, -1))
        place = np.argsort(-values[..., 0, :], -1, kind="stable").argsort(-1)
        return whole(np.where(place < np.floor(quota)[..., None], 0, 1), 2)


def by_hand(rule, vectors, agents, reports):
    """The audit in plain loops."""
    gains = []
    for profile in itertools.product(vectors, repeat=agents):
        profile = np.array(profile)
        honest = np.asarray(rule.allocate(profile[None]).shares)[0]
        for agent, report in itertools.product(range(agents), reports):
            told = profile.copy()
            told[agent] = report
            got = np.asarray(rule.allocate(told[None]).shares)[0]
            gains.append(profile[agent] @ (got[agent] - honest[agent]))
    return np.array(gains)


@pytest.mark.parametrize("rule", [Dictator(), Greedy(), Proportional()])
@pytest.mark.parametrize(("agents", "reports"), [(2, None), (2, [[5.0, 0.0], [0.5, 1.5]]), (3, None)])
def test_the_audit_is_the_definition(rule, agents, reports):
    vectors = SMALL[::2]
    with jax.enable_x64(True):
        gains = by_hand(rule, vectors, agents, vectors if reports is None else reports)
    found = audit_dsic(rule, vectors, agents, reports)
    assert found.checked == gains.size
    assert found.profitable == np.count_nonzero(gains > 1e-9)
    assert found.max_gain == pytest.approx(max(gains.max(), 0), abs=1e-12)
    assert (found.witness is None) == (found.profitable == 0)


def gain_of(rule, found):
    told = found.witness.values.copy()
    told[found.witness.agent] = found.witness.report
    honest, lied = (np.asarray(rule.allocate(v[None]).shares)[0] for v in (found.witness.values, told))
    return found.witness.values[found.witness.agent] @ (lied - honest)[found.witness.agent]


@pytest.mark.parametrize("reports", [None, [[3.0, 0.0], [0.0, 3.0]]])
def test_the_witness_shows_the_gain(reports):
    found = audit_dsic(Greedy(), SMALL, 3, reports)
    assert gain_of(Greedy(), found) == pytest.approx(found.max_gain)
    assert found.max_gain > 0


@pytest.mark.parametrize("agents", [2, 3])
def test_chunks_and_streaming_change_nothing(monkeypatch, agents):
    before = audit_dsic(Greedy(), SMALL, agents)
    monkeypatch.setattr(importlib.import_module(audit_dsic.__module__), "_TABLE", 0)
    monkeypatch.setattr(importlib.import_module(audit_dsic.__module__), "NUMBERS", 1000)
    monkeypatch.setattr(_batched, "NUMBERS", 100)
    after = audit_dsic(Greedy(), SMALL, agents)
    assert (after.checked, after.profitable, after.max_gain) == (before.checked, before.profitable, before.max_gain)
    assert gain_of(Greedy(), after) == after.max_gain


def test_the_last_chunk_is_filled_up_so_that_nothing_is_compiled_twice(monkeypatch):
    sizes = []

    class Counts(Greedy):
        def allocate(self, values):
            sizes.append(len(values))
            return super().allocate(values)

    monkeypatch.setattr(_batched, "NUMBERS", 100)
    audit_dsic(Counts(), SMALL)
    assert len(set(sizes)) == 1
    assert sum(sizes) >= 81 > sum(sizes[:-1])


def test_a_mechanism_of_numpy_inside_is_called_as_it_is():
    assert audit_dsic(HostTopHalf(), SMALL).profitable == 0


TRUTHFUL = {
    "pick half": picking.PickR(0.5),
    "pick a third, agent 1 first": picking.PickR([1 / 3, 2 / 3], order=[1, 0]),
    "nothing for one": picking.PickR(quotas=[0, 3]),
    "menu": picking.Picking([0, 1, 2], 1, menu=[[0], [1, 2], [0, 2]]),
    "best two": picking.Picking([0, 1, 2], 0, size=2),
    "exchange": picking.Exchange([0], [1, 2]),
    "side by side": picking.PickingExchange([picking.Exchange([0], [2]), picking.Picking([1], 1, size=1)]),
}


@pytest.mark.parametrize("name", TRUTHFUL)
def test_truthful_rules_of_two_are_truthful_on_a_grid_with_ties(name):
    found = audit_dsic(TRUTHFUL[name], GRID)
    assert found.checked == 64**2 * 2 * 64
    assert found.profitable == 0
    assert found.max_gain == 0
    assert found.witness is None


def test_truthful_rules_of_three_are_truthful_in_seconds():
    found = audit_dsic(picking.PickR([0.4, 0.3, 0.3], order=[2, 0, 1]), GRID, agents=3)
    assert found.checked == 64**3 * 3 * 64
    assert found.profitable == 0


POWER = models.Power(0.5)
DESIGNED = {
    "tight": lambda: picking.two_agent_tight(),
    "best for a law": lambda: picking.optimal_pick(POWER, 2),
    "free of laws": lambda: picking.distribution_free_r(2),
    "equal split": lambda: picking.equal_split_ef(POWER, 2),
    "a little less than half": lambda: picking.two_agent_ef(POWER, 1000, 0.01),
    "two laws": lambda: picking.correlated_two_agent(POWER, UNIFORM),
}


@pytest.mark.parametrize("name", DESIGNED)
def test_what_theory_designs_is_truthful(name):
    found = DESIGNED[name]()
    assert audit_dsic(getattr(found, "mechanism", found), GRID).profitable == 0


LIARS = {
    "thresholds": picking.QuantileThreshold([0.5, 1.0], models.Uniform(0.0, 3.0)),
    "ranking": picking.Ranking(),
    "welfare": picking.WelfareMax(),
    "weighted welfare": picking.WelfareMax([1.0, 0.4]),
    "r from the bids": Reestimated(),
}


@pytest.mark.parametrize("name", LIARS)
def test_untruthful_rules_are_found_out(name):
    rule = LIARS[name]
    found = audit_dsic(rule, GRID)
    assert found.profitable > 0
    assert gain_of(rule, found) == pytest.approx(found.max_gain)


def test_weighted_ranking_is_not_dominant_strategy():
    laws = [models.Uniform(), models.Uniform(0.5, 1.0)]
    assert audit_dsic(picking.WeightedRanking(laws, [1.0, 2 / 3]), GRID).profitable > 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((Greedy(), [1.0, 2.0]), "`vectors`"),
        ((Greedy(), np.full((2, 2), np.nan)), "`vectors`"),
        ((Greedy(), -SMALL), "`vectors`"),
        ((Greedy(), SMALL, 1), "`agents`"),
        ((Greedy(), SMALL, 2, [[1.0]]), "`reports`"),
        ((object(), SMALL), "`mechanism`"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, named):
    with pytest.raises(ValueError, match=named):
        audit_dsic(*arguments)


@pytest.mark.parametrize("shares", [lambda v: v[0], lambda v: v * np.nan])
def test_a_rule_with_shares_of_a_wrong_shape_or_nan_is_refused(shares):
    class Broken:
        def allocate(self, values):
            return Allocation(shares(np.asarray(values)))

    with pytest.raises(ValueError, match="`mechanism` "):
        audit_dsic(Broken(), SMALL)


# Against the average opponent.


def enumerated(rule, values, agents, agent):
    """Interim utility of each ranking, over all rankings of the others: BIC by its definition, for rules of ranks."""
    m = len(values)
    orders = list(itertools.permutations(range(m, 0, -1)))
    profiles = np.array(list(itertools.product(orders, repeat=agents)), float)
    shares = np.asarray(rule.allocate(profiles).shares)[:, agent]
    utility = {}
    for order in orders:
        here = np.all(profiles[:, agent] == order, -1)
        utility[order] = (shares[here] @ values).mean()
    return utility


@pytest.mark.parametrize(("agents", "agent", "items"), [(2, 0, 3), (2, 1, 4), (3, 1, 3)])
def test_ranking_is_exactly_bayesian_truthful(agents, agent, items):
    values = np.linspace(0.9, 0.1, items)
    found = audit_bic(picking.Ranking(), values, agents, agent)
    assert found.checked == math.factorial(items)
    assert found.profitable == 0
    assert found.witness is None
    assert found.standard_error == 0.0
    utility = enumerated(picking.Ranking(), values, agents, agent)
    assert found.truthful == pytest.approx(max(utility.values()), rel=1e-6)


def test_seven_items_and_ties_and_weights_are_exact():
    found = audit_bic(picking.Ranking(), [0.5, 0.5, 0.1, 0.9, 0.9, 0.0, 0.2], 4, 2)
    assert (found.checked, found.profitable, found.max_gain) == (5040, 0, 0.0)
    laws = [models.Uniform(), models.Uniform(0.5, 1.0)]
    rule = picking.WeightedRanking(laws, [1.0, 2 / 3])
    for agent in range(2):
        found = audit_bic(rule, [0.9, 0.6, 0.8, 0.7], 2, agent)
        assert found.profitable == 0
        assert found.checked == 24
        utility = enumerated(rule, np.array([0.9, 0.6, 0.8, 0.7]), 2, agent)
        assert found.truthful == pytest.approx(max(utility.values()), rel=1e-6)


def test_the_exact_audit_finds_chances_that_rise(monkeypatch):
    rising = np.array([[0.5, 0.7, 0.1], [0.5, 0.3, 0.9]])
    module = importlib.import_module("fairhand.mechanisms.picking.interim")
    monkeypatch.setattr(module, "interim", lambda rule, agents, items: rising)
    found = audit_bic(picking.Ranking(), [3.0, 2.0, 1.0])
    assert found.max_gain == pytest.approx((0.7 - 0.5) * (3 - 2))
    assert found.witness.report.argsort().tolist() == [2, 0, 1]  # item 1 first, then 0
    assert found.profitable == 1


@pytest.mark.parametrize("rule", [Greedy(), picking.WelfareMax()])
def test_welfare_maximisation_is_found_out_by_claiming_the_top(rule, key):
    values = [0.9, 0.5, 0.1]
    found = audit_bic(rule, values, 3, 1, law=models.Uniform(), draws=400, key=key)
    assert found.checked == 7
    assert found.profitable >= 1
    assert found.witness.report.tolist() == [1.0, 1.0, 1.0]
    assert found.max_gain > 3 * found.standard_error > 0
    # All items instead of those on which both others are lower.
    exact = sum(v * (1 - v**2) for v in values)
    assert abs(found.max_gain - exact) < 4 * found.standard_error
    assert abs(found.truthful - sum(v**3 for v in values)) < 0.1


def test_without_a_top_the_lie_is_far_above_everything():
    class Unbounded:
        support = (0.0, np.inf)

    top = importlib.import_module(audit_bic.__module__)._top(Unbounded(), np.ones(3), np.full((5, 2, 3), 7.0))
    assert top.tolist() == [[70.0, 70.0, 70.0]]


class Robbed(picking.Ranking):
    """Ranking whose ties go against agent 1 so much that what she ranks first is lost: claims to be Bayesian truthful."""

    def _shares(self, bids, prepared=None):
        place = jnp.argsort(jnp.argsort(-bids, -1), -1)
        lost = jnp.arange(bids.shape[0])[:, None] == 1
        place = jnp.where(lost & (place == 0), bids.shape[1] - 1, place)
        owner = jnp.argmin(place, 0)
        return jax.nn.one_hot(owner, bids.shape[0], axis=0, dtype=bids.dtype)

    @property
    def promises(self):
        return (bayesian(),)


def test_a_variant_of_ranking_is_sampled_and_found_out(key):
    found = audit_bic(Robbed(), [0.9, 0.5, 0.1], 2, 1, law=models.Uniform(), draws=2000, key=key)
    assert found.profitable >= 1
    assert audit_bic(Robbed(), [0.9, 0.5, 0.1], 2, 0, law=models.Uniform(), draws=2000, key=key).profitable == 0


@pytest.mark.parametrize("agent", [0, 1])
def test_truthful_rules_are_not_accused_on_samples(agent, key):
    laws = [models.Uniform(), models.Uniform(0.5, 1.0)]
    found = audit_bic(picking.PickR(0.5), [0.9, 0.6, 0.6, 0.1], 2, agent, law=laws, draws=200, key=key)
    assert found.profitable == 0
    assert found.witness is None
    assert found.max_gain <= 0
    assert found.checked == 25


@pytest.mark.slow
def test_many_items_are_sampled_and_the_winners_curse_accuses_nobody(key):
    values = np.linspace(0, 1, 10)
    for seed in range(3):
        found = audit_bic(
            picking.Ranking(), values, 3, 1, law=models.Uniform(), draws=40, key=jax.random.fold_in(key, seed)
        )
        assert found.checked == 1001
        assert found.profitable == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"law": None}, "`law`"),
        ({"key": None}, "`key`"),
        ({"draws": 0}, "`draws`"),
        ({"agent": 2}, "`agent`"),
        ({"agents": 1}, "`agents`"),
        ({"values": [np.nan, 1.0]}, "`values`"),
        ({"law": [models.Uniform()] * 3}, "`law`"),
    ],
)
def test_the_bayesian_audit_refuses_by_name(change, named, key):
    asked = {"mechanism": Greedy(), "values": [1.0, 0.5], "law": models.Uniform(), "draws": 5, "key": key} | change
    with pytest.raises(ValueError, match=named):
        audit_bic(**asked)


# Search.


def test_the_search_finds_lies_where_there_are_any(key):
    values = np.random.default_rng(5).random((3, 50))
    for rule in (picking.PickR([0.3, 0.3, 0.4]), Dictator()):
        found = picking.attack(rule, values, 0, key=key, steps=3)
        assert found.gain == 0
        assert np.array_equal(found.report, values[0])
    for rule in (picking.Ranking(), Greedy()):
        found = picking.attack(rule, Population(values), 0, key=key, steps=5)
        told = values.copy()
        told[0] = found.report
        got = values[0] @ np.asarray(rule.allocate(told[None]).shares)[0, 0]
        assert found.gain == pytest.approx(got - found.truthful)
        assert found.gain > 0.05


def test_the_search_reaches_the_best_report_of_a_small_case(key):
    values = np.random.default_rng(3).random((2, 4))
    orders = values[0][np.array(list(itertools.permutations(range(4))))]
    told = np.stack([orders, np.broadcast_to(values[1], orders.shape)], 1)
    best = (np.asarray(picking.Ranking().allocate(told).shares)[:, 0] @ values[0]).max()
    found = picking.attack(picking.Ranking(), values, 0, key=key, steps=10)
    assert found.truthful + found.gain == pytest.approx(best)


# Through `fh.audit`.


class ClaimsDominant(picking.WelfareMax):
    @property
    def promises(self):
        return (dominant(),)


class ClaimsDominantThreshold(picking.QuantileThreshold):
    @property
    def promises(self):
        return (dominant(),)


class ClaimsDominantRanking(picking.Ranking):
    @property
    def promises(self):
        return (dominant(),)


class ClaimsBayesian(picking.WelfareMax):
    @property
    def promises(self):
        return (bayesian(),)


class TiesByBid(picking.Ranking):
    """Ranking whose ties go to the higher bid, which inflated bids win: claims to be Bayesian truthful."""

    def _shares(self, bids, prepared=None):
        place = jnp.argsort(jnp.argsort(-bids, -1), -1)
        owner = jnp.argmax(jnp.where(place == place.min(0, keepdims=True), bids, -1.0), 0)
        return jax.nn.one_hot(owner, bids.shape[0], axis=0, dtype=bids.dtype)

    @property
    def promises(self):
        return (bayesian(),)


class Promised(AbstractMechanism):
    """Another rule, with promises of our choice."""

    deterministic: ClassVar[bool] = True
    rule: AbstractMechanism
    made: tuple

    def allocate(self, reported, key=None):
        return self.rule.allocate(reported, key)

    @property
    def promises(self):
        return self.made


WORLD = models.Independent(models.Uniform(), agents=2, options=4)


@pytest.mark.parametrize(
    "rule",
    [
        ClaimsDominantThreshold([0.5, 1.0], models.Uniform()),
        pytest.param(ClaimsDominant(), marks=pytest.mark.slow),
        pytest.param(ClaimsDominantRanking(), marks=pytest.mark.slow),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_an_audit_refutes_a_false_promise_of_dominance(rule, key):
    found = fh.audit(rule, WORLD, key=key, devices=1)
    assert found.finding("DSIC").verdict == "REFUTED"
    assert not found.ok


@pytest.mark.parametrize(
    "rule",
    [
        TiesByBid(),
        pytest.param(Robbed(), marks=pytest.mark.slow),
        pytest.param(ClaimsBayesian(), marks=pytest.mark.slow),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_an_audit_refutes_a_false_promise_on_average(rule, key):
    found = fh.audit(rule, WORLD, key=key, devices=1)
    assert found.finding("BIC").verdict == "REFUTED"
    assert found.finding("BIC").error > 0
    assert "Swaps + Claims" in found.finding("BIC").tried


@pytest.mark.slow
def test_an_audit_does_not_refute_what_is_true(key):
    found = fh.audit(Promised(picking.PickR(0.5), (dominant(), bayesian())), WORLD, key=key, devices=1)
    assert found.ok
    assert found.finding("DSIC").amount == 0


class OnlyBayesian(picking.Ranking):
    """The true rule under another name, so that it is attacked and not computed."""

    @property
    def promises(self):
        return (bayesian(),)


def test_ranking_is_judged_exactly(key):
    found = fh.audit(picking.Ranking(), WORLD, key=key, also=[bayesian()], devices=1)
    assert found.ok
    assert found.finding("BIC").error == 0
    assert found.finding("BIC").amount == 0


@pytest.mark.slow
def test_weighted_ranking_is_judged_exactly_inside_a_program(key):
    rule = picking.WeightedRanking([UNIFORM, models.Uniform(0.5, 1.0)], [1.0, 2 / 3])
    found = fh.audit(rule, WORLD, key=key, also=[bayesian()], devices=1)
    assert found.finding("BIC").error == 0
    assert abs(found.finding("BIC").amount) < 1e-12


def test_the_exact_promise_sees_chances_that_rise(monkeypatch, key):
    rising = np.array([[0.9, 0.5, 0.4, 0.1], [0.5, 0.3, 0.7, 0.2]])
    module = importlib.import_module("fairhand.mechanisms.picking.interim")
    monkeypatch.setattr(module, "interim", lambda rule, agents, items: rising)
    runs = fh.play(picking.Ranking(), WORLD, key, 8)
    found = bayesian().violation(runs)
    values = -np.sort(-np.asarray(runs.population.values)[:, 1])
    worst = max(max(rising[1][list(p)] @ v for p in itertools.permutations(range(4))) - rising[1] @ v for v in values)
    assert float(found.amount) == pytest.approx(worst, rel=1e-5)
    assert int(found.witness["agent"]) == 1
    assert int(found.witness["rank"]) == 1


@pytest.mark.slow
def test_a_double_of_ranking_survives_the_attack(key):
    assert fh.audit(OnlyBayesian(), WORLD, key=key, devices=1).ok


def test_where_items_are_unlike_ranking_is_refuted(key):
    # Everybody likes item 0 or 1 best: who ranks first what nobody else does wins it anyway.
    world = models.TypeTable([0.5, 0.5], [[3.0, 2.9, 0.0], [3.0, 0.0, 2.9]], agents=2)
    found = fh.audit(picking.Ranking(), world, key=key, populations=None, also=[bayesian()], devices=1)
    assert found.finding("BIC").refuted
    assert found.finding("BIC").error == 0


def test_swaps_trade_ranks_and_claims_scale():
    truth = Population(jnp.array([[1.0, 3.0, 2.0], [0.0, 0.0, 0.0]]))
    swaps, claims = Swaps(), Claims((10.0,), limit=2)
    rows = lambda space: {
        tuple(np.asarray(space.lie(truth, jnp.array(0), jnp.array(i)).values)[0].tolist())
        for i in range(space.count(truth))
    }
    assert rows(swaps) == {(1.0, 2.0, 3.0), (3.0, 1.0, 2.0), (2.0, 3.0, 1.0)}
    assert rows(claims) == {(10.0, 3.0, 2.0), (1.0, 3.0, 20.0), (10.0, 30.0, 20.0)}
    many = Swaps(limit=7).pairs(1000)
    assert many.shape == (7, 2)
    assert np.all(many[:, 0] != many[:, 1])


@pytest.mark.parametrize("module", ["audit_dsic", "audit_bic", "attack"])
def test_the_examples_run(module):
    names = {"np": np, "jax": jax, "models": models}
    result = doctest.testmod(importlib.import_module(f"fairhand.mechanisms.picking.{module}"), extraglobs=names)
    assert result.attempted
    assert not result.failed
