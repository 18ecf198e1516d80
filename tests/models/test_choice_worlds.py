"""Who comes by a fitted logit: strangers in the right shares, and the same people, who would choose the same again."""

import doctest
import importlib
import importlib.resources
import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from fairhand.models import Draws, Items, Menu
from fairhand.models.choice import ChoiceData, ConditionalLogit, SamePeople, Strangers
from fairhand.models.choice._gumbel import given_choice

PATH = importlib.resources.files("fairhand") / "workflow/data/modechoice.csv"
DATA = ChoiceData.from_long(
    PATH, situation="individual", alternative="mode", choice="choice", attributes=["gc", "ttme", "hinc"]
)
POPULATION = {"air": 0.14, "train": 0.13, "bus": 0.09, "car": 0.64}
MODEL = ConditionalLogit(("gc", "ttme"), {"hinc": "air"}, base="car", numeraire="gc", unit="dollars")
GREENE = np.array([-0.0155, -0.0961, 0.0133, 5.207, 3.869, 3.163])
EULER = 0.5772156649


def world(model: Any = MODEL, coefficient: Any = GREENE, data: ChoiceData = DATA, **more: Any) -> Any:
    return model.world(coefficient, data, **{"supply": Items(), "new": 50, **more})


@eqx.filter_jit
def draw(who, key):
    return who.population(key)


def z_of(count: np.ndarray, share: Any, n: int) -> np.ndarray:
    return (count / n - share) / np.sqrt(share * (1 - share) / n)


def test_favourites_of_strangers_have_logit_shares(key):
    n = 40_000
    values = draw(world(new=n), key).values
    share = MODEL.probabilities(GREENE, DATA).mean(0)
    np.testing.assert_allclose(world().shares(), share, rtol=1e-5)
    assert np.abs(z_of(np.bincount(values.argmax(1), minlength=4), share, n)).max() < 4


def test_choice_based_worlds_are_those_of_the_population(key):
    n = 40_000
    model = ConditionalLogit(("gc", "ttme"), {"hinc": "air"}, base="car", population_shares=POPULATION)
    strangers = world(model, new=n)
    ratio = np.array([POPULATION[a] / DATA.shares[a] for a in DATA.alternatives])
    np.testing.assert_allclose(strangers.chance, ratio[DATA.chosen] / 210, rtol=1e-12)
    assert np.bincount(DATA.chosen, strangers.chance) == pytest.approx(list(POPULATION.values()))
    np.testing.assert_allclose(strangers.coefficient, model.correct(GREENE, DATA))
    share = strangers.chance @ np.asarray(model.probabilities(strangers.coefficient, DATA))
    assert np.abs(z_of(np.bincount(draw(strangers, key).values.argmax(1), minlength=4), share, n)).max() < 4
    np.testing.assert_allclose(share, list(POPULATION.values()), atol=0.025)


def test_values_are_in_units_of_the_numeraire_above_the_outside_option(key):
    found = world(new=20_000, outside="train", supply=Menu.seats(np.array([1.0, 2.0, 3.0])))
    assert found.options == ("air", "bus", "car", "train")
    people = draw(found, key)
    assert people.unit == "dollars"
    assert jnp.all(people.values[:, -1] == 0)
    worth = MODEL.design(DATA) @ GREENE / 0.0155
    mean = (worth - worth[:, 1:2]).mean(0)[[0, 2, 3, 1]]
    error = np.asarray(people.values).std(0) / np.sqrt(20_000)
    assert np.abs((people.values.mean(0) - mean)[:3] / error[:3]).max() < 4


def test_dollars_are_utils_over_the_coefficient(key):
    plain = world(ConditionalLogit(("gc", "ttme"), {"hinc": "air"}, base="car"))
    utils, dollars = draw(plain, key), draw(world(), key)
    assert (utils.unit, dollars.unit) == ("utils", "dollars")
    assert world(ConditionalLogit("gc", numeraire="gc"), np.array([-1.0, 0, 0, 0])).unit == "gc"
    np.testing.assert_allclose(dollars.values, utils.values / 0.0155, rtol=1e-5)
    above = draw(world(outside="car"), key).values
    np.testing.assert_allclose(above, dollars.values - dollars.values[:, 3:], atol=1e-3)


