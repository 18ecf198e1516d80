"""Who comes, by a fitted model of rankings: strangers like those in the data, or the very people in it."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._check import require
from ..choice._shapes import check_shapes
from ..population import Population
from ..supply import AbstractSupply
from ..world import AbstractWorld
from ._gumbel import given_ranking
from ._stages import Stages


class AbstractRankingWorld(AbstractWorld):
    """What the two worlds share: a value is worth plus error, in units of the numeraire, above the outside option."""

    numeraire: eqx.AbstractVar[int | None]
    outside: eqx.AbstractVar[bool]

    def _values(self, total: Array, own: Array, can: Array) -> Float[Array, "agents options"]:
        if self.numeraire is not None:
            total = total / -jnp.broadcast_to(own[:, self.numeraire, None], total.shape)
        if self.outside:
            inside = total[:, :-1] - jnp.broadcast_to(total[:, -1:], total[:, :-1].shape)
            total = jnp.concatenate([inside, jnp.zeros_like(total[:, -1:])], 1)
        return jnp.where(can, total, -jnp.inf)


def _worth(own: Array, design: Array | np.ndarray, agents: int) -> Float[Array, "agents options"]:
    """What is seen of each option's worth; one row of `own` or `design` stands for all."""
    shape = (agents, *np.shape(design)[1:])
    design = jnp.broadcast_to(jnp.asarray(design, own.dtype), shape)
    own = jnp.broadcast_to(own, (agents, shape[-1]))
    return jnp.einsum("ak,aok->ao", own, design, precision=jax.lax.Precision.HIGHEST)


class Strangers(AbstractRankingWorld):
    r"""New people: menus and attributes drawn with replacement from the data, tastes and errors of their own.

    Agent a is person i of the data with `chance[i]`, and values option j at
    :math:`x_{ij}\cdot\beta_a + \varepsilon_{aj}`, :math:`\varepsilon` standard Gumbel and
    :math:`\beta_a = b + L z_a`, z standard normal (without `root`, :math:`\beta_a = b`); divided by minus the numeraire's
    coefficient and less the same for the outside option, where there are such.

    Args:
        coefficient: `[coefficients]`, b.
        design: `[rankings, options, coefficients]`, or one row for all.
        menu: `[rankings, options]`; where False the option is worth −inf.
        chance: `[rankings]`, probability to be drawn.
        supply: what there is to share.
        root: `[coefficients, dims]`, L; None is no difference of tastes.
        kind: `[rankings]`, group of each ranking; an agent inherits it. None is none.
        agents: how many come.
        numeraire: index of the coefficient that values are divided by (its negative); None leaves utils.
        outside: the last option is the outside option, worth 0 exactly.
        unit: unit of the values. `options`: their names.

    Raises:
        ValueError: `agents` below 1, or shapes that do not fit.

    Example:
        >>> from fairhand.models import Menu
        >>> from fairhand.models.rankings import PlackettLuce, RankingData
        >>> data = RankingData.from_orders([["a", "b"], ["b", "a"]], menu=["a", "b"])
        >>> world = PlackettLuce().worlds({"worth": jnp.zeros((5, 2))}, data, new=3, supply=Menu.seats([1.0]))
        >>> world.num, world.one(0).population(jax.random.key(0)).values.shape
        (5, (3, 2))
    """

    coefficient: Float[Array | np.ndarray, "*draws coefficients"]
    design: Float[Array | np.ndarray, "_ options coefficients"]
    menu: Bool[Array | np.ndarray, "rankings options"]
    chance: Float[Array | np.ndarray, " rankings"]
    supply: AbstractSupply
    root: Float[Array | np.ndarray, "*draws coefficients dims"] | None = None
    kind: Int[Array | np.ndarray, " rankings"] | None = None
    agents: int = eqx.field(static=True, default=1)
    numeraire: int | None = eqx.field(static=True, default=None)
    outside: bool = eqx.field(static=True, default=False)
    unit: str = eqx.field(static=True, default="utils")
    options: tuple[str, ...] = eqx.field(static=True, default=())

    def __check_init__(self):
        require(self.agents >= 1, f"`agents` must be at least 1, got {self.agents}: say how many come with `new=`.")
        check_shapes(self.coefficient, self.design, self.supply, self.numeraire)

    def population(self, key: PRNGKeyArray) -> Population:
        who, error, taste = jax.random.split(key, 3)
        own = jnp.asarray(self.coefficient)[None]
        if self.root is not None:
            root = jnp.asarray(self.root, own.dtype)
            own = own + jax.random.normal(taste, (self.agents, root.shape[1]), own.dtype) @ root.T
        chance = jnp.asarray(self.chance, own.dtype)
        drawn = jax.random.choice(who, chance.shape[0], (self.agents,), p=chance)
        design = jnp.asarray(self.design, own.dtype)
        worth = _worth(own, design if design.shape[0] == 1 else design[drawn], self.agents)
        total = worth + jax.random.gumbel(error, worth.shape, worth.dtype)
        kind = None if self.kind is None else jnp.asarray(self.kind)[drawn]
        values = self._values(total, own, jnp.asarray(self.menu)[drawn])
        return Population(values, self.supply, kind=kind, unit=self.unit)


class SamePeople(AbstractRankingWorld):
    r"""The people in the data, with errors drawn given what they ranked: whoever put an item first values it most.

    The same formula as `Strangers`, one agent for each person, in the order of `RankingData.people`. Of a person with
    several rankings, the last counts. What is given is what the model's assumption on reports takes as true, and no more.
    The draw is exact: see `given_ranking`. A rule tuned on these people loses its incentive promise: they would know it.

    Args:
        coefficient: `[agents, coefficients]`, or one row for all.
        design: `[agents, options, coefficients]`, or one row for all.
        menu: `[agents, options]`; where False the option is worth −inf.
        stages: what is given of each agent.
        supply: what there is to share.
        kind: `[agents]`, group; None is none.
        numeraire: as in `Strangers`. `outside`, `unit`, `options`: the same.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> from fairhand.models import Menu
        >>> from fairhand.models.rankings import PlackettLuce, RankingData
        >>> data = RankingData.from_orders([["a", "b"], ["b", "a"]], menu=["a", "b"])
        >>> world = PlackettLuce().worlds({"worth": jnp.zeros((5, 2))}, data, same=True, supply=Menu.seats([1.0]))
        >>> world.one(0).population(jax.random.key(0)).values.argmax(-1).tolist()
        [0, 1]
    """

    serves_the_sample: ClassVar[bool] = True

    coefficient: Float[Array | np.ndarray, "*draws _ coefficients"]
    design: Float[Array | np.ndarray, "_ options coefficients"]
    menu: Bool[Array | np.ndarray, "agents options"]
    stages: Stages
    supply: AbstractSupply
    kind: Int[Array | np.ndarray, " agents"] | None = None
    numeraire: int | None = eqx.field(static=True, default=None)
    outside: bool = eqx.field(static=True, default=False)
    unit: str = eqx.field(static=True, default="utils")
    options: tuple[str, ...] = eqx.field(static=True, default=())

    def __check_init__(self):
        check_shapes(self.coefficient, self.design, self.supply, self.numeraire)

    def population(self, key: PRNGKeyArray) -> Population:
        own = jnp.asarray(self.coefficient)
        worth = _worth(own, self.design, self.menu.shape[0])
        total = given_ranking(worth, self.stages, key=key)
        kind = None if self.kind is None else jnp.asarray(self.kind)
        values = self._values(total, own, jnp.asarray(self.menu))
        return Population(values, self.supply, kind=kind, unit=self.unit)
