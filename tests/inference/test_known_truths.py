"""Tuning finds what theory says is best: one closed form or programme of its own for each kind of rule."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rules.ball import Ball, Discounted, escape, promised_welfare
from rules.participatory import Participatory, referee, unfairness
from rules.pick import Pick, QuantileThreshold
from rules.softmax import Favourites, Scores, interim
from rules.tokens import Groups

import fairhand as fh
from fairhand.inference._precision import cast, to_numpy
from fairhand.mechanisms import BIC, DSIC, Kinds, Orders, Repeated, mean, metrics, of_rule, of_runs, ratio
from fairhand.mechanisms.pseudomarket import TokenPrices
from fairhand.models import Independent, Items, TypeTable, Uniform
from helpers import assert_close

pytestmark = pytest.mark.slow  # deep checks: each tunes until it can be compared with a theorem

KEY = jax.random.key(0)


# ------------------------------------------------------------------ picking


@pytest.mark.parametrize("rule", [Pick([0.7, 0.2]), QuantileThreshold([0.7, 0.2])], ids=["pick", "threshold"])
def test_quotas_of_three_agents_are_those_of_the_dynamic_programme(rule):
    """The value of n agents with uniform values is v_n = max_f f (1 - f / 2) + (1 - f) v_{n-1}, v_1 = 1 / 2."""
    value, quotas = 0.5, []
    for _ in range(2):
        fraction = 1 - value
        value = fraction * (1 - fraction / 2) + (1 - fraction) * value
        quotas.insert(0, fraction)
    assert quotas == [0.375, 0.5]

    world = Independent(Uniform(), 3, 200, Items(all_given=True))
    goal = ratio(metrics.welfare, metrics.first_best)
    tuned = fh.tune(rule, goal, world, key=KEY, steps=200, populations=32, rate=0.1)
    assert isinstance(tuned.mechanism, Pick)
    np.testing.assert_allclose(tuned.mechanism.fraction, quotas, atol=0.01)
    assert float(tuned.exact.value) == pytest.approx(value / 0.75, abs=4 * float(tuned.exact.error))


def test_the_gradient_of_hard_shares_is_that_of_many_items(dtype):
    """For uniform values welfare an item is the sum of reach * f * (1 - f / 2), whose derivative is known."""
    fraction = jnp.array([0.3, 0.4], dtype)

    def limit(f):
        reach = jnp.concatenate([jnp.ones(1, dtype), jnp.cumprod(1 - f)])
        part = jnp.append(f, 1.0)
        return jnp.sum(reach * part * (1 - part / 2))

    def sampled(f, key):
        world = Independent(Uniform(jnp.zeros((), dtype), jnp.ones((), dtype)), 3, 100, Items(all_given=True))
        return mean(metrics.welfare)(fh.play(Pick(f), world, key, 400)) / 100

    assert_close(jax.jit(sampled)(fraction, KEY), limit(fraction), loosen=1e3 if dtype == jnp.float32 else 1e8)
    found, truth = jax.jit(jax.grad(sampled))(fraction, KEY), jax.grad(limit)(fraction)
    np.testing.assert_allclose(found, truth, atol=0.02)


def test_the_soft_relative_is_not_truthful_and_its_hardening_is(key):
    world = Independent(Uniform(), 3, 4)
    rule = QuantileThreshold([0.4, 0.5])
    claims = fh.mechanisms.Grid(np.array([[1.0, 1.0, 1.0, 1.0]]))
    assert float(DSIC(claims).violation(fh.play(rule, world, key, 5)).amount) > 0.1
    exact = jax.jit(lambda key: DSIC(Orders()).violation(fh.play(rule.harden(), world, key, 5)).amount)
    assert float(exact(key)) <= 0


# ------------------------------------------------------------------ pseudo-market


def used(p, a):
    return p.supply.used(a.shares)[0]


def test_a_posted_price_meets_capacity_and_the_shadow_price_is_the_mean_value():
    """Ten agents want the only good, of which there are three: (1 - price) / eps = 3 / 10, and a seat is worth E v."""
    world = Groups(np.array([1.0]), np.array([3.0]), 10)
    rule = TokenPrices(price=[0.98], eps=0.3)
    limits = [mean(used) <= 3.0]
    tuned = fh.tune(rule, mean(metrics.welfare), world, key=KEY, subject_to=limits, steps=200, rate=0.01)
    chance = (1 - tuned.mechanism.price[0]) / tuned.mechanism.eps
    assert chance == pytest.approx(0.3, abs=0.005)
    assert 0 <= tuned.slack[0] < 0.05
    assert tuned.shadow[0] == pytest.approx(0.5, abs=0.02)
    assert tuned.status == ""


# ------------------------------------------------------------------ participatory


SHARED = {"agents": 5, "options": 6, "supply": Items(all_given=True), "alpha": np.array(0.4), "beta": np.array(0.3)}


def test_weight_on_aversion_is_what_the_designer_gives_it():
    """Welfare - unfairness - lam * (first best - welfare) is (1 + lam) times the programme of strength 1 / (1 + lam).

    So that strength is best for every population, exactly where the programme is solved exactly; entropy of weight
    0.003 moves it by about 0.004, of weight 0.01 by about 0.012.
    """
    goal = 2.0 * mean(metrics.welfare) - mean(unfairness) - mean(metrics.first_best)
    rule = Participatory(1.0, temperature=0.003, steps=300)
    tuned = fh.tune(
        rule,
        goal,
        Independent(Uniform(), **SHARED),
        key=KEY,
        steps=80,
        populations=64,
        judge=1,
        rate=0.1,
        temperature=(0.03, 0.003),
    )
    assert float(tuned.mechanism.strength) == pytest.approx(0.5, abs=0.01)


def test_the_gap_brackets_what_an_independent_solver_finds(key):
    rule = Participatory(0.8, steps=2000)
    with jax.enable_x64(True):
        runs = eqx.filter_jit(fh.play)(cast(rule, jnp.float64), Independent(Uniform(), **SHARED), key, 8)
        assert bool(runs.solved)
        runs = to_numpy(runs)
    for i in range(8):
        best = referee(runs.population.values[i], runs.population.alpha[i], runs.population.beta[i], 0.8)
        value, gap = (float(runs.allocation.certificate[name][i]) for name in ("value", "gap"))
        assert value - 1e-9 <= best <= value + gap + 1e-9
        assert gap < 0.02 * value


# ------------------------------------------------------------------ promised utility


BALL = Ball(0.05, 0.38, 0.03, gamma=0.97)


def test_hardening_certifies_and_the_promise_is_what_people_get():
    """Promises made by the certified ball are kept: discounted utilities average to them within Monte-Carlo error."""
    rounds, populations = 400, 200
    assert float(BALL.escape()) > 0
    with jax.enable_x64(True):
        hard = jax.jit(lambda b: b.harden())(cast(BALL, jnp.float64))
        assert float(hard.escape()) <= 0
        again = jax.jit(lambda b: b.harden())(hard)
        np.testing.assert_array_equal(again.centre, hard.centre)

        world = Independent(Uniform(), agents=2, options=rounds)
        runs = eqx.filter_jit(fh.play)(Repeated(hard), world, KEY, populations)
        weight = 0.03 * 0.97 ** jnp.arange(rounds)
        got = np.asarray(jnp.einsum("bir,bir,r->bi", runs.population.values, runs.allocation.shares, weight))
        owed, outside = to_numpy((hard.init().promise, runs.excess))
    error = got.std(0) / np.sqrt(populations)
    assert np.all(np.abs(got.mean(0) - owed) < 3 * error + 0.97**rounds)
    assert outside.max() == 0


def test_the_best_certified_promise_lies_between_a_coin_and_the_first_best():
    """A coin promises 1 / 4 each, the first best 1 / 3 each; at patience 0.97 the ball gets four fifths of the way."""
    goal, limit = of_rule(promised_welfare), of_rule(escape) <= 0.0
    world = Independent(Uniform(), 2, 1)
    settings = {"steps": 800, "rate": 0.03, "populations": 1}
    tuned = fh.tune(Repeated(BALL), goal, world, key=KEY, subject_to=[limit], **settings)
    assert float(tuned.mechanism.policy.escape()) <= 0
    assert 0.63 < float(tuned.exact.value) < 2 / 3


def test_the_realised_objective_is_the_promised_one():
    world = Independent(Uniform(), agents=2, options=300)
    questions = {"got": mean(Discounted(0.97)), "owed": of_rule(promised_welfare)}
    outcome = fh.propagate(Repeated(BALL), world, questions, key=KEY, populations=200)
    got, owed = (float(outcome.data[name].item()) for name in ("got", "owed"))
    assert got == pytest.approx(owed, abs=0.01)


# ------------------------------------------------------------------ interim


def test_scores_reach_the_interim_shares_asked_for():
    target = np.array([0.25, 0.70])[None, :, None] * np.ones((2, 1, 1))
    world = TypeTable(np.array([0.5, 0.5]), np.array([[1.0], [2.0]]), agents=2)
    close = of_runs(lambda runs: -jnp.sum((interim(runs) - target) ** 2))
    tuned = fh.tune(Scores(np.zeros((2, 2, 1))), close, world, key=KEY, steps=600, populations=None, rate=0.1)
    runs = fh.play(cast(tuned.mechanism, jnp.float32), world)
    assert runs.exact
    np.testing.assert_allclose(runs.weight, 0.25)
    np.testing.assert_allclose(interim(runs), target, atol=1e-4)
    assert float(tuned.exact.error) == 0
    # Without payments the low type would call itself high: such shares are not incentive compatible.
    gain = BIC(Kinds(2), 2).violation(runs)
    assert float(gain.amount) == pytest.approx(1.0 * (0.70 - 0.25), abs=1e-3)


def test_favourites_reach_theirs_and_keep_their_promise():
    """Two items, two equally likely types: chance of the favourite 0.45, of the other item 0.35, for both agents."""
    world = TypeTable(np.array([0.5, 0.5]), np.array([[2.0, 1.0], [1.0, 2.0]]), agents=2)
    target = np.broadcast_to(np.array([[0.45, 0.35], [0.35, 0.45]]), (2, 2, 2))
    close = of_runs(lambda runs: -jnp.sum((interim(runs) - target) ** 2))
    rule = Favourites(base=[0.0, 0.3], lead=[0.5, 1.0])
    tuned = fh.tune(rule, close, world, key=KEY, steps=600, populations=None, rate=0.1)
    runs = fh.play(cast(tuned.mechanism, jnp.float32), world)
    np.testing.assert_allclose(interim(runs), target, atol=1e-4)
    assert fh.audit(tuned, world, key=KEY, populations=None).ok
