"""Who comes by a model of random utility: what such worlds share, whatever was learned of people's tastes.

A value is what is seen of an option's worth plus an error. A world says whose coefficients come (`own`); strangers are drawn
with replacement and have errors of their own, the same people have errors that agree with what they did.
"""

import abc
import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ._check import concrete, require
from .population import Population
from .supply import AbstractSupply, Menu
from .world import AbstractWorld


class AbstractUtilityWorld(AbstractWorld):
    r"""Agent a values option j at :math:`x_{aj}\cdot\beta_a + \varepsilon_{aj}`, ε standard Gumbel.

    Divided by minus the agent's coefficient of the numeraire, and less the same for the outside option, where there are such.

    Args:
        design: `[rows, options, coefficients]`, or one row for all; rows are people, or what was seen of them.
        supply: what there is to share.
        kind: `[rows]`, group of each row, which an agent inherits; None is none.
        numeraire: index of the coefficient that values are divided by (its negative); None leaves utils.
        outside: the last option is the outside option, worth 0 exactly.
        unit: unit of the values.
        options: names of the options.
    """

    menu: eqx.AbstractVar[Bool[Array | np.ndarray, "rows options"]]

    design: Float[Array | np.ndarray, "#rows options coefficients"] = eqx.field(kw_only=True)
    supply: AbstractSupply = eqx.field(kw_only=True)
    kind: Int[Array | np.ndarray, " rows"] | None = eqx.field(kw_only=True, default=None)
    numeraire: int | None = eqx.field(kw_only=True, static=True, default=None)
    outside: bool = eqx.field(kw_only=True, static=True, default=False)
    unit: str = eqx.field(kw_only=True, static=True, default="utils")
    options: tuple[str, ...] = eqx.field(kw_only=True, static=True, default=())

    @abc.abstractmethod
    def own(self, key: PRNGKeyArray) -> Float[Array, "#agents coefficients"]:
        """Coefficients of each who comes, in the units of the data; one row where all have the same."""

    def priced(
        self,
        total: Float[Array, "agents options"],
        own: Float[Array, "#agents coefficients"],
        menu: Bool[Array, "agents options"],
        kind: Int[Array, " agents"] | None,
    ) -> Population:
        """Worth with its error, into `unit` and above the outside option; −inf where it is not on the menu."""
        if self.numeraire is not None:
            total = total / -own[:, self.numeraire, None]
        if self.outside:
            # Its own difference is written, not computed: a compiler may round the two sides of it differently.
            inside = total[:, :-1] - jnp.broadcast_to(total[:, -1:], total[:, :-1].shape)
            total = jnp.concatenate([inside, jnp.zeros_like(total[:, -1:])], 1)
        return Population(jnp.where(menu, total, -jnp.inf), self.supply, kind=kind, unit=self.unit)

    def turned(self, into: type[AbstractWorld], **fields: Any) -> Any:
        """A world of another class, with `fields` and whatever else the two have in common."""
        there = {f.name for f in dataclasses.fields(into)} - fields.keys()
        common = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name in there}
        return into(**common, **fields)


class AbstractStrangers(AbstractUtilityWorld):
    """New people: rows of the data drawn with replacement, with errors of their own.

    Args:
        chance: `[rows]`, probability to be drawn.
        agents: how many come.
    """

    chance: Float[Array | np.ndarray, " rows"] = eqx.field(kw_only=True)
    agents: int = eqx.field(kw_only=True, static=True, default=1)

    def __check_init__(self):
        require(self.agents >= 1, f"`agents` must be at least 1, got {self.agents}: say how many come with `new=`.")

    def population(self, key: PRNGKeyArray) -> Population:
        who, error, taste = jax.random.split(key, 3)
        own = self.own(taste)
        chance, design = jnp.asarray(self.chance, own.dtype), jnp.asarray(self.design, own.dtype)
        drawn = jax.random.choice(who, chance.shape[0], (self.agents,), p=chance)
        # Where all have the same coefficients, one worth for each row of the data, and not for each agent.
        alike = own.shape[0] == 1
        seen = _rows(worth(own, design), drawn) if alike else worth(own, _rows(design, drawn))
        total = seen + jax.random.gumbel(error, seen.shape, seen.dtype)
        kind = None if self.kind is None else jnp.asarray(self.kind)[drawn]
        return self.priced(total, own, jnp.asarray(self.menu)[drawn], kind)


class AbstractSamePeople(AbstractUtilityWorld):
    """The people in the data, one agent a row, their errors drawn given what they did.

    A rule tuned on these people loses its incentive promise: they would know it.
    """

    serves_the_sample: ClassVar[bool] = True

    @abc.abstractmethod
    def with_errors(self, seen: Float[Array, "rows options"], *, key: PRNGKeyArray) -> Float[Array, "rows options"]:
        """`seen`, which is worth without error, plus errors given what each did."""

    def population(self, key: PRNGKeyArray) -> Population:
        taste, error = jax.random.split(key)
        own, menu = self.own(taste), jnp.asarray(self.menu)
        seen = jnp.broadcast_to(worth(own, jnp.asarray(self.design, own.dtype)), menu.shape)
        kind = None if self.kind is None else jnp.asarray(self.kind)
        return self.priced(self.with_errors(seen, key=error), own, menu, kind)


def worth(
    own: Float[Array, "#agents coefficients"], design: Float[Array, "#agents options coefficients"]
) -> Float[Array, "_ options"]:
    """What is seen of each option's worth, by one's own coefficients; also on a GPU in the precision of `own`."""
    return jnp.einsum("ak,aok->ao", own, design, precision=jax.lax.Precision.HIGHEST)


def _rows(x: Array, drawn: Int[Array, " agents"]) -> Array:
    """The rows drawn; one row stands for all."""
    return jnp.broadcast_to(x, (drawn.shape[0], *x.shape[1:])) if x.shape[0] == 1 else x[drawn]


def check_shapes(coefficient: Any, design: Any, supply: AbstractSupply, numeraire: int | None) -> None:
    """Raise `ValueError` for shapes that do not fit, and for a numeraire that people like to pay."""
    shape, size = np.shape(design), np.shape(coefficient)
    require(
        len(size) >= 1 and len(shape) == 3 and shape[-1] == size[-1],
        f"`coefficient` is [..., coefficients], `design` [situations, options, coefficients]; got {size} and {shape}.",
    )
    if isinstance(supply, Menu) and np.ndim(supply.uses) == 2:
        rows = np.shape(supply.uses)[0]
        require(
            rows == shape[1],
            f"`supply` is a menu of {rows} options, but there are {shape[1]} alternatives: "
            "`Menu.seats` takes one capacity for each option but the outside option.",
        )
    cost = None if numeraire is None else concrete(coefficient)
    if cost is not None:
        most = np.max(cost[..., numeraire])
        require(
            most < 0,
            f"the coefficient of the numeraire must be negative, as values are divided by its negative; got {most}: "
            "name it as `numeraire` when fitting, or set none.",
        )
