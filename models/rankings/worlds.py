"""Who comes, by a fitted model of rankings: strangers like those in the data, or the very people in it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ..utility_world import AbstractSamePeople, AbstractStrangers, check_shapes
from ._gumbel import given_ranking
from ._stages import Stages


class Strangers(AbstractStrangers):
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

    coefficient: Float[Array | np.ndarray, "*draws coefficients"] = eqx.field(kw_only=True)
    menu: Bool[Array | np.ndarray, "rows options"] = eqx.field(kw_only=True)
    root: Float[Array | np.ndarray, "*draws coefficients dims"] | None = eqx.field(kw_only=True, default=None)

    def __check_init__(self):
        check_shapes(self.coefficient, self.design, self.supply, self.numeraire)

    def own(self, key: PRNGKeyArray) -> Float[Array, "#agents coefficients"]:
        own = jnp.asarray(self.coefficient)[None]
        if self.root is None:
            return own
        root = jnp.asarray(self.root, own.dtype)
        return own + jax.random.normal(key, (self.agents, root.shape[1]), own.dtype) @ root.T


class SamePeople(AbstractSamePeople):
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

    coefficient: Float[Array | np.ndarray, "*draws _ coefficients"] = eqx.field(kw_only=True)
    menu: Bool[Array | np.ndarray, "rows options"] = eqx.field(kw_only=True)
    stages: Stages = eqx.field(kw_only=True)

    def __check_init__(self):
        check_shapes(self.coefficient, self.design, self.supply, self.numeraire)

    def own(self, key: PRNGKeyArray) -> Float[Array, "#agents coefficients"]:
        del key
        return jnp.asarray(self.coefficient)

    def with_errors(self, seen: Float[Array, "rows options"], *, key: PRNGKeyArray) -> Float[Array, "rows options"]:
        return given_ranking(seen, self.stages, key=key)
