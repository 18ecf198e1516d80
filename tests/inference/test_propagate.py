"""Outcomes: variance told apart by layer against closed forms, comparisons pair by pair, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints
from rules.level import Level, given, surplus
from rules.planted import FirstBest

import fairhand as fh
from fairhand.inference import Outcome
from fairhand.mechanisms import AbstractMechanism, Allocation, ex_post, mean, metrics, of_rule
from fairhand.models import Draws, Independent, TypeTable, Uniform

KEY = jax.random.key(0)


class Toss(AbstractMechanism):
    """The option with chance `chance`: its expectation, or one realisation."""

    chance: jax.Array | np.ndarray = fh.learned(constraints.unit_interval)

    def allocate(self, reported, key=None):
        values = jnp.asarray(reported.values)
        if key is None:
            return Allocation(self.chance * jnp.ones_like(values))
        return Allocation((jax.random.uniform(key) < self.chance).astype(values.dtype) * jnp.ones_like(values))


def draws(tops):
    """One agent who values one option uniformly up to `tops[draw]`."""
    tops = np.asarray(tops, float)
    return Draws.of(Independent(Uniform(np.zeros(tops.size), tops), 1, 1), lambda w: [w.law.low, w.law.high])


TOPS = np.linspace(1.0, 3.0, 24)


@pytest.fixture(scope="module")
def outcome():
    rule = Toss(np.array(0.3))
    questions = [metrics.welfare, ex_post(metrics.welfare), mean(metrics.welfare)]
    return fh.propagate({"toss": rule, "all": Level(1.0)}, draws(TOPS), questions, key=KEY, populations=300, coins=40)


def test_knowledge_sampling_and_coins_are_told_apart(outcome):
    """Value v ~ U[0, top], a coin of chance 0.3, tops known up to their spread: three variances in closed form."""
    line = outcome.summary().loc[("ex post welfare", "toss")]
    assert line["mean"] == pytest.approx(0.3 * TOPS.mean() / 2, rel=0.03)
    assert line["knowledge"] ** 2 == pytest.approx((0.3 * TOPS / 2).var(ddof=1), rel=0.1)
    assert line["sampling"] ** 2 == pytest.approx(np.mean((0.3 * TOPS) ** 2 / 12), rel=0.1)
    assert line["coins"] ** 2 == pytest.approx(np.mean(TOPS**2 / 3) * 0.3 * 0.7, rel=0.05)


def test_layers_that_are_not_there_are_not_guessed(outcome):
    certain = outcome.summary().loc[("welfare", "all")]
    assert np.isnan(certain["coins"])
    one = fh.propagate(Level(1.0), draws([2.0]).one(0), [metrics.welfare], key=KEY, populations=50).summary()
    assert np.isnan(one.loc[("welfare", "rule"), "knowledge"])
    assert one.loc[("welfare", "rule"), "sampling"] == pytest.approx(2 / np.sqrt(12), rel=0.25)
    per_draw = outcome.summary().loc[("welfare", "toss")]
    assert per_draw["low"] < per_draw["mean"] < per_draw["high"]


def test_a_world_known_for_sure_shows_no_knowledge_to_gain():
    """The null: draws that do not differ. The unbiased split is 0 or near it, however few populations."""
    same = fh.propagate(Level(1.0), draws(np.full(400, 2.0)), [metrics.welfare], key=KEY, populations=4, chunk=400)
    same = same.summary()
    assert same.loc[("welfare", "rule"), "knowledge"] < 0.15
    assert same.loc[("welfare", "rule"), "sampling"] == pytest.approx(2 / np.sqrt(12), rel=0.2)


def test_rules_meet_the_same_people(outcome):
    x = outcome.data["welfare"]
    np.testing.assert_allclose(x.sel(rule="toss"), 0.3 * x.sel(rule="all"))
    assert outcome.chance_better("welfare", "all", than="toss") == 1
    assert outcome.chance_better("welfare", "all", than="toss", higher=False) == 0
    assert outcome.chance_better("welfare", "all", than="all") == 0.5
    np.testing.assert_allclose(
        outcome.regret("welfare", "toss", best="all"), 0.7 * outcome.by_draw("welfare").sel(rule="all")
    )


def test_an_objective_is_one_number_a_draw(outcome):
    names = [str(n) for n in outcome.data.data_vars]
    assert names.count("welfare") == 1  # the objective and the metric of one name are one question
    named = fh.propagate(
        Level(0.5), draws(TOPS[:3]), {"per run": surplus, "per draw": mean(surplus)}, key=KEY, populations=6
    )
    assert named.data["per draw"].dims == ("rule", "draw")
    np.testing.assert_allclose(named.data["per draw"], named.by_draw("per run"))


def test_vectors_keep_their_items_and_closed_forms_their_draws():
    world = TypeTable(np.array([0.5, 0.5]), np.array([[1.0, 0.0], [0.0, 2.0]]), agents=3)
    asked = [metrics.utility, metrics.group_means(2), of_rule(lambda rule: rule.level).named("level")]
    found = fh.propagate(Level(0.2), world, asked, key=KEY, populations=5)
    assert found.data["utility"].dims == ("rule", "draw", "population", "utility_item")
    assert found.data["utility"].shape == (1, 1, 5, 3)
    assert found.data["group_means"].shape == (1, 1, 5, 2)
    assert found.data["level"].values.tolist() == [[0.2]]
    assert ("utility[2]", "rule") in found.summary().index


def test_a_tuned_rule_brings_its_start():
    tuned = fh.tune(Level(0.2), mean(surplus), draws(TOPS), key=KEY, steps=20, populations=4)
    outcome = fh.propagate(tuned, draws(TOPS), [given], key=KEY)
    assert outcome.rules == ["start", "tuned"]
    assert float(outcome.by_draw("given").sel(rule="start")[0]) == pytest.approx(0.2)
    alone = fh.propagate({"new": tuned, "best": FirstBest()}, draws(TOPS), [given], key=KEY)
    assert alone.rules == ["new", "best"]
    np.testing.assert_allclose(alone.data["given"].sel(rule="new"), outcome.data["given"].sel(rule="tuned"))


def test_results_do_not_depend_on_the_size_of_chunks():
    one, other = (
        fh.propagate(Level(0.2), draws(TOPS), [metrics.welfare], key=KEY, populations=3, chunk=chunk).data
        for chunk in (5, 24)
    )
    np.testing.assert_allclose(one["welfare"], other["welfare"], rtol=1e-12)


def test_an_outcome_opens_as_it_was_saved(outcome, tmp_path):
    outcome.to_netcdf(tmp_path / "outcome.nc")
    again = Outcome.load(tmp_path / "outcome.nc")
    assert again.data.equals(outcome.data)
    assert again.status == outcome.status
    assert again.summary().equals(outcome.summary())
    assert "ex post welfare" in repr(again)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"metrics": []}, "`metrics` is empty"),
        ({"metrics": [3]}, "`metrics.*` must be a metric or an objective"),
        ({"mechanism": {}}, "`mechanism` is an empty mapping"),
        ({"populations": 0}, "`populations` and `coins` must be at least 1"),
        ({"coins": 0}, "`populations` and `coins` must be at least 1"),
        ({"precision": "half"}, "`precision` must be 'float64' or 'float32'"),
        ({"devices": 9}, "`devices` must be 'auto' or between 1 and"),
    ],
    ids=str,
)
def test_bad_input_is_refused_by_name(wrong, match, monkeypatch):
    import jaxtyping

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users do not check annotations
    settings = {"mechanism": Level(0.2), "world": draws(TOPS), "metrics": [given], "key": KEY} | wrong
    with pytest.raises(ValueError, match=match):
        fh.propagate(**settings)


def test_questions_that_were_not_asked_are_named(outcome):
    with pytest.raises(ValueError, match="`metric` 'envy' was not asked; there are"):
        outcome.by_draw("envy")
