"""Who comes, by an ordered model of ratings: strangers like those who rated, or the very people who did."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._check import require
from ..population import Population
from ..supply import AbstractSupply, Items
from ..world import AbstractWorld
from ._steps import latent_given_step


class NewRaters(AbstractWorld):
    r"""People nobody has met, and the items that were rated: :math:`v_{ij} = q_j + b_i \cdot x_j + \varepsilon_{ij}`.

    Tastes :math:`b_i \sim N(0, L L')` and standard logistic errors are drawn anew. Values are in utils, the unit of the
    error; only their order and differences within a person mean anything, and they may be negative.

    Args:
        worth: `[items]`, q.
        root: `[dims, dims]`, L.
        design: `[items, dims]`, x; the first column is 1, for generosity.
        agents: how many come.
        error: whether values hold the error; without it they are what is typical of a person.
        supply: what there is to share; default `Items()`.

    Raises:
        ValueError: `agents` is less than one.

    Example:
        >>> world = NewRaters(np.array([1.0, -1.0]), np.eye(1), np.ones((2, 1)), agents=3, error=False)
        >>> values = world.population(jax.random.key(0)).values
        >>> (values[:, 0] - values[:, 1]).tolist()  # a generous person gives more to all
        [2.0, 2.0, 2.0]
    """

    worth: Float[Array | np.ndarray, "*draws items"]
    root: Float[Array | np.ndarray, "*draws dims dims"]
    design: Float[Array | np.ndarray, "items dims"]
    agents: int = eqx.field(static=True)
    error: bool = eqx.field(static=True, default=True)
    supply: AbstractSupply = Items()

    def __check_init__(self):
        require(self.agents >= 1, f"`agents` must be at least 1, got {self.agents}.")

    def population(self, key: PRNGKeyArray) -> Population:
        who, what = jax.random.split(key)
        worth, root = jnp.asarray(self.worth), jnp.asarray(self.root)
        taste = jax.random.normal(who, (self.agents, root.shape[0]), worth.dtype) @ root.T
        values = latent(worth, taste, self.design)
        if self.error:
            values = values + jax.random.logistic(what, values.shape, values.dtype)
        return Population(values, self.supply)


class SameRaters(AbstractWorld):
    r"""The people who rated: their tastes as learned, and errors drawn given the steps they chose.

    Whoever gave one item more stars than another values it more, in every draw. An item they did not rate gets an error
    like a stranger's. A rule tuned on these people loses its incentive promise: their ratings would have shaped it.

    Args:
        worth: `[items]`. `cut`: `[cuts]`, ascending. `taste`: `[agents, dims]`. `design`: `[items, dims]`.
        step: `[agents, items]`, index of the step chosen, −1 where an item was not rated.
        error: as in `NewRaters`.
        supply: what there is to share; default `Items()`.

    Example:
        >>> step = np.array([[2, 0], [1, -1]])
        >>> world = SameRaters(np.zeros(2), np.array([-1.0, 1.0]), np.zeros((2, 1)), np.ones((2, 1)), step)
        >>> values = world.population(jax.random.key(0)).values
        >>> bool(values[0, 0] >= 1.0), bool(values[0, 1] <= -1.0), bool(abs(values[1, 0]) <= 1.0)
        (True, True, True)
    """

    serves_the_sample: ClassVar[bool] = True

    worth: Float[Array | np.ndarray, "*draws items"]
    cut: Float[Array | np.ndarray, "*draws cuts"]
    taste: Float[Array | np.ndarray, "*draws agents dims"]
    design: Float[Array | np.ndarray, "items dims"]
    step: Int[Array | np.ndarray, "agents items"]
    error: bool = eqx.field(static=True, default=True)
    supply: AbstractSupply = Items()

    def population(self, key: PRNGKeyArray) -> Population:
        values = latent(jnp.asarray(self.worth), jnp.asarray(self.taste), self.design)
        if self.error:
            values = latent_given_step(jnp.asarray(self.step), values, jnp.asarray(self.cut), key=key)
        return Population(values, self.supply)


def latent(
    worth: Float[Array, " items"],
    taste: Float[Array, "agents dims"],
    design: Float[Array | np.ndarray, "items dims"],
) -> Float[Array, "agents items"]:
    """What every item is worth to everybody, without error."""
    own = taste @ jnp.asarray(design, taste.dtype).T
    return own + jnp.broadcast_to(worth, own.shape)
