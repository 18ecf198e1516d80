"""Who comes by a latent class logit: strangers of classes drawn first, or the same people, whose classes are guessed."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ..population import Population
from ..supply import AbstractSupply
from ..world import AbstractWorld, Draws
from ._gumbel import given_choice
from ._shapes import check_shapes
from ._utility import log_probability, weighted_sum
from .data import ChoiceData
from .logit import ConditionalLogit
from .worlds import AbstractLogitWorld, SamePeople, Strangers


def _worth(own: Float[Array, "agents coefficients"], design: Any) -> Float[Array, "agents options"]:
    return jnp.einsum("ak,aok->ao", own, jnp.asarray(design, own.dtype), precision=jax.lax.Precision.HIGHEST)


class ClassStrangers(AbstractLogitWorld):
    r"""New people: situations drawn with replacement from the data, a class for each, and errors of their own.

    As `Strangers`, but agent a has the coefficients of class c with `share[c]`, and values are divided by its own
    numeraire. Built by `LatentClassLogit.worlds(new=...)`.

    Args:
        coefficient: `[classes, coefficients]`.
        share: `[classes]`.
        design, available, chance, supply, kind, agents, numeraire, outside, unit, options: as in `Strangers`.

    Raises:
        ValueError: shapes that do not fit, a class that likes to pay.
    """

    coefficient: Float[Array | np.ndarray, "*draws classes coefficients"]
    share: Float[Array | np.ndarray, "*draws classes"]
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
        check_shapes(self.coefficient, self.design, self.supply, self.numeraire)

    def population(self, key: PRNGKeyArray) -> Population:
        who, of, error = jax.random.split(key, 3)
        beta = jnp.asarray(self.coefficient)
        chance, share = jnp.asarray(self.chance, beta.dtype), jnp.asarray(self.share, beta.dtype)
        drawn = jax.random.choice(who, chance.shape[0], (self.agents,), p=chance)
        own = beta[jax.random.choice(of, share.shape[0], (self.agents,), p=jax.lax.stop_gradient(share))]
        worth = _worth(own, jnp.asarray(self.design, beta.dtype)[drawn])
        total = worth + jax.random.gumbel(error, worth.shape, worth.dtype)
        kind = None if self.kind is None else jnp.asarray(self.kind)[drawn]
        values = self._values(total, jnp.asarray(self.available)[drawn], own)
        return Population(values, self.supply, kind=kind, unit=self.unit)

    def shares(self) -> Float[Array, " options"]:
        chance = jnp.exp(log_probability(jnp.asarray(self.coefficient), self.design, self.available))
        return jnp.asarray(self.share, chance.dtype) @ weighted_sum(jnp.swapaxes(chance, -1, -2), self.chance)


class SameClasses(AbstractLogitWorld):
    r"""The people in the data, their classes drawn given all of their choices, their errors given the last one.

    As `SamePeople`. Built by `LatentClassLogit.worlds(same=True)`.

    Args:
        coefficient: `[classes, coefficients]`.
        belongs: `[agents, classes]`, chance of each class given the person's choices.
        design, available, chosen, supply, kind, numeraire, outside, unit, options: as in `SamePeople`.

    Raises:
        ValueError: shapes that do not fit, a class that likes to pay.
    """

    serves_the_sample: ClassVar[bool] = True

    coefficient: Float[Array | np.ndarray, "*draws classes coefficients"]
    belongs: Float[Array | np.ndarray, "*draws situations classes"]
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
        of, error = jax.random.split(key)
        beta, can = jnp.asarray(self.coefficient), jnp.asarray(self.available)
        belongs = jax.lax.stop_gradient(jnp.asarray(self.belongs, beta.dtype))
        own = beta[jax.random.categorical(of, jnp.log(belongs), -1)]
        total = given_choice(_worth(own, self.design), can, jnp.asarray(self.chosen), key=error)
        kind = None if self.kind is None else jnp.asarray(self.kind)
        return Population(self._values(total, can, own), self.supply, kind=kind, unit=self.unit)

    def shares(self) -> Float[Array, " options"]:
        dtype = jnp.asarray(self.coefficient).dtype
        return jnp.mean(jax.nn.one_hot(jnp.asarray(self.chosen), self.design.shape[1], dtype=dtype), 0)


def build_class_world(
    logit: ConditionalLogit, coefficient: Any, share: Any, belongs: Any, data: ChoiceData, **where: Any
) -> AbstractWorld:
    """The world of the conditional logit, its people of classes. Draws stand in front of every array, or nowhere.

    Args:
        logit: what utilities are made of.
        coefficient: `[draws, classes, coefficients]`.
        share: `[draws, classes]`.
        belongs: `[draws, people, classes]`; None for strangers.
        data: who there was.
        **where: as `ConditionalLogit.world` takes.
    """
    coefficient, share = jnp.asarray(coefficient), jnp.asarray(share)
    plain = logit.world(coefficient.reshape(-1, coefficient.shape[-1])[0], data, **where)
    same = {
        n: getattr(plain, n)
        for n in ("design", "available", "supply", "kind", "numeraire", "outside", "unit", "options")
    }
    if belongs is None:
        assert isinstance(plain, Strangers)
        world = ClassStrangers(coefficient=coefficient, share=share, chance=plain.chance, agents=plain.agents, **same)
        leaves = lambda w: [w.coefficient, w.share]
    else:
        assert isinstance(plain, SamePeople)
        seen = np.unique(data.person)
        world = SameClasses(
            coefficient=coefficient, belongs=jnp.asarray(belongs)[..., seen, :], chosen=plain.chosen, **same
        )
        leaves = lambda w: [w.coefficient, w.belongs]
    return world if coefficient.ndim == 2 else Draws.of(world, leaves)
