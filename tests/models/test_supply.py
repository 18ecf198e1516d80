"""Supplies against brute force, and what they refuse; worlds and populations."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from fairhand.models import Draws, Independent, Items, Menu, Population, Roster, TypeTable, Uniform
from helpers import assert_close


@pytest.mark.parametrize("all_given", [False, True])
def test_best_of_items_matches_enumeration(all_given):
    rng = np.random.default_rng(0)
    for _ in range(10):
        weights = rng.normal(size=(3, 2)).astype("float32")
        best = -np.inf
        for owners in itertools.product(range(-1, 3), repeat=2):
            if all_given and -1 in owners:
                continue
            best = max(best, sum(weights[o, i] for i, o in enumerate(owners) if o >= 0))
        got = Items(all_given).best(jnp.asarray(weights))
        assert abs(float((got * weights).sum()) - best) < 1e-5
        assert float(Items(all_given).excess(got)) == 0


def test_best_of_seats_matches_the_hungarian_method(dtype):
    rng = np.random.default_rng(1)
    for _ in range(5):
        weights = rng.normal(size=(6, 3))
        capacity = np.array([1.0, 2.0])
        seats = np.concatenate([np.repeat(weights[:, :2], [1, 2], axis=1), np.repeat(weights[:, 2:], 6, axis=1)], 1)
        rows, columns = scipy.optimize.linear_sum_assignment(-seats)
        got = eqx.filter_jit(Menu.seats(capacity).best)(jnp.asarray(weights, dtype))
        assert got.dtype == dtype
        assert abs(float((got * weights).sum()) - seats[rows, columns].sum()) < (1e-9 if dtype == "float64" else 1e-4)


def test_host_calls_keep_every_bit_on_every_thread():
    """A callback off the main thread would otherwise see float32 inside a 64-bit scope."""
    with jax.enable_x64(True):
        weights = jnp.asarray(np.random.default_rng(2).normal(size=(12, 5, 3)))
        best = jax.jit(jax.vmap(Menu.seats([1.0, 1.0]).best))(weights)
        assert best.dtype == jnp.float64
        for w, b in zip(weights, best, strict=True):
            assert_close(b, Menu.seats([1.0, 1.0]).best(w))


def test_the_envelope_gradient_of_the_first_best_is_the_best_point():
    with jax.enable_x64(True):
        weights = jnp.asarray(np.random.default_rng(3).normal(size=(4, 3)))
        supply = Menu.seats([1.0, 1.0])
        slope = jax.grad(lambda w: jnp.sum(w * supply.best(w)))(weights)
        assert_close(slope, supply.best(weights))


def test_excess_measures_every_way_of_being_infeasible():
    seats = Menu.seats([1.0])
    assert float(seats.excess(jnp.array([[0.5, 0.5], [0.5, 0.5]]))) == 0
    assert_close(seats.excess(jnp.array([[1.0, 0.0], [0.7, 0.3]])), 0.7, loosen=10)
    assert_close(seats.excess(jnp.array([[0.5, 0.2], [0.0, 1.0]])), 0.3, loosen=10)
    assert_close(seats.excess(jnp.array([[-0.2, 1.2], [0.0, 1.0]])), 0.2, loosen=10)
    assert float(seats.excess(jnp.array([[np.nan, 0.0], [0.0, 1.0]]))) == np.inf
    assert_close(Items().excess(jnp.array([[0.8], [0.4]])), 0.2, loosen=10)
    assert_close(Items(all_given=True).excess(jnp.array([[0.3], [0.4]])), 0.3, loosen=10)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Menu.seats([1.0, -2.0]), "`capacity`"),
        (lambda: Menu.seats([np.nan]), "`capacity`"),
        (lambda: Menu(np.ones((3, 2)), [1.0]), "`uses`"),
        (lambda: Menu(-np.ones((3, 1)), [1.0]), "`uses`"),
        (lambda: Population([[1.0, np.nan]]), "`values`"),
        (lambda: Population([[1.0, np.inf]]), "`values`"),
        (lambda: Population([1.0, 2.0]), "`values`"),
        (lambda: Population([[1.0, 2.0]], kind=np.array([0, 1])), "`kind`"),
        (lambda: TypeTable([0.5, 0.6], [[1.0], [2.0]], agents=2), "`chance`"),
        (lambda: TypeTable([0.5, 0.5], [[1.0], [2.0], [3.0]], agents=2), "`worth`"),
        (lambda: Independent(Uniform(), agents=0, options=2), "`agents`"),
        (lambda: Draws.of(Independent(Uniform(0.0, [1.0, 2.0]), 2, 2), lambda w: [w.law.low, w.law.high]), "`where`"),
    ],
)
def test_bad_input_is_refused_by_name(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_world_without_a_list_says_what_to_do():
    with pytest.raises(ValueError, match="`populations`"):
        Independent(Uniform(), 2, 2).profiles()


def test_profiles_are_the_whole_distribution():
    world = TypeTable([0.25, 0.75], [[1.0, 0.0], [0.0, 2.0]], agents=3)
    people, weight = world.profiles()
    assert people.values.shape == (8, 3, 2)
    assert_close(weight.sum(), 1.0)
    frequency = jax.vmap(world.population)(jax.random.split(jax.random.key(0), 4000)).kind.mean()
    assert abs(float(frequency) - 0.75) < 0.02


def test_draws_are_their_worlds_and_their_mixture():
    worlds = Draws.of(Independent(Uniform(0.0, np.array([1.0, 10.0, 100.0])), 2, 2), lambda w: [w.law.high])
    assert worlds.num == 3
    assert float(worlds.one(0).population(jax.random.key(0)).values.max()) <= 1
    values = jax.vmap(worlds.population)(jax.random.split(jax.random.key(1), 300)).values
    assert 0.2 < float((values.max((1, 2)) > 10).mean()) < 0.45
    assert worlds.thin(2).num == 2
    assert not worlds.serves_the_sample
    assert Roster(Population([[1.0]])).serves_the_sample
