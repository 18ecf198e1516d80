"""Who comes by a mixed logit: strangers with tastes of their own, or the very people whose tastes were learned."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..utility_world import AbstractStrangers, check_shapes
from ..world import Draws
from ._utility import weighted_sum
from .data import ChoiceData
from .logit import ConditionalLogit
from .worlds import AbstractChoosers, AbstractLogitWorld, SamePeople, Strangers

NODES = 256  # tastes that `MixedStrangers.shares` averages over


class MixedStrangers(AbstractStrangers, AbstractLogitWorld):
    r"""New people: situations drawn with replacement from the data, tastes from the population, and errors of their own.

    As `Strangers`, but agent a has coefficients :math:`\beta_a` made of :math:`m + L z_a`, and values are divided by the
    agent's own numeraire. Built by `MixedLogit.worlds(new=...)`.

    Args:
        mean: `[dims]`. `root`: `[dims, dims]`, the law of tastes in standard units.
        common: `[common]`, standardised coefficients that all share; empty where there are none.
        sign: `[dims or one less]`, sign of log-normal coefficients, 0 for normal ones; `sign_common`: of `common`.
        place: `[coefficients]`, where each stands among random and common ones. `per`: `[coefficients]`, scale of columns.
        design, available, chance, supply, kind, agents, numeraire, outside, unit, options: as in `Strangers`.

    Raises:
        ValueError: shapes that do not fit.
    """

    mean: Float[Array | np.ndarray, "*draws dims"] = eqx.field(kw_only=True)
    root: Float[Array | np.ndarray, "*draws dims dims"] = eqx.field(kw_only=True)
    common: Float[Array | np.ndarray, "*draws common"] = eqx.field(kw_only=True)
    sign: Float[Array | np.ndarray, " random"] = eqx.field(kw_only=True)
    sign_common: Float[Array | np.ndarray, " common"] = eqx.field(kw_only=True)
    place: Int[Array | np.ndarray, " coefficients"] = eqx.field(kw_only=True)
    per: Float[Array | np.ndarray, " coefficients"] = eqx.field(kw_only=True)

    def __check_init__(self):
        check_shapes(np.zeros(np.shape(self.place)), self.design, self.supply, None)

    def coefficient_of(self, z: Float[Array, "agents dims"]) -> Float[Array, "agents coefficients"]:
        """Coefficients in the units of the data, out of standard normal numbers."""
        taste = jnp.asarray(self.mean)[None] + z @ jnp.asarray(self.root).T
        found = standardised(taste, jnp.asarray(self.common), self.sign, self.sign_common, self.place)
        return found / jnp.asarray(self.per, found.dtype)[None]

    def own(self, key: PRNGKeyArray) -> Float[Array, "agents coefficients"]:
        mean = jnp.asarray(self.mean)
        return self.coefficient_of(jax.random.normal(key, (self.agents, mean.shape[-1]), mean.dtype))

    def shares(self) -> Float[Array, " options"]:
        """By so many tastes drawn with a key of its own; their error is about 0.01."""
        mean = jnp.asarray(self.mean)
        own = self.coefficient_of(jax.random.normal(jax.random.key(0), (NODES, mean.shape[-1]), mean.dtype))

        def one(beta):
            worth = jnp.asarray(self.design, beta.dtype) @ beta
            return weighted_sum(
                jax.nn.softmax(jnp.where(jnp.asarray(self.available), worth, -jnp.inf), -1).T, self.chance
            )

        return jnp.mean(jax.lax.map(one, own), 0)


class MixedSamePeople(AbstractChoosers):
    """The people in the data with the coefficients learned of each, their errors drawn given the last choice.

    As `SamePeople`. Built by `MixedLogit.worlds(same=True)`.

    Args:
        coefficient: `[agents, coefficients]`, in the units of the data.
        design, available, chosen, supply, kind, numeraire, outside, unit, options: as in `SamePeople`.

    Raises:
        ValueError: shapes that do not fit, somebody who likes to pay.
    """

    coefficient: Float[Array | np.ndarray, "*draws agents coefficients"] = eqx.field(kw_only=True)

    def __check_init__(self):
        check_shapes(self.coefficient, self.design, self.supply, self.numeraire)

    def own(self, key: PRNGKeyArray) -> Float[Array, "agents coefficients"]:
        del key
        return jnp.asarray(self.coefficient)


def standardised(
    taste: Float[Array, "*batch dims"], common: Any, sign: Any, sign_common: Any, place: Any
) -> Float[Array, "*batch coefficients"]:
    """Coefficients in standard units; a dim of `taste` beyond those of `sign` is the logarithm of scale."""
    random = np.shape(sign)[0]

    def signed(b, sign):
        sign = jnp.broadcast_to(jnp.asarray(sign, taste.dtype), b.shape)
        return jnp.where(sign == 0, b, sign * jnp.exp(jnp.where(sign == 0, 0.0, b)))

    found = signed(taste[..., :random], sign)
    if taste.shape[-1] > random:
        found = found * jnp.exp(taste[..., random:])
    if np.shape(sign_common)[0]:
        shared = signed(jnp.asarray(common, taste.dtype), sign_common)
        found = jnp.concatenate([found, jnp.broadcast_to(shared, (*found.shape[:-1], shared.shape[-1]))], -1)
    return found[..., jnp.asarray(place)]


def build_mixed_worlds(
    logit: ConditionalLogit, law: dict[str, Any], coefficient: Any, data: ChoiceData, **where: Any
) -> Draws:
    """The worlds of a mixed logit, draws in front.

    Args:
        logit: what utilities are made of. `law`: fields of `MixedStrangers` that say how people differ.
        coefficient: `[draws, people, coefficients]`, of the people in the data.
        data: who there was. `where`: as `ConditionalLogit.world` takes.
    """
    likely = -np.ones(np.shape(law["place"]))  # any will do: only the people and the menu are taken from it
    plain = logit.world(likely, data, **where)
    if isinstance(plain, Strangers):
        return Draws.of(plain.turned(MixedStrangers, **law), lambda w: [w.mean, w.root, w.common])
    assert isinstance(plain, SamePeople)
    seen = np.unique(data.person)
    return Draws.of(
        plain.turned(MixedSamePeople, coefficient=np.asarray(coefficient)[:, seen]), lambda w: [w.coefficient]
    )
