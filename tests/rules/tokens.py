"""Who comes to a market in tokens, and a market that can be talked into more of them."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fairhand.mechanisms import DSIC, AbstractMechanism, Allocation, Scalings
from fairhand.mechanisms.pseudomarket import TokenPrices
from fairhand.models import AbstractWorld, Menu, Population


class Groups(AbstractWorld):
    """Agents by turns of each group; seats are worth uniform draws times the group's `care`, the outside option 0."""

    care: Float[Array | np.ndarray, "*draws groups"]
    capacity: Float[Array | np.ndarray, " goods"]
    agents: int = eqx.field(static=True)

    def population(self, key):
        care = jnp.asarray(self.care)
        kind = jnp.arange(self.agents) % care.shape[-1]
        worth = care[kind][:, None] * jax.random.uniform(key, (self.agents, self.capacity.shape[-1]), care.dtype)
        values = jnp.concatenate([worth, jnp.zeros((self.agents, 1), care.dtype)], 1)
        return Population(values, Menu.seats(self.capacity), kind=kind)


class Stakes(AbstractMechanism):
    """Posted prices with a head start for whoever claims much. It says that truth is best; it is not."""

    prices: TokenPrices

    def allocate(self, reported, key=None) -> Allocation:
        much = (jnp.asarray(reported.values).max(-1) > 1).astype(int)
        return self.prices.allocate(dataclasses.replace(reported, kind=much), key)

    @property
    def promises(self) -> tuple[Any, ...]:
        return (DSIC(Scalings()),)
