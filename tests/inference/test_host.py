"""Rules brought as plain Python: judged like any other, and harmless when they fail."""

import functools
import importlib

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from rules.pick import Pick
from rules.tokens import Groups

import fairhand as fh
from fairhand.inference import from_callable
from fairhand.inference.host import HostRule
from fairhand.mechanisms import DSIC, Orders, ex_post, mean, metrics
from fairhand.models import Draws, Independent, Population, Uniform
from helpers import assert_close

KEY = jax.random.key(0)
WORLD = Independent(Uniform(), 3, 3)


def in_turn(values):
    """Serial picking of one item each."""
    shares, left = np.zeros_like(values), np.ones(values.shape[1], bool)
    for i, row in enumerate(values):
        best = np.argmax(np.where(left, row, -np.inf))
        shares[i, best], left[best] = 1, False
    return shares


def greedy(values):
    """Each item to whoever claims most: claiming more pays."""
    return np.eye(len(values))[values.argmax(0)].T


def drawn(values, rng):
    """Items to agents in random order."""
    return np.eye(*values.shape)[rng.permutation(len(values))]


def moody(values):
    if values[0, 0] > 0.5:
        raise RuntimeError("not today")
    return in_turn(values)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_function_does_what_the_same_rule_in_jax_does(precision):
    rules = {"python": in_turn, "jax": Pick([1 / 3, 0.5])}
    outcome = fh.propagate(rules, WORLD, [metrics.utility, metrics.envy], key=KEY, populations=6, precision=precision)
    assert outcome.status == ()
    assert outcome.data["utility"].dtype == precision
    for name in outcome.data.data_vars:
        python, jax_ = outcome.data[name].values
        assert_close(python.astype(precision), jax_)


def test_a_function_is_given_what_it_names_in_the_precision_of_the_verb():
    seen = []

    def curious(values, kind, capacity, rng):
        seen.append((values.dtype, kind.tolist(), capacity.tolist(), rng.random()))
        return np.tile([0.0, 0.0, 1.0], (len(values), 1))

    world = Groups(np.array([1.0, 2.0]), np.array([1.0, 2.0]), 4)
    settings = {"key": KEY, "populations": 2, "coins": 3}
    fh.propagate(from_callable(curious, random=True), world, [metrics.welfare], **settings)
    assert {s[0] for s in seen} == {np.dtype("float64")}
    assert all(kind == [0, 1, 0, 1] and capacity == [1, 2] for _, kind, capacity, _ in seen)
    coins = [s[3] for s in seen]
    assert len(set(coins)) == 6
    fh.propagate(from_callable(curious, random=True), world, [metrics.welfare], **settings, precision="float32")
    assert {s[0] for s in seen[len(coins) :]} == {np.dtype("float32")}
    assert sorted(s[3] for s in seen[len(coins) :]) == sorted(coins)  # the same key throws the same coins


def test_any_keyword_is_accepted():
    def open_handed(values, **given):
        assert set(given) == {"kind", "capacity"}
        return np.tile([0.0, 1.0], (len(values), 1))

    world = Groups(np.array([1.0]), np.array([1.0]), 2)
    assert fh.propagate(open_handed, world, [metrics.welfare], key=KEY, populations=2).status == ()


def test_a_random_function_is_judged_on_its_coins():
    rule = from_callable(drawn, random=True, promises=(DSIC(),))
    outcome = fh.propagate(rule, WORLD, [metrics.welfare, ex_post(metrics.welfare)], key=KEY, populations=4, coins=8)
    ex_ante, realised = outcome.data["welfare"], outcome.data["ex post welfare"]
    assert realised.dims == ("rule", "draw", "population", "coin")
    np.testing.assert_allclose(realised.mean("coin"), ex_ante)
    assert float(realised.std("coin").min()) > 0
    assert fh.audit(rule, WORLD, key=KEY, populations=4).ok


def test_lies_and_excess_of_a_function_are_caught():
    liar = from_callable(greedy, promises=(DSIC(fh.mechanisms.Scalings()),))
    found = fh.audit(liar, WORLD, key=KEY, populations=8).finding("DSIC")
    assert found.refuted
    assert found.amount > 0.1
    cheat = fh.audit(lambda values: np.ones_like(values), WORLD, key=KEY, populations=4)
    assert cheat.finding("feasible in expectation").amount == pytest.approx(2)
    honest = fh.audit(in_turn, WORLD, key=KEY, populations=8, also=[DSIC(Orders())])
    assert honest.ok
    assert honest.finding("DSIC").verdict == "holds here, though not promised"


