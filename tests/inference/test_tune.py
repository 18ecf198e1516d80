"""What `tune` finds, and what it says about it."""

import importlib
import re

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from rules.level import Level, given, surplus, worth
from rules.pick import Pick
from rules.planted import FirstBest
from rules.softmax import Favourites

import fairhand as fh
from fairhand.inference._precision import cast
from fairhand.mechanisms import DSIC, ex_post, mean, metrics, of_rule, of_runs, ratio
from fairhand.models import Independent, Items, Roster, TypeTable, Uniform
from helpers import assert_close

KEY = jax.random.key(0)
WORLD = Independent(Uniform(0.0, 1.6), 2, 50)  # a value is 0.8 on average: the best level is 0.8, unless limited


def tune(rule=None, goal=None, world=WORLD, *, key=KEY, **settings):
    rule = Level(0.2) if rule is None else rule
    return fh.tune(rule, mean(surplus) if goal is None else goal, world, key=key, **settings)


# ------------------------------------------------------------------ what it finds


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_concave_objective_is_maximised(precision):
    tuned = tune(precision=precision)
    assert float(tuned.mechanism.level) == pytest.approx(0.8, abs=0.01)
    assert float(tuned.exact.value) == pytest.approx(0.32, abs=4 * float(tuned.exact.error))
    assert tuned.status == ""
    gain, error = tuned.gain
    assert gain == pytest.approx(0.18, abs=4 * error)
    assert tuned.losses.shape == (200, 1)
    assert float(tuned.residual) < 0.05
    assert float(tuned.gap) == 0


@pytest.mark.parametrize(
    ("limit", "level", "price"),
    [
        (mean(given) <= 0.5, 0.5, 0.3),
        (mean(given) >= 0.9, 0.9, 0.1),
        (mean(given) - 0.5 <= 0.0, 0.5, 0.3),
        (2.0 * mean(given) <= 1.0, 0.5, 0.15),
        (1000.0 * mean(given) <= 500.0, 0.5, 0.0003),
        (mean(given) <= 0.9, 0.8, 0.0),
    ],
    ids=["upper", "lower", "zero", "scaled", "other unit", "idle"],
)
def test_limits_are_met_at_their_bound_with_the_multiplier_as_price(limit, level, price):
    """Max E v x - x^2 / 2 has slope 0.8 - x at the bound, per unit of the limit."""
    tuned = tune(subject_to=[limit])
    assert float(tuned.mechanism.level) == pytest.approx(level, abs=0.005)
    assert tuned.slack[0] >= 0
    assert tuned.shadow[0] == pytest.approx(price, abs=0.03 * max(price, 0.3))
    assert tuned.status == ""


@pytest.mark.slow
def test_the_price_of_a_noisy_limit_and_what_the_rule_maximises_without_it():
    """With value handed out limited, E v x <= 0.4, the level is 0.5; its price is 0.3 / 0.8 of a unit of value."""

    def handed(p, a):
        return jnp.mean(p.values * a.shares)

    limit = mean(handed) <= 0.4
    tuned = tune(subject_to=[limit])
    assert float(tuned.mechanism.level) == pytest.approx(0.5, abs=0.02)
    assert tuned.slack[0] >= -tuned.slack_error[0]
    assert tuned.shadow[0] == pytest.approx(0.375, abs=0.03)
    priced = tuned.priced(mean(surplus), (limit,))
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(lambda x: priced(fh.play(Level(x), cast(WORLD, jnp.float64), KEY, 200))))(0.5)
    assert abs(float(slope)) < 0.03


@pytest.mark.slow
def test_two_limits_have_a_price_each():
    """Two numbers with a target of 0.8 and a limit each: one binds, the other is free."""

    world = TypeTable(np.array([1.0]), np.array([[1.0]]), agents=2, supply=Items())
    goal = of_rule(lambda rule: -jnp.sum((jax.nn.sigmoid(rule.base) - 0.8) ** 2) - 0.0 * rule.lead.sum())
    shares = [of_rule(lambda rule, i=i: jax.nn.sigmoid(rule.base[i])).named(f"agent {i}") for i in range(2)]
    rule = Favourites(base=[-1.0, -1.0], lead=[0.5, 0.5])
    limits = [shares[0] <= 0.5, shares[1] <= 0.95]
    tuned = fh.tune(rule, goal, world, key=KEY, subject_to=limits, populations=None, rate=0.1)
    found = 1 / (1 + np.exp(-tuned.mechanism.base))
    np.testing.assert_allclose(found, [0.5, 0.8], atol=0.005)
    np.testing.assert_allclose(tuned.shadow, [0.6, 0.0], atol=0.01)
    assert tuned.limits == ("agent 0 <= 0.5", "agent 1 <= 0.95")


