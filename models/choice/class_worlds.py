"""Who comes by a latent class logit: strangers of classes drawn first, or the same people, whose classes are guessed."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..utility_world import AbstractStrangers, check_shapes
from ..world import AbstractWorld, Draws
from ._utility import log_probability, weighted_sum
from .data import ChoiceData
from .logit import ConditionalLogit
from .worlds import AbstractChoosers, AbstractLogitWorld, SamePeople, Strangers


class AbstractClasses(AbstractLogitWorld):
    """People of a few classes.

    Args:
        coefficient: `[classes, coefficients]`.
    """

    coefficient: Float[Array | np.ndarray, "*draws classes coefficients"] = eqx.field(kw_only=True)

    def __check_init__(self):
        check_shapes(self.coefficient, self.design, self.supply, self.numeraire)


class ClassStrangers(AbstractStrangers, AbstractClasses):
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

    share: Float[Array | np.ndarray, "*draws classes"] = eqx.field(kw_only=True)

    def own(self, key: PRNGKeyArray) -> Float[Array, "agents coefficients"]:
        beta = jnp.asarray(self.coefficient)
        share = jax.lax.stop_gradient(jnp.asarray(self.share, beta.dtype))
        return beta[jax.random.choice(key, share.shape[0], (self.agents,), p=share)]

    def shares(self) -> Float[Array, " options"]:
        chance = jnp.exp(log_probability(jnp.asarray(self.coefficient), self.design, self.available))
        return jnp.asarray(self.share, chance.dtype) @ weighted_sum(jnp.swapaxes(chance, -1, -2), self.chance)


class SameClasses(AbstractChoosers, AbstractClasses):
    r"""The people in the data, their classes drawn given all of their choices, their errors given the last one.

    As `SamePeople`. Built by `LatentClassLogit.worlds(same=True)`.

    Args:
        coefficient: `[classes, coefficients]`.
        belongs: `[agents, classes]`, chance of each class given the person's choices.
        design, available, chosen, supply, kind, numeraire, outside, unit, options: as in `SamePeople`.

    Raises:
        ValueError: shapes that do not fit, a class that likes to pay.
    """

    belongs: Float[Array | np.ndarray, "*draws agents classes"] = eqx.field(kw_only=True)

    def own(self, key: PRNGKeyArray) -> Float[Array, "agents coefficients"]:
        beta = jnp.asarray(self.coefficient)
        belongs = jax.lax.stop_gradient(jnp.asarray(self.belongs, beta.dtype))
        return beta[jax.random.categorical(key, jnp.log(belongs), -1)]


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
    if belongs is None:
        assert isinstance(plain, Strangers)
        world = plain.turned(ClassStrangers, coefficient=coefficient, share=share)
        leaves = lambda w: [w.coefficient, w.share]
    else:
        assert isinstance(plain, SamePeople)
        seen = np.unique(data.person)
        world = plain.turned(SameClasses, coefficient=coefficient, belongs=jnp.asarray(belongs)[..., seen, :])
        leaves = lambda w: [w.coefficient, w.belongs]
    return world if coefficient.ndim == 2 else Draws.of(world, leaves)
