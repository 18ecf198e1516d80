"""The people in the data of a choice under a budget: errors given that each took the best they could pay for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._who_comes import last_rows
from ..utility_world import AbstractSamePeople
from ..world import AbstractWorld, Draws
from ._gumbel import given_choice
from ._over_budgets import budget_steps, by_cost
from ._utility import utility
from .data import ChoiceData
from .worlds import AbstractAlike, SamePeople


class SameBuyers(AbstractSamePeople, AbstractAlike):
    r"""The people in the data, who took the best of what their budgets could buy.

    First how much each could buy is drawn given the choice, :math:`P(r \mid y) \propto m_r e^{-L_r}` over the steps of
    `budget_logit` that can pay for y; then errors, of the affordable ones given that y is best, of the others freely.
    Exact. Built by `BudgetLogit.worlds(same=True)`.

    Args:
        chosen: `[agents]`, index of the option taken.
        order: `[agents, options]`, options from cheapest to dearest.
        log_mass: `[agents, options]`, log-chance that exactly so many of the cheapest are affordable.
        coefficient, design, available, supply, kind, numeraire, outside, unit, options: as in `SamePeople`.

    Raises:
        ValueError: shapes that do not fit.
    """

    chosen: Int[Array | np.ndarray, " rows"] = eqx.field(kw_only=True)
    order: Int[Array | np.ndarray, "rows options"] = eqx.field(kw_only=True)
    log_mass: Float[Array | np.ndarray, "rows options"] = eqx.field(kw_only=True)

    def _reach(self, seen: Float[Array, "rows options"]) -> tuple[Array, Array]:
        """Place of each option by cost, and log-chance of each number of affordable ones given the choice."""
        place = jnp.argsort(jnp.asarray(self.order), -1)
        _, total = by_cost(seen, self.available, self.order)
        own = jnp.take_along_axis(place, jnp.asarray(self.chosen)[:, None], 1)
        pays = jnp.arange(seen.shape[1])[None] >= own
        step = jnp.where(pays, jnp.asarray(self.log_mass, seen.dtype) - jnp.where(pays, total, 0.0), -jnp.inf)
        return place, jax.nn.log_softmax(step, -1)

    def with_errors(self, seen: Float[Array, "rows options"], *, key: PRNGKeyArray) -> Float[Array, "rows options"]:
        many, best, other = jax.random.split(key, 3)
        place, reach = self._reach(seen)
        paid = place <= jax.random.categorical(many, jax.lax.stop_gradient(reach), -1)[:, None]
        bought = jnp.asarray(self.available) & paid
        inside = given_choice(seen, bought, jnp.asarray(self.chosen), key=best)
        return jnp.where(bought, inside, seen + jax.random.gumbel(other, seen.shape, seen.dtype))

    def shares(self) -> Float[Array, " options"]:
        seen, can = utility(jnp.asarray(self.coefficient), self.design), jnp.asarray(self.available)
        place, reach = self._reach(seen)
        every = jax.nn.log_softmax(jnp.where(can, seen, -jnp.inf), -1)
        # The best of all is the one taken if it is affordable, else the favourite among all is as ever.
        by_step = jnp.take_along_axis(jnp.where(can, jnp.exp(every), 0.0), jnp.asarray(self.order), 1)
        inside = jnp.sum(jnp.exp(reach) * jnp.cumsum(by_step, 1), 1, keepdims=True)
        reached = jnp.cumsum(jnp.exp(reach), 1)
        beyond = jnp.take_along_axis(reached - jnp.exp(reach), place, 1)  # chance that the option was not affordable
        taken = jax.nn.one_hot(jnp.asarray(self.chosen), seen.shape[1], dtype=seen.dtype)
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
    seen, place = last_rows(data.person, len(data.people)), [data.alternatives.index(a) for a in plain.options]
    order, log_mass = budget_steps(cost[seen][:, place], afford[seen][:, place])
    found = plain.turned(SameBuyers, coefficient=coefficient, order=order, log_mass=log_mass)
    return Draws.of(found, lambda w: [w.coefficient]) if isinstance(world, Draws) else found
