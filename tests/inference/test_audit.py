"""The audit's witnesses can be checked by hand, and its noise refutes nobody."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rules.ball import Ball, Promised
from rules.level import Level
from rules.pick import Pick, QuantileThreshold
from rules.planted import Claiming, Inflated
from rules.softmax import Favourites, Scores

import fairhand as fh
from fairhand.inference._precision import cast
from fairhand.mechanisms import (
    BIC,
    DSIC,
    EF1,
    Either,
    Feasible,
    Grid,
    Kinds,
    Orders,
    Repeated,
    Scalings,
    SelfGenerating,
    broken,
    mean,
    metrics,
)
from fairhand.models import Draws, Independent, Items, TypeTable, Uniform

KEY = jax.random.key(0)
WORLD = Independent(Uniform(), 3, 4)
CLAIMS = Grid(np.array([[1.0, 1.0, 1.0, 1.0], [0.9, 0.1, 0.9, 0.1]]))
LIAR = Claiming(QuantileThreshold([0.4, 0.5]), (DSIC(CLAIMS),))


def test_the_witness_of_a_lie_shows_its_gain():
    """Population, agent and lie of the witness, replayed by hand, give the amount."""
    report = fh.audit(LIAR, WORLD, key=KEY, populations=6)
    found = report.finding("DSIC")
    run, agent, lie = (int(found.witness[name]) for name in ("run", "agent", "lie"))
    with jax.enable_x64(True):
        search = jax.random.split(KEY)[0]
        people = fh.play(cast(LIAR, jnp.float64), cast(WORLD, jnp.float64), search, 6).population
        truth = np.asarray(people.values[run])

    def shares(values):  # the hard threshold rule, in plain NumPy
        take = values >= 1 - np.array([0.4, 0.5, 1.0])[:, None]
        take[-1] = True
        reach = np.concatenate([np.ones((1, 4)), np.cumprod(1 - take[:-1], 0)])
        return take * reach

    said = truth.copy()
    said[agent] = CLAIMS.rows[lie]
    gain = np.sum(truth[agent] * (shares(said) - shares(truth))[agent])
    assert gain == pytest.approx(found.amount)
    assert found.error == 0
    assert "6 populations" in found.tried
    assert "Grid" in found.tried


def test_gains_are_those_of_brute_force():
    """Every agent, every ranking, in a loop over a rule in plain NumPy."""

    def serial(values, quotas=(2, 1, 1)):
        shares, left = np.zeros_like(values), np.ones(4, bool)
        for i, quota in enumerate(quotas):
            for _ in range(quota):
                best = np.argmax(np.where(left, values[i], -np.inf))
                shares[i, best], left[best] = 1, False
        return shares

    def backwards(values):  # the last agent's favourite decides who goes first: not truthful
        return serial(values[::-1])[::-1] if values[2].argmax() == 0 else serial(values)

    rule = fh.inference.from_callable(backwards, promises=(DSIC(Orders()),))
    found = fh.audit(rule, WORLD, key=KEY, populations=4).finding("DSIC")
    with jax.enable_x64(True):
        crowd = fh.play(Level(0.0), cast(WORLD, jnp.float64), jax.random.split(KEY)[0], 4).population.values
    best = -np.inf
    for truth in np.asarray(crowd):
        honest = np.sum(truth * backwards(truth), 1)
        for agent, order in itertools.product(range(3), itertools.permutations(range(4))):
            said = truth.copy()
            said[agent] = truth[agent][list(order)]
            best = max(best, np.sum(truth * backwards(said), 1)[agent] - honest[agent])
    assert best > 0
    assert found.amount == pytest.approx(best)


def test_interim_gains_are_averages_over_the_others():
    """A type that says the other gains 2 (x11 - x01) + ... on average over the other's type; exact on all profiles."""
    score = np.zeros((2, 2, 2))
    score[:, 1] = 1.0
    worth = np.array([[2.0, 1.0], [1.0, 2.0]])
    world = TypeTable(np.array([0.3, 0.7]), worth, agents=2)
    found = fh.audit(Claiming(Scores(score), (BIC(Kinds(2), 2),)), world, key=KEY, populations=None).finding("BIC")

    def share(mine, other):
        weight = np.exp(score[0, mine]), np.exp(score[1, other])
        return weight[0] / (1 + weight[0] + weight[1])

    interim = np.array([sum(p * share(mine, other) for p, other in ((0.3, 0), (0.7, 1))) for mine in (0, 1)])
    gains = np.array([[worth[true] @ (interim[said] - interim[true]) for said in (0, 1)] for true in (0, 1)])
    assert found.amount == pytest.approx(gains.max())
    kind, lie = int(found.witness["kind"]), int(found.witness["lie"])
    assert (kind, lie) == np.unravel_index(gains.argmax(), (2, 2))
    assert found.error == 0
    assert "the whole distribution" in found.tried


