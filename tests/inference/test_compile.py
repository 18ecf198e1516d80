"""A second call with the same shapes compiles nothing, whatever the numbers and keys."""

import contextlib

import equinox as eqx
import jax
import numpy as np
import pytest
from rules.cases import CASES
from rules.level import Level, given, surplus

import fairhand as fh
from fairhand.inference import Designer, designs, from_callable
from fairhand.mechanisms import DSIC, mean, metrics
from fairhand.models import Draws, Independent, Uniform


@contextlib.contextmanager
def compilations():
    """How often the backend compiled (or fetched a program from the cache on disk) meanwhile."""
    found = []

    def listen(event, duration, **kwargs):
        if event.endswith("backend_compile_duration"):
            found.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def other_numbers(tree):
    """The same shapes, a little changed."""
    return jax.tree.map(lambda x: 0.99 * x if eqx.is_inexact_array_like(x) and np.ndim(x) else x, tree)


def test_the_counter_counts():
    with compilations() as found:
        jax.jit(lambda x: x + 1)(np.float32(1))
    assert len(found) == 1
    world = Independent(Uniform(), 2, 5)
    for populations, compiled in ((3, True), (3, False), (4, True)):
        with compilations() as found:
            fh.propagate(Level(0.2), world, [surplus], key=jax.random.key(0), populations=populations)
        assert bool(found) is compiled


@pytest.mark.parametrize(
    ("name", "precision"), [("picking", "float32"), ("promised", "float64"), ("interim", "float64")]
)
@pytest.mark.parametrize("verb", ["tune", "propagate", "audit"])
def test_a_second_call_compiles_nothing(verb, name, precision):
    case = CASES[name]()

    def call(case, key):
        settings = {"key": key, "precision": precision}
        if verb == "tune":
            effort = {"populations": case.populations} | case.effort
            fh.tune(case.rule, case.objective, case.world, subject_to=case.limits, **settings, **effort)
        elif verb == "propagate":
            fh.propagate(case.rule, case.worlds, case.metrics, populations=4, coins=2, **settings)
        else:
            fh.audit(case.honest or case.rule, case.world, populations=case.populations, **settings)

    call(case, jax.random.key(0))
    again = CASES[name]()  # everything built anew: rule, world, objective, limits, metrics
    object.__setattr__(again, "rule", other_numbers(again.rule))
    with compilations() as found:
        call(again, jax.random.key(7))
    assert len(found) == 0


def test_rules_of_python_share_their_programs():
    def first_come(values):
        return np.eye(*values.shape)

    world = Independent(Uniform(), 3, 3)

    def call(rule, key):
        fh.propagate(rule, world, [metrics.utility], key=key, populations=2)
        fh.audit(rule, world, key=key, populations=2, also=[DSIC()])

    call(first_come, jax.random.key(0))
    with compilations() as found:
        call(from_callable(first_come), jax.random.key(1))
    assert len(found) == 0


def test_a_second_round_of_designs_compiles_nothing():
    top = np.array([1.0, 1.5, 2.0, 2.5])
    goal = mean(surplus)

    def call(top, key):
        worlds = Draws.of(Independent(Uniform(np.zeros(4), top), 2, 5), lambda w: [w.law.low, w.law.high])
        designer = Designer(Level(0.5), goal, subject_to=(mean(given) <= 0.9,), steps=10, populations=4)
        designs(Level(0.4), designer, worlds, goal, key=key, num=4, judge=8)

    call(top, jax.random.key(0))
    with compilations() as found:
        call(1.1 * top, jax.random.key(1))
    assert len(found) == 0
