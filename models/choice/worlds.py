"""Who comes, by a fitted logit: strangers like those in the data, or the very people in it."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..utility_world import AbstractSamePeople, AbstractStrangers, AbstractUtilityWorld, check_shapes
from ._gumbel import given_choice
from ._utility import log_probability, weighted_sum


class AbstractLogitWorld(AbstractUtilityWorld):
    """What the worlds of choice models add: menus are called `available`, and shares are known.

    Args:
        available: `[rows, options]`; where False the option is worth −inf.
    """

    available: Bool[Array | np.ndarray, "rows options"] = eqx.field(kw_only=True)

    @property
    def menu(self) -> Bool[Array | np.ndarray, "rows options"]:
        """What each could choose from."""
        return self.available

    @abc.abstractmethod
    def shares(self) -> Float[Array, " options"]:
        """Chance that each option is the favourite of somebody who comes."""


class AbstractAlike(AbstractLogitWorld):
    """People who all have the same coefficients.

    Args:
        coefficient: `[coefficients]`, in the population.
    """

    coefficient: Float[Array | np.ndarray, "*draws coefficients"] = eqx.field(kw_only=True)

    def __check_init__(self):
        check_shapes(self.coefficient, self.design, self.supply, self.numeraire)

    def own(self, key: PRNGKeyArray) -> Float[Array, "#agents coefficients"]:
        del key
        return jnp.asarray(self.coefficient)[None]


class AbstractChoosers(AbstractSamePeople, AbstractLogitWorld):
    """The people in the data, who took what they like best: errors are drawn given that.

    The draw is exact: see `given_choice`.

    Args:
        chosen: `[rows]`, index of the option taken.
    """

    chosen: Int[Array | np.ndarray, " rows"] = eqx.field(kw_only=True)

    def with_errors(self, seen: Float[Array, "rows options"], *, key: PRNGKeyArray) -> Float[Array, "rows options"]:
        return given_choice(seen, jnp.asarray(self.available), jnp.asarray(self.chosen), key=key)

    def shares(self) -> Float[Array, " options"]:
        return jnp.mean(jax.nn.one_hot(jnp.asarray(self.chosen), self.design.shape[1]), 0)


class Strangers(AbstractStrangers, AbstractAlike):
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

    def shares(self) -> Float[Array, " options"]:
        chance = jnp.exp(log_probability(jnp.asarray(self.coefficient), self.design, self.available))
        return weighted_sum(chance.T, self.chance)


class SamePeople(AbstractChoosers, AbstractAlike):
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