def test_sampled_interim_gains_agree_with_exact_ones_within_their_error():
    world = TypeTable(np.array([0.5, 0.5]), np.array([[2.0, 1.0], [1.0, 2.0]]), agents=2)
    greedy = np.zeros((2, 2, 2))
    greedy[:, 1] = 1.0
    judge = functools.partial(fh.audit, Claiming(Scores(greedy), (BIC(Kinds(2), 2),)), world, key=KEY)
    exact, sampled = (judge(populations=n).finding("BIC") for n in (None, 400))
    assert sampled.error > 0
    assert sampled.amount == pytest.approx(exact.amount, abs=4 * sampled.error)
    assert sampled.refuted


def test_truth_that_is_best_only_on_average_is_told_apart_from_dominance():
    world = TypeTable(np.array([0.5, 0.5]), np.array([[2.0, 1.5], [1.5, 2.0]]), agents=2)
    rule = Favourites(base=[-3.0, -3.0], lead=[8.0, 8.0])  # two of a kind share their favourite and waste the other
    report = fh.audit(rule, world, key=KEY, populations=None, also=[DSIC(Kinds(2))])
    assert report.ok
    assert report.finding("BIC").verdict == "not refuted"
    assert report.finding("DSIC").verdict == "does not hold (never promised)"


def test_the_luckiest_lie_refutes_nobody():
    """Truth is exactly as good as any lie here: search finds noise, confirmation on fresh populations does not."""
    kinds = 4
    world = TypeTable(np.full(kinds, 0.25), np.random.default_rng(0).normal(size=(kinds, 2)), agents=3)

    class Blind(fh.mechanisms.AbstractMechanism):
        """Shares by the others' types only: no lie changes anything, but the average over the others is noisy."""

        def allocate(self, reported, key=None):
            kind = jnp.asarray(reported.kind)
            others = (kind.sum() - kind)[:, None] % 2
            mine = kind[:, None] % 2
            swing = jnp.where(others == 0, 0.1, -0.1) * jnp.where(mine == 0, 1.0, -1.0)
            return fh.mechanisms.Allocation(0.2 + swing * jnp.ones((3, 2), reported.values.dtype))

        @property
        def promises(self):
            return (BIC(Kinds(kinds), kinds),)

    refuted, searched = 0, []
    for seed in range(20):
        found = fh.audit(Blind(), world, key=jax.random.key(seed), populations=200).finding("BIC")
        refuted += found.refuted
        searched.append(found.searched - found.amount)
    assert refuted == 0
    assert np.mean(searched) > 0.005  # what the winner's curse would have added


def test_dominance_holds_where_types_matter_only_through_others():
    report = fh.audit(Pick([0.4, 0.5]), Independent(Uniform(), 3, 8), key=KEY, populations=3)
    assert report.ok  # 8 items have 40,320 rankings: 720 are tried, and the words say how the search was limited
    assert report.finding("DSIC").amount == 0


@pytest.mark.slow
def test_one_shot_deviations_are_found_at_their_state():
    """The state in the witness, and the payoff there recomputed by sums over the other's value."""
    honest = Ball(0.05, 0.38, 0.03, gamma=0.97)
    with jax.enable_x64(True):
        honest = jax.jit(lambda b: b.harden())(cast(honest, jnp.float64))
    world = Independent(Uniform(), agents=2, options=60)
    liar = eqx.tree_at(lambda b: b.sway, honest, 0.0)
    found = fh.audit(Repeated(liar), world, key=KEY, populations=4).finding("one-shot incentive compatibility")
    assert found.refuted
    agent = int(found.witness["agent"])
    true, said = (float(found.witness[name]) for name in ("true value", "said"))
    state = found.witness["state"]
    assert isinstance(state, Promised)
    with jax.enable_x64(True):
        grid = (jnp.arange(4000) + 0.5) / 4000

        def payoff(report):
            values = jnp.full((4000, 2), report).at[:, 1 - agent].set(grid)
            after, shares = jax.vmap(lambda v: liar.step(cast(state, jnp.float64), v))(values)
            return float(jnp.mean(0.03 * true * shares[:, agent] + 0.97 * after.promise[:, agent]))

        gain = payoff(said) - payoff(true)
    assert gain > 0
    assert found.amount == pytest.approx(gain, abs=4 * found.error)


@pytest.mark.slow
@pytest.mark.parametrize("sway", [0.0, 1.0, 2.0])
def test_only_the_right_movement_of_promises_keeps_people_honest(sway):
    with jax.enable_x64(True):
        ball = jax.jit(lambda b: b.harden())(cast(Ball(0.05, 0.38, 0.03, gamma=0.97), jnp.float64))
    rule = Repeated(eqx.tree_at(lambda b: b.sway, ball, sway))
    world = Independent(Uniform(), agents=2, options=60)
    assert fh.audit(rule, world, key=KEY, populations=4).ok is (sway == 1.0)


