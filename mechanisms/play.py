"""Playing a rule in a world: what every verb, objective and promise stands on."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray, UInt32

from ..models.population import Population
from ..models.world import AbstractWorld
from ._sharding import over_devices
from .base import AbstractMechanism, Allocation
from .metrics import ExPost, Metric


class Runs(eqx.Module):
    """A rule played in a world on a weighted batch of populations.

    Attributes:
        mechanism: the rule played.
        world: where the populations came from.
        population: batch `[runs]` of true populations, which were also the reports.
        allocation: batch `[runs]` of expected shares; where the rule has none in closed form, the average over `coins`.
        realised: batch `[runs, coins]` of realisations, None when no coins were asked for.
        weight: `[runs]`, sums to 1.
        excess: `[runs]`, how far expected shares lie outside the supply. Measured on every run: no rule is believed.
        realised_excess: `[runs, coins]`, the same for realisations.
        key: `[runs]`, the coins' keys.
        exact: the runs are the whole distribution, so that means carry no sampling error.
    """

    mechanism: AbstractMechanism
    world: AbstractWorld
    population: Population
    allocation: Allocation
    realised: Allocation | None
    weight: Float[Array | np.ndarray, " runs"]
    excess: Float[Array | np.ndarray, " runs"]
    realised_excess: Float[Array | np.ndarray, "runs coins"] | None
    key: Key[Array, " runs"] | UInt32[Array, "runs words"]
    exact: bool = eqx.field(static=True, default=False)

    def each(self, metric: Metric) -> Array:
        """The metric of each run, `[runs, ...]`; ex post metrics are averaged over the coins of the run."""
        if isinstance(metric, ExPost):
            return self.each_coin(metric).mean(1)
        return jax.vmap(metric)(self.population, self.allocation)

    def each_coin(self, metric: Metric) -> Array:
        """The metric of each realisation, `[runs, coins, ...]`; ex ante metrics have one coin."""
        if not isinstance(metric, ExPost):
            return self.each(metric)[:, None]
        if self.realised is None:
            raise ValueError("An ex post metric needs `coins` of at least 1 in `play`; it was 0.")
        return jax.vmap(jax.vmap(metric, (None, 0)))(self.population, self.realised)

    def average(self, values: Array) -> Array:
        """Weighted mean over runs of `values [runs, ...]`."""
        return jnp.tensordot(self.weight, values, 1) / jnp.sum(self.weight)

    @property
    def solved(self) -> Bool[Array, ""]:
        """Whether every certificate reports its problem solved."""
        found = [a.certificate for a in (self.allocation, self.realised) if a is not None]
        return jnp.all(jnp.array([jnp.all(c.solved) for c in found if c is not None] or [True]))


def play(
    mechanism: AbstractMechanism,
    world: AbstractWorld,
    key: PRNGKeyArray | None = None,
    populations: int | None = None,
    *,
    coins: int = 0,
    sharding: Any = None,
) -> Runs:
    """Play `mechanism` in `world`, people telling the truth.

    Args:
        mechanism: the rule.
        world: who comes.
        key: one key; the same key draws the same populations and the same coins for every rule.
        populations: how many populations to draw; None takes `world.profiles()`, the whole distribution, exactly.
        coins: realisations per population, for ex post metrics; 0 plays expected shares only.
        sharding: a `jax.sharding.Sharding` for the axis of populations.

    Returns:
        The runs, with the supply's excess measured on each.

    Raises:
        ValueError: neither `populations` nor a finite world, or a key is missing.

    Example:
        >>> import jax, fairhand as fh
        >>> from fairhand.models import Independent, Uniform
        >>> from fairhand.mechanisms import metrics
        >>> from fairhand.mechanisms.classic import RandomSerialDictatorship
        >>> world = Independent(Uniform(), agents=3, options=3)
        >>> runs = fh.play(RandomSerialDictatorship(), world, jax.random.key(0), 8, coins=4)
        >>> runs.each(metrics.welfare).shape
        (8,)
    """
    if key is None and (populations is not None or coins or mechanism.needs_key):
        raise ValueError("`key` is needed to draw populations or coins; pass `key=jax.random.key(0)`.")
    if mechanism.needs_key:
        coins = max(coins, 1)
    if populations is None:
        people, weight = world.profiles()
        runs = weight.shape[0]
    else:
        if populations < 1:
            raise ValueError(f"`populations` must be at least 1, got {populations}.")
        runs, weight, people = populations, None, None
    keys = jax.random.split(jax.random.key(0) if key is None else key, runs)
    played = over_devices(
        lambda one, shared: jax.vmap(lambda o: _play_one(o, shared[0], shared[1], coins))(one),
        (keys, people),
        (mechanism, world),
        sharding,
    )
    people, expected, realised, excess, realised_excess, coin = played
    if weight is None:
        weight = jnp.full(runs, 1.0 / runs, people.values.dtype)
    return Runs(
        mechanism,
        world,
        people,
        expected,
        realised,
        weight,
        excess,
        realised_excess,
        coin,
        exact=populations is None and not mechanism.needs_key,
    )


def _play_one(one, mechanism: AbstractMechanism, world: AbstractWorld, coins: int):
    """One population: who comes, what the rule gives in expectation and by each coin, and how far outside that is."""
    key, people = one
    if people is None:
        people = world.population(jax.random.fold_in(key, 0))
    coin = jax.random.fold_in(key, 1)
    over = lambda a: people.supply.excess(a.shares)
    realised = realised_excess = None
    tosses = jax.random.split(coin, coins) if coins else None
    if mechanism.needs_key:
        realised = jax.vmap(lambda k: mechanism.allocate(people, k))(tosses)
        expected = Allocation(realised.shares.mean(0), None)
    else:
        expected = mechanism.allocate(people)
        if tosses is not None:
            realised = jax.vmap(lambda k: mechanism.realise(people, expected, k))(tosses)
    if realised is not None:
        realised_excess = jax.vmap(over)(realised)
    return people, expected, realised, over(expected), realised_excess, coin
