"""What all verbs owe: one device or four, nothing compiled twice, resumable, and open to rules in plain Python."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairhand.inference import Designer, Outcome, _loop, audit, designs, from_callable, propagate, tune
from fairhand.mechanisms import DSIC, ex_post, least, mean, metrics
from fairhand.mechanisms.classic import RandomSerialDictatorship
from fairhand.mechanisms.pseudomarket import TokenMarket
from fairhand.models import AbstractWorld, Draws, Menu, Population

KEY = jax.random.key(0)


class Crowd(AbstractWorld):
    """Two groups with Gumbel errors around `taste`, one outside option."""

    taste: jax.Array | np.ndarray
    agents: int = eqx.field(static=True, default=24)
    serves_the_sample: ClassVar[bool] = False

    def population(self, key):
        kind = jnp.arange(self.agents) % 2
        taste = jnp.asarray(self.taste)[kind]
        values = taste + jax.random.gumbel(key, taste.shape, taste.dtype)
        values = (values - values[:, -1:]).at[:, -1].set(0.0)
        return Population(values, Menu.seats(jnp.array([4.0, 3.0], values.dtype)), kind=kind)


TASTE = np.array([[1.0, 0.5, 0.0], [-0.3, 0.3, 0.0]])
WORLDS = Draws.of(Crowd(TASTE + 0.3 * np.random.default_rng(0).normal(size=(8, 2, 3))), lambda w: [w.taste])
RULE = TokenMarket([0.3, 0.5], [0.1, 0.1], 0.2)
GAIN = least(metrics.group_means(2))
CHANCE = mean(ex_post(metrics.oversubscribed)).trained_as(mean(metrics.chance_oversubscribed))
ASKED = [metrics.group_means(2), metrics.envy, ex_post(metrics.oversubscribed), GAIN]
SMALL = {"steps": 8, "populations": 8, "coins": 2, "judge": 1, "subject_to": [CHANCE <= 0.2], "progress": False}


def arrays(tree):
    return [np.asarray(x) for x in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))]


def same(a, b, tolerance=1e-9):
    for x, y in zip(arrays(a), arrays(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def outcome():
    rules = {"tokens": RULE, "lottery": RandomSerialDictatorship()}
    return propagate(rules, WORLDS, ASKED, key=KEY, populations=4, coins=2, chunk=4, progress=False)


@pytest.fixture(scope="module")
def tuned():
    return tune(RULE, GAIN, WORLDS, key=KEY, restarts=4, **SMALL)


@pytest.mark.slow
def test_draws_over_four_devices_equal_one(outcome):
    rules = {"tokens": RULE, "lottery": RandomSerialDictatorship()}
    four = propagate(rules, WORLDS, ASKED, key=KEY, populations=4, coins=2, chunk=4, devices=4, progress=False)
    for name in outcome.data.data_vars:
        np.testing.assert_allclose(four.data[name], outcome.data[name], rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_restarts_over_four_devices_equal_one(tuned):
    same(tune(RULE, GAIN, WORLDS, key=KEY, restarts=4, devices=4, **SMALL), tuned, 1e-6)


@pytest.mark.slow
def test_populations_over_four_devices_equal_one():
    one = tune(RULE, GAIN, WORLDS, key=KEY, **SMALL)
    same(tune(RULE, GAIN, WORLDS, key=KEY, devices=4, **SMALL), one, 1e-6)


def test_too_many_devices_are_refused_by_name():
    with pytest.raises(ValueError, match="`devices`"):
        propagate(RULE, WORLDS, ASKED, key=KEY, devices=999, progress=False)


@pytest.fixture
def compiled():
    seen = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **_: seen.append(name) if name.endswith("backend_compile_duration") else None
    )
    return seen


@pytest.mark.slow
def test_a_second_run_of_the_same_shapes_compiles_nothing(outcome, tuned, compiled):
    other = TokenMarket([0.1, 0.2], [0.3, 0.0], 0.2)
    key = jax.random.key(7)
    for _ in range(2):
        compiled.clear()
        propagate({"a": other}, WORLDS, ASKED, key=key, populations=4, coins=2, chunk=4, progress=False)
        tune(other, GAIN, WORLDS, key=key, restarts=4, **SMALL)
        audit(other, WORLDS, key=key, populations=4, also=[DSIC(agents=2)])
        key = jax.random.key(8)
    assert compiled == []


def test_an_interrupted_propagation_keeps_what_is_done_and_resumes(outcome, tmp_path, monkeypatch):
    rules, path = {"tokens": RULE}, tmp_path / "propagate"
    options = {"key": KEY, "populations": 4, "coins": 2, "chunk": 4, "progress": False, "checkpoint": path}
    real, turns = jax.block_until_ready, []

    def interrupt(x):
        if len(turns) == 1:
            raise KeyboardInterrupt
        turns.append(1)
        return real(x)

    monkeypatch.setattr(_loop.jax, "block_until_ready", interrupt)
    part = propagate(rules, WORLDS, ASKED, **options)
    monkeypatch.undo()
    assert part.data.sizes["draw"] == 4
    assert "Interrupted after 4 of 8" in part.status[0]
    whole = propagate(rules, WORLDS, ASKED, **options, resume=True)
    for name in ("group_means", "envy"):
        assert np.array_equal(whole.data[name].values[0], outcome.data[name].sel(rule="tokens").values)
    with pytest.raises(ValueError, match="`checkpoint`"):
        propagate({"tokens": TokenMarket([0.0, 0.0], [0.0, 0.0], 0.2)}, WORLDS, ASKED, **options, resume=True)


def test_an_outcome_opens_as_it_was_saved(outcome, tmp_path):
    outcome.to_netcdf(tmp_path / "outcome.nc")
    opened = Outcome.load(tmp_path / "outcome.nc")
    assert opened.rules == outcome.rules
    for name in outcome.data.data_vars:
        assert np.array_equal(opened.data[name].values, outcome.data[name].values, equal_nan=True)


def test_spreads_split_the_variance_and_a_rule_against_itself_is_even(outcome):
    table = outcome.summary()
    row = table.loc[("ex post oversubscribed", "tokens")]
    assert row["coins"] > 0
    assert 0 <= row["mean"] <= 1
    assert outcome.chance_better(GAIN.name, "tokens", "tokens") == 0.5
    assert float(outcome.data["realised excess"].sel(rule="lottery").max()) <= 1e-9  # a hard capacity


def first_come(values, capacity):
    left, shares = capacity.copy(), np.zeros_like(values)
    for i, row in enumerate(values):
        for option in np.argsort(-row, kind="stable"):
            if option == len(left) or left[option] >= 1:
                shares[i, option] = 1
                left[option : option + 1] -= 1
                break
    return shares


@pytest.mark.slow
def test_a_rule_in_plain_python_is_played_and_audited_like_any_other():
    rules = {"mine": first_come, "tokens": RULE}
    found = propagate(rules, WORLDS, ASKED, key=KEY, populations=2, chunk=4, progress=False)
    assert float(found.data["supply excess"].sel(rule="mine").max()) <= 1e-9
    checked = audit(from_callable(first_come, promises=(DSIC(agents=4),)), WORLDS, key=KEY, populations=4)
    assert checked.ok
    assert checked.finding("DSIC").amount <= 1e-9


def test_a_python_rule_that_claims_too_much_is_refuted():
    boastful = from_callable(lambda values: values / values.sum(), promises=(DSIC(agents=2),))
    checked = audit(boastful, WORLDS, key=KEY, populations=2)
    assert checked.finding("feasible in expectation").refuted
    assert "REFUTED" not in checked.finding("feasible in expectation").verdict  # never promised, yet measured


def test_a_python_rule_that_fails_is_reported_and_nothing_else_is_lost():
    def breaks(values):
        raise RuntimeError("no such seat")

    found = propagate({"breaks": breaks, "tokens": RULE}, WORLDS, [metrics.mean_utility], key=KEY, progress=False)
    assert any("no such seat" in sentence for sentence in found.status)
    assert np.isnan(found.by_draw("mean_utility").sel(rule="breaks")).all()
    assert np.isfinite(found.by_draw("mean_utility").sel(rule="tokens")).all()


@pytest.mark.slow
def test_the_best_rule_of_each_draw_beats_the_committed_one_on_average():
    poor = TokenMarket([0.3, 0.3], [0.6, 0.6], 0.2)
    found = designs(poor, Designer(poor, GAIN, steps=20, populations=8), WORLDS, GAIN, key=KEY, num=4, progress=False)
    value, error = found.perfect_information
    assert value > 2 * error > 0
    np.testing.assert_allclose(found.best - found.committed, found.regret, atol=1e-12)
    assert found.parameters["head"].shape == (4, 2)


def test_one_known_world_leaves_nothing_to_learn():
    with pytest.raises(Exception, match="world"):  # under the tests' type checks the annotation speaks first
        designs(RULE, Designer(RULE, GAIN), WORLDS.one(0), GAIN, key=KEY)


@pytest.mark.slow
def test_a_rule_tuned_on_the_people_it_serves_loses_its_incentive_promise():
    class Own(Crowd):
        serves_the_sample: ClassVar[bool] = True

    posted = RULE.post(np.array([0.9, 0.9]))
    mine = tune(posted, GAIN, Own(TASTE), key=KEY, steps=2, populations=2, progress=False)
    assert any(promise.about_incentives for promise in posted.promises)
    assert not any(promise.about_incentives for promise in mine.promises)
    assert any("incentive promises are void" in sentence for sentence in mine.caveats)
    assert any("void" in note for note in audit(mine, Own(TASTE), key=KEY, populations=2).notes)
