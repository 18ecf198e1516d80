"""Envy-freeness as a frequency with an interval, against counts by hand and cases known in closed form."""

import doctest
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from fairhand import models
from fairhand.mechanisms import Allocation, metrics, picking
from fairhand.mechanisms.picking import _batched
from fairhand.mechanisms.picking.envy import envy_report, smallest_items
from fairhand.models import Population

module = importlib.import_module("fairhand.mechanisms.picking.envy")
UNIFORM = models.Uniform()


class Everything:
    """Agent 0 takes all."""

    def allocate(self, values):
        return Allocation(np.broadcast_to((np.arange(values.shape[-2]) == 0)[:, None], values.shape).astype(float))


class Seen:
    """Welfare maximisation in NumPy that remembers what it was shown."""

    def __init__(self):
        self.values = []

    def allocate(self, values):
        self.values.append(np.array(values))
        return Allocation((values.argmax(-2)[..., None, :] == np.arange(values.shape[-2])[:, None]).astype(float))


def test_the_report_is_what_loops_count(key):
    rule = Seen()
    found = envy_report(rule, [UNIFORM, models.Uniform(0.5, 1.0), UNIFORM], 3, 5, populations=64, key=key)
    values = np.concatenate(rule.values)
    assert values.shape == (64, 3, 5)
    assert values[:, 1].min() >= 0.5 > values[:, 0].min()
    free, worst = np.zeros((64, 3), bool), 0.0
    for p, v in enumerate(values):
        owner = v.argmax(0)
        worth = np.array([[v[i, owner == k].sum() for k in range(3)] for i in range(3)])
        free[p] = [worth[i, i] >= worth[i].max() for i in range(3)]
        worst = max(worst, max((worth[i].max() - worth[i, i]) / v[i].sum() for i in range(3)))
    assert found.probability == free.all(1).mean()
    np.testing.assert_array_equal(found.no_envy, free.mean(0))
    assert found.worst == pytest.approx(worst)
    low, high = proportion_confint(free.all(1).sum(), 64, 0.05, method="wilson")
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))
    assert found.populations == 64


def test_who_has_nothing_envies_always(key):
    found = envy_report(Everything(), UNIFORM, 3, 4, populations=10, key=key)
    assert found.probability == 0
    assert found.no_envy.tolist() == [1, 0, 0]
    assert found.worst == pytest.approx(1)
    assert found.interval.low == 0


def test_chunks_change_nothing(monkeypatch, key):
    asked = dict(populations=50, key=key)
    before = envy_report(picking.Ranking(), UNIFORM, 3, 4, **asked)
    monkeypatch.setattr(module, "NUMBERS", 12 * 7)
    monkeypatch.setattr(_batched, "NUMBERS", 12 * 4)
    after = envy_report(picking.Ranking(), UNIFORM, 3, 4, **asked)
    assert before.probability == after.probability
    np.testing.assert_array_equal(before.no_envy, after.no_envy)


def test_the_last_of_an_equal_split_is_free_of_envy_once_in_n(key):
    # The last agent gets a random bundle of the same size as every other, so that the best of n is hers once in n.
    found = envy_report(picking.PickR([1 / 3] * 3), UNIFORM, 3, 12, populations=4000, key=key)
    assert abs(found.no_envy[-1] - 1 / 3) < 4 * np.sqrt(2 / 9 / 4000)
    assert found.no_envy[0] == 1  # the first picker has her favourites, and no bundle is larger


def test_a_million_items_are_added_up_well(key):
    # Everybody values everything alike and gets half: no envy, which float32 sums would not see.
    class Halves:
        def allocate(self, values):
            half = np.arange(values.shape[-1]) % 2
            return Allocation(np.broadcast_to(np.stack([half, 1 - half]), values.shape).astype(np.float32))

    law = models.Uniform(0.1, 0.1 + 1e-15)
    assert envy_report(Halves(), law, 2, 10**6, populations=2, key=key).probability == 1


def test_float32_metrics_see_no_envy_of_oneself():
    values = np.random.default_rng(0).random((5, 10**5)).astype(np.float32)
    people = Population(values)
    best = Allocation(jnp.asarray(values.argmax(0) == np.arange(5)[:, None], jnp.float32))
    assert metrics.envy_free(people, best) == 1
    assert metrics.envy_of_each(people, best).max() == 0
    same = Allocation(jnp.full((5, 10**5), 0.2, jnp.float32))
    assert metrics.envy_free(people, same) == 1
    assert metrics.envy_free(people, Allocation(best.shares[::-1])) == 0


def test_the_smallest_number_of_items_is_bracketed(key):
    found = smallest_items(Seen(), UNIFORM, 2, eta=0.2, populations=400, key=key, limit=64)
    assert found.items is not None
    assert found.at_least <= found.items
    report = lambda m: envy_report(Seen(), UNIFORM, 2, m, populations=400, key=key)
    assert report(found.items).interval.low >= 0.8
    assert report(found.at_least - 1).interval.high < 0.8
    assert found.tried.tolist() == sorted(set(found.tried.tolist()))
    assert found.probability[found.tried == found.items][0] == report(found.items).probability


def test_a_level_out_of_reach_is_none_and_rules_may_depend_on_the_number(key):
    asked = []

    def rule(items):
        asked.append(items)
        return Everything()

    found = smallest_items(rule, UNIFORM, 2, populations=200, key=key, limit=20)
    assert found.items is None
    assert found.at_least == 21
    assert asked == [2, 4, 8, 16, 20]
    assert not found.probability.any()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"agents": 1}, "`agents`"),
        ({"items": 0}, "`items`"),
        ({"populations": 0}, "`populations`"),
        ({"confidence": 1.0}, "`confidence`"),
        ({"law": [UNIFORM] * 3}, "`law`"),
        ({"mechanism": object()}, "`mechanism`"),
    ],
)
def test_bad_input_is_refused_by_name(change, named, key):
    asked = {"mechanism": Everything(), "law": UNIFORM, "agents": 2, "items": 3, "populations": 5, "key": key}
    with pytest.raises(ValueError, match=named):
        envy_report(**asked | change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"eta": 0.0}, "`eta`"),
        ({"populations": 10}, "`populations`"),
        ({"start": 0}, "`start`"),
        ({"limit": 1}, "`start`"),
    ],
)
def test_a_search_that_cannot_succeed_is_refused(change, named, key):
    with pytest.raises(ValueError, match=named):
        smallest_items(Everything(), UNIFORM, 2, key=key, **{"populations": 200} | change)


def test_the_example_runs():
    result = doctest.testmod(module, extraglobs={"np": np, "jax": jax, "models": models})
    assert result.attempted
    assert not result.failed
