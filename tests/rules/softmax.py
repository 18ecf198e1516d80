"""Items to agents by a softmax of scores of types: an interim rule, exact on all profiles."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import constraints

from fairhand.mechanisms import BIC, AbstractMechanism, Allocation, Feasible, Kinds, learned


def chances(score):
    """Each item goes to one agent or to nobody, in proportion to exp(score) and 1: `[agents, items]`."""
    return jax.nn.softmax(jnp.concatenate([score, jnp.zeros_like(score[:1])]), 0)[:-1]


class Scores(AbstractMechanism):
    """Free scores by agent, type and item. Promises nothing about incentives."""

    score: Float[Array | np.ndarray, "agents kinds items"] = learned(constraints.real)

    def allocate(self, reported, key=None):
        del key
        return Allocation(chances(jnp.asarray(self.score)[jnp.arange(reported.num_agents), reported.kind]))

    @property
    def promises(self) -> tuple[Any, ...]:
        return (Feasible(),)


class Favourites(AbstractMechanism):
    """Two items, two types, each with a favourite: one's favourite counts `base + lead`, the other item `base`.

    Where the types are equally likely, calling oneself the other type loses as much chance of the favourite as it wins
    of the other item, so truth is best on average over the others. It is not best against every type of the others.
    """

    base: Float[Array | np.ndarray, " agents"] = learned(constraints.real)
    lead: Float[Array | np.ndarray, " agents"] = learned(constraints.nonnegative)

    def allocate(self, reported, key=None):
        del key
        base, lead = jnp.asarray(self.base), jnp.asarray(self.lead)
        mine = jax.nn.one_hot(reported.kind, 2, dtype=base.dtype)
        return Allocation(chances(base[:, None] + lead[:, None] * mine))

    @property
    def promises(self) -> tuple[Any, ...]:
        return (BIC(Kinds(2), 2), Feasible())


def interim(runs):
    """Expected shares given one's own type, `[agents, kinds, items]`, exact where the runs are all profiles."""
    own = jax.nn.one_hot(runs.population.kind, 2, dtype=runs.weight.dtype)
    chance = jnp.einsum("b,bik->ik", runs.weight, own)
    return jnp.einsum("b,bio,bik->iko", runs.weight, runs.allocation.shares, own) / chance[..., None]