def test_unavailable_options_are_infeasible_and_kinds_travel(key):
    can = np.ones((210, 4), bool)
    can[:, 0] = (DATA.chosen == 0) | (np.arange(210) % 2 == 0)
    data = ChoiceData(DATA.attributes, DATA.chosen, DATA.alternatives, DATA.columns, available=can)
    kind = can[:, 0].astype(int)
    for more in ({"new": 500}, {"new": None, "same": True}):
        people = draw(world(data=data, kind=kind, outside="car", **more), key)
        assert np.array_equal(np.isneginf(people.values[:, 0]), people.kind == 0)
        assert jnp.all(jnp.isfinite(people.values[:, 1:]))
    assert people.kind.tolist() == kind.tolist()


@pytest.mark.parametrize("outside", [None, "air", "car"])
@pytest.mark.parametrize("stretch", [1.0, 30.0])  # far from even: floating point would tie
def test_same_people_would_choose_the_same(key, dtype, outside, stretch):
    steep = jnp.asarray(GREENE * stretch, dtype)
    same = world(coefficient=steep, new=None, same=True, outside=outside)
    assert (same.serves_the_sample, world().serves_the_sample) == (True, False)
    many = jax.jit(lambda keys: jax.vmap(same.population)(keys).values)
    values = np.asarray(many(jax.random.split(key, 200)))
    assert values.dtype == dtype
    chosen = np.array([same.options.index(DATA.alternatives[c]) for c in DATA.chosen])
    assert np.all(values.argmax(-1) == chosen)
    top = values[:, np.arange(210), chosen]
    assert np.all((values >= top[..., None]).sum(-1) == 1)  # without ties
    if outside is not None:
        assert np.all(values[..., -1] == 0)


def test_errors_given_choices_mix_to_free_ones(key):
    """Draw a choice by its logit chance, then errors given it: that must be independent standard Gumbels again."""
    n = 200_000
    with jax.enable_x64(True):
        worth = jnp.array([0.0, 1.0, -1.5, 0.3])
        can = jnp.array([True, True, True, False])
        share = jax.nn.softmax(jnp.where(can, worth, -jnp.inf))
        pick, rest = jax.random.split(key)
        chosen = jax.random.choice(pick, 4, (n,), p=share)
        total = given_choice(jnp.tile(worth, (n, 1)), jnp.tile(can, (n, 1)), chosen, key=rest)
    error = (np.asarray(total) - np.asarray(worth))[:, :3]
    assert (np.asarray(total)[:, :3].argmax(1) == np.asarray(chosen)).all()
    moments = {1: EULER, 2: np.pi**2 / 6, 3: 2 * 1.2020569}  # mean, variance, third central moment
    centred = error - EULER
    assert np.abs(error.mean(0) - moments[1]).max() < 4 * np.sqrt(moments[2] / n)
    assert np.abs((centred**2).mean(0) - moments[2]).max() < 4 * np.sqrt(12 * 1.0823 * moments[2] / n)
    assert np.abs((centred**3).mean(0) - moments[3]).max() < 4 * (centred**3).std() / np.sqrt(n)
    quantile = -np.log(-np.log(np.array([0.05, 0.5, 0.95])))
    below = (error[..., None] < quantile).mean(0)
    assert np.abs((below - [0.05, 0.5, 0.95]) / np.sqrt(np.array([0.05, 0.5, 0.95]) * [0.95, 0.5, 0.05] / n)).max() < 4
    correlation = np.corrcoef(error.T) - np.eye(3)
    assert np.abs(correlation).max() < 4 / np.sqrt(n)


def test_a_panel_comes_once_with_its_last_situation(key):
    person = np.arange(210) // 3
    data = ChoiceData(DATA.attributes, DATA.chosen, DATA.alternatives, DATA.columns, person=person)
    same = world(data=data, new=None, same=True, kind=np.arange(210))
    people = draw(same, key)
    assert people.kind.tolist() == list(range(2, 210, 3))
    assert people.values.argmax(-1).tolist() == data.chosen[2::3].tolist()
    np.testing.assert_allclose(same.shares(), np.bincount(data.chosen[2::3]) / 70, rtol=1e-6)


