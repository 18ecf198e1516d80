"""The people in the data of a choice under a budget: errors given that each took the best they could pay for."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..population import Population
from ..supply import AbstractSupply
from ..world import AbstractWorld, Draws
from ._build import last_situations
from ._gumbel import given_choice
from ._over_budgets import budget_steps, by_cost
from ._shapes import check_shapes
from ._utility import utility
from .data import ChoiceData
from .worlds import AbstractLogitWorld, SamePeople


class SameBuyers(AbstractLogitWorld):
    r"""The people in the data, who took the best of what their budgets could buy.

    First how much each could buy is drawn given the choice, :math:`P(r \mid y) \propto m_r e^{-L_r}` over the steps of
    `budget_logit` that can pay for y; then errors, of the affordable ones given that y is best, of the others freely.
    Exact. Built by `BudgetLogit.worlds(same=True)`.

    Args:
        coefficient: `[coefficients]`.
        design: `[agents, options, coefficients]`.
        available: `[agents, options]`; where False the option is worth −inf.
        chosen: `[agents]`, index of the option taken.
        order: `[agents, options]`, options from cheapest to dearest.
        log_mass: `[agents, options]`, log-chance that exactly so many of the cheapest are affordable.
        supply: what there is to share.
        kind: `[agents]`, group; None is none.
        numeraire: as in `Strangers`.
        outside: as in `Strangers`.
        unit: unit of the values.
        options: names of the options.

    Raises:
        ValueError: shapes that do not fit.
    """

    serves_the_sample: ClassVar[bool] = True

    coefficient: Float[Array | np.ndarray, "*draws coefficients"]
    design: Float[Array | np.ndarray, "situations options coefficients"]
    available: Bool[Array | np.ndarray, "situations options"]
    chosen: Int[Array | np.ndarray, " situations"]
    order: Int[Array | np.ndarray, "situations options"]
    log_mass: Float[Array | np.ndarray, "situations options"]
    supply: AbstractSupply
    kind: Int[Array | np.ndarray, " situations"] | None = None
    numeraire: int | None = eqx.field(static=True, default=None)
    outside: bool = eqx.field(static=True, default=False)
    unit: str = eqx.field(static=True, default="utils")
    options: tuple[str, ...] = eqx.field(static=True, default=())

    def __check_init__(self):
        check_shapes(self.coefficient, self.design, self.supply, self.numeraire)

    def _reach(self) -> tuple[Array, Array, Array]:
        """Worth, place of each option by cost, and log-chance of each number of affordable ones given the choice."""
        worth = utility(jnp.asarray(self.coefficient), self.design)
        place = jnp.argsort(jnp.asarray(self.order), -1)
        _, total = by_cost(worth, self.available, self.order)
        own = jnp.take_along_axis(place, jnp.asarray(self.chosen)[:, None], 1)
        pays = jnp.arange(worth.shape[1])[None] >= own
        step = jnp.where(pays, jnp.asarray(self.log_mass, worth.dtype) - jnp.where(pays, total, 0.0), -jnp.inf)
        return worth, place, jax.nn.log_softmax(step, -1)

    def population(self, key: PRNGKeyArray) -> Population:
        who, best, other = jax.random.split(key, 3)
        worth, place, reach = self._reach()
        can = jnp.asarray(self.available)
        bought = can & (place <= jax.random.categorical(who, jax.lax.stop_gradient(reach), -1)[:, None])
        inside = given_choice(worth, bought, jnp.asarray(self.chosen), key=best)
        free = worth + jax.random.gumbel(other, worth.shape, worth.dtype)
        kind = None if self.kind is None else jnp.asarray(self.kind)
        return Population(self._values(jnp.where(bought, inside, free), can), self.supply, kind=kind, unit=self.unit)

    def shares(self) -> Float[Array, " options"]:
        worth, place, reach = self._reach()
        can = jnp.asarray(self.available)
        every = jax.nn.log_softmax(jnp.where(can, worth, -jnp.inf), -1)
        # The best of all is the one taken if it is affordable, else the favourite among all is as ever.
        by_step = jnp.take_along_axis(jnp.where(can, jnp.exp(every), 0.0), jnp.asarray(self.order), 1)
        inside = jnp.sum(jnp.exp(reach) * jnp.cumsum(by_step, 1), 1, keepdims=True)
        reached = jnp.cumsum(jnp.exp(reach), 1)
        beyond = jnp.take_along_axis(reached - jnp.exp(reach), place, 1)  # chance that the option was not affordable
        taken = jax.nn.one_hot(jnp.asarray(self.chosen), worth.shape[1], dtype=worth.dtype)
        return jnp.mean(taken * inside + jnp.where(can, jnp.exp(every), 0.0) * beyond, 0)


def same_people(
    world: AbstractWorld,
    coefficient: Float[Array, "*draws coefficients"],
    data: ChoiceData,
    cost: Float[np.ndarray, "situations alternatives"],
    afford: Float[np.ndarray, "situations alternatives"],
) -> AbstractWorld:
    """`SameBuyers` out of the `SamePeople` that the conditional logit built."""
    plain = world.one(0) if isinstance(world, Draws) else world
    assert isinstance(plain, SamePeople)
    seen, place = last_situations(data), [data.alternatives.index(a) for a in plain.options]
    order, log_mass = budget_steps(cost[seen][:, place], afford[seen][:, place])
    found = SameBuyers(
        coefficient=coefficient,
        design=plain.design,
        available=plain.available,
        chosen=plain.chosen,
        order=order,
        log_mass=log_mass,
        supply=plain.supply,
        kind=plain.kind,
        numeraire=plain.numeraire,
        outside=plain.outside,
        unit=plain.unit,
        options=plain.options,
    )
    return Draws.of(found, lambda w: [w.coefficient]) if isinstance(world, Draws) else found
