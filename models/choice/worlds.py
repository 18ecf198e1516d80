"""Who comes, by a fitted logit: strangers like those in the data, or the very people in it."""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._check import require
from ..population import Population
from ..supply import AbstractSupply
from ..world import AbstractWorld
from ._gumbel import given_choice
from ._shapes import check_shapes
from ._utility import log_probability, utility, weighted_sum


class AbstractLogitWorld(AbstractWorld):
    """What the two worlds share: a value is worth plus error, in units of the numeraire, above the outside option."""

    coefficient: eqx.AbstractVar[Float[Array | np.ndarray, "*draws coefficients"]]
    design: eqx.AbstractVar[Float[Array | np.ndarray, "situations options coefficients"]]
    available: eqx.AbstractVar[Bool[Array | np.ndarray, "situations options"]]
    numeraire: eqx.AbstractVar[int | None]
    outside: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def shares(self) -> Float[Array, " options"]:
        """Chance that each option is the favourite of somebody who comes."""

    def _values(
        self,
        total: Float[Array, "agents options"],
        can: Bool[Array, "agents options"],
        own: Float[Array, "agents coefficients"] | None = None,
    ) -> Array:
        """Worth with its error, into `unit` and above the outside option; −inf where not available.

        Where agents have coefficients of their `own`, each one's numeraire counts.
        """
        if self.numeraire is not None:
            price = jnp.asarray(self.coefficient)[self.numeraire] if own is None else own[:, self.numeraire, None]
            total = total / -price
        if self.outside:
            # Its own difference is written, not computed: a compiler may round the two sides of it differently.
            inside = total[:, :-1] - jnp.broadcast_to(total[:, -1:], total[:, :-1].shape)
            total = jnp.concatenate([inside, jnp.zeros_like(total[:, -1:])], 1)
        return jnp.where(can, total, -jnp.inf)


class Strangers(AbstractLogitWorld):
    r"""New people: situations drawn with replacement from the data, with errors of their own.

    Agent a is situation i with `chance[i]`, and values option j at
    :math:`(x_{ij}\cdot\beta + \varepsilon_{aj}) / (-\beta_{\text{numeraire}})`, :math:`\varepsilon` standard Gumbel,
    less the same for the outside option. Without an outside option only differences within an agent mean anything.
    Built by `ConditionalLogit.world(new=...)`.

    Args:
        coefficient: `[coefficients]`, in the population (corrected, for choice-based samples).
        design: `[situations, options, coefficients]`.
        available: `[situations, options]`; where False the option is worth −inf.
        chance: `[situations]`, probability to be drawn; in choice-based samples the sampling weight times the share of
            the chosen alternative in the population over its share in the sample.
        supply: what there is to share.
        kind: `[situations]`, group of each situation; an agent inherits it. None is none.
        agents: how many come.
        numeraire: index of the coefficient that values are divided by (its negative); None leaves utils.
        outside: the last option is the outside option, worth 0 exactly.
        unit: unit of the values.
        options: names of the options.

    Raises:
        ValueError: `agents` below 1, or shapes that do not fit.

    Example:
        >>> from fairhand.models import Menu
        >>> from fairhand.models.choice import ChoiceData, ConditionalLogit
        >>> data = ChoiceData(np.array([[[1.0], [0.0]]]), np.array([0]), ("seat", "none"), ("cost",))
        >>> world = ConditionalLogit("cost", constants=False).world(
        ...     jnp.array([-1.0]), data, new=3, supply=Menu.seats(np.array([2.0])), outside="none"
        ... )
        >>> world.population(jax.random.key(0)).values.shape
        (3, 2)
        >>> np.asarray(world.shares(), float).round(3).tolist()
        [0.269, 0.731]
    """

    coefficient: Float[Array | np.ndarray, "*draws coefficients"]
    design: Float[Array | np.ndarray, "situations options coefficients"]
    available: Bool[Array | np.ndarray, "situations options"]
    chance: Float[Array | np.ndarray, " situations"]
    supply: AbstractSupply
    kind: Int[Array | np.ndarray, " situations"] | None = None
    agents: int = eqx.field(static=True, default=1)
    numeraire: int | None = eqx.field(static=True, default=None)
    outside: bool = eqx.field(static=True, default=False)
    unit: str = eqx.field(static=True, default="utils")
    options: tuple[str, ...] = eqx.field(static=True, default=())

    def __check_init__(self):
        require(self.agents >= 1, f"`agents` must be at least 1, got {self.agents}: say how many come with `new=`.")
        check_shapes(self.coefficient, self.design, self.supply, self.numeraire)

    def population(self, key: PRNGKeyArray) -> Population:
        who, error = jax.random.split(key)
        worth = utility(jnp.asarray(self.coefficient), self.design)
        chance = jnp.asarray(self.chance, worth.dtype)
        drawn = jax.random.choice(who, chance.shape[0], (self.agents,), p=chance)
        total = worth[drawn] + jax.random.gumbel(error, (self.agents, worth.shape[1]), worth.dtype)
        kind = None if self.kind is None else jnp.asarray(self.kind)[drawn]
        return Population(
            self._values(total, jnp.asarray(self.available)[drawn]), self.supply, kind=kind, unit=self.unit
        )

    def shares(self) -> Float[Array, " options"]:
        chance = jnp.exp(log_probability(jnp.asarray(self.coefficient), self.design, self.available))
        return weighted_sum(chance.T, self.chance)


