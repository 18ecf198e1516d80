"""Who comes, by laws learned from ratings: the agents who gave them, and newcomers."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._check import require
from ..laws import AbstractLaw
from ..own_laws import OwnLaws
from ..population import Population
from ..supply import AbstractSupply, Items
from ..world import AbstractWorld
from .families import family_of


def quantiles(law: AbstractLaw, u: Float[Array, "agents items"]) -> Float[Array, "agents items"]:
    """Values at the quantiles `u`, each agent's by their own law."""
    return jax.vmap(lambda law, u: law.quantile(u))(law, u)


class SameAgents(AbstractWorld):
    """The agents who gave the ratings meet new items, each with the law learned of them.

    A rule tuned on them loses its incentive promise: their past ratings would have shaped it.

    Args:
        own: their laws, independent or correlated, and how many items they meet.

    Example:
        >>> from fairhand.models import Power
        >>> world = SameAgents(OwnLaws([Power(2.0), Power(0.5)], 4))
        >>> world.population(jax.random.key(0)).values.shape, world.serves_the_sample
        ((2, 4), True)
    """

    serves_the_sample: ClassVar[bool] = True

    own: OwnLaws

    def population(self, key: PRNGKeyArray) -> Population:
        return self.own.population(key)


class Newcomers(AbstractWorld):
    r"""Agents nobody has met: each draws a law from the population of laws, then values for the items.

    The parameters of a newcomer's law are :math:`\mu + \tau \varepsilon`, :math:`\varepsilon` standard normal, on the log,
    logit or plain scale of each parameter.

    Args:
        centre: `[parameters]`, :math:`\mu`. `spread`: `[parameters]`, :math:`\tau`.
        family: of the laws.
        agents: how many come. `items`: how many items.
        supply: what there is to share; default `Items()`.

    Raises:
        ValueError: `agents` or `items` is less than one.

    Example:
        >>> world = Newcomers(np.array([0.0]), np.array([0.5]), "power", agents=3, items=4)
        >>> world.population(jax.random.key(0)).values.shape
        (3, 4)
    """

    centre: Float[Array | np.ndarray, "*draws parameters"]
    spread: Float[Array | np.ndarray, "*draws parameters"]
    family: str = eqx.field(static=True)
    agents: int = eqx.field(static=True)
    items: int = eqx.field(static=True)
    supply: AbstractSupply = Items()

    def __check_init__(self):
        require(self.agents >= 1, f"`agents` must be at least 1, got {self.agents}.")
        require(self.items >= 1, f"`items` must be at least 1, got {self.items}.")

    def population(self, key: PRNGKeyArray) -> Population:
        who, what = jax.random.split(key)
        centre, spread = jnp.asarray(self.centre), jnp.asarray(self.spread)
        family = family_of(self.family)
        luck = jax.random.normal(who, (len(family.parameters), self.agents), centre.dtype)
        free = centre[:, None] + spread[:, None] * luck
        law = family.law({p.name: p.constrain(free[k]) for k, p in enumerate(family.parameters)})
        u = jax.random.uniform(what, (self.agents, self.items), centre.dtype, minval=jnp.finfo(centre.dtype).tiny)
        return Population(quantiles(law, u), self.supply)
