"""One rule of each kind goes through the same four verbs, by the same code, in both precisions."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rules.cases import CASES, Case
from rules.planted import FirstBest

import fairhand as fh
from fairhand.inference._precision import cast, hardened
from fairhand.mechanisms import check_support, metrics, parameters
from helpers import assert_close

KEY = jax.random.key(0)
# Each precision is a program of its own for every rule and verb; the quick run compiles one.
PRECISIONS = [pytest.param("float32", marks=pytest.mark.slow), "float64"]
ROUNDING = {"float32": 1e-4, "float64": 1e-9}

every_case = pytest.mark.parametrize("name", CASES)
both_precisions = pytest.mark.parametrize("precision", PRECISIONS)


@functools.cache
def case_of(name: str) -> Case:
    return CASES[name]()


def people(case: Case, number: int):
    return jax.vmap(case.world.population)(jax.random.split(KEY, number))


@pytest.mark.slow
@every_case
def test_rules_play_alike_eagerly_compiled_and_batched(name, dtype):
    case = case_of(name)
    case = dataclasses.replace(case, rule=hardened(cast(case.rule, dtype)), world=cast(case.world, dtype))
    crowd = people(case, 3)
    batch = eqx.filter_jit(lambda rule, crowd: jax.vmap(rule.allocate)(crowd))(case.rule, crowd)
    assert batch.shares.dtype == dtype
    alone = eqx.filter_jit(lambda rule, one: rule.allocate(one))
    for i in range(3):
        one = jax.tree.map(lambda x, i=i: x[i], crowd)
        assert_close(batch.shares[i], alone(case.rule, one).shares, loosen=20)
        assert float(one.supply.excess(batch.shares[i])) <= ROUNDING[dtype.name]
    assert_close(batch.shares[0], case.rule.allocate(jax.tree.map(lambda x: x[0], crowd)).shares, loosen=20)
    if batch.certificate is not None:
        assert bool(jnp.all(batch.certificate.solved))


@every_case
def test_rules_survive_a_pytree_round_trip(name):
    rule = case_of(name).rule
    leaves, structure = jax.tree.flatten(rule)
    assert eqx.tree_equal(jax.tree.unflatten(structure, leaves), rule)


@pytest.mark.slow
@both_precisions
@every_case
def test_tuning_never_returns_less_than_its_start_nor_more_than_the_first_best(name, precision):
    case = case_of(name)
    effort = {"populations": case.populations} | case.effort
    tuned = fh.tune(
        case.rule,
        case.objective,
        case.world,
        key=KEY,
        subject_to=case.limits,
        baselines={"first best": FirstBest()},
        precision=precision,
        **effort,
    )
    value, start = float(tuned.exact.value), float(tuned.started.value)
    assert tuned.exact.value.dtype == precision
    assert value > start  # each case starts well below its best
    ceiling = float(tuned.baselines["first best"].value)
    assert value <= ceiling * (1 + ROUNDING[precision]) + ROUNDING[precision]
    assert float(tuned.exact.outside) <= ROUNDING[precision]
    assert np.all(tuned.slack >= -tuned.slack_error)
    assert bool(tuned.exact.solved)
    assert tuned.status == "" or "not settled" in tuned.status
    check_support(tuned.mechanism)
    assert all(isinstance(x, np.ndarray) and x.dtype == precision for x in parameters(tuned.mechanism).values())
    assert "tuned rule" in tuned.report()


@pytest.mark.slow
@both_precisions
@every_case
def test_propagation_is_the_loop_over_worlds(name, precision):
    case = case_of(name)
    question = case.metrics[-1]
    outcome = fh.propagate(
        {"as given": case.rule, "too much": case.infeasible},
        case.worlds,
        {"asked": question, "utility": metrics.mean_utility},
        key=KEY,
        populations=4,
        coins=2,
        precision=precision,
    )
    assert outcome.rules == ["as given", "too much"]
    assert outcome.data["utility"].dims == ("rule", "draw", "population")
    assert outcome.data["utility"].shape == (2, 3, 4)
    excess = outcome.data["supply excess"].max(("draw", "population")).values
    assert excess[0] <= ROUNDING[precision] < 0.1 < excess[1]
    assert np.all(np.isfinite(outcome.data["utility"]))
    assert not [s for s in outcome.status if s.startswith("as given")]

    with jax.enable_x64(precision == "float64"):
        rule, worlds = cast(case.rule, jnp.dtype(precision)), cast(case.worlds, jnp.dtype(precision))
        play = eqx.filter_jit(lambda rule, world, key: fh.play(rule.harden(), world, key, 4).each(metrics.mean_utility))
        direct = play(rule, worlds.one(2), jax.random.fold_in(KEY, 2))
    assert_close(direct, outcome.data["utility"].values[0, 2], loosen=50)


@pytest.mark.slow
@both_precisions
@every_case
def test_the_audit_clears_the_honest_and_catches_liar_and_cheat(name, precision):
    case = case_of(name)
    judge = functools.partial(fh.audit, world=case.world, key=KEY, populations=case.populations, precision=precision)

    honest = judge(case.honest or case.rule)
    assert honest.ok, honest
    assert all(f.promised for f in honest.findings if f.promise != "feasible in expectation")

    caught = judge(case.liar).finding(case.lie)
    assert caught.refuted
    assert caught.promised
    assert caught.amount > 3 * caught.error + ROUNDING[precision]
    assert caught.amount > 0.001

    cheat = judge(case.infeasible)
    assert not cheat.ok
    assert cheat.finding("feasible in expectation").amount > 0.1