class SamePeople(AbstractLogitWorld):
    r"""The people in the data, with errors drawn given what they chose: whoever took the bus values it most.

    The same formula as `Strangers`, one agent for each person, in the order of `ChoiceData.people`. Of a person seen
    several times, the last situation counts. The draw is exact: see `given_choice`. Sampling by choice does not bias
    it, as it holds the choice fixed. A rule tuned on these people loses its incentive promise: they would know it.
    Built by `ConditionalLogit.world(same=True)`.

    Args:
        coefficient: `[coefficients]`, in the population.
        design: `[agents, options, coefficients]`.
        available: `[agents, options]`; where False the option is worth −inf.
        chosen: `[agents]`, index of the option taken.
        supply: what there is to share.
        kind: `[agents]`, group; None is none.
        numeraire: as in `Strangers`.
        outside: as in `Strangers`.
        unit: unit of the values.
        options: names of the options.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> from fairhand.models import Menu
        >>> from fairhand.models.choice import ChoiceData, ConditionalLogit
        >>> data = ChoiceData(np.zeros((4, 2, 1)), np.array([0, 1, 1, 0]), ("seat", "none"), ("cost",))
        >>> world = ConditionalLogit("cost", constants=False).world(
        ...     jnp.array([-1.0]), data, same=True, supply=Menu.seats(np.array([2.0]))
        ... )
        >>> world.population(jax.random.key(0)).values.argmax(-1).tolist()
        [0, 1, 1, 0]
    """

    serves_the_sample: ClassVar[bool] = True

    coefficient: Float[Array | np.ndarray, "*draws coefficients"]
    design: Float[Array | np.ndarray, "situations options coefficients"]
    available: Bool[Array | np.ndarray, "situations options"]
    chosen: Int[Array | np.ndarray, " situations"]
    supply: AbstractSupply
    kind: Int[Array | np.ndarray, " situations"] | None = None
    numeraire: int | None = eqx.field(static=True, default=None)
    outside: bool = eqx.field(static=True, default=False)
    unit: str = eqx.field(static=True, default="utils")
    options: tuple[str, ...] = eqx.field(static=True, default=())

    def __check_init__(self):
        check_shapes(self.coefficient, self.design, self.supply, self.numeraire)

    def population(self, key: PRNGKeyArray) -> Population:
        worth = utility(jnp.asarray(self.coefficient), self.design)
        can = jnp.asarray(self.available)
        total = given_choice(worth, can, jnp.asarray(self.chosen), key=key)
        kind = None if self.kind is None else jnp.asarray(self.kind)
        return Population(self._values(total, can), self.supply, kind=kind, unit=self.unit)

    def shares(self) -> Float[Array, " options"]:
        dtype = jnp.asarray(self.coefficient).dtype
        return jnp.mean(jax.nn.one_hot(jnp.asarray(self.chosen), self.design.shape[1], dtype=dtype), 0)