def test_draws_are_one_world_each(key):
    draws = GREENE * np.array([[1.0], [1.5], [0.7]])
    for more in ({}, {"new": None, "same": True}):
        worlds = world(coefficient=draws, **more)
        assert isinstance(worlds, Draws)
        assert worlds.num == 3
        assert worlds.serves_the_sample == bool(more)
        together = jax.jit(jax.vmap(lambda i, w=worlds: w.one(i).population(key).values))(jnp.arange(3))
        each = np.stack([draw(world(coefficient=b, **more), key).values for b in draws])
        np.testing.assert_allclose(together, each, rtol=2e-4, atol=1e-2)
        assert draw(worlds, key).values.shape == each.shape[1:]


WORLDS = [{"outside": "car"}, {"new": None, "same": True, "outside": "air"}]


@pytest.mark.parametrize("more", WORLDS, ids=["strangers", "same"])
def test_worlds_are_pytrees_and_compiling_changes_nothing(key, more):
    found = world(**more)
    leaves, tree = jax.tree.flatten(found)
    assert eqx.tree_equal(jax.tree.unflatten(tree, leaves), found)
    np.testing.assert_allclose(draw(found, key).values, found.population(key).values, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("more", WORLDS, ids=["strangers", "same"])
def test_worlds_differentiate_in_either_precision(key, dtype, more):
    can = np.ones((210, 4), bool)
    can[:, 1] = (DATA.chosen == 1) | (np.arange(210) % 2 == 0)
    data = ChoiceData(DATA.attributes, DATA.chosen, DATA.alternatives, DATA.columns, available=can)
    coefficient = jnp.asarray(GREENE, dtype)
    found = world(coefficient=coefficient, data=data, **more)

    @jax.jit
    @jax.value_and_grad
    def total(b):
        values = eqx.tree_at(lambda w: w.coefficient, found, b).population(key).values
        return jnp.sum(jnp.where(jnp.isfinite(values), values, 0))

    value, slope = total(coefficient)
    assert (value.dtype, slope.dtype) == (dtype, dtype)
    assert jnp.all(jnp.isfinite(slope))


def test_other_attributes_make_a_counterfactual(key):
    dear = DATA.attributes.copy()
    dear[:, 3, 0] += 100.0  # the car costs 100 more
    now, then = world(), world(data=DATA.changed(attributes=dear))
    difference = draw(then, key).values - draw(now, key).values
    np.testing.assert_allclose(difference, np.broadcast_to([0, 0, 0, -100.0], (50, 4)), atol=1e-2)
    assert then.shares()[3] < now.shares()[3]


@pytest.fixture
def unchecked():
    """As a user runs it: the annotations are checked in tests only, and would speak first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"same": True}, "say either `new=`"),
        ({"new": None}, "say either `new=`"),
        ({"new": 0}, "`agents` must be at least 1, got 0"),
        ({"outside": "boat"}, "`outside` must be one of the alternatives"),
        ({"kind": np.zeros(3, int)}, "`kind` must be one index of 0 or more for each of the 210 situations"),
        ({"kind": np.full(210, -1)}, "`kind` must be one index"),
        ({"supply": Menu.seats(np.array([1.0]))}, "`supply` is a menu of 2 options, but there are 4 alternatives"),
        ({"coefficient": GREENE[:5]}, "`coefficient` is [..., coefficients], `design`"),
        ({"coefficient": -GREENE}, "the coefficient of the numeraire must be negative"),
        ({"coefficient": np.ones((2, 2, 6)) * GREENE}, "`coefficient` must be [coefficients] or [draws, coefficients]"),
    ],
)
def test_bad_worlds_are_refused(more, message, unchecked):
    with pytest.raises(ValueError, match=re.escape(message)):
        world(**more)


def test_an_outside_option_must_be_free_to_all():
    can = np.ones((210, 4), bool)
    here = np.flatnonzero(DATA.chosen != 1)[5]
    can[here, 1] = False
    data = ChoiceData(DATA.attributes, DATA.chosen, DATA.alternatives, DATA.columns, available=can)
    with pytest.raises(ValueError, match=re.escape(f"`train` is not on the menu of situation [{here}]")):
        world(data=data, outside="train")


def test_both_worlds_are_built():
    assert isinstance(world(), Strangers)
    assert isinstance(world(new=None, same=True), SamePeople)


@pytest.mark.parametrize("module", ["data", "logit", "identification", "worlds"])
def test_examples_run(module):
    names = {"np": np, "jnp": jnp, "jax": jax}
    found = doctest.testmod(importlib.import_module(f"fairhand.models.choice.{module}"), extraglobs=names)
    assert found.failed == 0
    assert found.attempted > 0