def test_units_of_the_objective_do_not_matter():
    small, large = (tune(goal=unit * mean(surplus), steps=100) for unit in (1e-6, 1e6))
    assert_close(small.mechanism.level, large.mechanism.level, loosen=1e3)


def test_a_surrogate_trains_what_has_no_slope_of_its_own():
    """Whether somebody gets more than half is a count; how far level stands from a target is not."""
    rich = mean(lambda p, a: (a.shares.mean() > 0.5).astype(p.values.dtype)).named("more than half")
    nothing = tune(goal=rich)
    assert "Flat" in nothing.status
    tuned = tune(goal=rich.trained_as(mean(given)))
    assert float(tuned.exact.value) == 1
    assert float(tuned.started.value) == 0
    assert tuned.objective == "more than half"


def test_ex_post_objectives_are_judged_on_coins():
    tuned = tune(Level(0.3), mean(ex_post(surplus)), steps=50, rate=0.1, coins=2)
    assert float(tuned.mechanism.level) == pytest.approx(0.8, abs=0.02)


def test_the_value_reported_is_that_of_fresh_populations_and_can_be_recomputed():
    fresh = importlib.import_module("fairhand.inference.tune").FRESH
    tuned = tune(steps=50, populations=16, judge=2, baselines={"all": Level(1.0), "none": lambda values: 0 * values})
    with jax.enable_x64(True):
        runs = fh.play(
            cast(tuned.mechanism, jnp.float64), cast(WORLD, jnp.float64), jax.random.fold_in(KEY, fresh + 1), 32
        )
        assert_close(tuned.exact.value, mean(surplus)(runs))
        everything = fh.play(Level(jnp.ones(())), cast(WORLD, jnp.float64), jax.random.fold_in(KEY, fresh + 1), 32)
        assert_close(tuned.baselines["all"].value, mean(surplus)(everything))
    assert float(tuned.baselines["none"].value) == 0
    assert "none" in tuned.report()


def test_the_same_key_gives_the_same_result():
    one, two = (tune(steps=25, restarts=2) for _ in range(2))
    np.testing.assert_array_equal(one.losses, two.losses)
    assert one.mechanism.level == two.mechanism.level
    assert tune(steps=25, restarts=2, key=jax.random.key(1)).mechanism.level != one.mechanism.level


def test_restarts_escape_a_poor_start():
    """A bump of width 0.05 at 0.25 beside the summit at 0.8: the start is on the bump."""

    def hills(rule):
        x = rule.level
        return jnp.exp(-(((x - 0.8) / 0.2) ** 2)) + 0.4 * jnp.exp(-(((x - 0.25) / 0.05) ** 2))

    alone = tune(Level(0.25), of_rule(hills), populations=1, steps=100)
    several = tune(Level(0.25), of_rule(hills), populations=1, steps=100, restarts=8, spread=2.0)
    assert float(alone.mechanism.level) == pytest.approx(0.25, abs=0.02)
    assert float(several.mechanism.level) == pytest.approx(0.8, abs=0.02)


# ------------------------------------------------------------------ what it says


def test_a_flat_objective_is_no_success():
    tuned = tune(goal=of_runs(lambda runs: mean(worth)(runs)))
    assert tuned.status.startswith("Flat")
    assert "trained_as" in tuned.status
    assert float(tuned.mechanism.level) == 0.2


def test_an_incumbent_that_is_as_good_is_returned_as_it_came():
    tuned = tune(Level(0.8), steps=50)
    assert "as good" in tuned.status
    worst = float(tuned.exact.value)
    assert worst >= float(tuned.started.value)
    best = tune(Pick([0.0]), ratio(metrics.welfare, metrics.welfare), Independent(Uniform(), 2, 4), steps=25)
    assert best.mechanism.fraction.tolist() == [0.0]
    assert best.gain == (0.0, 0.0)