def test_failures_are_nan_counted_and_reported_once():
    outcome = fh.propagate(
        {"moody": moody, "steady": in_turn},
        WORLD,
        [metrics.welfare, metrics.envy, metrics.ef1, mean(metrics.welfare)],
        key=KEY,
        populations=8,
    )
    there = outcome.data.sel(rule="moody")
    failed = np.isnan(there["envy"].values)
    assert 0 < failed.sum() < 8
    np.testing.assert_array_equal(np.isnan(there["ef1"].values), failed)
    assert np.isinf(there["supply excess"].values[failed]).all()
    assert np.isfinite(outcome.data["envy"].sel(rule="steady")).all()
    words = "\n".join(outcome.status)
    assert f"The rule `moody` failed in {failed.sum()} calls: RuntimeError: not today" in words
    assert "moody: allocations of 1 of 1 draws were not solved" in words
    assert np.isnan(outcome.summary().loc[("envy", "moody"), "mean"])
    assert fh.propagate(in_turn, WORLD, [metrics.welfare], key=KEY).status == ()
    assert HostRule(moody).failures() == []  # said once, not again


def test_an_audit_of_a_failing_function_does_not_raise_and_says_so():
    report = fh.audit(from_callable(moody, promises=(DSIC(),)), WORLD, key=KEY, populations=8)
    assert report.finding("DSIC").refuted
    assert report.finding("feasible in expectation").refuted
    assert any("RuntimeError: not today" in line for line in report.status)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda values: values[:-1], "shares must have the shape of values (3, 3), got (2, 3)"),
        (lambda values: "nonsense", "ValueError"),
        (lambda values, wish: values, "missing 1 required positional argument: 'wish'"),
        (lambda: 0, "takes 0 positional arguments"),
    ],
)
def test_wrong_answers_are_failures_with_a_reason(function, message):
    outcome = fh.propagate(function, WORLD, [metrics.welfare], key=KEY, populations=2)
    assert np.isnan(outcome.data["welfare"]).all()
    assert message in "\n".join(outcome.status)


def test_at_most_three_kinds_of_error_are_kept():
    calls = iter(range(100))

    def ever_new(values):
        raise ValueError(f"number {next(calls)}")

    outcome = fh.propagate(ever_new, WORLD, [metrics.welfare], key=KEY, populations=8)
    assert sum("ever_new" in line for line in outcome.status) == 3


def test_callables_of_any_kind_are_taken_and_others_refused(monkeypatch):
    class Office:
        def __call__(self, values):
            return in_turn(values)

        def method(self, values):
            return in_turn(values)

    expected = fh.propagate(in_turn, WORLD, [metrics.welfare], key=KEY).data
    office = Office()
    for rule in (office, office.method, functools.partial(in_turn)):
        assert fh.propagate(rule, WORLD, [metrics.welfare], key=KEY).data.equals(expected)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="`function` must be callable, got int"):
        from_callable(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="`mechanism` must be a rule or a callable"):
        fh.propagate(3, WORLD, [metrics.welfare], key=KEY)


@pytest.mark.slow
def test_a_function_may_be_the_incumbent_that_a_tuned_rule_is_compared_with():
    tuned = fh.tune(
        Pick([0.2, 0.2]),
        mean(metrics.welfare),
        WORLD,
        key=KEY,
        steps=5,
        populations=4,
        baselines={"last year": in_turn},
    )
    assert "last year" in tuned.baselines
    worlds = Draws.of(Independent(Uniform(np.zeros(4), np.arange(1.0, 5.0)), 3, 3), lambda w: [w.law.low, w.law.high])
    outcome = fh.propagate({"new": tuned, "old": in_turn}, worlds, [metrics.welfare], key=KEY)
    assert 0 <= outcome.chance_better("welfare", "new", than="old") <= 1


def test_the_function_sees_numpy_without_gradients():
    tune = importlib.import_module("fairhand.inference.tune")
    with pytest.raises(ValueError, match="nothing to learn: `HostRule`"):
        tune.tune(from_callable(in_turn), mean(metrics.welfare), WORLD, key=KEY)
    shares = from_callable(in_turn).allocate(Population(jnp.eye(3))).shares
    np.testing.assert_array_equal(shares, np.eye(3))