@pytest.mark.slow
def test_an_uncertified_region_is_refuted_and_hardening_repairs_it():
    class Raw(fh.mechanisms.AbstractPolicy):
        """The ball as it came, promising what only its hardening keeps."""

        ball: Ball

        def init(self):
            return self.ball.init()

        def step(self, state, reported, key=None):
            return self.ball.step(state, reported, key)

        def escape(self):
            return self.ball.escape()

        @property
        def promises(self):
            return (SelfGenerating(), Feasible())

    ball = Ball(0.05, 0.38, 0.03, gamma=0.97)
    world = Independent(Uniform(), agents=2, options=20)
    raw = fh.audit(Repeated(Raw(ball)), world, key=KEY, populations=4)
    assert raw.finding("promises stay in the certified region").amount == pytest.approx(float(ball.escape()), rel=1e-4)
    assert not raw.ok
    assert fh.audit(Repeated(ball), world, key=KEY, populations=4).ok


def test_realisations_are_judged_coin_by_coin():
    class Toss(fh.mechanisms.AbstractMechanism):
        """Everything to one agent, by lot: fair in expectation, unfair in every realisation."""

        def allocate(self, reported, key=None):
            n = reported.num_agents
            if key is None:
                return fh.mechanisms.Allocation(jnp.full_like(reported.values, 1 / n))
            winner = jax.random.randint(key, (), 0, n)
            rows = jax.nn.one_hot(winner, n, dtype=reported.values.dtype)[:, None] * jnp.ones_like(reported.values)
            return fh.mechanisms.Allocation(rows)

    report = fh.audit(Toss(), WORLD, key=KEY, populations=4, also=[EF1(), Feasible(ex_post=True)])
    assert report.finding("feasible in expectation").amount == 0
    assert report.finding("feasible in every realisation").amount == 0
    fair = report.finding("EF1")
    assert fair.verdict == "does not hold (never promised)"
    assert {"run", "coin"} <= set(fair.witness)
    twice = fh.audit(Claiming(Inflated(Toss(), 2.0), (Feasible(ex_post=True),)), WORLD, key=KEY, populations=4)
    assert twice.finding("feasible in every realisation").amount == pytest.approx(1.0)
    assert not twice.ok


@pytest.mark.slow
def test_a_union_of_report_spaces_finds_what_its_parts_find():
    people = fh.play(Level(0.5), WORLD, KEY, 2)
    liar = QuantileThreshold([0.4, 0.5])
    runs = fh.play(liar, WORLD, KEY, 4)
    amounts = [float(DSIC(space).violation(runs).amount) for space in (Orders(), Scalings(), CLAIMS)]
    union = DSIC(Either((Orders(), Scalings(), CLAIMS))).violation(runs)
    assert float(union.amount) == pytest.approx(max(amounts))
    assert Either((Orders(), CLAIMS)).count(people.population) == 24 + 2


@pytest.mark.slow
def test_a_promise_may_train_as_a_limit():
    """One item, worth 1 or 2: the low type gains d = x_high - x_low by calling itself high, welfare is at most 1.5 + d / 2."""
    world = TypeTable(np.array([0.5, 0.5]), np.array([[1.0], [2.0]]), agents=2)
    gain = broken(BIC(Kinds(2), 2)).named("gain from lying")
    rule = Scores(np.array([[[4.0], [4.1]], [[4.0], [4.1]]]))
    limits = [gain <= 0.05]
    tuned = fh.tune(
        rule, mean(metrics.welfare), world, key=KEY, subject_to=limits, populations=None, steps=300, rate=0.1
    )
    assert 0 <= tuned.slack[0] < 0.001
    assert float(tuned.exact.value) == pytest.approx(1.525, abs=0.01)  # some of the item is still kept
    assert tuned.shadow[0] > 0  # not 1 / 2: both agents tie, and a gradient sees one of them


def test_a_posterior_is_attacked_in_many_of_its_draws():
    worlds = Draws.of(Independent(Uniform(np.zeros(5), np.arange(1.0, 6.0)), 3, 4), lambda w: [w.law.low, w.law.high])
    assert fh.audit(Pick([0.4, 0.5]), worlds, key=KEY, populations=8).ok
    with pytest.raises(ValueError, match="no finite list"):
        fh.audit(Pick([0.4, 0.5]), worlds, key=KEY, populations=None)


def test_the_report_says_what_was_and_was_not_promised():
    report = fh.audit(Level(0.2), WORLD, key=KEY, populations=2, also=[DSIC(CLAIMS)])
    assert any("promises nothing about incentives" in note for note in report.notes)
    assert [f.promised for f in report.findings] == [False, False]
    assert report.table().loc["DSIC", "verdict"] == "holds here, though not promised"
    assert "REFUTED" in repr(fh.audit(LIAR, WORLD, key=KEY, populations=2))
    with pytest.raises(ValueError, match="`promise` 'EF1' was not audited; there are"):
        report.finding("EF1")


def test_a_rule_that_hardens_is_audited_hardened():
    report = fh.audit(QuantileThreshold([0.4, 0.5]), WORLD, key=KEY, populations=4)
    assert report.ok
    assert report.finding("DSIC").promised  # the promise of `Pick`, which is what would be run
    world = Independent(Uniform(), 3, 4, Items(all_given=True))
    assert fh.audit(QuantileThreshold([0.4, 0.5]), world, key=KEY, populations=4).ok