def test_the_edge_of_a_support_is_a_fine_place_to_be():
    """All level at most 1, and value above cost everywhere: the best is the edge, which no interior point reaches."""
    rich = Independent(Uniform(2.0, 3.0), 2, 20)
    tuned = tune(Level(1.0), world=rich, steps=50)
    assert float(tuned.mechanism.level) == 1.0
    assert "as good" in tuned.status
    climbed = tune(Level(0.5), world=rich, rate=0.2)
    assert 0.99 < float(climbed.mechanism.level) <= 1


def test_limits_that_nothing_meets_are_said_so():
    tuned = tune(subject_to=[mean(given) <= 0.3, mean(given) >= 0.6])
    assert "No rule tried meets" in tuned.status
    assert "given" in tuned.status


def test_better_rules_that_break_a_limit_are_not_called_none():
    lying = mean(given).trained_as(0.0 * mean(given)) <= 0.3  # training cannot see what the limit wants
    tuned = tune(subject_to=[lying])
    assert float(tuned.mechanism.level) == 0.2
    assert "better ones were found" in tuned.status


def test_too_few_steps_are_not_called_settled():
    assert "not settled" in tune(steps=8, rate=0.02).status


def test_an_objective_that_is_not_finite_is_named():
    tuned = tune(goal=of_rule(lambda rule: jnp.log(rule.level - 2.0)), steps=10)
    assert "not finite" in tuned.status


@pytest.mark.slow
def test_tuning_on_the_people_served_voids_incentive_promises():
    people = Roster(Independent(Uniform(), 3, 5).population(KEY))
    goal = ratio(metrics.welfare, metrics.first_best)
    tuned = tune(Pick([0.5, 0.5]), goal, people, populations=None, steps=10)
    assert any("promises are void" in caveat for caveat in tuned.caveats)
    assert not any(p.about_incentives for p in tuned.promises)
    assert any(isinstance(p, DSIC) for p in tuned.mechanism.promises)
    report = fh.audit(tuned, people, key=KEY, populations=None)
    assert any("promises are void" in note for note in report.notes)
    assert [f.promise for f in report.findings] == ["feasible in expectation"]
    strangers = tune(Pick([0.5, 0.5]), goal, Independent(Uniform(), 3, 5), steps=10)
    assert not strangers.caveats
    assert any(p.about_incentives for p in strangers.promises)


def test_the_report_is_words_and_numbers():
    words = tune(subject_to=[mean(given) <= 0.5]).report()
    for line in (
        "objective        surplus",
        "given <= 0.5: slack",
        "shadow price",
        "level",
        "settled at a better rule",
    ):
        assert line in words


# ------------------------------------------------------------------ what it refuses


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"rule": FirstBest()}, "`mechanism` has nothing to learn: `FirstBest`"),
        ({"rule": lambda values: values}, "`mechanism` must be a fairhand mechanism"),
        ({"rule": Level(1.5)}, r"`level` must lie in \[0.0, 1.0\], got 1.5"),
        ({"rule": Level(np.nan)}, "`level` must lie in"),
        ({"goal": surplus}, "`objective` must be an objective"),
        ({"subject_to": [mean(surplus)]}, "`subject_to` takes limits"),
        ({"steps": 0}, "`steps` must be at least 1, got 0"),
        ({"restarts": 0}, "`restarts`"),
        ({"coins": 0}, "`coins`"),
        ({"judge": 0}, "`judge`"),
        ({"populations": 0}, "`populations`"),
        ({"populations": None}, "`Independent` has no finite list of populations"),
        ({"rate": 0.0}, "`rate` must be positive"),
        ({"rate": np.nan}, "`rate` must be positive"),
        ({"temperature": (0.3, 0.0)}, "`temperature` must be two positive numbers"),
        ({"devices": 99}, "`devices` must be 'auto' or between 1 and"),
        ({"devices": 3, "restarts": 4}, "cannot be split over `devices=3`"),
    ],
    ids=lambda x: re.sub(r" at 0x\w+", "", str(x))[:40],
)
def test_bad_input_is_refused_by_name(wrong, match, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users do not check annotations
    with pytest.raises(ValueError, match=match):
        tune(**wrong)
