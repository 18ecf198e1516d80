"""What the classic rules share: each agent takes one option or nothing, and ties go to the lowest index.

`Choices` is the common ground. It turns a population into a table of worths with "nothing" as one more, last choice
that is always there, so that no rule needs a special case for agents who are left over.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ...models._check import concrete, require
from ...models.population import Population
from ...models.supply import Items, Menu
from ..base import Allocation, Certificate

UNSERVED = "Some agents could take nothing: add a free outside option, or capacity; no good may be shared by options."


class Choices(eqx.Module):
    """The options of a supply as choices that exclude one another, "nothing" being the last.

    Under `Items` nothing is worth 0, as an item may be kept back: an agent takes an item worth 0, and never one worth
    less. Under `Menu`, and under `Items(all_given=True)`, nothing is the last resort below every finite value. An
    option worth −inf is never taken.

    Attributes:
        worth: `[agents, options + 1]`; only its order counts. No gradient flows through a ranking.
        uses: `[options + 1, goods]`, units of each good a choice takes; None where every choice has its own seats.
        capacity: `[goods]`, or seats of each choice `[options + 1]` where `uses` is None.
        flaw: 0, or infinite where the supply does not fit the rule and that was only known inside a program.
        served: whether everybody must get an option, so that nothing is a failure.
    """

    worth: Float[Array, "agents choices"]
    uses: Float[Array, "choices goods"] | None
    capacity: Float[Array, " goods"]
    flaw: Float[Array, ""]
    served: bool = eqx.field(static=True)

    @classmethod
    def of(cls, reported: Population) -> "Choices":
        """The choices of any `Items` or `Menu`.

        Raises:
            ValueError: the supply is neither, or all of more items than agents would have to be given.
        """
        # The barrier keeps XLA from folding the sorting of known values into a program, which takes minutes.
        values = jax.lax.optimization_barrier(jax.lax.stop_gradient(jnp.asarray(reported.values)))
        agents, options = values.shape
        supply, dtype = reported.supply, values.dtype
        if not isinstance(supply, Items | Menu):
            raise ValueError(
                f"`supply` must be `Items` or `Menu` for rules that give one option each; got {type(supply).__name__}."
            )
        forced = isinstance(supply, Menu) or supply.all_given
        nothing = jnp.full((agents, 1), jnp.finfo(dtype).min if forced else 0.0, dtype)
        worth, flaw = jnp.concatenate([values, nothing], 1), jnp.zeros((), dtype)
        if isinstance(supply, Items):
            require(
                not supply.all_given or options <= agents,
                f"`supply` wants all of {options} items given to {agents} agents who take one each; drop `all_given`.",
            )
            return cls(worth, None, jnp.ones(options + 1, dtype).at[-1].set(jnp.inf), flaw, False)
        uses = jnp.asarray(supply.uses, dtype)
        require(
            uses.shape[0] == options,
            f"`uses` must have one row per option: `values` has {options} options, `uses` is {uses.shape}.",
        )
        uses = jnp.concatenate([uses, jnp.zeros((1, uses.shape[1]), dtype)])
        return cls(worth, uses, jnp.asarray(supply.capacity, dtype), flaw, True)

    @classmethod
    def unit_demand(cls, reported: Population) -> "Choices":
        """The choices where every option has seats of its own: no good is used by two options.

        Raises:
            ValueError: two options share a good, so far as that is known now; inside a program `flaw` says it.
        """
        choices, supply = cls.of(reported), reported.supply
        if choices.uses is None or not isinstance(supply, Menu):
            return choices
        known = concrete(supply.uses)
        shared = () if known is None else np.flatnonzero((known > 0).sum(0) > 1)
        require(
            len(shared) == 0,
            f"`supply` lets several options share good {shared}; this rule needs seats of each option's own. "
            "Use `SerialDictatorship` or `RandomSerialDictatorship`, which take any menu.",
        )
        takes = choices.uses > 0
        each = jnp.where(takes, choices.capacity[None] / jnp.where(takes, choices.uses, 1.0), jnp.inf)
        flaw = jnp.where(jnp.any(takes.sum(0) > 1), jnp.inf, choices.flaw)
        return cls(choices.worth, None, jnp.min(each, -1, initial=jnp.inf), flaw, choices.served)

    @property
    def num_agents(self) -> int:
        """Number of rows."""
        return self.worth.shape[0]

    @property
    def nothing(self) -> int:
        """The index of taking nothing, the last."""
        return self.worth.shape[1] - 1

    def order(self) -> Int[Array, "agents choices"]:
        """Each agent's choices from best to worst; those worth −inf come after nothing."""
        return jnp.argsort(-self.worth, axis=-1, stable=True).astype(jnp.int32)

    def fits(self, left: Float[Array, " goods"]) -> Bool[Array, " choices"]:
        """Which choices still fit into what is left."""
        if self.uses is None:
            return left >= 1
        slack = self.num_agents * jnp.finfo(left.dtype).eps * self.capacity
        return jnp.all(self.uses <= (left + slack)[None], -1)

    def less(self, left: Float[Array, " goods"], choice: Int[Array, ""]) -> Float[Array, " goods"]:
        """What is left after one agent takes `choice`."""
        return left.at[choice].add(-1) if self.uses is None else left - self.uses[choice]

    def room(self, shares: Float[Array, "agents choices"]) -> Float[Array, " choices"]:
        """How many more shares of each choice fit beside `shares`."""
        if self.uses is None:
            return self.capacity - shares.sum(0)
        left = self.capacity - shares.sum(0) @ self.uses
        takes = self.uses > 0
        return jnp.min(jnp.where(takes, left[None] / jnp.where(takes, self.uses, 1.0), jnp.inf), -1, initial=jnp.inf)

    def quotas(self) -> Int[Array, " choices"]:
        """Whole seats of each choice, at most one for everybody."""
        seats = jnp.floor(self.capacity * (1 + 8 * jnp.finfo(self.capacity.dtype).eps))
        return jnp.clip(seats, 0, self.num_agents).astype(jnp.int32)

    def with_nothing(self, shares: Float[Array, "agents options"]) -> Float[Array, "agents choices"]:
        """Shares with the chance of nothing as the last column."""
        return jnp.concatenate([shares, jnp.maximum(1 - shares.sum(-1, keepdims=True), 0)], -1)

    def unserved(self, shares: Float[Array, "agents choices"]) -> Float[Array, ""]:
        """How many are left with nothing where everybody must get an option."""
        return shares[:, -1].sum() if self.served else jnp.zeros((), shares.dtype)

    def allocation(self, choice: Int[Array, " agents"], residual: Any = 0, **parts: Any) -> Allocation:
        """One choice each, as shares and a certificate that adds the agents left unserved to `residual`."""
        shares = jax.nn.one_hot(choice, self.worth.shape[1], dtype=self.worth.dtype)
        unserved = self.unserved(shares)
        residual = jnp.asarray(residual, shares.dtype) + unserved + self.flaw
        return Allocation(shares[:, :-1], Certificate(residual, parts=parts | {"unserved": unserved}, advice=UNSERVED))


def places(order: Int[Array, "agents choices"]) -> Int[Array, "agents choices"]:
    """Where each choice stands in its agent's order, 0 is best."""
    agent, place = jnp.indices(order.shape)
    return jnp.zeros_like(order).at[agent, order].set(place.astype(order.dtype))


def as_indices(x: Any) -> Any:
    """Lists become NumPy integers; arrays, tracers and None pass."""
    return np.asarray(x) if isinstance(x, list | tuple) else x


def favourite(worth: Float[Array, "*agents choices"], available: Bool[Array, " choices"]) -> Int[Array, "*agents"]:
    """The best available choice, the lowest index among equals."""
    return jnp.argmax(jnp.where(jnp.broadcast_to(available, worth.shape), worth, -jnp.inf), -1).astype(jnp.int32)


def advance(place: Int[Array, " any"], gone: Callable[[Array], Array], last: int) -> Int[Array, " any"]:
    """Each pointer moved to the first entry that is not gone; the last entry is the end."""

    def over(place):
        return (place < last) & gone(place)

    return jax.lax.while_loop(lambda p: jnp.any(over(p)), lambda p: p + over(p).astype(p.dtype), place)
